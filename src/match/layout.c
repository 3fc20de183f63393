#include "match/layout.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "compare/sample.h"
#include "match/layout_rows.h"

enum { PERMUTED_RANK_MAX = 5 };

/* ------------------------------------------------------------------ permuting */

/* Axes can merge or split where they share boundaries: the prefix products of one shape contain those of the
 * other. */
static bool compatible(const ls_view *a, const ls_view *b) {
    uint64_t products[2][LOCKSTEP_MAX_RANK + 1];
    const ls_view *views[2] = {a, b};
    for (int k = 0; k < 2; k++) {
        uint64_t product = 1;
        for (int i = 0; i < views[k]->rank; i++)
            products[k][i] = product *= views[k]->shape[i];
    }
    for (int k = 0; k < 2; k++) {
        const ls_view *few = views[k], *many = views[1 - k];
        int j = 0;
        bool all = true;
        for (int i = 0; i < few->rank && all; i++) {
            while (j < many->rank && products[1 - k][j] < products[k][i])
                j++;
            all = j < many->rank && products[1 - k][j] == products[k][i];
        }
        if (all)
            return true;
    }
    return a->rank == 0 || b->rank == 0;
}

/* Rotary halves [2, n/2] of each head seen as interleaved pairs [n/2, 2]. */
static bool pair_up(ls_view *v, uint64_t head) {
    int last = v->rank - 1;
    if (last < 0 || head < 2 || head % 2 != 0 || v->shape[last] % head != 0 || v->rank + 2 > LOCKSTEP_MAX_RANK)
        return false;
    int64_t stride = v->strides[last];
    uint64_t heads = v->shape[last] / head;
    v->shape[last] = heads;
    v->strides[last] = stride * (int64_t)head;
    v->shape[last + 1] = head / 2;
    v->strides[last + 1] = stride;
    v->shape[last + 2] = 2;
    v->strides[last + 2] = stride * (int64_t)(head / 2);
    v->rank += 2;
    return true;
}

/* A search over permutations of one side's axes for the one under which it reads like the other side. */
typedef struct search {
    ls_view moving, fixed; /* squeezed */
    ls_reorder reorder;    /* of the moving side */
    uint64_t head_size;
    uint64_t kind;
    bool of_candidate; /* the moving side is the candidate */
    bool as_is, is_picture; /* see ls_layout_request */
    const ls_map *votes;
    const ls_layout_vote *known; /* the right one; NULL */
    ls_layout_choice choice;
    ls_view best;
    double best_error;
    bool best_is_exact; /* on all elements */
    uint64_t best_code; /* the axes as decimal digits, from 1 */
    bool found;
    bool counting;       /* only find out how many permutations there are, and the most votes that one has */
    unsigned candidates; /* how many there are; when there is only one, the values are not read */
    uint64_t most_votes;
} search;

static ls_layout_vote vote_for(const search *s, uint64_t code) {
    return (ls_layout_vote){s->kind, s->of_candidate, (uint64_t)s->moving.rank * 100 + (uint64_t)s->fixed.rank, code};
}

static uint64_t votes_for(const search *s, uint64_t code) {
    ls_layout_vote key = vote_for(s, code);
    if (s->known != NULL && s->known->of_candidate == key.of_candidate && s->known->ranks == key.ranks && s->known->code == code)
        return UINT64_MAX;
    const uint64_t *votes = s->choice == LS_LAYOUT_LEARN ? NULL : ls_map_find(s->votes, (const char *)&key, sizeof key);
    return votes != NULL ? *votes : 0;
}

/* Is this permutation closer than the best so far? Where a sample doesn't decide, larger and larger samples
 * are taken, up to all elements. */
static bool is_closer(search *s, const ls_view *v, double *error) {
    const double unrelated = 1; /* neither is right: more elements would not tell */
    uint64_t elements = ls_view_elements(v);
    for (uint64_t sample = LS_LAYOUT_SAMPLE;; sample *= 16) {
        bool alike = *error < 2 * s->best_error && s->best_error < 2 * *error && fmin(*error, s->best_error) < unrelated; /* also false for equal zeros */
        bool undecided = alike || (*error == 0 && s->best_error == 0 && !s->best_is_exact);
        if (!undecided || sample >= elements)
            return *error < s->best_error;
        *error = ls_sampled_error(v, &s->fixed, sample * 16);
        s->best_error = ls_sampled_error(&s->best, &s->fixed, sample * 16);
        s->best_is_exact = s->best_error == 0 && sample * 16 >= elements;
    }
}

static bool are_as_they_are(const int *axes, int rank) {
    bool all = true;
    for (int i = 0; i < rank && all; i++)
        all = axes[i] == i;
    return all;
}

/* Axes but those of colours are in the same order. */
static bool keeps_rows(const int *axes, const ls_view *v) {
    int last = -1;
    for (int i = 0; i < v->rank; i++) {
        if (v->shape[axes[i]] == 3)
            continue;
        if (axes[i] < last)
            return false;
        last = axes[i];
    }
    return true;
}

