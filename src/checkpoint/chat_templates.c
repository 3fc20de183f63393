/* Chat templates. GGUF: tokenizer.chat_template, and tokenizer.chat_template.NAME for others.
 * Hugging Face, the first that exists: chat_template.jinja (others in
 * additional_chat_templates/NAME.jinja), chat_template.json, or tokenizer_config.json's
 * chat_template: a string, an object of strings, or a list of {"name": …, "template": …}. */
#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/escape.h"
#include "base/grow.h"
#include "checkpoint/vocabulary_steps.h"
#include "format/paths.h"

enum { TEMPLATES_MAX = 64, TEMPLATE_LIMIT = 16 << 20 };

typedef struct template {
    const char *name; /* "default" */
    const char *text;
    size_t length;
} template;

typedef struct templates {
    template items[TEMPLATES_MAX];
    size_t count;
    json_t *json; /* holds the texts */
} templates;

static template *find(templates *t, const char *name) {
    for (size_t i = 0; i < t->count; i++)
        if (strcmp(t->items[i].name, name) == 0)
            return &t->items[i];
    return NULL;
}

/* Jinja drops a line feed at the end. */
static void put(templates *t, const char *name, const char *text, size_t length) {
    if (text == NULL || name == NULL || t->count == TEMPLATES_MAX || find(t, name) != NULL)
        return;
    length -= length > 0 && text[length - 1] == '\n';
    t->items[t->count++] = (template){name, text, length};
}

static void put_json(templates *t, const char *name, json_t *text) { put(t, name, json_string_value(text), json_string_length(text)); }

/* A string, an object of strings, or a list. */
static void read_json(templates *t, json_t *json) {
    const char *key;
    json_t *item;
    size_t i;
    put_json(t, "default", json);
    json_object_foreach(json, key, item)
        put_json(t, key, item);
    json_array_foreach(json, i, item)
        put_json(t, json_string_value(json_object_get(item, "name")), json_object_get(item, "template"));
}

static void read_gguf(templates *t, const lockstep_archive *a) {
    static const char key[] = "tokenizer.chat_template";
    for (size_t i = 0; i < a->meta_count; i++) {
        const ls_meta *meta = &a->metas[i];
        const char *rest = meta->key + sizeof key - 1;
        if (strncmp(meta->key, key, sizeof key - 1) != 0 || meta->kind != LS_META_TEXT || (*rest != '\0' && *rest != '.'))
            continue;
        put(t, *rest == '\0' ? "default" : rest + 1, meta->as.text.bytes, (size_t)meta->as.text.length);
    }
}

static lockstep_status read_file(ls_vocabulary_comparing *c, int side, const char *path, const char *name, templates *t) {
    ls_source *source;
    const uint8_t *bytes = NULL;
    lockstep_error why;
    if (access(path, F_OK) != 0)
        return LOCKSTEP_OK;
    lockstep_status status = ls_source_open_file(path, &source, &why);
    if (status != LOCKSTEP_OK)
        return ls_vocabulary_unread(c, side, status, &why, "chat template");
    status = source->size > TEMPLATE_LIMIT ? ls_fail(&why, LOCKSTEP_LIMIT, "%s: larger than %d bytes", path, TEMPLATE_LIMIT)
                                           : ls_source_bytes(source, &bytes, &why);
    char *copy = status == LOCKSTEP_OK ? ls_arena_copy(&c->v->arena, (const char *)bytes, (size_t)source->size) : NULL;
    if (copy != NULL)
        put(t, name, copy, (size_t)source->size);
    else if (status == LOCKSTEP_OK)
        status = ls_fail(&why, LOCKSTEP_NO_MEMORY, "out of memory");
    ls_source_close(source);
    return ls_vocabulary_unread(c, side, status, &why, "chat template");
}

