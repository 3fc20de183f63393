/* How far a kernel's result may be from the same operation in double precision. */
#ifndef LS_VERIFY_BOUNDS_H
#define LS_VERIFY_BOUNDS_H

#include "trace/trace.h"

/* The type of the operand that decides: a product's weight, an attention's keys, else the first. */
const char *ls_bound_type(const ls_trace *trace, const ls_node *node);
/* Relative L2 that any correct kernel stays below. */
double ls_bound_of(const ls_trace *trace, const ls_node *node);
/* Below this, a kernel is as good as its siblings, however exact these are: on a GPU, the kernels of one operation multiply in
 * different types, depending on the shapes; of one row, in f32. */
double ls_bound_of_siblings(const ls_node *node, bool one_row, double bound);
/* Whether a product of f32 with this error was multiplied in TF32, f16 or bf16. */
bool ls_bound_is_reduced(const ls_trace *trace, const ls_node *node, double error);

#endif
