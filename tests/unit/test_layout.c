/* How a reference tensor is looked at to be the candidate's. What each layout makes of the values is
 * computed here index by index. A layout's text counts axes from 1. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "match/layout.h"
#include "tensor/decode.h"
#include "trace_builder.h"

enum { MOST = 256 };

static ls_view view_of(const float *values, int rank, const uint64_t *shape) {
    ls_view view = {.data = (const uint8_t *)values, .dtype = LOCKSTEP_F32, .rank = rank};
    memcpy(view.shape, shape, (size_t)rank * sizeof *shape);
    ls_view_set_contiguous(&view);
    return view;
}
#define VIEW(values, ...) view_of(values, sizeof((const uint64_t[]){__VA_ARGS__}) / sizeof(uint64_t), (const uint64_t[]){__VA_ARGS__})

static ls_layout_request request(ls_view reference, ls_view candidate) {
    return (ls_layout_request){.reference = reference, .candidate = candidate, .reference_last = -1, .candidate_last = -1};
}

/* The two views of the layout have equal values, in the candidate's order. */
static void assert_equal_views(const ls_layout *layout) {
    double reference[MOST], candidate[MOST];
    uint64_t count = ls_view_elements(&layout->candidate);
    assert_int_equal(ls_view_elements(&layout->reference), count);
    assert_true(count <= MOST);
    ls_view_read_f64(&layout->reference, 0, count, reference);
    ls_view_read_f64(&layout->candidate, 0, count, candidate);
    for (uint64_t i = 0; i < count; i++)
        assert_true(reference[i] == candidate[i]);
}

static void assert_layout(const ls_layout_request *q, const char *text) {
    ls_layout layout;
    lockstep_error error = {0};
    ls_map votes = {0};
    if (ls_layout_find(q, &votes, LS_LAYOUT_LEARN, &layout, &error) != LOCKSTEP_OK)
        fail_msg("%s", error.message);
    assert_string_equal(layout.text, text);
    assert_equal_views(&layout);
    assert_true(ls_layout_error(&layout) == 0);
    ls_layout_done(&layout);
}

static void test_equal_shapes_are_taken_as_they_are(void **state) {
    (void)state;
    float values[15];
    fill_random(values, 15, 1);
    ls_layout_request q = request(VIEW(values, 3, 5), VIEW(values, 3, 5));
    assert_layout(&q, "as is");
}

static void test_axes_of_1_do_not_matter(void **state) {
    (void)state;
    float values[15];
    fill_random(values, 15, 2);
    ls_layout_request q = request(VIEW(values, 1, 3, 1, 5), VIEW(values, 3, 5));
    assert_layout(&q, "as is");
}

static void test_a_transposed_matrix(void **state) {
    (void)state;
    float reference[15], candidate[15];
    fill_random(reference, 15, 3);
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 5; j++)
            candidate[j * 3 + i] = reference[i * 5 + j];
    ls_layout_request q = request(VIEW(reference, 3, 5), VIEW(candidate, 5, 3));
    assert_layout(&q, "axes 21");
}

static void test_values_decide_where_shapes_do_not(void **state) {
    (void)state;
    float reference[16], candidate[16];
    fill_random(reference, 16, 4);
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < 4; j++)
            candidate[j * 4 + i] = reference[i * 4 + j];
    ls_layout_request q = request(VIEW(reference, 4, 4), VIEW(candidate, 4, 4));
    assert_layout(&q, "axes 21");
}

static void test_a_vote_outweighs_the_values(void **state) {
    (void)state;
    float reference[25], candidate[25];
    fill_random(reference, 25, 5);
    for (int i = 0; i < 5; i++)
        for (int j = 0; j < 5; j++)
            candidate[j * 5 + i] = reference[i * 5 + j];
    ls_map votes = {0};
    ls_layout layout;
    ls_layout_request straight = request(VIEW(reference, 5, 5), VIEW(reference, 5, 5));
    ls_layout_request turned = request(VIEW(reference, 5, 5), VIEW(candidate, 5, 5));
    assert_int_equal(ls_layout_find(&straight, &votes, LS_LAYOUT_LEARN, &layout, NULL), LOCKSTEP_OK);
    assert_true(layout.has_vote && layout.has_choice);
    ls_layout_cast(&votes, &layout.vote);
    ls_layout_done(&layout);
    /* a swapped product looks like a transposed one: the siblings say that it is not */
    assert_int_equal(ls_layout_find(&turned, &votes, LS_LAYOUT_VOTED, &layout, NULL), LOCKSTEP_OK);
    assert_string_equal(layout.text, "as is");
    assert_true(ls_layout_error(&layout) > 0.1);
    ls_layout_done(&layout);
    ls_map_done(&votes);
}

