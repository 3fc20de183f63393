/* Passes with the graph of an earlier one: only their inputs have lines. */
#include "trace/trace_lines.h"

#include <stdlib.h>
#include <string.h>

enum { REPEATED_MAX = 1 << 21, LOOKED_AT_MAX = 1 << 26 }; /* nodes: lines that say little may stand for many */

/* ------------------------------------------------------------------ writes */

static size_t root_of(const ls_trace *t, size_t write) { return t->nodes[write].view_of; }

/* The last write into the cache that this one wrote to. */
static size_t latest(const ls_trace_lines *r, size_t write) {
    const size_t root = root_of(r->trace, write);
    const uint64_t *last = ls_map_find(&r->last_writes, (const char *)&root, sizeof root);
    return last != NULL && *last != 0 ? (size_t)*last - 1 : write;
}

/* Where passes are repeated, a line can name the last write only as it was in the pass that was recorded. */
static void follow_writes(const ls_trace_lines *r, ls_node *n) {
    for (size_t i = 0; i < n->source_count; i++) {
        const ls_node *source = &r->trace->nodes[n->sources[i]];
        if (source->role == LOCKSTEP_ROLE_WRITE && source->pass != n->pass)
            n->sources[i] = latest(r, n->sources[i]);
    }
}

void ls_trace_place_node(ls_trace_lines *r, size_t node) {
    ls_node *n = &r->trace->nodes[node];
    if (r->repeated > 0)
        follow_writes(r, n);
    if (n->role == LOCKSTEP_ROLE_WRITE && n->view_of != LS_NONE) {
        uint64_t *last = ls_map_at(&r->last_writes, (const char *)&n->view_of, sizeof n->view_of);
        if (last != NULL)
            *last = (uint64_t)node + 1;
    }
    if (n->pass == LS_NONE)
        return;
    ls_pass *pass = &r->trace->passes[n->pass];
    pass->first_node = pass->first_node == LS_NONE ? node : pass->first_node;
    pass->end_node = node + 1;
}

/* ------------------------------------------------------------------ repeating */

typedef struct repetition {
    ls_trace_lines *r;
    size_t pass, like, first, end; /* nodes of the earlier pass, and perhaps of others */
    size_t *mapped;                /* of each: its node in this pass + 1 */
} repetition;

static size_t map_node(const repetition *p, size_t node) {
    if (node == LS_NONE)
        return LS_NONE;
    if (node >= p->first && node < p->end && p->mapped[node - p->first] != 0)
        return p->mapped[node - p->first] - 1;
    return p->r->trace->nodes[node].role == LOCKSTEP_ROLE_WRITE ? latest(p->r, node) : node;
}

static size_t *map_list(const repetition *p, const size_t *list, size_t count) {
    size_t *mapped = ls_arena_array(&p->r->trace->arena, count + 1, sizeof *mapped);
    for (size_t i = 0; mapped != NULL && i < count; i++)
        mapped[i] = map_node(p, list[i]);
    return mapped;
}

static bool are_alike(const ls_node *a, const ls_node *b) { return strcmp(a->name, b->name) == 0 && strcmp(a->dtype, b->dtype) == 0 && a->elements == b->elements; }

static bool is_input_of(const ls_trace *t, size_t node, size_t pass) { return t->nodes[node].pass == pass && t->nodes[node].role == LOCKSTEP_ROLE_INPUT; }

/* The inputs have lines, in the same order. False if these are not the inputs of the earlier pass. */
static bool map_inputs(const repetition *p) {
    const ls_trace *t = p->r->trace;
    const ls_pass *own = &t->passes[p->pass];
    size_t next = own->first_node;
    for (size_t i = p->first; i < p->end; i++) {
        if (!is_input_of(t, i, p->like))
            continue;
        while (next != LS_NONE && next < own->end_node && !is_input_of(t, next, p->pass))
            next++;
        if (next == LS_NONE || next >= own->end_node || !are_alike(&t->nodes[i], &t->nodes[next]))
            return false;
        p->mapped[i - p->first] = ++next;
    }
    return true;
}

static bool copy_node(const repetition *p, size_t node) {
    ls_trace *t = p->r->trace;
    if (!ls_trace_grow_nodes(p->r))
        return false;
    ls_node *copy = &t->nodes[t->node_count];
    *copy = t->nodes[node];
    copy->pass = p->pass;
    copy->file = NULL;
    copy->alias_of = map_node(p, copy->alias_of);
    copy->view_of = map_node(p, copy->view_of);
    const bool own_operands = copy->operands != copy->sources;
    copy->sources = map_list(p, copy->sources, copy->source_count);
    copy->operands = own_operands ? map_list(p, copy->operands, copy->operand_count) : copy->sources;
    if (copy->sources == NULL || copy->operands == NULL)
        return false;
    p->mapped[node - p->first] = t->node_count + 1;
    p->r->repeated++;
    ls_trace_place_node(p->r, t->node_count++);
    return true;
}

static lockstep_status copy_nodes(const repetition *p) {
    for (size_t i = p->first; i < p->end; i++) {
        const ls_node *n = &p->r->trace->nodes[i];
        if (n->pass != p->like || n->role == LOCKSTEP_ROLE_INPUT || n->role == LOCKSTEP_ROLE_STATE)
            continue;
        if (!copy_node(p, i))
            return LOCKSTEP_NO_MEMORY;
    }
    return LOCKSTEP_OK;
}

lockstep_status ls_trace_repeat(ls_trace_lines *r, size_t pass) {
    const ls_trace *t = r->trace;
    repetition p = {.r = r, .pass = pass, .like = t->passes[pass].like};
    const ls_pass *like = &t->passes[p.like];
    if (like->first_node == LS_NONE)
        return LOCKSTEP_OK;
    p.first = like->first_node;
    p.end = like->end_node;
    r->looked_at += p.end - p.first;
    if (r->repeated > REPEATED_MAX || r->looked_at > LOOKED_AT_MAX)
        return LOCKSTEP_LIMIT;
    p.mapped = calloc(p.end - p.first + 1, sizeof *p.mapped);
    if (p.mapped == NULL)
        return LOCKSTEP_NO_MEMORY;
    lockstep_status status = LOCKSTEP_OK;
    if (map_inputs(&p))
        status = copy_nodes(&p);
    else
        r->is_torn = true; /* the engine has said it, and it is not so: its nodes are missing */
    free(p.mapped);
    return status;
}
