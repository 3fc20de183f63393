/* Preloaded before the hook: makes single kernels of an unmodified ggml wrong, as $WRONG_KERNELS says. It holds
 * OP:NUMBER:KIND:ARGUMENT:FACTOR, and commas between several. NUMBER counts the nodes of that operation over all passes; * is
 * each of them. What was changed, and by how much, is appended to $WRONG_KERNELS_LOG.
 *
 * The scheduler computes a graph in pieces, through a symbol that can be interposed. The piece with the node is
 * cut into what is before it, the node, and what is behind it; so whatever reads the result reads the wrong one. */
#include <dlfcn.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ggml_abi.h"

__attribute__((visibility("default"))) int ggml_backend_graph_compute_async(void *backend, void *graph);

static struct {
    int (*compute)(void *backend, void *graph);
    int (*n_nodes)(void *graph);
    struct ggml_tensor *(*node)(void *graph, int index);
    struct ggml_graph_by_value (*view)(void *graph, int begin, int end);
    const char *(*desc)(const struct ggml_tensor *tensor);
    size_t (*nbytes)(const struct ggml_tensor *tensor);
} ggml;

typedef struct fault {
    char op[32], number[16], kind[16];
    long argument; /* a row, a column, a block, a parameter's word */
    double factor;
} fault;

enum { FAULTS = 64, OPS = 128, BLOCK = 32 };
static fault faults[FAULTS];
static int fault_count;
static struct {
    char name[32];
    long seen;
} ops[OPS];

static void prepare(const void *caller) {
    static const char *const names[] = {"ggml_backend_graph_compute_async", "ggml_graph_n_nodes", "ggml_graph_node", "ggml_graph_view", "ggml_op_desc", "ggml_nbytes"};
    Dl_info info;
    void *library = dladdr(caller, &info) ? dlopen(info.dli_fname, RTLD_NOLOAD | RTLD_LAZY) : NULL, *symbols[6];
    for (int i = 0; i < 6; i++)
        if (library == NULL || (symbols[i] = dlsym(library, names[i])) == NULL)
            abort();
    memcpy(&ggml, symbols, sizeof ggml);
    char *text = getenv("WRONG_KERNELS");
    for (char *item = text != NULL ? strtok(text, ",") : NULL; item != NULL && fault_count < FAULTS; item = strtok(NULL, ",")) {
        fault *f = &faults[fault_count++];
        if (sscanf(item, "%31[^:]:%15[^:]:%15[^:]:%ld:%lf", f->op, f->number, f->kind, &f->argument, &f->factor) != 5)
            abort();
    }
}

/* How many nodes of the operation were computed before this one. */
static long count(const char *op) {
    int i = 0;
    while (i < OPS - 1 && ops[i].name[0] != '\0' && strcmp(ops[i].name, op) != 0)
        i++;
    snprintf(ops[i].name, sizeof ops[i].name, "%s", op);
    return ops[i].seen++;
}

static const fault *fault_of(const char *op, long number) {
    for (int i = 0; i < fault_count; i++)
        if (strcmp(faults[i].op, op) == 0 && (faults[i].number[0] == '*' || atol(faults[i].number) == number))
            return &faults[i];
    return NULL;
}

/* ------------------------------------------------------------------ what is wrong with a result */

static void scale_row(float *x, long rows, long n, const fault *f) {
    for (long i = 0; i < n; i++)
        x[f->argument % rows * n + i] *= (float)f->factor;
}

/* A quarter of the columns, as a head. */
static void zero_head(float *x, long rows, long n, const fault *f) {
    for (long row = 0; row < rows; row++)
        memset(x + row * n + f->argument % 4 * (n / 4), 0, (size_t)(n / 4) * sizeof *x);
}

static void set_nan(float *x, long rows, long n, const fault *f) { x[f->argument % (rows * n)] = NAN; }

static void round_to_f16(float *x, long rows, long n, const fault *f) {
    (void)f;
    for (long i = 0; i < rows * n; i++)
        x[i] = (float)(_Float16)x[i];
}

static void shift_rows(float *x, long rows, long n, const fault *f) {
    (void)f;
    const long by = rows > 1 ? n : 1;
    memmove(x + by, x, (size_t)(rows * n - by) * sizeof *x);
}

static const struct {
    const char *kind;
    void (*apply)(float *x, long rows, long n, const fault *f);
} changes[] = {{"row", scale_row}, {"head", zero_head}, {"nan", set_nan}, {"f16", round_to_f16}, {"shift", shift_rows}};

static void change_result(struct ggml_tensor *t, const fault *f) {
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++)
        if (strcmp(changes[i].kind, f->kind) == 0) {
            changes[i].apply(t->data, (long)(t->ne[1] * t->ne[2] * t->ne[3]), (long)t->ne[0], f);
            return;
        }
    abort();
}

