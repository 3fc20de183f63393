#include "align/rows.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/map.h"

/* Identity of a row: its history and itself, hashed. */
typedef struct row_id {
    uint64_t history;
    int32_t position;
} row_id;

typedef struct side {
    const ls_trace *trace;
    row_id **ids;  /* per pass, per row; NULL where unknown */
    bool **used;   /* has a partner */
    size_t rows;
} side;

static uint64_t mix(uint64_t history, uint64_t token) {
    uint64_t h = (history ^ token * 0x9e3779b97f4a7c15u) + 0x632be59bd9b4e019u;
    h = (h ^ h >> 32) * 0xd6e8feb86659fd93u;
    return h ^ h >> 32;
}

/* The history of (context, sequence) up to a position, over all passes so far. */
static uint64_t *history_at(ls_map *histories, const ls_pass *pass, int32_t sequence, int32_t position) {
    int64_t key[3] = {(int64_t)pass->process << 32 | pass->context, sequence, position};
    return ls_map_at(histories, (const char *)key, sizeof key);
}

/* Its positions may still come. */
static bool is_still_told(const ls_trace *t, const ls_pass *pass) {
    return t->memory != NULL && pass->positions == NULL && !pass->ended;
}

static bool identify(side *s, lockstep_error *error) {
    ls_map histories = {0};
    size_t passes = s->trace->pass_count;
    s->ids = calloc(passes + 1, sizeof *s->ids);
    s->used = calloc(passes + 1, sizeof *s->used);
    bool ok = s->ids != NULL && s->used != NULL;
    for (size_t p = 0; ok && p < passes; p++) {
        const ls_pass *pass = &s->trace->passes[p];
        if (pass->tokens == NULL || is_still_told(s->trace, pass))
            continue;
        s->ids[p] = calloc(pass->rows, sizeof **s->ids);
        s->used[p] = calloc(pass->rows, sizeof **s->used);
        ok = s->ids[p] != NULL && s->used[p] != NULL;
        for (size_t r = 0; ok && r < pass->rows; r++) {
            int32_t position = pass->positions != NULL ? pass->positions[r] : (int32_t)r;
            int32_t sequence = pass->sequences != NULL ? pass->sequences[r] : 0;
            const uint64_t *before = position > 0 ? history_at(&histories, pass, sequence, position - 1) : NULL;
            uint64_t history = mix(before != NULL ? *before : 0, (uint64_t)(uint32_t)pass->tokens[r]);
            uint64_t *here = history_at(&histories, pass, sequence, position);
            ok = here != NULL;
            if (ok)
                *here = history;
            s->ids[p][r] = (row_id){history, position};
            s->rows++;
        }
    }
    ls_map_done(&histories);
    if (!ok)
        ls_fail(error, LOCKSTEP_NO_MEMORY, "out of memory");
    return ok;
}

static void forget(side *s) {
    for (size_t p = 0; p < s->trace->pass_count; p++) {
        if (s->ids != NULL)
            free(s->ids[p]);
        if (s->used != NULL)
            free(s->used[p]);
    }
    free(s->ids);
    free(s->used);
}

/* Rows of two passes that are the same and free; returns how many. */
static size_t common_rows(const side *ref, size_t rp, const side *cand, size_t cp, ls_row_pair *out) {
    size_t count = 0, from = 0, reference_rows = ref->trace->passes[rp].rows;
    for (size_t c = 0; c < cand->trace->passes[cp].rows; c++) {
        if (cand->used[cp][c])
            continue;
        for (size_t k = 0; k < reference_rows; k++) { /* rows mostly come in the same order */
            size_t r = (from + k) % reference_rows;
            const row_id *a = &ref->ids[rp][r], *b = &cand->ids[cp][c];
            if (!ref->used[rp][r] && a->history == b->history && a->position == b->position) {
                out[count++] = (ls_row_pair){(uint32_t)r, (uint32_t)c};
                from = r + 1;
                break;
            }
        }
    }
    return count;
}

static bool add_pair(ls_rows *rows, size_t rp, size_t cp, ls_row_pair *list, size_t count, bool whole) {
    ls_pass_pair *bigger = reallocarray(rows->pairs, rows->pair_count + 1, sizeof *bigger);
    if (bigger == NULL)
        return false;
    rows->pairs = bigger;
    bigger[rows->pair_count++] = (ls_pass_pair){rp, cp, list, count, whole};
    return true;
}

static bool is_whole(const side *ref, size_t rp, const side *cand, size_t cp, const ls_row_pair *list, size_t count) {
    if (count != ref->trace->passes[rp].rows || count != cand->trace->passes[cp].rows)
        return false;
    for (size_t i = 0; i < count; i++)
        if (list[i].reference != i || list[i].candidate != i)
            return false;
    return true;
}

/* Pairs one pass of the candidate with passes of the reference that share all the
 * rows of one of the two: a warm-up run shares its first token at most. */
