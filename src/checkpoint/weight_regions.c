/* Where a weight differs: in one row, a range of rows, a column, one element. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "checkpoint/weight_steps.h"

enum { TILE = 1024, ENOUGH = 1 << 20 };

typedef struct region {
    uint64_t rows, columns;      /* of the tensor, seen as a matrix whose columns are its last axis */
    bool *bad_rows, *bad_columns;
    double atol, rtol;           /* of an element; rtol < 0: whole rows are judged by row_limit */
    double row_limit;            /* NMSE */
    double error2, squares;      /* of the row that is being read */
} region;

static void end_row(region *r, uint64_t row) {
    if (r->rtol < 0)
        r->bad_rows[row] = !(r->error2 <= r->row_limit * r->squares);
    r->error2 = r->squares = 0;
}

static void see(region *r, uint64_t at, double x, double y) {
    uint64_t row = at / r->columns, column = at % r->columns;
    double d = y - x;
    if (r->rtol >= 0) {
        bool same = x == y || fabs(d) <= r->atol + r->rtol * fabs(x) || (isnan(x) && isnan(y));
        r->bad_rows[row] = r->bad_rows[row] || !same;
        r->bad_columns[column] = r->bad_columns[column] || !same;
    }
    r->error2 += d * d;
    r->squares += x * x;
    if (column + 1 == r->columns)
        end_row(r, row);
}

static uint64_t count(const bool *list, uint64_t n) {
    uint64_t total = 0;
    for (uint64_t i = 0; i < n; i++)
        total += list[i];
    return total;
}

/* Whether it differs everywhere, as far as was read, so that no place is worth naming. */
static bool is_everywhere(const region *r, uint64_t rows_read) {
    return 2 * count(r->bad_rows, rows_read) > rows_read && (r->rtol < 0 || 2 * count(r->bad_columns, r->columns) > r->columns);
}

static bool scan(region *r, const ls_view *reference, const ls_view *candidate) {
    double x[TILE], y[TILE];
    uint64_t all = r->rows * r->columns;
    for (uint64_t at = 0; at < all; at += TILE) {
        size_t n = all - at < TILE ? (size_t)(all - at) : TILE;
        ls_view_read_f64(reference, at, n, x);
        ls_view_read_f64(candidate, at, n, y);
        for (size_t i = 0; i < n; i++)
            see(r, at + i, x[i], y[i]);
        if (at % ENOUGH == 0 && at / r->columns >= 16 && is_everywhere(r, at / r->columns))
            return false;
    }
    return !is_everywhere(r, r->rows);
}

/* "row 123", "rows 17 to 31", "rows 3, 9 and 40", "7 rows, the first 3"; "" when none or all are. */
static void describe(const bool *bad, uint64_t n, const char *one, char *out, size_t capacity) {
    uint64_t total = count(bad, n), at[3], found = 0, last = 0;
    out[0] = '\0';
    for (uint64_t i = 0; i < n; i++)
        if (bad[i]) {
            if (found < 3)
                at[found] = i;
            found++;
            last = i;
        }
    if (total == 0 || total == n)
        return;
    if (total == 1)
        snprintf(out, capacity, "%s %llu", one, (unsigned long long)at[0]);
    else if (last - at[0] + 1 == total)
        snprintf(out, capacity, "%ss %llu to %llu", one, (unsigned long long)at[0], (unsigned long long)last);
    else if (total == 2)
        snprintf(out, capacity, "%ss %llu and %llu", one, (unsigned long long)at[0], (unsigned long long)at[1]);
    else if (total == 3)
        snprintf(out, capacity, "%ss %llu, %llu and %llu", one, (unsigned long long)at[0], (unsigned long long)at[1], (unsigned long long)at[2]);
    else
        snprintf(out, capacity, "%llu of %llu %ss, the first %llu", (unsigned long long)total, (unsigned long long)n, one, (unsigned long long)at[0]);
}

static void put(region *r, bool is_vector, char *out, size_t capacity) {
    char rows[80], columns[80];
    describe(r->bad_rows, r->rows, "row", rows, sizeof rows);
    describe(r->bad_columns, r->columns, is_vector ? "element" : "column", columns, sizeof columns);
    snprintf(out, capacity, "%s%s%s", is_vector ? "" : rows, !is_vector && rows[0] != '\0' && columns[0] != '\0' ? ", " : "", columns);
}

void ls_weight_find_region(ls_weight_pair *pair, const ls_view *reference, const ls_view *candidate, const lockstep_dtype types[LS_SIDES]) {
    const ls_view *kept = pair->original == LS_REFERENCE ? candidate : reference; /* its axes are as in the file */
    region r = {.columns = kept->rank > 0 ? kept->shape[kept->rank - 1] : 1};
    uint64_t elements = ls_view_elements(kept);
    if (elements < 2 || r.columns == 0 || elements != ls_view_elements(pair->original == LS_REFERENCE ? reference : candidate))
        return;
    r.rows = elements / r.columns;
    if (2 * pair->metrics.beyond > elements && ls_quality_rounding(types[LS_REFERENCE], types[LS_CANDIDATE], &r.atol, &r.rtol))
        return; /* then most rows and columns have such elements */
    if (!ls_quality_rounding(types[LS_REFERENCE], types[LS_CANDIDATE], &r.atol, &r.rtol)) {
        r.rtol = -1;
        r.row_limit = fmin(10 * ls_quality_allowed_row(types[LS_REFERENCE], types[LS_CANDIDATE]), 0.5);
    }
    r.bad_rows = calloc((size_t)r.rows, sizeof *r.bad_rows);
    r.bad_columns = calloc((size_t)r.columns, sizeof *r.bad_columns);
    if (r.bad_rows != NULL && r.bad_columns != NULL && scan(&r, reference, candidate))
        put(&r, r.rows == 1, pair->region, sizeof pair->region);
    free(r.bad_rows);
    free(r.bad_columns);
}
