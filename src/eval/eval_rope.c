/* Embeddings of positions: rotary ones, with the scalings of YaRN, frequency factors and sections, and sines of timesteps. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "eval/eval.h"

/* Kinds of ggml_rope. The pairs of NORMAL are neighbors; those of the others are half of the rotated dimensions
 * apart. The last three have a position for each section: time, height, width, and one more. */
enum { NORMAL = 0, NEOX = 2, MROPE = 8, VISION = 24, IMROPE = 40 };
enum { SECTIONS = 4 };

typedef struct rotation {
    int64_t mode;
    uint64_t dims;               /* of which the frequencies are fractions */
    uint64_t first, pairs;       /* what is rotated */
    uint64_t sections[SECTIONS]; /* pairs of each, which repeat after `period` */
    uint64_t period;
    double base, frequency_scale, extrapolation, magnitude, low, high;
    const ls_array *factors;
} rotation;

/* The dimension that makes so many turns over the original context. */
static double correction(double dims, double context, double turns, double base) { return dims * log(context / (turns * 2 * M_PI)) / (2 * log(base)); }

static void set_scaling(const ls_evaluation *e, rotation *r) {
    r->base = ls_eval_parameter(e, "freq_base", 0);
    r->frequency_scale = ls_eval_parameter(e, "freq_scale", 0);
    r->extrapolation = ls_eval_parameter(e, "ext_factor", 0);
    r->magnitude = ls_eval_parameter(e, "attn_factor", 0);
    const double dims = (double)r->dims, context = ls_eval_parameter(e, "n_ctx_orig", 0);
    if (r->extrapolation == 0)
        return;
    r->low = fmax(0, floor(correction(dims, context, ls_eval_parameter(e, "beta_fast", 0), r->base)));
    r->high = fmin(dims - 1, ceil(correction(dims, context, ls_eval_parameter(e, "beta_slow", 0), r->base)));
    r->magnitude *= 1 + 0.1 * log(1 / r->frequency_scale);
}

/* ggml's frequencies of VISION begin anew with each section, except where one is empty. */
static bool set_sections(ls_evaluation *e, rotation *r) {
    static const char *const keys[SECTIONS] = {"section_0", "section_1", "section_2", "section_3"};
    const bool several = r->mode != NORMAL && r->mode != NEOX;
    for (int i = 0; i < SECTIONS && several; i++) {
        int64_t size;
        if (!ls_eval_integer(e, keys[i], 0, INT32_MAX, &size))
            return false;
        const bool follows_empty = i > 0 && r->sections[i - 1] == 0;
        if (r->mode == VISION && ((i < 2 && size == 0) || (size > 0 && follows_empty)))
            return ls_eval_refuse(e, "sections of a rotary embedding that are not covered");
        r->sections[i] = (uint64_t)size;
        r->period += (uint64_t)size;
    }
    return !several || r->period > 0 || ls_eval_refuse(e, "a rotary embedding of empty sections");
}

static bool set_rotation(ls_evaluation *e, rotation *r) {
    int64_t dims, first;
    if (!ls_eval_integer(e, "mode", 0, INT32_MAX, &r->mode) || !ls_eval_integer(e, "n_dims", 2, INT32_MAX, &dims) || !ls_eval_integer(e, "offset", 0, INT32_MAX, &first))
        return false;
    if (r->mode != NORMAL && r->mode != NEOX && r->mode != MROPE && r->mode != VISION && r->mode != IMROPE)
        return ls_eval_refuse(e, "a kind of rotary embedding that is not covered");
    r->dims = (uint64_t)dims;
    r->first = (uint64_t)first;
    r->pairs = r->mode == VISION ? r->dims : r->dims / 2;
    r->factors = e->operands[2];
    set_scaling(e, r);
    return set_sections(e, r);
}

/* The section to which a pair belongs. `out_power` is the pair's number in the series of frequencies. */
static int section_of(const rotation *r, uint64_t pair, uint64_t *out_power) {
    int section = 0;
    uint64_t at = r->period > 0 ? pair % r->period : 0;
    *out_power = pair;
    if (r->mode == IMROPE)
        return at < 3 * r->sections[at % 3] ? (int)(at % 3) : SECTIONS - 1;
    for (; r->period > 0 && at >= r->sections[section]; section++)
        at -= r->sections[section];
    if (r->mode == VISION)
        *out_power = at;
    return section;
}

