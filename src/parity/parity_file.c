#include "parity/parity_file.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/grow.h"
#include "io/yaml_file.h"

enum { PROMPTS_MAX = 10000, WORDS_MAX = 4096, COPIED_MAX = 16 << 20 };

typedef struct parsing {
    ls_yaml *yaml;
    ls_parity *parity;
    size_t copied;
} parsing;

static lockstep_status bad(const parsing *p, const yaml_node_t *at, const char *what) { return ls_yaml_bad(p->yaml, at, what); }

static lockstep_status no_memory(parsing *p) { return ls_fail(p->yaml->error, LOCKSTEP_NO_MEMORY, "out of memory"); }

static const char *keep(parsing *p, const char *text, size_t length) {
    p->copied += length + 1; /* limits what aliases can multiply */
    return p->copied <= COPIED_MAX && memchr(text, '\0', length) == NULL ? ls_arena_copy(&p->parity->arena, text, length) : NULL;
}

static lockstep_status read_text(parsing *p, const yaml_node_t *node, const char **out) {
    if (node == NULL || node->type != YAML_SCALAR_NODE || node->data.scalar.length == 0)
        return bad(p, node, "expected a string");
    *out = keep(p, (const char *)node->data.scalar.value, node->data.scalar.length);
    return *out != NULL ? LOCKSTEP_OK : bad(p, node, "the string is too long, or contains a NUL");
}

static lockstep_status read_number(parsing *p, const yaml_node_t *node, double *out) {
    const char *text = NULL;
    char *end;
    LS_TRY(read_text(p, node, &text));
    *out = strtod(text, &end);
    return *end == '\0' && isfinite(*out) && *out >= 0 ? LOCKSTEP_OK : bad(p, node, "expected a number of at least 0");
}

/* Calls `read` for each key of a mapping. */
static lockstep_status each_key(parsing *p, yaml_node_t *node, lockstep_status (*read)(parsing *, const char *, yaml_node_t *, void *),
                                void *context) {
    if (node == NULL || node->type != YAML_MAPPING_NODE)
        return bad(p, node, "expected a mapping");
    for (yaml_node_pair_t *pair = node->data.mapping.pairs.start; pair < node->data.mapping.pairs.top; pair++) {
        yaml_node_t *key, *value;
        LS_TRY(ls_yaml_pair(p->yaml, pair, &key, &value));
        LS_TRY(read(p, ls_yaml_text(key), value, context));
    }
    return LOCKSTEP_OK;
}

/* ------------------------------------------------------------------ a side */

/* Splits a line into words as a shell does: at spaces outside quotes. */
static lockstep_status split(parsing *p, const yaml_node_t *node, const char **words, size_t *count) {
    const char *text = (const char *)node->data.scalar.value, *end = text + node->data.scalar.length;
    char *word = malloc(node->data.scalar.length + 1);
    lockstep_status status = word != NULL ? LOCKSTEP_OK : no_memory(p);
    while (status == LOCKSTEP_OK) {
        size_t length = 0;
        char quote = '\0';
        while (text < end && isspace((unsigned char)*text))
            text++;
        if (text == end)
            break;
        for (; text < end && (quote != '\0' || !isspace((unsigned char)*text)); text++) {
            if (quote == '\0' && (*text == '\'' || *text == '"'))
                quote = *text;
            else if (*text == quote)
                quote = '\0';
            else if (*text == '\\' && quote != '\'' && text + 1 < end)
                word[length++] = *++text;
            else
                word[length++] = *text;
        }
        if (quote != '\0')
            status = bad(p, node, "a quote is not closed");
        else if (*count >= WORDS_MAX || (words[*count] = keep(p, word, length)) == NULL)
            status = bad(p, node, "the command is too long");
        else
            ++*count;
    }
    free(word);
    return status;
}

static lockstep_status read_command(parsing *p, yaml_node_t *node, const char *const **out) {
    const char **words = ls_arena_array(&p->parity->arena, WORDS_MAX + 1, sizeof *words);
    size_t count = 0;
    if (words == NULL)
        return no_memory(p);
    if (node->type == YAML_SCALAR_NODE) {
        LS_TRY(split(p, node, words, &count));
    } else if (node->type == YAML_SEQUENCE_NODE) {
        for (yaml_node_item_t *i = node->data.sequence.items.start; i < node->data.sequence.items.top; i++) {
            if (count >= WORDS_MAX)
                return bad(p, node, "the command is too long");
            LS_TRY(read_text(p, yaml_document_get_node(&p->yaml->document, *i), &words[count++]));
        }
    }
    *out = words;
    return count > 0 ? LOCKSTEP_OK : bad(p, node, "a command is a line, or a list of words");
}

typedef struct variables {
    const char **list;
    size_t count;
} variables;

