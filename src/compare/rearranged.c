#include "compare/rearranged.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ALL_ROWS = 4096 /* of which each is compared with each */, LOOK = 48 /* columns that are compared then */, ELEMENTS = 3, NOWHERE = -1 };

typedef struct rows {
    const ls_row_table *t;
    ls_row_texts *texts;
    bool *differs;
    size_t count; /* that differ */
    long *from;   /* the reference's row that each of the candidate's holds; NOWHERE */
} rows;

static const double *reference_row(const ls_row_table *t, size_t row) { return t->reference + row * t->columns; }
static const double *candidate_row(const ls_row_table *t, size_t row) { return t->candidate + row * t->columns; }

/* Squared relative error of the candidate's row `c`, divided by a factor, as the reference's row `r`. */
static double error_of(const ls_row_table *t, size_t r, size_t c, size_t columns, double factor) {
    const double *a = reference_row(t, r), *b = candidate_row(t, c);
    double difference = 0, squares = 0;
    for (size_t i = 0; i < columns; i++) {
        const double d = b[i] - factor * a[i];
        difference += d * d;
        squares += factor * factor * a[i] * a[i];
    }
    squares = fmax(squares, t->typical);
    return difference == 0 ? 0 : squares > 0 ? difference / squares : INFINITY;
}

static bool is_same(const ls_row_table *t, size_t r, size_t c, double factor) { return error_of(t, r, c, t->columns, factor) <= t->allowed; }

/* ------------------------------------------------------------------ lists */

/* "3", "0-63", "1, 5, 9", and so on as far as there is room. */
static void put_list(const bool *which, size_t count, char *out, size_t capacity) {
    enum { RANGES = 6 };
    size_t used = 0, ranges = 0;
    for (size_t at = 0, end; at < count && used < capacity; at = end) {
        for (end = at + 1; which[at] && end < count && which[end];)
            end++;
        if (!which[at])
            continue;
        const char *comma = used > 0 ? ", " : "";
        if (ranges++ == RANGES) {
            snprintf(out + used, capacity - used, "%s…", comma);
            return;
        }
        const int length = end - at == 1 ? snprintf(out + used, capacity - used, "%s%zu", comma, at) : snprintf(out + used, capacity - used, "%s%zu-%zu", comma, at, end - 1);
        used += length > 0 ? (size_t)length : 0;
    }
}

/* "row 3", "rows 0-63". */
static void name_rows(const rows *w) {
    char list[LS_ROWS_TEXT - 16] = "";
    put_list(w->differs, w->t->rows, list, sizeof list);
    snprintf(w->texts->rows, sizeof w->texts->rows, "%s%s %s", w->t->row, w->count == 1 ? "" : "s", list);
}

static void begin(const rows *w, ls_cause *out, const char *id, const char *sentence) {
    *out = (ls_cause){.id = id, .sentence = sentence};
    ls_cause_set_text(out, "rows", w->texts->rows);
    ls_cause_set_number(out, "of", (double)w->t->rows);
}

/* ------------------------------------------------------------------ few rows */

static bool is_zero(const double *values, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (values[i] != 0)
            return false;
    return true;
}

static bool are_zero(const rows *w, ls_cause *out) {
    for (size_t i = 0; i < w->t->rows; i++)
        if (w->differs[i] && !is_zero(candidate_row(w->t, i), w->t->columns))
            return false;
    begin(w, out, "all-zero", w->count == 1 ? "{rows} of {of:9} is zero in the candidate" : "{rows} of {of:9} are zero in the candidate");
    return true;
}

static size_t first_that_differs(const rows *w) {
    size_t at = 0;
    while (!w->differs[at])
        at++;
    return at;
}

/* The factor of a row, by least squares. */
static double factor_of(const ls_row_table *t, size_t row) {
    const double *a = reference_row(t, row), *b = candidate_row(t, row);
    double product = 0, squares = 0;
    for (size_t i = 0; i < t->columns; i++) {
        product += a[i] * b[i];
        squares += a[i] * a[i];
    }
    return squares > 0 ? product / squares : 0;
}

static bool are_scaled(const rows *w, ls_cause *out) {
    const double factor = factor_of(w->t, first_that_differs(w));
    bool all = factor != 0 && isfinite(factor) && w->t->columns > 1;
    for (size_t i = 0; i < w->t->rows && all; i++)
        all = !w->differs[i] || is_same(w->t, i, i, factor);
    if (!all)
        return false;
    begin(w, out, "row-scale", "{rows} of {of:9} in the candidate: the reference's times {factor}");
    ls_cause_set_number(out, "factor", factor);
    return true;
}

