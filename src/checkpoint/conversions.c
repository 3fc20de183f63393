#include "checkpoint/conversions.h"

#include <string.h>

#include "checkpoint/hyperparameters.h"

/* Architectures in which llama.cpp rotates neighbouring elements, and whose checkpoints have halves. Those whose checkpoints
 * have neighbours as well (Cohere, DeepSeek, Ernie, GLM, Llama 4) are not listed. The last two don't rotate at all,
 * but their converter reorders the rows nevertheless, which changes nothing if it does so to queries and keys. */
static const char *const rotate_neighbours[] = {"llama",     "deci",       "baichuan",      "internlm2",   "minicpm",     "xverse",   "olmo",
                                                "arctic",    "granite",    "granitemoe",    "granite_swa", "bailingmoe",  "smollm3",  "arcee",
                                                "mistral3",  "llama-embed", "granitehybrid", "nemotron_h",  "nemotron_h_moe"};

/* Architectures whose checkpoints multiply norms by 1 + weight, which llama.cpp does not. */
static const char *const add_one[] = {"gemma", "gemma2", "gemma3", "nemotron", "qwen3next", "qwen35", "qwen35moe", "qwen4exp"};

static bool contains(const char *const *list, size_t count, const char *text) {
    for (size_t i = 0; i < count; i++)
        if (strcmp(list[i], text) == 0)
            return true;
    return false;
}

/* The side that is a GGUF file if the other is a checkpoint; -1 otherwise. */
static int converted_side(const ls_weights *w) {
    if (w->sides[0]->gguf == w->sides[1]->gguf)
        return -1;
    return w->sides[0]->gguf ? 0 : 1;
}

static bool adds_one(const ls_weights *w, int original, const char *name) {
    int side = converted_side(w);
    return side == 1 - original && contains(add_one, sizeof add_one / sizeof *add_one, w->sides[side]->architecture) && strstr(name, "norm") != NULL &&
           strstr(name, "linear_attn.norm") == NULL && strstr(name, ".bias") == NULL;
}

typedef enum rotation { NOT_ROTATED, PARTLY_ROTATED, WHOLLY_ROTATED } rotation;

/* Halves of the rotated part are halves of the head only if heads are rotated as a whole. */
static rotation rotation_of(const ls_checkpoint *c) {
    ls_setting_value rotated, size;
    if (!ls_setting_of(c, "rope-dimensions", &rotated) || !ls_setting_of(c, "head-size", &size))
        return NOT_ROTATED;
    return rotated.number == size.number ? WHOLLY_ROTATED : PARTLY_ROTATED;
}

static bool permutes(const ls_weights *w, int original) {
    int side = converted_side(w);
    return side == 1 - original && contains(rotate_neighbours, sizeof rotate_neighbours / sizeof *rotate_neighbours, w->sides[side]->architecture);
}

/* Whether only a transposition makes the shapes equal. */
static bool must_be_transposed(const ls_tensor *a, const ls_tensor *b) {
    return a->rank == b->rank && a->rank >= 2 && a->shape[a->rank - 1] != a->shape[a->rank - 2] && a->shape[a->rank - 1] == b->shape[b->rank - 2] &&
           a->shape[a->rank - 2] == b->shape[b->rank - 1];
}

bool ls_conversion_is_due(const ls_weights *w, unsigned change, int side, const size_t tensors[LS_SIDES]) {
    const ls_tensor *original = &w->sides[side]->archive->tensors[tensors[side]], *made = &w->sides[1 - side]->archive->tensors[tensors[1 - side]];
    switch (change) {
    case LS_CHANGE_TRANSPOSE: return must_be_transposed(original, made);
    case LS_CHANGE_ROPE_PAIRS: return permutes(w, side) && rotation_of(w->sides[1 - side]) != PARTLY_ROTATED;
    case LS_CHANGE_PLUS_ONE: return adds_one(w, side, original->name);
    case LS_CHANGE_NEGATIVE_EXP: return strstr(original->name, "A_log") != NULL && strstr(made->name, "A_log") == NULL;
    default: return false;
    }
}

static bool is_rotated(const char *gguf_name) { return strstr(gguf_name, ".attn_q.") != NULL || strstr(gguf_name, ".attn_k.") != NULL; }

const char *ls_conversion_missing(const ls_weights *w, const ls_weight_pair *pair) {
    int side = converted_side(w);
    if (side < 0 || pair->changes != 0)
        return NULL;
    const char *made = w->sides[side]->archive->tensors[pair->part[side].tensor].name;
    if (adds_one(w, 1 - side, w->sides[1 - side]->archive->tensors[pair->part[1 - side].tensor].name))
        return "the 1 that the engine expects to be added is missing";
    if (permutes(w, 1 - side) && rotation_of(w->sides[side]) == WHOLLY_ROTATED && is_rotated(made))
        return "the engine expects interleaved rotary pairs";
    return NULL;
}
