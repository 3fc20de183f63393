/* A bounds-checked reader over bytes of a file. Every read names the field that it
 * reads, so that the error for a truncated file has the field, offset and size. */
#ifndef LS_BASE_CURSOR_H
#define LS_BASE_CURSOR_H

#include "base/arena.h"
#include "base/error.h"

typedef struct ls_cursor {
    const uint8_t *bytes;
    uint64_t size, at;
    uint64_t origin;  /* file offset of bytes[0] */
    const char *file; /* for messages */
    bool big_endian;
} ls_cursor;

static inline uint64_t ls_cursor_left(const ls_cursor *c) { return c->size - c->at; }
static inline uint64_t ls_cursor_offset(const ls_cursor *c) { return c->origin + c->at; }

/* The next `length` bytes, borrowed. Fails with LOCKSTEP_TRUNCATED. */
lockstep_status ls_cursor_bytes(ls_cursor *c, uint64_t length, const char *what,
                                const uint8_t **out_bytes, lockstep_error *error);
/* Copies the `length` bytes before the cursor, which are used as a C string. Fails with
 * LOCKSTEP_MALFORMED if they have a NUL. */
lockstep_status ls_cursor_copy_name(const ls_cursor *c, uint64_t length, const char *what, ls_arena *arena,
                                    const char **out_name, lockstep_error *error);
/* Unsigned integers in the cursor's byte order. */
lockstep_status ls_cursor_u8(ls_cursor *c, const char *what, uint8_t *out, lockstep_error *error);
lockstep_status ls_cursor_u16(ls_cursor *c, const char *what, uint16_t *out, lockstep_error *error);
lockstep_status ls_cursor_u32(ls_cursor *c, const char *what, uint32_t *out, lockstep_error *error);
lockstep_status ls_cursor_u64(ls_cursor *c, const char *what, uint64_t *out, lockstep_error *error);

#endif
