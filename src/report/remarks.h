/* The sentences of a comparison's remarks, the same in every report. */
#ifndef LS_REPORT_REMARKS_H
#define LS_REPORT_REMARKS_H

#include "base/text.h"
#include "diff/model.h"

/* Appends the sentence of a remark, in one line without a newline; nothing for LS_REMARK_NONE. Texts that
 * were recorded are inserted as they are: escape the result for a terminal. */
void ls_remark_text(const ls_diff *diff, const ls_remark *remark, ls_text *out);
/* Appends how the inputs of the two runs differ; nothing where there is no finding. */
void ls_inputs_text(const ls_token_alignment *tokens, ls_text *out);
/* Why a pair beyond tolerance is not a fault, as the end of a sentence: "3 explained: one factor, undone later". */
const char *ls_excuse_text(ls_excuse excuse);

#endif
