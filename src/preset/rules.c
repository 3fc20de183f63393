#include "preset/rules.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "preset/preset_files.h"
#include "base/grow.h"
#include "io/yaml_file.h"

enum { RULES_MAX = 100000, INCLUDE_DEPTH = 4, COPIED_MAX = 64 << 20, FILE_MAX = 16 << 20 };

typedef struct parsing {
    ls_yaml *yaml;
    ls_rules *rules;
    const char *const *needs, *const *lacks; /* for the next rules */
    int depth;
} parsing;

static lockstep_status read_document(void *context, ls_yaml *yaml, yaml_node_t *root);

static lockstep_status bad(const parsing *p, const yaml_node_t *at, const char *what) { return ls_yaml_bad(p->yaml, at, what); }

/* NULL if out of memory, or if the file needs too much. */
static const char *copy(parsing *p, const yaml_node_t *node) {
    p->rules->copied += node->data.scalar.length + 1;
    if (p->rules->copied > COPIED_MAX)
        return NULL;
    return ls_arena_copy(&p->rules->arena, (const char *)node->data.scalar.value, node->data.scalar.length);
}

static lockstep_status no_room(const parsing *p) {
    return p->rules->copied > COPIED_MAX
               ? ls_fail(p->yaml->error, LOCKSTEP_LIMIT, "%s: its rules take more than %d MiB", p->yaml->file, COPIED_MAX >> 20)
               : ls_fail(p->yaml->error, LOCKSTEP_NO_MEMORY, "out of memory");
}

/* Only {L}, and {E} if `expert`, are placeholders; anything else in braces would never match. */
static lockstep_status check_placeholders(const parsing *p, const yaml_node_t *at, const char *const *names, bool expert) {
    for (; *names != NULL; names++)
        for (const char *open = strchr(*names, '{'); open != NULL; open = strchr(open + 1, '{'))
            if (strncmp(open, "{L}", 3) != 0 && (!expert || strncmp(open, "{E}", 3) != 0))
                return bad(p, at, expert ? "found an unknown placeholder in a name, expected {L} (the layer) or {E} (the expert)"
                                         : "found an unknown placeholder in a name, expected {L} (the layer)");
    return LOCKSTEP_OK;
}

/* Reads a string or a list of strings. */
static lockstep_status read_list(parsing *p, yaml_node_t *value, const char *const **out_list) {
    size_t count = value->type == YAML_SEQUENCE_NODE
                       ? (size_t)(value->data.sequence.items.top - value->data.sequence.items.start) : 1;
    p->rules->copied += (count + 1) * sizeof(char *);
    const char **list = p->rules->copied <= COPIED_MAX
                            ? ls_arena_array(&p->rules->arena, count + 1, sizeof *list) : NULL;
    if (list == NULL)
        return no_room(p);
    for (size_t i = 0; i < count; i++) {
        yaml_node_t *item = value->type == YAML_SEQUENCE_NODE
                                ? yaml_document_get_node(&p->yaml->document, value->data.sequence.items.start[i]) : value;
        if (item == NULL || item->type != YAML_SCALAR_NODE)
            return bad(p, value, "expected a name or a list of names");
        list[i] = copy(p, item);
        if (list[i] == NULL)
            return no_room(p);
    }
    *out_list = list;
    return LOCKSTEP_OK;
}

static size_t length_of(const char *const *list) {
    size_t count = 0;
    while (list != NULL && list[count] != NULL)
        count++;
    return count;
}

/* Adds to what another file has said, which includes this one. */
static lockstep_status add_to_list(parsing *p, yaml_node_t *value, const char *const **list) {
    const char *const *more;
    LS_TRY(read_list(p, value, &more));
    const size_t before = length_of(*list), added = length_of(more);
    const char **all = ls_arena_array(&p->rules->arena, before + added + 1, sizeof *all);
    if (all == NULL)
        return no_room(p);
    for (size_t i = 0; i < before + added; i++)
        all[i] = i < before ? (*list)[i] : more[i - before];
    *list = all;
    return LOCKSTEP_OK;
}

