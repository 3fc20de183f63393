/* Rotary position embedding, with the scalings of YaRN and frequency factors. */
#include <math.h>

#include "eval/eval.h"

enum { NEOX = 2 }; /* pairs are a half apart; otherwise they are neighbors */

typedef struct rotation {
    uint64_t dims; /* that are rotated */
    double base, frequency_scale, extrapolation, magnitude, low, high;
    const ls_array *factors;
} rotation;

/* The dimension that makes so many turns over the original context. */
static double correction(double dims, double context, double turns, double base) { return dims * log(context / (turns * 2 * M_PI)) / (2 * log(base)); }

static rotation rotation_of(const ls_evaluation *e) {
    rotation r = {.dims = (uint64_t)ls_eval_parameter(e, "n_dims", 0), .base = ls_eval_parameter(e, "freq_base", 0), .frequency_scale = ls_eval_parameter(e, "freq_scale", 0),
                  .extrapolation = ls_eval_parameter(e, "ext_factor", 0), .magnitude = ls_eval_parameter(e, "attn_factor", 0), .factors = e->operands[2]};
    const double dims = (double)r.dims, context = ls_eval_parameter(e, "n_ctx_orig", 0);
    if (r.extrapolation == 0)
        return r;
    r.low = fmax(0, floor(correction(dims, context, ls_eval_parameter(e, "beta_fast", 0), r.base)));
    r.high = fmin(dims - 1, ceil(correction(dims, context, ls_eval_parameter(e, "beta_slow", 0), r.base)));
    r.magnitude *= 1 + 0.1 * log(1 / r.frequency_scale);
    return r;
}

/* The angle of a pair at a position. */
static double angle_of(const rotation *r, uint64_t pair, double position) {
    const double factor = r->factors != NULL ? r->factors->values[pair] : 1, own = position * pow(r->base, -2 * (double)pair / (double)r->dims) / factor;
    const double scaled = own * r->frequency_scale;
    if (r->extrapolation == 0)
        return scaled;
    const double ramp = 1 - fmin(1, fmax(0, ((double)pair - r->low) / fmax(0.001, r->high - r->low))), mix = ramp * r->extrapolation;
    return scaled * (1 - mix) + own * mix;
}

/* x [sequences, tokens, heads, n], positions [tokens] */
bool ls_eval_rope(ls_evaluation *e) {
    if (!ls_eval_has(e, 2))
        return false;
    const ls_array *x = e->operands[0], *positions = e->operands[1];
    const rotation r = rotation_of(e);
    const double mode = ls_eval_parameter(e, "mode", 0);
    const uint64_t n = ls_eval_size(e, 0), heads = ls_eval_size(e, 1), tokens = ls_eval_size(e, 2), gap = mode == NEOX ? r.dims / 2 : 1;
    if (mode != 0 && mode != NEOX)
        return ls_eval_refuse(e, "rotary embeddings of several sections");
    if (x->elements != e->node->elements || positions->elements != tokens || r.dims < 2 || r.dims % 2 != 0 || r.dims > n || !(r.base > 0) ||
        (r.factors != NULL && r.factors->elements < r.dims / 2))
        return ls_eval_refuse(e, "operands whose shapes don't fit");
    for (uint64_t at = 0; at < x->elements; at += n) {
        const double position = positions->values[at / n / heads % tokens];
        for (uint64_t i = r.dims; i < n; i++)
            e->out[at + i] = x->values[at + i];
        for (uint64_t pair = 0; pair < r.dims / 2; pair++) {
            const uint64_t first = at + (mode == NEOX ? pair : 2 * pair), second = first + gap;
            const double angle = angle_of(&r, pair, position), c = cos(angle) * r.magnitude, s = sin(angle) * r.magnitude;
            e->out[first] = x->values[first] * c - x->values[second] * s;
            e->out[second] = x->values[first] * s + x->values[second] * c;
            /* the angle is computed in floats: its error grows with the position */
            e->scale[first] = e->scale[second] = hypot(x->values[first], x->values[second]) * fabs(r.magnitude) * (1 + fabs(angle) / 16);
        }
    }
    return true;
}
