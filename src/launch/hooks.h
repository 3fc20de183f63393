/* What lets an unmodified program record itself. A hook is one row: a new engine's hook
 * is a folder, a row, and nothing else here. */
#ifndef LS_LAUNCH_HOOKS_H
#define LS_LAUNCH_HOOKS_H

#include "base/error.h"

/* The facts (facts.h) by which a process says that a hook is in it. */
#define LS_GGML_PRESENT "process="
#define LS_TORCH_PRESENT "hook"

enum { LS_HOOK_PLACES = 4 };

typedef struct ls_hook {
    const char *name;
    const char *variable;    /* of the environment: a list of paths, to which the hook's is prepended */
    const char *separators;  /* of that list; a path must not contain one */
    const char *places[LS_HOOK_PLACES]; /* where the hook is, relative to this program's folder; NULL-terminated */
    bool needs_capture;      /* it records through liblockstep-capture.so, whose path LOCKSTEP_HOOK holds */
    const char *presence;    /* the fact, or how it begins where it ends in an equals sign */
} ls_hook;

extern const ls_hook ls_hooks[]; /* ends with name == NULL */

/* The paths of all hooks, as they were found. */
typedef struct ls_found_hooks ls_found_hooks;

/* LOCKSTEP_NOT_FOUND when the installation is not whole, LOCKSTEP_UNSUPPORTED when a path
 * can't be put into its variable. */
lockstep_status ls_hooks_find(ls_found_hooks **out_found, lockstep_error *error);
/* NULL is allowed. */
void ls_hooks_free(ls_found_hooks *found);
/* The path of liblockstep-capture.so. */
const char *ls_hooks_capture(const ls_found_hooks *found);
/* Puts the hooks into this process's environment, for the command that it becomes. */
void ls_hooks_enter(const ls_found_hooks *found);

#endif
