/* Interposes fopen, with which ggml's and whisper.cpp's loaders open their files. */
#include "files.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "wire/channel.h"
#include "wire/frame_writer.h"

enum { FILES = 256 };

/* Absolute paths, in memory that is never freed; entries are only added. */
static _Atomic(char *) paths[FILES];
static atomic_uint path_count, sent_count;

static bool is_known(const char *path) {
    for (unsigned i = 0; i < FILES && i < path_count; i++) {
        const char *known = paths[i];
        if (known != NULL && strcmp(known, path) == 0)
            return true;
    }
    return false;
}

static void remember(const char *path) {
    char *whole = realpath(path, NULL);
    if (whole == NULL || is_known(whole)) {
        free(whole);
        return;
    }
    const unsigned at = atomic_fetch_add(&path_count, 1);
    if (at < FILES)
        paths[at] = whole;
    else
        free(whole);
}

/* Doesn't move the file's position. */
static bool has_weights(FILE *file) {
    char magic[4];
    struct stat info;
    const int fd = fileno(file);
    return fd >= 0 && fstat(fd, &info) == 0 && S_ISREG(info.st_mode) && pread(fd, magic, sizeof magic, 0) == (ssize_t)sizeof magic &&
           (memcmp(magic, "GGUF", 4) == 0 || memcmp(magic, "lmgg", 4) == 0);
}

static FILE *opened(const char *path, const char *mode, FILE *file) {
    const int saved = errno;
    if (file != NULL && path != NULL && mode != NULL && *mode == 'r' && getenv(LS_CHANNEL_ENV) != NULL && has_weights(file))
        remember(path);
    errno = saved;
    return file;
}

typedef FILE *(*open_function)(const char *path, const char *mode);

static open_function next(const char *name, _Atomic(open_function) *known) {
    open_function function = *known;
    if (function == NULL) {
        void *symbol = dlsym(RTLD_NEXT, name);
        memcpy(&function, &symbol, sizeof function);
        *known = function;
    }
    return function;
}

/* By their names in the library: a header may turn one into the other. */
#define EXPORT __attribute__((visibility("default")))
EXPORT FILE *files_open(const char *path, const char *mode) __asm__("fopen");
EXPORT FILE *files_open_large(const char *path, const char *mode) __asm__("fopen64");

static FILE *open_by(const char *name, _Atomic(open_function) *known, const char *path, const char *mode) {
    const open_function real = next(name, known);
    if (real == NULL) {
        errno = ENOSYS;
        return NULL;
    }
    return opened(path, mode, real(path, mode));
}

FILE *files_open(const char *path, const char *mode) {
    static _Atomic(open_function) known;
    return open_by("fopen", &known, path, mode);
}

FILE *files_open_large(const char *path, const char *mode) {
    static _Atomic(open_function) known;
    return open_by("fopen64", &known, path, mode);
}

void files_send(void) {
    const unsigned count = path_count < FILES ? path_count : FILES;
    unsigned from = sent_count;
    if (from >= count || !atomic_compare_exchange_strong(&sent_count, &from, count))
        return;
    for (; from < count; from++)
        if (paths[from] != NULL)
            ls_frame_model_file(paths[from]);
}

void files_send_again(void) { sent_count = 0; }
