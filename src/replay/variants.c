#include "replay/replayer.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

typedef struct ls_alteration alteration;

/* ------------------------------------------------------------------ alterations */

static bool is_among(ls_op_id id, const ls_op_id *kinds, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (kinds[i] == id)
            return true;
    return false;
}

static bool take_kind(alteration *a, const ls_op_id *kinds, size_t count, size_t k) {
    const ls_op_id own = a->node.kind->id;
    if (k >= count || !is_among(own, kinds, count))
        return false;
    a->node.kind = ls_op_at(kinds[k]);
    snprintf(a->text, sizeof a->text, "%s instead of %s", ls_op_at(kinds[k])->ggml, ls_op_at(own)->ggml);
    return true;
}

#define COUNT(list) (sizeof(list) / sizeof *(list))

static bool other_gelu(alteration *a, size_t k) {
    static const ls_op_id alone[] = {LS_OP_GELU_ERF, LS_OP_GELU, LS_OP_GELU_QUICK}, gates[] = {LS_OP_GEGLU_ERF, LS_OP_GEGLU, LS_OP_GEGLU_QUICK};
    return take_kind(a, alone, COUNT(alone), k) || take_kind(a, gates, COUNT(gates), k);
}

static bool other_activation(alteration *a, size_t k) {
    static const ls_op_id alone[] = {LS_OP_SILU, LS_OP_RELU, LS_OP_GELU, LS_OP_GELU_ERF, LS_OP_GELU_QUICK, LS_OP_TANH, LS_OP_SIGMOID, LS_OP_ELU, LS_OP_HARDSWISH},
                          gates[] = {LS_OP_SWIGLU, LS_OP_REGLU, LS_OP_GEGLU, LS_OP_GEGLU_ERF, LS_OP_GEGLU_QUICK, LS_OP_SWIGLU_OAI};
    return take_kind(a, alone, COUNT(alone), k) || take_kind(a, gates, COUNT(gates), k);
}

static void set_parameter(alteration *a, const char *key, double value) {
    const ls_node *n = &a->node;
    size_t count = 0;
    for (size_t i = 0; i < n->parameter_count && count < LS_OP_PARAMETERS_MAX; i++)
        if (strcmp(n->parameters[i].key, key) != 0)
            a->parameters[count++] = n->parameters[i];
    a->parameters[count++] = (ls_parameter){.key = key, .value = value};
    a->node.parameters = a->parameters;
    a->node.parameter_count = count;
}

static bool other_rotation(alteration *a, size_t k) {
    enum { PAIRS = 0, HALVES = 2 };
    const double *mode = ls_node_parameter(&a->node, "mode");
    const bool halves = mode != NULL && *mode == HALVES;
    if (k > 0 || a->node.kind->id != LS_OP_ROPE || !(halves || mode == NULL || *mode == PAIRS))
        return false;
    set_parameter(a, "mode", halves ? PAIRS : HALVES);
    snprintf(a->text, sizeof a->text, "%s rotated instead of %s", halves ? "neighbouring elements" : "halves", halves ? "halves" : "neighbouring elements");
    return true;
}

static bool other_eps(alteration *a, size_t k) {
    static const double values[] = {1e-6, 1e-5, 1e-12, 1e-8, 1e-7, 1e-4, 1e-3};
    if (k >= COUNT(values) || a->node.kind->role != LS_OP_ROLE_NORM)
        return false;
    const double *own = ls_node_parameter(&a->node, "eps");
    snprintf(a->text, sizeof a->text, "eps %g instead of %g", values[k], own != NULL ? *own : 0);
    set_parameter(a, "eps", values[k]);
    return true;
}

static bool other_window(alteration *a, size_t k) {
    static const int longer[] = {1, -1};
    if (k >= COUNT(longer) || (a->node.kind->role != LS_OP_ROLE_SOFTMAX && a->node.kind->role != LS_OP_ROLE_ATTENTION))
        return false;
    a->window = longer[k];
    snprintf(a->text, sizeof a->text, "a window that is one position %s", longer[k] > 0 ? "longer" : "shorter");
    return true;
}

bool ls_alteration_of_number(const ls_trace *t, size_t node, size_t k, double factor, alteration *out) {
    static const char *const keys[LS_ALTERATION_NUMBERS] = {"freq_base", "eps", "scale", "logit_softcap"};
    *out = (alteration){.at = node, .node = t->nodes[node]};
    const double *own = ls_node_parameter(&out->node, keys[k]);
    const bool any = own != NULL && *own != 0;
    if (any)
        set_parameter(out, keys[k], *own * factor);
    return any;
}

/* The first that leaves no fault is preferred among equals. */
static const struct {
    const char *rule;
    bool (*alter)(alteration *a, size_t k); /* the k-th alteration of a copy of the node; false after the last one */
} variants[] = {
    {"gelu-variant", other_gelu},
    {"norm-eps", other_eps},
    {"rope-interleave", other_rotation},
    {"window", other_window},
    {"activation", other_activation},
};

const char *ls_replay_rule(size_t index) { return index < COUNT(variants) ? variants[index].rule : NULL; }

/* ------------------------------------------------------------------ masks */

static uint64_t columns_of(const ls_array *a) { return a->rank > 0 ? a->shape[a->rank - 1] : 0; }

/* Moves the beginning of what each row allows. Rows that begin at the first column have no window. */
static void move_windows(ls_array *mask, int longer) {
    const uint64_t columns = columns_of(mask);
    for (uint64_t row = 0; columns > 0 && row < mask->elements / columns; row++) {
        double *values = mask->values + row * columns;
        uint64_t first = 0;
        while (first < columns && values[first] < 0)
            first++;
        if (first == 0 || first == columns)
            continue;
        if (longer > 0)
            values[first - 1] = 0;
        else
            values[first] = -INFINITY;
    }
}

void ls_alteration_apply(const alteration *a, size_t slot, ls_array *operand) {
    const size_t mask = a->node.kind->role == LS_OP_ROLE_SOFTMAX ? 1 : 3;
    if (a->window != 0 && slot == mask)
        move_windows(operand, a->window);
}

/* ------------------------------------------------------------------ experiments */

static void try_one(ls_replayer *w, const alteration *a, const char *rule, ls_replayed *item) {
    ls_local_error left;
    w->altered = a;
    const bool known = ls_replayer_local_error(w, a->at, &left);
    w->altered = NULL;
    if (!known || ls_local_error_is_fault(&left) || (item->rule != NULL && !(left.error < 0.5 * item->left)))
        return;
    const char *text = ls_arena_copy(w->arena, a->text, strlen(a->text));
    if (text == NULL)
        return;
    item->rule = rule;
    item->instead = text;
    item->left = left.error;
}

void ls_replayer_vary(ls_replayer *w, ls_replayed *item) {
    for (size_t v = 0; v < COUNT(variants); v++)
        for (size_t k = 0;; k++) {
            alteration a = {.at = item->node, .node = w->candidate->nodes[item->node]};
            if (!variants[v].alter(&a, k))
                break;
            try_one(w, &a, variants[v].rule, item);
        }
}
