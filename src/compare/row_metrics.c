#include "compare/row_metrics.h"
#include "compare/relative.h"

#include <math.h>
#include <stdlib.h>

void ls_row_begin(ls_row_partial *p, uint64_t first, uint64_t row_length) {
    *p = (ls_row_partial){.length = row_length, .first = first, .at = first};
    p->found = (ls_row_metrics){.worst_nmse = NAN};
}

static void add_sums(ls_row_sums *to, const ls_row_sums *more) {
    to->error2 += more->error2;
    to->reference2 += more->reference2;
    to->candidate2 += more->candidate2;
}

/* A row with NaN gives no metrics; the tensor's counts of NaN show it. */
static void finish_row(ls_row_metrics *m, const ls_row_sums *s, uint64_t row) {
    double nmse = ls_relative_squares(s->error2, s->reference2);
    m->rows++;
    if (!isnan(nmse) && !(nmse <= m->worst_nmse)) {
        m->worst_nmse = nmse;
        m->worst_row = row;
    }
    if (s->error2 > m->largest_error2) {
        m->largest_error2 = s->error2;
        m->largest_error_nmse = nmse;
        m->largest_error_row = row;
    }
    if (s->candidate2 == 0 && s->reference2 > 0) {
        if (m->lost++ == 0)
            m->first_lost = row;
        m->largest_lost = fmax(m->largest_lost, s->reference2);
    }
}

static void end_row(ls_row_partial *p) {
    uint64_t row = (p->at - 1) / p->length;
    if (row * p->length < p->first) { /* it began in an earlier piece */
        p->head = p->open;
        p->head_ended = true;
    } else {
        finish_row(&p->found, &p->open, row);
    }
    p->open = (ls_row_sums){0};
}

void ls_row_add(ls_row_partial *p, const ls_kernels *kernels, const void *reference, const void *candidate, size_t n,
                bool wide) {
    const size_t size = wide ? sizeof(double) : sizeof(float);
    for (size_t done = 0; done < n;) {
        uint64_t left = p->length - p->at % p->length;
        size_t here = left < n - done ? (size_t)left : n - done;
        const uint8_t *r = (const uint8_t *)reference + done * size, *c = (const uint8_t *)candidate + done * size;
        double sums[3];
        (wide ? kernels->squares_f64 : kernels->squares_f32)(r, c, here, sums);
        add_sums(&p->open, &(ls_row_sums){sums[0], sums[1], sums[2]});
        p->at += here;
        done += here;
        if (p->at % p->length == 0)
            end_row(p);
    }
}

static void merge_found(ls_row_metrics *into, const ls_row_metrics *next) {
    if (!isnan(next->worst_nmse) && !(next->worst_nmse <= into->worst_nmse)) {
        into->worst_nmse = next->worst_nmse;
        into->worst_row = next->worst_row;
    }
    if (next->largest_error2 > into->largest_error2) {
        into->largest_error2 = next->largest_error2;
        into->largest_error_nmse = next->largest_error_nmse;
        into->largest_error_row = next->largest_error_row;
    }
    if (into->lost == 0)
        into->first_lost = next->first_lost;
    into->lost += next->lost;
    into->largest_lost = fmax(into->largest_lost, next->largest_lost);
    into->rows += next->rows;
}

void ls_row_merge(ls_row_partial *into, const ls_row_partial *next) {
    bool inside = next->first % next->length != 0;
    if (inside && !next->head_ended) { /* the whole piece is inside one row */
        add_sums(&into->open, &next->open);
        into->at = next->at;
        return;
    }
    if (inside) {
        uint64_t row = next->first / next->length;
        add_sums(&into->open, &next->head);
        if (row * into->length < into->first)
            into->head = into->open, into->head_ended = true;
        else
            finish_row(&into->found, &into->open, row);
    }
    merge_found(&into->found, &next->found);
    into->open = next->open;
    into->at = next->at;
}

/* Sums over the numbers of one row. */
typedef struct row_sums {
    double d, d2, reference2;
    size_t count;
} row_sums;

double ls_row_constant_left(const ls_view *reference, const ls_view *candidate, uint64_t columns, double mask_reference, double mask_candidate) {
    enum { COLUMNS_MAX = 1 << 20 };
    uint64_t elements = ls_view_elements(candidate);
    double left = 0, norm = 0, *values = columns > 0 && columns <= COLUMNS_MAX && elements % columns == 0 ? malloc(2 * columns * sizeof *values) : NULL;
    for (uint64_t at = 0; values != NULL && at < elements; at += columns) {
        row_sums s = {0};
        ls_view_read_f64(reference, at, columns, values);
        ls_view_read_f64(candidate, at, columns, values + columns);
        for (uint64_t i = 0; i < columns; i++) {
            double x = values[i], y = values[columns + i], d = y - x;
            if (d - d != 0 || x <= mask_reference || y <= mask_candidate)
                continue;
            s.d += d;
            s.d2 += d * d;
            s.reference2 += x * x;
            s.count++;
        }
        left += s.count > 0 ? fmax(0, s.d2 - s.d * s.d / (double)s.count) : 0;
        norm += s.reference2;
    }
    double relative = values != NULL ? ls_relative_l2_of_some(left, norm) : INFINITY;
    free(values);
    return relative;
}
