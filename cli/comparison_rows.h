/* The options that comparisons of traces share, as rows of a command's table. This file has no include guard. */
{"--map", OPTION_PATH, COMPARISON_FIELD(map), "FILE", "naming rules of your own (YAML, docs/presets.md), before all others", NULL},
{"--preset", OPTION_TEXT, COMPARISON_FIELD(preset), "NAME", "naming rules to use, or none (default: by the model)", NULL},
{"--tensors", OPTION_TEXT, COMPARISON_FIELD(tensors), "REGEX", "compare only the candidate's tensors whose name matches", NULL},
{"--layers", OPTION_TEXT, COMPARISON_FIELD(layers), "LIST", "compare only these blocks, e.g. 0-3,7", NULL},
{"--atol", OPTION_NUMBER, COMPARISON_FIELD(atol), "X", "every element within X + rtol * |reference|, as in numpy.allclose", NULL},
{"--rtol", OPTION_NUMBER, COMPARISON_FIELD(rtol), "Y", "see --atol", NULL},
{"--profile", OPTION_TEXT, COMPARISON_FIELD(profile), "NAME", "auto (default), or rules of another project: docs/metrics.md", NULL},
{"--reference-model", OPTION_PATH, COMPARISON_FIELD(reference_model), "PATH", "the reference's checkpoint: compares the weights with the candidate's", NULL},
{"--candidate-model", OPTION_PATHS, COMPARISON_FIELD(candidate_models), "PATH", "the candidate's (repeatable; default: the files that the engine opened)", NULL},
{"--oracle", OPTION_PATH, COMPARISON_FIELD(oracle), "TRACE", "the candidate's run again (verify --replay): says which side is the less exact", NULL},
{"--accept", OPTION_TEXTS, COMPARISON_FIELD(accept), "RULE", "a known difference that is by design, such as gelu-variant; RULE@REGEX: only these operations (repeatable)", NULL},
{"--min-coverage", OPTION_NUMBER, COMPARISON_FIELD(min_coverage), "F", "share of elements that must be compared to match, 0 to 1 (default 0.5)", NULL},
{"--model-only", OPTION_FLAG, COMPARISON_FIELD(model_only), NULL, "for a candidate recorded with --graph-only: exit with 0 where its model matches", NULL},
{"--exact", OPTION_FLAG, COMPARISON_FIELD(exact), NULL, "compute all rows of large products, too, where the operations are computed", NULL},
{"--all", OPTION_FLAG, COMPARISON_FIELD(all), NULL, "show every pair, and the names without a partner", NULL},
#define LS_REPORT_ROW(id, option, help, function) {option, OPTION_PATH, COMPARISON_FIELD(files[LS_REPORT_##id]), "FILE", help, NULL},
#include "report/format_table.h"
#undef LS_REPORT_ROW
