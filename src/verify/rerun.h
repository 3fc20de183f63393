/* A trace's run again, in double precision: each operation on what was computed before it, not on what was recorded. */
#ifndef LS_VERIFY_RERUN_H
#define LS_VERIFY_RERUN_H

#include "eval/models.h"

typedef struct ls_rerun_options {
    const char *from, *to; /* names of operations: those before the first of `from`, and after the last of `to`, keep their recorded values; NULL */
} ls_rerun_options;

typedef struct ls_rerun {
    size_t computed, recorded, unknown; /* operations: recorded ones kept their values, unknown ones have none */
    const char *reason;                 /* why the first that should have been computed was not; or NULL */
    size_t first;                       /* that node */
} ls_rerun;

/* Writes the trace of the run to a new directory. */
lockstep_status ls_rerun_write(const ls_trace *trace, const ls_models *models, const ls_rerun_options *options, const char *directory, ls_rerun *out_rerun,
                               lockstep_error *error);

#endif
