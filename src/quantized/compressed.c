/* compressed-tensors: integers times a scale for each row or group.
 *   int-quantized   X.weight i8, X.weight_scale, X.weight_zero_point i8
 *   pack-quantized  X.weight_packed i32: codes of 1 to 8 bits, each plus half of the range, as one stream of
 *                   bits a row; X.weight_shape; X.weight_scale; X.weight_zero_point: packed in the same way
 *                   down the rows; X.weight_g_idx: the group of each column */
#include "quantized/scheme_table.h"

static bool is_i8(const ls_module *m) { return m->codes->dtype == LOCKSTEP_I8; }
static bool is_i32(const ls_module *m) { return m->codes->dtype == LOCKSTEP_I32; }

static bool read_order(ls_module *m) {
    const ls_tensor *index = ls_module_find(m, ".weight_g_idx");
    if (index == NULL)
        return true;
    ls_view view;
    double group = 0;
    if (index->elements > 0 && ls_module_view(m, index, &view))
        ls_view_read_f64(&view, 0, 1, &group);
    if (group == -1) /* as the library initializes it: columns are in order */
        return true;
    return ls_module_group_of(m, index, m->grid->columns / m->grid->group_columns + (m->grid->columns % m->grid->group_columns != 0));
}

static bool read_int8(ls_module *m) {
    ls_grid *g = m->grid;
    const ls_tensor *zero = ls_module_find(m, ".weight_zero_point");
    if (!ls_module_shape(m, m->codes, 1, 1) || !ls_module_scales(m, ls_module_find(m, ".weight_scale")))
        return false;
    m->dtype = LOCKSTEP_SCALED_I8;
    g->is_signed = g->is_calibrated = true;
    g->packed = (ls_packed){.bytes = ls_module_bytes(m, m->codes), .bits = 8, .stride = g->columns};
    return g->packed.bytes != NULL && (zero == NULL || ls_module_like_scales(m, zero, &g->zero)) && read_order(m);
}

static const lockstep_dtype types[9] = {[2] = LOCKSTEP_SCALED_I2, [3] = LOCKSTEP_SCALED_I3, [4] = LOCKSTEP_SCALED_I4, [5] = LOCKSTEP_SCALED_I5,
                                        [6] = LOCKSTEP_SCALED_I6, [8] = LOCKSTEP_SCALED_I8};

static uint64_t words_of(uint64_t codes, unsigned bits) { return codes / 32 * bits + (codes % 32 * bits + 31) / 32; }

/* The number of bits under which `columns` codes take this many words: as configured, or the only one. */
static unsigned bits_of(const ls_module *m, uint64_t columns, uint64_t words) {
    const char *name;
    json_t *group;
    unsigned fits = 0, count = 0;
    json_object_foreach(json_object_get(m->config, "config_groups"), name, group) {
        long long bits = json_integer_value(json_object_get(json_object_get(group, "weights"), "num_bits"));
        if (bits >= 2 && bits <= 8 && types[bits] != LOCKSTEP_OPAQUE && words_of(columns, (unsigned)bits) == words)
            return (unsigned)bits;
    }
    for (unsigned bits = 2; bits <= 8; bits++)
        if (types[bits] != LOCKSTEP_OPAQUE && words_of(columns, bits) == words)
            fits = bits, count++;
    return count == 1 ? fits : 0;
}

static bool read_packed_shape(ls_module *m, uint64_t *out_columns) {
    const ls_tensor *shape = ls_module_find(m, ".weight_shape");
    int64_t axes[LOCKSTEP_MAX_RANK];
    ls_view view;
    if (shape == NULL)
        return ls_module_fail(m, "tensor '%s.weight_shape' is missing", m->stem);
    if (shape->dtype != LOCKSTEP_I64 || shape->rank != 1 || shape->shape[0] != (uint64_t)m->codes->rank || m->codes->rank < 2)
        return ls_module_fail_shape(m, shape, "a 64-bit integer for each axis");
    if (!ls_module_view(m, shape, &view))
        return false;
    ls_view_read_raw(&view, 0, (size_t)m->codes->rank, axes);
    for (int i = 0; i < m->codes->rank - 1; i++)
        if (axes[i] < 0 || (uint64_t)axes[i] != m->codes->shape[i])
            return ls_module_fail(m, "tensor '%s': found %lld as axis %d, expected the codes' %llu", shape->name, (long long)axes[i], i, (unsigned long long)m->codes->shape[i]);
    *out_columns = axes[m->codes->rank - 1] > 0 ? (uint64_t)axes[m->codes->rank - 1] : 0;
    return *out_columns > 0 && *out_columns <= m->codes->elements * 16 ? true : ls_module_fail(m, "tensor '%s': found %lld columns", shape->name, (long long)axes[m->codes->rank - 1]);
}

static bool read_packed_zero(ls_module *m) {
    ls_grid *g = m->grid;
    const ls_tensor *zero = ls_module_find(m, ".weight_zero_point");
    const uint64_t groups = g->scale.row_step == 0 ? 1 : g->columns / g->group_columns + (g->columns % g->group_columns != 0);
    g->zero_point = zero == NULL ? (float)(1u << (g->packed.bits - 1)) : 0;
    if (zero == NULL)
        return true;
    if (m->rank != 2 || zero->dtype != LOCKSTEP_I32 || zero->rank != 2 || zero->shape[0] != words_of(g->rows, g->packed.bits) || zero->shape[1] != groups)
        return ls_module_fail_shape(m, zero, "a code for each scale, packed down the rows");
    g->packed_zero = (ls_packed){.bytes = ls_module_bytes(m, zero), .packing = LS_DOWN_COLUMNS, .bits = g->packed.bits, .stride = groups};
    g->zero_by_group = true;
    return g->packed_zero.bytes != NULL;
}

static bool read_packed(ls_module *m) {
    ls_grid *g = m->grid;
    uint64_t columns = 0;
    if (!read_packed_shape(m, &columns) || !ls_module_shape(m, m->codes, 1, 1))
        return false;
    const uint64_t words = m->codes->shape[m->codes->rank - 1];
    const unsigned bits = bits_of(m, columns, words);
    if (bits == 0)
        return ls_module_fail_shape(m, m->codes, "words that hold the columns of weight_shape");
    m->shape[m->rank - 1] = g->columns = columns;
    m->dtype = types[bits];
    g->is_calibrated = true;
    g->packed = (ls_packed){.bytes = ls_module_bytes(m, m->codes), .bits = bits, .stride = words * 4};
    return g->packed.bytes != NULL && ls_module_scales(m, ls_module_find(m, ".weight_scale")) && read_packed_zero(m) && read_order(m);
}

const ls_scheme ls_scheme_int8 = {"compressed-tensors, int8", ".weight", ".weight_scale", ".weight", " - compressed-tensors ", is_i8, read_int8};
const ls_scheme ls_scheme_packed = {"compressed-tensors, packed", ".weight_packed", ".weight_scale", ".weight", " - compressed-tensors ", is_i32, read_packed};
