#include "checkpoint/hyperparameters.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/grow.h"
#include "checkpoint/architectures.h"
#include "checkpoint/computed_settings.h"
#include "format/json_tree.h"

/* Values within this of each other are equal: GGUF keeps floats of 32 bits. */
static const double float_noise = 1e-6;

typedef struct row {
    const char *id, *meaning;
    const char *hf[7];   /* paths in config.json, tried in turn */
    const char *gguf[4]; /* keys; "*" stands for general.architecture */
    /* What implementations assume where a side says nothing. */
    bool (*otherwise)(const ls_checkpoint *c, ls_setting_value *out);
} row;

static bool fallback_kv_heads(const ls_checkpoint *c, ls_setting_value *out);
static bool fallback_head_size(const ls_checkpoint *c, ls_setting_value *out);
static bool fallback_rope_dimensions(const ls_checkpoint *c, ls_setting_value *out);
static bool fallback_rope_base(const ls_checkpoint *c, ls_setting_value *out);
static bool fallback_rope_scaling(const ls_checkpoint *c, ls_setting_value *out);
static bool fallback_tied(const ls_checkpoint *c, ls_setting_value *out);
static bool fallback_vocabulary(const ls_checkpoint *c, ls_setting_value *out);
static bool fallback_one(const ls_checkpoint *c, ls_setting_value *out);
static bool fallback_attention_scale(const ls_checkpoint *c, ls_setting_value *out);
static bool fallback_embedding_multiplier(const ls_checkpoint *c, ls_setting_value *out);
static bool fallback_residual_multiplier(const ls_checkpoint *c, ls_setting_value *out);
static bool fallback_logit_scale(const ls_checkpoint *c, ls_setting_value *out);

