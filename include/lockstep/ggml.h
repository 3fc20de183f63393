/* Recording a program that has ggml linked into it and so can't be hooked: its evaluation
 * callback passes each node to the C capture API.
 *
 *     #include <ggml.h>
 *     #include <ggml-backend.h>
 *     #include <lockstep/ggml.h>
 *     …
 *     lockstep_ggml *observer = lockstep_ggml_open("llama.cpp", llama_build_info());
 *     params.cb_eval = lockstep_ggml_eval;
 *     params.cb_eval_user_data = observer;
 *     … llama_decode(…) …
 *     lockstep_ggml_close(observer);
 *
 * C and C++; link with -llockstep-capture. Use one observer per context: its callbacks must
 * not run concurrently. Without `lockstep capture`, open returns NULL, and the callback
 * requests nothing.
 *
 * A new pass begins automatically when the first node of the previous pass occurs again with
 * only weights and inputs as sources. */
#ifndef LOCKSTEP_GGML_H
#define LOCKSTEP_GGML_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <lockstep/capture.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { LOCKSTEP_GGML_SLOTS = 1 << 16, LOCKSTEP_GGML_NAME = 160 };

struct lockstep_ggml_slot {
    const struct ggml_tensor *tensor; /* NULL if free */
    uint64_t id;                      /* in the trace */
    unsigned pass;                    /* of this observer; weights are valid in all passes */
    int layer, is_weight;
};

typedef struct lockstep_ggml {
    lockstep_recorder *recorder;
    unsigned pass; /* counts from 1 */
    char first[LOCKSTEP_GGML_NAME];
    struct lockstep_ggml_slot slots[LOCKSTEP_GGML_SLOTS];
} lockstep_ggml;

static inline lockstep_ggml *lockstep_ggml_open(const char *engine, const char *version) {
    lockstep_recorder *recorder = lockstep_capture_open(engine, version);
    lockstep_ggml *observer = recorder != NULL ? (lockstep_ggml *)calloc(1, sizeof(lockstep_ggml)) : NULL;
    if (observer == NULL)
        lockstep_capture_close(recorder);
    else
        observer->recorder = recorder;
    return observer;
}

/* NULL is allowed. The callback must not be called afterwards. */
static inline void lockstep_ggml_close(lockstep_ggml *observer) {
    if (observer == NULL)
        return;
    lockstep_capture_close(observer->recorder);
    free(observer);
}

/* ------------------------------------------------------- what is known of a tensor */

/* The tensor's slot, or a free one; NULL if all are taken. */
static inline struct lockstep_ggml_slot *lockstep_ggml_find(lockstep_ggml *o, const struct ggml_tensor *t) {
    size_t at = (size_t)(((uintptr_t)t >> 4) * 0x9e3779b97f4a7c15ull >> 40);
    for (size_t i = 0; i < LOCKSTEP_GGML_SLOTS; i++) {
        struct lockstep_ggml_slot *slot = &o->slots[(at + i) % LOCKSTEP_GGML_SLOTS];
        if (slot->tensor == NULL || slot->tensor == t)
            return slot;
    }
    return NULL;
}

static inline int lockstep_ggml_is_known(const lockstep_ggml *o, const struct lockstep_ggml_slot *slot) {
    return slot != NULL && slot->tensor != NULL && (slot->pass == o->pass || slot->is_weight);
}

static inline int lockstep_ggml_is_leaf(const struct ggml_tensor *t) {
    return t->op == GGML_OP_NONE && t->view_src == NULL;
}

static inline int lockstep_ggml_is_view(const struct ggml_tensor *t) {
    return t->op == GGML_OP_VIEW || t->op == GGML_OP_RESHAPE || t->op == GGML_OP_PERMUTE ||
           t->op == GGML_OP_TRANSPOSE || t->op == GGML_OP_NONE;
}

static inline ggml_backend_buffer_t lockstep_ggml_buffer(const struct ggml_tensor *t) {
    return t->buffer != NULL || t->view_src == NULL ? t->buffer : t->view_src->buffer;
}

/* Whether the program gave it no name: "node_27", "leaf_3", "node_27 (view)" or empty. */
static inline int lockstep_ggml_is_unnamed(const char *name) {
    if (strncmp(name, "node_", 5) != 0 && strncmp(name, "leaf_", 5) != 0)
        return *name == '\0';
    size_t digits = strspn(name + 5, "0123456789");
    return digits > 0 && (name[5 + digits] == '\0' || strncmp(name + 5 + digits, " (", 2) == 0);
}

