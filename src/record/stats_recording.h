/* A recording that also prints a line of statistics for each tensor as it arrives. */
#ifndef LS_RECORD_STATS_RECORDING_H
#define LS_RECORD_STATS_RECORDING_H

#include <stdio.h>

#include "base/error.h"
#include "record/recording.h"

/* Takes ownership of *inner, which is closed on failure. */
lockstep_status ls_stats_recording_open(const ls_recording *inner, FILE *to, ls_recording *out_recording, lockstep_error *error);

#endif