static const row rows[] = {
    {"layers", "layers", {"num_hidden_layers", "n_layer", "num_layers"}, {"*.block_count"}, NULL},
    {"hidden-size", "hidden size", {"hidden_size", "n_embd", "d_model"}, {"*.embedding_length"}, NULL},
    {"heads", "attention heads", {"num_attention_heads", "n_head"}, {"*.attention.head_count"}, NULL},
    {"kv-heads", "key-value heads", {"num_key_value_heads"}, {"*.attention.head_count_kv"}, fallback_kv_heads},
    {"head-size", "head size", {"head_dim"}, {"*.attention.key_length"}, fallback_head_size},
    {"feed-forward", "feed-forward size", {"intermediate_size", "n_inner"}, {"*.feed_forward_length"}, NULL},
    {"rope-base", "RoPE base", {"rope_theta", "rope_parameters.rope_theta", "rope_parameters.full_attention.rope_theta"},
     {"*.rope.freq_base"}, fallback_rope_base},
    {"rope-scaling", "RoPE scaling", {"rope_scaling.rope_type", "rope_scaling.type", "rope_parameters.rope_type", "rope_parameters.full_attention.rope_type"},
     {"*.rope.scaling.type"}, fallback_rope_scaling},
    {"rope-factor", "RoPE scaling factor", {"rope_scaling.factor", "rope_parameters.factor", "rope_parameters.full_attention.factor"},
     {"*.rope.scaling.factor"}, NULL},
    {"rope-original-context", "context that RoPE was trained for",
     {"rope_scaling.original_max_position_embeddings", "rope_parameters.original_max_position_embeddings", "original_max_position_embeddings"},
     {"*.rope.scaling.original_context_length"}, NULL},
    {"rope-attention-factor", "RoPE attention factor", {"rope_scaling.attention_factor", "rope_parameters.attention_factor"},
     {"*.rope.scaling.attn_factor"}, NULL},
    {"rope-beta-fast", "YaRN beta fast", {"rope_scaling.beta_fast", "rope_parameters.beta_fast"}, {"*.rope.scaling.yarn_beta_fast"}, NULL},
    {"rope-beta-slow", "YaRN beta slow", {"rope_scaling.beta_slow", "rope_parameters.beta_slow"}, {"*.rope.scaling.yarn_beta_slow"}, NULL},
    {"rope-low-factor", "RoPE low frequency factor", {"rope_scaling.low_freq_factor", "rope_parameters.low_freq_factor"}, {0}, NULL},
    {"rope-high-factor", "RoPE high frequency factor", {"rope_scaling.high_freq_factor", "rope_parameters.high_freq_factor"}, {0}, NULL},
    {"rope-long-factors", "RoPE factors of long contexts", {"rope_scaling.long_factor", "rope_parameters.long_factor"}, {0}, NULL},
    {"rope-short-factors", "RoPE factors of short contexts", {"rope_scaling.short_factor", "rope_parameters.short_factor"}, {0}, NULL},
    {"rope-dimensions", "rotated dimensions", {"rotary_dim"}, {"*.rope.dimension_count"}, fallback_rope_dimensions},
    {"rope-base-local", "RoPE base of local layers", {"rope_local_base_freq", "rope_parameters.sliding_attention.rope_theta"},
     {"*.rope.freq_base_swa"}, NULL},
    {"norm-eps", "norm eps", {"rms_norm_eps", "layer_norm_eps", "layer_norm_epsilon", "norm_eps"},
     {"*.attention.layer_norm_rms_epsilon", "*.attention.layer_norm_epsilon"}, NULL},
    {"sliding-window", "sliding window", {"sliding_window"}, {"*.attention.sliding_window"}, NULL},
    {"attention-softcap", "attention soft cap", {"attn_logit_softcapping"}, {"*.attn_logit_softcapping"}, NULL},
    {"final-softcap", "final soft cap", {"final_logit_softcapping"}, {"*.final_logit_softcapping"}, NULL},
    {"attention-scale", "attention multiplier", {"attention_multiplier"}, {"*.attention.scale"}, fallback_attention_scale},
    {"embedding-multiplier", "embedding multiplier", {"embedding_multiplier", "scale_emb"}, {"*.embedding_scale"}, fallback_embedding_multiplier},
    {"residual-multiplier", "residual multiplier", {"residual_multiplier"}, {"*.residual_scale"}, fallback_residual_multiplier},
    {"logit-scale", "logit scale", {"logits_scaling", "logit_scale"}, {"*.logit_scale"}, fallback_logit_scale},
    {"routed-scale", "scale of the routed experts", {"routed_scaling_factor"}, {"*.expert_weights_scale"}, fallback_one},
    {"shared-experts", "shared experts", {"n_shared_experts"}, {"*.expert_shared_count"}, NULL},
    {"tied-embeddings", "tied embeddings", {"tie_word_embeddings"}, {0}, fallback_tied},
    {"experts", "experts", {"num_local_experts", "num_experts", "n_routed_experts"}, {"*.expert_count"}, NULL},
    {"experts-used", "experts used", {"num_experts_per_tok", "num_experts_per_token", "top_k_experts"}, {"*.expert_used_count"}, NULL},
    {"expert-feed-forward", "expert feed-forward size", {"moe_intermediate_size"}, {"*.expert_feed_forward_length"}, NULL},
    {"context", "context length", {"max_position_embeddings", "n_positions", "n_ctx"}, {"*.context_length"}, NULL},
    {"vocabulary", "vocabulary size", {"vocab_size"}, {"*.vocab_size"}, fallback_vocabulary},
    {"image-size", "image size", {"vision_config.image_size"}, {"clip.vision.image_size", "*.vision.image_size"}, NULL},
    {"patch-size", "patch size", {"vision_config.patch_size"}, {"clip.vision.patch_size", "*.vision.patch_size"}, NULL},
    {"vision-layers", "vision layers", {"vision_config.num_hidden_layers"}, {"clip.vision.block_count", "*.vision.block_count"}, NULL},
    {"vision-hidden-size", "vision hidden size", {"vision_config.hidden_size"}, {"clip.vision.embedding_length", "*.vision.embedding_length"}, NULL},
    {"vision-feed-forward", "vision feed-forward size", {"vision_config.intermediate_size"}, {"clip.vision.feed_forward_length", "*.vision.feed_forward_length"}, NULL},
    {"vision-heads", "vision heads", {"vision_config.num_attention_heads", "vision_config.attention_heads"}, {"clip.vision.attention.head_count", "*.vision.attention.head_count"}, NULL},
    {"vision-norm-eps", "vision norm eps", {"vision_config.layer_norm_eps", "vision_config.norm_eps"}, {"clip.vision.attention.layer_norm_epsilon", "*.vision.attention.layer_norm_epsilon"}, NULL},
};
enum { ROWS = sizeof rows / sizeof rows[0] };

