/* Does observing change what a program computes? */
#ifndef LS_CLI_OBSERVER_CHECK_H
#define LS_CLI_OBSERVER_CHECK_H

#include <stdbool.h>
#include <stddef.h>

/* Where the second run is recorded, next to `trace`; nothing may be there. False when the
 * name is too long. */
bool observer_check_place(const char *trace, char *out, size_t capacity);
/* Runs the command again with only the last tensor of each pass kept, compares those
 * with the trace's, and says on stderr what came of it. Returns `exit`, the first run's
 * status, or 1 when it was 0 and observing changed something, 2 when it can't be told. */
int observer_check(const char *trace, char **command, int exit);

#endif
