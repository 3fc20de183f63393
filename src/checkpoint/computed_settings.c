#include "checkpoint/computed_settings.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "checkpoint/architectures.h"
#include "checkpoint/hyperparameters.h"
#include "op/unary.h"

enum { LAYERS_MAX = 4096 };
static const char implied[] = "implied by general.architecture";

static bool put(ls_setting_value *out, const char *text, const char *key) {
    *out = (ls_setting_value){.known = true, .number = NAN, .key = key};
    snprintf(out->text, sizeof out->text, "%s", text);
    return true;
}

static const ls_architecture *row_of(const ls_checkpoint *c) { return c->gguf ? ls_architecture_of(c->architecture) : NULL; }

/* --- the activation of the feed-forward network */

static bool read_activation(const ls_checkpoint *c, ls_setting_value *out) {
    static const char *const keys[] = {"hidden_activation", "hidden_act", "activation_function"};
    const ls_architecture *row = row_of(c);
    if (row != NULL)
        return row->activation != NULL && put(out, row->activation, implied);
    for (size_t i = 0; i < sizeof keys / sizeof *keys && c->config != NULL; i++) {
        const char *text = json_string_value(ls_config_text(c->config, keys[i]));
        if (text != NULL)
            return put(out, text, keys[i]);
    }
    return false;
}

/* ggml computes every GELU by the tanh approximation, or a table of it. */
static bool same_activation(const ls_setting_value *a, const ls_setting_value *b) {
    bool by_family = a->key == implied || b->key == implied;
    if (by_family && strstr(a->text, "gelu") != NULL && strstr(b->text, "gelu") != NULL)
        return true;
    const ls_unary *one = ls_unary_of_config(a->text), *other = ls_unary_of_config(b->text);
    return one != NULL ? one == other : strcmp(a->text, b->text) == 0;
}

/* --- the weights of the chosen experts */

static bool read_experts_normalized(const ls_checkpoint *c, ls_setting_value *out) {
    if (c->gguf) {
        char key[160];
        snprintf(key, sizeof key, "%s.expert_weights_norm", c->architecture);
        const ls_meta *meta = ls_archive_meta(c->archive, key);
        const ls_architecture *row = row_of(c);
        if (meta != NULL && meta->kind == LS_META_BOOL)
            return put(out, meta->as.b ? "true" : "false", meta->key);
        return row != NULL && row->experts_normalized != LS_IMPLIED_UNKNOWN && put(out, row->experts_normalized ? "true" : "false", implied);
    }
    json_t *json = c->config != NULL ? ls_config_text(c->config, "norm_topk_prob") : NULL;
    return json_is_boolean(json) && put(out, json_is_true(json) ? "true" : "false", "norm_topk_prob");
}

/* --- what applies to some layers only */

static size_t layers_of(const ls_checkpoint *c) {
    ls_setting_value v;
    return ls_setting_of(c, "layers", &v) && v.number >= 1 && v.number <= LAYERS_MAX ? (size_t)v.number : 0;
}

/* The layers to which something applies: "none", "all", a period, or a list. */
static bool put_layers(ls_setting_value *out, const bool *holds, size_t count, const char *key) {
    size_t first = 0, total = 0, used = 0;
    for (size_t i = 0; i < count; i++) {
        total += holds[i];
        first = total == 1 && holds[i] ? i : first;
    }
    bool periodic = total > 0;
    for (size_t i = 0; i < count; i++)
        periodic = periodic && holds[i] == ((i + 1) % (first + 1) == 0);
    put(out, total == 0 ? "none" : "all", key);
    if (total == 0 || total == count)
        return true;
    if (periodic)
        used = (size_t)snprintf(out->text, sizeof out->text, "the last of every %zu layers, %zu in all", first + 1, count);
    for (size_t i = 0; i < count && !periodic && used < sizeof out->text; i++)
        if (holds[i])
            used += (size_t)snprintf(out->text + used, sizeof out->text - used, "%s%zu", used > 0 ? ", " : "", i);
    if (used >= sizeof out->text) { /* the list is long: its hash distinguishes lists */
        uint32_t hash = 2166136261u;
        for (size_t i = 0; i < count; i++)
            hash = (hash ^ holds[i]) * 16777619u;
        snprintf(out->text + sizeof out->text - 16, 16, "… #%08x", (unsigned)hash);
    }
    return true;
}

