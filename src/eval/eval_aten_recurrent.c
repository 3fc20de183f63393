/* PyTorch's recurrent layers, as nn.LSTM and nn.GRU compute them: layers on top of each other, each in one direction or in both. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "eval/aten.h"

enum { LSTM_GATES = 4, GRU_GATES = 3 };

/* x [sequences, steps, inputs], or with the steps outside, or of one sequence; the states [layers * directions, sequences, hidden]. */
typedef struct recurrent {
    ls_evaluation *e;
    const ls_array *x, *state, *cell;     /* the states before the first step: NULL for zeros */
    const ls_array *const *weights;       /* for each layer and direction: of the input, of the state, and their biases */
    uint64_t gates, each, layers, directions, hidden, sequences, steps, inputs;
    bool steps_first;
    double *in, *out, *last, *last_cell;  /* [steps, sequences, ..] of the layer at hand; the states after the last step */
} recurrent;

static double sigmoid(double x) { return 1 / (1 + exp(-x)); }

/* What the gates get from the input or from the state: W x + b. */
static void affine(const recurrent *r, const ls_array *weight, const ls_array *bias, const double *x, uint64_t n, double *out) {
    for (uint64_t i = 0; i < r->gates * r->hidden; i++) {
        double sum = bias != NULL ? bias->values[i] : 0;
        for (uint64_t k = 0; k < n; k++)
            sum += weight->values[i * n + k] * x[k];
        out[i] = sum;
    }
}

/* One step. of_x and of_h: what the gates get, in torch's order: input, forget, cell, output; or reset, update, new. */
static void step_lstm(uint64_t hidden, const double *of_x, const double *of_h, double *h, double *c) {
    for (uint64_t i = 0; i < hidden; i++) {
        double gate[LSTM_GATES];
        for (uint64_t g = 0; g < LSTM_GATES; g++)
            gate[g] = of_x[g * hidden + i] + of_h[g * hidden + i];
        c[i] = sigmoid(gate[1]) * c[i] + sigmoid(gate[0]) * tanh(gate[2]);
        h[i] = sigmoid(gate[3]) * tanh(c[i]);
    }
}

static void step_gru(uint64_t hidden, const double *of_x, const double *of_h, double *h) {
    for (uint64_t i = 0; i < hidden; i++) {
        const double reset = sigmoid(of_x[i] + of_h[i]), update = sigmoid(of_x[hidden + i] + of_h[hidden + i]);
        const double candidate = tanh(of_x[2 * hidden + i] + reset * of_h[2 * hidden + i]);
        h[i] = (1 - update) * candidate + update * h[i];
    }
}

/* A sequence in one direction of a layer, numbered by `which`. */
static void run_sequence(const recurrent *r, uint64_t which, uint64_t sequence, double *scratch) {
    const ls_array *const *w = r->weights + which * r->each;
    const ls_array *none = NULL, *const *bias = r->each == 4 ? w + 2 : NULL;
    const uint64_t direction = which % r->directions, gates = r->gates * r->hidden, width = r->directions * r->hidden;
    double *h = r->last + (which * r->sequences + sequence) * r->hidden, *c = r->last_cell + (which * r->sequences + sequence) * r->hidden;
    for (uint64_t t = 0; t < r->steps; t++) {
        const uint64_t at = (direction == 1 ? r->steps - 1 - t : t) * r->sequences + sequence;
        affine(r, w[0], bias != NULL ? bias[0] : none, r->in + at * r->inputs, r->inputs, scratch);
        affine(r, w[1], bias != NULL ? bias[1] : none, h, r->hidden, scratch + gates);
        if (r->gates == LSTM_GATES)
            step_lstm(r->hidden, scratch, scratch + gates, h, c);
        else
            step_gru(r->hidden, scratch, scratch + gates, h);
        memcpy(r->out + at * width + direction * r->hidden, h, r->hidden * sizeof *h);
    }
}

static bool fits(const recurrent *r, uint64_t layer, uint64_t inputs) {
    bool ok = true;
    for (uint64_t d = 0; d < r->directions; d++) {
        const ls_array *const *w = r->weights + (layer * r->directions + d) * r->each;
        ok = ok && w[0]->elements == r->gates * r->hidden * inputs && w[1]->elements == r->gates * r->hidden * r->hidden;
        for (uint64_t i = 2; i < r->each; i++)
            ok = ok && w[i]->elements == r->gates * r->hidden;
    }
    return ok || ls_eval_misfit(r->e);
}

static bool run_layers(recurrent *r) {
    const uint64_t width = r->directions * r->hidden, states = r->layers * r->directions * r->sequences * r->hidden;
    double *scratch = malloc((2 * r->gates * r->hidden + 1) * sizeof *scratch);
    bool ok = scratch != NULL || ls_eval_refuse(r->e, "out of memory");
    for (uint64_t i = 0; i < states; i++) {
        r->last[i] = r->state != NULL ? r->state->values[i] : 0;
        r->last_cell[i] = r->cell != NULL ? r->cell->values[i] : 0;
    }
    for (uint64_t layer = 0; layer < r->layers && ok; layer++) {
        ok = fits(r, layer, r->inputs);
        for (uint64_t i = 0; i < r->directions * r->sequences && ok; i++)
            run_sequence(r, layer * r->directions + i / r->sequences, i % r->sequences, scratch);
        double *done = r->out;
        r->out = r->in;
        r->in = done;
        r->inputs = width;
    }
    free(scratch);
    return ok;
}

