#include "base/error.h"

#include <stdio.h>
#include <string.h>

#include "base/escape.h"

const char *lockstep_status_text(lockstep_status status) {
    switch (status) {
#define X(name, value, text) \
    case LOCKSTEP_##name:    \
        return text;
        LOCKSTEP_STATUS_LIST(X)
#undef X
    }
    return "unknown status";
}

static void fill(lockstep_error *error, lockstep_status status, uint64_t offset,
                 const char *prefix, const char *format, va_list args) {
    char raw[sizeof error->message];
    size_t used = (size_t)snprintf(raw, sizeof raw, "%s", prefix);
    if (used >= sizeof raw)
        used = sizeof raw - 1;
    vsnprintf(raw + used, sizeof raw - used, format, args);
    error->status = status;
    error->offset = offset;
    ls_escape(raw, strlen(raw), error->message, sizeof error->message);
}

lockstep_status ls_fail(lockstep_error *error, lockstep_status status, const char *format, ...) {
    if (error != NULL) {
        va_list args;
        va_start(args, format);
        fill(error, status, LOCKSTEP_NO_OFFSET, "", format, args);
        va_end(args);
    }
    return status;
}

lockstep_status ls_fail_at(lockstep_error *error, lockstep_status status, const char *file,
                           uint64_t offset, const char *format, ...) {
    if (error != NULL) {
        char prefix[300];
        if (offset == LOCKSTEP_NO_OFFSET)
            snprintf(prefix, sizeof prefix, "%.240s: ", file);
        else
            snprintf(prefix, sizeof prefix, "%.240s: offset %llu: ", file, (unsigned long long)offset);
        va_list args;
        va_start(args, format);
        fill(error, status, offset, prefix, format, args);
        va_end(args);
    }
    return status;
}
