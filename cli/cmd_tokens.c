#include <stdio.h>
#include <stdlib.h>

#include "match/sequence.h"
#include "checkpoint/tokenizer.h"
#include "commands.h"
#include "report/report.h"
#include "terminal.h"

typedef struct tokens_options {
    const char *tokenizer, *color;
    bool all;
} tokens_options;

#define FIELD(name) offsetof(tokens_options, name)
static const option_row options[] = {
    {"--tokenizer", OPTION_PATH, FIELD(tokenizer), "PATH", "a checkpoint (GGUF, or a directory with tokenizer.json) for the tokens' texts", NULL},
    {"--all", OPTION_FLAG, FIELD(all), NULL, "every row, not only those around a difference", NULL},
    COLOR_ROW(FIELD(color)),
    {0},
};

typedef struct sides {
    ls_trace *traces[2];
    ls_sequence sequences[2];
    ls_checkpoint checkpoint;
    ls_tokenizer tokenizer;
    bool has_texts;
    ls_token_step *steps;
    size_t count;
} sides;

static lockstep_status open_tokenizer(sides *s, const char *path, lockstep_error *error) {
    if (path == NULL)
        return LOCKSTEP_OK;
    LS_TRY(ls_checkpoint_open(path, &s->checkpoint, error));
    LS_TRY(ls_tokenizer_open(&s->checkpoint, &s->tokenizer, &s->has_texts, error));
    return s->has_texts ? LOCKSTEP_OK : ls_fail(error, LOCKSTEP_NOT_FOUND, "%s has no vocabulary", path);
}

static lockstep_status look(sides *s, const arguments *args, const tokens_options *o, lockstep_error *error) {
    LS_TRY(open_tokenizer(s, o->tokenizer, error));
    for (int i = 0; i < 2; i++) {
        LS_TRY(ls_trace_open(args->positional[i], &s->traces[i], error));
        LS_TRY(ls_sequence_of(s->traces[i], &s->sequences[i], error));
    }
    return ls_sequences_align(&s->sequences[0], &s->sequences[1], &s->steps, &s->count, error);
}

static int run(const arguments *args, const void *parsed) {
    const tokens_options *o = parsed;
    sides s = {0};
    lockstep_error error;
    int status = EXIT_TROUBLE;
    if (look(&s, args, o, &error) == LOCKSTEP_OK) {
        const ls_screen screen = terminal_screen(o->color);
        ls_text text = {0};
        bool equal = ls_report_tokens(&s.sequences[0], &s.sequences[1], s.steps, s.count, s.has_texts ? &s.tokenizer : NULL, o->all, &screen, &text);
        status = equal ? EXIT_MATCH : EXIT_DIVERGED;
        fwrite(text.data, 1, text.length, stdout);
        ls_text_done(&text);
    } else {
        fprintf(stderr, "lockstep tokens: %s\n", error.message);
    }
    free(s.steps);
    for (int i = 0; i < 2; i++) {
        ls_sequence_done(&s.sequences[i]);
        ls_trace_close(s.traces[i]);
    }
    ls_tokenizer_close(&s.tokenizer);
    ls_checkpoint_close(&s.checkpoint);
    return status;
}

const command_row command_tokens = {
    .name = "tokens",
    .usage = "REFERENCE CANDIDATE [options]",
    .summary = "Shows the token ids of two traces side by side.",
    .exits = "0 equal, 1 different, 2 error",
    .options = options,
    .options_size = sizeof(tokens_options),
    .min_positional = 2,
    .max_positional = 2,
    .run = run,
};
