/* Measures what hashing the values and the metrics of rows add to a comparison of Q4_K
 * blocks with f16. Prints nanoseconds per element: "plain hash rows both". */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "compare/metrics.h"

enum { ROWS = 4096, COLUMNS = 4096, ROUNDS = 7 };

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static int by_value(const void *a, const void *b) {
    const double *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

int main(void) {
    const size_t count = (size_t)ROWS * COLUMNS;
    uint8_t *halves = malloc(2 * count), *blocks = malloc(count / 256 * 144);
    if (halves == NULL || blocks == NULL)
        return 1;
    uint32_t seed = 1;
    for (size_t i = 0; i < 2 * count; i++)
        halves[i] = (uint8_t)((seed = seed * 1664525u + 1013904223u) >> 24) & 0xbb; /* no NaN */
    memcpy(blocks, halves, count / 256 * 144);
    ls_view r = {.data = halves, .dtype = LOCKSTEP_F16, .rank = 2, .shape = {ROWS, COLUMNS}};
    ls_view c = {.data = blocks, .dtype = LOCKSTEP_Q4_K, .rank = 2, .shape = {ROWS, COLUMNS}};
    ls_view_set_contiguous(&r);
    ls_view_set_contiguous(&c);
    double seconds[4][ROUNDS];
    ls_metrics m;
    for (int round = 0; round < ROUNDS; round++)
        for (int way = 0; way < 4; way++) {
            ls_compare_options wants = {.hash = way == 1 || way == 3, .row_length = way >= 2 ? COLUMNS : 0};
            double begin = now();
            if (ls_compare(&r, &c, &wants, &m, NULL) != LOCKSTEP_OK)
                return 1;
            seconds[way][round] = now() - begin;
        }
    for (int way = 0; way < 4; way++) {
        qsort(seconds[way], ROUNDS, sizeof(double), by_value);
        printf("%.3f ", seconds[way][ROUNDS / 2] / (double)count * 1e9);
    }
    printf("\n");
    return 0;
}
