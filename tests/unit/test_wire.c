/* Frames as they are read, the numbers that never change, and lists of ranges. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/ranges.h"
#include "wire/frame_reader.h"

/* ------------------------------------------------------------------ numbers */

/* Written out by hand: engines were compiled with these. A new type is a new row. */
static const struct {
    const char *name;
    int number;
} numbers[] = {
    {"opaque", 0},   {"bool", 1},     {"i8", 2},           {"u8", 3},           {"i16", 4},      {"u16", 5},    {"i32", 6},
    {"u32", 7},      {"i64", 8},      {"u64", 9},          {"f16", 10},         {"bf16", 11},    {"f32", 12},   {"f64", 13},
    {"f8_e4m3", 14}, {"f8_e5m2", 15}, {"f8_e4m3fnuz", 16}, {"f8_e5m2fnuz", 17}, {"f8_e8m0", 18}, {"f4", 19},    {"q8_0", 20},
    {"q4_0", 21},    {"q4_1", 22},    {"q5_0", 23},        {"q5_1", 24},        {"q8_1", 25},    {"q2_K", 26},  {"q3_K", 27},
    {"q4_K", 28},    {"q5_K", 29},    {"q6_K", 30},        {"q8_K", 31},        {"iq2_xxs", 32}, {"iq2_xs", 33}, {"iq2_s", 34},
    {"iq3_xxs", 35}, {"iq3_s", 36},   {"iq1_s", 37},       {"iq1_m", 38},       {"iq4_nl", 39},  {"iq4_xs", 40}, {"tq1_0", 41},
    {"tq2_0", 42},   {"mxfp4", 43},   {"nvfp4", 44},       {"q1_0", 45},        {"q2_0", 46},
    {"scaled_e4m3", 47}, {"scaled_e5m2", 48}, {"scaled_i8", 49}, {"scaled_i6", 50}, {"scaled_i5", 51}, {"scaled_i4", 52}, {"scaled_i3", 53}, {"scaled_i2", 54}, {"scaled_f4", 55}, {"scaled_nf4", 56},
};

static void test_numbers_of_element_types_are_pinned(void **state) {
    (void)state;
    assert_int_equal(sizeof numbers / sizeof numbers[0], LOCKSTEP_DTYPE_COUNT);
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        assert_string_equal(lockstep_dtype_name((lockstep_dtype)numbers[i].number), numbers[i].name);
    assert_int_equal(LOCKSTEP_F32, 12);
    assert_int_equal(LOCKSTEP_Q2_0, 46);
}

static void test_numbers_of_roles_and_parameter_types_are_pinned(void **state) {
    (void)state;
    assert_int_equal(LOCKSTEP_ROLE_COMPUTED, 0);
    assert_int_equal(LOCKSTEP_ROLE_INPUT, 1);
    assert_int_equal(LOCKSTEP_ROLE_WEIGHT, 2);
    assert_int_equal(LOCKSTEP_ROLE_STATE, 3);
    assert_int_equal(LOCKSTEP_ROLE_VIEW, 4);
    assert_int_equal(LOCKSTEP_ROLE_WRITE, 5);
    assert_int_equal(LOCKSTEP_PARAMETER_INTEGER, 0);
    assert_int_equal(LOCKSTEP_PARAMETER_REAL, 1);
    assert_int_equal(LOCKSTEP_PARAMETER_BOOLEAN, 2);
    assert_int_equal(LOCKSTEP_PARAMETER_TEXT, 3);
    assert_int_equal(LOCKSTEP_PARAMETER_INTEGERS, 4);
    assert_int_equal(LOCKSTEP_PARAMETER_REALS, 5);
    assert_int_equal(LOCKSTEP_PARAMETER_LIST, 6);
    assert_int_equal(offsetof(lockstep_node, size), 0);
}

/* ------------------------------------------------------------------- ranges */

