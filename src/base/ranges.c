#include "base/ranges.h"

#include <limits.h>

/* Reads a decimal number up to INT_MAX; -1 if there is none, or it is larger. */
static int take_number(const char **at) {
    int value = 0;
    if (**at < '0' || **at > '9')
        return -1;
    for (; **at >= '0' && **at <= '9'; ++*at)
        if (__builtin_mul_overflow(value, 10, &value) || __builtin_add_overflow(value, **at - '0', &value))
            return -1;
    return value;
}

/* Reads "7" or "0-3" and the comma after it. Returns false if there is neither; *at is then
 * the position of the error. */
static bool take_range(const char **at, int *out_low, int *out_high) {
    *out_low = *out_high = take_number(at);
    if (*out_low < 0)
        return false;
    if (**at == '-') {
        ++*at;
        *out_high = take_number(at);
    }
    if (*out_high < *out_low || (**at != ',' && **at != '\0'))
        return false;
    if (**at == ',' && *++*at == '\0')
        return false; /* nothing follows the comma */
    return true;
}

lockstep_status ls_ranges_check(const char *option, const char *list, lockstep_error *error) {
    int low, high;
    const char *at = list;
    do
        if (list != NULL && !take_range(&at, &low, &high))
            return ls_fail(error, LOCKSTEP_INVALID_ARGUMENT, "%s: found '%s', expected numbers and ranges such as 0-3,7", option, list);
    while (list != NULL && *at != '\0');
    return LOCKSTEP_OK;
}

bool ls_ranges_hold(const char *list, long value) {
    int low, high;
    while (take_range(&list, &low, &high)) {
        if (value >= low && value <= high)
            return true;
        if (*list == '\0')
            return false;
    }
    return false;
}
