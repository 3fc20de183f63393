/* The options of where a comparison is written to, as rows of a command's table. This file has no include guard. */
{"--oracle", OPTION_PATH, COMPARISON_FIELD(oracle), "TRACE", "the candidate's run again (verify --replay): says which side is the less exact", NULL},
{"--all", OPTION_FLAG, COMPARISON_FIELD(all), NULL, "show every pair, and the names without a partner", NULL},
{"--sort", OPTION_TEXT, COMPARISON_FIELD(sort), "BY", "order (default: of execution), error (the worst first), or layer (the worst of each)", sort_choices},
COLOR_ROW(COMPARISON_FIELD(color)),
#define LS_REPORT_ROW(id, option, help, traces, checkpoints) {option, OPTION_PATH, COMPARISON_FIELD(files[LS_REPORT_##id]), "FILE", help, NULL},
#include "report/format_table.h"
#undef LS_REPORT_ROW
{"--baseline", OPTION_PATH, COMPARISON_FIELD(baseline), "RESULT", "an earlier --json result: exit with 1 only for what is new since then", NULL},
{"--picture", OPTION_TEXT, COMPARISON_FIELD(picture), "REGEX", "--html: pictures of the candidate's tensors whose name matches, too", NULL},
