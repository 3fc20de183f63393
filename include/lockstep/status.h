/* Errors: a status, and a message that the caller owns. */
#ifndef LOCKSTEP_STATUS_H
#define LOCKSTEP_STATUS_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#pragma GCC visibility push(default) /* the shared library exports what is declared here */

/* Stable: a value never changes its meaning. */
#define LOCKSTEP_STATUS_LIST(X)                                         \
    X(OK, 0, "ok")                                                      \
    X(INVALID_ARGUMENT, 1, "invalid argument")                          \
    X(NOT_FOUND, 2, "not found")                                        \
    X(IO, 3, "input/output error")                                      \
    X(TRUNCATED, 4, "truncated: ends before what it declares")          \
    X(MALFORMED, 5, "malformed: breaks its format's rules")             \
    X(UNSUPPORTED, 6, "unsupported")                                    \
    X(LIMIT, 7, "beyond a limit, or a size that overflows")             \
    X(NO_MEMORY, 8, "out of memory")                                    \
    X(UNKNOWN_FORMAT, 9, "no known format")                             \
    X(INCOMPARABLE, 10, "nothing that could be compared")               \
    X(DISCONNECTED, 11, "the other side is gone")                       \
    X(INTERNAL, 12, "internal error")

typedef enum lockstep_status {
#define X(name, value, text) LOCKSTEP_##name = value,
    LOCKSTEP_STATUS_LIST(X)
#undef X
} lockstep_status;

#define LOCKSTEP_NO_OFFSET UINT64_MAX

/* Owned by the caller, and filled only on failure. `message` is one line of UTF-8,
 * already escaped for a terminal, with the file, the offset if there is one, what was
 * found and what was expected. */
typedef struct lockstep_error {
    lockstep_status status;
    uint64_t offset; /* byte offset in the file, or LOCKSTEP_NO_OFFSET */
    char message[500];
} lockstep_error;

/* A short English text for a status; never NULL. */
const char *lockstep_status_text(lockstep_status status);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif
