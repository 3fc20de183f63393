#include "diagnose/diagnose.h"
#include "diff/proof.h"

/* The operation gives other values on its own recorded operands than were recorded. */
bool ls_fit_kernel(const ls_evidence *e, ls_cause *out) {
    static const char *const what[] = {"", "the kernel is wrong", "what was recorded is not what was computed", "the kernel is wrong, or what was recorded is not what was computed"};
    const ls_check *check = ls_proof_check(e->diff, e->pair->candidate_value);
    const ls_replayed *item = ls_proof_of(e->diff, e->pair->candidate_value);
    if (check == NULL || check->fault == LS_FAULT_NONE || (item != NULL && item->is_origin))
        return false;
    ls_cause_set_text(out, "what", what[check->fault]);
    ls_cause_set_number(out, "error", check->error);
    out->residual = item != NULL ? item->local.error : 0;
    return true;
}
