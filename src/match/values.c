#include "match/values.h"

#include <stdlib.h>
#include <string.h>

#include "base/grow.h"
#include "base/hash.h"

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

/* ------------------------------------------------------------------ tables of nodes */

/* A key: `which` counts the nodes of one pass, name and, unless it is 0, operation. */
typedef struct place {
    size_t pass;
    uint32_t name, op, which;
} place;

static uint64_t hash_of(const place *at, bool with_which) {
    uint64_t key[3] = {at->pass, (uint64_t)at->name << 32 | at->op, with_which ? at->which : 0};
    return XXH3_64bits(key, sizeof key);
}

static bool is_at(const ls_values *v, size_t node, const place *at, bool with_which) {
    const ls_node_label *label = &v->labels[node];
    return v->trace->nodes[node].pass == at->pass && label->name == at->name && (at->op == 0 || label->op == at->op) &&
           (!with_which || at->which == (at->op != 0 ? label->of_name_op : label->of_name));
}

/* The slot of the node with this key, or the free one where it belongs. The table has a free slot. */
static uint32_t *slot_at(const ls_values *v, const ls_node_table *t, const place *at, bool with_which) {
    size_t mask = t->capacity - 1, i = hash_of(at, with_which) & mask;
    while (t->slots[i] != 0 && !is_at(v, t->slots[i] - 1, at, with_which))
        i = (i + 1) & mask;
    return &t->slots[i];
}

static size_t find_in(const ls_values *v, const ls_node_table *t, const place *at, bool with_which) {
    return t->capacity > 0 ? (size_t)*slot_at(v, t, at, with_which) - 1 : LS_NONE; /* 0 - 1 is LS_NONE */
}

static place place_of(const ls_values *v, size_t node, bool by_op) {
    const ls_node_label *label = &v->labels[node];
    return (place){v->trace->nodes[node].pass, label->name, by_op ? label->op : 0, by_op ? label->of_name_op : label->of_name};
}

/* At most half full. */
static bool make_slots(const ls_values *v, ls_node_table *t, bool by_op, bool with_which) {
    if (2 * (t->count + 1) <= t->capacity)
        return true;
    ls_node_table larger = {.count = t->count, .capacity = t->capacity > 0 ? 2 * t->capacity : 64};
    larger.slots = calloc(larger.capacity, sizeof *larger.slots);
    if (larger.slots == NULL)
        return false;
    for (size_t i = 0; i < t->capacity; i++)
        if (t->slots[i] != 0) {
            place at = place_of(v, t->slots[i] - 1, by_op);
            *slot_at(v, &larger, &at, with_which) = t->slots[i];
        }
    free(t->slots);
    *t = larger;
    return true;
}

/* Puts a node into a table, in the place of one with its key. False when out of memory. */
static bool put(ls_values *v, ls_node_table *t, size_t node, bool by_op, bool with_which) {
    if (!make_slots(v, t, by_op, with_which))
        return false;
    place at = place_of(v, node, by_op);
    uint32_t *slot = slot_at(v, t, &at, with_which);
    t->count += *slot == 0;
    *slot = (uint32_t)(node + 1);
    return true;
}

/* ------------------------------------------------------------------ filing */

static bool intern(ls_map *strings, const char *text, uint32_t *out_number) {
    uint64_t *number = ls_map_at(strings, text, strlen(text));
    if (number != NULL && *number == 0)
        *number = strings->count;
    *out_number = number != NULL ? (uint32_t)*number : 0;
    return number != NULL;
}

static uint32_t number_of(const ls_map *strings, const char *text) {
    const uint64_t *number = ls_map_find(strings, text, strlen(text));
    return number != NULL ? (uint32_t)*number : 0;
}

#define SEVERAL UINT64_MAX

/* Files a node of a container under its name without a number. */
static bool file_unnumbered(ls_values *v, size_t node) {
    const char *name = unwrapped(unnumbered(v->trace->nodes[node].name));
    uint64_t *slot = v->trace->is_graph ? NULL : ls_map_at(&v->unnumbered, name, strlen(name));
    if (slot != NULL)
        *slot = *slot == 0 ? node + 1 : SEVERAL;
    return slot != NULL || v->trace->is_graph;
}

/* Files a node under its name, and under its name and operation. */
static bool file_node(ls_values *v, size_t node) {
    const ls_node *n = &v->trace->nodes[node];
    ls_node_label label = {0};
    if (!file_unnumbered(v, node) || !intern(&v->strings, unwrapped(n->name), &label.name) || !intern(&v->strings, n->op, &label.op))
        return false;
    size_t before = find_in(v, &v->last_by_name, &(place){n->pass, label.name, 0, 0}, false);
    size_t before_with_op = find_in(v, &v->last_by_name_op, &(place){n->pass, label.name, label.op, 0}, false);
    label.of_name = before != LS_NONE ? v->labels[before].of_name + 1 : 0;
    label.of_name_op = before_with_op != LS_NONE ? v->labels[before_with_op].of_name_op + 1 : 0;
    v->labels[node] = label;
    v->next_same[node] = LS_NONE;
    if (before != LS_NONE)
        v->next_same[before] = node;
    return put(v, &v->by_name, node, false, true) && put(v, &v->by_name_op, node, true, true) && put(v, &v->last_by_name, node, false, false) &&
           put(v, &v->last_by_name_op, node, true, false);
}

