/* A third opinion: the candidate's run again in double precision (verify/rerun.h) says which side is the less exact. */
#ifndef LS_DIFF_ORACLE_H
#define LS_DIFF_ORACLE_H

#include "diff/diff.h"

/* One tensor, compared with the third one. */
typedef struct ls_opinion {
    size_t node;                 /* of the candidate */
    double reference, candidate; /* relative L2 of each side and the oracle's; NaN where they could not be compared */
} ls_opinion;

typedef struct ls_oracle {
    ls_opinion *opinions; /* of the first divergence, and of each pass's final output */
    size_t count;
} ls_oracle;

/* `path`: a trace that `lockstep verify --replay` has made of the candidate's. */
lockstep_status ls_oracle_ask(const ls_diff *diff, const char *path, ls_oracle *out_oracle, lockstep_error *error);
void ls_oracle_done(ls_oracle *oracle);

#endif