/* --- values */

/* Whole numbers whole, others as far as floats of 32 bits tell them apart. */
static int put_number(char *out, size_t capacity, double number) {
    bool whole = number == floor(number) && fabs(number) < 1e15;
    return snprintf(out, capacity, whole ? "%.0f" : "%.7g", number);
}

static void set_number(ls_setting_value *v, double number) {
    v->known = true;
    v->number = number;
    put_number(v->text, sizeof v->text, number);
}

static void set_text(ls_setting_value *v, const char *text, size_t length) {
    v->known = true;
    v->number = NAN;
    snprintf(v->text, sizeof v->text, "%.*s", (int)(length < sizeof v->text ? length : sizeof v->text - 1), text);
}

static void append_number(ls_setting_value *v, double number) {
    char text[40];
    size_t used = strlen(v->text);
    put_number(text, sizeof text, number);
    snprintf(v->text + used, sizeof v->text - used, "%s%s", used > 0 ? ", " : "", text);
}

/* One number when all are equal (a value for each layer), else their list. */
static void add_to_list(ls_setting_value *v, double number, size_t index) {
    if (index == 0) {
        set_number(v, number);
        return;
    }
    if (!isnan(v->number) && v->number == number)
        return;
    if (!isnan(v->number)) { /* the first that differs: the list is written out from here on */
        double first = v->number;
        v->number = NAN;
        v->text[0] = '\0';
        for (size_t i = 0; i < index; i++)
            append_number(v, first);
    }
    append_number(v, number);
}

static void from_json(json_t *json, ls_setting_value *out) {
    if (json_is_number(json)) {
        set_number(out, json_number_value(json));
    } else if (json_is_boolean(json)) {
        set_text(out, json_is_true(json) ? "true" : "false", 5);
    } else if (json_is_string(json)) {
        set_text(out, json_string_value(json), json_string_length(json));
    } else if (json_is_array(json)) {
        json_t *item;
        size_t i;
        json_array_foreach(json, i, item)
            if (json_is_number(item) && i < 4096)
                add_to_list(out, json_number_value(item), i);
    }
}

static double meta_number(const ls_meta *m) {
    switch (m->kind) {
    case LS_META_INT: return (double)m->as.i;
    case LS_META_UINT: return (double)m->as.u;
    case LS_META_FLOAT: return m->as.f;
    default: return NAN;
    }
}

static void from_meta(const ls_meta *meta, ls_setting_value *out) {
    if (meta->kind == LS_META_TEXT) {
        set_text(out, meta->as.text.bytes, (size_t)meta->as.text.length);
    } else if (meta->kind == LS_META_BOOL) {
        set_text(out, meta->as.b ? "true" : "false", 5);
    } else if (meta->kind != LS_META_ARRAY) {
        set_number(out, meta_number(meta));
    } else {
        ls_meta element;
        uint64_t position = 0;
        for (uint64_t i = 0; i < meta->as.array.count && i < 4096; i++) {
            ls_meta_next(meta, &position, &element);
            if (element.kind != LS_META_TEXT && element.kind != LS_META_BOOL)
                add_to_list(out, meta_number(&element), (size_t)i);
        }
    }
}

static const ls_meta *gguf_meta(const ls_checkpoint *c, const char *key) {
    char full[160];
    if (key[0] != '*')
        return ls_archive_meta(c->archive, key);
    snprintf(full, sizeof full, "%s%s", c->architecture, key + 1);
    return ls_archive_meta(c->archive, full);
}

/* The key that config.json sets to null: "there is none", or the default where there is one. */
static const char *null_key(const ls_checkpoint *c, const row *r) {
    for (size_t i = 0; i < sizeof r->hf / sizeof *r->hf && c->config != NULL && r->hf[i] != NULL; i++)
        if (ls_config_is_null(c->config, r->hf[i]))
            return r->hf[i];
    return NULL;
}

