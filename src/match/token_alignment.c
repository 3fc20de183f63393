#include "match/token_alignment.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/grow.h"
#include "base/map.h"
#include "match/alike_passes.h"
#include "match/dumped_pass.h"

/* Identity of a row: its history and itself, hashed. */
typedef struct row_id {
    uint64_t history;
    int32_t position; /* in its sequence, not counting padding */
    bool padding;
} row_id;

typedef struct side {
    const ls_trace *trace;
    size_t seen, capacity; /* passes whose rows have been identified, and room */
    row_id **ids;  /* per pass, per row; NULL where unknown */
    bool **used;   /* has a partner */
    size_t *used_count;
    bool *paired;  /* the pass is in some pair */
    ls_map histories;
    ls_map follows;    /* (history, position, token) -> 1; (history, position, ANY_TOKEN) -> the first such token + 1 */
    const struct side *other; /* whose tokens rows with given embeddings stand for; NULL for the reference */
    uint64_t given_history;   /* after the last row whose embedding is given here, but not on the other side */
    int32_t placeholder;      /* the token that the rows of its picture stand for */
    ls_given_rows given;
    ls_map rows_of;    /* (pass, history, position) -> the first such row + 1; of the reference */
    uint32_t **next;   /* per pass, per row: the next such row + 1, or 0 */
    ls_map ends;       /* (process, context, sequence) -> the position after its last token */
    ls_map first_positions; /* (process, context, sequence) -> position of its first token after padding */
    size_t rows, padding;
} side;

struct ls_token_alignment_state {
    side reference, candidate;
    bool decided;
    bool is_dump;        /* one side is one, of one pass of the other, a recorded run */
    size_t first_free;   /* passes of the reference before it have no free row */
    size_t after_tokens; /* the pass of the reference after the last that is paired by tokens */
    ls_alike_pass *alike; /* passes that pair by their weights, ascending in the candidate's */
    size_t alike_count, next_alike;
    ls_row_pair *list;   /* room for the rows of one pass */
    size_t list_capacity;
};

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

static bool make_room(side *s, size_t passes) {
    size_t had = s->capacity, now = ls_doubled(had, passes);
    if (!ls_extend(&s->ids, had, now, sizeof *s->ids) || !ls_extend(&s->used, had, now, sizeof *s->used) ||
        !ls_extend(&s->used_count, had, now, sizeof *s->used_count) || !ls_extend(&s->paired, had, now, sizeof *s->paired) || !ls_extend(&s->next, had, now, sizeof *s->next))
        return false;
    s->capacity = now;
    return true;
}

/* Which rows of a batch are padding, according to its attention mask; NULL when there is none, or it is not known. */
static bool *read_padding(const ls_trace *t, size_t p) {
    const ls_pass *pass = &t->passes[p];
    for (size_t i = pass->first_node; pass->first_node != LS_NONE && i < t->node_count && (t->nodes[i].pass == p || t->nodes[i].pass == LS_NONE); i++) {
        const ls_node *n = &t->nodes[i];
        ls_hold hold;
        if (n->role != LOCKSTEP_ROLE_INPUT || n->rank != 2 || n->elements != pass->rows || strstr(n->name, "attention_mask") == NULL ||
            ls_trace_hold(t, i, &hold, NULL) != LOCKSTEP_OK)
            continue;
        bool *padding = calloc(pass->rows + 1, sizeof *padding), flags = true, any = false;
        for (size_t r = 0; padding != NULL && r < pass->rows; r++) {
            double value;
            ls_view_read_f64(&hold.view, r, 1, &value);
            padding[r] = value == 0;
            flags = flags && (value == 0 || value == 1);
            any = any || value == 1;
        }
        ls_hold_release(&hold);
        if (flags && any)
            return padding;
        free(padding); /* this mask is added to the scores */
        return NULL;
    }
    return NULL;
}

