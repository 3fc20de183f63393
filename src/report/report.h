/* Turns the result of a comparison into text for people, or JSON for programs. */
#ifndef LS_REPORT_REPORT_H
#define LS_REPORT_REPORT_H

#include <stdio.h>

#include "diagnose/diagnose.h"
#include "checkpoint/checkpoint_diff.h"
#include "checkpoint/tokenizer.h"
#include "diff/oracle.h"
#include "diff/predictions.h"
#include "match/sequence.h"
#include "report/chosen_rows.h"
#include "report/screen.h"
#include "result/result.h"

/* What is reported about two traces. */
typedef struct ls_comparison {
    const ls_diff *diff;
    const ls_diagnosis *diagnosis;
    const ls_oracle *oracle;           /* a third opinion; or NULL */
    const ls_checkpoint_diff *weights; /* those that are to be reported, of the traces' checkpoints; or NULL */
    const ls_predictions *predictions;
    const ls_checkpoint_diff *checkpoints; /* the same with all that is known, whether or not it is to be reported; or NULL */
    const char *command;               /* that compares them, for a shell; or NULL */
    const char *more;                  /* the command that shows every pair, as for a shell; or NULL */
    const char *explain;               /* the command that shows every cause that was tried; or NULL */
    const char *picture;               /* regular expression: the tensors of which an HTML report has pictures besides; or NULL */
    ls_result *kept;                   /* room for the result as other formats need it, which is made when it is; or NULL */
} ls_comparison;

/* The same about two checkpoints. */
typedef struct ls_checkpoint_report {
    const ls_checkpoint_diff *diff;
    const char *command, *picture; /* as above */
    ls_result *kept;
} ls_checkpoint_report;

/* `all` of the rows: the names without a partner, too. */
void ls_report_terminal(const ls_comparison *comparison, const ls_row_choice *rows, const ls_screen *screen, ls_text *out);
/* `all`: every pair and every finding. */
void ls_report_checkpoints(const ls_checkpoint_diff *diff, bool all, const ls_screen *screen, ls_text *out);
/* The pairs of weights, a line each. `counts`: how many of them are the reference's. */
void ls_report_weights(const ls_checkpoint_diff *weights, bool counts, bool all, ls_text *out);
#define LS_REPORT_ROW(id, option, help, traces, checkpoints) LS_REPORT_##id,
typedef enum ls_report_format {
#include "report/format_table.h"
    LS_REPORT_COUNT
} ls_report_format;
#undef LS_REPORT_ROW

#define LS_REPORT_ROW(id, option, help, traces, checkpoints) \
    bool traces(const ls_comparison *comparison, FILE *out);  \
    bool checkpoints(const ls_checkpoint_report *report, FILE *out);
#include "report/format_table.h"
#undef LS_REPORT_ROW
/* Writes a report; false when it can't be. */
bool ls_report_write(ls_report_format format, const ls_comparison *comparison, FILE *out);
bool ls_report_write_checkpoints(ls_report_format format, const ls_checkpoint_report *report, FILE *out);
/* The result as `lockstep report` reads it, of what is `kept`; NULL when out of memory. */
const ls_result *ls_report_result_of_traces(const ls_comparison *comparison);
const ls_result *ls_report_result_of_checkpoints(const ls_checkpoint_report *report);
/* Two sequences side by side, and what the differences look like; true when equal.
 * `tokenizer`: for the texts, or NULL. */
bool ls_report_tokens(const ls_sequence *reference, const ls_sequence *candidate, const ls_token_step *steps, size_t count,
                      const ls_tokenizer *tokenizer, bool all, const ls_screen *screen, ls_text *out);

#endif
