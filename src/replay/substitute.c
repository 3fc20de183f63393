/* Recovering from what was not found: which tensors of the reference make what is computed from it right again. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "replay/distances.h"
#include "replay/replayer.h"

enum { INPUTS = 24, CUT = 3, CUTS = 10, TRIALS = 200 }; /* trials: for one node, as long as the replay has some left */

typedef struct cut {
    size_t nodes[CUT + 1], count; /* ascending; more than CUT are not tried */
} cut;

bool ls_replayer_is_suspect(const ls_replayer *w, size_t node) { return !w->partners.is_set || (w->is_right != NULL && !w->is_right[node]); }

/* Indexes have no partners of their own, but are computed from what may be open. */
static size_t open_inputs(const ls_replayer *w, size_t node, size_t out[INPUTS]) {
    enum { INDEXES = 8 };
    size_t inputs[INPUTS], queue[1 + INDEXES] = {node}, to = 1, count = 0;
    for (size_t from = 0; from < to; from++) {
        const size_t all = ls_replayer_inputs(w, queue[from], inputs, INPUTS);
        for (size_t i = 0; i < all; i++)
            if (w->steps[inputs[i]].is_open && ls_replayer_is_suspect(w, inputs[i]) && count < INPUTS)
                out[count++] = inputs[i];
            else if (ls_node_is_integer(&w->candidate->nodes[inputs[i]]) && to < 1 + INDEXES)
                queue[to++] = inputs[i];
    }
    return count;
}

static void add_to(cut *c, size_t node) {
    size_t at = c->count;
    for (size_t i = 0; i < c->count; i++)
        if (c->nodes[i] == node)
            return;
    if (c->count > CUT)
        return;
    while (at > 0 && c->nodes[at - 1] > node) {
        c->nodes[at] = c->nodes[at - 1];
        at--;
    }
    c->nodes[at] = node;
    c->count++;
}

static bool are_equal(const cut *a, const cut *b) { return a->count == b->count && memcmp(a->nodes, b->nodes, a->count * sizeof *a->nodes) == 0; }

/* What never has a partner of its own gets none as long as something above it is open that has one elsewhere: the fault is there. */
static bool is_below_usual(const ls_replayer *w, size_t node, int depth) {
    enum { DEEPEST = 3 };
    size_t inputs[INPUTS];
    bool any = false;
    const size_t n = depth < DEEPEST ? open_inputs(w, node, inputs) : 0;
    for (size_t i = 0; i < n && !any; i++)
        any = ls_replayer_has_usual_partner(w, inputs[i]) || is_below_usual(w, inputs[i], depth + 1);
    return any;
}

static bool may_be_settled(const ls_replayer *w, const cut *c) {
    bool may = true;
    for (size_t i = 0; i < c->count && may; i++)
        may = ls_replayer_has_usual_partner(w, c->nodes[i]) || !is_below_usual(w, c->nodes[i], 0);
    return may;
}

/* Sets of open nodes through which everything that is open above a node goes, nearest first. */
static size_t list_cuts(const ls_replayer *w, size_t node, cut out[CUTS]) {
    enum { QUEUE = 64 };
    cut queue[QUEUE] = {0};
    size_t inputs[INPUTS], from = 0, to = 1, count = 0, n = open_inputs(w, node, inputs);
    for (size_t i = 0; i < n; i++)
        add_to(&queue[0], inputs[i]);
    for (; from < to && count < CUTS; from++) {
        const cut *c = &queue[from];
        bool known = c->count == 0 || c->count > CUT;
        for (size_t i = 0; i < count && !known; i++)
            known = are_equal(&out[i], c);
        if (known)
            continue;
        if (may_be_settled(w, c))
            out[count++] = *c;
        for (size_t x = c->count; x-- > 0 && to < QUEUE;) {
            cut next = {0};
            n = open_inputs(w, c->nodes[x], inputs);
            for (size_t i = 0; i < c->count; i++)
                if (i != x)
                    add_to(&next, c->nodes[i]);
            for (size_t i = 0; i < n; i++)
                add_to(&next, inputs[i]);
            if (n > 0)
                queue[to++] = next;
        }
    }
    return count;
}

