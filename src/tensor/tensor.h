/* A tensor as a view of bytes in memory (usually a mapped file). */
#ifndef LS_TENSOR_TENSOR_H
#define LS_TENSOR_TENSOR_H

#include "tensor/codes.h"
#include "tensor/dtype.h"

/* Outermost axis first. Strides count elements; they may be 0 or negative.
 * Element [i,j,…] is the one at origin + i * strides[0] + j * strides[1] + … of
 * the row of elements (or blocks of them) that starts at `data`. */
typedef struct ls_view {
    const uint8_t *data;
    const ls_codes *codes; /* of a type scaled_…: decodes the elements, and `data` is NULL; else NULL */
    uint64_t origin; /* nonzero only in slices of block types and codes, whose elements have no address */
    lockstep_dtype dtype;
    bool swap; /* elements are in the opposite byte order */
    float factor; /* scale of the whole tensor, stored apart from it, which multiplies every value; 0 if none */
    bool mapped; /* data is in a mapped file: its pages can be dropped and read again */
    int rank;
    uint64_t shape[LOCKSTEP_MAX_RANK];
    int64_t strides[LOCKSTEP_MAX_RANK];
} ls_view;

/* "[2, 3]"; "[]" for a scalar. */
enum { LS_SHAPE_TEXT = LOCKSTEP_MAX_RANK * 22 + 3 };
void ls_shape_text(int rank, const uint64_t *shape, char out[LS_SHAPE_TEXT]);

uint64_t ls_view_elements(const ls_view *view);
/* Fills row-major strides for shape and rank. */
void ls_view_set_contiguous(ls_view *view);
/* Whether elements are row-major without gaps, starting at `data`. */
bool ls_view_is_contiguous(const ls_view *view);

/* Whether a float holds every value. */
bool ls_view_is_f32(const ls_view *view);
/* Decode elements [first, first + count) in the view's row-major order. The float variant
 * rounds values that float can't hold, by way of double. */
void ls_view_read_f32(const ls_view *view, uint64_t first, size_t count, float *out);
void ls_view_read_f64(const ls_view *view, uint64_t first, size_t count, double *out);
/* The numbers that are rounded to elements [first, first + count) of a view of codes (tensor/codes.h). */
void ls_view_read_cells(const ls_view *view, uint64_t first, size_t count, float *low, float *high);
/* Copies the elements undecoded, in the machine's byte order; not for block types. */
void ls_view_read_raw(const ls_view *view, uint64_t first, size_t count, void *out);

#endif
