/* Hyperparameters that no single key gives: they follow from lists, from the architecture,
 * or from tensors. */
#ifndef LS_CHECKPOINT_COMPUTED_SETTINGS_H
#define LS_CHECKPOINT_COMPUTED_SETTINGS_H

#include "checkpoint/setting.h"

typedef struct ls_computed_setting {
    const char *id, *meaning;
    /* False when the checkpoint doesn't give it. */
    bool (*read)(const ls_checkpoint *checkpoint, ls_setting_value *out);
    /* NULL: the texts are compared. */
    bool (*same)(const ls_setting_value *a, const ls_setting_value *b);
} ls_computed_setting;

extern const ls_computed_setting ls_computed_settings[];
extern const size_t ls_computed_setting_count;

/* Keys of config.json that the table reads, besides those of hyperparameters.c. */
extern const char *const ls_computed_keys[]; /* NULL-terminated */

/* Compares the RoPE frequency factors that a GGUF file stores as a tensor with those that
 * the configuration on the other side specifies. *out_found: there was something to compare. */
lockstep_status ls_rope_factors_compare(const ls_checkpoint *sides[2], ls_setting *out_setting, bool *out_found, lockstep_error *error);

#endif
