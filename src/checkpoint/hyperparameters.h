/* What a model's configuration says, by meaning: config.json's keys against those of
 * GGUF. One row of the table a hyperparameter. */
#ifndef LS_CHECKPOINT_HYPERPARAMETERS_H
#define LS_CHECKPOINT_HYPERPARAMETERS_H

#include "checkpoint/checkpoint.h"

enum { LS_VALUE_TEXT = 96 };

typedef struct ls_setting_value {
    bool known;
    bool derived;      /* from other keys, or a default of the implementations */
    char text[LS_VALUE_TEXT];
    double number;     /* NaN for a text, and for a list of different numbers */
    const char *key;   /* where it was found; NULL when derived */
} ls_setting_value;

#define LS_SETTING_ARCHITECTURE "architecture" /* its id */

typedef enum ls_setting_verdict {
    LS_SETTING_EQUAL,
    LS_SETTING_DIFFERS,
    LS_SETTING_ONE_SIDED, /* the other side doesn't say */
} ls_setting_verdict;

typedef struct ls_setting {
    const char *id, *meaning;
    ls_setting_value sides[2]; /* reference, candidate */
    ls_setting_verdict verdict;
} ls_setting;

typedef struct ls_settings {
    ls_setting *items;
    size_t count, capacity;
    ls_arena arena;
} ls_settings;

/* Only what a side knows is listed. */
lockstep_status ls_settings_compare(const ls_checkpoint *reference, const ls_checkpoint *candidate,
                                    ls_settings *out_settings, lockstep_error *error);
void ls_settings_done(ls_settings *settings);
/* Query heads, or key-value heads (1), as a side says; 0 when it doesn't. */
uint64_t ls_settings_heads(const ls_checkpoint *checkpoint, int key_value);
/* A hyperparameter by its id: false when the checkpoint doesn't tell. */
bool ls_setting_of(const ls_checkpoint *checkpoint, const char *id, ls_setting_value *out_value);
const char *ls_setting_verdict_name(ls_setting_verdict verdict);

#endif
