#include "align/reformulated.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { SIBLINGS_ALIKE = 2 }; /* their errors are within this factor of one another */
#define LOOKS_ALIKE 0.9      /* cosine below which two tensors are not the same thing */

/* What is left when the best single factor is undone: 1 - cosine^2 of the square. */
static bool is_one_factor(const ls_pair *p) {
    const ls_metrics *m = &p->metrics;
    double left = sqrt(fmax(0, 1 - m->cosine * m->cosine));
    return left <= p->tolerance && left < 0.1 * m->rel_l2;
}

/* Names are the same but for the number of the layer. */
static bool same_but_for_layer(const char *a, int layer_of_a, const char *b, int layer_of_b) {
    while (*a != '\0' && *b != '\0') {
        if (isdigit((unsigned char)*a) && isdigit((unsigned char)*b)) {
            char *end_a, *end_b;
            long x = strtol(a, &end_a, 10), y = strtol(b, &end_b, 10);
            if (x != y && (x != layer_of_a || y != layer_of_b))
                return false;
            a = end_a;
            b = end_b;
        } else if (*a++ != *b++) {
            return false;
        }
    }
    return *a == *b;
}

/* The same tensor of another layer, in the same pass. */
static bool is_sibling(const ls_diff *d, const ls_pair *a, const ls_pair *b) {
    const ls_node *x = &d->candidate->nodes[a->candidate_value], *y = &d->candidate->nodes[b->candidate_value];
    return a->passes == b->passes && a->rule == b->rule && x->layer >= 0 && y->layer >= 0 && x->layer != y->layer &&
           x->occurrence == y->occurrence && strcmp(x->op, y->op) == 0 && same_but_for_layer(x->name, x->layer, y->name, y->layer);
}

/* Pairs lie in the candidate's order: those of a pass are together. */
static bool is_of_pass(const ls_diff *d, const ls_pair *p, size_t pass) { return d->candidate->nodes[p->candidate_value].pass == pass; }

/* By how much the tolerance is used, which grows with depth where noise does. */
static double used_of_tolerance(const ls_pair *p) { return p->metrics.rel_l2 / p->tolerance; }

enum { SIBLINGS_MAX = 512 };

/* What the same tensor of other layers, of like precision, uses of its tolerance: rising. */
typedef struct siblings {
    double used[SIBLINGS_MAX];
    size_t count;
    bool faulty; /* one of them is no number, or can't be compared */
} siblings;

static int rising(const void *a, const void *b) {
    const double *x = a, *y = b;
    return *x < *y ? -1 : *x > *y;
}

static void find_siblings(const ls_diff *d, const ls_pair *p, siblings *out) {
    size_t own = (size_t)(p - d->pairs), pass = d->candidate->nodes[p->candidate_value].pass, first = own;
    *out = (siblings){.count = 0};
    while (first > 0 && is_of_pass(d, &d->pairs[first - 1], pass))
        first--;
    for (size_t i = first; i < d->pair_count && is_of_pass(d, &d->pairs[i], pass) && out->count < SIBLINGS_MAX; i++) {
        const ls_pair *other = &d->pairs[i];
        if (other == p || !is_sibling(d, p, other) || other->noise != p->noise)
            continue;
        out->faulty = out->faulty || other->verdict >= LS_VERDICT_NONFINITE;
        out->used[out->count++] = used_of_tolerance(other);
    }
    qsort(out->used, out->count, sizeof *out->used, rising);
}

/* In every layer the same tensor differs as much: a fault of one layer does not. */
static bool is_alike_in_all_layers(const siblings *s, double own) {
    return s->count > 0 && !s->faulty && own <= SIBLINGS_ALIKE * s->used[0] && s->used[s->count - 1] <= SIBLINGS_ALIKE * own;
}

bool ls_is_noise(const ls_diff *d, const ls_pair *p, double inherited) {
    double own = used_of_tolerance(p);
    siblings s;
    if (p->resynced || p->metrics.masked_differ > 0 || own > 3 || p->metrics.cosine < LOOKS_ALIKE)
        return false;
    if (p->metrics.rel_l2 <= 2 * inherited) /* an operation on two noisy inputs is a little noisier than each */
        return true;
    find_siblings(d, p, &s);
    return s.count >= 2 && !s.faulty && own <= 1.5 * s.used[s.count / 2];
}

