#include "checkpoint/vocabulary.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/escape.h"
#include "checkpoint/vocabulary_steps.h"
#include "format/paths.h"

enum { GENERATION_LIMIT = 16 << 20, SHOWN = LS_VOCABULARY_SHOWN };

typedef ls_vocabulary_comparing comparing;

static const char *const side_names[2] = {"reference", "candidate"};

static ls_vocabulary_finding_kind differs_if(bool differs) { return differs ? LS_VOCABULARY_DIFFERS : LS_VOCABULARY_REMARK; }

/* --- sizes */

static uint64_t rows_named(const ls_checkpoint *c, const char *const *names, const char *not_in) {
    for (; *names != NULL; names++)
        for (size_t i = 0; i < c->archive->tensor_count; i++) {
            const ls_tensor *t = &c->archive->tensors[i];
            size_t length = strlen(t->name), suffix = strlen(*names);
            bool ends = length >= suffix && strcmp(t->name + length - suffix, *names) == 0;
            if (ends && (length == suffix || t->name[length - suffix - 1] == '.') && t->rank == 2 && strstr(t->name, not_in) == NULL)
                return t->shape[0];
        }
    return UINT64_MAX;
}

static void measure(comparing *c, int side) {
    static const char *const embeddings[] = {"token_embd.weight", "embed_tokens.weight", "wte.weight", "word_embeddings.weight", NULL};
    static const char *const outputs[] = {"output.weight", "lm_head.weight", NULL};
    const ls_checkpoint *k = c->sides[side];
    ls_vocabulary_side *s = &c->v->sides[side];
    *s = (ls_vocabulary_side){s->known, UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX};
    if (s->known) {
        s->tokens = c->tokenizers[side].token_count;
        s->merges = c->tokenizers[side].merge_count > 0 ? c->tokenizers[side].merge_count : UINT64_MAX;
    }
    s->embedding_rows = rows_named(k, embeddings, "vision");
    /* in GGUF, "output.weight" is the head's full name; elsewhere, other names end with it */
    if (!k->gguf || ls_archive_find(k->archive, "output.weight") != SIZE_MAX)
        s->output_rows = rows_named(k, k->gguf ? outputs : outputs + 1, "vision");
    if (k->gguf) {
        char key[160];
        snprintf(key, sizeof key, "%s.vocab_size", k->architecture);
        const ls_meta *meta = ls_archive_meta(k->archive, key);
        if (meta != NULL && (meta->kind == LS_META_UINT || meta->kind == LS_META_INT))
            s->declared = meta->kind == LS_META_UINT ? meta->as.u : (uint64_t)meta->as.i;
    } else if (k->config != NULL) {
        json_t *size = ls_config_text(k->config, "vocab_size");
        if (json_is_integer(size) && json_integer_value(size) >= 0)
            s->declared = (uint64_t)json_integer_value(size);
    }
}

static void put_size(ls_text *out, const char *what, uint64_t size) {
    if (size != UINT64_MAX)
        ls_text_printf(out, "%s%s %llu", out->length > 0 ? ", " : "", what, (unsigned long long)size);
}

static bool disagree(uint64_t a, uint64_t b) { return a != UINT64_MAX && b != UINT64_MAX && a != b; }

/* Rows without a token are padding, which is common in checkpoints. A token without a row, or
 * sizes that contradict each other, are inconsistent. */
static bool inconsistent(const ls_vocabulary_side *s) {
    bool rowless = s->tokens != UINT64_MAX &&
                   ((s->embedding_rows != UINT64_MAX && s->tokens > s->embedding_rows) ||
                    (s->output_rows != UINT64_MAX && s->tokens > s->output_rows));
    return rowless || disagree(s->embedding_rows, s->output_rows) || disagree(s->declared, s->embedding_rows) ||
           disagree(s->declared, s->output_rows);
}

static bool same_sizes(const ls_vocabulary_side *a, const ls_vocabulary_side *b) {
    return !disagree(a->tokens, b->tokens) && !disagree(a->embedding_rows, b->embedding_rows) &&
           !disagree(a->output_rows, b->output_rows) && !disagree(a->declared, b->declared);
}

/* Additional rows on one side don't matter when no token uses them. */
static bool rows_matter(const ls_vocabulary_side *s, uint64_t a, uint64_t b) {
    uint64_t fewer = a < b ? a : b;
    return !(s[0].known && s[1].known && s[0].tokens <= fewer && s[1].tokens <= fewer);
}