static void test_heads_that_are_split_and_moved(void **state) {
    (void)state;
    enum { TOKENS = 3, HEADS = 2, SIZE = 5 };
    float reference[TOKENS * HEADS * SIZE], candidate[TOKENS * HEADS * SIZE];
    fill_random(reference, TOKENS * HEADS * SIZE, 6);
    for (int t = 0; t < TOKENS; t++)
        for (int h = 0; h < HEADS; h++)
            for (int c = 0; c < SIZE; c++)
                candidate[(h * TOKENS + t) * SIZE + c] = reference[(t * HEADS + h) * SIZE + c];
    ls_layout_request q = request(VIEW(reference, TOKENS, HEADS, SIZE), VIEW(candidate, HEADS, TOKENS, SIZE));
    assert_layout(&q, "axes 213");
}

static void test_rows_of_a_chunk(void **state) {
    (void)state;
    enum { ROWS = 6, FIRST = 2, CHUNK = 3, WIDTH = 4 };
    float reference[ROWS * WIDTH];
    fill_random(reference, ROWS * WIDTH, 7);
    ls_row_pair rows[CHUNK];
    for (uint32_t i = 0; i < CHUNK; i++)
        rows[i] = (ls_row_pair){FIRST + i, i};
    ls_pass_pair passes = {.rows = rows, .row_count = CHUNK};
    ls_layout_request q = request(VIEW(reference, ROWS, WIDTH), VIEW(reference + FIRST * WIDTH, CHUNK, WIDTH));
    q.passes = &passes;
    q.reference_rows.rows = ROWS;
    q.candidate_rows.rows = CHUNK;
    assert_layout(&q, "rows 2-4 of 6");
}

static void test_rows_in_no_regular_order(void **state) {
    (void)state;
    enum { ROWS = 6, WIDTH = 4 };
    static const uint32_t order[] = {4, 1, 0, 5};
    float reference[ROWS * WIDTH], candidate[4 * WIDTH];
    ls_row_pair rows[4];
    fill_random(reference, ROWS * WIDTH, 8);
    for (uint32_t i = 0; i < 4; i++) {
        rows[i] = (ls_row_pair){order[i], i};
        memcpy(candidate + i * WIDTH, reference + order[i] * WIDTH, WIDTH * sizeof(float));
    }
    ls_pass_pair passes = {.rows = rows, .row_count = 4};
    ls_layout_request q = request(VIEW(reference, ROWS, WIDTH), VIEW(candidate, 4, WIDTH));
    q.passes = &passes;
    q.reference_rows.rows = ROWS;
    q.candidate_rows.rows = 4;
    assert_layout(&q, "4 of 6 rows");
}

static void test_the_last_row_alone(void **state) {
    (void)state;
    enum { ROWS = 5, WIDTH = 7 };
    static const int32_t kept[] = {ROWS - 1};
    float reference[ROWS * WIDTH];
    ls_row_pair rows[ROWS];
    fill_random(reference, ROWS * WIDTH, 9);
    for (uint32_t i = 0; i < ROWS; i++)
        rows[i] = (ls_row_pair){i, i};
    ls_pass_pair passes = {.rows = rows, .row_count = ROWS, .whole = true};
    ls_layout_request q = request(VIEW(reference, ROWS, WIDTH), VIEW(reference + (ROWS - 1) * WIDTH, 1, WIDTH));
    q.passes = &passes;
    q.reference_rows.rows = q.candidate_rows.rows = ROWS;
    q.candidate_rows.selected = kept;
    q.candidate_rows.selected_count = 1;
    assert_layout(&q, "row 4 of 5");
}

static void test_shapes_that_no_layout_makes_equal(void **state) {
    (void)state;
    float values[20];
    fill_random(values, 20, 10);
    const ls_view candidates[] = {VIEW(values, 3, 6), VIEW(values, 14), VIEW(values, 4, 4)};
    ls_map votes = {0};
    for (size_t i = 0; i < sizeof candidates / sizeof *candidates; i++) {
        ls_layout layout;
        lockstep_error error = {0};
        ls_layout_request q = request(VIEW(values, 3, 5), candidates[i]);
        assert_int_equal(ls_layout_find(&q, &votes, LS_LAYOUT_LEARN, &layout, &error), LOCKSTEP_INCOMPARABLE);
        assert_non_null(strstr(error.message, "[3,5]"));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_equal_shapes_are_taken_as_they_are),
        cmocka_unit_test(test_axes_of_1_do_not_matter),
        cmocka_unit_test(test_a_transposed_matrix),
        cmocka_unit_test(test_values_decide_where_shapes_do_not),
        cmocka_unit_test(test_a_vote_outweighs_the_values),
        cmocka_unit_test(test_heads_that_are_split_and_moved),
        cmocka_unit_test(test_rows_of_a_chunk),
        cmocka_unit_test(test_rows_in_no_regular_order),
        cmocka_unit_test(test_the_last_row_alone),
        cmocka_unit_test(test_shapes_that_no_layout_makes_equal),
    };
    return cmocka_run_group_tests_name("layout", tests, NULL, NULL);
}
