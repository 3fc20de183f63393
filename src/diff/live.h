/* A comparison while the candidate runs: a recording (record/recording.h) that keeps a tensor only until it has
 * been compared. */
#ifndef LS_DIFF_LIVE_H
#define LS_DIFF_LIVE_H

#include "diff/diff.h"
#include "record/recording.h"

typedef struct ls_live ls_live;

typedef struct ls_live_options {
    ls_diff_options diff;
    const char *name;      /* the candidate's, for reports */
    bool stop_first;       /* the recording ends at the first divergence */
    uint64_t memory_bytes; /* limit for values that wait or may still be needed; 0: 256 MiB */
} ls_live_options;

/* Opens the reference. The recording may be used until ls_live_finish. */
lockstep_status ls_live_open(const char *reference, const ls_live_options *options, ls_live **out_live,
                             ls_recording *out_recording, lockstep_error *error);
/* Call it after the recording was closed: compares the remaining pairs and decides the outcome. The diff belongs
 * to `live`. */
lockstep_status ls_live_finish(ls_live *live, ls_diff **out_diff, lockstep_error *error);
/* NULL is allowed. */
void ls_live_close(ls_live *live);

#endif
