/* Pairs tensors by their content, for dumps under names of their own. */
#include "match/matching.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/random_place.h"
#include "match/aligned_pair.h"

enum { SAMPLES = 256, GLANCE = 16, LAYOUTS_TRIED = 32 };
#define CLOSE 0.5       /* two tensors with a larger relative error are not taken for the same */
#define BY_FAR 0.5      /* the error of the closest is at most this share of the second closest's */
#define SAME_LAYOUT 0.1 /* the same limit where a permutation had to be found */

/* A tensor without a partner. */
typedef struct piece {
    size_t node;
    uint64_t elements;
    double norm, mean; /* of its samples: sum of squares, and mean */
    float values[SAMPLES];
    size_t partner; /* index of the closest on the other side, or LS_NONE */
    double error, second;
} piece;

/* The first few samples, which rule out most pairs; kept together in memory. */
typedef struct glance {
    float values[GLANCE], norm;
    uint64_t elements;
} glance;

typedef struct pieces {
    piece *all;
    glance *glances;
    size_t count;
} pieces;

static bool take_samples(const ls_trace *t, size_t node, piece *out) {
    ls_hold hold;
    if (ls_trace_hold(t, node, &hold, NULL) != LOCKSTEP_OK)
        return false;
    *out = (piece){.node = node, .elements = t->nodes[node].elements, .partner = LS_NONE, .error = INFINITY, .second = INFINITY};
    bool whole_blocks = ls_dtype(hold.view.dtype)->block_elements == 1;
    for (uint64_t k = 0; whole_blocks && k < SAMPLES; k++) {
        double value;
        ls_view_read_f64(&hold.view, ls_random_place(k, out->elements), 1, &value);
        value = isfinite(value) ? value : 0;
        out->values[k] = (float)value;
        out->norm += value * value;
        out->mean += value / SAMPLES;
    }
    ls_hold_release(&hold);
    return whole_blocks && out->norm > 0;
}

static bool collect(const ls_values *v, const bool *wanted, const size_t *pair_of, const bool *used, pieces *out) {
    const ls_trace *t = v->trace;
    out->all = malloc((t->node_count + 1) * sizeof *out->all);
    out->count = 0;
    for (size_t i = 0; out->all != NULL && i < t->node_count; i++) {
        const ls_node *n = &t->nodes[i];
        bool taken = (pair_of != NULL && pair_of[i] != 0) || (used != NULL && used[i]) || (wanted != NULL && !wanted[i]);
        bool first_pass = n->pass == 0 || n->pass == LS_NONE;
        if (!taken && first_pass && ls_values_is_own(v, i) && n->elements > 1 && ls_node_has_values(n) && take_samples(t, i, &out->all[out->count]))
            out->count++;
    }
    return out->all != NULL;
}

static double distance(const piece *r, const piece *c) {
    double d2 = 0;
    for (size_t k = 0; k < SAMPLES; k++) {
        double d = (double)c->values[k] - r->values[k];
        d2 += d * d;
    }
    return sqrt(d2 / r->norm);
}

/* False where the first samples already differ too much: the squared difference of two unrelated tensors is about
 * twice their squared norm, that of similar ones a fraction of it. */
static bool may_be_like(const glance *r, const glance *c) {
    float d2 = 0;
    for (size_t k = 0; k < GLANCE; k++)
        d2 += (c->values[k] - r->values[k]) * (c->values[k] - r->values[k]);
    return r->elements == c->elements && !(d2 > 1.5f * r->norm && r->norm > 0);
}

static bool glance_at(pieces *p) {
    p->glances = calloc(p->count + 1, sizeof *p->glances);
    for (size_t i = 0; p->glances != NULL && i < p->count; i++) {
        glance *g = &p->glances[i];
        g->elements = p->all[i].elements;
        memcpy(g->values, p->all[i].values, sizeof g->values);
        for (size_t k = 0; k < GLANCE; k++)
            g->norm += g->values[k] * g->values[k];
    }
    return p->glances != NULL;
}

static void offer(piece *to, size_t index, double error) {
    if (error < to->error) {
        to->second = to->error;
        to->error = error;
        to->partner = index;
    } else if (error < to->second) {
        to->second = error;
    }
}

/* How many pairs of tensors are glanced at, and how many of these are compared by all samples; tensors beyond it stay
 * unpaired, and are listed. A glance rules out most pairs, but not those of tensors without negative values. */
enum { GLANCES_MAX = 200 << 20, DISTANCES_MAX = 16 << 20 };

static void find_closest(pieces *r, pieces *c) {
    size_t glances = 0, distances = 0;
    for (size_t i = 0; i < c->count; i++)
        for (size_t k = 0; k < r->count && glances++ < GLANCES_MAX && distances < DISTANCES_MAX; k++)
            if (may_be_like(&r->glances[k], &c->glances[i])) {
                distances++;
                double error = distance(&r->all[k], &c->all[i]);
                offer(&c->all[i], k, error);
                offer(&r->all[k], i, error);
            }
}

static bool is_sure(const piece *p) { return p->error < CLOSE && p->error <= BY_FAR * p->second; }