static void test_ranges(void **state) {
    (void)state;
    static const char *const right[] = {"0", "7", "0-3,7", "3-3", "2147483647", "0-2147483647", "9,1,5-6"};
    static const char *const wrong[] = {"", ",", "1,", ",1", "1,,2", "3-1", "-1", "1-", "0--1", "x", "1x", " 1", "1 ", "+1", "0x1", "2147483648",
                                        "99999999999999999999", "1-99999999999999999999"};
    for (size_t i = 0; i < sizeof right / sizeof right[0]; i++)
        assert_int_equal(ls_ranges_check("--layers", right[i], NULL), LOCKSTEP_OK);
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        assert_int_equal(ls_ranges_check("--layers", wrong[i], NULL), LOCKSTEP_INVALID_ARGUMENT);
    assert_int_equal(ls_ranges_check("--layers", NULL, NULL), LOCKSTEP_OK);
}

static void test_what_ranges_hold(void **state) {
    (void)state;
    for (int i = -2; i < 12; i++)
        assert_int_equal(ls_ranges_hold("0-3,7,9-10", i), (i >= 0 && i <= 3) || i == 7 || i == 9 || i == 10);
    assert_false(ls_ranges_hold("x", 0));
    assert_true(ls_ranges_hold("5,x", 5));
    assert_false(ls_ranges_hold("x,5", 5));
    assert_true(ls_ranges_hold("2147483647", 2147483647L));
}

static void test_more_ranges_than_a_table_would_have(void **state) {
    (void)state;
    char list[4096];
    size_t used = 0;
    for (int i = 0; i < 500; i++)
        used += (size_t)snprintf(list + used, sizeof list - used, "%s%d", i > 0 ? "," : "", 2 * i);
    assert_int_equal(ls_ranges_check("--layers", list, NULL), LOCKSTEP_OK);
    assert_true(ls_ranges_hold(list, 998));
    assert_false(ls_ranges_hold(list, 997));
}

/* ------------------------------------------------------------------- frames */

static ls_arena arena;

static lockstep_status read(const char *json, uint64_t data_bytes, ls_frame_content *out, lockstep_error *error) {
    ls_arena_reset(&arena);
    return ls_frame_read(json, strlen(json), data_bytes, &arena, out, error);
}

static void test_a_tensor_is_read(void **state) {
    (void)state;
    ls_frame_content c;
    const char *json = "{ \"event\" : \"tensor\", \"id\":7,\"pass\":3,\"name\":\"a\\u00e9\",\"op\":\"MUL\",\"dtype\":\"q8_0\", \"shape\":[2, 64],"
                       "\"params\":{\"eps\":1e-6,\"x\":[true,null]} }";
    assert_int_equal(read(json, 136, &c, NULL), LOCKSTEP_OK);
    assert_int_equal(c.event, LS_EVENT_TENSOR);
    assert_true(c.id == 7 && c.pass == 3);
    assert_string_equal(c.tensor.name, "a\xc3\xa9");
    assert_string_equal(c.tensor.op, "MUL");
    assert_int_equal(c.tensor.dtype, LOCKSTEP_Q8_0);
    assert_int_equal(c.tensor.rank, 2);
    assert_true(c.tensor.shape[0] == 2 && c.tensor.shape[1] == 64 && c.tensor.elements == 128);
    assert_int_equal(c.tensor.bytes, 136); /* 4 blocks of 34 bytes */
    assert_int_equal(c.member_count, 8);
    const ls_frame_member *params = &c.members[7];
    assert_string_equal(params->key, "params");
    assert_memory_equal(json + params->begin, "{\"eps\":1e-6,\"x\":[true,null]}", params->end - params->begin);
    assert_int_equal(params->end - params->begin, 28);
}

static void test_more_axes_than_a_trace_has_are_folded(void **state) {
    (void)state;
    ls_frame_content c;
    const char *json = "{\"event\":\"tensor\",\"id\":0,\"pass\":0,\"name\":\"x\",\"dtype\":\"u8\",\"shape\":[3,5,1,1,1,1,1,1,2,7]}";
    assert_int_equal(read(json, 210, &c, NULL), LOCKSTEP_OK);
    assert_int_equal(c.tensor.axes, 10);
    assert_int_equal(c.tensor.rank, 8);
    assert_true(c.tensor.shape[0] == 15 && c.tensor.shape[6] == 2 && c.tensor.shape[7] == 7 && c.pass == 0);
}

