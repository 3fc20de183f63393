/* Which rows of two runs correspond. Expected rows are written down by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "match/token_alignment.h"
#include "trace_builder.h"

typedef struct sides {
    trace_builder reference, candidate;
    ls_token_alignment alignment;
} sides;

#define COUNT(list) (sizeof(list) / sizeof *(list))
#define IDS(...) COUNT(((const int32_t[]){__VA_ARGS__})), (const int32_t[]){__VA_ARGS__}

static void begin(sides *s) {
    *s = (sides){0};
    builder_begin(&s->reference);
    builder_begin(&s->candidate);
}

static const ls_token_alignment *align(sides *s) {
    const ls_trace *reference = builder_end(&s->reference, true), *candidate = builder_end(&s->candidate, true);
    assert_int_equal(ls_tokens_align(&s->alignment, reference, candidate, NULL), LOCKSTEP_OK);
    ls_token_alignment_judge(&s->alignment);
    return &s->alignment;
}

static void end(sides *s) {
    ls_token_alignment_done(&s->alignment);
    ls_trace_close(s->reference.trace);
    ls_trace_close(s->candidate.trace);
    builder_done(&s->reference);
    builder_done(&s->candidate);
}

static void assert_pair(const ls_token_alignment *a, size_t index, size_t reference, size_t candidate, size_t count, const ls_row_pair *rows) {
    assert_true(index < a->pair_count);
    const ls_pass_pair *pair = &a->pairs[index];
    assert_int_equal(pair->reference, reference);
    assert_int_equal(pair->candidate, candidate);
    assert_int_equal(pair->row_count, count);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(pair->rows[i].reference, rows[i].reference);
        assert_int_equal(pair->rows[i].candidate, rows[i].candidate);
    }
}
#define ASSERT_PAIR(a, index, reference, candidate, ...) \
    assert_pair(a, index, reference, candidate, COUNT(((const ls_row_pair[]){__VA_ARGS__})), (const ls_row_pair[]){__VA_ARGS__})

static void test_equal_prompts(void **state) {
    (void)state;
    sides s;
    begin(&s);
    builder_pass(&s.reference, IDS(5, 6, 7), NULL, NULL);
    builder_pass(&s.candidate, IDS(5, 6, 7), NULL, NULL);
    const ls_token_alignment *a = align(&s);
    assert_int_equal(a->status, LS_INPUTS_EQUAL);
    assert_int_equal(a->pair_count, 1);
    assert_true(a->pairs[0].whole);
    ASSERT_PAIR(a, 0, 0, 0, {0, 0}, {1, 1}, {2, 2});
    assert_int_equal(a->matched, 3);
    end(&s);
}

static void test_a_prompt_in_chunks(void **state) {
    (void)state;
    sides s;
    begin(&s);
    builder_pass(&s.reference, IDS(5, 6, 7, 8, 9), NULL, NULL);
    builder_pass(&s.candidate, IDS(5, 6, 7), (const int32_t[]){0, 1, 2}, NULL);
    builder_pass(&s.candidate, IDS(8, 9), (const int32_t[]){3, 4}, NULL);
    const ls_token_alignment *a = align(&s);
    assert_int_equal(a->status, LS_INPUTS_EQUAL);
    assert_int_equal(a->pair_count, 2);
    ASSERT_PAIR(a, 0, 0, 0, {0, 0}, {1, 1}, {2, 2});
    ASSERT_PAIR(a, 1, 0, 1, {3, 0}, {4, 1});
    assert_false(a->pairs[0].whole);
    end(&s);
}

static void test_a_warm_up_run_is_left_out(void **state) {
    (void)state;
    sides s;
    begin(&s);
    builder_pass(&s.reference, IDS(5, 6, 7), NULL, NULL);
    builder_pass(&s.candidate, IDS(1, 2), (const int32_t[]){0, 1}, NULL);
    builder_pass(&s.candidate, IDS(5, 6, 7), (const int32_t[]){0, 1, 2}, NULL);
    const ls_token_alignment *a = align(&s);
    assert_int_equal(a->status, LS_INPUTS_EQUAL);
    assert_int_equal(a->pair_count, 1);
    ASSERT_PAIR(a, 0, 0, 1, {0, 0}, {1, 1}, {2, 2});
    end(&s);
}

static void test_a_run_that_computes_the_prefix_again(void **state) {
    (void)state;
    sides s;
    begin(&s);
    builder_pass(&s.reference, IDS(5, 6), (const int32_t[]){0, 1}, NULL);
    builder_pass(&s.reference, IDS(9), (const int32_t[]){2}, NULL);
    builder_pass(&s.candidate, IDS(5, 6), (const int32_t[]){0, 1}, NULL);
    builder_pass(&s.candidate, IDS(5, 6, 9), (const int32_t[]){0, 1, 2}, NULL); /* as use_cache=False does */
    const ls_token_alignment *a = align(&s);
    assert_int_equal(a->status, LS_INPUTS_EQUAL);
    assert_int_equal(a->matched, 3);
    ASSERT_PAIR(a, 0, 0, 0, {0, 0}, {1, 1});
    ASSERT_PAIR(a, 1, 1, 1, {0, 2});
    end(&s);
}

