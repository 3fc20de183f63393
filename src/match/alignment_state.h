/* What an alignment of tokens keeps between calls. */
#ifndef LS_MATCH_ALIGNMENT_STATE_H
#define LS_MATCH_ALIGNMENT_STATE_H

#include "match/alike_passes.h"
#include "match/row_identity.h"

struct ls_token_alignment_state {
    ls_row_side reference, candidate;
    bool decided;
    bool is_dump;        /* one side is one, of one pass of the other, a recorded run */
    size_t first_free;   /* passes of the reference before it have no free row */
    size_t after_tokens; /* the pass of the reference after the last that is paired by tokens */
    ls_alike_pass *alike; /* passes that pair by their weights, ascending in the candidate's */
    size_t alike_count, next_alike;
    ls_row_pair *list;   /* room for the rows of one pass */
    size_t list_capacity;
};

#endif