static size_t worst_column(const ls_row_table *t, size_t row) {
    const double *a = reference_row(t, row), *b = candidate_row(t, row);
    size_t worst = 0;
    for (size_t i = 1; i < t->columns; i++)
        worst = fabs(b[i] - a[i]) > fabs(b[worst] - a[worst]) ? i : worst;
    return worst;
}

/* Whether one element of a row makes the difference. In a type with blocks, a large one takes the precision of those beside it: they are
 * rounded to multiples of a share of it. */
static bool has_one_element(const ls_row_table *t, size_t row, size_t *out_column) {
    enum { BLOCK = 256, MARGIN = 16 /* of `allowed` */ };
    const double *a = reference_row(t, row), *b = candidate_row(t, row);
    const size_t worst = *out_column = worst_column(t, row);
    const double rounding = t->columns > 2 ? fabs(b[worst]) * sqrt(t->allowed / MARGIN) : 0;
    double difference = 0, squares = 0;
    for (size_t i = 0; i < t->columns; i++) {
        const bool is_rounded = i / BLOCK == worst / BLOCK && fabs(b[i] - a[i]) <= rounding;
        difference += i == worst || is_rounded ? 0 : (b[i] - a[i]) * (b[i] - a[i]);
        squares += i == worst ? 0 : a[i] * a[i];
    }
    return t->columns == 1 || difference <= t->allowed * squares;
}

static bool is_one_element(const rows *w, ls_cause *out) {
    size_t column = 0;
    const size_t row = first_that_differs(w);
    if (w->count != 1 || w->t->is_cut || !has_one_element(w->t, row, &column))
        return false;
    if (w->t->columns == 1)
        snprintf(w->texts->rows, sizeof w->texts->rows, "%s %zu", w->t->row, row);
    else
        snprintf(w->texts->rows, sizeof w->texts->rows, "%s %zu, %s %zu", w->t->row, row, w->t->column, column);
    *out = (ls_cause){.id = "element", .sentence = "one element ({rows}) is {value:5}, where the reference has {reference:5}"};
    ls_cause_set_text(out, "rows", w->texts->rows);
    ls_cause_set_number(out, "value", candidate_row(w->t, row)[column]);
    ls_cause_set_number(out, "reference", reference_row(w->t, row)[column]);
    return true;
}

/* The candidate has one number throughout, and the reference does not. */
static bool is_constant(const ls_row_table *t, ls_cause *out) {
    const size_t count = t->rows * t->columns;
    bool varies = false;
    for (size_t i = 1; i < count; i++) {
        if (t->candidate[i] != t->candidate[0])
            return false;
        varies = varies || t->reference[i] != t->reference[0];
    }
    *out = (ls_cause){.id = t->candidate[0] == 0 ? "all-zero" : "constant", .sentence = "every element of the candidate is {value}"};
    ls_cause_set_number(out, "value", t->candidate[0]);
    return varies && !t->is_cut;
}

/* ------------------------------------------------------------------ the order of rows */

static long find_row(const ls_row_table *t, size_t c) {
    const size_t look = t->columns < LOOK ? t->columns : LOOK;
    double least = INFINITY;
    long best = NOWHERE;
    for (size_t r = 0; r < t->rows; r++) {
        const double error = error_of(t, r, c, look, 1);
        if (error < least) {
            least = error;
            best = (long)r;
        }
    }
    return best != NOWHERE && !is_zero(candidate_row(t, c), t->columns) && is_same(t, (size_t)best, c, 1) ? best : NOWHERE;
}

static size_t last_that_differs(const rows *w) {
    size_t at = w->t->rows - 1;
    while (!w->differs[at])
        at--;
    return at;
}

/* Of many rows, only whether they are shifted by one number is looked at. Where most differ, they are shifted or permuted only if the
 * first or the last of them is found. */
static void find_rows(rows *w, bool few) {
    const ls_row_table *t = w->t;
    const bool all = t->rows <= ALL_ROWS;
    size_t anchor = first_that_differs(w);
    long place = all && few ? 0 : find_row(t, anchor);
    if (place == NOWHERE)
        place = find_row(t, anchor = last_that_differs(w));
    if (place == NOWHERE)
        return;
    for (size_t c = 0; c < t->rows; c++) {
        if (!w->differs[c])
            continue;
        const size_t moved = (size_t)(((long)c + place - (long)anchor + (long)t->rows) % (long)t->rows);
        w->from[c] = all ? find_row(t, c) : is_same(t, moved, c, 1) ? (long)moved : NOWHERE;
    }
}

/* How many of the candidate's rows are the reference's `by` rows before them. */
static size_t count_shifted(const rows *w, long by, bool wraps) {
    const long n = (long)w->t->rows;
    size_t count = 0;
    for (long c = 0; c < n; c++)
        count += w->from[c] != NOWHERE && (wraps ? (c - w->from[c] - by) % n == 0 : c - w->from[c] == by);
    return count;
}

