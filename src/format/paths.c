#include "format/paths.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

bool ls_path_stays_inside(const char *name) {
    if (*name == '\0' || strchr(name, '\\') != NULL)
        return false;
    for (const char *part = name;;) {
        size_t length = strcspn(part, "/");
        if (length == 0 || (length == 1 && part[0] == '.') ||
            (length == 2 && part[0] == '.' && part[1] == '.'))
            return false;
        if (part[length] == '\0')
            return true;
        part += length + 1;
    }
}

/* Whether any part of the path below the directory is a symbolic link; true if that can't
 * be determined. */
static bool has_links(const char *directory, const char *path) {
    char so_far[PATH_MAX];
    struct stat info;
    size_t at = strlen(directory), length = strlen(path);
    while (at > 0 && directory[at - 1] == '/')
        at--;
    if (length >= sizeof so_far || strncmp(path, directory, at) != 0 || path[at] != '/' || strstr(path + at, "/..") != NULL)
        return true;
    memcpy(so_far, path, length + 1);
    while (so_far[at] == '/')
        at++;
    while (at < length) {
        at += strcspn(so_far + at, "/");
        so_far[at] = '\0';
        if (lstat(so_far, &info) != 0 || S_ISLNK(info.st_mode))
            return true;
        so_far[at++] = '/';
    }
    return false;
}

bool ls_path_resolves_inside(const char *directory, const char *path) {
    if (!has_links(directory, path))
        return true; /* without links, the path can't lead elsewhere */
    char *real_directory = realpath(directory, NULL), *real_path = realpath(path, NULL);
    size_t length = real_directory != NULL ? strlen(real_directory) : 0;
    bool inside = real_directory == NULL || real_path == NULL || length == 1 /* the root */ ||
                  (strncmp(real_path, real_directory, length) == 0 && real_path[length] == '/');
    free(real_directory);
    free(real_path);
    return inside;
}

bool ls_path_has_suffix(const char *path, const char *suffix) {
    size_t length = strlen(path), tail = strlen(suffix);
    return length >= tail && memcmp(path + length - tail, suffix, tail) == 0;
}

const char *ls_path_base(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash != NULL ? slash + 1 : path;
}

char *ls_path_join(ls_arena *arena, const char *directory, const char *name) {
    size_t length = strlen(directory);
    return ls_arena_printf(arena, "%s%s%s", directory,
                           length > 0 && directory[length - 1] == '/' ? "" : "/", name);
}

bool ls_path_is_file(const char *directory, const char *name) {
    ls_arena arena = {0};
    struct stat info;
    char *path = ls_path_join(&arena, directory, name);
    bool is_file = path != NULL && stat(path, &info) == 0 && S_ISREG(info.st_mode);
    ls_arena_done(&arena);
    return is_file;
}

char *ls_path_beside(ls_arena *arena, const char *path, const char *name) {
    return ls_arena_printf(arena, "%.*s%s", (int)(ls_path_base(path) - path), path, name);
}

int ls_path_natural_order(const void *left, const void *right) {
    const char *first = *(const char *const *)left, *second = *(const char *const *)right;
    const char *a = first, *b = second;
    while (*a != '\0' && *b != '\0') {
        if (isdigit((unsigned char)*a) && isdigit((unsigned char)*b)) {
            size_t zeros_a = strspn(a, "0"), zeros_b = strspn(b, "0");
            a += zeros_a;
            b += zeros_b;
            size_t digits_a = strspn(a, "0123456789"), digits_b = strspn(b, "0123456789");
            if (digits_a != digits_b)
                return digits_a < digits_b ? -1 : 1;
            int order = memcmp(a, b, digits_a);
            if (order != 0)
                return order;
            a += digits_a;
            b += digits_b;
        } else if (*a != *b) {
            return (unsigned char)*a < (unsigned char)*b ? -1 : 1;
        } else {
            a++;
            b++;
        }
    }
    if (*a != *b)
        return *a == '\0' ? -1 : 1;
    return strcmp(first, second); /* "l.01" and "l.1" */
}

lockstep_status ls_path_list(ls_arena *arena, const char *directory, const char *suffix,
                             char ***out_names, size_t *out_count, lockstep_error *error) {
    DIR *stream = opendir(directory);
    if (stream == NULL)
        return ls_fail(error, LOCKSTEP_IO, "%s: %s", directory, strerror(errno));
    char **names = NULL;
    size_t count = 0, capacity = 0;
    bool fits = true;
    const struct dirent *found;
    while (fits && (found = readdir(stream)) != NULL) {
        if (found->d_name[0] == '.' || found->d_type == DT_DIR || !ls_path_has_suffix(found->d_name, suffix))
            continue;
        if (count == capacity) { /* outgrown arrays waste at most as much of the arena */
            char **larger = ls_arena_array(arena, capacity = capacity * 2 + 16, sizeof *names);
            if (larger != NULL && count > 0)
                memcpy(larger, names, count * sizeof *names);
            names = larger;
        }
        fits = names != NULL && (names[count++] = ls_arena_copy(arena, found->d_name, strlen(found->d_name))) != NULL;
    }
    closedir(stream);
    if (!fits)
        return ls_fail(error, LOCKSTEP_NO_MEMORY, "%s: out of memory", directory);
    if (count > 0)
        qsort(names, count, sizeof *names, ls_path_natural_order);
    *out_names = names;
    *out_count = count;
    return LOCKSTEP_OK;
}
