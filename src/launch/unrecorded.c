#include "launch/unrecorded.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/escape.h"
#include "launch/hooks.h"

/* The reason is the first row whose facts were reported and whose `without` was not; the last
 * row always applies. %s is the fact's text after its equals sign. */
static const struct reason {
    const char *fact, *and, *without, *why, *way_out;
} reasons[] = {
    {"trouble=", NULL, NULL, "the hook failed in Python (%s)",
     "check whether `import torch` works there by itself"},
    {"refused", NULL, NULL, "a process wanted to record, but could not connect to the recorder",
     "run it in the same container as lockstep, and with memory for a ring of 4 MiB"},
    {"python=", NULL, LS_TORCH_PRESENT, "Python was started with %s, which keeps the hook from being loaded",
     "leave that option out, or use lockstep_debug.capture(model, out=...) in the program"},
    {"python", NULL, LS_TORCH_PRESENT, "Python was started without the hook: PYTHONPATH was replaced on the way",
     "add to PYTHONPATH instead of replacing it"},
    {"framework=", "torch", NULL, "torch was imported, but no torch.nn.Module was called; %s was imported, too, and is not recorded",
     "call the model as a module; save tensors of other frameworks as NPY, NPZ or safetensors and compare the files with lockstep diff"},
    {"torch", NULL, NULL, "torch was imported, but no torch.nn.Module was called on tensors that hold values",
     "call the model as a module, or name tensors with lockstep_debug.tap(name, tensor)"},
    {"framework=", NULL, NULL, "it computed with %s, which is not recorded",
     "save its tensors as NPY, NPZ or safetensors and compare the files with lockstep diff, or record them through lockstep/capture.h, or lockstep_debug.record(name, array)"},
    {"static=", NULL, NULL, "%s contains its own copy of ggml, which can't be hooked",
     "build it with BUILD_SHARED_LIBS=ON, or give its cb_eval the callback of lockstep/ggml.h"},
    {"ggml", NULL, NULL, "ggml was loaded, but computed no graph", "make the program evaluate a graph"},
    {"libtorch", NULL, LS_TORCH_PRESENT, "it computed with torch's C++ library, outside of Python, which is not recorded",
     "run the model from Python, or record its tensors through lockstep/capture.h"},
    {LS_TORCH_PRESENT, NULL, "ended", "Python ended without running its exit handlers, before a torch.nn.Module was called",
     "check how the program ends: by a signal, or by os._exit"},
    {LS_TORCH_PRESENT, NULL, NULL, "Python never imported torch", "run the program that computes the model"},
    {LS_GGML_PRESENT, NULL, NULL, "neither Python nor a program that loads ggml was run",
     "name the program that computes the model; your own engine can call lockstep/capture.h"},
    {"", NULL, NULL, "the hook's library was not loaded: the program is linked statically, set-user-ID, or runs in a container",
     "run lockstep where the program runs; your own engine can call lockstep/capture.h"},
};

/* The line that is this fact, or begins with it if the fact ends in an equals sign. */
static const char *find_fact(const char *facts, const char *fact) {
    size_t length = strlen(fact);
    for (const char *line = facts; *line != '\0'; line = strchr(line, '\n') + 1)
        if (strncmp(line, fact, length) == 0 && (line[length] == '\n' || fact[length - 1] == '='))
            return line;
    return NULL;
}

/* Whether a program contains ggml's code: looks for a message that every copy has. */
static bool has_ggml(const char *path) {
    static const char message[] = "GGML_ASSERT(%s) failed";
    struct stat info;
    int descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    void *mapped = MAP_FAILED;
    if (descriptor >= 0 && fstat(descriptor, &info) == 0 && S_ISREG(info.st_mode) && info.st_size > 0)
        mapped = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_PRIVATE, descriptor, 0);
    if (descriptor >= 0)
        close(descriptor);
    if (mapped == MAP_FAILED)
        return false;
    bool found = memmem(mapped, (size_t)info.st_size, message, sizeof message - 1) != NULL;
    munmap(mapped, (size_t)info.st_size);
    return found;
}

