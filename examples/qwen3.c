/* A small Qwen3 in C: reads safetensors and decodes greedily. It shows how your own engine
 * records itself with capture.h, and each of its --bug switches is a mistake that people make
 * when they write one.
 *
 *     qwen3 MODEL_DIR TOKENS [STEPS] [--bug NAME]       e.g. qwen3 model/ 1,2,3 16
 *
 * MODEL_DIR has config.json and model.safetensors as saved by transformers. Plain float
 * arithmetic, one sequence, one thread. The calls of record() and lockstep_*() record; each
 * costs one branch without `lockstep capture` or `lockstep check`. Tensors have the same
 * names as in transformers, so that they are paired by name. Each is recorded with its
 * sources and the parameters of its operation, so that a wrong eps or RoPE base is not only
 * found but also named.
 */
#include <jansson.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <lockstep/lockstep.h>

static _Noreturn void fail(const char *format, ...) {
    va_list args;
    va_start(args, format);
    fprintf(stderr, "qwen3: ");
    vfprintf(stderr, format, args);
    fprintf(stderr, "\n");
    exit(1);
}

static void *allocate(size_t count, size_t size) {
    void *memory = calloc(count > 0 ? count : 1, size);
    if (memory == NULL)
        fail("out of memory");
    return memory;
}

/* --------------------------------------------------------------------- mistakes */

typedef enum bug {
    NONE,
    ROPE_INTERLEAVED, /* rotates adjacent pairs instead of halves */
    ROPE_BASE,        /* always 500000 */
    ROPE_POSITION,    /* positions restart in each pass */
    NORM_EPS,         /* 1e-3 */
    NO_QK_NORM,       /* queries and keys are not normalized */
    QK_NORM_SWAPPED,  /* normalized with each other's weights */
    GQA_ORDER,        /* key heads are assigned in turns, not in groups */
    NO_SCALE,         /* scores are not divided by sqrt(head size) */
    NO_MASK,          /* tokens attend to later ones */
    NO_RESIDUAL,      /* attention's output replaces x instead of being added, in layer 1 */
    GATE_UP_SWAPPED,
    GELU,             /* instead of SiLU */
    NO_FINAL_NORM,
    STALE_CACHE,      /* decoded values are written one cell too early */
} bug;

static const char *const bug_names[] = {
    "none", "rope-interleaved", "rope-base", "rope-position", "norm-eps", "no-qk-norm", "qk-norm-swapped", "gqa-order",
    "no-scale", "no-mask", "no-residual", "gate-up-swapped", "gelu", "no-final-norm", "stale-cache"};

static bug parse_bug(const char *name) {
    enum { COUNT = sizeof bug_names / sizeof bug_names[0] };
    for (int i = 0; i < COUNT; i++)
        if (strcmp(bug_names[i], name) == 0)
            return (bug)i;
    fprintf(stderr, "qwen3: found --bug %s, expected one of", name);
    for (int i = 1; i < COUNT; i++)
        fprintf(stderr, " %s", bug_names[i]);
    fprintf(stderr, "\n");
    exit(1);
}

/* ------------------------------------------------------------------------- model */

typedef struct layer {
    float *attention_norm, *q, *k, *v, *o, *q_norm, *k_norm;
    float *mlp_norm, *gate, *up, *down;
} layer;

typedef struct model {
    int layers, width, heads, kv_heads, head, hidden, vocabulary;
    float eps, rope_base;
    float *embedding, *norm, *output;
    layer *layer;
} model;

static double number(const json_t *config, const char *key, double otherwise) {
    const json_t *value = json_object_get(config, key);
    return json_is_number(value) ? json_number_value(value) : otherwise;
}

