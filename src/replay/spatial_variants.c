#include "replay/replayer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct ls_alteration alteration;

/* ------------------------------------------------------------------ padding and pooling */

static double parameter_of(const alteration *a, const char *key) {
    const double *value = ls_node_parameter(&a->node, key);
    return value != NULL ? *value : 0;
}

/* What is padded on one side is padded on the other. */
static bool pad_other_side(alteration *a) {
    const double before[] = {parameter_of(a, "before_0"), parameter_of(a, "before_1")}, after[] = {parameter_of(a, "after_0"), parameter_of(a, "after_1")};
    a->is_void = before[0] == after[0] && before[1] == after[1];
    ls_alteration_set(a, "before_0", after[0]);
    ls_alteration_set(a, "before_1", after[1]);
    ls_alteration_set(a, "after_0", before[0]);
    ls_alteration_set(a, "after_1", before[1]);
    snprintf(a->text, sizeof a->text, "%g before and %g after padded instead of %g and %g", after[0], before[0], before[0], after[0]);
    return true;
}

/* As many windows, which begin elsewhere. */
static bool move_windows(alteration *a, size_t k) {
    static const int moves[] = {-1, 1, -2, 2};
    if (k >= sizeof moves / sizeof *moves || ls_node_parameter(&a->node, "padding_0") == NULL)
        return false;
    const double own[] = {parameter_of(a, "padding_0"), parameter_of(a, "padding_1")};
    a->is_void = own[0] + moves[k] < 0 || own[1] + moves[k] < 0;
    ls_alteration_set(a, "padding_0", own[0] + moves[k]);
    ls_alteration_set(a, "padding_1", own[1] + moves[k]);
    snprintf(a->text, sizeof a->text, "%g before padded instead of %g", own[0] + moves[k], own[0]);
    return true;
}

bool ls_vary_padding(alteration *a, size_t k) {
    const ls_op_id id = a->node.kind->id;
    if (a->node.dialect != LS_DIALECT_GGML)
        return false;
    if (id == LS_OP_PAD)
        return k == 0 && pad_other_side(a);
    return (id == LS_OP_IM2COL || id == LS_OP_CONV_2D || id == LS_OP_CONV_2D_DW) && move_windows(a, k);
}

bool ls_vary_pooling(alteration *a, size_t k) {
    enum { MAXIMUM = 0, AVERAGE = 1 }; /* ggml's numbers */
    if (k > 0 || a->node.dialect != LS_DIALECT_GGML || (a->node.kind->id != LS_OP_POOL_1D && a->node.kind->id != LS_OP_POOL_2D))
        return false;
    const bool is_average = parameter_of(a, "kind") == AVERAGE;
    ls_alteration_set(a, "kind", is_average ? MAXIMUM : AVERAGE);
    snprintf(a->text, sizeof a->text, "%s", is_average ? "the largest instead of the average" : "the average instead of the largest");
    return true;
}

/* ------------------------------------------------------------------ axes */

bool ls_swap_axes(double *values, uint64_t elements, uint64_t first, uint64_t second, uint64_t after) {
    const uint64_t block = first * second * after;
    double *swapped = block > 0 && elements % block == 0 ? malloc((size_t)block * sizeof *swapped) : NULL;
    for (uint64_t at = 0; swapped != NULL && at < elements; at += block) {
        for (uint64_t i = 0; i < first; i++)
            for (uint64_t j = 0; j < second; j++)
                memcpy(swapped + (j * first + i) * after, values + at + (i * second + j) * after, (size_t)after * sizeof *values);
        memcpy(values + at, swapped, (size_t)block * sizeof *values);
    }
    free(swapped);
    return swapped != NULL;
}

/* Without a mask, which has rows and columns of its own. */
bool ls_vary_softmax_axis(alteration *a, size_t k) {
    const ls_node *n = &a->node;
    if (k > 0 || n->kind->id != LS_OP_SOFT_MAX || n->dialect != LS_DIALECT_GGML || n->rank < 2 || (n->operand_count > 1 && n->operands[1] != LS_NONE))
        return false;
    a->is_crosswise = true;
    snprintf(a->text, sizeof a->text, "the sums over the rows instead of the columns of the scores");
    return true;
}

static uint64_t root_of(uint64_t number) {
    uint64_t root = 1;
    while (root * root < number)
        root++;
    return root * root == number ? root : 0;
}

/* The axes of a picture in an operand: its last two, those before the channels, or the one in which its pixels are in a row. 1: there are none. */
static uint64_t side_of_picture(const ls_node *n, size_t way, uint64_t *out_after) {
    const uint64_t *end = n->shape + n->rank;
    *out_after = way == 0 ? 1 : n->rank > 0 ? end[-1] : 1;
    if (way == 0 && n->rank > 1)
        return end[-1] == end[-2] ? end[-1] : 1;
    if (way == 1 && n->rank > 2)
        return end[-2] == end[-3] ? end[-2] : 1;
    return way == 2 && n->rank > 1 ? root_of(end[-2]) : 1;
}

/* A picture's rows and columns, which a reshape may have mixed up without a change of shape. */
bool ls_vary_axes(alteration *a, size_t k) {
    enum { WAYS = 3, SLOTS = 2 };
    const size_t slot = k / WAYS, operand = slot < SLOTS && slot < a->node.operand_count ? a->node.operands[slot] : LS_NONE;
    if (slot >= SLOTS)
        return false;
    const bool is_one = operand != LS_NONE && a->nodes[operand].role != LOCKSTEP_ROLE_WEIGHT;
    const uint64_t side = is_one ? side_of_picture(&a->nodes[operand], k % WAYS, &a->axes.after) : 1;
    a->is_void = side < 2 || a->axes.is_set;
    a->axes.is_set = true;
    a->axes.slot = slot;
    a->axes.first = a->axes.second = side;
    snprintf(a->text, sizeof a->text, "rows and columns (%llu x %llu) of operand %zu swapped", (unsigned long long)side, (unsigned long long)side, slot);
    return true;
}
