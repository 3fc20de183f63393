/* What a recording depends on: its command, the environment that engines look at, and
 * the files that the command names. */
#ifndef LS_PARITY_FINGERPRINT_H
#define LS_PARITY_FINGERPRINT_H

#include "base/error.h"
#include "base/text.h"

typedef struct ls_fingerprint_of {
    char *const *command;           /* NULL-terminated */
    const char *const *environment; /* "NAME=value" that it gets besides; may be NULL */
    const char *capture;            /* how it is recorded, as a text */
    const char *out;                /* a directory that it writes to: not looked into */
} ls_fingerprint_of;

/* JSON. Files up to 16 MiB by their content; larger ones by size, time and 256 samples. */
lockstep_status ls_fingerprint(const ls_fingerprint_of *of, ls_text *out_json, lockstep_error *error);
/* Are they the same? `out_why` gets one line either way. `before` NULL: there is none. */
bool ls_fingerprint_matches(const char *before, const char *now, ls_text *out_why);

#endif
