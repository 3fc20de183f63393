#include "report/chosen_rows.h"

#include <math.h>
#include <stdlib.h>

#include "base/grow.h"
#include "report/totals.h"

enum { BEFORE = 3, AFTER = 4, UNKNOWN = 5, ORIGINS = 8, WORST = 5, WORST_BY_ERROR = 20, LISTED = 20 };

double ls_error_of_pair(const ls_pair *p) {
    const bool is_measured = ls_pair_has_metrics(p) && p->mark.verdict != LS_VERDICT_NONFINITE && !isnan(p->metrics.rel_l2);
    return is_measured ? p->metrics.rel_l2 : INFINITY;
}

/* What goes into a choice: a reason for each pair, LS_ROW_FOLDED for those that are not shown. */
typedef struct choice {
    const ls_diff *diff;
    ls_row_reason *why;
    bool *repeated; /* origins of an earlier pass */
    bool is_apart;  /* the rows have nothing to do with each other: what lies between two of them means nothing */
} choice;

static bool is_origin(const choice *c, size_t i) {
    const ls_pair *p = &c->diff->pairs.items[i];
    return ls_pair_fails(p) && ls_pair_is_known(p) && !p->mark.downstream;
}

static void give(const choice *c, size_t pair, ls_row_reason why) {
    if (why > c->why[pair])
        c->why[pair] = why;
}

/* ------------------------------------------------------------------ reasons */

static size_t pass_of(const ls_diff *d, size_t pair) { return d->in.candidate.trace->nodes[d->pairs.items[pair].candidate].pass; }

/* Of its pass: another one repeats what this one shows. */
static void give_neighbors(const choice *c, size_t first) {
    const size_t pass = pass_of(c->diff, first);
    size_t before = 0;
    for (size_t i = first; i-- > 0 && before < BEFORE && pass_of(c->diff, i) == pass;)
        if (!ls_pair_fails(&c->diff->pairs.items[i])) {
            give(c, i, LS_ROW_BEFORE);
            before++;
        }
    for (size_t i = first + 1; i < c->diff->pairs.count && i <= first + AFTER && pass_of(c->diff, i) == pass; i++)
        give(c, i, LS_ROW_AFTER);
}

static void choose_failing(const choice *c) {
    const ls_diff_result *r = &c->diff->result;
    const size_t most = r->first != LS_NONE ? ORIGINS : LISTED;
    size_t origins = 0, unknown = 0;
    for (size_t i = 0; i < c->diff->pairs.count; i++) {
        if (is_origin(c, i) && !c->repeated[i] && origins++ < most)
            give(c, i, LS_ROW_ORIGIN);
        if (!ls_pair_is_known(&c->diff->pairs.items[i]) && unknown++ < UNKNOWN)
            give(c, i, LS_ROW_UNKNOWN);
    }
    if (r->first == LS_NONE)
        return;
    give_neighbors(c, r->first);
    for (size_t i = 0; i < r->inputs.count && i < AFTER; i++)
        give(c, r->inputs.items[i], LS_ROW_INPUT);
    give(c, r->first, LS_ROW_FIRST);
}

/* Of errors that are not zero. */
static void choose_worst(const choice *c, size_t most) {
    const ls_pairs *pairs = &c->diff->pairs;
    for (size_t n = 0; n < most; n++) {
        size_t worst = LS_NONE;
        for (size_t i = 0; i < pairs->count; i++) {
            const double error = ls_error_of_pair(&pairs->items[i]);
            if (c->why[i] == LS_ROW_FOLDED && error > 0 && (worst == LS_NONE || error > ls_error_of_pair(&pairs->items[worst])))
                worst = i;
        }
        if (worst == LS_NONE)
            return;
        give(c, worst, LS_ROW_WORST);
    }
}

static int layer_of(const ls_diff *d, size_t pair) { return d->in.candidate.trace->nodes[d->pairs.items[pair].candidate].layer; }

static bool choose_by_layer(const choice *c) {
    const ls_pairs *pairs = &c->diff->pairs;
    ls_map worst = {0}; /* layer -> pair + 1 */
    bool ok = true;
    for (size_t i = 0; ok && i < pairs->count; i++) {
        const int layer = layer_of(c->diff, i);
        uint64_t *known = ls_map_at(&worst, (const char *)&layer, sizeof layer);
        ok = known != NULL;
        if (!ok || (*known != 0 && !(ls_error_of_pair(&pairs->items[i]) > ls_error_of_pair(&pairs->items[*known - 1]))))
            continue;
        if (*known != 0)
            c->why[*known - 1] = LS_ROW_FOLDED;
        *known = i + 1;
        give(c, i, LS_ROW_WORST);
    }
    ls_map_done(&worst);
    return ok;
}

static bool has_failing(const ls_diff *d) {
    for (size_t i = 0; i < d->pairs.count; i++)
        if (ls_pair_fails(&d->pairs.items[i]))
            return true;
    return false;
}

static bool choose(choice *c, const ls_row_choice *wanted) {
    c->is_apart = wanted->order != LS_BY_EXECUTION;
    for (size_t i = 0; i < c->diff->pairs.count && wanted->all; i++)
        give(c, i, LS_ROW_ASKED);
    if (c->is_apart && wanted->all)
        return true;
    if (wanted->order == LS_BY_LAYER)
        return choose_by_layer(c);
    if (wanted->order == LS_BY_ERROR) {
        choose_worst(c, WORST_BY_ERROR);
    } else if (has_failing(c->diff)) {
        choose_failing(c);
        c->is_apart = !wanted->all && c->diff->result.first == LS_NONE;
    } else {
        choose_worst(c, WORST);
        c->is_apart = true;
    }
    return true;
}

