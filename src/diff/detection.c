#include "diff/detection.h"

#include <stdlib.h>
#include <string.h>

#include "diff/proof.h"

/* A reference whose type hides more than this should have been recorded in float32. */
#define HIDES_MUCH 1e-3

static const char *weight_type_of(const ls_trace *t, const ls_node *n) {
    const char *type = NULL;
    for (size_t i = 0; i < n->operand_count && type == NULL; i++) {
        const size_t weight = ls_proof_weight_of(t, n->operands[i]);
        type = weight != LS_NONE ? t->nodes[weight].dtype : NULL;
    }
    return type;
}

static bool is_of_kind(const ls_detection_limit *l, const char *op, const char *type) {
    return strcmp(l->op, op) == 0 && (l->type == NULL) == (type == NULL) && (type == NULL || strcmp(l->type, type) == 0);
}

/* The kind's place in the list, at its end if it is new. NULL if out of memory. */
static ls_detection_limit *kind_of(ls_detection_limits *all, const char *op, const char *type) {
    size_t i = 0;
    while (i < all->count && !is_of_kind(&all->items[i], op, type))
        i++;
    if (i == all->count) {
        ls_detection_limit *items = realloc(all->items, (all->count + 1) * sizeof *items);
        if (items == NULL)
            return NULL;
        all->items = items;
        all->items[all->count++] = (ls_detection_limit){.op = op, .type = type};
    }
    return &all->items[i];
}

static int largest_first(const void *a, const void *b) {
    const ls_detection_limit *x = a, *y = b;
    if (x->limit != y->limit)
        return x->limit > y->limit ? -1 : 1;
    const int order = strcmp(x->op, y->op);
    return order != 0 ? order : strcmp(x->type != NULL ? x->type : "", y->type != NULL ? y->type : "");
}

lockstep_status ls_detection_limits_find(const ls_diff *diff, ls_detection_limits *out, lockstep_error *error) {
    const ls_trace *t = diff->in.candidate.trace;
    *out = (ls_detection_limits){.reference_type = ls_local_error_limit(&(ls_local_error){.expected = diff->replay.reference_error}) > HIDES_MUCH ? diff->replay.reference_type : NULL};
    for (size_t i = 0; diff->is_replayed && i < diff->replay.count; i++) {
        const ls_replayed *item = &diff->replay.items[i];
        const ls_node *n = &t->nodes[item->node];
        const double limit = ls_local_error_limit(&item->local);
        if (item->partner == LS_NONE || !(limit > 0))
            continue;
        ls_detection_limit *kind = kind_of(out, n->op, weight_type_of(t, n));
        if (kind == NULL)
            return ls_fail(error, LOCKSTEP_NO_MEMORY, "out of memory");
        kind->operations++;
        kind->limit = limit > kind->limit ? limit : kind->limit;
    }
    if (out->count > 0)
        qsort(out->items, out->count, sizeof *out->items, largest_first);
    return LOCKSTEP_OK;
}

void ls_detection_limits_done(ls_detection_limits *l) {
    free(l->items);
    *l = (ls_detection_limits){0};
}