static bool lookup(const ls_checkpoint *c, const row *r, ls_setting_value *out) {
    *out = (ls_setting_value){.number = NAN};
    for (size_t i = 0; i < sizeof r->gguf / sizeof *r->gguf && c->gguf && r->gguf[i] != NULL && !out->known; i++) {
        const ls_meta *meta = gguf_meta(c, r->gguf[i]);
        if (meta != NULL)
            from_meta(meta, out), out->key = meta->key;
    }
    for (size_t i = 0; i < sizeof r->hf / sizeof *r->hf && c->config != NULL && r->hf[i] != NULL && !out->known; i++) {
        json_t *json = ls_config_text(c->config, r->hf[i]);
        if (json != NULL)
            from_json(json, out), out->key = r->hf[i];
    }
    const char *null = out->known ? NULL : null_key(c, r);
    if (!out->known && (c->gguf || c->config != NULL) && r->otherwise != NULL && r->otherwise(c, out))
        out->derived = true;
    if (!out->known && null != NULL)
        set_text(out, "none", 4), out->key = null;
    return out->known;
}

static const row *find_row(const char *id) {
    for (size_t i = 0; i < ROWS; i++)
        if (strcmp(rows[i].id, id) == 0)
            return &rows[i];
    return NULL;
}

bool ls_setting_of(const ls_checkpoint *checkpoint, const char *id, ls_setting_value *out_value) {
    const row *r = find_row(id);
    return r != NULL && lookup(checkpoint, r, out_value);
}

static double number_of(const ls_checkpoint *c, const char *id) {
    ls_setting_value v;
    return ls_setting_of(c, id, &v) ? v.number : NAN;
}

/* --- what is assumed where nothing is said */

static bool fallback_kv_heads(const ls_checkpoint *c, ls_setting_value *out) {
    double heads = number_of(c, "heads");
    return isnan(heads) ? false : (set_number(out, heads), true);
}

static bool fallback_head_size(const ls_checkpoint *c, ls_setting_value *out) {
    double hidden = number_of(c, "hidden-size"), heads = number_of(c, "heads");
    if (isnan(hidden) || !(heads > 0))
        return false;
    set_number(out, hidden / heads);
    return true;
}

static bool uses_rope(const ls_checkpoint *c) {
    if (c->gguf) {
        static const char *const keys[] = {"*.rope.freq_base", "*.rope.dimension_count"};
        return gguf_meta(c, keys[0]) != NULL || gguf_meta(c, keys[1]) != NULL;
    }
    return ls_config_text(c->config, "rope_theta") != NULL || ls_config_text(c->config, "rope_parameters") != NULL;
}

static bool fallback_rope_dimensions(const ls_checkpoint *c, ls_setting_value *out) {
    double size = number_of(c, "head-size"), share = 1;
    if (!c->gguf) {
        json_t *partial = ls_config_text(c->config, "partial_rotary_factor");
        if (partial == NULL)
            partial = ls_config_text(c->config, "rope_parameters.partial_rotary_factor");
        share = json_is_number(partial) ? json_number_value(partial) : 1;
    }
    if (isnan(size) || !uses_rope(c))
        return false;
    set_number(out, floor(size * share));
    return true;
}

static bool fallback_rope_base(const ls_checkpoint *c, ls_setting_value *out) {
    return uses_rope(c) ? (set_number(out, 10000), true) : false;
}

static bool fallback_rope_scaling(const ls_checkpoint *c, ls_setting_value *out) {
    return uses_rope(c) ? (set_text(out, "none", 4), true) : false;
}

/* A file without an output matrix uses the embedding's. */
static bool fallback_tied(const ls_checkpoint *c, ls_setting_value *out) {
    bool embedding = ls_archive_find(c->archive, "token_embd.weight") != SIZE_MAX;
    if (!c->gguf || !embedding)
        return false;
    bool output = ls_archive_find(c->archive, "output.weight") != SIZE_MAX;
    set_text(out, output ? "false" : "true", 5);
    return true;
}

