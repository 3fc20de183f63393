#include "tensor/quants.h"

#include "tensor/decode.h"
#include "tensor/quant_grids.h"

static inline float half_at(const uint8_t *p) { return ls_f16_to_f32((uint16_t)(p[0] | p[1] << 8)); }

static inline void scaled_points(const int8_t *grid, uint8_t signs, float d, float *out) {
    for (int j = 0; j < 8; j++)
        out[j] = d * (float)((signs >> j & 1) != 0 ? -grid[j] : grid[j]);
}

static inline void shifted_points(const int8_t *grid, float shift, float d, float *out) {
    for (int j = 0; j < 8; j++)
        out[j] = d * ((float)grid[j] + shift);
}

static inline void looked_up(const uint8_t *q, int half, const int8_t *table, float d, float *out) {
    for (int j = 0; j < half; j++) {
        out[j] = d * (float)table[q[j] & 15];
        out[j + half] = d * (float)table[q[j] >> 4];
    }
}

static inline void signed_bits(uint8_t byte, float d, float *out) {
    for (int j = 0; j < 8; j++)
        out[j] = (byte >> j & 1) != 0 ? d : -d;
}

static inline void times(const int8_t *q, int n, float d, float *out) {
    for (int j = 0; j < n; j++)
        out[j] = d * (float)q[j];
}

static inline void times_plus(const int8_t *q, int n, float d, float m, float *out) {
    for (int j = 0; j < n; j++)
        out[j] = d * (float)q[j] + m;
}

static inline void nibbles(const uint8_t *q, int8_t out[32]) {
    for (int j = 0; j < 16; j++) {
        out[j] = (int8_t)(q[j] & 15);
        out[j + 16] = (int8_t)(q[j] >> 4);
    }
}

static inline void add_fifth(uint32_t bits, int8_t q[32]) {
    for (int j = 0; j < 32; j++)
        q[j] = (int8_t)(q[j] + (int)(bits >> j & 1) * 16);
}

#include "tensor/quant_blocks.h"

#define X(type, elements, size, swap) type,
const ls_quants ls_quants_c = {"c", LS_QUANT_LIST(X)};
#undef X