static uint64_t *first_position(ls_map *firsts, const ls_pass *pass, int32_t sequence) {
    int64_t key[2] = {(int64_t)pass->process << 32 | pass->context, sequence};
    return ls_map_at(firsts, (const char *)key, sizeof key);
}

typedef struct row_key {
    uint64_t pass, history;
    int64_t position;
} row_key;

static row_key key_of(size_t pass, const row_id *id) { return (row_key){pass, id->history, id->position}; }

/* Files a row under its key, in front of those filed before. */
static bool file_row(side *s, size_t p, size_t r) {
    row_key key = key_of(p, &s->ids[p][r]);
    uint64_t *slot = ls_map_at(&s->rows_of, (const char *)&key, sizeof key);
    if (slot == NULL)
        return false;
    s->next[p][r] = (uint32_t)*slot;
    *slot = r + 1;
    return true;
}

typedef struct follow_key {
    uint64_t history;
    int64_t position, token;
} follow_key;

enum { ANY_TOKEN = INT64_MAX };

/* Whether a side has this token after a history; with ANY_TOKEN, the first that it has there + 1. */
static uint64_t follower(const side *s, uint64_t history, int32_t position, int64_t token) {
    follow_key key = {history, position, token};
    const uint64_t *found = ls_map_find(&s->follows, (const char *)&key, sizeof key);
    return found != NULL ? *found : 0;
}

static bool file_follower(side *s, uint64_t history, int32_t position, int32_t token) {
    follow_key key = {history, position, token}, any = {history, position, ANY_TOKEN};
    uint64_t *one = ls_map_at(&s->follows, (const char *)&key, sizeof key);
    if (one == NULL)
        return false;
    *one = 1;
    uint64_t *first = ls_map_at(&s->follows, (const char *)&any, sizeof any);
    if (first != NULL && *first == 0)
        *first = (uint64_t)(uint32_t)token + 1;
    return first != NULL;
}

/* The token that a given row stands for: the one that the other side has there. A picture's rows stand for one token again
 * and again, between which there may be single others, at the ends of its lines. */
static int32_t stands_for(side *s, uint64_t before, int32_t position) {
    const uint64_t found = follower(s->other, before, position, ANY_TOKEN);
    if (found == 0)
        return LOCKSTEP_NO_TOKEN;
    const int32_t token = (int32_t)(uint32_t)(found - 1);
    const bool continues = before != 0 && before == s->given_history;
    if (!continues)
        s->placeholder = token;
    else if (token != s->placeholder && follower(s->other, mix(before, (uint64_t)(uint32_t)token), position + 1, s->placeholder) == 0)
        return LOCKSTEP_NO_TOKEN;
    s->given_history = mix(before, (uint64_t)(uint32_t)token);
    return token;
}

/* The token of a row as the other side has it, where the row's embedding is given on one side alone. */
static int32_t shared_token(side *s, uint64_t before, int32_t position, int32_t token) {
    if (s->other == NULL || follower(s->other, before, position, token) != 0)
        return token;
    if (token == LOCKSTEP_NO_TOKEN)
        return stands_for(s, before, position);
    return follower(s->other, before, position, LOCKSTEP_NO_TOKEN) != 0 ? LOCKSTEP_NO_TOKEN : token;
}

static void count_given(side *s, int32_t position) {
    ls_given_rows *g = &s->given;
    if (g->count == 0)
        *g = (ls_given_rows){position, s->placeholder, 1};
    else if ((int64_t)position == (int64_t)g->position + (int64_t)g->count)
        g->count++;
}

/* Computes the identity of a row. `fresh`: padding of its sequence precedes it in this pass. `continues`: without positions, it
 * comes after the passes before. */
