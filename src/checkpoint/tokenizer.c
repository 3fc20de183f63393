/* tokenizer.json (the tokenizers library):
 *
 *   {"added_tokens": [{"id": 5, "content": "<s>", "special": true, …}, …],
 *    "model": {"type": "BPE", "vocab": {"TOKEN": id, …}, "merges": ["a b", ["a", "b"], …]}}
 *
 * A Unigram model's vocab is a list of [token, score], by id. */
#include "checkpoint/tokenizer.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/grow.h"
#include "checkpoint/sentencepiece.h"
#include "format/json_tree.h"
#include "format/paths.h"

/* Each token takes at least one byte of its file, so an id as large as the file is invalid. */
static lockstep_status put_token(ls_tokenizer *t, uint64_t id, const char *text, size_t length, int type, const ls_json *j,
                                 lockstep_error *error) {
    if (id >= j->size || id >= UINT32_MAX || length >= UINT32_MAX)
        return ls_fail_at(error, LOCKSTEP_LIMIT, j->file, ls_json_offset(j),
                          "found token id %llu, expected less than the file's %llu bytes", (unsigned long long)id,
                          (unsigned long long)j->size);
    if (id >= t->token_capacity) {
        uint64_t capacity = t->token_capacity * 2 > id + 1024 ? t->token_capacity * 2 : id + 1024;
        ls_token *bigger = reallocarray(t->tokens, (size_t)capacity, sizeof *bigger);
        if (bigger == NULL)
            return ls_fail(error, LOCKSTEP_NO_MEMORY, "out of memory");
        memset(bigger + t->token_capacity, 0, (size_t)(capacity - t->token_capacity) * sizeof *bigger);
        t->tokens = bigger;
        t->token_capacity = capacity;
    }
    t->tokens[id] = (ls_token){text, (uint32_t)length, (uint8_t)type};
    t->token_count = id >= t->token_count ? id + 1 : t->token_count;
    return LOCKSTEP_OK;
}

/* The token has to be put first. */
static lockstep_status put_score(ls_tokenizer *t, uint64_t id, double score, lockstep_error *error) {
    if (t->score_capacity <= id) {
        uint64_t capacity = t->token_capacity > id ? t->token_capacity : id + 1;
        float *bigger = reallocarray(t->scores, (size_t)capacity, sizeof *bigger);
        if (bigger == NULL)
            return ls_fail(error, LOCKSTEP_NO_MEMORY, "out of memory");
        memset(bigger + t->score_capacity, 0, (size_t)(capacity - t->score_capacity) * sizeof *bigger);
        t->scores = bigger;
        t->score_capacity = capacity;
    }
    t->scores[id] = (float)score;
    return LOCKSTEP_OK;
}

/* Makes the scores as long as the tokens. */
static lockstep_status fill_scores(ls_tokenizer *t, lockstep_error *error) {
    return t->scores != NULL && t->token_count > t->score_capacity ? put_score(t, t->token_count - 1, 0, error) : LOCKSTEP_OK;
}

static bool add_merge(ls_tokenizer *t, ls_merge merge) {
    void *array = t->merges;
    if (!ls_grow(&array, t->merge_count, &t->merge_capacity, sizeof *t->merges))
        return false;
    t->merges = array;
    t->merges[t->merge_count++] = merge;
    return true;
}

/* "left right": separated by the first space, not counting one at the start. */
static ls_merge part(const char *text, size_t length) {
    const char *blank = length > 1 ? memchr(text + 1, ' ', length - 1) : NULL;
    size_t left = blank != NULL ? (size_t)(blank - text) : length;
    size_t right = left < length ? left + 1 : length;
    return (ls_merge){text, text + right, (uint32_t)left, (uint32_t)(length - right)};
}

/* --- tokenizer.json */

