/* What tokenizers define besides tokens: how text is split, what is added around it, and
 * where it ends. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/escape.h"
#include "checkpoint/vocabulary_steps.h"
#include "format/json_tree.h"

static const char *const side_names[2] = {"reference", "candidate"};

static const ls_meta *meta_of(const ls_vocabulary_comparing *c, int side, const char *key) {
    return c->sides[side]->gguf ? ls_archive_meta(c->sides[side]->archive, key) : NULL;
}

static bool is_one_of(const char *text, const char *const *list) {
    for (; *list != NULL; list++)
        if (strcmp(text, *list) == 0)
            return true;
    return false;
}

/* --- the kind of model */

/* GGUF's names for the kinds of tokenizer.json; NULL if a kind doesn't determine the name. */
static const char *const *kinds_in_gguf(const ls_tokenizer *t) {
    static const char *const gpt2[] = {"gpt2", NULL}, *const spm_bpe[] = {"llama", "gemma4", NULL}, *const unigram[] = {"llama", "t5", "plamo2", NULL},
                      *const bert[] = {"bert", NULL};
    if (strcmp(t->kind, "BPE") == 0)
        return t->byte_level ? gpt2 : t->byte_fallback ? spm_bpe : NULL;
    if (strcmp(t->kind, "Unigram") == 0 || strcmp(t->kind, "SentencePiece") == 0)
        return unigram;
    return strcmp(t->kind, "WordPiece") == 0 ? bert : NULL;
}

static lockstep_status compare_kinds(ls_vocabulary_comparing *c) {
    const ls_tokenizer *t = c->tokenizers;
    bool same = strcmp(t[0].kind, t[1].kind) == 0;
    if (c->sides[0]->gguf != c->sides[1]->gguf) {
        int hf = c->sides[0]->gguf ? 1 : 0;
        const char *const *kinds = kinds_in_gguf(&t[hf]);
        if (kinds == NULL)
            return ls_vocabulary_leave_out(c, "tokenizer model");
        same = is_one_of(t[1 - hf].kind, kinds);
    }
    char text[2][60];
    for (int side = 0; side < 2; side++)
        ls_escape(t[side].kind, strlen(t[side].kind), text[side], sizeof text[side]);
    return same ? LOCKSTEP_OK : ls_vocabulary_say(c, LS_VOCABULARY_DIFFERS, "tokenizer model: '%s' in the reference, '%s' in the candidate", text[0], text[1]);
}

/* --- the pre-tokenizer */

/* Widely used regular expressions, recognized by parts that only they have, with llama.cpp's
 * names for them. */
static const struct {
    const char *needs[3], *lacks[2];
    const char *const *names;
} pre_tokenizers[] = {
    {{"(?i:'s|'t|'re|'ve|'m|'ll|'d)", "\\p{N}{1,3}"}, {"\\p{Lu}"},
     (const char *const[]){"llama-bpe", "llama3", "llama-v3", "falcon3", "pixtral", "dbrx", "smaug-bpe", "chatglm-bpe", "glm4", NULL}},
    {{"(?i:'s|'t|'re|'ve|'m|'ll|'d)", "|\\p{N}|"}, {"\\p{Lu}"}, (const char *const[]){"qwen2", "deepseek-r1-qwen", "megrez", "stablelm2", "hunyuan", NULL}},
    {{"\\p{Lu}", "\\p{N}{1,3}"}, {0}, (const char *const[]){"gpt-4o", "llama4", "superbpe", "tekken", NULL}},
    {{"ByteLevel", "\"use_regex\":true"}, {"\"Split\"", "\"Digits\""},
     (const char *const[]){"gpt-2", "phi-2", "jina-es", "jina-de", "jina-v1-en", "jina-v2-es", "jina-v2-de", "jina-v2-code", "roberta-bpe", "mpt", "olmo",
                           "default", NULL}},
    {{"ByteLevel", "\"Digits\""}, {0}, (const char *const[]){"starcoder", "refact", "command-r", "smollm", "codeshell", "exaone", "minerva-7b", NULL}},
};
enum { PRE_TOKENIZERS = sizeof pre_tokenizers / sizeof *pre_tokenizers };

