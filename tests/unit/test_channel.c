/* The channel with a recorder in the same process, so that a sanitizer sees both sides. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/pool.h"
#include "record/receiver.h"

enum { WRITERS = 4, FRAMES = 200, BYTES = 12000, RING = 1 << 16 }; /* a frame takes a fifth of the ring: writers wait */

typedef struct arrivals {
    unsigned next[WRITERS]; /* frame that is expected from each writer */
    bool wrong, ended;
    ls_ending ending;
} arrivals;

static uint8_t byte_of(unsigned writer, unsigned number) { return (uint8_t)(number * WRITERS + writer); }

static bool take(void *context, const ls_frame *frame) {
    arrivals *a = context;
    char text[64] = "";
    unsigned writer, number;
    memcpy(text, frame->json, frame->json_bytes < sizeof text ? frame->json_bytes : sizeof text - 1);
    if (sscanf(text, "{\"writer\":%u,\"frame\":%u}", &writer, &number) != 2 || writer >= WRITERS || a->next[writer]++ != number) {
        a->wrong = true;
        return false;
    }
    uint64_t left = frame->data_bytes;
    while (left > 0) {
        const uint8_t *bytes;
        size_t count;
        if (!ls_inlet_data(frame->inlet, 1, &bytes, &count))
            return false;
        for (size_t i = 0; i < count; i++)
            a->wrong = a->wrong || bytes[i] != byte_of(writer, number);
        left -= count;
    }
    return true;
}

static void end(void *context, unsigned process, ls_ending ending) {
    (void)process;
    arrivals *a = context;
    a->ended = true;
    a->ending = ending;
}

static void write_frames(void *context, uint64_t writer, int worker) {
    (void)context, (void)worker;
    uint8_t bytes[BYTES];
    for (unsigned number = 0; number < FRAMES; number++) {
        char json[64];
        int length = snprintf(json, sizeof json, "{\"writer\":%u,\"frame\":%u}", (unsigned)writer, number);
        memset(bytes, byte_of((unsigned)writer, number), sizeof bytes);
        ls_channel_send(json, (size_t)length, bytes, sizeof bytes);
    }
}

static void test_frames_of_several_threads_arrive_whole_and_in_order(void **state) {
    (void)state;
    arrivals a = {0};
    ls_receiver *receiver;
    lockstep_error error;
    assert_int_equal(ls_receiver_open("", RING, &(ls_receiver_events){&a, take, end}, &receiver, &error), LOCKSTEP_OK);
    assert_int_equal(setenv(LS_CHANNEL_ENV, ls_receiver_name(receiver), 1), 0);
    assert_true(ls_channel_open());
    ls_pool_run(WRITERS, write_frames, NULL);
    ls_channel_close();
    assert_int_equal(ls_receiver_close(receiver, 10000), 0);
    unsetenv(LS_CHANNEL_ENV);
    assert_false(a.wrong);
    for (int i = 0; i < WRITERS; i++)
        assert_int_equal(a.next[i], FRAMES);
    assert_true(a.ended);
    assert_int_equal(a.ending, LS_ENDING_WHOLE);
}

static void test_a_recorder_that_hangs_up_ends_the_recording_alone(void **state) {
    (void)state;
    arrivals a = {.next = {1}}; /* so that the first frame is unexpected, and the process is cut off */
    ls_receiver *receiver;
    lockstep_error error;
    assert_int_equal(ls_receiver_open("", RING, &(ls_receiver_events){&a, take, end}, &receiver, &error), LOCKSTEP_OK);
    assert_int_equal(setenv(LS_CHANNEL_ENV, ls_receiver_name(receiver), 1), 0);
    assert_true(ls_channel_open());
    ls_pool_run(WRITERS, write_frames, NULL); /* returns although nobody reads */
    ls_channel_close();
    ls_receiver_close(receiver, 10000);
    unsetenv(LS_CHANNEL_ENV);
    assert_true(a.wrong);
}

/* One worker runs a task at a time. */
typedef struct tally {
    uint64_t *done;
    uint64_t of_worker[64];
} tally;

static void count_task(void *context, uint64_t i, int worker) {
    tally *t = context;
    t->done[i]++;
    t->of_worker[worker]++;
}

static void test_the_pool_runs_each_task_once(void **state) {
    (void)state;
    enum { TASKS = 10000 };
    tally t = {.done = calloc(TASKS, sizeof *t.done)};
    uint64_t all = 0;
    assert_non_null(t.done);
    ls_pool_run(TASKS, count_task, &t);
    for (size_t i = 0; i < TASKS; i++)
        assert_int_equal(t.done[i], 1);
    for (size_t i = 0; i < 64; i++)
        all += t.of_worker[i];
    assert_int_equal(all, TASKS);
    free(t.done);
}

static void run_inner(void *context, uint64_t i, int worker) {
    (void)worker;
    ls_pool_run(10, count_task, (tally *)context + i);
}

static void test_runs_within_tasks_share_the_threads(void **state) {
    (void)state;
    enum { TASKS_AFTER = 100 };
    uint64_t done[8][10] = {0}, after[TASKS_AFTER] = {0};
    tally inner[8] = {0};
    for (int i = 0; i < 8; i++)
        inner[i].done = done[i];
    ls_pool_run(8, run_inner, inner);
    for (int i = 0; i < 80; i++)
        assert_int_equal(done[i / 10][i % 10], 1);
    ls_pool_run(TASKS_AFTER, count_task, &(tally){.done = after}); /* all threads are free again */
    for (int i = 0; i < TASKS_AFTER; i++)
        assert_int_equal(after[i], 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_frames_of_several_threads_arrive_whole_and_in_order),
        cmocka_unit_test(test_a_recorder_that_hangs_up_ends_the_recording_alone),
        cmocka_unit_test(test_the_pool_runs_each_task_once),
        cmocka_unit_test(test_runs_within_tasks_share_the_threads),
    };
    return cmocka_run_group_tests_name("channel", tests, NULL, NULL);
}
