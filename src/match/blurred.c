#include <math.h>
#include <stdlib.h>

#include "match/choosing.h"

#define AGREES 0.5 /* the contrast of two pairs that are the right way round */

/* The reference piece that each candidate piece would have if rounding did not count; LS_NONE. */
typedef struct guesses {
    size_t *of_candidate, *of_reference; /* per piece */
} guesses;

static const ls_likeness *likeness_of(const ls_choosing *k, size_t candidate, size_t reference) {
    const ls_likenesses *of = &k->found.of[candidate];
    for (size_t i = 0; i < of->count; i++)
        if (of->items[i].reference == reference)
            return &of->items[i];
    return NULL;
}

/* Each takes the closest that nobody else has taken. */
static void guess(const ls_choosing *k, double limit, guesses *g) {
    for (size_t c = 0; c < k->found.candidate.count; c++)
        g->of_candidate[c] = LS_NONE;
    for (size_t r = 0; r < k->found.reference.count; r++)
        g->of_reference[r] = LS_NONE;
    for (size_t c = 0; c < k->found.candidate.count; c++)
        for (size_t i = 0; i < k->found.of[c].count; i++) {
            const ls_likeness *like = &k->found.of[c].items[i];
            if (like->error > ls_choosing_limit(k, like, c, limit) || !ls_choosing_is_possible(k, like, c) || g->of_reference[like->reference] != LS_NONE)
                continue;
            g->of_candidate[c] = like->reference;
            g->of_reference[like->reference] = c;
            break;
        }
}

static double contrast_of(const ls_choosing *k, size_t c, size_t r, size_t other_c, size_t other_r) {
    return ls_sketch_contrast(&ls_choosing_reference(k, r)->sketch, &ls_choosing_candidate(k, c)->sketch, &ls_choosing_reference(k, other_r)->sketch, &ls_choosing_candidate(k, other_c)->sketch);
}

/* Exchanges the partners of two candidates whose difference is that of the references the other way round. */
static bool exchange(const ls_choosing *k, guesses *g, size_t c) {
    bool any = false;
    for (size_t i = 0; i < k->found.of[c].count; i++) {
        const size_t r = g->of_candidate[c], other_r = k->found.of[c].items[i].reference, other_c = g->of_reference[other_r];
        if (other_c == LS_NONE || other_c == c || likeness_of(k, other_c, r) == NULL || contrast_of(k, c, r, other_c, other_r) < 1 || contrast_of(k, c, other_r, other_c, r) > AGREES)
            continue;
        g->of_candidate[c] = other_r;
        g->of_reference[other_r] = c;
        g->of_candidate[other_c] = r;
        g->of_reference[r] = other_c;
        any = true;
    }
    return any;
}

/* Two candidates that rounding has made equal need not be told apart. */
static bool are_one(const ls_choosing *k, size_t a, size_t b) { return ls_sketches_are_copies(&ls_choosing_candidate(k, a)->sketch, &ls_choosing_candidate(k, b)->sketch); }

/* Each reference that is about as close has a partner itself, and the differences between the two pairs agree. */
static bool is_confirmed(const ls_choosing *k, const guesses *g, size_t c, const ls_likeness *own) {
    const ls_sketch *sketch = &ls_choosing_reference(k, own->reference)->sketch;
    bool confirmed = !own->by_layout;
    for (size_t i = 0; i < k->found.of[c].count && confirmed; i++) {
        const ls_likeness *other = &k->found.of[c].items[i];
        const size_t rival = g->of_reference[other->reference];
        const bool is_rival = other != own && ls_choosing_is_possible(k, other, c) && !ls_choosing_is_clear(own->error, other->error, LS_CLEARLY) && !ls_sketches_are_copies(sketch, &ls_choosing_reference(k, other->reference)->sketch);
        const bool is_told_apart = is_rival && rival != LS_NONE && (contrast_of(k, c, own->reference, rival, other->reference) < AGREES || are_one(k, c, rival));
        confirmed = !is_rival || is_told_apart;
    }
    return confirmed;
}

/* Drops guesses that are not confirmed. */
static void confirm(const ls_choosing *k, guesses *g) {
    bool *kept = calloc(k->found.candidate.count + 1, sizeof *kept);
    for (size_t c = 0; c < k->found.candidate.count && kept != NULL; c++) {
        const ls_likeness *own = g->of_candidate[c] != LS_NONE ? likeness_of(k, c, g->of_candidate[c]) : NULL;
        kept[c] = own != NULL && is_confirmed(k, g, c, own);
    }
    for (size_t c = 0; c < k->found.candidate.count; c++)
        if (kept == NULL || !kept[c])
            g->of_candidate[c] = LS_NONE;
    free(kept);
}

static lockstep_status pair_guesses(ls_choosing *k, double limit, ls_method method, guesses *g, lockstep_error *error) {
    enum { ROUNDS = 8 };
    guess(k, limit, g);
    for (int round = 0, any = 1; round < ROUNDS && any; round++) {
        any = 0;
        for (size_t c = 0; c < k->found.candidate.count; c++)
            any |= g->of_candidate[c] != LS_NONE && exchange(k, g, c);
    }
    confirm(k, g);
    for (size_t c = 0; c < k->found.candidate.count; c++) {
        const ls_likeness *own = g->of_candidate[c] != LS_NONE ? likeness_of(k, c, g->of_candidate[c]) : NULL;
        if (own != NULL && ls_choosing_is_possible(k, own, c))
            LS_TRY(ls_choosing_pair(k, own, c, method, error));
    }
    return LOCKSTEP_OK;
}

lockstep_status ls_choosing_pair_blurred(ls_choosing *k, double limit, ls_method method, lockstep_error *error) {
    guesses g = {malloc((k->found.candidate.count + 1) * sizeof(size_t)), malloc((k->found.reference.count + 1) * sizeof(size_t))};
    const lockstep_status status = g.of_candidate != NULL && g.of_reference != NULL ? pair_guesses(k, limit, method, &g, error) : ls_fail(error, LOCKSTEP_NO_MEMORY, "out of memory");
    free(g.of_candidate);
    free(g.of_reference);
    return status;
}