/* The angle of a pair at a position. */
static double angle_of(const rotation *r, uint64_t pair, uint64_t power, double position) {
    const double factor = r->factors != NULL ? r->factors->values[pair] : 1, own = position * pow(r->base, -2 * (double)power / (double)r->dims) / factor;
    const double scaled = own * r->frequency_scale;
    if (r->extrapolation == 0)
        return scaled;
    const double ramp = 1 - fmin(1, fmax(0, ((double)pair - r->low) / fmax(0.001, r->high - r->low))), mix = ramp * r->extrapolation;
    return scaled * (1 - mix) + own * mix;
}

/* How a pair of a token's elements is rotated: the same in all heads. */
typedef struct turn {
    uint64_t first, second; /* within a row */
    double c, s, error;     /* error: what rounding errors are relative to, for a pair of length 1 */
} turn;

/* `positions` has the token's position; that of each further section is `tokens` behind. */
static void set_turns(const rotation *r, const double *positions, uint64_t tokens, turn *out) {
    for (uint64_t pair = 0; pair < r->pairs; pair++) {
        uint64_t power;
        const int section = section_of(r, pair, &power);
        const uint64_t first = r->first + (r->mode == NORMAL ? 2 * pair : pair), second = first + (r->mode == NORMAL ? 1 : r->pairs);
        const double angle = angle_of(r, pair, power, positions[(uint64_t)section * tokens]);
        /* the angle is computed in floats: its error grows with the position */
        out[pair] = (turn){first, second, cos(angle) * r->magnitude, sin(angle) * r->magnitude, fabs(r->magnitude) * (1 + fabs(angle) / 16)};
    }
}

static void rotate_row(ls_evaluation *e, const turn *turns, uint64_t pairs, uint64_t at) {
    const double *x = e->operands[0]->values + at;
    double *out = e->out + at, *scale = e->scale + at;
    memcpy(out, x, ls_eval_size(e, 0) * sizeof *out);
    for (uint64_t i = 0; i < pairs; i++) {
        const turn *t = &turns[i];
        const double a = x[t->first], b = x[t->second];
        out[t->first] = a * t->c - b * t->s;
        out[t->second] = a * t->s + b * t->c;
        scale[t->first] = scale[t->second] = sqrt(a * a + b * b) * t->error;
    }
}

/* x [sequences, tokens, heads, n], positions [sections, tokens] */
bool ls_eval_rope(ls_evaluation *e) {
    rotation r = {0};
    if (!ls_eval_has(e, 2) || !set_rotation(e, &r))
        return false;
    const ls_array *x = e->operands[0], *positions = e->operands[1];
    const uint64_t n = ls_eval_size(e, 0), heads = ls_eval_size(e, 1), tokens = ls_eval_size(e, 2), sections = r.period > 0 ? SECTIONS : 1;
    if (x->elements != e->node->elements || positions->elements != sections * tokens || r.dims % 2 != 0 || r.first + 2 * r.pairs > n ||
        (r.mode == VISION && r.first + 2 * r.pairs != n) || !(r.base > 0) || (r.factors != NULL && r.factors->elements < r.pairs))
        return ls_eval_misfit(e);
    turn *turns = malloc((r.pairs + 1) * sizeof *turns);
    for (uint64_t at = 0; turns != NULL && at < x->elements; at += n) {
        if (at / n % heads == 0)
            set_turns(&r, positions->values + at / n / heads % tokens, tokens, turns);
        rotate_row(e, turns, r.pairs, at);
    }
    free(turns);
    return turns != NULL || ls_eval_refuse(e, "out of memory");
}

/* timesteps [n] -> [n, dim]: cosines of the products with falling frequencies, then sines. */
bool ls_eval_timestep_embedding(ls_evaluation *e) {
    int64_t dim, period;
    if (!ls_eval_has(e, 1) || !ls_eval_integer(e, "dim", 1, INT32_MAX, &dim) || !ls_eval_integer(e, "max_period", 1, INT32_MAX, &period))
        return false;
    const ls_array *timesteps = e->operands[0];
    const uint64_t n = (uint64_t)dim, half = n / 2;
    if (!ls_array_is(timesteps, ls_eval_size(e, 1), 1, 1, 1) || !ls_eval_gives(e, n, timesteps->elements, 1, 1))
        return ls_eval_misfit(e);
    for (uint64_t i = 0; i < e->node->elements; i++) {
        const uint64_t column = i % n;
        const double power = half > 0 ? log((double)period) * (double)(column % half) / (double)half : 0, angle = timesteps->values[i / n] * exp(-power);
        e->out[i] = column >= 2 * half ? 0 : column < half ? cos(angle) : sin(angle);
        e->scale[i] = 1 + fabs(angle) * (1 + power) / 8; /* angle and power are rounded to f32 */
    }
    return true;
}