static int row_of_json(json_t *pre) {
    char *dump = json_dumps(pre, JSON_COMPACT | JSON_ENCODE_ANY);
    /* \p{N} is written \\p{N} in a JSON dump: the texts are searched for unescaped */
    int found = -1;
    if (dump == NULL)
        return -1;
    char *to = dump;
    for (const char *from = dump; *from != '\0'; from++)
        if (!(from[0] == '\\' && from[1] == '\\'))
            *to++ = *from;
    *to = '\0';
    for (int i = 0; i < PRE_TOKENIZERS && found < 0; i++) {
        bool fits = true;
        for (size_t k = 0; k < 3 && pre_tokenizers[i].needs[k] != NULL; k++)
            fits = fits && strstr(dump, pre_tokenizers[i].needs[k]) != NULL;
        for (size_t k = 0; k < 2 && pre_tokenizers[i].lacks[k] != NULL; k++)
            fits = fits && strstr(dump, pre_tokenizers[i].lacks[k]) == NULL;
        found = fits ? i : -1;
    }
    free(dump);
    return found;
}

static int row_of_name(const char *name) {
    for (int i = 0; i < PRE_TOKENIZERS; i++)
        if (is_one_of(name, pre_tokenizers[i].names))
            return i;
    return -1;
}

/* Only llama.cpp's "gpt2" names a pre-tokenizer. */
static void name_pre(const ls_vocabulary_comparing *c, int side, char out[80]) {
    const ls_meta *pre = meta_of(c, side, "tokenizer.ggml.pre");
    bool given = pre != NULL && pre->kind == LS_META_TEXT;
    ls_escape(given ? pre->as.text.bytes : "default", given ? (size_t)pre->as.text.length : 7, out, 80);
}

static lockstep_status compare_pre_tokenizers(ls_vocabulary_comparing *c) {
    char names[2][80];
    int hf = c->sides[0]->gguf ? 1 : 0;
    if (c->sides[0]->gguf && c->sides[1]->gguf) {
        name_pre(c, 0, names[0]);
        name_pre(c, 1, names[1]);
        return strcmp(names[0], names[1]) == 0 ? LOCKSTEP_OK
               : ls_vocabulary_say(c, LS_VOCABULARY_DIFFERS, "pre-tokenizer: '%s' in the reference, '%s' in the candidate", names[0], names[1]);
    }
    if (!c->sides[0]->gguf && !c->sides[1]->gguf)
        return LOCKSTEP_OK; /* its whole description is compared */
    if (strcmp(c->tokenizers[1 - hf].kind, "gpt2") != 0)
        return LOCKSTEP_OK;
    name_pre(c, 1 - hf, names[1 - hf]);
    int wanted = row_of_json(c->tokenizers[hf].parts[LS_TOKENIZER_PRE_TOKENIZER]), named = row_of_name(names[1 - hf]);
    if (wanted < 0 || named < 0)
        return ls_vocabulary_leave_out(c, "pre-tokenizer");
    if (wanted == named)
        return LOCKSTEP_OK;
    return ls_vocabulary_say(c, LS_VOCABULARY_DIFFERS, "pre-tokenizer: the %s's tokenizer.json splits text as '%s' does, the %s says '%s'", side_names[hf],
                             pre_tokenizers[wanted].names[0], side_names[1 - hf], names[1 - hf]);
}

/* --- two folders: how text is normalized, split, post-processed and decoded */