static float *load(const lockstep_archive *archive, const char *name, size_t expected) {
    lockstep_tensor_info info;
    lockstep_error error;
    for (size_t i = 0; i < lockstep_archive_tensor_count(archive); i++) {
        if (lockstep_archive_tensor(archive, i, &info) != LOCKSTEP_OK || strcmp(info.name, name) != 0)
            continue;
        if (info.elements != expected)
            fail("%s has %llu elements, expected %zu", name, (unsigned long long)info.elements, expected);
        float *values = allocate(expected, sizeof *values);
        double part[4096];
        for (size_t done = 0; done < expected;) {
            size_t n = expected - done < 4096 ? expected - done : 4096;
            if (lockstep_archive_read(archive, i, done, n, part, &error) != LOCKSTEP_OK)
                fail("%s", error.message);
            for (size_t k = 0; k < n; k++)
                values[done + k] = (float)part[k];
            done += n;
        }
        return values;
    }
    return NULL;
}

static float *load_of_layer(const lockstep_archive *archive, int index, const char *rest, size_t expected) {
    char name[128];
    snprintf(name, sizeof name, "model.layers.%d.%s.weight", index, rest);
    float *values = load(archive, name, expected);
    if (values == NULL)
        fail("%s is missing", name);
    return values;
}

static void read_config(const char *folder, model *m) {
    char path[4096];
    json_error_t why;
    snprintf(path, sizeof path, "%s/config.json", folder);
    json_t *config = json_load_file(path, 0, &why);
    if (config == NULL)
        fail("%s: %s", path, why.text);
    m->layers = (int)number(config, "num_hidden_layers", 0);
    m->width = (int)number(config, "hidden_size", 0);
    m->heads = (int)number(config, "num_attention_heads", 0);
    m->kv_heads = (int)number(config, "num_key_value_heads", m->heads);
    m->head = (int)number(config, "head_dim", m->heads > 0 ? m->width / m->heads : 0);
    m->hidden = (int)number(config, "intermediate_size", 0);
    m->vocabulary = (int)number(config, "vocab_size", 0);
    m->eps = (float)number(config, "rms_norm_eps", 1e-6);
    const json_t *rope = json_object_get(config, "rope_parameters");
    m->rope_base = (float)number(rope, "rope_theta", number(config, "rope_theta", 1e6));
    json_decref(config);
    if (m->layers < 1 || m->width < 1 || m->heads < 1 || m->kv_heads < 1 || m->heads % m->kv_heads != 0 || m->head < 2 ||
        m->hidden < 1 || m->vocabulary < 1)
        fail("%s: not a Qwen3 configuration", path);
}

static model load_model(const char *folder) {
    model m = {0};
    char path[4096];
    lockstep_archive *archive;
    lockstep_error error;
    read_config(folder, &m);
    snprintf(path, sizeof path, "%s/model.safetensors", folder);
    if (lockstep_archive_open(path, &archive, &error) != LOCKSTEP_OK)
        fail("%s", error.message);
    size_t width = (size_t)m.width, hidden = (size_t)m.hidden, head = (size_t)m.head;
    size_t q = (size_t)m.heads * head, kv = (size_t)m.kv_heads * head, vocabulary = (size_t)m.vocabulary * width;
    m.embedding = load(archive, "model.embed_tokens.weight", vocabulary);
    m.norm = load(archive, "model.norm.weight", width);
    m.output = load(archive, "lm_head.weight", vocabulary);
    if (m.embedding == NULL || m.norm == NULL)
        fail("%s lacks the embedding or the last norm", path);
    if (m.output == NULL)
        m.output = m.embedding; /* tied */
    m.layer = allocate((size_t)m.layers, sizeof *m.layer);
    for (int i = 0; i < m.layers; i++)
        m.layer[i] = (layer){
            .attention_norm = load_of_layer(archive, i, "input_layernorm", width),
            .q = load_of_layer(archive, i, "self_attn.q_proj", q * width),
            .k = load_of_layer(archive, i, "self_attn.k_proj", kv * width),
            .v = load_of_layer(archive, i, "self_attn.v_proj", kv * width),
            .o = load_of_layer(archive, i, "self_attn.o_proj", width * q),
            .q_norm = load_of_layer(archive, i, "self_attn.q_norm", head),
            .k_norm = load_of_layer(archive, i, "self_attn.k_norm", head),
            .mlp_norm = load_of_layer(archive, i, "post_attention_layernorm", width),
            .gate = load_of_layer(archive, i, "mlp.gate_proj", hidden * width),
            .up = load_of_layer(archive, i, "mlp.up_proj", hidden * width),
            .down = load_of_layer(archive, i, "mlp.down_proj", width * hidden),
        };
    lockstep_archive_close(archive);
    return m;
}

