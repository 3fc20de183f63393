/* Which rows of its pass a tensor holds: all of them, or only the output rows, those whose logits are
 * wanted. Engines drop the others in front of the last layer or the head. */
#ifndef LS_MATCH_OUTPUT_ROWS_H
#define LS_MATCH_OUTPUT_ROWS_H

#include "trace/trace.h"

typedef struct ls_output_rows {
    size_t rows, sequences;  /* of the pass; 0 where unknown. Not read from the graph */
    const int32_t *selected; /* in the order of the graph's own selection; NULL where there is none */
    size_t selected_count;
} ls_output_rows;

/* Does this node, of a pass, select rows of a computed tensor? */
bool ls_output_rows_selects(const ls_trace *trace, const ls_node *node);
/* Reads which; the list is allocated in the arena. */
lockstep_status ls_output_rows_read(const ls_trace *trace, const ls_node *node, ls_arena *arena, ls_output_rows *rows, lockstep_error *error);
/* The rows of the pass that a tensor of `count` rows holds: all, the selected ones, or else the last `count` of
 * each sequence. False when none of these is possible. `out` has room for `count`. */
bool ls_output_rows_list(const ls_output_rows *rows, size_t count, uint32_t *out);

#endif
