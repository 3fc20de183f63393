#include <stdio.h>
#include <string.h>

#include "base/escape.h"
#include "convert/conversion.h"
#include "convert/restore.h"
#include "progress.h"
#include "commands.h"

typedef struct convert_options {
    const char *to, *select, *format;
    bool restore;
} convert_options;

static const char *const targets[] = {"keep", "f32", "f16", "bf16", NULL};
static const char *const formats[] = {"npy", "npz", "safetensors", "gguf", "text", "raw", NULL};

#define FIELD(name) offsetof(convert_options, name)
static const option_row options[] = {
    {"--to", OPTION_TEXT, FIELD(to), "TYPE", "convert floats to f32, f16 or bf16 (rounded to nearest), or keep (default) types where the format can", targets},
    {"--select", OPTION_TEXT, FIELD(select), "REGEX", "only tensors whose name matches", NULL},
    {"--format", OPTION_TEXT, FIELD(format), "NAME", "npy, npz, safetensors, gguf, text, raw (default: by OUT's suffix)", formats},
    {"--restore", OPTION_FLAG, FIELD(restore), NULL, "with IN alone, a trace whose recording was cut short: make its segments zips that np.load opens", NULL},
    {0},
};

static int restore(const char *trace) {
    lockstep_error error;
    size_t count;
    if (ls_restore_directories(trace, &count, &error) != LOCKSTEP_OK) {
        fprintf(stderr, "lockstep convert: %s\n", error.message);
        return EXIT_TROUBLE;
    }
    printf("%zu segment%s restored\n", count, count == 1 ? "" : "s");
    return EXIT_MATCH;
}

/* Which arguments contradict each other, or NULL. */
static const char *objection(const convert_options *o, int count) {
    if (!o->restore)
        return count < 2 ? "expected IN and OUT" : NULL;
    if (count > 1 || o->to != NULL || o->select != NULL || o->format != NULL)
        return "--restore takes a trace, and nothing else";
    return NULL;
}

static int run(const arguments *args, const void *parsed) {
    const convert_options *o = parsed;
    const char *wrong = objection(o, args->positional_count);
    if (wrong != NULL) {
        fprintf(stderr, "lockstep convert: %s\n", wrong);
        return EXIT_TROUBLE;
    }
    if (o->restore)
        return restore(args->positional[0]);
    ls_convert_options wanted = {.select = o->select, .format = o->format};
    for (int i = 0; o->to != NULL && targets[i] != NULL; i++)
        if (strcmp(o->to, targets[i]) == 0)
            wanted.to = (ls_target)i;
    lockstep_archive *archive;
    lockstep_error error;
    ls_convert_result result;
    lockstep_status status = lockstep_archive_open(args->positional[0], &archive, &error);
    if (status == LOCKSTEP_OK) {
        progress_begin(NULL);
        status = ls_convert(archive, args->positional[1], &wanted, &result, &error);
        progress_end();
        if (status == LOCKSTEP_OK && result.left_out > 0) {
            char name[300];
            ls_escape(result.first_left_out, strlen(result.first_left_out), name, sizeof name);
            fprintf(stderr, "lockstep convert: %zu tensors left out because their type can't be written; the first: %s\n", result.left_out, name);
        }
        lockstep_archive_close(archive);
    }
    if (status != LOCKSTEP_OK) {
        fprintf(stderr, "lockstep convert: %s\n", error.message);
        return EXIT_TROUBLE;
    }
    return result.left_out > 0 ? EXIT_DIVERGED : EXIT_MATCH;
}

const command_row command_convert = {
    .name = "convert",
    .usage = "IN OUT [options] | --restore TRACE",
    .summary = "Converts the tensors of any container to another format.",
    .exits = "0, 1 when tensors were left out, 2 error",
    .options = options,
    .options_size = sizeof(convert_options),
    .min_positional = 1,
    .max_positional = 2,
    .run = run,
};
