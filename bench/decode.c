/* Compares decoding on one thread with ggml's own functions on the same blocks.
 *     decode LIBGGML_BASE      prints "type ours theirs" in million elements per second */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tensor/decode.h"

enum { ELEMENTS = 1 << 15, ROUNDS = 400 }; /* fits in the second-level cache */

typedef void decoder(const void *in, size_t n, float *out);
typedef void ggml_decoder(const void *in, float *out, int64_t n);

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static uint8_t *random_blocks(size_t bytes) {
    uint8_t *blocks = malloc(bytes);
    uint32_t seed = 1;
    for (size_t i = 0; blocks != NULL && i < bytes; i++)
        blocks[i] = (uint8_t)((seed = seed * 1664525u + 1013904223u) >> 24) & 0x3f; /* no NaN, no infinity */
    return blocks;
}

/* Takes turns, so that both run under the same conditions, and takes the best time of each. */
static void measure(const char *name, decoder *ours, ggml_decoder *theirs, size_t bytes, float *out) {
    uint8_t *blocks = random_blocks(bytes);
    double best[2] = {1e9, 1e9};
    for (int round = 0; round < ROUNDS && blocks != NULL; round++)
        for (int side = 0; side < 2; side++) {
            double begin = now();
            if (side == 0)
                ours(blocks, ELEMENTS, out);
            else
                theirs(blocks, out, ELEMENTS);
            double seconds = now() - begin;
            best[side] = seconds < best[side] ? seconds : best[side];
        }
    free(blocks);
    printf("%s %.0f %.0f\n", name, ELEMENTS / best[0] / 1e6, ELEMENTS / best[1] / 1e6);
}

int main(int argc, char **argv) {
    void *ggml = argc > 1 ? dlopen(argv[1], RTLD_NOW | RTLD_LOCAL) : NULL;
    float *out = malloc(ELEMENTS * sizeof *out);
    if (ggml == NULL || out == NULL)
        return fprintf(stderr, "usage: decode LIBGGML_BASE: %s\n", argc > 1 ? dlerror() : ""), 2;
    void *f16 = dlsym(ggml, "ggml_fp16_to_fp32_row"), *bf16 = dlsym(ggml, "ggml_bf16_to_fp32_row");
    if (f16 != NULL)
        measure("f16", ls_decode_f16, (ggml_decoder *)f16, ELEMENTS * 2, out);
    if (bf16 != NULL)
        measure("bf16", ls_decode_bf16, (ggml_decoder *)bf16, ELEMENTS * 2, out);
#define X(type, elements, size, fields)                                                                    \
    {                                                                                                      \
        void *theirs = dlsym(ggml, "dequantize_row_" #type);                                               \
        if (theirs != NULL)                                                                                \
            measure(#type, ls_decode_##type, (ggml_decoder *)theirs, ELEMENTS / (elements) * (size), out); \
    }
    LS_QUANT_LIST(X)
#undef X
    free(out);
    return 0;
}