/* ------------------------------------------------------------------ a kernel that is run wrongly */

static int compute_nodes(void *backend, void *graph, int begin, int end) {
    struct ggml_graph_by_value piece = ggml.view(graph, begin, end);
    return begin < end ? ggml.compute(backend, &piece) : 0;
}

/* With a parameter that is not the graph's: eps, a base, a scale. */
static int compute_with_parameter(void *backend, void *graph, int n, struct ggml_tensor *t, const fault *f) {
    int32_t *word = &t->op_params[f->argument], kept = *word;
    float value;
    memcpy(&value, word, sizeof value);
    value *= (float)f->factor;
    memcpy(word, &value, sizeof value);
    const int status = compute_nodes(backend, graph, n, n + 1);
    *word = kept;
    return status;
}

/* Without one block of the rows that a product multiplies by its weight. */
static int compute_without_block(void *backend, void *graph, int n, struct ggml_tensor *t, const fault *f) {
    struct ggml_tensor *x = t->src[1];
    const size_t bytes = ggml.nbytes(x);
    void *kept = malloc(bytes);
    memcpy(kept, x->data, bytes);
    const long blocks = (long)(x->ne[0] / BLOCK);
    for (int64_t i = 0; i < x->ne[1] * x->ne[2] * x->ne[3]; i++) {
        const int64_t i1 = i % x->ne[1], i2 = i / x->ne[1] % x->ne[2], i3 = i / x->ne[1] / x->ne[2];
        char *row = (char *)x->data + i1 * (int64_t)x->nb[1] + i2 * (int64_t)x->nb[2] + i3 * (int64_t)x->nb[3];
        memset(row + f->argument % blocks * BLOCK * 4, 0, BLOCK * 4);
    }
    const int status = compute_nodes(backend, graph, n, n + 1);
    memcpy(x->data, kept, bytes);
    free(kept);
    return status;
}

/* ------------------------------------------------------------------ */

static double distance(const float *a, const float *b, long n) {
    double squares = 0, norm = 0;
    for (long i = 0; i < n; i++) {
        squares += ((double)a[i] - b[i]) * ((double)a[i] - b[i]);
        norm += (double)b[i] * b[i];
    }
    return norm > 0 ? sqrt(squares / norm) : squares > 0 ? INFINITY : 0;
}

/* The relative L2 of the change, and that of the row that changed most. */
static void note(const struct ggml_tensor *t, const float *right, long number, const fault *f) {
    FILE *log = fopen(getenv("WRONG_KERNELS_LOG"), "a");
    const long n = (long)t->ne[0], rows = (long)(t->ne[1] * t->ne[2] * t->ne[3]);
    double worst = 0;
    for (long row = 0; row < rows; row++)
        worst = fmax(worst, distance((const float *)t->data + row * n, right + row * n, n));
    fprintf(log, "%s %ld %s %.9g %.9g\n", f->op, number, f->kind, distance(t->data, right, rows * n), worst);
    fclose(log);
}

static int compute_wrongly(void *backend, void *graph, int n, long number, const fault *f) {
    struct ggml_tensor *t = ggml.node(graph, n);
    const size_t bytes = ggml.nbytes(t);
    void *before = malloc(bytes), *right = malloc(bytes); /* an operation in place computes over its operand */
    memcpy(before, t->data, bytes);
    int status = compute_nodes(backend, graph, n, n + 1);
    memcpy(right, t->data, bytes);
    const bool parameter = strcmp(f->kind, "parameter") == 0, block = strcmp(f->kind, "block") == 0;
    if (parameter || block) {
        memcpy(t->data, before, bytes);
        status = (parameter ? compute_with_parameter : compute_without_block)(backend, graph, n, t, f);
    } else {
        change_result(t, f);
    }
    note(t, right, number, f);
    free(before);
    free(right);
    return status;
}

int ggml_backend_graph_compute_async(void *backend, void *graph) {
    if (ggml.compute == NULL)
        prepare(__builtin_return_address(0));
    int begin = 0, status = 0;
    const int nodes = ggml.n_nodes(graph);
    for (int n = 0; n < nodes && status == 0; n++) {
        const char *op = ggml.desc(ggml.node(graph, n));
        const long number = count(op);
        const fault *f = fault_of(op, number);
        if (f == NULL)
            continue;
        status = compute_nodes(backend, graph, begin, n);
        status = status == 0 ? compute_wrongly(backend, graph, n, number, f) : status;
        begin = n + 1;
    }
    return status == 0 ? compute_nodes(backend, graph, begin, nodes) : status;
}
