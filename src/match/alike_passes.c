#include "match/alike_passes.h"

#include <math.h>
#include <stdlib.h>

#include "base/grow.h"
#include "compare/sample.h"
#include "tensor/stats.h"

#define SAME_WEIGHTS 0.5 /* of a pass's weights, at least so many are read on the other side, too */
#define NEARLY_BEST 0.9
#define FURTHEST 1e9
#define MOST_CHOICES ((size_t)1 << 20)
#define MOST_ELEMENTS ((uint64_t)1 << 40) /* of one weight */

typedef struct weights_read {
    uint64_t axes, elements;
} weights_read;

/* What a pass is known by. */
typedef struct profile {
    struct weights_read *weights; /* by their axes, ascending */
    size_t count, capacity;
    uint64_t total;  /* elements of all weights */
    size_t input;    /* its largest float input that no other pass has computed; LS_NONE */
    double mean, deviation; /* of the input; 0 where there is none */
} profile;

typedef struct side {
    const ls_trace *trace;
    profile *passes;
} side;

/* A weight under any order of its axes. */
static uint64_t axes_of(const ls_node *weight) {
    uint64_t sum = 0, product = 1;
    for (int i = 0; i < weight->rank; i++) {
        sum += weight->shape[i] > 1 ? weight->shape[i] * weight->shape[i] : 0;
        product *= weight->shape[i] | 1;
    }
    return sum * 0x9e3779b97f4a7c15u ^ product;
}

static bool note_weight(profile *p, const ls_node *weight) {
    if (!ls_grow((void **)&p->weights, p->count, &p->capacity, sizeof *p->weights))
        return false;
    p->weights[p->count++] = (weights_read){axes_of(weight), weight->elements};
    p->total += weight->elements;
    return true;
}

static int by_axes(const void *a, const void *b) {
    const weights_read *x = a, *y = b;
    return x->axes < y->axes ? -1 : x->axes > y->axes;
}

/* One entry for all weights with the same axes. */
static void gather(profile *p) {
    size_t kept = 0;
    if (p->count > 0)
        qsort(p->weights, p->count, sizeof *p->weights, by_axes);
    for (size_t i = 0; i < p->count; i++)
        if (kept > 0 && p->weights[kept - 1].axes == p->weights[i].axes)
            p->weights[kept - 1].elements += p->weights[i].elements;
        else
            p->weights[kept++] = p->weights[i];
    p->count = kept;
}

static bool is_given(const ls_node *n) { return ls_node_is_given_float(n) && n->rank >= 2 && ls_node_has_values(n); }

static bool read_graph(side *s) {
    const ls_trace *t = s->trace;
    for (size_t i = 0; i < t->node_count; i++) {
        const ls_node *n = &t->nodes[i];
        if (n->pass >= t->pass_count)
            continue;
        profile *p = &s->passes[n->pass];
        if (is_given(n) && (p->input == LS_NONE || n->elements > t->nodes[p->input].elements))
            p->input = i;
        for (size_t k = 0; ls_node_is_operation(n) && k < n->operand_count; k++) {
            const ls_node *weight = n->operands[k] != LS_NONE ? &t->nodes[ls_trace_shown(t, n->operands[k])] : NULL;
            if (weight != NULL && weight->role == LOCKSTEP_ROLE_WEIGHT && weight->elements < MOST_ELEMENTS && !note_weight(p, weight))
                return false;
        }
    }
    return true;
}

static void read_input(const ls_trace *t, profile *p) {
    ls_hold hold;
    ls_stats stats;
    if (p->input == LS_NONE || ls_trace_hold(t, p->input, &hold, NULL) != LOCKSTEP_OK)
        return;
    if (ls_view_stats(&hold.view, &stats, NULL) == LOCKSTEP_OK) {
        p->mean = stats.mean;
        p->deviation = stats.std;
    }
    ls_hold_release(&hold);
}

static bool read_side(side *s, const ls_trace *trace) {
    *s = (side){trace, calloc(trace->pass_count + 1, sizeof *s->passes)};
    for (size_t i = 0; s->passes != NULL && i < trace->pass_count; i++)
        s->passes[i].input = LS_NONE;
    if (s->passes == NULL || !read_graph(s))
        return false;
    for (size_t i = 0; i < trace->pass_count; i++) {
        gather(&s->passes[i]);
        read_input(trace, &s->passes[i]);
    }
    return true;
}

static void forget(side *s) {
    for (size_t i = 0; s->passes != NULL && i < s->trace->pass_count; i++)
        free(s->passes[i].weights);
    free(s->passes);
}

/* The share of a pass's weights that another one reads, too. */
static double shared_weights(const profile *of, const profile *other) {
    uint64_t shared = 0;
    for (size_t i = 0, k = 0; i < of->count && k < other->count;) {
        const weights_read *a = &of->weights[i], *b = &other->weights[k];
        if (a->axes == b->axes)
            shared += a->elements < b->elements ? a->elements : b->elements;
        i += a->axes <= b->axes;
        k += b->axes <= a->axes;
    }
    return of->total > 0 ? (double)shared / (double)of->total : 0;
}

/* How far apart the inputs of two passes are, whatever order their elements have. */
static double distance(const profile *a, const profile *b) {
    if (a->input == LS_NONE || b->input == LS_NONE)
        return 0;
    const double scale = fmax(a->deviation, b->deviation), apart = fabs(a->mean - b->mean) + fabs(a->deviation - b->deviation);
    const double found = scale > 0 ? apart / scale : apart;
    return found < FURTHEST ? found : FURTHEST; /* also of NaN */
}

/* How many passes over one input may correspond to one over several. */
static size_t capacity_of(const side *big, const profile *b, const side *small, const profile *s) {
    if (b->input == LS_NONE || s->input == LS_NONE)
        return 1;
    const uint64_t times = big->trace->nodes[b->input].elements / (small->trace->nodes[s->input].elements + (small->trace->nodes[s->input].elements == 0));
    return times > 1 && times < 1024 ? (size_t)times : 1;
}

typedef struct choice {
    size_t silent, other;
    double distance;
    size_t items, item; /* see ls_alike_pass; the other side has several */
} choice;

typedef struct choices {
    choice *items;
    size_t count, capacity;
} choices;

/* By distance, and where that is the same, in the order in which they ran. */
static int nearest(const void *a, const void *b) {
    const choice *x = a, *y = b;
    if (x->distance != y->distance)
        return x->distance < y->distance ? -1 : 1;
    if (x->silent != y->silent)
        return x->silent < y->silent ? -1 : 1;
    return x->other < y->other ? -1 : x->other > y->other;
}

/* Passes of the other side that read the same weights as a pass without tokens. */
static bool list_choices(const side *silent, size_t pass, const side *other, choices *out) {
    const profile *p = &silent->passes[pass];
    double best = SAME_WEIGHTS, *shares = calloc(other->trace->pass_count + 1, sizeof *shares);
    for (size_t i = 0; shares != NULL && i < other->trace->pass_count; i++) {
        shares[i] = shared_weights(p, &other->passes[i]);
        best = fmax(best, shares[i]);
    }
    bool ok = shares != NULL;
    for (size_t i = 0; ok && i < other->trace->pass_count; i++)
        if (shares[i] >= best * NEARLY_BEST && shares[i] >= SAME_WEIGHTS) {
            ok = ls_grow((void **)&out->items, out->count, &out->capacity, sizeof *out->items);
            if (ok)
                out->items[out->count++] = (choice){.silent = pass, .other = i, .distance = distance(p, &other->passes[i])};
        }
    free(shares);
    return ok;
}

/* How far an input is from one of the equal parts of another. */
static double distance_to_item(const ls_view *all, const ls_view *one, size_t item) {
    const uint64_t most = 1 << 16, elements = ls_view_elements(one);
    const ls_squares s = ls_squares_between(all, item * elements, one, 0, elements < most ? elements : most);
    const double found = s.reference > 0 ? s.difference / s.reference : s.difference;
    return found < FURTHEST ? found : FURTHEST;
}

/* Which of several pictures a pass over one of them is over: the most similar that no other pass has. */
static size_t item_of(const side *other, const profile *big, const side *silent, const profile *small, size_t items, const choices *chosen, size_t other_pass) {
    ls_hold all, one;
    size_t best = 0;
    double least = INFINITY;
    if (ls_trace_hold(other->trace, big->input, &all, NULL) != LOCKSTEP_OK)
        return 0;
    const bool ok = ls_trace_hold(silent->trace, small->input, &one, NULL) == LOCKSTEP_OK;
    for (size_t item = 0; ok && item < items && item * ls_view_elements(&one.view) < ls_view_elements(&all.view); item++) {
        bool taken = false;
        for (size_t i = 0; i < chosen->count && !taken; i++)
            taken = chosen->items[i].other == other_pass && chosen->items[i].items == items && chosen->items[i].item == item;
        const double apart = taken ? INFINITY : distance_to_item(&all.view, &one.view, item);
        if (apart < least) {
            least = apart;
            best = item;
        }
    }
    if (ok)
        ls_hold_release(&one);
    ls_hold_release(&all);
    return best;
}

/* Gives each pass without tokens one of its choices, the nearest first. Passes with the same graph share what they may take; a
 * pass over several pictures may be taken once for each. */
static bool choose(const side *silent, const side *other, choices *list) {
    choices chosen = {.items = list->items}; /* what is chosen takes the place of what was looked at */
    const size_t passes = silent->trace->pass_count, cells = (other->trace->pass_count + 1);
    bool *done = calloc(passes + 1, sizeof *done);
    size_t *taken = calloc(cells, sizeof *taken);
    uint64_t *taken_by = calloc(cells, sizeof *taken_by);
    const bool ok = done != NULL && taken != NULL && taken_by != NULL;
    if (ok && list->count > 0)
        qsort(list->items, list->count, sizeof *list->items, nearest);
    for (size_t i = 0; ok && i < list->count; i++) {
        choice c = list->items[i];
        const profile *small = &silent->passes[c.silent], *big = &other->passes[c.other];
        const size_t items = capacity_of(other, big, silent, small);
        const bool same_graph = taken_by[c.other] == small->total;
        if (done[c.silent] || (same_graph && taken[c.other] >= items))
            continue;
        done[c.silent] = true;
        taken[c.other] = same_graph ? taken[c.other] + 1 : 1;
        taken_by[c.other] = small->total;
        c.items = items > 1 ? items : 0;
        c.item = items > 1 ? item_of(other, big, silent, small, items, &chosen, c.other) : 0;
        chosen.items[chosen.count++] = c;
    }
    list->count = chosen.count;
    free(done);
    free(taken);
    free(taken_by);
    return ok;
}

static bool pair_silent(const side *silent, const side *other, const bool *skip, bool only_with_tokens, choices *out) {
    bool ok = true;
    for (size_t i = 0; ok && i < silent->trace->pass_count; i++)
        if (silent->trace->passes[i].tokens == NULL && !skip[i] && silent->passes[i].total > 0)
            ok = list_choices(silent, i, other, out);
    size_t kept = 0;
    for (size_t i = 0; i < out->count; i++)
        if (!only_with_tokens || other->trace->passes[out->items[i].other].tokens != NULL)
            out->items[kept++] = out->items[i];
    out->count = kept;
    return ok && choose(silent, other, out);
}

static int by_candidate(const void *a, const void *b) {
    const ls_alike_pass *x = a, *y = b;
    if (x->candidate != y->candidate)
        return x->candidate < y->candidate ? -1 : 1;
    return x->reference < y->reference ? -1 : x->reference > y->reference;
}

void ls_alike_passes_sort(ls_alike_pass *pairs, size_t count) {
    if (count > 0)
        qsort(pairs, count, sizeof *pairs, by_candidate);
}

/* The candidate's passes without tokens first, then those of the reference that are left. */
static bool pair_both(const side *reference, const side *candidate, ls_alike_pass **out, size_t *out_count) {
    choices mine = {0}, theirs = {0};
    bool *paired = calloc(reference->trace->pass_count + candidate->trace->pass_count + 1, sizeof *paired);
    bool *of_candidate = paired != NULL ? paired + reference->trace->pass_count : NULL;
    bool ok = paired != NULL && pair_silent(candidate, reference, of_candidate, false, &mine);
    for (size_t i = 0; ok && i < mine.count; i++)
        paired[mine.items[i].other] = true;
    ok = ok && pair_silent(reference, candidate, paired, true, &theirs);
    *out = ok ? calloc(mine.count + theirs.count + 1, sizeof **out) : NULL;
    for (size_t i = 0; *out != NULL && i < mine.count; i++)
        (*out)[(*out_count)++] = (ls_alike_pass){mine.items[i].other, mine.items[i].silent, mine.items[i].items, mine.items[i].item, false};
    for (size_t i = 0; *out != NULL && i < theirs.count; i++)
        (*out)[(*out_count)++] = (ls_alike_pass){theirs.items[i].silent, theirs.items[i].other, theirs.items[i].items, theirs.items[i].item, true};
    if (*out != NULL)
        ls_alike_passes_sort(*out, *out_count);
    free(paired);
    free(mine.items);
    free(theirs.items);
    return *out != NULL;
}

static size_t silent_passes(const ls_trace *t) {
    size_t count = 0;
    for (size_t i = 0; i < t->pass_count; i++)
        count += t->passes[i].tokens == NULL;
    return count;
}

bool ls_alike_passes(const ls_trace *reference, const ls_trace *candidate, ls_alike_pass **out_pairs, size_t *out_count) {
    side r = {0}, c = {0};
    *out_pairs = NULL;
    *out_count = 0;
    const size_t silent = silent_passes(reference) * candidate->pass_count + silent_passes(candidate) * reference->pass_count;
    if (silent == 0 || silent > MOST_CHOICES) /* of thousands, the order says as much */
        return true;
    const bool ok = read_side(&r, reference) && read_side(&c, candidate) && pair_both(&r, &c, out_pairs, out_count);
    forget(&r);
    forget(&c);
    return ok;
}
