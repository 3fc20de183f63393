#include "checkpoint/weight_names.h"

#include "quantized/quantized.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAME = 512, SEVERAL_NUMBERS = 8 };

/* --- wrappers */

/* Components that frameworks put between a model and its modules, wherever they stand. */
static const char *const wrapper_components[] = {"_fsdp_wrapped_module", "_orig_mod", "_checkpoint_wrapped_module", "_forward_module", "base_layer"};
/* The same, at the beginning of a name. */
static const char *const wrapper_prefixes[] = {"module.", "base_model.model."};

static bool is_wrapper(const char *component, size_t length) {
    for (size_t i = 0; i < sizeof wrapper_components / sizeof *wrapper_components; i++)
        if (strlen(wrapper_components[i]) == length && memcmp(wrapper_components[i], component, length) == 0)
            return true;
    return false;
}

static const char *skip_prefixes(const char *name) {
    for (size_t i = 0; i < sizeof wrapper_prefixes / sizeof *wrapper_prefixes;) {
        size_t length = strlen(wrapper_prefixes[i]);
        bool begins = strncmp(name, wrapper_prefixes[i], length) == 0 && name[length] != '\0';
        name += begins ? length : 0;
        i = begins ? 0 : i + 1;
    }
    return name;
}

/* Writes the name without wrappers; a name that is too long is not changed. */
static void unwrap(const char *name, char out[NAME]) {
    size_t used = 0;
    if (strlen(name) >= NAME) {
        out[0] = '\0';
        return;
    }
    for (const char *at = name; *at != '\0';) {
        size_t length = strcspn(at, ".");
        bool last = at[length] == '\0';
        if (last || !is_wrapper(at, length)) {
            memcpy(out + used, at, length);
            used += length;
            if (!last)
                out[used++] = '.';
        }
        at += length + !last;
    }
    out[used] = '\0';
    const char *rest = skip_prefixes(out);
    memmove(out, rest, strlen(rest) + 1);
}

/* --- schemes */

/* A module X is quantized if X + codes and X + marker both exist; its name is then X + weight.
 * Codes that are named like a plain weight must have a type that no plain weight has. The
 * rows are tried in order. */
static const struct scheme {
    const char *name, *codes, *marker, *weight;
} schemes[] = {
    {"fp8 with block scales", ".weight", ".weight_scale_inv", ".weight"},
    {"bitsandbytes, 4 bits", ".weight", ".weight.absmax", ".weight"},
    {"bitsandbytes, 8 bits", ".weight", ".SCB", ".weight"},
    {"compressed-tensors, packed", ".weight_packed", ".weight_scale", ".weight"},
    {"nvfp4 of modelopt", ".weight", ".weight_scale_2", ".weight"},
    {"codes with a scale", ".weight", ".weight_scale", ".weight"},
    {"eetq", ".weight", ".weight_scales", ".weight"},
    {"gptq", ".qweight", ".g_idx", ".weight"},
    {"awq", ".qweight", ".qzeros", ".weight"},
    {"codes with scales", ".qweight", ".scales", ".weight"},
    {"mlx", ".weight", ".scales", ".weight"},
    {"exl2", ".q_weight", ".q_scale", ".weight"},
    {"exl3", ".trellis", ".suh", ".weight"},
    {"mxfp4", "_blocks", "_scales", ""},
    {"hqq", ".W_q", ".scale", ".weight"},
    {"hqq", ".W_q", ".meta", ".weight"},
    {"quanto", ".weight._data", ".weight._scale", ".weight"},
    {"torchao", "._weight_qdata", "._weight_scale", ".weight"},
    {"torchao", ".weight:_weight_qdata", ".weight:_weight_scale", ".weight"},
    {"torchao", ".weight:qdata", ".weight:scale", ".weight"},
    {"torchao", ".weight.qdata", ".weight.scale", ".weight"},
    {"aqlm", ".codes", ".codebooks", ".weight"},
    {"vptq", ".indices", ".centroids.weight", ".weight"},
    {"spqr", ".dense_weights", ".row_offsets", ".weight"},
    {"quip#", ".Qidxs", ".SU", ".weight"},
};
enum { SCHEMES = sizeof schemes / sizeof *schemes };

