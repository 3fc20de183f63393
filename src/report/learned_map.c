#include "report/learned_map.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/grow.h"
#include "diff/proof.h"

/* The name and number of a tensor among those of its pass; `layered` is the name with {L} for its layer. */
typedef struct label {
    const char *name, *layered;
    long occurrence;
} label;

/* One pair, as a rule would name it. */
typedef struct sighting {
    label candidate, reference;
    const char *op;
    ls_reorder reorder;
    int layer;
    size_t rank;            /* among those of the same layer and pass that have the same names */
    size_t node, pass_pair; /* of the candidate */
    double error;           /* NaN where nothing was computed */
} sighting;

/* Sightings that one rule names. */
typedef struct learned {
    const sighting *first, *end;
    bool per_layer;
    long occurrence, stride, reference_occurrence, reference_stride;
} learned;

typedef struct learning {
    const ls_diff *diff;
    ls_arena arena;
    ls_map templates; /* names with {L} -> of how many tensors */
    sighting *sightings;
    learned *rules;
    size_t count, capacity, rule_count, rule_capacity;
    size_t ambiguous; /* pairs that no rule can name */
    bool failed;
} learning;

/* ------------------------------------------------------------------ sightings */

static bool is_digit(char c) { return c >= '0' && c <= '9'; }

/* The next number in a name that is this one; NULL. */
static const char *find_number(const char *from, int number, size_t *out_length) {
    for (const char *at = from; *at != '\0'; at += *out_length) {
        *out_length = 1;
        if (!is_digit(*at))
            continue;
        *out_length = strspn(at, "0123456789");
        if (*out_length < 9 && strtol(at, NULL, 10) == number && (at[0] != '0' || *out_length == 1))
            return at;
    }
    return NULL;
}

/* The name with {L} for its layer, under which most tensors come; the name itself where it doesn't say the layer. Where it has the layer's
 * number twice, only one is the layer. `counts`: adds one to each instead. */
static const char *layered(learning *l, const char *name, int layer, bool counts) {
    const char *best = name;
    uint64_t most = 0;
    size_t length;
    for (const char *at = layer >= 0 ? find_number(name, layer, &length) : NULL; at != NULL; at = find_number(at + length, layer, &length)) {
        const char *text = ls_arena_printf(&l->arena, "%.*s{L}%s", (int)(at - name), name, at + length);
        uint64_t *count = text != NULL ? ls_map_at(&l->templates, text, strlen(text)) : NULL;
        l->failed = l->failed || count == NULL;
        if (l->failed)
            return name;
        *count += counts;
        best = *count > most ? text : best;
        most = *count > most ? *count : most;
    }
    return best;
}

static bool is_layered(const label *l) { return l->layered != l->name; }
static bool can_be_written(const char *name) { return strchr(name, '{') == NULL && strlen(name) < LS_RULE_NAME; }

/* How far the pair's tensors are apart, computed from the same values. */
static double error_of(const ls_diff *diff, const ls_pair *pair) {
    const ls_replayed *r = ls_proof_of(diff, pair->candidate_value);
    return r != NULL && r->class == LS_REPLAY_FOUND && r->means == LS_REPLAY_BY_VALUE ? r->local.error : NAN;
}

static sighting describe(learning *l, const ls_pair *pair) {
    const ls_match_inputs *in = &l->diff->in;
    const ls_node *candidate = &in->candidate.trace->nodes[pair->candidate], *reference = &in->reference.trace->nodes[pair->reference];
    const int layer = candidate->layer;
    return (sighting){.op = candidate->op, .reorder = ls_pair_reorder(pair), .layer = layer, .node = pair->candidate, .pass_pair = pair->pass_pair, .error = error_of(l->diff, pair),
                      .candidate = {candidate->name, layered(l, candidate->name, layer, false), in->candidate.values.labels[pair->candidate].of_name_op},
                      .reference = {reference->name, layered(l, reference->name, layer, false), in->reference.values.labels[pair->reference].of_name}};
}

