#include "verify/bounds.h"

#include <math.h>

#include "eval/sampling.h"
#include "tensor/dtype.h"
#include "tensor/rounding.h"

/* By the type of a product's weight, and of the result. Measured on ggml's CPU kernels: products of f32 up to 2e-7, of f16 4e-4, of quantized weights 1.4e-2 (activations
 * are quantized, too); norms, softmax, RoPE and SwiGLU below 3e-7; GELU by a table of f16 3e-4; attention of f16 keys
 * 6e-4 for a few keys, and 2.8e-3 for 256 and one query, because it is summed up in f16. On GPUs, TF32 products up to 8e-4; where
 * Vulkan sums up in f16, 3.3e-5 times the root of the number of terms with cooperative matrices, and 9.4e-5 without. On PyTorch's CPU kernels: products and attention of f32
 * up to 3e-7, all else below 1e-7; in f16 and bf16, half of the type's last place. */
static const struct {
    const char *type;
    double product, result;
} types[] = {{"f64", 1e-6, 0}, {"f32", 1e-6, 0}, {"tf32", 2e-3, 0}, {"f16", 1e-3, 1e-3}, {"bf16", 8e-3, 8e-3}};
enum { TYPES = sizeof types / sizeof types[0] };

#define QUANTIZED 3e-2
#define CACHED 6 /* times the rounding of the type in which a cache holds what is written to it; measured 5 */
#define TABLE 1e-3
#define ATTENTION 2e-3
#define ATTENTION_KEY 0x1p-11
#define ROUNDED 1e-6
#define EXACT 1e-7
#define SIBLINGS 1e-6
#define GPU_PRODUCT 2e-3
#define GPU_TERM 0x1p-12
#define GPU_ROUNDED 1e-5
/* ggml's GPU kernels for few rows multiply the offset of these types' blocks with the sum of the block's activations, and not of what these are
 * rounded to, so that the rounding of the activations counts more than twice. Measured on CUDA: 5.6e-2. */
#define GPU_OFFSET 1e-1
enum { FEW_ROWS = 8 };
static const char *const with_offset[] = {"q4_0", "q4_1", "q5_0", "q5_1", NULL};
#define ANGLE 4e-8 /* for each position: angles, and the powers of the base that they are multiples of, are rounded to f32; measured 8e-9 */

static double by_type(const char *type, bool product) {
    for (size_t i = 0; i < TYPES; i++)
        if (strcmp(types[i].type, type) == 0)
            return product ? types[i].product : types[i].result;
    return QUANTIZED;
}

static bool is_gpu(const ls_node *n) { return n->backend != NULL && strncmp(n->backend, "CPU", 3) != 0 && strncmp(n->backend, "cpu", 3) != 0; }

static bool reads_keys(const ls_node *n) { return n->kind->role == LS_OP_ROLE_ATTENTION || n->kind->id == LS_OP_LIGHTNING_INDEXER; }

/* In which type PyTorch was allowed to multiply f32 values; NULL where that was not recorded. */
static const char *multiplied_in(const ls_node *n) { return n->dialect == LS_DIALECT_ATEN ? ls_node_text(n, "fp32_precision") : NULL; }

static bool is_f32(const char *declared) { return declared != NULL && strcmp(declared, "ieee") == 0; }

const char *ls_bound_type(const ls_trace *t, const ls_node *n) {
    const size_t slot = reads_keys(n) ? 1 : 0;
    const char *declared = multiplied_in(n);
    if (declared != NULL && !is_f32(declared))
        return declared;
    return n->operand_count > slot && n->operands[slot] != LS_NONE ? t->nodes[n->operands[slot]].dtype : n->dtype;
}

/* Of a result with a row for each token, or one for each of its experts. */
static uint64_t tokens_of(const ls_node *n) {
    uint64_t of_token = 1;
    for (int axis = n->rank - 1; axis >= 0 && axis >= n->rank - (n->rank > 2 ? 2 : 1); axis--)
        of_token *= n->shape[axis];
    return of_token > 0 ? n->elements / of_token : 0;
}

static bool has_offset(const char *type) {
    const char *const *known = with_offset;
    while (*known != NULL && strcmp(*known, type) != 0)
        known++;
    return *known != NULL;
}

