/* Which tensors the user asked for: the channel's options, parsed once. */
#ifndef LS_HOOKS_FILTER_H
#define LS_HOOKS_FILTER_H

#include <stdbool.h>

typedef enum observe { OBSERVE_ALL, OBSERVE_NAMED, OBSERVE_OUTPUTS } observe;

observe filter_observe(void);
bool filter_pass(long pass);
bool filter_tensor(const char *name, const char *op, int layer);
/* Anything narrower than everything: views are then kept where they match. */
bool filter_has_names(void);

#endif
