/* Turns results into findings, sorted with the most suspicious first. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/escape.h"
#include "base/grow.h"
#include "base/map.h"
#include "checkpoint/checkpoint_diff.h"
#include "quantized/quantized.h"
#include "checkpoint/engine_shapes.h"
#include "checkpoint/fine_tune.h"
#include "checkpoint/model_parts.h"

enum { TITLE = 300, LINE = 1200 };

typedef struct judging {
    ls_checkpoint_diff *d;
    unsigned parts[LS_SIDES];       /* bits of ls_model_part: the parts that a side holds */
    uint64_t elsewhere[LS_SIDES];   /* tensors of a part that the other side's file doesn't hold */
    uint64_t elsewhere_elements[LS_SIDES];
    uint64_t unread_elements[LS_SIDES]; /* of tensors that the other side may hold as codes */
    ls_map codes[LS_SIDES];         /* "LAYER MODULE" of codes without a partner */
    bool fine_tune;
    lockstep_error *error;
} judging;

static lockstep_status add(judging *j, ls_finding_kind kind, bool fails, double weight, size_t pair, const char *format, ...)
    __attribute__((format(printf, 6, 7)));
static lockstep_status add(judging *j, ls_finding_kind kind, bool fails, double weight, size_t pair, const char *format, ...) {
    ls_checkpoint_diff *d = j->d;
    char text[LINE];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    void *array = d->findings;
    if (!ls_grow(&array, d->finding_count, &d->finding_capacity, sizeof *d->findings))
        return ls_fail(j->error, LOCKSTEP_NO_MEMORY, "out of memory");
    d->findings = array;
    const char *kept = ls_arena_copy(&d->arena, text, strlen(text));
    if (kept == NULL)
        return ls_fail(j->error, LOCKSTEP_NO_MEMORY, "out of memory");
    bool gap = kind == LS_FINDING_UNSUPPORTED || kind == LS_FINDING_UNREAD;
    d->findings[d->finding_count++] = (ls_finding){kind, fails, gap, weight, kept, pair};
    return LOCKSTEP_OK;
}

static const char *const side_names[LS_SIDES] = {"reference", "candidate"};

static void escaped(const char *text, char *out, size_t capacity) { ls_escape(text, strlen(text), out, capacity); }

static void tensor_name(const judging *j, int side, size_t tensor, char out[TITLE]) {
    escaped(j->d->sides[side].archive->tensors[tensor].name, out, TITLE);
}

static void part_title(const judging *j, const ls_weight_pair *p, int side, char out[TITLE]) {
    char title[TITLE];
    ls_weight_title(&j->d->weights, side, &p->part[side], title, sizeof title);
    escaped(title, out, TITLE);
}

/* --- configuration and vocabulary */

static lockstep_status judge_settings(judging *j) {
    const ls_settings *s = &j->d->settings;
    for (int side = 0; side < LS_SIDES; side++)
        if (j->d->sides[side].config_trouble != NULL)
            LS_TRY(add(j, LS_FINDING_UNREAD, false, 1, SIZE_MAX, "the configuration of the %s was not compared: %s", side_names[side],
                       j->d->sides[side].config_trouble));
    for (size_t i = 0; i < s->count; i++) {
        const ls_setting *item = &s->items[i];
        char text[2][LS_VALUE_TEXT * 2], key[2][LS_VALUE_TEXT];
        for (int side = 0; side < LS_SIDES; side++) {
            escaped(item->sides[side].text, text[side], sizeof text[side]);
            escaped(item->sides[side].key != NULL ? item->sides[side].key : "not given: the default", key[side], sizeof key[side]);
        }
        if (item->verdict == LS_SETTING_DIFFERS)
            LS_TRY(add(j, LS_FINDING_CONFIG, true, 0, SIZE_MAX, "%s: %s in the reference (%s), %s in the candidate (%s)", item->meaning,
                       text[0], key[0], text[1], key[1]));
    }
    return LOCKSTEP_OK;
}

static lockstep_status judge_vocabulary(judging *j) {
    static const ls_finding_kind kinds[] = {LS_FINDING_REMARK, LS_FINDING_VOCAB, LS_FINDING_UNREAD};
    const ls_vocabulary *v = &j->d->vocabulary;
    for (size_t i = 0; i < v->finding_count; i++)
        LS_TRY(add(j, kinds[v->findings[i].kind], v->findings[i].kind == LS_VOCABULARY_DIFFERS, 0, SIZE_MAX, "%s",
                   v->findings[i].text));
    return LOCKSTEP_OK;
}