static lockstep_status read_more_files(ls_vocabulary_comparing *c, int side, const char *folder, templates *t) {
    static const char suffix[] = ".jinja";
    lockstep_status status = LOCKSTEP_OK;
    DIR *dir = opendir(folder);
    for (struct dirent *entry; dir != NULL && status == LOCKSTEP_OK && (entry = readdir(dir)) != NULL;) {
        size_t length = strlen(entry->d_name);
        if (length < sizeof suffix || !ls_path_has_suffix(entry->d_name, suffix))
            continue;
        const char *name = ls_arena_copy(&c->v->arena, entry->d_name, length - (sizeof suffix - 1));
        const char *path = ls_path_join(&c->v->arena, folder, entry->d_name);
        status = name != NULL && path != NULL ? read_file(c, side, path, name, t) : ls_fail(c->error, LOCKSTEP_NO_MEMORY, "out of memory");
    }
    if (dir != NULL)
        closedir(dir);
    return status;
}

static lockstep_status read_folder(ls_vocabulary_comparing *c, int side, templates *t) {
    const char *directory = c->sides[side]->directory;
    ls_arena *arena = &c->v->arena;
    const char *jinja = ls_path_join(arena, directory, "chat_template.jinja"), *json = ls_path_join(arena, directory, "chat_template.json");
    const char *more = ls_path_join(arena, directory, "additional_chat_templates");
    lockstep_error why;
    if (jinja == NULL || json == NULL || more == NULL)
        return ls_fail(c->error, LOCKSTEP_NO_MEMORY, "out of memory");
    LS_TRY(read_file(c, side, jinja, "default", t));
    LS_TRY(read_more_files(c, side, more, t));
    LS_TRY(ls_vocabulary_unread(c, side, ls_checkpoint_json(json, TEMPLATE_LIMIT, &t->json, &why), &why, "chat template"));
    read_json(t, json_object_get(t->json, "chat_template"));
    read_json(t, json_object_get(c->tokenizer_config[side], "chat_template"));
    return LOCKSTEP_OK;
}

static lockstep_status compare_one(ls_vocabulary_comparing *c, const template *a, const template *b) {
    char name[80], shown[2][60];
    size_t at = 0, line = 1;
    ls_escape(a->name, strlen(a->name), name, sizeof name);
    c->v->templates_compared++;
    if (a->length == b->length && memcmp(a->text, b->text, a->length) == 0)
        return LOCKSTEP_OK;
    for (; at < a->length && at < b->length && a->text[at] == b->text[at]; at++)
        line += a->text[at] == '\n';
    const template *both[2] = {a, b};
    for (int side = 0; side < 2; side++) {
        size_t left = both[side]->length - at;
        ls_escape(both[side]->text + at, left < 40 ? left : 40, shown[side], sizeof shown[side]);
    }
    return ls_vocabulary_say(c, LS_VOCABULARY_DIFFERS, "chat template (%s): differs from byte %zu on (line %zu): '%s' in the reference, '%s' in the candidate",
                             name, at, line, shown[0], shown[1]);
}

static lockstep_status compare(ls_vocabulary_comparing *c, templates both[2]) {
    static const char *const names[] = {"reference", "candidate"};
    for (int side = 0; side < 2; side++)
        for (size_t i = 0; i < both[side].count; i++) {
            const template *mine = &both[side].items[i], *other = find(&both[1 - side], mine->name);
            char name[80];
            if (other != NULL) {
                if (side == 0)
                    LS_TRY(compare_one(c, mine, other));
            } else if (c->v->sides[0].known && c->v->sides[1].known) {
                ls_escape(mine->name, strlen(mine->name), name, sizeof name);
                LS_TRY(ls_vocabulary_say(c, LS_VOCABULARY_DIFFERS, "chat template (%s): the %s has one, the %s has none", name, names[side], names[1 - side]));
            }
        }
    return LOCKSTEP_OK;
}

lockstep_status ls_chat_templates_compare(ls_vocabulary_comparing *c) {
    templates *both = calloc(2, sizeof *both);
    lockstep_status status = both != NULL ? LOCKSTEP_OK : ls_fail(c->error, LOCKSTEP_NO_MEMORY, "out of memory");
    for (int side = 0; side < 2 && status == LOCKSTEP_OK; side++) {
        if (c->sides[side]->gguf)
            read_gguf(&both[side], c->sides[side]->archive);
        else
            status = read_folder(c, side, &both[side]);
    }
    if (status == LOCKSTEP_OK)
        status = compare(c, both);
    for (int side = 0; side < 2 && both != NULL; side++)
        json_decref(both[side].json);
    free(both);
    return status;
}
