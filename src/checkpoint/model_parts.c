#include "checkpoint/model_parts.h"

#include <string.h>

static bool contains_any(const char *name, const char *const *words) {
    for (; *words != NULL; words++)
        if (strstr(name, *words) != NULL)
            return true;
    return false;
}

ls_model_part ls_model_part_of(const char *name) {
    static const char *const begins[] = {"v.", "mm.", "a.", "vpm.", "resampler.", "apm."};
    static const char *const words[] = {"vision", "visual", "multi_modal_projector", "mm_projector", "audio", "image_newline", "embed_vision", "patch_embed", NULL};
    for (size_t i = 0; i < sizeof begins / sizeof *begins; i++)
        if (strncmp(name, begins[i], strlen(begins[i])) == 0)
            return LS_PART_TOWERS;
    return contains_any(name, words) ? LS_PART_TOWERS : LS_PART_TEXT;
}

unsigned ls_model_parts(const ls_checkpoint *c) {
    unsigned parts = 0;
    for (size_t i = 0; i < c->archive->tensor_count; i++)
        parts |= ls_model_part_of(c->archive->tensors[i].name);
    return parts;
}

const char *ls_model_module_of(const char *name) {
    static const struct {
        const char *module;
        const char *words[14];
    } rows[] = {
        {"norms", {"norm", "ln_", "ln1", "ln2", NULL}},
        {"attention", {"attn", "attention", "q_proj", "k_proj", "v_proj", "o_proj", NULL}},
        {"mlp", {"mlp", "ffn", "feed_forward", "expert", "fc1", "fc2", "up_proj", "down_proj", "gate_proj", NULL}},
        {"embeddings", {"embd", "embed", "wte", "wpe", "lm_head", "output.weight", NULL}},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (contains_any(name, rows[i].words))
            return rows[i].module;
    return "others";
}