static bool identify_row(side *s, size_t p, size_t r, bool fresh, bool continues) {
    const ls_pass *pass = &s->trace->passes[p];
    int32_t sequence = pass->sequences != NULL ? pass->sequences[r] : 0;
    uint64_t *end = first_position(&s->ends, pass, sequence);
    if (end == NULL)
        return false;
    int32_t position = pass->positions != NULL ? pass->positions[r] : continues && *end < INT32_MAX ? (int32_t)*end : (int32_t)r;
    *end = position >= 0 ? (uint64_t)position + 1 : 0;
    const uint64_t *previous = position > 0 ? history_at(&s->histories, pass, sequence, position - 1) : NULL;
    const uint64_t before = previous != NULL ? *previous : 0;
    uint64_t *first = first_position(&s->first_positions, pass, sequence);
    if (first == NULL)
        return false;
    if (before == 0)
        *first = fresh ? (uint64_t)position : 0;
    const int64_t apart = (int64_t)position - (int64_t)*first;
    const int32_t in_sequence = apart >= INT32_MIN ? (int32_t)apart : INT32_MIN;
    const int32_t token = shared_token(s, before, in_sequence, pass->tokens[r]);
    if (s->other != NULL && pass->tokens[r] == LOCKSTEP_NO_TOKEN)
        count_given(s, in_sequence);
    const uint64_t history = mix(before, (uint64_t)(uint32_t)token);
    uint64_t *here = history_at(&s->histories, pass, sequence, position);
    if (here == NULL)
        return false;
    *here = history;
    s->ids[p][r] = (row_id){history, in_sequence, false};
    s->rows++;
    return file_row(s, p, r) && (s->other != NULL || file_follower(s, before, in_sequence, token));
}

/* Identifies the rows of the next pass. */
static bool identify(side *s, bool continues) {
    size_t p = s->seen;
    if (!make_room(s, p + 1))
        return false;
    const ls_pass *pass = &s->trace->passes[p];
    s->seen++;
    if (pass->tokens == NULL)
        return true;
    s->ids[p] = calloc(pass->rows, sizeof **s->ids);
    s->used[p] = calloc(pass->rows, sizeof **s->used);
    s->next[p] = calloc(pass->rows + 1, sizeof **s->next);
    bool ok = s->ids[p] != NULL && s->used[p] != NULL && s->next[p] != NULL, after_padding = false, *padding = read_padding(s->trace, p);
    for (size_t r = 0; ok && r < pass->rows; r++) {
        bool same_sequence = r > 0 && (pass->sequences == NULL || pass->sequences[r] == pass->sequences[r - 1]);
        after_padding = after_padding && same_sequence;
        if (padding != NULL && padding[r]) {
            s->ids[p][r].padding = s->used[p][r] = true; /* never a partner */
            s->used_count[p]++;
            s->padding++;
            after_padding = true;
        } else {
            ok = identify_row(s, p, r, after_padding, continues);
        }
    }
    free(padding);
    return ok;
}

static void forget(side *s) {
    for (size_t p = 0; p < s->capacity; p++) {
        free(s->ids[p]);
        free(s->used[p]);
        free(s->next[p]);
    }
    free(s->ids);
    free(s->used);
    free(s->used_count);
    free(s->paired);
    free(s->next);
    ls_map_done(&s->rows_of);
    ls_map_done(&s->histories);
    ls_map_done(&s->follows);
    ls_map_done(&s->first_positions);
    ls_map_done(&s->ends);
}

/* The row after the last of the sequence that this row begins. */
static size_t end_of_sequence(const ls_pass *pass, size_t row) {
    size_t end = row + 1;
    while (end < pass->rows && (pass->sequences == NULL || pass->sequences[end] == pass->sequences[row]))
        end++;
    return end;
}

static int32_t sequence_of(const ls_pass *pass, size_t row) { return pass->sequences != NULL ? pass->sequences[row] : 0; }

/* An unpaired row of the reference's pass with the same history and position, in the given sequence if there
 * is one; or LS_NONE. */