static void test_data_of_an_unknown_type_has_any_size(void **state) {
    (void)state;
    ls_frame_content c;
    assert_int_equal(read("{\"event\":\"tensor\",\"id\":1,\"pass\":0,\"name\":\"x\",\"dtype\":\"q9_9\",\"shape\":[2]}", 5, &c, NULL), LOCKSTEP_OK);
    assert_int_equal(c.tensor.dtype, LOCKSTEP_OPAQUE);
    /* a line without data says what it likes of its shape */
    assert_int_equal(read("{\"event\":\"tensor\",\"id\":1,\"pass\":0,\"name\":\"x\",\"dtype\":\"q8_0\",\"shape\":[2]}", 0, &c, NULL), LOCKSTEP_OK);
    assert_int_equal(c.tensor.dtype, LOCKSTEP_OPAQUE);
}

#define TENSOR "{\"event\":\"tensor\",\"id\":1,\"pass\":0,\"name\":\"x\",\"dtype\":\"f32\","

static const struct {
    const char *json;
    uint64_t data_bytes;
    lockstep_status status;
    uint64_t offset;
} refused[] = {
    {"", 0, LOCKSTEP_MALFORMED, 0},
    {"[]", 0, LOCKSTEP_MALFORMED, 0},
    {"{}", 0, LOCKSTEP_MALFORMED, 2},
    {"{\"event\":\"end\"} x", 0, LOCKSTEP_MALFORMED, 16},
    {"{\"event\":7}", 0, LOCKSTEP_MALFORMED, 9},
    {"{\"event\":\"end\",\"event\":\"end\"}", 0, LOCKSTEP_MALFORMED, 15},
    {"{\"event\":\"end\",\"x\":[1,}", 0, LOCKSTEP_MALFORMED, 22},
    {"{\"event\":\"end\",\"x\":\"\xff\"}", 0, LOCKSTEP_MALFORMED, 20},
    {"{\"event\":\"pass\"}", 0, LOCKSTEP_MALFORMED, 16},
    {"{\"event\":\"pass\",\"pass\":-1}", 0, LOCKSTEP_MALFORMED, 23},
    {"{\"event\":\"pass\",\"pass\":1.0}", 0, LOCKSTEP_MALFORMED, 23},
    {"{\"event\":\"resync\"}", 0, LOCKSTEP_MALFORMED, 18},
    {"{\"event\":\"tensor\",\"name\":\"x\",\"dtype\":\"f32\",\"shape\":[]}", 0, LOCKSTEP_MALFORMED, 54},
    {"{\"event\":\"tensor\",\"id\":9223372036854775808}", 0, LOCKSTEP_MALFORMED, 23},
    {"{\"event\":\"end\",\"x\":{\"k\":1,\"\\u006b\":2}}", 0, LOCKSTEP_MALFORMED, 26},
    {"{\"event\":\"end\",\"x\":[0,9223372036854775808]}", 0, LOCKSTEP_MALFORMED, 22},
    {"{\"event\":\"end\",\"x\":-9223372036854775809}", 0, LOCKSTEP_MALFORMED, 19},
    {"{\"event\":\"end\",\"x\":1.8e308}", 0, LOCKSTEP_MALFORMED, 19},
    {TENSOR "\"shape\":7}", 0, LOCKSTEP_MALFORMED, 67},
    {TENSOR "\"shape\":[-1]}", 0, LOCKSTEP_MALFORMED, 68},
    {TENSOR "\"shape\":[4294967296,4294967296]}", 0, LOCKSTEP_MALFORMED, 67},
    {"{\"event\":\"tensor\",\"id\":1,\"name\":\"x\",\"dtype\":\"f32\",\"shape\":[2]}", 8, LOCKSTEP_MALFORMED, 62},
    {TENSOR "\"shape\":[2],\"layer\":\"0\"}", 8, LOCKSTEP_MALFORMED, 79},
    {TENSOR "\"shape\":[2],\"layer\":2147483648}", 8, LOCKSTEP_MALFORMED, 79},
    {TENSOR "\"shape\":[2],\"layer\":-2}", 8, LOCKSTEP_MALFORMED, 79},
    {TENSOR "\"shape\":[2],\"layer\":0.5}", 8, LOCKSTEP_MALFORMED, 79},
    {TENSOR "\"shape\":[2],\"params\":[1]}", 8, LOCKSTEP_MALFORMED, 80},
    {TENSOR "\"shape\":[2],\"strides\":[4,4]}", 8, LOCKSTEP_MALFORMED, 81},
    {TENSOR "\"shape\":[2],\"strides\":[\"4\"]}", 8, LOCKSTEP_MALFORMED, 81},
    {TENSOR "\"shape\":[2],\"offset\":-1}", 8, LOCKSTEP_MALFORMED, 80},
    {TENSOR "\"shape\":[2],\"role\":1}", 8, LOCKSTEP_MALFORMED, 78},
    {"{\"event\":\"pass\",\"pass\":0,\"told_later\":1}", 0, LOCKSTEP_MALFORMED, 38},
    {"{\"event\":\"pass\",\"pass\":1,\"like\":-1}", 0, LOCKSTEP_MALFORMED, 32},
    {"{\"event\":\"pass\",\"pass\":1,\"like\":\"0\"}", 0, LOCKSTEP_MALFORMED, 32},
    {"{\"event\":\"model_file\",\"path\":5}", 0, LOCKSTEP_MALFORMED, 29},
    {"{\"event\":\"note\",\"sample_xxh3\":\"0123456789abcdeg\"}", 0, LOCKSTEP_MALFORMED, 30},
    {"{\"event\":\"note\",\"sample_xxh3\":\"0123\"}", 0, LOCKSTEP_MALFORMED, 30},
    {TENSOR "\"shape\":[2]}", 7, LOCKSTEP_MALFORMED, LOCKSTEP_NO_OFFSET},
    {"{\"event\":\"tensor\",\"id\":1,\"pass\":0,\"name\":\"x\",\"dtype\":\"q8_0\",\"shape\":[31]}", 34, LOCKSTEP_MALFORMED, LOCKSTEP_NO_OFFSET},
};

