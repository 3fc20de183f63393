/* An operation computed again, in double precision, from recorded values. */
#ifndef LS_VERIFY_COMPUTED_H
#define LS_VERIFY_COMPUTED_H

#include "eval/some_rows.h"
#include "verify/recorded.h"

typedef struct ls_computed {
    ls_array values;    /* of the chosen rows */
    double *scale;      /* as in ls_evaluation */
    bool reads_nan;     /* an operand was recorded with NaN: in cells of a cache, that means only that they are not known */
    const char *reason; /* why it can't be computed; NULL if it could */
} ls_computed;

/* The node's rows, or all of them. exact: products are summed in double precision, and no rows are left out of those of which none are
 * chosen. False, with a reason, where it can't be computed. */
bool ls_computed_of(const ls_recorded *recorded, size_t node, const ls_rows *rows, bool exact, ls_computed *out);
void ls_computed_done(ls_computed *computed);

bool ls_has_nan(const double *values, uint64_t count);

#endif
