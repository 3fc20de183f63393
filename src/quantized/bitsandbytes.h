/* The JSON that bitsandbytes stores beside 4-bit codes. */
#ifndef LS_QUANTIZED_BITSANDBYTES_H
#define LS_QUANTIZED_BITSANDBYTES_H

#include "base/error.h"

typedef struct ls_quant_state {
    int rank;
    uint64_t shape[LOCKSTEP_MAX_RANK], elements; /* of the weight; none is 0 */
    uint64_t block, nested_block;                /* elements that share a scale; scales that share one (0: unknown) */
    double nested_offset;                        /* NaN: unknown */
} ls_quant_state;

bool ls_quant_state_read(const char *name, const uint8_t *bytes, size_t size, ls_quant_state *out, lockstep_error *error);

#endif
