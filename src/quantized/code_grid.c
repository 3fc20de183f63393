#include "quantized/code_grid.h"

#include <math.h>
#include <string.h>

/* --- codes */

static const unsigned interleaved[8] = {0, 4, 1, 5, 2, 6, 3, 7}; /* row % 8 -> place in the word */

static uint64_t byte_of(const ls_packed *p, uint64_t row, uint64_t byte) {
    return p->packing == LS_ALONG_ROWS ? row * p->stride + byte : (byte / 4 * p->stride + row) * 4 + byte % 4;
}

static unsigned interleaved_at(const ls_packed *p, uint64_t row, uint64_t k) {
    const unsigned place = p->is_sequential ? (unsigned)(row % 8) : interleaved[row % 8];
    return (unsigned)p->bytes[(k * p->stride + row / 8) * 4 + place / 2] >> place % 2 * 4 & 15u;
}

unsigned ls_packed_at(const ls_packed *p, uint64_t row, uint64_t k) {
    if (p->packing == LS_INTERLEAVED)
        return interleaved_at(p, row, k);
    const uint64_t bit = (p->high_first ? k ^ 1 : k) * p->bits;
    const unsigned shift = (unsigned)(bit % 8), mask = (1u << p->bits) - 1;
    unsigned word = p->bytes[byte_of(p, row, bit / 8)];
    if (shift + p->bits > 8)
        word |= (unsigned)p->bytes[byte_of(p, row, bit / 8 + 1)] << 8;
    return word >> shift & mask;
}

/* --- what a group's elements share */

typedef struct group {
    float scale, bias, zero, scale_error; /* the error is absolute */
} group;

static float value_at(const ls_group_values *v, uint64_t row, uint64_t g) {
    float value;
    ls_view_read_f32(&v->view, row * v->row_step + g * v->group_step, 1, &value);
    return value;
}

static float nested_scale(const ls_nested *n, uint64_t at, float *out_error) {
    float outer;
    const unsigned code = n->codes[at], next = code < 255 ? code + 1 : code, before = code > 0 ? code - 1 : code;
    ls_view_read_f32(&n->scales, at / n->block, 1, &outer);
    const float half = 0.51f;
    *out_error = half * fabsf(outer) * fmaxf(n->table[next] - n->table[code], n->table[code] - n->table[before]);
    return n->table[code] * outer + n->offset;
}

static float zero_of(const ls_grid *m, uint64_t row, uint64_t scale_row, uint64_t g) {
    float zero = m->zero_point;
    if (m->packed_zero.bytes != NULL)
        zero += (float)(m->zero_by_group ? ls_packed_at(&m->packed_zero, g, row) : ls_packed_at(&m->packed_zero, row, g));
    if (m->zero.view.rank > 0)
        zero += value_at(&m->zero, scale_row, g);
    return zero;
}

static group group_at(const ls_grid *m, uint64_t row, uint64_t g) {
    group found = {0};
    const uint64_t scale_row = row / m->batch_rows * m->scale_rows + row % m->batch_rows / m->group_rows;
    if (m->nested.codes != NULL) {
        found.scale = nested_scale(&m->nested, scale_row * m->scale.row_step + g, &found.scale_error);
    } else {
        found.scale = value_at(&m->scale, scale_row, g) * m->scale_factor;
        found.scale_error = fabsf(found.scale) * (float)m->scale_error;
    }
    if (m->bias.view.rank > 0)
        found.bias = value_at(&m->bias, scale_row, g);
    found.zero = zero_of(m, row, scale_row, g);
    return found;
}

/* --- runs of elements that share a group */

typedef struct run {
    uint64_t row, column;
    size_t count;
    group group;
} run;

static uint64_t group_index(const ls_grid *m, uint64_t column) { return m->group_of != NULL ? (uint64_t)m->group_of[column] : column / m->group_columns; }