/* Reads "3", "3+8*L" or "last". */
static bool read_occurrence(const char *text, long *out_occurrence, long *out_stride) {
    char *end;
    *out_stride = 0;
    *out_occurrence = LS_LAST;
    if (strcmp(text, "last") == 0)
        return true;
    *out_occurrence = strtol(text, &end, 10);
    if (end == text || *out_occurrence < 0 || *out_occurrence > UINT32_MAX)
        return false;
    if (*end == '+')
        *out_stride = strtol(end + 1, &end, 10);
    return *out_stride >= 0 && *out_stride < 1 << 20 && strcmp(end, *out_stride > 0 ? "*L" : "") == 0;
}

static lockstep_status read_field(parsing *p, const char *key, yaml_node_t *value, ls_rule *rule) {
    if (strcmp(key, "reference") == 0)
        return read_list(p, value, &rule->references);
    if (strcmp(key, "needs") == 0)
        return read_list(p, value, &rule->needs);
    if (strcmp(key, "lacks") == 0)
        return read_list(p, value, &rule->lacks);
    if (value->type != YAML_SCALAR_NODE)
        return bad(p, value, "expected a string");
    const char *text = copy(p, value);
    if (text == NULL)
        return no_room(p);
    if (strcmp(key, "candidate") == 0)
        rule->candidate = text;
    else if (strcmp(key, "op") == 0)
        rule->op = text;
    else if (strcmp(key, "of") == 0)
        rule->of = text;
    else if (strcmp(key, "occurrence") == 0 && read_occurrence(text, &rule->occurrence, &rule->stride))
        return LOCKSTEP_OK;
    else if (strcmp(key, "reference-occurrence") == 0 && read_occurrence(text, &rule->reference_occurrence, &rule->reference_stride))
        return LOCKSTEP_OK;
    else if (strcmp(key, "reorder") == 0 && strcmp(text, "rope-pairs") == 0)
        rule->reorder = LS_REORDER_ROPE_PAIRS;
    else
        return bad(p, value, "found an unknown key or value, expected candidate, op, of, occurrence (3, 3+8*L or last), reference, reference-occurrence (likewise), needs, lacks, or reorder: rope-pairs");
    return LOCKSTEP_OK;
}

static lockstep_status read_rule(parsing *p, yaml_node_t *node) {
    ls_rule rule = {.occurrence = LS_FIRST, .reference_occurrence = LS_FIRST};
    if (node == NULL || node->type != YAML_MAPPING_NODE)
        return bad(p, node, "a rule is {candidate: NAME, reference: NAME}");
    for (yaml_node_pair_t *pair = node->data.mapping.pairs.start; pair < node->data.mapping.pairs.top; pair++) {
        yaml_node_t *key, *value;
        LS_TRY(ls_yaml_pair(p->yaml, pair, &key, &value));
        LS_TRY(read_field(p, ls_yaml_text(key), value, &rule));
    }
    if (rule.candidate == NULL && rule.references == NULL && (rule.needs != NULL || rule.lacks != NULL)) {
        p->needs = rule.needs;
        p->lacks = rule.lacks;
        return LOCKSTEP_OK;
    }
    if (rule.candidate == NULL || rule.references == NULL)
        return bad(p, node, "a rule needs 'candidate' and 'reference'");
    LS_TRY(check_placeholders(p, node, (const char *const[]){rule.candidate, rule.of, NULL}, false));
    LS_TRY(check_placeholders(p, node, rule.references, false));
    rule.needs = rule.needs != NULL ? rule.needs : p->needs;
    rule.lacks = rule.lacks != NULL ? rule.lacks : p->lacks;
    rule.included = p->depth > 0;
    rule.per_layer = rule.stride > 0 || strstr(rule.candidate, "{L}") != NULL || (rule.of != NULL && strstr(rule.of, "{L}") != NULL);
    ls_rules *rules = p->rules;
    void *array = rules->rules;
    if (rules->count >= RULES_MAX || !ls_grow(&array, rules->count, &rules->capacity, sizeof *rules->rules))
        return ls_fail(p->yaml->error, LOCKSTEP_LIMIT, "%s: more than %d rules", p->yaml->file, RULES_MAX);
    rules->rules = array;
    rules->rules[rules->count++] = rule;
    return LOCKSTEP_OK;
}

