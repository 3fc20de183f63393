/* Sources, the cursor, escapes, and parsers whose reads fail. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cursor.h"
#include "base/escape.h"
#include "format/formats.h"
#include "format/npy.h"
#include "format/paths.h"

static void test_cursor_reads_both_byte_orders_and_stops_at_the_end(void **state) {
    (void)state;
    static const uint8_t bytes[] = {1, 2, 3, 4, 5, 6};
    ls_cursor c = {.bytes = bytes, .size = sizeof bytes, .origin = 100, .file = "f"};
    uint32_t wide = 0;
    uint16_t narrow = 0;
    lockstep_error error;
    assert_int_equal(ls_cursor_u32(&c, "a", &wide, NULL), LOCKSTEP_OK);
    assert_int_equal(wide, 0x04030201);
    assert_int_equal(ls_cursor_u32(&c, "count", &wide, &error), LOCKSTEP_TRUNCATED);
    assert_int_equal(error.offset, 104);
    assert_string_equal(error.message, "f: offset 104: count: found 2 bytes left, expected 4");
    assert_int_equal(wide, 0x04030201);
    c.big_endian = true;
    assert_int_equal(ls_cursor_u16(&c, "b", &narrow, NULL), LOCKSTEP_OK);
    assert_int_equal(narrow, 0x0506);
    assert_int_equal(ls_cursor_left(&c), 0);
}

static void test_escapes(void **state) {
    (void)state;
    static const struct {
        const char *text, *shown;
    } cases[] = {
        {"plain é 模", "plain é 模"},      {"\x1b[31m", "\\x1b[31m"},        {"a\\b\n", "a\\\\b\\x0a"},
        {"\xff\xc0\x80", "\\xff\\xc0\\x80"}, {"\xe2\x80\xae", "\\u{202e}"}, {"\xc2\x9b", "\\x9b"},
        {"\xed\xa0\x80", "\\xed\\xa0\\x80"}, /* a surrogate is no UTF-8 */
    };
    char out[64];
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        ls_escape(cases[i].text, strlen(cases[i].text), out, sizeof out);
        assert_string_equal(out, cases[i].shown);
    }
    assert_int_equal(ls_escape("ab\x1b", 3, out, 6), 2); /* no half of an escape */
    assert_string_equal(out, "ab");
}

static void test_paths_that_stay_inside(void **state) {
    (void)state;
    static const char *const good[] = {"a", "a/b.npy", "..a", "a..", "a/.b"};
    static const char *const bad[] = {"", "/a", "..", "a/..", "../a", "a/../b", "./a", "a//b", "a/", "a\\b"};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        assert_true(ls_path_stays_inside(good[i]));
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_false(ls_path_stays_inside(bad[i]));
}

static void test_natural_order(void **state) {
    (void)state;
    static const char *const sorted[] = {"a", "a.1", "a.2", "a.02b", "a.10", "a.10.1", "a.99999999999999999999999", "b"};
    for (size_t i = 0; i < sizeof sorted / sizeof sorted[0]; i++)
        for (size_t j = 0; j < sizeof sorted / sizeof sorted[0]; j++) {
            int order = ls_path_natural_order(&sorted[i], &sorted[j]);
            assert_int_equal((order > 0) - (order < 0), (i > j) - (i < j));
        }
}

static void test_a_file_among_thousands_keeps_no_descriptor(void **state) {
    (void)state;
    char path[] = "/tmp/lockstep-test-XXXXXX";
    int fd = mkstemp(path);
    assert_int_equal(write(fd, "12345", 5), 5);
    ls_source *source;
    const uint8_t *bytes;
    lockstep_error error;
    assert_int_equal(ls_source_open_small(path, &source, NULL), LOCKSTEP_OK);
    int next = dup(fd); /* the lowest free descriptor: nothing is held in between */
    assert_int_equal(next, fd + 1);
    close(next);
    assert_int_equal(ls_source_bytes(source, &bytes, NULL), LOCKSTEP_OK);
    assert_memory_equal(bytes, "12345", 5);
    ls_source_release(source);
    assert_int_equal(ftruncate(fd, 3), 0);
    assert_int_equal(ls_source_bytes(source, &bytes, &error), LOCKSTEP_IO);
    ls_source_close(source);
    close(fd);
    unlink(path);
}