static void test_sequences_of_a_batch_in_another_order(void **state) {
    (void)state;
    sides s;
    begin(&s);
    const int32_t positions[] = {0, 1, 0, 1}, sequences[] = {0, 0, 1, 1};
    builder_pass(&s.reference, IDS(5, 6, 8, 9), positions, sequences);
    builder_pass(&s.candidate, IDS(8, 9, 5, 6), positions, sequences);
    const ls_token_alignment *a = align(&s);
    assert_int_equal(a->status, LS_INPUTS_EQUAL);
    assert_int_equal(a->pair_count, 1);
    ASSERT_PAIR(a, 0, 0, 0, {2, 0}, {3, 1}, {0, 2}, {1, 3});
    assert_false(a->pairs[0].whole);
    end(&s);
}

static void test_padding_in_front_is_left_out(void **state) {
    (void)state;
    sides s;
    begin(&s);
    const float mask[] = {0, 0, 1, 1, 1};
    builder_pass(&s.reference, IDS(5, 6, 7), (const int32_t[]){0, 1, 2}, NULL);
    builder_pass(&s.candidate, IDS(0, 0, 5, 6, 7), (const int32_t[]){0, 1, 2, 3, 4}, NULL);
    builder_add(&s.candidate, &(built_node){.name = "attention_mask", .role = "input", .rank = 2, .shape = {1, 5}, .values = mask});
    const ls_token_alignment *a = align(&s);
    assert_int_equal(a->status, LS_INPUTS_EQUAL);
    assert_int_equal(a->padding, 2);
    ASSERT_PAIR(a, 0, 0, 0, {0, 2}, {1, 3}, {2, 4});
    assert_true(ls_pass_pair_is_shifted(&a->pairs[0], s.reference.trace, s.candidate.trace));
    end(&s);
}

static void test_another_token(void **state) {
    (void)state;
    sides s;
    begin(&s);
    builder_pass(&s.reference, IDS(5, 6, 7, 8), NULL, NULL);
    builder_pass(&s.candidate, IDS(5, 6, 9, 8), NULL, NULL);
    const ls_token_alignment *a = align(&s);
    assert_int_equal(a->status, LS_INPUTS_DIFFER);
    assert_int_equal(a->finding.code, LS_INPUTS_TOKENS);
    assert_int_equal(a->finding.at, 2);
    assert_int_equal(a->finding.reference_token, 7);
    assert_int_equal(a->finding.candidate_token, 9);
    end(&s);
}

static void test_a_doubled_beginning(void **state) {
    (void)state;
    sides s;
    begin(&s);
    builder_pass(&s.reference, IDS(1, 6, 7), NULL, NULL);
    builder_pass(&s.candidate, IDS(1, 1, 6, 7), NULL, NULL);
    const ls_token_alignment *a = align(&s);
    assert_int_equal(a->status, LS_INPUTS_DIFFER);
    assert_int_equal(a->finding.code, LS_INPUTS_EXTRA_TOKEN);
    assert_int_equal(a->finding.candidate_token, 1);
    assert_true(a->finding.is_doubled);
    end(&s);
}

static void test_a_candidate_that_ended_earlier(void **state) {
    (void)state;
    sides s;
    begin(&s);
    for (int side = 0; side < 2; side++)
        builder_pass(side == 0 ? &s.reference : &s.candidate, IDS(5, 6), (const int32_t[]){0, 1}, NULL);
    builder_pass(&s.reference, IDS(7), (const int32_t[]){2}, NULL);
    const ls_token_alignment *a = align(&s);
    assert_int_equal(a->status, LS_INPUTS_SHORTER);
    assert_int_equal(a->finding.code, LS_INPUTS_ENDED_EARLIER);
    assert_int_equal(a->first_reference_pass, 1);
    assert_int_equal(a->matched, 2);
    end(&s);
}

static void test_runs_without_tokens_pair_in_order(void **state) {
    (void)state;
    sides s;
    begin(&s);
    for (int pass = 0; pass < 2; pass++) {
        builder_pass(&s.reference, 0, NULL, NULL, NULL);
        builder_pass(&s.candidate, 0, NULL, NULL, NULL);
    }
    const ls_token_alignment *a = align(&s);
    assert_int_equal(a->status, LS_INPUTS_UNKNOWN);
    assert_true(a->in_order);
    assert_int_equal(a->pair_count, 2);
    for (size_t pass = 0; pass < 2; pass++) {
        assert_int_equal(a->pairs[pass].reference, pass);
        assert_int_equal(a->pairs[pass].candidate, pass);
        assert_null(a->pairs[pass].rows);
    }
    end(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_equal_prompts),
        cmocka_unit_test(test_a_prompt_in_chunks),
        cmocka_unit_test(test_a_warm_up_run_is_left_out),
        cmocka_unit_test(test_a_run_that_computes_the_prefix_again),
        cmocka_unit_test(test_sequences_of_a_batch_in_another_order),
        cmocka_unit_test(test_padding_in_front_is_left_out),
        cmocka_unit_test(test_another_token),
        cmocka_unit_test(test_a_doubled_beginning),
        cmocka_unit_test(test_a_candidate_that_ended_earlier),
        cmocka_unit_test(test_runs_without_tokens_pair_in_order),
    };
    return cmocka_run_group_tests_name("token_alignment", tests, NULL, NULL);
}
