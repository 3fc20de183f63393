#include "match/layout_rows.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compare/sample.h"

void ls_layout_say(ls_layout_steps *s, const char *format, ...) {
    size_t used = strlen(s->text);
    va_list args;
    if (used > 0 && used + 3 < sizeof s->text)
        used += (size_t)snprintf(s->text + used, sizeof s->text - used, ", ");
    va_start(args, format);
    vsnprintf(s->text + used, sizeof s->text - used, format, args);
    va_end(args);
}

lockstep_status ls_layout_mismatch(const ls_layout_request *q, lockstep_error *error) {
    char shapes[2][120] = {"", ""};
    const ls_view *views[2] = {&q->reference, &q->candidate};
    for (int k = 0; k < 2 && error != NULL; k++) {
        size_t used = 0;
        for (int i = 0; i < views[k]->rank && used + 24 < sizeof shapes[k]; i++)
            used += (size_t)snprintf(shapes[k] + used, sizeof shapes[k] - used, "%s%llu", i > 0 ? "," : "",
                                     (unsigned long long)views[k]->shape[i]);
    }
    return ls_fail(error, LOCKSTEP_INCOMPARABLE, "no layout makes [%s] of the reference [%s] of the candidate", shapes[0], shapes[1]);
}

void ls_layout_squeeze(ls_view *v) {
    int rank = 0;
    for (int i = 0; i < v->rank; i++)
        if (v->shape[i] != 1) {
            v->shape[rank] = v->shape[i];
            v->strides[rank++] = v->strides[i];
        }
    v->rank = rank;
}

void ls_layout_done(ls_layout *layout) {
    for (int k = 0; k < 2; k++) {
        free(layout->gathered[k]);
        layout->gathered[k] = NULL;
    }
}

/* ------------------------------------------------------------------ selecting */

static size_t element_bytes(const ls_view *v) { return ls_dtype(v->dtype)->block_bytes; }

