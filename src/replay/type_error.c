/* How far the types in which the two sides compute let a result be from the reference's tensor. */
#include <math.h>
#include <string.h>

#include "replay/replayer.h"
#include "tensor/dtype.h"
#include "tensor/rounding.h"

static const double half = 5e-4, brain = 4e-3; /* the rounding to f16, to which TF32 rounds, too, and to bf16, in a few operations */

/* PyTorch's products of f32, where the program allowed another type. */
static double error_of_torch(const ls_node *n) {
    const char *type = ls_node_text(n, "fp32_precision");
    return type == NULL || strcmp(type, "ieee") == 0 ? 0 : strcmp(type, "bf16") == 0 ? brain : half;
}

/* What an engine's kernels add to an operation's result where they don't compute in f32: ggml's products on a GPU, of f16, and of
 * quantized weights, whose activations are quantized, too; functions that are looked up in a table of f16; fused attention. */
static double error_of_engine(const ls_trace *t, const ls_node *n) {
    const double quantized = 1e-2;
    lockstep_dtype type;
    if (!ls_op_is_of_ggml(n->kind, n->op))
        return error_of_torch(n);
    const bool gpu = n->backend != NULL && strncmp(n->backend, "CPU", 3) != 0;
    const ls_node *weight = n->kind->role == LS_OP_ROLE_PRODUCT && n->operand_count > 0 && n->operands[0] != LS_NONE ? &t->nodes[n->operands[0]] : NULL;
    const bool rounded = weight != NULL && ls_dtype_find(weight->dtype, &type) && ls_rounding_is_lossy(type);
    if (rounded && ls_dtype(type)->block_elements > 1)
        return quantized;
    return rounded || (gpu && weight != NULL) || n->kind->precision == LS_OP_F16_TABLE || n->kind->role == LS_OP_ROLE_ATTENTION ? half : 0;
}

static double error_of_kernels(const ls_trace *t) {
    double largest = 0;
    for (size_t i = 0; i < t->node_count; i++)
        largest = fmax(largest, error_of_engine(t, &t->nodes[i]));
    return largest;
}

/* Whether more than a tenth of the values that the reference has computed are of a type: all of them are rounded then. */
static bool computes_in(const ls_replayer *w, const char *dtype) {
    const ls_trace *r = w->partners.trace;
    size_t all = 0, of_type = 0;
    for (size_t i = 0; i < r->node_count; i++) {
        all += w->partners.is_value[i];
        of_type += w->partners.is_value[i] && strcmp(r->nodes[i].dtype, dtype) == 0;
    }
    return 10 * of_type > all;
}

/* Whether a candidate of PyTorch has a weight of a type. */
static bool has_weights_in(const ls_replayer *w, const char *dtype) {
    const ls_trace *c = w->candidate;
    bool any = false;
    for (size_t i = 0; c->is_torch && i < c->node_count && !any; i++)
        any = c->nodes[i].role == LOCKSTEP_ROLE_WEIGHT && strcmp(c->nodes[i].dtype, dtype) == 0;
    return any;
}

static const struct {
    const char *dtype;
    double error;
} types[] = {{"bf16", brain}, {"f16", half}}; /* of weights that were rounded to the type, too */
enum { TYPES = sizeof types / sizeof *types };

ls_type_error ls_replayer_type_error(const ls_replayer *w) {
    ls_type_error e = {.kernels = error_of_kernels(w->partners.trace)};
    for (size_t k = TYPES; k-- > 0;) {
        if (computes_in(w, types[k].dtype)) {
            e.reference = types[k].error;
            e.reference_type = types[k].dtype;
        }
        e.weights = has_weights_in(w, types[k].dtype) ? types[k].error : e.weights;
    }
    e.most = fmax(e.reference, fmax(e.weights, e.kernels));
    return e;
}

static double error_of_dtype(const char *dtype) {
    for (size_t k = 0; k < TYPES; k++)
        if (strcmp(dtype, types[k].dtype) == 0)
            return types[k].error;
    return 0;
}

/* The same for a weight, or what the program has made of one before, in a type; 0 for others. What ggml reads as a weight is bounded
 * with its own values (weight_rounding.c), but for copies of one. */
static double error_of_weight(const ls_replayer *w, size_t operand) {
    enum { DEEPEST = 16 };
    const ls_node *nodes = w->candidate->nodes;
    size_t at = operand;
    bool counts = w->candidate->is_torch;
    for (int depth = 0; at != LS_NONE && depth < DEEPEST; depth++) {
        const bool copies = nodes[at].kind->role == LS_OP_ROLE_COPY && !w->candidate->is_torch;
        if (nodes[at].role != LOCKSTEP_ROLE_VIEW && !copies)
            break;
        counts = counts || copies;
        at = nodes[at].view_of != LS_NONE ? nodes[at].view_of : nodes[at].source_count > 0 ? nodes[at].sources[0] : LS_NONE;
    }
    if (!counts)
        return 0;
    if (at == LS_NONE || (nodes[at].role != LOCKSTEP_ROLE_WEIGHT && nodes[at].role != LOCKSTEP_ROLE_INPUT))
        return 0;
    return error_of_dtype(nodes[at].dtype);
}

/* What an operation's own weights, and the reference's kernels for such operations, add. */
double ls_replayer_own_type_error(const ls_replayer *w, size_t node) {
    const ls_node *n = &w->candidate->nodes[node];
    const ls_op_role role = n->kind->role;
    const bool multiplies = role == LS_OP_ROLE_PRODUCT || role == LS_OP_ROLE_CONVOLUTION || role == LS_OP_ROLE_ATTENTION || n->kind->precision == LS_OP_F16_TABLE;
    double error = fmax(multiplies ? w->types.kernels : 0, w->candidate->is_torch ? 0 : error_of_dtype(n->dtype)); /* of what it multiplies, or of its result */
    for (size_t i = 0; i < n->operand_count; i++)
        error = fmax(error, error_of_weight(w, n->operands[i]));
    return error;
}

double ls_replayer_type_error_of(const ls_replayer *w, size_t node) {
    enum { REGION = 64 };
    size_t region[REGION];
    double error = fmax(w->types.reference, ls_replayer_own_type_error(w, node));
    if (w->partners.is_set)
        return w->type_error;
    for (size_t i = error < w->type_error ? ls_replayer_region(w, node, region, REGION) : 0; i > 0; i--)
        error = fmax(error, ls_replayer_own_type_error(w, region[i - 1]));
    return error;
}
