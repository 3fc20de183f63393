#include "diagnose/diagnose.h"
#include "diff/proof.h"

/* What replay has tried on the operation itself: its own rule is the cause's id. */
bool ls_fit_experiment(const ls_evidence *e, ls_cause *out) {
    const ls_replayed *item = ls_proof_of(e->diff, e->pair->candidate_value);
    if (item == NULL || item->rule == NULL)
        return false;
    out->id = item->rule;
    ls_cause_set_text(out, "instead", item->instead);
    out->residual = item->left;
    return true;
}
