/* Regular expressions from users. regcomp() needs unbounded memory and time for some, so
 * their size is checked first. */
#ifndef LS_BASE_PATTERN_H
#define LS_BASE_PATTERN_H

#include <regex.h>
#include <stdbool.h>

#include "base/error.h"

enum { LS_PATTERN_LENGTH = 16384, LS_PATTERN_DEPTH = 64, LS_PATTERN_REPEATS = 1000 };

/* Why a pattern is refused: it is longer, nested deeper, or repeated more often (the product
 * of all {m,n}) than anybody needs. NULL if it is acceptable. */
const char *ls_pattern_excess(const char *pattern);
/* Compiles an extended regular expression without subexpression matches. Returns false if it
 * is malformed or refused; `out` must then not be freed. */
bool ls_pattern_compile(const char *pattern, regex_t *out);
/* LOCKSTEP_INVALID_ARGUMENT with the reason why ls_pattern_compile failed. */
static inline lockstep_status ls_pattern_refused(lockstep_error *error, const char *option, const char *pattern) {
    const char *excess = ls_pattern_excess(pattern);
    return excess != NULL ? ls_fail(error, LOCKSTEP_INVALID_ARGUMENT, "%s: the regular expression %s", option, excess)
                          : ls_fail(error, LOCKSTEP_INVALID_ARGUMENT, "%s: '%s' is not a regular expression", option, pattern);
}

#endif
