/* Lists of numbers and ranges such as "0-3,7". */
#ifndef LS_BASE_RANGES_H
#define LS_BASE_RANGES_H

#include "base/error.h"

/* LOCKSTEP_INVALID_ARGUMENT for a list that breaks its rules; the message names the
 * `option`. NULL is no list, and allowed. */
lockstep_status ls_ranges_check(const char *option, const char *list, lockstep_error *error);
/* Whether a range of the list holds the value. What follows an error in the list is ignored. */
bool ls_ranges_hold(const char *list, long value);

#endif
