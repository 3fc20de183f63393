/* Times the comparison's kernels on a tile in the first-level cache. Prints lines
 * "kernel variant nanoseconds-per-element" with the best of several runs. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "compare/kernel.h"

enum { N = 2048, REPEATS = 2000, RUNS = 7 };

typedef struct tiles {
    float f32[2][N];
    double f64[2][N];
    uint64_t counts[LS_SHARES + 1];
    ls_tile tile;
    volatile uint32_t steps;
} tiles;

static void sum_f32(const ls_kernels *k, tiles *t) { k->sum_f32(t->f32[0], t->f32[1], N, &t->tile); }
static void sum_f64(const ls_kernels *k, tiles *t) { k->sum_f64(t->f64[0], t->f64[1], N, &t->tile); }
static void count_f32(const ls_kernels *k, tiles *t) {
    k->count_f32(t->f32[0], t->f32[1], N, &(ls_count_limits){1, false, 1e-5, 1e-3}, t->counts);
}
static void count_f64(const ls_kernels *k, tiles *t) {
    k->count_f64(t->f64[0], t->f64[1], N, &(ls_count_limits){1, false, 1e-5, 1e-3}, t->counts);
}
static void ulp_f32(const ls_kernels *k, tiles *t) { t->steps = k->ulp_f32(t->f32[0], t->f32[1], N); }
static void ulp_16(const ls_kernels *k, tiles *t) { t->steps = k->ulp_16(t->f32[0], t->f32[1], N, 0x7c00); }

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static double best_of_runs(void (*run)(const ls_kernels *, tiles *), const ls_kernels *k, tiles *t) {
    double best = 1e30;
    for (int i = 0; i < RUNS; i++) {
        double from = now();
        for (int j = 0; j < REPEATS; j++)
            run(k, t);
        double each = (now() - from) / REPEATS / N;
        best = each < best ? each : best;
    }
    return best;
}

int main(void) {
    static tiles t;
    static const struct {
        const char *name;
        void (*run)(const ls_kernels *, tiles *);
    } rows[] = {{"sum_f32", sum_f32}, {"sum_f64", sum_f64}, {"count_f32", count_f32}, {"count_f64", count_f64},
                {"ulp_f32", ulp_f32}, {"ulp_16", ulp_16}};
    const ls_kernels *variants[] = {&ls_kernels_c, ls_kernels_avx2()};
    for (int i = 0; i < N; i++) {
        t.f64[0][i] = t.f32[0][i] = (float)rand() / (float)RAND_MAX - 0.5f;
        t.f64[1][i] = t.f32[1][i] = t.f32[0][i] * (1 + 1e-6f * (float)(i % 7));
    }
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        for (int v = 0; v < 2; v++)
            if (variants[v] != NULL)
                printf("%-10s %-5s %.3f\n", rows[i].name, variants[v]->name, best_of_runs(rows[i].run, variants[v], &t));
    return 0;
}