/* A choice for each node of a cut, and how good it is. */
typedef struct choice {
    size_t at[CUT]; /* indexes of sightings */
    int depth;
    double distance, error;
    bool found;
} choice;

static bool is_better(const choice *a, const choice *b) {
    if (!b->found || a->depth != b->depth)
        return !b->found || a->depth < b->depth;
    return a->distance != b->distance ? a->distance < b->distance : a->error < b->error;
}

static bool is_same(const ls_array *a, const ls_array *b, double tolerance) {
    if (a->elements != b->elements)
        return false;
    const ls_distance d = ls_distance_of(b->values, a->values, a->elements);
    return d.difference <= tolerance * tolerance * d.norm;
}

/* An operation that changes nothing (plus 0, times 1, a copy) proves nothing, and neither does one that changes less than would be
 * noticed (plus eps, a bound that is not reached). */
static bool proves(const ls_replayer *w, size_t node, const ls_sighting *s, const cut *c, const ls_sightings *of, const choice *own) {
    const double tolerance = ls_replayer_tolerance(w, node, NULL, NULL);
    const size_t taken = w->taken[w->partners.alike[s->partner]];
    bool ok = taken == LS_NONE || taken == node;
    for (size_t i = 0; i < c->count && ok; i++)
        ok = of[i].items[own->at[i]].partner != s->partner && !is_same(&s->value, &of[i].items[own->at[i]].value, tolerance);
    return ok;
}

/* The tensors of a set that are nearly an operation's result may be another's: what is normalized already changes little. */
static double limit_of_trial(const ls_replayer *w, size_t node, const ls_array *computed, const ls_array *moved) {
    const bool exact = w->partners.is_set && w->type_error == 0 && moved->values == NULL;
    return exact ? 2 * ls_replayer_floor(w, node) : ls_replayer_tolerance(w, node, computed, moved);
}

static void try_choice(ls_replayer *w, size_t node, const cut *c, ls_sightings *of, choice *own, choice *best) {
    ls_array computed, moved = {0};
    ls_sightings found = {0};
    const char *reason;
    size_t roots[CUT], count = 0; /* what is found has to be computed from what is tried */
    for (size_t i = 0; i < c->count; i++) {
        const ls_sighting *s = &of[i].items[own->at[i]];
        ls_replayer_try(w, c->nodes[i], &s->value);
        own->depth += s->depth;
        own->distance += isfinite(s->error) ? fmin(s->error, 1e6) : 1e6;
        roots[count++] = s->partner;
    }
    const bool ok = ls_replayer_compute(w, node, false, &computed, NULL, &reason);
    ls_replayer_untry(w);
    if (!ok)
        return;
    for (size_t i = 0; i < c->count; i++)
        ls_replayer_try(w, c->nodes[i], &of[i].items[own->at[i]].value);
    ls_replayer_compute_moved(w, node, NULL, &moved);
    ls_replayer_untry(w);
    ls_replayer_look_up(w, node, &computed, roots, count, limit_of_trial(w, node, &computed, &moved), &found);
    for (size_t i = 0; i < found.count && !own->found; i++)
        if (proves(w, node, &found.items[i], c, of, own)) {
            own->found = true;
            own->error = found.items[i].error;
        }
    if (own->found && is_better(own, best))
        *best = *own;
    ls_sightings_release(&found);
    ls_array_release(&computed);
    ls_array_release(&moved);
}

static bool next_choice(const cut *c, const ls_sightings *of, size_t at[CUT]) {
    for (size_t i = c->count; i-- > 0;) {
        if (++at[i] < of[i].count)
            return true;
        at[i] = 0;
    }
    return false;
}

