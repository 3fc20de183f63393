#include "graph.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "copies.h"
#include "names.h"
#include "values.h"
#include "wire/channel.h"
#include "wire/filters.h"
#include "wire/frame_writer.h"

static struct ggml_tensor *root_of(const struct ggml_tensor *t) {
    return t->view_src != NULL ? t->view_src : (struct ggml_tensor *)(uintptr_t)t;
}

/* What any graph of this process has computed, or written into a cache, because another graph
 * may read it: (tensor, name) -> id of the last line. */
static pthread_mutex_t produced_lock = PTHREAD_MUTEX_INITIALIZER;
static ls_map produced;

void graph_hold(void) { pthread_mutex_lock(&produced_lock); }
void graph_release(void) { pthread_mutex_unlock(&produced_lock); }

/* Which context has written into a cache: cache_key -> its number + 1. An engine may go on with another scheduler; then its
 * passes are still those of the same context. */
static ls_map filled;

typedef struct produced_key {
    const struct ggml_tensor *tensor;
    char name[sizeof ((struct ggml_tensor *)0)->name];
} produced_key;

typedef struct cache_key {
    produced_key tensor;
    const void *data;
    int64_t ne[4];
} cache_key;

static produced_key key_of(const struct ggml_tensor *t) {
    produced_key key = {0};
    key.tensor = t;
    memcpy(key.name, t->name, sizeof key.name);
    return key;
}

static void remember_produced(const struct ggml_tensor *t, uint64_t id) {
    produced_key key = key_of(t);
    pthread_mutex_lock(&produced_lock);
    uint64_t *at = ls_map_at(&produced, (const char *)&key, sizeof key);
    if (at != NULL)
        *at = id;
    pthread_mutex_unlock(&produced_lock);
}

static uint64_t produced_as(const struct ggml_tensor *t) {
    produced_key key = key_of(t);
    pthread_mutex_lock(&produced_lock);
    const uint64_t *id = ls_map_find(&produced, (const char *)&key, sizeof key);
    pthread_mutex_unlock(&produced_lock);
    return id != NULL ? *id : 0;
}

/* The number of the first context that wrote into a cache: this one, unless there was another. */
static unsigned context_of_cache(const struct ggml_tensor *cache, unsigned number) {
    cache_key key;
    memset(&key, 0, sizeof key);
    key.tensor = key_of(cache);
    key.data = cache->data;
    memcpy(key.ne, cache->ne, sizeof key.ne);
    pthread_mutex_lock(&produced_lock);
    uint64_t *first = ls_map_at(&filled, (const char *)&key, sizeof key);
    if (first != NULL && *first == 0)
        *first = (uint64_t)number + 1;
    const unsigned found = first != NULL ? (unsigned)(*first - 1) : number;
    pthread_mutex_unlock(&produced_lock);
    return found;
}

static uint64_t *map_at(ls_map *map, const void *pointer) {
    return ls_map_at(map, (const char *)&pointer, sizeof pointer);
}

static uint64_t map_get(const ls_map *map, const void *pointer) {
    const uint64_t *value = ls_map_find(map, (const char *)&pointer, sizeof pointer);
    return value != NULL ? *value : 0;
}

static void map_set(ls_map *map, const void *pointer, uint64_t value) {
    uint64_t *at = map_at(map, pointer);
    if (at != NULL)
        *at = value;
}

struct pass_node *graph_pass_node(const graph_pass *pass, const struct ggml_tensor *tensor) {
    uint64_t index = map_get(&pass->indexes, tensor);
    return index != 0 ? &pass->nodes[index - 1] : NULL;
}

/* The i-th source that the program gave to an operation; NULL if there is none. */
static struct ggml_tensor *source_of(const graph_pass *pass, const struct ggml_tensor *tensor, int i) {
    const struct pass_node *node = graph_pass_node(pass, tensor);
    return node != NULL ? node->src[i] : tensor->src[i];
}

/* ------------------------------------------------------------------- names */

static lockstep_role role_of(const graph_pass *p, const struct ggml_tensor *leaf);

