/* bitsandbytes.
 *   4 bits  X.weight u8: pairs of codes, the first in the high nibble, of the elements in order;
 *           X.weight.quant_map f32 [16]; X.weight.absmax: a scale for each block of elements;
 *           X.weight.quant_state.bitsandbytes__nf4 (or fp4): JSON, as bytes: {"shape": [..], "blocksize": 64, ..}.
 *           Where scales are quantized, too: absmax u8, nested_quant_map f32 [256], nested_absmax f32, and
 *           "nested_blocksize" and "nested_offset" in the JSON.
 *   8 bits  X.weight i8 [rows, columns]; X.SCB f32 [rows]: 127 stands for this number */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/checked.h"
#include "format/json_tree.h"
#include "quantized/bitsandbytes.h"
#include "quantized/scheme_table.h"

enum { STATE_LIMIT = 1 << 16 };

static bool is_u8(const ls_module *m) { return m->codes->dtype == LOCKSTEP_U8; }
static bool is_i8(const ls_module *m) { return m->codes->dtype == LOCKSTEP_I8; }

/* --- the JSON */

static bool read_shape(json_t *list, ls_quant_state *out) {
    const size_t rank = json_array_size(list);
    uint64_t elements = 1;
    if (rank < 1 || rank > LOCKSTEP_MAX_RANK)
        return false;
    for (size_t i = 0; i < rank; i++) {
        const long long axis = json_integer_value(json_array_get(list, i));
        if (axis <= 0 || !ls_mul_u64(elements, (uint64_t)axis, &elements))
            return false;
        out->shape[i] = (uint64_t)axis;
    }
    out->rank = (int)rank;
    out->elements = elements;
    return elements <= INT64_MAX;
}

static bool read_positive(json_t *state, const char *key, uint64_t *out) {
    const long long value = json_integer_value(json_object_get(state, key));
    *out = value > 0 ? (uint64_t)value : 0;
    return value > 0;
}

bool ls_quant_state_read(const char *name, const uint8_t *bytes, size_t size, ls_quant_state *out, lockstep_error *error) {
    ls_source *source;
    json_t *json = NULL, *offset;
    if (size > STATE_LIMIT) {
        ls_fail(error, LOCKSTEP_LIMIT, "tensor '%s': found %zu bytes, expected at most %d", name, size, STATE_LIMIT);
        return false;
    }
    if (ls_source_open_memory(name, bytes, size, &source, error) != LOCKSTEP_OK)
        return false;
    bool ok = ls_json_tree(source, &json, error) == LOCKSTEP_OK;
    ls_source_close(source);
    *out = (ls_quant_state){0};
    if (ok && !(read_shape(json_object_get(json, "shape"), out) && read_positive(json, "blocksize", &out->block))) {
        ls_fail(error, LOCKSTEP_MALFORMED, "tensor '%s': expected an object with a shape and a blocksize", name);
        ok = false;
    }
    read_positive(json, "nested_blocksize", &out->nested_block);
    offset = json_object_get(json, "nested_offset");
    out->nested_offset = json_is_number(offset) ? json_number_value(offset) : NAN;
    json_decref(json);
    return ok;
}

static bool find_state(ls_module *m, ls_quant_state *out, bool *out_normal) {
    static const char *const names[] = {".weight.quant_state.bitsandbytes__nf4", ".weight.quant_state.bitsandbytes__fp4"};
    for (int i = 0; i < 2; i++) {
        const ls_tensor *state = ls_module_find(m, names[i]);
        lockstep_error error;
        if (state == NULL)
            continue;
        const uint8_t *bytes = state->dtype == LOCKSTEP_U8 ? ls_module_bytes(m, state) : NULL;
        if (bytes == NULL)
            return ls_module_fail_shape(m, state, "the bytes of a JSON text");
        *out_normal = i == 0;
        return ls_quant_state_read(state->name, bytes, (size_t)state->elements, out, &error) || ls_module_fail(m, "%s", error.message);
    }
    return ls_module_fail(m, "tensor '%s%s' is missing", m->stem, names[0]);
}

/* --- 4 bits */

static bool read_map(ls_module *m, const char *suffix, size_t count, float *out) {
    const ls_tensor *map = ls_module_find(m, suffix);
    ls_view view;
    if (map == NULL)
        return ls_module_fail(m, "tensor '%s%s' is missing", m->stem, suffix);
    if (map->elements != count || map->dtype != LOCKSTEP_F32)
        return ls_module_fail_shape(m, map, count == 16 ? "16 floats" : "256 floats");
    if (!ls_module_view(m, map, &view))
        return false;
    ls_view_read_f32(&view, 0, count, out);
    return true;
}

