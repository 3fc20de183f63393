/* What the hook needs from ggml, without its headers: the tensor's layout (unchanged
 * since 2023, checked at run time), and the exported functions, resolved from the
 * calling library, because a process can have several copies of ggml. */
#ifndef LS_HOOKS_GGML_ABI_H
#define LS_HOOKS_GGML_ABI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { GGML_SOURCES = 10, GGML_FLAG_INPUT = 1, GGML_FLAG_OUTPUT = 2, GGML_FLAG_COMPUTE = 16, GGML_USAGE_WEIGHTS = 1 };

struct ggml_tensor {
    int type;
    void *buffer;
    int64_t ne[4]; /* innermost axis first */
    size_t nb[4];  /* bytes */
    int op;
    int32_t op_params[16];
    int32_t flags;
    struct ggml_tensor *src[GGML_SOURCES];
    struct ggml_tensor *view_src; /* the tensor whose memory this is; never itself a view */
    size_t view_offs;
    void *data;
    char name[64];
    void *extra;
};

/* Larger than any version's ggml_cgraph, so that it can be returned by value. */
struct ggml_graph_by_value {
    char bytes[1024];
};

struct ggml_init_parameters {
    size_t mem_size;
    void *mem_buffer;
    bool no_alloc;
};

typedef bool (*ggml_eval_callback)(struct ggml_tensor *tensor, bool ask, void *user_data);

typedef struct ggml_api {
    /* interposed */
    int (*backend_sched_graph_compute)(void *sched, void *graph);
    int (*backend_sched_graph_compute_async)(void *sched, void *graph);
    void (*backend_sched_set_eval_callback)(void *sched, ggml_eval_callback callback, void *user_data);
    int (*backend_graph_compute)(void *backend, void *graph);
    int (*backend_graph_compute_async)(void *backend, void *graph);
    int (*graph_compute)(void *graph, void *plan);
    void (*backend_sched_free)(void *sched);
    bool (*backend_sched_alloc_graph)(void *sched, void *graph);
    /* called */
    const char *(*op_name)(int op);
    const char *(*op_desc)(const struct ggml_tensor *tensor);
    const char *(*type_name)(int type);
    size_t (*type_size)(int type);
    int64_t (*blck_size)(int type);
    size_t (*nbytes)(const struct ggml_tensor *tensor);
    int (*graph_n_nodes)(void *graph);
    struct ggml_tensor *(*graph_node)(void *graph, int index);
    struct ggml_graph_by_value (*graph_view)(void *graph, int begin, int end);
    void (*backend_tensor_get)(const struct ggml_tensor *tensor, void *out, size_t offset, size_t size);
    void (*backend_tensor_set)(struct ggml_tensor *tensor, const void *data, size_t offset, size_t size);
    bool (*backend_buffer_is_host)(void *buffer);
    const char *(*backend_buffer_name)(void *buffer);
    int (*backend_buffer_get_usage)(void *buffer);
    void *(*backend_sched_get_tensor_backend)(void *sched, struct ggml_tensor *node); /* may be NULL */
    const char *(*backend_name)(void *backend);                                       /* may be NULL */
    const char *(*version)(void); /* may be NULL */
    /* of the program that calls ggml */
    char engine[32];
    char engine_version[64];
    bool usable; /* all required functions were found, and the layout is as declared */
} ggml_api;

/* The functions for a caller, by its return address. NULL if ggml's functions can't be
 * found. Thread-safe, and fast for an address that was seen before. */
const ggml_api *ggml_api_for(const void *caller);
/* Hold the list of libraries while the process forks. */
void ggml_api_hold(void);
void ggml_api_release(void);

#endif
