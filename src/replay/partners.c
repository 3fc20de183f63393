#include "replay/partners.h"

#include <math.h>
#include <stdlib.h>

#include "replay/distances.h"

static bool is_value(const ls_node *n) {
    return n->pass != LS_NONE && n->role == LOCKSTEP_ROLE_COMPUTED && n->alias_of == LS_NONE && n->elements > 0 && ls_node_has_values(n) && !ls_node_is_integer(n) &&
           n->kind->role != LS_OP_ROLE_VIEW;
}

/* From which another node is computed, or which it is another name or a copy of; LS_NONE. Indexes to the number of its sources + 1. */
static size_t parents(const ls_partners *p, size_t node, size_t index) {
    const ls_node *n = &p->trace->nodes[node];
    return index < n->source_count ? n->sources[index] : index == n->source_count ? n->alias_of : p->copy_of[node];
}

/* Values with the same content. What a program computes and gives to a model as its input is recorded apart, too. */
static bool find_copies(ls_partners *p) {
    const ls_trace *t = p->trace;
    ls_map values = {0};
    bool ok = true;
    for (size_t i = 0; i < t->node_count && ok; i++) {
        const ls_node *n = &t->nodes[i];
        const uint64_t key[] = {n->xxh3, n->elements};
        p->copy_of[i] = LS_NONE;
        p->alike[i] = p->next_alike[i] = i;
        if (n->xxh3 == 0 || ls_node_is_integer(n) || (!is_value(n) && n->role != LOCKSTEP_ROLE_INPUT))
            continue;
        uint64_t *at = ls_map_at(&values, (const char *)key, sizeof key);
        ok = at != NULL;
        if (ok && n->role == LOCKSTEP_ROLE_INPUT)
            p->copy_of[i] = *at != 0 ? (size_t)*at - 1 : LS_NONE;
        else if (ok && *at == 0)
            *at = i + 1;
        else if (ok) {
            p->alike[i] = (size_t)*at - 1;
            p->next_alike[i] = p->next_alike[p->alike[i]];
            p->next_alike[p->alike[i]] = i;
        }
    }
    ls_map_done(&values);
    return ok;
}

static bool list_children(ls_partners *p) {
    const ls_trace *t = p->trace;
    size_t edges = 0;
    for (size_t i = 0; i < t->node_count; i++)
        for (size_t k = 0; k <= t->nodes[i].source_count + 1; k++)
            if (parents(p, i, k) != LS_NONE) {
                p->first_child[parents(p, i, k) + 1]++;
                edges++;
            }
    p->has_edges = edges > 0;
    p->children = malloc((edges + 1) * sizeof *p->children);
    size_t *next = malloc((t->node_count + 1) * sizeof *next);
    const bool ok = p->children != NULL && next != NULL;
    for (size_t i = 0; i < t->node_count && ok; i++) {
        p->first_child[i + 1] += p->first_child[i];
        next[i] = p->first_child[i];
    }
    for (size_t i = 0; i < t->node_count && ok; i++)
        for (size_t k = 0; k <= t->nodes[i].source_count + 1; k++)
            if (parents(p, i, k) != LS_NONE)
                p->children[next[parents(p, i, k)]++] = i;
    free(next);
    return ok;
}

/* ------------------------------------------------------------------ a set */

typedef struct sized {
    uint64_t elements;
    double norm;
    size_t node;
} sized;

static int by_size(const void *a, const void *b) {
    const sized *x = a, *y = b;
    if (x->elements != y->elements)
        return x->elements < y->elements ? -1 : 1;
    if (x->norm != y->norm)
        return x->norm < y->norm ? -1 : 1;
    return x->node < y->node ? -1 : x->node > y->node;
}

/* A file may be there twice. */
static bool are_equal(ls_partners *p, size_t a, size_t b) {
    ls_hold holds[2] = {0};
    bool equal = ls_trace_hold(p->trace, a, &holds[0], NULL) == LOCKSTEP_OK;
    if (equal && (equal = ls_trace_hold(p->trace, b, &holds[1], NULL) == LOCKSTEP_OK)) {
        const ls_distance d = ls_distance_between(&holds[0].view, &holds[1].view);
        equal = d.difference == 0 && d.apart == 0;
        ls_hold_release(&holds[1]);
    }
    ls_hold_release(&holds[0]);
    return equal;
}

