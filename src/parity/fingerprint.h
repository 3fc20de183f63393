/* What a recording depends on: its command, the environment that engines look at, and
 * the files that the command and its own environment name. */
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
/* A hash of a trace's log, and of the size and time of each file that it names. */
enum { LS_RECORDING_HASH = 20 };
lockstep_status ls_fingerprint_recording(const char *directory, char out[LS_RECORDING_HASH], lockstep_error *error);
/* Adds it to a fingerprint: which recording this is of. */
lockstep_status ls_fingerprint_seal(ls_text *json, const char *recording, lockstep_error *error);
/* Are they the same, and the recording still the one that `before` is of? `out_why` gets
 * one line either way. `before` NULL: there is none; `recording` NULL: it can't be read. */
bool ls_fingerprint_matches(const char *before, const char *now, const char *recording, ls_text *out_why);
#define LS_NOT_WATCHED "the shared libraries and packages that the command loads"

#endif