static void test_frames_that_break_the_rules(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        ls_frame_content c = {.id = 77};
        lockstep_error error = {0};
        lockstep_status status = read(refused[i].json, refused[i].data_bytes, &c, &error);
        if (status != refused[i].status || error.status != status || error.offset != refused[i].offset || c.id != 77)
            fail_msg("%s: status %d at %lld: %s", refused[i].json, status, (long long)error.offset, error.message);
    }
}

static void test_lists_and_strings_of_other_keys(void **state) {
    (void)state;
    static const char json[] = "{\"event\":\"end\",\"src\" : [ 7, -9223372036854775808 ,1.0,\"7\",[3]],\"none\":[],\"text\":\"a\\u0041\"}";
    static const struct {
        bool whole;
        int64_t number;
    } expected[] = {{true, 7}, {true, INT64_MIN}, {false, 0}, {false, 0}, {false, 0}};
    ls_frame_content c;
    bool whole;
    int64_t number;
    assert_int_equal(read(json, 0, &c, NULL), LOCKSTEP_OK);
    ls_frame_list list = ls_frame_list_of(&c, "src"), none = ls_frame_list_of(&c, "none"), text = ls_frame_list_of(&c, "text");
    for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++) {
        assert_true(ls_frame_list_next(&list, &whole, &number));
        assert_int_equal(whole, expected[i].whole);
        if (whole)
            assert_int_equal(number, expected[i].number);
    }
    assert_false(ls_frame_list_next(&list, &whole, &number));
    assert_false(ls_frame_list_next(&none, &whole, &number));
    assert_false(ls_frame_list_next(&text, &whole, &number));
    assert_string_equal(ls_frame_string(&c, "text", &arena), "aA");
    assert_null(ls_frame_string(&c, "src", &arena));
    assert_null(ls_frame_string(&c, "absent", &arena));
}

