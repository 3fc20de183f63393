/* Which tensors the user wants: the channel's options, parsed once for each recorder. */
#ifndef LS_WIRE_FILTERS_H
#define LS_WIRE_FILTERS_H

#include <stdbool.h>

typedef enum ls_observe_level {
    LS_OBSERVE_ALL,
    LS_OBSERVE_NAMED,
    LS_OBSERVE_OUTPUTS,
    LS_OBSERVE_LAST, /* only the final outputs of a pass */
    LS_OBSERVE_INPUTS, /* nothing that is computed */
} ls_observe_level;

ls_observe_level ls_filter_observe(void);
bool ls_filter_pass(long pass);
bool ls_filter_tensor(const char *name, const char *op, int layer);
/* Graph inputs pass the layer filter, because all layers use them (the mask, for example). */
bool ls_filter_input(const char *name);
/* Whether the user gave patterns for names or operations. Only then are the values of matching views kept. */
bool ls_filter_has_names(void);
/* How many levels of ancestors of each kept tensor are kept as well. */
int ls_filter_sources(void);
/* Whether the user asked for the values of weights, and of caches after each pass. */
bool ls_filter_weights(void);
bool ls_filter_caches(void);
/* Whether the recorder may replace this tensor's values (ls_channel_ask). `output` says that it is the output
 * of a layer or of the network. */
bool ls_filter_resync(const char *name, bool output);

#endif
