/* Which tensors of two runs pair, and by which method. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "trace_builder.h"

enum { ROWS = 4, WIDTH = 24, VALUES = ROWS * WIDTH };

typedef struct built {
    trace_builder reference, candidate;
    ls_diff *diff;
} built;

static void begin(built *b) {
    static const int32_t tokens[ROWS] = {5, 6, 7, 8};
    builder_begin(&b->reference);
    builder_begin(&b->candidate);
    builder_pass(&b->reference, ROWS, tokens, NULL, NULL);
    builder_pass(&b->candidate, ROWS, tokens, NULL, NULL);
}

/* A tensor of a value of its own; nodes with one seed are equal. */
static size_t add(trace_builder *b, const char *name, const char *op, size_t source, uint32_t seed) {
    float values[VALUES];
    fill_random(values, VALUES, seed);
    return builder_add(b, &(built_node){.name = name, .op = op, .rank = 2, .shape = {ROWS, WIDTH}, .values = values,
                                        .sources = &source, .source_count = source != LS_NONE});
}

static void compare(built *b, const char *preset) {
    builder_end(&b->reference, true);
    builder_end(&b->candidate, true);
    b->diff = builder_diff(&b->reference, &b->candidate,
                           &(ls_diff_options){.profile = ls_profile_find("auto"), .min_coverage = 0, .preset = preset});
}

static void end(built *b) {
    ls_diff_free(b->diff);
    builder_done(&b->reference);
    builder_done(&b->candidate);
}

static void assert_pair(const built *b, const char *candidate, const char *reference, ls_method method) {
    const ls_pair *pair = &b->diff->pairs.items[builder_pair(b->diff, candidate)];
    assert_string_equal(b->diff->in.reference.trace->nodes[pair->reference].name, reference);
    assert_int_equal(pair->method, method);
}

static void test_equal_names(void **state) {
    (void)state;
    built b;
    begin(&b);
    size_t of_reference = add(&b.reference, "a", "linear", LS_NONE, 1), of_candidate = add(&b.candidate, "a", "MUL_MAT", LS_NONE, 1);
    add(&b.reference, "b", "silu", of_reference, 2);
    add(&b.candidate, "b", "SILU", of_candidate, 2);
    compare(&b, "none");
    assert_int_equal(b.diff->pairs.count, 2);
    assert_pair(&b, "a", "a", LS_METHOD_NAME);
    assert_pair(&b, "b", "b", LS_METHOD_NAME);
    end(&b);
}

static void test_values_do_not_overrule_a_name(void **state) {
    (void)state;
    built b;
    begin(&b);
    add(&b.reference, "a", "linear", LS_NONE, 1);
    add(&b.reference, "b", "linear", 0, 2);
    add(&b.candidate, "a", "linear", LS_NONE, 2); /* swapped: a finding, not another pairing */
    add(&b.candidate, "b", "linear", 0, 1);
    compare(&b, "none");
    assert_pair(&b, "a", "a", LS_METHOD_NAME);
    assert_pair(&b, "b", "b", LS_METHOD_NAME);
    assert_int_equal(b.diff->result.outcome, LS_OUTCOME_DIVERGED);
    end(&b);
}

static void test_final_outputs_pair_whatever_they_are_called(void **state) {
    (void)state;
    built b;
    begin(&b);
    add(&b.reference, "x", "linear", LS_NONE, 1);
    add(&b.reference, "lm_head", "linear", 0, 2);
    add(&b.candidate, "y", "linear", LS_NONE, 1);
    add(&b.candidate, "logits", "linear", 0, 2);
    compare(&b, "none");
    assert_pair(&b, "logits", "lm_head", LS_METHOD_OUTPUT);
    end(&b);
}

