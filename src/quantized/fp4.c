/* Pairs of E2M1 in a byte, the first in the low nibble.
 *   nvfp4 of compressed-tensors  X.weight_packed u8 [rows, columns / 2], X.weight_scale e4m3 [rows, columns / 16],
 *                                divided by X.weight_global_scale
 *   nvfp4 of ModelOpt            X.weight u8, X.weight_scale e4m3, times X.weight_scale_2
 *   mxfp4 (gpt-oss)              X_blocks u8 [experts, outputs, groups, 16], X_scales u8 [experts, outputs, groups]:
 *                                powers of two, 127 is 1; the weight X is [experts, inputs, outputs] */
#include <math.h>

#include "base/checked.h"
#include "quantized/scheme_table.h"
#include "tensor/decode.h"

static bool is_u8(const ls_module *m) { return m->codes->dtype == LOCKSTEP_U8; }

static bool set_codes(ls_module *m, uint64_t bytes_in_row) {
    static const unsigned char all[8] = {0x10, 0x32, 0x54, 0x76, 0x98, 0xba, 0xdc, 0xfe};
    float values[16];
    ls_decode_f4(all, 16, values);
    ls_grid_set_table(m->grid, values, 16);
    m->dtype = LOCKSTEP_SCALED_F4;
    m->grid->packed = (ls_packed){.bytes = ls_module_bytes(m, m->codes), .bits = 4, .stride = bytes_in_row};
    return m->grid->packed.bytes != NULL;
}

static bool read_nvfp4(ls_module *m, const char *factor, bool divide) {
    const ls_tensor *scale = ls_module_find(m, ".weight_scale"), *outer = ls_module_find(m, factor);
    double value;
    if (scale == NULL)
        return ls_module_fail(m, "tensor '%s.weight_scale' is missing", m->stem);
    if (outer->elements != 1 || !ls_dtype(outer->dtype)->is_float)
        return ls_module_fail_shape(m, outer, "one number");
    if (scale->dtype != LOCKSTEP_F8_E4M3 || scale->rank != m->codes->rank)
        return ls_module_fail_shape(m, scale, "an E4M3 number for each group");
    if (!ls_module_shape(m, m->codes, 2, 1) || !ls_module_scales(m, scale) || !set_codes(m, m->grid->columns / 2))
        return false;
    ls_view view;
    if (m->grid->group_columns != 16)
        return ls_module_fail_shape(m, scale, "groups of 16 columns");
    if (!ls_module_view(m, outer, &view))
        return false;
    ls_view_read_f64(&view, 0, 1, &value);
    m->grid->scale_factor = (float)(divide ? 1 / value : value);
    return value != 0 && isfinite(m->grid->scale_factor) ? true : ls_module_fail(m, "tensor '%s' holds %g, expected a scale", outer->name, value);
}

static bool read_compressed(ls_module *m) { return read_nvfp4(m, ".weight_global_scale", true); }
static bool read_modelopt(ls_module *m) { return read_nvfp4(m, ".weight_scale_2", false); }

static bool read_mxfp4(ls_module *m) {
    ls_grid *g = m->grid;
    const ls_tensor *codes = m->codes, *scale = ls_module_find(m, "_scales");
    if (codes->rank != 4 || codes->shape[3] != 16 || codes->elements == 0)
        return ls_module_fail_shape(m, codes, "[experts, outputs, groups, 16]");
    if ((scale->dtype != LOCKSTEP_U8 && scale->dtype != LOCKSTEP_F8_E8M0) || scale->rank != 3 || scale->shape[0] != codes->shape[0] ||
        scale->shape[1] != codes->shape[1] || scale->shape[2] != codes->shape[2])
        return ls_module_fail_shape(m, scale, "a byte for each group");
    m->rank = 3;
    m->is_transposed = true;
    m->shape[0] = codes->shape[0], m->shape[1] = codes->shape[2] * 32, m->shape[2] = codes->shape[1];
    g->rows = g->batch_rows = g->scale_rows = codes->shape[0] * codes->shape[1];
    g->columns = m->shape[1];
    g->group_rows = 1;
    g->group_columns = 32;
    g->scale.row_step = codes->shape[2];
    g->scale.group_step = 1;
    g->scale_factor = 1;
    if (!set_codes(m, g->columns / 2) || !ls_module_view(m, scale, &g->scale.view))
        return false;
    g->scale.view.dtype = LOCKSTEP_F8_E8M0; /* a byte, whatever the file calls it */
    return true;
}

const ls_scheme ls_scheme_nvfp4 = {"compressed-tensors, nvfp4", ".weight_packed", ".weight_global_scale", ".weight", " - compressed-tensors ", is_u8, read_compressed};
const ls_scheme ls_scheme_nvfp4_modelopt = {"modelopt, nvfp4", ".weight", ".weight_scale_2", ".weight", " - modelopt NVFP4 MIXED_PRECISION ", is_u8, read_modelopt};
const ls_scheme ls_scheme_mxfp4 = {"mxfp4", "_blocks", "_scales", "", " - mxfp4 ", is_u8, read_mxfp4};
