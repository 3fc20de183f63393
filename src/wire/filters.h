/* Which tensors the user asked for: the channel's options, parsed once. */
#ifndef LS_WIRE_FILTERS_H
#define LS_WIRE_FILTERS_H

#include <stdbool.h>

typedef enum ls_observe_level {
    LS_OBSERVE_ALL,
    LS_OBSERVE_NAMED,
    LS_OBSERVE_OUTPUTS,
    LS_OBSERVE_LAST, /* what a pass gives in the end, and nothing else */
} ls_observe_level;

ls_observe_level ls_filter_observe(void);
bool ls_filter_pass(long pass);
bool ls_filter_tensor(const char *name, const char *op, int layer);
/* A graph's input belongs to no layer, and to all: the mask says which of a layer's scores count. */
bool ls_filter_input(const char *name);
/* Anything narrower than everything: views are then kept where they match. */
bool ls_filter_has_names(void);
/* Of each tensor that is kept, so many levels of what it is computed from are, too. */
int ls_filter_sources(void);
/* The values of weights, and of caches after each pass, are asked for. */
bool ls_filter_weights(void);
bool ls_filter_caches(void);
/* The recorder may answer with other values for this tensor (ls_channel_resync). `output`:
 * it is a layer's output, or the network's. */
bool ls_filter_resync(const char *name, bool output);

#endif