/* Every `step`-th layer, the first of each `step` being layer `first`. */
static bool put_every_from(ls_setting_value *out, size_t first, size_t step, size_t layers, const char *key) {
    bool holds[LAYERS_MAX];
    for (size_t i = 0; i < layers; i++)
        holds[i] = step > 0 && i % step == first % step;
    return put_layers(out, holds, layers, key);
}

static bool put_every(ls_setting_value *out, size_t step, size_t layers, const char *key) {
    return put_every_from(out, step > 0 ? step - 1 : 0, step, layers, key);
}

/* A list of 0 and 1: 1 for a layer with RoPE. */
static bool read_layers_without_rope(const ls_checkpoint *c, ls_setting_value *out) {
    size_t layers = layers_of(c);
    bool holds[LAYERS_MAX];
    const ls_architecture *row = row_of(c);
    if (layers == 0)
        return false;
    if (c->gguf)
        return row != NULL && row->rope_step != LS_IMPLIED_UNKNOWN && put_every(out, (size_t)row->rope_step, layers, implied);
    json_t *list = ls_config_text(c->config, "no_rope_layers"), *item;
    json_t *step = ls_config_text(c->config, "no_rope_layer_interval");
    size_t i;
    if (json_array_size(list) > 0 && json_array_size(list) <= LAYERS_MAX) {
        json_array_foreach(list, i, item)
            holds[i] = json_integer_value(item) == 0 && !json_is_true(item);
        return put_layers(out, holds, json_array_size(list), "no_rope_layers");
    }
    if (json_is_integer(step) && json_integer_value(step) > 0 && json_integer_value(step) <= LAYERS_MAX)
        return put_every(out, (size_t)json_integer_value(step), layers, "no_rope_layer_interval");
    return false;
}

static bool is_windowed(const char *type) { return strstr(type, "sliding") != NULL || strstr(type, "chunked") != NULL || strstr(type, "local") != NULL; }

static bool read_window_of_config(const ls_checkpoint *c, size_t layers, ls_setting_value *out) {
    bool holds[LAYERS_MAX];
    json_t *types = ls_config_text(c->config, "layer_types"), *step = ls_config_text(c->config, "sliding_window_pattern"), *item;
    size_t i;
    if (json_array_size(types) > 0 && json_array_size(types) <= LAYERS_MAX) {
        json_array_foreach(types, i, item) {
            const char *type = json_string_value(item);
            if (type == NULL)
                return false;
            holds[i] = !is_windowed(type);
        }
        return put_layers(out, holds, json_array_size(types), "layer_types");
    }
    if (json_is_integer(step) && json_integer_value(step) > 0 && json_integer_value(step) <= LAYERS_MAX)
        return put_every(out, (size_t)json_integer_value(step), layers, "sliding_window_pattern");
    return false;
}

