/* Which weights correspond, by name. A rule gives each of its tensors a key: the checkpoint's
 * name for it, the layer, the expert and the suffix (".weight"). Tensors of both sides with
 * the same key are partners, whichever spelling each side uses. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/grow.h"
#include "base/map.h"
#include "base/pattern.h"
#include "checkpoint/weight_steps.h"

enum { NAME = 512 };

/* The same module under the names that wrappers give it: a name that begins with
 * `from` is tried as if it began with `to`. */
static const struct {
    const char *from, *to;
} wrappers[] = {
    {"", ""},
    {"", "model."}, /* the base model, saved by itself */
    {"model.language_model.", "model."},
    {"language_model.", ""},
    {"language_model.", "model."},
    {"model.", ""},
    {"bert.", ""},
    {"transformer.", ""},
    {"vision_tower.", "vision_tower.vision_model."},
    {"vision_model.", "vision_tower.vision_model."},
    {"0.auto_model.", ""},
    {"0.model.", ""},
};
enum { WRAPPERS = sizeof wrappers / sizeof wrappers[0] };

typedef struct matching {
    ls_weights *w;
    ls_map keys;       /* key -> reference tensor + 1 */
    regex_t tensors;
    bool filtered;
    lockstep_error *error;
} matching;

/* --- keys */

typedef struct key {
    size_t rule;
    int layer, expert;
    const char *rest;
    bool hf;
} key;

static bool match_wrapped(const char *const *templates, const char *name, key *out) {
    char canonical[NAME];
    for (size_t i = 0; i < WRAPPERS; i++) {
        size_t from = strlen(wrappers[i].from), to = strlen(wrappers[i].to), length = strlen(name);
        if (strncmp(name, wrappers[i].from, from) != 0 || to + length - from >= sizeof canonical)
            continue;
        memcpy(canonical, wrappers[i].to, to);
        memcpy(canonical + to, name + from, length - from + 1);
        for (const char *const *t = templates; *t != NULL; t++) {
            const char *rest = ls_rules_match(*t, canonical, &out->layer, &out->expert);
            if (rest != NULL) {
                out->rest = name + length - strlen(rest);
                return true;
            }
        }
    }
    return false;
}

bool ls_weight_is_left_out(const ls_weights *w, const char *name) {
    key k;
    return w->preset.left_out != NULL && match_wrapped(w->preset.left_out, name, &k);
}

/* The key that a rule gives the name, if it fits. */
static bool key_of(const ls_weights *w, size_t rule, const char *name, key *out) {
    const ls_weight_rule *r = &w->preset.weights[rule];
    *out = (key){.rule = rule};
    for (const char *const *t = r->gguf; *t != NULL; t++)
        if ((out->rest = ls_rules_match(*t, name, &out->layer, &out->expert)) != NULL)
            return true;
    out->hf = true;
    return match_wrapped(r->hf, name, out);
}

static size_t key_text(const ls_weights *w, const key *k, char *out, size_t capacity) {
    const ls_weight_rule *r = &w->preset.weights[k->rule];
    int n = snprintf(out, capacity, "%s%d %d %s %s", r->clone ? "clone " : "", k->layer, k->expert, r->hf[0], k->rest);
    return n < 0 ? 0 : (size_t)n < capacity ? (size_t)n : capacity - 1;
}

/* --- pairs */

ls_weight_pair *ls_weights_add_pair(ls_weights *w, const ls_weight_pair *pair) {
    void *array = w->pairs;
    if (!ls_grow(&array, w->pair_count, &w->pair_capacity, sizeof *w->pairs))
        return NULL;
    w->pairs = array;
    for (int side = 0; side < LS_SIDES; side++)
        w->paired[side][pair->part[side].tensor] = true;
    w->by_method[pair->method]++;
    w->pairs[w->pair_count] = *pair;
    return &w->pairs[w->pair_count++];
}

static lockstep_status add(matching *m, const ls_weight_pair *pair) {
    const char *name = m->w->sides[LS_CANDIDATE]->archive->tensors[pair->part[LS_CANDIDATE].tensor].name;
    if (m->filtered && regexec(&m->tensors, name, 0, NULL, 0) != 0) {
        for (int side = 0; side < LS_SIDES; side++)
            m->w->paired[side][pair->part[side].tensor] = true; /* has a partner: not missing */
        return LOCKSTEP_OK;
    }
    return ls_weights_add_pair(m->w, pair) != NULL ? LOCKSTEP_OK : ls_fail(m->error, LOCKSTEP_NO_MEMORY, "out of memory");
}

