/* Decoders of ggml's quantized types, in variants for different processors. */
#ifndef LS_TENSOR_QUANTS_H
#define LS_TENSOR_QUANTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Name, elements and bytes of a block, and its 16- and 32-bit fields as a list of (offset,
 * width, count), for files of the opposite byte order. */
#define LS_QUANT_LIST(X)                                  \
    X(q4_0, 32, 18, FIELDS({0, 2, 1}))                    \
    X(q4_1, 32, 20, FIELDS({0, 2, 2}))                    \
    X(q5_0, 32, 22, FIELDS({0, 2, 1}, {2, 4, 1}))         \
    X(q5_1, 32, 24, FIELDS({0, 2, 2}, {4, 4, 1}))         \
    X(q8_0, 32, 34, FIELDS({0, 2, 1}))                    \
    X(q8_1, 32, 36, FIELDS({0, 2, 2}))                    \
    X(q2_K, 256, 84, FIELDS({80, 2, 2}))                  \
    X(q3_K, 256, 110, FIELDS({108, 2, 1}))                \
    X(q4_K, 256, 144, FIELDS({0, 2, 2}))                  \
    X(q5_K, 256, 176, FIELDS({0, 2, 2}))                  \
    X(q6_K, 256, 210, FIELDS({208, 2, 1}))                \
    X(q8_K, 256, 292, FIELDS({0, 4, 1}, {260, 2, 16}))    \
    X(iq2_xxs, 256, 66, FIELDS({0, 2, 33}))               \
    X(iq2_xs, 256, 74, FIELDS({0, 2, 33}))                \
    X(iq2_s, 256, 82, FIELDS({0, 2, 1}))                  \
    X(iq3_xxs, 256, 98, FIELDS({0, 2, 1}, {66, 4, 8}))    \
    X(iq3_s, 256, 110, FIELDS({0, 2, 1}))                 \
    X(iq1_s, 256, 50, FIELDS({0, 2, 1}, {34, 2, 8}))      \
    X(iq1_m, 256, 56, FIELDS({48, 2, 4}))                 \
    X(iq4_nl, 32, 18, FIELDS({0, 2, 1}))                  \
    X(iq4_xs, 256, 136, FIELDS({0, 2, 2}))                \
    X(tq1_0, 256, 54, FIELDS({52, 2, 1}))                 \
    X(tq2_0, 256, 66, FIELDS({64, 2, 1}))                 \
    X(mxfp4, 32, 17, FIELDS({0, 0, 0}))                   \
    X(nvfp4, 64, 36, FIELDS({0, 0, 0}))                   \
    X(q1_0, 128, 18, FIELDS({0, 2, 1}))                   \
    X(q2_0, 64, 18, FIELDS({0, 2, 1}))

/* Decodes a row of blocks to floats; `n` may end inside the last block. */
typedef void ls_quant_decoder(const void *in, size_t n, float *out);

typedef struct ls_quants {
    const char *name;
#define X(type, elements, size, swap) ls_quant_decoder *type;
    LS_QUANT_LIST(X)
#undef X
} ls_quants;

/* In plain C, the reference: the others must produce the same bits. */
extern const ls_quants ls_quants_c;
/* NULL if the processor doesn't support it. */
const ls_quants *ls_quants_avx2(void);

#endif