static lockstep_status read_include(parsing *p, yaml_node_t *node) {
    const char *const *names;
    if (p->depth >= INCLUDE_DEPTH)
        return bad(p, node, "'include' must not name the preset itself");
    LS_TRY(read_list(p, node, &names));
    for (; *names != NULL; names++) {
        const ls_preset_file *f = ls_preset_files;
        while (f->name != NULL && strcmp(f->name, *names) != 0)
            f++;
        if (f->name == NULL)
            return bad(p, node, "'include' names an unknown preset");
        parsing included = {.rules = p->rules, .depth = p->depth + 1};
        LS_TRY(ls_yaml_parse(f->name, f->text, f->size, read_document, &included, p->yaml->error));
    }
    return LOCKSTEP_OK;
}

/* --- weights */

static const char *const change_names[LS_CHANGE_COUNT] = {"transpose", "rope-pairs", "plus-one", "tanh",
                                                          "one-minus-tanh", "negative-exp"};

const char *ls_weight_change_name(unsigned change) {
    for (int i = 0; i < LS_CHANGE_COUNT; i++)
        if (change == 1u << i)
            return change_names[i];
    return "?";
}

static lockstep_status read_changes(parsing *p, yaml_node_t *value, unsigned *out_changes) {
    const char *const *words;
    LS_TRY(read_list(p, value, &words));
    for (; *words != NULL; words++) {
        int i = 0;
        while (i < LS_CHANGE_COUNT && strcmp(*words, change_names[i]) != 0)
            i++;
        if (i == LS_CHANGE_COUNT)
            return bad(p, value, "found an unknown change, expected transpose, rope-pairs, plus-one, tanh, one-minus-tanh or negative-exp");
        *out_changes |= 1u << i;
    }
    return LOCKSTEP_OK;
}

static lockstep_status read_weight_field(parsing *p, const char *key, yaml_node_t *value, ls_weight_rule *rule) {
    bool form = strcmp(key, "form") == 0, axis = strcmp(key, "axis") == 0, clone = strcmp(key, "clone") == 0;
    if (strcmp(key, "gguf") == 0)
        return read_list(p, value, &rule->gguf);
    if (strcmp(key, "hf") == 0)
        return read_list(p, value, &rule->hf);
    if (strcmp(key, "change") == 0)
        return read_changes(p, value, &rule->changes);
    const char *text = (form || axis || clone) && value->type == YAML_SCALAR_NODE ? (const char *)value->data.scalar.value : "";
    if (form && strcmp(text, "fused") == 0)
        rule->form = LS_WEIGHT_FUSED;
    else if (form && strcmp(text, "split") == 0)
        rule->form = LS_WEIGHT_SPLIT;
    else if (axis && (strcmp(text, "0") == 0 || strcmp(text, "1") == 0))
        rule->axis = text[0] - '0';
    else if (clone && strcmp(text, "true") == 0)
        rule->clone = true;
    else
        return bad(p, value, "found an unknown key or value, expected gguf, hf, change, form: fused or split, axis: 0 or 1, clone: true");
    return LOCKSTEP_OK;
}

