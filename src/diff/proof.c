#include "diff/proof.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/map.h"
#include "base/pool.h"
#include "base/text.h"
#include "diff/accepted.h"
#include "diff/judgement.h"
#include "eval/sampling.h"
#include "eval/some_rows.h"

/* ------------------------------------------------------------------ running */

static bool has_weight(const ls_diff *d, size_t node) {
    ls_view view;
    ls_hold hold;
    const char *reason;
    if (ls_models_find(&d->models, node, &view, &reason))
        return true;
    const bool held = ls_node_has_values(&d->in.candidate.trace->nodes[node]) && ls_trace_hold(d->in.candidate.trace, node, &hold, NULL) == LOCKSTEP_OK;
    if (held)
        ls_hold_release(&hold);
    return held;
}

/* Operations that are covered, and weights to compute them with. */
static bool can_be_computed(const ls_diff *d) {
    const ls_trace *t = d->in.candidate.trace;
    bool operations = false, weights = false;
    for (size_t i = 0; i < t->node_count; i++) {
        const ls_node *n = &t->nodes[i];
        operations = operations || (n->role == LOCKSTEP_ROLE_COMPUTED && n->kind->role == LS_OP_ROLE_PRODUCT && ls_eval_covers(n));
        weights = weights || (n->role == LOCKSTEP_ROLE_WEIGHT && has_weight(d, i)); /* in memory, it may be gone */
    }
    return t->is_graph && operations && weights;
}

/* A name or a rule has paired the two: it can't know in which order their rows or elements are. */
static void add_order(const ls_diff *d, ls_pair *pair, const ls_replayed *item) {
    if (pair->reference_value != d->in.reference.values.value_of[item->partner])
        return;
    pair->order = item->order;
    pair->orders_elements = item->orders_elements;
    pair->permutation = item->permutation;
}

static lockstep_status add_pairs(ls_diff *d, lockstep_error *error) {
    const ls_token_alignment *tokens = &d->matching.tokens;
    for (size_t i = 0; i < d->replay.count; i++) {
        const ls_replayed *item = &d->replay.items[i];
        if (item->partner == LS_NONE)
            continue;
        const ls_pair pair = {.reference = item->partner, .candidate = item->node, .method = LS_METHOD_REPLAY,
                              .pass_pair = ls_token_alignment_from(tokens, d->in.candidate.trace->nodes[item->node].pass),
                              .reorder = item->has_pairs ? LS_REORDER_ROPE_PAIRS : LS_REORDER_NONE, .order = item->order, .orders_elements = item->orders_elements, .permutation = item->permutation};
        const size_t known = d->matching.pair_of[d->in.candidate.values.value_of[item->node]];
        if (known == 0)
            LS_TRY(ls_matching_add(&d->matching, &pair, error));
        else
            add_order(d, &d->pairs.items[known - 1], item);
    }
    return LOCKSTEP_OK;
}

/* Multiplications, of the sampled rows: about an hour on two cores at most. */
#define COST_MAX 0x1p43

static double cost_of(const ls_trace *t) {
    double cost = 0;
    for (size_t i = 0; i < t->node_count; i++)
        cost += ls_eval_cost(t, &t->nodes[i]) > 0 ? ls_eval_cost(t, &t->nodes[i]) * ls_rows_share(t, i) : 0;
    return 2 * cost; /* for replay and verify */
}

static void note_models(ls_diff *d) {
    const ls_models *m = &d->models;
    const ls_remark unopened = {.code = LS_REMARK_MODEL_UNOPENED, .text = m->unopened}, stale = {.code = LS_REMARK_MODEL_STALE, .count = m->by_state[LS_WEIGHT_STALE]};
    if (m->unopened[0] != '\0')
        ls_remarks_add(&d->result.hints, &unopened);
    if (stale.count > 0)
        ls_remarks_add(&d->result.hints, &stale);
}

