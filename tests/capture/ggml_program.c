/* A program "with ggml linked in": it finds the real library's functions by itself
 * (so no hook sees it), builds a small graph and runs it twice through a scheduler
 * with lockstep/ggml.h's callback. ggml's headers are replaced by the declarations
 * that the header needs; operations are numbered by asking ggml.
 *
 *     ggml_program LIBGGML-BASE LIBGGML-CPU
 *
 * $FAULT_IN names a tensor whose second row a "kernel" gets wrong: it is multiplied with $FAULT. With
 * $FAULT_IN_DUMP=1 the engine goes on with the right values, and only what is recorded is wrong. */
#include <dlfcn.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <ggml_abi.h>

typedef void *ggml_backend_buffer_t;
enum { GGML_MAX_SRC = GGML_SOURCES, GGML_TYPE_F32 = 0, GGML_TYPE_I32 = 26, GGML_TENSOR_FLAG_INPUT = 1,
       GGML_TENSOR_FLAG_OUTPUT = 2, GGML_BACKEND_BUFFER_USAGE_WEIGHTS = 1 };

typedef struct ggml_tensor T;
#define FUNCTIONS(X)                                                       \
    X(const char *, ggml_op_name, (int))                                   \
    X(const char *, ggml_op_desc, (const T *))                             \
    X(const char *, ggml_type_name, (int))                                 \
    X(size_t, ggml_nbytes, (const T *))                                    \
    X(bool, ggml_is_contiguous, (const T *))                               \
    X(const char *, ggml_backend_buffer_name, (void *))                    \
    X(bool, ggml_backend_buffer_is_host, (void *))                         \
    X(int, ggml_backend_buffer_get_usage, (void *))                        \
    X(void, ggml_backend_tensor_get, (const T *, void *, size_t, size_t))  \
    X(void, ggml_backend_tensor_set, (T *, const void *, size_t, size_t))  \
    X(void *, ggml_init, (struct ggml_init_parameters))                    \
    X(T *, ggml_new_tensor_1d, (void *, int, int64_t))                     \
    X(T *, ggml_new_tensor_2d, (void *, int, int64_t, int64_t))            \
    X(T *, ggml_set_name, (T *, const char *))                             \
    X(void, ggml_set_input, (T *))                                         \
    X(void, ggml_set_output, (T *))                                        \
    X(T *, ggml_get_rows, (void *, T *, T *))                              \
    X(T *, ggml_mul_mat, (void *, T *, T *))                               \
    X(T *, ggml_rms_norm, (void *, T *, float))                            \
    X(T *, ggml_transpose, (void *, T *))                                  \
    X(T *, ggml_cont, (void *, T *))                                       \
    X(T *, ggml_add, (void *, T *, T *))                                   \
    X(void *, ggml_new_graph, (void *))                                    \
    X(void, ggml_build_forward_expand, (void *, T *))                      \
    X(void *, ggml_backend_alloc_ctx_tensors, (void *, void *))            \
    X(void, ggml_backend_buffer_set_usage, (void *, int))                  \
    X(void *, ggml_backend_sched_new, (void **, void **, int, size_t, bool, bool)) \
    X(void, ggml_backend_sched_set_eval_callback, (void *, ggml_eval_callback, void *)) \
    X(bool, ggml_backend_sched_alloc_graph, (void *, void *))              \
    X(int, ggml_backend_sched_graph_compute, (void *, void *))             \
    X(void, ggml_backend_sched_reset, (void *))                            \
    X(void *, ggml_backend_cpu_init, (void))
#define X(type, name, arguments) static type(*name) arguments;
FUNCTIONS(X)
#undef X

static int op_number(const char *name) {
    int op = 0;
    while (strcmp(ggml_op_name(op), name) != 0)
        op++;
    return op;
}
#define GGML_OP_NONE 0
#define GGML_OP_VIEW op_number("VIEW")
#define GGML_OP_RESHAPE op_number("RESHAPE")
#define GGML_OP_PERMUTE op_number("PERMUTE")
#define GGML_OP_TRANSPOSE op_number("TRANSPOSE")
#define GGML_OP_GET_ROWS op_number("GET_ROWS")
#define GGML_OP_ROPE op_number("ROPE")

#include <lockstep/ggml.h>

enum { VOCAB = 6, WIDTH = 4, ROWS = 3 };