static size_t free_row(const side *ref, size_t rp, const row_id *id, const int32_t *sequence) {
    enum { STEPS_MAX = 4096 };
    row_key key = key_of(rp, id);
    const uint64_t *slot = ls_map_find(&ref->rows_of, (const char *)&key, sizeof key);
    size_t steps = 0;
    for (uint64_t r = slot != NULL ? *slot : 0; r != 0 && steps < STEPS_MAX; r = ref->next[rp][r - 1], steps++)
        if (!ref->used[rp][r - 1] && (sequence == NULL || sequence_of(&ref->trace->passes[rp], r - 1) == *sequence))
            return r - 1;
    return LS_NONE;
}

/* A graph without positions (ALiBi) doesn't tell whether a pass continues the one before: it does where the reference has such rows,
 * and otherwise it begins again. */
static bool identify_candidate(side *cand, const side *ref) {
    const size_t cp = cand->seen;
    const ls_pass *pass = &cand->trace->passes[cp];
    const size_t padding = cand->padding;
    if (!identify(cand, true))
        return false;
    if (pass->tokens == NULL || pass->positions != NULL)
        return true;
    for (size_t rp = 0; rp < ref->seen; rp++)
        for (size_t r = 0; ref->ids[rp] != NULL && r < pass->rows; r++)
            if (!cand->ids[cp][r].padding && free_row(ref, rp, &cand->ids[cp][r], NULL) != LS_NONE)
                return true;
    free(cand->ids[cp]);
    free(cand->used[cp]);
    free(cand->next[cp]);
    cand->rows -= pass->rows - (cand->padding - padding);
    cand->padding = padding;
    cand->used_count[cp] = 0;
    cand->seen = cp;
    return identify(cand, false);
}

/* Lists equal, unpaired rows of two passes, and returns how many there are. Several sequences may begin with
 * the same tokens: each is paired with the one that shares most with it, which its last shared row identifies. */