/* --------------------------------------------------------------------- recording */

static lockstep_recorder *recorder; /* NULL if not recorded */

/* What an engine with a graph adds to a tensor's name, shape and values. */
typedef struct made {
    const char *op;      /* a spelling in Lockstep's table of operations; NULL if unknown */
    uint64_t from[3];    /* numbers of the tensors that it was computed from; 0 for none */
    uint64_t alias;      /* the number of the tensor that it renames */
    const lockstep_parameter *parameters;
    size_t parameter_count;
    const char *where;
    lockstep_role role;
    bool output; /* output of a layer or the network: `lockstep check --resync` may overwrite it */
} made;

#define LINE_(number) "qwen3.c:" #number
#define LINE(number) LINE_(number)
#define HERE LINE(__LINE__)
#define MADE(...) (made){.where = HERE, __VA_ARGS__}
#define PARAMETERS(...) .parameters = (const lockstep_parameter[]){__VA_ARGS__}, .parameter_count = sizeof((const lockstep_parameter[]){__VA_ARGS__}) / sizeof(lockstep_parameter)
#define REAL(key, number) {.name = key, .type = LOCKSTEP_PARAMETER_REAL, .value.real = (number)}
#define INTEGER(key, number) {.name = key, .type = LOCKSTEP_PARAMETER_INTEGER, .value.integer = (number)}

/* Records a row-major tensor of up to three axes (0: no such axis) in a layer. Returns its
 * number, for tensors that are computed from it. */
static uint64_t record(const char *name, int layer_index, int a, int b, int c, const float *data, made m) {
    uint64_t shape[3];
    char full[128];
    const int axes[3] = {a, b, c};
    if (recorder == NULL)
        return 0;
    if (layer_index >= 0)
        snprintf(full, sizeof full, "model.layers.%d%s%s", layer_index, *name != '\0' ? "." : "", name);
    else
        snprintf(full, sizeof full, "%s", name);
    /* an explicitly selected tensor counts as an output: --observe outputs keeps it */
    lockstep_node node = {.size = sizeof node, .name = full, .op = m.op, .layer = layer_index, .role = m.role, .dtype = LOCKSTEP_F32, .shape = shape,
                          .data = data, .sources = m.from, .source_count = 3, .alias = m.alias, .parameters = m.parameters,
                          .parameter_count = m.parameter_count, .where = m.where, .output = true, .writable = m.output};
    for (int i = 0; i < 3; i++)
        if (axes[i] > 0)
            shape[node.rank++] = (uint64_t)axes[i];
    return lockstep_capture_node(recorder, &node);
}

/* -------------------------------------------------------------------- operations */

/* out[rows, outputs] = in[rows, inputs] · weightᵀ */
static void multiply(const float *in, const float *weight, int rows, int inputs, int outputs, float *out) {
    for (int r = 0; r < rows; r++)
        for (int o = 0; o < outputs; o++) {
            const float *x = in + (size_t)r * (size_t)inputs, *w = weight + (size_t)o * (size_t)inputs;
            float sum[8] = {0}; /* eight partial sums, because short sums round less */
            int i = 0;
            for (; i + 8 <= inputs; i += 8)
                for (int k = 0; k < 8; k++)
                    sum[k] += x[i + k] * w[i + k];
            for (; i < inputs; i++)
                sum[i % 8] += x[i] * w[i];
            out[(size_t)r * (size_t)outputs + (size_t)o] =
                ((sum[0] + sum[1]) + (sum[2] + sum[3])) + ((sum[4] + sum[5]) + (sum[6] + sum[7]));
        }
}

