#include "match/precision.h"

#include <math.h>
#include <string.h>
#include <strings.h>

#include "compare/tolerance.h"

/* Back ends are named with these prefixes in ggml ("CUDA0", "ROCm1", "MTL0") and in PyTorch ("cuda:0"). A
 * buffer of "CUDA_Host" belongs to the CPU. */
static bool is_gpu(const char *backend) {
    static const char *const names[] = {"CUDA", "ROCm", "MUSA", "Vulkan", "Metal", "MTL", "MPS", "SYCL", "OpenCL", "GPUOpenCL", "CANN", "WebGPU", "Kompute", "XPU"};
    size_t length = backend != NULL ? strlen(backend) : 0;
    if (length > 5 && strcmp(backend + length - 5, "_Host") == 0)
        return false;
    for (size_t i = 0; length > 0 && i < sizeof names / sizeof names[0]; i++)
        if (strncasecmp(backend, names[i], strlen(names[i])) == 0)
            return true;
    return false;
}

static bool is_computed(const ls_node *n) { return n->role == LOCKSTEP_ROLE_COMPUTED || n->role == LOCKSTEP_ROLE_WRITE; }

/* ggml's CPU kernels look some functions up in a table. A module of PyTorch may be called GELU, too. */
static bool is_looked_up(const ls_trace *t, const ls_node *n) {
    return n->kind->precision == LS_OP_F16_TABLE && !t->is_torch && ls_op_is_of_ggml(n->kind, n->op);
}

/* Adds what the node's own operation does to the precision of its sources. */
static void add_own(const ls_trace *t, size_t at, ls_precision *into) {
    const ls_node *n = &t->nodes[at];
    bool gpu = is_computed(n) && is_gpu(n->backend), looked_up = !gpu && is_looked_up(t, n);
    int level = gpu ? LS_PRECISION_GPU : looked_up ? LS_PRECISION_GELU_TABLE : LS_PRECISION_F32;
    into->lookups += looked_up;
    if (into->level < level) {
        into->level = level;
        into->from = at;
    }
}

void ls_precision_spread(const ls_trace *t, size_t from, ls_precision *all) {
    for (size_t i = from; i < t->node_count; i++) {
        const ls_node *n = &t->nodes[i];
        ls_precision own = {ls_precision_of_type(n->dtype), 0, i};
        for (size_t k = 0; k <= n->source_count; k++) {
            size_t source = k < n->source_count ? n->sources[k] : n->alias_of;
            if (source == LS_NONE || (t->nodes[source].role == LOCKSTEP_ROLE_INPUT && t->nodes[source].source_count == 0))
                continue; /* some kernels take masks as f16, which are exact */
            if (all[source].level > own.level) {
                own.level = all[source].level;
                own.from = all[source].from;
            }
            own.lookups = all[source].lookups > own.lookups ? all[source].lookups : own.lookups;
        }
        add_own(t, i, &own);
        all[i] = own;
    }
}

double ls_precision_tolerance(const ls_precision *a, const ls_precision *b, int *out_level) {
    unsigned lookups = a->lookups > b->lookups ? a->lookups : b->lookups;
    int level = *out_level = a->level > b->level ? a->level : b->level;
    /* one independent error in each layer: they add in quadrature */
    double looked_up = level < LS_PRECISION_F16 ? ls_precision_classes[LS_PRECISION_GELU_TABLE].rel_l2 * sqrt(lookups) : 0;
    return fmax(ls_precision_classes[level].rel_l2, looked_up);
}