static lockstep_status read_added_token(ls_tokenizer *t, ls_json *j, lockstep_error *error) {
    bool special = false, has_id = false;
    uint64_t id = 0;
    const char *text = NULL;
    size_t length = 0;
    LS_TRY(ls_json_begin(j, '{', "an added token: an object", error));
    for (;;) {
        const char *key;
        LS_TRY(ls_json_key(j, &key, NULL, error));
        if (key == NULL)
            break;
        if (strcmp(key, "id") == 0) {
            LS_TRY(ls_json_u64(j, "an id", &id, error));
            has_id = true;
        } else if (strcmp(key, "content") == 0) {
            LS_TRY(ls_json_string(j, "a token", &text, error));
            length = (size_t)j->length;
        } else if (strcmp(key, "special") == 0) {
            special = ls_json_peek(j) == 't';
            LS_TRY(ls_json_skip(j, error));
        } else {
            LS_TRY(ls_json_skip(j, error));
        }
    }
    if (!has_id || text == NULL)
        return ls_json_fail(j, "an added token with id and content", error);
    return put_token(t, id, text, length, special ? LS_TOKEN_CONTROL : LS_TOKEN_USER_DEFINED, j, error);
}

/* A token of the model that is also an added token keeps its entry as an added token. */
static lockstep_status put_models_token(ls_tokenizer *t, ls_json *j, uint64_t id, const char *text, size_t length,
                                        lockstep_error *error) {
    if (id < t->token_count && t->tokens[id].text != NULL)
        return LOCKSTEP_OK;
    return put_token(t, id, text, length, LS_TOKEN_NORMAL, j, error);
}

static lockstep_status read_vocab_object(ls_tokenizer *t, ls_json *j, lockstep_error *error) {
    LS_TRY(ls_json_begin(j, '{', "a vocabulary", error));
    for (;;) {
        const char *text;
        uint64_t id;
        LS_TRY(ls_json_key(j, &text, NULL, error));
        if (text == NULL)
            return LOCKSTEP_OK;
        size_t length = (size_t)j->length;
        LS_TRY(ls_json_u64(j, "an id", &id, error));
        LS_TRY(put_models_token(t, j, id, text, length, error));
    }
}

static lockstep_status read_score(ls_tokenizer *t, ls_json *j, uint64_t id, lockstep_error *error) {
    json_t *score;
    LS_TRY(ls_json_value(j, &score, error));
    lockstep_status status = json_is_number(score) ? put_score(t, id, json_number_value(score), error) : LOCKSTEP_OK;
    json_decref(score);
    return status;
}

static lockstep_status read_vocab_list(ls_tokenizer *t, ls_json *j, lockstep_error *error) {
    bool more;
    LS_TRY(ls_json_begin(j, '[', "a vocabulary", error));
    for (uint64_t id = 0;; id++) {
        const char *text;
        LS_TRY(ls_json_more(j, ']', &more, error));
        if (!more)
            return LOCKSTEP_OK;
        LS_TRY(ls_json_begin(j, '[', "[token, score]", error));
        LS_TRY(ls_json_more(j, ']', &more, error));
        LS_TRY(ls_json_string(j, "a token", &text, error));
        LS_TRY(put_models_token(t, j, id, text, (size_t)j->length, error));
        for (bool is_score = true;; is_score = false) {
            LS_TRY(ls_json_more(j, ']', &more, error));
            if (!more)
                break;
            LS_TRY(is_score ? read_score(t, j, id, error) : ls_json_skip(j, error));
        }
    }
}

static lockstep_status read_merge(ls_tokenizer *t, ls_json *j, lockstep_error *error) {
    const char *left, *right;
    bool more;
    if (ls_json_peek(j) == '"') {
        LS_TRY(ls_json_string(j, "a merge", &left, error));
        return add_merge(t, part(left, (size_t)j->length)) ? LOCKSTEP_OK : ls_fail(error, LOCKSTEP_NO_MEMORY, "out of memory");
    }
    LS_TRY(ls_json_begin(j, '[', "a merge: \"a b\" or [\"a\", \"b\"]", error));
    LS_TRY(ls_json_more(j, ']', &more, error));
    LS_TRY(ls_json_string(j, "a token", &left, error));
    uint32_t length = (uint32_t)j->length;
    LS_TRY(ls_json_more(j, ']', &more, error));
    LS_TRY(ls_json_string(j, "a token", &right, error));
    ls_merge merge = {left, right, length, (uint32_t)j->length};
    LS_TRY(ls_json_more(j, ']', &more, error));
    if (more)
        return ls_json_fail(j, "two tokens", error);
    return add_merge(t, merge) ? LOCKSTEP_OK : ls_fail(error, LOCKSTEP_NO_MEMORY, "out of memory");
}

