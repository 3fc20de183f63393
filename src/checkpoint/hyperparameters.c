#include "checkpoint/hyperparameters.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "checkpoint/architectures.h"
#include "format/json_tree.h"

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

const ls_hyperparameter ls_hyperparameters[] = {
    {"layers", "layers", {"num_hidden_layers", "n_layer", "num_layers"}, {"*.block_count"}, NULL},
    {"hidden-size", "hidden size", {"hidden_size", "n_embd", "d_model"}, {"*.embedding_length"}, NULL},
    {"heads", "attention heads", {"num_attention_heads", "n_head"}, {"*.attention.head_count"}, NULL},
    {"kv-heads", "key-value heads", {"num_key_value_heads"}, {"*.attention.head_count_kv"}, fallback_kv_heads},
    {"head-size", "head size", {"qk_head_dim", "head_dim"}, {"*.attention.key_length_mla", "*.attention.key_length"}, fallback_head_size},
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
    {"rope-dimensions", "rotated dimensions", {"qk_rope_head_dim", "rotary_dim"}, {"*.rope.dimension_count"}, fallback_rope_dimensions},
    {"rope-base-local", "RoPE base of local layers", {"rope_local_base_freq", "rope_parameters.sliding_attention.rope_theta"},
     {"*.rope.freq_base_swa"}, NULL},
    {"norm-eps", "norm eps", {"rms_norm_eps", "layer_norm_eps", "layer_norm_epsilon", "norm_eps"},
     {"*.attention.layer_norm_rms_epsilon", "*.attention.layer_norm_epsilon"}, NULL},
    {"sliding-window", "sliding window", {"sliding_window"}, {"*.attention.sliding_window"}, NULL},
    {"attention-softcap", "attention soft cap", {"attn_logit_softcapping"}, {"*.attn_logit_softcapping"}, NULL},
    {"final-softcap", "final soft cap", {"final_logit_softcapping"}, {"*.final_logit_softcapping"}, NULL},
    {"attention-scale", "attention multiplier", {"attention_multiplier"}, {"*.attention.scale"}, fallback_attention_scale},
    {"embedding-multiplier", "embedding multiplier", {"embedding_multiplier", "scale_emb", "embedding_scale"}, {"*.embedding_scale"}, fallback_embedding_multiplier},
    {"residual-multiplier", "residual multiplier", {"residual_multiplier"}, {"*.residual_scale"}, fallback_residual_multiplier},
    {"logit-scale", "logit scale", {"logits_scaling", "logit_scale"}, {"*.logit_scale"}, fallback_logit_scale},
    {"routed-scale", "scale of the routed experts", {"routed_scaling_factor", "router_scaling_factor"}, {"*.expert_weights_scale"}, fallback_one},
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
    {0},
};

/* --- values */

/* Whole numbers without decimals, others with as many digits as float32 distinguishes. */
static int put_number(char *out, size_t capacity, double number) {
    bool whole = number == floor(number) && fabs(number) < 1e15;
    return snprintf(out, capacity, whole ? "%.0f" : "%.7g", number);
}

static void set_number(ls_setting_value *v, double number) {
    v->known = true;
    v->number = number;
    put_number(v->text, sizeof v->text, number);
}