static bool read_window_of_gguf(const ls_checkpoint *c, size_t layers, ls_setting_value *out) {
    char key[160];
    snprintf(key, sizeof key, "%s.attention.sliding_window_pattern", c->architecture);
    const ls_meta *meta = ls_archive_meta(c->archive, key);
    const ls_architecture *row = row_of(c);
    bool holds[LAYERS_MAX];
    if (meta != NULL && meta->kind == LS_META_UINT)
        return strcmp(c->architecture, "modern-bert") == 0 ? put_every_from(out, 0, (size_t)meta->as.u, layers, meta->key)
                                                           : put_every(out, (size_t)meta->as.u, layers, meta->key);
    if (meta != NULL && meta->kind == LS_META_ARRAY && meta->as.array.count <= LAYERS_MAX && meta->as.array.kind != LS_META_TEXT) {
        uint64_t position = 0;
        for (uint64_t i = 0; i < meta->as.array.count; i++) { /* true: a window */
            ls_meta element;
            ls_meta_next(meta, &position, &element);
            holds[i] = element.kind == LS_META_BOOL ? !element.as.b : element.kind == LS_META_UINT ? element.as.u == 0 : element.as.i == 0;
        }
        return put_layers(out, holds, (size_t)meta->as.array.count, meta->key);
    }
    return row != NULL && row->window_step != LS_IMPLIED_UNKNOWN && put_every(out, (size_t)row->window_step, layers, implied);
}

static bool read_layers_without_window(const ls_checkpoint *c, ls_setting_value *out) {
    size_t layers = layers_of(c);
    if (layers == 0)
        return false;
    return c->gguf ? read_window_of_gguf(c, layers, out) : read_window_of_config(c, layers, out);
}

const ls_computed_setting ls_computed_settings[] = {
    {"activation", "activation", read_activation, same_activation},
    {"experts-normalized", "weights of the chosen experts normalized", read_experts_normalized, NULL},
    {"layers-without-rope", "layers without RoPE", read_layers_without_rope, NULL},
    {"layers-without-window", "layers with full attention", read_layers_without_window, NULL},
};
const size_t ls_computed_setting_count = sizeof ls_computed_settings / sizeof *ls_computed_settings;

const char *const ls_computed_keys[] = {"hidden_activation", "hidden_act",  "activation_function",    "norm_topk_prob",
                                        "no_rope_layers",    "layer_types", "sliding_window_pattern", "no_rope_layer_interval", NULL};

/* --- RoPE frequency factors */

static json_t *rope_json(const ls_checkpoint *c, const char *key) {
    static const char *const places[] = {"rope_scaling", "rope_parameters", "rope_parameters.full_attention"};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        char path[120];
        snprintf(path, sizeof path, "%s.%s", places[i], key);
        json_t *found = ls_config_text(c->config, path);
        if (found != NULL)
            return found;
    }
    return NULL;
}

static double rope_number(const ls_checkpoint *c, const char *key, double otherwise) {
    json_t *json = rope_json(c, key);
    return json_is_number(json) ? json_number_value(json) : otherwise;
}

/* What llama3's scaling divides the k-th frequency by (transformers/modeling_rope_utils.py):
 * 1 for short wavelengths, `factor` for long ones, and a value in between for the others. */
static double llama3_factor(const ls_checkpoint *c, double base, double dimensions, uint64_t k, double original) {
    const double pi = 3.14159265358979323846;
    double factor = rope_number(c, "factor", 8), low = rope_number(c, "low_freq_factor", 1), high = rope_number(c, "high_freq_factor", 4);
    double wave = 2 * pi * pow(base, 2 * (double)k / dimensions);
    if (wave < original / high)
        return 1;
    if (wave > original / low)
        return factor;
    double smooth = (original / wave - low) / (high - low);
    return 1 / ((1 - smooth) / factor + smooth);
}

static double number_of(const ls_checkpoint *c, const char *id, double otherwise) {
    ls_setting_value v;
    return ls_setting_of(c, id, &v) && !isnan(v.number) ? v.number : otherwise;
}

