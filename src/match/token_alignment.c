#include "match/token_alignment.h"

#include <stdlib.h>
#include <string.h>

#include "base/grow.h"
#include "match/alignment_state.h"
#include "match/dumped_pass.h"

/* Lists equal, unpaired rows of two passes, and returns how many there are. Several sequences may begin with
 * the same tokens: each is paired with the one that shares most with it, which its last shared row identifies. */
static size_t common_rows(const ls_row_side *ref, size_t rp, const ls_row_side *cand, size_t cp, ls_row_pair *out) {
    const ls_pass *pass = &cand->trace->passes[cp];
    size_t count = 0;
    for (size_t from = 0, end; from < pass->rows; from = end) {
        size_t last = LS_NONE;
        end = ls_rows_end_of_sequence(pass, from);
        for (size_t c = end; c-- > from && last == LS_NONE;)
            last = cand->used[cp][c] ? LS_NONE : ls_rows_free(ref, rp, &cand->ids[cp][c], NULL);
        int32_t sequence = last != LS_NONE ? ls_rows_sequence_of(&ref->trace->passes[rp], last) : 0;
        for (size_t c = from; last != LS_NONE && c < end; c++) {
            size_t r = cand->used[cp][c] ? LS_NONE : ls_rows_free(ref, rp, &cand->ids[cp][c], &sequence);
            if (r == LS_NONE)
                continue;
            out[count++] = (ls_row_pair){(uint32_t)r, (uint32_t)c};
            ref->used[rp][r] = true; /* so that no row is listed twice; the caller decides what is used */
        }
    }
    for (size_t i = 0; i < count; i++)
        ref->used[rp][out[i].reference] = false;
    return count;
}

/* Appends a pass pair, with a copy of the list of rows where there is one. */
static bool add_pair(ls_token_alignment *a, size_t rp, size_t cp, const ls_row_pair *list, size_t count, bool whole) {
    struct ls_token_alignment_state *state = a->state;
    ls_row_pair *copy = list != NULL ? malloc((count + 1) * sizeof *copy) : NULL;
    if ((list != NULL && copy == NULL) || !ls_grow((void **)&a->pairs, a->pair_count, &a->pair_capacity, sizeof *a->pairs)) {
        free(copy);
        return false;
    }
    if (list != NULL)
        memcpy(copy, list, count * sizeof *copy);
    a->pairs[a->pair_count++] = (ls_pass_pair){.reference = rp, .candidate = cp, .rows = copy, .row_count = count, .whole = whole};
    if (rp < state->reference.capacity)
        state->reference.paired[rp] = true;
    if (cp < state->candidate.capacity)
        state->candidate.paired[cp] = true;
    return true;
}

static bool is_whole(const ls_row_side *ref, size_t rp, const ls_row_side *cand, size_t cp, const ls_row_pair *list, size_t count) {
    if (count != ref->trace->passes[rp].rows || count != cand->trace->passes[cp].rows)
        return false;
    for (size_t i = 0; i < count; i++)
        if (list[i].reference != i || list[i].candidate != i)
            return false;
    return true;
}

/* Rows without padding. */
static size_t own_rows(const ls_row_side *s, size_t p) {
    size_t count = 0;
    for (size_t r = 0; r < s->trace->passes[p].rows; r++)
        count += !s->ids[p][r].padding;
    return count;
}

/* Do the rows of a list make up whole sequences of a side's pass? Two batches may share only some of their
 * sequences. */
static bool has_whole_sequences(const ls_row_side *s, size_t p, const ls_row_pair *list, size_t count, bool of_reference) {
    const ls_pass *pass = &s->trace->passes[p];
    bool *listed = pass->sequences != NULL ? calloc(pass->rows + 1, sizeof *listed) : NULL, whole = listed != NULL;
    for (size_t i = 0; whole && i < count; i++)
        listed[of_reference ? list[i].reference : list[i].candidate] = true;
    for (size_t r = 1; whole && r < pass->rows; r++) {
        bool both = pass->sequences[r] == pass->sequences[r - 1] && !s->ids[p][r].padding && !s->ids[p][r - 1].padding;
        whole = !both || listed[r] == listed[r - 1];
    }
    whole = whole && pass->rows > 0 && pass->sequences[0] != pass->sequences[pass->rows - 1];
    free(listed);
    return whole;
}

static bool room_for_rows(struct ls_token_alignment_state *state, size_t rows) {
    while (state->list_capacity < rows)
        if (!ls_grow((void **)&state->list, state->list_capacity, &state->list_capacity, sizeof *state->list))
            return false;
    return true;
}

/* The listed rows have their partners. */
static void use_rows(ls_token_alignment *a, size_t rp, size_t cp, size_t count) {
    struct ls_token_alignment_state *state = a->state;
    ls_row_side *ref = &state->reference, *cand = &state->candidate;
    for (size_t i = 0; i < count; i++)
        ref->used[rp][state->list[i].reference] = cand->used[cp][state->list[i].candidate] = true;
    ref->used_count[rp] += count;
    cand->used_count[cp] += count;
    a->matched += count;
}

