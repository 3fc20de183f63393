/* Stacked experts, [experts, rows, columns] on one side and a tensor for each expert on the other, under names that no rule
 * covers. Which tensors are stacked is decided by the content of three experts; which of them is which expert, by the
 * numbers in their names, so that an expert that is wrong or in another's place still differs. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "checkpoint/weight_steps.h"
#include "compare/sample.h"

enum { NAME = 512, SAMPLE = 512, EXPERTS_MAX = 4096 };

bool ls_weight_parts_agree(ls_weights *w, const ls_weight_pair *pair) {
    ls_weight_values values[LS_SIDES] = {0};
    const ls_tensor *tensors[LS_SIDES];
    lockstep_status status = LOCKSTEP_OK;
    for (int side = 0; side < LS_SIDES && status == LOCKSTEP_OK; side++) {
        tensors[side] = &w->sides[side]->archive->tensors[pair->part[side].tensor];
        status = ls_weight_read(w, side, &pair->part[side], side == pair->original ? pair->changes : 0, ls_weight_heads(w, tensors[side]->name), &values[side], NULL);
    }
    bool agree = false;
    if (status == LOCKSTEP_OK && ls_view_elements(&values[0].view) == ls_view_elements(&values[1].view)) {
        double relative = ls_sampled_error(&values[0].view, &values[1].view, SAMPLE);
        agree = relative * relative <= fmax(ls_quality_allowed(tensors[0]->dtype, tensors[1]->dtype), 1e-12);
    }
    for (int side = 0; side < LS_SIDES; side++)
        free(values[side].owned);
    return agree;
}

/* A tensor of each expert: their names are the same but for a number. */
typedef struct family {
    char before[NAME];
    const char *after;
} family;

/* The last component that is a number; false if the tensor is not its family's expert 0. */
static bool family_of(const char *name, family *out) {
    for (size_t at = strlen(name); at-- > 1 && at < NAME;) {
        if (name[at - 1] != '.' || name[at] < '0' || name[at] > '9')
            continue;
        if (name[at] != '0' || name[at + 1] != '.')
            return false;
        memcpy(out->before, name, at);
        out->before[at] = '\0';
        out->after = name + at + 1;
        return true;
    }
    return false;
}

/* The tensor of an expert, if it has no partner yet; SIZE_MAX. */
static size_t expert_of(const ls_weights *w, int side, const family *f, uint64_t expert) {
    char name[NAME + 32];
    snprintf(name, sizeof name, "%s%llu%s", f->before, (unsigned long long)expert, f->after);
    size_t found = ls_weight_labels_find(&w->labels[side], name);
    return found != SIZE_MAX && !w->paired[side][found] ? found : SIZE_MAX;
}

static bool may_be_partner(const ls_weights *w, int side, size_t i) { return !w->paired[side][i] && w->labels[side].items[i].scheme == NULL; }

typedef struct stack {
    ls_weights *w;
    int side; /* of the stacked tensor */
    size_t tensor;
    uint64_t experts;
} stack;

static ls_weight_pair pair_of(const stack *s, size_t single, uint64_t expert) {
    ls_weight_pair pair = {.method = LS_METHOD_CONTENT};
    pair.part[s->side] = (ls_weight_part){.tensor = s->tensor, .axis = 0, .first = expert, .count = 1, .index = true};
    pair.part[1 - s->side] = (ls_weight_part){.tensor = single, .axis = -1};
    return pair;
}

/* All experts are there, and no more. */
static bool is_complete(const stack *s, const family *f) {
    for (uint64_t expert = 0; expert < s->experts; expert++) {
        size_t single = expert_of(s->w, 1 - s->side, f, expert);
        if (single == SIZE_MAX || s->w->labels[1 - s->side].items[single].scheme != NULL)
            return false;
    }
    return expert_of(s->w, 1 - s->side, f, s->experts) == SIZE_MAX;
}

/* Two of three experts prove where the stack is from. */
static bool has_content_of(const stack *s, const family *f) {
    const uint64_t tried[] = {0, s->experts / 2, s->experts - 1};
    int agree = 0;
    for (size_t i = 0; i < 3; i++) {
        const ls_weight_pair pair = pair_of(s, expert_of(s->w, 1 - s->side, f, tried[i]), tried[i]);
        agree += ls_weight_parts_agree(s->w, &pair);
    }
    return agree >= 2;
}

static bool fits(const ls_tensor *stacked, const ls_tensor *single) {
    return single->rank == stacked->rank - 1 && memcmp(single->shape, stacked->shape + 1, (size_t)single->rank * sizeof *single->shape) == 0;
}

static lockstep_status pair_experts(const stack *s, const family *f, lockstep_error *error) {
    for (uint64_t expert = 0; expert < s->experts; expert++) {
        ls_weight_pair pair = pair_of(s, expert_of(s->w, 1 - s->side, f, expert), expert);
        LS_TRY(ls_weights_compare(s->w, &pair, error));
        if (ls_weights_add_pair(s->w, &pair) == NULL)
            return ls_fail(error, LOCKSTEP_NO_MEMORY, "out of memory");
    }
    return LOCKSTEP_OK;
}

static lockstep_status pair_stack(const stack *s, lockstep_error *error) {
    const lockstep_archive *singles = s->w->sides[1 - s->side]->archive;
    const ls_tensor *stacked = &s->w->sides[s->side]->archive->tensors[s->tensor];
    for (size_t i = 0; i < singles->tensor_count; i++) {
        family f;
        if (may_be_partner(s->w, 1 - s->side, i) && fits(stacked, &singles->tensors[i]) && family_of(s->w->labels[1 - s->side].items[i].name, &f) &&
            is_complete(s, &f) && has_content_of(s, &f))
            return pair_experts(s, &f, error);
    }
    return LOCKSTEP_OK;
}

lockstep_status ls_weights_pair_stacks(ls_weights *w, lockstep_error *error) {
    for (int side = 0; side < LS_SIDES; side++)
        for (size_t i = 0; i < w->sides[side]->archive->tensor_count; i++) {
            const ls_tensor *t = &w->sides[side]->archive->tensors[i];
            const stack s = {w, side, i, t->rank >= 2 ? t->shape[0] : 0};
            if (may_be_partner(w, side, i) && s.experts >= 2 && s.experts <= EXPERTS_MAX)
                LS_TRY(pair_stack(&s, error));
        }
    return LOCKSTEP_OK;
}