static bool is_plain_type(lockstep_dtype dtype) {
    return dtype == LOCKSTEP_F32 || dtype == LOCKSTEP_F16 || dtype == LOCKSTEP_BF16 || dtype == LOCKSTEP_F64;
}

/* Codes of a scheme that is known have become weights (part `quantized`). */
static bool is_read(const ls_tensor *t) { return t->codes != NULL || t->trouble != NULL; }

static bool ends_with(const char *name, size_t length, const char *suffix) {
    size_t n = strlen(suffix);
    return length > n && memcmp(name + length - n, suffix, n) == 0;
}

/* The scheme of the codes that the tensor holds. */
static const struct scheme *scheme_of(const lockstep_archive *a, size_t tensor) {
    const char *name = a->tensors[tensor].name;
    size_t length = strlen(name);
    for (int i = 0; i < SCHEMES && length + 40 < NAME; i++) {
        char marker[NAME];
        const struct scheme *s = &schemes[i];
        bool own_name = strcmp(s->codes, s->weight) != 0;
        if (!ends_with(name, length, s->codes) || (!own_name && is_plain_type(a->tensors[tensor].dtype)))
            continue;
        snprintf(marker, sizeof marker, "%.*s%s", (int)(length - strlen(s->codes)), name, s->marker);
        if (ls_archive_find(a, marker) != SIZE_MAX)
            return s;
    }
    return NULL;
}

typedef struct labelling {
    const ls_checkpoint *c;
    ls_weight_labels *l;
    const char *method; /* of config.json, or NULL */
    ls_map stems;       /* a quantized module -> its codes' tensor + 1 */
    lockstep_error *error;
} labelling;

static lockstep_status no_memory(const labelling *b) { return ls_fail(b->error, LOCKSTEP_NO_MEMORY, "out of memory"); }

/* Codes that aren't in the table: the configuration says that there are some, and the type is
 * not that of a plain weight. */
static bool are_unknown_codes(const labelling *b, const ls_tensor *t) {
    return b->method != NULL && !is_read(t) && !is_plain_type(t->dtype) && strstr(t->name, "weight") != NULL && t->elements > 1;
}

static lockstep_status label_codes(labelling *b, size_t i, const struct scheme *s) {
    const ls_tensor *t = &b->c->archive->tensors[i];
    ls_weight_label *label = &b->l->items[i];
    size_t length = strlen(t->name), stem = s != NULL ? length - strlen(s->codes) : length;
    label->scheme = ls_arena_printf(&b->l->arena, "%s", b->method != NULL ? b->method : s->name);
    label->is_codes = true;
    label->codes = i;
    label->name = s != NULL ? ls_arena_printf(&b->l->arena, "%.*s%s", (int)stem, t->name, s->weight) : t->name;
    uint64_t *at = s != NULL ? ls_map_at(&b->stems, t->name, stem) : NULL;
    if (label->scheme == NULL || label->name == NULL || (s != NULL && at == NULL))
        return no_memory(b);
    if (at != NULL)
        *at = i + 1;
    return LOCKSTEP_OK;
}

/* Everything else in a quantized module belongs to its codes, except its bias. */
static void label_companion(labelling *b, size_t i) {
    const char *name = b->c->archive->tensors[i].name;
    size_t length = strlen(name);
    if (b->l->items[i].is_codes || ends_with(name, length, ".bias"))
        return;
    for (size_t at = length; at-- > 1;) {
        bool of_blocks = name[at] == '_' && strcmp(name + at, "_scales") == 0;
        if (name[at] != '.' && name[at] != ':' && !of_blocks)
            continue;
        const uint64_t *codes = ls_map_find(&b->stems, name, at);
        bool adapter = ends_with(name + at, length - at, ".weight") && strstr(name + at, "centroids") == NULL;
        if (codes == NULL || adapter)
            continue;
        b->l->items[i].scheme = b->l->items[*codes - 1].scheme;
        b->l->items[i].codes = *codes - 1;
        return;
    }
}

