#include "parity/fingerprint.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <dirent.h>
#include <unistd.h>

#include <lockstep/lockstep.h>

#include "base/hash.h"

extern char **environ;

enum { WHOLE = 16 << 20, SAMPLES = 256, SAMPLE = 4096, FILES_MAX = 20000, DEPTH_MAX = 8 };

typedef struct gathering {
    json_t *files; /* path -> {how, size, time, hash} */
    char out[PATH_MAX];
    lockstep_error *error;
} gathering;

/* ------------------------------------------------------------------ files */

static bool hash_range(int file, off_t at, size_t count, XXH3_state_t *state) {
    char buffer[1 << 14];
    while (count > 0) {
        ssize_t n = pread(file, buffer, count < sizeof buffer ? count : sizeof buffer, at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        XXH3_64bits_update(state, buffer, (size_t)n);
        at += n;
        count -= (size_t)n;
    }
    return true;
}

static lockstep_status add_file(gathering *g, const char *path, const struct stat *info) {
    char real[PATH_MAX], hash[20];
    if (realpath(path, real) == NULL || json_object_get(g->files, real) != NULL)
        return LOCKSTEP_OK;
    if (json_object_size(g->files) >= FILES_MAX)
        return ls_fail(g->error, LOCKSTEP_LIMIT, "the command names more than %d files", FILES_MAX);
    int file = open(real, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    XXH3_state_t state;
    XXH3_64bits_reset(&state);
    bool whole = info->st_size <= WHOLE, ok = file >= 0;
    if (ok && whole)
        ok = hash_range(file, 0, (size_t)info->st_size, &state);
    for (int i = 0; ok && !whole && i < SAMPLES; i++)
        ok = hash_range(file, (info->st_size - SAMPLE) / (SAMPLES - 1) * i, SAMPLE, &state);
    int why = errno;
    if (file >= 0)
        close(file);
    if (!ok)
        return ls_fail(g->error, LOCKSTEP_IO, "%s: %s", path, strerror(why));
    snprintf(hash, sizeof hash, "%016llx", (unsigned long long)XXH3_64bits_digest(&state));
    json_t *entry = json_pack("{s:s, s:I, s:s}", "by", whole ? "content" : "samples", "size", (json_int_t)info->st_size, "xxh3", hash);
    if (!whole)
        json_object_set_new(entry, "time", json_integer((json_int_t)info->st_mtim.tv_sec * 1000000000 + info->st_mtim.tv_nsec));
    json_object_set_new(g->files, real, entry);
    return LOCKSTEP_OK;
}

static lockstep_status add_path(gathering *g, const char *path, int depth) {
    struct stat info;
    char real[PATH_MAX], inner[PATH_MAX];
    if (stat(path, &info) != 0 || depth > DEPTH_MAX || realpath(path, real) == NULL || strcmp(real, g->out) == 0)
        return LOCKSTEP_OK;
    if (S_ISREG(info.st_mode))
        return add_file(g, path, &info);
    if (!S_ISDIR(info.st_mode) || strcmp(real, "/") == 0)
        return LOCKSTEP_OK;
    DIR *entries = opendir(path);
    lockstep_status status = LOCKSTEP_OK;
    for (struct dirent *e; entries != NULL && status == LOCKSTEP_OK && (e = readdir(entries)) != NULL;)
        if (e->d_name[0] != '.' && (size_t)snprintf(inner, sizeof inner, "%s/%s", path, e->d_name) < sizeof inner)
            status = add_path(g, inner, depth + 1);
    if (entries != NULL)
        closedir(entries);
    return status;
}

/* A program is looked for as execvp does it. */
static lockstep_status add_program(gathering *g, const char *name) {
    char path[PATH_MAX];
    const char *from = getenv("PATH");
    if (strchr(name, '/') != NULL)
        return add_path(g, name, DEPTH_MAX);
    for (const char *end; from != NULL && *from != '\0'; from = *end == ':' ? end + 1 : end) {
        end = from + strcspn(from, ":");
        snprintf(path, sizeof path, "%.*s/%s", (int)(end - from), from, name);
        if (access(path, X_OK) == 0)
            return add_path(g, path, DEPTH_MAX);
    }
    return LOCKSTEP_OK;
}

/* Words are files, or --option=FILE. */
static lockstep_status add_words(gathering *g, char *const *command) {
    LS_TRY(add_program(g, command[0]));
    for (char *const *word = command + 1; *word != NULL; word++) {
        LS_TRY(add_path(g, *word, 0));
        const char *value = strchr(*word, '=');
        if (value != NULL && value[1] != '\0')
            LS_TRY(add_path(g, value + 1, 0));
    }
    return LOCKSTEP_OK;
}

/* ------------------------------------------------------------------ the rest */

/* What engines look at; a terminal's size or a session's name change nothing. */
static bool is_looked_at(const char *variable) {
    static const char *const begins[] = {"PATH=", "PYTHON", "LD_", "HF_", "TRANSFORMERS_", "TORCH", "PYTORCH_", "CUDA_", "OMP_", "MKL_",
                                         "OPENBLAS_", "GGML_", "LLAMA_", "WHISPER_", "NODE_", "LOCKSTEP_", "LC_ALL=", "LANG=", NULL};
    for (const char *const *b = begins; *b != NULL; b++)
        if (strncmp(variable, *b, strlen(*b)) == 0)
            return true;
    return false;
}

static json_t *environment_json(const char *const *own) {
    json_t *o = json_object();
    for (char **e = environ; *e != NULL; e++)
        if (is_looked_at(*e) && strchr(*e, '=') != NULL) {
            char *name = strndup(*e, strcspn(*e, "="));
            if (name != NULL)
                json_object_set_new(o, name, json_string(strchr(*e, '=') + 1));
            free(name);
        }
    for (; own != NULL && *own != NULL; own++) {
        char *name = strndup(*own, strcspn(*own, "="));
        if (name != NULL)
            json_object_set_new(o, name, json_string(strchr(*own, '=') + 1));
        free(name);
    }
    return o;
}

lockstep_status ls_fingerprint(const ls_fingerprint_of *of, ls_text *out_json, lockstep_error *error) {
    gathering g = {.files = json_object(), .error = error};
    if (realpath(of->out, g.out) == NULL)
        g.out[0] = '\0';
    lockstep_status status = add_words(&g, of->command);
    if (status != LOCKSTEP_OK) {
        json_decref(g.files);
        return status;
    }
    json_t *words = json_array();
    for (char *const *word = of->command; *word != NULL; word++)
        json_array_append_new(words, json_string(*word));
    json_t *o = json_pack("{s:s, s:o, s:s, s:o, s:o}", "lockstep", lockstep_version(), "command", words, "capture", of->capture,
                          "environment", environment_json(of->environment), "files", g.files);
    char *text = o != NULL ? json_dumps(o, JSON_INDENT(1) | JSON_SORT_KEYS) : NULL;
    if (text != NULL)
        ls_text_printf(out_json, "%s\n", text);
    free(text);
    json_decref(o);
    return text != NULL && !out_json->failed ? LOCKSTEP_OK
                                             : ls_fail(error, LOCKSTEP_INVALID_ARGUMENT, "the command can't be told from others: a word is not UTF-8");
}

/* The first key whose values differ, or NULL. */
static const char *first_change(const json_t *a, const json_t *b) {
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)a, key, value)
        if (!json_equal(value, json_object_get(b, key)))
            return key;
    json_object_foreach((json_t *)(uintptr_t)b, key, value)
        if (json_object_get(a, key) == NULL)
            return key;
    return NULL;
}