static bool are_distinct(const cut *c, const ls_sightings *of, const size_t at[CUT]) {
    for (size_t i = 0; i < c->count; i++)
        for (size_t k = 0; k < i; k++)
            if (of[i].items[at[i]].partner == of[k].items[at[k]].partner)
                return false;
    return true;
}

/* ------------------------------------------------------------------ swapped operands */

/* Another node that was found by its value reads this one's. */
static bool has_other_proof(const ls_replayer *w, size_t node, size_t reader) {
    size_t readers[INPUTS];
    const size_t count = ls_replayer_readers(w, node, readers, INPUTS);
    for (size_t i = 0; i < count; i++)
        if (readers[i] != reader && w->steps[readers[i]].means == LS_REPLAY_BY_VALUE)
            return true;
    return false;
}

/* PyTorch's operations have no rounded weights: a norm of what is normalized already is nearly right, and no explanation. */
static double limit_of_right(const ls_replayer *w, size_t node) {
    return w->candidate->is_torch && w->type_error == 0 ? 2 * ls_replayer_floor(w, node) : ls_replayer_tolerance(w, node, NULL, NULL);
}

/* Whether a node is right once other tensors stand for its operands. */
static bool is_right_with(ls_replayer *w, size_t node, const cut *c, ls_sightings *of, const size_t at[CUT]) {
    ls_array computed;
    const char *reason;
    for (size_t i = 0; i < c->count; i++)
        ls_replayer_try(w, c->nodes[i], &of[i].items[at[i]].value);
    bool right = ls_replayer_compute(w, node, false, &computed, NULL, &reason);
    ls_replayer_untry(w);
    if (right) {
        right = ls_replayer_differs(w, node, &computed) <= limit_of_right(w, node);
        ls_array_release(&computed);
    }
    return right;
}

static bool comes_from(ls_replayer *w, size_t partner, size_t from) {
    enum { NEAR = 64 };
    ls_reach above[NEAR];
    const size_t count = ls_partners_above(&w->partners, partner, above, NEAR);
    bool any = false;
    for (size_t i = 0; i < count && !any; i++)
        any = above[i].node == from;
    return any;
}

/* Plus 0, times 1: what is found then is what it was computed from. */
static bool changes_nothing(const ls_replayer *w, size_t node) {
    size_t inputs[INPUTS];
    const size_t count = ls_replayer_inputs(w, node, inputs, INPUTS);
    bool constant = false;
    for (size_t i = 0; i < count && !constant; i++) {
        const ls_array *input = &w->steps[inputs[i]].value;
        constant = input->values != NULL && input->elements == w->steps[node].value.elements && !ls_node_is_integer(&w->candidate->nodes[inputs[i]]) && !ls_replayer_proves(input);
    }
    return constant;
}

/* An operand that is exactly one of the reference's tensors is right, if it computes something. If the reference goes on to compute from it what would make its
 * reader right, the reader lacks that step. */
static void leave_out_later(ls_replayer *w, size_t operand, ls_sightings *of) {
    const ls_step *s = &w->steps[operand];
    const bool found = s->partner != LS_NONE && s->means == LS_REPLAY_BY_VALUE && !w->partners.is_set;
    if (!found || changes_nothing(w, operand) || ls_replayer_is_at_fault(w, operand) || !(s->local.error <= 2 * ls_replayer_floor(w, operand)))
        return;
    size_t kept = 0;
    for (size_t i = 0; i < of->count; i++)
        if (comes_from(w, of->items[i].partner, s->partner))
            ls_array_release(&of->items[i].value);
        else
            of->items[kept++] = of->items[i];
    of->count = kept;
}

/* Tries tensors from which the node's partner is computed for some of its operands. */
static void refute(ls_replayer *w, size_t node, int depth);

static bool try_operands(ls_replayer *w, size_t node, const cut *c, ls_sightings *of, int depth) {
    size_t at[CUT] = {0}, trials = 1;
    bool found = false;
    for (size_t i = 0; i < c->count; i++) {
        ls_replayer_above(w, c->nodes[i], node, &of[i]);
        leave_out_later(w, c->nodes[i], &of[i]);
        trials *= of[i].count;
    }
    if (trials > 0 && trials <= TRIALS && trials <= w->trials_left) {
        w->trials_left -= trials;
        do
            found = are_distinct(c, of, at) && is_right_with(w, node, c, of, at);
        while (!found && next_choice(c, of, at));
    }
    for (size_t i = 0; i < c->count && found; i++)
        ls_replayer_settle(w, c->nodes[i], &of[i].items[at[i]], LS_REPLAY_BY_CONSUMER);
    for (size_t i = 0; i < c->count; i++)
        ls_sightings_release(&of[i]);
    for (size_t i = 0; i < c->count && found; i++)
        refute(w, c->nodes[i], depth + 1);
    return found;
}

/* A node differs from its partner: perhaps because its operands were found as each other's, or as another tensor that the
 * partner is computed from. */
static void refute(ls_replayer *w, size_t node, int depth) {
    enum { DEEPEST = 4 };
    if (depth > DEEPEST)
        return;
    ls_sightings *of = calloc(CUT, sizeof *of);
    size_t inputs[INPUTS];
    cut all = {0};
    size_t region[INPUTS + 1], regions = 1 + ls_replayer_region(w, node, region + 1, INPUTS);
    region[0] = node;
    for (size_t r = 0; r < regions && of != NULL; r++) {
        const size_t n = ls_replayer_inputs(w, region[r], inputs, INPUTS);
        for (size_t i = 0; i < n; i++)
            if (w->steps[inputs[i]].partner != LS_NONE && !has_other_proof(w, inputs[i], region[r]))
                add_to(&all, inputs[i]);
    }
    cut cuts[CUTS] = {0};
    const size_t open = list_cuts(w, node, cuts);
    bool found = of == NULL;
    for (size_t i = 0; i < open && !found; i++)
        found = try_operands(w, node, &cuts[i], of, depth);
    found = found || all.count > CUT;
    for (size_t i = 0; i < all.count && !found; i++)
        found = try_operands(w, node, &(cut){{all.nodes[i]}, 1}, of, depth);
    if (!found && all.count > 1)
        try_operands(w, node, &all, of, depth);
    free(of);
}

/* Nodes that lie between, again. */
static void process_between(ls_replayer *w, size_t from, size_t node) {
    for (size_t i = from + 1; i < node; i++)
        if (w->steps[i].is_known && w->steps[i].partner == LS_NONE && w->candidate->nodes[i].pass == w->candidate->nodes[node].pass)
            ls_replayer_process(w, i, true);
}

/* ------------------------------------------------------------------ lessons */

/* What solved a situation solves it in the next layer, too, where the same operations are open, and as many of their kinds have
 * been found elsewhere. */
static uint64_t situation_of(const ls_replayer *w, size_t node, const cut *cuts, size_t count) {
    uint64_t hash = ls_replayer_kind(w, node);
    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k <= cuts[i].count; k++) {
            const bool end = k == cuts[i].count;
            const uint64_t key[] = {hash, end ? 0 : ls_replayer_kind(w, cuts[i].nodes[k]), end ? 0 : ls_replayer_has_usual_partner(w, cuts[i].nodes[k])};
            hash = XXH3_64bits(key, sizeof key);
        }
    return hash;
}

/* The kinds of the tensors that were chosen; never 0. */
static uint64_t kinds_chosen(const ls_replayer *w, const cut *c, const ls_sightings *of, const size_t at[CUT]) {
    uint64_t hash = 0;
    for (size_t i = 0; i < c->count; i++) {
        const uint64_t key[] = {hash, c->nodes[i] - c->nodes[0], ls_replayer_kind_of_partner(w, of[i].items[at[i]].partner)};
        hash = XXH3_64bits(key, sizeof key);
    }
    return hash != 0 ? hash : 1;
}

