/* The hyperparameters of two checkpoints, compared. */
#ifndef LS_CHECKPOINT_SETTINGS_H
#define LS_CHECKPOINT_SETTINGS_H

#include "checkpoint/setting.h"

/* Lists only what at least one side gives. */
lockstep_status ls_settings_compare(const ls_checkpoint *reference, const ls_checkpoint *candidate,
                                    ls_settings *out_settings, lockstep_error *error);
void ls_settings_done(ls_settings *settings);
const char *ls_setting_verdict_name(ls_setting_verdict verdict);

#endif
