/* What `diff`, `check` and `run` share: how two runs are compared and reported. */
#ifndef LS_CLI_COMPARISON_H
#define LS_CLI_COMPARISON_H

#include "alike_weights.h"
#include "options.h"
#include "report/report.h"

/* The first member of each command's options; comparison_rows.h has their rows. */
typedef struct comparison_options {
    const char *map, *preset, *tensors, *layers, *passes, *profile, *reference_model;
    const char *oracle, *baseline, *picture, *color, *sort;
    option_list candidate_models, accept;
    const char *files[LS_REPORT_COUNT]; /* to write the reports to; NULL: none */
    double atol, rtol, min_coverage;
    bool all, model_only, exact;
} comparison_options;

extern const char *const sort_choices[];

#define COMPARISON_FIELD(name) offsetof(comparison_options, name)

/* False, with a message on stderr, when the options contradict each other. */
bool comparison_understand(const char *command, const comparison_options *options, ls_diff_options *out);
/* False, with a message on stderr, when --picture is no regular expression. */
bool comparison_has_pattern(const char *command, const comparison_options *options);
/* What a report is drawn from; it borrows the diff. */
typedef struct comparison_result {
    ls_comparison comparison;
    ls_diagnosis diagnosis;
    ls_checkpoint_diff *checkpoints; /* their weights and configuration; NULL where they weren't compared */
    ls_oracle oracle;
    ls_predictions predictions;
    ls_result kept;
    int status;      /* the exit status */
} comparison_result;

/* Looks for the cause of the first divergence, and compares the weights behind it, unless they are known to be alike. The result has to stay where it is. */
void comparison_explain(const char *command, const comparison_options *options, ls_diff *diff, alike_weights *alike, comparison_result *out_result);
void comparison_done(comparison_result *result);
/* Does the same, reports, and gives the exit status. */
int comparison_report(const char *command, const comparison_options *options, ls_diff *diff);
/* To a file, or to standard output for "-"; false, with a message on stderr, when it can't be written. */
bool comparison_write(const ls_text *text, const char *path);
bool comparison_write_report(ls_report_format format, const ls_comparison *comparison, const char *path);
bool comparison_write_checkpoint_report(ls_report_format format, const ls_checkpoint_report *report, const char *path);
/* The table on standard output, unless a report goes there. */
void comparison_print(const comparison_options *options, const ls_text *table);
/* The rows that --all and --sort ask for. */
ls_row_choice comparison_rows(const comparison_options *options);

#endif