/* The elements from `at` on, up to `most`, that are in the same row and group. */
static run run_at(const ls_grid *m, uint64_t at, size_t most) {
    run r = {.row = at / m->columns, .column = at % m->columns};
    const uint64_t g = group_index(m, r.column);
    uint64_t end = m->group_of != NULL ? r.column + 1 : (g + 1) * m->group_columns;
    end = end < m->columns ? end : m->columns;
    while (m->group_of != NULL && end < m->columns && (uint64_t)m->group_of[end] == g)
        end++;
    r.count = end - r.column < most ? (size_t)(end - r.column) : most;
    r.group = group_at(m, r.row, g);
    return r;
}

static float number_of(const ls_grid *m, unsigned code) { return m->is_signed ? (float)(int8_t)code : (float)code; }

static unsigned code_at(const ls_grid *m, const run *r, size_t i) { return ls_packed_at(&m->packed, r->row, r->column + i); }

/* Bytes and pairs of codes in a row are most of what is read. */
static void unpack(const ls_grid *m, const run *r, unsigned char *out) {
    const ls_packed *p = &m->packed;
    const uint8_t *row = p->packing == LS_ALONG_ROWS ? p->bytes + r->row * p->stride : NULL;
    if (row != NULL && p->bits == 8)
        memcpy(out, row + r->column, r->count);
    else if (row != NULL && p->bits == 4 && !p->high_first)
        for (size_t i = 0; i < r->count; i++)
            out[i] = row[(r->column + i) / 2] >> (r->column + i) % 2 * 4 & 15;
    else
        for (size_t i = 0; i < r->count; i++)
            out[i] = (unsigned char)code_at(m, r, i);
}

enum { RUN = 1024 };

static void read_run(const ls_grid *m, const run *r, float *out) {
    unsigned char codes[RUN];
    unpack(m, r, codes);
    if (m->is_table)
        for (size_t i = 0; i < r->count; i++)
            out[i] = m->table[codes[i]] * r->group.scale;
    else
        for (size_t i = 0; i < r->count; i++)
            out[i] = (number_of(m, codes[i]) - r->group.zero) * r->group.scale + r->group.bias;
}

static void read_grid(const ls_codes *codes, uint64_t first, size_t n, float *out) {
    const ls_grid *m = (const ls_grid *)codes;
    for (size_t done = 0; done < n;) {
        run r = run_at(m, first + done, n - done < RUN ? n - done : RUN);
        read_run(m, &r, out + done);
        done += r.count;
    }
}

/* --- cells */

/* One end of a cell, in units of the scale: as a number, further out by what the scale's rounding may be. */
static float end_of(const ls_grid *m, const group *g, float at, float out) {
    const float error = fabsf(at) * g->scale_error + fabsf(g->bias) * (float)m->scale_error;
    return g->scale == 0 ? g->bias : at * g->scale + g->bias + (isinf(at) ? 0 : copysignf(error, out * g->scale));
}

static void put_cell(const ls_grid *m, const group *g, unsigned code, float *low, float *high) {
    const float number = number_of(m, code), q = number - g->zero;
    const float half = 0.51f + fabsf(number) * (float)m->scale_error; /* quantizers compute with reciprocals, and in the type of the scales */
    const float below = m->is_table ? m->below[code] : code == m->least ? -INFINITY : q - half;
    const float above = m->is_table ? m->above[code] : code == m->most ? INFINITY : q + half;
    const float a = end_of(m, g, below, -1), b = end_of(m, g, above, 1);
    *low = fminf(a, b);
    *high = fmaxf(a, b);
}

static void read_cells(const ls_codes *codes, uint64_t first, size_t n, float *low, float *high) {
    const ls_grid *m = (const ls_grid *)codes;
    for (size_t done = 0; done < n;) {
        run r = run_at(m, first + done, n - done < RUN ? n - done : RUN);
        for (size_t i = 0; i < r.count; i++)
            put_cell(m, &r.group, code_at(m, &r, i), &low[done + i], &high[done + i]);
        done += r.count;
    }
}