static bool fallback_vocabulary(const ls_checkpoint *c, ls_setting_value *out) {
    const ls_meta *tokens = c->gguf ? ls_archive_meta(c->archive, "tokenizer.ggml.tokens") : NULL;
    if (tokens == NULL || tokens->kind != LS_META_ARRAY)
        return false;
    set_number(out, (double)tokens->as.array.count);
    return true;
}

static bool fallback_one(const ls_checkpoint *c, ls_setting_value *out) {
    (void)c;
    set_number(out, 1);
    return true;
}

/* One over the square root of a head's size, unless the configuration says another. */
static bool fallback_attention_scale(const ls_checkpoint *c, ls_setting_value *out) {
    double size = number_of(c, "head-size");
    json_t *scalar = c->config != NULL ? ls_config_text(c->config, "query_pre_attn_scalar") : NULL;
    size = json_is_number(scalar) ? json_number_value(scalar) : size;
    return size > 0 ? (set_number(out, 1 / sqrt(size)), true) : false;
}

static double config_number(const ls_checkpoint *c, const char *key) {
    json_t *json = c->config != NULL ? ls_config_text(c->config, key) : NULL;
    return json_is_number(json) ? json_number_value(json) : NAN;
}

/* Gemma multiplies by the square root of the hidden size; its files don't say so. */
static bool fallback_embedding_multiplier(const ls_checkpoint *c, ls_setting_value *out) {
    return strncmp(c->architecture, "gemma", 5) != 0 && fallback_one(c, out);
}

/* MiniCPM gives what the multiplier follows from. */
static bool fallback_residual_multiplier(const ls_checkpoint *c, ls_setting_value *out) {
    double depth = config_number(c, "scale_depth"), layers = number_of(c, "layers");
    set_number(out, isnan(depth) || !(layers > 0) ? 1 : depth / sqrt(layers));
    return true;
}

static bool fallback_logit_scale(const ls_checkpoint *c, ls_setting_value *out) {
    double base = config_number(c, "dim_model_base"), hidden = number_of(c, "hidden-size");
    set_number(out, !(base > 0) || isnan(hidden) ? 1 : hidden / base);
    return true;
}

uint64_t ls_settings_heads(const ls_checkpoint *checkpoint, int key_value) {
    double heads = number_of(checkpoint, key_value != 0 ? "kv-heads" : "heads");
    return heads >= 1 && heads < 1e6 ? (uint64_t)heads : 0;
}

/* --- comparing */

static bool equal(const ls_setting_value *a, const ls_setting_value *b) {
    if ((strcmp(a->text, "none") == 0 && b->number == 0) || (strcmp(b->text, "none") == 0 && a->number == 0))
        return true;
    if (isnan(a->number) || isnan(b->number))
        return strcmp(a->text, b->text) == 0;
    return a->number == b->number || fabs(a->number - b->number) <= float_noise * fmax(fabs(a->number), fabs(b->number));
}

static bool is_text(const ls_setting_value *v, const char *text) { return strcmp(v->text, text) == 0; }

/* The frequencies of these are tensors in GGUF, and the type is then none. */
static bool scaled_by_tensor(const ls_setting_value *v, const lockstep_archive *gguf) {
    static const char *const types[][2] = {{"llama3", "rope_freqs.weight"}, {"longrope", "rope_factors_long.weight"}, {"su", "rope_factors_long.weight"}};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (strcmp(v->text, types[i][0]) == 0 && ls_archive_find(gguf, types[i][1]) != SIZE_MAX)
            return true;
    return false;
}

/* Spellings of one thing. "default" is no scaling. An output matrix may be stored although
 * it is the embedding's: the weights tell. */
static bool same_thing(const char *id, const ls_checkpoint *sides[2], const ls_setting_value *values) {
    for (int side = 0; side < 2; side++) {
        const ls_setting_value *a = &values[side], *b = &values[1 - side];
        if (strcmp(id, "rope-scaling") == 0 && is_text(b, "none") &&
            (is_text(a, "default") || scaled_by_tensor(a, sides[1 - side]->archive)))
            return true;
        if (strcmp(id, "tied-embeddings") == 0 && is_text(a, "true") && is_text(b, "false") && b->derived)
            return true;
        if (strcmp(id, "vocabulary") == 0 && b->derived)
            return true; /* the number of tokens: vocabulary.c judges it */
    }
    return false;
}

