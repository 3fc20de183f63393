/* Searches for the content of a weight under other names: a tensor without a partner, or one
 * that differs from its partner, may equal another tensor of the other side, unchanged or
 * transformed. Statistics that the comparison has gathered (count, L2, extremes, hash) decide
 * which tensors are worth a look. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/grow.h"
#include "base/map.h"
#include "checkpoint/conversions.h"
#include "checkpoint/weight_steps.h"
#include "compare/sample.h"

typedef struct sketch {
    bool known;
    uint64_t elements, hash;
    double min, max, l2;
} sketch;

typedef struct search {
    ls_weights *w;
    sketch *sketches[LS_SIDES];
    size_t *pair_of[LS_SIDES]; /* pair + 1 of a whole tensor */
    size_t looks;
    lockstep_error *error;
} search;

/* How many elements are looked at. If the elements have to be transformed, all of them are, so
 * only small tensors are tried. A look takes some microseconds: with thousands of unpaired
 * tensors of the same shape, the search would take days without a limit. */
enum { SAMPLE = 512, SMALL = 1 << 16, LOOKS_MAX = 100000 };

static const ls_tensor *tensor_of(const search *s, int side, size_t i) { return &s->w->sides[side]->archive->tensors[i]; }

static sketch sketch_of(const struct ls_side_stats *side, uint64_t elements) {
    return (sketch){true, elements, side->hash, side->min, side->max, side->l2};
}

/* Gathers the statistics of a tensor that has not been compared yet. */
static lockstep_status know(search *s, int side, size_t i) {
    sketch *k = &s->sketches[side][i];
    ls_view view;
    ls_metrics m;
    if (k->known || s->w->labels[side].items[i].scheme != NULL)
        return LOCKSTEP_OK;
    lockstep_status status = ls_archive_view(s->w->sides[side]->archive, i, &view, s->error);
    if (status == LOCKSTEP_UNSUPPORTED || status == LOCKSTEP_TRUNCATED)
        return LOCKSTEP_OK;
    if (status == LOCKSTEP_OK)
        status = ls_compare(&view, &view, &(ls_compare_options){.hash = true}, &m, s->error);
    if (status == LOCKSTEP_OK)
        *k = sketch_of(&m.candidate, m.elements);
    return status;
}

/* A constant tensor gives no clue to its origin; nor does a lone 0 or 1. */
static bool is_telling(const sketch *k) {
    if (!k->known || k->elements == 0 || !isfinite(k->l2) || k->l2 == 0)
        return false;
    return k->elements == 1 ? fabs(k->min) != 1 : k->min != k->max;
}

/* --- comparing a little */

typedef struct hit {
    size_t tensor;
    double nmse;
    unsigned change; /* 0, or one that was done to the tensor of the side `changed` */
    int changed;
    char text[256]; /* "" if unchanged */
} hit;

static double look_changed(search *s, int side, size_t i, size_t other, int changed, unsigned change) {
    ls_weight_values values[LS_SIDES] = {0};
    double nmse = NAN;
    if (s->looks++ >= LOOKS_MAX) {
        s->w->search_cut = true;
        return NAN;
    }
    const size_t tensors[2] = {side == LS_REFERENCE ? i : other, side == LS_CANDIDATE ? i : other};
    lockstep_status status = LOCKSTEP_OK;
    for (int k = 0; k < LS_SIDES && status == LOCKSTEP_OK; k++) {
        ls_weight_part part = {.tensor = tensors[k], .axis = -1};
        status = ls_weight_read(s->w, k, &part, k == changed ? change : 0, ls_weight_heads(s->w, tensor_of(s, k, tensors[k])->name),
                                &values[k], NULL);
    }
    if (status == LOCKSTEP_OK && ls_view_elements(&values[0].view) == ls_view_elements(&values[1].view)) {
        double relative = ls_sampled_error(&values[0].view, &values[1].view, SAMPLE);
        nmse = relative * relative;
    }
    free(values[0].owned);
    free(values[1].owned);
    return nmse;
}

/* Up to four values prove little, so they have to be (nearly) equal. */
static double bound(const search *s, int side, size_t i, size_t other) {
    const ls_tensor *t = tensor_of(s, side, i);
    double allowed = fmax(ls_quality_allowed(t->dtype, tensor_of(s, 1 - side, other)->dtype), 1e-12);
    return t->elements <= 4 ? fmin(allowed, 1e-12) : allowed;
}