static const char *label(const ls_weights *w, int side, size_t i) { return w->labels[side].items[i].name; }

/* Has no partner yet, and is not just a scale that belongs to codes. */
static bool is_open(const ls_weights *w, int side, size_t i) {
    const ls_weight_label *l = &w->labels[side].items[i];
    return !w->paired[side][i] && (l->scheme == NULL || l->is_codes);
}

static ls_weight_part whole(size_t tensor) { return (ls_weight_part){.tensor = tensor, .axis = -1}; }

static lockstep_status pair_equal_names(matching *m) {
    const lockstep_archive *reference = m->w->sides[LS_REFERENCE]->archive, *candidate = m->w->sides[LS_CANDIDATE]->archive;
    for (size_t i = 0; i < candidate->tensor_count; i++) {
        size_t other = ls_archive_find(reference, candidate->tensors[i].name);
        ls_weight_pair pair = {.method = LS_METHOD_NAME, .part = {whole(other), whole(i)}};
        if (other != SIZE_MAX)
            LS_TRY(add(m, &pair));
    }
    return LOCKSTEP_OK;
}

/* The same, without the components that wrappers insert. */
static lockstep_status pair_equal_labels(matching *m) {
    const ls_weights *w = m->w;
    for (size_t i = 0; i < w->sides[LS_CANDIDATE]->archive->tensor_count; i++) {
        size_t other = is_open(w, LS_CANDIDATE, i) ? ls_weight_labels_find(&w->labels[LS_REFERENCE], label(w, LS_CANDIDATE, i)) : SIZE_MAX;
        ls_weight_pair pair = {.method = LS_METHOD_NAME, .part = {whole(other), whole(i)}};
        if (other != SIZE_MAX && is_open(w, LS_REFERENCE, other))
            LS_TRY(add(m, &pair));
    }
    return LOCKSTEP_OK;
}

static lockstep_status index_reference(matching *m) {
    const lockstep_archive *a = m->w->sides[LS_REFERENCE]->archive;
    for (size_t rule = 0; rule < m->w->preset.weight_count; rule++)
        for (size_t i = 0; i < a->tensor_count; i++) {
            char text[NAME];
            key k;
            if (m->w->preset.weights[rule].form != LS_WEIGHT_SINGLE || !is_open(m->w, LS_REFERENCE, i) ||
                !key_of(m->w, rule, label(m->w, LS_REFERENCE, i), &k))
                continue;
            uint64_t *at = ls_map_at(&m->keys, text, key_text(m->w, &k, text, sizeof text));
            if (at == NULL)
                return ls_fail(m->error, LOCKSTEP_NO_MEMORY, "out of memory");
            if (*at == 0)
                *at = i + 1;
        }
    return LOCKSTEP_OK;
}

/* The key of the reference's tensor, from the first rule that gives it. */
static void key_again(const ls_weights *w, const char *name, const ls_weight_rule *like, key *out) {
    for (size_t rule = 0; rule < w->preset.weight_count; rule++) {
        const ls_weight_rule *r = &w->preset.weights[rule];
        if (r->form == LS_WEIGHT_SINGLE && r->clone == like->clone && strcmp(r->hf[0], like->hf[0]) == 0 && key_of(w, rule, name, out))
            return;
    }
}

/* The changes that a converter made to a side's tensor. */
static unsigned changes_of(const ls_weights *w, const key *k) { return k->hf ? 0 : w->preset.weights[k->rule].changes; }

/* If only one side was changed, the same changes are applied to the other. */
static void choose_changes(const ls_weights *w, const key keys[LS_SIDES], ls_weight_pair *pair) {
    unsigned reference = changes_of(w, &keys[LS_REFERENCE]), candidate = changes_of(w, &keys[LS_CANDIDATE]);
    if (reference == candidate || (reference != 0 && candidate != 0))
        return;
    pair->changes = reference | candidate;
    pair->original = reference == 0 ? LS_REFERENCE : LS_CANDIDATE;
}

