#include "replay/replayer.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
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
    a->is_void = kinds[k] == own;
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

void ls_alteration_set(alteration *a, const char *key, double value) {
    const ls_node *n = &a->node;
    size_t count = 0;
    for (size_t i = 0; i < n->parameter_count && count < LS_OP_PARAMETERS_MAX; i++)
        if (strcmp(n->parameters[i].key, key) != 0)
            a->parameters[count++] = n->parameters[i];
    a->parameters[count++] = (ls_parameter){.key = key, .value = value};
    a->node.parameters = a->parameters;
    a->node.parameter_count = count;
}

/* A parameter with another value. */
static void try_number(alteration *a, const char *key, double value) {
    const double *own = ls_node_parameter(&a->node, key);
    snprintf(a->text, sizeof a->text, "%s %.7g instead of %.7g", key, value, own != NULL ? *own : 0);
    a->is_void = value == (own != NULL ? *own : 0);
    ls_alteration_set(a, key, value);
}

static bool other_rotation(alteration *a, size_t k) {
    enum { PAIRS = 0, HALVES = 2 };
    const double *mode = ls_node_parameter(&a->node, "mode");
    const bool halves = mode != NULL && *mode == HALVES;
    if (k > 0 || a->node.kind->id != LS_OP_ROPE || !(halves || mode == NULL || *mode == PAIRS))
        return false;
    ls_alteration_set(a, "mode", halves ? PAIRS : HALVES);
    snprintf(a->text, sizeof a->text, "%s rotated instead of %s", halves ? "neighbouring elements" : "halves", halves ? "halves" : "neighbouring elements");
    return true;
}

static bool other_eps(alteration *a, size_t k) {
    static const double values[] = {1e-6, 1e-5, 1e-12, 1e-8, 1e-7, 1e-4, 1e-3};
    if (k >= COUNT(values) || a->node.kind->role != LS_OP_ROLE_NORM)
        return false;
    try_number(a, "eps", values[k]);
    return true;
}

static bool reads_mask(const alteration *a) { return a->node.kind->role == LS_OP_ROLE_SOFTMAX || (a->node.kind->role == LS_OP_ROLE_ATTENTION && a->node.dialect == LS_DIALECT_GGML); }

static bool other_mask(alteration *a, size_t k) {
    static const struct {
        ls_mask_change change;
        const char *text;
    } masks[] = {{LS_MASK_WITHOUT_WINDOW, "no window"}, {LS_MASK_OF_ALL, "every token seen by every other"}, {LS_MASK_CAUSAL, "a causal mask"}};
    if (k >= COUNT(masks) || !reads_mask(a))
        return false;
    a->mask = masks[k].change;
    snprintf(a->text, sizeof a->text, "%s", masks[k].text);
    return true;
}

static bool moved_window(alteration *a, size_t k) {
    static const int longer[] = {1, -1};
    if (k >= COUNT(longer) || !reads_mask(a))
        return false;
    a->mask = LS_MASK_LONGER;
    a->window = longer[k];
    snprintf(a->text, sizeof a->text, "a window that is one position %s", longer[k] > 0 ? "longer" : "shorter");
    return true;
}

/* Each small number, then those that people choose. */
static bool other_window(alteration *a, size_t k) {
    enum { SMALL = 64 };
    static const int usual[] = {96, 127, 128, 129, 192, 255, 256, 257, 384, 511, 512, 513, 768, 1023, 1024, 1025, 1536, 2047, 2048, 2049, 3072, 4095, 4096, 4097, 8192, 16384, 32768};
    if (k >= SMALL + COUNT(usual) || !reads_mask(a))
        return false;
    a->mask = LS_MASK_OF_WINDOW;
    a->window = k < SMALL ? (int)k + 1 : usual[k - SMALL];
    snprintf(a->text, sizeof a->text, "a window of %d position%s", a->window, a->window == 1 ? "" : "s");
    return true;
}

static bool other_scale(alteration *a, size_t k) {
    static const double widths[] = {16, 24, 32, 40, 48, 64, 72, 80, 96, 112, 128, 144, 160, 192, 224, 256, 288, 320, 384, 512, 576}, factors[] = {2, 0.5, 4, 0.25, 8, 0.125, 16, 0.0625, 1.4142135623730951, 0.70710678118654752};
    const double *own = ls_node_parameter(&a->node, "scale");
    if (k > COUNT(widths) + COUNT(factors) || !reads_mask(a) || own == NULL)
        return false;
    try_number(a, "scale", k == 0 ? 1 : k <= COUNT(widths) ? 1 / sqrt(widths[k - 1]) : *own * factors[k - 1 - COUNT(widths)]);
    return true;
}