/* --- tensors without a partner */

static size_t put_place(const char *name, char out[80]) { return (size_t)snprintf(out, 80, "%ld %s", ls_weight_layer(name), ls_model_module_of(name)); }

static lockstep_status index_codes(judging *j) {
    const ls_weights *w = &j->d->weights;
    for (int side = 0; side < LS_SIDES; side++)
        for (size_t i = 0; i < w->sides[side]->archive->tensor_count; i++) {
            char place[80];
            const ls_weight_label *label = &w->labels[side].items[i];
            if (w->paired[side][i] || !label->is_codes)
                continue;
            uint64_t *at = ls_map_at(&j->codes[side], place, put_place(label->name, place));
            if (at == NULL)
                return ls_fail(j->error, LOCKSTEP_NO_MEMORY, "out of memory");
            *at = 1;
        }
    return LOCKSTEP_OK;
}

/* Whether the other side may hold it as codes, possibly fused with other tensors. */
static bool may_be_codes(const judging *j, int side, size_t tensor) {
    char place[80];
    size_t length = put_place(j->d->weights.labels[side].items[tensor].name, place);
    return ls_map_find(&j->codes[1 - side], place, length) != NULL;
}

/* Buffers that are computed when a model is constructed: files may or may not have them. */
static bool is_computed(const char *name) {
    static const char *const names[] = {"rotary_emb.inv_freq", "position_ids", "masked_bias", "num_batches_tracked", "rope_freqs.weight", "rope_factors_long.weight", "rope_factors_short.weight",
                                        "token_type_ids"};
    size_t length = strlen(name);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        size_t suffix = strlen(names[i]);
        if (length >= suffix && strcmp(name + length - suffix, names[i]) == 0)
            return true;
    }
    return false;
}

/* A scale that belongs to a tensor in NVFP4, and was applied with it. */
static bool is_scale(const lockstep_archive *a, const char *name) {
    static const char *const ends[] = {".weight.scale", ".weight_scale", ".input_scale", ".scale", "_scale"};
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        char weight[300];
        size_t length = strlen(name), suffix = strlen(ends[i]);
        if (length <= suffix || strcmp(name + length - suffix, ends[i]) != 0)
            continue;
        snprintf(weight, sizeof weight, "%.*s.weight", (int)(length - suffix), name);
        size_t found = ls_archive_find(a, weight);
        if (found != SIZE_MAX && a->tensors[found].dtype == LOCKSTEP_NVFP4)
            return true;
    }
    return false;
}

static const ls_weight_find *find_of(const ls_weights *w, int side, size_t tensor, bool duplicate) {
    for (size_t i = 0; i < w->find_count; i++)
        if (w->finds[i].side == side && w->finds[i].tensor == tensor && w->finds[i].duplicate == duplicate)
            return &w->finds[i];
    return NULL;
}

/* What is in one checkpoint alone is only looked at by itself. */
static lockstep_status judge_activation_scale(judging *j, int side, size_t tensor, const char *name) {
    ls_view view;
    double value = NAN;
    const lockstep_archive *archive = j->d->weights.sides[side]->archive;
    if (ls_archive_view(archive, tensor, &view, NULL) == LOCKSTEP_OK && archive->tensors[tensor].elements > 0)
        ls_view_read_f64(&view, 0, 1, &value);
    const bool scales = strstr(archive->tensors[tensor].name, "zero_point") == NULL;
    if (isfinite(value) && (value != 0 || !scales))
        return LOCKSTEP_OK;
    return add(j, LS_FINDING_NONFINITE, true, INFINITY, SIZE_MAX, "%s of the %s is %g: activations can't be scaled by that", name, side == LS_REFERENCE ? "reference" : "candidate", value);
}