/* Opens the models. Whether the candidate's operations can be computed, at a cost that is worth it. */
static lockstep_status prepare(ls_diff *d, bool *out_can, lockstep_error *error) {
    *out_can = false;
    LS_TRY(ls_models_open(d->in.candidate.trace, d->options.models, d->options.model_count, &d->models, error));
    note_models(d);
    if (ls_diff_is_selective(d) || d->matching.tokens.pair_count == 0 || !can_be_computed(d))
        return LOCKSTEP_OK;
    const double cost = cost_of(d->in.candidate.trace);
    const ls_remark dear = {.code = LS_REMARK_TOO_DEAR, .fraction = cost};
    *out_can = cost <= COST_MAX || d->options.exact;
    if (!*out_can)
        ls_remarks_add(&d->result.hints, &dear);
    return LOCKSTEP_OK;
}

lockstep_status ls_proof_replay(ls_diff *d, lockstep_error *error) {
    LS_TRY(prepare(d, &d->is_replayed, error));
    if (!d->is_replayed)
        return LOCKSTEP_OK;
    LS_TRY(ls_replay_run(&d->matching, &d->models, &(ls_replay_options){d->options.exact, d->options.explain}, &d->replay, error));
    return ls_accepted_apply(d, error);
}

enum { REPLAY, VERIFY, PROOFS };

typedef struct proofs {
    ls_diff *d;
    lockstep_status statuses[PROOFS];
    lockstep_error errors[PROOFS];
} proofs;

static void run_proof(void *context, uint64_t which, int worker) {
    proofs *p = context;
    ls_diff *d = p->d;
    (void)worker;
    p->statuses[which] = which == REPLAY ? ls_replay_run(&d->matching, &d->models, &(ls_replay_options){d->options.exact, d->options.explain}, &d->replay, &p->errors[which])
                                         : ls_verify(d->in.candidate.trace, &d->models, d->options.exact, &d->verification, &p->errors[which]);
}

lockstep_status ls_proof_run(ls_diff *d, lockstep_error *error) {
    proofs both = {.d = d};
    LS_TRY(prepare(d, &d->is_replayed, error));
    if (!d->is_replayed)
        return LOCKSTEP_OK;
    ls_pool_run(PROOFS, run_proof, &both); /* much of a replay is serial */
    for (int i = 0; i < PROOFS; i++)
        if (both.statuses[i] != LOCKSTEP_OK) {
            *error = both.errors[i];
            return both.statuses[i];
        }
    LS_TRY(ls_accepted_apply(d, error));
    const ls_remark other = {.code = LS_REMARK_OTHER_MODEL, .count = d->verification.failed, .total = d->verification.checked};
    if (4 * other.count > other.total)
        ls_remarks_add(&d->result.hints, &other);
    return add_pairs(d, error);
}

/* A name or a rule pairs a node, which is wrong then, with another tensor than the one whose values it has. */
static bool is_refuted(const ls_diff *d, const ls_replayed *item) {
    const size_t pair = d->matching.pair_of[d->in.candidate.values.value_of[item->node]];
    const ls_pair *p = pair != 0 ? &d->pairs.items[pair - 1] : NULL;
    return p != NULL && p->mark.verdict == LS_VERDICT_DIVERGED && item->means == LS_REPLAY_BY_VALUE && item->partner != LS_NONE && p->method != LS_METHOD_REPLAY &&
           d->in.reference.values.value_of[p->reference] != d->in.reference.values.value_of[item->partner];
}

static void note_refuted(ls_diff *d, size_t pair, ls_remark *remark) {
    if (remark->count++ > 0)
        return;
    remark->code = LS_REMARK_NAME_REFUTED;
    remark->text = d->in.candidate.trace->nodes[d->pairs.items[pair].candidate].name;
    remark->detail = d->in.reference.trace->nodes[d->pairs.items[pair].reference].name;
}

/* Pairs the nodes whose pairs were dropped with the tensors whose values they have. */
static lockstep_status pair_again(ls_diff *d, const bool *dropped, lockstep_error *error) {
    ls_matching_retract(&d->matching, dropped);
    const size_t kept = d->pairs.count;
    LS_TRY(add_pairs(d, error));
    for (size_t i = kept; i < d->pairs.count; i++)
        LS_TRY(ls_diff_compare(d, i, error));
    return LOCKSTEP_OK;
}

