/* Regular expressions that people give: regcomp() takes memory and time without bound for
 * some, so what is given is measured first. */
#ifndef LS_BASE_PATTERN_H
#define LS_BASE_PATTERN_H

#include <regex.h>
#include <stdbool.h>

#include "base/error.h"

enum { LS_PATTERN_LENGTH = 16384, LS_PATTERN_DEPTH = 64, LS_PATTERN_REPEATS = 1000 };

/* Why it is too much: longer, nested deeper or repeated more often ({m,n}, multiplied) than
 * anybody needs. NULL when it isn't. */
const char *ls_pattern_excess(const char *pattern);
/* Compiles an extended expression whose matches are not asked for. False when it is none, or
 * too much; `out` is then not to be freed. */
bool ls_pattern_compile(const char *pattern, regex_t *out);
/* LOCKSTEP_INVALID_ARGUMENT, with the reason, for one that ls_pattern_compile didn't take. */
static inline lockstep_status ls_pattern_refused(lockstep_error *error, const char *option, const char *pattern) {
    const char *excess = ls_pattern_excess(pattern);
    return excess != NULL ? ls_fail(error, LOCKSTEP_INVALID_ARGUMENT, "%s: the regular expression %s", option, excess)
                          : ls_fail(error, LOCKSTEP_INVALID_ARGUMENT, "%s: '%s' is no regular expression", option, pattern);
}

#endif