/* A cut, and the tensors that make the node right. */
typedef struct solution {
    cut cut;
    ls_sightings *of; /* per node of the cut */
    choice choice;
} solution;

static void solution_done(solution *s) {
    for (size_t i = 0; s->of != NULL && i < CUT; i++)
        ls_sightings_release(&s->of[i]);
    free(s->of);
    *s = (solution){0};
}

/* So many that all their combinations can be tried. They are sorted by how close they are. */
static void keep_closest(ls_sightings *s, size_t nodes) {
    static const size_t most[CUT + 1] = {0, LS_SIGHTINGS, 12, 5};
    while (s->count > most[nodes])
        ls_array_release(&s->items[--s->count].value);
}

/* The tensors that each node of a cut may stand for. A node without any, such as a fused product, stays as it was computed. */
static void list_possible(ls_replayer *w, const cut *c, solution *out) {
    for (size_t i = 0; i < c->count && out->of != NULL; i++) {
        ls_replayer_possible(w, c->nodes[i], &out->of[out->cut.count]);
        if (w->partners.is_set)
            keep_closest(&out->of[out->cut.count], c->count);
        if (out->of[out->cut.count].count > 0)
            out->cut.nodes[out->cut.count++] = c->nodes[i];
    }
}

static size_t trials_of(const solution *s) {
    size_t trials = s->cut.count > 0;
    for (size_t i = 0; i < s->cut.count; i++)
        trials *= s->of[i].count;
    return trials;
}

/* Leaves the farthest tensors out, as long as there are more combinations than can be tried. */
static size_t limit_trials(solution *s, size_t most) {
    size_t trials = trials_of(s);
    for (; trials > most && most > 0; trials = trials_of(s)) {
        size_t longest = 0;
        for (size_t i = 1; i < s->cut.count; i++)
            longest = s->of[i].count > s->of[longest].count ? i : longest;
        if (s->of[longest].count == 1)
            break;
        ls_array_release(&s->of[longest].items[--s->of[longest].count].value);
    }
    return trials;
}

/* Replaces the best solution so far by this cut's, if that has tensors which are more like what was computed. kinds: of the
 * tensors that are tried; 0 for all. */
static void try_cut(ls_replayer *w, size_t node, const cut *given, uint64_t kinds, size_t *trials_left, solution *best) {
    solution own = {.of = calloc(CUT, sizeof *own.of)};
    const cut *c = &own.cut;
    size_t at[CUT] = {0};
    list_possible(w, given, &own);
    const size_t most = *trials_left < w->trials_left ? *trials_left : w->trials_left;
    const bool has_all = own.cut.count == given->count; /* a set has too many tensors for some of a cut to say much */
    const size_t trials = !w->partners.is_set ? limit_trials(&own, most) : has_all ? trials_of(&own) : 0;
    if (own.of != NULL && trials > 0 && trials <= *trials_left && trials <= w->trials_left) {
        *trials_left -= trials;
        w->trials_left -= trials;
        do {
            choice one = {0};
            memcpy(one.at, at, sizeof at);
            if (are_distinct(c, own.of, at) && (kinds == 0 || kinds == kinds_chosen(w, c, own.of, at)))
                try_choice(w, node, c, own.of, &one, &own.choice);
        } while (next_choice(c, own.of, at));
    }
    if (own.choice.found && (best->cut.count == 0 || own.choice.distance < best->choice.distance)) {
        solution_done(best);
        *best = own;
    } else {
        solution_done(&own);
    }
}

static void leave_out(solution *s, size_t at) {
    ls_sightings_release(&s->of[at]);
    s->cut.count--;
    for (size_t i = at; i < s->cut.count; i++) {
        s->cut.nodes[i] = s->cut.nodes[i + 1];
        s->choice.at[i] = s->choice.at[i + 1];
        s->of[i] = s->of[i + 1];
    }
    s->of[s->cut.count].count = 0;
}

/* A node of the cut for which the reference has no tensor of its own may be right as it was computed: where the result is exact with
 * that, too, it gets no partner. */
