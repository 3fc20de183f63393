/* One side of a comparison: its trace, and what is known of each of its nodes. */
#ifndef LS_MATCH_SIDE_H
#define LS_MATCH_SIDE_H

#include "match/kv_window.h"
#include "match/output_rows.h"
#include "match/precision.h"
#include "match/values.h"
#include "trace/trace.h"

typedef struct ls_side {
    ls_trace *trace;
    ls_values values;
    /* Each of these has one entry per node, of which there may still be more to come. */
    ls_kv_window *windows;
    ls_precision *precision;
    bool *is_score; /* feeds a softmax, where large negative values are a mask */
    ls_row_selections selections;
    size_t capacity;
} ls_side;

/* Takes the trace over, also on failure. */
lockstep_status ls_side_init(ls_trace *trace, ls_side *out_side, lockstep_error *error);
/* Makes room for the nodes that the trace has by now, and folds them into values. */
lockstep_status ls_side_grow(ls_side *side, lockstep_error *error);
/* Fills in the precision, scores and selected rows of nodes[from …); windows are read once it is known which passes pair. */
lockstep_status ls_side_describe(ls_side *side, size_t from, lockstep_error *error);
void ls_side_done(ls_side *side);

#endif