static lockstep_status judge_unpaired(judging *j, int side, size_t tensor) {
    const ls_weights *w = &j->d->weights;
    const ls_weight_find *twin = find_of(w, side, tensor, true), *found = find_of(w, side, tensor, false);
    char name[TITLE], other[TITLE] = "", shape[LS_SHAPE_TEXT];
    const ls_tensor *t = &w->sides[side]->archive->tensors[tensor];
    tensor_name(j, side, tensor, name);
    ls_shape_text(t->rank, t->shape, shape);
    if (w->labels[side].items[tensor].scheme != NULL)
        return LOCKSTEP_OK; /* judge_schemes reports it */
    if (may_be_codes(j, side, tensor)) {
        j->unread_elements[side] += t->elements;
        return LOCKSTEP_OK; /* judge_schemes reports this, too */
    }
    ls_model_part part = ls_model_part_of(w->labels[side].items[tensor].name);
    if (w->sides[1 - side]->gguf && j->parts[1 - side] != 0 && (j->parts[1 - side] & part) == 0) {
        j->elsewhere[side]++;
        j->elsewhere_elements[side] += t->elements;
        return LOCKSTEP_OK; /* judge_elsewhere reports it */
    }
    if (w->sides[side]->archive->is_adapter != w->sides[1 - side]->archive->is_adapter)
        return LOCKSTEP_OK; /* judge_adapters reports it */
    if (is_computed(t->name))
        return add(j, LS_FINDING_REMARK, false, 0, SIZE_MAX, "only in the %s: %s %s, which is computed, not trained",
                   side == LS_REFERENCE ? "reference" : "candidate", name, shape);
    if (is_scale(w->sides[side]->archive, t->name))
        return add(j, LS_FINDING_REMARK, false, 0, SIZE_MAX, "only in the %s: %s %s, the scale of a tensor in nvfp4",
                   side == LS_REFERENCE ? "reference" : "candidate", name, shape);
    if (ls_quantized_is_of_activations(t->name))
        return judge_activation_scale(j, side, tensor, name);
    if (ls_weight_is_left_out(w, w->labels[side].items[tensor].name) && w->sides[1 - side]->gguf)
        return add(j, LS_FINDING_REMARK, false, 0, SIZE_MAX, "only in the %s: %s %s, which GGUF files don't have",
                   side == LS_REFERENCE ? "reference" : "candidate", name, shape);
    if (twin != NULL) {
        tensor_name(j, side, twin->other, other);
        return add(j, LS_FINDING_REMARK, false, 0, SIZE_MAX, "only in the %s: %s %s, which has the same content as its %s (tied)",
                   side == LS_REFERENCE ? "reference" : "candidate", name, shape, other);
    }
    if (found != NULL && found->text != NULL)
        escaped(found->text, other, sizeof other);
    else if (found != NULL)
        tensor_name(j, 1 - side, found->other, other);
    return add(j, side == LS_REFERENCE ? LS_FINDING_MISSING : LS_FINDING_EXTRA, true, (double)t->elements, SIZE_MAX,
               "only in the %s: %s %s %s%s%s%s", side == LS_REFERENCE ? "reference" : "candidate", name, shape, t->file_dtype,
               found != NULL ? " (= " : "", other, found != NULL ? side == LS_REFERENCE ? " of the candidate)" : " of the reference)" : "");
}

static lockstep_status judge_all_unpaired(judging *j) {
    const ls_weights *w = &j->d->weights;
    for (int side = 0; side < LS_SIDES; side++)
        for (size_t i = 0; i < w->sides[side]->archive->tensor_count; i++)
            if (!w->paired[side][i])
                LS_TRY(judge_unpaired(j, side, i));
    return LOCKSTEP_OK;
}

/* A GGUF file without towers, or with only towers, is still complete. */
static lockstep_status judge_elsewhere(judging *j) {
    for (int side = 0; side < LS_SIDES; side++)
        if (j->elsewhere[side] > 0) {
            bool text = (j->parts[1 - side] & LS_PART_TEXT) != 0;
            LS_TRY(add(j, LS_FINDING_REMARK, false, 3, SIZE_MAX, "only the %s was compared, because the %s's GGUF file holds nothing else: %llu tensors of the %s's %s are not in it",
                       text ? "text model" : "image and audio part", side_names[1 - side], (unsigned long long)j->elsewhere[side], side_names[side],
                       text ? "image and audio part" : "text model"));
        }
    return LOCKSTEP_OK;
}

/* Values may all be there, and the engine still can't use the tensor. */
static lockstep_status judge_engine_shapes(judging *j) {
    for (int side = 0; side < LS_SIDES; side++) {
        const ls_checkpoint *c = j->d->weights.sides[side];
        const char *trouble = NULL;
        size_t count = 0, first = 0;
        char name[TITLE], shape[LS_SHAPE_TEXT];
        for (size_t i = 0; c->gguf && i < c->archive->tensor_count; i++) {
            const char *own = ls_engine_shape_trouble(c->architecture, &c->archive->tensors[i]);
            if (own == NULL)
                continue;
            first = count++ == 0 ? i : first;
            trouble = own;
        }
        if (count == 0)
            continue;
        tensor_name(j, side, first, name);
        ls_shape_text(c->archive->tensors[first].rank, c->archive->tensors[first].shape, shape);
        LS_TRY(add(j, LS_FINDING_SHAPE, true, INFINITY, SIZE_MAX, "%zu tensor%s of the %s, the first %s %s: %s", count, count == 1 ? "" : "s", side_names[side], name, shape, trouble));
    }
    return LOCKSTEP_OK;
}

