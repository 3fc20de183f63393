/* Operations in double precision: what an operation should give for these operands, as ggml or ATen defines it. A
 * family of operations is a file, and an operation a row of eval_table.h or aten_table.h. */
#ifndef LS_EVAL_EVAL_H
#define LS_EVAL_EVAL_H

#include "trace/trace.h"

enum { LS_EVAL_OPERANDS = 64, LS_EVAL_AXES = 4 /* of ggml's tensors */ };

/* Elements in row-major order, outermost axis first. */
typedef struct ls_array {
    int rank;
    uint64_t shape[LOCKSTEP_MAX_RANK], elements;
    bool is_flags; /* true and false */
    double *values;
    ls_view stored; /* a large weight as it is in its file, borrowed, where `values` is NULL: what reads it decodes it in parts */
} ls_array;

/* Frees the values. */
void ls_array_release(ls_array *array);

typedef struct ls_evaluation {
    const ls_node *node;                        /* the operation: its parameters, and its result's shape */
    const ls_array *operands[LS_EVAL_OPERANDS]; /* NULL for an empty slot */
    uint64_t every;                             /* of a product: 1 computes all rows, n every n-th one, among them the last; the others are NaN */
    bool is_rough;                              /* products with weights that are rounded far more coarsely may be summed in single precision */
    double *out;                                /* room for the result's elements */
    double *scale; /* room for as many: what each element's rounding errors are relative to, where terms cancel */
    const char *reason;                         /* set on failure */
} ls_evaluation;

/* Fails, with a reason, for an operation, parameters or shapes that are not covered. */
bool ls_eval(ls_evaluation *evaluation);
/* Whether there is a row for the operation. */
bool ls_eval_covers(const ls_node *node);
/* Whether the operation takes an operand that is stored. */
bool ls_eval_takes_stored(const ls_node *node, size_t slot);

/* a [m, k] times b [n, k] -> [n, m], on all cores. False if out of memory. */
bool ls_multiply(const double *a, const double *b, uint64_t m, uint64_t n, uint64_t k, double *out);

/* For the families. */

/* Rows [first, first + n) of a result that has `rows`: b [n, k] times a [m, k]. Those that aren't wanted are NaN. */
bool ls_eval_multiply(ls_evaluation *evaluation, const double *a, const double *b, uint64_t first, uint64_t n, uint64_t rows, uint64_t m, uint64_t k);
/* Sets the elements of a softmax's result to 0 that its mask leaves out, and that are not known. */
void ls_eval_mask_out(const ls_node *softmax, const ls_array *mask, double *values);
/* Attention's sums of values [keys, width]: `scores` before a mask is added, `weights` after the softmax. `scale` as in ls_evaluation: of the terms, and
 * of what rounding of the scores makes of them. */
void ls_eval_add_values(const double *v, uint64_t keys, uint64_t width, const double *scores, const double *weights, double *out, double *scale);
/* Normalizes a row, as NORM, RMS_NORM or another norm; `scale` as in ls_evaluation. */
void ls_eval_normalize(const ls_op *op, const double *x, uint64_t n, double eps, double *out, double *scale);
/* The places of the elements, in the order of their values, which are multiplied by `sign`. */
void ls_eval_sort(const double *values, uint64_t n, double sign, double *out);
/* Sets the reason. Always false. */
bool ls_eval_refuse(ls_evaluation *evaluation, const char *reason);
/* Refuses operands whose shapes don't fit. Always false. */
bool ls_eval_misfit(ls_evaluation *evaluation);
/* A parameter of the operation; `otherwise` where it was not recorded (zeros are not). */
double ls_eval_parameter(const ls_evaluation *evaluation, const char *key, double otherwise);
/* An integer parameter, 0 where it was not recorded. Refuses one outside of [least, most]. */
bool ls_eval_integer(ls_evaluation *evaluation, const char *key, int64_t least, int64_t most, int64_t *out);
/* Whether the first `count` operands are there. */
bool ls_eval_has(ls_evaluation *evaluation, int count);
/* Whether a row of `rows` is computed. */
bool ls_eval_wants(const ls_evaluation *evaluation, uint64_t row, uint64_t rows);
/* Whether so many multiplications, of all rows, take minutes at most. Refuses more. */
bool ls_eval_affords(ls_evaluation *evaluation, double multiplications);
/* The size of an axis counted from the innermost, 0; 1 beyond the rank. */
uint64_t ls_array_size(const ls_array *array, int axis);
/* The result's, likewise. */
uint64_t ls_eval_size(const ls_evaluation *evaluation, int axis);
/* Whether the axes have these sizes, the innermost first, and there are no others. */
bool ls_array_is(const ls_array *array, uint64_t n0, uint64_t n1, uint64_t n2, uint64_t n3);
/* Whether the result has this shape, likewise. */
bool ls_eval_gives(const ls_evaluation *evaluation, uint64_t n0, uint64_t n1, uint64_t n2, uint64_t n3);
/* The place of an element of the result along each axis, the innermost first. */
void ls_eval_place(const ls_evaluation *evaluation, uint64_t index, uint64_t out_at[LS_EVAL_AXES]);
/* `count` elements from `at` on, which lie in the array; `buffer` has room for them, and is used where they are decoded. */
const double *ls_array_part(const ls_array *array, uint64_t at, uint64_t count, double *buffer);
/* Whether all of the numbers are NaN: nothing is known of a row. */
bool ls_are_unknown(const double *values, uint64_t count);
/* The index of the element at a place, which must be inside. */
uint64_t ls_array_index(const ls_array *array, const uint64_t at[LS_EVAL_AXES]);

#define LS_EVAL_ROW(op, function) bool function(ls_evaluation *evaluation);
#include "eval/eval_table.h"
#undef LS_EVAL_ROW
#define LS_ATEN_ROW(op, function) bool function(ls_evaluation *evaluation);
#include "eval/aten_table.h"
#undef LS_ATEN_ROW

#endif
