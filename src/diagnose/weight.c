#include "diagnose/diagnose.h"

#include <math.h>

#include "diff/proof.h"

/* A weight that the operation at fault reads is not the reference's. Where what was done to it is known, that is the cause's id. */
bool ls_fit_weight(const ls_evidence *e, ls_cause *out) {
    const ls_replayed *item = ls_proof_of(e->diff, e->pair->candidate_value);
    if (item == NULL || !item->is_origin || item->weight == LS_NONE)
        return false;
    if (item->weight_rule != NULL)
        out->id = item->weight_rule;
    ls_cause_set_text(out, "weight", e->diff->in.candidate.trace->nodes[item->weight].name);
    ls_cause_set_text(out, "what", item->weight_text != NULL ? item->weight_text : "it is not the reference's");
    out->before = isnan(item->weight_error) ? 0 : item->weight_error;
    out->residual = item->weight_rule != NULL ? item->weight_left : NAN; /* of the weight, without what was done to it */
    return true;
}