static lockstep_status read_merges(ls_tokenizer *t, ls_json *j, lockstep_error *error) {
    bool more;
    LS_TRY(ls_json_begin(j, '[', "merges", error));
    for (;;) {
        LS_TRY(ls_json_more(j, ']', &more, error));
        if (!more)
            return LOCKSTEP_OK;
        LS_TRY(read_merge(t, j, error));
    }
}

/* A setting of the model; null and false count as absent. */
static lockstep_status read_setting(ls_tokenizer *t, ls_json *j, const char *key, lockstep_error *error) {
    json_t *value, **model = &t->parts[LS_TOKENIZER_MODEL];
    LS_TRY(ls_json_value(j, &value, error));
    *model = *model != NULL ? *model : json_object();
    if (strcmp(key, "byte_fallback") == 0)
        t->byte_fallback = json_is_true(value);
    if (json_is_null(value) || json_is_false(value)) {
        json_object_del(*model, key);
        json_decref(value);
    } else if (json_object_set_new_nocheck(*model, key, value) != 0) {
        return ls_fail(error, LOCKSTEP_NO_MEMORY, "out of memory");
    }
    return LOCKSTEP_OK;
}

static lockstep_status read_model(ls_tokenizer *t, ls_json *j, lockstep_error *error) {
    LS_TRY(ls_json_begin(j, '{', "a model", error));
    for (;;) {
        const char *key;
        LS_TRY(ls_json_key(j, &key, NULL, error));
        if (key == NULL)
            return LOCKSTEP_OK;
        char next = ls_json_peek(j);
        if (strcmp(key, "vocab") == 0 && next != 'n')
            LS_TRY(next == '[' ? read_vocab_list(t, j, error) : read_vocab_object(t, j, error));
        else if (strcmp(key, "merges") == 0 && next != 'n')
            LS_TRY(read_merges(t, j, error));
        else if (strcmp(key, "type") == 0 && next == '"')
            LS_TRY(ls_json_string(j, "a type", &t->kind, error));
        else
            LS_TRY(read_setting(t, j, key, error));
    }
}

static lockstep_status read_added_tokens(ls_tokenizer *t, ls_json *j, lockstep_error *error) {
    bool more;
    LS_TRY(ls_json_begin(j, '[', "added tokens", error));
    for (;;) {
        LS_TRY(ls_json_more(j, ']', &more, error));
        if (!more)
            return LOCKSTEP_OK;
        LS_TRY(read_added_token(t, j, error));
    }
}

static lockstep_status read_part(ls_tokenizer *t, ls_json *j, const char *key, lockstep_error *error) {
    static const char *const names[] = {"normalizer", "pre_tokenizer", "post_processor", "decoder"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(key, names[i]) == 0) {
            json_decref(t->parts[i]);
            t->parts[i] = NULL;
            return ls_json_value(j, &t->parts[i], error);
        }
    return ls_json_skip(j, error);
}

static lockstep_status read_root(ls_tokenizer *t, ls_json *j, lockstep_error *error) {
    LS_TRY(ls_json_begin(j, '{', "a tokenizer: an object", error));
    for (;;) {
        const char *key;
        LS_TRY(ls_json_key(j, &key, NULL, error));
        if (key == NULL)
            return ls_json_end(j, error);
        if (strcmp(key, "added_tokens") == 0 && ls_json_peek(j) == '[')
            LS_TRY(read_added_tokens(t, j, error));
        else if (strcmp(key, "model") == 0 && ls_json_peek(j) == '{')
            LS_TRY(read_model(t, j, error));
        else
            LS_TRY(read_part(t, j, key, error));
    }
}