/* `found`: without its text. */
static void consider(hit *best, const hit *found, double allowed, const char *format, const char *name) {
    if (!(found->nmse <= allowed) || found->nmse >= best->nmse)
        return;
    *best = *found;
    snprintf(best->text, sizeof best->text, format, name);
}

static void try_change(search *s, int side, size_t i, size_t other, int changed, unsigned change, const char *format, hit *best) {
    const hit found = {.tensor = other, .nmse = look_changed(s, side, i, other, changed, change), .change = change, .changed = changed};
    consider(best, &found, bound(s, side, i, other), format, tensor_of(s, 1 - side, other)->name);
}

/* Close enough in size to hold the same values in another order, or rounded. */
static bool is_near(const search *s, int side, size_t i, size_t other) {
    const sketch *a = &s->sketches[side][i], *b = &s->sketches[1 - side][other];
    return fabs(a->l2 - b->l2) <= (1e-6 + sqrt(bound(s, side, i, other))) * a->l2;
}

static void try_unchanged(search *s, int side, size_t i, size_t other, hit *best) {
    if (is_near(s, side, i, other))
        try_change(s, side, i, other, side, 0, "", best);
}

static void try_changes(search *s, int side, size_t i, size_t other, hit *best) {
    static const struct {
        unsigned change;
        const char *forwards, *backwards; /* %s: the other's name */
    } changes[] = {
        {LS_CHANGE_TANH, "tanh(%s)", "atanh(%s)"},
        {LS_CHANGE_ONE_MINUS_TANH, "1 - tanh(%s)", "atanh(1 - %s)"},
        {LS_CHANGE_PLUS_ONE, "1 + %s", "%s - 1"},
        {LS_CHANGE_NEGATIVE_EXP, "-exp(%s)", "log(-%s)"},
        {LS_CHANGE_TRANSPOSE, "transpose(%s)", "transpose(%s)"},
        {LS_CHANGE_ROPE_PAIRS, "%s with its rotary halves interleaved", "%s with its rotary pairs de-interleaved"},
    };
    const uint64_t elements = s->sketches[side][i].elements;
    for (size_t k = 0; k < sizeof changes / sizeof *changes; k++) {
        bool in_place = changes[k].change == LS_CHANGE_TRANSPOSE || changes[k].change == LS_CHANGE_ROPE_PAIRS;
        if (in_place ? !is_near(s, side, i, other) || elements < 4 : elements > SMALL)
            continue;
        try_change(s, side, i, other, 1 - side, changes[k].change, changes[k].forwards, best);
        if (!in_place || changes[k].change == LS_CHANGE_ROPE_PAIRS)
            try_change(s, side, i, other, side, changes[k].change, changes[k].backwards, best);
    }
}

static bool is_candidate(const search *s, int side, size_t i, size_t other, bool unpaired_only) {
    return tensor_of(s, 1 - side, other)->elements == tensor_of(s, side, i)->elements &&
           !(unpaired_only && s->w->paired[1 - side][other]);
}

/* A tensor with the same values, by its hash; if there are several, one whose name doesn't
 * contradict it. */
static lockstep_status find_equal(search *s, int side, size_t i, bool unpaired_only, hit *out) {
    const char *name = s->w->labels[side].items[i].name;
    for (size_t other = 0; other < s->w->sides[1 - side]->archive->tensor_count; other++) {
        if (!is_candidate(s, side, i, other, unpaired_only))
            continue;
        LS_TRY(know(s, 1 - side, other));
        const sketch *a = &s->sketches[side][i], *b = &s->sketches[1 - side][other];
        if (!b->known || a->hash != b->hash)
            continue;
        bool fits = ls_weight_names_contradict(name, s->w->labels[1 - side].items[other].name) == NULL;
        if (out->tensor == SIZE_MAX || fits)
            *out = (hit){.tensor = other};
        if (fits)
            return LOCKSTEP_OK;
    }
    return LOCKSTEP_OK;
}

/* The most probable first: in the same layer (passes 0 and 1), unchanged (passes 0 and 2). A later pass matters only if none before it
 * has found anything: the change of a small value to its tanh is smaller than a quantizer's error. */
