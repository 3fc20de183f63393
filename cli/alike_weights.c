#include "alike_weights.h"

#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/hash.h"

static uint64_t key_of_file(uint64_t key, const char *path) {
    struct stat s;
    const uint64_t of_path = XXH3_64bits_withSeed(path, strlen(path), key);
    if (stat(path, &s) != 0)
        return of_path;
    const uint64_t facts[] = {(uint64_t)s.st_dev, (uint64_t)s.st_ino, (uint64_t)s.st_size, (uint64_t)s.st_mtim.tv_sec, (uint64_t)s.st_mtim.tv_nsec};
    return XXH3_64bits_withSeed(facts, sizeof facts, of_path);
}

/* A file's, or a folder's with what is in it, in any order. */
static uint64_t key_of_checkpoint(uint64_t key, const char *path) {
    char file[PATH_MAX];
    uint64_t all = key_of_file(key, path);
    DIR *folder = opendir(path);
    for (const struct dirent *entry; folder != NULL && (entry = readdir(folder)) != NULL;)
        if (entry->d_name[0] != '.' && snprintf(file, sizeof file, "%s/%s", path, entry->d_name) < (int)sizeof file)
            all += key_of_file(key, file);
    if (folder != NULL)
        closedir(folder);
    return all;
}

uint64_t alike_weights_key(const char *reference, const char *const *candidates, size_t count) {
    uint64_t key = key_of_checkpoint(0, reference);
    for (size_t i = 0; i < count; i++)
        key = key_of_checkpoint(key, candidates[i]);
    return key != 0 ? key : 1;
}

void alike_weights_begin(alike_weights *a, uint64_t key) {
    ls_map_done(&a->names);
    *a = (alike_weights){.key = key};
}

void alike_weights_add(alike_weights *a, const char *name) {
    uint64_t *slot = ls_map_at(&a->names, name, strlen(name));
    if (slot != NULL)
        *slot = 1;
}

bool alike_weights_have(const alike_weights *a, const char *name) { return ls_map_find(&a->names, name, strlen(name)) != NULL; }

void alike_weights_done(alike_weights *a) { alike_weights_begin(a, 0); }
