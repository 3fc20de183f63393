/* lockstep map: the names that a comparison has learned. */
#include <math.h>
#include <stdio.h>

#include "commands.h"
#include "comparison.h"
#include "checkpoint/checkpoint_diff.h"
#include "diff/diff.h"
#include "report/learned_map.h"
#include "report/learned_weights.h"

typedef struct map_options {
    comparison_options comparison;
    const char *out;
} map_options;

static const option_row options[] = {
    {"-o", OPTION_PATH, offsetof(map_options, out), "FILE", "the map to write (default: standard output)", NULL},
    {"--map", OPTION_PATH, COMPARISON_FIELD(map), "FILE", "naming rules that are known already (docs/presets.md)", NULL},
    {"--preset", OPTION_TEXT, COMPARISON_FIELD(preset), "NAME", "naming rules to use, or none (default: none)", NULL},
    {"--candidate-model", OPTION_PATHS, COMPARISON_FIELD(candidate_models), "PATH", "a file with the candidate's weights (repeatable; default: the files that the engine opened)", NULL},
    {"--tensors", OPTION_TEXT, COMPARISON_FIELD(tensors), "REGEX", "only the candidate's tensors whose name matches", NULL},
    {"--layers", OPTION_TEXT, COMPARISON_FIELD(layers), "LIST", "only these blocks, e.g. 0-3,7", NULL},
    {"--exact", OPTION_FLAG, COMPARISON_FIELD(exact), NULL, "compute all rows of large products, too", NULL},
    {0},
};

/* The exit status. `learned`: the text was made. */
static int write_map(const map_options *o, ls_text *text, bool learned) {
    int status = EXIT_TROUBLE;
    if (learned)
        status = comparison_write(text, o->out != NULL ? o->out : "-") ? EXIT_MATCH : EXIT_TROUBLE;
    else
        fprintf(stderr, "lockstep map: %s\n", text->failed ? "out of memory" : "no tensor of the candidate has a partner: there is nothing to write. What to do: look at what `lockstep diff` says about the two");
    ls_text_done(text);
    return status;
}

static int map_checkpoints(const arguments *args, const map_options *o) {
    const comparison_options *c = &o->comparison;
    ls_checkpoint_options wanted = {.what = LS_WHAT_WEIGHTS, .weights = {.preset = c->preset, .map = c->map, .tensors = c->tensors}};
    ls_checkpoint_diff diff;
    lockstep_error error;
    ls_text text = {0};
    if (c->layers != NULL) {
        fprintf(stderr, "lockstep map: these are checkpoints: --layers applies only to traces\n");
        return EXIT_TROUBLE;
    }
    if (ls_checkpoint_diff_run(args->positional[0], args->positional[1], &wanted, &diff, &error) != LOCKSTEP_OK) {
        fprintf(stderr, "lockstep map: %s\n", error.message);
        return EXIT_TROUBLE;
    }
    const bool fits = diff.sides[LS_REFERENCE].gguf != diff.sides[LS_CANDIDATE].gguf;
    const bool learned = fits && ls_report_learned_weights(&diff, &text);
    ls_checkpoint_diff_done(&diff);
    if (!fits)
        fprintf(stderr, "lockstep map: rules for weights are about a GGUF file and a checkpoint of Hugging Face's: these are two of a kind\n");
    return fits ? write_map(o, &text, learned) : EXIT_TROUBLE;
}

static int run(const arguments *args, const void *parsed) {
    map_options o = *(const map_options *)parsed;
    ls_diff_options wanted;
    ls_diff *diff;
    lockstep_error error;
    if (o.comparison.preset == NULL)
        o.comparison.preset = "none";
    o.comparison.atol = o.comparison.rtol = o.comparison.min_coverage = NAN;
    if (ls_checkpoint_is_one(args->positional[0]) && ls_checkpoint_is_one(args->positional[1]))
        return map_checkpoints(args, &o);
    if (!comparison_understand("map", &o.comparison, &wanted))
        return EXIT_TROUBLE;
    if (ls_diff_paths(args->positional[0], args->positional[1], &wanted, &diff, &error) != LOCKSTEP_OK) {
        fprintf(stderr, "lockstep map: %s\n", error.message);
        return EXIT_TROUBLE;
    }
    ls_text text = {0};
    const bool learned = ls_report_learned_map(diff, &text);
    ls_diff_free(diff);
    return write_map(&o, &text, learned);
}

const command_row command_map = {
    .name = "map",
    .usage = "REFERENCE CANDIDATE [-o FILE] [options]",
    .summary = "Writes which names of two traces, or two checkpoints, correspond, as rules for --map.",
    .exits = "0, or 2 on an error, and where no names were learned",
    .options = options,
    .options_size = sizeof(map_options),
    .min_positional = 2,
    .max_positional = 2,
    .run = run,
};
