/* lockstep picture: heat maps of a pair of tensors, as PNG. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/escape.h"
#include "base/nearest.h"
#include "checkpoint/weight_views.h"
#include "commands.h"
#include "comparison.h"
#include "diff/diff.h"
#include "heat_map.h"
#include "match/aligned_pair.h"

typedef struct picture_options {
    comparison_options comparison;
    const char *out;
    double pass, scale, zoom;
    bool own_scale;
} picture_options;

#define FIELD(name) offsetof(picture_options, name)
static const option_row options[] = {
    {"-o", OPTION_PATH, FIELD(out), "FILE", "the PNG to write", NULL},
    {"--pass", OPTION_NUMBER, FIELD(pass), "N", "the pair of this pass of the candidate (default: the first of the name)", NULL},
    {"--scale", OPTION_NUMBER, FIELD(scale), "X", "the strongest colours stand for X and -X (default: the largest value)", NULL},
    {"--own-scale", OPTION_FLAG, FIELD(own_scale), NULL, "the difference gets a scale of its own: the largest difference", NULL},
    {"--zoom", OPTION_NUMBER, FIELD(zoom), "N", "pixels of an element's side (default: as many as fit)", NULL},
    {"--map", OPTION_PATH, COMPARISON_FIELD(map), "FILE", "naming rules of your own (YAML, docs/presets.md), before all others", NULL},
    {"--preset", OPTION_TEXT, COMPARISON_FIELD(preset), "NAME", "naming rules to use, or none (default: by the model)", NULL},
    {0},
};

enum { CELLS = 1 << 21, PANEL = 400, ZOOM_MOST = 64, TEXT = 300 };

/* ------------------------------------------------------------------ the file */

static uint32_t zoom_of(const picture_options *o, const ls_picture *p) {
    const uint64_t longest = p->width > p->height ? p->width : p->height, fits = PANEL / longest;
    const double wanted = isnan(o->zoom) ? (double)(fits < 1 ? 1 : fits > ZOOM_MOST ? ZOOM_MOST : fits) : floor(o->zoom);
    return wanted < 1 ? 1 : wanted > ZOOM_MOST ? ZOOM_MOST : (uint32_t)wanted;
}

static void say_steps(const ls_picture *p, ls_text *out) {
    if (p->row_step * p->column_step > 1)
        ls_text_printf(out, "; a cell is the element with the largest difference among %llu x %llu", (unsigned long long)p->row_step, (unsigned long long)p->column_step);
    if (p->drawn_count < p->slices)
        ls_text_printf(out, "; the %zu slices of %llu that differ most", p->drawn_count, (unsigned long long)p->slices);
}

static void describe(const ls_picture *p, const heat_scale *s, ls_text *out) {
    ls_text_printf(out, "reference, candidate, difference: %zu slice%s of %llu x %llu cells, %u pixels each; colours from %g to %g, of the difference from %g to %g", p->drawn_count,
                   p->drawn_count == 1 ? "" : "s", (unsigned long long)p->height, (unsigned long long)p->width, s->zoom, -s->values, s->values, -s->difference, s->difference);
    say_steps(p, out);
}

static lockstep_status write_picture(const picture_options *o, const ls_picture *p, lockstep_error *error) {
    heat_scale scale = {.values = isnan(o->scale) ? p->largest : o->scale, .zoom = zoom_of(o, p)};
    png_pixels pixels = {0};
    ls_text about = {0};
    scale.difference = o->own_scale ? p->largest_difference : scale.values;
    describe(p, &scale, &about);
    lockstep_status status = about.failed ? ls_fail(error, LOCKSTEP_NO_MEMORY, "out of memory") : heat_map_draw(p, &scale, &pixels, error);
    if (status == LOCKSTEP_OK)
        status = png_file_write(o->out, &pixels, about.data, error);
    if (status == LOCKSTEP_OK)
        printf("%s\n", about.data);
    free(pixels.rgb);
    ls_text_done(&about);
    return status;
}

static lockstep_status draw(const picture_options *o, const ls_view *reference, const ls_view *candidate, lockstep_error *error) {
    ls_picture picture;
    LS_TRY(ls_picture_draw(reference, candidate, CELLS, &picture, error));
    lockstep_status status = write_picture(o, &picture, error);
    ls_picture_done(&picture);
    return status;
}

/* ------------------------------------------------------------------ which pair */

typedef struct search {
    const char *wanted, *nearest;
    bool is_of_other_pass; /* the name is there, but not in this pass */
} search;

static void keep_nearest(search *s, const char *name) {
    if (s->nearest == NULL || ls_typing_errors(s->wanted, name) < ls_typing_errors(s->wanted, s->nearest))
        s->nearest = name;
}

/* Whether a pair has the name on either side; otherwise the nearest is kept. */
static bool is_wanted(search *s, const char *candidate, const char *reference) {
    keep_nearest(s, candidate);
    keep_nearest(s, reference);
    return strcmp(candidate, s->wanted) == 0 || strcmp(reference, s->wanted) == 0;
}

