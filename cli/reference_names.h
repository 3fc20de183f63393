/* The names that a map gives to the tensors of a trace. */
#ifndef LS_CLI_REFERENCE_NAMES_H
#define LS_CLI_REFERENCE_NAMES_H

#include "base/arena.h"
#include "base/error.h"

typedef struct reference_names {
    const char **names; /* of the trace's tensors that have values, in their order; NULL where no rule names one */
    size_t count;
    ls_arena arena;
} reference_names;

lockstep_status reference_names_open(const char *trace, const char *map, reference_names *out, lockstep_error *error);
void reference_names_done(reference_names *names);

#endif