static void keep_what_is_right(ls_replayer *w, size_t node, solution *s) {
    for (size_t i = s->cut.count; i-- > 0 && s->cut.count > 1 && !w->partners.is_set;) {
        const ls_step *step = &w->steps[s->cut.nodes[i]];
        ls_sighting *chosen = &s->of[i].items[s->choice.at[i]], kept = *chosen;
        choice own = {0}, best = {0};
        if (step->root_count == 0 || step->value.values == NULL)
            continue;
        memcpy(own.at, s->choice.at, sizeof own.at);
        *chosen = (ls_sighting){.partner = step->roots[0], .value = step->value};
        try_choice(w, node, &s->cut, s->of, &own, &best);
        *chosen = kept;
        if (own.found && own.error <= 2 * ls_replayer_floor(w, node))
            leave_out(s, i);
    }
}

static void accept(ls_replayer *w, size_t node, solution *s) {
    const cut *c = &s->cut;
    for (size_t i = 0; i < c->count; i++) {
        ls_replayer_settle(w, c->nodes[i], &s->of[i].items[s->choice.at[i]], LS_REPLAY_BY_CONSUMER);
        refute(w, c->nodes[i], 0);
    }
    process_between(w, c->nodes[0], node);
}

/* Nodes whose kind has partners elsewhere. For another kind, the reference may have no tensors at all: a factor that it
 * applies later, say. */
static bool is_usual_cut(const ls_replayer *w, const cut *c) {
    bool usual = true;
    for (size_t i = 0; i < c->count && usual; i++)
        usual = ls_replayer_has_usual_partner(w, c->nodes[i]);
    return usual;
}

/* A node whose turn has not come yet, and that has a tensor of the reference's values: no other node stands for that. */
static void reserve(ls_replayer *w, size_t node) {
    ls_array computed;
    ls_sightings found = {0};
    const char *reason;
    size_t *roots, count = ls_replayer_roots(w, node, &roots);
    w->steps[node].is_reserved = true;
    w->sampled = ls_replayer_is_dear(w, node) ? node : LS_NONE;
    if (count > 0 && ls_replayer_compute(w, node, false, &computed, NULL, &reason)) {
        ls_replayer_look_up(w, node, &computed, roots, count, ls_replayer_tolerance(w, node, NULL, NULL), &found);
        ls_array_release(&computed);
    }
    w->sampled = LS_NONE;
    size_t *taken = found.count > 0 ? &w->taken[w->partners.alike[found.items[0].partner]] : NULL;
    if (taken != NULL && *taken == LS_NONE)
        *taken = node;
    ls_sightings_release(&found);
}

/* What else is computed from a node's operands: another branch of the same shape. */
static void reserve_siblings(ls_replayer *w, size_t node) {
    size_t inputs[INPUTS];
    const size_t count = ls_replayer_inputs(w, node, inputs, INPUTS);
    for (size_t i = 0; i < count; i++)
        for (size_t k = w->first_consumer[inputs[i]]; w->steps[inputs[i]].partner != LS_NONE && k < w->first_consumer[inputs[i] + 1]; k++) {
            const size_t c = w->consumers[k];
            const ls_node *n = &w->candidate->nodes[c];
            if (n->pass == w->candidate->nodes[node].pass && ls_node_is_operation(n) && !ls_node_is_integer(n) && !w->steps[c].is_known && !w->steps[c].is_reserved)
                reserve(w, c);
        }
}

static void search_cuts(ls_replayer *w, size_t node, const cut *cuts, size_t count, solution *best) {
    size_t trials_left = TRIALS;
    for (int unusual = 0; unusual < 2 && best->cut.count == 0; unusual++)
        for (size_t i = 0; i < count; i++)
            if (is_usual_cut(w, &cuts[i]) != unusual)
                try_cut(w, node, &cuts[i], 0, &trials_left, best);
}

