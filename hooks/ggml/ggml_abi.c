#include "ggml_abi.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { COPIES = 16, CALLERS = 256 };

typedef struct library {
    char path[512];
    ggml_api api;
} library;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
void ggml_api_hold(void) { pthread_mutex_lock(&lock); }
void ggml_api_release(void) { pthread_mutex_unlock(&lock); }

static library libraries[COPIES];
static int library_count;

/* Return addresses seen so far; entries are only added. */
static struct {
    _Atomic(const void *) address;
    const ggml_api *api;
} callers[CALLERS];

/* An addon may have opened the libraries late and locally, where RTLD_NEXT finds nothing; a
 * handle of the caller's own library searches its dependencies. */
static void *find(void *handle, const char *name) {
    void *symbol = handle != NULL ? dlsym(handle, name) : dlsym(RTLD_NEXT, name);
    Dl_info found, ours;
    /* If the search found our own trampoline, that would call itself forever. */
    if (symbol != NULL && dladdr(symbol, &found) && dladdr((void *)(uintptr_t)&ggml_api_for, &ours) &&
        found.dli_fbase == ours.dli_fbase)
        symbol = dlsym(RTLD_NEXT, name);
    return symbol;
}

static bool resolve(void *handle, ggml_api *api) {
    const struct {
        void *slot;
        const char *name;
        bool needed;
    } wanted[] = {
        {&api->backend_sched_graph_compute, "ggml_backend_sched_graph_compute", false},
        {&api->backend_sched_graph_compute_async, "ggml_backend_sched_graph_compute_async", false},
        {&api->backend_sched_set_eval_callback, "ggml_backend_sched_set_eval_callback", false},
        {&api->backend_graph_compute, "ggml_backend_graph_compute", false},
        {&api->backend_graph_compute_async, "ggml_backend_graph_compute_async", false},
        {&api->graph_compute, "ggml_graph_compute", false},
        {&api->backend_sched_free, "ggml_backend_sched_free", false},
        {&api->backend_sched_alloc_graph, "ggml_backend_sched_alloc_graph", false},
        {&api->op_name, "ggml_op_name", true},
        {&api->op_desc, "ggml_op_desc", true},
        {&api->type_name, "ggml_type_name", true},
        {&api->type_size, "ggml_type_size", true},
        {&api->blck_size, "ggml_blck_size", true},
        {&api->nbytes, "ggml_nbytes", true},
        {&api->graph_n_nodes, "ggml_graph_n_nodes", true},
        {&api->graph_node, "ggml_graph_node", true},
        {&api->graph_view, "ggml_graph_view", false},
        {&api->backend_tensor_get, "ggml_backend_tensor_get", true},
        {&api->backend_tensor_set, "ggml_backend_tensor_set", false},
        {&api->backend_buffer_is_host, "ggml_backend_buffer_is_host", true},
        {&api->backend_buffer_name, "ggml_backend_buffer_name", true},
        {&api->backend_buffer_get_usage, "ggml_backend_buffer_get_usage", true},
        {&api->backend_sched_get_tensor_backend, "ggml_backend_sched_get_tensor_backend", false},
        {&api->backend_name, "ggml_backend_name", false},
        {&api->version, "ggml_version", false},
    };
    bool all = true;
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
        void *symbol = find(handle, wanted[i].name);
        memcpy(wanted[i].slot, &symbol, sizeof symbol);
        all = all && (symbol != NULL || !wanted[i].needed);
    }
    return all;
}

