/* Transforms of the values alone. */
#include <math.h>

#include "diagnose/diagnose.h"
#include "op/unary.h"

/* The factor a that makes a * reference closest to the candidate. */
bool ls_fit_scale(const ls_evidence *e, ls_cause *out) {
    double dot = 0, norm = 0;
    for (size_t i = 0; i < e->count; i++) {
        dot += e->reference[i] * e->candidate[i];
        norm += e->reference[i] * e->reference[i];
    }
    double a = dot / norm;
    if (!isfinite(a) || a == 0)
        return false;
    for (size_t i = 0; i < e->count; i++)
        e->scratch[i] = e->candidate[i] / a;
    out->residual = ls_residual(e->scratch, e->reference, e->count);
    ls_cause_set_number(out, "factor", a);
    ls_cause_set_number(out, "inverse", 1 / a);
    return true;
}

bool ls_fit_offset(const ls_evidence *e, ls_cause *out) {
    double sum = 0;
    for (size_t i = 0; i < e->count; i++)
        sum += e->candidate[i] - e->reference[i];
    double offset = sum / (double)e->count;
    if (!isfinite(offset) || e->count < 2)
        return false;
    for (size_t i = 0; i < e->count; i++)
        e->scratch[i] = e->candidate[i] - offset;
    out->residual = ls_residual(e->scratch, e->reference, e->count);
    ls_cause_set_number(out, "offset", offset);
    return true;
}

static void try_unary(const ls_evidence *e, const ls_unary *u, bool of_reference, ls_cause *out) {
    const double *from = of_reference ? e->reference : e->candidate, *to = of_reference ? e->candidate : e->reference;
    for (size_t i = 0; i < e->count; i++)
        e->scratch[i] = u->apply(from[i]);
    double residual = ls_residual(e->scratch, to, e->count);
    if (residual >= out->residual)
        return;
    out->residual = residual;
    ls_cause_set_text(out, "side", of_reference ? "candidate" : "reference");
    ls_cause_set_text(out, "function", u->name);
    ls_cause_set_text(out, "other", of_reference ? "reference" : "candidate");
}

/* One side is a function of the other that the other lacks. */
bool ls_fit_unary(const ls_evidence *e, ls_cause *out) {
    out->residual = INFINITY;
    for (const ls_unary *u = ls_unaries; u->name != NULL; u++) {
        try_unary(e, u, true, out);
        try_unary(e, u, false, out);
    }
    return isfinite(out->residual);
}

/* What is left when `capped` is compared with cap * tanh(free / cap). */
static double left_with_cap(const ls_evidence *e, const double *free_side, const double *capped, double cap) {
    for (size_t i = 0; i < e->count; i++)
        e->scratch[i] = cap * tanh(free_side[i] / cap);
    return ls_residual(e->scratch, capped, e->count);
}

/* The cap that leaves least: first on a grid, above the largest value, then between its neighbours. */
static double best_cap(const ls_evidence *e, const double *free_side, const double *capped) {
    enum { GRID = 48, STEPS = 40 };
    double most = 0, best = NAN, least = INFINITY, ratio = pow(200, 1.0 / GRID);
    for (size_t i = 0; i < e->count; i++)
        most = fmax(most, fabs(capped[i]));
    for (int k = 0; k <= GRID && most > 0; k++) {
        double cap = most * 1.0000001 * pow(ratio, k), left = left_with_cap(e, free_side, capped, cap);
        if (left < least) {
            least = left;
            best = cap;
        }
    }
    double low = best / ratio, high = best * ratio;
    for (int step = 0; step < STEPS && isfinite(best); step++) {
        double a = low + (high - low) / 3, b = high - (high - low) / 3;
        if (left_with_cap(e, free_side, capped, a) < left_with_cap(e, free_side, capped, b))
            high = b;
        else
            low = a;
    }
    return (low + high) / 2;
}

/* Soft cap: cap * tanh(x / cap), on one side only. */
bool ls_fit_soft_cap(const ls_evidence *e, ls_cause *out) {
    double most_reference = 0, most_candidate = 0;
    for (size_t i = 0; i < e->count; i++) {
        most_reference = fmax(most_reference, fabs(e->reference[i]));
        most_candidate = fmax(most_candidate, fabs(e->candidate[i]));
    }
    bool lacks = most_candidate > most_reference; /* capping makes values smaller */
    const double *free_side = lacks ? e->candidate : e->reference, *capped = lacks ? e->reference : e->candidate;
    double cap = best_cap(e, free_side, capped);
    if (!isfinite(cap))
        return false;
    out->residual = left_with_cap(e, free_side, capped, cap);
    ls_cause_set_text(out, "side", lacks ? "candidate" : "reference");
    ls_cause_set_text(out, "other", lacks ? "reference" : "candidate");
    ls_cause_set_number(out, "cap", cap);
    return true;
}

/* Enough rows that a factor for each channel says something. */
static bool has_rows(const ls_evidence *e) { return e->channels > 1 && e->count / e->channels >= 3; }

bool ls_fit_channel_scale(const ls_evidence *e, ls_cause *out) {
    if (!has_rows(e))
        return false;
    size_t others = 0;
    for (size_t c = 0; c < e->channels; c++) {
        double dot = 0, norm = 0;
        for (size_t i = c; i < e->count; i += e->channels) {
            dot += e->reference[i] * e->candidate[i];
            norm += e->candidate[i] * e->candidate[i];
        }
        double factor = norm > 0 ? dot / norm : 0;
        others += fabs(factor - 1) > 1e-3;
        for (size_t i = c; i < e->count; i += e->channels)
            e->scratch[i] = factor * e->candidate[i];
    }
    out->residual = ls_residual(e->scratch, e->reference, e->count);
    ls_cause_set_number(out, "differ", (double)others);
    ls_cause_set_number(out, "channels", (double)e->channels);
    return true;
}

bool ls_fit_channel_offset(const ls_evidence *e, ls_cause *out) {
    if (!has_rows(e))
        return false;
    double rows = (double)(e->count / e->channels), largest = 0;
    for (size_t c = 0; c < e->channels; c++) {
        double sum = 0;
        for (size_t i = c; i < e->count; i += e->channels)
            sum += e->candidate[i] - e->reference[i];
        largest = fabs(sum / rows) > largest ? fabs(sum / rows) : largest;
        for (size_t i = c; i < e->count; i += e->channels)
            e->scratch[i] = e->candidate[i] - sum / rows;
    }
    out->residual = ls_residual(e->scratch, e->reference, e->count);
    ls_cause_set_number(out, "largest", largest);
    return true;
}