/* A view that shows all elements of a value is that value, whatever its axes: their order is left to the
 * layout. */
static size_t fold(const ls_values *v, size_t node) {
    const ls_node *n = &v->trace->nodes[node];
    if (n->alias_of != LS_NONE)
        return v->value_of[n->alias_of];
    if (n->role == LOCKSTEP_ROLE_VIEW && n->file == NULL && n->source_count > 0 &&
        v->trace->nodes[v->value_of[n->sources[0]]].elements == n->elements)
        return v->value_of[n->sources[0]];
    return node;
}

static bool make_room(ls_values *v, size_t count) {
    size_t had = v->capacity, now = ls_doubled(had, count);
    if (!ls_extend(&v->value_of, had, now, sizeof *v->value_of) || !ls_extend(&v->next_same, had, now, sizeof *v->next_same) ||
        !ls_extend(&v->labels, had, now, sizeof *v->labels))
        return false;
    v->capacity = now;
    return true;
}

lockstep_status ls_values_grow(ls_values *v, lockstep_error *error) {
    if (v->trace->node_count >= UINT32_MAX)
        return ls_fail(error, LOCKSTEP_LIMIT, "%s: more than 4 billion tensors", v->trace->path);
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
    free(values->labels);
    free(values->by_name.slots);
    free(values->by_name_op.slots);
    free(values->last_by_name.slots);
    free(values->last_by_name_op.slots);
    ls_map_done(&values->strings);
    ls_map_done(&values->unnumbered);
    *values = (ls_values){0};
}

static bool is_called(const ls_values *values, size_t node, const char *name) {
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
        if (nodes[node->sources[i]].role != LOCKSTEP_ROLE_WEIGHT)
            source = node->sources[i];
    if (source == LS_NONE)
        return false;
    if (is_called(values, source, name))
        return true;
    const ls_node *rows = &nodes[values->value_of[source]];
    return rows->kind->id == LS_OP_GET_ROWS && rows->source_count > 0 && is_called(values, rows->sources[0], name);
}

/* Nodes with a given source are looked for one by one. */
static size_t find_that_is_of(const ls_values *values, size_t pass, uint32_t name, const ls_label *label) {
    long seen = 0;
    size_t last = LS_NONE;
    for (size_t i = find_in(values, &values->by_name, &(place){pass, name, 0, 0}, true); i != LS_NONE; i = values->next_same[i]) {
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
        return find_that_is_of(values, pass, at.name, label);
    bool by_op = label->op != NULL;
    if (label->occurrence == LS_LAST)
        return find_in(values, by_op ? &values->last_by_name_op : &values->last_by_name, &at, false);
    if (label->occurrence > (long)UINT32_MAX)
        return LS_NONE;
    at.which = label->occurrence == LS_FIRST ? 0 : (uint32_t)label->occurrence;
    return find_in(values, by_op ? &values->by_name_op : &values->by_name, &at, true);
}

size_t ls_values_find_unnumbered(const ls_values *values, size_t pass, const char *name) {
    const char *bare = unwrapped(unnumbered(name));
    if (values->trace->is_graph)
        return ls_values_find(values, pass, &(ls_label){bare, NULL, NULL, LS_FIRST});
    const uint64_t *node = ls_map_find(&values->unnumbered, bare, strlen(bare));
    return node != NULL && *node != SEVERAL ? (size_t)(*node - 1) : LS_NONE;
}

bool ls_values_is_own(const ls_values *values, size_t node) {
    return values->value_of[node] == node && values->trace->nodes[node].role == LOCKSTEP_ROLE_COMPUTED;
}

/* A pass that ends in tensors without elements, because no logits are asked for, has none. */
size_t *ls_values_outputs(const ls_values *values, bool kept) {
    const ls_trace *t = values->trace;
    size_t *outputs = malloc((t->pass_count + 1) * sizeof *outputs);
    for (size_t pass = 0; outputs != NULL && pass < t->pass_count; pass++)
        outputs[pass] = LS_NONE;
    for (size_t i = 0; outputs != NULL && i < t->node_count; i++) {
        const ls_node *n = &t->nodes[i];
        if (n->pass >= t->pass_count)
            continue;
        if (n->elements == 0 && ls_node_is_operation(n))
            outputs[n->pass] = LS_NONE;
        else if (n->elements > 0 && ls_values_is_own(values, i) && (!kept || ls_node_has_values(n)))
            outputs[n->pass] = i;
    }
    return outputs;
}