/* A weight after which operations are named. A bias follows the weight that it belongs to. */
static bool gives_its_name(const graph_pass *p, const struct ggml_tensor *source) {
    const size_t length = strlen(source->name);
    const bool is_bias = length >= 4 && strcmp(source->name + length - 4, "bias") == 0;
    return source->op == 0 && (strstr(source->name, "weight") != NULL || (!is_bias && !is_auto_name(source->name) && role_of(p, source) == LOCKSTEP_ROLE_WEIGHT));
}

/* A node without a name of its own is named after its weight, or else after its operation
 * and the operand. */
static void write_name(const graph_pass *p, const struct ggml_tensor *t, const char *op, char *out) {
    const struct ggml_tensor *inner = t;
    int depth = 0;
    out[0] = '\0';
    size_t used = 0;
    for (; depth < 3 && is_auto_name(inner->name); depth++) {
        const struct ggml_tensor *weight = NULL, *source;
        for (int i = 0; i < GGML_SOURCES && (source = source_of(p, inner, i)) != NULL && weight == NULL; i++)
            if (gives_its_name(p, source))
                weight = source;
        if (weight != NULL) {
            used += (size_t)snprintf(out + used, NAME_MAX_BYTES - used, "%.63s @", weight->name);
            break;
        }
        used += (size_t)snprintf(out + used, NAME_MAX_BYTES - used, "%s(", depth == 0 ? op : "");
        source = source_of(p, inner, 0);
        if (source == NULL)
            break;
        inner = source;
    }
    if (is_auto_name(inner->name) && strstr(out, " @") == NULL) { /* no nearby source has a name */
        snprintf(out, NAME_MAX_BYTES, "%s", op);
        return;
    }
    if (!is_auto_name(inner->name))
        used += (size_t)snprintf(out + used, NAME_MAX_BYTES - used, "%.63s", inner->name);
    for (size_t open = 0, i = 0; i < used; i++) {
        open += out[i] == '(';
        open -= out[i] == ')';
        if (i + 1 == used && open > 0)
            snprintf(out + used, NAME_MAX_BYTES - used, "%.*s", (int)(open < 4 ? open : 4), "))))");
    }
}

static int node_layer(const graph_pass *p, const struct pass_node *node) {
    const struct ggml_tensor *t = node->tensor;
    int layer = layer_of_name(t->name);
    if (layer >= 0 || (!is_auto_name(t->name) && strstr(t->name, " (") == NULL))
        return layer;
    for (int i = 0; i < GGML_SOURCES && node->src[i] != NULL; i++) {
        const struct pass_node *source = graph_pass_node(p, node->src[i]);
        int from = source != NULL ? source->layer : layer_of_name(node->src[i]->name);
        layer = from > layer ? from : layer;
    }
    return layer;
}

/* ------------------------------------------------------------------- lines */

enum { SOURCES = 3 * GGML_SOURCES + 1 };

/* op_params is an array of 32-bit words. */
static lockstep_parameter read_parameter(const struct ggml_tensor *t, const ls_op_parameter *p) {
    lockstep_parameter read = {.name = p->name, .type = p->type == LS_OP_F32 ? LOCKSTEP_PARAMETER_REAL : LOCKSTEP_PARAMETER_INTEGER};
    const int32_t *word = &t->op_params[p->word];
    float single;
    switch (p->type) {
    case LS_OP_I32:
        read.value.integer = *word;
        break;
    case LS_OP_U64:
        memcpy(&read.value.integer, word, sizeof read.value.integer);
        break;
    case LS_OP_F32:
        memcpy(&single, word, sizeof single);
        read.value.real = (double)single;
        break;
    }
    return read;
}

/* The contents of a tensor's line, in memory that lives until it is sent. */
typedef struct description {
    lockstep_node node;
    char name[NAME_MAX_BYTES];
    uint64_t shape[4], sources[SOURCES], operands[GGML_SOURCES];
    int64_t strides[4];
    lockstep_view view;
    lockstep_parameter parameters[LS_OP_PARAMETERS_MAX];
} description;

static void describe_parameters(description *d, const struct pass_node *node) {
    for (const ls_op_parameter *p = node->kind->parameters; p->name != NULL; p++)
        d->parameters[d->node.parameter_count++] = read_parameter(node->tensor, p);
    d->node.parameters = d->parameters;
}