static lockstep_status read_variable(parsing *p, const char *key, yaml_node_t *value, void *context) {
    variables *v = context;
    char *joined = NULL;
    if (value->type != YAML_SCALAR_NODE || *key == '\0' || strchr(key, '=') != NULL)
        return bad(p, value, "an environment is {NAME: value}");
    int length = asprintf(&joined, "%s=%s", key, (const char *)value->data.scalar.value);
    v->list[v->count] = length >= 0 ? keep(p, joined, (size_t)length) : NULL;
    free(joined);
    return v->list[v->count++] != NULL ? LOCKSTEP_OK : no_memory(p);
}

static lockstep_status read_side(parsing *p, const char *key, yaml_node_t *value, void *context) {
    ls_parity_side *side = context;
    const struct {
        const char *key, **field;
    } texts[] = {{"observe", &side->observe}, {"tensors", &side->tensors}, {"ops", &side->ops}, {"layers", &side->layers}, {"passes", &side->passes}};
    if (strcmp(key, "command") == 0)
        return read_command(p, value, &side->command);
    if (strcmp(key, "env") == 0) {
        size_t room = value->type == YAML_MAPPING_NODE ? (size_t)(value->data.mapping.pairs.top - value->data.mapping.pairs.start) : 0;
        variables v = {ls_arena_array(&p->parity->arena, room + 1, sizeof *v.list), 0};
        if (v.list == NULL)
            return no_memory(p);
        LS_TRY(each_key(p, value, read_variable, &v));
        side->environment = v.list;
        return LOCKSTEP_OK;
    }
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        if (strcmp(key, texts[i].key) == 0)
            return read_text(p, value, texts[i].field);
    return bad(p, value, "found an unknown key, expected command, env, observe, tensors, ops, layers or passes");
}

/* ------------------------------------------------------------------ prompts */

static lockstep_status read_tokens(parsing *p, yaml_node_t *node, const char **out) {
    char *joined = NULL;
    size_t size = 0;
    FILE *to = node->type == YAML_SEQUENCE_NODE ? open_memstream(&joined, &size) : NULL;
    if (to == NULL)
        return bad(p, node, "tokens are a list of ids, [1, 2, 3]");
    bool ok = true;
    for (yaml_node_item_t *i = node->data.sequence.items.start; ok && i < node->data.sequence.items.top; i++) {
        const yaml_node_t *item = yaml_document_get_node(&p->yaml->document, *i);
        const char *text = item != NULL && item->type == YAML_SCALAR_NODE ? (const char *)item->data.scalar.value : "";
        ok = strlen(text) > 0 && strlen(text) < 10 && strspn(text, "0123456789") == strlen(text);
        fprintf(to, "%s%s", i > node->data.sequence.items.start ? "," : "", text);
    }
    ok = fclose(to) == 0 && ok && size > 0;
    *out = ok ? keep(p, joined, size) : NULL;
    free(joined);
    return *out != NULL ? LOCKSTEP_OK : bad(p, node, "tokens are a list of ids, [1, 2, 3]");
}

static lockstep_status read_prompt_key(parsing *p, const char *key, yaml_node_t *value, void *context) {
    ls_parity_prompt *prompt = context;
    if (strcmp(key, "prompt") == 0)
        return read_text(p, value, &prompt->text);
    if (strcmp(key, "name") == 0)
        return read_text(p, value, &prompt->name);
    if (strcmp(key, "tokens") == 0)
        return read_tokens(p, value, &prompt->tokens);
    return bad(p, value, "found an unknown key, expected prompt, tokens or name");
}

/* A name that is safe for a directory. */
static const char *directory_name(parsing *p, const ls_parity_prompt *prompt, size_t index) {
    char name[64];
    const char *from = prompt->name != NULL ? prompt->name : prompt->text != NULL ? prompt->text : "tokens";
    int used = prompt->name != NULL ? 0 : snprintf(name, sizeof name, "%02zu-", index + 1);
    for (; *from != '\0' && used < 40; from++)
        name[used++] = isalnum((unsigned char)*from) || strchr("._-", *from) != NULL ? *from : '_';
    return name[0] != '.' ? keep(p, name, (size_t)used) : NULL;
}

static lockstep_status read_prompt(parsing *p, yaml_node_t *node) {
    ls_parity *parity = p->parity;
    ls_parity_prompt prompt = {0};
    if (node != NULL && node->type == YAML_SCALAR_NODE)
        LS_TRY(read_text(p, node, &prompt.text));
    else
        LS_TRY(each_key(p, node, read_prompt_key, &prompt));
    if (prompt.text == NULL && prompt.tokens == NULL)
        return bad(p, node, "a prompt is a string, {prompt: TEXT} or {tokens: [1, 2, 3]}");
    prompt.given = prompt.name;
    prompt.name = directory_name(p, &prompt, parity->prompt_count);
    if (prompt.name == NULL)
        return bad(p, node, "a name must not begin with a dot");
    for (size_t i = 0; i < parity->prompt_count; i++)
        if (strcmp(parity->prompts[i].name, prompt.name) == 0)
            return bad(p, node, "two prompts have this name");
    if (parity->prompt_count >= PROMPTS_MAX ||
        !ls_grow((void **)&parity->prompts, parity->prompt_count, &parity->prompt_capacity, sizeof *parity->prompts))
        return bad(p, node, "too many prompts");
    parity->prompts[parity->prompt_count++] = prompt;
    return LOCKSTEP_OK;
}