static lockstep_status judge_adapters(judging *j) {
    const ls_weights *w = &j->d->weights;
    for (int side = 0; side < LS_SIDES; side++)
        if (w->sides[side]->archive->is_adapter && !w->sides[1 - side]->archive->is_adapter)
            LS_TRY(add(j, LS_FINDING_UNREAD, false, 3, SIZE_MAX, "the %s is an adapter, the %s a model: an adapter's tensors are not weights and were not compared. "
                       "Merge it first (peft: merge_and_unload(), then save_pretrained)", side_names[side], side_names[1 - side]));
    return LOCKSTEP_OK;
}

/* Hints about how the names were paired. */
static lockstep_status judge_pairing(judging *j) {
    const ls_weights *w = &j->d->weights;
    const ls_checkpoint *r = w->sides[LS_REFERENCE], *c = w->sides[LS_CANDIDATE];
    bool mixed = r->gguf != c->gguf, unknown = w->preset.name == NULL && mixed && w->by_method[LS_METHOD_NAME] == 0;
    char text[LS_SIDES][100];
    for (int side = 0; side < LS_SIDES; side++)
        escaped(w->sides[side]->model[0] != '\0' ? w->sides[side]->model : w->sides[side]->architecture, text[side], sizeof text[side]);
    if (unknown)
        LS_TRY(add(j, LS_FINDING_REMARK, false, 4, SIZE_MAX, "no preset knows the names of %s and %s, so weights were paired by content alone. --preset NAME uses the "
                   "rules of a similar model, --map FILE your own", *text[0] != '\0' ? text[0] : "the reference", *text[1] != '\0' ? text[1] : "the candidate"));
    if (r->gguf && !c->gguf && j->parts[LS_REFERENCE] != 0)
        LS_TRY(add(j, LS_FINDING_REMARK, false, 4, SIZE_MAX, "the reference is a GGUF file and the candidate is not: are the two sides swapped?"));
    return LOCKSTEP_OK;
}

static lockstep_status judge_fine_tune(judging *j) {
    ls_text text = {0};
    if (!j->fine_tune)
        return LOCKSTEP_OK;
    ls_fine_tune_describe(&j->d->weights, &text);
    lockstep_status status = text.data != NULL && !text.failed ? add(j, LS_FINDING_COMMON, true, 1e9, SIZE_MAX, "%s", text.data)
                                                               : ls_fail(j->error, LOCKSTEP_NO_MEMORY, "out of memory");
    ls_text_done(&text);
    return status;
}

/* --- pairs */

static void escaped_cause(const ls_weight_pair *p, char *out, size_t capacity) {
    ls_text text = {0};
    ls_cause_text(&p->cause, &text);
    escaped(text.data != NULL ? text.data : "", out, capacity);
    ls_text_done(&text);
}

static void put_cause(const ls_weight_pair *p, char *out, size_t capacity) {
    char cause[500];
    out[0] = '\0';
    if (!ls_weight_has_cause(p))
        return;
    escaped_cause(p, cause, sizeof cause);
    if (p->verdict < LS_VERDICT_SHAPE)
        snprintf(out, capacity, "; %s (corrected: NMSE %.1e -> %.1e)", cause, p->metrics.nmse, p->cause.residual);
    else
        snprintf(out, capacity, "; %s (corrected: NMSE %.1e)", cause, p->cause.residual);
}

static lockstep_status judge_scalar(judging *j, size_t i, const char *title, const char *other, const char *cause) {
    const ls_weight_pair *p = &j->d->weights.pairs[i];
    return add(j, LS_FINDING_DIFFERS, true, p->metrics.nmse, i, "%s: %.9g, the reference's %s is %.9g (relative difference %.1e)%s", title,
               p->metrics.candidate.mean, other, p->metrics.reference.mean, p->metrics.max_rel, cause);
}

