#include "checkpoint/weights.h"

#include "base/progress.h"
#include "checkpoint/architectures.h"
#include "checkpoint/weight_steps.h"

#include <stdlib.h>
#include <string.h>

/* The preset of a model type that engines treat as another architecture: Mistral is a Llama. */
static const char *preset_of_type(const ls_checkpoint *c) {
    const char *architecture = ls_architecture_in_gguf(c);
    return architecture != NULL ? ls_rules_preset_for_architecture(architecture) : NULL;
}

/* The preset is chosen by either side's model class, else by its architecture. */
static lockstep_status choose_rules(ls_weights *w, const ls_weights_options *o, lockstep_error *error) {
    const char *name = o->preset;
    if (o->map != NULL)
        return ls_rules_open(o->map, &w->preset, error);
    for (int side = 0; side < LS_SIDES && name == NULL; side++)
        name = w->sides[side]->model[0] != '\0' ? ls_rules_preset_for(w->sides[side]->model) : NULL;
    for (int side = 0; side < LS_SIDES && name == NULL; side++)
        name = w->sides[side]->gguf ? ls_rules_preset_for_architecture(w->sides[side]->architecture) : NULL;
    for (int side = 0; side < LS_SIDES && name == NULL; side++)
        name = w->sides[side]->gguf ? NULL : preset_of_type(w->sides[side]);
    return name == NULL || strcmp(name, "none") == 0 ? LOCKSTEP_OK : ls_rules_preset(name, &w->preset, error);
}

static uint64_t bytes_of(const ls_weights *w, const ls_weight_pair *p) {
    uint64_t bytes = 0;
    for (int side = 0; side < LS_SIDES; side++) {
        const ls_tensor *t = &w->sides[side]->archive->tensors[p->part[side].tensor];
        uint64_t rows = p->part[side].axis >= 0 && t->rank > p->part[side].axis ? t->shape[p->part[side].axis] : 0;
        bytes += rows > 0 ? t->bytes / rows * p->part[side].count : t->bytes;
    }
    return bytes;
}

static uint64_t compared_elements(const ls_weight_pair *p) { return p->verdict < LS_VERDICT_SHAPE ? p->metrics.elements : 0; }

static lockstep_status compare_all(ls_weights *w, lockstep_error *error) {
    lockstep_status status = LOCKSTEP_OK;
    uint64_t all = 0;
    for (size_t i = 0; i < w->pair_count; i++)
        all += bytes_of(w, &w->pairs[i]);
    ls_progress_begin(LS_STAGE_WEIGHTS, all);
    for (size_t i = 0; i < w->pair_count && status == LOCKSTEP_OK; i++) {
        status = ls_weights_compare(w, &w->pairs[i], error);
        ls_progress_add(LS_STAGE_WEIGHTS, bytes_of(w, &w->pairs[i]));
    }
    ls_progress_end(LS_STAGE_WEIGHTS);
    return status;
}

static lockstep_status run(ls_weights *w, const ls_weights_options *o, lockstep_error *error) {
    for (int side = 0; side < LS_SIDES; side++) {
        w->paired[side] = calloc(w->sides[side]->archive->tensor_count + 1, sizeof *w->paired[side]);
        if (w->paired[side] == NULL)
            return ls_fail(error, LOCKSTEP_NO_MEMORY, "out of memory");
        LS_TRY(ls_weight_labels_read(w->sides[side], &w->labels[side], error));
    }
    LS_TRY(choose_rules(w, o, error));
    LS_TRY(ls_weights_pair(w, o->tensors, error));
    LS_TRY(compare_all(w, error));
    ls_weights_judge_schemes(w);
    if (o->tensors == NULL) {
        LS_TRY(ls_weights_pair_stacks(w, error));
        LS_TRY(ls_weights_search(w, error));
        LS_TRY(ls_weights_find_contradictions(w, error));
    }
    const lockstep_archive *candidate = w->sides[LS_CANDIDATE]->archive;
    for (size_t i = 0; i < candidate->tensor_count; i++)
        w->elements += candidate->tensors[i].elements;
    for (size_t i = 0; i < w->pair_count; i++)
        w->compared += compared_elements(&w->pairs[i]);
    for (size_t i = 0; i < w->pair_count; i++)
        if (w->pairs[i].verdict == LS_VERDICT_UNSUPPORTED)
            w->unsupported += candidate->tensors[w->pairs[i].part[LS_CANDIDATE].tensor].elements;
    for (size_t i = 0; i < candidate->tensor_count; i++)
        if (!w->paired[LS_CANDIDATE][i] && w->labels[LS_CANDIDATE].items[i].scheme != NULL)
            w->unsupported += candidate->tensors[i].elements;
    return LOCKSTEP_OK;
}

lockstep_status ls_weights_run(ls_checkpoint *reference, ls_checkpoint *candidate, const uint64_t heads[2],
                               const ls_weights_options *options, ls_weights *out_weights, lockstep_error *error) {
    ls_weights w = {.sides = {reference, candidate}, .heads = {heads[0], heads[1]}};
    lockstep_status status = run(&w, options, error);
    if (status != LOCKSTEP_OK)
        ls_weights_done(&w);
    else
        *out_weights = w;
    return status;
}

void ls_weights_done(ls_weights *weights) {
    free(weights->pairs);
    free(weights->finds);
    free(weights->paired[LS_REFERENCE]);
    free(weights->paired[LS_CANDIDATE]);
    ls_weight_labels_done(&weights->labels[LS_REFERENCE]);
    ls_weight_labels_done(&weights->labels[LS_CANDIDATE]);
    ls_rules_done(&weights->preset);
    ls_arena_done(&weights->arena);
    *weights = (ls_weights){0};
}