static size_t common_rows(const side *ref, size_t rp, const side *cand, size_t cp, ls_row_pair *out) {
    const ls_pass *pass = &cand->trace->passes[cp];
    size_t count = 0;
    for (size_t from = 0, end; from < pass->rows; from = end) {
        size_t last = LS_NONE;
        end = end_of_sequence(pass, from);
        for (size_t c = end; c-- > from && last == LS_NONE;)
            last = cand->used[cp][c] ? LS_NONE : free_row(ref, rp, &cand->ids[cp][c], NULL);
        int32_t sequence = last != LS_NONE ? sequence_of(&ref->trace->passes[rp], last) : 0;
        for (size_t c = from; last != LS_NONE && c < end; c++) {
            size_t r = cand->used[cp][c] ? LS_NONE : free_row(ref, rp, &cand->ids[cp][c], &sequence);
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
    a->pairs[a->pair_count++] = (ls_pass_pair){rp, cp, copy, count, whole};
    if (rp < state->reference.capacity)
        state->reference.paired[rp] = true;
    if (cp < state->candidate.capacity)
        state->candidate.paired[cp] = true;
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

/* Rows without padding. */
static size_t own_rows(const side *s, size_t p) {
    size_t count = 0;
    for (size_t r = 0; r < s->trace->passes[p].rows; r++)
        count += !s->ids[p][r].padding;
    return count;
}

/* Do the rows of a list make up whole sequences of a side's pass? Two batches may share only some of their
 * sequences. */
static bool has_whole_sequences(const side *s, size_t p, const ls_row_pair *list, size_t count, bool of_reference) {
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

/* Pairs one pass of the candidate with passes of the reference, where all rows of either pass are shared, or
 * whole sequences. (A warm-up run shares its first token at most.) */
static bool pair_pass(ls_token_alignment *a, size_t cp) {
    struct ls_token_alignment_state *state = a->state;
    side *ref = &state->reference, *cand = &state->candidate;
    size_t candidate_rows = cand->trace->passes[cp].rows;
    while (state->list_capacity < candidate_rows)
        if (!ls_grow((void **)&state->list, state->list_capacity, &state->list_capacity, sizeof *state->list))
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
        for (size_t i = 0; i < count; i++)
            ref->used[rp][state->list[i].reference] = cand->used[cp][state->list[i].candidate] = true;
        ref->used_count[rp] += count;
        cand->used_count[cp] += count;
        a->matched += count;
        state->after_tokens = rp + 1 > state->after_tokens ? rp + 1 : state->after_tokens;
    }
    return true;
}

/* Pairs a pass without tokens (an encoder's, for example), of which is not known what it reads, with the reference's passes between
 * the same passes with tokens, and with the one after them, which may contain the same work. */
static bool pair_silent(ls_token_alignment *a, size_t cp) {
    const struct ls_token_alignment_state *state = a->state;
    const side *ref = &state->reference;
    size_t rp = state->first_free < state->after_tokens ? state->first_free : state->after_tokens;
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
    for (; state->next_alike < state->alike_count && state->alike[state->next_alike].candidate <= cp; state->next_alike++)
        if (state->alike[state->next_alike].candidate == cp && !add_pair(a, state->alike[state->next_alike].reference, cp, NULL, 0, true))
            return false;
    return true;
}

/* Pairs the rows of a pass, and the pass itself where a side tells no tokens. */
static bool pair_any(ls_token_alignment *a, size_t cp) {
    const struct ls_token_alignment_state *state = a->state;
    if (state->is_dump)
        return true;
    if (state->alike_count > 0)
        return pair_alike(a, cp) && (state->candidate.ids[cp] == NULL || a->in_order || pair_pass(a, cp));
    if (a->in_order)
        return cp >= state->reference.seen || add_pair(a, cp, cp, NULL, 0, true);
    return state->candidate.ids[cp] != NULL ? pair_pass(a, cp) : pair_silent(a, cp);
}

/* ------------------------------------------------------------ judging */

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

/* The candidate's pass whose tokens are closest to those of a pass of the reference. */
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

static bool repeats(const int32_t *tokens, size_t at) { return at > 0 && tokens[at] == tokens[at - 1]; }

/* How the tokens of two passes differ. */
static ls_inputs_finding difference_of(const ls_pass *ref, const ls_pass *cand) {
    size_t at = common_prefix(ref, cand);
    bool in_both = at < ref->rows && at < cand->rows;
    ls_inputs_finding f = {.code = LS_INPUTS_LENGTHS, .at = at, .reference_rows = ref->rows, .candidate_rows = cand->rows};
    if (in_both && ref->tokens[at] == cand->tokens[at])
        f.code = LS_INPUTS_POSITIONS;
    else if (in_both)
        f.code = LS_INPUTS_TOKENS;
    if (has_extra(cand, ref, at < ref->rows ? at : ref->rows))
        f.code = LS_INPUTS_EXTRA_TOKEN;
    else if (has_extra(ref, cand, at < cand->rows ? at : cand->rows))
        f.code = LS_INPUTS_MISSING_TOKEN;
    f.reference_token = at < ref->rows ? ref->tokens[at] : -1;
    f.candidate_token = at < cand->rows ? cand->tokens[at] : -1;
    if (f.code == LS_INPUTS_POSITIONS) {
        f.reference_position = ref->positions[at];
        f.candidate_position = cand->positions[at];
    }
    f.is_doubled = (f.code == LS_INPUTS_EXTRA_TOKEN && repeats(cand->tokens, at)) || (f.code == LS_INPUTS_MISSING_TOKEN && repeats(ref->tokens, at));
    return f;
}

/* Are the reference's unpaired rows whole sequences of their batches, whose other sequences are paired? */
static bool lacks_sequences_only(const side *ref) {
    bool lacks = true;
    size_t missing = 0;
    for (size_t p = 0; p < ref->trace->pass_count && lacks; p++) {
        const ls_pass *pass = &ref->trace->passes[p];
        size_t used = 0;
        bool last = false, any = false;
        for (size_t r = 0; ref->ids[p] != NULL && r < pass->rows && lacks; r++) {
            bool same = any && (pass->sequences == NULL || pass->sequences[r] == pass->sequences[r - 1]);
            if (ref->ids[p][r].padding)
                continue;
            lacks = !same || ref->ids[p][r - 1].padding || ref->used[p][r] == last;
            missing += !ref->used[p][r];
            used += ref->used[p][r];
            last = ref->used[p][r];
            any = true;
        }
        lacks = lacks && (!any || used > 0);
    }
    return lacks && missing > 0;
}

/* The furthest position among some rows of a pass; -1 for a sequence that only this batch has. */
static int32_t furthest_position(const side *s, size_t p, size_t row, size_t end) {
    int32_t furthest = -1;
    bool paired = s->used_count[p] == 0; /* all rows of a pass without a partner count */
    for (size_t r = row; r < end; r++) {
        const row_id *id = &s->ids[p][r];
        paired = paired || (!id->padding && s->used[p][r]);
        furthest = !id->padding && id->position > furthest ? id->position : furthest;
    }
    return paired ? furthest : -1;
}

/* Did the candidate only stop sooner? Then no row of it is at or beyond the first unpaired position of the
 * reference. (A warm-up run is before it.) */
static bool ended_earlier(const side *ref, const side *cand) {
    int32_t last = -1, first_missing = INT32_MAX;
    for (size_t p = 0; p < ref->trace->pass_count; p++)
        for (size_t r = 0; ref->ids[p] != NULL && r < ref->trace->passes[p].rows; r++)
            if (!ref->used[p][r] && ref->ids[p][r].position < first_missing)
                first_missing = ref->ids[p][r].position;
    for (size_t p = 0; p < cand->trace->pass_count; p++)
        for (size_t r = 0, end; cand->ids[p] != NULL && r < cand->trace->passes[p].rows; r = end) {
            end = end_of_sequence(&cand->trace->passes[p], r);
            int32_t furthest = furthest_position(cand, p, r, end);
            last = furthest > last ? furthest : last;
        }
    return last < first_missing;
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
    side *ref = &state->reference, *cand = &state->candidate;
    while (ref->seen < ref->trace->pass_count)
        if (!identify(ref, false))
            return false;
    if (!state->decided && cand->trace->pass_count > 0)
        decide(a);
    while (cand->seen < cand->trace->pass_count && !is_still_told(cand->trace, &cand->trace->passes[cand->seen])) {
        size_t cp = cand->seen;
        if (!identify_candidate(cand, ref))
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
    if (ok && a->state->reference.seen == 0 && candidate->memory == NULL && !a->state->is_dump)
        ok = ls_alike_passes(reference, candidate, &a->state->alike, &a->state->alike_count);
    return ok && grow(a) ? LOCKSTEP_OK : ls_fail(error, LOCKSTEP_NO_MEMORY, "out of memory");
}

/* Counts unpaired passes; `silent`: only those without tokens. */
static size_t alone(const side *s, bool silent) {
    size_t count = 0;
    for (size_t p = 0; p < s->seen; p++)
        count += (s->ids[p] == NULL || !silent) && !s->paired[p];
    return count;
}

/* Does some batch have a sequence without any paired row beside sequences that are paired? */
static bool has_lone_sequence(const side *s) {
    for (size_t p = 0; p < s->trace->pass_count; p++) {
        const ls_pass *pass = &s->trace->passes[p];
        bool lone = false, paired = false;
        for (size_t r = 0, end; s->ids[p] != NULL && r < pass->rows; r = end) {
            bool used = false, any = false;
            end = end_of_sequence(pass, r);
            for (size_t i = r; i < end; i++) {
                any = any || !s->ids[p][i].padding;
                used = used || (s->used[p][i] && !s->ids[p][i].padding);
            }
            lone = lone || (any && !used);
            paired = paired || used;
        }
        if (lone && paired)
            return true;
    }
    return false;
}

/* How many tokens like the first of the given rows the reference has from there on. */
static size_t placeholders_of(const ls_trace *reference, const ls_given_rows *given) {
    for (size_t p = 0; p < reference->pass_count; p++) {
        const ls_pass *pass = &reference->passes[p];
        size_t count = 0;
        for (size_t r = 0; pass->tokens != NULL && r < pass->rows; r++) {
            const bool begun = count > 0 || (pass->positions != NULL ? pass->positions[r] : (int32_t)r) == given->position;
            if (begun && pass->tokens[r] != given->token)
                break;
            count += begun;
        }
        if (count > 0)
            return count;
    }
    return 0;
}

/* Where a picture has other rows than the reference has tokens for it, that is what to say. */
static bool find_given(ls_token_alignment *a) {
    const ls_given_rows *g = &a->given;
    const size_t expected = g->count > 0 ? placeholders_of(a->state->reference.trace, g) : 0;
    if (expected == 0 || expected == g->count)
        return false;
    a->finding = (ls_inputs_finding){.code = LS_INPUTS_GIVEN_ROWS, .at = (size_t)g->position, .reference_token = g->token, .reference_rows = expected, .candidate_rows = g->count};
    return true;
}

static void judge_tokens(ls_token_alignment *a) {
    const side *ref = &a->state->reference, *cand = &a->state->candidate;
    size_t first = ls_trace_first_with_tokens(ref->trace), missing = unmatched_pass(ref);
    a->first_reference_pass = missing;
    if (missing == LS_NONE) {
        a->status = LS_INPUTS_EQUAL;
        return;
    }
    if (a->matched > 0 && has_lone_sequence(ref) && has_lone_sequence(cand)) {
        a->status = LS_INPUTS_PARTIAL;
        a->finding.code = LS_INPUTS_LONE_SEQUENCE;
        return;
    }
    if (a->matched > 0 && lacks_sequences_only(ref)) {
        a->status = LS_INPUTS_SHORTER;
        a->finding.code = LS_INPUTS_MISSING_SEQUENCES;
        return;
    }
    bool earlier = a->matched > 0 && ended_earlier(ref, cand);
    if (find_given(a)) {
        a->status = missing == first ? LS_INPUTS_DIFFER : LS_INPUTS_PARTIAL;
        return;
    }
    a->status = earlier ? LS_INPUTS_SHORTER : missing == first ? LS_INPUTS_DIFFER : LS_INPUTS_PARTIAL;
    if (a->status != LS_INPUTS_DIFFER) {
        a->finding.code = earlier ? LS_INPUTS_ENDED_EARLIER : LS_INPUTS_OTHER_TOKENS;
        return;
    }
    size_t closest = closest_pass(cand->trace, &ref->trace->passes[first]);
    if (closest != LS_NONE)
        a->finding = difference_of(&ref->trace->passes[first], &cand->trace->passes[closest]);
}

void ls_token_alignment_judge(ls_token_alignment *a) {
    const side *ref = &a->state->reference, *cand = &a->state->candidate;
    a->first_reference_pass = LS_NONE;
    a->reference_rows = ref->rows;
    a->candidate_rows = cand->rows;
    a->padding = ref->padding + cand->padding;
    a->reference_alone = alone(ref, !a->in_order);
    a->candidate_alone = alone(cand, !a->in_order);
    a->given = cand->given;
    a->by_weights = a->state->alike_count > 0 && a->in_order;
    a->left_out = a->state->alike_count > 0 ? a->candidate_alone : 0; /* another run's, or another picture's: the reference's have a partner */
    a->candidate_alone -= a->left_out;
    a->finding = (ls_inputs_finding){0};
    if (a->in_order || !a->state->decided)
        a->status = LS_INPUTS_UNKNOWN;
    else
        judge_tokens(a);
}

void ls_token_alignment_done(ls_token_alignment *a) {
    for (size_t i = 0; i < a->pair_count; i++)
        free(a->pairs[i].rows);
    free(a->pairs);
    if (a->state != NULL) {
        forget(&a->state->reference);
        forget(&a->state->candidate);
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
