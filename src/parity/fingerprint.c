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
    json_t *left;  /* directories with too many files: only their names are kept */
    json_t *seen;  /* directories visited, because a link may lead back to one */
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
    if (!S_ISDIR(info.st_mode) || json_object_get(g->seen, real) != NULL)
        return LOCKSTEP_OK;
    json_object_set_new(g->seen, real, json_true());
    DIR *entries = strcmp(real, "/") != 0 ? opendir(path) : NULL;
    bool left = entries == NULL;
    lockstep_status status = LOCKSTEP_OK;
    for (struct dirent *e; !left && status == LOCKSTEP_OK && (e = readdir(entries)) != NULL;) {
        left = json_object_size(g->files) >= FILES_MAX;
        if (!left && e->d_name[0] != '.' && (size_t)snprintf(inner, sizeof inner, "%s/%s", path, e->d_name) < sizeof inner)
            status = add_path(g, inner, depth + 1);
    }
    if (left)
        json_object_set_new(g->left, real, json_true());
    if (entries != NULL)
        closedir(entries);
    return status;
}

/* Adds the files that an argument names: the argument itself, and its parts, as in
 * --model=FILE, FILE,FILE or @FILE. If it has blanks, it is a shell command or a prompt: then
 * parts that are directories are ignored, because most words of these are not paths. */
static lockstep_status add_named(gathering *g, const char *text) {
    static const char blanks[] = " \t\n;|&<>()'\"", separators[] = " \t\n;|&<>()'\"=,@:";
    char part[PATH_MAX];
    struct stat info;
    bool files_only = strpbrk(text, blanks) != NULL;
    LS_TRY(add_path(g, text, 0));
    const char *value = strchr(text, '=');
    if (value != NULL && value[1] != '\0')
        LS_TRY(add_path(g, value + 1, 0)); /* a path that contains separators */
    for (const char *at = text; *at != '\0';) {
        size_t length = strcspn(at, separators);
        if (length > 0 && length < sizeof part) {
            memcpy(part, at, length);
            part[length] = '\0';
            if (!files_only || (stat(part, &info) == 0 && S_ISREG(info.st_mode)))
                LS_TRY(add_path(g, part, 0));
        }
        at += length + (at[length] != '\0');
    }
    return LOCKSTEP_OK;
}

/* Searches for a program like execvp. */
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

static lockstep_status add_words(gathering *g, char *const *command, const char *const *environment) {
    LS_TRY(add_program(g, command[0]));
    for (char *const *word = command + 1; *word != NULL; word++)
        LS_TRY(add_named(g, *word));
    for (const char *const *e = environment; e != NULL && *e != NULL; e++)
        LS_TRY(add_named(g, *e + strcspn(*e, "=")));
    return LOCKSTEP_OK;
}

/* ------------------------------------------------------------------ the rest */

/* Whether engines look at a variable; a terminal's size or a session's name doesn't matter. */
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
    gathering g = {.files = json_object(), .left = json_object(), .seen = json_object(), .error = error};
    if (realpath(of->out, g.out) == NULL)
        g.out[0] = '\0';
    lockstep_status status = add_words(&g, of->command, of->environment);
    json_decref(g.seen);
    if (status != LOCKSTEP_OK) {
        json_decref(g.files);
        json_decref(g.left);
        return status;
    }
    json_t *words = json_array();
    for (char *const *word = of->command; *word != NULL; word++)
        json_array_append_new(words, json_string(*word));
    json_t *o = json_pack("{s:s, s:o, s:s, s:o, s:o, s:o}", "lockstep", lockstep_version(), "command", words, "capture", of->capture,
                          "environment", environment_json(of->environment), "files", g.files, "not_looked_into", g.left);
    char *text = o != NULL ? json_dumps(o, JSON_INDENT(1) | JSON_SORT_KEYS) : NULL;
    if (text != NULL)
        ls_text_printf(out_json, "%s\n", text);
    free(text);
    json_decref(o);
    return text != NULL && !out_json->failed ? LOCKSTEP_OK
                                             : ls_fail(error, LOCKSTEP_INVALID_ARGUMENT, "the command can't be compared with others: a word is not UTF-8");
}

