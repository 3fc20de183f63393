#include "match/sequence.h"

#include <stdlib.h>
#include <string.h>

#include "base/grow.h"
#include "base/map.h"

/* ------------------------------------------------------------------ putting together */

typedef struct run {
    ls_sequence tokens;
    size_t capacity;
} run;

typedef struct runs {
    run *all;
    size_t count, capacity;
    ls_map open; /* (process, context, sequence) -> run + 1 */
} runs;

static run *open_run(runs *r, const ls_pass *pass, int32_t sequence, int32_t position) {
    int64_t key[2] = {(int64_t)pass->process << 32 | pass->context, sequence};
    uint64_t *slot = ls_map_at(&r->open, (const char *)key, sizeof key);
    if (slot == NULL)
        return NULL;
    if (*slot != 0 && (size_t)position == r->all[*slot - 1].tokens.count)
        return &r->all[*slot - 1];
    size_t before = *slot, kept = before != 0 && position > 0 && (size_t)position < r->all[before - 1].tokens.count ? (size_t)position : 0;
    if (!ls_grow((void **)&r->all, r->count, &r->capacity, sizeof *r->all))
        return NULL;
    run *fresh = &r->all[r->count];
    *fresh = (run){0};
    for (size_t i = 0; i < kept; i++) { /* taken back, and gone on otherwise: both stay */
        if (!ls_grow((void **)&fresh->tokens.ids, i, &fresh->capacity, sizeof *fresh->tokens.ids))
            return NULL;
        fresh->tokens.ids[fresh->tokens.count++] = r->all[before - 1].tokens.ids[i];
    }
    *slot = ++r->count;
    return fresh;
}

static bool collect(const ls_trace *t, runs *r) {
    for (size_t p = 0; p < t->pass_count; p++) {
        const ls_pass *pass = &t->passes[p];
        for (size_t i = 0; pass->tokens != NULL && i < pass->rows; i++) {
            run *to = open_run(r, pass, pass->sequences != NULL ? pass->sequences[i] : 0,
                               pass->positions != NULL ? pass->positions[i] : (int32_t)i);
            if (to == NULL || !ls_grow((void **)&to->tokens.ids, to->tokens.count, &to->capacity, sizeof *to->tokens.ids))
                return false;
            to->tokens.ids[to->tokens.count++] = pass->tokens[i];
        }
    }
    return true;
}

lockstep_status ls_sequence_of(const ls_trace *trace, ls_sequence *out_sequence, lockstep_error *error) {
    runs r = {0};
    bool ok = collect(trace, &r);
    size_t longest = 0;
    for (size_t i = 0; i < r.count; i++)
        longest = r.all[i].tokens.count > r.all[longest].tokens.count ? i : longest;
    if (ok && r.count > 0)
        *out_sequence = r.all[longest].tokens;
    for (size_t i = 0; i < r.count; i++)
        if (!ok || i != longest)
            free(r.all[i].tokens.ids);
    lockstep_status status = !ok          ? ls_fail(error, LOCKSTEP_NO_MEMORY, "out of memory")
                             : r.count > 0 ? LOCKSTEP_OK
                                           : ls_fail(error, LOCKSTEP_INCOMPARABLE, "%s tells no token ids", trace->path);
    free(r.all);
    ls_map_done(&r.open);
    return status;
}

void ls_sequence_done(ls_sequence *sequence) {
    free(sequence->ids);
    *sequence = (ls_sequence){0};
}

/* ------------------------------------------------------------------ side by side */

enum { CELLS_MAX = 64 << 20 };

typedef struct sides {
    const int32_t *a, *b;
    size_t na, nb; /* of what lies between the common ends */
    uint16_t *common; /* [na + 1][nb + 1]: length of the longest common subsequence of the tails */
} sides;

static uint16_t *cell(const sides *s, size_t i, size_t j) { return &s->common[i * (s->nb + 1) + j]; }

static void fill(const sides *s) {
    for (size_t i = s->na; i-- > 0;)
        for (size_t j = s->nb; j-- > 0;) {
            uint16_t down = *cell(s, i + 1, j), right = *cell(s, i, j + 1);
            *cell(s, i, j) = ls_tokens_agree(s->a[i], s->b[j]) ? (uint16_t)(*cell(s, i + 1, j + 1) + 1) : down > right ? down : right;
        }
}

lockstep_status ls_sequences_align(const ls_sequence *reference, const ls_sequence *candidate, ls_token_step **out_steps,
                                   size_t *out_count, lockstep_error *error) {
    size_t head = 0, na = reference->count, nb = candidate->count, count = 0;
    while (head < na && head < nb && ls_tokens_agree(reference->ids[head], candidate->ids[head]))
        head++;
    sides s = {reference->ids + head, candidate->ids + head, na - head, nb - head, NULL};
    bool fits = s.na < UINT16_MAX && s.nb < UINT16_MAX && (s.na + 1) * (s.nb + 1) <= CELLS_MAX;
    ls_token_step *steps = calloc(na + nb + 1, sizeof *steps);
    s.common = fits ? calloc((s.na + 1) * (s.nb + 1), sizeof *s.common) : NULL;
    if (steps == NULL || (fits && s.common == NULL)) {
        free(steps);
        free(s.common);
        return ls_fail(error, LOCKSTEP_NO_MEMORY, "out of memory");
    }
    if (fits)
        fill(&s);
    for (size_t i = 0; i < head; i++)
        steps[count++] = (ls_token_step){i, i};
    for (size_t i = 0, j = 0; i < s.na || j < s.nb;) {
        bool both = i < s.na && j < s.nb && (ls_tokens_agree(s.a[i], s.b[j]) || !fits);
        bool left = !both && i < s.na && (j == s.nb || *cell(&s, i + 1, j) >= *cell(&s, i, j + 1));
        steps[count++] = (ls_token_step){both || left ? head + i : LS_NONE, both || !left ? head + j : LS_NONE};
        i += both || left;
        j += both || !left;
    }
    free(s.common);
    *out_steps = steps;
    *out_count = count;
    return LOCKSTEP_OK;
}