/* The coordinates of an element in the tensor that was not changed. */
static void place_of(const ls_weight_pair *p, const ls_tensor *t[LS_SIDES], uint64_t at, char out[LS_SHAPE_TEXT]) {
    const ls_tensor *kept = t[p->original == LS_REFERENCE ? LS_CANDIDATE : LS_REFERENCE];
    uint64_t index[LOCKSTEP_MAX_RANK];
    for (int axis = kept->rank; axis-- > 0;) {
        uint64_t size = kept->shape[axis] > 0 ? kept->shape[axis] : 1;
        index[axis] = axis > 0 ? at % size : at;
        at /= size;
    }
    ls_shape_text(kept->rank, index, out);
}

static lockstep_status judge_tensor(judging *j, size_t i, const char *title, const char *other, const ls_tensor *t[LS_SIDES], const char *cause) {
    const ls_metrics *m = &j->d->weights.pairs[i].metrics;
    const ls_weight_pair *p = &j->d->weights.pairs[i];
    char beyond[120] = "", at[LS_SHAPE_TEXT];
    double atol, rtol;
    if (ls_quality_rounding(t[0]->dtype, t[1]->dtype, &atol, &rtol))
        snprintf(beyond, sizeof beyond, ", %llu of %llu elements beyond rounding", (unsigned long long)m->beyond, (unsigned long long)m->elements);
    place_of(p, t, m->max_abs_at, at);
    return add(j, LS_FINDING_DIFFERS, true, fmin(m->nmse, 1e6), i, "%s (%s) is not the reference's %s (%s): NMSE %.2e, cosine %.6f, max |d| %.3g at %s%s%s%s%s",
               title, t[1]->file_dtype, other, t[0]->file_dtype, m->nmse, m->cosine, m->max_abs, at, beyond, p->region[0] != '\0' ? ", in " : "",
               p->region, cause);
}

static lockstep_status judge_failing(judging *j, size_t i) {
    const ls_weight_pair *p = &j->d->weights.pairs[i];
    const ls_metrics *m = &p->metrics;
    char title[TITLE], other[TITLE], cause[700], shapes[2][LS_SHAPE_TEXT];
    part_title(j, p, LS_CANDIDATE, title);
    part_title(j, p, LS_REFERENCE, other);
    put_cause(p, cause, sizeof cause);
    const ls_tensor *t[LS_SIDES];
    for (int side = 0; side < LS_SIDES; side++) {
        t[side] = &j->d->sides[side].archive->tensors[p->part[side].tensor];
        ls_shape_text(t[side]->rank, t[side]->shape, shapes[side]);
    }
    if (p->verdict == LS_VERDICT_NONFINITE)
        return add(j, LS_FINDING_NONFINITE, true, (double)m->nonfinite_differ, i,
                   "%s: NaN: %llu, in the reference %llu; infinite: %llu, %llu; in different places: %llu%s%s%s", title,
                   (unsigned long long)m->nan_candidate, (unsigned long long)m->nan_reference, (unsigned long long)m->inf_candidate,
                   (unsigned long long)m->inf_reference, (unsigned long long)m->nonfinite_differ, p->region[0] != '\0' ? ", in " : "", p->region, cause);
    if (p->verdict == LS_VERDICT_SHAPE)
        return add(j, LS_FINDING_SHAPE, true, 0, i, "%s: shape %s, the reference's %s is %s: %s%s", title, shapes[1], other, shapes[0],
                   p->reason, cause);
    if (p->verdict == LS_VERDICT_UNSUPPORTED && ls_weight_scheme(&j->d->weights, p) != NULL)
        return LOCKSTEP_OK; /* judge_schemes reports it */
    if (p->verdict == LS_VERDICT_UNSUPPORTED)
        return add(j, LS_FINDING_UNSUPPORTED, false, 0, i, "%s (%s against %s): %s", title, t[1]->file_dtype, t[0]->file_dtype, p->reason);
    if (p->verdict == LS_VERDICT_WORSE)
        return add(j, LS_FINDING_WORSE, true, m->nmse / p->allowed, i,
                   "%s (%s): NMSE %.2e (SQNR %.1f dB), %.1f times the limit for %s (%.1e)%s", title, t[1]->file_dtype, m->nmse, m->sqnr_db,
                   m->nmse / p->allowed, t[1]->file_dtype, p->allowed, cause);
    if (m->elements == 1)
        return judge_scalar(j, i, title, other, cause);
    return judge_tensor(j, i, title, other, t, cause);
}

/* Keyed by the whole sentence: causes of the same kind with different parameters are counted separately. */
static uint64_t *count_of(ls_map *counts, const ls_weight_pair *p) {
    ls_text text = {0};
    if (!ls_weight_fails(p) || !ls_weight_has_cause(p))
        return NULL;
    ls_cause_text(&p->cause, &text);
    uint64_t *count = text.data != NULL ? ls_map_at(counts, text.data, text.length) : NULL;
    ls_text_done(&text);
    return count;
}

