/* What the candidate has in the place of something else: another weight, or the result of another operation. */
#ifndef LS_MATCH_EXCHANGES_H
#define LS_MATCH_EXCHANGES_H

#include <stdbool.h>
#include <stddef.h>

/* Nodes of the reference. */
typedef struct ls_exchange {
    size_t node, instead; /* weights, or operations with their results */
    size_t reader;        /* the operation that shows it */
    bool is_of_weights;
} ls_exchange;

typedef struct ls_exchanges {
    ls_exchange *items;
    size_t count, capacity;
} ls_exchanges;

#endif
