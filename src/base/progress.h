/* How far something that takes long has come. Whoever works stores figures, which costs next to nothing and may be done by several threads; whether anybody
 * reads them doesn't matter. */
#ifndef LS_BASE_PROGRESS_H
#define LS_BASE_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

typedef enum ls_stage {
    LS_STAGE_RECORDING,  /* without figures */
    LS_STAGE_READING,    /* of files */
    LS_STAGE_PAIRING,    /* without figures */
    LS_STAGE_REPLAYING,  /* nodes, with their layer */
    LS_STAGE_VERIFYING,  /* operations */
    LS_STAGE_COMPARING,  /* pairs */
    LS_STAGE_EXPLAINING, /* without figures */
    LS_STAGE_WEIGHTS,    /* bytes */
    LS_STAGE_WRITING,    /* tensors */
    LS_STAGE_COUNT
} ls_stage;

typedef struct ls_progress {
    uint64_t done, all; /* all: 0 if it isn't known */
    int layer;          /* -1: none */
} ls_progress;

void ls_progress_begin(ls_stage stage, uint64_t all);
void ls_progress_add(ls_stage stage, uint64_t more);
void ls_progress_layer(ls_stage stage, int layer);
void ls_progress_end(ls_stage stage);
/* False if the stage isn't under way. */
bool ls_progress_read(ls_stage stage, ls_progress *out_progress);

#endif