/* ------------------------------------------------------------------ the whole */

static lockstep_status read_accept(parsing *p, const yaml_node_t *node, ls_parity *parity) {
    if (node->type != YAML_SEQUENCE_NODE)
        return bad(p, node, "accept is a list: [gelu-variant]");
    for (yaml_node_item_t *i = node->data.sequence.items.start; i < node->data.sequence.items.top; i++) {
        if (parity->accept_count == LS_PARITY_ACCEPT_MAX)
            return bad(p, node, "accept has too many entries");
        LS_TRY(read_text(p, yaml_document_get_node(&p->yaml->document, *i), &parity->accept[parity->accept_count++]));
    }
    return LOCKSTEP_OK;
}

static lockstep_status read_comparison(parsing *p, const char *key, yaml_node_t *value, void *context) {
    ls_parity *parity = context;
    const struct {
        const char *key, **field;
    } texts[] = {{"map", &parity->map}, {"preset", &parity->preset}, {"profile", &parity->profile},
                 {"tensors", &parity->tensors}, {"layers", &parity->layers}};
    const struct {
        const char *key;
        double *field;
    } numbers[] = {{"atol", &parity->atol}, {"rtol", &parity->rtol}, {"min-coverage", &parity->min_coverage}};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        if (strcmp(key, texts[i].key) == 0)
            return read_text(p, value, texts[i].field);
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        if (strcmp(key, numbers[i].key) == 0)
            return read_number(p, value, numbers[i].field);
    if (strcmp(key, "accept") == 0)
        return read_accept(p, value, parity);
    return bad(p, value, "found an unknown key, expected map, preset, profile, tensors, layers, atol, rtol, min-coverage or accept");
}

static lockstep_status read_top(parsing *p, const char *key, yaml_node_t *value, void *context) {
    ls_parity *parity = context;
    if (strcmp(key, "reference") == 0)
        return each_key(p, value, read_side, &parity->reference);
    if (strcmp(key, "candidate") == 0)
        return each_key(p, value, read_side, &parity->candidate);
    if (strcmp(key, "compare") == 0)
        return each_key(p, value, read_comparison, parity);
    if (strcmp(key, "out") == 0)
        return read_text(p, value, &parity->out);
    if (strcmp(key, "prompts") != 0 || value->type != YAML_SEQUENCE_NODE)
        return bad(p, value, "found an unknown key, expected reference, candidate, prompts (a list), compare or out");
    for (yaml_node_item_t *i = value->data.sequence.items.start; i < value->data.sequence.items.top; i++)
        LS_TRY(read_prompt(p, yaml_document_get_node(&p->yaml->document, *i)));
    return LOCKSTEP_OK;
}

static lockstep_status read_document(void *context, ls_yaml *yaml, yaml_node_t *root) {
    parsing *p = context;
    ls_parity *parity = p->parity;
    p->yaml = yaml;
    LS_TRY(each_key(p, root, read_top, parity));
    if (parity->reference.command == NULL || parity->candidate.command == NULL)
        return bad(p, root, "'reference' and 'candidate' each need a 'command'");
    return parity->prompt_count > 0 ? LOCKSTEP_OK : bad(p, root, "'prompts' is missing, or empty");
}

static const ls_parity defaults = {.out = "parity", .atol = NAN, .rtol = NAN, .min_coverage = NAN};

static lockstep_status finish(lockstep_status status, ls_parity *parity, ls_parity *out_parity) {
    if (status == LOCKSTEP_OK)
        *out_parity = *parity;
    else
        ls_parity_done(parity);
    return status;
}

lockstep_status ls_parity_parse(const char *name, const char *text, size_t size, ls_parity *out_parity, lockstep_error *error) {
    ls_parity parity = defaults;
    return finish(ls_yaml_parse(name, text, size, read_document, &(parsing){.parity = &parity}, error), &parity, out_parity);
}

lockstep_status ls_parity_open(const char *path, ls_parity *out_parity, lockstep_error *error) {
    ls_parity parity = defaults;
    return finish(ls_yaml_open(path, COPIED_MAX, read_document, &(parsing){.parity = &parity}, error), &parity, out_parity);
}

void ls_parity_done(ls_parity *parity) {
    free(parity->prompts);
    ls_arena_done(&parity->arena);
    *parity = (ls_parity){0};
}