static void test_tensors_without_a_partner_are_listed(void **state) {
    (void)state;
    built b;
    begin(&b);
    add(&b.reference, "a", "linear", LS_NONE, 1);
    add(&b.reference, "mine", "linear", 0, 2);
    add(&b.reference, "z", "linear", 1, 3);
    add(&b.candidate, "a", "linear", LS_NONE, 1);
    add(&b.candidate, "yours", "linear", 0, 4);
    add(&b.candidate, "also yours", "linear", 1, 5);
    add(&b.candidate, "z", "linear", 2, 3);
    compare(&b, "none");
    const ls_matching *m = &b.diff->matching;
    assert_int_equal(b.diff->pairs.count, 2);
    assert_int_equal(m->candidate_total, 4);
    assert_int_equal(m->reference_only_count, 1);
    assert_string_equal(b.reference.trace->nodes[m->reference_only[0]].name, "mine");
    assert_int_equal(m->candidate_only_count, 2);
    assert_string_equal(b.candidate.trace->nodes[m->candidate_only[0]].name, "yours");
    assert_string_equal(b.candidate.trace->nodes[m->candidate_only[1]].name, "also yours");
    assert_true(b.diff->result.coverage == 0.5);
    end(&b);
}

static void test_a_name_is_found_on_an_alias(void **state) {
    (void)state;
    built b;
    begin(&b);
    size_t value = add(&b.reference, "module.3", "linear", LS_NONE, 1);
    builder_add(&b.reference, &(built_node){.name = "q", .op = "alias", .rank = 2, .shape = {ROWS, WIDTH}, .sources = &value, .source_count = 1, .alias = &value});
    add(&b.reference, "z", "linear", value, 2);
    add(&b.candidate, "q", "linear", LS_NONE, 1);
    add(&b.candidate, "z", "linear", 0, 2);
    compare(&b, "none");
    assert_pair(&b, "q", "q", LS_METHOD_NAME);
    const ls_pair *pair = &b.diff->pairs.items[builder_pair(b.diff, "q")];
    assert_string_equal(b.reference.trace->nodes[pair->reference_value].name, "module.3");
    assert_int_equal(pair->mark.verdict, LS_VERDICT_IDENTICAL);
    end(&b);
}

static void test_occurrences_of_a_name_pair_in_turn(void **state) {
    (void)state;
    built b;
    begin(&b);
    for (int side = 0; side < 2; side++) {
        trace_builder *to = side == 0 ? &b.reference : &b.candidate;
        size_t first = add(to, "q", "linear", LS_NONE, 1), second = add(to, "q", "rope", first, 2);
        add(to, "z", "linear", second, 3);
    }
    compare(&b, "none");
    assert_int_equal(b.diff->pairs.count, 3);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(b.diff->pairs.items[i].reference, i);
        assert_int_equal(b.diff->pairs.items[i].candidate, i);
    }
    end(&b);
}

static void test_a_preset_pairs_the_names_of_two_engines(void **state) {
    (void)state;
    built b;
    begin(&b);
    add(&b.reference, "model.embed_tokens", "embedding", LS_NONE, 1);
    add(&b.reference, "lm_head", "linear", 0, 2);
    add(&b.candidate, "embd", "GET_ROWS", LS_NONE, 1);
    add(&b.candidate, "result_output", "MUL_MAT", 0, 2);
    compare(&b, "llama");
    assert_pair(&b, "embd", "model.embed_tokens", LS_METHOD_PRESET);
    assert_pair(&b, "result_output", "lm_head", LS_METHOD_PRESET);
    assert_int_equal(b.diff->matching.by_method[LS_METHOD_PRESET], 2);
    end(&b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_equal_names),
        cmocka_unit_test(test_values_do_not_overrule_a_name),
        cmocka_unit_test(test_final_outputs_pair_whatever_they_are_called),
        cmocka_unit_test(test_tensors_without_a_partner_are_listed),
        cmocka_unit_test(test_a_name_is_found_on_an_alias),
        cmocka_unit_test(test_occurrences_of_a_name_pair_in_turn),
        cmocka_unit_test(test_a_preset_pairs_the_names_of_two_engines),
    };
    return cmocka_run_group_tests_name("matching", tests, NULL, NULL);
}
