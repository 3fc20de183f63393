#include "align/reformulated.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/map.h"
#include "base/text.h"

enum { SIBLINGS_ALIKE = 2 }; /* their errors are within this factor of one another */
#define COARSE 1e-2          /* tolerance of q8 and coarser types */
#define LOOKS_ALIKE 0.9      /* cosine below which two tensors are not the same thing */

/* What is left when the best single factor is undone: 1 - cosine^2 of the square. */
static bool is_one_factor(const ls_pair *p) {
    const ls_metrics *m = &p->metrics;
    double left = sqrt(fmax(0, 1 - m->cosine * m->cosine));
    return left <= p->tolerance && left < 0.1 * m->rel_l2;
}

/* A name whose numbers that are the layer's are left open. */
static bool append_name(ls_text *key, const char *name, int layer) {
    while (*name != '\0') {
        size_t digits = strspn(name, "0123456789"), others = strcspn(name, "0123456789");
        if (digits > 0 && layer >= 0 && strtol(name, NULL, 10) == layer)
            ls_text_append(key, "*", 1);
        else
            ls_text_append(key, name, digits > 0 ? digits : others);
        name += digits > 0 ? digits : others;
    }
    return !key->failed;
}

/* Files a pair under its tensor, whatever the layer. */
static bool file_pair(const ls_diff *d, size_t pair, ls_map *groups, ls_text *key, ls_siblings *s) {
    const ls_pair *p = &d->pairs[pair];
    const ls_node *n = &d->candidate->nodes[p->candidate_value];
    ls_text_clear(key);
    ls_text_printf(key, "%zu/%p/%d/%u/%s/", p->passes, (const void *)p->rule, p->extra, n->occurrence, n->op);
    uint64_t *slot = append_name(key, n->name, n->layer) ? ls_map_at(groups, key->data, key->length) : NULL;
    if (slot == NULL)
        return false;
    bool fresh = *slot == 0;
    *slot = fresh ? groups->count : *slot;
    s->group[pair] = (size_t)*slot - 1;
    s->next[pair] = fresh ? LS_NONE : s->first[*slot - 1];
    s->first[*slot - 1] = pair;
    return true;
}

bool ls_siblings_find(const ls_diff *d, ls_siblings *out) {
    ls_siblings s = {calloc(d->pair_count + 1, sizeof *s.group), calloc(d->pair_count + 1, sizeof *s.next), calloc(d->pair_count + 1, sizeof *s.first)};
    ls_map groups = {0};
    ls_text key = {0};
    bool ok = s.group != NULL && s.next != NULL && s.first != NULL;
    for (size_t i = d->pair_count; ok && i-- > 0;)
        ok = file_pair(d, i, &groups, &key, &s);
    ls_map_done(&groups);
    ls_text_done(&key);
    if (ok)
        *out = s;
    else
        ls_siblings_done(&s);
    return ok;
}

void ls_siblings_done(ls_siblings *siblings) {
    free(siblings->group);
    free(siblings->next);
    free(siblings->first);
    *siblings = (ls_siblings){0};
}

/* By how much the tolerance is used, which grows with depth where noise does. */
static double used_of_tolerance(const ls_pair *p) { return p->metrics.rel_l2 / p->tolerance; }

enum { LAYERS_MAX = 512 };

/* What the same tensor of other layers, of like precision, uses of its tolerance: rising. */
typedef struct other_layers {
    double used[LAYERS_MAX];
    size_t count;
    bool faulty; /* one of them is no number, or can't be compared */
} other_layers;

static int rising(const void *a, const void *b) {
    const double *x = a, *y = b;
    return *x < *y ? -1 : *x > *y;
}

static void look_at_layers(const ls_diff *d, const ls_siblings *siblings, const ls_pair *p, other_layers *out) {
    int layer = d->candidate->nodes[p->candidate_value].layer;
    size_t steps = 0;
    out->count = 0;
    out->faulty = false;
    for (size_t i = siblings->first[siblings->group[p - d->pairs]]; i != LS_NONE && layer >= 0 && out->count < LAYERS_MAX && steps++ < 4 * LAYERS_MAX; i = siblings->next[i]) {
        const ls_pair *other = &d->pairs[i];
        if (d->candidate->nodes[other->candidate_value].layer == layer || other->noise != p->noise)
            continue;
        out->faulty = out->faulty || other->verdict >= LS_VERDICT_NONFINITE;
        out->used[out->count++] = used_of_tolerance(other);
    }
    qsort(out->used, out->count, sizeof *out->used, rising);
}

/* In every layer the same tensor differs as much: a fault of one layer does not. */
static bool is_alike_in_all_layers(const other_layers *s, double own) {
    return s->count > 0 && !s->faulty && own <= SIBLINGS_ALIKE * s->used[0] && s->used[s->count - 1] <= SIBLINGS_ALIKE * own;
}

/* By how much an operation may make the noise of its inputs larger: what multiplies noisy
 * values with each other (scores, attention, a gate) cancels more than a product with weights. */
static double amplification(const ls_diff *d, const ls_pair *p) {
    const ls_node *n = &d->candidate->nodes[p->candidate_value];
    size_t computed = 0;
    for (size_t k = 0; k < n->source_count; k++) {
        ls_role role = d->candidate->nodes[n->sources[k]].role;
        computed += role == LS_ROLE_COMPUTED || role == LS_ROLE_VIEW || role == LS_ROLE_STATE;
    }
    return computed >= 2 ? 3 : 2;
}

bool ls_is_noise(const ls_diff *d, const ls_siblings *siblings, const ls_pair *p, double inherited) {
    double own = used_of_tolerance(p);
    other_layers s;
    bool coarse = p->tolerance >= COARSE; /* weights of such types add noise at each product; others hardly do */
    if (p->resynced || p->metrics.masked_differ > 0 || own > 3 || p->metrics.cosine < LOOKS_ALIKE || (p->exact_inputs && !coarse))
        return false;
    if (p->metrics.rel_l2 <= amplification(d, p) * inherited)
        return true;
    if (!coarse)
        return false;
    look_at_layers(d, siblings, p, &s);
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

ls_excuse ls_reformulated(const ls_diff *d, const ls_siblings *siblings, const ls_pair *p, bool by_noise, bool shows, bool everywhere) {
    other_layers others;
    ls_excuse excuse = LS_EXCUSE_NONE;
    if (p->resynced || fabs(p->metrics.cosine) < LOOKS_ALIKE)
        return LS_EXCUSE_NONE;
    if (p->is_scores) /* a softmax cancels it, whatever comes then */
        excuse = of_scores(p);
    if (excuse != LS_EXCUSE_NONE || !shows || p->metrics.masked_differ > 0)
        return excuse;
    if (everywhere && p->metrics.cosine > 0 && is_one_factor(p))
        return LS_EXCUSE_FACTOR;
    look_at_layers(d, siblings, p, &others);
    return by_noise && !p->exact_inputs && is_alike_in_all_layers(&others, used_of_tolerance(p)) ? LS_EXCUSE_ALL_LAYERS : LS_EXCUSE_NONE;
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

bool ls_keeps_length(const ls_pair *p) {
    return fabs(p->metrics.candidate.l2 - p->metrics.reference.l2) <= p->tolerance * p->metrics.reference.l2;
}
