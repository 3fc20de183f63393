/* Pixels: what was done to a picture before a model got it. With the picture, each side's way from it is found, and what
 * differs between the two is the cause; without, the two tensors are a straight line of each other in some order. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "compare/eight_bits.h"
#include "diagnose/diagnose.h"
#include "diagnose/pixel_plan.h"
#include "diagnose/pixel_relation.h"
#include "image/picture_file.h"
#include "match/picture_node.h"

/* The parts of a difference, which may come together. */
typedef enum part { PART_GEOMETRY, PART_FILTER, PART_ORDER, PART_TILES, PART_SCALE, PART_ROUNDING, PART_COUNT } part;
static const char *const part_ids[PART_COUNT] = {"pixels-geometry", "pixels-filter", "pixels-order", "pixels-tiles", "pixels-normalization", "pixels-rounding"};

typedef struct finding {
    ls_text what;
    size_t parts, free; /* free: numbers that were fitted */
    part last;
} finding;

static ls_text *begin_part(finding *f, part p) {
    ls_text_printf(&f->what, "%s", f->parts > 0 ? "; " : "");
    f->parts++;
    f->last = p;
    return &f->what;
}

/* ------------------------------------------------------------------ words */

static void put_order(const ls_pixel_order *o, bool is_interleaved, ls_text *out) {
    static const char *const colours[] = {"red", "green", "blue"};
    const char *comma = "";
    if (o->is_reread) {
        ls_text_printf(out, "memory is %s where the shape says %s", is_interleaved ? "planar (CHW)" : "interleaved (HWC)", is_interleaved ? "interleaved (HWC)" : "planar (CHW)");
        comma = ", ";
    }
    if (o->channels[0] != 0 || o->channels[1] != 1) {
        const char *at[3] = {NULL};
        for (int c = 0; c < 3; c++)
            at[o->channels[c]] = colours[c];
        ls_text_printf(out, "%scolours are in the order %s, %s, %s", comma, at[0], at[1], at[2]);
        comma = ", ";
    }
    if (o->is_turned) {
        ls_text_printf(out, "%srows and columns are exchanged", comma);
        comma = ", ";
    }
    if (o->flip_x || o->flip_y)
        ls_text_printf(out, "%sthe picture is %s", comma, o->flip_x && o->flip_y ? "turned by 180 degrees" : o->flip_x ? "mirrored left to right" : "mirrored top to bottom");
}

static bool is_plain_order(const ls_pixel_order *o) {
    return o->channels[0] == 0 && o->channels[1] == 1 && !o->flip_x && !o->flip_y && !o->is_turned && !o->is_reread;
}

/* ------------------------------------------------------------------ with the picture */

static bool same_geometry(const ls_pixel_plan *a, const ls_pixel_plan *b) {
    const ls_geometry *g = &a->geometry, *h = &b->geometry;
    const bool covers = g->placing == LS_PLACING_LETTERBOX && h->placing == LS_PLACING_LETTERBOX; /* only then borders show */
    bool same = g->placing == h->placing && g->width == h->width && g->height == h->height && g->left == h->left && g->top == h->top && g->rows == h->rows && g->columns == h->columns;
    for (int c = 0; c < 3 && covers; c++)
        same = same && fabs(a->border[c] - b->border[c]) < 1.5;
    return same;
}

static bool is_truncated(const ls_way *w) { return w->arithmetic == LS_ARITHMETIC_TRUNCATED; }

static bool is_unrounded(const ls_way *w) { return w->arithmetic == LS_ARITHMETIC_UNROUNDED; }

/* How it is rounded to the nearest 8-bit value makes a step at most, and is no fault. */
static bool same_filter(const ls_pixel_plan *a, const ls_pixel_plan *b) {
    if (a->filter == NULL || b->filter == NULL)
        return true; /* the sizes say so */
    return a->filter == b->filter && a->way->sampling == b->way->sampling && is_truncated(a->way) == is_truncated(b->way);
}

static bool same_order(const ls_pixel_order *a, const ls_pixel_order *b) { return memcmp(a, b, sizeof *a) == 0; }

static void put_orders(const ls_pixel_plan plans[2], const ls_pixels sides[2], ls_text *out) {
    static const char *const names[] = {"reference", "candidate"};
    const char *comma = "";
    for (int i = 1; i >= 0; i--) {
        if (is_plain_order(&plans[i].order))
            continue;
        ls_text_printf(out, "%sin the %s, ", comma, names[i]);
        put_order(&plans[i].order, sides[i].is_interleaved, out);
        comma = "; ";
    }
}

static void put_way(const ls_pixel_plan *p, ls_text *out) { ls_text_printf(out, "%s, %s", p->filter->name, p->way->meaning); }