/* A cause that several tensors share is reported once, before the individual findings. */
static lockstep_status judge_common_causes(judging *j) {
    enum { SEVERAL = 3 };
    const ls_weights *w = &j->d->weights;
    ls_map counts = {0};
    lockstep_status status = LOCKSTEP_OK;
    for (size_t i = 0; i < w->pair_count; i++) {
        uint64_t *count = count_of(&counts, &w->pairs[i]);
        if (count != NULL)
            ++*count;
    }
    for (size_t i = 0; i < w->pair_count && status == LOCKSTEP_OK; i++) {
        uint64_t *count = count_of(&counts, &w->pairs[i]), same = count != NULL ? *count : 0;
        char title[TITLE], text[500];
        if (same < SEVERAL)
            continue;
        *count = 0; /* reported */
        part_title(j, &w->pairs[i], LS_CANDIDATE, title);
        escaped_cause(&w->pairs[i], text, sizeof text);
        status = add(j, LS_FINDING_COMMON, true, (double)same, i, "%llu tensors, the first %s: %s", (unsigned long long)same, title, text);
    }
    ls_map_done(&counts);
    return status;
}

/* A failing tensor that duplicates another one of its side is reported with that tensor. */
static lockstep_status judge_duplicate(judging *j, size_t i) {
    const ls_weight_pair *p = &j->d->weights.pairs[i];
    const ls_weight_find *twin = find_of(&j->d->weights, LS_CANDIDATE, p->part[LS_CANDIDATE].tensor, true);
    char title[TITLE], other[TITLE];
    if (twin == NULL || !ls_weight_fails(p))
        return LOCKSTEP_OK;
    part_title(j, p, LS_CANDIDATE, title);
    tensor_name(j, LS_CANDIDATE, twin->other, other);
    return add(j, LS_FINDING_DUPLICATE, true, 0, i, "%s has the same content as %s", title, other);
}

/* The values are right, but under the wrong name. */
static lockstep_status judge_contradiction(judging *j, size_t i) {
    const ls_weight_pair *p = &j->d->weights.pairs[i];
    char title[TITLE], other[TITLE];
    if (p->contradiction == NULL)
        return LOCKSTEP_OK;
    part_title(j, p, LS_CANDIDATE, title);
    part_title(j, p, LS_REFERENCE, other);
    return add(j, LS_FINDING_NAMES, true, 0, i, "%s holds the reference's %s, which contradicts its name (%s)", title, other, p->contradiction);
}

/* Reports once for each side how many of its tensors were not compared because of a scheme. */
static lockstep_status judge_schemes(judging *j) {
    const ls_weights *w = &j->d->weights;
    for (int side = 0; side < LS_SIDES; side++) {
        const ls_weight_labels *labels = &w->labels[side];
        const char *scheme = NULL;
        size_t codes = 0, first = 0;
        bool *compared = calloc(w->sides[side]->archive->tensor_count + 1, sizeof *compared);
        if (compared == NULL)
            return ls_fail(j->error, LOCKSTEP_NO_MEMORY, "out of memory");
        for (size_t i = 0; i < w->pair_count; i++)
            compared[w->pairs[i].part[side].tensor] = w->pairs[i].verdict != LS_VERDICT_UNSUPPORTED;
        for (size_t i = 0; i < w->sides[side]->archive->tensor_count; i++)
            if (labels->items[i].is_codes && !compared[i]) {
                first = codes++ == 0 ? i : first;
                scheme = scheme == NULL ? labels->items[i].scheme : scheme;
            }
        free(compared);
        if (codes == 0)
            continue;
        char name[TITLE], text[TITLE];
        tensor_name(j, side, first, name);
        escaped(scheme, text, sizeof text);
        LS_TRY(add(j, LS_FINDING_UNSUPPORTED, false, (double)codes, SIZE_MAX,
                   "the %s is quantized by %s: %zu of its tensors (the first: %s) hold codes, which mean nothing without their scales. Lockstep doesn't "
                   "read this scheme, so they were not compared. Dequantize it first (transformers: model.dequantize(), then save_pretrained)",
                   side_names[side], text, codes, name));
    }
    return LOCKSTEP_OK;
}

/* Rows with almost no energy may legitimately become zeros. */
static const double negligible_row = 1e-4;

