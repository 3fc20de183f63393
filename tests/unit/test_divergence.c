/* Where a comparison finds the beginning of a divergence, what it makes of the rest, and the outcome: on graphs of
 * a few nodes, whose faults are planted. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "trace_builder.h"

enum { ROWS = 3, WIDTH = 16, VALUES = ROWS * WIDTH };

/* A row of a graph: a node, what it is computed from, and which side lacks it. */
typedef struct plan {
    const char *name;
    size_t sources[2], source_count; /* rows of the plan */
    bool fault;                      /* the candidate's values are others */
    bool reference_only, candidate_only;
    bool without_values;             /* on both sides */
} plan;

#define FROM(...) .sources = {__VA_ARGS__}, .source_count = sizeof((const size_t[]){__VA_ARGS__}) / sizeof(size_t)

typedef struct built {
    trace_builder reference, candidate;
    ls_diff *diff;
} built;

static const int32_t prompt[ROWS] = {5, 6, 7};

/* A node's values are the same on both sides, but for its faults. */
static void build_side(trace_builder *b, const plan *rows, size_t count, bool is_candidate, bool complete, const int32_t *tokens) {
    size_t number[BUILDER_NODES];
    builder_begin(b);
    builder_pass(b, ROWS, tokens, NULL, NULL);
    for (size_t i = 0; i < count; i++) {
        float values[VALUES];
        size_t sources[2], source_count = 0;
        number[i] = LS_NONE;
        if (is_candidate ? rows[i].reference_only : rows[i].candidate_only)
            continue;
        fill_random(values, VALUES, (uint32_t)i + (is_candidate && rows[i].fault ? 1000 : 0));
        for (size_t s = 0; s < rows[i].source_count; s++)
            if (number[rows[i].sources[s]] != LS_NONE)
                sources[source_count++] = number[rows[i].sources[s]];
        number[i] = builder_add(b, &(built_node){.name = rows[i].name, .op = "linear", .layer = 1, .rank = 2, .shape = {ROWS, WIDTH},
                                                 .values = rows[i].without_values ? NULL : values, .sources = sources, .source_count = source_count});
    }
    builder_end(b, complete);
}

static void build(built *out, const plan *rows, size_t count, const ls_diff_options *options) {
    build_side(&out->reference, rows, count, false, true, prompt);
    build_side(&out->candidate, rows, count, true, true, prompt);
    out->diff = builder_diff(&out->reference, &out->candidate, options);
}
#define BUILD(out, rows) build(out, rows, sizeof(rows) / sizeof *(rows), NULL)

static void end(built *b) {
    ls_diff_free(b->diff);
    builder_done(&b->reference);
    builder_done(&b->candidate);
}

static const ls_mark *mark_of(const built *b, const char *name) { return &b->diff->pairs.items[builder_pair(b->diff, name)].mark; }

static void assert_first(const built *b, const char *name) {
    size_t first = b->diff->result.first;
    if (name == NULL) {
        assert_true(first == LS_NONE);
        return;
    }
    assert_true(first != LS_NONE);
    assert_string_equal(b->diff->in.candidate.trace->nodes[b->diff->pairs.items[first].candidate].name, name);
}

static void test_equal_runs_match(void **state) {
    (void)state;
    static const plan rows[] = {{.name = "a"}, {.name = "b", FROM(0)}, {.name = "c", FROM(1)}};
    built b;
    BUILD(&b, rows);
    assert_first(&b, NULL);
    assert_int_equal(b.diff->result.outcome, LS_OUTCOME_MATCH);
    assert_int_equal(mark_of(&b, "b")->verdict, LS_VERDICT_IDENTICAL);
    assert_true(b.diff->result.coverage == 1);
    end(&b);
}

static void test_what_depends_on_a_divergence_is_downstream(void **state) {
    (void)state;
    static const plan rows[] = {{.name = "a"}, {.name = "b", FROM(0), .fault = true}, {.name = "c", FROM(1), .fault = true}, {.name = "d", FROM(2), .fault = true}};
    built b;
    BUILD(&b, rows);
    assert_first(&b, "b");
    assert_int_equal(b.diff->result.outcome, LS_OUTCOME_DIVERGED);
    assert_false(mark_of(&b, "b")->downstream);
    assert_true(mark_of(&b, "c")->downstream && mark_of(&b, "d")->downstream);
    assert_int_equal(b.diff->result.failing, 3);
    end(&b);
}

static void test_a_branch_that_agrees_is_not_blamed(void **state) {
    (void)state;
    /* b and c both come of a; only c is wrong, and d is computed from both */
    static const plan rows[] = {{.name = "a"}, {.name = "b", FROM(0)}, {.name = "c", FROM(0), .fault = true}, {.name = "d", FROM(1, 2), .fault = true}};
    built b;
    BUILD(&b, rows);
    assert_first(&b, "c");
    assert_int_equal(mark_of(&b, "b")->verdict, LS_VERDICT_IDENTICAL);
    assert_true(mark_of(&b, "d")->downstream);
    assert_int_equal(b.diff->result.inputs.count, 1);
    assert_int_equal(b.diff->result.inputs.items[0], builder_pair(b.diff, "a"));
    end(&b);
}