static const char *backend_of(const graph_pass *p, const struct ggml_tensor *t);

/* Describes everything but the name, the sources and the parameters. */
static void describe(description *d, const graph_pass *p, const struct ggml_tensor *t, const char *op, int layer) {
    int rank = 4;
    while (rank > 1 && t->ne[rank - 1] == 1)
        rank--;
    for (int i = 0; i < rank; i++)
        d->shape[i] = (uint64_t)t->ne[rank - 1 - i];
    d->node = (lockstep_node){.size = sizeof d->node, .name = d->name, .op = op, .layer = layer, .rank = rank, .shape = d->shape,
                              .sources = d->sources, .dtype_name = p->api->type_name(t->type), .backend = backend_of(p, t)};
}

static void describe_leaf(description *d, const graph_pass *p, const struct ggml_tensor *leaf, lockstep_role role) {
    describe(d, p, leaf, LS_OP_LEAF_SPELLING, layer_of_name(leaf->name));
    snprintf(d->name, sizeof d->name, "%s", leaf->name);
    d->node.role = role;
}

/* Sends the line, with the values if they are wanted and can be read. */
static bool send_description(const graph_pass *p, const description *d, uint64_t id, const struct ggml_tensor *t, bool with_values) {
    ls_strided values;
    void *copy = NULL;
    with_values = with_values && values_read(p->api, t, &values, &copy);
    bool sent = ls_frame_node(&d->node, id, p->number, with_values ? &values : NULL);
    free(copy);
    return sent;
}

/* The back end that computes a node; NULL if unknown. It can't be derived from the buffer,
 * because the CPU computes into memory that a GPU driver has allocated ("CUDA_Host"). */
static const char *computed_on(const graph_pass *p, struct ggml_tensor *node) {
    bool known = p->sched != NULL && p->api->backend_sched_get_tensor_backend != NULL && p->api->backend_name != NULL;
    void *backend = known ? p->api->backend_sched_get_tensor_backend(p->sched, node) : NULL;
    return backend != NULL ? p->api->backend_name(backend) : NULL;
}

static const char *backend_of(const graph_pass *p, const struct ggml_tensor *t) {
    void *buffer = root_of(t)->buffer;
    const struct pass_node *node = graph_pass_node(p, t);
    const char *name = node != NULL ? computed_on(p, node->tensor) : NULL;
    return name != NULL || buffer == NULL ? name : p->api->backend_buffer_name(buffer);
}

/* -------------------------------------------------------------------- sources */

static void add_source(description *d, uint64_t id) {
    for (size_t i = 0; i < d->node.source_count; i++)
        if (d->sources[i] == id)
            return;
    if (id != 0)
        d->sources[d->node.source_count++] = id;
}

/* There are edges through memory, too: a node that reads a cache, or a tensor that was
 * overwritten in place, depends on the last write to it. Writes form a chain. */
static void describe_sources(description *d, graph_pass *p, const struct pass_node *node) {
    for (int i = 0; i < GGML_SOURCES; i++) {
        if (node->src[i] == NULL)
            continue;
        add_source(d, map_get(&p->ids, node->src[i]));
        add_source(d, map_get(&p->context->writes, root_of(node->src[i])));
        add_source(d, map_get(&p->writes, root_of(node->src[i])));
    }
    if (node->write)
        add_source(d, map_get(&p->context->writes, root_of(node->tensor)));
}

static void describe_operands(description *d, const graph_pass *p, const struct pass_node *node) {
    d->node.operands = d->operands;
    for (size_t i = 0; i < GGML_SOURCES; i++) {
        d->operands[i] = node->src[i] != NULL ? map_get(&p->ids, node->src[i]) : 0;
        d->node.operand_count = node->src[i] != NULL ? i + 1 : d->node.operand_count;
    }
}

/* Where the tensor lies in another one's memory: ggml's views, and results that are written into a cache or over an
 * operand. The memory's own tensor may belong to another graph: then it is that of the view's source. */