static bool pair_pass(ls_rows *rows, side *ref, side *cand, size_t cp) {
    size_t candidate_rows = cand->trace->passes[cp].rows;
    for (size_t rp = 0; rp < ref->trace->pass_count; rp++) {
        if (ref->ids[rp] == NULL)
            continue;
        ls_row_pair *list = malloc((candidate_rows + 1) * sizeof *list);
        if (list == NULL)
            return false;
        size_t count = common_rows(ref, rp, cand, cp, list);
        if (count == 0 || (count < candidate_rows && count < ref->trace->passes[rp].rows)) {
            free(list);
            continue;
        }
        if (!add_pair(rows, rp, cp, list, count, is_whole(ref, rp, cand, cp, list, count))) {
            free(list);
            return false;
        }
        for (size_t i = 0; i < count; i++)
            ref->used[rp][list[i].reference] = cand->used[cp][list[i].candidate] = true;
        rows->matched += count;
    }
    return true;
}

/* A pass without tokens (an encoder's, say) answers to those of the reference between
 * the same passes with tokens, and to the one after them, which may have done its work. */
static bool pair_silent(ls_rows *rows, const side *ref, const side *cand, size_t cp) {
    size_t rp = 0, passes = ref->trace->pass_count;
    if (cand->trace->passes[cp].tokens != NULL)
        return true;
    for (size_t i = 0; i < rows->pair_count; i++)
        if (cand->ids[rows->pairs[i].candidate] != NULL && rows->pairs[i].reference >= rp)
            rp = rows->pairs[i].reference + 1;
    for (bool silent = true; silent && rp < passes; rp++) {
        silent = ref->ids[rp] == NULL;
        if (!add_pair(rows, rp, cp, NULL, 0, true))
            return false;
    }
    return true;
}

/* ------------------------------------------------------------ what to say of it */

static size_t first_pass_with_tokens(const ls_trace *t) {
    for (size_t p = 0; p < t->pass_count; p++)
        if (t->passes[p].tokens != NULL)
            return p;
    return LS_NONE;
}

static size_t unmatched_pass(const side *s) {
    for (size_t p = 0; p < s->trace->pass_count; p++)
        for (size_t r = 0; s->ids[p] != NULL && r < s->trace->passes[p].rows; r++)
            if (!s->used[p][r])
                return p;
    return LS_NONE;
}

static size_t common_prefix(const ls_pass *a, const ls_pass *b) {
    size_t n = 0;
    while (n < a->rows && n < b->rows && a->tokens[n] == b->tokens[n] &&
           (a->positions == NULL || b->positions == NULL || a->positions[n] == b->positions[n]))
        n++;
    return n;
}

/* The candidate's pass that has most to do with a pass of the reference. */
static size_t closest_pass(const ls_trace *candidate, const ls_pass *pass) {
    size_t best = LS_NONE, best_score = 0;
    for (size_t p = 0; p < candidate->pass_count; p++) {
        const ls_pass *other = &candidate->passes[p];
        if (other->tokens == NULL)
            continue;
        size_t gap = other->rows > pass->rows ? other->rows - pass->rows : pass->rows - other->rows;
        size_t score = 1000000 + 2 * common_prefix(pass, other) - (gap < 500000 ? gap : 500000);
        if (best == LS_NONE || score > best_score)
            best = p, best_score = score;
    }
    return best;
}

static bool has_extra(const ls_pass *longer, const ls_pass *shorter, size_t at) {
    return longer->rows == shorter->rows + 1 &&
           memcmp(longer->tokens, shorter->tokens, at * sizeof *longer->tokens) == 0 &&
           memcmp(longer->tokens + at + 1, shorter->tokens + at, (shorter->rows - at) * sizeof *longer->tokens) == 0;
}

static void say_difference(ls_rows *rows, const ls_pass *ref, const ls_pass *cand) {
    size_t at = common_prefix(ref, cand);
    rows->difference_at = at;
    if (has_extra(cand, ref, at < ref->rows ? at : ref->rows))
        ls_text_printf(&rows->message, "token ids differ: the candidate has one extra token %d at position %zu%s",
                       cand->tokens[at], at, at > 0 && cand->tokens[at] == cand->tokens[at - 1] ? " (the same as before it: doubled)" : "");
    else if (has_extra(ref, cand, at < cand->rows ? at : cand->rows))
        ls_text_printf(&rows->message, "token ids differ: the candidate lacks token %d at position %zu%s", ref->tokens[at], at,
                       at > 0 && ref->tokens[at] == ref->tokens[at - 1] ? " (the reference has it twice: doubled)" : "");
    else if (at < ref->rows && at < cand->rows && ref->tokens[at] == cand->tokens[at])
        ls_text_printf(&rows->message, "positions differ at row %zu: %d in the reference, %d in the candidate", at,
                       ref->positions[at], cand->positions[at]);
    else if (at < ref->rows && at < cand->rows)
        ls_text_printf(&rows->message, "token ids differ at position %zu: %d in the reference, %d in the candidate", at,
                       ref->tokens[at], cand->tokens[at]);
    else
        ls_text_printf(&rows->message, "token ids differ at position %zu: the reference has %zu tokens, the candidate %zu", at,
                       ref->rows, cand->rows);
    if (ref->rows != cand->rows)
        ls_text_printf(&rows->message, " (%zu tokens against %zu)", ref->rows, cand->rows);
}