static bool find_functions(char **paths) {
    void *base = dlopen(paths[0], RTLD_NOW | RTLD_LOCAL), *cpu = dlopen(paths[1], RTLD_NOW | RTLD_LOCAL);
    if (base == NULL || cpu == NULL)
        return fprintf(stderr, "%s\n", dlerror()), false;
#define X(type, name, arguments)                                                    \
    {                                                                               \
        void *symbol = dlsym(strstr(#name, "_cpu_") != NULL ? cpu : base, #name);   \
        memcpy(&name, &symbol, sizeof symbol);                                      \
        if (symbol == NULL)                                                         \
            return fprintf(stderr, "no %s\n", #name), false;                        \
    }
    FUNCTIONS(X)
#undef X
    return true;
}

static void fill(T *t) {
    float values[64];
    for (int i = 0; i < 64; i++)
        values[i] = (float)((i * 7) % 11) - 5;
    ggml_backend_tensor_set(t, values, 0, ggml_nbytes(t));
}

static bool eval(T *t, bool ask, void *observer) {
    const char *in = getenv("FAULT_IN"), *factor = getenv("FAULT"), *in_dump = getenv("FAULT_IN_DUMP");
    const bool wrong = !ask && in != NULL && factor != NULL && strcmp(in, t->name) == 0;
    const size_t count = ggml_nbytes(t) / sizeof(float), row = (size_t)t->ne[0];
    float right[64], changed[64];
    if (wrong) {
        ggml_backend_tensor_get(t, right, 0, ggml_nbytes(t));
        for (size_t i = 0; i < count; i++)
            changed[i] = i / row == 1 ? right[i] * strtof(factor, NULL) : right[i];
        ggml_backend_tensor_set(t, changed, 0, ggml_nbytes(t));
    }
    const bool go_on = lockstep_ggml_eval(t, ask, observer);
    if (wrong && in_dump != NULL)
        ggml_backend_tensor_set(t, right, 0, ggml_nbytes(t));
    return go_on;
}

int main(int argc, char **argv) {
    if (argc != 3 || !find_functions(argv + 1))
        return 2;
    void *backend = ggml_backend_cpu_init();
    struct ggml_init_parameters small = {1 << 20, NULL, true};
    void *weights = ggml_init(small), *graph_context = ggml_init(small);
    T *embedding = ggml_set_name(ggml_new_tensor_2d(weights, GGML_TYPE_F32, WIDTH, VOCAB), "token_embd.weight");
    T *projection = ggml_set_name(ggml_new_tensor_2d(weights, GGML_TYPE_F32, WIDTH, WIDTH), "blk.0.attn_output.weight");
    ggml_backend_buffer_set_usage(ggml_backend_alloc_ctx_tensors(weights, backend), GGML_BACKEND_BUFFER_USAGE_WEIGHTS);
    fill(embedding);
    fill(projection);

    T *tokens = ggml_set_name(ggml_new_tensor_1d(graph_context, GGML_TYPE_I32, ROWS), "inp_tokens");
    ggml_set_input(tokens);
    T *rows = ggml_set_name(ggml_get_rows(graph_context, embedding, tokens), "embd");
    T *normed = ggml_set_name(ggml_rms_norm(graph_context, rows, 1e-6f), "norm-0");
    T *projected = ggml_mul_mat(graph_context, projection, normed); /* without a name */
    T *turned = ggml_transpose(graph_context, projected);
    T *copied = ggml_set_name(ggml_cont(graph_context, turned), "turned-0");
    T *out = ggml_set_name(ggml_add(graph_context, projected, rows), "l_out-0");
    ggml_set_output(out);
    void *graph = ggml_new_graph(graph_context);
    ggml_build_forward_expand(graph, copied);
    ggml_build_forward_expand(graph, out);

    lockstep_ggml *observer = lockstep_ggml_open("static ggml", "test");
    void *scheduler = ggml_backend_sched_new(&backend, NULL, 1, 64, false, false);
    ggml_backend_sched_set_eval_callback(scheduler, eval, observer);
    for (int32_t pass = 0; pass < 2; pass++) {
        const int32_t ids[ROWS] = {pass, 2, 5 - pass};
        float result[ROWS * WIDTH];
        ggml_backend_sched_reset(scheduler);
        if (!ggml_backend_sched_alloc_graph(scheduler, graph))
            return 3;
        ggml_backend_tensor_set(tokens, ids, 0, sizeof ids);
        if (ggml_backend_sched_graph_compute(scheduler, graph) != 0)
            return 4;
        ggml_backend_tensor_get(out, result, 0, sizeof result);
        for (int i = 0; i < ROWS * WIDTH; i++)
            printf("%.9g\n", (double)result[i]);
    }
    lockstep_ggml_close(observer);
    return 0;
}