static bool agree_by_place(const ls_pixel_plan plans[2]) {
    const ls_pixel_scale a = ls_pixel_scale_by_place(&plans[0].scale, &plans[0].order), b = ls_pixel_scale_by_place(&plans[1].scale, &plans[1].order);
    return ls_pixel_scales_agree(&a, &b);
}

static void compare_plans(const ls_pixel_plan plans[2], const ls_pixels sides[2], finding *out) {
    ls_text *text;
    if (!same_geometry(&plans[0], &plans[1])) {
        text = begin_part(out, PART_GEOMETRY);
        ls_text_printf(text, "the candidate's picture is ");
        ls_pixel_geometry_text(&plans[1], &sides[1], text);
        ls_text_printf(text, ", where the reference's is ");
        ls_pixel_geometry_text(&plans[0], &sides[0], text);
    }
    if (plans[0].geometry.by_column != plans[1].geometry.by_column) {
        text = begin_part(out, PART_TILES);
        ls_text_printf(text, "the %s's tiles are numbered by column", plans[1].geometry.by_column ? "candidate" : "reference");
    }
    if (!same_filter(&plans[0], &plans[1])) {
        text = begin_part(out, PART_FILTER);
        ls_text_printf(text, "the candidate is resized with ");
        put_way(&plans[1], text);
        ls_text_printf(text, ", where the reference has ");
        put_way(&plans[0], text);
    }
    if (same_filter(&plans[0], &plans[1]) && plans[0].filter != NULL && is_unrounded(plans[0].way) != is_unrounded(plans[1].way))
        ls_text_printf(begin_part(out, PART_ROUNDING), "the %s is not rounded to 8 bits after it was resized, as the %s is", is_unrounded(plans[1].way) ? "candidate" : "reference",
                       is_unrounded(plans[1].way) ? "reference" : "candidate");
    if (!same_order(&plans[0].order, &plans[1].order))
        put_orders(plans, sides, begin_part(out, PART_ORDER));
    if (!ls_pixel_scales_agree(&plans[0].scale, &plans[1].scale) && !agree_by_place(plans)) {
        text = begin_part(out, PART_SCALE);
        ls_text_printf(text, "the candidate has ");
        ls_pixel_scale_text(&plans[1].scale, text);
        ls_text_printf(text, ", where the reference has ");
        ls_pixel_scale_text(&plans[0].scale, text);
    }
}

static bool find_plans(const char *path, const ls_pixels sides[2], ls_pixel_plan plans[2]) {
    ls_image picture;
    lockstep_error error;
    if (ls_image_open(path, &picture, &error) != LOCKSTEP_OK)
        return false;
    bool found = true;
    for (int side = 0; side < 2 && found; side++)
        found = ls_pixel_plan_find(&picture, &sides[side], &plans[side], &error) == LOCKSTEP_OK && plans[side].steps <= LS_PLAN_STEPS;
    ls_image_free(&picture);
    return found;
}

/* Both sides' ways from the picture are known, and differ. */
static bool explain_by_picture(const ls_evidence *e, const ls_pixels sides[2], finding *out, ls_cause *cause) {
    ls_pixel_plan plans[2];
    if (e->diff->options.image == NULL || !find_plans(e->diff->options.image, sides, plans))
        return false;
    compare_plans(plans, sides, out);
    if (out->parts == 0)
        return false;
    ls_text_printf(&out->what, " (computed from the picture, the candidate is met to %.2f 8-bit steps, the reference to %.2f)", plans[1].steps, plans[0].steps);
    cause->residual = fmax(plans[0].left, plans[1].left);
    out->free = 20; /* two lines for each colour of each side, borders, and what was chosen of a list */
    return true;
}

/* ------------------------------------------------------------------ without it */

/* The candidate's scale, if the reference has this one. */
static ls_pixel_scale scale_behind(const ls_pixel_scale *reference, const ls_line lines[3]) {
    ls_pixel_scale out;
    for (int c = 0; c < 3; c++) {
        out.slope[c] = lines[c].slope * reference->slope[c];
        out.offset[c] = lines[c].slope * reference->offset[c] + lines[c].offset;
    }
    return out;
}

/* Whether values come from 0 to 255. */
static bool can_have(const ls_pixels *p, const ls_pixel_scale *s) {
    const size_t plane = p->height * p->width;
    const double slack = 1;
    for (size_t i = 0; i < p->images * 3 * plane; i++) {
        const size_t c = p->is_interleaved ? i % 3 : i / plane % 3;
        const double value = (p->values[i] - s->offset[c]) / s->slope[c];
        if (p->values[i] != 0 && !(value >= -slack && value <= 255 + slack)) /* tiles that aren't used are 0 */
            return false;
    }
    return true;
}

