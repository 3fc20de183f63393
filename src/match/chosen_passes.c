#include "match/chosen_passes.h"

#include <stdlib.h>

/* A number of a pass, and the character behind it. */
static bool read_number(const char **text, size_t *out) {
    char *end;
    if (**text < '0' || **text > '9')
        return false;
    *out = strtoull(*text, &end, 10);
    *text = end;
    return *out < LS_NONE;
}

static lockstep_status check(const ls_alike_pass *pair, const ls_trace *reference, const ls_trace *candidate, lockstep_error *error) {
    const bool of_reference = pair->reference >= reference->pass_count;
    const ls_trace *t = of_reference ? reference : candidate;
    if (!of_reference && (candidate->memory != NULL || pair->candidate < candidate->pass_count))
        return LOCKSTEP_OK;
    return ls_fail(error, LOCKSTEP_INVALID_ARGUMENT, "--passes: found pass %zu of the %s, which has %zu: they are numbered from 0", of_reference ? pair->reference : pair->candidate,
                   of_reference ? "reference" : "candidate", t->pass_count);
}

lockstep_status ls_chosen_passes_read(const char *list, const ls_trace *reference, const ls_trace *candidate, ls_arena *arena, ls_alike_pass **out_pairs,
                                      size_t *out_count, lockstep_error *error) {
    ls_alike_pass *pairs = ls_arena_array(arena, strlen(list) / 2 + 1, sizeof *pairs);
    const char *at = list;
    size_t count = 0;
    if (pairs == NULL)
        return ls_fail(error, LOCKSTEP_NO_MEMORY, "out of memory");
    for (bool more = true; more; at += more) {
        ls_alike_pass pair = {0};
        const bool ok = read_number(&at, &pair.reference) && *at++ == ':' && read_number(&at, &pair.candidate) && (*at == ',' || *at == '\0');
        if (!ok)
            return ls_fail(error, LOCKSTEP_INVALID_ARGUMENT, "--passes: found '%.60s', expected REFERENCE:CANDIDATE,…, for example 0:2", list);
        LS_TRY(check(&pair, reference, candidate, error));
        pairs[count++] = pair;
        more = *at == ',';
    }
    ls_alike_passes_sort(pairs, count);
    *out_pairs = pairs;
    *out_count = count;
    return LOCKSTEP_OK;
}