/* The same of two traces. */
static bool is_wanted_node(search *s, const picture_options *o, const ls_diff *d, const ls_pair *p) {
    const ls_node *c = &d->in.candidate.trace->nodes[p->candidate], *r = &d->in.reference.trace->nodes[p->reference];
    keep_nearest(s, c->name);
    keep_nearest(s, r->name);
    const bool is_named = ls_node_is_called(c, s->wanted) || ls_node_is_called(r, s->wanted), is_there = isnan(o->pass) || (double)d->in.candidate.trace->nodes[p->candidate_value].pass == o->pass;
    s->is_of_other_pass = s->is_of_other_pass || (is_named && !is_there);
    return is_named && is_there;
}

static lockstep_status not_found(const search *s, lockstep_error *error) {
    char wanted[TEXT], nearest[TEXT] = "";
    const bool meant = s->nearest != NULL && ls_may_be_meant(s->wanted, s->nearest);
    ls_escape(s->wanted, strlen(s->wanted), wanted, sizeof wanted);
    if (s->is_of_other_pass)
        return ls_fail(error, LOCKSTEP_INVALID_ARGUMENT, "--pass: '%s' is in other passes only", wanted);
    if (meant)
        ls_escape(s->nearest, strlen(s->nearest), nearest, sizeof nearest);
    return ls_fail(error, LOCKSTEP_INVALID_ARGUMENT, "no pair of tensors has the name '%s'%s%s%s", wanted, meant ? ": did you mean '" : "", nearest, meant ? "'?" : "");
}

static lockstep_status draw_of_traces(const picture_options *o, const ls_diff *d, const char *name, lockstep_error *error) {
    search s = {.wanted = name};
    size_t i = 0;
    while (i < d->pairs.count && !is_wanted_node(&s, o, d, &d->pairs.items[i]))
        i++;
    if (i == d->pairs.count)
        return not_found(&s, error);
    ls_aligned_pair aligned;
    LS_TRY(ls_aligned_pair_open(&d->matching, &d->pairs.items[i], ls_pair_reorder(&d->pairs.items[i]), LS_LAYOUT_VOTED, &aligned, error));
    lockstep_status status = draw(o, &aligned.layout.reference, &aligned.layout.candidate, error);
    ls_aligned_pair_close(&aligned);
    return status;
}

static lockstep_status of_traces(const picture_options *o, const arguments *args, lockstep_error *error) {
    comparison_options usual = o->comparison;
    ls_diff_options wanted;
    ls_diff *diff;
    usual.atol = usual.rtol = usual.min_coverage = NAN; /* not given */
    if (!comparison_understand("picture", &usual, &wanted))
        return ls_fail(error, LOCKSTEP_INVALID_ARGUMENT, "nothing was drawn");
    LS_TRY(ls_diff_paths(args->positional[0], args->positional[1], &wanted, &diff, error));
    lockstep_status status = draw_of_traces(o, diff, args->positional[2], error);
    ls_diff_free(diff);
    return status;
}

static lockstep_status draw_of_weights(const picture_options *o, const ls_weights *w, const char *name, lockstep_error *error) {
    search s = {.wanted = name};
    size_t i = 0;
    while (i < w->pair_count && !is_wanted(&s, w->sides[LS_CANDIDATE]->archive->tensors[w->pairs[i].part[LS_CANDIDATE].tensor].name,
                                           w->sides[LS_REFERENCE]->archive->tensors[w->pairs[i].part[LS_REFERENCE].tensor].name))
        i++;
    if (i == w->pair_count)
        return not_found(&s, error);
    ls_weight_views views;
    LS_TRY(ls_weight_views_open(w, &w->pairs[i], &views, error));
    lockstep_status status = draw(o, &views.values[LS_REFERENCE].view, &views.values[LS_CANDIDATE].view, error);
    ls_weight_views_close(&views);
    return status;
}

static lockstep_status of_checkpoints(const picture_options *o, const arguments *args, lockstep_error *error) {
    ls_checkpoint_options wanted = {.what = LS_WHAT_WEIGHTS, .weights = {.preset = o->comparison.preset, .map = o->comparison.map}};
    ls_checkpoint_diff diff;
    LS_TRY(ls_checkpoint_diff_run(args->positional[0], args->positional[1], &wanted, &diff, error));
    lockstep_status status = draw_of_weights(o, &diff.weights, args->positional[2], error);
    ls_checkpoint_diff_done(&diff);
    return status;
}

static int run(const arguments *args, const void *parsed) {
    const picture_options *o = parsed;
    lockstep_error error;
    if (o->out == NULL) {
        fprintf(stderr, "lockstep picture: -o FILE is missing: it names the PNG to write\n");
        return EXIT_TROUBLE;
    }
    const bool checkpoints = ls_checkpoint_is_one(args->positional[0]) && ls_checkpoint_is_one(args->positional[1]);
    const lockstep_status status = checkpoints ? of_checkpoints(o, args, &error) : of_traces(o, args, &error);
    if (status != LOCKSTEP_OK)
        fprintf(stderr, "lockstep picture: %s\n", error.message);
    return status == LOCKSTEP_OK ? EXIT_MATCH : EXIT_TROUBLE;
}

const command_row command_picture = {
    .name = "picture",
    .usage = "REFERENCE CANDIDATE NAME -o FILE.png [options]",
    .summary = "Draws heat maps of a pair of tensors and of their difference, as PNG.",
    .exits = "0 drawn, 2 error",
    .options = options,
    .options_size = sizeof(picture_options),
    .min_positional = 3,
    .max_positional = 3,
    .run = run,
};
