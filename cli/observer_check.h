/* Does observing change what a program computes? */
#ifndef LS_CLI_OBSERVER_CHECK_H
#define LS_CLI_OBSERVER_CHECK_H

#include <stdbool.h>
#include <stddef.h>

/* Where the second run is recorded, next to `trace`; nothing may be there. False when the
 * name is too long. */
bool observer_check_place(const char *trace, char *out, size_t capacity);
/* Runs the command again with only the last tensor of each pass kept, compares those
 * with the trace's, and prints the result to stderr. Returns `exit`, the first run's
 * status, or if that was 0: 1 when observing changed something, 2 when that is unknown. */
int observer_check(const char *trace, char **command, int exit);

#endif