static bool are_shifted(const rows *w, ls_cause *out) {
    const size_t n = w->t->rows;
    size_t first = 0;
    while (first < n && (!w->differs[first] || w->from[first] == NOWHERE))
        first++;
    if (first == n)
        return false;
    const long by = (long)first - w->from[first], other = by > 0 ? by - (long)n : by + (long)n, least = labs(by) <= labs(other) ? by : other;
    const bool rolled = count_shifted(w, by, true) == n;
    const size_t lost = (size_t)labs(by);
    if (!rolled && (8 * lost > n || count_shifted(w, by, false) + lost < n))
        return false;
    snprintf(w->texts->rows, sizeof w->texts->rows, "%ss", w->t->row);
    begin(w, out, rolled ? "rolled" : "row-shift", rolled ? "the candidate's {rows} are the reference's, rolled by {by:9}" : "the candidate's {rows} are the reference's, shifted by {by:9}");
    ls_cause_set_number(out, "by", (double)(rolled ? least : by));
    return true;
}

/* Whether blocks of so many rows keep their inner order, and begin where the reference's do. */
static bool are_blocks(const rows *w, size_t size) {
    if (w->t->rows % size != 0)
        return false;
    for (size_t c = 0; c < w->t->rows; c++)
        if (w->from[c] == NOWHERE || (size_t)w->from[c] % size != c % size || (c % size > 0 && w->from[c] != w->from[c - 1] + 1))
            return false;
    return true;
}

static bool are_blocks_of_heads(const rows *w) { return w->t->head > 1 && w->t->head < w->t->rows && are_blocks(w, w->t->head); }

/* Each row of the reference is there once. */
static bool is_permutation(const rows *w) {
    bool *held = calloc(w->t->rows, sizeof *held);
    bool all = held != NULL;
    for (size_t c = 0; c < w->t->rows && all; c++) {
        all = w->from[c] != NOWHERE && !held[w->from[c]];
        if (all)
            held[w->from[c]] = true;
    }
    free(held);
    return all;
}

static size_t block_size(const rows *w) {
    for (size_t size = w->t->rows / 2; size > 0; size--)
        if (are_blocks(w, size))
            return size;
    return 0;
}

/* "3, 2, 1, 0" */
static void put_order(const rows *w, size_t size, char *out, size_t capacity) {
    enum { SHOWN = 16 };
    size_t used = 0;
    for (size_t c = 0; c < w->t->rows && used < capacity; c += size) {
        const bool more = c / size >= SHOWN;
        const int length = more ? snprintf(out + used, capacity - used, ", …") : snprintf(out + used, capacity - used, "%s%zu", c > 0 ? ", " : "", (size_t)w->from[c] / size);
        used += length > 0 ? (size_t)length : 0;
        if (more)
            return;
    }
}

/* Within blocks of so many rows, the candidate's are the reference's halves, one after another of each; or the other way round. */
static bool are_interleaved(const rows *w, size_t size, bool inverse) {
    for (size_t c = 0; c < w->t->rows; c++) {
        const size_t at = c % size, half = size / 2, from = inverse ? (at < half ? 2 * at : 2 * (at - half) + 1) : at % 2 * half + at / 2;
        if (w->from[c] == NOWHERE || (size_t)w->from[c] != c - at + from)
            return false;
    }
    return true;
}

static bool are_rotary_pairs(const rows *w, ls_cause *out) {
    enum { LEAST = 4 };
    for (size_t size = LEAST; size <= w->t->rows; size += 2)
        for (int inverse = 0; w->t->rows % size == 0 && inverse < 2; inverse++) {
            if (!are_interleaved(w, size, inverse == 1))
                continue;
            *out = (ls_cause){.id = "rope-interleave", .sentence = inverse ? "within each {size:9} {rows}, the reference's pairs are halves in the candidate" : "within each {size:9} {rows}, the reference's halves are pairs in the candidate"};
            snprintf(w->texts->rows, sizeof w->texts->rows, "%ss", w->t->row);
            ls_cause_set_text(out, "rows", w->texts->rows);
            ls_cause_set_number(out, "size", (double)size);
            return true;
        }
    return false;
}

static bool are_reversed(const rows *w, size_t size) {
    for (size_t c = 0; c < w->t->rows; c++)
        if ((size_t)w->from[c] / size != w->t->rows / size - 1 - c / size)
            return false;
    return true;
}