/* Creates a tensor and a view with ggml itself, and checks where their members are. */
static bool layout_is_known(void *handle) {
    void *(*init)(struct ggml_init_parameters) = NULL;
    struct ggml_tensor *(*new_4d)(void *, int, int64_t, int64_t, int64_t, int64_t) = NULL;
    struct ggml_tensor *(*view_1d)(void *, struct ggml_tensor *, int64_t, size_t) = NULL;
    struct ggml_tensor *(*set_name)(struct ggml_tensor *, const char *) = NULL;
    void (*release)(void *) = NULL;
    const struct {
        void *slot;
        const char *name;
    } wanted[] = {{&init, "ggml_init"}, {&new_4d, "ggml_new_tensor_4d"}, {&view_1d, "ggml_view_1d"},
                  {&set_name, "ggml_set_name"}, {&release, "ggml_free"}};
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
        void *symbol = find(handle, wanted[i].name);
        if (symbol == NULL)
            return false;
        memcpy(wanted[i].slot, &symbol, sizeof symbol);
    }
    void *context = init((struct ggml_init_parameters){64 * 1024, NULL, false});
    if (context == NULL)
        return false;
    const struct ggml_tensor *t = set_name(new_4d(context, 0, 2, 3, 5, 7), "lockstep");
    const struct ggml_tensor *v = view_1d(context, (struct ggml_tensor *)(uintptr_t)t, 4, 8);
    bool known = t->type == 0 && t->ne[0] == 2 && t->ne[1] == 3 && t->ne[2] == 5 && t->ne[3] == 7 &&
                 t->nb[0] == 4 && t->nb[3] == 120 && t->op == 0 && t->flags == 0 &&
                 t->src[0] == NULL && t->view_src == NULL && strcmp(t->name, "lockstep") == 0 &&
                 t->data != NULL && v->view_src == t && v->view_offs == 8 && v->src[0] == t &&
                 v->op != 0 && (char *)v->data == (char *)t->data + 8;
    release(context);
    return known;
}

static void describe_engine(void *handle, ggml_api *api) {
    const char *(*version)(void) = NULL;
    const char *engine = "ggml";
    if (find(handle, "llama_decode") != NULL)
        engine = "llama.cpp";
    else if (find(handle, "whisper_full") != NULL)
        engine = "whisper.cpp";
    void *symbol = find(handle, strcmp(engine, "whisper.cpp") == 0 ? "whisper_version" : "llama_version");
    memcpy(&version, &symbol, sizeof symbol);
    if (version == NULL)
        version = api->version;
    snprintf(api->engine, sizeof api->engine, "%s", engine);
    snprintf(api->engine_version, sizeof api->engine_version, "%s%s",
             version == NULL ? "" : version == api->version ? "ggml " : "", version != NULL ? version() : "");
}

static const ggml_api *load(const char *path) {
    for (int i = 0; i < library_count; i++)
        if (strcmp(libraries[i].path, path) == 0)
            return &libraries[i].api;
    if (library_count == COPIES)
        return NULL;
    library *l = &libraries[library_count];
    snprintf(l->path, sizeof l->path, "%s", path);
    void *handle = dlopen(path, RTLD_NOLOAD | RTLD_LAZY); /* NULL for the program itself */
    bool found = resolve(handle, &l->api);
    l->api.usable = found && layout_is_known(handle);
    if (l->api.usable)
        describe_engine(handle, &l->api);
    library_count++; /* the handle stays open, so that the library can't be unloaded */
    return &l->api;
}

const ggml_api *ggml_api_for(const void *caller) {
    size_t start = ((uintptr_t)caller >> 2) % CALLERS;
    for (size_t i = 0; i < CALLERS; i++) {
        size_t at = (start + i) % CALLERS;
        const void *seen = atomic_load_explicit(&callers[at].address, memory_order_acquire);
        if (seen == caller)
            return callers[at].api;
        if (seen == NULL)
            break;
    }
    Dl_info info;
    if (!dladdr(caller, &info) || info.dli_fname == NULL)
        return NULL;
    pthread_mutex_lock(&lock);
    const ggml_api *api = load(info.dli_fname);
    for (size_t i = 0; api != NULL && i < CALLERS; i++) {
        size_t at = (start + i) % CALLERS;
        const void *seen = atomic_load(&callers[at].address);
        if (seen == caller)
            break;
        if (seen == NULL) {
            callers[at].api = api;
            atomic_store_explicit(&callers[at].address, caller, memory_order_release);
            break;
        }
    }
    pthread_mutex_unlock(&lock);
    return api;
}
