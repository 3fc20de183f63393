#include "base/ranges.h"

#include <ctype.h>
#include <stdlib.h>

lockstep_status ls_ranges_check(const char *option, const char *list, lockstep_error *error) {
    for (const char *at = list; at != NULL;) {
        char *end = NULL;
        long low = isdigit((unsigned char)*at) ? strtol(at, &end, 10) : -1, high = low;
        if (low >= 0 && *end == '-')
            high = isdigit((unsigned char)end[1]) ? strtol(end + 1, &end, 10) : -1;
        if (low < 0 || high < low || (*end != ',' && *end != '\0'))
            return ls_fail(error, LOCKSTEP_INVALID_ARGUMENT, "%s: found '%s', expected numbers and ranges such as 0-3,7", option, list);
        at = *end == ',' ? end + 1 : NULL;
    }
    return LOCKSTEP_OK;
}

bool ls_ranges_hold(const char *list, int value) {
    for (const char *at = list;;) {
        char *end;
        long low = strtol(at, &end, 10), high = *end == '-' ? strtol(end + 1, &end, 10) : low;
        if (value >= low && value <= high)
            return true;
        if (*end != ',')
            return false;
        at = end + 1;
    }
}
