#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/checked.h"
#include "format/inflated_members.h"
#include "quantized/scheme.h"

enum { NAME = 512, TROUBLE = 400 };

const ls_tensor *ls_module_find(const ls_module *m, const char *suffix) {
    char name[NAME];
    int n = snprintf(name, sizeof name, "%s%s", m->stem, suffix);
    size_t found = n < NAME ? ls_archive_find(m->archive, name) : SIZE_MAX;
    return found != SIZE_MAX ? &m->archive->tensors[found] : NULL;
}

bool ls_module_fail(ls_module *m, const char *format, ...) {
    char text[TROUBLE];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    m->trouble = ls_arena_copy(&m->archive->arena, text, strlen(text));
    if (m->trouble == NULL)
        m->trouble = "out of memory";
    return false;
}

bool ls_module_fail_shape(ls_module *m, const ls_tensor *part, const char *expected) {
    char shape[LS_SHAPE_TEXT], codes[LS_SHAPE_TEXT];
    ls_shape_text(part->rank, part->shape, shape);
    ls_shape_text(m->codes->rank, m->codes->shape, codes);
    return ls_module_fail(m, "tensor '%s' of type %s: found shape %.80s beside codes of shape %.80s, expected %s", part->name, part->file_dtype, shape, codes,
                          expected);
}

bool ls_module_view(ls_module *m, const ls_tensor *part, ls_view *out_view) {
    lockstep_error error;
    size_t index = (size_t)(part - m->archive->tensors);
    if (ls_archive_view(m->archive, index, out_view, &error) == LOCKSTEP_OK)
        return true;
    return ls_module_fail(m, "%s", error.message);
}

const uint8_t *ls_module_bytes(ls_module *m, const ls_tensor *part) {
    ls_view view;
    if (!ls_module_view(m, part, &view))
        return NULL;
    if (ls_view_is_contiguous(&view) && !view.swap && view.factor == 0)
        return view.data;
    ls_module_fail(m, "tensor '%s' has strides, expected adjacent elements", part->name);
    return NULL;
}

long long ls_module_integer(const ls_module *m, const char *key, long long otherwise) {
    json_t *value = json_object_get(m->config, key);
    return json_is_integer(value) ? json_integer_value(value) : otherwise;
}

bool ls_module_shape(ls_module *m, const ls_tensor *codes, uint64_t times, uint64_t over) {
    uint64_t bits;
    if (codes->rank < 2)
        return ls_module_fail_shape(m, codes, "at least two axes");
    m->rank = codes->rank;
    memcpy(m->shape, codes->shape, sizeof m->shape);
    if (codes->elements == 0 || !ls_mul_u64(m->shape[m->rank - 1], times, &bits) || bits % over != 0)
        return ls_module_fail_shape(m, codes, "whole codes");
    m->shape[m->rank - 1] = m->grid->columns = bits / over;
    m->grid->rows = codes->elements / codes->shape[codes->rank - 1];
    m->grid->batch_rows = codes->shape[codes->rank - 2];
    m->grid->group_rows = 1;
    m->grid->scale_rows = m->grid->batch_rows;
    return true;
}

/* --- scales */

/* compressed-tensors: the size of groups is in config_groups. */
static uint64_t configured_group(const ls_module *m) {
    const char *name;
    json_t *one;
    long long size = ls_module_integer(m, "group_size", 0);
    json_object_foreach(json_object_get(m->config, "config_groups"), name, one) {
        json_t *own = json_object_get(json_object_get(one, "weights"), "group_size");
        size = json_is_integer(own) ? json_integer_value(own) : size;
    }
    return size > 0 ? (uint64_t)size : 0;
}

/* Elements of a group, of which there are `groups` in a row; 0 if they don't divide it. */
static uint64_t group_size(const ls_module *m, uint64_t groups) {
    const uint64_t columns = m->grid->columns, size = configured_group(m);
    if (groups == 1)
        return columns;
    if (size > 0 && columns / size + (columns % size != 0) == groups)
        return size;
    return groups > 0 && columns % groups == 0 ? columns / groups : 0;
}

