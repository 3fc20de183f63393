/* Naming rules: which name of the candidate answers to which of the reference. A
 * preset in maps/, or a file of the user's (docs/presets.md). */
#ifndef LS_ALIGN_RULES_H
#define LS_ALIGN_RULES_H

#include "base/arena.h"
#include "base/error.h"

typedef enum ls_reorder {
    LS_REORDER_NONE,
    /* rotary halves of each head in the reference, interleaved pairs in the candidate */
    LS_REORDER_ROPE_PAIRS,
} ls_reorder;

/* Names are templates: {L} stands for the layer. */
typedef struct ls_rule {
    const char *candidate, *op, *of;
    long occurrence; /* -1: the first */
    const char *const *references; /* NULL-terminated: the first that is there */
    long reference_occurrence;
    ls_reorder reorder;
    bool per_layer;
} ls_rule;

typedef struct ls_rules {
    const char *name;
    const char *model; /* the reference's model class begins so; NULL: any */
    const char *const *prefixes; /* of the reference's names, tried in turn; NULL-terminated */
    ls_rule *rules;
    size_t count, capacity;
    size_t copied; /* bytes; a file's aliases must not multiply it without end */
    ls_arena arena;
} ls_rules;

/* A file of the user's. */
lockstep_status ls_rules_open(const char *path, ls_rules *out_rules, lockstep_error *error);
/* The same from memory; `name` is for messages. */
lockstep_status ls_rules_parse(const char *name, const char *text, size_t size, ls_rules *out_rules,
                               lockstep_error *error);
/* A preset by name; LOCKSTEP_NOT_FOUND lists those that exist. */
lockstep_status ls_rules_preset(const char *name, ls_rules *out_rules, lockstep_error *error);
/* The preset whose model is the longest that this model class begins with; NULL
 * when there is none. */
const char *ls_rules_preset_for(const char *model);
void ls_rules_done(ls_rules *rules);

/* Replaces {L}; false when the result doesn't fit. */
bool ls_rules_expand(const char *name_template, int layer, char *out, size_t capacity);

#endif