static void rms_norm(const float *in, const float *weight, int rows, int size, float eps, float *out) {
    for (int r = 0; r < rows; r++, in += size, out += size) {
        float squares = 0;
        for (int i = 0; i < size; i++)
            squares += in[i] * in[i];
        float scale = 1 / sqrtf(squares / (float)size + eps);
        for (int i = 0; i < size; i++)
            out[i] = in[i] * scale * weight[i];
    }
}

static void rotate(float *heads, int count, int size, int position, float base, int interleaved) {
    for (int h = 0; h < count; h++, heads += size)
        for (int i = 0; i < size / 2; i++) {
            float angle = (float)position * powf(base, -2 * (float)i / (float)size);
            int first = interleaved ? 2 * i : i, second = interleaved ? 2 * i + 1 : i + size / 2;
            float x = heads[first], y = heads[second];
            heads[first] = x * cosf(angle) - y * sinf(angle);
            heads[second] = y * cosf(angle) + x * sinf(angle);
        }
}

static void softmax(float *values, int count) {
    float most = values[0], sum = 0;
    for (int i = 1; i < count; i++)
        most = values[i] > most ? values[i] : most;
    for (int i = 0; i < count; i++)
        sum += values[i] = expf(values[i] - most);
    for (int i = 0; i < count; i++)
        values[i] /= sum;
}

static float activate(float x, bug b) {
    return b == GELU ? 0.5f * x * (1 + erff(x * 0.70710678f)) : x / (1 + expf(-x));
}

/* ------------------------------------------------------------------------ engine */

typedef struct engine {
    model m;
    bug bug;
    int capacity, used; /* cells of the cache */
    float **keys, **values; /* per layer: [capacity, kv_heads * head] */
    uint64_t *caches;       /* per layer: the number of the last write into its cache */
} engine;

/* Attention of q[rows, heads * head] to the cache; out has q's shape. */
static void attend(const engine *e, int l, const float *q, int rows, float *out) {
    const model *m = &e->m;
    int group = m->heads / m->kv_heads, size = m->head, stride = m->kv_heads * size, total = e->used + rows;
    float scale = e->bug == NO_SCALE ? 1 : 1 / sqrtf((float)size);
    float *scores = allocate((size_t)total, sizeof *scores);
    for (int r = 0; r < rows; r++)
        for (int h = 0; h < m->heads; h++) {
            const float *query = q + (r * m->heads + h) * size;
            int source = e->bug == GQA_ORDER ? h % m->kv_heads : h / group;
            int visible = e->bug == NO_MASK ? total : e->used + r + 1;
            float *sum = out + (r * m->heads + h) * size;
            for (int c = 0; c < visible; c++) {
                const float *key = e->keys[l] + c * stride + source * size;
                float dot = 0;
                for (int i = 0; i < size; i++)
                    dot += query[i] * key[i];
                scores[c] = dot * scale;
            }
            softmax(scores, visible);
            memset(sum, 0, (size_t)size * sizeof *sum);
            for (int c = 0; c < visible; c++)
                for (int i = 0; i < size; i++)
                    sum[i] += scores[c] * (e->values[l] + c * stride + source * size)[i];
        }
    free(scores);
}

static void rotate_rows(const engine *e, float *heads, int rows, int count) {
    const model *m = &e->m;
    float base = e->bug == ROPE_BASE ? 500000 : m->rope_base;
    for (int r = 0; r < rows; r++)
        rotate(heads + r * count * m->head, count, m->head, e->bug == ROPE_POSITION ? r : e->used + r, base, e->bug == ROPE_INTERLEAVED);
}

/* Numbers of the recorded tensors that later ones are computed from. */
typedef struct recorded {
    uint64_t x, q, k, v, attention;
} recorded;