/* The same but for an 8-bit step, of which the values' range has 255 at most. */
static bool is_same_scale(const ls_pixel_relation *r, const ls_pixels *reference) {
    double least = INFINITY, most = -INFINITY;
    for (size_t i = 0; i < reference->images * 3 * reference->height * reference->width; i++) {
        least = fmin(least, reference->values[i]);
        most = fmax(most, reference->values[i]);
    }
    for (int c = 0; c < 3; c++)
        if (fabs((r->lines[c].slope - 1) * least + r->lines[c].offset) > (most - least) / 255 || fabs((r->lines[c].slope - 1) * most + r->lines[c].offset) > (most - least) / 255)
            return false;
    return true;
}

/* Whether both sides have the same known scale for each place, where the candidate's colours are in others. */
static bool is_scale_of_places(const ls_pixel_relation *r, const ls_pixels *reference) {
    bool any = false;
    for (size_t i = 0; i < ls_known_scale_count() && !any && !is_plain_order(&r->order); i++) {
        const ls_known_scale known = ls_known_scale_at(i);
        const ls_pixel_scale other = scale_behind(&known.scale, r->lines), by_place = ls_pixel_scale_by_place(&other, &r->order);
        any = ls_pixel_scales_agree(&by_place, &known.scale) && can_have(reference, &known.scale);
    }
    return any;
}

/* Two known scales, if their values can be those, or else the line itself. */
static void put_scales(const ls_pixel_relation *r, const ls_pixels *reference, ls_text *out) {
    for (size_t i = 0; i < ls_known_scale_count(); i++) {
        const ls_known_scale known = ls_known_scale_at(i);
        const ls_pixel_scale other = scale_behind(&known.scale, r->lines);
        if (!ls_pixel_scale_is_known(&other) || !can_have(reference, &known.scale))
            continue;
        ls_text_printf(out, "the candidate has ");
        ls_pixel_scale_text(&other, out);
        ls_text_printf(out, ", where the reference has %s", known.name);
        return;
    }
    const ls_line *l = r->lines;
    ls_text_printf(out, "the candidate is the reference times [%.4g, %.4g, %.4g] plus [%.4g, %.4g, %.4g], by colour: another mean, std or rescale factor", l[0].slope, l[1].slope, l[2].slope,
                   l[0].offset, l[1].offset, l[2].offset);
}

static void put_tiles(const ls_pixel_relation *r, size_t count, ls_text *out) {
    ls_text_printf(out, "the candidate's tiles are in another order: the reference's tiles 0, 1, … are its");
    for (size_t i = 0; i < count && i < 12; i++)
        ls_text_printf(out, "%s %zu", i > 0 ? "," : "", r->tiles[i]);
    ls_text_printf(out, count > 12 ? ", …" : "");
}

/* What is left is a few 8-bit steps of a picture's usual spread, and far less than before. */
static bool is_little(const ls_pixel_relation *r) {
    const double most = 0.02;
    return r->left <= most && (is_plain_order(&r->order) && !r->has_tiles ? true : r->left <= 0.2 * r->plain);
}

static bool explain_by_relation(const ls_pixels sides[2], finding *out, ls_cause *cause) {
    ls_pixel_relation r;
    if (!ls_pixel_relation_find(&sides[0], &sides[1], &r) || !is_little(&r))
        return false;
    if (!is_plain_order(&r.order)) {
        ls_text *text = begin_part(out, PART_ORDER);
        ls_text_printf(text, "in the candidate, ");
        put_order(&r.order, sides[1].is_interleaved, text);
    }
    if (r.has_tiles)
        put_tiles(&r, sides[0].images, begin_part(out, PART_TILES));
    if (!is_same_scale(&r, &sides[0]) && !is_scale_of_places(&r, &sides[0])) {
        put_scales(&r, &sides[0], begin_part(out, PART_SCALE));
        out->free = 6;
    }
    cause->residual = r.left;
    return out->parts > 0;
}

/* ------------------------------------------------------------------ steps */

/* Both sides are in 8 bits, and no more than a step apart. */
static bool explain_by_steps(const ls_evidence *e, finding *out, ls_cause *cause) {
    ls_eight_bits s;
    if (e->aligned == NULL || !ls_eight_bits_of(&e->aligned->layout.reference, &e->aligned->layout.candidate, &s))
        return false;
    ls_text *text = begin_part(out, PART_ROUNDING);
    ls_text_printf(text, "one 8-bit step at most: the candidate's pixels are a step above the reference's in %.1f %% of the elements, and a step below in %.1f %%: ", 100 * s.up, 100 * s.down);
    const bool is_half = s.up + s.down > 0.2; /* of what is cut off, about half is a step lower */
    ls_text_printf(text, is_half && s.up < 0.02 * s.down ? "cut off where the reference is rounded" : is_half && s.down < 0.02 * s.up ? "rounded where the reference is cut off" : "resized or rounded by another library");
    cause->residual = NAN;
    return true;
}

