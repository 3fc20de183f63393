/* The hooks by which an unmodified program records itself. A hook for a new engine needs a
 * folder and a row here, and nothing else. */
#ifndef LS_LAUNCH_HOOKS_H
#define LS_LAUNCH_HOOKS_H

#include "base/error.h"

/* The facts (facts.h) by which a process reports that it has a hook. */
#define LS_GGML_PRESENT "process="
#define LS_TORCH_PRESENT "hook"

enum { LS_HOOK_PLACES = 4 };

typedef struct ls_hook {
    const char *name;
    const char *variable;    /* environment variable with a list of paths, to which the hook's is prepended */
    const char *separators;  /* of that list; paths must not contain them */
    const char *places[LS_HOOK_PLACES]; /* where the hook is, relative to this program's folder; NULL-terminated */
    bool needs_capture;      /* records through liblockstep-capture.so, whose path is then in LOCKSTEP_HOOK */
    const char *presence;    /* the fact that reports it; if it ends in an equals sign, its beginning */
} ls_hook;

extern const ls_hook ls_hooks[]; /* ends with name == NULL */

/* The paths of all hooks. */
typedef struct ls_found_hooks ls_found_hooks;

/* LOCKSTEP_NOT_FOUND if the installation is incomplete, LOCKSTEP_UNSUPPORTED if a path
 * can't be put into its variable. */
lockstep_status ls_hooks_find(ls_found_hooks **out_found, lockstep_error *error);
/* NULL is allowed. */
void ls_hooks_free(ls_found_hooks *found);
/* The path of liblockstep-capture.so. */
const char *ls_hooks_capture(const ls_found_hooks *found);
/* Puts the hooks into the environment of this process, which then executes the command. */
void ls_hooks_enter(const ls_found_hooks *found);

#endif