static bool other_cap(alteration *a, size_t k) {
    static const double caps[] = {0, 50, 30, 20, 15, 10, 25, 100};
    if (k >= COUNT(caps) || a->node.kind->id != LS_OP_FLASH_ATTN_EXT)
        return false;
    try_number(a, "logit_softcap", caps[k]);
    return true;
}

static bool other_frequency_scale(alteration *a, size_t k) {
    static const double factors[] = {1, 0.5, 0.25, 0.125, 0.0625, 0.03125, 0.1, 2, 4, 8};
    if (k >= COUNT(factors) || a->node.kind->id != LS_OP_ROPE)
        return false;
    try_number(a, "freq_scale", factors[k]);
    return true;
}

static bool other_dimensions(alteration *a, size_t k) {
    static const double shares[] = {1, 0.5, 0.25, 0.75, 0.4, 0.125};
    const double width = a->node.rank > 0 ? (double)a->node.shape[a->node.rank - 1] : 0;
    if (k >= COUNT(shares) || a->node.kind->id != LS_OP_ROPE || width < 2)
        return false;
    try_number(a, "n_dims", 2 * floor(fmax(shares[k] * width, 2) / 2));
    return true;
}

static bool other_positions(alteration *a, size_t k) {
    static const int shifts[] = {1, -1, 2, -2, 3, -3};
    if (k >= COUNT(shifts) || a->node.kind->id != LS_OP_ROPE)
        return false;
    a->shift = shifts[k];
    snprintf(a->text, sizeof a->text, "positions that are %d %s", abs(shifts[k]), shifts[k] > 0 ? "higher" : "lower");
    return true;
}

static bool other_gate(alteration *a, size_t k) {
    if (k > 0 || a->node.kind->role != LS_OP_ROLE_GATE || a->node.dialect != LS_DIALECT_GGML)
        return false;
    const double *own = ls_node_parameter(&a->node, "swapped");
    a->swaps = a->node.operand_count > 1 && a->node.operands[1] != LS_NONE;
    if (!a->swaps)
        ls_alteration_set(a, "swapped", own != NULL && *own != 0 ? 0 : 1);
    snprintf(a->text, sizeof a->text, "the activation applied to the other factor");
    return true;
}

bool ls_alteration_of_number(const ls_trace *t, size_t node, size_t k, double factor, alteration *out) {
    static const char *const keys[LS_ALTERATION_NUMBERS] = {"freq_base", "eps", "scale", "logit_softcap"};
    *out = (alteration){.at = node, .node = t->nodes[node]};
    const double *own = ls_node_parameter(&out->node, keys[k]);
    const bool any = own != NULL && *own != 0;
    if (any)
        ls_alteration_set(out, keys[k], *own * factor);
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
    {"mask", other_mask},
    {"window", moved_window},
    {"window-size", other_window},
    {"softmax-scale", other_scale},
    {"soft-cap", other_cap},
    {"rope-factors", other_frequency_scale},
    {"rope-dims", other_dimensions},
    {"row-shift", other_positions},
    {"activation", other_activation},
    {"gate-swapped", other_gate},
    {"conv-padding", ls_vary_padding},
    {"pool-kind", ls_vary_pooling},
    {"softmax-axis", ls_vary_softmax_axis},
    {"axes-swapped", ls_vary_axes},
};

const char *ls_replay_rule(size_t index) { return index < COUNT(variants) ? variants[index].rule : NULL; }

bool ls_alteration_add(size_t variant, size_t k, alteration *a) {
    char before[sizeof a->text], own[sizeof a->text];
    const ls_mask_change mask = a->mask;
    snprintf(before, sizeof before, "%s", a->text);
    a->mask = LS_MASK_AS_IT_IS;
    a->is_void = false;
    if (!variants[variant].alter(a, k))
        return false;
    a->is_void = a->is_void || (mask != LS_MASK_AS_IT_IS && a->mask != LS_MASK_AS_IT_IS); /* it can be changed in one way only */
    a->mask = a->mask == LS_MASK_AS_IT_IS ? mask : a->mask;
    if (before[0] != '\0') {
        snprintf(own, sizeof own, "%s", a->text);
        snprintf(a->text, sizeof a->text, "%.*s and %.*s", (int)sizeof before / 2 - 3, before, (int)sizeof own / 2 - 3, own);
    }
    return true;
}