static void try_others(search *s, int side, size_t i, bool unpaired_only, int pass, hit *out) {
    const long layer = ls_weight_layer(s->w->labels[side].items[i].name);
    for (size_t other = 0; other < s->w->sides[1 - side]->archive->tensor_count && out->nmse > 0 && s->looks < LOOKS_MAX; other++) {
        const bool same_layer = ls_weight_layer(s->w->labels[1 - side].items[other].name) == layer;
        if (same_layer != (pass < 2) || !is_candidate(s, side, i, other, unpaired_only) || !is_telling(&s->sketches[1 - side][other]))
            continue;
        if (pass % 2 == 0)
            try_unchanged(s, side, i, other, out);
        else
            try_changes(s, side, i, other, out);
    }
}

/* The tensor of the other side that holds this one's content. */
static lockstep_status find(search *s, int side, size_t i, bool unpaired_only, hit *out) {
    *out = (hit){.tensor = SIZE_MAX, .nmse = INFINITY};
    LS_TRY(know(s, side, i));
    if (!is_telling(&s->sketches[side][i]))
        return LOCKSTEP_OK;
    LS_TRY(find_equal(s, side, i, unpaired_only, out));
    for (int pass = 0; pass < 4 && out->tensor == SIZE_MAX; pass++)
        try_others(s, side, i, unpaired_only, pass, out);
    return LOCKSTEP_OK;
}

/* --- results */

static lockstep_status add_find(search *s, const ls_weight_find *found) {
    ls_weights *w = s->w;
    void *array = w->finds;
    if (!ls_grow(&array, w->find_count, &w->find_capacity, sizeof *w->finds))
        return ls_fail(s->error, LOCKSTEP_NO_MEMORY, "out of memory");
    w->finds = array;
    w->finds[w->find_count++] = *found;
    return LOCKSTEP_OK;
}

static const char *keep_text(search *s, const char *text) {
    return *text != '\0' ? ls_arena_copy(&s->w->arena, text, strlen(text)) : NULL;
}

/* Whether the tensors are partners: unchanged, or changed as converters have to. Other transformed ones are only reported. */
static bool are_partners(const search *s, const hit *found, const size_t tensors[LS_SIDES]) {
    return found->change == 0 || ls_conversion_is_due(s->w, found->change, found->changed, tensors);
}

/* Pairs tensors whose names no rule covers, if they hold the same values. */
static lockstep_status pair_by_content(search *s) {
    ls_weights *w = s->w;
    for (size_t i = 0; i < w->sides[LS_CANDIDATE]->archive->tensor_count; i++) {
        hit best;
        if (w->paired[LS_CANDIDATE][i])
            continue;
        LS_TRY(find(s, LS_CANDIDATE, i, true, &best));
        if (best.tensor == SIZE_MAX || !are_partners(s, &best, (const size_t[]){best.tensor, i}))
            continue;
        ls_weight_pair pair = {.method = LS_METHOD_CONTENT, .part = {{.tensor = best.tensor, .axis = -1}, {.tensor = i, .axis = -1}},
                               .changes = best.change, .original = best.changed};
        LS_TRY(ls_weights_compare(w, &pair, s->error));
        if (!ls_weight_fails(&pair) && ls_weights_add_pair(w, &pair) == NULL)
            return ls_fail(s->error, LOCKSTEP_NO_MEMORY, "out of memory");
    }
    return LOCKSTEP_OK;
}

static lockstep_status find_elsewhere(search *s, int side) {
    for (size_t i = 0; i < s->w->sides[side]->archive->tensor_count; i++) {
        hit best;
        if (s->w->paired[side][i])
            continue;
        LS_TRY(find(s, side, i, false, &best));
        if (best.tensor != SIZE_MAX)
            LS_TRY(add_find(s, &(ls_weight_find){side, i, best.tensor, false, keep_text(s, best.text), best.nmse}));
    }
    return LOCKSTEP_OK;
}

static bool is_whole(const ls_weight_pair *p) { return p->part[0].axis < 0 && p->part[1].axis < 0; }

static lockstep_status explain_differences(search *s) {
    ls_weights *w = s->w;
    for (size_t i = 0; i < w->pair_count; i++) {
        ls_weight_pair *p = &w->pairs[i];
        hit best;
        if (!ls_weight_fails(p) || p->verdict == LS_VERDICT_UNSUPPORTED || ls_weight_has_cause(p) || !is_whole(p))
            continue;
        LS_TRY(find(s, LS_CANDIDATE, p->part[LS_CANDIDATE].tensor, false, &best));
        bool measured = p->verdict == LS_VERDICT_DIFFERS || p->verdict == LS_VERDICT_WORSE;
        if (best.tensor == SIZE_MAX || best.tensor == p->part[LS_REFERENCE].tensor || (measured && 10 * best.nmse > p->metrics.nmse))
            continue;
        const char *changed = keep_text(s, best.text);
        p->cause = (ls_cause){.id = "swapped-with", .sentence = "it holds the reference's {tensor}", .residual = best.nmse};
        ls_cause_set_text(&p->cause, "tensor", changed != NULL ? changed : tensor_of(s, LS_REFERENCE, best.tensor)->name);
    }
    return LOCKSTEP_OK;
}