static lockstep_status compare_parts(ls_vocabulary_comparing *c) {
    static const char *const names[LS_TOKENIZER_PARTS] = {"normalizer", "pre-tokenizer", "post-processor", "decoder", "settings of the model"};
    const ls_tokenizer *t = c->tokenizers;
    if (!t[0].is_json || !t[1].is_json)
        return LOCKSTEP_OK;
    for (int i = 0; i < LS_TOKENIZER_PARTS; i++) {
        json_t *a = t[0].parts[i], *b = t[1].parts[i];
        bool none[2] = {a == NULL || json_is_null(a), b == NULL || json_is_null(b)};
        bool same = (none[0] && none[1]) || (!none[0] && !none[1] && ls_json_same(a, b));
        if (!same)
            LS_TRY(ls_vocabulary_say(c, LS_VOCABULARY_DIFFERS, "the %s of tokenizer.json differs%s", names[i],
                                     none[0] ? ": the reference has none" : none[1] ? ": the candidate has none" : ""));
    }
    return LOCKSTEP_OK;
}

/* --- scores */

static bool has_score(const ls_tokenizer *t, uint64_t id) {
    uint8_t type = t->tokens[id].type;
    return t->tokens[id].text != NULL && (type == LS_TOKEN_NORMAL || type == LS_TOKEN_UNDEFINED);
}

static lockstep_status compare_scores(ls_vocabulary_comparing *c) {
    const ls_tokenizer *a = &c->tokenizers[0], *b = &c->tokenizers[1];
    uint64_t count = a->token_count < b->token_count ? a->token_count : b->token_count, differ = 0, first = 0, compared = 0;
    if (a->scores == NULL && b->scores == NULL)
        return LOCKSTEP_OK;
    if (a->scores == NULL || b->scores == NULL)
        return ls_vocabulary_leave_out(c, "scores of tokens");
    for (uint64_t i = 0; i < count; i++) {
        if (!has_score(a, i) || !has_score(b, i))
            continue;
        compared++;
        double x = (double)a->scores[i], y = (double)b->scores[i];
        bool same = x == y || fabs(x - y) <= 1e-5 * fmax(fabs(x), fabs(y)) || (isnan(x) && isnan(y));
        if (!same && differ++ == 0)
            first = i;
    }
    c->v->scores_compared = compared;
    c->v->scores_differ = differ;
    char token[LS_VOCABULARY_SHOWN];
    if (differ == 0 || !ls_vocabulary_token_text(c, 0, (int64_t)first, token))
        return LOCKSTEP_OK;
    return ls_vocabulary_say(c, LS_VOCABULARY_DIFFERS, "scores of tokens: %llu of %llu differ, first id %llu '%s': %.7g in the reference, %.7g in the candidate",
                             (unsigned long long)differ, (unsigned long long)compared, (unsigned long long)first, token, (double)a->scores[first],
                             (double)b->scores[first]);
}

/* --- BOS and EOS that are added */

/* TemplateProcessing's "single": [{"SpecialToken": …}, {"Sequence": …}, …]. */
static int added_by_template(json_t *processor, bool at_the_end) {
    json_t *all = json_object_get(processor, "processors"), *item;
    size_t i;
    json_array_foreach(all, i, item) {
        int found = added_by_template(item, at_the_end);
        if (found >= 0)
            return found;
    }
    json_t *single = json_object_get(processor, "single");
    size_t count = json_array_size(single);
    if (count == 0)
        return -1;
    return json_object_get(json_array_get(single, at_the_end ? count - 1 : 0), "SpecialToken") != NULL;
}

/* llama.cpp's defaults. */
static int added_by_default(const ls_tokenizer *t, const char *pre, bool eos) {
    static const char *const with_bos[] = {"llama-bpe", "llama3", "llama-v3", "falcon3", "pixtral", "tekken", NULL};
    if (strcmp(t->kind, "llama") == 0)
        return !eos;
    if (strcmp(t->kind, "bert") == 0)
        return 1;
    if (strcmp(t->kind, "t5") == 0)
        return eos;
    return strcmp(t->kind, "gpt2") == 0 ? !eos && is_one_of(pre, with_bos) : -1;
}