/* A distance that does not depend on the order of the elements. */
static double unlike(const piece *r, const piece *c) {
    double scale = sqrt(r->norm / SAMPLES);
    return fabs(sqrt(c->norm / r->norm) - 1) + fabs(c->mean - r->mean) / scale;
}

/* Tries the few tensors that may be the same under another order of axes. */
static lockstep_status try_layouts(ls_matching *m, pieces *r, piece *c, lockstep_error *error) {
    size_t best[LAYOUTS_TRIED], count = 0;
    for (size_t k = 0; k < r->count; k++) {
        if (r->all[k].elements != c->elements || m->reference_used[r->all[k].node])
            continue;
        size_t at = count < LAYOUTS_TRIED ? count++ : LAYOUTS_TRIED;
        for (; at > 0 && unlike(&r->all[k], c) < unlike(&r->all[best[at - 1]], c); at--)
            if (at < LAYOUTS_TRIED)
                best[at] = best[at - 1];
        if (at < LAYOUTS_TRIED)
            best[at] = k;
    }
    for (size_t i = 0; i < count; i++) {
        ls_pair pair = {.reference = r->all[best[i]].node, .candidate = c->node, .reference_value = r->all[best[i]].node, .candidate_value = c->node, .method = LS_METHOD_CONTENT};
        ls_aligned_pair aligned;
        lockstep_error why;
        if (ls_aligned_pair_open(m, &pair, LS_REORDER_NONE, LS_LAYOUT_LEARN, &aligned, &why) != LOCKSTEP_OK)
            continue;
        double left = ls_layout_error(&aligned.layout);
        ls_aligned_pair_close(&aligned);
        if (left < SAME_LAYOUT)
            return ls_matching_add(m, &pair, error);
    }
    return LOCKSTEP_OK;
}

/* A side is a container without a graph, and both are complete. */
static bool may_be_dumps(const ls_matching *m) {
    const ls_trace *r = m->in->reference.trace, *c = m->in->candidate.trace;
    return !(r->is_graph && c->is_graph) && c->memory == NULL && m->tokens.pair_count > 0;
}

static lockstep_status pair_by_content(ls_matching *m, lockstep_error *error) {
    pieces r = {0}, c = {0};
    lockstep_status status = LOCKSTEP_OK;
    if (!collect(&m->in->reference.values, NULL, NULL, m->reference_used, &r) || !collect(&m->in->candidate.values, m->wanted, m->pair_of, NULL, &c) || !glance_at(&r) || !glance_at(&c))
        status = ls_fail(error, LOCKSTEP_NO_MEMORY, "out of memory");
    else
        find_closest(&r, &c);
    for (size_t i = 0; i < c.count && status == LOCKSTEP_OK; i++) {
        const piece *p = &c.all[i];
        if (is_sure(p) && is_sure(&r.all[p->partner]) && r.all[p->partner].partner == i)
            status = ls_matching_add(m, &(ls_pair){.reference = r.all[p->partner].node, .candidate = p->node, .method = LS_METHOD_CONTENT}, error);
    }
    for (size_t i = 0; i < c.count && status == LOCKSTEP_OK; i++)
        if (m->pair_of[c.all[i].node] == 0)
            status = try_layouts(m, &r, &c.all[i], error);
    free(r.all);
    free(c.all);
    free(r.glances);
    free(c.glances);
    return status;
}

/* "7", "arr_7", "tensor7" number a tensor without naming it. */
static bool is_numbered(const char *name) {
    static const char *const words[] = {"arr_", "tensor_", "tensor", "item_", "output_", "t", ""};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        size_t length = strlen(words[i]);
        if (strncmp(name, words[i], length) != 0 || !isdigit((unsigned char)name[length]))
            continue;
        while (isdigit((unsigned char)name[length]))
            length++;
        if (name[length] == '\0')
            return true;
    }
    return false;
}

static bool has_only_numbers(const ls_trace *t) {
    for (size_t i = 0; i < t->node_count; i++)
        if (!is_numbered(t->nodes[i].name))
            return false;
    return true;
}

static lockstep_status pair_by_place(ls_matching *m, lockstep_error *error) {
    const ls_trace *r = m->in->reference.trace, *c = m->in->candidate.trace;
    bool alike = r->is_ordered && c->is_ordered && r->node_count == c->node_count && (has_only_numbers(r) || has_only_numbers(c));
    for (size_t i = 0; alike && i < c->node_count; i++)
        if (m->pair_of[i] == 0 && !m->reference_used[i] && r->nodes[i].elements == c->nodes[i].elements)
            LS_TRY(ls_matching_add(m, &(ls_pair){.reference = i, .candidate = i, .method = LS_METHOD_PLACE}, error));
    return LOCKSTEP_OK;
}

lockstep_status ls_match_by_content(ls_matching *m, size_t from, lockstep_error *error) {
    (void)from;
    return may_be_dumps(m) ? pair_by_content(m, error) : LOCKSTEP_OK;
}

lockstep_status ls_match_by_place(ls_matching *m, size_t from, lockstep_error *error) {
    (void)from;
    return may_be_dumps(m) ? pair_by_place(m, error) : LOCKSTEP_OK;
}