/* Zeros, and what can't be read, are no values that can be found. */
static bool list_sizes(ls_partners *p) {
    const size_t n = p->trace->node_count;
    sized *all = malloc((n + 1) * sizeof *all);
    p->by_size = malloc((n + 1) * sizeof *p->by_size);
    for (size_t i = 0; i < n && all != NULL && p->by_size != NULL; i++) {
        const double norm = p->is_value[i] ? ls_partners_norm(p, i) : 0;
        p->is_value[i] = isfinite(norm) && norm > 0;
        if (p->is_value[i])
            all[p->sized++] = (sized){p->trace->nodes[i].elements, norm, i};
    }
    if (p->sized > 0)
        qsort(all, p->sized, sizeof *all, by_size);
    for (size_t i = 0; i < p->sized; i++) {
        p->by_size[i] = all[i].node;
        if (i > 0 && all[i].elements == all[i - 1].elements && all[i].norm == all[i - 1].norm && are_equal(p, all[i - 1].node, all[i].node))
            p->alike[all[i].node] = p->alike[all[i - 1].node];
    }
    const bool ok = all != NULL && p->by_size != NULL;
    free(all);
    return ok;
}

/* The first of at least so many elements, and of at least this norm. */
static size_t first_of_size(const ls_partners *p, uint64_t elements, double norm) {
    size_t from = 0, to = p->sized;
    while (from < to) {
        const size_t middle = from + (to - from) / 2, node = p->by_size[middle];
        const uint64_t own = p->trace->nodes[node].elements;
        if (own < elements || (own == elements && p->norms[node] < norm))
            from = middle + 1;
        else
            to = middle;
    }
    return from;
}

size_t ls_partners_of_size(const ls_partners *p, uint64_t elements, double norm, double within, ls_reach *out, size_t capacity) {
    size_t count = 0;
    const double least = within < 1 ? norm * (1 - within) : 0, most = within < 1 ? norm / (1 - within) : INFINITY;
    for (size_t i = first_of_size(p, elements, least); i < p->sized && count < capacity; i++) {
        const size_t node = p->by_size[i];
        if (p->trace->nodes[node].elements != elements || p->norms[node] > most)
            break;
        out[count++] = (ls_reach){node, 1};
    }
    return count;
}

/* ------------------------------------------------------------------ all */

lockstep_status ls_partners_init(const ls_trace *t, ls_partners *p, lockstep_error *error) {
    const size_t n = t->node_count;
    *p = (ls_partners){.trace = t, .is_value = calloc(n + 1, sizeof *p->is_value), .first_child = calloc(n + 2, sizeof *p->first_child), .norms = malloc((n + 1) * sizeof *p->norms), .copy_of = malloc((n + 1) * sizeof *p->copy_of), .alike = malloc((n + 1) * sizeof *p->alike), .next_alike = malloc((n + 1) * sizeof *p->next_alike),
                       .held = calloc(n + 1, sizeof *p->held), .stamp = calloc(n + 1, sizeof *p->stamp), .queue = malloc((n + 1) * sizeof *p->queue), .is_seen = calloc(n + 1, sizeof *p->is_seen), .is_set = !t->is_graph};
    bool ok = p->is_value != NULL && p->first_child != NULL && p->norms != NULL && p->held != NULL && p->stamp != NULL && p->queue != NULL && p->copy_of != NULL && p->alike != NULL && p->next_alike != NULL && p->is_seen != NULL && find_copies(p) && list_children(p);
    for (size_t i = 0; i < n && ok; i++) {
        p->is_value[i] = is_value(&t->nodes[i]);
        p->norms[i] = -1;
    }
    ok = ok && (!p->is_set || list_sizes(p));
    if (!ok)
        ls_partners_done(p);
    return ok ? LOCKSTEP_OK : ls_fail(error, LOCKSTEP_NO_MEMORY, "out of memory");
}

static void release_held(ls_partners *p) {
    for (size_t i = 0; p->held != NULL && i < p->trace->node_count; i++)
        ls_hold_release(&p->held[i]);
    p->held_bytes = 0;
}

void ls_partners_done(ls_partners *p) {
    release_held(p);
    free(p->held);
    free(p->is_value);
    free(p->is_seen);
    free(p->by_size);
    free(p->children);
    free(p->first_child);
    free(p->norms);
    free(p->copy_of);
    free(p->alike);
    free(p->next_alike);
    free(p->stamp);
    free(p->queue);
    *p = (ls_partners){0};
}

/* Without edges, or without roots: in the order of the pass. */
static size_t in_order(const ls_partners *p, size_t pass, size_t from, ls_reach *out, size_t capacity) {
    size_t count = 0;
    for (size_t i = from; i < p->trace->node_count && count < capacity; i++)
        if (p->is_value[i] && p->trace->nodes[i].pass == pass) {
            out[count] = (ls_reach){i, (int)count + 1};
            count++;
        }
    return count;
}

size_t ls_partners_like(const ls_partners *p, const size_t *nodes, size_t count, size_t *out, size_t capacity) {
    enum { MOST = 16 };
    size_t found = 0;
    for (size_t i = 0; i < count; i++) {
        size_t at = p->next_alike[nodes[i]];
        for (int k = 0; k < MOST && at != nodes[i] && found < capacity; k++) {
            out[found++] = at;
            at = p->next_alike[at];
        }
    }
    return found;
}

