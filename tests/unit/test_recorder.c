/* Observed processes that break the channel's rules: cut off, the trace readable,
 * nothing outside of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <stdio.h>

#include "raw_channel.h"
#include "trace/trace.h"
#include "record/trace_writer.h"

enum { RING = 64 << 10 };

typedef struct observed {
    char parent[64], folder[96];
    ls_recorder *recorder;
    ls_receiver *receiver;
    raw_channel raw;
    ls_recorder_totals totals;
    ls_trace *trace;
} observed;

static int begin(void **state) {
    observed *o = calloc(1, sizeof *o);
    lockstep_error error;
    strcpy(o->parent, "/tmp/lockstep-test-XXXXXX");
    if (mkdtemp(o->parent) == NULL)
        return -1;
    snprintf(o->folder, sizeof o->folder, "%s/t", o->parent);
    ls_recording recording;
    if (ls_trace_writer_open(o->folder, &recording, &error) != LOCKSTEP_OK ||
        ls_recorder_open(&recording, &(ls_recorder_options){0}, &o->recorder, &error) != LOCKSTEP_OK)
        return -1;
    ls_receiver_events events = {o->recorder, ls_recorder_frame, ls_recorder_closed};
    if (ls_receiver_open("tensors=x\n", RING, &events, &o->receiver, &error) != LOCKSTEP_OK)
        return -1;
    *state = o;
    return raw_open(ls_receiver_name(o->receiver), &o->raw) ? 0 : -1;
}

/* The observed process goes; the trace is read. */
static void end(observed *o) {
    lockstep_error error;
    raw_close(&o->raw);
    ls_receiver_close(o->receiver, 10000);
    ls_recorder_close(o->recorder, true, 0, &o->totals);
    assert_int_equal(ls_trace_open(o->folder, &o->trace, &error), LOCKSTEP_OK);
}

static unsigned empty_folder(const char *path) {
    unsigned count = 0;
    DIR *entries = opendir(path);
    for (const struct dirent *e; entries != NULL && (e = readdir(entries)) != NULL;)
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0) {
            count++;
            unlinkat(dirfd(entries), e->d_name, 0);
        }
    if (entries != NULL)
        closedir(entries);
    return count;
}

static int finish(void **state) {
    observed *o = *state;
    char tensors[128];
    ls_trace_close(o->trace);
    snprintf(tensors, sizeof tensors, "%s/tensors", o->folder);
    empty_folder(tensors);
    rmdir(tensors);
    empty_folder(o->folder);
    rmdir(o->folder);
    int failed = rmdir(o->parent); /* holds nothing else */
    free(o);
    return failed;
}

static void good_start(observed *o) {
    const float values[2] = {1, 2};
    raw_frame(&o->raw, "{\"event\":\"start\",\"engine\":\"e\"}", NULL, 0);
    raw_frame(&o->raw, "{\"event\":\"pass\",\"pass\":0}", NULL, 0);
    raw_frame(&o->raw, "{\"event\":\"tensor\",\"id\":1,\"pass\":0,\"name\":\"good\",\"dtype\":\"f32\",\"shape\":[2]}", values, sizeof values);
}

/* What came before stands, what comes after is not recorded, and both are said. */
static void assert_cut_off(observed *o) {
    raw_frame(&o->raw, "{\"event\":\"tensor\",\"id\":9,\"pass\":0,\"name\":\"late\",\"dtype\":\"f32\",\"shape\":[2]}", "12345678", 8);
    end(o);
    assert_true(o->totals.torn);
    assert_false(o->trace->complete);
    assert_int_equal(o->trace->node_count, 1);
    assert_string_equal(o->trace->nodes[0].name, "good");
    ls_hold hold;
    assert_int_equal(ls_trace_hold(o->trace, 0, &hold, NULL), LOCKSTEP_OK);
    assert_memory_equal(hold.view.data, ((const float[]){1, 2}), 8);
    ls_hold_release(&hold);
}

static void test_what_is_right_is_recorded(void **state) {
    observed *o = *state;
    good_start(o);
    raw_frame(&o->raw, "{\"event\":\"pass_end\",\"pass\":0}", NULL, 0);
    end(o);
    assert_true(o->trace->complete);
    assert_string_equal(o->trace->engine, "e");
}

