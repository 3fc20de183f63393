/* For preloading: an evaluation callback that wants every node and does nothing. It shows the
 * least cost of observing every node: no fusion, and a pause after each node. */
#include <stdlib.h>

#include "../hooks/ggml/ggml_abi.h"

#define EXPORT __attribute__((visibility("default"), noinline))
EXPORT int ggml_backend_sched_graph_compute_async(void *sched, void *graph);
EXPORT int ggml_backend_sched_graph_compute(void *sched, void *graph);

static bool want(struct ggml_tensor *tensor, bool ask, void *user_data) {
    (void)tensor, (void)ask, (void)user_data;
    return true;
}

static int compute(const ggml_api *api, int (*real)(void *, void *), void *sched, void *graph) {
    api->backend_sched_set_eval_callback(sched, want, NULL);
    return real(sched, graph);
}

int ggml_backend_sched_graph_compute_async(void *sched, void *graph) {
    const ggml_api *api = ggml_api_for(__builtin_return_address(0));
    return compute(api, api->backend_sched_graph_compute_async, sched, graph);
}

int ggml_backend_sched_graph_compute(void *sched, void *graph) {
    const ggml_api *api = ggml_api_for(__builtin_return_address(0));
    return compute(api, api->backend_sched_graph_compute, sched, graph);
}