/* Computes queries, keys and values of normed[rows, width]; keys and values go to the cache. */
static void project(const engine *e, int l, const float *normed, int rows, float *q, recorded *n) {
    const model *m = &e->m;
    const layer *w = &m->layer[l];
    int q_width = m->heads * m->head, kv_width = m->kv_heads * m->head, swapped = e->bug == QK_NORM_SWAPPED;
    float *k = e->keys[l] + e->used * kv_width, *v = e->values[l] + e->used * kv_width, eps = e->bug == NORM_EPS ? 1e-3f : m->eps;
    multiply(normed, w->q, rows, m->width, q_width, q);
    multiply(normed, w->k, rows, m->width, kv_width, k);
    if (e->bug == STALE_CACHE && e->used > 0)
        v -= kv_width;
    multiply(normed, w->v, rows, m->width, kv_width, v);
    uint64_t x = n->x;
    n->q = record("self_attn.q_proj", l, rows, q_width, 0, q, MADE(.op = "linear", .from = {x}));
    n->k = record("self_attn.k_proj", l, rows, kv_width, 0, k, MADE(.op = "linear", .from = {x}));
    n->v = record("self_attn.v_proj", l, rows, kv_width, 0, v, MADE(.op = "linear", .from = {x}));
    if (e->bug != NO_QK_NORM) {
        rms_norm(q, swapped ? w->k_norm : w->q_norm, rows * m->heads, m->head, eps, q);
        rms_norm(k, swapped ? w->q_norm : w->k_norm, rows * m->kv_heads, m->head, eps, k);
    }
    n->q = record("self_attn.q_norm", l, rows, m->heads, m->head, q, MADE(.op = "rms_norm", .from = {n->q}, PARAMETERS(REAL("eps", (double)eps))));
    n->k = record("self_attn.k_norm", l, rows, m->kv_heads, m->head, k, MADE(.op = "rms_norm", .from = {n->k}, PARAMETERS(REAL("eps", (double)eps))));
    rotate_rows(e, q, rows, m->heads);
    rotate_rows(e, k, rows, m->kv_heads);
    /* mode 2 rotates halves, mode 0 adjacent pairs */
    const lockstep_parameter rope[] = {INTEGER("n_dims", m->head), INTEGER("mode", e->bug == ROPE_INTERLEAVED ? 0 : 2),
                                       REAL("freq_base", (double)(e->bug == ROPE_BASE ? 500000 : m->rope_base)), REAL("freq_scale", 1)};
    made rotated = MADE(.op = "rope", .from = {n->q}, .parameters = rope, .parameter_count = sizeof rope / sizeof rope[0]);
    n->q = record("self_attn/apply_rotary_pos_emb.0", l, rows, m->heads, m->head, q, rotated);
    rotated.from[0] = n->k;
    n->k = record("self_attn/apply_rotary_pos_emb.1", l, rows, m->kv_heads, m->head, k, rotated);
}

/* Computes what attention adds to x[rows, width]. */
static void attention(engine *e, int l, const float *x, int rows, float *out, recorded *n) {
    const model *m = &e->m;
    const layer *w = &m->layer[l];
    int q_width = m->heads * m->head;
    float *normed = allocate((size_t)(rows * m->width), sizeof *normed);
    float *q = allocate((size_t)(rows * q_width), sizeof *q), *mixed = allocate((size_t)(rows * q_width), sizeof *mixed);
    float eps = e->bug == NORM_EPS ? 1e-3f : m->eps;
    recorded own = {0};
    rms_norm(x, w->attention_norm, rows, m->width, eps, normed);
    own.x = record("input_layernorm", l, rows, m->width, 0, normed, MADE(.op = "rms_norm", .from = {n->x}, PARAMETERS(REAL("eps", (double)eps))));
    project(e, l, normed, rows, q, &own);
    attend(e, l, q, rows, mixed);
    /* later passes read the cache, so they depend on this write */
    e->caches[l] = record("self_attn.cache", l, rows, m->kv_heads, m->head, NULL,
                          MADE(.op = "set_rows", .role = LOCKSTEP_ROLE_WRITE, .from = {own.k, own.v, e->caches[l]}));
    own.attention = record("self_attn/scaled_dot_product_attention", l, rows, m->heads, m->head, mixed,
                           MADE(.op = "scaled_dot_product_attention", .from = {own.q, e->caches[l]}));
    multiply(mixed, w->o, rows, q_width, m->width, out);
    n->attention = record("self_attn.o_proj", l, rows, m->width, 0, out, MADE(.op = "linear", .from = {own.attention}));
    record("self_attn", l, rows, m->width, 0, NULL, MADE(.alias = n->attention)); /* under the module's name, too */
    free(normed);
    free(q);
    free(mixed);
}

