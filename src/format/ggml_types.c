#include "format/ggml_types.h"

/* ggml.h (enum ggml_type) and the block structs of ggml-common.h. */
static const ls_ggml_type types[] = {
    [0] = {"f32", 1, 4, LOCKSTEP_F32},
    [1] = {"f16", 1, 2, LOCKSTEP_F16},
    [2] = {"q4_0", 32, 18, LOCKSTEP_Q4_0},
    [3] = {"q4_1", 32, 20, LOCKSTEP_OPAQUE},
    [6] = {"q5_0", 32, 22, LOCKSTEP_OPAQUE},
    [7] = {"q5_1", 32, 24, LOCKSTEP_OPAQUE},
    [8] = {"q8_0", 32, 34, LOCKSTEP_Q8_0},
    [9] = {"q8_1", 32, 36, LOCKSTEP_OPAQUE},
    [10] = {"q2_K", 256, 84, LOCKSTEP_OPAQUE},
    [11] = {"q3_K", 256, 110, LOCKSTEP_OPAQUE},
    [12] = {"q4_K", 256, 144, LOCKSTEP_OPAQUE},
    [13] = {"q5_K", 256, 176, LOCKSTEP_OPAQUE},
    [14] = {"q6_K", 256, 210, LOCKSTEP_OPAQUE},
    [15] = {"q8_K", 256, 292, LOCKSTEP_OPAQUE},
    [16] = {"iq2_xxs", 256, 66, LOCKSTEP_OPAQUE},
    [17] = {"iq2_xs", 256, 74, LOCKSTEP_OPAQUE},
    [18] = {"iq3_xxs", 256, 98, LOCKSTEP_OPAQUE},
    [19] = {"iq1_s", 256, 50, LOCKSTEP_OPAQUE},
    [20] = {"iq4_nl", 32, 18, LOCKSTEP_OPAQUE},
    [21] = {"iq3_s", 256, 110, LOCKSTEP_OPAQUE},
    [22] = {"iq2_s", 256, 82, LOCKSTEP_OPAQUE},
    [23] = {"iq4_xs", 256, 136, LOCKSTEP_OPAQUE},
    [24] = {"i8", 1, 1, LOCKSTEP_I8},
    [25] = {"i16", 1, 2, LOCKSTEP_I16},
    [26] = {"i32", 1, 4, LOCKSTEP_I32},
    [27] = {"i64", 1, 8, LOCKSTEP_I64},
    [28] = {"f64", 1, 8, LOCKSTEP_F64},
    [29] = {"iq1_m", 256, 56, LOCKSTEP_OPAQUE},
    [30] = {"bf16", 1, 2, LOCKSTEP_BF16},
    [34] = {"tq1_0", 256, 54, LOCKSTEP_OPAQUE},
    [35] = {"tq2_0", 256, 66, LOCKSTEP_OPAQUE},
    [39] = {"mxfp4", 32, 17, LOCKSTEP_OPAQUE},
    [40] = {"nvfp4", 64, 36, LOCKSTEP_OPAQUE},
    [41] = {"q1_0", 128, 18, LOCKSTEP_OPAQUE},
    [42] = {"q2_0", 64, 18, LOCKSTEP_OPAQUE},
};

const ls_ggml_type *ls_ggml_type_of(uint32_t id) {
    return id < sizeof types / sizeof types[0] && types[id].name != NULL ? &types[id] : NULL;
}