static void describe_view(description *d, const graph_pass *p, const struct ggml_tensor *t) {
    const struct ggml_tensor *source = t->src[0];
    if (t->view_src == NULL)
        return;
    for (int i = 0; i < d->node.rank; i++)
        d->strides[i] = (int64_t)t->nb[d->node.rank - 1 - i];
    d->view = (lockstep_view){map_get(&p->ids, t->view_src), t->view_offs, d->strides};
    if (d->view.of == 0 && source != NULL && source->view_src == t->view_src && t->view_offs >= source->view_offs)
        d->view = (lockstep_view){map_get(&p->ids, source), t->view_offs - source->view_offs, d->strides};
    d->node.view = &d->view;
}

static bool is_output(const struct ggml_tensor *t) {
    return (t->flags & GGML_FLAG_OUTPUT) != 0 || strncmp(t->name, "l_out-", 6) == 0 || strncmp(t->name, "result_", 7) == 0;
}

/* `--resync layer` means the outputs of layers and of the network, but not the last norm's. */
static bool is_resync_point(const struct ggml_tensor *t) {
    return is_output(t) && strncmp(t->name, "result_norm", 11) != 0;
}

static void send_node(graph_pass *p, struct pass_node *node, bool with_values) {
    description d;
    const struct ggml_tensor *t = node->tensor;
    node->sent = true;
    node->id = ls_frame_next_id();
    describe(&d, p, t, node->op, node->layer);
    write_name(p, t, node->op, d.name);
    d.node.role = node->view ? LOCKSTEP_ROLE_VIEW : node->write ? LOCKSTEP_ROLE_WRITE : LOCKSTEP_ROLE_COMPUTED;
    describe_sources(&d, p, node);
    describe_operands(&d, p, node);
    describe_view(&d, p, t);
    describe_parameters(&d, node);
    map_set(&p->ids, t, node->id);
    if (!node->view)
        remember_produced(node->write ? t->view_src : t, node->id);
    if (!node->view && t->view_src != NULL)
        map_set(node->write ? &p->context->writes : &p->writes, t->view_src, node->id);
    if (send_description(p, &d, node->id, t, with_values) && with_values && !node->view &&
        ls_filter_resync(d.name, is_resync_point(t)))
        values_resync(p->api, t, node->id);
}

/* ------------------------------------------------------------------- leafs */

static bool is_state(const graph_pass *p, const struct ggml_tensor *leaf) {
    return strncmp(leaf->name, "cache_", 6) == 0 || map_get(&p->context->writes, leaf) != 0;
}

static lockstep_role role_of(const graph_pass *p, const struct ggml_tensor *leaf) {
    void *buffer = root_of(leaf)->buffer;
    if (is_state(p, leaf))
        return LOCKSTEP_ROLE_STATE;
    if (leaf->flags & GGML_FLAG_INPUT)
        return LOCKSTEP_ROLE_INPUT;
    if (buffer != NULL && p->api->backend_buffer_get_usage(buffer) == GGML_USAGE_WEIGHTS)
        return LOCKSTEP_ROLE_WEIGHT;
    size_t length = strlen(leaf->name);
    bool named_so = (length > 7 && strcmp(leaf->name + length - 7, ".weight") == 0) ||
                    (length > 5 && strcmp(leaf->name + length - 5, ".bias") == 0);
    return named_so ? LOCKSTEP_ROLE_WEIGHT : LOCKSTEP_ROLE_INPUT;
}

/* Some CPU buffers hold weights repacked for their kernels, whose bytes are not in the layout of the tensor's type,
 * and which can't be read. */
static bool is_repacked(const graph_pass *p, const struct ggml_tensor *leaf) {
    void *buffer = root_of(leaf)->buffer;
    const char *name = buffer != NULL ? p->api->backend_buffer_name(buffer) : NULL;
    return name != NULL && !p->api->backend_buffer_is_host(buffer) && (strncmp(name, "CPU", 3) == 0 || strstr(name, "AMX") != NULL);
}

static void note_repacked(const struct ggml_tensor *leaf) {
    char note[160];
    snprintf(note, sizeof note, "%s is repacked for the engine's kernels: its values were not recorded", leaf->name);
    ls_frame_note(note);
}