static lockstep_status read_weight(parsing *p, yaml_node_t *node) {
    ls_weight_rule rule = {0};
    if (node == NULL || node->type != YAML_MAPPING_NODE)
        return bad(p, node, "a weight is {gguf: NAME, hf: NAME}");
    for (yaml_node_pair_t *pair = node->data.mapping.pairs.start; pair < node->data.mapping.pairs.top; pair++) {
        yaml_node_t *key, *value;
        LS_TRY(ls_yaml_pair(p->yaml, pair, &key, &value));
        LS_TRY(read_weight_field(p, ls_yaml_text(key), value, &rule));
    }
    if (rule.gguf == NULL || rule.hf == NULL || rule.gguf[0] == NULL || rule.hf[0] == NULL)
        return bad(p, node, "a weight needs 'gguf' and 'hf'");
    LS_TRY(check_placeholders(p, node, rule.gguf, true));
    LS_TRY(check_placeholders(p, node, rule.hf, true));
    ls_rules *rules = p->rules;
    void *array = rules->weights;
    if (rules->weight_count >= RULES_MAX || !ls_grow(&array, rules->weight_count, &rules->weight_capacity, sizeof *rules->weights))
        return ls_fail(p->yaml->error, LOCKSTEP_LIMIT, "%s: more than %d weights", p->yaml->file, RULES_MAX);
    rules->weights = array;
    rules->weights[rules->weight_count++] = rule;
    return LOCKSTEP_OK;
}

static lockstep_status read_each(parsing *p, yaml_node_t *list, lockstep_status (*read)(parsing *, yaml_node_t *)) {
    for (yaml_node_item_t *item = list->data.sequence.items.start; item < list->data.sequence.items.top; item++)
        LS_TRY(read(p, yaml_document_get_node(&p->yaml->document, *item)));
    return LOCKSTEP_OK;
}

/* --- documents */

/* Included rules come after the file's own, and the first rule that matches is used. */
static lockstep_status read_document(void *context, ls_yaml *yaml, yaml_node_t *root) {
    parsing *p = context;
    yaml_node_t *include = NULL;
    p->yaml = yaml;
    if (root == NULL || root->type != YAML_MAPPING_NODE)
        return bad(p, root, "expected a mapping with the key 'rules' or 'weights'");
    for (yaml_node_pair_t *pair = root->data.mapping.pairs.start; pair < root->data.mapping.pairs.top; pair++) {
        yaml_node_t *key, *value;
        LS_TRY(ls_yaml_pair(yaml, pair, &key, &value));
        const char *word = ls_yaml_text(key);
        if (strcmp(word, "rules") == 0 && value->type == YAML_SEQUENCE_NODE) {
            LS_TRY(read_each(p, value, read_rule));
        } else if (strcmp(word, "weights") == 0 && value->type == YAML_SEQUENCE_NODE) {
            LS_TRY(read_each(p, value, read_weight));
        } else if (strcmp(word, "architecture") == 0) {
            if (p->depth == 0)
                LS_TRY(read_list(p, value, &p->rules->architectures));
        } else if (strcmp(word, "left-out") == 0) {
            LS_TRY(add_to_list(p, value, &p->rules->left_out));
        } else if (strcmp(word, "include") == 0) {
            include = value;
        } else if (strcmp(word, "prefixes") == 0) {
            LS_TRY(read_list(p, value, &p->rules->prefixes));
        } else if (strcmp(word, "model") == 0 && value->type == YAML_SCALAR_NODE) {
            if (p->depth == 0)
                p->rules->model = copy(p, value);
        } else {
            return bad(p, key, "found an unknown key, expected model, architecture, prefixes, include, rules, weights or left-out");
        }
    }
    return include != NULL ? read_include(p, include) : LOCKSTEP_OK;
}

static lockstep_status finish(lockstep_status status, const char *name, ls_rules *rules, ls_rules *out_rules) {
    if (status != LOCKSTEP_OK) {
        ls_rules_done(rules);
        return status;
    }
    rules->name = ls_arena_copy(&rules->arena, name, strlen(name));
    *out_rules = *rules;
    return LOCKSTEP_OK;
}

lockstep_status ls_rules_parse(const char *name, const char *text, size_t size, ls_rules *out_rules,
                               lockstep_error *error) {
    ls_rules rules = {0};
    return finish(ls_yaml_parse(name, text, size, read_document, &(parsing){.rules = &rules}, error), name, &rules, out_rules);
}

lockstep_status ls_rules_open(const char *path, ls_rules *out_rules, lockstep_error *error) {
    ls_rules rules = {0};
    return finish(ls_yaml_open(path, FILE_MAX, read_document, &(parsing){.rules = &rules}, error), path, &rules, out_rules);
}

