#include "result/result.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/escape.h"
#include "base/map.h"

enum { SHOWN = 10 };

typedef struct comparison {
    ls_map earlier; /* key -> case of the baseline + 1 */
    ls_map now;     /* key -> 1 */
    const ls_result *baseline;
    ls_text *out;
    ls_changes *changes;
    ls_text better; /* comes after what is worse */
    size_t shown, better_shown;
} comparison;

static bool is_bad(const ls_case *c) { return c->state != LS_CASE_PASSES; }

static const ls_case *earlier_of(const comparison *c, const char *key) {
    const uint64_t *at = ls_map_find(&c->earlier, key, strlen(key));
    return at != NULL && *at > 0 ? &c->baseline->cases[*at - 1] : NULL;
}

static void put(ls_text *out, const char *what, const ls_case *own, const ls_case *before) {
    char name[400];
    ls_escape(own->name, strlen(own->name), name, sizeof name);
    ls_text_printf(out, "  %s: %s", what, name);
    if (before != NULL && !isnan(before->error) && !isnan(own->error))
        ls_text_printf(out, ", error %.1e -> %.1e", before->error, own->error);
    else if (!isnan(own->error))
        ls_text_printf(out, ", error %.1e", own->error);
    ls_text_printf(out, "\n");
}

static void put_bad(comparison *c, const char *what, const ls_case *own, const ls_case *before) {
    if (c->shown++ < SHOWN)
        put(c->out, what, own, before);
}

static void put_better(comparison *c, const ls_case *own, const ls_case *before) {
    c->changes->repaired++;
    if (c->better_shown++ < SHOWN)
        put(&c->better, "better", own, before);
}

/* Of two that fail: it can be compared no longer, has no finite error now, or a far larger one. */
static bool is_worse(const ls_case *own, const ls_case *before) {
    const double much = 2; /* times the error of before */
    const bool is_known = !isnan(own->error), was_known = !isnan(before->error);
    return (was_known && !is_known) || (is_known && was_known && (own->error > much * before->error || (isinf(own->error) && !isinf(before->error))));
}

/* What follows from another failure is not counted for itself. */
static void compare_case(comparison *c, const ls_case *own) {
    const ls_case *before = earlier_of(c, own->key);
    const bool is_other_verdict = before != NULL && own->pair == NULL && strcmp(own->verdict, before->verdict) != 0; /* such as inputs that differ now */
    const bool was_bad = before != NULL && is_bad(before) && !is_other_verdict;
    if (own->state == LS_CASE_FAILS && !was_bad) {
        c->changes->new_failures++;
        put_bad(c, "new", own, before);
    } else if (own->state == LS_CASE_FAILS && is_worse(own, before)) {
        c->changes->worse++;
        put_bad(c, "worse", own, before);
    } else if (!is_bad(own) && was_bad && !(own->error > before->error)) {
        put_better(c, own, before);
    }
}

/* A pair that was compared, and no longer is; findings and faults that are gone are repaired. */
static void look_for_lost(comparison *c) {
    for (size_t i = 0; i < c->baseline->count; i++) {
        const ls_case *before = &c->baseline->cases[i];
        if (ls_map_find(&c->now, before->key, strlen(before->key)) != NULL)
            continue;
        if (before->pair == NULL && is_bad(before))
            put_better(c, before, NULL);
        if (before->pair == NULL)
            continue;
        c->changes->gone++;
        put_bad(c, "no longer compared", before, NULL);
    }
}

static lockstep_status index_cases(const ls_result *r, ls_map *out, lockstep_error *error) {
    for (size_t i = 0; i < r->count; i++) {
        uint64_t *at = ls_map_at(out, r->cases[i].key, strlen(r->cases[i].key));
        if (at == NULL)
            return ls_fail(error, LOCKSTEP_NO_MEMORY, "out of memory");
        *at = *at == 0 ? i + 1 : *at;
    }
    return LOCKSTEP_OK;
}

static void put_summary(const comparison *c, ls_text *out) {
    const ls_changes *p = c->changes;
    ls_text_printf(out, "since the baseline: %zu new failure%s, %zu worse, %zu no longer compared, %zu better; %zu failed before\n", p->new_failures, p->new_failures == 1 ? "" : "s", p->worse, p->gone,
                   p->repaired, p->failed_before);
}

static void put_other_model(const ls_result *r, const ls_result *baseline, ls_text *out) {
    const char *now = ls_result_text(r->json, "reference.model"), *before = ls_result_text(baseline->json, "reference.model");
    char models[2][200];
    if (strcmp(now, before) == 0)
        return;
    ls_escape(now, strlen(now), models[0], sizeof models[0]);
    ls_escape(before, strlen(before), models[1], sizeof models[1]);
    ls_text_printf(out, "note: the baseline is of another model (%s, here %s)\n", models[1], models[0]);
}

lockstep_status ls_result_compare(const ls_result *r, const ls_result *baseline, ls_changes *out, ls_text *text, lockstep_error *error) {
    *out = (ls_changes){0};
    if (r->is_of_traces != baseline->is_of_traces)
        return ls_fail(error, LOCKSTEP_INVALID_ARGUMENT, "one result is of traces, the baseline of checkpoints (or vice versa)");
    ls_text lines = {0};
    comparison c = {.baseline = baseline, .out = &lines, .changes = out};
    lockstep_status status = index_cases(baseline, &c.earlier, error);
    if (status == LOCKSTEP_OK)
        status = index_cases(r, &c.now, error);
    out->failed_before = ls_result_count(baseline, true, LS_CASE_FAILS) + ls_result_count(baseline, false, LS_CASE_FAILS);
    put_other_model(r, baseline, text);
    for (size_t i = 0; i < r->count && status == LOCKSTEP_OK; i++)
        compare_case(&c, &r->cases[i]);
    if (status == LOCKSTEP_OK)
        look_for_lost(&c);
    if (c.shown > SHOWN)
        ls_text_printf(&lines, "  and %zu more\n", c.shown - SHOWN);
    ls_text_append(&lines, c.better.data != NULL ? c.better.data : "", c.better.length);
    if (c.better_shown > SHOWN)
        ls_text_printf(&lines, "  and %zu more that are better\n", c.better_shown - SHOWN);
    ls_text_done(&c.better);
    out->is_worse = out->new_failures + out->worse + out->gone > 0;
    put_summary(&c, text);
    ls_text_append(text, lines.data != NULL ? lines.data : "", lines.length);
    ls_text_done(&lines);
    ls_map_done(&c.earlier);
    ls_map_done(&c.now);
    return status;
}