/* Clones are made by converters, so one side is a checkpoint and the other a GGUF file. */
static bool may_pair(const ls_weights *w, const size_t tensors[LS_SIDES], const key keys[LS_SIDES]) {
    const int original = keys[LS_REFERENCE].hf ? LS_REFERENCE : LS_CANDIDATE;
    if (w->preset.weights[keys[0].rule].clone || w->preset.weights[keys[1].rule].clone)
        return keys[0].hf != keys[1].hf && !w->paired[1 - original][tensors[1 - original]];
    return !w->paired[LS_REFERENCE][tensors[LS_REFERENCE]] && !w->paired[LS_CANDIDATE][tensors[LS_CANDIDATE]];
}

static lockstep_status pair_by_rule(matching *m, size_t rule, size_t candidate) {
    const ls_weights *w = m->w;
    char text[NAME];
    key keys[LS_SIDES] = {{0}};
    if (!key_of(w, rule, label(w, LS_CANDIDATE, candidate), &keys[LS_CANDIDATE]))
        return LOCKSTEP_OK;
    const uint64_t *at = ls_map_find(&m->keys, text, key_text(w, &keys[LS_CANDIDATE], text, sizeof text));
    if (at == NULL)
        return LOCKSTEP_OK;
    const size_t tensors[LS_SIDES] = {*at - 1, candidate};
    key_again(w, label(w, LS_REFERENCE, tensors[LS_REFERENCE]), &w->preset.weights[rule], &keys[LS_REFERENCE]);
    if (!may_pair(w, tensors, keys))
        return LOCKSTEP_OK;
    ls_weight_pair pair = {.method = LS_METHOD_PRESET, .part = {whole(tensors[LS_REFERENCE]), whole(candidate)}};
    choose_changes(w, keys, &pair);
    return add(m, &pair);
}

/* Clones come last, when the tensors that they are made from already have their partners. */
static lockstep_status pair_single(matching *m) {
    const ls_weights *w = m->w;
    const lockstep_archive *a = w->sides[LS_CANDIDATE]->archive;
    LS_TRY(index_reference(m));
    for (int clones = 0; clones < 2; clones++)
        for (size_t i = 0; i < a->tensor_count; i++)
            for (size_t rule = 0; rule < w->preset.weight_count; rule++)
                if (w->preset.weights[rule].form == LS_WEIGHT_SINGLE && w->preset.weights[rule].clone == (clones == 1) &&
                    (clones == 1 || is_open(w, LS_CANDIDATE, i)))
                    LS_TRY(pair_by_rule(m, rule, i));
    return LOCKSTEP_OK;
}

/* --- fused and split weights */

/* The tensor that a template names on a side, or SIZE_MAX. */
static size_t find_part(const ls_weight_labels *labels, const char *name_template, bool hf, const key *k, int expert) {
    char stem[NAME], name[NAME];
    if (!ls_rules_expand(name_template, k->layer, expert, stem, sizeof stem))
        return SIZE_MAX;
    for (size_t i = 0; i < (hf ? WRAPPERS : 1); i++) {
        size_t to = strlen(wrappers[i].to);
        if (strncmp(stem, wrappers[i].to, to) != 0)
            continue;
        snprintf(name, sizeof name, "%s%s%s", wrappers[i].from, stem + to, k->rest);
        size_t found = ls_weight_labels_find(labels, name);
        if (found != SIZE_MAX)
            return found;
    }
    return SIZE_MAX;
}

typedef struct fusion {
    const ls_weight_rule *rule;
    int side; /* of the fused tensor */
    size_t fused;
    bool fused_is_hf;
    key k;
} fusion;

static lockstep_status add_part(matching *m, const fusion *f, size_t part, uint64_t first, uint64_t count, bool index) {
    ls_weight_pair pair = {.method = LS_METHOD_PRESET, .changes = f->rule->changes};
    pair.part[f->side] = (ls_weight_part){.tensor = f->fused, .axis = index ? 0 : f->rule->axis, .first = first, .count = count, .index = index};
    pair.part[1 - f->side] = whole(part);
    pair.original = f->fused_is_hf ? f->side : 1 - f->side;
    return add(m, &pair);
}

/* Stops at the first missing part: the rest of the fused tensor has no partner, and neither
 * do the parts of the next one. */
