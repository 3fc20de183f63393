/* Naming rules: which names of the candidate's values correspond to which of the reference's,
 * and which weights of a GGUF file to which of a Hugging Face checkpoint. They come from a
 * preset in maps/ or from a user's file (docs/presets.md). */
#ifndef LS_PRESET_RULES_H
#define LS_PRESET_RULES_H

#include "base/arena.h"
#include "base/error.h"

typedef enum ls_reorder {
    LS_REORDER_NONE,
    /* rotary halves of each head in the reference, interleaved pairs in the candidate */
    LS_REORDER_ROPE_PAIRS,
} ls_reorder;

enum { LS_FIRST = -1, LS_LAST = -2 };
enum { LS_RULE_NAME = 400 }; /* bytes of a name that rules are applied to */

/* Names are templates: {L} stands for the layer. */
typedef struct ls_rule {
    const char *candidate, *op, *of;
    long occurrence; /* a number, LS_FIRST or LS_LAST */
    long stride;     /* added to `occurrence` for each further layer */
    /* names that must, or must not, occur in the candidate's pass; NULL-terminated, or NULL */
    const char *const *needs, *const *lacks;
    const char *const *references; /* NULL-terminated; the first one that exists is used */
    long reference_occurrence, reference_stride; /* the same of the reference */
    ls_reorder reorder;
    bool included;    /* comes from a preset that the file includes */
    bool per_layer;
} ls_rule;

/* How a GGUF tensor is computed from the checkpoint's: bits, applied in this order. */
typedef enum ls_weight_change {
    LS_CHANGE_TRANSPOSE = 1,       /* the last two axes */
    LS_CHANGE_ROPE_PAIRS = 2,      /* rows of each head: rotary halves become interleaved pairs */
    LS_CHANGE_PLUS_ONE = 4,        /* norms that multiply with 1 + weight */
    LS_CHANGE_TANH = 8,
    LS_CHANGE_ONE_MINUS_TANH = 16,
    LS_CHANGE_NEGATIVE_EXP = 32,
    LS_CHANGE_COUNT = 6
} ls_weight_change;

/* Names are stems: the rest of a name ("", ".weight", ".bias", …) must be the same on both
 * sides. {L} stands for the layer, {E} for an expert. There are three forms:
 *   one to one: each list holds spellings of one name;
 *   fused:      gguf[0] holds hf[0], hf[1], … (or hf[0] for each {E}) one after another;
 *   split:      hf[0] holds gguf[0], gguf[1], … one after another. */
typedef enum ls_weight_form { LS_WEIGHT_SINGLE, LS_WEIGHT_FUSED, LS_WEIGHT_SPLIT } ls_weight_form;

typedef struct ls_weight_rule {
    const char *const *gguf, *const *hf; /* NULL-terminated */
    unsigned changes;                    /* of ls_weight_change, from hf to gguf */
    ls_weight_form form;
    int axis;                            /* along which parts are concatenated */
    bool clone;                          /* copies a weight that is also in another rule's tensor */
} ls_weight_rule;

typedef struct ls_rules {
    const char *name;
    const char *model; /* prefix of the reference's model class; NULL for any */
    const char *const *architectures; /* general.architecture of the GGUF files; NULL-terminated, or NULL */
    const char *const *prefixes; /* for the reference's names, tried in turn; NULL-terminated */
    ls_rule *rules;
    size_t count, capacity;
    ls_weight_rule *weights;
    size_t weight_count, weight_capacity;
    const char *const *left_out; /* templates of weights that GGUF files omit; NULL-terminated, or NULL */
    size_t copied; /* bytes; limits what a file's aliases can multiply */
    ls_arena arena;
} ls_rules;

/* Whether the rule can be applied only when the candidate's pass is complete. */
static inline bool ls_rule_is_late(const ls_rule *rule) { return rule->occurrence == LS_LAST || rule->lacks != NULL; }

/* Reads a user's file. */
lockstep_status ls_rules_open(const char *path, ls_rules *out_rules, lockstep_error *error);
/* The same from memory; `name` is for messages. */
lockstep_status ls_rules_parse(const char *name, const char *text, size_t size, ls_rules *out_rules,
                               lockstep_error *error);
/* Reads a preset by name; the message of LOCKSTEP_NOT_FOUND lists those that exist. */
lockstep_status ls_rules_preset(const char *name, ls_rules *out_rules, lockstep_error *error);
/* The preset whose `model` is the longest prefix of this model class; NULL if there is
 * none. */
const char *ls_rules_preset_for(const char *model);
/* The same by general.architecture. */
const char *ls_rules_preset_for_architecture(const char *architecture);
void ls_rules_done(ls_rules *rules);
/* "transpose", "rope-pairs", …: one bit of ls_weight_change. */
const char *ls_weight_change_name(unsigned change);

/* Replaces {L} and {E}; false if the result doesn't fit. */
bool ls_rules_expand(const char *name_template, int layer, int expert, char *out, size_t capacity);
/* Matches a name that consists of the template, with numbers for {L} and {E}, and optionally
 * a dot and a word. Returns the part after the template, or NULL. Numbers that the template
 * doesn't have are -1. */
const char *ls_rules_match(const char *name_template, const char *name, int *out_layer, int *out_expert);

#endif