/* Computes what the feed-forward network adds to x[rows, width]; returns its tensor's number. */
static uint64_t feed_forward(const engine *e, int l, const float *x, int rows, float *out, const recorded *n) {
    const model *m = &e->m;
    const layer *w = &m->layer[l];
    size_t count = (size_t)(rows * m->hidden);
    float *normed = allocate((size_t)(rows * m->width), sizeof *normed);
    float *gate = allocate(count, sizeof *gate), *up = allocate(count, sizeof *up), eps = e->bug == NORM_EPS ? 1e-3f : m->eps;
    int swapped = e->bug == GATE_UP_SWAPPED;
    rms_norm(x, w->mlp_norm, rows, m->width, eps, normed);
    uint64_t norm = record("post_attention_layernorm", l, rows, m->width, 0, normed,
                           MADE(.op = "rms_norm", .from = {n->x, n->attention}, PARAMETERS(REAL("eps", (double)eps))));
    multiply(normed, swapped ? w->up : w->gate, rows, m->width, m->hidden, gate);
    multiply(normed, swapped ? w->gate : w->up, rows, m->width, m->hidden, up);
    uint64_t gated = record("mlp.gate_proj", l, rows, m->hidden, 0, gate, MADE(.op = "linear", .from = {norm}));
    uint64_t upped = record("mlp.up_proj", l, rows, m->hidden, 0, up, MADE(.op = "linear", .from = {norm}));
    for (size_t i = 0; i < count; i++)
        gate[i] = activate(gate[i], e->bug);
    gated = record("mlp.act_fn", l, rows, m->hidden, 0, gate, MADE(.op = e->bug == GELU ? "gelu" : "silu", .from = {gated}));
    for (size_t i = 0; i < count; i++)
        gate[i] *= up[i];
    multiply(gate, w->down, rows, m->hidden, m->width, out);
    uint64_t down = record("mlp.down_proj", l, rows, m->width, 0, out, MADE(.op = "linear", .from = {gated, upped}));
    record("mlp", l, rows, m->width, 0, NULL, MADE(.alias = down));
    free(normed);
    free(gate);
    free(up);
    return down;
}

/* Adds what layer l computes to x[rows, width]. */
static void run_layer(engine *e, int l, float *x, int rows, recorded *n) {
    size_t count = (size_t)(rows * e->m.width);
    float *added = allocate(count, sizeof *added);
    attention(e, l, x, rows, added, n);
    for (size_t i = 0; i < count; i++)
        x[i] = e->bug == NO_RESIDUAL && l == 1 ? added[i] : x[i] + added[i];
    uint64_t down = feed_forward(e, l, x, rows, added, n);
    for (size_t i = 0; i < count; i++)
        x[i] += added[i];
    n->x = record("", l, rows, e->m.width, 0, x, MADE(.op = "add", .from = {n->x, n->attention, down}, .output = true));
    free(added);
}

