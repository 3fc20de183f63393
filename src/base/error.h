/* Status codes plus a caller-owned message; the library keeps no last error. */
#ifndef LS_BASE_ERROR_H
#define LS_BASE_ERROR_H

#include <lockstep/lockstep.h>
#include <stdarg.h>

/* Fills *error (if not NULL) and returns status, so that a failure is one line:
 *     return ls_fail(error, LOCKSTEP_IO, "%s: %s", path, strerror(errno));
 * The text is escaped, so names from hostile files can be passed as they are. */
lockstep_status ls_fail(lockstep_error *error, lockstep_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The same for a position in a file: the message begins with "FILE: offset N: ". */
lockstep_status ls_fail_at(lockstep_error *error, lockstep_status status, const char *file,
                           uint64_t offset, const char *format, ...)
    __attribute__((format(printf, 5, 6)));

/* If the call fails, returns its status from the enclosing function. */
#define LS_TRY(call)                                       \
    do {                                                   \
        lockstep_status ls_try_status_ = (call);           \
        if (ls_try_status_ != LOCKSTEP_OK)                 \
            return ls_try_status_;                         \
    } while (0)

#endif
