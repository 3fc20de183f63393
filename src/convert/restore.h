/* The zip directories of a trace's segments, written again after a recorder was killed. */
#ifndef LS_CONVERT_RESTORE_H
#define LS_CONVERT_RESTORE_H

#include <stddef.h>

#include "base/error.h"

/* Gives each segment that the trace's lines name, and that has no directory, one of the values that lines name;
 * bytes behind these are cut off. Segments that are whole are left alone. Fails, before anything is written to
 * a segment, where its members' headers don't lead from value to value, and while the trace is being recorded.
 * *out_count: how many were written. */
lockstep_status ls_restore_directories(const char *trace, size_t *out_count, lockstep_error *error);

#endif