static void narrow(ls_view *v, int axis, uint64_t first, uint64_t step, uint64_t count) {
    v->data += (int64_t)first * v->strides[axis] * (int64_t)element_bytes(v);
    v->strides[axis] *= (int64_t)step;
    v->shape[axis] = count;
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

/* How many rows of their passes two tensors hold. */
typedef struct held {
    uint64_t reference, candidate;
    bool assumed; /* which rows of the candidate's, is not known */
} held;

/* Row indexes of the common rows within the two tensors, in the candidate's order. */
typedef struct common {
    uint32_t *reference, *candidate;
    size_t count;
} common;

static int by_candidate_row(const void *key, const void *row) {
    uint32_t wanted = *(const uint32_t *)key, at = ((const ls_row_pair *)row)->candidate;
    return wanted < at ? -1 : wanted > at;
}

static bool make_lists(common *out, uint32_t **of_reference, uint32_t **reference_at, const ls_layout_request *q, held h) {
    *of_reference = malloc((h.reference + 1) * sizeof **of_reference);
    *reference_at = malloc((q->reference_rows.rows + 1) * sizeof **reference_at);
    out->reference = malloc((h.candidate + 1) * sizeof *out->reference);
    out->candidate = malloc((h.candidate + 1) * sizeof *out->candidate);
    return *of_reference != NULL && *reference_at != NULL && out->reference != NULL && out->candidate != NULL;
}

/* Lists the rows that both tensors hold; false if there are none. */
static bool list_common(const ls_layout_request *q, held h, common *out) {
    uint32_t *of_reference, *reference_at; /* rows of the pass that the tensor holds; where in the tensor a row of the pass is, + 1 */
    out->count = 0;
    bool ok = make_lists(out, &of_reference, &reference_at, q, h) && ls_output_rows_list(&q->reference_rows, h.reference, of_reference) &&
              ls_output_rows_list(&q->candidate_rows, h.candidate, out->candidate);
    if (ok)
        memset(reference_at, 0, q->reference_rows.rows * sizeof *reference_at);
    for (size_t i = 0; ok && i < h.reference; i++)
        if (of_reference[i] < q->reference_rows.rows)
            reference_at[of_reference[i]] = (uint32_t)i + 1;
    for (size_t i = 0; ok && i < h.candidate; i++) {
        const ls_row_pair *pair = bsearch(&out->candidate[i], q->passes->rows, q->passes->row_count, sizeof *q->passes->rows, by_candidate_row);
        if (pair == NULL || reference_at[pair->reference] == 0)
            continue;
        out->reference[out->count] = reference_at[pair->reference] - 1;
        out->candidate[out->count++] = (uint32_t)i;
    }
    free(of_reference);
    free(reference_at);
    return ok && out->count > 0;
}

static void say_rows(ls_layout_steps *s, const char *what, const uint32_t *rows, size_t count, uint64_t total) {
    uint64_t first, step;
    if (count == total)
        return;
    if (count == 1)
        ls_layout_say(s, "%s %u of %llu", what, rows[0], (unsigned long long)total);
    else if (progression(rows, count, &first, &step) && step == 1)
        ls_layout_say(s, "%ss %u-%u of %llu", what, rows[0], rows[count - 1], (unsigned long long)total);
    else
        ls_layout_say(s, "%zu of %llu %ss", count, (unsigned long long)total, what);
}

static bool select_along(ls_layout *l, int of_reference, int of_candidate, uint64_t reference_total, uint64_t candidate_total, const common *rows) {
    return select_rows(&l->reference, of_reference, reference_total, rows->reference, rows->count, &l->gathered[0]) &&
           select_rows(&l->candidate, of_candidate, candidate_total, rows->candidate, rows->count, &l->gathered[1]);
}

/* Could the rows just as well be along another axis of the reference, with one choice agreeing and the other
 * not? Then a fault could hide behind the choice. */
static bool is_ambiguous(const ls_layout *from, const ls_layout *chosen, int of_reference, uint64_t total, const common *rows) {
    bool agrees = ls_sampled_error(&chosen->reference, &chosen->candidate, LS_LAYOUT_SAMPLE) < LS_LAYOUT_AGREES, ambiguous = false;
    for (int i = 0; i < from->reference.rank && !ambiguous && from->reference.rank == from->candidate.rank; i++) {
        ls_layout l = *from;
        bool innermost = i == from->reference.rank - 1; /* rarely the axis of tokens */
        bool other = i != of_reference && !innermost && from->reference.shape[i] == total && from->candidate.shape[i] == total;
        if (other && select_along(&l, i, i, total, total, rows) && ls_view_elements(&l.reference) == ls_view_elements(&l.candidate))
            ambiguous = (ls_sampled_error(&l.reference, &l.candidate, LS_LAYOUT_SAMPLE) < LS_LAYOUT_AGREES) != agrees;
        if (other)
            ls_layout_done(&l);
    }
    return ambiguous;
}

static bool are_equal_shapes(ls_view a, ls_view b) {
    ls_layout_squeeze(&a);
    ls_layout_squeeze(&b);
    bool equal = a.rank == b.rank;
    for (int i = 0; i < a.rank && equal; i++)
        equal = a.shape[i] == b.shape[i];
    return equal;
}

/* The one axis of this size, which is not the innermost; -1 if there is none, or another one. */
static int only_axis(const ls_view *v, uint64_t size) {
    int found = -1, count = 0;
    for (int i = 0; i < v->rank; i++)
        if (v->shape[i] == size) {
            found = i;
            count++;
        }
    return count == 1 && found < v->rank - 1 ? found : -1;
}

/* Makes one axis of a batch's sequences and their rows, where the tensor holds all of them. */
static void join_batch(ls_view *v, const ls_output_rows *rows, uint64_t count) {
    if (rows->sequences < 2 || count != rows->rows || v->rank < 3 || v->shape[0] != rows->sequences || v->shape[1] != count / rows->sequences ||
        v->strides[0] != (int64_t)v->shape[1] * v->strides[1])
        return;
    v->shape[1] = count;
    v->rank--;
    memmove(v->shape, v->shape + 1, (size_t)v->rank * sizeof *v->shape);
    memmove(v->strides, v->strides + 1, (size_t)v->rank * sizeof *v->strides);
}

/* Selects the shared rows on each side; leaves *l unchanged when that can't be done. */
static bool select_common(const ls_layout_request *q, ls_layout *l, held h, ls_layout_steps *s) {
    common rows;
    ls_layout joined = *l;
    if (!h.assumed) {
        join_batch(&joined.reference, &q->reference_rows, h.reference);
        join_batch(&joined.candidate, &q->candidate_rows, h.candidate);
    }
    ls_layout out = joined;
    bool selected = list_common(q, h, &rows), ambiguous = false;
    if (selected) {
        int of_reference = h.assumed ? only_axis(&out.reference, h.reference) : row_axis(&out.reference, h.reference, &out.candidate, h.candidate);
        int of_candidate = row_axis(&out.candidate, h.candidate, &out.reference, h.reference);
        selected = select_along(&out, of_reference, of_candidate, h.reference, h.candidate, &rows);
        if (selected && h.reference == h.candidate && ls_view_elements(&out.reference) == ls_view_elements(&out.candidate))
            ambiguous = is_ambiguous(&joined, &out, of_reference, h.candidate, &rows);
        selected = selected && !ambiguous && (!h.assumed || are_equal_shapes(out.reference, out.candidate));
    }
    if (selected) {
        *l = out;
        l->reference_is_cut = h.reference < q->reference_rows.rows;
        say_rows(s, "row", rows.reference, rows.count, h.reference);
        say_rows(s, "candidate's row", rows.candidate, rows.count, h.candidate);
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
        bool own = ls_sampled_error(&l.reference, &l.candidate, LS_LAYOUT_SAMPLE) < LS_LAYOUT_AGREES;
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

static bool select_grid(const ls_layout_request *q, ls_layout *l, ls_layout_steps *s) {
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
        ls_layout_say(s, "%zu shared rows", g->row_count);
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
static void cut_columns(const ls_layout_request *q, ls_view *ref, ls_view *cand, uint64_t *out_columns, ls_layout_steps *s) {
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
        ls_layout_say(s, "%llu of %llu columns", (unsigned long long)count,
            (unsigned long long)(c.padded > r.padded ? c.padded : r.padded));
}

static bool divides(uint64_t elements, uint64_t rows) { return rows > 0 && elements % rows == 0; }

/* Lists how many rows the tensors may hold, the likeliest first: their elements per row have to agree. The candidate
 * may have dropped rows without a trace of it in its graph. */
static size_t list_held(const ls_layout_request *q, uint64_t er, uint64_t ec, held out[5]) {
    const ls_output_rows *r = &q->reference_rows, *c = &q->candidate_rows;
    const uint64_t left = divides(er, r->rows) && er > 0 && divides(ec, er / r->rows) ? ec / (er / r->rows) : 0;
    const held ways[] = {{r->selected_count, c->selected_count, false}, {r->rows, c->selected_count, false}, {r->selected_count, c->rows, false},
                         {r->rows, c->rows, false}, {r->rows, left < c->rows ? left : 0, true}};
    size_t count = 0;
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++)
        if (divides(er, ways[i].reference) && divides(ec, ways[i].candidate) && er / ways[i].reference == ec / ways[i].candidate && (er != ec || !ways[i].assumed))
            out[count++] = ways[i];
    return count;
}

/* The axis of a batch's tokens, after that of its sequences; -1 if there is none, or another one like it. */
static int token_axis(const ls_view *v, const ls_output_rows *rows) {
    ls_view tokens = *v;
    const int batch = axis_of_size(v, rows->sequences);
    for (int i = 0; i <= batch; i++)
        tokens.shape[i] = 0;
    return batch < 0 ? -1 : only_axis(&tokens, rows->rows / rows->sequences);
}

/* Are these the last rows of each sequence? */
static bool are_last(const ls_output_rows *rows) {
    ls_output_rows unknown = *rows;
    uint32_t *last = malloc((rows->selected_count + 1) * sizeof *last);
    unknown.selected_count = 0;
    bool equal = last != NULL && ls_output_rows_list(&unknown, rows->selected_count, last);
    for (size_t i = 0; i < rows->selected_count && equal; i++)
        equal = rows->selected[i] >= 0 && (uint32_t)rows->selected[i] == last[i];
    free(last);
    return equal;
}

/* A batch of the same sequences on both sides, of which one kept the last rows of each: the candidate, or a reference
 * whose graph says so. */
static bool select_last(const ls_layout_request *q, ls_layout *l, bool of_reference, ls_layout_steps *s) {
    ls_view v = of_reference ? l->candidate : l->reference; /* has all rows */
    const ls_view *other = of_reference ? &l->reference : &l->candidate;
    const ls_output_rows *rows = of_reference ? &q->candidate_rows : &q->reference_rows;
    const int axis = rows->sequences > 1 ? token_axis(&v, rows) : -1;
    const uint64_t length = axis >= 0 ? v.shape[axis] : 0, elements = ls_view_elements(&v);
    const uint64_t kept = elements > 0 && axis >= 0 ? ls_view_elements(other) / (elements / length) : 0;
    if (kept == 0 || kept >= length || (of_reference && (q->reference_rows.selected_count != kept * rows->sequences || !are_last(&q->reference_rows))))
        return false;
    narrow(&v, axis, length - kept, 1, kept);
    if (!are_equal_shapes(v, *other))
        return false;
    *(of_reference ? &l->candidate : &l->reference) = v;
    l->reference_is_cut = of_reference;
    ls_layout_say(s, "%s %llu rows of each sequence (of %llu)", of_reference ? "candidate's last" : "last", (unsigned long long)kept, (unsigned long long)length);
    return true;
}

lockstep_status ls_layout_select(const ls_layout_request *q, ls_layout *l, ls_layout_steps *s, lockstep_error *error) {
    l->columns = l->candidate.rank > 0 ? l->candidate.shape[l->candidate.rank - 1] : 1;
    cut_columns(q, &l->reference, &l->candidate, &l->columns, s);
    uint64_t er = ls_view_elements(&l->reference), ec = ls_view_elements(&l->candidate);
    const bool rows_known = q->passes != NULL && q->passes->rows != NULL, whole = rows_known && q->passes->whole;
    const bool batches = q->grids != NULL && (q->grids->reference.sequences > 1 || q->grids->candidate.sequences > 1);
    held ways[5];
    size_t count = rows_known ? list_held(q, er, ec, ways) : 0;
    if (batches && select_grid(q, l, s))
        return LOCKSTEP_OK;
    for (size_t i = 0; i < count && !l->ambiguous; i++)
        if (!(whole && ways[i].reference == ways[i].candidate) && select_common(q, l, ways[i], s))
            return LOCKSTEP_OK;
    if (l->ambiguous)
        return ls_layout_mismatch(q, error);
    if (q->grids != NULL && er != ec && select_grid(q, l, s))
        return LOCKSTEP_OK;
    if (whole && er != ec && (select_last(q, l, false, s) || select_last(q, l, true, s)))
        return LOCKSTEP_OK;
    /* where elements are equally many, rows are known: then they were not the same ones */
    return er == ec && (whole || count == 0) ? LOCKSTEP_OK : ls_layout_mismatch(q, error);
}
