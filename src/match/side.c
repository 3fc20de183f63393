#include "match/side.h"

#include <stdlib.h>

#include "base/grow.h"
#include "match/scores.h"

lockstep_status ls_side_init(ls_trace *trace, ls_side *out_side, lockstep_error *error) {
    *out_side = (ls_side){.trace = trace};
    return ls_values_init(trace, &out_side->values, error);
}

lockstep_status ls_side_grow(ls_side *s, lockstep_error *error) {
    size_t had = s->capacity, now = ls_doubled(had, s->trace->node_count + 1);
    if (!ls_extend(&s->windows, had, now, sizeof *s->windows) || !ls_extend(&s->precision, had, now, sizeof *s->precision) ||
        !ls_extend(&s->is_score, had, now, sizeof *s->is_score) || !ls_extend(&s->selections.of_node, had, now, sizeof *s->selections.of_node))
        return ls_fail(error, LOCKSTEP_NO_MEMORY, "out of memory");
    s->capacity = now;
    return ls_values_grow(&s->values, error);
}

lockstep_status ls_side_describe(ls_side *s, size_t from, lockstep_error *error) {
    ls_precision_spread(s->trace, from, s->precision);
    ls_scores_mark(s->trace, from, s->is_score);
    return ls_row_selections_read(&s->selections, s->trace, from, error);
}

void ls_side_done(ls_side *s) {
    free(s->windows);
    free(s->precision);
    free(s->is_score);
    ls_row_selections_done(&s->selections);
    ls_values_done(&s->values);
    ls_trace_close(s->trace);
    *s = (ls_side){0};
}