/* Each of the candidate's rows is one of the reference's. */
static bool are_permuted(const rows *w, ls_cause *out) {
    const size_t size = are_blocks_of_heads(w) ? w->t->head : block_size(w);
    if (size == 0 || !is_permutation(w))
        return false;
    const bool heads = size == w->t->head, reversed = are_reversed(w, size);
    put_order(w, size, w->texts->others, sizeof w->texts->others);
    if (heads)
        snprintf(w->texts->rows, sizeof w->texts->rows, "heads");
    else if (size == 1)
        snprintf(w->texts->rows, sizeof w->texts->rows, "%ss", w->t->row);
    else
        snprintf(w->texts->rows, sizeof w->texts->rows, "blocks of %zu %ss", size, w->t->row);
    begin(w, out, heads ? "head-order" : "row-order", reversed ? "the candidate's {rows} are the reference's in reverse order" : "the candidate's {rows} are the reference's in the order {order}");
    ls_cause_set_text(out, "order", w->texts->others);
    return true;
}

/* Few rows hold other rows of the reference. A row of few elements may be like another by chance. */
static bool are_others(const rows *w, ls_cause *out) {
    enum { LEAST_COLUMNS = 8, SHOWN = 8 };
    size_t count = 0, used = 0;
    for (size_t c = 0; c < w->t->rows; c++) {
        if (w->from[c] == NOWHERE)
            return false;
        if (!w->differs[c] || count++ > SHOWN || used >= sizeof w->texts->others)
            continue;
        const int length = count > SHOWN ? snprintf(w->texts->others + used, sizeof w->texts->others - used, ", …")
                                         : snprintf(w->texts->others + used, sizeof w->texts->others - used, "%s%ld", count > 1 ? ", " : "", w->from[c]);
        used += length > 0 ? (size_t)length : 0;
    }
    begin(w, out, "row", "{rows} of {of:9} in the candidate: the reference's {others}");
    ls_cause_set_text(out, "others", w->texts->others);
    return count > 0 && w->t->columns >= LEAST_COLUMNS;
}

/* ------------------------------------------------------------------ together */

static void mark(rows *w) {
    for (size_t i = 0; i < w->t->rows; i++) {
        w->differs[i] = !is_same(w->t, i, i, 1);
        w->from[i] = w->differs[i] ? NOWHERE : (long)i;
        w->count += w->differs[i];
    }
}

static bool describe(rows *w, ls_cause *out) {
    const bool few = 2 * w->count < w->t->rows;
    name_rows(w);
    if (is_constant(w->t, out) || is_one_element(w, out) || (few && (are_zero(w, out) || are_scaled(w, out))))
        return true;
    find_rows(w, few);
    return few ? are_others(w, out) : are_blocks_of_heads(w) ? are_permuted(w, out) : are_shifted(w, out) || are_rotary_pairs(w, out) || are_permuted(w, out);
}

/* Of rows that have been found, in their right places; the others count as explained. */
static double what_is_left(const rows *w) {
    double difference = 0, squares = 0;
    for (size_t c = 0; c < w->t->rows; c++) {
        const double *b = candidate_row(w->t, c), *a = w->from[c] != NOWHERE ? reference_row(w->t, (size_t)w->from[c]) : b;
        for (size_t i = 0; i < w->t->columns; i++) {
            difference += (b[i] - a[i]) * (b[i] - a[i]);
            squares += a[i] * a[i];
        }
    }
    return squares > 0 ? difference / squares : 0;
}

bool ls_find_row_cause(const ls_row_table *table, ls_row_texts *texts, ls_cause *out) {
    rows w = {.t = table, .texts = texts, .differs = calloc(table->rows + 1, sizeof *w.differs), .from = calloc(table->rows + 1, sizeof *w.from)};
    bool found = false;
    if (w.differs != NULL && w.from != NULL && table->rows > 1 && table->columns > 0) {
        mark(&w);
        found = w.count > 0 && describe(&w, out);
        if (found)
            out->residual = what_is_left(&w);
    }
    free(w.differs);
    free(w.from);
    return found;
}

double *ls_row_table_transpose(const ls_row_table *t, ls_row_table *out) {
    const size_t n = t->rows * t->columns;
    double *both = malloc((2 * n + 1) * sizeof *both);
    if (both == NULL)
        return NULL;
    for (size_t row = 0; row < t->rows; row++)
        for (size_t column = 0; column < t->columns; column++) {
            both[column * t->rows + row] = reference_row(t, row)[column];
            both[n + column * t->rows + row] = candidate_row(t, row)[column];
        }
    *out = (ls_row_table){.reference = both, .candidate = both + n, .rows = t->columns, .columns = t->rows, .allowed = t->allowed, .typical = t->typical * (double)t->rows / (double)t->columns, .row = t->column, .column = t->row};
    return both;
}
