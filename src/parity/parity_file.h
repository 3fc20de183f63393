/* parity.yaml: two commands, how they are recorded and compared, and prompts
 * (docs/run.md). */
#ifndef LS_PARITY_PARITY_FILE_H
#define LS_PARITY_PARITY_FILE_H

#include "base/arena.h"
#include "base/error.h"

typedef struct ls_parity_side {
    const char *const *command;     /* words, with {prompt}, {tokens} and {out}; NULL-terminated */
    const char *const *environment; /* "NAME=value"; NULL-terminated, or NULL */
    const char *observe, *tensors, *ops, *layers, *passes; /* as for `lockstep capture`; may be NULL */
} ls_parity_side;

typedef struct ls_parity_prompt {
    const char *name; /* of its directory: letters, digits and ._- */
    const char *given; /* the name as given in the file, or NULL */
    const char *text; /* NULL if only tokens are given */
    const char *tokens; /* "1,2,3", or NULL */
} ls_parity_prompt;

enum { LS_PARITY_ACCEPT_MAX = 16 };

typedef struct ls_parity {
    ls_parity_side reference, candidate;
    ls_parity_prompt *prompts;
    size_t prompt_count, prompt_capacity;
    const char *map, *preset, *profile, *tensors, *layers; /* may be NULL */
    const char *accept[LS_PARITY_ACCEPT_MAX];              /* faults that are by design */
    size_t accept_count;
    double atol, rtol, min_coverage;                       /* NaN if not given */
    const char *out;
    ls_arena arena;
} ls_parity;

lockstep_status ls_parity_open(const char *path, ls_parity *out_parity, lockstep_error *error);
/* The same from memory; `name` is for messages. */
lockstep_status ls_parity_parse(const char *name, const char *text, size_t size, ls_parity *out_parity, lockstep_error *error);
void ls_parity_done(ls_parity *parity);

#endif
