#include "compare/tolerance.h"

#include <string.h>

#define TYPES(...) (const char *const[]) { __VA_ARGS__, NULL }

const ls_noise_row ls_noise_rows[] = {
    {"f32", 1e-4, TYPES("f32", "f64", "bool", "i8", "u8", "i16", "u16", "i32", "u32", "i64", "u64")},
    /* ggml's CPU kernels look GELU up in a table of f16 */
    {"gelu-table", 1e-3, TYPES("")},
    {"f16", 5e-3, TYPES("f16")},
    {"q8", 2e-2, TYPES("q8_0", "q8_1", "q8_K")},
    {"bf16", 3e-2, TYPES("bf16")},
    {"q6", 5e-2, TYPES("q6_K")},
    {"q5", 1e-1, TYPES("q5_0", "q5_1", "q5_K", "f8_e4m3", "f8_e4m3fnuz")},
    {"q4", 2e-1, TYPES("q4_0", "q4_1", "q4_K", "iq4_nl", "iq4_xs", "mxfp4", "nvfp4", "f8_e5m2", "f8_e5m2fnuz", "f4")},
    {"below-q4", 5e-1, TYPES("q3_K", "q2_K", "tq1_0", "tq2_0")},
    {0},
};

int ls_noise_of_type(const char *type) {
    int row = 0;
    for (; ls_noise_rows[row].name != NULL; row++)
        for (const char *const *t = ls_noise_rows[row].types; *t != NULL; t++)
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

const ls_profile ls_profiles[] = {
    {"auto", "relative L2 within the noise of the element types involved", passes_auto, 1e-5, 1e-3},
    {"allclose", "numpy.allclose's defaults, every element", passes_elementwise, 1e-8, 1e-5},
    {"torch", "torch.testing.assert_close for float32, every element", passes_elementwise, 1e-5, 1.3e-6},
    {"polygraphy", "rtol = atol = 1e-5, every element", passes_elementwise, 1e-5, 1e-5},
    {"llama-nmse", "llama.cpp check-nmse: mean square error over the reference's variance below 1e-2", passes_llama_nmse, 0, 0},
    {"backend-ops", "llama.cpp test-backend-ops: squared error over squared reference at most 1e-7", passes_backend_ops, 0, 0},
    {0},
};

const ls_profile *ls_profile_find(const char *name) {
    for (const ls_profile *p = ls_profiles; p->name != NULL; p++)
        if (strcmp(p->name, name) == 0)
            return p;
    return NULL;
}