static void test_a_wrong_magic(void **state) {
    observed *o = *state;
    const ls_frame_header header = {0x12345678, 2, 0};
    good_start(o);
    raw_write(&o->raw, &header, sizeof header);
    assert_cut_off(o);
}

static void test_json_without_end(void **state) {
    observed *o = *state;
    const ls_frame_header header = {LS_FRAME_MAGIC, UINT32_MAX, 0};
    good_start(o);
    raw_write(&o->raw, &header, sizeof header);
    assert_cut_off(o);
}

/* A counter that no writer could have reached, or that ran backwards. */
static void run_wild(void **state, uint64_t by) {
    observed *o = *state;
    const ls_frame_header header = {LS_FRAME_MAGIC, 100, 0};
    good_start(o);
    raw_write(&o->raw, &header, sizeof header);
    while (atomic_load(&o->raw.ring->read) != atomic_load(&o->raw.ring->written))
        ls_bell_wait(&o->raw.ring->read_bell, atomic_load(&o->raw.ring->read_bell.count), 1);
    atomic_fetch_add(&o->raw.ring->written, by);
    ls_bell_ring(&o->raw.ring->written_bell);
    end(o);
    assert_true(o->totals.torn);
    assert_int_equal(o->trace->node_count, 1);
}
static void test_a_counter_beyond_the_ring(void **state) { run_wild(state, RING + 1); }
static void test_a_counter_that_ran_backwards(void **state) { run_wild(state, UINT64_MAX - 3); }

static void test_a_ring_that_lies_about_its_size(void **state) {
    observed *o = *state;
    o->raw.ring->size = UINT64_MAX;
    good_start(o);
    raw_frame(&o->raw, "{\"event\":\"pass_end\",\"pass\":0}", NULL, 0);
    end(o);
    assert_true(o->trace->complete);
}

static const char *const broken[] = {
    "",
    "{",
    "[]",
    "null",
    "{\"event\":1}",
    "{\"event\":\"tensor\"}",
    "{\"event\":\"tensor\",\"event\":\"note\"}",
    "{\"event\":\"tensor\",\"id\":1,\"pass\":0,\"name\":\"twice\",\"dtype\":\"f32\",\"shape\":[2]}",
    "{\"event\":\"tensor\",\"id\":-2,\"pass\":0,\"name\":\"x\",\"dtype\":\"f32\",\"shape\":[2]}",
    "{\"event\":\"tensor\",\"id\":\"2\",\"pass\":0,\"name\":\"x\",\"dtype\":\"f32\",\"shape\":[2]}",
    "{\"event\":\"tensor\",\"id\":2,\"pass\":0,\"name\":7,\"dtype\":\"f32\",\"shape\":[2]}",
    "{\"event\":\"tensor\",\"id\":2,\"pass\":0,\"name\":\"a\\u0000b\",\"dtype\":\"f32\",\"shape\":[2]}",
    "{\"event\":\"tensor\",\"id\":2,\"pass\":0,\"name\":\"x\",\"dtype\":\"f32\"}",
    "{\"event\":\"tensor\",\"id\":2,\"pass\":0,\"name\":\"x\",\"dtype\":\"f32\",\"shape\":[-2]}",
    "{\"event\":\"tensor\",\"id\":2,\"pass\":0,\"name\":\"x\",\"dtype\":\"f32\",\"shape\":[\"2\"]}",
    "{\"event\":\"tensor\",\"id\":2,\"pass\":0,\"name\":\"x\",\"dtype\":\"f32\",\"shape\":[3]}", /* not 8 bytes */
    "{\"event\":\"tensor\",\"id\":2,\"pass\":0,\"name\":\"x\",\"dtype\":\"f32\",\"shape\":[4611686018427387904,8]}",
    "{\"event\":\"tensor\",\"id\":2,\"pass\":0,\"name\":\"x\",\"dtype\":\"q8_0\",\"shape\":[4]}",
    "{\"event\":\"tensor\",\"id\":2,\"pass\":0,\"name\":\"x\",\"dtype\":\"f32\",\"shape\":[2],\"params\":{\"eps\":1e999}}",
    "{\"event\":\"tensor\",\"id\":2,\"pass\":0,\"name\":\"x\",\"dtype\":\"f32\",\"shape\":[2],\"params\":{\"eps\":1,\"eps\":2}}",
};

