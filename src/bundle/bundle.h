/* The smallest thing that shows a divergence: one operation, with its operands, its parameters, what it gave and what the reference has, as
 * .npy, and scripts that compute it: for NumPy and for ggml. */
#ifndef LS_BUNDLE_BUNDLE_H
#define LS_BUNDLE_BUNDLE_H

#include "diff/model.h"

typedef struct ls_bundled {
    uint64_t rows, of;       /* rows of the result that are in it, of how many */
    uint64_t channels, of_channels;
    size_t operations;       /* the one at fault, and those in front of it that belong to it */
    bool has_numpy, has_ggml; /* scripts that compute them */
    const char *missing;     /* the first operation that a script can't compute; NULL */
} ls_bundled;

/* Writes into a folder that exists. Fails where a value was not recorded. */
lockstep_status ls_bundle_write(const ls_diff *diff, const ls_pair *pair, const char *folder, ls_bundled *out_bundled, lockstep_error *error);

#endif
