/* A small ggml program, linked against a real libggml-base.so, whose instructions
 * are counted with and without the preloaded hook (bench/run.py). Calls go through
 * the PLT, so the hook sees them like those of llama.cpp.
 *
 *   idle_engine CPU-BACKEND.so COMPUTATIONS */
#include <dlfcn.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/* from ggml.h and ggml-backend.h, with opaque pointers */
struct ggml_init_params {
    size_t mem_size;
    void *mem_buffer;
    bool no_alloc;
};
void *ggml_init(struct ggml_init_params params);
void *ggml_new_tensor_2d(void *context, int type, int64_t columns, int64_t rows);
void *ggml_mul_mat(void *context, void *a, void *b);
void *ggml_add(void *context, void *a, void *b);
void *ggml_new_graph(void *context);
void ggml_build_forward_expand(void *graph, void *tensor);
void *ggml_backend_alloc_ctx_tensors(void *context, void *backend);
void ggml_backend_tensor_memset(void *tensor, uint8_t value, size_t offset, size_t size);
void *ggml_backend_reg_dev_get(void *registry, size_t index);
void *ggml_backend_reg_get_proc_address(void *registry, const char *name);
void *ggml_backend_dev_init(void *device, const char *parameters);
void *ggml_backend_sched_new(void **backends, void **buffer_types, int count, size_t graph_size, bool parallel, bool op_offload);
int ggml_backend_sched_graph_compute(void *scheduler, void *graph);
int ggml_backend_graph_compute(void *backend, void *graph);

enum { F32 = 0, WIDTH = 128, TOKENS = 4, LAYERS = 24, GRAPH_SIZE = 2048 };

static void *open_backend(const char *path) {
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    void *(*init)(void) = library != NULL ? (void *(*)(void))dlsym(library, "ggml_backend_init") : NULL;
    void *registry = init != NULL ? init() : NULL;
    if (registry == NULL)
        return NULL;
    void *backend = ggml_backend_dev_init(ggml_backend_reg_dev_get(registry, 0), NULL);
    void (*set_threads)(void *, int) = (void (*)(void *, int))ggml_backend_reg_get_proc_address(registry, "ggml_backend_set_n_threads");
    if (set_threads != NULL)
        set_threads(backend, 1); /* more threads would spin, and the count would vary */
    return backend;
}

static void *build_graph(void *backend) {
    void *context = ggml_init((struct ggml_init_params){1 << 20, NULL, true});
    void *tensors[LAYERS + 1], *x, *graph = ggml_new_graph(context);
    for (int i = 0; i <= LAYERS; i++)
        tensors[i] = ggml_new_tensor_2d(context, F32, WIDTH, i < LAYERS ? WIDTH : TOKENS);
    x = tensors[LAYERS];
    for (int i = 0; i < LAYERS; i++)
        x = ggml_add(context, ggml_mul_mat(context, tensors[i], x), x);
    ggml_build_forward_expand(graph, x);
    if (ggml_backend_alloc_ctx_tensors(context, backend) == NULL)
        return NULL;
    for (int i = 0; i <= LAYERS; i++)
        ggml_backend_tensor_memset(tensors[i], 0, 0, sizeof(float) * WIDTH * (i < LAYERS ? WIDTH : TOKENS));
    return graph;
}

int main(int argc, char **argv) {
    void *backend = argc == 3 ? open_backend(argv[1]) : NULL;
    void *graph = backend != NULL ? build_graph(backend) : NULL;
    if (graph == NULL) {
        fprintf(stderr, "usage: idle_engine CPU-BACKEND.so COMPUTATIONS (%s)\n", argc == 3 ? "the backend did not load" : "two arguments");
        return 2;
    }
    void *scheduler = ggml_backend_sched_new(&backend, NULL, 1, GRAPH_SIZE, false, false);
    for (long i = strtol(argv[2], NULL, 10); i > 0; i--) {
        int status = i % 2 == 0 ? ggml_backend_sched_graph_compute(scheduler, graph) : ggml_backend_graph_compute(backend, graph);
        if (status != 0)
            return 1;
    }
    return 0;
}