void ls_setting_set_text(ls_setting_value *v, const char *text, size_t length) {
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

/* A single number when all are equal (a value for each layer), else the list. */
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

void ls_setting_from_json(json_t *json, ls_setting_value *out) {
    if (json_is_number(json)) {
        set_number(out, json_number_value(json));
    } else if (json_is_boolean(json)) {
        ls_setting_set_text(out, json_is_true(json) ? "true" : "false", 5);
    } else if (json_is_string(json)) {
        ls_setting_set_text(out, json_string_value(json), json_string_length(json));
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
    case LS_META_TEXT:
    case LS_META_BOOL:
    case LS_META_ARRAY: break;
    }
    return NAN;
}

void ls_setting_from_meta(const ls_meta *meta, ls_setting_value *out) {
    if (meta->kind == LS_META_TEXT) {
        ls_setting_set_text(out, meta->as.text.bytes, (size_t)meta->as.text.length);
    } else if (meta->kind == LS_META_BOOL) {
        ls_setting_set_text(out, meta->as.b ? "true" : "false", 5);
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

const ls_meta *ls_hyperparameter_meta(const ls_checkpoint *c, const char *key) {
    char full[160];
    if (key[0] != '*')
        return ls_archive_meta(c->archive, key);
    snprintf(full, sizeof full, "%s%s", c->architecture, key + 1);
    return ls_archive_meta(c->archive, full);
}

/* The key that config.json sets to null: "there is none", or the default where there is one. */
static const char *null_key(const ls_checkpoint *c, const ls_hyperparameter *r) {
    for (size_t i = 0; i < sizeof r->hf / sizeof *r->hf && c->config != NULL && r->hf[i] != NULL; i++)
        if (ls_config_is_null(c->config, r->hf[i]))
            return r->hf[i];
    return NULL;
}

bool ls_hyperparameter_of(const ls_checkpoint *c, const ls_hyperparameter *r, ls_setting_value *out) {
    *out = (ls_setting_value){.number = NAN};
    for (size_t i = 0; i < sizeof r->gguf / sizeof *r->gguf && c->gguf && r->gguf[i] != NULL && !out->known; i++) {
        const ls_meta *meta = ls_hyperparameter_meta(c, r->gguf[i]);
        if (meta != NULL)
            ls_setting_from_meta(meta, out), out->key = meta->key;
    }
    for (size_t i = 0; i < sizeof r->hf / sizeof *r->hf && c->config != NULL && r->hf[i] != NULL && !out->known; i++) {
        json_t *json = ls_config_text(c->config, r->hf[i]);
        if (json != NULL)
            ls_setting_from_json(json, out), out->key = r->hf[i];
    }
    const char *null = out->known ? NULL : null_key(c, r);
    if (!out->known && (c->gguf || c->config != NULL) && r->otherwise != NULL && r->otherwise(c, out))
        out->derived = true;
    if (!out->known && null != NULL)
        ls_setting_set_text(out, "none", 4), out->key = null;
    return out->known;
}

static const ls_hyperparameter *find_row(const char *id) {
    for (const ls_hyperparameter *r = ls_hyperparameters; r->id != NULL; r++)
        if (strcmp(r->id, id) == 0)
            return r;
    return NULL;
}

bool ls_setting_of(const ls_checkpoint *checkpoint, const char *id, ls_setting_value *out_value) {
    const ls_hyperparameter *r = find_row(id);
    return r != NULL && ls_hyperparameter_of(checkpoint, r, out_value);
}

static double number_of(const ls_checkpoint *c, const char *id) {
    ls_setting_value v;
    return ls_setting_of(c, id, &v) ? v.number : NAN;
}

/* --- defaults that implementations assume */

static double config_number(const ls_checkpoint *c, const char *key) {
    json_t *json = c->config != NULL ? ls_config_text(c->config, key) : NULL;
    return json_is_number(json) ? json_number_value(json) : NAN;
}

/* Falcon: num_kv_heads counts only with the new architecture; without it, multi_query is one head for all. */
static bool fallback_kv_heads(const ls_checkpoint *c, ls_setting_value *out) {
    if (c->config != NULL && json_is_true(ls_config_text(c->config, "new_decoder_architecture")) && !isnan(config_number(c, "num_kv_heads")))
        return set_number(out, config_number(c, "num_kv_heads")), true;
    if (c->config != NULL && json_is_true(ls_config_text(c->config, "multi_query")))
        return set_number(out, 1), true;
    double heads = number_of(c, "heads");
    return isnan(heads) ? false : (set_number(out, heads), true);
}

static bool fallback_head_size(const ls_checkpoint *c, ls_setting_value *out) {
    double latent = config_number(c, "qk_nope_head_dim") + config_number(c, "qk_rope_head_dim");
    if (!isnan(latent))
        return set_number(out, latent), true;
    double hidden = number_of(c, "hidden-size"), heads = number_of(c, "heads");
    if (isnan(hidden) || !(heads > 0))
        return false;
    set_number(out, hidden / heads);
    return true;
}

static bool uses_rope(const ls_checkpoint *c) {
    if (c->gguf) {
        static const char *const keys[] = {"*.rope.freq_base", "*.rope.dimension_count"};
        return ls_hyperparameter_meta(c, keys[0]) != NULL || ls_hyperparameter_meta(c, keys[1]) != NULL;
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
    return uses_rope(c) ? (ls_setting_set_text(out, "none", 4), true) : false;
}

/* A file without an output matrix uses the embedding's. */
static bool fallback_tied(const ls_checkpoint *c, ls_setting_value *out) {
    bool embedding = ls_archive_find(c->archive, "token_embd.weight") != SIZE_MAX;
    if (!c->gguf || !embedding)
        return false;
    bool output = ls_archive_find(c->archive, "output.weight") != SIZE_MAX;
    ls_setting_set_text(out, output ? "false" : "true", 5);
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

/* One over the square root of the head size, unless the configuration gives another value. */
static bool fallback_attention_scale(const ls_checkpoint *c, ls_setting_value *out) {
    double size = number_of(c, "head-size");
    json_t *scalar = c->config != NULL ? ls_config_text(c->config, "query_pre_attn_scalar") : NULL;
    size = json_is_number(scalar) ? json_number_value(scalar) : size;
    return size > 0 ? (set_number(out, 1 / sqrt(size)), true) : false;
}

/* Gemma multiplies by the square root of the hidden size, which its files don't mention; for MiniCPM 3, llama.cpp has a constant. */
static bool fallback_embedding_multiplier(const ls_checkpoint *c, ls_setting_value *out) {
    const double of_minicpm3 = 12;
    if (c->gguf && strcmp(c->architecture, "minicpm3") == 0)
        return set_number(out, of_minicpm3), true;
    return strncmp(c->architecture, "gemma", 5) != 0 && fallback_one(c, out);
}

/* MiniCPM gives values from which the multiplier is computed. */
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