lockstep_status ls_proof_correct_names(ls_diff *d, lockstep_error *error) {
    ls_remark remark = {0};
    bool *dropped = calloc(d->pairs.count + 1, sizeof *dropped);
    if (dropped == NULL)
        return ls_fail(error, LOCKSTEP_NO_MEMORY, "out of memory");
    for (size_t i = 0; i < d->replay.count; i++) {
        if (!is_refuted(d, &d->replay.items[i]))
            continue;
        const size_t pair = d->matching.pair_of[d->in.candidate.values.value_of[d->replay.items[i].node]] - 1;
        note_refuted(d, pair, &remark);
        dropped[pair] = true;
    }
    if (remark.count > 0)
        ls_remarks_add(&d->result.hints, &remark);
    const lockstep_status status = remark.count > 0 ? pair_again(d, dropped, error) : LOCKSTEP_OK;
    free(dropped);
    return status;
}

/* ------------------------------------------------------------------ asking */

static int by_node(const void *key, const void *item) {
    const size_t wanted = *(const size_t *)key, node = ((const ls_replayed *)item)->node;
    return wanted < node ? -1 : wanted > node;
}

const ls_replayed *ls_proof_of(const ls_diff *d, size_t node) {
    return d->replay.count > 0 ? bsearch(&node, d->replay.items, d->replay.count, sizeof *d->replay.items, by_node) : NULL;
}

static int by_check(const void *key, const void *item) {
    const size_t wanted = *(const size_t *)key, node = ((const ls_check *)item)->node;
    return wanted < node ? -1 : wanted > node;
}

const ls_check *ls_proof_check(const ls_diff *d, size_t node) {
    return d->verification.count > 0 ? bsearch(&node, d->verification.checks, d->verification.count, sizeof *d->verification.checks, by_check) : NULL;
}

bool ls_proof_is_origin(const ls_diff *d, size_t node) {
    const ls_replayed *item = ls_proof_of(d, node);
    const ls_check *check = ls_proof_check(d, node);
    return (item != NULL && item->is_origin) || (check != NULL && check->fault != LS_FAULT_NONE);
}

size_t ls_proof_weight_of(const ls_trace *t, size_t operand) {
    enum { DEEPEST = 64 };
    size_t at = operand;
    for (int depth = 0; at != LS_NONE && depth < DEEPEST && t->nodes[at].role == LOCKSTEP_ROLE_VIEW; depth++)
        at = t->nodes[at].view_of != LS_NONE ? t->nodes[at].view_of : t->nodes[at].source_count > 0 ? t->nodes[at].sources[0] : LS_NONE;
    return at != LS_NONE && t->nodes[at].role == LOCKSTEP_ROLE_WEIGHT ? at : LS_NONE;
}

/* The node of a weight with this name that an operation reads; LS_NONE. */
static size_t read_weight(const ls_trace *t, const ls_node *n, const char *weight) {
    for (size_t i = 0; i < n->operand_count; i++) {
        const size_t at = ls_proof_weight_of(t, n->operands[i]);
        if (at != LS_NONE && strcmp(t->nodes[at].name, weight) == 0)
            return at;
    }
    return LS_NONE;
}

/* The operation at fault that a node is, or belongs to; NULL. */
static ls_replayed *fault_of(const ls_replay *r, ls_replayed *item) {
    ls_replayed *owner = item->is_origin ? item : NULL;
    for (size_t i = 0; i < r->count && owner == NULL; i++)
        for (size_t k = 0; k < r->items[i].region_count && r->items[i].is_origin && owner == NULL; k++)
            owner = r->items[i].region[k] == item->node ? &r->items[i] : NULL;
    return owner;
}

static void name_weight(ls_diff *d, ls_replayed *item, size_t node, const ls_wrong_weight *weight) {
    if (item->weight != LS_NONE && (item->weight_rule != NULL || weight->rule == NULL))
        return;
    item->weight = node;
    item->weight_error = weight->error;
    item->weight_rule = weight->rule;
    item->weight_left = weight->left;
    item->weight_text = weight->text != NULL ? ls_arena_copy(&d->arena, weight->text, strlen(weight->text)) : NULL;
}

