#include "checkpoint/settings.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/grow.h"
#include "checkpoint/architectures.h"
#include "checkpoint/computed_settings.h"
#include "checkpoint/hyperparameters.h"
#include "checkpoint/weight_names.h"
#include "format/json_tree.h"

/* Values within this relative distance are equal, because GGUF stores float32. */
static const double float_noise = 1e-6;

static bool equal(const ls_setting_value *a, const ls_setting_value *b) {
    if ((strcmp(a->text, "none") == 0 && b->number == 0) || (strcmp(b->text, "none") == 0 && a->number == 0))
        return true;
    if (isnan(a->number) || isnan(b->number))
        return strcmp(a->text, b->text) == 0;
    return a->number == b->number || fabs(a->number - b->number) <= float_noise * fmax(fabs(a->number), fabs(b->number));
}

static bool is_text(const ls_setting_value *v, const char *text) { return strcmp(v->text, text) == 0; }

/* For these types, GGUF stores the frequency factors as a tensor, and the type as none. */
static bool scaled_by_tensor(const ls_setting_value *v, const lockstep_archive *gguf) {
    static const char *const types[][2] = {{"llama3", "rope_freqs.weight"}, {"longrope", "rope_factors_long.weight"}, {"su", "rope_factors_long.weight"}};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (strcmp(v->text, types[i][0]) == 0 && ls_archive_find(gguf, types[i][1]) != SIZE_MAX)
            return true;
    return false;
}

static bool has_weight(const ls_checkpoint *c, size_t layer, const char *stem) {
    char name[80];
    snprintf(name, sizeof name, "blk.%zu.%s.weight", layer, stem);
    return ls_archive_find(c->archive, name) != SIZE_MAX;
}

/* A GGUF file gives the number for each layer, and 0 for a layer without attention, which has no such weights. */
static bool same_where_there_is_attention(const ls_setting_value *all, const ls_checkpoint *gguf, const ls_setting_value *list) {
    const ls_meta *meta = gguf->gguf && list->key != NULL ? ls_archive_meta(gguf->archive, list->key) : NULL;
    ls_meta element;
    uint64_t position = 0;
    if (meta == NULL || meta->kind != LS_META_ARRAY || isnan(all->number))
        return false;
    for (size_t layer = 0; layer < meta->as.array.count; layer++) {
        ls_setting_value value = {.number = NAN};
        ls_meta_next(meta, &position, &element);
        if (element.kind != LS_META_INT && element.kind != LS_META_UINT)
            return false;
        ls_setting_from_meta(&element, &value);
        const bool attends = has_weight(gguf, layer, "attn_k") || has_weight(gguf, layer, "attn_qkv");
        if (value.number != all->number && (value.number != 0 || attends))
            return false;
    }
    return true;
}

/* Latent attention is run with the latent vector as the one key-value head; the heads are in the weights. */
static bool is_latent(const ls_checkpoint *gguf, const ls_setting_value *value) {
    return gguf->gguf && value->number == 1 && ls_hyperparameter_meta(gguf, "*.attention.key_length_mla") != NULL;
}

/* A class like BertModel, or a file of it: it has no output matrix that could be tied. */
static bool is_headless(const ls_checkpoint *c) {
    const size_t length = strlen(c->model);
    for (size_t i = 0; i < c->archive->tensor_count; i++) {
        const char *role = ls_weight_role(c->archive->tensors[i].name);
        if (role != NULL && strcmp(role, "output") == 0)
            return false;
    }
    return length > 5 && strcmp(c->model + length - 5, "Model") == 0 && strstr(c->model, "LMHead") == NULL;
}

/* Different spellings of the same thing. "default" is no scaling. An output matrix may be
 * stored although it is tied to the embedding: comparing the weights shows that. */