static lockstep_status judge_sizes(comparing *c) {
    const ls_vocabulary_side *s = c->v->sides;
    for (int side = 0; side < 2; side++) {
        ls_text text = {0};
        put_size(&text, "tokens", s[side].tokens);
        put_size(&text, "embedding rows", s[side].embedding_rows);
        put_size(&text, "output rows", s[side].output_rows);
        put_size(&text, "declared", s[side].declared);
        lockstep_status status = LOCKSTEP_OK;
        if (inconsistent(&s[side]) && text.data != NULL)
            status = ls_vocabulary_say(c, differs_if(!same_sizes(&s[0], &s[1])), "%s: %s: inconsistent", side_names[side], text.data);
        ls_text_done(&text);
        LS_TRY(status);
    }
    if (disagree(s[0].embedding_rows, s[1].embedding_rows))
        LS_TRY(ls_vocabulary_say(c, differs_if(rows_matter(s, s[0].embedding_rows, s[1].embedding_rows)), "embedding rows: %llu in the reference, %llu in the candidate", (unsigned long long)s[0].embedding_rows,
                   (unsigned long long)s[1].embedding_rows));
    if (disagree(s[0].output_rows, s[1].output_rows))
        LS_TRY(ls_vocabulary_say(c, differs_if(rows_matter(s, s[0].output_rows, s[1].output_rows)), "output rows: %llu in the reference, %llu in the candidate", (unsigned long long)s[0].output_rows,
                   (unsigned long long)s[1].output_rows));
    if (disagree(s[0].merges, s[1].merges))
        LS_TRY(ls_vocabulary_say(c, LS_VOCABULARY_DIFFERS, "merges: %llu in the reference, %llu in the candidate", (unsigned long long)s[0].merges,
                   (unsigned long long)s[1].merges));
    return LOCKSTEP_OK;
}

/* --- tokens */

/* llama.cpp's BERT vocabulary marks the beginnings of words instead of what follows:
 * "##x" is "x", and "x" is "\u2581x". */
static bool same_word_piece(const ls_token *hf, const ls_token *gguf) {
    if (hf->length > 2 && memcmp(hf->text, "##", 2) == 0)
        return gguf->length == hf->length - 2 && memcmp(gguf->text, hf->text + 2, gguf->length) == 0;
    return gguf->length == hf->length + 3 && memcmp(gguf->text, "\xe2\x96\x81", 3) == 0 &&
           memcmp(gguf->text + 3, hf->text, hf->length) == 0;
}

static bool is_padding(const ls_token *t, uint64_t id) {
    char name[40];
    int n = snprintf(name, sizeof name, "[PAD%llu]", (unsigned long long)id);
    return t->text == NULL || t->type == LS_TOKEN_UNUSED || ((size_t)n == t->length && memcmp(t->text, name, t->length) == 0);
}

static bool same_token(const comparing *c, const ls_token *a, const ls_token *b, uint64_t id) {
    if (a->text != NULL && b->text != NULL && a->length == b->length && memcmp(a->text, b->text, a->length) == 0)
        return true;
    if (is_padding(a, id) && is_padding(b, id))
        return true;
    if (a->text == NULL || b->text == NULL)
        return false;
    if (!c->sides[0]->gguf && c->sides[1]->gguf && strcmp(c->tokenizers[1].kind, "bert") == 0)
        return same_word_piece(a, b);
    if (c->sides[0]->gguf && !c->sides[1]->gguf && strcmp(c->tokenizers[0].kind, "bert") == 0)
        return same_word_piece(b, a);
    return false;
}

/* GGUF gives every token's type; tokenizer.json only distinguishes special tokens from others. */
static bool same_type(const comparing *c, const ls_token *a, const ls_token *b) {
    if (c->sides[0]->gguf && c->sides[1]->gguf)
        return a->type == b->type;
    return !((a->type == LS_TOKEN_CONTROL && b->type == LS_TOKEN_NORMAL) || (a->type == LS_TOKEN_NORMAL && b->type == LS_TOKEN_CONTROL));
}

