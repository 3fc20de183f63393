/* What `diff`, `check` and `run` share: how two runs are compared and reported. */
#ifndef LS_CLI_COMPARISON_H
#define LS_CLI_COMPARISON_H

#include "base/text.h"
#include "diagnose/diagnose.h"
#include "options.h"

/* The first member of each command's options. */
typedef struct comparison_options {
    const char *map, *preset, *tensors, *layers, *profile, *reference_model, *candidate_model, *json;
    double atol, rtol, min_coverage;
    bool all;
} comparison_options;

#define COMPARISON_FIELD(name) offsetof(comparison_options, name)
#define COMPARISON_ROWS                                                                                                                       \
    {"--map", OPTION_TEXT, COMPARISON_FIELD(map), "FILE", "naming rules of your own (YAML, docs/presets.md), before all others", NULL},        \
    {"--preset", OPTION_TEXT, COMPARISON_FIELD(preset), "NAME", "naming rules to use, or none (default: by the model)", NULL},                 \
    {"--tensors", OPTION_TEXT, COMPARISON_FIELD(tensors), "REGEX", "compare only the candidate's tensors whose name matches", NULL},           \
    {"--layers", OPTION_TEXT, COMPARISON_FIELD(layers), "LIST", "compare only these blocks, e.g. 0-3,7", NULL},                                \
    {"--atol", OPTION_NUMBER, COMPARISON_FIELD(atol), "X", "every element within X + rtol * |reference|, as numpy.allclose", NULL},            \
    {"--rtol", OPTION_NUMBER, COMPARISON_FIELD(rtol), "Y", "see --atol", NULL},                                                               \
    {"--profile", OPTION_TEXT, COMPARISON_FIELD(profile), "NAME", "auto (default), or somebody's rules: docs/metrics.md", NULL},              \
    {"--reference-model", OPTION_TEXT, COMPARISON_FIELD(reference_model), "PATH", "the traces' checkpoints: tell whether the weights behind the first divergence", NULL}, \
    {"--candidate-model", OPTION_TEXT, COMPARISON_FIELD(candidate_model), "PATH", "are the reference's", NULL},                               \
    {"--min-coverage", OPTION_NUMBER, COMPARISON_FIELD(min_coverage), "F", "share of elements that must be compared to match, 0 to 1 (default 0.5)", NULL}, \
    {"--all", OPTION_FLAG, COMPARISON_FIELD(all), NULL, "show every pair, and the names without a partner", NULL},                            \
    {"--json", OPTION_TEXT, COMPARISON_FIELD(json), "FILE", "write the result as JSON; - for standard output, instead of the table", NULL}

/* False, and said on stderr, when the options make no sense together. */
bool comparison_understand(const char *command, const comparison_options *options, ls_diff_options *out);
/* Looks for causes, reports, and gives the exit status. */
int comparison_report(const char *command, const comparison_options *options, ls_diff *diff);
/* The same as texts; json may be NULL. */
int comparison_texts(const char *command, const comparison_options *options, ls_diff *diff, ls_diagnosis *out_diagnosis, int width, ls_text *json, ls_text *table);
/* To a file, or "-"; false, and said on stderr, when it can't be. */
bool comparison_write(const ls_text *text, const char *path);
/* The report in its two forms: the table, and JSON where it was asked for. Frees both. */
int comparison_put(const comparison_options *options, int status, ls_text *json, ls_text *table);
int comparison_width(void);

#endif