static lockstep_status no_preset(const char *name, lockstep_error *error) {
    char list[300] = "";
    size_t used = 0;
    for (const ls_preset_file *f = ls_preset_files; f->name != NULL && used < sizeof list; f++)
        used += (size_t)snprintf(list + used, sizeof list - used, " %s", f->name);
    return ls_fail(error, LOCKSTEP_NOT_FOUND, "no preset '%s'; there are:%s", name, list);
}

lockstep_status ls_rules_preset(const char *name, ls_rules *out_rules, lockstep_error *error) {
    for (const ls_preset_file *f = ls_preset_files; f->name != NULL; f++)
        if (strcmp(f->name, name) == 0)
            return ls_rules_parse(f->name, f->text, f->size, out_rules, error);
    return no_preset(name, error);
}

const char *ls_rules_preset_for(const char *model) {
    const char *best = NULL, *inner = strrchr(model, '/');
    size_t best_length = 0;
    model = inner != NULL ? inner + 1 : model; /* in "Wrapper/Model", the wrapped one */
    for (const ls_preset_file *f = ls_preset_files; f->name != NULL; f++) {
        ls_rules rules;
        if (ls_rules_preset(f->name, &rules, NULL) != LOCKSTEP_OK)
            continue;
        size_t length = rules.model != NULL ? strlen(rules.model) : 0;
        if (length > best_length && strncmp(model, rules.model, length) == 0)
            best = f->name, best_length = length;
        ls_rules_done(&rules);
    }
    return best;
}

const char *ls_rules_preset_for_architecture(const char *architecture) {
    const char *found = NULL;
    for (const ls_preset_file *f = ls_preset_files; f->name != NULL && found == NULL; f++) {
        ls_rules rules;
        if (ls_rules_preset(f->name, &rules, NULL) != LOCKSTEP_OK)
            continue;
        for (const char *const *a = rules.architectures; a != NULL && *a != NULL; a++)
            if (strcmp(*a, architecture) == 0)
                found = f->name;
        ls_rules_done(&rules);
    }
    return found;
}

void ls_rules_done(ls_rules *rules) {
    free(rules->rules);
    free(rules->weights);
    ls_arena_done(&rules->arena);
    *rules = (ls_rules){0};
}

bool ls_rules_expand(const char *name_template, int layer, int expert, char *out, size_t capacity) {
    size_t used = 0;
    for (const char *at = name_template; *at != '\0';) {
        char piece[16] = {*at, '\0'};
        bool is_layer = strncmp(at, "{L}", 3) == 0, is_expert = strncmp(at, "{E}", 3) == 0;
        if (is_layer || is_expert)
            snprintf(piece, sizeof piece, "%d", is_layer ? layer : expert);
        size_t size = strlen(piece);
        if (used + size >= capacity)
            return false;
        memcpy(out + used, piece, size);
        used += size;
        at += is_layer || is_expert ? 3 : 1;
    }
    out[used] = '\0';
    return true;
}

static const char *match_number(const char *at, int *number) {
    char *end;
    if (*at < '0' || *at > '9' || (at[0] == '0' && at[1] >= '0' && at[1] <= '9'))
        return NULL;
    long value = strtol(at, &end, 10);
    if (value > INT_MAX || (*number >= 0 && *number != value))
        return NULL;
    *number = (int)value;
    return end;
}

const char *ls_rules_match(const char *name_template, const char *name, int *out_layer, int *out_expert) {
    int layer = -1, expert = -1;
    const char *at = name;
    for (const char *t = name_template; *t != '\0';) {
        bool is_layer = strncmp(t, "{L}", 3) == 0;
        if (is_layer || strncmp(t, "{E}", 3) == 0) {
            at = match_number(at, is_layer ? &layer : &expert);
            if (at == NULL)
                return NULL;
            t += 3;
        } else if (*t++ != *at++) {
            return NULL;
        }
    }
    if (*at != '\0' && (*at != '.' || strchr(at + 1, '.') != NULL))
        return NULL;
    *out_layer = layer;
    *out_expert = expert;
    return at;
}
