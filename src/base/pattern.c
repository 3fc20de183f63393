#include "base/pattern.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

/* Skips a bracket expression; its first character may be a literal ']', and it may contain [:alpha:]. */
static const char *skip_bracket(const char *at) {
    at += *at == '^';
    at += *at == ']';
    while (*at != '\0' && *at != ']') {
        const char *close = at[0] == '[' && (at[1] == ':' || at[1] == '.' || at[1] == '=') ? strstr(at + 2, (const char[]){at[1], ']', '\0'}) : NULL;
        at = close != NULL ? close + 2 : at + 1;
    }
    return *at == ']' ? at + 1 : at;
}

/* The larger bound of {m,n}, but at least 1. */
static unsigned long repeats_of(const char *at) {
    char *end;
    unsigned long low = strtoul(at, &end, 10), high = *end == ',' ? strtoul(end + 1, &end, 10) : low;
    unsigned long most = low > high ? low : high;
    return most > LS_PATTERN_REPEATS ? LS_PATTERN_REPEATS + 1 : most > 1 ? most : 1;
}

const char *ls_pattern_excess(const char *pattern) {
    unsigned long repeats = 1;
    int depth = 0;
    if (strlen(pattern) > LS_PATTERN_LENGTH)
        return "is longer than 16384 bytes";
    for (const char *at = pattern; *at != '\0';) {
        char c = *at++;
        if (c == '\\' && *at != '\0')
            at++;
        else if (c == '[')
            at = skip_bracket(at);
        else if (c == '(' && ++depth > LS_PATTERN_DEPTH)
            return "is nested deeper than 64";
        else if (c == ')')
            depth -= depth > 0;
        else if (c == '{' && ((*at >= '0' && *at <= '9') || *at == ',') && (repeats *= repeats_of(at)) > LS_PATTERN_REPEATS)
            return "repeats its parts more than 1000 times";
    }
    return NULL;
}

bool ls_pattern_compile(const char *pattern, regex_t *out) {
    return ls_pattern_excess(pattern) == NULL && regcomp(out, pattern, REG_EXTENDED | REG_NOSUB) == 0;
}
