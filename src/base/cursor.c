#include "base/cursor.h"

#include <string.h>

lockstep_status ls_cursor_bytes(ls_cursor *c, uint64_t length, const char *what,
                                const uint8_t **out_bytes, lockstep_error *error) {
    if (length > ls_cursor_left(c))
        return ls_fail_at(error, LOCKSTEP_TRUNCATED, c->file, ls_cursor_offset(c),
                          "%s: found %llu bytes left, expected %llu", what,
                          (unsigned long long)ls_cursor_left(c), (unsigned long long)length);
    *out_bytes = c->bytes + c->at;
    c->at += length;
    return LOCKSTEP_OK;
}

lockstep_status ls_cursor_copy_name(const ls_cursor *c, uint64_t length, const char *what, ls_arena *arena,
                                    const char **out_name, lockstep_error *error) {
    const char *text = (const char *)c->bytes + (c->at - length);
    if (memchr(text, 0, (size_t)length) != NULL)
        return ls_fail_at(error, LOCKSTEP_MALFORMED, c->file, ls_cursor_offset(c) - length,
                          "%s: found a NUL in '%.*s'", what, (int)length, text);
    const char *copy = ls_arena_copy(arena, text, (size_t)length);
    if (copy == NULL)
        return ls_fail(error, LOCKSTEP_NO_MEMORY, "%s: out of memory", c->file);
    *out_name = copy;
    return LOCKSTEP_OK;
}

static lockstep_status read_uint(ls_cursor *c, int width, const char *what, uint64_t *out,
                                 lockstep_error *error) {
    const uint8_t *p = NULL;
    LS_TRY(ls_cursor_bytes(c, (uint64_t)width, what, &p, error));
    uint64_t value = 0;
    for (int i = 0; i < width; i++)
        value |= (uint64_t)p[i] << 8 * (c->big_endian ? width - 1 - i : i);
    *out = value;
    return LOCKSTEP_OK;
}

#define READER(bits)                                                                            \
    lockstep_status ls_cursor_u##bits(ls_cursor *c, const char *what, uint##bits##_t *out,      \
                                      lockstep_error *error) {                                  \
        uint64_t value = 0;                                                                       \
        LS_TRY(read_uint(c, bits / 8, what, &value, error));                                    \
        *out = (uint##bits##_t)value;                                                           \
        return LOCKSTEP_OK;                                                                     \
    }
READER(8)
READER(16)
READER(32)
READER(64)
