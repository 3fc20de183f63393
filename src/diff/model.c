#include "diff/model.h"

const char *ls_diff_verdict(const ls_diff *d) {
    static const char *const names[] = {"match", "diverged", "inputs-differ", "incomparable"};
    return d->result.outcome == LS_OUTCOME_MATCH && ls_diff_is_eager(d) ? "match (eager)" : names[d->result.outcome];
}