/* Adds a fact for each program and library that contains its own ggml. */
static void add_static_ggml(const char *facts, ls_text *out) {
    static const char *const keys[] = {LS_GGML_PRESENT, "library="};
    for (const char *line = facts; *line != '\0'; line = strchr(line, '\n') + 1)
        for (int k = 0; k < 2; k++) {
            size_t key = strlen(keys[k]), length = (size_t)(strchr(line, '\n') - line);
            char path[PATH_MAX];
            if (strncmp(line, keys[k], key) != 0 || length - key >= sizeof path)
                continue;
            memcpy(path, line + key, length - key);
            path[length - key] = '\0';
            if (has_ggml(path))
                ls_text_printf(out, "static=%s\n", path);
        }
}

static bool applies(const struct reason *r, const char *facts, const char **out_line) {
    *out_line = *r->fact != '\0' ? find_fact(facts, r->fact) : "\n";
    return *out_line != NULL && (r->and == NULL || find_fact(facts, r->and) != NULL) &&
           (r->without == NULL || find_fact(facts, r->without) == NULL);
}

/* Finds the path of a command like a shell. */
static bool find_program(const char *command, char out[PATH_MAX]) {
    const char *path = getenv("PATH");
    if (strchr(command, '/') != NULL || path == NULL)
        return snprintf(out, PATH_MAX, "%s", command) < PATH_MAX;
    for (size_t length; *path != '\0'; path += length + (path[length] == ':')) {
        length = strcspn(path, ":");
        if (snprintf(out, PATH_MAX, "%.*s/%s", (int)length, path, command) < PATH_MAX && access(out, X_OK) == 0)
            return true;
    }
    return false;
}

/* Checks the command itself, too, because a statically linked one reports nothing. */
static void add_all_static_ggml(const char *command, const ls_observed *done, ls_text *out) {
    char program[PATH_MAX];
    if (find_fact(done->facts, "ggml") != NULL)
        return;
    add_static_ggml(done->facts, out);
    if (find_program(command, program) && has_ggml(program))
        ls_text_printf(out, "static=%s\n", command);
}

static void put_value(ls_text *out, const char *format, const char *line) {
    const char *value = strchr(line, '=');
    char raw[300] = "", shown[600];
    if (value != NULL && value < strchr(line, '\n'))
        memcpy(raw, value + 1, (size_t)(strchr(line, '\n') - value - 1));
    ls_escape(raw, strlen(raw), shown, sizeof shown);
    const char *at = strstr(format, "%s");
    if (at == NULL)
        ls_text_printf(out, "%s", format);
    else
        ls_text_printf(out, "%.*s%s%s", (int)(at - format), format, shown, at + 2);
}

/* Appends which hooks were loaded, according to the processes' reports. */
static void put_hooks(ls_text *out, const char *facts) {
    const char *separator = " (hooks loaded: ";
    for (const ls_hook *hook = ls_hooks; hook->name != NULL; hook++)
        if (find_fact(facts, hook->presence) != NULL) {
            ls_text_printf(out, "%s%s", separator, hook->name);
            separator = ", ";
        }
    ls_text_printf(out, *separator == ',' ? ")" : " (no hook was loaded)");
}

void ls_explain_unrecorded(const char *command, const ls_observed *done, ls_text *out) {
    char shown[200];
    ls_text facts = {0};
    ls_text_printf(&facts, "%s", done->facts);
    add_all_static_ggml(command, done, &facts);
    ls_escape(command, strlen(command), shown, sizeof shown);
    ls_text_printf(out, "%s computed nothing that lockstep records", shown);
    if (done->exit != 0)
        ls_text_printf(out, ", and ended with status %d", done->exit);
    const char *all = facts.data != NULL && !facts.failed ? facts.data : "", *line;
    const struct reason *r = reasons;
    while (!applies(r, all, &line))
        r++;
    ls_text_append(out, ": ", 2);
    put_value(out, r->why, line);
    ls_text_printf(out, ". What to do: %s", r->way_out);
    put_hooks(out, all);
    ls_text_done(&facts);
}