/* The same name as with the preload hook, so that presets work for both: a node without a
 * name is named after its weight ("blk.0.attn_output.weight @"), or after its operation and
 * the operand. */
static inline void lockstep_ggml_name(const struct ggml_tensor *t, char *out) {
    const struct ggml_tensor *inner = t;
    size_t used = 0, room = LOCKSTEP_GGML_NAME;
    int opened = 0;
    out[0] = '\0';
    for (int depth = 0; depth < 3 && lockstep_ggml_is_unnamed(inner->name); depth++) {
        for (int i = 0; i < GGML_MAX_SRC && inner->src[i] != NULL; i++)
            if (inner->src[i]->op == GGML_OP_NONE && strstr(inner->src[i]->name, "weight") != NULL) {
                used += (size_t)snprintf(out + used, room - used, "%.63s @", inner->src[i]->name);
                snprintf(out + used, room - used, "%.*s", opened, ")))");
                return;
            }
        used += (size_t)snprintf(out + used, room - used, "%s(", depth == 0 ? ggml_op_desc(t) : "");
        opened++;
        if (inner->src[0] == NULL)
            break;
        inner = inner->src[0];
    }
    if (!lockstep_ggml_is_unnamed(inner->name))
        used += (size_t)snprintf(out + used, room - used, "%.63s", inner->name);
    snprintf(out + used, room - used, "%.*s", opened, ")))");
}

/* The layer in "Kcur-3", "Kcur-3 (view)", "blk.3.attn_k.weight" or "cache_k_l3"; -1 if none. */
static inline int lockstep_ggml_layer_of_name(const char *name) {
    const char *block = strstr(name, "blk."), *note = strstr(name, " (");
    if (block != NULL)
        return block[4] >= '0' && block[4] <= '9' ? atoi(block + 4) : -1;
    size_t end = note != NULL ? (size_t)(note - name) : strlen(name), start = end;
    while (start > 0 && name[start - 1] >= '0' && name[start - 1] <= '9')
        start--;
    int marked = start > 0 && (name[start - 1] == '-' || (name[start - 1] == 'l' && strncmp(name, "cache_", 6) == 0));
    return marked && start < end && end - start < 6 ? atoi(name + start) : -1;
}

/* The layer in the tensor's name, or else that of its sources. */
static inline int lockstep_ggml_layer(lockstep_ggml *o, const struct ggml_tensor *t) {
    int layer = lockstep_ggml_layer_of_name(t->name);
    if (layer >= 0 || (!lockstep_ggml_is_unnamed(t->name) && strstr(t->name, " (") == NULL))
        return layer;
    for (int i = 0; i < GGML_MAX_SRC && t->src[i] != NULL; i++) {
        const struct lockstep_ggml_slot *slot = lockstep_ggml_find(o, t->src[i]);
        if (lockstep_ggml_is_known(o, slot) && slot->layer > layer)
            layer = slot->layer;
    }
    return layer;
}

/* -------------------------------------------------------------------- recording */

static inline void lockstep_ggml_dtype(const struct ggml_tensor *t, lockstep_node *node) {
    node->dtype_name = ggml_type_name(t->type);
    node->dtype = LOCKSTEP_OPAQUE; /* if its type can't be decoded, a line without values */
    for (int i = 0; i < LOCKSTEP_DTYPE_COUNT; i++)
        if (strcmp(lockstep_dtype_name((lockstep_dtype)i), node->dtype_name) == 0)
            node->dtype = (lockstep_dtype)i;
}

enum { LOCKSTEP_GGML_PARAMETERS = 4 };

/* Adds the parameters from which causes are found. Each is in a word of op_params that is the
 * same in all versions of ggml. `out` has room for LOCKSTEP_GGML_PARAMETERS. */
static inline void lockstep_ggml_parameters(const struct ggml_tensor *t, lockstep_node *node, lockstep_parameter *out) {
    static const struct {
        const char *op, *name;
        int word, is_real;
    } places[] = {{"RMS_NORM", "eps", 0, 1},   {"NORM", "eps", 0, 1},       {"ROPE", "n_dims", 1, 0},
                  {"ROPE", "mode", 2, 0},      {"ROPE", "freq_base", 5, 1}, {"ROPE", "freq_scale", 6, 1},
                  {"SOFT_MAX", "scale", 0, 1}, {"SCALE", "scale", 0, 1},    {"FLASH_ATTN_EXT", "scale", 0, 1}};
    node->parameters = out;
    for (size_t i = 0; i < sizeof places / sizeof places[0] && node->parameter_count < LOCKSTEP_GGML_PARAMETERS; i++) {
        lockstep_parameter *p = &out[node->parameter_count];
        float real;
        if (strcmp(places[i].op, node->op) != 0)
            continue;
        memset(p, 0, sizeof *p);
        memcpy(&real, &t->op_params[places[i].word], sizeof real);
        p->name = places[i].name;
        p->type = places[i].is_real ? LOCKSTEP_PARAMETER_REAL : LOCKSTEP_PARAMETER_INTEGER;
        if (places[i].is_real)
            p->value.real = (double)real;
        else
            p->value.integer = t->op_params[places[i].word];
        node->parameter_count++;
    }
}

