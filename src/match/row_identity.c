#include "match/row_identity.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/grow.h"

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

static bool make_room(ls_row_side *s, size_t passes) {
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

static row_key key_of(size_t pass, const ls_row_id *id) { return (row_key){pass, id->history, id->position}; }

/* Files a row under its key, in front of those filed before. */
static bool file_row(ls_row_side *s, size_t p, size_t r) {
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
static uint64_t follower(const ls_row_side *s, uint64_t history, int32_t position, int64_t token) {
    follow_key key = {history, position, token};
    const uint64_t *found = ls_map_find(&s->follows, (const char *)&key, sizeof key);
    return found != NULL ? *found : 0;
}

static bool file_follower(ls_row_side *s, uint64_t history, int32_t position, int32_t token) {
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
static int32_t stands_for(ls_row_side *s, uint64_t before, int32_t position) {
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
static int32_t shared_token(ls_row_side *s, uint64_t before, int32_t position, int32_t token) {
    if (s->other == NULL || follower(s->other, before, position, token) != 0)
        return token;
    if (token == LOCKSTEP_NO_TOKEN)
        return stands_for(s, before, position);
    return follower(s->other, before, position, LOCKSTEP_NO_TOKEN) != 0 ? LOCKSTEP_NO_TOKEN : token;
}

static void count_given(ls_row_side *s, int32_t position) {
    ls_given_rows *g = &s->given;
    if (g->count == 0)
        *g = (ls_given_rows){position, s->placeholder, 1};
    else if ((int64_t)position == (int64_t)g->position + (int64_t)g->count)
        g->count++;
}

static uint64_t context_of(const ls_pass *pass) { return (uint64_t)pass->process << 32 | (uint32_t)pass->context; }

static ls_pictured *find_pictured(ls_row_side *s, const ls_pass *pass, int32_t sequence) {
    for (size_t i = 0; i < s->pictured_count; i++)
        if (s->pictured[i].context == context_of(pass) && s->pictured[i].sequence == sequence)
            return &s->pictured[i];
    return NULL;
}

static ls_pictured *add_pictured(ls_row_side *s, const ls_pass *pass, int32_t sequence) {
    void *items = s->pictured;
    ls_pictured *found = find_pictured(s, pass, sequence);
    if (found != NULL || !ls_grow(&items, s->pictured_count, &s->pictured_capacity, sizeof *s->pictured))
        return found;
    s->pictured = items;
    s->pictured[s->pictured_count] = (ls_pictured){.context = context_of(pass), .sequence = sequence};
    return &s->pictured[s->pictured_count++];
}

static bool shares_position(const ls_pass *pass, size_t r) {
    return r > 0 && pass->positions[r] == pass->positions[r - 1] && pass->tokens[r] == pass->tokens[r - 1] && ls_rows_sequence_of(pass, r) == ls_rows_sequence_of(pass, r - 1);
}

/* The place of a row in its sequence. It is its position; but where the rows of a picture share one (M-RoPE), each has a place of its own, and the
 * text behind it, whose positions go on at less than the number of rows, follows them. `end`: the place after the row before. False if memory runs out. */
static bool place_of(ls_row_side *s, const ls_pass *pass, size_t r, uint64_t end, int32_t *out) {
    const int32_t sequence = ls_rows_sequence_of(pass, r), position = pass->positions[r];
    ls_pictured *picture = find_pictured(s, pass, sequence);
    *out = position;
    if (shares_position(pass, r) && end < INT32_MAX) {
        picture = add_pictured(s, pass, sequence);
        if (picture != NULL) {
            picture->at = position;
            picture->is_last = true;
        }
        *out = (int32_t)end;
        return picture != NULL;
    }
    if (picture == NULL)
        return true;
    if (position <= picture->at) /* the sequence begins again, or is taken up before the picture */
        picture->shift = 0;
    else if (picture->is_last)
        picture->shift = (int64_t)end - position;
    picture->is_last = false;
    if (picture->shift > 0 && picture->shift < INT32_MAX - position)
        *out = (int32_t)(position + picture->shift);
    return true;
}

/* Computes the identity of a row. `fresh`: padding of its sequence precedes it in this pass. `continues`: without positions, it
 * comes after the passes before. */
static bool identify_row(ls_row_side *s, size_t p, size_t r, bool fresh, bool continues) {
    const ls_pass *pass = &s->trace->passes[p];
    int32_t sequence = pass->sequences != NULL ? pass->sequences[r] : 0;
    uint64_t *end = first_position(&s->ends, pass, sequence);
    if (end == NULL)
        return false;
    int32_t position = continues && *end < INT32_MAX ? (int32_t)*end : (int32_t)r;
    if (pass->positions != NULL && !place_of(s, pass, r, *end, &position))
        return false;
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
    s->ids[p][r] = (ls_row_id){history, in_sequence, false};
    s->rows++;
    return file_row(s, p, r) && (s->other != NULL || file_follower(s, before, in_sequence, token));
}

bool ls_rows_identify(ls_row_side *s, bool continues) {
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

void ls_rows_forget(ls_row_side *s) {
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
    free(s->pictured);
}

size_t ls_rows_end_of_sequence(const ls_pass *pass, size_t row) {
    size_t end = row + 1;
    while (end < pass->rows && (pass->sequences == NULL || pass->sequences[end] == pass->sequences[row]))
        end++;
    return end;
}

int32_t ls_rows_sequence_of(const ls_pass *pass, size_t row) { return pass->sequences != NULL ? pass->sequences[row] : 0; }

size_t ls_rows_free(const ls_row_side *ref, size_t rp, const ls_row_id *id, const int32_t *sequence) {
    enum { STEPS_MAX = 4096 };
    row_key key = key_of(rp, id);
    const uint64_t *slot = ls_map_find(&ref->rows_of, (const char *)&key, sizeof key);
    size_t steps = 0;
    for (uint64_t r = slot != NULL ? *slot : 0; r != 0 && steps < STEPS_MAX; r = ref->next[rp][r - 1], steps++)
        if (!ref->used[rp][r - 1] && (sequence == NULL || ls_rows_sequence_of(&ref->trace->passes[rp], r - 1) == *sequence))
            return r - 1;
    return LS_NONE;
}

/* A graph without positions (ALiBi) doesn't tell whether a pass continues the one before: it does where the reference has such rows,
 * and otherwise it begins again. */
bool ls_rows_identify_candidate(ls_row_side *cand, const ls_row_side *ref) {
    const size_t cp = cand->seen;
    const ls_pass *pass = &cand->trace->passes[cp];
    const size_t padding = cand->padding;
    if (!ls_rows_identify(cand, true))
        return false;
    if (pass->tokens == NULL || pass->positions != NULL)
        return true;
    for (size_t rp = 0; rp < ref->seen; rp++)
        for (size_t r = 0; ref->ids[rp] != NULL && r < pass->rows; r++)
            if (!cand->ids[cp][r].padding && ls_rows_free(ref, rp, &cand->ids[cp][r], NULL) != LS_NONE)
                return true;
    free(cand->ids[cp]);
    free(cand->used[cp]);
    free(cand->next[cp]);
    cand->rows -= pass->rows - (cand->padding - padding);
    cand->padding = padding;
    cand->used_count[cp] = 0;
    cand->seen = cp;
    return ls_rows_identify(cand, false);
}
