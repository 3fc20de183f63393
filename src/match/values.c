#include "match/values.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

/* Wrappers put these before every name: DataParallel, torch.compile, PEFT. */
static const char *unwrapped(const char *name) {
    static const char *const wrappers[] = {"module.", "_orig_mod.", "base_model.model."};
    for (size_t i = 0; i < sizeof wrappers / sizeof wrappers[0];) {
        size_t length = strlen(wrappers[i]);
        bool found = strncmp(name, wrappers[i], length) == 0 && name[length] != '\0';
        name += found ? length : 0;
        i = found ? 0 : i + 1;
    }
    return name;
}

/* Files are numbered so that they sort: 007_attn_norm is attn_norm. */
static const char *unnumbered(const char *name) {
    const char *rest = name;
    while (*rest >= '0' && *rest <= '9')
        rest++;
    return rest > name && (*rest == '_' || *rest == '-') && rest[1] != '\0' ? rest + 1 : name;
}

/* The key under which a node is filed; names and operations are interned, 0 where a string was never seen. */
typedef struct place {
    uint64_t pass, name, op, which;
} place;

static bool intern(ls_map *strings, const char *text, uint64_t *out_number) {
    uint64_t *number = ls_map_at(strings, text, strlen(text));
    if (number != NULL && *number == 0)
        *number = strings->count;
    *out_number = number != NULL ? *number : 0;
    return number != NULL;
}

static uint64_t number_of(const ls_map *strings, const char *text) {
    const uint64_t *number = ls_map_find(strings, text, strlen(text));
    return number != NULL ? *number : 0;
}

/* Counts are filed under the key without `which`. */
static uint64_t *count_at(ls_map *counts, const place *at) { return ls_map_at(counts, (const char *)at, offsetof(place, which)); }

static uint64_t count_of(const ls_values *v, const place *at) {
    const uint64_t *count = ls_map_find(&v->counts, (const char *)at, offsetof(place, which));
    return count != NULL ? *count : 0;
}

static size_t node_at(const ls_values *v, const place *at) {
    const uint64_t *node = ls_map_find(&v->nodes, (const char *)at, sizeof *at);
    return node != NULL ? (size_t)(*node - 1) : LS_NONE;
}

#define SEVERAL UINT64_MAX

/* Files a node of a container under its name without a number. */
static bool file_number(ls_values *v, size_t node) {
    const char *name = unwrapped(unnumbered(v->trace->nodes[node].name));
    uint64_t *slot = v->trace->is_graph ? NULL : ls_map_at(&v->unnumbered, name, strlen(name));
    if (slot != NULL)
        *slot = *slot == 0 ? node + 1 : SEVERAL;
    return slot != NULL || v->trace->is_graph;
}

/* Files a node under its name, and under its name and operation. */
static bool file_node(ls_values *v, size_t node) {
    const ls_node *n = &v->trace->nodes[node];
    place at = {.pass = n->pass};
    uint64_t op;
    if (!file_number(v, node) || !intern(&v->strings, unwrapped(n->name), &at.name) || !intern(&v->strings, n->op, &op))
        return false;
    size_t before = LS_NONE;
    for (int k = 0; k < 2; k++) {
        at.op = k == 0 ? 0 : op;
        uint64_t *count = count_at(&v->counts, &at);
        if (count == NULL)
            return false;
        at.which = *count - 1;
        if (k == 0 && *count > 0)
            before = node_at(v, &at);
        at.which = (*count)++;
        uint64_t *slot = ls_map_at(&v->nodes, (const char *)&at, sizeof at);
        if (slot == NULL)
            return false;
        *slot = node + 1;
    }
    v->next_same[node] = LS_NONE;
    if (before != LS_NONE)
        v->next_same[before] = node;
    return true;
}

/* A view that shows all elements of a value is that value, whatever its axes: their order is left to the
 * layout. */
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
        v->value_of[i] = fold(v, i);
        ok = file_node(v, i);
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
    ls_map_done(&values->strings);
    ls_map_done(&values->counts);
    ls_map_done(&values->nodes);
    ls_map_done(&values->unnumbered);
    *values = (ls_values){0};
}

bool ls_values_is_called(const ls_values *values, size_t node, const char *name) {
    const ls_trace *t = values->trace;
    for (;;) { /* the node, the views on the way to its value, and the value itself */
        const ls_node *n = &t->nodes[node];
        if (strcmp(n->name, name) == 0)
            return true;
        if (values->value_of[node] == node)
            return false;
        node = n->alias_of != LS_NONE ? n->alias_of : n->sources[0];
    }
}

/* Is this the name of the node's first computed source? Rows picked from a tensor count as the tensor. */
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
    return rows->kind->id == LS_OP_GET_ROWS && rows->source_count > 0 && ls_values_is_called(values, rows->sources[0], name);
}

/* Nodes with a given source are looked for one by one. */
static size_t find_that_is_of(const ls_values *values, place at, const ls_label *label) {
    long seen = 0;
    size_t last = LS_NONE;
    at.op = 0;
    for (size_t i = node_at(values, &at); i != LS_NONE; i = values->next_same[i]) {
        const ls_node *n = &values->trace->nodes[i];
        if ((label->op != NULL && strcmp(label->op, n->op) != 0) || !is_of(values, n, label->of))
            continue;
        last = i;
        if (label->occurrence == LS_FIRST || (label->occurrence >= 0 && seen++ == label->occurrence))
            return i;
    }
    return label->occurrence == LS_LAST ? last : LS_NONE;
}

size_t ls_values_find(const ls_values *values, size_t pass, const ls_label *label) {
    place at = {.pass = pass, .name = number_of(&values->strings, unwrapped(label->name))};
    at.op = label->op != NULL ? number_of(&values->strings, label->op) : 0;
    if (at.name == 0 || (label->op != NULL && at.op == 0))
        return LS_NONE;
    if (label->of != NULL)
        return find_that_is_of(values, at, label);
    uint64_t count = count_of(values, &at);
    at.which = label->occurrence == LS_FIRST ? 0 : label->occurrence == LS_LAST ? count - 1 : (uint64_t)label->occurrence;
    return count > 0 ? node_at(values, &at) : LS_NONE;
}

size_t ls_values_find_unnumbered(const ls_values *values, size_t pass, const char *name) {
    const char *bare = unwrapped(unnumbered(name));
    if (values->trace->is_graph)
        return ls_values_find(values, pass, &(ls_label){bare, NULL, NULL, LS_FIRST});
    const uint64_t *node = ls_map_find(&values->unnumbered, bare, strlen(bare));
    return node != NULL && *node != SEVERAL ? (size_t)(*node - 1) : LS_NONE;
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
