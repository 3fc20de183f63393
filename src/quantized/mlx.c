/* MLX, affine: X.weight u32 [.., rows, columns * bits / 32], a stream of bits a row; X.scales and X.biases
 * [.., rows, groups]: code * scale + bias. */
#include "quantized/scheme_table.h"

static bool is_u32(const ls_module *m) { return m->codes->dtype == LOCKSTEP_U32; }

static lockstep_dtype type_of(uint64_t bits) {
    static const lockstep_dtype types[9] = {[2] = LOCKSTEP_SCALED_I2, [3] = LOCKSTEP_SCALED_I3, [4] = LOCKSTEP_SCALED_I4, [5] = LOCKSTEP_SCALED_I5,
                                            [6] = LOCKSTEP_SCALED_I6, [8] = LOCKSTEP_SCALED_I8};
    return bits <= 8 ? types[bits] : LOCKSTEP_OPAQUE;
}

/* Codes of 4 bits in groups of 64 take as many words as those of 8 in groups of 32, so the shapes don't
 * give the size of groups. Layers may have one of their own. */
static bool find_size(const ls_module *m, uint64_t words, uint64_t groups, uint64_t *out_size, uint64_t *out_bits) {
    json_t *own = json_object_get(m->config, m->stem);
    const long long size = json_integer_value(json_object_get(json_is_object(own) ? own : m->config, "group_size"));
    if (size <= 0 || size > 1024 || groups == 0 || groups > UINT64_MAX / 1024)
        return false;
    const uint64_t columns = groups * (uint64_t)size, bits = words * 32 / columns;
    *out_size = (uint64_t)size;
    *out_bits = bits;
    return bits * columns == words * 32 && type_of(bits) != LOCKSTEP_OPAQUE;
}

static bool read_mlx(ls_module *m) {
    ls_grid *g = m->grid;
    const ls_tensor *scales = ls_module_find(m, ".scales"), *biases = ls_module_find(m, ".biases");
    uint64_t size, bits;
    if (biases == NULL)
        return ls_module_fail(m, "tensor '%s.biases' is missing", m->stem);
    if (m->codes->rank < 2 || scales->rank != m->codes->rank || m->codes->shape[m->codes->rank - 1] > UINT64_MAX / 32)
        return ls_module_fail_shape(m, scales, "one for each group of a row");
    const uint64_t words = m->codes->shape[m->codes->rank - 1], groups = scales->shape[scales->rank - 1];
    if (!find_size(m, words, groups, &size, &bits))
        return ls_module_fail_shape(m, scales, "groups of the configuration's group_size");
    if (!ls_module_shape(m, m->codes, 32, bits) || !ls_module_scales(m, scales) || !ls_module_like_scales(m, biases, &g->bias))
        return false;
    if (g->group_columns != size)
        return ls_module_fail_shape(m, scales, "one for each group of a row");
    m->dtype = type_of(bits);
    g->packed = (ls_packed){.bytes = ls_module_bytes(m, m->codes), .bits = (unsigned)bits, .stride = words * 4};
    return g->packed.bytes != NULL;
}

const ls_scheme ls_scheme_mlx = {"mlx", ".weight", ".scales", ".weight", " - mlx ", is_u32, read_mlx};
