/* One hyperparameter of two checkpoints. */
#ifndef LS_CHECKPOINT_SETTING_H
#define LS_CHECKPOINT_SETTING_H

#include "checkpoint/checkpoint.h"

enum { LS_VALUE_TEXT = 96 };

typedef struct ls_setting_value {
    bool known;
    bool derived;      /* computed from other keys, or a default */
    char text[LS_VALUE_TEXT];
    double number;     /* NaN for a text, and for a list of different numbers */
    const char *key;   /* where it was found; NULL when derived */
} ls_setting_value;

#define LS_SETTING_ARCHITECTURE "architecture" /* its id */

typedef enum ls_setting_verdict {
    LS_SETTING_EQUAL,
    LS_SETTING_DIFFERS,
    LS_SETTING_ONE_SIDED, /* only one side gives it */
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

#endif