static void consider(search *s, const int *axes) {
    ls_view v = s->moving;
    uint64_t code = 0;
    if ((s->as_is && !are_as_they_are(axes, v.rank)) || (s->is_picture && !keeps_rows(axes, &v)))
        return;
    for (int i = 0; i < v.rank; i++) {
        v.shape[i] = s->moving.shape[axes[i]];
        v.strides[i] = s->moving.strides[axes[i]];
        code = code * 10 + (uint64_t)axes[i] + 1;
    }
    if (!compatible(&v, &s->fixed))
        return;
    if (s->reorder == LS_REORDER_ROPE_PAIRS &&
        (v.rank == 0 || axes[v.rank - 1] != v.rank - 1 || !pair_up(&v, s->head_size)))
        return;
    const uint64_t votes = votes_for(s, code);
    if (s->counting) {
        s->candidates++;
        s->most_votes = votes > s->most_votes ? votes : s->most_votes;
        return;
    }
    if (votes < s->most_votes)
        return;
    double error = s->candidates > 1 ? ls_sampled_error(&v, &s->fixed, LS_LAYOUT_SAMPLE) : 0;
    if (!s->found || is_closer(s, &v, &error)) {
        s->best = v;
        s->best_error = error;
        s->best_is_exact = false;
        s->best_code = code;
        s->found = true;
    }
}

/* Visits permutations in lexicographic order, beginning with the axes as they are. */
static void permute(search *s, int *axes, int done, unsigned used) {
    int rank = s->moving.rank;
    if (done == rank) {
        consider(s, axes);
        return;
    }
    for (int a = 0; a < rank; a++)
        if (!(used & 1u << a)) {
            axes[done] = a;
            permute(s, axes, done + 1, used | 1u << a);
        }
}

static bool is_identity(uint64_t code) {
    static const uint64_t identities[] = {0, 1, 12, 123, 1234, 12345, 123456, 1234567, 12345678};
    for (size_t i = 0; i < sizeof identities / sizeof identities[0]; i++)
        if (code == identities[i])
            return true;
    return false;
}

/* Finds the permutation of `moving`, with its code; false when there is none. */
static bool settle(search *s, ls_view *out_view, uint64_t *out_code, ls_layout *out_layout) {
    int axes[LOCKSTEP_MAX_RANK] = {0, 1, 2, 3, 4, 5, 6, 7};
    for (int round = 0; round < 2; round++) {
        s->counting = round == 0;
        if (s->moving.rank > PERMUTED_RANK_MAX || ls_dtype(s->moving.dtype)->block_elements > 1)
            consider(s, axes); /* too many permutations, or elements that can't be addressed one by one */
        else
            permute(s, axes, 0, 0);
    }
    if (!s->found)
        return false;
    *out_view = s->best;
    *out_code = s->best_code;
    out_layout->vote = vote_for(s, s->best_code);
    out_layout->has_vote = s->best_error < LS_LAYOUT_AGREES && ls_view_elements(&s->fixed) > 16;
    out_layout->has_choice = s->candidates > 1;
    return true;
}

void ls_layout_cast(ls_map *votes, const ls_layout_vote *vote) {
    uint64_t *slot = ls_map_at(votes, (const char *)vote, sizeof *vote);
    if (slot != NULL)
        ++*slot;
}

lockstep_status ls_layout_find(const ls_layout_request *q, const ls_map *votes, ls_layout_choice choice, ls_layout *out_layout,
                               lockstep_error *error) {
    ls_layout_steps said = {""};
    ls_layout layout = {.reference = q->reference, .candidate = q->candidate};
    lockstep_status status = ls_layout_select(q, &layout, &said, error);
    if (status != LOCKSTEP_OK) {
        ls_layout_done(&layout);
        return status;
    }
    ls_view reference = layout.reference, candidate = layout.candidate;
    ls_layout_squeeze(&reference);
    ls_layout_squeeze(&candidate);
    uint64_t code = 0;
    search of_reference = {.moving = reference, .fixed = candidate, .reorder = q->reorder,
                           .head_size = q->head_size, .kind = q->kind, .as_is = q->as_is, .is_picture = q->is_picture, .votes = votes, .known = q->permutation, .choice = choice};
    search of_candidate = {.moving = candidate, .fixed = reference, .kind = q->kind, .of_candidate = true, .as_is = q->as_is, .is_picture = q->is_picture, .votes = votes, .known = q->permutation, .choice = choice};
    if (settle(&of_reference, &layout.reference, &code, &layout)) {
        if (!is_identity(code))
            ls_layout_say(&said, "axes %llu", (unsigned long long)code);
    } else if (q->reorder == LS_REORDER_NONE && settle(&of_candidate, &layout.candidate, &code, &layout)) {
        ls_layout_say(&said, "candidate's axes %llu", (unsigned long long)code);
    } else {
        ls_layout_done(&layout);
        return ls_layout_mismatch(q, error);
    }
    if (q->reorder == LS_REORDER_ROPE_PAIRS)
        ls_layout_say(&said, "rotary halves as pairs");
    if (said.text[0] == '\0')
        ls_layout_say(&said, "as is");
    if (reference.rank > PERMUTED_RANK_MAX)
        ls_layout_say(&said, "more than %d axes: no permutation tried", PERMUTED_RANK_MAX);
    memcpy(layout.text, said.text, sizeof layout.text);
    *out_layout = layout;
    return LOCKSTEP_OK;
}

double ls_layout_error(const ls_layout *layout) { return ls_sampled_error(&layout->reference, &layout->candidate, LS_LAYOUT_SAMPLE); }