/* ------------------------------------------------------------------ rows */

static void widen(ls_fold *f, int layer, size_t pass) {
    const bool is_empty = f->agree + f->explained + f->downstream + f->origins + f->again + f->unknown == 0;
    pass = pass == LS_NONE ? 0 : pass;
    f->first_pass = is_empty || pass < f->first_pass ? pass : f->first_pass;
    f->last_pass = is_empty || pass > f->last_pass ? pass : f->last_pass;
    if (layer >= 0 && (f->first_layer < 0 || layer < f->first_layer))
        f->first_layer = layer;
    if (layer > f->last_layer)
        f->last_layer = layer;
}

static void fold_in(const choice *c, size_t i, ls_fold *f) {
    const ls_pair *p = &c->diff->pairs.items[i];
    widen(f, layer_of(c->diff, i), pass_of(c->diff, i));
    size_t *count = !ls_pair_is_known(p)      ? &f->unknown
                    : is_origin(c, i)         ? (c->repeated[i] ? &f->again : &f->origins)
                    : ls_pair_fails(p)        ? &f->downstream
                    : p->mark.verdict == LS_VERDICT_EXPLAINED ? &f->explained
                                                              : &f->agree;
    ++*count;
    if (!ls_pair_fails(p) && (f->worst == LS_NONE || ls_error_of_pair(p) > ls_error_of_pair(&c->diff->pairs.items[f->worst])))
        f->worst = i;
}

static bool add(ls_chosen_rows *rows, ls_row_reason why, size_t pair) {
    void *items = rows->items;
    if (!ls_grow(&items, rows->count, &rows->capacity, sizeof *rows->items))
        return false;
    rows->items = items;
    rows->items[rows->count++] = (ls_chosen_row){.why = why, .pair = pair, .fold = {.worst = LS_NONE, .first_layer = -1, .last_layer = -1}};
    return true;
}

/* Counts a pair in the fold that is open; or opens one. */
static bool fold(const choice *c, size_t i, bool *open, ls_chosen_rows *out) {
    if (!*open && !add(out, LS_ROW_FOLDED, LS_NONE))
        return false;
    fold_in(c, i, &out->items[out->count - 1].fold);
    *open = true;
    return true;
}

/* The pairs that are shown, with a fold for all between two of them. */
static bool list_in_order(const choice *c, ls_chosen_rows *out) {
    bool ok = true, open = false;
    for (size_t i = 0; ok && i < c->diff->pairs.count; i++) {
        const bool shown = c->why[i] != LS_ROW_FOLDED;
        ok = shown ? add(out, c->why[i], i) : fold(c, i, &open, out);
        open = open && !shown;
    }
    return ok;
}

/* ------------------------------------------------------------------ other orders */

static int by_error(const void *a, const void *b, void *diff) {
    const ls_pair *pairs = ((const ls_diff *)diff)->pairs.items;
    const size_t x = ((const ls_chosen_row *)a)->pair, y = ((const ls_chosen_row *)b)->pair;
    const double p = ls_error_of_pair(&pairs[x]), q = ls_error_of_pair(&pairs[y]);
    return p != q ? (p < q) - (p > q) : (x > y) - (x < y);
}

static int by_layer(const void *a, const void *b, void *diff) {
    const size_t x = ((const ls_chosen_row *)a)->pair, y = ((const ls_chosen_row *)b)->pair;
    const int p = layer_of(diff, x), q = layer_of(diff, y);
    return p != q ? (p > q) - (p < q) : (x > y) - (x < y);
}

/* The pairs that are shown, in any order, with one fold for the rest. */
static bool list_apart(const choice *c, ls_row_order order, ls_chosen_rows *out) {
    bool ok = true, open = false;
    for (size_t i = 0; ok && i < c->diff->pairs.count; i++)
        ok = c->why[i] == LS_ROW_FOLDED || add(out, c->why[i], i);
    if (ok && out->count > 0 && order != LS_BY_EXECUTION)
        qsort_r(out->items, out->count, sizeof *out->items, order == LS_BY_ERROR ? by_error : by_layer, (void *)(uintptr_t)c->diff);
    for (size_t i = 0; ok && i < c->diff->pairs.count; i++)
        ok = c->why[i] != LS_ROW_FOLDED || fold(c, i, &open, out);
    return ok;
}

bool ls_chosen_rows_find(const ls_diff *d, const ls_row_choice *wanted, ls_chosen_rows *out) {
    const size_t count = d->pairs.count + 1;
    choice c = {.diff = d, .why = calloc(count, sizeof *c.why), .repeated = calloc(count, sizeof *c.repeated)};
    *out = (ls_chosen_rows){0};
    bool ok = c.why != NULL && c.repeated != NULL;
    if (ok) {
        ls_repeated_origins(d, c.repeated);
        ok = choose(&c, wanted) && (c.is_apart ? list_apart(&c, wanted->order, out) : list_in_order(&c, out));
    }
    free(c.why);
    free(c.repeated);
    if (!ok)
        ls_chosen_rows_done(out);
    return ok;
}

void ls_chosen_rows_done(ls_chosen_rows *rows) {
    free(rows->items);
    *rows = (ls_chosen_rows){0};
}
