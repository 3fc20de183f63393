/* Names that differ only in their prefixes: "net.layers.0.up.weight" corresponds to
 * "model.layers.0.up.weight" if the other names agree. Each name votes for a replacement of
 * its prefix; the replacement with the most votes is applied first, then the next. */
#include <stdio.h>
#include <string.h>

#include "base/map.h"
#include "checkpoint/weight_steps.h"

enum { ROUNDS = 8, LONGEST = 512, AMBIGUOUS = -1 };

typedef struct beginnings {
    ls_weights *w;
    ls_map endings[LS_SIDES]; /* a suffix of a name -> tensor + 1, or AMBIGUOUS */
    ls_weight_adder *add;
    void *context;
    lockstep_error *error;
} beginnings;

static const char *name_of(const beginnings *b, int side, size_t i) { return b->w->labels[side].items[i].name; }

static bool is_open(const beginnings *b, int side, size_t i) {
    const ls_weight_label *label = &b->w->labels[side].items[i];
    return !b->w->paired[side][i] && (label->scheme == NULL || label->is_codes);
}

/* The next shorter suffix of at least two components; NULL when there is none. */
static const char *shorten(const char *name) {
    const char *dot = strchr(name, '.');
    return dot != NULL && strchr(dot + 1, '.') != NULL ? dot + 1 : NULL;
}

static lockstep_status index_endings(beginnings *b, int side) {
    for (size_t i = 0; i < b->w->sides[side]->archive->tensor_count; i++) {
        int steps = 0;
        for (const char *at = name_of(b, side, i); at != NULL && is_open(b, side, i) && steps < 32; at = shorten(at), steps++) {
            uint64_t *found = ls_map_at(&b->endings[side], at, strlen(at));
            if (found == NULL)
                return ls_fail(b->error, LOCKSTEP_NO_MEMORY, "out of memory");
            *found = *found == 0 ? i + 1 : (uint64_t)AMBIGUOUS;
        }
    }
    return LOCKSTEP_OK;
}

/* The reference's tensor that shares the longest suffix that is unique on both sides. */
static size_t partner_of(const beginnings *b, size_t candidate, const char **out_ending) {
    int steps = 0;
    for (const char *at = name_of(b, LS_CANDIDATE, candidate); at != NULL && steps < 32; at = shorten(at), steps++) {
        const uint64_t *other = ls_map_find(&b->endings[LS_REFERENCE], at, strlen(at));
        const uint64_t *own = ls_map_find(&b->endings[LS_CANDIDATE], at, strlen(at));
        if (other == NULL)
            continue;
        *out_ending = at;
        bool unique = *other != (uint64_t)AMBIGUOUS && own != NULL && *own != (uint64_t)AMBIGUOUS;
        return unique ? (size_t)*other - 1 : SIZE_MAX;
    }
    return SIZE_MAX;
}

static bool alike(const beginnings *b, size_t reference, size_t candidate) {
    const ls_tensor *r = &b->w->sides[LS_REFERENCE]->archive->tensors[reference], *c = &b->w->sides[LS_CANDIDATE]->archive->tensors[candidate];
    bool coded = b->w->labels[0].items[reference].scheme != NULL || b->w->labels[1].items[candidate].scheme != NULL;
    return (coded || r->elements == c->elements) && ls_weight_names_contradict(name_of(b, LS_REFERENCE, reference), name_of(b, LS_CANDIDATE, candidate)) == NULL;
}

/* "PREFIX of the candidate\nPREFIX of the reference". */
static size_t put_vote(const beginnings *b, size_t reference, size_t candidate, const char *ending, char out[2 * LONGEST]) {
    const char *c = name_of(b, LS_CANDIDATE, candidate), *r = name_of(b, LS_REFERENCE, reference);
    size_t n = (size_t)(ending - c), m = strlen(r) - strlen(ending);
    if (n >= LONGEST || m >= LONGEST - 1)
        return 0;
    memcpy(out, c, n);
    out[n] = '\n';
    memcpy(out + n + 1, r, m);
    out[n + 1 + m] = '\0';
    return n + 1 + m;
}

static lockstep_status vote(beginnings *b, char out_best[2 * LONGEST], uint64_t *out_votes) {
    ls_map votes = {0};
    lockstep_status status = LOCKSTEP_OK;
    *out_votes = 0;
    for (size_t i = 0; i < b->w->sides[LS_CANDIDATE]->archive->tensor_count && status == LOCKSTEP_OK; i++) {
        char text[2 * LONGEST];
        const char *ending;
        size_t other = is_open(b, LS_CANDIDATE, i) ? partner_of(b, i, &ending) : SIZE_MAX;
        size_t length = other != SIZE_MAX && alike(b, other, i) ? put_vote(b, other, i, ending, text) : 0;
        uint64_t *count = length > 0 ? ls_map_at(&votes, text, length) : NULL;
        if (length > 0 && count == NULL)
            status = ls_fail(b->error, LOCKSTEP_NO_MEMORY, "out of memory");
        if (count != NULL && ++*count > *out_votes) {
            *out_votes = *count;
            memcpy(out_best, text, length + 1);
        }
    }
    ls_map_done(&votes);
    return status;
}

/* Pairs every name with this prefix. */
static lockstep_status replace(beginnings *b, const char *best) {
    ls_weights *w = b->w;
    const char *to = strchr(best, '\n') + 1;
    size_t from_length = (size_t)(to - best) - 1;
    for (size_t i = 0; i < w->sides[LS_CANDIDATE]->archive->tensor_count; i++) {
        char name[2 * LONGEST];
        const char *own = name_of(b, LS_CANDIDATE, i);
        if (!is_open(b, LS_CANDIDATE, i) || strncmp(own, best, from_length) != 0 || strlen(own) >= LONGEST)
            continue;
        snprintf(name, sizeof name, "%s%s", to, own + from_length);
        size_t other = ls_weight_labels_find(&w->labels[LS_REFERENCE], name);
        if (other == SIZE_MAX || !is_open(b, LS_REFERENCE, other))
            continue;
        ls_weight_pair pair = {.method = LS_METHOD_NAME, .part = {{.tensor = other, .axis = -1}, {.tensor = i, .axis = -1}}};
        LS_TRY(b->add(b->context, &pair));
    }
    return LOCKSTEP_OK;
}

lockstep_status ls_weights_pair_beginnings(ls_weights *weights, ls_weight_adder *add, void *context, lockstep_error *error) {
    beginnings b = {.w = weights, .add = add, .context = context, .error = error};
    lockstep_status status = LOCKSTEP_OK;
    uint64_t votes = 1;
    for (int round = 0; round < ROUNDS && status == LOCKSTEP_OK && votes > 0; round++) {
        char best[2 * LONGEST];
        for (int side = 0; side < LS_SIDES && status == LOCKSTEP_OK; side++)
            status = index_endings(&b, side);
        if (status == LOCKSTEP_OK)
            status = vote(&b, best, &votes);
        if (status == LOCKSTEP_OK && votes > 0)
            status = replace(&b, best);
        ls_map_done(&b.endings[LS_REFERENCE]);
        ls_map_done(&b.endings[LS_CANDIDATE]);
        b.endings[LS_REFERENCE] = b.endings[LS_CANDIDATE] = (ls_map){0};
    }
    return status;
}
