/* The same tensor in other layers. */
#ifndef LS_DIFF_SIBLINGS_H
#define LS_DIFF_SIBLINGS_H

#include "diff/diff.h"

typedef struct ls_siblings {
    size_t *group; /* pair -> its group */
    size_t *next;  /* pair -> the next of its group, or LS_NONE */
    size_t *first; /* group -> its first pair */
} ls_siblings;

/* False when out of memory. */
bool ls_siblings_find(const ls_diff *diff, ls_siblings *out_siblings);
void ls_siblings_done(ls_siblings *siblings);

enum { LS_SIBLINGS_MAX = 512 };

/* How much of their tolerance the siblings of a pair use that have its precision. */
typedef struct ls_sibling_errors {
    double used[LS_SIBLINGS_MAX]; /* ascending */
    size_t count;
    bool faulty; /* one of them has NaN, or could not be compared */
} ls_sibling_errors;

void ls_sibling_errors_of(const ls_diff *diff, const ls_siblings *siblings, const ls_mark *marks, size_t pair, ls_sibling_errors *out_errors);
/* The relative L2 of a pair as a share of its tolerance, which grows with depth where rounding does. */
double ls_used_of_tolerance(const ls_pair *pair, const ls_mark *mark);

#endif