/* Records a tensor, with its values if they are wanted and `computed`. */
static inline uint64_t lockstep_ggml_record(lockstep_ggml *o, const struct ggml_tensor *t, lockstep_node *node, int computed) {
    uint64_t shape[4], sources[GGML_MAX_SRC], operands[GGML_MAX_SRC];
    int64_t strides[4];
    lockstep_view view;
    lockstep_parameter parameters[LOCKSTEP_GGML_PARAMETERS];
    void *copy = NULL;
    ggml_backend_buffer_t buffer = lockstep_ggml_buffer(t);
    node->rank = 4;
    while (node->rank > 1 && t->ne[node->rank - 1] == 1)
        node->rank--;
    for (int i = 0; i < node->rank; i++) {
        shape[i] = (uint64_t)t->ne[node->rank - 1 - i];
        strides[i] = (int64_t)t->nb[node->rank - 1 - i];
    }
    lockstep_ggml_dtype(t, node);
    lockstep_ggml_parameters(t, node, parameters);
    node->shape = shape;
    node->strides = strides;
    node->sources = sources;
    node->operands = operands;
    for (int i = 0; i < GGML_MAX_SRC; i++) {
        operands[i] = 0;
        if (t->src[i] == NULL)
            continue;
        node->operand_count = (size_t)i + 1;
        if (lockstep_ggml_is_known(o, lockstep_ggml_find(o, t->src[i])))
            operands[i] = sources[node->source_count++] = lockstep_ggml_find(o, t->src[i])->id;
    }
    if (t->view_src != NULL && lockstep_ggml_is_known(o, lockstep_ggml_find(o, t->view_src))) {
        view.of = lockstep_ggml_find(o, t->view_src)->id;
        view.offset = t->view_offs;
        view.strides = strides;
        node->view = &view;
    }
    node->backend = buffer != NULL ? ggml_backend_buffer_name(buffer) : NULL;
    if (computed && node->dtype != LOCKSTEP_OPAQUE && t->data != NULL) {
        node->data = t->data;
        if (buffer != NULL && !ggml_backend_buffer_is_host(buffer)) {
            node->data = copy = malloc(ggml_nbytes(t) + 1);
            if (copy != NULL)
                ggml_backend_tensor_get(t, copy, 0, ggml_nbytes(t));
        }
    }
    node->writable = node->data == t->data && node->role == LOCKSTEP_ROLE_COMPUTED; /* see `lockstep check --resync` */
    uint64_t id = lockstep_capture_node(o->recorder, node);
    free(copy);
    struct lockstep_ggml_slot *slot = lockstep_ggml_find(o, t);
    if (slot != NULL) {
        slot->tensor = t;
        slot->id = id;
        slot->pass = o->pass;
        slot->layer = node->layer;
        slot->is_weight = node->role == LOCKSTEP_ROLE_WEIGHT;
    }
    return id;
}

static inline lockstep_role lockstep_ggml_leaf_role(const struct ggml_tensor *t) {
    size_t length = strlen(t->name);
    if (strncmp(t->name, "cache_", 6) == 0)
        return LOCKSTEP_ROLE_STATE;
    if (t->flags & GGML_TENSOR_FLAG_INPUT)
        return LOCKSTEP_ROLE_INPUT;
    if (t->buffer != NULL && ggml_backend_buffer_get_usage(t->buffer) == GGML_BACKEND_BUFFER_USAGE_WEIGHTS)
        return LOCKSTEP_ROLE_WEIGHT;
    return (length > 7 && strcmp(t->name + length - 7, ".weight") == 0) ||
           (length > 5 && strcmp(t->name + length - 5, ".bias") == 0) ? LOCKSTEP_ROLE_WEIGHT : LOCKSTEP_ROLE_INPUT;
}