static uint64_t blocks_in(uint64_t elements, uint64_t block) { return elements / block + (elements % block != 0); }

static bool read_nested(ls_module *m, const ls_tensor *absmax, const ls_quant_state *state) {
    ls_nested *n = &m->grid->nested;
    const ls_tensor *outer = ls_module_find(m, ".weight.nested_absmax");
    if (outer == NULL || outer->dtype != LOCKSTEP_F32)
        return ls_module_fail(m, "tensor '%s.weight.nested_absmax' is missing, or not of floats", m->stem);
    if (state->nested_block == 0 || !isfinite(state->nested_offset) || outer->elements != blocks_in(absmax->elements, state->nested_block))
        return ls_module_fail_shape(m, outer, "one for each nested_blocksize scales, and a nested_offset");
    n->block = state->nested_block;
    n->offset = (float)state->nested_offset;
    n->codes = ls_module_bytes(m, absmax);
    return n->codes != NULL && read_map(m, ".weight.nested_quant_map", 256, n->table) && ls_module_view(m, outer, &n->scales);
}

static bool read_absmax(ls_module *m, const ls_quant_state *state) {
    ls_grid *g = m->grid;
    const ls_tensor *absmax = ls_module_find(m, ".weight.absmax");
    g->scale.group_step = 1;
    g->group_columns = state->block;
    g->scale_factor = 1;
    if (absmax->elements != blocks_in(state->elements, state->block))
        return ls_module_fail_shape(m, absmax, "one for each block");
    if (absmax->dtype == LOCKSTEP_U8)
        return read_nested(m, absmax, state);
    if (absmax->dtype != LOCKSTEP_F32)
        return ls_module_fail_shape(m, absmax, "floats, or bytes");
    return ls_module_view(m, absmax, &g->scale.view);
}

static bool read_bnb4(ls_module *m) {
    ls_grid *g = m->grid;
    ls_quant_state state;
    float table[16];
    bool normal = false;
    if (!find_state(m, &state, &normal) || !read_map(m, ".weight.quant_map", 16, table))
        return false;
    if (m->codes->elements != blocks_in(state.elements, 2))
        return ls_module_fail_shape(m, m->codes, "two codes of quant_state's shape in each byte");
    m->dtype = normal ? LOCKSTEP_SCALED_NF4 : LOCKSTEP_SCALED_F4;
    m->rank = state.rank;
    memcpy(m->shape, state.shape, sizeof m->shape);
    g->rows = g->batch_rows = g->group_rows = g->scale_rows = 1;
    g->columns = state.elements;
    g->packed = (ls_packed){.bytes = ls_module_bytes(m, m->codes), .bits = 4, .high_first = true};
    ls_grid_set_table(g, table, 16);
    return g->packed.bytes != NULL && read_absmax(m, &state);
}

/* --- 8 bits */

static bool is_row_major(const ls_module *m) {
    const ls_tensor *format = ls_module_find(m, ".weight_format");
    lockstep_error error;
    double value = 0;
    if (format == NULL || format->elements != 1)
        return format == NULL;
    size_t index = (size_t)(format - m->archive->tensors);
    return lockstep_archive_read(m->archive, index, 0, 1, &value, &error) == LOCKSTEP_OK && value == 0;
}

static bool read_bnb8(ls_module *m) {
    ls_grid *g = m->grid;
    const ls_tensor *scale = ls_module_find(m, ".SCB");
    if (!is_row_major(m))
        return ls_module_fail(m, "tensor '%s.weight_format' says that the codes aren't in rows", m->stem);
    if (!ls_module_shape(m, m->codes, 1, 1))
        return false;
    if (scale->elements != g->rows)
        return ls_module_fail_shape(m, scale, "one for each row");
    m->dtype = LOCKSTEP_SCALED_I8;
    g->is_signed = true;
    g->packed = (ls_packed){.bytes = ls_module_bytes(m, m->codes), .bits = 8, .stride = g->columns};
    if (g->packed.bytes == NULL || !ls_module_scales(m, scale))
        return false;
    g->scale_factor = 1.0f / 127;
    return true;
}

const ls_scheme ls_scheme_bnb4 = {"bitsandbytes, 4 bits", ".weight", ".weight.absmax", ".weight", " - bitsandbytes ", is_u8, read_bnb4};
const ls_scheme ls_scheme_bnb8 = {"bitsandbytes, 8 bits", ".weight", ".SCB", ".weight", " - bitsandbytes ", is_i8, read_bnb8};