static lockstep_status judge_rows(judging *j, size_t i) {
    const ls_weight_pair *p = &j->d->weights.pairs[i];
    const ls_metrics *m = &p->metrics;
    char title[TITLE];
    if (p->verdict > LS_VERDICT_WORSE || m->rows.rows == 0)
        return LOCKSTEP_OK;
    part_title(j, p, LS_CANDIDATE, title);
    double mean = m->reference.l2 * m->reference.l2 / (double)m->rows.rows;
    const char *type = j->d->sides[LS_CANDIDATE].archive->tensors[p->part[LS_CANDIDATE].tensor].file_dtype;
    if (m->rows.lost > 0)
        return add(j, LS_FINDING_LOST_ROWS, m->rows.largest_lost > negligible_row * mean, m->rows.largest_lost / mean, i,
                   "%s (%s): %llu of %llu rows are all zero, but not in the reference, first [%llu, :] (the largest of them has %.1e "
                   "of a row's mean energy)", title, type, (unsigned long long)m->rows.lost, (unsigned long long)m->rows.rows,
                   (unsigned long long)m->rows.first_lost, m->rows.largest_lost / mean);
    lockstep_dtype a = j->d->sides[0].archive->tensors[p->part[0].tensor].dtype, b = j->d->sides[1].archive->tensors[p->part[1].tensor].dtype;
    double allowed = ls_quality_allowed_row(a, b);
    if (m->rows.largest_error_nmse > ls_quality_wrong_row(a, b) && m->rows.rows >= 2 && p->verdict == LS_VERDICT_MATCH)
        return add(j, LS_FINDING_DIFFERS, true, m->rows.largest_error_nmse, i,
                   "%s (%s): row [%llu, :] is not the reference's: NMSE %.2e, the limit for a row of this type is %.1e", title, type,
                   (unsigned long long)m->rows.largest_error_row, m->rows.largest_error_nmse, allowed);
    if (m->rows.worst_nmse <= allowed || m->rows.rows < 2)
        return LOCKSTEP_OK;
    return add(j, LS_FINDING_REMARK, false, m->rows.worst_nmse / allowed, i,
               "%s (%s): row [%llu, :] has NMSE %.2e, %.1f times the limit for a row of this type (%.1e)", title, type,
               (unsigned long long)m->rows.worst_row, m->rows.worst_nmse, m->rows.worst_nmse / allowed, allowed);
}

/* Whether no token of either vocabulary uses a row from `row` on. */
static bool without_tokens(const judging *j, uint64_t row) {
    const ls_vocabulary_side *v = j->d->vocabulary.sides;
    return v[0].known && v[1].known && v[0].tokens <= row && v[1].tokens <= row;
}

static lockstep_status judge_padding(judging *j, size_t i) {
    const ls_weight_pair *p = &j->d->weights.pairs[i];
    char title[TITLE];
    for (int side = 0; side < LS_SIDES; side++) {
        const ls_tensor *t = &j->d->sides[side].archive->tensors[p->part[side].tensor];
        uint64_t more = p->padding[side];
        bool idle = more > 0 && without_tokens(j, t->shape[0] - more), harmless = p->padding_zero[side] || idle;
        if (more == 0)
            continue;
        part_title(j, p, side, title);
        LS_TRY(add(j, harmless ? LS_FINDING_REMARK : LS_FINDING_SHAPE, !harmless, 0, i, "%s: %llu rows more than the %s has, %s", title,
                   (unsigned long long)more, side == LS_REFERENCE ? "candidate" : "reference",
                   p->padding_zero[side] ? "all zero" : idle ? "which no token uses" : "not zero: they were not compared"));
    }
    return LOCKSTEP_OK;
}