static lockstep_status name_tensor(labelling *b, size_t i) {
    ls_weight_label *label = &b->l->items[i];
    char name[NAME];
    unwrap(label->name, name);
    if (name[0] != '\0')
        label->name = ls_arena_copy(&b->l->arena, name, strlen(name));
    if (label->name == NULL)
        return no_memory(b);
    if (label->scheme != NULL && !label->is_codes)
        return LOCKSTEP_OK;
    uint64_t *at = ls_map_at(&b->l->names, label->name, strlen(label->name));
    if (at == NULL)
        return no_memory(b);
    if (*at == 0)
        *at = i + 1;
    return LOCKSTEP_OK;
}

static lockstep_status label_all(labelling *b) {
    const lockstep_archive *a = b->c->archive;
    b->l->items = calloc(a->tensor_count + 1, sizeof *b->l->items);
    if (b->l->items == NULL)
        return no_memory(b);
    for (size_t i = 0; i < a->tensor_count; i++) {
        b->l->items[i] = (ls_weight_label){.name = a->tensors[i].name};
        const struct scheme *s = b->c->gguf || is_read(&a->tensors[i]) ? NULL : scheme_of(a, i);
        if (s != NULL)
            LS_TRY(label_codes(b, i, s));
    }
    for (size_t i = 0; i < a->tensor_count; i++) {
        if (b->stems.count > 0)
            label_companion(b, i);
        if (b->l->items[i].scheme == NULL && are_unknown_codes(b, &a->tensors[i]))
            LS_TRY(label_codes(b, i, NULL));
        LS_TRY(name_tensor(b, i));
    }
    return LOCKSTEP_OK;
}

lockstep_status ls_weight_labels_read(const ls_checkpoint *checkpoint, ls_weight_labels *out_labels, lockstep_error *error) {
    ls_weight_labels l = {0};
    labelling b = {.c = checkpoint, .l = &l, .method = checkpoint->gguf ? NULL : ls_quantized_method(checkpoint->config), .error = error};
    lockstep_status status = label_all(&b);
    ls_map_done(&b.stems);
    if (status != LOCKSTEP_OK)
        ls_weight_labels_done(&l);
    else
        *out_labels = l;
    return status;
}

void ls_weight_labels_done(ls_weight_labels *labels) {
    free(labels->items);
    ls_map_done(&labels->names);
    ls_arena_done(&labels->arena);
    *labels = (ls_weight_labels){0};
}

size_t ls_weight_labels_find(const ls_weight_labels *labels, const char *name) {
    const uint64_t *at = ls_map_find(&labels->names, name, strlen(name));
    return at != NULL ? (size_t)*at - 1 : SIZE_MAX;
}

/* --- roles and layers */

/* Name components by their role in a model; a name has the role of the first component found. */
static const struct {
    const char *role, *components[12];
} roles[] = {
    {"query norm", {"q_norm", "attn_q_norm", "q_layernorm", "query_norm"}},
    {"key norm", {"k_norm", "attn_k_norm", "k_layernorm", "key_norm"}},
    {"query", {"q_proj", "attn_q", "wq", "query", "to_q", "q_lin"}},
    {"key", {"k_proj", "attn_k", "wk", "key", "to_k", "k_lin"}},
    {"value", {"v_proj", "attn_v", "wv", "value", "to_v", "v_lin"}},
    {"attention output", {"o_proj", "attn_output", "out_proj", "to_out", "out_lin"}},
    {"gate", {"gate_proj", "ffn_gate", "ffn_gate_exps", "w1"}},
    {"up", {"up_proj", "ffn_up", "ffn_up_exps", "w3", "fc1", "c_fc", "dense_h_to_4h"}},
    {"down", {"down_proj", "ffn_down", "ffn_down_exps", "w2", "fc2", "dense_4h_to_h"}},
    {"embedding", {"embed_tokens", "token_embd", "wte", "tok_embeddings", "word_embeddings", "embed_in", "tok_embd"}},
    {"position embedding", {"position_embd", "wpe", "position_embeddings"}},
    {"output", {"lm_head", "^output", "embed_out", "unembed"}},
    {"norm before attention", {"input_layernorm", "attn_norm", "attention_norm", "ln_1"}},
    {"norm before feed-forward", {"post_attention_layernorm", "ffn_norm", "ln_2"}},
};

