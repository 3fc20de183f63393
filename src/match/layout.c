#include "match/layout.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compare/sample.h"

enum { SAMPLE = 8192, PERMUTED_RANK_MAX = 5 };
#define AGREES 1e-2 /* a permutation whose sampled relative L2 is below this is taken to be right */

typedef struct steps {
    char text[LS_LAYOUT_TEXT];
} steps;

static void say(steps *s, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void say(steps *s, const char *format, ...) {
    size_t used = strlen(s->text);
    va_list args;
    if (used > 0 && used + 3 < sizeof s->text)
        used += (size_t)snprintf(s->text + used, sizeof s->text - used, ", ");
    va_start(args, format);
    vsnprintf(s->text + used, sizeof s->text - used, format, args);
    va_end(args);
}

static lockstep_status mismatch(const ls_layout_request *q, lockstep_error *error) {
    char shapes[2][120];
    const ls_view *views[2] = {&q->reference, &q->candidate};
    for (int k = 0; k < 2; k++) {
        size_t used = 0;
        shapes[k][0] = '\0';
        for (int i = 0; i < views[k]->rank && used + 24 < sizeof shapes[k]; i++)
            used += (size_t)snprintf(shapes[k] + used, sizeof shapes[k] - used, "%s%llu", i > 0 ? "," : "",
                                     (unsigned long long)views[k]->shape[i]);
    }
    return ls_fail(error, LOCKSTEP_INCOMPARABLE, "no layout makes [%s] of the reference [%s] of the candidate", shapes[0], shapes[1]);
}

/* ------------------------------------------------------------------ selecting */

static size_t element_bytes(const ls_view *v) { return ls_dtype(v->dtype)->block_bytes; }

static void narrow(ls_view *v, int axis, uint64_t first, uint64_t step, uint64_t count) {
    v->data += (int64_t)first * v->strides[axis] * (int64_t)element_bytes(v);
    v->strides[axis] *= (int64_t)step;
    v->shape[axis] = count;
}

static void squeeze(ls_view *v) {
    int rank = 0;
    for (int i = 0; i < v->rank; i++)
        if (v->shape[i] != 1) {
            v->shape[rank] = v->shape[i];
            v->strides[rank++] = v->strides[i];
        }
    v->rank = rank;
}

/* Finds first and step such that the i-th row is first + i * step; false when the rows are not that regular. */
static bool progression(const uint32_t *rows, size_t count, uint64_t *first, uint64_t *step) {
    *first = rows[0];
    *step = 1;
    if (count > 1) {
        if (rows[1] <= rows[0])
            return false;
        *step = rows[1] - rows[0];
    }
    for (size_t i = 1; i < count; i++)
        if (rows[i] != rows[0] + i * *step)
            return false;
    return true;
}

static int axis_of_size(const ls_view *v, uint64_t size) {
    for (int i = 0; i < v->rank; i++)
        if (v->shape[i] == size)
            return i;
    return -1;
}

/* The axis of a view's rows. Where the shapes differ in one axis alone, it is that one, even if there are as
 * many heads as rows; otherwise it is the first axis of that size. -1 when there is none. */
static int row_axis(const ls_view *v, uint64_t rows, const ls_view *other, uint64_t other_rows) {
    for (int i = 0; i < v->rank && v->rank == other->rank; i++) {
        bool alone = v->shape[i] == rows && other->shape[i] == other_rows;
        for (int k = 0; k < v->rank && alone; k++)
            alone = k == i || v->shape[k] == other->shape[k];
        if (alone)
            return i;
    }
    return axis_of_size(v, rows);
}

/* Rows in no regular order are copied, in the order of the list. */
static bool gather(ls_view *v, int axis, const uint32_t *rows, size_t count, void **out_copy) {
    ls_view row = *v;
    row.shape[axis] = 1;
    row.factor = 0; /* raw elements are copied; the view keeps its factor */
    size_t bytes = element_bytes(v), row_bytes;
    uint64_t inner = 1, outer = 1;
    for (int i = 0; i < v->rank; i++)
        *(i < axis ? &outer : &inner) *= i == axis ? 1 : v->shape[i];
    uint8_t *copy = __builtin_mul_overflow(inner, bytes, &row_bytes) ? NULL : calloc(outer * count + 1, row_bytes + 1);
    if (copy == NULL)
        return false;
    for (size_t k = 0; k < count; k++) {
        row.data = v->data + (int64_t)rows[k] * v->strides[axis] * (int64_t)bytes;
        for (uint64_t o = 0; o < outer; o++)
            ls_view_read_raw(&row, o * inner, inner, copy + (o * count + k) * row_bytes);
    }
    free(*out_copy); /* the copy of an earlier axis */
    v->data = *out_copy = copy;
    v->shape[axis] = count;
    v->swap = v->mapped = false;
    ls_view_set_contiguous(v);
    return true;
}

static bool select_rows(ls_view *v, int axis, uint64_t total, const uint32_t *rows, size_t count, void **out_copy) {
    uint64_t first, step;
    if (ls_dtype(v->dtype)->block_elements > 1)
        return false;
    if (count == 1 && total == 1)
        return true; /* an axis of one need not be written */
    if (count == 0 || axis < 0)
        return false;
    for (size_t i = 0; i < count; i++)
        if (rows[i] >= total)
            return false;
    if (!progression(rows, count, &first, &step))
        return gather(v, axis, rows, count, out_copy);
    if (count != total || first != 0)
        narrow(v, axis, first, step, count);
    return true;
}

/* Row indexes of the common rows, in the candidate's order. */
typedef struct common {
    uint32_t *reference, *candidate;
    size_t count;
} common;

static int by_candidate_row(const void *key, const void *row) {
    uint32_t wanted = *(const uint32_t *)key, at = ((const ls_row_pair *)row)->candidate;
    return wanted < at ? -1 : wanted > at;
}

/* Lists the rows that both sides have; false if there are none. `kept`: the candidate's tensor has only the rows that its
 * last layer computes. */
static bool list_common(const ls_layout_request *q, bool kept, common *out) {
    size_t pairs = q->passes->row_count, most = kept ? q->output_row_count : pairs;
    out->reference = malloc((most + 1) * sizeof *out->reference);
    out->candidate = malloc((most + 1) * sizeof *out->candidate);
    out->count = 0;
    if (out->reference == NULL || out->candidate == NULL)
        return false;
    for (size_t i = 0; i < most; i++) {
        uint32_t row = kept ? (uint32_t)q->output_rows[i] : 0;
        const ls_row_pair *pair = !kept ? &q->passes->rows[i] : bsearch(&row, q->passes->rows, pairs, sizeof *q->passes->rows, by_candidate_row);
        if (pair == NULL)
            continue;
        out->reference[out->count] = pair->reference;
        out->candidate[out->count++] = kept ? (uint32_t)i : pair->candidate;
    }
    return out->count > 0;
}

static void say_rows(steps *s, const char *what, const uint32_t *rows, size_t count, uint64_t total) {
    uint64_t first, step;
    if (count == total)
        return;
    if (count == 1)
        say(s, "%s %u of %llu", what, rows[0], (unsigned long long)total);
    else if (progression(rows, count, &first, &step) && step == 1)
        say(s, "%ss %u-%u of %llu", what, rows[0], rows[count - 1], (unsigned long long)total);
    else
        say(s, "%zu of %llu %ss", count, (unsigned long long)total, what);
}

static bool select_along(ls_layout *l, int of_reference, int of_candidate, uint64_t reference_total, uint64_t candidate_total, const common *rows) {
    return select_rows(&l->reference, of_reference, reference_total, rows->reference, rows->count, &l->gathered[0]) &&
           select_rows(&l->candidate, of_candidate, candidate_total, rows->candidate, rows->count, &l->gathered[1]);
}

/* Could the rows just as well be along another axis of the reference, with one choice agreeing and the other
 * not? Then a fault could hide behind the choice. */
static bool is_ambiguous(const ls_layout_request *q, const ls_layout *from, const ls_layout *chosen, int of_reference, uint64_t candidate_total, const common *rows) {
    bool agrees = ls_sampled_error(&chosen->reference, &chosen->candidate, SAMPLE) < AGREES, ambiguous = false;
    for (int i = 0; i < from->reference.rank && !ambiguous && from->reference.rank == from->candidate.rank; i++) {
        ls_layout l = *from;
        bool innermost = i == from->reference.rank - 1; /* rarely the axis of tokens */
        bool other = i != of_reference && !innermost && from->reference.shape[i] == q->reference_rows && from->candidate.shape[i] == candidate_total;
        if (other && select_along(&l, i, i, q->reference_rows, candidate_total, rows) && ls_view_elements(&l.reference) == ls_view_elements(&l.candidate))
            ambiguous = (ls_sampled_error(&l.reference, &l.candidate, SAMPLE) < AGREES) != agrees;
        if (other)
            ls_layout_done(&l);
    }
    return ambiguous;
}

/* Selects the shared rows on each side; leaves *l unchanged when that can't be done. */
static bool select_common(const ls_layout_request *q, ls_layout *l, bool kept, steps *s) {
    common rows;
    ls_layout out = *l;
    uint64_t candidate_total = kept ? q->output_row_count : q->candidate_rows;
    bool selected = list_common(q, kept, &rows), ambiguous = false;
    if (selected) {
        int of_reference = row_axis(&l->reference, q->reference_rows, &l->candidate, candidate_total);
        int of_candidate = row_axis(&l->candidate, candidate_total, &l->reference, q->reference_rows);
        selected = select_along(&out, of_reference, of_candidate, q->reference_rows, candidate_total, &rows);
        if (selected && q->reference_rows == candidate_total && ls_view_elements(&out.reference) == ls_view_elements(&out.candidate))
            ambiguous = is_ambiguous(q, l, &out, of_reference, candidate_total, &rows);
        selected = selected && !ambiguous;
    }
    if (selected) {
        *l = out;
        say_rows(s, "row", rows.reference, rows.count, q->reference_rows);
        say_rows(s, "candidate's row", rows.candidate, rows.count, candidate_total);
    } else {
        ls_layout_done(&out);
        l->ambiguous = ambiguous;
    }
    free(rows.reference);
    free(rows.candidate);
    return selected;
}

/* ------------------------------------------------------------------ batches */

static bool is_whole_axis(const ls_grid_axis *axis, uint64_t of_reference, uint64_t of_candidate) {
    bool whole = axis->count == of_reference && axis->count == of_candidate;
    for (size_t i = 0; i < axis->count && whole; i++)
        whole = axis->reference[i] == i && axis->candidate[i] == i;
    return whole;
}

/* Selects along one axis of both sides. */
static bool select_both(ls_layout *l, int axis, const ls_grid_axis *wanted) {
    return select_rows(&l->reference, axis, l->reference.shape[axis], wanted->reference, wanted->count, &l->gathered[0]) &&
           select_rows(&l->candidate, axis, l->candidate.shape[axis], wanted->candidate, wanted->count, &l->gathered[1]);
}

static bool are_sizes(const ls_layout *l, int axis, uint64_t of_reference, uint64_t of_candidate) {
    return l->reference.shape[axis] == of_reference && l->candidate.shape[axis] == of_candidate;
}

/* Copies the rows that two batches with different padding share into one axis. A row brings its other axes
 * along; where there is a second axis of tokens (scores), only the tokens of its own sequence. */
static bool flatten(const ls_grids *g, ls_view *v, bool of_reference, int batch, unsigned axes, void **out_copy) {
    uint64_t length = of_reference ? g->reference.length : g->candidate.length, rest = 1, total = 0;
    int first = -1, second = -1, count = 0;
    for (int i = 0; i < v->rank; i++) {
        bool token = axes >> i & 1;
        first = token && first < 0 ? i : first;
        second = token && first != i ? i : second;
        count += token;
        rest *= token || i == batch ? 1 : v->shape[i];
    }
    for (size_t from = 0, to; from < g->row_count; from = to) {
        to = ls_grids_run(g, from);
        total += (to - from) * (second >= 0 ? to - from : 1) * rest;
    }
    size_t bytes = element_bytes(v);
    uint8_t *copy = count == 0 || count > 2 || ls_dtype(v->dtype)->block_elements > 1 ? NULL : calloc(total + 1, bytes), *at = copy;
    for (size_t from = 0, to; copy != NULL && from < g->row_count; from = to) {
        to = ls_grids_run(g, from);
        for (size_t i = from; i < to; i++)
            for (size_t k = from; k < (second >= 0 ? to : from + 1); k++, at += rest * bytes) {
                uint64_t row = of_reference ? g->rows[i].reference : g->rows[i].candidate, key = of_reference ? g->rows[k].reference : g->rows[k].candidate;
                ls_view one = *v;
                one.factor = 0;
                if (batch >= 0)
                    narrow(&one, batch, row / length, 1, 1);
                narrow(&one, first, row % length, 1, 1);
                if (second >= 0)
                    narrow(&one, second, key % length, 1, 1);
                ls_view_read_raw(&one, 0, rest, at);
            }
    }
    if (copy == NULL)
        return false;
    v->data = *out_copy = copy;
    v->rank = 1;
    v->shape[0] = total;
    v->swap = v->mapped = false;
    ls_view_set_contiguous(v);
    return true;
}

static bool take(const ls_layout_request *q, ls_layout *l, int batch, unsigned axes) {
    const ls_grids *g = q->grids;
    if (!g->regular)
        return flatten(g, &l->reference, true, batch, axes, &l->gathered[0]) && flatten(g, &l->candidate, false, batch, axes, &l->gathered[1]);
    bool selected = batch < 0 || select_both(l, batch, &g->sequences);
    for (int i = 0; i < l->reference.rank && selected; i++)
        selected = !(axes >> i & 1) || select_both(l, i, &g->tokens);
    return selected;
}

static bool take_into(const ls_layout_request *q, const ls_layout *from, int batch, unsigned axes, ls_layout *out) {
    ls_layout l = *from;
    if (!take(q, &l, batch, axes)) {
        ls_layout_done(&l);
        return false;
    }
    *out = l;
    return true;
}

/* Several axes have as many elements as there are tokens. The values decide between them; but where one
 * choice agrees and another doesn't, a fault could hide behind the choice, and none is made. */
static bool choose_axis(const ls_layout_request *q, const ls_layout *from, int batch, unsigned possible, ls_layout *out) {
    bool found = false, agrees = false;
    for (int i = 0; i < from->reference.rank; i++) {
        ls_layout l;
        if (!(possible >> i & 1) || !take_into(q, from, batch, 1u << i, &l))
            continue;
        bool own = ls_sampled_error(&l.reference, &l.candidate, SAMPLE) < AGREES;
        if (found && own != agrees) {
            ls_layout_done(&l);
            ls_layout_done(out);
            out->ambiguous = true;
            return false;
        }
        if (found)
            ls_layout_done(&l);
        else
            *out = l;
        agrees = own;
        found = true;
    }
    return found;
}

/* Batches in tensors of equal rank. Axes that differ in size are those of sequences or tokens. Axes of equal
 * size may be, too, where different tokens are selected from equally many; the values decide. */
static bool select_axes(const ls_layout_request *q, const ls_layout *from, ls_layout *out) {
    const ls_grids *g = q->grids;
    bool all_sequences = g->regular && is_whole_axis(&g->sequences, g->reference.sequences, g->candidate.sequences);
    bool all_tokens = g->regular && is_whole_axis(&g->tokens, g->reference.length, g->candidate.length);
    int batch = -1, rank = from->reference.rank;
    unsigned needed = 0, possible = 0;
    for (int i = 0; i < rank; i++) {
        bool differ = from->reference.shape[i] != from->candidate.shape[i];
        if (!all_sequences && batch < 0 && are_sizes(from, i, g->reference.sequences, g->candidate.sequences) && (differ || i == 0))
            batch = i;
        else if (!all_tokens && are_sizes(from, i, g->reference.length, g->candidate.length))
            *(differ ? &needed : &possible) |= 1u << i;
        else if (differ)
            return false;
    }
    if (batch < 0 && needed == 0 && possible == 0)
        return false; /* neither axis is present: all rows may be along one */
    for (int i = 0; batch < 0 && !all_sequences && i < rank; i++)
        if (!((needed | possible) >> i & 1) && are_sizes(from, i, g->reference.sequences, g->candidate.sequences) && g->reference.sequences > 1)
            return false; /* that axis may be sequences, or equally many of something else */
    if (q->square) /* both of the last axes are tokens */
        return take_into(q, from, batch, needed | (possible & (3u << (rank >= 2 ? rank - 2 : 0))), out);
    if (needed != 0 || possible == 0)
        return take_into(q, from, batch, needed, out);
    unsigned channels = 1u << (rank - 1); /* the innermost axis is rarely one of tokens */
    return choose_axis(q, from, batch, possible != channels ? possible & ~channels : possible, out);
}

/* Where the ranks differ, selects one side's rows by themselves: along an axis of sequences and an axis of
 * tokens, or along a single axis of all rows. */
static bool select_rows_of(ls_view *v, const ls_grid *grid, const uint32_t *sequences, size_t sequence_count, const uint32_t *tokens,
                           size_t token_count, void **out_copy) {
    int batch = -1, token = -1;
    for (int i = 0; i < v->rank; i++) {
        token = token < 0 && (batch >= 0 || grid->sequences == 1) && v->shape[i] == grid->length ? i : token;
        batch = batch < 0 && grid->sequences > 1 && v->shape[i] == grid->sequences ? i : batch;
    }
    if (token >= 0)
        return (batch < 0 || select_rows(v, batch, grid->sequences, sequences, sequence_count, out_copy)) &&
               select_rows(v, token, grid->length, tokens, token_count, out_copy);
    size_t count = sequence_count * token_count;
    uint32_t *rows = malloc((count + 1) * sizeof *rows);
    for (size_t i = 0; rows != NULL && i < count; i++)
        rows[i] = (uint32_t)(sequences[i / token_count] * grid->length + tokens[i % token_count]);
    bool selected = rows != NULL && select_rows(v, axis_of_size(v, grid->sequences * grid->length), grid->sequences * grid->length, rows, count, out_copy);
    free(rows);
    return selected;
}

static bool select_grid(const ls_layout_request *q, ls_layout *l, steps *s) {
    const ls_grids *g = q->grids;
    ls_layout out = {.text = ""};
    bool selected;
    if (l->reference.rank == l->candidate.rank) {
        selected = select_axes(q, l, &out);
    } else if (!g->regular) {
        return false;
    } else {
        out = *l;
        selected = select_rows_of(&out.reference, &g->reference, g->sequences.reference, g->sequences.count, g->tokens.reference, g->tokens.count, &out.gathered[0]) &&
                   select_rows_of(&out.candidate, &g->candidate, g->sequences.candidate, g->sequences.count, g->tokens.candidate, g->tokens.count, &out.gathered[1]);
    }
    if (!selected || ls_view_elements(&out.reference) != ls_view_elements(&out.candidate)) {
        ls_layout_done(&out);
        l->ambiguous = out.ambiguous;
        return false;
    }
    *l = out;
    if (!g->regular) {
        say(s, "%zu shared rows", g->row_count);
        return true;
    }
    say_rows(s, "sequence", g->sequences.reference, g->sequences.count, g->reference.sequences);
    say_rows(s, "row", g->tokens.reference, g->tokens.count, g->reference.length);
    say_rows(s, "candidate's sequence", g->sequences.candidate, g->sequences.count, g->candidate.sequences);
    say_rows(s, "candidate's row", g->tokens.candidate, g->tokens.count, g->candidate.length);
    return true;
}

/* The axis of a KV cache in a view, or -1; *live becomes its visible columns. */
static int cache_axis(const ls_view *v, const ls_kv_window *own, int from_last, ls_kv_window *live) {
    int axis = v->rank - 1 - from_last;
    if (axis < 0)
        return -1;
    bool padded = own->padded != 0 && own->padded == v->shape[axis];
    *live = padded ? *own : (ls_kv_window){v->shape[axis], 0, v->shape[axis], from_last};
    return axis;
}

/* Leaves out the newest columns: tokens that the other side has not seen yet. */
static void cut_newest(ls_kv_window *own, int32_t last, int32_t other_last) {
    uint64_t ahead = last >= 0 && other_last >= 0 && last > other_last ? (uint64_t)(last - other_last) : 0;
    own->count -= ahead < own->count ? ahead : 0;
}

/* Cuts the padding of a KV cache's axis. One side may have dropped more of the oldest columns (a sliding
 * window): the newest ones are shared. */
static void cut_columns(const ls_layout_request *q, ls_view *ref, ls_view *cand, uint64_t *out_columns, steps *s) {
    const ls_kv_window *of_reference = &q->reference_window, *of_candidate = &q->candidate_window;
    if ((of_reference->padded == 0 && of_candidate->padded == 0) ||
        ls_dtype(ref->dtype)->block_elements > 1 || ls_dtype(cand->dtype)->block_elements > 1)
        return;
    int from_last = of_candidate->padded != 0 ? of_candidate->from_last : of_reference->from_last;
    ls_kv_window r = {0}, c = {0};
    int b = cache_axis(ref, of_reference, from_last, &r), a = cache_axis(cand, of_candidate, from_last, &c);
    if (a >= 0 && b >= 0) {
        cut_newest(&r, q->reference_last, q->candidate_last);
        cut_newest(&c, q->candidate_last, q->reference_last);
    }
    uint64_t count = a < 0 || b < 0 ? 0 : r.count < c.count ? r.count : c.count;
    if (count == 0)
        return;
    *out_columns = from_last == 0 ? count : *out_columns;
    if (count < r.padded)
        narrow(ref, b, r.first + r.count - count, 1, count);
    if (count < c.padded)
        narrow(cand, a, c.first + c.count - count, 1, count);
    if (count < c.padded || count < r.padded)
        say(s, "%llu of %llu columns", (unsigned long long)count,
            (unsigned long long)(c.padded > r.padded ? c.padded : r.padded));
}

static bool divides(uint64_t elements, uint64_t rows) { return rows > 0 && elements % rows == 0; }

static lockstep_status select_elements(const ls_layout_request *q, ls_layout *l, steps *s, lockstep_error *error) {
    l->columns = l->candidate.rank > 0 ? l->candidate.shape[l->candidate.rank - 1] : 1;
    cut_columns(q, &l->reference, &l->candidate, &l->columns, s);
    uint64_t er = ls_view_elements(&l->reference), ec = ls_view_elements(&l->candidate);
    bool rows_known = q->passes != NULL && q->passes->rows != NULL;
    bool row_sized = divides(er, q->reference_rows) && divides(ec, q->candidate_rows) &&
                     er / q->reference_rows == ec / q->candidate_rows;
    bool kept_sized = q->output_row_count > 0 && q->output_row_count != q->candidate_rows && divides(er, q->reference_rows) &&
                      divides(ec, q->output_row_count) && er / q->reference_rows == ec / q->output_row_count;
    bool batches = q->grids != NULL && (q->grids->reference.sequences > 1 || q->grids->candidate.sequences > 1);
    if (batches && select_grid(q, l, s))
        return LOCKSTEP_OK;
    if (l->ambiguous)
        return mismatch(q, error);
    if (rows_known && kept_sized && select_common(q, l, true, s))
        return LOCKSTEP_OK;
    if (rows_known && !q->passes->whole && row_sized && select_common(q, l, false, s))
        return LOCKSTEP_OK;
    if (q->grids != NULL && er != ec && select_grid(q, l, s))
        return LOCKSTEP_OK;
    /* equally many rows, but not the same ones */
    bool other_rows = l->ambiguous || (rows_known && !q->passes->whole && (row_sized || kept_sized));
    return er == ec && !other_rows ? LOCKSTEP_OK : mismatch(q, error);
}

/* ------------------------------------------------------------------ permuting */

/* Axes can merge or split where they share boundaries: the prefix products of one shape contain those of the
 * other. */
static bool compatible(const ls_view *a, const ls_view *b) {
    uint64_t products[2][LOCKSTEP_MAX_RANK + 1];
    const ls_view *views[2] = {a, b};
    for (int k = 0; k < 2; k++) {
        uint64_t product = 1;
        for (int i = 0; i < views[k]->rank; i++)
            products[k][i] = product *= views[k]->shape[i];
    }
    for (int k = 0; k < 2; k++) {
        const ls_view *few = views[k], *many = views[1 - k];
        int j = 0;
        bool all = true;
        for (int i = 0; i < few->rank && all; i++) {
            while (j < many->rank && products[1 - k][j] < products[k][i])
                j++;
            all = j < many->rank && products[1 - k][j] == products[k][i];
        }
        if (all)
            return true;
    }
    return a->rank == 0 || b->rank == 0;
}

/* Rotary halves [2, n/2] of each head seen as interleaved pairs [n/2, 2]. */
static bool pair_up(ls_view *v, uint64_t head) {
    int last = v->rank - 1;
    if (last < 0 || head < 2 || head % 2 != 0 || v->shape[last] % head != 0 || v->rank + 2 > LOCKSTEP_MAX_RANK)
        return false;
    int64_t stride = v->strides[last];
    uint64_t heads = v->shape[last] / head;
    v->shape[last] = heads;
    v->strides[last] = stride * (int64_t)head;
    v->shape[last + 1] = head / 2;
    v->strides[last + 1] = stride;
    v->shape[last + 2] = 2;
    v->strides[last + 2] = stride * (int64_t)(head / 2);
    v->rank += 2;
    return true;
}

/* A search over permutations of one side's axes for the one under which it reads like the other side. */
typedef struct search {
    ls_view moving, fixed; /* squeezed */
    ls_reorder reorder;    /* of the moving side */
    uint64_t head_size;
    uint64_t kind;
    bool of_candidate; /* the moving side is the candidate */
    const ls_map *votes;
    ls_layout_choice choice;
    ls_view best;
    double best_error;
    bool best_is_exact; /* on all elements */
    uint64_t best_votes, best_code; /* code: the axes as decimal digits, from 1 */
    bool found;
    bool counting;       /* only find out how many permutations there are */
    unsigned candidates; /* how many there are; when there is only one, the values are not read */
} search;

static ls_layout_vote vote_for(const search *s, uint64_t code) {
    return (ls_layout_vote){s->kind, s->of_candidate, (uint64_t)s->moving.rank * 100 + (uint64_t)s->fixed.rank, code};
}

static uint64_t votes_for(const search *s, uint64_t code) {
    ls_layout_vote key = vote_for(s, code);
    const uint64_t *votes = s->choice == LS_LAYOUT_LEARN ? NULL : ls_map_find(s->votes, (const char *)&key, sizeof key);
    return votes != NULL ? *votes : 0;
}

/* Is this permutation closer than the best so far? Where a sample doesn't decide, larger and larger samples
 * are taken, up to all elements. */
static bool is_closer(search *s, const ls_view *v, double *error) {
    uint64_t elements = ls_view_elements(v);
    for (uint64_t sample = SAMPLE;; sample *= 16) {
        bool alike = *error < 2 * s->best_error && s->best_error < 2 * *error; /* also false for equal zeros */
        bool undecided = alike || (*error == 0 && s->best_error == 0 && !s->best_is_exact);
        if (!undecided || sample >= elements)
            return *error < s->best_error;
        *error = ls_sampled_error(v, &s->fixed, sample * 16);
        s->best_error = ls_sampled_error(&s->best, &s->fixed, sample * 16);
        s->best_is_exact = s->best_error == 0 && sample * 16 >= elements;
    }
}

static void consider(search *s, const int *axes) {
    ls_view v = s->moving;
    uint64_t code = 0;
    for (int i = 0; i < v.rank; i++) {
        v.shape[i] = s->moving.shape[axes[i]];
        v.strides[i] = s->moving.strides[axes[i]];
        code = code * 10 + (uint64_t)axes[i] + 1;
    }
    if (!compatible(&v, &s->fixed))
        return;
    if (s->reorder == LS_REORDER_ROPE_PAIRS &&
        (v.rank == 0 || axes[v.rank - 1] != v.rank - 1 || !pair_up(&v, s->head_size)))
        return;
    if (s->counting) {
        s->candidates++;
        return;
    }
    uint64_t votes = votes_for(s, code);
    double error = s->candidates > 1 ? ls_sampled_error(&v, &s->fixed, SAMPLE) : 0;
    if (!s->found || votes > s->best_votes || (votes == s->best_votes && is_closer(s, &v, &error))) {
        s->best = v;
        s->best_error = error;
        s->best_is_exact = false;
        s->best_votes = votes;
        s->best_code = code;
        s->found = true;
    }
}

/* Visits permutations in lexicographic order, beginning with the axes as they are. */
static void permute(search *s, int *axes, int done, unsigned used) {
    int rank = s->moving.rank;
    if (done == rank) {
        consider(s, axes);
        return;
    }
    for (int a = 0; a < rank; a++)
        if (!(used & 1u << a)) {
            axes[done] = a;
            permute(s, axes, done + 1, used | 1u << a);
        }
}

static bool is_identity(uint64_t code) {
    static const uint64_t identities[] = {0, 1, 12, 123, 1234, 12345, 123456, 1234567, 12345678};
    for (size_t i = 0; i < sizeof identities / sizeof identities[0]; i++)
        if (code == identities[i])
            return true;
    return false;
}

/* Finds the permutation of `moving`, with its code; false when there is none. */
static bool settle(search *s, ls_view *out_view, uint64_t *out_code, ls_layout *out_layout) {
    int axes[LOCKSTEP_MAX_RANK] = {0, 1, 2, 3, 4, 5, 6, 7};
    for (int round = 0; round < 2; round++) {
        s->counting = round == 0;
        if (s->moving.rank > PERMUTED_RANK_MAX || ls_dtype(s->moving.dtype)->block_elements > 1)
            consider(s, axes); /* too many permutations, or elements that can't be addressed one by one */
        else
            permute(s, axes, 0, 0);
    }
    if (!s->found)
        return false;
    *out_view = s->best;
    *out_code = s->best_code;
    out_layout->vote = vote_for(s, s->best_code);
    out_layout->has_vote = s->best_error < AGREES && ls_view_elements(&s->fixed) > 16;
    out_layout->has_choice = s->candidates > 1;
    return true;
}

void ls_layout_cast(ls_map *votes, const ls_layout_vote *vote) {
    uint64_t *slot = ls_map_at(votes, (const char *)vote, sizeof *vote);
    if (slot != NULL)
        ++*slot;
}

lockstep_status ls_layout_find(const ls_layout_request *q, const ls_map *votes, ls_layout_choice choice, ls_layout *out_layout,
                               lockstep_error *error) {
    steps said = {""};
    ls_layout layout = {.reference = q->reference, .candidate = q->candidate};
    lockstep_status status = select_elements(q, &layout, &said, error);
    if (status != LOCKSTEP_OK) {
        ls_layout_done(&layout);
        return status;
    }
    ls_view reference = layout.reference, candidate = layout.candidate;
    squeeze(&reference);
    squeeze(&candidate);
    uint64_t code = 0;
    search of_reference = {.moving = reference, .fixed = candidate, .reorder = q->reorder,
                           .head_size = q->head_size, .kind = q->kind, .votes = votes, .choice = choice};
    search of_candidate = {.moving = candidate, .fixed = reference, .kind = q->kind, .of_candidate = true, .votes = votes, .choice = choice};
    if (settle(&of_reference, &layout.reference, &code, &layout)) {
        if (!is_identity(code))
            say(&said, "axes %llu", (unsigned long long)code);
    } else if (q->reorder == LS_REORDER_NONE && settle(&of_candidate, &layout.candidate, &code, &layout)) {
        say(&said, "candidate's axes %llu", (unsigned long long)code);
    } else {
        ls_layout_done(&layout);
        return mismatch(q, error);
    }
    if (q->reorder == LS_REORDER_ROPE_PAIRS)
        say(&said, "rotary halves as pairs");
    if (said.text[0] == '\0')
        say(&said, "as is");
    if (reference.rank > PERMUTED_RANK_MAX)
        say(&said, "more than %d axes: no permutation tried", PERMUTED_RANK_MAX);
    memcpy(layout.text, said.text, sizeof layout.text);
    *out_layout = layout;
    return LOCKSTEP_OK;
}

void ls_layout_done(ls_layout *layout) {
    for (int k = 0; k < 2; k++) {
        free(layout->gathered[k]);
        layout->gathered[k] = NULL;
    }
}

double ls_layout_error(const ls_layout *layout) { return ls_sampled_error(&layout->reference, &layout->candidate, SAMPLE); }