/* Where the id of a weight's or cache's line is kept: 0 if it was not sent yet; NULL if out of memory. */
static uint64_t *known_leaf(const graph_pass *p, const struct ggml_tensor *leaf) {
    char key[sizeof leaf + sizeof leaf->name];
    memcpy(key, &leaf, sizeof leaf);
    memcpy(key + sizeof leaf, leaf->name, sizeof leaf->name);
    return ls_map_at(&p->context->leafs, key, sizeof key);
}

static void send_weight(const graph_pass *p, const description *d, uint64_t id, const struct ggml_tensor *leaf) {
    const bool repacked = is_repacked(p, leaf);
    uint64_t sample;
    if (ls_filter_weights() && repacked)
        note_repacked(leaf);
    if (ls_filter_weights() && !repacked)
        send_description(p, d, id, leaf, true);
    else
        ls_frame_weight(&d->node, id, !repacked && values_sample(p->api, leaf, &sample) ? &sample : NULL, NULL);
}

static void send_leaf(graph_pass *p, const struct ggml_tensor *leaf) {
    lockstep_role role = role_of(p, leaf);
    if (p->is_like && role != LOCKSTEP_ROLE_INPUT)
        return;
    uint64_t id = ls_frame_next_id();
    if (role != LOCKSTEP_ROLE_INPUT) {
        uint64_t *known = known_leaf(p, leaf);
        if (known == NULL)
            return;
        if (*known != 0) {
            map_set(&p->ids, leaf, *known);
            return;
        }
        *known = id;
    }
    description d;
    describe_leaf(&d, p, leaf, role);
    /* if another graph computed it, or filled it */
    const uint64_t producer = role == LOCKSTEP_ROLE_INPUT || role == LOCKSTEP_ROLE_STATE ? produced_as(root_of(leaf)) : 0;
    add_source(&d, producer);
    map_set(&p->ids, leaf, id);
    bool input = role == LOCKSTEP_ROLE_INPUT && p->wanted && (producer == 0 || ls_filter_observe() != LS_OBSERVE_INPUTS) &&
                 (ls_filter_input(leaf->name) || map_get(&p->wanted_leafs, leaf) != 0);
    if (role == LOCKSTEP_ROLE_WEIGHT)
        send_weight(p, &d, id, leaf);
    else
        send_description(p, &d, id, leaf, input);
}

static void send_leafs(graph_pass *p) {
    for (int n = 0; n < p->count; n++) {
        struct ggml_tensor *const *src = p->nodes[n].src;
        for (int i = 0; i < GGML_SOURCES; i++)
            if (src[i] != NULL && map_get(&p->indexes, src[i]) == 0 && map_get(&p->ids, src[i]) == 0)
                send_leaf(p, src[i]);
    }
}

/* -------------------------------------------------------------------- rows */

/* The tensors from which the rows of a pass are read. */
typedef struct row_sources {
    const struct ggml_tensor *tokens, *positions;
    int64_t count; /* of rows; multi-axis RoPE has several positions for each, of which the first is time */
} row_sources;

/* Token ids are the indexes of the embedding's rows; positions are the input of RoPE, or of a
 * table of learned positions. */
static row_sources find_rows(const graph_pass *p) {
    row_sources s = {0};
    for (int n = 0; n < p->count; n++) {
        const struct pass_node *node = &p->nodes[n];
        const struct ggml_tensor *table = node->src[0], *index = node->src[1];
        if (index == NULL || graph_pass_node(p, index) != NULL)
            continue;
        bool rows = node->kind->id == LS_OP_GET_ROWS && graph_pass_node(p, table) == NULL;
        bool position = strncmp(table->name, "pos", 3) == 0 || strstr(table->name, "position") != NULL ||
                        strncmp(index->name, "pos", 3) == 0;
        bool other = strstr(table->name, "type") != NULL;
        if (rows && !position && !other && s.tokens == NULL)
            s.tokens = index;
        if ((node->kind->id == LS_OP_ROPE || (rows && position)) && s.positions == NULL) {
            s.positions = index;
            s.count = rows ? index->ne[0] : node->tensor->ne[2];
        }
    }
    if (s.tokens != NULL)
        s.count = s.tokens->ne[0];
    return s;
}