static void accuse(ls_diff *d, ls_replayed *item) {
    d->replay.origins++;
    d->replay.accepted -= item->is_accepted;
    item->is_origin = true;
    item->is_accepted = false;
}

/* Its result does not have the factor that the weight has, although rounding would not hide it. */
static bool is_contradicted(const ls_replayed *item, const ls_wrong_weight *weight) {
    const bool is_visible = weight->error > 2 * item->local.expected;
    return weight->is_scaled && item->class == LS_REPLAY_FOUND && is_visible && fabs(item->local.factor - 1) < 0.25 * weight->error;
}

bool ls_proof_is_read_right(const ls_diff *d, const char *weight) {
    const ls_trace *t = d->in.candidate.trace;
    size_t count = 0;
    for (size_t i = 0; i < d->replay.count; i++) {
        const ls_replayed *item = &d->replay.items[i];
        if (read_weight(t, &t->nodes[item->node], weight) == LS_NONE)
            continue;
        if (item->class != LS_REPLAY_FOUND && item->class != LS_REPLAY_COVERED)
            return false;
        count++;
    }
    return count > 0;
}

size_t ls_proof_blame_weight(ls_diff *d, const ls_wrong_weight *weight) {
    const ls_trace *t = d->in.candidate.trace;
    size_t count = 0;
    for (size_t i = 0; i < d->replay.count; i++) {
        ls_replayed *item = &d->replay.items[i], *owner;
        const size_t at = read_weight(t, &t->nodes[item->node], weight->name);
        if (at == LS_NONE)
            continue;
        owner = fault_of(&d->replay, item);
        if (owner == NULL && weight->is_certain && !is_contradicted(item, weight) && (item->class == LS_REPLAY_FOUND || item->class == LS_REPLAY_COVERED))
            accuse(d, owner = item);
        if (owner == NULL)
            continue;
        name_weight(d, owner, at, weight);
        count++;
    }
    return count;
}

bool ls_proof_is_same_name(const char *a, const char *b) {
    const size_t x = strlen(a), y = strlen(b);
    const char *longer = x > y ? a : b, *shorter = x > y ? b : a;
    const size_t rest = x > y ? x - y : y - x;
    return strcmp(longer + rest, shorter) == 0 && (rest == 0 || longer[rest - 1] == '.');
}

/* Both are weights, or biases. */
static bool end_alike(const char *a, const char *b) {
    const char *x = strrchr(a, '.'), *y = strrchr(b, '.');
    return x != NULL && y != NULL && strcmp(x, y) == 0;
}

/* The first weight of this size that a node of the reference reads, rather one that ends as `weight` does, unless one of them is called `known`. */
static size_t wanted_by(const ls_diff *d, size_t partner, const char *weight, const char *known, uint64_t elements) {
    const ls_trace *t = d->in.reference.trace;
    const ls_node *n = &t->nodes[d->in.reference.values.value_of[partner]];
    size_t wanted = LS_NONE;
    for (size_t i = 0; i < n->source_count; i++) {
        const ls_node *source = &t->nodes[n->sources[i]];
        if (source->role != LOCKSTEP_ROLE_WEIGHT || source->elements != elements)
            continue;
        if (ls_proof_is_same_name(source->name, known))
            return LS_NONE;
        if (wanted == LS_NONE || (end_alike(source->name, weight) && !end_alike(t->nodes[wanted].name, weight)))
            wanted = n->sources[i];
    }
    return wanted;
}

/* Itself, or in its region. */
static bool reads_weight(const ls_trace *t, const ls_replayed *item, const char *weight) {
    bool any = read_weight(t, &t->nodes[item->node], weight) != LS_NONE;
    for (size_t k = 0; k < item->region_count && !any; k++)
        any = read_weight(t, &t->nodes[item->region[k]], weight) != LS_NONE;
    return any;
}

