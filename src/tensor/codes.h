/* Codes of a quantization scheme whose scales are stored in other tensors: the elements have no
 * bytes of their own, and are decoded by the scheme (part `quantized`). */
#ifndef LS_TENSOR_CODES_H
#define LS_TENSOR_CODES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct ls_codes ls_codes;
struct ls_codes {
    /* Decodes elements [first, first + n) in the order in which they are stored. Thread-safe. */
    void (*read)(const ls_codes *codes, uint64_t first, size_t n, float *out);
    /* The numbers that the scheme rounds to each of these elements: from low to high. Infinite for the
     * outermost codes, which also stand for all that lies beyond them. */
    void (*read_cells)(const ls_codes *codes, uint64_t first, size_t n, float *low, float *high);
    /* Elements that share a scale, adjacent in a row; 0 if they are scattered. */
    uint64_t group;
    /* Codes may have been chosen so that a layer's output is right, not each element (GPTQ). */
    bool is_calibrated;
};

#endif