/* NULL if there are none; the caller frees them. */
static int32_t *read_ids(const graph_pass *p, const struct ggml_tensor *t, size_t count) {
    int32_t *values = t != NULL ? malloc((count + 1) * sizeof *values) : NULL;
    if (values != NULL && t->ne[0] >= (int64_t)count && values_read_i32(p->api, t, count, values))
        return values;
    free(values);
    return NULL;
}

/* The ids of rows whose embeddings the program computed elsewhere, for example from a picture. */
static int32_t *no_ids(size_t count) {
    int32_t *ids = malloc((count + 1) * sizeof *ids);
    for (size_t i = 0; ids != NULL && i < count; i++)
        ids[i] = LOCKSTEP_NO_TOKEN;
    return ids;
}

static bool writes_cache(const graph_pass *p) {
    for (int n = 0; n < p->count; n++)
        if (p->nodes[n].write)
            return true;
    return false;
}

/* Positions alone are those of a picture's patches, unless the graph fills a cache: then its rows are given as embeddings. */
static void send_pass(const graph_pass *p, const long *like) {
    const row_sources from = find_rows(p);
    const bool given = from.tokens == NULL && writes_cache(p), has_rows = from.tokens != NULL || given;
    const size_t count = has_rows ? (size_t)from.count : 0;
    int32_t *tokens = given ? no_ids(count) : read_ids(p, from.tokens, count);
    int32_t *positions = has_rows ? read_ids(p, from.positions, count) : NULL;
    lockstep_rows rows = {.count = count, .tokens = tokens, .positions = positions};
    ls_frame_pass_begin(&(ls_pass_event){.pass = p->number, .context = (int)p->context->number, .nodes = p->count, .rows = &rows, .like = like});
    free(tokens);
    free(positions);
}

/* --------------------------------------------------------- the same graph again */

static uint64_t mixed(uint64_t hash, uint64_t value) {
    hash = (hash ^ value) * 0x9e3779b97f4a7c15u;
    return hash ^ hash >> 29;
}

static uint64_t mixed_bytes(uint64_t hash, const void *bytes, size_t count) {
    for (size_t i = 0; i < count; i++)
        hash = mixed(hash, ((const uint8_t *)bytes)[i]);
    return hash;
}

static uint64_t hash_tensor(const graph_pass *p, uint64_t hash, const struct ggml_tensor *t) {
    hash = mixed_bytes(hash, t->name, strnlen(t->name, sizeof t->name));
    hash = mixed_bytes(hash, t->ne, sizeof t->ne);
    hash = mixed_bytes(hash, t->nb, sizeof t->nb);
    hash = mixed_bytes(hash, t->op_params, sizeof t->op_params);
    hash = mixed(hash, (uint64_t)t->type);
    hash = mixed(hash, t->view_src != NULL ? t->view_offs : 0);
    hash = mixed(hash, map_get(&p->indexes, t->view_src));
    return mixed(hash, map_get(&p->indexes, t) == 0 ? (uint64_t)role_of(p, t) : 0);
}

/* What the lines of the graph say, but for ids: the same for the same graph. */
static uint64_t hash_graph(const graph_pass *p) {
    uint64_t hash = (uint64_t)p->count;
    for (int n = 0; n < p->count; n++) {
        const struct pass_node *node = &p->nodes[n];
        hash = mixed_bytes(hash_tensor(p, hash, node->tensor), node->op, strlen(node->op));
        for (int i = 0; i < GGML_SOURCES; i++) {
            const uint64_t index = node->src[i] != NULL ? map_get(&p->indexes, node->src[i]) : 0;
            hash = mixed(hash, index != 0 ? index : UINT64_MAX);
            if (node->src[i] != NULL && index == 0)
                hash = hash_tensor(p, hash, node->src[i]);
        }
    }
    return hash;
}

/* Graphs that read each other's results are never the same again, because the ids of these differ. */
static bool reads_other_graphs(const graph_pass *p) {
    for (int n = 0; n < p->count; n++)
        for (int i = 0; i < GGML_SOURCES; i++) {
            const struct ggml_tensor *t = p->nodes[n].src[i];
            if (t != NULL && map_get(&p->indexes, t) == 0 && role_of(p, t) == LOCKSTEP_ROLE_INPUT && produced_as(root_of(t)) != 0)
                return true;
        }
    return false;
}

