#include "compare/tolerance.h"

#include <string.h>

#define TYPES(...) (const char *const[]) { __VA_ARGS__, NULL }

const ls_precision_class ls_precision_classes[] = {
    {"f32", 1e-4, TYPES("f32", "f64", "bool", "i8", "u8", "i16", "u16", "i32", "u32", "i64", "u64")},
    /* ggml's CPU kernels look GELU up in a table of f16 */
    {"gelu-table", 1e-3, TYPES("")},
    /* products of f32 matrices, which GPU back ends may compute in TF32 or f16 */
    {"gpu", 2e-3, TYPES("")},
    {"f16", 5e-3, TYPES("f16")},
    {"q8", 2e-2, TYPES("q8_0", "q8_1", "q8_K")},
    {"bf16", 3e-2, TYPES("bf16")},
    {"q6", 5e-2, TYPES("q6_K")},
    {"q5", 1e-1, TYPES("q5_0", "q5_1", "q5_K", "f8_e4m3", "f8_e4m3fnuz")},
    {"q4", 2e-1, TYPES("q4_0", "q4_1", "q4_K", "iq4_nl", "iq4_xs", "mxfp4", "nvfp4", "f8_e5m2", "f8_e5m2fnuz", "f4")},
    {"below-q4", 5e-1, TYPES("q3_K", "q2_K", "tq1_0", "tq2_0")},
    {0},
};

int ls_precision_of_type(const char *type) {
    int row = 0;
    for (; ls_precision_classes[row].name != NULL; row++)
        for (const char *const *t = ls_precision_classes[row].types; *t != NULL; t++)
            if (strcmp(*t, type) == 0)
                return row;
    return row - 1;
}

static bool passes_auto(const ls_metrics *m, double noise) { return m->rel_l2 <= noise; }

static bool passes_elementwise(const ls_metrics *m, double noise) {
    (void)noise;
    return m->beyond == 0;
}

static bool passes_llama_nmse(const ls_metrics *m, double noise) {
    (void)noise;
    return m->nmse_var < 1e-2;
}

static bool passes_backend_ops(const ls_metrics *m, double noise) {
    (void)noise;
    return m->nmse <= 1e-7;
}

/* Four grades for one pair; all but the last pass. */
static const char *grade_tiers(const ls_metrics *m) {
    if (m->beyond == 0)
        return "EXCELLENT";
    if (m->beyond_loose == 0)
        return "GOOD";
    return m->max_abs < 1e-2 && m->cosine > 0.99 ? "ACCEPTABLE" : "SIGNIFICANT";
}

static bool passes_tiers(const ls_metrics *m, double noise) {
    (void)noise;
    return strcmp(grade_tiers(m), "SIGNIFICANT") != 0;
}

static const char *grade_cosine_or_mean(const ls_metrics *m) {
    if (m->cosine >= 0.999 || m->mean_abs <= 1e-4)
        return "EXACT";
    return m->cosine >= 0.995 ? "CLOSE" : "MISMATCH";
}

static bool passes_cosine_or_mean(const ls_metrics *m, double noise) {
    (void)noise;
    return strcmp(grade_cosine_or_mean(m), "MISMATCH") != 0;
}

static bool passes_means(const ls_metrics *m, double noise) {
    (void)noise;
    return m->mean_abs <= 1e-6 && m->mean_rel <= 1e-4;
}

const ls_profile ls_profiles[] = {
    {"auto", "relative L2 within the noise of the element types involved", passes_auto, 1e-5, 1e-3, 0, NULL},
    {"allclose", "numpy.allclose's defaults, every element", passes_elementwise, 1e-8, 1e-5, 0, NULL},
    {"torch", "torch.testing.assert_close for float32, every element", passes_elementwise, 1e-5, 1.3e-6, 0, NULL},
    {"polygraphy", "rtol = atol = 1e-5, every element", passes_elementwise, 1e-5, 1e-5, 0, NULL},
    {"llama-nmse", "llama.cpp check-nmse: mean square error over the reference's variance below 1e-2", passes_llama_nmse, 0, 0, 0, NULL},
    {"backend-ops", "llama.cpp test-backend-ops: squared error over squared reference at most 1e-7", passes_backend_ops, 0, 0, 0, NULL},
    {"tiers", "EXCELLENT, GOOD, ACCEPTABLE or SIGNIFICANT: allclose within 1e-4, 1e-3; largest difference below 1e-2", passes_tiers, 1e-4, 1e-4, 1e-3, grade_tiers},
    {"cosine-or-mean", "EXACT, CLOSE or MISMATCH: cosine at least 0.999 (0.995), or mean difference at most 1e-4", passes_cosine_or_mean, 0, 0, 0, grade_cosine_or_mean},
    {"means", "mean difference at most 1e-6, mean relative difference at most 1e-4", passes_means, 0, 0, 0, NULL},
    {0},
};

const ls_profile *ls_profile_find(const char *name) {
    for (const ls_profile *p = ls_profiles; p->name != NULL; p++)
        if (strcmp(p->name, name) == 0)
            return p;
    return NULL;
}