static void say_same(const json_t *now, ls_text *why) {
    size_t sampled = 0, all = json_object_size(json_object_get(now, "files"));
    const char *path;
    json_t *entry;
    json_object_foreach(json_object_get(now, "files"), path, entry)
        sampled += json_object_get(entry, "time") != NULL;
    ls_text_printf(why, "command, environment and %zu files (%zu by content, %zu by size, time and samples) unchanged", all, all - sampled, sampled);
}

bool ls_fingerprint_matches(const char *before, const char *now, ls_text *why) {
    json_t *a = before != NULL ? json_loads(before, 0, NULL) : NULL, *b = json_loads(now, 0, NULL);
    const char *changed = NULL, *what = NULL;
    if (a == NULL)
        ls_text_printf(why, "there is no recording of it yet");
    else if (!json_equal(json_object_get(a, "lockstep"), json_object_get(b, "lockstep")))
        ls_text_printf(why, "it was recorded by another version of lockstep");
    else if (!json_equal(json_object_get(a, "command"), json_object_get(b, "command")))
        ls_text_printf(why, "the command changed");
    else if (!json_equal(json_object_get(a, "capture"), json_object_get(b, "capture")))
        ls_text_printf(why, "what is recorded changed");
    else if ((changed = first_change(json_object_get(a, "environment"), json_object_get(b, "environment"))) != NULL)
        what = "the environment changed";
    else if ((changed = first_change(json_object_get(a, "files"), json_object_get(b, "files"))) != NULL)
        what = "a file changed";
    else
        say_same(b, why);
    if (changed != NULL)
        ls_text_printf(why, "%s: %s", what, changed);
    bool same = why->length > 0 && a != NULL && json_equal(a, b);
    json_decref(a);
    json_decref(b);
    return same;
}