static atomic_bool graphs_are_chained; /* in this process */

/* An earlier pass with the same graph. Remembers this one's where there is none. */
static bool find_like(graph_pass *p, long *out_pass) {
    if (ls_filter_observe() != LS_OBSERVE_INPUTS || !p->wanted)
        return false;
    if (reads_other_graphs(p))
        graphs_are_chained = true;
    const uint64_t hash = hash_graph(p);
    uint64_t *known = graphs_are_chained ? NULL : ls_map_at(&p->context->shapes, (const char *)&hash, sizeof hash);
    if (known == NULL)
        return false;
    *out_pass = (long)*known - 1;
    if (*known == 0)
        *known = (uint64_t)p->number + 1;
    return *out_pass >= 0;
}

/* -------------------------------------------------------------------- pass */

static bool keeps(const graph_pass *p, const struct pass_node *node) {
    char name[NAME_MAX_BYTES];
    const struct ggml_tensor *t = node->tensor;
    if (!p->wanted || node->write || (node->view && !ls_filter_has_names()))
        return false;
    switch (ls_filter_observe()) {
    case LS_OBSERVE_OUTPUTS:
        if (!is_output(t))
            return false;
        break;
    case LS_OBSERVE_NAMED:
        if (is_auto_name(t->name))
            return false;
        break;
    case LS_OBSERVE_INPUTS:
        return false;
    case LS_OBSERVE_LAST:
        return node == &p->nodes[p->count - 1];
    case LS_OBSERVE_ALL:
        break;
    }
    write_name(p, t, node->op, name);
    return ls_filter_tensor(name, node->op, node->layer);
}

/* Marks the sources of a kept node, up to `levels` levels up, and inputs among leafs. A view of a
 * computed tensor doesn't count as a level; a view of a cache does, because a cache has no values. */
static void keep_sources(graph_pass *p, const struct pass_node *node, int levels) {
    for (int i = 0; i < GGML_SOURCES && levels > 0; i++) {
        if (node->src[i] == NULL)
            continue;
        struct pass_node *source = graph_pass_node(p, node->src[i]);
        if (source == NULL) {
            map_set(&p->wanted_leafs, node->src[i], 1);
            continue;
        }
        bool passed = source->view && graph_pass_node(p, root_of(node->src[i])) != NULL;
        source->is_source = source->is_source || (!passed && !source->keep && !source->write);
        keep_sources(p, source, levels - !passed);
    }
}

/* ggml's names of operations are constants, so each pointer is looked up only once. */
static const ls_op *kind_of(graph_pass *p, const char *op) {
    uint64_t known = map_get(&p->context->kinds, op);
    if (known == 0)
        map_set(&p->context->kinds, op, known = (uint64_t)ls_op_find(op)->id + 1);
    return ls_op_at((ls_op_id)(known - 1));
}

/* Newer engines keep branches in a graph that this pass does not compute, so that the graph stays the same: there, what is
 * computed is flagged. Elsewhere no node is. */
static bool flags_computed(const graph_pass *p, void *graph, int count) {
    for (int n = 0; n < count; n++)
        if (p->api->graph_node(graph, n)->flags & GGML_FLAG_COMPUTE)
            return true;
    return false;
}

/* Lists the nodes that will be computed. */
static void list_nodes(graph_pass *p, void *graph, int count) {
    const bool some = flags_computed(p, graph, count);
    for (int n = 0; n < count; n++) {
        struct ggml_tensor *t = p->api->graph_node(graph, n);
        if (some && (t->flags & GGML_FLAG_COMPUTE) == 0)
            continue;
        struct pass_node *node = &p->nodes[p->count++];
        const char *op = p->api->op_desc(t);
        const ls_op *kind = kind_of(p, op);
        *node = (struct pass_node){.tensor = t, .place = n, .op = op, .kind = kind, .view = kind->role == LS_OP_ROLE_VIEW};
        for (int i = 0; i < GGML_SOURCES; i++)
            node->src[i] = copies_original(&p->context->copies, t->src[i]);
        map_set(&p->indexes, t, (uint64_t)p->count);
    }
}