size_t ls_partners_below(ls_partners *p, size_t pass, bool elsewhere, const size_t *roots, size_t root_count, int depth, ls_reach *out, size_t capacity) {
    enum { FIRST = 24, LATER = 64, LOOKS = 1 << 14 };
    size_t count = 0, from = 0, to = 0, latest = 0;
    for (size_t i = 0; i < root_count; i++)
        latest = roots[i] + 1 > latest ? roots[i] + 1 : latest;
    if (root_count == 0 || !p->has_edges)
        return in_order(p, pass, p->has_edges ? 0 : latest, out, root_count == 0 && capacity > FIRST ? FIRST : capacity > LATER ? LATER : capacity);
    p->stamps++;
    for (size_t i = 0; i < root_count; i++)
        if (p->stamp[roots[i]] != p->stamps) {
            p->stamp[roots[i]] = p->stamps;
            p->queue[to++] = roots[i];
        }
    for (int level = 1; level <= depth && from < to && to < LOOKS; level++) { /* queue[from … to) are the values of the last level */
        const size_t end = to;
        for (size_t i = from; i < to && to < LOOKS; i++) {
            const size_t node = p->queue[i];
            if (i >= end && p->is_value[node])
                continue; /* it begins the next level */
            for (size_t k = p->first_child[node]; k < p->first_child[node + 1]; k++) {
                const size_t child = p->children[k];
                if (p->stamp[child] == p->stamps)
                    continue;
                p->stamp[child] = p->stamps;
                p->queue[to++] = child;
                if (p->is_value[child] && (elsewhere || p->trace->nodes[child].pass == pass) && count < capacity)
                    out[count++] = (ls_reach){child, level};
            }
        }
        size_t kept = end; /* of what was added, only values begin the next level */
        for (size_t i = end; i < to; i++)
            if (p->is_value[p->queue[i]])
                p->queue[kept++] = p->queue[i];
        from = end;
        to = kept;
    }
    return count;
}

static bool is_read_in_its_pass(const ls_partners *p, size_t node) {
    bool any = false;
    for (size_t k = p->first_child[node]; k < p->first_child[node + 1] && !any; k++)
        any = p->trace->nodes[p->children[k]].pass == p->trace->nodes[node].pass;
    return any;
}

size_t ls_partners_copied(const ls_partners *p, size_t node) {
    enum { DEEPEST = 16 };
    const ls_node *nodes = p->trace->nodes;
    if (!p->has_edges || nodes[node].kind->role != LS_OP_ROLE_COPY || is_read_in_its_pass(p, node))
        return LS_NONE;
    size_t at = node;
    for (int depth = 0; depth < DEEPEST && (at == node || !p->is_value[at]); depth++) {
        if (nodes[at].source_count == 0)
            return LS_NONE;
        at = nodes[at].sources[nodes[at].source_count - 1];
    }
    return p->is_value[at] ? at : LS_NONE;
}

size_t ls_partners_above(ls_partners *p, size_t node, ls_reach *out, size_t capacity) {
    enum { LOOKS = 400 };
    const ls_node *nodes = p->trace->nodes;
    size_t count = 0, to = 0;
    p->stamps++;
    p->queue[to++] = node;
    p->stamp[node] = p->stamps;
    for (size_t from = 0; from < to && from < LOOKS; from++) {
        const ls_node *n = &nodes[p->queue[from]];
        for (size_t k = 0; k <= n->source_count + 1; k++) {
            const size_t above = parents(p, p->queue[from], k);
            if (above == LS_NONE || p->stamp[above] == p->stamps || nodes[above].pass != nodes[node].pass)
                continue;
            p->stamp[above] = p->stamps;
            p->queue[to++] = above;
            if (p->is_value[above] && count < capacity) {
                out[count] = (ls_reach){above, (int)count + 1};
                count++;
            }
        }
    }
    return count;
}

const ls_view *ls_partners_values(ls_partners *p, size_t node) {
    const uint64_t most = 1 << 26; /* bytes */
    ls_hold *hold = &p->held[node];
    if (hold->view.data != NULL)
        return &hold->view;
    if (p->held_bytes > most)
        release_held(p);
    if (ls_trace_hold(p->trace, node, hold, NULL) != LOCKSTEP_OK)
        return NULL;
    p->held_bytes += ls_view_elements(&hold->view) * sizeof(double); /* at most */
    return &hold->view;
}

double ls_partners_norm(ls_partners *p, size_t node) {
    if (p->norms[node] >= 0 || isnan(p->norms[node]))
        return p->norms[node];
    const ls_view *view = ls_partners_values(p, node);
    return p->norms[node] = view != NULL ? sqrt(ls_distance_between(view, view).norm) : NAN;
}