/* The factor that the configuration specifies; NaN when it specifies none. */
static double wanted_factor(const ls_checkpoint *c, const char *tensor, const char *type, uint64_t k, uint64_t count) {
    if (strcmp(tensor, "rope_freqs.weight") != 0) {
        json_t *list = rope_json(c, strstr(tensor, "long") != NULL ? "long_factor" : "short_factor");
        return json_array_size(list) == count ? json_number_value(json_array_get(list, (size_t)k)) : NAN;
    }
    if (strcmp(type, "llama3") == 0)
        return llama3_factor(c, number_of(c, "rope-base", 10000), number_of(c, "head-size", 2 * (double)count), k,
                             rope_number(c, "original_max_position_embeddings", number_of(c, "context", 8192)));
    return strcmp(type, "none") == 0 || strcmp(type, "default") == 0 ? 1 : NAN;
}

static void describe_factor(ls_setting_value *v, double factor, uint64_t k, uint64_t differ, uint64_t count, const char *key) {
    *v = (ls_setting_value){.known = true, .number = NAN, .key = key};
    snprintf(v->text, sizeof v->text, differ > 0 ? "%.7g at %llu (%llu of %llu differ)" : "%.7g at %llu, … (%llu of %llu)", factor,
             (unsigned long long)k, (unsigned long long)(differ > 0 ? differ : count), (unsigned long long)count);
}

static const double factor_noise = 1e-4; /* converters compute it in float32 */

static lockstep_status compare_factors(const ls_checkpoint *hf, const lockstep_archive *gguf, size_t tensor, const char *type,
                                       ls_setting_value out[2], bool *out_differs, bool *out_found, lockstep_error *error) {
    const ls_tensor *t = &gguf->tensors[tensor];
    uint64_t differ = 0, at = 0;
    double wanted_at = 0, found_at = 0;
    for (uint64_t k = 0; k < t->elements; k++) {
        double found, wanted = wanted_factor(hf, t->name, type, k, t->elements);
        if (isnan(wanted))
            return LOCKSTEP_OK;
        LS_TRY(lockstep_archive_read(gguf, tensor, k, 1, &found, error));
        bool differs = !(fabs(found - wanted) <= factor_noise * fabs(wanted));
        if (k == 0 || (differs && differ == 0))
            at = k, wanted_at = wanted, found_at = found;
        differ += differs;
    }
    describe_factor(&out[0], wanted_at, at, differ, t->elements, type);
    describe_factor(&out[1], found_at, at, differ, t->elements, t->name);
    *out_found = t->elements > 0;
    *out_differs = differ > 0;
    return LOCKSTEP_OK;
}

lockstep_status ls_rope_factors_compare(const ls_checkpoint *sides[2], ls_setting *out_setting, bool *out_found, lockstep_error *error) {
    static const char *const tensors[] = {"rope_freqs.weight", "rope_factors_long.weight", "rope_factors_short.weight"};
    int side = sides[0]->gguf ? 1 : 0; /* the side with the configuration */
    const ls_checkpoint *hf = sides[side], *gguf = sides[1 - side];
    ls_setting_value type;
    bool differs = false;
    *out_found = false;
    if (hf->gguf || !gguf->gguf || hf->config == NULL || !ls_setting_of(hf, "rope-scaling", &type))
        return LOCKSTEP_OK;
    for (size_t i = 0; i < sizeof tensors / sizeof *tensors && !differs; i++) {
        size_t tensor = ls_archive_find(gguf->archive, tensors[i]);
        ls_setting_value values[2];
        bool found = false;
        if (tensor == SIZE_MAX || gguf->archive->tensors[tensor].elements > 65536)
            continue;
        LS_TRY(compare_factors(hf, gguf->archive, tensor, type.text, values, &differs, &found, error));
        if (!found)
            continue;
        *out_found = true;
        *out_setting = (ls_setting){.id = "rope-factors", .meaning = "RoPE frequency factors",
                                    .verdict = differs ? LS_SETTING_DIFFERS : LS_SETTING_EQUAL};
        out_setting->sides[side] = values[0];
        out_setting->sides[1 - side] = values[1];
        out_setting->sides[side].key = strcmp(type.text, "llama3") == 0 ? "by the formula of llama3" : "by its rope_scaling";
    }
    return LOCKSTEP_OK;
}