static bool leads_as(const ls_module *m, const ls_tensor *t, int axes) {
    return t->rank >= axes && memcmp(t->shape, m->codes->shape, (size_t)axes * sizeof *t->shape) == 0;
}

/* One scale for each of several matrices: [matrices], [matrices, 1], [matrices, 1, 1]. */
static bool is_of_matrices(const ls_module *m, const ls_tensor *t) {
    return m->rank == 3 && t->rank >= 1 && t->shape[0] == m->codes->shape[0] && t->elements == t->shape[0];
}

/* A single number as a list of one: a rank of 0 means that there are none. */
static bool view_as_list(ls_module *m, const ls_tensor *values, ls_view *out_view) {
    if (!ls_module_view(m, values, out_view))
        return false;
    if (out_view->rank == 0) {
        out_view->rank = 1;
        out_view->shape[0] = 1;
        out_view->strides[0] = 1;
    }
    return true;
}

bool ls_module_scales(ls_module *m, const ls_tensor *scale) {
    ls_grid *g = m->grid;
    const bool of_rows = scale->rank == 1 && scale->elements == g->rows;
    g->group_columns = g->columns;
    if (scale->elements == 1) {
        g->scale.row_step = g->scale.group_step = 0;
    } else if (of_rows) {
        g->scale.row_step = 1;
    } else if (is_of_matrices(m, scale)) {
        g->scale.row_step = 1;
        g->group_rows = g->batch_rows;
        g->scale_rows = 1;
    } else if (scale->rank == m->rank && leads_as(m, scale, m->rank - 1) && group_size(m, scale->shape[m->rank - 1]) > 0) {
        g->scale.row_step = scale->shape[m->rank - 1];
        g->scale.group_step = 1;
        g->group_columns = group_size(m, scale->shape[m->rank - 1]);
    } else {
        return ls_module_fail_shape(m, scale, "one, one for each row, or one for each group of a row");
    }
    g->scale_error = ls_scale_error(scale->dtype);
    g->scale_factor = 1;
    if (!ls_dtype(scale->dtype)->is_float)
        return ls_module_fail(m, "tensor '%s' is of type %s, expected a floating-point type", scale->name, scale->file_dtype);
    return view_as_list(m, scale, &g->scale.view);
}

bool ls_module_like_scales(ls_module *m, const ls_tensor *values, ls_group_values *out_values) {
    *out_values = m->grid->scale;
    if (values->elements != ls_view_elements(&m->grid->scale.view))
        return ls_module_fail_shape(m, values, "the shape of the scales");
    return view_as_list(m, values, &out_values->view);
}

bool ls_module_group_of(ls_module *m, const ls_tensor *index, uint64_t groups) {
    const uint64_t columns = m->grid->columns;
    if (index->rank != 1 || index->shape[0] != columns || index->dtype != LOCKSTEP_I32)
        return ls_module_fail_shape(m, index, "a 32-bit integer for each column");
    int32_t *list = ls_arena_array(&m->archive->arena, (size_t)columns, sizeof *list);
    ls_view view;
    if (list == NULL || !ls_module_view(m, index, &view))
        return list == NULL ? ls_module_fail(m, "out of memory") : false;
    ls_view_read_raw(&view, 0, (size_t)columns, list);
    bool in_order = true;
    for (uint64_t i = 0; i < columns; i++) {
        if (list[i] < 0 || (uint64_t)list[i] >= groups)
            return ls_module_fail(m, "tensor '%s': found group %d for column %llu, expected one of %llu groups", index->name, list[i], (unsigned long long)i,
                                  (unsigned long long)groups);
        in_order = in_order && (uint64_t)list[i] == i / m->grid->group_columns;
    }
    m->grid->group_of = in_order ? NULL : list;
    return true;
}

bool ls_module_is_plain_float(const ls_tensor *t) {
    return t->dtype == LOCKSTEP_F32 || t->dtype == LOCKSTEP_F16 || t->dtype == LOCKSTEP_BF16 || t->dtype == LOCKSTEP_F64;
}

double ls_scale_error(lockstep_dtype dtype) { return dtype == LOCKSTEP_F16 ? 0x1p-11 : dtype == LOCKSTEP_BF16 ? 0x1p-8 : 0; }