/* Token ids are the indexes of the embedding's rows; positions are an input of RoPE. */
static inline void lockstep_ggml_rows(lockstep_ggml *o, const struct ggml_tensor *t) {
    const struct ggml_tensor *index = t->src[1];
    lockstep_rows rows = {0, NULL, NULL, NULL};
    int tokens = t->op == GGML_OP_GET_ROWS && strstr(t->src[0]->name, "embd") != NULL;
    if (index == NULL || !lockstep_ggml_is_leaf(index) || index->type != GGML_TYPE_I32 || index->data == NULL ||
        !(tokens || t->op == GGML_OP_ROPE) || !ggml_is_contiguous(index))
        return;
    int32_t *values = (int32_t *)malloc(ggml_nbytes(index) + 1);
    if (values == NULL)
        return;
    if (index->buffer != NULL)
        ggml_backend_tensor_get(index, values, 0, ggml_nbytes(index));
    else
        memcpy(values, index->data, ggml_nbytes(index));
    rows.count = (size_t)(tokens ? index->ne[0] : t->ne[2]);
    *(tokens ? &rows.tokens : &rows.positions) = values;
    if (rows.count <= (size_t)index->ne[0])
        lockstep_capture_rows(o->recorder, &rows);
    free(values);
}

/* Records a node's leafs before it runs, because inputs may be overwritten. */
static inline void lockstep_ggml_leafs(lockstep_ggml *o, const struct ggml_tensor *t) {
    int is_new = 0;
    for (int i = 0; i < GGML_MAX_SRC; i++) {
        const struct ggml_tensor *leaf = t->src[i];
        if (leaf == NULL || !lockstep_ggml_is_leaf(leaf) || lockstep_ggml_is_known(o, lockstep_ggml_find(o, leaf)))
            continue;
        lockstep_node node;
        memset(&node, 0, sizeof node);
        node.size = sizeof node;
        node.name = leaf->name;
        node.op = "NONE";
        node.role = lockstep_ggml_leaf_role(leaf);
        node.layer = lockstep_ggml_layer_of_name(leaf->name);
        lockstep_ggml_record(o, leaf, &node, node.role == LOCKSTEP_ROLE_INPUT);
        is_new |= node.role == LOCKSTEP_ROLE_INPUT;
    }
    if (is_new)
        lockstep_ggml_rows(o, t);
}

static inline void lockstep_ggml_pass(lockstep_ggml *o, const struct ggml_tensor *t, const char *name) {
    int only_leafs = 1;
    for (int i = 0; i < GGML_MAX_SRC; i++)
        only_leafs &= t->src[i] == NULL || lockstep_ggml_is_leaf(t->src[i]);
    if (o->pass > 0 && !(only_leafs && strcmp(o->first, name) == 0))
        return;
    lockstep_capture_pass_begin(o->recorder, NULL);
    snprintf(o->first, sizeof o->first, "%s", name);
    /* weights stay valid; ids of computed tensors belong to the previous pass */
    o->pass++;
}

static inline void lockstep_ggml_describe(lockstep_ggml *o, const struct ggml_tensor *t, const char *name, lockstep_node *node) {
    const struct ggml_tensor *root = t->view_src;
    memset(node, 0, sizeof *node);
    node->size = sizeof *node;
    node->name = name;
    node->op = ggml_op_desc(t);
    node->layer = lockstep_ggml_layer(o, t);
    node->output = (t->flags & GGML_TENSOR_FLAG_OUTPUT) != 0 || strncmp(t->name, "l_out-", 6) == 0 ||
                   strncmp(t->name, "result_", 7) == 0;
    if (lockstep_ggml_is_view(t))
        node->role = LOCKSTEP_ROLE_VIEW;
    else if (root != NULL && lockstep_ggml_is_leaf(root))
        node->role = LOCKSTEP_ROLE_WRITE;
}

/* The evaluation callback; user_data is the observer, or NULL. */
static inline bool lockstep_ggml_eval(struct ggml_tensor *t, bool ask, void *user_data) {
    lockstep_ggml *o = (lockstep_ggml *)user_data;
    char name[LOCKSTEP_GGML_NAME];
    lockstep_node node;
    if (o == NULL)
        return !ask;
    lockstep_ggml_name(t, name);
    if (ask) {
        lockstep_ggml_pass(o, t, name);
        lockstep_ggml_leafs(o, t);
    }
    lockstep_ggml_describe(o, t, name, &node);
    if (ask && lockstep_capture_wants(o->recorder, &node))
        return true;
    lockstep_ggml_record(o, t, &node, !ask);
    return !ask; /* when asked: its values aren't needed; when computed: continue */
}

#ifdef __cplusplus
}
#endif

#endif
