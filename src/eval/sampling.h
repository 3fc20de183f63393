/* What operations cost, and how many of their rows are cheap enough. */
#ifndef LS_EVAL_SAMPLING_H
#define LS_EVAL_SAMPLING_H

#include "trace/trace.h"

/* Rows of a result, each of one token: kernels treat a single one in another way. */
uint64_t ls_eval_rows(const ls_node *node);
/* Keys of an attention. */
double ls_eval_keys(const ls_trace *trace, const ls_node *node);
/* Multiplications of a product, a convolution or an attention; 0 for anything else. */
double ls_eval_cost(const ls_trace *trace, const ls_node *node);
/* LOCKSTEP_ROWS in the environment: so many rows of every operation are enough, however cheap it is; 0 if it is not set. */
uint64_t ls_eval_rows_forced(void);
#define LS_EVAL_COST_MAX 0x1p27 /* multiplications */
/* Every how many rows it is computed: as many rows as are cheap enough, but at least 32. What eval/some_rows.h chooses rows of: 1. */
uint64_t ls_eval_every(const ls_trace *trace, const ls_node *node);

#endif