/* 1, 0, or -1 if unknown; *out_given: the side itself gives it. */
static int adds(const ls_vocabulary_comparing *c, int side, bool eos, bool *out_given) {
    *out_given = true;
    if (c->sides[side]->gguf) {
        const ls_meta *meta = meta_of(c, side, eos ? "tokenizer.ggml.add_eos_token" : "tokenizer.ggml.add_bos_token");
        char pre[80];
        if (meta != NULL && meta->kind == LS_META_BOOL)
            return meta->as.b;
        *out_given = false;
        name_pre(c, side, pre);
        return added_by_default(&c->tokenizers[side], pre, eos);
    }
    json_t *json = json_object_get(c->tokenizer_config[side], eos ? "add_eos_token" : "add_bos_token");
    return json_is_boolean(json) ? json_is_true(json) : added_by_template(c->tokenizers[side].parts[LS_TOKENIZER_POST_PROCESSOR], eos);
}

static lockstep_status compare_added(ls_vocabulary_comparing *c, bool eos) {
    const char *name = eos ? "EOS" : "BOS";
    bool given[2];
    int added[2] = {adds(c, 0, eos, &given[0]), adds(c, 1, eos, &given[1])};
    if ((!given[0] && !given[1]) || added[0] < 0 || added[1] < 0 || added[0] == added[1])
        return LOCKSTEP_OK;
    return ls_vocabulary_say(c, LS_VOCABULARY_DIFFERS, "%s: the %s adds it to a text%s, the %s doesn't%s", name, side_names[added[0] ? 0 : 1],
                             given[added[0] ? 0 : 1] ? "" : " (by default)", side_names[added[0] ? 1 : 0], given[added[0] ? 1 : 0] ? "" : " (by default)");
}

/* --- two GGUF files: every other key of the tokenizer */

static bool is_handled(const char *key) {
    static const char *const keys[] = {"tokenizer.ggml.model", "tokenizer.ggml.pre", "tokenizer.ggml.tokens", "tokenizer.ggml.merges", "tokenizer.ggml.scores",
                                       "tokenizer.ggml.token_type", "tokenizer.ggml.add_bos_token", "tokenizer.ggml.add_eos_token", NULL};
    size_t length = strlen(key);
    return is_one_of(key, keys) || strncmp(key, "tokenizer.chat_template", 23) == 0 || (length > 9 && strcmp(key + length - 9, "_token_id") == 0);
}

static bool same_meta(const ls_meta *a, const ls_meta *b) {
    ls_meta x, y;
    uint64_t at[2] = {0};
    if (a->kind != b->kind)
        return false;
    switch (a->kind) {
    case LS_META_TEXT: return a->as.text.length == b->as.text.length && memcmp(a->as.text.bytes, b->as.text.bytes, (size_t)a->as.text.length) == 0;
    case LS_META_BOOL: return a->as.b == b->as.b;
    case LS_META_FLOAT: return a->as.f == b->as.f || (isnan(a->as.f) && isnan(b->as.f));
    case LS_META_ARRAY: break;
    case LS_META_INT: return a->as.i == b->as.i;
    case LS_META_UINT: return a->as.u == b->as.u;
    }
    if (a->as.array.kind != b->as.array.kind || a->as.array.count != b->as.array.count || a->as.array.kind == LS_META_ARRAY)
        return false;
    for (uint64_t i = 0; i < a->as.array.count; i++) {
        ls_meta_next(a, &at[0], &x);
        ls_meta_next(b, &at[1], &y);
        if (!same_meta(&x, &y))
            return false;
    }
    return true;
}

static lockstep_status compare_keys(ls_vocabulary_comparing *c) {
    const lockstep_archive *a = c->sides[0]->archive, *b = c->sides[1]->archive;
    for (size_t i = 0; i < a->meta_count && c->sides[0]->gguf && c->sides[1]->gguf; i++) {
        const ls_meta *mine = &a->metas[i], *other = ls_archive_meta(b, mine->key);
        char key[120];
        if (strncmp(mine->key, "tokenizer.", 10) != 0 || is_handled(mine->key) || other == NULL || same_meta(mine, other))
            continue;
        ls_escape(mine->key, strlen(mine->key), key, sizeof key);
        LS_TRY(ls_vocabulary_say(c, LS_VOCABULARY_DIFFERS, "%s: differs between the two files", key));
    }
    return LOCKSTEP_OK;
}