/* Of a product: GPUs multiply in TF32 or f16, and some sum up in f16, too. */
static double by_gpu(const ls_trace *t, const ls_node *n) {
    if (!is_gpu(n))
        return 0;
    if (n->dialect == LS_DIALECT_GGML && has_offset(ls_bound_type(t, n)) && tokens_of(n) <= FEW_ROWS)
        return GPU_OFFSET;
    if (n->dialect == LS_DIALECT_ATEN)
        return is_f32(multiplied_in(n)) ? GPU_ROUNDED : GPU_PRODUCT;
    return fmax(GPU_PRODUCT, GPU_TERM * sqrt(ls_eval_cost(t, n) / fmax(1, (double)n->elements)));
}

static bool is_of_cache(const ls_trace *t, size_t node) {
    enum { DEEPEST = 8 };
    for (int depth = 0; depth < DEEPEST && node != LS_NONE && t->nodes[node].role != LOCKSTEP_ROLE_STATE; depth++)
        node = t->nodes[node].view_of;
    return node != LS_NONE && t->nodes[node].role == LOCKSTEP_ROLE_STATE;
}

/* What is read from a cache is known as it was written, and not as the cache's type rounds it. */
static double by_cache(const ls_trace *t, const ls_node *n) {
    double largest = 0;
    lockstep_dtype type;
    for (size_t i = 0; i < n->operand_count; i++)
        if (n->operands[i] != LS_NONE && is_of_cache(t, n->operands[i]) && ls_dtype_find(t->nodes[n->operands[i]].dtype, &type))
            largest = fmax(largest, CACHED * ls_rounding_of_blocks(type));
    return largest;
}

/* The highest position of a node's pass, as a power of two, so that passes of a run have few different bounds; 0 where unknown. */
static double highest_position(const ls_trace *t, const ls_node *n) {
    const ls_pass *pass = n->pass != LS_NONE ? &t->passes[n->pass] : NULL;
    int32_t highest = 0;
    for (size_t i = 0; pass != NULL && pass->positions != NULL && i < pass->rows; i++)
        highest = pass->positions[i] > highest ? pass->positions[i] : highest;
    return highest > 0 ? exp2(ceil(log2(highest))) : 0;
}

static double by_operation(const ls_trace *t, const ls_node *n, const char *type) {
    if (n->kind->id == LS_OP_LIGHTNING_INDEXER)
        return fmax(by_type(type, true), by_gpu(t, n));
    switch ((int)n->kind->role) {
    case LS_OP_ROLE_PRODUCT:
    case LS_OP_ROLE_CONVOLUTION:
        return fmax(by_type(type, true), by_gpu(t, n));
    case LS_OP_ROLE_ATTENTION:
        if (n->dialect == LS_DIALECT_ATEN)
            return fmax(by_type(type, true), by_gpu(t, n));
        return fmax(by_type(type, true), fmax(ATTENTION, ATTENTION_KEY * sqrt(ls_eval_keys(t, n))));
    case LS_OP_ROLE_VIEW:
    case LS_OP_ROLE_COPY:
    case LS_OP_ROLE_SELECTION:
    case LS_OP_ROLE_JOIN:
    case LS_OP_ROLE_ORDER:
    case LS_OP_ROLE_MASKING:
        return EXACT;
    default:
        return fmax(n->kind->precision == LS_OP_F16_TABLE && n->dialect == LS_DIALECT_GGML ? TABLE : ROUNDED, is_gpu(n) ? GPU_ROUNDED : 0) +
               (n->kind->traits & LS_OP_ANGULAR ? ANGLE * highest_position(t, n) : 0);
    }
}

double ls_bound_of(const ls_trace *t, const ls_node *n) {
    const bool integer = ls_node_is_integer(n);
    return fmax(by_operation(t, n, ls_bound_type(t, n)), by_cache(t, n)) + (integer ? 0 : by_type(n->dtype, false));
}

double ls_bound_of_siblings(const ls_node *n, bool one_row, double bound) {
    const char *declared = multiplied_in(n);
    const bool varies = declared != NULL ? !is_f32(declared) : is_gpu(n) && !one_row;
    if (bound == GPU_OFFSET)
        return bound;
    return varies && (n->kind->traits & LS_OP_MULTIPLIES) ? bound / 2 : SIBLINGS;
}

bool ls_bound_is_reduced(const ls_trace *t, const ls_node *n, double error) {
    const char *declared = multiplied_in(n);
    const bool may = declared != NULL ? !is_f32(declared) : is_gpu(n);
    const size_t weight = n->dialect == LS_DIALECT_ATEN && n->operand_count > 1 ? n->operands[1] : n->operand_count > 0 ? n->operands[0] : LS_NONE;
    return may && (n->kind->traits & LS_OP_MULTIPLIES) && error > GPU_ROUNDED && weight != LS_NONE && strcmp(t->nodes[weight].dtype, "f32") == 0;
}