static lockstep_status compare_tokens(comparing *c) {
    const ls_tokenizer *a = &c->tokenizers[0], *b = &c->tokenizers[1];
    ls_vocabulary *v = c->v;
    uint64_t more = a->token_count > b->token_count ? a->token_count : b->token_count;
    static const ls_token none = {0};
    for (uint64_t id = 0; id < more; id++) {
        const ls_token *x = id < a->token_count ? &a->tokens[id] : &none, *y = id < b->token_count ? &b->tokens[id] : &none;
        v->tokens_compared++;
        if (!same_token(c, x, y, id)) {
            if (v->tokens_differ++ == 0)
                v->first_token = id;
        } else if (!same_type(c, x, y) && v->types_differ++ == 0) {
            v->first_type = id;
        }
    }
    char x[SHOWN], y[SHOWN];
    if (v->tokens_differ > 0) {
        ls_vocabulary_show(ls_vocabulary_token(c, 0, (int64_t)v->first_token), x);
        ls_vocabulary_show(ls_vocabulary_token(c, 1, (int64_t)v->first_token), y);
        LS_TRY(ls_vocabulary_say(c, LS_VOCABULARY_DIFFERS, "tokens: %llu of %llu differ, first id %llu: '%s' in the reference, '%s' in the candidate",
                   (unsigned long long)v->tokens_differ, (unsigned long long)v->tokens_compared, (unsigned long long)v->first_token, x, y));
    }
    if (v->types_differ > 0) {
        const ls_token *t = ls_vocabulary_token(c, 0, (int64_t)v->first_type), *u = ls_vocabulary_token(c, 1, (int64_t)v->first_type);
        ls_vocabulary_show(t, x);
        LS_TRY(ls_vocabulary_say(c, LS_VOCABULARY_DIFFERS, "token types: %llu differ, first id %llu '%s': %s in the reference, %s in the candidate (a special "
                            "token that isn't marked as one is split when text is tokenized)",
                   (unsigned long long)v->types_differ, (unsigned long long)v->first_type, x, ls_token_type_name(t->type),
                   ls_token_type_name(u->type)));
    }
    return LOCKSTEP_OK;
}

static bool same_text(const char *a, uint32_t n, const char *b, uint32_t m) { return n == m && memcmp(a, b, n) == 0; }

static lockstep_status compare_merges(comparing *c) {
    const ls_tokenizer *a = &c->tokenizers[0], *b = &c->tokenizers[1];
    ls_vocabulary *v = c->v;
    v->merges_compared = a->merge_count < b->merge_count ? a->merge_count : b->merge_count;
    for (uint64_t i = 0; i < v->merges_compared; i++) {
        const ls_merge *x = &a->merges[i], *y = &b->merges[i];
        if (!(same_text(x->left, x->left_length, y->left, y->left_length) && same_text(x->right, x->right_length, y->right, y->right_length)) &&
            v->merges_differ++ == 0)
            v->first_merge = i;
    }
    if (v->merges_differ == 0)
        return LOCKSTEP_OK;
    char text[4][SHOWN];
    const ls_merge *x = &a->merges[v->first_merge], *y = &b->merges[v->first_merge];
    ls_escape(x->left, x->left_length, text[0], SHOWN);
    ls_escape(x->right, x->right_length, text[1], SHOWN);
    ls_escape(y->left, y->left_length, text[2], SHOWN);
    ls_escape(y->right, y->right_length, text[3], SHOWN);
    return ls_vocabulary_say(c, LS_VOCABULARY_DIFFERS, "merges: %llu of %llu differ, first %llu: '%s %s' in the reference, '%s %s' in the candidate",
               (unsigned long long)v->merges_differ, (unsigned long long)v->merges_compared, (unsigned long long)v->first_merge,
               text[0], text[1], text[2], text[3]);
}

/* --- special tokens */

static const struct {
    const char *name, *gguf, *hf, *token; /* hf: of config.json; token: of tokenizer_config.json */
} specials[] = {
    {"bos", "bos", "bos_token_id", "bos_token"},
    {"eos", "eos", "eos_token_id", "eos_token"},
    {"eot", "eot", NULL, NULL},
    {"eom", "eom", NULL, NULL},
    {"unk", "unknown", "unk_token_id", "unk_token"},
    {"pad", "padding", "pad_token_id", "pad_token"},
    {"sep", "seperator", "sep_token_id", "sep_token"},
    {"cls", "cls", "cls_token_id", "cls_token"},
    {"mask", "mask", "mask_token_id", "mask_token"},
    {"image", "image", "image_token_id", "image_token"},
    {"image-index", NULL, "image_token_index", NULL},
};

static int64_t gguf_id(const ls_checkpoint *c, const char *name) {
    char key[80];
    snprintf(key, sizeof key, "tokenizer.ggml.%s_token_id", name);
    const ls_meta *meta = ls_archive_meta(c->archive, key);
    if (meta != NULL && meta->kind == LS_META_UINT && meta->as.u < INT64_MAX)
        return (int64_t)meta->as.u;
    return meta != NULL && meta->kind == LS_META_INT ? meta->as.i : -1;
}