static bool same_thing(const char *id, const ls_checkpoint *sides[2], const ls_setting_value *values) {
    for (int side = 0; side < 2; side++) {
        const ls_setting_value *a = &values[side], *b = &values[1 - side];
        if (strcmp(id, "rope-scaling") == 0 && is_text(b, "none") &&
            (is_text(a, "default") || scaled_by_tensor(a, sides[1 - side]->archive)))
            return true;
        if (strcmp(id, "tied-embeddings") == 0 && is_text(a, "true") && is_text(b, "false") && b->derived)
            return true;
        if (strcmp(id, "tied-embeddings") == 0 && is_text(a, "false") && b->derived && is_headless(sides[side]))
            return true;
        if (strcmp(id, "kv-heads") == 0 && (is_latent(sides[1 - side], b) || same_where_there_is_attention(a, sides[1 - side], b)))
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

static lockstep_status compare_row(ls_settings *s, const ls_hyperparameter *r, const ls_checkpoint *sides[2], lockstep_error *error) {
    ls_setting item = {.id = r->id, .meaning = r->meaning};
    bool known[2];
    for (int side = 0; side < 2; side++) {
        known[side] = !off(r->id, sides[side]) && ls_hyperparameter_of(sides[side], r, &item.sides[side]);
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
            ls_setting_set_text(&item.sides[side], text, strlen(text)), item.sides[side].key = key;
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
    bool says_so = false; /* if both values are only implied, there is nothing to compare */
    for (int side = 0; side < 2; side++)
        says_so = says_so || (known[side] && !(sides[side]->gguf && strchr(item.sides[side].key, ' ') != NULL));
    if (!says_so)
        return LOCKSTEP_OK;
    bool same = computed->same != NULL ? computed->same(&item.sides[0], &item.sides[1]) : strcmp(item.sides[0].text, item.sides[1].text) == 0;
    item.verdict = !known[0] || !known[1] ? LS_SETTING_ONE_SIDED : same ? LS_SETTING_EQUAL : LS_SETTING_DIFFERS;
    return add(s, &item, error);
}

static lockstep_status compare_derived(ls_settings *s, const ls_checkpoint *sides[2], lockstep_error *error) {
    ls_setting factors;
    bool found;
    LS_TRY(compare_architecture(s, sides, error));
    for (size_t i = 0; i < ls_computed_setting_count; i++)
        LS_TRY(compare_computed(s, &ls_computed_settings[i], sides, error));
    LS_TRY(ls_rope_factors_compare(sides, &factors, &found, error));
    return found ? add(s, &factors, error) : LOCKSTEP_OK;
}

/* --- two GGUF files: every other key of the model */

static bool in_table(const ls_checkpoint *c, const char *key) {
    for (const ls_hyperparameter *r = ls_hyperparameters; r->id != NULL; r++)
        for (size_t k = 0; k < sizeof r->gguf / sizeof *r->gguf && r->gguf[k] != NULL; k++) {
            const ls_meta *meta = ls_hyperparameter_meta(c, r->gguf[k]);
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
            ls_setting_from_meta(meta, &item.sides[side]);
            item.sides[side].key = key;
            if (other != NULL)
                ls_setting_from_meta(other, &item.sides[1 - side]), item.sides[1 - side].key = key;
            item.verdict = other == NULL ? LS_SETTING_ONE_SIDED
                           : equal(&item.sides[0], &item.sides[1]) ? LS_SETTING_EQUAL : LS_SETTING_DIFFERS;
            LS_TRY(add(s, &item, error));
        }
    }
    return LOCKSTEP_OK;
}

/* --- two config.json: every other key */

/* Keys about the file's history and how it is loaded, not about what the model computes; ids
 * of special tokens are compared with the vocabulary (vocabulary.c). */
static bool is_bookkeeping(const char *path) {
    static const char *const keys[] = {"quantization_config", "compression_config", "quantization", "transformers_version", "_name_or_path", "torch_dtype", "dtype", "architectures", "model_type", "auto_map",
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

/* Whether a row of the tables reads it, at the top level or in the text model's part. */
static bool is_in_rows(const char *path) {
    static const char *const places[] = {"", "text_config.", "llm_config.", "language_config."};
    for (size_t p = 0; p < sizeof places / sizeof *places; p++) {
        size_t n = strlen(places[p]);
        if (strncmp(path, places[p], n) != 0)
            continue;
        for (const ls_hyperparameter *r = ls_hyperparameters; r->id != NULL; r++)
            for (size_t k = 0; k < sizeof r->hf / sizeof *r->hf && r->hf[k] != NULL; k++)
                if (strcmp(path + n, r->hf[k]) == 0)
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
    ls_setting_from_json(json_is_array(json) ? NULL : json, out);
    if (!out->known && text != NULL)
        ls_setting_set_text(out, text, strlen(text));
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

/* Objects are compared key by key, down to a depth that no real configuration reaches. */
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
    for (const ls_hyperparameter *r = ls_hyperparameters; r->id != NULL && status == LOCKSTEP_OK; r++)
        status = compare_row(&s, r, sides, error);
    if (status == LOCKSTEP_OK)
        status = compare_derived(&s, sides, error);
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
