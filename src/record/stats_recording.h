/* A recording that also prints what a monitor would: a line a tensor, as it goes. */
#ifndef LS_RECORD_STATS_RECORDING_H
#define LS_RECORD_STATS_RECORDING_H

#include <stdio.h>

#include "base/error.h"
#include "record/recording.h"

/* Takes *inner over. On failure it is closed. */
lockstep_status ls_stats_recording_open(const ls_recording *inner, FILE *to, ls_recording *out_recording, lockstep_error *error);

#endif
