#include "report/picture_json.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/pattern.h"
#include "checkpoint/weight_views.h"
#include "match/aligned_pair.h"
#include "report/json_values.h"
#include "report/picture.h"

enum {
    MOST = 24,             /* pictures */
    MOST_OF_FINDINGS = 8,  /* of weights, without those that are asked for */
    CELLS = 7168,          /* of one picture, at most */
    CELLS_OF_ALL = 65536,  /* of all pictures */
    BEFORE = 2, BEHIND = 3 /* pairs around the first divergence */
};

/* ------------------------------------------------------------------ one picture */

static void put_group(const uint8_t *in, size_t count, char *out) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const uint32_t bits = (uint32_t)in[0] << 16 | (uint32_t)(count > 1 ? in[1] : 0) << 8 | (count > 2 ? in[2] : 0);
    for (size_t i = 0; i < 4; i++)
        out[i] = i <= count ? digits[bits >> (18 - 6 * i) & 63] : '=';
}

/* 32-bit numbers, little endian, in base64. */
static json_t *base64_json(const void *numbers, size_t count) {
    const size_t bytes = count * 4, length = (bytes + 2) / 3 * 4;
    char *text = malloc(length + 1);
    for (size_t i = 0; text != NULL && i < bytes; i += 3)
        put_group((const uint8_t *)numbers + i, bytes - i < 3 ? bytes - i : 3, text + i / 3 * 4);
    json_t *out = text != NULL ? json_stringn_nocheck(text, length) : NULL;
    free(text);
    return out;
}

static void put_cells(const ls_picture *p, json_t *o) {
    const size_t count = p->drawn_count * (size_t)(p->height * p->width);
    float *values[2] = {malloc(count * sizeof(float)), malloc(count * sizeof(float))};
    uint32_t *at = malloc(count * sizeof *at);
    const bool ok = values[0] != NULL && values[1] != NULL && at != NULL;
    for (size_t i = 0; ok && i < count; i++) {
        values[0][i] = p->cells[i].reference;
        values[1][i] = p->cells[i].candidate;
        at[i] = p->cells[i].at;
    }
    if (ok) {
        json_object_set_new(o, "reference", base64_json(values[0], count));
        json_object_set_new(o, "candidate", base64_json(values[1], count));
        json_object_set_new(o, "at", p->row_step * p->column_step > 1 ? base64_json(at, count) : json_null());
    }
    free(values[0]);
    free(values[1]);
    free(at);
}

static json_t *counts_json(const uint64_t *counts, size_t count) {
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(list, ls_json_count(counts[i]));
    return list;
}

static json_t *worst_json(const ls_picture *p) {
    json_t *list = json_array();
    for (size_t i = 0; i < p->worst_count; i++) {
        uint64_t index[LOCKSTEP_MAX_RANK] = {0}, rest = p->worst[i].at;
        for (int axis = p->rank - 1; axis >= 0; axis--) {
            index[axis] = rest % p->shape[axis];
            rest /= p->shape[axis];
        }
        json_array_append_new(list, json_pack("{s:o, s:o, s:o}", "at", counts_json(index, (size_t)p->rank), "reference", ls_json_number(p->worst[i].reference), "candidate",
                                              ls_json_number(p->worst[i].candidate)));
    }
    return list;
}

static json_t *picture_json(const ls_picture *p, size_t pair) {
    json_t *o = json_object(), *errors = json_array();
    for (size_t i = 0; i < p->drawn_count; i++)
        json_array_append_new(errors, ls_json_number(p->errors[i]));
    json_object_set_new(o, "pair", ls_json_count(pair));
    json_object_set_new(o, "shape", counts_json(p->shape, (size_t)p->rank));
    json_object_set_new(o, "slices", ls_json_count(p->slices));
    json_object_set_new(o, "rows", ls_json_count(p->rows));
    json_object_set_new(o, "columns", ls_json_count(p->columns));
    json_object_set_new(o, "drawn", counts_json(p->drawn, p->drawn_count));
    json_object_set_new(o, "errors", errors);
    json_object_set_new(o, "row_step", ls_json_count(p->row_step));
    json_object_set_new(o, "column_step", ls_json_count(p->column_step));
    json_object_set_new(o, "height", ls_json_count(p->height));
    json_object_set_new(o, "width", ls_json_count(p->width));
    json_object_set_new(o, "largest", ls_json_number(p->largest));
    json_object_set_new(o, "largest_difference", ls_json_number(p->largest_difference));
    json_object_set_new(o, "differences", counts_json(p->differences, LS_PICTURE_BINS));
    json_object_set_new(o, "low", ls_json_number(p->low));
    json_object_set_new(o, "high", ls_json_number(p->high));
    json_object_set_new(o, "reference_values", counts_json(p->values[0], LS_PICTURE_BINS));
    json_object_set_new(o, "candidate_values", counts_json(p->values[1], LS_PICTURE_BINS));
    json_object_set_new(o, "left_out", ls_json_count(p->left_out));
    json_object_set_new(o, "worst", worst_json(p));
    put_cells(p, o);
    return o;
}

/* ------------------------------------------------------------------ which ones */

typedef struct choice {
    size_t pairs[MOST], count, more; /* more: that were asked for, and have no room */
} choice;

static void choose(choice *c, size_t pair) {
    for (size_t i = 0; i < c->count; i++)
        if (c->pairs[i] == pair)
            return;
    if (c->count == MOST)
        c->more++;
    else
        c->pairs[c->count++] = pair;
}

