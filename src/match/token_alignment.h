/* Which rows of which passes correspond. A row is one (sequence, position, token) after one history
 * of tokens; a pass is only a batch of rows. */
#ifndef LS_MATCH_TOKEN_ALIGNMENT_H
#define LS_MATCH_TOKEN_ALIGNMENT_H

#include "match/row_pair.h"
#include "trace/trace.h"

typedef struct ls_pass_pair {
    size_t reference, candidate; /* pass indexes */
    ls_row_pair *rows;           /* ascending in candidate; NULL when rows are unknown */
    size_t row_count;
    bool whole;                  /* all rows of both, in the same order */
    size_t reference_items, candidate_items, item; /* where one side's pass is over several pictures, and the other's over this one; 0: elsewhere */
} ls_pass_pair;

typedef enum ls_inputs_status {
    LS_INPUTS_EQUAL,   /* every row of the reference has its partner */
    LS_INPUTS_SHORTER, /* the candidate ended earlier; up to there they are equal */
    LS_INPUTS_PARTIAL, /* some passes have no partner: other tokens from there on */
    LS_INPUTS_DIFFER,  /* the first pass differs */
    LS_INPUTS_UNKNOWN, /* a side doesn't record its tokens: passes pair by their order */
} ls_inputs_status;

/* How the inputs of the two runs differ. */
typedef enum ls_inputs_code {
    LS_INPUTS_NO_FINDING,
    LS_INPUTS_EXTRA_TOKEN,        /* the candidate has candidate_token at position `at` beside the reference's tokens */
    LS_INPUTS_MISSING_TOKEN,      /* the candidate lacks reference_token at position `at` */
    LS_INPUTS_POSITIONS,          /* row `at` has reference_position and candidate_position */
    LS_INPUTS_TOKENS,             /* position `at` has reference_token and candidate_token */
    LS_INPUTS_LENGTHS,            /* the tokens are equal up to the end of one side, at position `at` */
    LS_INPUTS_LONE_SEQUENCE,      /* a sequence of a batch differs, the others are the same */
    LS_INPUTS_MISSING_SEQUENCES,  /* the candidate's batches lack some sequences */
    LS_INPUTS_ENDED_EARLIER,      /* from first_reference_pass on, rows have no partner: the candidate ended earlier */
    LS_INPUTS_OTHER_TOKENS,       /* the same: the candidate has other tokens */
    LS_INPUTS_GIVEN_ROWS,         /* from position `at` on, the reference has reference_rows tokens reference_token, and the candidate candidate_rows
                                     rows whose embeddings are given */
} ls_inputs_code;

typedef struct ls_inputs_finding {
    ls_inputs_code code;
    size_t at;
    int32_t reference_token, candidate_token, reference_position, candidate_position;
    bool is_doubled;                       /* the token that is extra, or missing, is the one before it again */
    size_t reference_rows, candidate_rows; /* of the two passes that were compared; 0 where none were */
} ls_inputs_finding;

typedef struct ls_token_alignment {
    ls_inputs_status status;
    ls_inputs_finding finding;
    ls_pass_pair *pairs; /* ascending in candidate */
    size_t pair_count, pair_capacity;
    size_t reference_alone, candidate_alone; /* unpaired passes. When pairing is by tokens, only passes without tokens are counted */
    const struct ls_alike_pass *chosen; /* the passes that the user wants compared, ascending in candidate; NULL for all */
    size_t chosen_count;
    bool in_order;               /* passes pair by their order, because a side doesn't record its tokens */
    bool by_weights;             /* or by the weights that they read, where these are known */
    size_t left_out;             /* passes of the candidate, then, that have no partner */
    ls_given_rows given;         /* where the candidate has embeddings for the reference's tokens */
    struct ls_token_alignment_state *state;
    size_t matched, reference_rows, candidate_rows; /* rows, without padding */
    size_t padding;              /* rows of both sides that batches were padded with */
    size_t first_reference_pass; /* the first that lacks a partner; LS_NONE */
} ls_token_alignment;

/* Pairs the passes that the candidate got since the last call, which has to be for the same traces. */
lockstep_status ls_tokens_align(ls_token_alignment *alignment, const ls_trace *reference, const ls_trace *candidate, lockstep_error *error);
/* Sets the status, the finding and the counts. */
void ls_token_alignment_judge(ls_token_alignment *alignment);
void ls_token_alignment_done(ls_token_alignment *alignment);
/* The first pair whose candidate is this pass or a later one. */
size_t ls_token_alignment_from(const ls_token_alignment *alignment, size_t pass);
/* Do the shared rows of a pass pair have other positions on the two sides? Then a batch is padded in front. */
bool ls_pass_pair_is_shifted(const ls_pass_pair *pair, const ls_trace *reference, const ls_trace *candidate);

const char *ls_inputs_status_name(ls_inputs_status status);

#endif