/* The place of a step of a sequence in x and in the result. */
static uint64_t row_of(const recurrent *r, uint64_t step, uint64_t sequence) { return r->steps_first ? step * r->sequences + sequence : sequence * r->steps + step; }

static void move_rows(const recurrent *r, const double *from, double *to, uint64_t n, bool in) {
    for (uint64_t i = 0; i < r->steps * r->sequences; i++) {
        const uint64_t row = row_of(r, i / r->sequences, i % r->sequences);
        memcpy(to + (in ? i : row) * n, from + (in ? row : i) * n, n * sizeof *to);
    }
}

static bool give_result(const recurrent *r) {
    const uint64_t width = r->directions * r->hidden, states = r->layers * r->directions * r->sequences * r->hidden;
    const double which = ls_eval_parameter(r->e, "output", 0);
    if (!ls_aten_gives(r->e, which == 0 ? r->steps * r->sequences * width : states))
        return false;
    if (which == 0)
        move_rows(r, r->in, r->e->out, width, false);
    else
        memcpy(r->e->out, which == 1 ? r->last : r->last_cell, states * sizeof *r->last);
    return true;
}

static bool run(recurrent *r) {
    const uint64_t width = r->directions * r->hidden, states = r->layers * width * r->sequences, rows = r->steps * r->sequences;
    const uint64_t widest = width > r->inputs ? width : r->inputs;
    const double cost = (double)rows * (double)r->layers * (double)width * (double)r->gates * ((double)widest + (double)r->hidden);
    if (rows == 0 || (r->state != NULL && r->state->elements != states) || (r->cell != NULL && r->cell->elements != states))
        return ls_eval_misfit(r->e);
    if (!ls_eval_affords(r->e, cost))
        return false;
    double *rooms = calloc(2 * rows * widest + 2 * states + 1, sizeof *rooms);
    r->in = rooms, r->out = rooms + rows * widest, r->last = rooms + 2 * rows * widest, r->last_cell = rooms + 2 * rows * widest + states;
    if (rooms != NULL)
        move_rows(r, r->x->values, r->in, r->inputs, true);
    const bool ok = (rooms != NULL || ls_eval_refuse(r->e, "out of memory")) && run_layers(r) && give_result(r);
    free(rooms);
    return ok;
}

/* The sizes, and which operands are states and which weights. */
static bool take(recurrent *r) {
    ls_evaluation *e = r->e;
    int64_t layers, hidden, inputs;
    if (!ls_eval_has(e, 1) || !ls_eval_integer(e, "num_layers", 1, 1 << 10, &layers) || !ls_eval_integer(e, "hidden_size", 1, 1 << 20, &hidden) ||
        !ls_eval_integer(e, "input_size", 1, 1 << 24, &inputs) || !ls_aten_must_be(e, "proj_size", 0))
        return false;
    r->x = e->operands[0], r->layers = (uint64_t)layers, r->hidden = (uint64_t)hidden, r->inputs = (uint64_t)inputs;
    r->directions = ls_eval_parameter(e, "bidirectional", 0) != 0 ? 2 : 1;
    r->each = ls_eval_parameter(e, "bias", 0) != 0 ? 4 : 2;
    r->steps_first = ls_eval_parameter(e, "batch_first", 0) == 0 || r->x->rank == 2;
    const uint64_t weights = r->layers * r->directions * r->each, given = e->node->operand_count;
    if (r->x->rank < 2 || r->x->rank > 3 || ls_array_size(r->x, 0) != r->inputs || given < weights + 1 || given > weights + 3)
        return ls_eval_misfit(e);
    for (uint64_t i = 0; i < given; i++)
        if (e->operands[i] == NULL)
            return ls_eval_misfit(e);
    r->steps = r->x->rank == 2 ? r->x->shape[0] : r->x->shape[r->steps_first ? 0 : 1];
    r->sequences = r->x->rank == 2 ? 1 : r->x->shape[r->steps_first ? 1 : 0];
    r->state = given > weights + 1 ? e->operands[1] : NULL;
    r->cell = given > weights + 2 ? e->operands[2] : NULL;
    r->weights = e->operands + given - weights;
    return true;
}

bool ls_aten_lstm(ls_evaluation *e) {
    recurrent r = {.e = e, .gates = LSTM_GATES};
    return take(&r) && run(&r);
}

bool ls_aten_gru(ls_evaluation *e) {
    recurrent r = {.e = e, .gates = GRU_GATES};
    return take(&r) && run(&r);
}