static void choose_around(const ls_diff *d, choice *c) {
    const size_t first = d->result.first;
    choose(c, first);
    for (size_t i = 0; i < d->result.inputs.count && i < BEFORE; i++)
        choose(c, d->result.inputs.items[i]);
    for (size_t i = first > BEFORE ? first - BEFORE : 0; i <= first + BEHIND && i < d->pairs.count; i++)
        choose(c, i);
}

static double used_of_tolerance(const ls_pair *p) { return ls_pair_has_metrics(p) ? p->metrics.rel_l2 / p->mark.tolerance : -1; }

static void choose_worst(const ls_diff *d, choice *c) {
    size_t worst = 0;
    for (size_t i = 1; i < d->pairs.count; i++)
        if (used_of_tolerance(&d->pairs.items[i]) > used_of_tolerance(&d->pairs.items[worst]))
            worst = i;
    choose(c, worst);
    choose(c, d->pairs.count - 1);
}

typedef const char *name_of_pair(const void *whole, size_t pair);

static void choose_named(const char *pattern, const void *whole, size_t count, name_of_pair *name, choice *c) {
    regex_t compiled;
    if (pattern == NULL || !ls_pattern_compile(pattern, &compiled))
        return;
    for (size_t i = 0; i < count; i++)
        if (name(whole, i) != NULL && regexec(&compiled, name(whole, i), 0, NULL, 0) == 0)
            choose(c, i);
    regfree(&compiled);
}

/* ------------------------------------------------------------------ all of them */

typedef struct pictures {
    json_t *drawn, *without;
    uint64_t cells; /* of each */
} pictures;

static pictures begin(const choice *c) {
    const uint64_t share = CELLS_OF_ALL / (c->count > 0 ? c->count : 1);
    return (pictures){json_array(), json_array(), share < CELLS ? share : CELLS};
}

/* `status` is how the views were opened. */
static void add(pictures *all, size_t shown, lockstep_status status, const ls_view *reference, const ls_view *candidate, lockstep_error *error) {
    ls_picture picture;
    if (status == LOCKSTEP_OK)
        status = ls_picture_draw(reference, candidate, all->cells, &picture, error);
    if (status != LOCKSTEP_OK) {
        json_array_append_new(all->without, json_pack("{s:o, s:o}", "pair", ls_json_count(shown), "reason", ls_json_text(error->message)));
        return;
    }
    json_array_append_new(all->drawn, picture_json(&picture, shown));
    ls_picture_done(&picture);
}

static json_t *end(const pictures *all, const choice *c) {
    return json_pack("{s:o, s:o, s:o}", "pictures", all->drawn, "without", all->without, "more", ls_json_count(c->more));
}

static const char *name_of_trace_pair(const void *whole, size_t pair) {
    const ls_diff *d = whole;
    return d->in.candidate.trace->nodes[d->pairs.items[pair].candidate].name;
}

json_t *ls_pictures_of_traces(const ls_comparison *comparison) {
    const ls_diff *d = comparison->diff;
    choice c = {0};
    if (d->result.first != LS_NONE)
        choose_around(d, &c);
    else if (d->pairs.count > 0)
        choose_worst(d, &c);
    choose_named(comparison->picture, d, d->pairs.count, name_of_trace_pair, &c);
    pictures all = begin(&c);
    for (size_t i = 0; i < c.count; i++) {
        const ls_pair *p = &d->pairs.items[c.pairs[i]];
        ls_aligned_pair aligned;
        lockstep_error error;
        const lockstep_status status = ls_aligned_pair_open(&d->matching, p, ls_pair_reorder(p), LS_LAYOUT_VOTED, &aligned, &error);
        add(&all, c.pairs[i], status, status == LOCKSTEP_OK ? &aligned.layout.reference : NULL, status == LOCKSTEP_OK ? &aligned.layout.candidate : NULL, &error);
        if (status == LOCKSTEP_OK)
            ls_aligned_pair_close(&aligned);
    }
    return end(&all, &c);
}

/* NULL: it is not reported. */
static const char *name_of_weight_pair(const void *whole, size_t pair) {
    const ls_weights *w = whole;
    return w->pairs[pair].is_refuted ? NULL : w->sides[LS_CANDIDATE]->archive->tensors[w->pairs[pair].part[LS_CANDIDATE].tensor].name;
}

static size_t shown_index(const ls_weights *w, size_t pair) {
    size_t shown = 0;
    for (size_t i = 0; i < pair; i++)
        shown += !w->pairs[i].is_refuted;
    return shown;
}

json_t *ls_pictures_of_weights(const ls_checkpoint_report *report) {
    const ls_checkpoint_diff *d = report->diff;
    const ls_weights *w = &d->weights;
    choice c = {0};
    for (size_t i = 0; i < d->finding_count && c.count < MOST_OF_FINDINGS; i++)
        if (d->findings[i].pair < w->pair_count && !w->pairs[d->findings[i].pair].is_refuted)
            choose(&c, d->findings[i].pair);
    choose_named(report->picture, w, w->pair_count, name_of_weight_pair, &c);
    pictures all = begin(&c);
    for (size_t i = 0; i < c.count; i++) {
        ls_weight_views views;
        lockstep_error error;
        const lockstep_status status = ls_weight_views_open(w, &w->pairs[c.pairs[i]], &views, &error);
        add(&all, shown_index(w, c.pairs[i]), status, &views.values[LS_REFERENCE].view, &views.values[LS_CANDIDATE].view, &error);
        if (status == LOCKSTEP_OK)
            ls_weight_views_close(&views);
    }
    return end(&all, &c);
}