/* Scores go into a softmax: a constant in each row doesn't matter there, nor what is masked
 * after it was recorded on one side, and before on the other. */
static ls_excuse of_scores(const ls_pair *p) {
    const ls_metrics *m = &p->metrics;
    if (m->masked_differ > 0)
        return m->rel_l2 <= p->tolerance ? LS_EXCUSE_MASKED : LS_EXCUSE_NONE;
    return p->left_of_rows <= p->tolerance && p->left_of_rows < 0.1 * m->rel_l2 ? LS_EXCUSE_SOFTMAX : LS_EXCUSE_NONE;
}

ls_excuse ls_reformulated(const ls_diff *d, const ls_pair *p, bool shows) {
    siblings other_layers;
    if (p->resynced || fabs(p->metrics.cosine) < LOOKS_ALIKE)
        return LS_EXCUSE_NONE;
    if (!shows)
        return LS_EXCUSE_NONE;
    ls_excuse excuse = p->is_scores ? of_scores(p) : LS_EXCUSE_NONE;
    if (excuse != LS_EXCUSE_NONE || p->metrics.masked_differ > 0)
        return excuse;
    if (is_one_factor(p))
        return LS_EXCUSE_FACTOR;
    find_siblings(d, p, &other_layers);
    return !p->exact_inputs && is_alike_in_all_layers(&other_layers, used_of_tolerance(p)) ? LS_EXCUSE_ALL_LAYERS : LS_EXCUSE_NONE;
}

/* ------------------------------------------------------------------ shifted positions */

bool ls_is_shifted(const ls_diff *d, size_t pass_pair) {
    const ls_pass_pair *pp = &d->rows.pairs[pass_pair];
    const ls_pass *r = &d->reference->passes[pp->reference], *c = &d->candidate->passes[pp->candidate];
    if (pp->rows == NULL || r->positions == NULL || c->positions == NULL)
        return false;
    for (size_t i = 0; i < pp->row_count; i++)
        if (r->positions[pp->rows[i].reference] != c->positions[pp->rows[i].candidate])
            return true;
    return false;
}

/* Made from nothing: positions are counted, masks and constants given. What else comes from
 * nothing that was recorded may well depend on tokens. */
static bool begins_positional(const ls_node *n) {
    if (n->role == LS_ROLE_INPUT)
        return strstr(n->name, "mask") != NULL || strstr(n->name, "pos") != NULL || strstr(n->name, "constant") != NULL;
    return n->role == LS_ROLE_COMPUTED && (*n->dtype == 'i' || *n->dtype == 'u');
}

void ls_mark_positional(const ls_trace *t, bool *positional) {
    for (size_t i = 0; i < t->node_count; i++) {
        const ls_node *n = &t->nodes[i];
        size_t known = 0;
        positional[i] = true;
        for (size_t k = 0; k <= n->source_count && positional[i]; k++) {
            size_t source = k < n->source_count ? n->sources[k] : n->alias_of;
            if (source == LS_NONE || t->nodes[source].role == LS_ROLE_WEIGHT)
                continue;
            positional[i] = positional[source];
            known++;
        }
        if (known == 0)
            positional[i] = begins_positional(n);
    }
}

static bool keeps_length(const ls_metrics *m, double tolerance) {
    return fabs(m->candidate.l2 - m->reference.l2) <= tolerance * m->reference.l2;
}

ls_excuse ls_excuse_shift(const ls_diff *d, const ls_pair *p, const bool *positional) {
    const ls_node *n = &d->candidate->nodes[p->candidate_value];
    bool by_position = positional[p->candidate_value];
    for (size_t k = 0; k < n->source_count && !by_position; k++)
        by_position = positional[d->candidate_values.value_of[n->sources[k]]];
    /* a rotation keeps lengths, and what it was rotated by is gone in the scores */
    return by_position || keeps_length(&p->metrics, p->tolerance) ? LS_EXCUSE_SHIFTED : LS_EXCUSE_NONE;
}