/* Tries what solved the situation before, and all else if that does not solve it, or nothing has often enough. */
static void solve(ls_replayer *w, size_t node, const cut *cuts, size_t count, solution *best) {
    enum { HOPELESS = 3, SOLVED = 0, UNSOLVED = 1 };
    const uint64_t situation = situation_of(w, node, cuts, count), solved[2] = {situation, SOLVED}, unsolved[2] = {situation, UNSOLVED};
    size_t trials_left = TRIALS;
    if (w->partners.is_set) { /* it holds other tensors of each layer */
        search_cuts(w, node, cuts, count, best);
        return;
    }
    const uint64_t *lesson = ls_map_find(&w->lessons, (const char *)solved, sizeof solved), *failures = ls_map_find(&w->lessons, (const char *)unsolved, sizeof unsolved);
    if (lesson == NULL && failures != NULL && *failures >= HOPELESS)
        return;
    for (size_t i = 0; lesson != NULL && i < count && best->cut.count == 0; i++)
        try_cut(w, node, &cuts[i], *lesson, &trials_left, best);
    if (best->cut.count > 0)
        return;
    search_cuts(w, node, cuts, count, best);
    const bool found = best->cut.count > 0;
    uint64_t *slot = found || w->trials_left > 0 ? ls_map_at(&w->lessons, (const char *)(found ? solved : unsolved), sizeof solved) : NULL;
    if (slot != NULL)
        *slot = found ? kinds_chosen(w, &best->cut, best->of, best->choice.at) : *slot + 1;
}

/* Whether a node reads a weight, or what was found. */
static bool is_anchored(const ls_replayer *w, size_t node) {
    size_t inputs[INPUTS];
    bool any = ls_replayer_has_weight(w, node);
    for (size_t i = any ? 0 : ls_replayer_inputs(w, node, inputs, INPUTS); i > 0 && !any; i--)
        any = w->steps[inputs[i - 1]].partner != LS_NONE && w->steps[inputs[i - 1]].means == LS_REPLAY_BY_VALUE;
    return any;
}

bool ls_replayer_is_anchored_behind(const ls_replayer *w, size_t node, size_t from) {
    enum { REGION = 64 };
    size_t region[REGION];
    const size_t count = ls_replayer_region(w, node, region, REGION);
    bool any = is_anchored(w, node);
    for (size_t i = 0; i < count && !any; i++)
        any = region[i] > from && is_anchored(w, region[i]);
    return any;
}

/* Where the reference has no graph, what is computed from the values that are tried alone may as well be another layer's. */
static size_t keep_anchored(const ls_replayer *w, size_t node, cut cuts[CUTS], size_t count) {
    size_t kept = 0;
    for (size_t i = 0; i < count; i++)
        if (!w->partners.is_set || ls_replayer_is_anchored_behind(w, node, cuts[i].nodes[cuts[i].count - 1]))
            cuts[kept++] = cuts[i];
    return kept;
}

bool ls_replayer_substitute(ls_replayer *w, size_t node) {
    cut cuts[CUTS] = {0};
    solution best = {0};
    const size_t count = w->trials_left > 0 ? keep_anchored(w, node, cuts, list_cuts(w, node, cuts)) : 0;
    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k < cuts[i].count; k++)
            reserve_siblings(w, cuts[i].nodes[k]);
    if (count > 0)
        solve(w, node, cuts, count, &best);
    const bool found = best.cut.count > 0;
    if (found) {
        keep_what_is_right(w, node, &best);
        accept(w, node, &best);
    }
    solution_done(&best);
    return found;
}

/* ------------------------------------------------------------------ hidden faults */

/* How much of what is left of a node is explained by another value of an operand: 1 where the operand is at fault, and near 0
 * where it is not. */
typedef struct share {
    double share, variance; /* infinite where nothing can be said */
    double bias;            /* of the share, by rounding that shrinks weights */
} share;

