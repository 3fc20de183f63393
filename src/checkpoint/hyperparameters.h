/* A model's configuration by meaning: which keys of config.json correspond to which of
 * GGUF. The table has one row per hyperparameter. */
#ifndef LS_CHECKPOINT_HYPERPARAMETERS_H
#define LS_CHECKPOINT_HYPERPARAMETERS_H

#include "checkpoint/setting.h"

typedef struct ls_hyperparameter {
    const char *id, *meaning;
    const char *hf[7];   /* paths in config.json, tried in turn */
    const char *gguf[4]; /* keys; "*" stands for general.architecture */
    /* The default that implementations assume where a side gives none. */
    bool (*otherwise)(const ls_checkpoint *c, ls_setting_value *out);
} ls_hyperparameter;

extern const ls_hyperparameter ls_hyperparameters[]; /* ends with id == NULL */

/* The value that a checkpoint gives, or the default; false when neither is known. */
bool ls_hyperparameter_of(const ls_checkpoint *checkpoint, const ls_hyperparameter *hyperparameter, ls_setting_value *out_value);
/* The metadata of a GGUF file under one of the keys of the table; NULL when there is none. */
const ls_meta *ls_hyperparameter_meta(const ls_checkpoint *checkpoint, const char *key);
void ls_setting_set_text(ls_setting_value *value, const char *text, size_t length);
/* A number, boolean, string, or list of numbers. NULL is allowed: the value stays unknown. */
void ls_setting_from_json(json_t *json, ls_setting_value *out_value);
void ls_setting_from_meta(const ls_meta *meta, ls_setting_value *out_value);
/* The number of query heads (0) or key-value heads (1) that a side gives; 0 when it gives none. */
uint64_t ls_settings_heads(const ls_checkpoint *checkpoint, int key_value);
/* A hyperparameter by its id; false when the checkpoint doesn't give it. */
bool ls_setting_of(const ls_checkpoint *checkpoint, const char *id, ls_setting_value *out_value);

#endif
