#include "verify/testimony.h"

#include <math.h>

/* A reader's result r is a e1 + (1 - a) e0 + noise, where e1 is computed from the recorded values and e0 from the right ones:
 * a is 1 if the recorded values were really computed, and 0 if they were not. Noise of a quantized product may be far
 * larger than e1 - e0 and hardly moves a, because it has no reason to point the same way. So a is estimated over all
 * elements, and has to be this many of its standard deviations away from the middle. */
#define CERTAIN 5
#define ROUNDING 1e-7 /* relative: no reader is more exact */

typedef struct fit {
    double far, near;   /* where only the recorded values give no number: sums of (r - e0)^2 and r^2 */
    double product, square, residual, norm; /* sums of (r - e0)(e1 - e0), (e1 - e0)^2, (r - e0)^2, r^2 */
    uint64_t count, without_number;
} fit;

static void add_finite(fit *f, double result, double recorded, double right) {
    const double d = recorded - right, r = result - right;
    f->product += r * d;
    f->square += d * d;
    f->residual += r * r;
    f->norm += result * result;
    f->count++;
}

static void add_element(ls_testimony *t, fit *f, double result, double recorded, double right) {
    if (isfinite(result) && isfinite(recorded) && isfinite(right)) {
        add_finite(f, result, recorded, right);
    } else if (isfinite(result) && isfinite(right)) {
        f->far += (result - right) * (result - right);
        f->near += result * result;
        f->without_number++;
    } else if (isfinite(recorded) != isfinite(right)) {
        *(isfinite(result) == isfinite(recorded) ? &t->as_if_recorded : &t->as_if_right) += 1;
    }
}

/* A kernel that rounds its operand to blocks makes numbers of NaN, but not the right ones. */
static void add_without_number(ls_testimony *t, const fit *f, double allowed) {
    *(f->far <= allowed * allowed * f->near ? &t->as_if_right : &t->as_if_recorded) += f->without_number;
}

static bool is_certain(double a, double precision) { return fabs(a - 0.5) * sqrt(precision) >= CERTAIN && a >= -0.5 && a <= 1.5; }

void ls_testimony_add(ls_testimony *t, const ls_array *result, const ls_array *from_recorded, const ls_array *from_right, double allowed) {
    fit f = {0};
    for (uint64_t i = 0; i < result->elements; i++)
        add_element(t, &f, result->values[i], from_recorded->values[i], from_right->values[i]);
    add_without_number(t, &f, allowed);
    if (f.square <= 0 || !isfinite(f.square))
        return;
    const double left = fmax(f.residual - f.product * f.product / f.square, 0) + ROUNDING * ROUNDING * f.norm;
    const double precision = f.square * (double)f.count / left; /* the variance of an element's noise is left / count */
    if (!isfinite(precision) || precision <= 0)
        return;
    const double a = f.product / f.square;
    t->precision += precision;
    t->sum += precision * a;
    *(a > 0.5 ? &t->certain_of_recorded : &t->certain_of_right) |= is_certain(a, precision);
}

static bool is_finite_evidence(uint64_t a, uint64_t b) { return a + b > 0 && (a == 0 || b == 0); }

ls_fault ls_testimony_verdict(const ls_testimony *t) {
    if (is_finite_evidence(t->as_if_recorded, t->as_if_right))
        return t->as_if_recorded > 0 ? LS_FAULT_KERNEL : LS_FAULT_DUMP;
    const double a = t->precision > 0 ? t->sum / t->precision : 0.5;
    if (!is_certain(a, t->precision) || (t->certain_of_recorded && t->certain_of_right))
        return LS_FAULT_UNDECIDED;
    return a > 0.5 ? LS_FAULT_KERNEL : LS_FAULT_DUMP;
}
