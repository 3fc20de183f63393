/* Weights in 8-bit floating point: X.weight [.., rows, columns], times X.weight_scale (one, one a row, one
 * a group or block) or X.weight_scale_inv (one for each block, 128 by 128 unless weight_block_size says
 * otherwise; the last blocks may be cut). Written by transformers, DeepSeek, compressed-tensors
 * ("float-quantized") and ModelOpt. */
#include "quantized/scheme_table.h"
#include "tensor/decode.h"

static bool is_fp8(const ls_module *m) { return m->codes->dtype == LOCKSTEP_F8_E4M3 || m->codes->dtype == LOCKSTEP_F8_E5M2; }

static void set_table(ls_grid *g, lockstep_dtype dtype) {
    unsigned char codes[256];
    float values[256];
    for (unsigned i = 0; i < 256; i++)
        codes[i] = (unsigned char)i;
    ls_decode_to_f32(dtype, codes, 256, values);
    ls_grid_set_table(g, values, 256);
}

/* The configuration's [rows, columns] of a block. */
static void block_size(const ls_module *m, uint64_t out[2]) {
    const char *name;
    json_t *group, *size = json_object_get(m->config, "weight_block_size");
    json_object_foreach(json_object_get(m->config, "config_groups"), name, group) {
        json_t *own = json_object_get(json_object_get(group, "weights"), "block_structure");
        size = json_is_array(own) ? own : size;
    }
    for (size_t i = 0; i < 2; i++) {
        long long given = json_integer_value(json_array_get(size, i));
        out[i] = given > 0 ? (uint64_t)given : 128;
    }
}

/* Without a configuration, the scales' shape may give another size that divides the matrix. */
static void derive_size(const ls_module *m, const ls_tensor *scale, uint64_t size[2]) {
    const uint64_t rows = scale->rank >= 2 ? scale->shape[scale->rank - 2] : 0, columns = scale->rank >= 2 ? scale->shape[scale->rank - 1] : 0;
    if (m->config != NULL || rows == 0 || columns == 0 || m->grid->batch_rows % rows != 0 || m->grid->columns % columns != 0)
        return;
    size[0] = m->grid->batch_rows / rows;
    size[1] = m->grid->columns / columns;
}

static uint64_t blocks_in(uint64_t length, uint64_t block) { return length / block + (length % block != 0); }

static bool read_blocks(ls_module *m, const ls_tensor *scale) {
    ls_grid *g = m->grid;
    uint64_t size[2];
    block_size(m, size);
    if (scale->rank != m->rank || scale->shape[m->rank - 2] != blocks_in(g->batch_rows, size[0]) || scale->shape[m->rank - 1] != blocks_in(g->columns, size[1]))
        derive_size(m, scale, size);
    const uint64_t rows = blocks_in(g->batch_rows, size[0]), columns = blocks_in(g->columns, size[1]);
    if (scale->rank != m->rank || scale->shape[m->rank - 2] != rows || scale->shape[m->rank - 1] != columns ||
        scale->elements != g->rows / g->batch_rows * rows * columns || !ls_dtype(scale->dtype)->is_float)
        return ls_module_fail_shape(m, scale, "one for each block");
    g->group_rows = size[0];
    g->scale_rows = rows;
    g->group_columns = size[1];
    g->scale.row_step = columns;
    g->scale.group_step = 1;
    g->scale_factor = 1;
    g->scale_error = ls_scale_error(scale->dtype);
    return ls_module_view(m, scale, &g->scale.view);
}

/* As many rows and columns of scales as there are blocks, which are neither all rows nor one block of each. */
static bool is_of_blocks(ls_module *m, const ls_tensor *scale) {
    uint64_t size[2];
    block_size(m, size);
    return scale->rank == m->rank && scale->shape[m->rank - 2] != m->grid->batch_rows && scale->shape[m->rank - 2] == blocks_in(m->grid->batch_rows, size[0]) &&
           scale->shape[m->rank - 1] == blocks_in(m->grid->columns, size[1]);
}

static bool read_fp8(ls_module *m, const ls_tensor *scale, bool blocks) {
    ls_grid *g = m->grid;
    if (!ls_module_shape(m, m->codes, 1, 1))
        return false;
    m->dtype = m->codes->dtype == LOCKSTEP_F8_E4M3 ? LOCKSTEP_SCALED_E4M3 : LOCKSTEP_SCALED_E5M2;
    set_table(g, m->codes->dtype);
    g->packed = (ls_packed){.bytes = ls_module_bytes(m, m->codes), .bits = 8, .stride = g->columns};
    if (g->packed.bytes == NULL)
        return false;
    if ((blocks && scale->elements != 1) || is_of_blocks(m, scale))
        return read_blocks(m, scale);
    return ls_module_scales(m, scale);
}

static bool read_inverse(ls_module *m) { return read_fp8(m, ls_module_find(m, ".weight_scale_inv"), true); }
static bool read_scale(ls_module *m) { return read_fp8(m, ls_module_find(m, ".weight_scale"), false); }

const ls_scheme ls_scheme_fp8_blocks = {"fp8, block scales", ".weight", ".weight_scale_inv", ".weight", " - fp8 ", is_fp8, read_inverse};
const ls_scheme ls_scheme_fp8 = {"fp8", ".weight", ".weight_scale", ".weight", " - fp8 fbgemm_fp8 compressed-tensors modelopt FP8 MIXED_PRECISION ", is_fp8, read_scale};
