/* How all schemes store a matrix: each element is a code of a few bits, and stands for a number of a
 * grid: (code - zero) * scale + bias, or table[code] * scale. Elements of a group share a scale. */
#ifndef LS_QUANTIZED_CODE_GRID_H
#define LS_QUANTIZED_CODE_GRID_H

#include "tensor/tensor.h"

/* Where the bits of row r are, whose elements are k = 0, 1, … */
typedef enum ls_packing {
    LS_ALONG_ROWS,    /* a stream of bits, the lowest first; a row begins with a byte */
    LS_DOWN_COLUMNS,  /* the same, but word w of row r is at [w, r] of a matrix of 32-bit words (GPTQ) */
    LS_INTERLEAVED    /* the word at [k, r / 8] holds rows r to r + 7 in the order 0, 2, 4, 6, 1, 3, 5, 7 (AWQ) */
} ls_packing;

typedef struct ls_packed {
    const uint8_t *bytes; /* NULL: there are none */
    ls_packing packing;
    unsigned bits;        /* at most 8 */
    bool high_first;      /* of the two codes of a byte (bitsandbytes) */
    bool is_sequential;   /* LS_INTERLEAVED, but in order */
    uint64_t stride;      /* of LS_ALONG_ROWS in bytes, of the others in words */
} ls_packed;

/* The code; the caller has checked that it lies within the bytes. */
unsigned ls_packed_at(const ls_packed *p, uint64_t row, uint64_t k);

/* Scales (or biases, or zeros) as a matrix of one for each group. */
typedef struct ls_group_values {
    ls_view view;           /* rank 0: there are none */
    uint64_t row_step, group_step; /* in elements; 0 where all rows share them */
} ls_group_values;

/* Scales that are quantized themselves (bitsandbytes): table[code] * scale of a block + offset. */
typedef struct ls_nested {
    float table[256];
    const uint8_t *codes;  /* NULL: they aren't */
    ls_view scales;
    uint64_t block;
    float offset;
} ls_nested;

typedef struct ls_grid {
    ls_codes codes;
    uint64_t rows, columns;          /* as stored */
    uint64_t batch_rows;             /* rows of one of several matrices that are stacked */
    uint64_t group_rows, group_columns;
    uint64_t scale_rows;             /* of one matrix: rows of groups */
    ls_packed packed;
    bool is_signed;                  /* codes are two's complement */
    bool is_table;
    bool is_calibrated;              /* as in ls_codes */
    float table[256], below[256], above[256]; /* values, and where rounding to a code begins and ends */
    unsigned least, most;            /* of codes that aren't in a table: the outermost */
    ls_group_values scale, bias, zero;
    float scale_factor;              /* of the whole tensor */
    double scale_error;              /* relative: scales are stored rounded */
    ls_nested nested;
    ls_packed packed_zero;
    bool zero_by_group;              /* a row of packed_zero is a group, not a row of the matrix */
    float zero_point;                /* is added to any other zero */
    const int32_t *group_of;         /* column -> group, or NULL: column / group_columns */
} ls_grid;

/* Fills in `below` and `above` from the table. */
void ls_grid_set_table(ls_grid *grid, const float *table, unsigned count);
/* Fills in `codes`. */
void ls_grid_finish(ls_grid *grid);

/* --- what people get wrong when they write or read codes */
enum { LS_GRID_FAULTS = 6 };
typedef struct ls_grid_fault {
    const char *id, *sentence;    /* {side} is the quantized side */
    bool (*undo)(ls_grid *grid);  /* false if the grid can't have the fault */
} ls_grid_fault;
extern const ls_grid_fault ls_grid_faults[LS_GRID_FAULTS];
/* Copies the grid, without the fault; false if it can't have it. */
bool ls_grid_undo(const ls_codes *codes, int fault, ls_grid *out_grid);
/* Whether a grid could have the other's scales; if so, gives them to a copy. */
bool ls_grid_exchange_scales(const ls_codes *codes, const ls_codes *other, ls_grid *out_grid);

#endif
