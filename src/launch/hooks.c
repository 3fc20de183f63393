#include "launch/hooks.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"

/* The places are for a build tree, an installation, and a subfolder of the build tree. */
const ls_hook ls_hooks[] = {
    {.name = "ggml",
     .variable = "LD_PRELOAD",
     .separators = " :",
     .places = {"liblockstep-ggml.so", "../lib/liblockstep-ggml.so", "../liblockstep-ggml.so"},
     .presence = LS_GGML_PRESENT},
    {.name = "torch",
     .variable = "PYTHONPATH",
     .separators = ":",
     .places = {"../python", "../share/lockstep/python", "../../python"},
     .needs_capture = true,
     .presence = LS_TORCH_PRESENT},
    {.name = NULL},
};

static const char *const capture_places[LS_HOOK_PLACES] = {"liblockstep-capture.so", "../lib/liblockstep-capture.so", "../liblockstep-capture.so"};

enum { HOOKS = sizeof ls_hooks / sizeof ls_hooks[0] - 1 };

struct ls_found_hooks {
    char *paths[HOOKS]; /* absolute */
    char *capture;
};

/* The first place that exists, as an absolute path that the caller frees; or NULL. */
static char *find(const char *const places[LS_HOOK_PLACES]) {
    char self[PATH_MAX], joined[PATH_MAX + 64];
    ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
    if (length <= 0)
        return NULL;
    self[length] = '\0';
    *strrchr(self, '/') = '\0';
    for (int i = 0; i < LS_HOOK_PLACES && places[i] != NULL; i++) {
        snprintf(joined, sizeof joined, "%s/%s", self, places[i]);
        char *path = realpath(joined, NULL);
        if (path != NULL)
            return path;
    }
    return NULL;
}

static lockstep_status find_all(ls_found_hooks *found, lockstep_error *error) {
    static const char missing[] = "%s is not beside this program: is the installation complete?";
    found->capture = find(capture_places);
    if (found->capture == NULL)
        return ls_fail(error, LOCKSTEP_NOT_FOUND, missing, capture_places[0]);
    for (int i = 0; i < HOOKS; i++) {
        const ls_hook *hook = &ls_hooks[i];
        found->paths[i] = find(hook->places);
        if (found->paths[i] == NULL)
            return ls_fail(error, LOCKSTEP_NOT_FOUND, missing, hook->places[0]);
        if (strpbrk(found->paths[i], hook->separators) != NULL)
            return ls_fail(error, LOCKSTEP_UNSUPPORTED, "%s can't be put into %s: its path has a space or a colon", found->paths[i], hook->variable);
    }
    return LOCKSTEP_OK;
}

lockstep_status ls_hooks_find(ls_found_hooks **out_found, lockstep_error *error) {
    ls_found_hooks *found = calloc(1, sizeof *found);
    if (found == NULL)
        return ls_fail(error, LOCKSTEP_NO_MEMORY, "out of memory");
    lockstep_status status = find_all(found, error);
    if (status == LOCKSTEP_OK)
        *out_found = found;
    else
        ls_hooks_free(found);
    return status;
}

void ls_hooks_free(ls_found_hooks *found) {
    if (found == NULL)
        return;
    for (int i = 0; i < HOOKS; i++)
        free(found->paths[i]);
    free(found->capture);
    free(found);
}

const char *ls_hooks_capture(const ls_found_hooks *found) { return found->capture; }

/* Prepends a value to a list that colons separate. */
static void prepend(const char *variable, const char *value) {
    const char *before = getenv(variable);
    ls_text text = {0};
    ls_text_printf(&text, "%s%s%s", value, before != NULL && *before != '\0' ? ":" : "", before != NULL ? before : "");
    if (!text.failed)
        setenv(variable, text.data, 1);
    ls_text_done(&text);
}

void ls_hooks_enter(const ls_found_hooks *found) {
    for (int i = 0; i < HOOKS; i++) {
        prepend(ls_hooks[i].variable, found->paths[i]);
        if (ls_hooks[i].needs_capture)
            setenv("LOCKSTEP_HOOK", found->capture, 1);
    }
    prepend("ASAN_OPTIONS", "verify_asan_link_order=0"); /* a sanitized program would refuse to start with a library before its own */
}
