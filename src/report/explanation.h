/* All that is known of one pair: what went in, and each cause that was tried, with what it leaves. */
#ifndef LS_REPORT_EXPLANATION_H
#define LS_REPORT_EXPLANATION_H

#include "report/report.h"

typedef struct ls_explanation {
    const ls_comparison *comparison;
    const ls_pair *pair;
    ls_diagnosis diagnosis;
    ls_attempts attempts;
} ls_explanation;

/* `all`: every experiment, not only those that leave least. */
void ls_report_explanation(const ls_explanation *explanation, bool all, const ls_screen *screen, ls_text *out);
void ls_report_explanation_json(const ls_explanation *explanation, ls_text *out);

#endif