static lockstep_status judge_weights(judging *j, double min_coverage) {
    ls_checkpoint_diff *d = j->d;
    const ls_weights *w = &d->weights;
    j->fine_tune = ls_is_fine_tune(w);
    for (int side = 0; side < LS_SIDES; side++)
        j->parts[side] = ls_model_parts(w->sides[side]);
    for (size_t i = 0; i < w->pair_count; i++) {
        if (ls_weight_fails(&w->pairs[i]) && !(j->fine_tune && ls_is_tuned(&w->pairs[i])))
            LS_TRY(judge_failing(j, i));
        LS_TRY(judge_contradiction(j, i));
        LS_TRY(judge_duplicate(j, i));
        LS_TRY(judge_rows(j, i));
        LS_TRY(judge_padding(j, i));
    }
    LS_TRY(judge_schemes(j));
    LS_TRY(judge_common_causes(j));
    LS_TRY(index_codes(j));
    LS_TRY(judge_all_unpaired(j));
    LS_TRY(judge_elsewhere(j));
    LS_TRY(judge_adapters(j));
    LS_TRY(judge_engine_shapes(j));
    LS_TRY(judge_pairing(j));
    LS_TRY(judge_fine_tune(j));
    if (w->search_cut)
        LS_TRY(add(j, LS_FINDING_REMARK, false, 0, SIZE_MAX, "too many tensors of the same shape have no partner: not all of them were searched for by content"));
    uint64_t elements = w->elements - j->elsewhere_elements[LS_CANDIDATE];
    d->coverage = elements > 0 ? (double)w->compared / (double)elements : 0;
    bool adapters = w->sides[0]->archive->is_adapter != w->sides[1]->archive->is_adapter;
    bool explained = adapters || (elements > 0 && (double)(w->compared + w->unsupported + j->unread_elements[LS_CANDIDATE]) >= min_coverage * (double)elements);
    if (d->coverage < min_coverage && !explained)
        LS_TRY(add(j, LS_FINDING_COVERAGE, true, 0, SIZE_MAX, "%.1f %% of the candidate's elements were compared, less than %.1f %%",
                   100 * d->coverage, 100 * min_coverage));
    return LOCKSTEP_OK;
}

static int by_suspicion(const void *a, const void *b) {
    const ls_finding *x = a, *y = b;
    if (x->kind != y->kind)
        return x->kind < y->kind ? -1 : 1;
    if (x->weight != y->weight)
        return x->weight > y->weight ? -1 : 1;
    return x->pair != y->pair ? (x->pair < y->pair ? -1 : 1) : strcmp(x->text, y->text);
}

static bool found_something(const ls_checkpoint_diff *d) {
    const ls_vocabulary_side *v = d->vocabulary.sides;
    bool config = false;
    for (size_t i = 0; i < d->settings.count; i++)
        config = config || (d->settings.items[i].verdict != LS_SETTING_ONE_SIDED && strcmp(d->settings.items[i].id, LS_SETTING_ARCHITECTURE) != 0);
    bool sizes = v[0].embedding_rows != UINT64_MAX && v[1].embedding_rows != UINT64_MAX && (d->what & LS_WHAT_VOCAB) != 0;
    return config || sizes || (v[0].known && v[1].known) || d->weights.pair_count > 0;
}

static lockstep_status judge_notes(judging *j) {
    for (int side = 0; side < LS_SIDES; side++) {
        const lockstep_archive *a = j->d->sides[side].archive;
        for (size_t i = 0; i < a->note_count; i++) {
            char text[TITLE * 2];
            escaped(a->notes[i].text, text, sizeof text);
            LS_TRY(add(j, a->notes[i].incomplete ? LS_FINDING_UNREAD : LS_FINDING_REMARK, false, 2, SIZE_MAX, "the %s: %s", side_names[side], text));
        }
    }
    return LOCKSTEP_OK;
}

static lockstep_status judge_all(judging *j, double min_coverage) {
    if ((j->d->what & LS_WHAT_CONFIG) != 0)
        LS_TRY(judge_settings(j));
    if ((j->d->what & LS_WHAT_VOCAB) != 0)
        LS_TRY(judge_vocabulary(j));
    if ((j->d->what & LS_WHAT_WEIGHTS) != 0)
        LS_TRY(judge_weights(j, min_coverage));
    return judge_notes(j);
}

lockstep_status ls_checkpoint_judge(ls_checkpoint_diff *diff, double min_coverage, lockstep_error *error) {
    judging j = {.d = diff, .error = error};
    lockstep_status status = judge_all(&j, min_coverage);
    ls_map_done(&j.codes[LS_REFERENCE]);
    ls_map_done(&j.codes[LS_CANDIDATE]);
    if (status != LOCKSTEP_OK)
        return status;
    if (diff->finding_count > 0)
        qsort(diff->findings, diff->finding_count, sizeof *diff->findings, by_suspicion);
    diff->comparable = found_something(diff);
    diff->matches = diff->comparable;
    for (size_t i = 0; i < diff->finding_count; i++) {
        diff->differs = diff->differs || (diff->comparable && diff->findings[i].fails);
        diff->matches = diff->matches && !diff->findings[i].fails && !diff->findings[i].gap;
    }
    return LOCKSTEP_OK;
}