/* --- duplicates */

typedef struct entry {
    uint64_t hash, elements;
    size_t tensor;
} entry;

static int by_hash(const void *a, const void *b) {
    const entry *x = a, *y = b;
    if (x->hash != y->hash)
        return x->hash < y->hash ? -1 : 1;
    return x->elements != y->elements ? (x->elements < y->elements ? -1 : 1) : (x->tensor > y->tensor) - (x->tensor < y->tensor);
}

/* A tensor that has no partner or differs from it is reported if another one of its own side
 * holds the same values. */
static bool is_suspect(const search *s, int side, size_t i) {
    size_t pair = s->pair_of[side][i];
    return !s->w->paired[side][i] || (pair > 0 && ls_weight_fails(&s->w->pairs[pair - 1]));
}

static lockstep_status report_group(search *s, int side, const entry *group, size_t count) {
    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k < count && is_suspect(s, side, group[i].tensor); k++) {
            if (k == i || (k > i && is_suspect(s, side, group[k].tensor)))
                continue;
            LS_TRY(add_find(s, &(ls_weight_find){side, group[i].tensor, group[k].tensor, true, NULL, 0}));
            break;
        }
    return LOCKSTEP_OK;
}

static lockstep_status find_duplicates(search *s, int side) {
    size_t all = s->w->sides[side]->archive->tensor_count, count = 0;
    entry *entries = calloc(all + 1, sizeof *entries);
    if (entries == NULL)
        return ls_fail(s->error, LOCKSTEP_NO_MEMORY, "out of memory");
    for (size_t i = 0; i < all; i++)
        if (is_telling(&s->sketches[side][i]) && s->sketches[side][i].elements > 1)
            entries[count++] = (entry){s->sketches[side][i].hash, s->sketches[side][i].elements, i};
    qsort(entries, count, sizeof *entries, by_hash);
    lockstep_status status = LOCKSTEP_OK;
    for (size_t i = 0, end; i < count && status == LOCKSTEP_OK; i = end) {
        for (end = i + 1; end < count && entries[end].hash == entries[i].hash && entries[end].elements == entries[i].elements;)
            end++;
        if (end - i > 1)
            status = report_group(s, side, entries + i, end - i);
    }
    free(entries);
    return status;
}

/* --- */

static lockstep_status prepare(search *s) {
    for (int side = 0; side < LS_SIDES; side++) {
        size_t count = s->w->sides[side]->archive->tensor_count;
        s->sketches[side] = calloc(count + 1, sizeof *s->sketches[side]);
        s->pair_of[side] = calloc(count + 1, sizeof *s->pair_of[side]);
        if (s->sketches[side] == NULL || s->pair_of[side] == NULL)
            return ls_fail(s->error, LOCKSTEP_NO_MEMORY, "out of memory");
    }
    for (size_t i = 0; i < s->w->pair_count; i++) {
        const ls_weight_pair *p = &s->w->pairs[i];
        if (p->verdict >= LS_VERDICT_SHAPE || ls_weight_scheme(s->w, p) != NULL || !is_whole(p) || p->padding[0] + p->padding[1] > 0)
            continue;
        for (int side = 0; side < LS_SIDES; side++) {
            const struct ls_side_stats *seen = side == LS_REFERENCE ? &p->metrics.reference : &p->metrics.candidate;
            if (side != p->original || p->changes == 0)
                s->sketches[side][p->part[side].tensor] = sketch_of(seen, p->metrics.elements);
            s->pair_of[side][p->part[side].tensor] = i + 1;
        }
    }
    return LOCKSTEP_OK;
}

static lockstep_status run(search *s) {
    LS_TRY(prepare(s));
    LS_TRY(pair_by_content(s));
    LS_TRY(ls_weights_pair_parts(s->w, s->error));
    LS_TRY(explain_differences(s));
    for (int side = 0; side < LS_SIDES; side++) {
        LS_TRY(find_elsewhere(s, side));
        LS_TRY(find_duplicates(s, side));
    }
    return LOCKSTEP_OK;
}