/* generation_config.json has precedence. */
static json_t *hf_id(const comparing *c, int side, const char *key) {
    json_t *id = json_object_get(c->generation[side], key);
    if (id == NULL || json_is_null(id))
        id = ls_config_text(c->sides[side]->config, key);
    return id;
}

static int64_t first_id(json_t *id) {
    json_t *one = json_is_array(id) ? json_array_get(id, 0) : id;
    return json_is_integer(one) && json_integer_value(one) >= 0 ? json_integer_value(one) : -1;
}

static int64_t named_id(const comparing *c, int side, const char *key) {
    json_t *token = json_object_get(c->tokenizer_config[side], key);
    const char *text = json_string_value(json_is_object(token) ? json_object_get(token, "content") : token);
    return text != NULL && c->v->sides[side].known ? ls_tokenizer_find(&c->tokenizers[side], text) : -1;
}

static int64_t id_of(const comparing *c, int side, size_t k) {
    if (c->sides[side]->gguf)
        return specials[k].gguf != NULL ? gguf_id(c->sides[side], specials[k].gguf) : -1;
    int64_t id = specials[k].hf != NULL ? first_id(hf_id(c, side, specials[k].hf)) : -1;
    return id >= 0 || specials[k].token == NULL ? id : named_id(c, side, specials[k].token);
}

/* Whether the id is in a side's list (several tokens may end a turn). */
static bool in_list(const comparing *c, int side, size_t k, int64_t id) {
    json_t *list = specials[k].hf != NULL && !c->sides[side]->gguf ? hf_id(c, side, specials[k].hf) : NULL, *item;
    size_t i;
    json_array_foreach(list, i, item)
        if (json_is_integer(item) && json_integer_value(item) == id)
            return true;
    return false;
}

static lockstep_status add_special(comparing *c, size_t k) {
    ls_special s = {.name = specials[k].name};
    char text[2][SHOWN];
    for (int side = 0; side < 2; side++) {
        s.id[side] = id_of(c, side, k);
        const ls_token *t = ls_vocabulary_token(c, side, s.id[side]);
        s.type[side] = t != NULL && t->text != NULL ? t->type : -1;
        ls_vocabulary_show(t, text[side]);
        s.text[side] = s.type[side] >= 0 ? ls_arena_copy(&c->v->arena, t->text, t->length) : NULL;
    }
    if (s.id[0] < 0 && s.id[1] < 0)
        return LOCKSTEP_OK;
    s.differs = s.id[0] >= 0 && s.id[1] >= 0 && s.id[0] != s.id[1] && !in_list(c, 0, k, s.id[1]) && !in_list(c, 1, k, s.id[0]);
    c->v->specials[c->v->special_count++] = s;
    if (s.differs)
        LS_TRY(ls_vocabulary_say(c, LS_VOCABULARY_DIFFERS, "%s: id %lld '%s' in the reference, %lld '%s' in the candidate", s.name, (long long)s.id[0], text[0],
                   (long long)s.id[1], text[1]));
    for (int side = 0; side < 2; side++)
        if (s.id[side] >= 0 && c->v->sides[side].known && s.type[side] < 0)
            LS_TRY(ls_vocabulary_say(c, LS_VOCABULARY_DIFFERS, "%s: the %s's id %lld is not in its vocabulary", s.name, side_names[side], (long long)s.id[side]));
    return LOCKSTEP_OK;
}

static const ls_special *special(const ls_vocabulary *v, const char *name) {
    for (size_t i = 0; i < v->special_count; i++)
        if (strcmp(v->specials[i].name, name) == 0)
            return &v->specials[i];
    return NULL;
}

/* An end token that is also bos is accepted only if it is so on the other side, too. */
static lockstep_status judge_ends(comparing *c) {
    const ls_special *bos = special(c->v, "bos");
    static const char *const ends[] = {"eos", "eot"};
    for (size_t i = 0; i < sizeof ends / sizeof *ends && bos != NULL; i++) {
        const ls_special *end = special(c->v, ends[i]);
        for (int side = 0; side < 2 && end != NULL; side++) {
            char text[SHOWN];
            bool own = end->id[side] >= 0 && end->id[side] == bos->id[side];
            bool others = end->id[1 - side] >= 0 && end->id[1 - side] == bos->id[1 - side];
            ls_vocabulary_show(ls_vocabulary_token(c, side, end->id[side]), text);
            if (own && !others)
                LS_TRY(ls_vocabulary_say(c, differs_if(side == 1), "%s: the %s's id %lld '%s' is also its bos", ends[i], side_names[side], (long long)end->id[side], text));
        }
    }
    return LOCKSTEP_OK;
}