lockstep_status ls_fingerprint_recording(const char *directory, char out[LS_RECORDING_HASH], lockstep_error *error) {
    static const char key[] = "\"file\":\"";
    char path[PATH_MAX], *line = NULL;
    size_t capacity = 0;
    ssize_t length;
    XXH3_state_t state;
    FILE *log = (size_t)snprintf(path, sizeof path, "%s/trace.jsonl", directory) < sizeof path ? fopen(path, "re") : NULL;
    if (log == NULL)
        return ls_fail(error, LOCKSTEP_IO, "%s/trace.jsonl: %s", directory, strerror(errno));
    XXH3_64bits_reset(&state);
    while ((length = getline(&line, &capacity, log)) > 0) {
        struct stat info = {0};
        int64_t of_file[3] = {0};
        XXH3_64bits_update(&state, line, (size_t)length);
        char *name = strstr(line, key);
        if (name == NULL)
            continue;
        name += sizeof key - 1;
        name[strcspn(name, "\"")] = '\0';
        if ((size_t)snprintf(path, sizeof path, "%s/%s", directory, name) < sizeof path && lstat(path, &info) == 0) {
            of_file[0] = info.st_size;
            of_file[1] = info.st_mtim.tv_sec;
            of_file[2] = info.st_mtim.tv_nsec;
        }
        XXH3_64bits_update(&state, of_file, sizeof of_file);
    }
    free(line);
    fclose(log);
    snprintf(out, LS_RECORDING_HASH, "%016llx", (unsigned long long)XXH3_64bits_digest(&state));
    return LOCKSTEP_OK;
}

lockstep_status ls_fingerprint_seal(ls_text *json, const char *recording, lockstep_error *error) {
    json_t *o = json_loads(json->data != NULL ? json->data : "", 0, NULL);
    json_object_set_new(o, "recording", json_string(recording));
    char *text = o != NULL ? json_dumps(o, JSON_INDENT(1) | JSON_SORT_KEYS) : NULL;
    ls_text_clear(json);
    if (text != NULL)
        ls_text_printf(json, "%s\n", text);
    free(text);
    json_decref(o);
    return json->length > 0 && !json->failed ? LOCKSTEP_OK : ls_fail(error, LOCKSTEP_NO_MEMORY, "out of memory");
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
    json_object_foreach(json_object_get(now, "not_looked_into"), path, entry)
        ls_text_printf(why, "; not looked into: %s", path);
    ls_text_printf(why, "; not watched: " LS_NOT_WATCHED);
}

bool ls_fingerprint_matches(const char *before, const char *now, const char *recording, ls_text *why) {
    json_t *a = before != NULL ? json_loads(before, 0, NULL) : NULL, *b = json_loads(now, 0, NULL);
    const char *changed = NULL, *what = NULL, *was = json_string_value(json_object_get(a, "recording"));
    bool untouched = was != NULL && recording != NULL && strcmp(was, recording) == 0;
    json_object_del(a, "recording");
    if (a == NULL)
        ls_text_printf(why, "there is no recording of it yet");
    else if (!json_equal(json_object_get(a, "lockstep"), json_object_get(b, "lockstep")))
        ls_text_printf(why, "it was recorded by another version of lockstep");
    else if (!json_equal(json_object_get(a, "command"), json_object_get(b, "command")))
        ls_text_printf(why, "the command changed");
    else if (!json_equal(json_object_get(a, "capture"), json_object_get(b, "capture")))
        ls_text_printf(why, "the options of what to record changed");
    else if ((changed = first_change(json_object_get(a, "environment"), json_object_get(b, "environment"))) != NULL)
        what = "the environment changed";
    else if ((changed = first_change(json_object_get(a, "files"), json_object_get(b, "files"))) != NULL)
        what = "a file changed";
    else if (!untouched)
        ls_text_printf(why, "the recording itself changed, or is incomplete");
    else
        say_same(b, why);
    if (changed != NULL)
        ls_text_printf(why, "%s: %s", what, changed);
    bool same = why->length > 0 && a != NULL && untouched && json_equal(a, b);
    json_decref(a);
    json_decref(b);
    return same;
}
