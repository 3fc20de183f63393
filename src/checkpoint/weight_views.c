#include "checkpoint/weight_views.h"

#include <stdlib.h>

static lockstep_status read_sides(const ls_weights *w, const ls_weight_pair *pair, ls_weight_views *out, lockstep_error *error) {
    for (int side = 0; side < LS_SIDES; side++) {
        const char *name = w->sides[side]->archive->tensors[pair->part[side].tensor].name;
        LS_TRY(ls_weight_read(w, side, &pair->part[side], side == pair->original ? pair->changes : 0, ls_weight_heads(w, name), &out->values[side], error));
    }
    return LOCKSTEP_OK;
}

lockstep_status ls_weight_views_open(const ls_weights *w, const ls_weight_pair *pair, ls_weight_views *out, lockstep_error *error) {
    ls_weight_pair copy = *pair; /* its padding is found again */
    ls_text layout = {0};
    *out = (ls_weight_views){0};
    lockstep_status status = read_sides(w, pair, out, error);
    if (status == LOCKSTEP_OK && ls_weight_lay_out(&copy, &out->values[LS_REFERENCE].view, &out->values[LS_CANDIDATE].view, &layout) != LOCKSTEP_OK)
        status = ls_fail(error, LOCKSTEP_INCOMPARABLE, "the shapes differ");
    ls_text_done(&layout);
    if (status != LOCKSTEP_OK)
        ls_weight_views_close(out);
    return status;
}

void ls_weight_views_close(ls_weight_views *views) {
    for (int side = 0; side < LS_SIDES; side++)
        free(views->values[side].owned);
    *views = (ls_weight_views){0};
}
