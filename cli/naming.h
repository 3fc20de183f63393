/* Other tools' names for the tensors of a trace. */
#ifndef LS_CLI_NAMING_H
#define LS_CLI_NAMING_H

#include "trace/trace.h"

/* The metadata of a file with such names have this key. */
#define NAMING_MARK "kqv_trace.description"

/* What KQV trace monitors write: kqv_out_NAME_step_N for the tensors that the filter
 * names, srcK_NAME_step_N for what they are computed from; N is the pass. */
typedef struct naming {
    const char **names; /* one for each tensor of the trace as an archive; NULL: leave it out */
    ls_meta metas[5];
    ls_arena arena;
} naming;

lockstep_status naming_kqv_trace(const char *trace, const char *tensors, const char *layers, bool sources, naming *out_naming,
                                 lockstep_error *error);
void naming_done(naming *n);

#endif