static const struct {
    const char *tower, *components[6];
} towers[] = {
    {"vision", {"vision_model", "vision_tower", "visual", "^v", "vision_encoder"}},
    {"audio", {"audio_tower", "audio_encoder", "^a"}},
    {"encoder", {"encoder", "enc"}},
    {"decoder", {"decoder", "dec"}},
};

/* "^v": only as the first component. */
static bool has_component(const char *name, const char *component) {
    bool first = *component == '^';
    component += first;
    size_t length = strlen(component);
    for (const char *at = name; at != NULL; at = strchr(at, '.')) {
        at += *at == '.';
        if (strncmp(at, component, length) == 0 && (at[length] == '.' || at[length] == '\0'))
            return true;
        if (first)
            return false;
    }
    return false;
}

const char *ls_weight_role(const char *name) {
    for (size_t i = 0; i < sizeof roles / sizeof *roles; i++)
        for (size_t k = 0; k < 12 && roles[i].components[k] != NULL; k++)
            if (has_component(name, roles[i].components[k]))
                return roles[i].role;
    return NULL;
}

static const char *tower_of(const char *name) {
    for (size_t i = 0; i < sizeof towers / sizeof *towers; i++)
        for (size_t k = 0; k < 6 && towers[i].components[k] != NULL; k++)
            if (has_component(name, towers[i].components[k]))
                return towers[i].tower;
    return NULL;
}

/* "12", and "layer12", "layer_12", "block.12", "h12": but not "w1" or "ln_1". */
static long number_of(const char *component) {
    static const char *const words[] = {"layers", "layer", "blocks", "block", "blk", "h", ""};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        size_t length = strlen(words[i]);
        const char *at = component + length;
        if (strncmp(component, words[i], length) != 0)
            continue;
        at += length > 0 && *at == '_';
        size_t digits = strspn(at, "0123456789");
        if (digits > 0 && digits < 9 && (at[digits] == '.' || at[digits] == '\0'))
            return strtol(at, NULL, 10);
    }
    return -1;
}

static size_t numbers_of(const char *name, long out[SEVERAL_NUMBERS]) {
    size_t count = 0;
    for (const char *at = name; at != NULL && count < SEVERAL_NUMBERS; at = strchr(at, '.')) {
        at += *at == '.';
        long number = number_of(at);
        if (number >= 0)
            out[count++] = number;
    }
    return count;
}

void ls_weight_put_template(const char *name, char out[LS_WEIGHT_TEMPLATE]) {
    size_t used = 0;
    for (const char *at = name; *at != '\0' && used + 2 < LS_WEIGHT_TEMPLATE; at++) {
        const bool begins = at == name || at[-1] == '.';
        if (begins && number_of(at) >= 0) {
            out[used++] = '#';
            at += strcspn(at, ".");
            if (*at == '\0')
                break;
        }
        out[used++] = *at;
    }
    out[used] = '\0';
}

long ls_weight_layer(const char *name) {
    long numbers[SEVERAL_NUMBERS];
    return numbers_of(name, numbers) > 0 ? numbers[0] : -1;
}

static const char *kind_of(const char *name) {
    const char *dot = strrchr(name, '.');
    return dot != NULL && (strcmp(dot, ".weight") == 0 || strcmp(dot, ".bias") == 0) ? dot : NULL;
}

static bool differ(const char *a, const char *b) { return a != NULL && b != NULL && strcmp(a, b) != 0; }

/* Whether the shorter list's numbers are in the longer one, in this order: the longer may have an expert's number, too. */
static bool holds(const long *longer, size_t n, const long *shorter, size_t m) {
    size_t found = 0;
    for (size_t i = 0; i < n && found < m; i++)
        found += longer[i] == shorter[found];
    return found == m;
}

const char *ls_weight_names_contradict(const char *a, const char *b) {
    long x[SEVERAL_NUMBERS], y[SEVERAL_NUMBERS];
    size_t n = numbers_of(a, x), m = numbers_of(b, y);
    if (differ(tower_of(a), tower_of(b)))
        return "the tower";
    if (n > 0 && m > 0 && !(n >= m ? holds(x, n, y, m) : holds(y, m, x, n)))
        return "the layer";
    if (differ(ls_weight_role(a), ls_weight_role(b)))
        return "the role";
    return differ(kind_of(a), kind_of(b)) ? "weight and bias" : NULL;
}
