/* The interposed functions of ggml. Without a recorder, each costs one branch and calls the
 * real function. On a thread that is already recording they do the same, because the
 * scheduler calls the back ends through the same symbols. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "copies.h"
#include "files.h"
#include "ggml_abi.h"
#include "graph.h"
#include "wire/channel.h"
#include "wire/frame_writer.h"

#define EXPORT __attribute__((visibility("default"), noinline))
#define CALLER() ggml_api_for(__builtin_return_address(0))

enum { FAILED = 1 /* any number but 0; GGML_STATUS_ALLOC_FAILED is -2, GGML_STATUS_FAILED -1 */ };

EXPORT int ggml_backend_sched_graph_compute(void *sched, void *graph);
EXPORT int ggml_backend_sched_graph_compute_async(void *sched, void *graph);
EXPORT void ggml_backend_sched_set_eval_callback(void *sched, ggml_eval_callback callback, void *user_data);
EXPORT void ggml_backend_sched_free(void *sched);
EXPORT bool ggml_backend_sched_alloc_graph(void *sched, void *graph);
EXPORT int ggml_backend_graph_compute(void *backend, void *graph);
EXPORT int ggml_backend_graph_compute_async(void *backend, void *graph);
EXPORT int ggml_graph_compute(void *graph, void *plan);

static _Thread_local int depth;

/* What is known about a scheduler or back end that has computed something. */
typedef struct owner {
    struct owner *next;
    const void *key;
    bool has_callback; /* the program's own */
    ggml_eval_callback callback;
    void *user_data;
    graph_context context;
} owner;

static pthread_mutex_t owners_lock = PTHREAD_MUTEX_INITIALIZER;
static owner *owners;
static unsigned owner_count;
static atomic_int announced_for; /* the process that has introduced itself (a forked child does so again) */

/* Another thread may hold one of our locks when a thread forks. */
static void before_fork(void) {
    pthread_mutex_lock(&owners_lock);
    graph_hold();
    ggml_api_hold();
}

static void after_fork(void) {
    ggml_api_release();
    graph_release();
    pthread_mutex_unlock(&owners_lock);
}

__attribute__((constructor)) static void watch_forks(void) { pthread_atfork(before_fork, after_fork, after_fork); }

static owner *owner_of(const void *key) {
    pthread_mutex_lock(&owners_lock);
    owner *o = owners;
    while (o != NULL && o->key != key)
        o = o->next;
    if (o == NULL && (o = calloc(1, sizeof *o)) != NULL) {
        o->key = key;
        o->context.number = owner_count++;
        o->next = owners;
        owners = o;
    }
    pthread_mutex_unlock(&owners_lock);
    return o;
}

static void forget_owner(const void *key) {
    pthread_mutex_lock(&owners_lock);
    for (owner **at = &owners; *at != NULL; at = &(*at)->next)
        if ((*at)->key == key) {
            owner *gone = *at;
            *at = gone->next;
            ls_map_done(&gone->context.leafs);
            ls_map_done(&gone->context.writes);
            ls_map_done(&gone->context.kinds);
            ls_map_done(&gone->context.copies);
            ls_map_done(&gone->context.shapes);
            free(gone);
            break;
        }
    pthread_mutex_unlock(&owners_lock);
}

static bool recording(const ggml_api *api) {
    if (depth > 0 || !ls_channel_open() || api == NULL || !api->usable)
        return false;
    int self = (int)getpid();
    if (atomic_exchange(&announced_for, self) != self) {
        ls_frame_start(&(ls_start_event){.engine = api->engine, .version = api->engine_version, .context = LS_NO_CONTEXT});
        files_send_again();
    }
    files_send();
    return true;
}

/* -------------------------------------------------------- through a scheduler */

typedef struct observer {
    graph_pass pass;
    const owner *owner;
} observer;

static bool on_node(struct ggml_tensor *tensor, bool ask, void *user_data) {
    observer *o = user_data;
    const owner *own = o->owner;
    struct pass_node *node = graph_pass_node(&o->pass, tensor);
    if (ask) {
        bool app = own->callback != NULL && own->callback(tensor, true, own->user_data);
        if (node != NULL)
            node->app_asked = app;
        return app || (node != NULL && node->keep);
    }
    if (node != NULL && node->keep)
        graph_pass_computed(&o->pass, node);
    bool app = own->callback != NULL && (node == NULL || node->app_asked);
    return app ? own->callback(tensor, false, own->user_data) : true;
}

static int compute_observed(const ggml_api *api, int (*real)(void *, void *), void *sched, void *graph) {
    observer o = {.owner = owner_of(sched)};
    if (o.owner == NULL || api->backend_sched_set_eval_callback == NULL ||
        !graph_pass_begin(&o.pass, api, (graph_context *)(uintptr_t)&o.owner->context, sched, graph))
        return real(sched, graph);
    /* Set each time, because programs reset it whenever they build a graph. */
    api->backend_sched_set_eval_callback(sched, on_node, &o);
    depth++;
    int status = real(sched, graph);
    depth--;
    api->backend_sched_set_eval_callback(sched, o.owner->callback, o.owner->user_data);
    graph_pass_end(&o.pass);
    return status;
}