/* One forward pass; returns the likeliest next token. */
static int forward(engine *e, const int32_t *tokens, int rows) {
    const model *m = &e->m;
    size_t count = (size_t)(rows * m->width);
    float *x = allocate(count, sizeof *x);
    float *logits = allocate((size_t)m->vocabulary * (size_t)rows, sizeof *logits);
    int32_t *positions = allocate((size_t)rows, sizeof *positions);
    for (int r = 0; r < rows; r++) {
        positions[r] = e->used + r;
        memcpy(x + r * m->width, m->embedding + (size_t)tokens[r] * (size_t)m->width, (size_t)m->width * sizeof *x);
    }
    lockstep_rows passed = {.count = (size_t)rows, .tokens = tokens, .positions = positions};
    lockstep_capture_pass_begin(recorder, &passed);
    recorded n = {.x = record("model.embed_tokens", -1, rows, m->width, 0, x, MADE(.op = "embedding"))};
    for (int l = 0; l < m->layers; l++)
        run_layer(e, l, x, rows, &n);
    float eps = e->bug == NORM_EPS ? 1e-3f : m->eps;
    if (e->bug != NO_FINAL_NORM)
        rms_norm(x, m->norm, rows, m->width, eps, x);
    n.x = record("model.norm", -1, rows, m->width, 0, x, MADE(.op = "rms_norm", .from = {n.x}, PARAMETERS(REAL("eps", (double)eps))));
    multiply(x, m->output, rows, m->width, m->vocabulary, logits);
    record("lm_head", -1, rows, m->vocabulary, 0, logits, MADE(.op = "linear", .from = {n.x}, .output = true));
    lockstep_capture_pass_end(recorder);
    const float *last = logits + (size_t)(rows - 1) * (size_t)m->vocabulary;
    int best = 0;
    for (int i = 1; i < m->vocabulary; i++)
        best = last[i] > last[best] ? i : best;
    e->used += rows;
    free(x);
    free(logits);
    free(positions);
    return best;
}

static engine start(const char *folder, bug b, int capacity) {
    engine e = {.m = load_model(folder), .bug = b, .capacity = capacity};
    size_t cells = (size_t)capacity * (size_t)(e.m.kv_heads * e.m.head);
    e.keys = allocate((size_t)e.m.layers, sizeof *e.keys);
    e.values = allocate((size_t)e.m.layers, sizeof *e.values);
    e.caches = allocate((size_t)e.m.layers, sizeof *e.caches);
    for (int l = 0; l < e.m.layers; l++) {
        e.keys[l] = allocate(cells, sizeof **e.keys);
        e.values[l] = allocate(cells, sizeof **e.values);
    }
    return e;
}

static void stop(engine *e) {
    for (int l = 0; l < e->m.layers; l++) {
        layer *w = &e->m.layer[l];
        float *const own[] = {w->attention_norm, w->q, w->k, w->v, w->o, w->q_norm, w->k_norm, w->mlp_norm,
                              w->gate, w->up, w->down, e->keys[l], e->values[l]};
        for (size_t i = 0; i < sizeof own / sizeof own[0]; i++)
            free(own[i]);
    }
    if (e->m.output != e->m.embedding)
        free(e->m.output);
    free(e->m.embedding);
    free(e->m.norm);
    free(e->m.layer);
    free(e->keys);
    free(e->values);
    free(e->caches);
}

static int parse_tokens(const char *text, int32_t *out, int capacity, int vocabulary) {
    int count = 0;
    for (char *end; count < capacity; text = end + 1) {
        long id = strtol(text, &end, 10);
        if (end == text || id < 0 || id >= vocabulary || (*end != ',' && *end != '\0'))
            fail("TOKENS: found '%s', expected ids below %d and commas", text, vocabulary);
        out[count++] = (int32_t)id;
        if (*end == '\0')
            break;
    }
    return count;
}

int main(int argc, char **argv) {
    enum { TOKENS = 4096 };
    int32_t tokens[TOKENS];
    bug b = NONE;
    if (argc > 3 && strcmp(argv[argc - 2], "--bug") == 0) {
        b = parse_bug(argv[argc - 1]);
        argc -= 2;
    }
    if (argc < 3 || argc > 4)
        fail("usage: qwen3 MODEL_DIR TOKENS [STEPS] [--bug NAME]");
    int steps = argc > 3 ? atoi(argv[3]) : 0;
    if (steps < 0 || steps > TOKENS)
        fail("STEPS: found '%s', expected 0 to %d", argv[3], TOKENS);
    engine e = start(argv[1], b, TOKENS + steps);
    int rows = parse_tokens(argv[2], tokens, TOKENS, e.m.vocabulary);
    recorder = lockstep_capture_open("qwen3.c", lockstep_version());
    int32_t next = forward(&e, tokens, rows);
    for (int i = 0; i < steps; i++) {
        printf("%d ", next);
        next = forward(&e, &next, 1);
    }
    printf("%d\n", next);
    lockstep_capture_close(recorder);
    stop(&e);
    return 0;
}