static void test_frames_that_say_what_they_may_not(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof broken / sizeof broken[0]; i++) {
        void *own;
        assert_int_equal(begin(&own), 0);
        observed *o = own;
        good_start(o);
        raw_frame(&o->raw, broken[i], "12345678", 8);
        assert_cut_off(o);
        assert_int_equal(finish(&own), 0);
    }
}

static void test_names_do_not_choose_files(void **state) {
    observed *o = *state;
    static const char *const names[] = {"../../escape", "/etc/passwd", "..", ".", "", "a/b", "\\u001b[31m\\n", "%s%n"};
    enum { COUNT = sizeof names / sizeof names[0] };
    for (int i = 0; i < COUNT; i++) {
        char json[200];
        snprintf(json, sizeof json, "{\"event\":\"tensor\",\"id\":%d,\"pass\":0,\"name\":\"%s\",\"dtype\":\"f32\",\"shape\":[]}", i, names[i]);
        raw_frame(&o->raw, json, "1234", 4);
    }
    end(o);
    assert_true(o->trace->complete);
    assert_int_equal(o->trace->node_count, COUNT);
    char path[128];
    lockstep_archive *segment;
    snprintf(path, sizeof path, "%s/tensors/0000.npz", o->folder);
    assert_int_equal(lockstep_archive_open(path, &segment, NULL), LOCKSTEP_OK);
    for (int i = 0; i < COUNT; i++) {
        const char *member = segment->tensors[i].name; /* without .npy */
        assert_string_equal(o->trace->nodes[i].file, "tensors/0000.npz");
        assert_memory_equal(member, "00000", 5);
        assert_int_equal(strspn(member, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"), strlen(member));
    }
    lockstep_archive_close(segment);
}

/* Keys that are the recorder's own. */
static void test_a_process_does_not_write_the_recorders_part(void **state) {
    observed *o = *state;
    raw_frame(&o->raw, "{\"event\":\"start\",\"engine\":\"e\",\"i\":0,\"end\":true,\"name\":\"x\"}", NULL, 0);
    raw_frame(&o->raw, "{\"event\":\"pass\",\"pass\":0,\"i\":0,\"ended\":true}", NULL, 0);
    raw_frame(&o->raw, "{\"event\":\"tensor\",\"id\":1,\"pass\":0,\"name\":\"x\",\"dtype\":\"f32\",\"shape\":[],"
                       "\"i\":77,\"file\":\"../../secret\",\"lost\":\"no\",\"occurrence\":5,\"alias_of\":44}", NULL, 0);
    end(o);
    assert_false(o->trace->complete); /* its pass never ended */
    assert_int_equal(o->trace->node_count, 1);
    const ls_node *node = &o->trace->nodes[0];
    assert_null(node->file);
    assert_null(node->lost);
    assert_int_equal(node->occurrence, 0);
    assert_true(node->alias_of == LS_NONE);
    assert_false(o->trace->passes[0].ended);
}

static void test_a_type_that_is_unknown_costs_its_values_only(void **state) {
    observed *o = *state;
    good_start(o);
    raw_frame(&o->raw, "{\"event\":\"tensor\",\"id\":2,\"pass\":0,\"name\":\"odd\",\"dtype\":\"c64\",\"shape\":[256]}", "12345678", 8);
    raw_frame(&o->raw, "{\"event\":\"tensor\",\"id\":3,\"pass\":0,\"name\":\"next\",\"dtype\":\"f64\",\"shape\":[]}", "12345678", 8);
    raw_frame(&o->raw, "{\"event\":\"pass_end\",\"pass\":0}", NULL, 0);
    end(o);
    assert_true(o->trace->complete);
    assert_int_equal(o->trace->node_count, 3);
    assert_null(o->trace->nodes[1].file);
    assert_non_null(o->trace->nodes[1].lost);
    assert_non_null(o->trace->nodes[2].file);
    assert_int_equal(o->totals.dropped, 1);
}

static void test_more_axes_than_a_trace_has(void **state) {
    observed *o = *state;
    raw_frame(&o->raw, "{\"event\":\"tensor\",\"id\":1,\"pass\":0,\"name\":\"x\",\"dtype\":\"u8\",\"shape\":[2,1,2,1,1,1,1,1,1,2]}", "12345678", 8);
    end(o);
    const ls_node *node = &o->trace->nodes[0];
    assert_int_equal(node->rank, 8);
    assert_int_equal(node->shape[0], 4);
    assert_int_equal(node->shape[7], 2);
    ls_hold hold;
    assert_int_equal(ls_trace_hold(o->trace, 0, &hold, NULL), LOCKSTEP_OK);
    assert_memory_equal(hold.view.data, "12345678", 8);
    ls_hold_release(&hold);
}

/* Where the table of ids grows, too. */
static void test_every_id_may_be_an_alias(void **state) {
    enum { COUNT = 9000 };
    observed *o = *state;
    char json[160];
    good_start(o);
    for (int id = 2; id < COUNT; id++) {
        snprintf(json, sizeof json, "{\"event\":\"tensor\",\"id\":%d,\"pass\":0,\"name\":\"a\",\"dtype\":\"f32\",\"shape\":[2],\"alias_of\":%d}", id, id - 1);
        raw_frame(&o->raw, json, NULL, 0);
    }
    raw_frame(&o->raw, "{\"event\":\"pass_end\",\"pass\":0}", NULL, 0);
    end(o);
    assert_true(o->trace->complete);
    assert_int_equal(o->trace->node_count, COUNT - 1);
    for (size_t i = 1; i < COUNT - 1; i++)
        assert_int_equal(o->trace->nodes[i].alias_of, i - 1);
}

/* An engine's mistake must not make the trace unreadable. */
static void test_rows_of_another_number_are_left_out(void **state) {
    observed *o = *state;
    raw_frame(&o->raw, "{\"event\":\"pass\",\"pass\":0,\"tokens\":[1,2],\"positions\":[0,1,2]}", NULL, 0);
    raw_frame(&o->raw, "{\"event\":\"rows\",\"pass\":0,\"positions\":[7]}", NULL, 0);
    raw_frame(&o->raw, "{\"event\":\"rows\",\"pass\":0,\"sequences\":[0.5,\"x\"]}", NULL, 0);
    raw_frame(&o->raw, "{\"event\":\"rows\",\"pass\":0,\"positions\":[3,4]}", NULL, 0);
    raw_frame(&o->raw, "{\"event\":\"pass_end\",\"pass\":0}", NULL, 0);
    end(o);
    assert_true(o->trace->complete);
    assert_int_equal(o->trace->note_count, 3);
    assert_int_equal(o->trace->passes[0].rows, 2);
    assert_int_equal(o->trace->passes[0].tokens[1], 2);
    assert_int_equal(o->trace->passes[0].positions[0], 3);
    assert_null(o->trace->passes[0].sequences);
}

/* One after another, as many as may come: nothing of one that has gone is kept. */
static void test_thousands_of_processes(void **state) {
    enum { COUNT = 3000 };
    observed *o = *state;
    for (int i = 1; i < COUNT; i++) {
        raw_frame(&o->raw, "{\"event\":\"pass\",\"pass\":0}", NULL, 0);
        raw_frame(&o->raw, "{\"event\":\"pass_end\",\"pass\":0}", NULL, 0);
        raw_close(&o->raw);
        while (ls_receiver_alive(o->receiver) > 100) /* both ends are this process's: it has only so many descriptors */
            usleep(1000);
        assert_true(raw_open(ls_receiver_name(o->receiver), &o->raw));
    }
    raw_frame(&o->raw, "{\"event\":\"pass\",\"pass\":0}", NULL, 0);
    raw_frame(&o->raw, "{\"event\":\"pass_end\",\"pass\":0}", NULL, 0);
    end(o);
    assert_int_equal(o->totals.processes, COUNT);
    assert_true(o->trace->complete);
    assert_int_equal(o->trace->ended_count, COUNT);
}

#define CASE(function) cmocka_unit_test_setup_teardown(function, begin, finish)

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(test_what_is_right_is_recorded),
        CASE(test_a_wrong_magic),
        CASE(test_json_without_end),
        CASE(test_a_counter_beyond_the_ring),
        CASE(test_a_counter_that_ran_backwards),
        CASE(test_a_ring_that_lies_about_its_size),
        cmocka_unit_test(test_frames_that_say_what_they_may_not),
        CASE(test_names_do_not_choose_files),
        CASE(test_a_process_does_not_write_the_recorders_part),
        CASE(test_a_type_that_is_unknown_costs_its_values_only),
        CASE(test_more_axes_than_a_trace_has),
        CASE(test_every_id_may_be_an_alias),
        CASE(test_rows_of_another_number_are_left_out),
        CASE(test_thousands_of_processes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