/* Guesses at what lies behind a fault say nothing, nor does a partner that was chosen for an operation at fault, and an output's second pair repeats the first. */
static bool teaches(const ls_diff *diff, const ls_pair *pair) {
    const ls_replayed *r = ls_proof_of(diff, pair->candidate_value);
    const bool is_guess = r != NULL && r->is_origin && r->means != LS_REPLAY_BY_VALUE;
    return pair->method != LS_METHOD_INFERRED && pair->method != LS_METHOD_OUTPUT && !pair->is_extra && !is_guess;
}

static void count_names(learning *l, const ls_pair *pair) {
    const ls_node *candidate = &l->diff->in.candidate.trace->nodes[pair->candidate];
    layered(l, candidate->name, candidate->layer, true);
    layered(l, l->diff->in.reference.trace->nodes[pair->reference].name, candidate->layer, true);
}

static void keep_sighting(learning *l, const ls_pair *pair) {
    const sighting s = describe(l, pair);
    void *array = l->sightings;
    l->failed = l->failed || !ls_grow(&array, l->count, &l->capacity, sizeof s);
    if (l->failed)
        return;
    l->sightings = array;
    if (can_be_written(s.candidate.name) && can_be_written(s.reference.name))
        l->sightings[l->count++] = s;
    else
        l->ambiguous++;
}

static void collect(learning *l) {
    const ls_pairs *pairs = &l->diff->pairs;
    for (size_t i = 0; i < pairs->count && !l->failed; i++)
        if (teaches(l->diff, &pairs->items[i]))
            count_names(l, &pairs->items[i]);
    for (size_t i = 0; i < pairs->count && !l->failed; i++)
        if (teaches(l->diff, &pairs->items[i]))
            keep_sighting(l, &pairs->items[i]);
}

/* ------------------------------------------------------------------ rules */

/* Where the name says the layer, its number is the same in all of them. */
static int compare_labels(const label *a, const label *b) {
    const int names = strcmp(a->layered, b->layered);
    return names != 0 ? names : !is_layered(a) || a->occurrence == b->occurrence ? 0 : a->occurrence < b->occurrence ? -1 : 1;
}

/* 0 where one rule may name both. */
static int compare_kinds(const sighting *a, const sighting *b) {
    int order = compare_labels(&a->candidate, &b->candidate);
    order = order != 0 ? order : strcmp(a->op, b->op);
    order = order != 0 ? order : compare_labels(&a->reference, &b->reference);
    order = order != 0 ? order : (a->layer < 0) - (b->layer < 0);
    order = order != 0 ? order : (int)a->reorder - (int)b->reorder;
    return order != 0 || a->rank == b->rank ? order : a->rank < b->rank ? -1 : 1;
}

static int compare_sightings(const void *a, const void *b) {
    const sighting *x = a, *y = b;
    const int kinds = compare_kinds(x, y);
    if (kinds != 0)
        return kinds;
    if (x->layer != y->layer)
        return x->layer < y->layer ? -1 : 1;
    return x->node < y->node ? -1 : x->node > y->node;
}

/* A rule for one layer, whose names are written as they are. */
static learned literal(const sighting *first, const sighting *end) {
    return (learned){.first = first, .end = end, .occurrence = first->candidate.occurrence, .reference_occurrence = first->reference.occurrence};
}

/* The number of the tensor in layer 0, and how many more it is in each further one. */
static bool fit(const label *low, const label *high, int low_layer, int high_layer, long *out_base, long *out_stride) {
    const long more = high->occurrence - low->occurrence, layers = high_layer - low_layer;
    *out_stride = more / layers;
    *out_base = low->occurrence - *out_stride * low_layer;
    return more >= 0 && more % layers == 0 && *out_base >= 0;
}

static bool fits(const learned *rule, const sighting *s) {
    return s->candidate.occurrence == rule->occurrence + rule->stride * s->layer && s->reference.occurrence == rule->reference_occurrence + rule->reference_stride * s->layer;
}