/* Whether one of the steps has this type. */
static bool has_step(json_t *json, const char *type, int depth) {
    const char *own = json_string_value(json_object_get(json, "type")), *key;
    json_t *item;
    size_t i;
    bool found = own != NULL && strcmp(own, type) == 0;
    if (depth == 8)
        return found;
    json_object_foreach(json, key, item)
        found = found || has_step(item, type, depth + 1);
    json_array_foreach(json, i, item)
        found = found || has_step(item, type, depth + 1);
    return found;
}

lockstep_status ls_tokenizer_parse_json(ls_source *source, ls_tokenizer *out_tokenizer, lockstep_error *error) {
    const uint8_t *bytes;
    ls_tokenizer t = {.file = source->name, .kind = "", .is_json = true, .source = source};
    lockstep_status status = ls_source_bytes(source, &bytes, error);
    ls_json j = {.text = (const char *)bytes, .size = source->size, .file = source->name, .arena = &t.arena};
    ls_json_open_python(&j);
    if (status == LOCKSTEP_OK)
        status = read_root(&t, &j, error);
    if (status == LOCKSTEP_OK)
        status = fill_scores(&t, error);
    t.byte_level = has_step(t.parts[LS_TOKENIZER_PRE_TOKENIZER], "ByteLevel", 0) || has_step(t.parts[LS_TOKENIZER_DECODER], "ByteLevel", 0);
    if (status != LOCKSTEP_OK)
        ls_tokenizer_close(&t);
    else
        *out_tokenizer = t;
    return status;
}

/* --- vocab.txt: a token a line */

static lockstep_status parse_lines(ls_source *source, ls_tokenizer *t, lockstep_error *error) {
    const uint8_t *bytes;
    LS_TRY(ls_source_bytes(source, &bytes, error));
    ls_json place = {.size = source->size + 1, .file = source->name};
    uint64_t id = 0;
    for (const char *at = (const char *)bytes, *end = at + source->size; at < end; id++) {
        const char *line = memchr(at, '\n', (size_t)(end - at));
        size_t length = line != NULL ? (size_t)(line - at) : (size_t)(end - at);
        size_t kept = length > 0 && at[length - 1] == '\r' ? length - 1 : length;
        LS_TRY(put_token(t, id, at, kept, LS_TOKEN_NORMAL, &place, error));
        at += length + 1;
    }
    return LOCKSTEP_OK;
}

/* --- tokenizer.model */

static lockstep_status read_piece(void *context, uint64_t id, const ls_piece *piece, lockstep_error *error) {
    ls_tokenizer *t = context;
    const ls_json place = {.size = t->source->size, .file = t->file};
    int type = piece->type <= LS_TOKEN_BYTE ? (int)piece->type : LS_TOKEN_UNDEFINED;
    LS_TRY(put_token(t, id, piece->text, (size_t)piece->length, type, &place, error));
    return put_score(t, id, (double)piece->score, error);
}

lockstep_status ls_tokenizer_parse_pieces(ls_source *source, ls_tokenizer *out_tokenizer, lockstep_error *error) {
    ls_tokenizer t = {.file = source->name, .kind = "SentencePiece", .source = source};
    lockstep_status status = ls_sentencepiece_read(source, read_piece, &t, error);
    if (status == LOCKSTEP_OK)
        status = fill_scores(&t, error);
    if (status != LOCKSTEP_OK)
        ls_tokenizer_close(&t);
    else
        *out_tokenizer = t;
    return status;
}

/* {"TOKEN": id, …}: tokens that were added to the pieces. The texts are in the arena. */
static lockstep_status read_added_beside(ls_tokenizer *t, const char *path, lockstep_error *error) {
    enum { ADDED_LIMIT = 16 << 20 };
    const ls_json place = {.size = ADDED_LIMIT, .file = path};
    const char *key;
    json_t *json, *id;
    LS_TRY(ls_checkpoint_json(path, ADDED_LIMIT, &json, error));
    lockstep_status status = LOCKSTEP_OK;
    json_object_foreach(json, key, id) {
        const char *text = ls_arena_copy(&t->arena, key, strlen(key));
        if (text == NULL)
            status = ls_fail(error, LOCKSTEP_NO_MEMORY, "out of memory");
        if (status == LOCKSTEP_OK && json_is_integer(id) && json_integer_value(id) >= 0)
            status = put_token(t, (uint64_t)json_integer_value(id), text, strlen(text), LS_TOKEN_USER_DEFINED, &place, error);
    }
    json_decref(json);
    return status == LOCKSTEP_OK ? fill_scores(t, error) : status;
}