static bool off(const char *id, const ls_checkpoint *c) {
    if (strcmp(id, "sliding-window") != 0 || c->config == NULL)
        return false;
    json_t *use = ls_config_text(c->config, "use_sliding_window");
    return json_is_false(use);
}

static lockstep_status add(ls_settings *s, const ls_setting *item, lockstep_error *error) {
    void *array = s->items;
    if (!ls_grow(&array, s->count, &s->capacity, sizeof *s->items))
        return ls_fail(error, LOCKSTEP_NO_MEMORY, "out of memory");
    s->items = array;
    s->items[s->count++] = *item;
    return LOCKSTEP_OK;
}

static lockstep_status compare_row(ls_settings *s, const row *r, const ls_checkpoint *sides[2], lockstep_error *error) {
    ls_setting item = {.id = r->id, .meaning = r->meaning};
    bool known[2];
    for (int side = 0; side < 2; side++) {
        known[side] = !off(r->id, sides[side]) && lookup(sides[side], r, &item.sides[side]);
        if (!known[side])
            item.sides[side] = (ls_setting_value){.number = NAN};
    }
    if ((!known[0] && !known[1]) || (item.sides[0].derived && item.sides[1].derived))
        return LOCKSTEP_OK;
    if (!known[0] || !known[1])
        item.verdict = LS_SETTING_ONE_SIDED;
    else if (!equal(&item.sides[0], &item.sides[1]) && !same_thing(r->id, sides, item.sides))
        item.verdict = LS_SETTING_DIFFERS;
    return add(s, &item, error);
}

/* --- the architecture, and what follows from it */

static lockstep_status compare_architecture(ls_settings *s, const ls_checkpoint *sides[2], lockstep_error *error) {
    static const ls_setting_verdict verdicts[] = {LS_SETTING_EQUAL, LS_SETTING_DIFFERS, LS_SETTING_ONE_SIDED};
    ls_setting item = {.id = LS_SETTING_ARCHITECTURE, .meaning = "architecture", .verdict = verdicts[ls_architecture_kinship(sides[0], sides[1])]};
    for (int side = 0; side < 2; side++) {
        const char *key, *text = ls_architecture_text(sides[side], &key);
        item.sides[side] = (ls_setting_value){.number = NAN};
        if (*text != '\0')
            set_text(&item.sides[side], text, strlen(text)), item.sides[side].key = key;
    }
    return item.sides[0].known || item.sides[1].known ? add(s, &item, error) : LOCKSTEP_OK;
}

static lockstep_status compare_computed(ls_settings *s, const ls_computed_setting *computed, const ls_checkpoint *sides[2], lockstep_error *error) {
    ls_setting item = {.id = computed->id, .meaning = computed->meaning};
    bool known[2];
    for (int side = 0; side < 2; side++) {
        item.sides[side] = (ls_setting_value){.number = NAN};
        known[side] = computed->read(sides[side], &item.sides[side]);
        if (!known[side])
            item.sides[side] = (ls_setting_value){.number = NAN};
    }
    bool says_so = false; /* what both only imply is no comparison */
    for (int side = 0; side < 2; side++)
        says_so = says_so || (known[side] && !(sides[side]->gguf && strchr(item.sides[side].key, ' ') != NULL));
    if (!says_so)
        return LOCKSTEP_OK;
    bool same = computed->same != NULL ? computed->same(&item.sides[0], &item.sides[1]) : strcmp(item.sides[0].text, item.sides[1].text) == 0;
    item.verdict = !known[0] || !known[1] ? LS_SETTING_ONE_SIDED : same ? LS_SETTING_EQUAL : LS_SETTING_DIFFERS;
    return add(s, &item, error);
}

