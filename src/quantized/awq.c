/* AWQ in the order "gemm": 4 bits; the weight is [outputs, inputs].
 *   X.qweight i32 [inputs, outputs / 8], X.qzeros i32 [groups, outputs / 8], X.scales [groups, outputs] */
#include "quantized/scheme_table.h"
#include <strings.h>

static bool is_awq(const ls_module *m) {
    const ls_tensor *scales = ls_module_find(m, ".scales");
    return m->codes->dtype == LOCKSTEP_I32 && m->codes->rank == 2 && (scales == NULL || (scales->rank == 2 && m->codes->shape[1] != scales->shape[1]));
}

static bool is_gemm(const ls_module *m) {
    const char *version = json_string_value(json_object_get(m->config, "version"));
    return (version == NULL || strcasecmp(version, "gemm") == 0) && ls_module_integer(m, "bits", 4) == 4;
}

static bool set_grid(ls_module *m, const ls_tensor *scales, const ls_tensor *zeros) {
    ls_grid *g = m->grid;
    m->rank = 2;
    m->dtype = LOCKSTEP_SCALED_I4;
    m->shape[0] = g->rows = g->batch_rows = g->scale_rows = scales->shape[1];
    m->shape[1] = g->columns = m->codes->shape[0];
    g->group_rows = 1;
    g->is_calibrated = true;
    g->group_columns = g->columns / scales->shape[0];
    g->scale.row_step = 1;
    g->scale.group_step = scales->shape[1];
    g->scale_factor = 1;
    g->scale_error = ls_scale_error(scales->dtype);
    g->packed = (ls_packed){.bytes = ls_module_bytes(m, m->codes), .packing = LS_INTERLEAVED, .bits = 4, .stride = m->codes->shape[1]};
    g->packed_zero = (ls_packed){.bytes = ls_module_bytes(m, zeros), .packing = LS_INTERLEAVED, .bits = 4, .stride = zeros->shape[1]};
    return g->packed.bytes != NULL && g->packed_zero.bytes != NULL && ls_module_view(m, scales, &g->scale.view);
}

static bool read_awq(ls_module *m) {
    const ls_tensor *scales = ls_module_find(m, ".scales"), *zeros = ls_module_find(m, ".qzeros");
    if (scales == NULL)
        return ls_module_fail(m, "tensor '%s.scales' is missing", m->stem);
    if (!is_gemm(m))
        return ls_module_fail(m, "tensor '%s': only 4 bits in the order \"gemm\" can be read", m->codes->name);
    if (scales->shape[0] == 0 || m->codes->elements == 0 || m->codes->shape[0] % scales->shape[0] != 0 || m->codes->shape[1] != scales->shape[1] / 8 ||
        scales->shape[1] % 8 != 0 || !ls_dtype(scales->dtype)->is_float)
        return ls_module_fail_shape(m, scales, "one for each group of inputs");
    if (zeros->dtype != LOCKSTEP_I32 || zeros->rank != 2 || zeros->shape[0] != scales->shape[0] || zeros->shape[1] != m->codes->shape[1])
        return ls_module_fail_shape(m, zeros, "a zero point for each scale");
    return set_grid(m, scales, zeros);
}

const ls_scheme ls_scheme_awq = {"awq", ".qweight", ".qzeros", ".weight", " - awq ", is_awq, read_awq};