/* The tokenizer.json of a SentencePiece BPE has no scores, but the model beside it does. */
static lockstep_status read_scores_beside(ls_tokenizer *t, const char *path, lockstep_error *error) {
    ls_source *source;
    ls_tokenizer model;
    if (!t->is_json || t->scores != NULL || !t->byte_fallback || access(path, F_OK) != 0)
        return LOCKSTEP_OK;
    LS_TRY(ls_source_open_file(path, &source, error));
    LS_TRY(ls_tokenizer_parse_pieces(source, &model, error));
    if (model.token_count <= t->token_count) {
        t->scores = model.scores;
        t->score_capacity = model.score_capacity;
        model.scores = NULL;
    }
    ls_tokenizer_close(&model);
    return fill_scores(t, error);
}

/* --- GGUF */

static bool text_array(const lockstep_archive *a, const char *key, const ls_meta **out) {
    *out = ls_archive_meta(a, key);
    return *out != NULL && (*out)->kind == LS_META_ARRAY && (*out)->as.array.kind == LS_META_TEXT;
}

static void read_types(ls_tokenizer *t, const lockstep_archive *a) {
    const ls_meta *types = ls_archive_meta(a, "tokenizer.ggml.token_type");
    uint64_t position = 0;
    if (types == NULL || types->kind != LS_META_ARRAY || types->as.array.kind == LS_META_TEXT)
        return;
    for (uint64_t i = 0; i < types->as.array.count && i < t->token_count; i++) {
        ls_meta element;
        ls_meta_next(types, &position, &element);
        int64_t type = element.kind == LS_META_UINT ? (int64_t)element.as.u : element.kind == LS_META_INT ? element.as.i : 0;
        t->tokens[i].type = type >= 0 && type <= LS_TOKEN_BYTE ? (uint8_t)type : LS_TOKEN_UNDEFINED;
    }
}

static lockstep_status read_scores(ls_tokenizer *t, const lockstep_archive *a, lockstep_error *error) {
    const ls_meta *scores = ls_archive_meta(a, "tokenizer.ggml.scores");
    uint64_t position = 0;
    if (scores == NULL || scores->kind != LS_META_ARRAY || scores->as.array.kind != LS_META_FLOAT)
        return LOCKSTEP_OK;
    for (uint64_t i = 0; i < scores->as.array.count && i < t->token_count; i++) {
        ls_meta element;
        ls_meta_next(scores, &position, &element);
        LS_TRY(put_score(t, i, element.as.f, error));
    }
    return fill_scores(t, error);
}

static lockstep_status read_gguf(const lockstep_archive *a, ls_tokenizer *t, bool *out_found, lockstep_error *error) {
    const ls_meta *tokens, *merges, *kind = ls_archive_meta(a, "tokenizer.ggml.model");
    ls_meta element;
    uint64_t position = 0;
    if (!text_array(a, "tokenizer.ggml.tokens", &tokens))
        return LOCKSTEP_OK;
    *out_found = true;
    t->file = a->path;
    if (kind != NULL && kind->kind == LS_META_TEXT)
        t->kind = ls_arena_copy(&t->arena, kind->as.text.bytes, (size_t)kind->as.text.length);
    t->tokens = calloc((size_t)tokens->as.array.count + 1, sizeof *t->tokens);
    if (t->tokens == NULL || t->kind == NULL)
        return ls_fail_memory(a, error);
    t->token_count = t->token_capacity = tokens->as.array.count;
    for (uint64_t i = 0; i < t->token_count; i++) {
        ls_meta_next(tokens, &position, &element);
        t->tokens[i] = (ls_token){element.as.text.bytes, (uint32_t)element.as.text.length, LS_TOKEN_UNDEFINED};
    }
    read_types(t, a);
    LS_TRY(read_scores(t, a, error));
    position = 0;
    bool has_merges = text_array(a, "tokenizer.ggml.merges", &merges);
    for (uint64_t i = 0; has_merges && i < merges->as.array.count; i++) {
        ls_meta_next(merges, &position, &element);
        if (!add_merge(t, part(element.as.text.bytes, (size_t)element.as.text.length)))
            return ls_fail_memory(a, error);
    }
    return LOCKSTEP_OK;
}