static void classify_nodes(graph_pass *p) {
    for (int n = 0; n < p->count; n++) {
        struct pass_node *node = &p->nodes[n];
        struct ggml_tensor *root = node->tensor->view_src;
        node->layer = node_layer(p, node);
        /* writes into a tensor that no node of this graph computes: a cache */
        node->write = !node->view && root != NULL && graph_pass_node(p, root) == NULL;
        node->keep = keeps(p, node);
    }
    for (int n = 0; p->wanted && ls_filter_sources() > 0 && n < p->count; n++)
        if (p->nodes[n].keep)
            keep_sources(p, &p->nodes[n], ls_filter_sources());
    for (int n = 0; n < p->count; n++)
        p->nodes[n].keep = p->nodes[n].keep || p->nodes[n].is_source;
}

bool graph_pass_begin(graph_pass *p, const ggml_api *api, graph_context *context, void *sched, void *graph) {
    int count = api->graph_n_nodes(graph);
    *p = (graph_pass){.api = api, .context = context, .sched = sched};
    p->nodes = count > 0 ? calloc((size_t)count, sizeof *p->nodes) : NULL;
    if (p->nodes == NULL)
        return false;
    p->number = ls_channel_next_pass();
    p->wanted = ls_filter_pass(p->number);
    list_nodes(p, graph, count);
    classify_nodes(p);
    for (int n = 0; n < p->count; n++) /* before the leafs, whose roles depend on it */
        if (p->nodes[n].write && map_get(&context->writes, p->nodes[n].tensor->view_src) == 0) {
            context->number = context_of_cache(p->nodes[n].tensor->view_src, context->number);
            map_set(&context->writes, p->nodes[n].tensor->view_src, UINT64_MAX);
        }
    long like;
    p->is_like = find_like(p, &like);
    send_pass(p, p->is_like ? &like : NULL);
    send_leafs(p);
    for (int n = 0; n < p->count; n++) { /* never written before: there is no write to refer to yet */
        struct ggml_tensor *root = p->nodes[n].tensor->view_src;
        if (root != NULL && map_get(&context->writes, root) == UINT64_MAX)
            map_set(&context->writes, root, map_get(&p->ids, root));
    }
    return true;
}

void graph_pass_computed(graph_pass *p, struct pass_node *node) {
    int index = (int)(node - p->nodes);
    for (; p->next < index; p->next++)
        if (!p->nodes[p->next].sent && !p->nodes[p->next].keep)
            send_node(p, &p->nodes[p->next], false);
    if (!node->sent)
        send_node(p, node, true);
}

/* Sends the contents of caches after the pass, in lines of their own. */
static void send_caches(graph_pass *p) {
    ls_map sent = {0};
    for (int n = 0; n < p->count; n++)
        for (int i = 0; i < GGML_SOURCES; i++) {
            const struct ggml_tensor *leaf = p->nodes[n].src[i] != NULL ? root_of(p->nodes[n].src[i]) : NULL;
            if (leaf == NULL || graph_pass_node(p, leaf) != NULL || !is_state(p, leaf) || map_get(&sent, leaf) != 0)
                continue;
            description d;
            map_set(&sent, leaf, 1);
            describe_leaf(&d, p, leaf, LOCKSTEP_ROLE_STATE);
            add_source(&d, map_get(&p->context->writes, leaf));
            send_description(p, &d, ls_frame_next_id(), leaf, true);
        }
    ls_map_done(&sent);
}

void graph_pass_end(graph_pass *p) {
    for (int n = 0; n < p->count && !p->is_like; n++)
        if (!p->nodes[n].sent)
            send_node(p, &p->nodes[n], false);
    if (p->wanted && ls_filter_caches())
        send_caches(p);
    ls_frame_pass_end(&(ls_pass_event){.pass = p->number, .context = LS_NO_CONTEXT});
    free(p->nodes);
    ls_map_done(&p->ids);
    ls_map_done(&p->indexes);
    ls_map_done(&p->writes);
    ls_map_done(&p->wanted_leafs);
}
