/* Which rows of its pass a tensor holds: all of them, or only the output rows, those whose logits are
 * wanted. Engines drop the others in front of the last layer or the head. */
#ifndef LS_MATCH_OUTPUT_ROWS_H
#define LS_MATCH_OUTPUT_ROWS_H

#include "base/arena.h"
#include "trace/trace.h"

typedef struct ls_output_rows {
    size_t rows, sequences;  /* of the pass; 0 where unknown */
    const int32_t *selected; /* by the graph, in its order; NULL where it selects none */
    size_t selected_count;
    bool by_input;           /* the caller asked for these rows; otherwise the model's code chose them */
} ls_output_rows;

/* What the graph of one side selects: an operation that selects rows, and all that is computed from it. */
typedef struct ls_row_selections {
    size_t *of_node; /* per node: selection + 1; 0: none; LS_NONE: a selection of selected rows, which is not followed */
    ls_output_rows *items;
    size_t count, capacity;
    ls_arena arena;
} ls_row_selections;

/* Reads nodes[from …) of a trace; of_node has room for them. */
lockstep_status ls_row_selections_read(ls_row_selections *selections, const ls_trace *trace, size_t from, lockstep_error *error);
void ls_row_selections_done(ls_row_selections *selections);
/* Of a node; without `rows` and `sequences`. */
ls_output_rows ls_row_selection_of(const ls_row_selections *selections, size_t node);

/* The rows of the pass that a tensor of `count` rows holds: all, the selected ones, or else the last `count` of
 * each sequence. False when none of these is possible. `out` has room for `count`. */
bool ls_output_rows_list(const ls_output_rows *rows, size_t count, uint32_t *out);

#endif
