/* Which rows of which passes answer to each other. A row is one (sequence,
 * position, token) after one history of tokens; a pass is only a batch of rows. */
#ifndef LS_ALIGN_ROWS_H
#define LS_ALIGN_ROWS_H

#include "base/text.h"
#include "trace/trace.h"

typedef struct ls_row_pair {
    uint32_t reference, candidate; /* row indexes within their passes */
} ls_row_pair;

typedef struct ls_pass_pair {
    size_t reference, candidate; /* pass indexes */
    ls_row_pair *rows;           /* rising in candidate; NULL when rows are unknown */
    size_t row_count;
    bool whole;                  /* all rows of both, in the same order */
} ls_pass_pair;

typedef enum ls_inputs_status {
    LS_INPUTS_EQUAL,   /* every row of the reference has its partner */
    LS_INPUTS_SHORTER, /* the candidate ended earlier; up to there they are equal */
    LS_INPUTS_PARTIAL, /* some passes have no partner: other tokens from there on */
    LS_INPUTS_DIFFER,  /* the first pass differs */
    LS_INPUTS_UNKNOWN, /* a side doesn't know its tokens: passes pair by their order */
} ls_inputs_status;

typedef struct ls_rows {
    ls_inputs_status status;
    ls_pass_pair *pairs; /* rising in candidate */
    size_t pair_count, pair_capacity;
    size_t reference_alone, candidate_alone; /* passes that no other answers to; of those without tokens, where tokens decide */
    bool in_order;               /* a side doesn't know its tokens: passes pair by their order */
    struct ls_rows_state *state;
    size_t matched, reference_rows, candidate_rows; /* without padding */
    size_t padding;              /* rows of both sides that batches were padded with */
    size_t first_reference_pass; /* the first that lacks a partner; LS_NONE */
    size_t difference_at;        /* row within the first passes where they part; LS_NONE */
    ls_text message;             /* one line that says it; may be empty */
} ls_rows;

/* Pairs the candidate's passes that came since; both traces are always the same. */
lockstep_status ls_rows_grow(ls_rows *rows, const ls_trace *reference, const ls_trace *candidate, lockstep_error *error);
/* Sets the status, and what goes with it. */
void ls_rows_judge(ls_rows *rows);
void ls_rows_done(ls_rows *rows);
/* The first pair whose candidate is this pass or a later one. */
size_t ls_rows_from(const ls_rows *rows, size_t pass);

const char *ls_inputs_status_name(ls_inputs_status status);

#endif