/* Pairs one pass of the candidate with passes of the reference, where all rows of either pass are shared, or
 * whole sequences. (A warm-up run shares its first token at most.) */
static bool pair_pass(ls_token_alignment *a, size_t cp) {
    struct ls_token_alignment_state *state = a->state;
    ls_row_side *ref = &state->reference, *cand = &state->candidate;
    size_t candidate_rows = cand->trace->passes[cp].rows;
    if (!room_for_rows(state, candidate_rows))
        return false;
    while (state->first_free < ref->seen &&
           (ref->ids[state->first_free] == NULL || ref->used_count[state->first_free] == ref->trace->passes[state->first_free].rows))
        state->first_free++;
    for (size_t rp = state->first_free; rp < ref->seen && cand->used_count[cp] < candidate_rows; rp++) {
        size_t reference_rows = ref->trace->passes[rp].rows;
        if (ref->ids[rp] == NULL || ref->used_count[rp] == reference_rows)
            continue;
        size_t count = common_rows(ref, rp, cand, cp, state->list);
        if (count == 0 || (count < own_rows(cand, cp) && count < own_rows(ref, rp) && !has_whole_sequences(ref, rp, state->list, count, true) &&
                           !has_whole_sequences(cand, cp, state->list, count, false)))
            continue;
        if (!add_pair(a, rp, cp, state->list, count, is_whole(ref, rp, cand, cp, state->list, count)))
            return false;
        use_rows(a, rp, cp, count);
        state->after_tokens = rp + 1 > state->after_tokens ? rp + 1 : state->after_tokens;
    }
    return true;
}

/* Pairs a pass without tokens (an encoder's, for example), of which is not known what it reads, with the reference's passes between
 * the same passes with tokens, and with the one after them, which may contain the same work. */
static bool pair_silent(ls_token_alignment *a, size_t cp) {
    const struct ls_token_alignment_state *state = a->state;
    const ls_row_side *ref = &state->reference;
    size_t rp = state->after_tokens;
    if (rp > 0 && ref->used_count[rp - 1] < ref->trace->passes[rp - 1].rows)
        rp--; /* the candidate is still within it */
    for (bool silent = true; silent && rp < ref->seen; rp++) {
        silent = ref->ids[rp] == NULL;
        if (!add_pair(a, rp, cp, NULL, 0, true))
            return false;
    }
    return true;
}

/* Pairs a pass by its weights. */
static bool pair_alike(ls_token_alignment *a, size_t cp) {
    struct ls_token_alignment_state *state = a->state;
    for (; state->next_alike < state->alike_count && state->alike[state->next_alike].candidate <= cp; state->next_alike++) {
        const ls_alike_pass *alike = &state->alike[state->next_alike];
        if (alike->candidate != cp)
            continue;
        if (!add_pair(a, alike->reference, cp, NULL, 0, true))
            return false;
        ls_pass_pair *added = &a->pairs[a->pair_count - 1];
        added->item = alike->item;
        added->reference_items = alike->items > 0 && !alike->of_candidate ? alike->items : alike->items > 0;
        added->candidate_items = alike->items > 0 && alike->of_candidate ? alike->items : alike->items > 0;
    }
    return true;
}

/* Pairs a pass as the user says. Rows with the same tokens correspond; where there are none, all of them do, one by one. */
static bool pair_chosen(ls_token_alignment *a, size_t cp) {
    struct ls_token_alignment_state *state = a->state;
    ls_row_side *ref = &state->reference, *cand = &state->candidate;
    for (size_t i = 0; i < a->chosen_count; i++) {
        const size_t rp = a->chosen[i].reference;
        if (a->chosen[i].candidate != cp || rp >= ref->seen)
            continue;
        const bool known = ref->ids[rp] != NULL && cand->ids[cp] != NULL;
        if (known && !room_for_rows(state, cand->trace->passes[cp].rows))
            return false;
        const size_t count = known ? common_rows(ref, rp, cand, cp, state->list) : 0;
        if (!add_pair(a, rp, cp, count > 0 ? state->list : NULL, count, count == 0 || is_whole(ref, rp, cand, cp, state->list, count)))
            return false;
        if (count > 0)
            use_rows(a, rp, cp, count);
    }
    return true;
}

/* Pairs the rows of a pass, and the pass itself where a side tells no tokens. */
static bool pair_any(ls_token_alignment *a, size_t cp) {
    const struct ls_token_alignment_state *state = a->state;
    if (a->chosen != NULL)
        return pair_chosen(a, cp);
    if (state->is_dump)
        return true;
    if (state->alike_count > 0)
        return pair_alike(a, cp) && (state->candidate.ids[cp] == NULL || a->in_order || pair_pass(a, cp));
    if (a->in_order)
        return cp >= state->reference.seen || add_pair(a, cp, cp, NULL, 0, true);
    return state->candidate.ids[cp] != NULL ? pair_pass(a, cp) : pair_silent(a, cp);
}

static bool tells_tokens(const ls_trace *t) { return ls_trace_first_with_tokens(t) != LS_NONE; }

