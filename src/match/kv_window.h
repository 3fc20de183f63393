/* Which columns of a padded KV cache a pass of a ggml engine can see. */
#ifndef LS_MATCH_KV_WINDOW_H
#define LS_MATCH_KV_WINDOW_H

#include "trace/trace.h"

typedef struct ls_kv_window {
    uint64_t padded;       /* size of the cache's axis; 0: the tensor has no such axis */
    uint64_t first, count; /* the visible columns, which are contiguous */
    int from_last;         /* which axis is the cache's: 0 is the innermost */
} ls_kv_window;

/* Fills in windows[…] for the tensors of attention among nodes[from …) and for what feeds them. The
 * mask of each softmax, or of fused attention, shows which columns some row may attend to. */
lockstep_status ls_kv_windows_read(const ls_trace *trace, size_t from, ls_kv_window *windows, lockstep_error *error);

#endif