static void test_members_are_written_without_white_space(void **state) {
    (void)state;
    static const char json[] = "{\"event\":\"end\",\"p\" :\n{ \"a b\" : [ 1 ,\t-2.50 , \"x \\\" ,y\" ]\r\n, \"t\": true } }";
    ls_frame_content c;
    ls_text line = {0};
    assert_int_equal(read(json, 0, &c, NULL), LOCKSTEP_OK);
    ls_frame_put_member(&line, &c, ls_frame_find(&c, "p"));
    assert_string_equal(line.data, ",\"p\":{\"a b\":[1,-2.50,\"x \\\" ,y\"],\"t\":true}");
    ls_text_done(&line);
}

static void test_limits(void **state) {
    (void)state;
    static char json[1 << 16];
    ls_frame_content c;
    lockstep_error error;
    for (int keys = LS_FRAME_KEYS_MAX; keys <= LS_FRAME_KEYS_MAX + 1; keys++) {
        size_t used = (size_t)sprintf(json, "{\"event\":\"end\"");
        for (int i = 1; i < keys; i++)
            used += (size_t)sprintf(json + used, ",\"k%d\":0", i);
        strcpy(json + used, "}");
        assert_int_equal(read(json, 0, &c, &error), keys > LS_FRAME_KEYS_MAX ? LOCKSTEP_LIMIT : LOCKSTEP_OK);
    }
    for (int digits = LS_FRAME_NUMBER_MAX; digits <= LS_FRAME_NUMBER_MAX + 1; digits++) {
        sprintf(json, "{\"event\":\"end\",\"x\":0.%0*d}", digits - 2, 1);
        assert_int_equal(read(json, 0, &c, &error), digits > LS_FRAME_NUMBER_MAX ? LOCKSTEP_MALFORMED : LOCKSTEP_OK);
    }
    for (int depth = 64; depth <= 65; depth++) {
        size_t used = (size_t)sprintf(json, "{\"event\":\"end\",\"x\":");
        memset(json + used, '[', (size_t)depth);
        memset(json + used + depth, ']', (size_t)depth);
        strcpy(json + used + 2 * depth, "}");
        assert_int_equal(read(json, 0, &c, &error), depth > 64 ? LOCKSTEP_LIMIT : LOCKSTEP_OK);
    }
}

static void test_headers(void **state) {
    (void)state;
    assert_true(ls_frame_header_is_valid(&(ls_frame_header){LS_FRAME_MAGIC, LS_FRAME_JSON_MAX, UINT64_MAX}));
    assert_false(ls_frame_header_is_valid(&(ls_frame_header){LS_FRAME_MAGIC, LS_FRAME_JSON_MAX + 1, 0}));
    assert_false(ls_frame_header_is_valid(&(ls_frame_header){LS_FRAME_MAGIC + 1, 2, 0}));
}

static int release(void **state) {
    (void)state;
    ls_arena_done(&arena);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers_of_element_types_are_pinned),
        cmocka_unit_test(test_numbers_of_roles_and_parameter_types_are_pinned),
        cmocka_unit_test(test_ranges),
        cmocka_unit_test(test_what_ranges_hold),
        cmocka_unit_test(test_more_ranges_than_a_table_would_have),
        cmocka_unit_test(test_a_tensor_is_read),
        cmocka_unit_test(test_more_axes_than_a_trace_has_are_folded),
        cmocka_unit_test(test_data_of_an_unknown_type_has_any_size),
        cmocka_unit_test(test_frames_that_break_the_rules),
        cmocka_unit_test(test_lists_and_strings_of_other_keys),
        cmocka_unit_test(test_members_are_written_without_white_space),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_headers),
    };
    return cmocka_run_group_tests_name("wire", tests, NULL, release);
}