/* A rule for several layers; false where their numbers follow no line. */
static bool generalize(const sighting *first, const sighting *end, learned *out) {
    const sighting *last = end - 1;
    *out = (learned){.first = first, .end = end, .per_layer = true};
    if (first->layer < 0 || last->layer == first->layer || !fit(&first->candidate, &last->candidate, first->layer, last->layer, &out->occurrence, &out->stride) ||
        !fit(&first->reference, &last->reference, first->layer, last->layer, &out->reference_occurrence, &out->reference_stride))
        return false;
    bool all = is_layered(&first->candidate) || out->stride > 0;
    for (const sighting *s = first; s < end && all; s++)
        all = fits(out, s);
    return all;
}

static size_t find_label(const ls_side *side, size_t pass, const label *l, const char *op, int layer, long occurrence, bool per_layer) {
    char name[LS_RULE_NAME + 16];
    if (!ls_rules_expand(per_layer ? l->layered : l->name, layer, -1, name, sizeof name))
        return LS_NONE;
    return ls_values_find(&side->values, pass, &(ls_label){name, op, NULL, occurrence});
}

/* In this layer of a pass, the rule names two tensors that are no pair. */
static bool is_wrong_in(const learning *l, const learned *rule, size_t pass_pair, int layer) {
    const ls_match_inputs *in = &l->diff->in;
    const ls_pass_pair *passes = &l->diff->matching.tokens.pairs[pass_pair];
    const sighting *s = rule->first;
    const size_t candidate = find_label(&in->candidate, passes->candidate, &s->candidate, s->op, layer, rule->occurrence + rule->stride * layer, rule->per_layer);
    const size_t reference = find_label(&in->reference, passes->reference, &s->reference, NULL, layer, rule->reference_occurrence + rule->reference_stride * layer, rule->per_layer);
    if (candidate == LS_NONE || reference == LS_NONE)
        return false;
    const size_t pair = l->diff->matching.pair_of[in->candidate.values.value_of[candidate]];
    return pair == 0 || l->diff->pairs.items[pair - 1].reference_value != in->reference.values.value_of[reference];
}

static int last_layer(const learning *l) {
    int last = 0;
    for (size_t i = 0; i < l->count; i++)
        last = l->sightings[i].layer > last ? l->sightings[i].layer : last;
    return last;
}

/* Names that repeat may stand for other tensors in other passes and layers. */
static bool is_wrong(const learning *l, const learned *rule) {
    const int last = rule->per_layer ? last_layer(l) : 0;
    for (size_t pass_pair = 0; pass_pair < l->diff->matching.tokens.pair_count; pass_pair++)
        for (int layer = 0; layer <= last; layer++)
            if (is_wrong_in(l, rule, pass_pair, layer))
                return true;
    return false;
}

static void keep(learning *l, const learned *rule) {
    void *array = l->rules;
    l->failed = l->failed || !ls_grow(&array, l->rule_count, &l->rule_capacity, sizeof *rule);
    if (l->failed)
        return;
    l->rules = array;
    l->rules[l->rule_count++] = *rule;
}

/* A rule for each of the sightings that have the same names. */
static void keep_literal(learning *l, const sighting *first, const sighting *end) {
    for (const sighting *at = first, *next; at < end; at = next) {
        learned rule = literal(at, at);
        for (next = at; next < end && next->layer == at->layer && strcmp(next->candidate.name, at->candidate.name) == 0 && fits(&rule, next);)
            next++;
        rule.end = next;
        if (is_wrong(l, &rule))
            l->ambiguous += (size_t)(next - at);
        else
            keep(l, &rule);
    }
}

static int compare_rules(const void *a, const void *b) {
    const learned *x = a, *y = b;
    return x->first->node < y->first->node ? -1 : x->first->node > y->first->node;
}

static void sort_sightings(learning *l) {
    sighting *s = l->sightings;
    if (l->count == 0)
        return;
    qsort(s, l->count, sizeof *s, compare_sightings);
    for (size_t i = 1, first = 0; i < l->count; i++) { /* the first of its names, layer and pass has rank 0 */
        first = compare_kinds(&s[first], &s[i]) == 0 && s[i].layer == s[first].layer && s[i].pass_pair == s[first].pass_pair ? first : i;
        s[i].rank = i - first;
    }
    qsort(s, l->count, sizeof *s, compare_sightings);
}

static void generalize_all(learning *l) {
    const sighting *end = l->sightings + l->count;
    sort_sightings(l);
    for (const sighting *at = l->sightings, *next; at < end && !l->failed; at = next) {
        learned rule;
        for (next = at; next < end && compare_kinds(at, next) == 0;)
            next++;
        if (generalize(at, next, &rule) && !is_wrong(l, &rule))
            keep(l, &rule);
        else
            keep_literal(l, at, next);
    }
    if (l->rule_count > 0)
        qsort(l->rules, l->rule_count, sizeof *l->rules, compare_rules);
}

/* ------------------------------------------------------------------ YAML */

static void put_text(ls_text *out, const char *key, const char *text) {
    ls_text_printf(out, "%s: ", key);
    ls_text_json(out, text, strlen(text));
}

static void put_occurrence(ls_text *out, const char *key, long base, long stride) {
    if (stride > 0)
        ls_text_printf(out, ", %s: %ld+%ld*L", key, base, stride);
    else if (base > 0)
        ls_text_printf(out, ", %s: %ld", key, base);
}

/* In which layers, how often, and how closely the pairs of a rule agree. */
static void put_evidence(ls_text *out, const learned *rule) {
    size_t layers = 0, computed = 0;
    double worst = 0;
    for (const sighting *s = rule->first; s < rule->end; s++) {
        layers += s == rule->first || s->layer != s[-1].layer;
        computed += isnan(s->error) ? 0 : 1;
        worst = s->error > worst ? s->error : worst;
    }
    ls_text_printf(out, " # %td pair%s", rule->end - rule->first, rule->end - rule->first == 1 ? "" : "s");
    if (rule->per_layer)
        ls_text_printf(out, " in %zu layers", layers);
    if (computed > 0)
        ls_text_printf(out, ", %zu computed: within %.1e", computed, worst);
    ls_text_printf(out, "\n");
}

static void put_rule(ls_text *out, const learned *rule) {
    const sighting *s = rule->first;
    ls_text_printf(out, "  - {");
    put_text(out, "candidate", rule->per_layer ? s->candidate.layered : s->candidate.name);
    if (s->op[0] != '\0') {
        ls_text_printf(out, ", ");
        put_text(out, "op", s->op);
    }
    put_occurrence(out, "occurrence", rule->occurrence, rule->stride);
    ls_text_printf(out, ", ");
    put_text(out, "reference", rule->per_layer ? s->reference.layered : s->reference.name);
    put_occurrence(out, "reference-occurrence", rule->reference_occurrence, rule->reference_stride);
    ls_text_printf(out, "%s}", s->reorder == LS_REORDER_ROPE_PAIRS ? ", reorder: rope-pairs" : "");
    put_evidence(out, rule);
}

static void put_rules(const learning *l, ls_text *out) {
    ls_text_printf(out, "# Which tensor of the candidate is which of the reference, learned by comparing two runs of them.\n"
                        "# Behind each rule: how many pairs it stands for, and how far the candidate's operation, computed from the\n"
                        "# reference's values, is from the reference's result (relative L2).\n");
    if (l->ambiguous > 0)
        ls_text_printf(out, "# %zu pair%s left out: their names stand for other tensors elsewhere, or can't be written.\n", l->ambiguous, l->ambiguous == 1 ? " is" : "s are");
    ls_text_printf(out, "rules:\n");
    for (size_t i = 0; i < l->rule_count; i++)
        put_rule(out, &l->rules[i]);
}

bool ls_report_learned_map(const ls_diff *diff, ls_text *out) {
    learning l = {.diff = diff};
    collect(&l);
    generalize_all(&l);
    if (!l.failed && l.rule_count > 0)
        put_rules(&l, out);
    const bool done = !l.failed && l.rule_count > 0 && !out->failed;
    out->failed = out->failed || l.failed;
    free(l.sightings);
    free(l.rules);
    ls_map_done(&l.templates);
    ls_arena_done(&l.arena);
    return done;
}