lockstep_status ls_tokenizer_rules_compare(ls_vocabulary_comparing *c) {
    LS_TRY(compare_kinds(c));
    LS_TRY(compare_pre_tokenizers(c));
    LS_TRY(compare_parts(c));
    LS_TRY(compare_scores(c));
    LS_TRY(compare_added(c, false));
    LS_TRY(compare_added(c, true));
    return compare_keys(c);
}

/* --- where a text ends */

enum { ENDS_MAX = 64 };

typedef struct ends {
    int64_t ids[ENDS_MAX];
    size_t count;
    bool list; /* the side gives all of them */
} ends;

static void add_end(ends *e, int64_t id) {
    for (size_t i = 0; i < e->count; i++)
        if (e->ids[i] == id)
            return;
    if (id >= 0 && e->count < ENDS_MAX)
        e->ids[e->count++] = id;
}

static bool ends_at(const ends *e, int64_t id) {
    for (size_t i = 0; i < e->count; i++)
        if (e->ids[i] == id)
            return true;
    return false;
}

/* llama.cpp ends a text at tokens with these spellings, whatever the keys say. */
static bool ends_by_spelling(const ls_vocabulary_comparing *c, int side, int64_t id) {
    static const char *const spellings[] = {"<|eot_id|>", "<|im_end|>", "<|end|>", "<|return|>", "<|call|>", "<|flush|>", "<|calls|>", "<end_of_turn>",
                                            "<|endoftext|>", "<|end_of_text|>", "</s>", "<|eom_id|>", "<EOT>", "_<EOT>", "[EOT]", "[EOS]",
                                            "<end_of_utterance>", NULL};
    const ls_tokenizer *t = &c->tokenizers[side];
    char text[32];
    if (!c->sides[side]->gguf || id < 0 || (uint64_t)id >= t->token_count || t->tokens[id].text == NULL || t->tokens[id].length >= sizeof text)
        return false;
    memcpy(text, t->tokens[id].text, t->tokens[id].length);
    text[t->tokens[id].length] = '\0';
    return is_one_of(text, spellings);
}

static void read_ends(const ls_vocabulary_comparing *c, int side, ends *e) {
    static const char *const keys[] = {"tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        const ls_meta *meta = meta_of(c, side, keys[i]);
        if (meta != NULL && (meta->kind == LS_META_UINT || meta->kind == LS_META_INT))
            add_end(e, meta->kind == LS_META_UINT ? (int64_t)meta->as.u : meta->as.i);
    }
    if (c->sides[side]->gguf)
        return;
    json_t *ids = json_object_get(c->generation[side], "eos_token_id"), *item;
    size_t i;
    if (ids == NULL || json_is_null(ids))
        ids = ls_config_text(c->sides[side]->config, "eos_token_id");
    e->list = json_is_array(ids);
    if (json_is_integer(ids))
        add_end(e, json_integer_value(ids));
    json_array_foreach(ids, i, item)
        if (json_is_integer(item))
            add_end(e, json_integer_value(item));
}

/* Two single ids have already been compared as "eos". */
lockstep_status ls_text_ends_compare(ls_vocabulary_comparing *c) {
    ends both[2] = {{.count = 0}, {.count = 0}};
    for (int side = 0; side < 2; side++)
        read_ends(c, side, &both[side]);
    for (int side = 0; side < 2 && both[0].count > 0 && both[1].count > 0; side++)
        for (size_t i = 0; i < both[side].count && (both[side].list || (both[1 - side].list && !c->sides[side]->gguf)); i++) {
            char text[LS_VOCABULARY_SHOWN];
            int64_t id = both[side].ids[i];
            if (ends_at(&both[1 - side], id) || ends_by_spelling(c, 1 - side, id))
                continue;
            ls_vocabulary_token_text(c, side, id, text);
            LS_TRY(ls_vocabulary_say(c, LS_VOCABULARY_DIFFERS, "end of text: the %s ends at id %lld '%s', the %s continues", side_names[side], (long long)id, text,
                                     side_names[1 - side]));
        }
    return LOCKSTEP_OK;
}