/* Passes pair by their order where a side records no tokens at all. A candidate that is still running may begin
 * with passes without tokens, as its reference does. */
static void decide(ls_token_alignment *a) {
    struct ls_token_alignment_state *state = a->state;
    const ls_trace *reference = state->reference.trace, *candidate = state->candidate.trace;
    bool may_tell = tells_tokens(candidate) || (candidate->memory != NULL && ls_trace_first_with_tokens(reference) > 0);
    a->in_order = !tells_tokens(reference) || !may_tell;
    state->decided = true;
}

/* The positions of this pass may still come. */
static bool is_still_told(const ls_trace *t, const ls_pass *pass) {
    return t->memory != NULL && pass->told_later && pass->positions == NULL && !pass->ended;
}

/* Dumped tensors are of one pass, and as a rule of all of its rows. */
static bool pair_dump(ls_token_alignment *a) {
    const ls_trace *reference = a->state->reference.trace, *candidate = a->state->candidate.trace;
    const bool of_candidate = !reference->is_graph; /* the pass is the candidate's */
    const size_t pass = of_candidate ? ls_dumped_pass(reference, candidate) : ls_dumped_pass(candidate, reference);
    const size_t rows = pass != LS_NONE ? (of_candidate ? candidate : reference)->passes[pass].rows : 0;
    ls_row_pair *list = rows > 0 ? malloc(rows * sizeof *list) : NULL;
    for (size_t i = 0; list != NULL && i < rows; i++)
        list[i] = (ls_row_pair){(uint32_t)i, (uint32_t)i};
    const bool ok = (rows == 0 || list != NULL) && (pass == LS_NONE || add_pair(a, of_candidate ? 0 : pass, of_candidate ? pass : 0, list, rows, true));
    free(list);
    return ok;
}

/* A dump beside a recorded run. Of a run that is still going on, it is taken to be of the first pass. */
static bool is_dump_of(const ls_trace *reference, const ls_trace *candidate) { return reference->is_graph != candidate->is_graph && candidate->memory == NULL; }

static bool grow(ls_token_alignment *a) {
    struct ls_token_alignment_state *state = a->state;
    ls_row_side *ref = &state->reference, *cand = &state->candidate;
    while (ref->seen < ref->trace->pass_count)
        if (!ls_rows_identify(ref, false))
            return false;
    if (!state->decided && cand->trace->pass_count > 0)
        decide(a);
    while (cand->seen < cand->trace->pass_count && !is_still_told(cand->trace, &cand->trace->passes[cand->seen])) {
        size_t cp = cand->seen;
        if (!ls_rows_identify_candidate(cand, ref))
            return false;
        if (!pair_any(a, cp))
            return false;
    }
    return !a->state->is_dump || a->pair_count > 0 || pair_dump(a);
}

lockstep_status ls_tokens_align(ls_token_alignment *a, const ls_trace *reference, const ls_trace *candidate, lockstep_error *error) {
    if (a->state == NULL && (a->state = calloc(1, sizeof *a->state)) != NULL) {
        a->state->reference.trace = reference;
        a->state->candidate.trace = candidate;
        a->state->candidate.other = &a->state->reference;
        a->state->is_dump = is_dump_of(reference, candidate);
    }
    /* what a pass of a running candidate reads is known too late */
    bool ok = a->state != NULL;
    if (ok && a->state->reference.seen == 0 && candidate->memory == NULL && !a->state->is_dump && a->chosen == NULL)
        ok = ls_alike_passes(reference, candidate, &a->state->alike, &a->state->alike_count);
    return ok && grow(a) ? LOCKSTEP_OK : ls_fail(error, LOCKSTEP_NO_MEMORY, "out of memory");
}

void ls_token_alignment_done(ls_token_alignment *a) {
    for (size_t i = 0; i < a->pair_count; i++)
        free(a->pairs[i].rows);
    free(a->pairs);
    if (a->state != NULL) {
        ls_rows_forget(&a->state->reference);
        ls_rows_forget(&a->state->candidate);
        free(a->state->list);
        free(a->state->alike);
    }
    free(a->state);
    *a = (ls_token_alignment){0};
}

size_t ls_token_alignment_from(const ls_token_alignment *a, size_t pass) {
    size_t low = 0, high = a->pair_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (a->pairs[middle].candidate < pass)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

bool ls_pass_pair_is_shifted(const ls_pass_pair *pair, const ls_trace *reference, const ls_trace *candidate) {
    const ls_pass *r = &reference->passes[pair->reference], *c = &candidate->passes[pair->candidate];
    if (pair->rows == NULL || r->positions == NULL || c->positions == NULL)
        return false;
    for (size_t i = 0; i < pair->row_count; i++)
        if (r->positions[pair->rows[i].reference] != c->positions[pair->rows[i].candidate])
            return true;
    return false;
}

const char *ls_inputs_status_name(ls_inputs_status status) {
    static const char *const names[] = {"equal", "shorter", "partial", "differ", "unknown"};
    return names[status];
}
