/* Names that files and directories give to other files. */
#ifndef LS_FORMAT_PATHS_H
#define LS_FORMAT_PATHS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/error.h"

/* Relative, not empty, without backslashes, empty, "." or ".." parts. */
bool ls_path_stays_inside(const char *name);
/* False when `path`, all links followed, is a file that is not below `directory`. */
bool ls_path_resolves_inside(const char *directory, const char *path);
bool ls_path_has_suffix(const char *path, const char *suffix);
/* What follows the last '/'. */
const char *ls_path_base(const char *path);
/* DIRECTORY/NAME, or NULL when there is no memory. */
char *ls_path_join(ls_arena *arena, const char *directory, const char *name);
/* DIRECTORY/NAME is a regular file. */
bool ls_path_is_file(const char *directory, const char *name);
/* NAME beside the file at `path`. */
char *ls_path_beside(ls_arena *arena, const char *path, const char *name);
/* The names in a directory that end so, in natural order: no folders, and none that
 * begins with a dot. They and their array are the arena's. */
lockstep_status ls_path_list(ls_arena *arena, const char *directory, const char *suffix,
                             char ***out_names, size_t *out_count, lockstep_error *error);
/* Runs of digits compare as numbers: "l.2" is before "l.10". For qsort, of char *. */
int ls_path_natural_order(const void *a, const void *b);

#endif
