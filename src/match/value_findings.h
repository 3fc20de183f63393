/* What pairing by values shows beside its pairs. */
#ifndef LS_MATCH_VALUE_FINDINGS_H
#define LS_MATCH_VALUE_FINDINGS_H

#include <stdbool.h>
#include <stddef.h>

/* What the candidate has in the place of something else: another weight, or the result of another operation. Nodes of the reference. */
typedef struct ls_exchange {
    size_t node, instead; /* weights, or operations with their results */
    size_t reader;        /* the operation that shows it */
    bool is_of_weights;
} ls_exchange;

typedef struct ls_value_findings {
    ls_exchange *items; /* to be freed */
    size_t count, capacity;
    size_t named, refuted;    /* pairs with equal names, and those whose values are another tensor's */
    size_t refuted_reference, refuted_candidate; /* the first of these */
    bool drops_names;         /* most are: names mean nothing */
    size_t paired, possible;  /* pairs that are certain, and how many there would be of two runs of one model */
} ls_value_findings;

/* Too few for two runs of one model on one input. */
static inline bool ls_value_findings_are_few(const ls_value_findings *f) { return 8 * f->paired < f->possible; }

#endif
