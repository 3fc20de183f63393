/* GPTQ: the weight is [outputs, inputs].
 *   X.qweight i32 [inputs * bits / 32, outputs]: the codes of a column of words are one stream of bits
 *   X.scales [groups, outputs]; X.qzeros i32 [groups, outputs * bits / 32]: zero points, one less than they are
 *       unless checkpoint_format is gptq_v2
 *   X.g_idx i32 [inputs]: the group of each input; in order where it is missing */
#include "quantized/scheme_table.h"
#include <string.h>

static bool is_gptq(const ls_module *m) {
    const ls_tensor *scales = ls_module_find(m, ".scales");
    return m->codes->dtype == LOCKSTEP_I32 && m->codes->rank == 2 && (scales == NULL || (scales->rank == 2 && m->codes->shape[1] == scales->shape[1]));
}

static lockstep_dtype type_of(unsigned bits) {
    return bits == 2 ? LOCKSTEP_SCALED_I2 : bits == 3 ? LOCKSTEP_SCALED_I3 : bits == 4 ? LOCKSTEP_SCALED_I4 : LOCKSTEP_SCALED_I8;
}

/* From the shape of the zero points: outputs * bits / 32 words. */
static unsigned bits_of(const ls_module *m, const ls_tensor *zeros, uint64_t outputs) {
    static const unsigned known[] = {2, 3, 4, 8};
    long long given = ls_module_integer(m, "bits", 0);
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (outputs / 32 * known[i] + outputs % 32 * known[i] / 32 == zeros->shape[1] && outputs * known[i] % 32 == 0)
            return given == 0 || given == known[i] ? known[i] : 0;
    return 0;
}

static bool set_zeros(ls_module *m, const ls_tensor *zeros) {
    const char *format = json_string_value(json_object_get(m->config, "checkpoint_format"));
    m->grid->packed_zero = (ls_packed){.bytes = ls_module_bytes(m, zeros), .bits = m->grid->packed.bits, .stride = zeros->shape[1] * 4};
    m->grid->zero_by_group = true;
    m->grid->zero_point = format != NULL && strcmp(format, "gptq_v2") == 0 ? 0 : 1;
    return m->grid->packed_zero.bytes != NULL;
}

/* packed_zero has a row for each group, the grid a column of words for each output. */
static bool set_codes(ls_module *m, unsigned bits, uint64_t outputs) {
    ls_grid *g = m->grid;
    m->rank = 2;
    m->dtype = type_of(bits);
    m->shape[0] = g->rows = g->batch_rows = g->scale_rows = outputs;
    m->shape[1] = g->columns = m->codes->shape[0] * 32 / bits;
    g->group_rows = 1;
    g->is_calibrated = true;
    g->packed = (ls_packed){.bytes = ls_module_bytes(m, m->codes), .packing = LS_DOWN_COLUMNS, .bits = bits, .stride = outputs};
    return g->packed.bytes != NULL;
}

static bool set_scales(ls_module *m, const ls_tensor *scales) {
    ls_grid *g = m->grid;
    const uint64_t groups = scales->shape[0];
    const long long given = ls_module_integer(m, "group_size", 0);
    g->group_columns = given > 0 ? (uint64_t)given : groups > 0 ? g->columns / groups + (g->columns % groups != 0) : 0;
    if (g->group_columns == 0 || g->columns / g->group_columns + (g->columns % g->group_columns != 0) != groups || !ls_dtype(scales->dtype)->is_float)
        return ls_module_fail_shape(m, scales, "one for each group of inputs");
    g->scale.row_step = 1;
    g->scale.group_step = scales->shape[1];
    g->scale_factor = 1;
    g->scale_error = ls_scale_error(scales->dtype);
    return ls_module_view(m, scales, &g->scale.view);
}

static bool read_gptq(ls_module *m) {
    const ls_tensor *scales = ls_module_find(m, ".scales"), *zeros = ls_module_find(m, ".qzeros"), *order = ls_module_find(m, ".g_idx");
    if (zeros == NULL)
        return ls_module_fail(m, "tensor '%s.qzeros' is missing", m->stem);
    if (zeros->dtype != LOCKSTEP_I32 || zeros->rank != 2 || zeros->shape[0] != scales->shape[0])
        return ls_module_fail_shape(m, zeros, "packed zero points for each group");
    const unsigned bits = bits_of(m, zeros, scales->shape[1]);
    if (bits == 0 || m->codes->elements == 0 || m->codes->shape[0] > UINT64_MAX / 32 || m->codes->shape[0] * 32 % bits != 0)
        return ls_module_fail_shape(m, zeros, "as many bits as the codes have (2, 3, 4 or 8)");
    return set_codes(m, bits, scales->shape[1]) && set_scales(m, scales) && set_zeros(m, zeros) &&
           (order == NULL || ls_module_group_of(m, order, scales->shape[0]));
}

const ls_scheme ls_scheme_gptq = {"gptq", ".qweight", ".scales", ".weight", " - gptq ", is_gptq, read_gptq};