/* --- */

typedef enum tokenizer_file { TOKENIZER_JSON, TOKENIZER_PIECES, TOKENIZER_LINES } tokenizer_file;

static lockstep_status open_file(const char *path, tokenizer_file kind, ls_tokenizer *t, bool *out_found, lockstep_error *error) {
    ls_source *source;
    if (*out_found || access(path, F_OK) != 0)
        return LOCKSTEP_OK;
    *out_found = true;
    LS_TRY(ls_source_open_file(path, &source, error));
    if (kind != TOKENIZER_LINES)
        return kind == TOKENIZER_JSON ? ls_tokenizer_parse_json(source, t, error) : ls_tokenizer_parse_pieces(source, t, error);
    *t = (ls_tokenizer){.file = source->name, .kind = "WordPiece", .source = source};
    return parse_lines(source, t, error);
}

lockstep_status ls_tokenizer_open(const ls_checkpoint *checkpoint, ls_tokenizer *out_tokenizer, bool *out_found,
                                  lockstep_error *error) {
    ls_tokenizer t = {.kind = "", .file = ""};
    ls_arena arena = {0};
    bool found = false;
    lockstep_status status = LOCKSTEP_OK;
    if (checkpoint->gguf) {
        status = read_gguf(checkpoint->archive, &t, &found, error);
    } else {
        static const char *const names[] = {"tokenizer.json", "tokenizer.model", "vocab.txt", "added_tokens.json"};
        const char *paths[4];
        for (int i = 0; i < 4; i++)
            if ((paths[i] = ls_path_join(&arena, checkpoint->directory, names[i])) == NULL)
                status = ls_fail(error, LOCKSTEP_NO_MEMORY, "out of memory");
        for (int i = 0; i < 3 && status == LOCKSTEP_OK; i++)
            status = open_file(paths[i], (tokenizer_file)i, &t, &found, error);
        if (status == LOCKSTEP_OK && found && !t.is_json)
            status = read_added_beside(&t, paths[3], error);
        if (status == LOCKSTEP_OK && found)
            status = read_scores_beside(&t, paths[TOKENIZER_PIECES], error);
    }
    ls_arena_done(&arena);
    if (status != LOCKSTEP_OK || !found) {
        ls_tokenizer_close(&t);
        *out_found = false;
        return status;
    }
    *out_tokenizer = t;
    *out_found = true;
    return LOCKSTEP_OK;
}

void ls_tokenizer_close(ls_tokenizer *tokenizer) {
    free(tokenizer->tokens);
    free(tokenizer->merges);
    free(tokenizer->scores);
    for (int i = 0; i < LS_TOKENIZER_PARTS; i++)
        json_decref(tokenizer->parts[i]);
    ls_source_close(tokenizer->source);
    ls_arena_done(&tokenizer->arena);
    *tokenizer = (ls_tokenizer){0};
}

int64_t ls_tokenizer_find(const ls_tokenizer *tokenizer, const char *text) {
    size_t length = strlen(text);
    for (uint64_t i = 0; i < tokenizer->token_count; i++)
        if (tokenizer->tokens[i].text != NULL && tokenizer->tokens[i].length == length &&
            memcmp(tokenizer->tokens[i].text, text, length) == 0)
            return (int64_t)i;
    return -1;
}

const char *ls_token_type_name(int type) {
    static const char *const names[] = {"undefined", "normal", "unknown", "control", "user-defined", "unused", "byte"};
    return type >= 0 && type <= LS_TOKEN_BYTE ? names[type] : "?";
}
