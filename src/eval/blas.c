#include "eval/blas.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* CBLAS's constants, and its functions with 32-bit integers. */
enum { ROW_MAJOR = 101, AS_IS = 111, TRANSPOSED = 112 };
typedef void (*gemm_f64)(int order, int of_a, int of_b, int m, int n, int k, double alpha, const double *a, int lda, const double *b, int ldb, double beta, double *c, int ldc);
typedef void (*gemm_f32)(int order, int of_a, int of_b, int m, int n, int k, float alpha, const float *a, int lda, const float *b, int ldb, float beta, float *c, int ldc);

static gemm_f64 f64;
static gemm_f32 f32;

static void *open_library(void) { return dlopen("libopenblas.so.0", RTLD_NOW | RTLD_LOCAL); }

/* Processors that are newer than the library, and virtual ones, get its oldest kernels, unless it is told which to take. */
static void *open_for_processor(void) {
    void *library = open_library();
#ifdef __x86_64__
    const char *(*core_name)(void) = NULL;
    void *symbol = library != NULL ? dlsym(library, "openblas_get_corename") : NULL;
    memcpy(&core_name, &symbol, sizeof core_name);
    if (core_name == NULL || strcmp(core_name(), "Prescott") != 0 || !__builtin_cpu_supports("avx2") || getenv("OPENBLAS_CORETYPE") != NULL)
        return library;
    setenv("OPENBLAS_CORETYPE", __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") ? "SkylakeX" : "Haswell", 1);
    dlclose(library);
    library = open_library();
#endif
    return library;
}

static void find(void) {
    const char *wanted = getenv("LOCKSTEP_BLAS");
    void *library = wanted != NULL && strcmp(wanted, "0") == 0 ? NULL : open_for_processor();
    void (*set_threads)(int) = NULL;
    void *const symbols[] = {library != NULL ? dlsym(library, "cblas_dgemm") : NULL, library != NULL ? dlsym(library, "cblas_sgemm") : NULL,
                             library != NULL ? dlsym(library, "openblas_set_num_threads") : NULL};
    if (symbols[0] == NULL || symbols[1] == NULL || symbols[2] == NULL)
        return;
    memcpy(&set_threads, &symbols[2], sizeof set_threads);
    set_threads(1); /* the callers are threads already, and results shouldn't depend on their number */
    memcpy(&f64, &symbols[0], sizeof f64);
    memcpy(&f32, &symbols[1], sizeof f32);
}

bool ls_blas_is_there(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, find);
    return f64 != NULL && f32 != NULL;
}

void ls_blas_f64(const double *a, const double *b, uint64_t m, uint64_t n, uint64_t k, double *out, uint64_t stride) {
    f64(ROW_MAJOR, AS_IS, TRANSPOSED, (int)n, (int)m, (int)k, 1, b, (int)k, a, (int)k, 0, out, (int)stride);
}

void ls_blas_f32(const float *a, const float *b, uint64_t m, uint64_t n, uint64_t k, float *out, uint64_t stride) {
    f32(ROW_MAJOR, AS_IS, TRANSPOSED, (int)n, (int)m, (int)k, 1, b, (int)k, a, (int)k, 0, out, (int)stride);
}
