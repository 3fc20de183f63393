/* Two checkpoints of which all weights that were compared are alike: they need not be compared again for each prompt of a run.
 * Neither stays open, because the next prompt's commands may write them again. */
#ifndef LS_CLI_ALIKE_WEIGHTS_H
#define LS_CLI_ALIKE_WEIGHTS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/map.h"

typedef struct alike_weights {
    uint64_t key; /* of the paths, and of the files' sizes and times; 0: none are known */
    ls_map names; /* of the candidate's weights -> 1 */
} alike_weights;

/* What identifies the two as they are now; never 0. */
uint64_t alike_weights_key(const char *reference, const char *const *candidates, size_t count);
/* Forgets what was known. */
void alike_weights_begin(alike_weights *alike, uint64_t key);
void alike_weights_add(alike_weights *alike, const char *name);
bool alike_weights_have(const alike_weights *alike, const char *name);
void alike_weights_done(alike_weights *alike);

#endif