static lockstep_status compare_consequences(ls_settings *s, const ls_checkpoint *sides[2], lockstep_error *error) {
    ls_setting factors;
    bool found;
    LS_TRY(compare_architecture(s, sides, error));
    for (size_t i = 0; i < ls_computed_setting_count; i++)
        LS_TRY(compare_computed(s, &ls_computed_settings[i], sides, error));
    LS_TRY(ls_rope_factors_compare(sides, &factors, &found, error));
    return found ? add(s, &factors, error) : LOCKSTEP_OK;
}

/* --- two GGUF files: any other key of the model, too */

static bool in_table(const ls_checkpoint *c, const char *key) {
    for (size_t i = 0; i < ROWS; i++)
        for (size_t k = 0; k < sizeof rows[i].gguf / sizeof *rows[i].gguf && rows[i].gguf[k] != NULL; k++) {
            const ls_meta *meta = gguf_meta(c, rows[i].gguf[k]);
            if (meta != NULL && strcmp(meta->key, key) == 0)
                return true;
        }
    return false;
}

static bool is_models_own(const char *key) {
    return strncmp(key, "general.", 8) != 0 && strncmp(key, "tokenizer.", 10) != 0 && strncmp(key, "split.", 6) != 0 &&
           strncmp(key, "quantize.", 9) != 0;
}

static lockstep_status compare_keys(ls_settings *s, const ls_checkpoint *sides[2], lockstep_error *error) {
    for (int side = 0; side < 2; side++) {
        const lockstep_archive *a = sides[side]->archive, *b = sides[1 - side]->archive;
        for (size_t i = 0; i < a->meta_count; i++) {
            const ls_meta *meta = &a->metas[i], *other = ls_archive_meta(b, meta->key);
            if (!is_models_own(meta->key) || in_table(sides[side], meta->key) || (side == 1 && other != NULL))
                continue;
            const char *key = ls_arena_copy(&s->arena, meta->key, strlen(meta->key));
            if (key == NULL)
                return ls_fail(error, LOCKSTEP_NO_MEMORY, "out of memory");
            ls_setting item = {.id = key, .meaning = key, .sides = {{.number = NAN}, {.number = NAN}}};
            from_meta(meta, &item.sides[side]);
            item.sides[side].key = key;
            if (other != NULL)
                from_meta(other, &item.sides[1 - side]), item.sides[1 - side].key = key;
            item.verdict = other == NULL ? LS_SETTING_ONE_SIDED
                           : equal(&item.sides[0], &item.sides[1]) ? LS_SETTING_EQUAL : LS_SETTING_DIFFERS;
            LS_TRY(add(s, &item, error));
        }
    }
    return LOCKSTEP_OK;
}

/* --- two config.json: any other key, too */

/* Of the file's history and of how it is loaded, not of what the model computes; ids of
 * special tokens are the vocabulary's (vocabulary.c). */
static bool is_bookkeeping(const char *path) {
    static const char *const keys[] = {"transformers_version", "_name_or_path", "torch_dtype", "dtype", "architectures", "model_type", "auto_map",
                                       "use_cache", "_commit_hash", "_attn_implementation", "_attn_implementation_autoset", "attn_implementation",
                                       "output_attentions", "output_hidden_states", "return_dict", "return_dict_in_generate", "torchscript",
                                       "gradient_checkpointing", "task_specific_params", "bos_token_id", "eos_token_id", "pad_token_id",
                                       "unk_token_id", "sep_token_id", "cls_token_id", "mask_token_id", "decoder_start_token_id", "vocab_size"};
    const char *dot = strrchr(path, '.'), *last = dot != NULL ? dot + 1 : path;
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (strcmp(last, keys[i]) == 0)
            return true;
    return strncmp(last, "unsloth_", 8) == 0;
}

/* A row of the tables reads it, at the top or in the text model's part. */
static bool is_in_rows(const char *path) {
    static const char *const places[] = {"", "text_config.", "llm_config.", "language_config."};
    for (size_t p = 0; p < sizeof places / sizeof *places; p++) {
        size_t n = strlen(places[p]);
        if (strncmp(path, places[p], n) != 0)
            continue;
        for (size_t i = 0; i < ROWS; i++)
            for (size_t k = 0; k < sizeof rows[i].hf / sizeof *rows[i].hf && rows[i].hf[k] != NULL; k++)
                if (strcmp(path + n, rows[i].hf[k]) == 0)
                    return true;
        for (const char *const *key = ls_computed_keys; *key != NULL; key++)
            if (strcmp(path + n, *key) == 0)
                return true;
    }
    return false;
}

