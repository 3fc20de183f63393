/* What replay can't see: how far a fault may move a result without being told from rounding. */
#ifndef LS_DIFF_DETECTION_H
#define LS_DIFF_DETECTION_H

#include "diff/model.h"

/* Of all operations of a kind that were found. */
typedef struct ls_detection_limit {
    const char *op, *type; /* type: of the weight that it multiplies with; NULL where there is none */
    size_t operations;
    double limit;          /* relative L2, the largest of the kind */
} ls_detection_limit;

typedef struct ls_detection_limits {
    ls_detection_limit *items; /* the largest first */
    size_t count;
    const char *reference_type; /* in which the reference computes, where it hides more than weights do; or NULL */
} ls_detection_limits;

/* Empty where nothing was replayed. */
lockstep_status ls_detection_limits_find(const ls_diff *diff, ls_detection_limits *out, lockstep_error *error);
void ls_detection_limits_done(ls_detection_limits *limits);

#endif