static share share_in(ls_replayer *w, size_t node, size_t operand, const ls_sighting *s) {
    const ls_array *value = &w->steps[node].value;
    ls_array computed = {0}, other = {0};
    const char *reason;
    ls_rounding r;
    double both = 0, squares = 0;
    share out = {0, INFINITY, 0};
    bool ok = ls_replayer_compute(w, node, false, &computed, NULL, &reason);
    ls_replayer_try(w, operand, &s->value);
    ok = ok && ls_replayer_compute(w, node, false, &other, NULL, &reason);
    ls_replayer_untry(w);
    for (uint64_t i = 0; ok && i < value->elements; i++) {
        double change = other.values[i] - computed.values[i];
        const double left = value->values[i] - computed.values[i];
        change = isfinite(change) && isfinite(left) ? change : 0;
        other.values[i] = change;
        both += change != 0 ? change * left : 0;
        squares += change * change;
    }
    if (ok && squares > 0) {
        const bool rounded = ls_replayer_rounding(w, node, NULL, &r);
        const double floor = (ls_replayer_floor(w, node) + w->type_error) * ls_norm_of(value);
        const bool along = rounded && r.m * (r.x.elements / r.k) == value->elements && w->candidate->nodes[node].kind->id == LS_OP_MUL_MAT;
        const double noise = along ? ls_rounding_along(&r, other.values) : ls_replayer_moved_squares(&computed, &w->steps[node].moved) / (double)computed.elements * squares;
        const double norm = ls_norm_of(value);
        double explained = 0;
        for (uint64_t i = 0; rounded && i < value->elements; i++)
            explained += r.variance[i];
        out.bias = norm > 0 ? explained / norm / sqrt(squares) : 0;
        out.share = both / squares;
        out.variance = (noise + floor * floor / (double)value->elements * squares) / (squares * squares);
        ls_rounding_release(&r);
    }
    ls_array_release(&computed);
    ls_array_release(&other);
    return out;
}

/* Over everything that reads the operand. What was computed without any rounding, and is nearly one of the reference's tensors
 * in its place, is meant to be that tensor, unless its readers say otherwise. */
static bool is_explained(ls_replayer *w, const size_t *readers, size_t count, size_t operand, const ls_sighting *s) {
    const double certain = 4.5, nearly = 0.1;
    double sum = 0, weight = 0, bias = 0;
    for (size_t i = 0; i < count; i++) {
        const share own = share_in(w, readers[i], operand, s);
        if (isfinite(own.variance) && own.variance > 0) {
            sum += own.share / own.variance;
            weight += 1 / own.variance;
            bias += own.bias / own.variance;
        }
    }
    const double all = weight > 0 ? sum / weight : 0, margin = weight > 0 ? certain / sqrt(weight) + bias / weight : INFINITY;
    const bool is_near = w->steps[operand].moved.values == NULL && s->error < nearly && weight > 0;
    return (all > margin || is_near) && fabs(all - 1) < margin + 1e-3;
}

void ls_replayer_unhide(ls_replayer *w, size_t node) {
    enum { TRIES = 4 };
    size_t readers[INPUTS];
    ls_sightings possible;
    const uint64_t key[2] = {ls_replayer_kind(w, node), UINT64_MAX};
    uint64_t *failures = ls_map_at(&w->learned, (const char *)key, sizeof key);
    const size_t count = failures != NULL && *failures < TRIES ? ls_replayer_readers(w, node, readers, INPUTS) : 0;
    bool found = false;
    if (count == 0 || !ls_replayer_proves(&w->steps[node].value))
        return;
    ls_replayer_possible(w, node, &possible);
    for (size_t k = 0; k < possible.count && !found; k++)
        if ((found = is_explained(w, readers, count, node, &possible.items[k]))) {
            ls_replayer_settle(w, node, &possible.items[k], LS_REPLAY_BY_CONSUMER);
            refute(w, node, 0);
        }
    ls_sightings_release(&possible);
    failures = ls_map_at(&w->learned, (const char *)key, sizeof key); /* it may have moved */
    if (failures != NULL)
        *failures += !found;
}