/* Half of the way to the next number of the table, below or above. */
static float edge(const float *table, unsigned count, float value, bool above) {
    float next = above ? INFINITY : -INFINITY;
    const float unsure = 0.01f;
    for (unsigned i = 0; i < count; i++)
        if (isfinite(table[i]) && (above ? table[i] > value && table[i] < next : table[i] < value && table[i] > next))
            next = table[i];
    return isinf(next) ? next : (value + next) / 2 + (next - value) * unsure;
}

void ls_grid_set_table(ls_grid *grid, const float *table, unsigned count) {
    grid->is_table = true;
    for (unsigned i = 0; i < count; i++) {
        grid->table[i] = table[i];
        grid->below[i] = isfinite(table[i]) ? edge(table, count, table[i], false) : table[i];
        grid->above[i] = isfinite(table[i]) ? edge(table, count, table[i], true) : table[i];
    }
}

void ls_grid_finish(ls_grid *grid) {
    const unsigned all = (1u << grid->packed.bits) - 1;
    grid->most = grid->is_signed ? all >> 1 : all;
    grid->least = grid->is_signed ? grid->most + 1 : 0;
    grid->codes = (ls_codes){read_grid, read_cells, grid->group_of == NULL ? grid->group_columns : 0, grid->is_calibrated};
}

/* --- faults */

static bool less_zero(ls_grid *m) { return !m->is_table && (m->zero_point -= 1, true); }
static bool more_zero(ls_grid *m) { return !m->is_table && (m->zero_point += 1, true); }

static bool swap_nibbles(ls_grid *m) {
    m->packed.high_first = !m->packed.high_first;
    return m->packed.bits == 4 && m->packed.packing != LS_INTERLEAVED && m->columns % 2 == 0;
}

static bool order_nibbles(ls_grid *m) {
    m->packed.is_sequential = true;
    return m->packed.packing == LS_INTERLEAVED;
}

static bool order_groups(ls_grid *m) {
    const bool had = m->group_of != NULL;
    m->group_of = NULL;
    return had;
}

static bool invert_factor(ls_grid *m) {
    const float factor = m->scale_factor;
    m->scale_factor = factor != 0 ? 1 / factor : 0;
    return factor != 0 && factor != 1 && isfinite(m->scale_factor);
}

const ls_grid_fault ls_grid_faults[LS_GRID_FAULTS] = {
    {"zero-point", "the two agree once 1 is subtracted from the {side}'s zero points", less_zero},
    {"zero-point", "the two agree once 1 is added to the {side}'s zero points", more_zero},
    {"nibbles-swapped", "the two agree once the two codes in each byte of the {side} change places", swap_nibbles},
    {"nibble-order", "the two agree once the eight codes in each word of the {side} are read in order", order_nibbles},
    {"group-order", "the two agree once the {side}'s g_idx is ignored", order_groups},
    {"inverse-scale", "the two agree once the {side} is divided by its scale of the whole tensor where it is multiplied, or the other way round", invert_factor},
};

bool ls_grid_undo(const ls_codes *codes, int fault, ls_grid *out_grid) {
    *out_grid = *(const ls_grid *)codes;
    return ls_grid_faults[fault].undo(out_grid);
}

bool ls_grid_exchange_scales(const ls_codes *codes, const ls_codes *other, ls_grid *out_grid) {
    const ls_grid *a = (const ls_grid *)codes, *b = (const ls_grid *)other;
    if (a == b || a->rows != b->rows || a->columns != b->columns || a->batch_rows != b->batch_rows || a->group_rows != b->group_rows ||
        a->group_columns != b->group_columns || a->packed.bits != b->packed.bits || a->is_table != b->is_table)
        return false;
    *out_grid = *a;
    out_grid->scale = b->scale;
    out_grid->nested = b->nested;
    out_grid->scale_factor = b->scale_factor;
    return true;
}