int ggml_backend_sched_graph_compute(void *sched, void *graph) {
    const ggml_api *api = CALLER();
    if (api == NULL || api->backend_sched_graph_compute == NULL)
        return FAILED;
    if (!recording(api))
        return api->backend_sched_graph_compute(sched, graph);
    return compute_observed(api, api->backend_sched_graph_compute, sched, graph);
}

int ggml_backend_sched_graph_compute_async(void *sched, void *graph) {
    const ggml_api *api = CALLER();
    if (api == NULL || api->backend_sched_graph_compute_async == NULL)
        return FAILED;
    if (!recording(api))
        return api->backend_sched_graph_compute_async(sched, graph);
    return compute_observed(api, api->backend_sched_graph_compute_async, sched, graph);
}

void ggml_backend_sched_set_eval_callback(void *sched, ggml_eval_callback callback, void *user_data) {
    const ggml_api *api = CALLER();
    if (api == NULL || api->backend_sched_set_eval_callback == NULL)
        return;
    if (depth == 0 && ls_channel_open()) {
        owner *o = owner_of(sched);
        if (o != NULL) {
            o->callback = callback;
            o->user_data = user_data;
        }
    }
    api->backend_sched_set_eval_callback(sched, callback, user_data);
}

/* Splits the graph among the back ends. The program fills its inputs afterwards. */
bool ggml_backend_sched_alloc_graph(void *sched, void *graph) {
    const ggml_api *api = CALLER();
    if (api == NULL || api->backend_sched_alloc_graph == NULL)
        return false;
    owner *o = ls_channel_open() && api->usable ? owner_of(sched) : NULL;
    graph_sources *before = o != NULL ? graph_sources_of(api, graph) : NULL;
    bool done = api->backend_sched_alloc_graph(sched, graph);
    if (o != NULL)
        copies_learn(&o->context.copies, before);
    return done;
}

void ggml_backend_sched_free(void *sched) {
    const ggml_api *api = CALLER();
    if (api == NULL || api->backend_sched_free == NULL)
        return;
    api->backend_sched_free(sched);
    if (ls_channel_open())
        forget_owner(sched);
}

/* -------------------------------------------------------- without a scheduler */

typedef struct direct {
    const ggml_api *api;
    int (*compute)(void *backend, void *graph); /* NULL for graph_compute(graph, plan) */
    void *backend, *plan;
} direct;

static int run(const direct *d, void *graph) {
    return d->compute != NULL ? d->compute(d->backend, graph) : d->api->graph_compute(graph, d->plan);
}

/* Without a callback, the graph is computed in pieces, each of which ends with a kept node. */
static int compute_in_pieces(const direct *d, const void *key, void *graph) {
    owner *o = owner_of(key);
    graph_pass pass;
    if (o == NULL || d->api->graph_view == NULL || !graph_pass_begin(&pass, d->api, &o->context, NULL, graph))
        return run(d, graph);
    int status = 0;
    depth++;
    for (int begin = 0, n = 0; n < pass.count && status == 0; n++) {
        const bool last = n + 1 == pass.count;
        if (!pass.nodes[n].keep && !last)
            continue;
        const int end = last ? d->api->graph_n_nodes(graph) : pass.nodes[n].place + 1;
        struct ggml_graph_by_value piece = d->api->graph_view(graph, begin, end);
        status = run(d, &piece);
        begin = end;
        if (status == 0 && pass.nodes[n].keep)
            graph_pass_computed(&pass, &pass.nodes[n]);
    }
    depth--;
    graph_pass_end(&pass);
    return status;
}

int ggml_backend_graph_compute(void *backend, void *graph) {
    const ggml_api *api = CALLER();
    if (api == NULL || api->backend_graph_compute == NULL)
        return FAILED;
    if (!recording(api))
        return api->backend_graph_compute(backend, graph);
    direct d = {api, api->backend_graph_compute, backend, NULL};
    return compute_in_pieces(&d, backend, graph);
}

int ggml_backend_graph_compute_async(void *backend, void *graph) {
    const ggml_api *api = CALLER();
    if (api == NULL || api->backend_graph_compute_async == NULL)
        return FAILED;
    if (!recording(api) || api->backend_graph_compute == NULL)
        return api->backend_graph_compute_async(backend, graph);
    /* Observed pieces are computed synchronously, because the values are read after each. */
    direct d = {api, api->backend_graph_compute, backend, NULL};
    return compute_in_pieces(&d, backend, graph);
}

int ggml_graph_compute(void *graph, void *plan) {
    const ggml_api *api = CALLER();
    if (api == NULL || api->graph_compute == NULL)
        return FAILED;
    if (!recording(api))
        return api->graph_compute(graph, plan);
    direct d = {api, NULL, NULL, plan};
    return compute_in_pieces(&d, plan, graph);
}
