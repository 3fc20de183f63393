/* Lists of numbers and ranges such as "0-3,7". */
#ifndef LS_BASE_RANGES_H
#define LS_BASE_RANGES_H

#include "base/error.h"

/* `option` is for the message; a list that is NULL is right. */
lockstep_status ls_ranges_check(const char *option, const char *list, lockstep_error *error);
/* Of a list that was checked. */
bool ls_ranges_hold(const char *list, int value);

#endif
