/* Rows that correspond, and rows whose embeddings are given. */
#ifndef LS_MATCH_ROW_PAIR_H
#define LS_MATCH_ROW_PAIR_H

#include <stddef.h>
#include <stdint.h>

typedef struct ls_row_pair {
    uint32_t reference, candidate; /* row indexes within their passes */
} ls_row_pair;

/* The first rows that follow each other and have their embeddings from elsewhere, as those of a picture. */
typedef struct ls_given_rows {
    int32_t position, token; /* of the first; the token of the other side for which they stand */
    size_t count;
} ls_given_rows;

#endif
