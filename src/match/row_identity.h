/* What the rows of a side's passes are known by: each by its history and itself. */
#ifndef LS_MATCH_ROW_IDENTITY_H
#define LS_MATCH_ROW_IDENTITY_H

#include "base/map.h"
#include "match/row_pair.h"
#include "trace/trace.h"

/* Identity of a row: its history and itself, hashed. */
typedef struct ls_row_id {
    uint64_t history;
    int32_t position; /* in its sequence, not counting padding */
    bool padding;
} ls_row_id;

/* The last picture of a sequence whose rows share a position. */
typedef struct ls_pictured {
    uint64_t context; /* and process */
    int32_t sequence, at; /* its position */
    int64_t shift;        /* of the rows behind it, from their positions to their places */
    bool is_last;         /* nothing has come behind it yet */
} ls_pictured;

typedef struct ls_row_side {
    const ls_trace *trace;
    size_t seen, capacity; /* passes whose rows have been identified, and room */
    ls_row_id **ids;  /* per pass, per row; NULL where unknown */
    bool **used;   /* has a partner */
    size_t *used_count;
    bool *paired;  /* the pass is in some pair */
    ls_map histories;
    ls_map follows;    /* (history, position, token) -> 1; (history, position, ANY_TOKEN) -> the first such token + 1 */
    const struct ls_row_side *other; /* whose tokens rows with given embeddings stand for; NULL for the reference */
    uint64_t given_history;   /* after the last row whose embedding is given here, but not on the other side */
    int32_t placeholder;      /* the token that the rows of its picture stand for */
    ls_given_rows given;
    ls_map rows_of;    /* (pass, history, position) -> the first such row + 1; of the reference */
    uint32_t **next;   /* per pass, per row: the next such row + 1, or 0 */
    ls_map ends;       /* (process, context, sequence) -> the position after its last token */
    ls_map first_positions; /* (process, context, sequence) -> position of its first token after padding */
    ls_pictured *pictured;
    size_t pictured_count, pictured_capacity;
    size_t rows, padding;
} ls_row_side;

/* Identifies the rows of the reference's next pass. False if out of memory. */
bool ls_rows_identify(ls_row_side *side, bool continues);
/* Those of the candidate's. */
bool ls_rows_identify_candidate(ls_row_side *candidate, const ls_row_side *reference);
void ls_rows_forget(ls_row_side *side);
/* The row after the last of the sequence that this row begins. */
size_t ls_rows_end_of_sequence(const ls_pass *pass, size_t row);
int32_t ls_rows_sequence_of(const ls_pass *pass, size_t row);
/* An unpaired row of the reference's pass with the same history and position, in the given sequence if there is one; or LS_NONE. */
size_t ls_rows_free(const ls_row_side *reference, size_t pass, const ls_row_id *id, const int32_t *sequence);

#endif