/* A source that can't be mapped and whose n-th read fails. */
typedef struct failing {
    const uint8_t *bytes;
    int reads_left;
    int closed;
} failing;

static lockstep_status failing_read_at(ls_source *source, uint64_t offset, void *out, size_t length,
                                       lockstep_error *error) {
    failing *f = source->state;
    if (f->reads_left-- <= 0)
        return ls_fail_at(error, LOCKSTEP_IO, source->name, offset, "injected");
    if (length > 0)
        memcpy(out, f->bytes + offset, length);
    return LOCKSTEP_OK;
}

static void failing_close(ls_source *source) {
    ((failing *)source->state)->closed++;
    free(source);
}

static const ls_source_methods failing_methods = {failing_read_at, NULL, NULL, failing_close, false};

static lockstep_status open_failing(failing *f, size_t size, lockstep_archive **out, lockstep_error *error) {
    ls_source *source = calloc(1, sizeof *source);
    source->methods = &failing_methods;
    source->name = "failing";
    source->size = size;
    source->state = f;
    return ls_archive_open_source(source, NULL, out, error);
}

/* Fails the first read, then the second, … until everything succeeds. */
static void every_read_may_fail(const void *bytes, size_t size, const char *format, double expected) {
    for (int n = 0;; n++) {
        failing f = {bytes, n, 0};
        lockstep_archive *archive = NULL;
        lockstep_error error;
        double value = 0;
        lockstep_status status = open_failing(&f, size, &archive, &error);
        if (status == LOCKSTEP_OK) {
            assert_string_equal(lockstep_archive_format(archive), format);
            status = lockstep_archive_read(archive, 0, 1, 1, &value, &error);
            lockstep_archive_close(archive);
        }
        assert_int_equal(f.closed, 1);
        if (status == LOCKSTEP_OK) {
            assert_true(n > 1 && value == expected);
            return;
        }
        assert_int_equal(status, LOCKSTEP_IO);
        assert_non_null(strstr(error.message, "injected"));
    }
}

static void test_reads_of_npy_may_fail(void **state) {
    (void)state;
    char bytes[LS_NPY_HEADER_MAX + 8] = {0};
    size_t header = ls_npy_header(LOCKSTEP_F32, 1, (const uint64_t[]){2}, bytes, sizeof bytes);
    memcpy(bytes + header, (const float[]){1, 2.5f}, 8);
    every_read_may_fail(bytes, header + 8, "npy", 2.5);
}

static void test_reads_of_safetensors_may_fail(void **state) {
    (void)state;
    static const char header[] = "{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]}}";
    uint8_t bytes[8 + sizeof header + 1] = {sizeof header - 1};
    memcpy(bytes + 8, header, sizeof header - 1);
    memcpy(bytes + 8 + sizeof header - 1, "\1\7", 2);
    every_read_may_fail(bytes, sizeof bytes, "safetensors", 7);
}

/* The text is what numpy.save writes for np.zeros((2, 3), "<f4"). */
static void test_npy_header_is_numpy_s(void **state) {
    (void)state;
    char out[LS_NPY_HEADER_MAX];
    size_t length = ls_npy_header(LOCKSTEP_F32, 2, (const uint64_t[]){2, 3}, out, sizeof out);
    assert_int_equal(length, 128);
    assert_memory_equal(out, "\x93NUMPY\x01\0\x76\0{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }", 69);
    assert_int_equal(out[127], '\n');
    for (size_t i = 69; i < 127; i++)
        assert_int_equal(out[i], ' ');
    assert_int_equal(ls_npy_header(LOCKSTEP_BF16, 0, NULL, out, sizeof out), 0);
    assert_int_equal(ls_npy_header(LOCKSTEP_F32, 0, NULL, out, 127), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cursor_reads_both_byte_orders_and_stops_at_the_end),
        cmocka_unit_test(test_escapes),
        cmocka_unit_test(test_paths_that_stay_inside),
        cmocka_unit_test(test_natural_order),
        cmocka_unit_test(test_a_file_among_thousands_keeps_no_descriptor),
        cmocka_unit_test(test_reads_of_npy_may_fail),
        cmocka_unit_test(test_reads_of_safetensors_may_fail),
        cmocka_unit_test(test_npy_header_is_numpy_s),
    };
    return cmocka_run_group_tests_name("sources", tests, NULL, NULL);
}
