/* A fingerprint of what a recording depends on: its command, the environment variables that
 * engines look at, and the files that the command and its own environment name. */
#ifndef LS_PARITY_FINGERPRINT_H
#define LS_PARITY_FINGERPRINT_H

#include "base/error.h"
#include "base/text.h"

typedef struct ls_fingerprint_of {
    char *const *command;           /* NULL-terminated */
    const char *const *environment; /* additional "NAME=value" for the command; may be NULL */
    const char *capture;            /* the options for recording, as text */
    const char *out;                /* the directory that it writes to, which is ignored */
} ls_fingerprint_of;

/* Writes the fingerprint as JSON. Files up to 16 MiB are identified by their content, larger
 * ones by size, time and 256 samples. */
lockstep_status ls_fingerprint(const ls_fingerprint_of *of, ls_text *out_json, lockstep_error *error);
/* Hashes a trace's log, and the size and time of each file that it names. */
enum { LS_RECORDING_HASH = 20 };
lockstep_status ls_fingerprint_recording(const char *directory, char out[LS_RECORDING_HASH], lockstep_error *error);
/* Adds such a hash to a fingerprint, which ties it to that recording. */
lockstep_status ls_fingerprint_seal(ls_text *json, const char *recording, lockstep_error *error);
/* Whether `before` and `now` are the same, and the recording is still that of `before`. `out_why`
 * gets one line either way. `before` is NULL if there is none, `recording` if it can't be read. */
bool ls_fingerprint_matches(const char *before, const char *now, const char *recording, ls_text *out_why);
#define LS_NOT_WATCHED "the shared libraries and packages that the command loads"

#endif