lockstep_status ls_weights_search(ls_weights *weights, lockstep_error *error) {
    search s = {.w = weights, .error = error};
    lockstep_status status = run(&s);
    for (int side = 0; side < LS_SIDES; side++) {
        free(s.sketches[side]);
        free(s.pair_of[side]);
    }
    return status;
}

/* --- pairs by content whose names contradict them */

/* Where a part of a fused tensor begins; experts have their numbers, which the names have, too. */
static unsigned long long place_of(const ls_weight_pair *p, int side) { return p->part[side].index ? 0 : p->part[side].first; }

/* The names of both sides, and what was done to make them partners. */
static size_t put_templates(const ls_weights *w, const ls_weight_pair *p, char out[1100]) {
    char a[LS_WEIGHT_TEMPLATE], b[LS_WEIGHT_TEMPLATE];
    ls_weight_put_template(w->labels[LS_REFERENCE].items[p->part[LS_REFERENCE].tensor].name, a);
    ls_weight_put_template(w->labels[LS_CANDIDATE].items[p->part[LS_CANDIDATE].tensor].name, b);
    return (size_t)snprintf(out, 1100, "%s\n%s %u %d %llu %llu", a, b, p->changes, p->original, place_of(p, LS_REFERENCE), place_of(p, LS_CANDIDATE));
}

static const char *pair_name(const ls_weights *w, const ls_weight_pair *p, int side) { return w->labels[side].items[p->part[side].tensor].name; }

/* Whether one side counts layers from 0 and the other from 1, consistently in all pairs. */
static bool is_renumbered(const ls_weights *w) {
    long lowest[LS_SIDES] = {-1, -1}, shift = 0;
    for (size_t i = 0; i < w->pair_count; i++) {
        const ls_weight_pair *p = &w->pairs[i];
        long layers[LS_SIDES] = {ls_weight_layer(pair_name(w, p, 0)), ls_weight_layer(pair_name(w, p, 1))};
        if (layers[0] < 0 || layers[1] < 0)
            continue;
        if (lowest[0] >= 0 && layers[1] - layers[0] != shift)
            return false;
        shift = layers[1] - layers[0];
        for (int side = 0; side < LS_SIDES; side++)
            lowest[side] = lowest[side] < 0 || layers[side] < lowest[side] ? layers[side] : lowest[side];
    }
    return (lowest[0] == 0 && lowest[1] == 1) || (lowest[0] == 1 && lowest[1] == 0);
}

/* A pair contradicts the other layers if the same name has another partner there: the pairing
 * that most layers have is taken as correct. */
static lockstep_status count_templates(const ls_weights *w, ls_map *counts, ls_map *most, lockstep_error *error) {
    for (size_t i = 0; i < w->pair_count; i++) {
        char text[1100];
        size_t length = put_templates(w, &w->pairs[i], text);
        uint64_t *count = ls_map_at(counts, text, length), *best = ls_map_at(most, text, strcspn(text, "\n"));
        if (count == NULL || best == NULL)
            return ls_fail(error, LOCKSTEP_NO_MEMORY, "out of memory");
        ++*count;
        *best = *count > *best ? *count : *best;
    }
    return LOCKSTEP_OK;
}

lockstep_status ls_weights_find_contradictions(ls_weights *w, lockstep_error *error) {
    ls_map counts = {0}, most = {0};
    bool renumbered = is_renumbered(w);
    lockstep_status status = count_templates(w, &counts, &most, error);
    for (size_t i = 0; i < w->pair_count && status == LOCKSTEP_OK; i++) {
        ls_weight_pair *p = &w->pairs[i];
        char text[1100];
        if (p->method != LS_METHOD_CONTENT)
            continue;
        size_t length = put_templates(w, p, text);
        const uint64_t *count = ls_map_find(&counts, text, length), *best = ls_map_find(&most, text, strcspn(text, "\n"));
        p->contradiction = ls_weight_names_contradict(pair_name(w, p, 0), pair_name(w, p, 1));
        if (p->contradiction != NULL && renumbered && strcmp(p->contradiction, "the layer") == 0)
            p->contradiction = NULL;
        if (p->contradiction == NULL)
            p->contradiction = ls_conversion_missing(w, p);
        if (p->contradiction == NULL && count != NULL && best != NULL && *count < *best)
            p->contradiction = "the same name in other layers";
    }
    ls_map_done(&counts);
    ls_map_done(&most);
    return status;
}