static void describe_json(json_t *json, ls_setting_value *out, const char *key) {
    char *text = json_is_string(json) ? NULL : json_dumps(json, JSON_COMPACT | JSON_ENCODE_ANY);
    if (json == NULL)
        return;
    from_json(json_is_array(json) ? NULL : json, out);
    if (!out->known && text != NULL)
        set_text(out, text, strlen(text));
    out->known = true;
    out->key = key;
    free(text);
}

static lockstep_status compare_key(ls_settings *s, json_t *values[2], const char *path, lockstep_error *error) {
    const char *key = ls_arena_copy(&s->arena, path, strlen(path));
    if (key == NULL)
        return ls_fail(error, LOCKSTEP_NO_MEMORY, "out of memory");
    ls_setting item = {.id = key, .meaning = key, .sides = {{.number = NAN}, {.number = NAN}}};
    for (int side = 0; side < 2; side++)
        describe_json(values[side], &item.sides[side], key);
    item.verdict = values[0] == NULL || values[1] == NULL ? LS_SETTING_ONE_SIDED
                   : ls_json_same(values[0], values[1])      ? LS_SETTING_EQUAL : LS_SETTING_DIFFERS;
    return add(s, &item, error);
}

/* Objects are compared key by key, down to a depth that no configuration has. */
static lockstep_status compare_objects(ls_settings *s, json_t *const objects[2], const char *before, int depth, lockstep_error *error) {
    enum { DEEPEST = 8, PATH = 200 };
    for (int side = 0; side < 2; side++) {
        const char *key;
        json_t *value;
        json_object_foreach(objects[side], key, value) {
            char path[PATH];
            json_t *other = json_object_get(objects[1 - side], key), *values[2];
            values[side] = value;
            values[1 - side] = other;
            int length = snprintf(path, sizeof path, "%s%s%s", before, *before != '\0' ? "." : "", key);
            if ((side == 1 && other != NULL) || length >= PATH || is_bookkeeping(path) || is_in_rows(path))
                continue;
            bool both = json_is_object(value) && json_is_object(other) && depth < DEEPEST;
            LS_TRY(both ? compare_objects(s, values, path, depth + 1, error) : compare_key(s, values, path, error));
        }
    }
    return LOCKSTEP_OK;
}

static lockstep_status compare_configs(ls_settings *s, const ls_checkpoint *sides[2], lockstep_error *error) {
    json_t *const objects[2] = {sides[0]->config, sides[1]->config};
    return compare_objects(s, objects, "", 0, error);
}

lockstep_status ls_settings_compare(const ls_checkpoint *reference, const ls_checkpoint *candidate,
                                    ls_settings *out_settings, lockstep_error *error) {
    const ls_checkpoint *sides[2] = {reference, candidate};
    ls_settings s = {0};
    lockstep_status status = LOCKSTEP_OK;
    for (size_t i = 0; i < ROWS && status == LOCKSTEP_OK; i++)
        status = compare_row(&s, &rows[i], sides, error);
    if (status == LOCKSTEP_OK)
        status = compare_consequences(&s, sides, error);
    if (status == LOCKSTEP_OK && reference->config != NULL && candidate->config != NULL)
        status = compare_configs(&s, sides, error);
    if (status == LOCKSTEP_OK && reference->gguf && candidate->gguf)
        status = compare_keys(&s, sides, error);
    if (status != LOCKSTEP_OK)
        ls_settings_done(&s);
    else
        *out_settings = s;
    return status;
}

void ls_settings_done(ls_settings *settings) {
    free(settings->items);
    ls_arena_done(&settings->arena);
    *settings = (ls_settings){0};
}

const char *ls_setting_verdict_name(ls_setting_verdict verdict) {
    static const char *const names[] = {"equal", "differs", "one-sided"};
    return names[verdict];
}
