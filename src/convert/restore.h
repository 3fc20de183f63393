/* Writes the missing zip directories of a trace's segments after a recorder was killed. */
#ifndef LS_CONVERT_RESTORE_H
#define LS_CONVERT_RESTORE_H

#include <stddef.h>

#include "base/error.h"

/* Writes a directory of the logged values to each of the trace's segments that has none, and cuts off bytes after
 * these values. Complete segments are left alone. Fails while the trace is being recorded, and before anything is
 * written to a segment if its members' headers don't lead from value to value. *out_count is the number of directories
 * written. */
lockstep_status ls_restore_directories(const char *trace, size_t *out_count, lockstep_error *error);

#endif
