/* Lists of numbers and ranges such as "0-3,7". */
#ifndef LS_BASE_RANGES_H
#define LS_BASE_RANGES_H

#include "base/error.h"

/* LOCKSTEP_INVALID_ARGUMENT for a malformed list; the message names the `option`. NULL means
 * that no list was given, and is allowed. */
lockstep_status ls_ranges_check(const char *option, const char *list, lockstep_error *error);
/* Whether a range of the list contains the value. The list is ignored from its first error on. */
bool ls_ranges_hold(const char *list, long value);

#endif