static void test_of_two_independent_faults_the_earlier_is_first(void **state) {
    (void)state;
    static const plan rows[] = {{.name = "a"}, {.name = "b", FROM(0), .fault = true}, {.name = "c", FROM(0), .fault = true}, {.name = "d", FROM(1, 2), .fault = true}};
    built b;
    BUILD(&b, rows);
    assert_first(&b, "b");
    assert_false(mark_of(&b, "c")->downstream);
    assert_true(mark_of(&b, "d")->downstream);
    end(&b);
}

static void test_nodes_without_a_partner_make_an_interval(void **state) {
    (void)state;
    static const plan rows[] = {{.name = "a"}, {.name = "lone", FROM(0), .candidate_only = true}, {.name = "c", FROM(1), .fault = true}, {.name = "d", FROM(2), .fault = true}};
    built b;
    BUILD(&b, rows);
    assert_first(&b, "c");
    assert_int_equal(b.diff->result.interval.count, 1);
    assert_string_equal(b.diff->in.candidate.trace->nodes[b.diff->result.interval.items[0]].name, "lone");
    assert_int_equal(b.diff->result.inputs.items[0], builder_pair(b.diff, "a"));
    end(&b);
}

static void test_without_sources_each_node_comes_of_all_before(void **state) {
    (void)state;
    static const plan rows[] = {{.name = "a"}, {.name = "b", .fault = true}, {.name = "c", .fault = true}};
    built b;
    BUILD(&b, rows);
    assert_first(&b, "b");
    assert_true(mark_of(&b, "c")->downstream);
    end(&b);
}

static void test_other_tokens(void **state) {
    (void)state;
    static const plan rows[] = {{.name = "a"}, {.name = "b", FROM(0)}};
    static const int32_t other[ROWS] = {5, 8, 7};
    built b;
    build_side(&b.reference, rows, 2, false, true, prompt);
    build_side(&b.candidate, rows, 2, true, true, other);
    b.diff = builder_diff(&b.reference, &b.candidate, NULL);
    assert_int_equal(b.diff->result.outcome, LS_OUTCOME_INPUTS_DIFFER);
    assert_int_equal(b.diff->result.reason.code, LS_REMARK_INPUTS);
    assert_int_equal(ls_outcome_exit_status(b.diff->result.outcome), 1);
    end(&b);
}

static void assert_incomparable(const built *b, ls_remark_code reason) {
    assert_int_equal(b->diff->result.outcome, LS_OUTCOME_INCOMPARABLE);
    assert_int_equal(b->diff->result.reason.code, reason);
    assert_int_equal(ls_outcome_exit_status(b->diff->result.outcome), 2);
}

static void test_a_run_without_values(void **state) {
    (void)state;
    static const plan rows[] = {{.name = "a", .without_values = true}, {.name = "b", .without_values = true}};
    built b;
    BUILD(&b, rows);
    assert_incomparable(&b, LS_REMARK_NO_VALUES);
    end(&b);
}

static void test_a_selection_of_nothing(void **state) {
    (void)state;
    static const plan rows[] = {{.name = "a"}, {.name = "b", FROM(0)}};
    built b;
    build(&b, rows, 2, &(ls_diff_options){.profile = ls_profile_find("auto"), .min_coverage = LS_MIN_COVERAGE, .tensors = "nothing"});
    assert_incomparable(&b, LS_REMARK_NOTHING_SELECTED);
    end(&b);
}

static void test_a_recording_that_broke_off(void **state) {
    (void)state;
    static const plan rows[] = {{.name = "a"}, {.name = "b", FROM(0)}};
    built b;
    build_side(&b.reference, rows, 2, false, true, prompt);
    build_side(&b.candidate, rows, 2, true, false, prompt);
    b.diff = builder_diff(&b.reference, &b.candidate, NULL);
    assert_incomparable(&b, LS_REMARK_RECORDING_INCOMPLETE);
    end(&b);
}

static void test_too_little_compared(void **state) {
    (void)state;
    /* one of four tensors, and the outputs, have partners */
    static const plan rows[] = {{.name = "a"}, {.name = "b", FROM(0), .candidate_only = true}, {.name = "c", FROM(1), .candidate_only = true}, {.name = "d", FROM(2)}};
    built b;
    build(&b, rows, 4, &(ls_diff_options){.profile = ls_profile_find("auto"), .min_coverage = 0.75});
    assert_true(b.diff->result.coverage == 0.5);
    assert_incomparable(&b, LS_REMARK_COVERAGE);
    assert_true(b.diff->result.reason.fraction == 0.5 && b.diff->result.reason.limit == 0.75);
    end(&b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_equal_runs_match),
        cmocka_unit_test(test_what_depends_on_a_divergence_is_downstream),
        cmocka_unit_test(test_a_branch_that_agrees_is_not_blamed),
        cmocka_unit_test(test_of_two_independent_faults_the_earlier_is_first),
        cmocka_unit_test(test_nodes_without_a_partner_make_an_interval),
        cmocka_unit_test(test_without_sources_each_node_comes_of_all_before),
        cmocka_unit_test(test_other_tokens),
        cmocka_unit_test(test_a_run_without_values),
        cmocka_unit_test(test_a_selection_of_nothing),
        cmocka_unit_test(test_a_recording_that_broke_off),
        cmocka_unit_test(test_too_little_compared),
    };
    return cmocka_run_group_tests_name("divergence", tests, NULL, NULL);
}