static int32_t position_of(const ls_pass *pass, size_t row) {
    return pass->positions != NULL ? pass->positions[row] : (int32_t)row;
}

/* No row of the candidate lies beyond the last that has a partner: it only stopped
 * sooner. (A warm-up run lies before it.) */
static bool ended_earlier(const side *ref, const side *cand) {
    int32_t last = -1, first_missing = INT32_MAX;
    for (size_t p = 0; p < ref->trace->pass_count; p++)
        for (size_t r = 0; ref->ids[p] != NULL && r < ref->trace->passes[p].rows; r++)
            if (!ref->used[p][r] && position_of(&ref->trace->passes[p], r) < first_missing)
                first_missing = position_of(&ref->trace->passes[p], r);
    for (size_t p = 0; p < cand->trace->pass_count; p++)
        for (size_t r = 0; cand->ids[p] != NULL && r < cand->trace->passes[p].rows; r++)
            if (position_of(&cand->trace->passes[p], r) > last)
                last = position_of(&cand->trace->passes[p], r);
    return last < first_missing;
}

static void judge(ls_rows *rows, const side *ref, const side *cand) {
    size_t first = first_pass_with_tokens(ref->trace), missing = unmatched_pass(ref);
    rows->first_reference_pass = missing;
    if (missing == LS_NONE) {
        rows->status = LS_INPUTS_EQUAL;
        return;
    }
    rows->status = missing == first ? LS_INPUTS_DIFFER : ended_earlier(ref, cand) ? LS_INPUTS_SHORTER : LS_INPUTS_PARTIAL;
    if (rows->status != LS_INPUTS_DIFFER) {
        ls_text_printf(&rows->message, "%s: from pass %zu of the reference on, rows have no partner (%zu of %zu rows paired)",
                       rows->status == LS_INPUTS_SHORTER ? "the candidate ended earlier" : "other tokens",
                       missing, rows->matched, ref->rows);
        return;
    }
    size_t closest = closest_pass(cand->trace, &ref->trace->passes[first]);
    if (closest != LS_NONE)
        say_difference(rows, &ref->trace->passes[first], &cand->trace->passes[closest]);
}

static bool tells_tokens(const ls_trace *t) { return first_pass_with_tokens(t) != LS_NONE; }

/* A candidate that is still running, so far without tokens, as the reference began. */
static bool may_begin_silent(const ls_trace *reference, const ls_trace *candidate) {
    return candidate->memory != NULL && first_pass_with_tokens(reference) > 0;
}

static lockstep_status pair_in_order(const ls_trace *ref, const ls_trace *cand, ls_rows *rows, lockstep_error *error) {
    rows->status = LS_INPUTS_UNKNOWN;
    for (size_t p = 0; p < ref->pass_count && p < cand->pass_count; p++)
        if (!add_pair(rows, p, p, NULL, 0, true))
            return ls_fail(error, LOCKSTEP_NO_MEMORY, "out of memory");
    return LOCKSTEP_OK;
}

lockstep_status ls_rows_pair(const ls_trace *reference, const ls_trace *candidate, ls_rows *out_rows,
                             lockstep_error *error) {
    ls_rows rows = {.first_reference_pass = LS_NONE, .difference_at = LS_NONE};
    lockstep_status status = LOCKSTEP_OK;
    if (!tells_tokens(reference) || (!tells_tokens(candidate) && !may_begin_silent(reference, candidate))) {
        status = pair_in_order(reference, candidate, &rows, error);
    } else {
        side ref = {.trace = reference}, cand = {.trace = candidate};
        bool ok = identify(&ref, error) && identify(&cand, error);
        for (size_t cp = 0; ok && cp < candidate->pass_count; cp++)
            ok = cand.ids[cp] != NULL ? pair_pass(&rows, &ref, &cand, cp) : pair_silent(&rows, &ref, &cand, cp);
        rows.reference_rows = ref.rows;
        rows.candidate_rows = cand.rows;
        if (ok)
            judge(&rows, &ref, &cand);
        else
            status = ls_fail(error, LOCKSTEP_NO_MEMORY, "out of memory");
        forget(&ref);
        forget(&cand);
    }
    if (status == LOCKSTEP_OK)
        *out_rows = rows;
    else
        ls_rows_done(&rows);
    return status;
}

void ls_rows_done(ls_rows *rows) {
    for (size_t i = 0; i < rows->pair_count; i++)
        free(rows->pairs[i].rows);
    free(rows->pairs);
    ls_text_done(&rows->message);
    *rows = (ls_rows){0};
}

size_t ls_rows_from(const ls_rows *rows, size_t pass) {
    size_t low = 0, high = rows->pair_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (rows->pairs[middle].candidate < pass)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

const char *ls_inputs_status_name(ls_inputs_status status) {
    static const char *const names[] = {"equal", "shorter", "partial", "differ", "unknown"};
    return names[status];
}