size_t ls_proof_wanted_weight(const ls_diff *d, const char *weight, const char *known, uint64_t elements) {
    size_t wanted = LS_NONE;
    for (size_t i = 0; i < d->replay.count && wanted == LS_NONE; i++) {
        const ls_replayed *item = &d->replay.items[i];
        if (item->is_origin && item->partner != LS_NONE && reads_weight(d->in.candidate.trace, item, weight))
            wanted = wanted_by(d, item->partner, weight, known, elements);
    }
    return wanted;
}

/* Appends the names of the weights that a node reads, each once. */
static void add_weights(const ls_trace *t, const ls_node *n, ls_map *seen, ls_text *out) {
    for (size_t i = 0; i < n->operand_count; i++) {
        const size_t at = ls_proof_weight_of(t, n->operands[i]);
        uint64_t *known = at != LS_NONE ? ls_map_at(seen, t->nodes[at].name, strlen(t->nodes[at].name)) : NULL;
        if (known == NULL || (*known)++ > 0)
            continue;
        ls_text_printf(out, out->length == 0 ? "^(" : "|");
        ls_text_regex(out, t->nodes[at].name);
    }
}

char *ls_proof_suspected_weights(const ls_diff *d) {
    const ls_trace *t = d->in.candidate.trace;
    ls_map seen = {0};
    ls_text names = {0};
    for (size_t i = 0; i < d->replay.count; i++) {
        const ls_replayed *item = &d->replay.items[i];
        if (item->is_origin)
            add_weights(t, &t->nodes[item->node], &seen, &names);
        for (size_t k = 0; k < item->region_count && item->is_origin; k++)
            add_weights(t, &t->nodes[item->region[k]], &seen, &names);
    }
    if (names.length > 0)
        ls_text_printf(&names, ")$");
    ls_map_done(&seen);
    return names.data;
}

/* Replay reads a view, or what another graph hands on, where it comes from, and verify its own recorded values: what lies between the two was not
 * checked. */
static bool has_unchecked_transfers(const ls_trace *t) {
    bool any = false;
    for (size_t i = 0; i < t->node_count && !any; i++) {
        const ls_node *n = &t->nodes[i];
        const bool is_transfer = n->role == LOCKSTEP_ROLE_VIEW || n->alias_of != LS_NONE || n->view_of != LS_NONE || (n->role == LOCKSTEP_ROLE_INPUT && n->source_count > 0);
        any = is_transfer && ls_node_has_values(n);
    }
    return any;
}

/* Everything from the inputs to the outputs was computed, on the reference's values and on the recorded ones. */
static bool is_complete(const ls_diff *d) {
    const ls_replay *r = &d->replay;
    const ls_verification *v = &d->verification;
    return r->sampled == 0 && r->origins + r->accepted + r->operations[LS_REPLAY_OPEN] + r->operations[LS_REPLAY_UNSUPPORTED] + r->operations[LS_REPLAY_BEYOND] == 0 && v->sampled == 0 &&
           v->failed == 0 && v->checked == v->count && !has_unchecked_transfers(d->in.candidate.trace);
}

double ls_proof_noise(const ls_diff *d, size_t pass) {
    const double amplification = 4, amplified = 0.3; /* by what follows an operation; the most of any model: relative L2 */
    double squares = 0;
    if (ls_diff_is_by_precision(d) && is_complete(d))
        return amplified;
    for (size_t i = 0; i < d->verification.count; i++) {
        const ls_check *c = &d->verification.checks[i];
        if (c->reason == NULL && d->in.candidate.trace->nodes[c->node].pass == pass && isfinite(c->error))
            squares += c->error * c->error;
    }
    return fmin(1, amplification * sqrt(squares));
}

double ls_proof_coverage(const ls_diff *d) {
    const uint64_t *e = d->replay.elements;
    const double compared = (double)(e[LS_REPLAY_FOUND] + e[LS_REPLAY_COVERED]), all = compared + (double)(e[LS_REPLAY_UNSUPPORTED] + e[LS_REPLAY_OPEN]);
    return all > 0 ? compared / all : 0;
}
