#include "format/ggml_types.h"

#include <stddef.h>

/* From ggml.h (enum ggml_type) and the block structs in ggml-common.h. */
static const struct {
    const char *name; /* NULL for an id that ggml has removed */
    uint32_t block_elements, block_bytes;
    lockstep_dtype dtype;
} types[] = {
    [0] = {"f32", 1, 4, LOCKSTEP_F32},
    [1] = {"f16", 1, 2, LOCKSTEP_F16},
    [2] = {"q4_0", 32, 18, LOCKSTEP_Q4_0},
    [3] = {"q4_1", 32, 20, LOCKSTEP_Q4_1},
    [6] = {"q5_0", 32, 22, LOCKSTEP_Q5_0},
    [7] = {"q5_1", 32, 24, LOCKSTEP_Q5_1},
    [8] = {"q8_0", 32, 34, LOCKSTEP_Q8_0},
    [9] = {"q8_1", 32, 36, LOCKSTEP_Q8_1},
    [10] = {"q2_K", 256, 84, LOCKSTEP_Q2_K},
    [11] = {"q3_K", 256, 110, LOCKSTEP_Q3_K},
    [12] = {"q4_K", 256, 144, LOCKSTEP_Q4_K},
    [13] = {"q5_K", 256, 176, LOCKSTEP_Q5_K},
    [14] = {"q6_K", 256, 210, LOCKSTEP_Q6_K},
    [15] = {"q8_K", 256, 292, LOCKSTEP_Q8_K},
    [16] = {"iq2_xxs", 256, 66, LOCKSTEP_IQ2_XXS},
    [17] = {"iq2_xs", 256, 74, LOCKSTEP_IQ2_XS},
    [18] = {"iq3_xxs", 256, 98, LOCKSTEP_IQ3_XXS},
    [19] = {"iq1_s", 256, 50, LOCKSTEP_IQ1_S},
    [20] = {"iq4_nl", 32, 18, LOCKSTEP_IQ4_NL},
    [21] = {"iq3_s", 256, 110, LOCKSTEP_IQ3_S},
    [22] = {"iq2_s", 256, 82, LOCKSTEP_IQ2_S},
    [23] = {"iq4_xs", 256, 136, LOCKSTEP_IQ4_XS},
    [24] = {"i8", 1, 1, LOCKSTEP_I8},
    [25] = {"i16", 1, 2, LOCKSTEP_I16},
    [26] = {"i32", 1, 4, LOCKSTEP_I32},
    [27] = {"i64", 1, 8, LOCKSTEP_I64},
    [28] = {"f64", 1, 8, LOCKSTEP_F64},
    [29] = {"iq1_m", 256, 56, LOCKSTEP_IQ1_M},
    [30] = {"bf16", 1, 2, LOCKSTEP_BF16},
    [34] = {"tq1_0", 256, 54, LOCKSTEP_TQ1_0},
    [35] = {"tq2_0", 256, 66, LOCKSTEP_TQ2_0},
    [39] = {"mxfp4", 32, 17, LOCKSTEP_MXFP4},
    [40] = {"nvfp4", 64, 36, LOCKSTEP_NVFP4},
    [41] = {"q1_0", 128, 18, LOCKSTEP_Q1_0},
    [42] = {"q2_0", 64, 18, LOCKSTEP_Q2_0},
};

lockstep_status ls_ggml_type_set(ls_tensor *t, uint32_t id, uint64_t type_at, uint64_t shape_at,
                                 lockstep_error *error) {
    if (id >= sizeof types / sizeof types[0] || types[id].name == NULL)
        return ls_fail_at(error, LOCKSTEP_UNSUPPORTED, t->source->name, type_at,
                          "tensor '%s': found type %u, which ggml doesn't know or has removed", t->name, id);
    t->file_dtype = types[id].name;
    t->dtype = types[id].dtype;
    return ls_tensor_measure(t, types[id].block_elements, types[id].block_bytes * 8, shape_at, error);
}

int ls_ggml_type_id(lockstep_dtype dtype) {
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        if (types[i].name != NULL && types[i].dtype == dtype)
            return (int)i;
    return -1;
}