/* ------------------------------------------------------------------ borders */

static bool has_borders(const ls_pixel_borders *b) { return b->top + b->bottom + b->left + b->right >= 2; }

static void put_borders(const ls_pixel_borders *b, const ls_pixels *p, bool of_candidate, ls_text *out) {
    ls_text_printf(out, "the %s has borders of one colour (%zu rows above, %zu below, %zu columns on the left, %zu on the right of %zux%zu pixels), where the %s's picture fills all: a letterbox against a stretched "
                        "or cropped picture",
                   of_candidate ? "candidate" : "reference", b->top, b->bottom, b->left, b->right, p->width, p->height, of_candidate ? "reference" : "candidate");
}

/* One side has borders, inside of which is the other's picture. It was resized twice, so that much is left. */
static bool explain_by_borders(const ls_pixels sides[2], finding *out, ls_cause *cause) {
    const double most = 0.35;
    ls_pixel_relation r;
    const ls_pixel_order plain = ls_pixel_order_of(0);
    if (sides[0].images > 1 || sides[1].images > 1 || !ls_pixel_relation_find(&sides[0], &sides[1], &r))
        return false;
    const ls_pixel_borders borders[2] = {ls_pixel_borders_of(&sides[0], &plain), ls_pixel_borders_of(&sides[1], &plain)};
    if (has_borders(&borders[0]) == has_borders(&borders[1]))
        return false;
    const int at = has_borders(&borders[1]);
    double best = INFINITY;
    ls_pixel_order order = plain;
    for (size_t i = 0; i < 6; i++) {
        const ls_pixel_order o = ls_pixel_order_of(i);
        const double left = ls_pixel_borders_left(&sides[at], &o, &borders[at], &sides[1 - at], &plain);
        if (left < 0.8 * best) {
            best = left;
            order = o;
        }
    }
    if (best > most || best > 0.6 * r.left)
        return false;
    put_borders(&borders[at], &sides[at], at == 1, begin_part(out, PART_GEOMETRY));
    if (!is_plain_order(&order)) {
        ls_text *text = begin_part(out, PART_ORDER);
        ls_text_printf(text, "its ");
        put_order(&order, false, text);
    }
    cause->residual = best;
    return true;
}

/* ------------------------------------------------------------------ the rule */

/* Elements that differ; all of them where shapes do. */
static size_t count_values(const ls_pixels sides[2]) {
    const size_t counts[2] = {sides[0].images * 3 * sides[0].height * sides[0].width, sides[1].images * 3 * sides[1].height * sides[1].width};
    size_t differ = 0;
    for (size_t i = 0; counts[0] == counts[1] && i < counts[0]; i++)
        differ += sides[0].values[i] != sides[1].values[i];
    return counts[0] == counts[1] ? differ : counts[1];
}

static bool explain(const ls_evidence *e, const ls_pixels sides[2], ls_cause *out) {
    finding f = {0};
    bool found = explain_by_picture(e, sides, &f, out) || explain_by_relation(sides, &f, out) || explain_by_steps(e, &f, out) || explain_by_borders(sides, &f, out);
    const char *what = found && f.what.data != NULL ? ls_arena_copy(&e->diff->arena, f.what.data, f.what.length) : NULL;
    ls_text_done(&f.what);
    out->values = count_values(sides);
    out->free = f.free;
    const bool has_metrics = e->pair->mark.verdict == LS_VERDICT_DIVERGED;
    if (what == NULL || out->values <= out->free || (has_metrics && out->residual > 0.5 * e->pair->metrics.rel_l2))
        return false; /* what it leaves has to be far less */
    out->id = f.parts == 1 ? part_ids[f.last] : out->id;
    ls_cause_set_text(out, "what", what);
    return true;
}

static bool is_tried(const ls_node *n) { return ls_node_is_picture(n) || ls_node_may_be_picture(n); }

bool ls_fit_pixels(const ls_evidence *e, ls_cause *out) {
    const ls_trace *traces[2] = {e->diff->in.reference.trace, e->diff->in.candidate.trace};
    const size_t nodes[2] = {e->pair->reference_value, e->pair->candidate_value};
    ls_pixels sides[2] = {{0}};
    bool ok = is_tried(&traces[0]->nodes[nodes[0]]) && is_tried(&traces[1]->nodes[nodes[1]]);
    for (int i = 0; i < 2 && ok; i++)
        ok = ls_pixels_open(traces[i], nodes[i], &sides[i]);
    ok = ok && explain(e, sides, out);
    for (int i = 0; i < 2; i++)
        ls_pixels_close(&sides[i]);
    return ok;
}
