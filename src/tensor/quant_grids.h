/* Tables of ggml's iq types. */
#ifndef LS_TENSOR_QUANT_GRIDS_H
#define LS_TENSOR_QUANT_GRIDS_H

#include <stdint.h>

typedef struct ls_quant_grids {
    int8_t iq2_xxs[256][8], iq2_xs[512][8], iq2_s[1024][8];
    int8_t iq1_s[2048][8]; /* also of iq1_m */
    int8_t iq3_xxs[256][4], iq3_s[512][4];
    uint8_t signs[128];  /* the 7 bits of the index, and their parity as the eighth */
    int8_t factors[256][8]; /* -1 where a bit is set, else 1 */
} ls_quant_grids;

/* Filled by ls_grids_prepare, which may be called from any thread at any time. */
extern ls_quant_grids ls_grids;
void ls_grids_prepare(void);

#endif
