/* How much two tensors may differ. */
#ifndef LS_COMPARE_TOLERANCE_H
#define LS_COMPARE_TOLERANCE_H

#include "compare/metrics.h"

/* How coarse the arithmetic behind a tensor is: the coarsest element type of the tensor
 * and of everything that it was computed from. In ascending order. */
typedef struct ls_precision_class {
    const char *name;
    double rel_l2;           /* not exceeded by correct runs (docs/metrics.md) */
    const char *const *types; /* element types, NULL-terminated */
} ls_precision_class;

extern const ls_precision_class ls_precision_classes[]; /* ends with name == NULL */

enum { LS_PRECISION_F32 = 0, LS_PRECISION_GELU_TABLE = 1, LS_PRECISION_GPU = 2, LS_PRECISION_F16 = 3 };

/* The row of an element type, by its name in engines; a type that is not in the table
 * counts as the coarsest. Integers and f32 are row 0. */
int ls_precision_of_type(const char *type);

/* A rule for pass or fail; that of `auto` uses ls_precision_classes. */
typedef struct ls_profile {
    const char *name;
    const char *description;
    bool (*passes)(const ls_metrics *metrics, double noise_rel_l2);
    double atol, rtol; /* the limits for `beyond` */
    double loose;      /* 0, or both limits for `beyond_loose`, which is only counted if `beyond` is not 0 */
    /* The grade of a pair in the words of the rule's authors; NULL if they have none. */
    const char *(*grade)(const ls_metrics *metrics);
} ls_profile;

extern const ls_profile ls_profiles[]; /* ends with name == NULL; the first is the default */
const ls_profile *ls_profile_find(const char *name);

#endif
