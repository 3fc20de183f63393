#include "align/values.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t *slot(ls_map *map, size_t pass, const char *name) {
    char key[512];
    int length = snprintf(key, sizeof key, "%zu/%s", pass, name);
    return ls_map_at(map, key, (size_t)length < sizeof key ? (size_t)length : sizeof key - 1);
}

static const uint64_t *find_slot(const ls_map *map, size_t pass, const char *name) {
    char key[512];
    int length = snprintf(key, sizeof key, "%zu/%s", pass, name);
    return ls_map_find(map, key, (size_t)length < sizeof key ? (size_t)length : sizeof key - 1);
}

/* Views that show all of a value's elements are the value, whatever their axes:
 * which order they show it in is the layout's business. */
static size_t fold(const ls_values *v, size_t node) {
    const ls_node *n = &v->trace->nodes[node];
    if (n->alias_of != LS_NONE)
        return v->value_of[n->alias_of];
    if (n->role == LS_ROLE_VIEW && n->file == NULL && n->source_count > 0 &&
        v->trace->nodes[v->value_of[n->sources[0]]].elements == n->elements)
        return v->value_of[n->sources[0]];
    return node;
}

static bool make_room(ls_values *v, size_t count) {
    if (count <= v->capacity)
        return true;
    size_t capacity = count > 2 * v->capacity ? count : 2 * v->capacity;
    size_t *value_of = reallocarray(v->value_of, capacity, sizeof *value_of);
    if (value_of != NULL)
        v->value_of = value_of;
    size_t *next_same = reallocarray(v->next_same, capacity, sizeof *next_same);
    if (next_same != NULL)
        v->next_same = next_same;
    if (value_of == NULL || next_same == NULL)
        return false;
    v->capacity = capacity;
    return true;
}

lockstep_status ls_values_grow(ls_values *v, lockstep_error *error) {
    bool ok = make_room(v, v->trace->node_count + 1);
    for (size_t i = v->count; ok && i < v->trace->node_count; i++) {
        const ls_node *n = &v->trace->nodes[i];
        v->value_of[i] = fold(v, i);
        v->next_same[i] = LS_NONE;
        uint64_t *first = slot(&v->first, n->pass, n->name), *before = slot(&v->last, n->pass, n->name);
        ok = first != NULL && before != NULL;
        if (ok && *first == 0)
            *first = i + 1;
        else if (ok)
            v->next_same[*before - 1] = i;
        if (ok)
            *before = i + 1;
        v->count = ok ? i + 1 : i;
    }
    return ok ? LOCKSTEP_OK : ls_fail(error, LOCKSTEP_NO_MEMORY, "out of memory");
}

lockstep_status ls_values_init(const ls_trace *trace, ls_values *out_values, lockstep_error *error) {
    ls_values v = {.trace = trace};
    lockstep_status status = ls_values_grow(&v, error);
    if (status == LOCKSTEP_OK)
        *out_values = v;
    else
        ls_values_done(&v);
    return status;
}

void ls_values_done(ls_values *values) {
    free(values->value_of);
    free(values->next_same);
    ls_map_done(&values->first);
    ls_map_done(&values->last);
    *values = (ls_values){0};
}

bool ls_values_is_called(const ls_values *values, size_t node, const char *name) {
    const ls_trace *t = values->trace;
    for (;;) { /* the value itself, and the views on the way to it */
        const ls_node *n = &t->nodes[node];
        if (strcmp(n->name, name) == 0)
            return true;
        if (values->value_of[node] == node)
            return false;
        node = n->alias_of != LS_NONE ? n->alias_of : n->sources[0];
    }
}

/* The first computed source; rows picked from a computed tensor are still it. */
static bool is_of(const ls_values *values, const ls_node *node, const char *name) {
    const ls_node *nodes = values->trace->nodes;
    size_t source = LS_NONE;
    for (size_t i = 0; i < node->source_count && source == LS_NONE; i++)
        if (nodes[node->sources[i]].role != LS_ROLE_WEIGHT)
            source = node->sources[i];
    if (source == LS_NONE)
        return false;
    if (ls_values_is_called(values, source, name))
        return true;
    const ls_node *rows = &nodes[values->value_of[source]];
    return strcmp(rows->op, "GET_ROWS") == 0 && rows->source_count > 0 && ls_values_is_called(values, rows->sources[0], name);
}

size_t ls_values_find(const ls_values *values, size_t pass, const ls_label *label) {
    const uint64_t *first = find_slot(&values->first, pass, label->name);
    long seen = 0;
    size_t last = LS_NONE;
    for (size_t i = first != NULL ? *first - 1 : LS_NONE; i != LS_NONE; i = values->next_same[i]) {
        const ls_node *n = &values->trace->nodes[i];
        if ((label->op != NULL && strcmp(label->op, n->op) != 0) ||
            (label->of != NULL && !is_of(values, n, label->of)))
            continue;
        last = i;
        if (label->occurrence == LS_FIRST || (label->occurrence >= 0 && seen++ == label->occurrence))
            return i;
    }
    return label->occurrence == LS_LAST ? last : LS_NONE;
}

bool ls_values_is_own(const ls_values *values, size_t node) {
    return values->value_of[node] == node && values->trace->nodes[node].role == LS_ROLE_COMPUTED;
}

size_t *ls_values_outputs(const ls_values *values, bool kept) {
    const ls_trace *t = values->trace;
    size_t *outputs = malloc((t->pass_count + 1) * sizeof *outputs);
    for (size_t pass = 0; outputs != NULL && pass < t->pass_count; pass++)
        outputs[pass] = LS_NONE;
    for (size_t i = 0; outputs != NULL && i < t->node_count; i++)
        if (ls_values_is_own(values, i) && t->nodes[i].elements > 0 && t->nodes[i].pass < t->pass_count &&
            (!kept || ls_node_has_values(&t->nodes[i])))
            outputs[t->nodes[i].pass] = i;
    return outputs;
}