/* The chat template writes BOS, and the tokenizer adds another. */
static lockstep_status judge_double_bos(comparing *c, int side) {
    const ls_special *bos = special(c->v, "bos");
    const char *template = NULL;
    size_t length = 0;
    bool adds = false;
    if (c->sides[side]->gguf) {
        const ls_meta *text = ls_archive_meta(c->sides[side]->archive, "tokenizer.chat_template");
        const ls_meta *add = ls_archive_meta(c->sides[side]->archive, "tokenizer.ggml.add_bos_token");
        adds = add != NULL && add->kind == LS_META_BOOL && add->as.b;
        if (text != NULL && text->kind == LS_META_TEXT)
            template = text->as.text.bytes, length = (size_t)text->as.text.length;
    } else {
        json_t *text = json_object_get(c->tokenizer_config[side], "chat_template");
        adds = json_is_true(json_object_get(c->tokenizer_config[side], "add_bos_token"));
        template = json_string_value(text), length = json_string_length(text);
    }
    if (!adds || template == NULL || bos == NULL)
        return LOCKSTEP_OK;
    bool writes = memmem(template, length, "bos_token", 9) != NULL ||
                  (bos->text[side] != NULL && memmem(template, length, bos->text[side], strlen(bos->text[side])) != NULL);
    return writes ? ls_vocabulary_say(c, LS_VOCABULARY_REMARK, "%s: add_bos_token is true and the chat template writes BOS itself: formatted prompts begin with "
                                  "BOS twice unless the tokenizer is told not to add it", side_names[side])
                  : LOCKSTEP_OK;
}

/* --- */

static lockstep_status open_side(comparing *c, int side) {
    const ls_checkpoint *k = c->sides[side];
    static const char *const names[] = {"generation_config.json", "tokenizer_config.json"};
    json_t **to[] = {&c->generation[side], &c->tokenizer_config[side]};
    for (size_t i = 0; i < 2 && !k->gguf; i++) {
        const char *path = ls_path_join(&c->v->arena, k->directory, names[i]);
        if (path == NULL)
            return ls_fail(c->error, LOCKSTEP_NO_MEMORY, "out of memory");
        lockstep_error why;
        LS_TRY(ls_vocabulary_unread(c, side, ls_checkpoint_json(path, GENERATION_LIMIT, to[i], &why), &why, names[i]));
    }
    lockstep_error why;
    lockstep_status status = ls_tokenizer_open(k, &c->tokenizers[side], &c->v->sides[side].known, &why);
    return ls_vocabulary_unread(c, side, status, &why, "tokens");
}

static lockstep_status compare(comparing *c) {
    for (int side = 0; side < 2; side++) {
        LS_TRY(open_side(c, side));
        measure(c, side);
    }
    LS_TRY(judge_sizes(c));
    if (c->v->sides[0].known && c->v->sides[1].known) {
        LS_TRY(compare_tokens(c));
        LS_TRY(compare_merges(c));
        LS_TRY(ls_tokenizer_rules_compare(c));
    }
    for (size_t k = 0; k < sizeof specials / sizeof *specials; k++)
        LS_TRY(add_special(c, k));
    LS_TRY(judge_ends(c));
    LS_TRY(ls_text_ends_compare(c));
    LS_TRY(ls_chat_templates_compare(c));
    for (int side = 0; side < 2; side++)
        LS_TRY(judge_double_bos(c, side));
    return LOCKSTEP_OK;
}

lockstep_status ls_vocabulary_compare(const ls_checkpoint *reference, const ls_checkpoint *candidate,
                                      ls_vocabulary *out_vocabulary, lockstep_error *error) {
    ls_vocabulary v = {0};
    comparing c = {.sides = {reference, candidate}, .v = &v, .error = error};
    lockstep_status status = compare(&c);
    for (int side = 0; side < 2; side++) {
        ls_tokenizer_close(&c.tokenizers[side]);
        json_decref(c.generation[side]);
        json_decref(c.tokenizer_config[side]);
    }
    if (status != LOCKSTEP_OK)
        ls_vocabulary_done(&v);
    else
        *out_vocabulary = v;
    return status;
}

void ls_vocabulary_done(ls_vocabulary *vocabulary) {
    free(vocabulary->findings);
    ls_arena_done(&vocabulary->arena);
    *vocabulary = (ls_vocabulary){0};
}