void ls_alteration_copy(const alteration *from, alteration *out) {
    *out = *from;
    if (from->node.parameters == from->parameters)
        out->node.parameters = out->parameters;
}

/* ------------------------------------------------------------------ operands */

static uint64_t columns_of(const ls_array *a) { return a->rank > 0 ? a->shape[a->rank - 1] : 0; }

/* Other values are biases, such as ALiBi's. */
static bool is_blocked(double value) { return value < -1e4; }

/* Moves the beginning of what a row allows. Rows that allow fewer than the widest ones have no window. */
static void move_window(double *values, uint64_t first, uint64_t last, uint64_t widest, int longer) {
    if (longer > 0 && first > 0)
        values[first - 1] = values[last];
    else if (longer < 0 && first < last && last - first == widest)
        values[first] = -INFINITY;
}

/* Lets the row begin so many columns before the last that it allows. */
static void begin_window(double *values, uint64_t last, uint64_t window) {
    for (uint64_t at = 0; at < last; at++)
        values[at] = last - at < window ? (is_blocked(values[at]) ? values[last] : values[at]) : -INFINITY;
}

/* The first and the last column that a row allows; false where it allows none. */
static bool find_ends(const double *values, uint64_t columns, uint64_t *out_first, uint64_t *out_last) {
    uint64_t first = 0, end = columns;
    while (first < columns && is_blocked(values[first]))
        first++;
    while (end > first && is_blocked(values[end - 1]))
        end--;
    *out_first = first;
    *out_last = end - 1;
    return first < end;
}

/* The largest distance of the two. */
static uint64_t widest_row(const ls_array *mask, uint64_t columns) {
    uint64_t widest = 0, first, last;
    for (uint64_t row = 0; row < mask->elements / columns; row++)
        if (find_ends(mask->values + row * columns, columns, &first, &last) && last - first > widest)
            widest = last - first;
    return widest;
}

static void change_rows(ls_array *mask, uint64_t columns, const alteration *a) {
    const uint64_t widest = widest_row(mask, columns);
    uint64_t first, last;
    for (uint64_t row = 0; row < mask->elements / columns; row++) {
        double *values = mask->values + row * columns;
        if (!find_ends(values, columns, &first, &last))
            continue;
        if (a->mask == LS_MASK_LONGER)
            move_window(values, first, last, widest, a->window);
        else
            begin_window(values, last, a->mask == LS_MASK_OF_WINDOW ? (uint64_t)a->window : columns);
    }
}

/* The number of columns that some row allows. */
static uint64_t columns_in_use(const ls_array *mask, uint64_t columns) {
    uint64_t most = 0;
    for (uint64_t i = 0; i < mask->elements; i++)
        most = !is_blocked(mask->values[i]) && i % columns >= most ? i % columns + 1 : most;
    return most;
}

/* Rows are the last positions of what is in use. */
static void change_whole(ls_array *mask, uint64_t columns, uint64_t rows, bool causal) {
    const uint64_t used = columns_in_use(mask, columns);
    for (uint64_t i = 0; i < mask->elements; i++) {
        const uint64_t row = i / columns % rows, column = i % columns;
        const bool allowed = column < used && (!causal || used < rows || column <= used - rows + row);
        mask->values[i] = !allowed ? -INFINITY : is_blocked(mask->values[i]) ? 0 : mask->values[i];
    }
}

static void change_mask(ls_array *mask, const alteration *a) {
    const uint64_t columns = columns_of(mask), rows = mask->rank > 1 ? mask->shape[mask->rank - 2] : 1;
    const bool whole = a->mask == LS_MASK_OF_ALL || a->mask == LS_MASK_CAUSAL;
    if (columns == 0 || rows == 0)
        return;
    if (whole)
        change_whole(mask, columns, rows, a->mask == LS_MASK_CAUSAL);
    else
        change_rows(mask, columns, a);
}

void ls_alteration_apply(const alteration *a, size_t slot, ls_array *operand) {
    const size_t mask = a->node.kind->role == LS_OP_ROLE_SOFTMAX ? 1 : 3;
    if (a->mask != LS_MASK_AS_IT_IS && slot == mask)
        change_mask(operand, a);
    if (a->axes.is_set && slot == a->axes.slot && operand->values != NULL)
        ls_swap_axes(operand->values, operand->elements, a->axes.second, a->axes.first, a->axes.after);
    for (uint64_t i = 0; a->shift != 0 && slot == 1 && i < operand->elements; i++)
        operand->values[i] += a->shift;
}