static lockstep_status pair_parts(matching *m, const fusion *f) {
    const lockstep_archive *parts = m->w->sides[1 - f->side]->archive;
    const ls_tensor *fused = &m->w->sides[f->side]->archive->tensors[f->fused];
    const char *const *templates = f->fused_is_hf ? f->rule->gguf : f->rule->hf;
    bool experts = strstr(templates[0], "{E}") != NULL;
    bool transposed = (f->rule->changes & LS_CHANGE_TRANSPOSE) != 0 && f->fused_is_hf && fused->rank == 2;
    int axis = transposed ? 1 - f->rule->axis : f->rule->axis;
    if (fused->rank <= axis)
        return LOCKSTEP_OK;
    for (uint64_t at = 0, k = 0; at < fused->shape[experts ? 0 : axis]; k++) {
        if (!experts && templates[k] == NULL)
            break;
        size_t part = find_part(&m->w->labels[1 - f->side], templates[experts ? 0 : k], !f->fused_is_hf, &f->k, experts ? (int)k : f->k.expert);
        if (part == SIZE_MAX || m->w->paired[1 - f->side][part])
            break;
        const ls_tensor *t = &parts->tensors[part];
        uint64_t count = experts ? 1 : t->rank > f->rule->axis ? t->shape[f->rule->axis] : 1;
        if (count == 0 || count > fused->shape[experts ? 0 : axis] - at)
            break;
        LS_TRY(add_part(m, f, part, at, count, experts));
        at += count;
    }
    return LOCKSTEP_OK;
}

static lockstep_status pair_fused(matching *m) {
    const ls_weights *w = m->w;
    for (size_t rule = 0; rule < w->preset.weight_count; rule++) {
        const ls_weight_rule *r = &w->preset.weights[rule];
        if (r->form == LS_WEIGHT_SINGLE)
            continue;
        for (int side = 0; side < LS_SIDES; side++)
            for (size_t i = 0; i < w->sides[side]->archive->tensor_count; i++) {
                const char *name = label(w, side, i), *const one[] = {r->hf[0], NULL};
                fusion f = {.rule = r, .side = side, .fused = i, .fused_is_hf = r->form == LS_WEIGHT_SPLIT};
                if (!is_open(w, side, i))
                    continue;
                if (f.fused_is_hf ? match_wrapped(one, name, &f.k)
                                  : (f.k.rest = ls_rules_match(r->gguf[0], name, &f.k.layer, &f.k.expert)) != NULL)
                    LS_TRY(pair_parts(m, &f));
            }
    }
    return LOCKSTEP_OK;
}

static int by_candidate(const void *a, const void *b) {
    const ls_weight_part *x = &((const ls_weight_pair *)a)->part[LS_CANDIDATE], *y = &((const ls_weight_pair *)b)->part[LS_CANDIDATE];
    if (x->tensor != y->tensor)
        return x->tensor < y->tensor ? -1 : 1;
    const ls_weight_part *u = &((const ls_weight_pair *)a)->part[LS_REFERENCE], *v = &((const ls_weight_pair *)b)->part[LS_REFERENCE];
    return x->first != y->first ? (x->first < y->first ? -1 : 1) : (u->first > v->first) - (u->first < v->first);
}

static lockstep_status add_beginning(void *context, const ls_weight_pair *pair) { return add(context, pair); }

static lockstep_status pair_all(matching *m) {
    LS_TRY(pair_equal_names(m));
    LS_TRY(pair_equal_labels(m));
    LS_TRY(pair_single(m));
    LS_TRY(pair_fused(m));
    LS_TRY(ls_weights_pair_beginnings(m->w, add_beginning, m, m->error));
    if (m->w->pair_count > 0)
        qsort(m->w->pairs, m->w->pair_count, sizeof *m->w->pairs, by_candidate);
    return LOCKSTEP_OK;
}

lockstep_status ls_weights_pair(ls_weights *weights, const char *tensors, lockstep_error *error) {
    matching m = {.w = weights, .filtered = tensors != NULL, .error = error};
    if (m.filtered && !ls_pattern_compile(tensors, &m.tensors))
        return ls_pattern_refused(error, "--tensors", tensors);
    lockstep_status status = pair_all(&m);
    ls_map_done(&m.keys);
    if (m.filtered)
        regfree(&m.tensors);
    return status;
}
