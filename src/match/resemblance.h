/* Which tensors of two passes resemble each other, by what they hold. */
#ifndef LS_MATCH_RESEMBLANCE_H
#define LS_MATCH_RESEMBLANCE_H

#include "match/matching.h"
#include "match/sketch.h"

/* A tensor that may be paired: whole, or the last row of it along one axis. */
typedef struct ls_piece {
    size_t node;
    int last_of; /* the axis, or -1 for the whole tensor */
    ls_sketch sketch;
} ls_piece;

typedef struct ls_pieces {
    ls_piece *items; /* ascending in node */
    size_t count, capacity;
} ls_pieces;

/* A reference piece that a candidate piece may be. */
typedef struct ls_likeness {
    size_t reference; /* piece */
    double error;     /* ls_sketch_distance, or ls_sketch_unlikeness behind a fault; the same under a layout */
    bool by_layout;   /* found under another order of axes, or of rotary halves */
    ls_reorder reorder;
} ls_likeness;

enum { LS_LIKENESSES = 16 };

/* The nearest reference pieces of one candidate piece, in the order of their error. */
typedef struct ls_likenesses {
    ls_likeness items[LS_LIKENESSES];
    size_t count;
} ls_likenesses;

typedef struct ls_resemblance {
    ls_pieces reference, candidate;
    ls_likenesses *of; /* per candidate piece */
} ls_resemblance;

/* Of the tensors of a pair of passes that have no partner yet. `behind`: a fault, which may have scaled them, and changed much. */
lockstep_status ls_resemblance_find(const ls_matching *matching, size_t pass_pair, bool behind, ls_resemblance *out_resemblance, lockstep_error *error);
void ls_resemblance_done(ls_resemblance *resemblance);

#endif
