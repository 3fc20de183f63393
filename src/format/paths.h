/* Handling of paths, also of those that a file gives for other files. */
#ifndef LS_FORMAT_PATHS_H
#define LS_FORMAT_PATHS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/error.h"

/* Whether a name is relative, not empty, and has no backslashes and no empty, "." or ".." parts. */
bool ls_path_stays_inside(const char *name);
/* False if `path`, with all links resolved, is a file outside `directory`. */
bool ls_path_resolves_inside(const char *directory, const char *path);
bool ls_path_has_suffix(const char *path, const char *suffix);
/* What follows the last '/'. */
const char *ls_path_base(const char *path);
/* DIRECTORY/NAME, or NULL if out of memory. */
char *ls_path_join(ls_arena *arena, const char *directory, const char *name);
/* Whether DIRECTORY/NAME is a regular file. */
bool ls_path_is_file(const char *directory, const char *name);
/* NAME in the directory of the file at `path`. */
char *ls_path_beside(ls_arena *arena, const char *path, const char *name);
/* Lists the files in a directory whose names end in `suffix`, in natural order; skips folders
 * and names that begin with a dot. The names and their array are allocated in the arena. */
lockstep_status ls_path_list(ls_arena *arena, const char *directory, const char *suffix,
                             char ***out_names, size_t *out_count, lockstep_error *error);
/* Compares char * elements for qsort; runs of digits compare as numbers: "l.2" is before "l.10". */
int ls_path_natural_order(const void *a, const void *b);

#endif
