#include "graph.h"

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/text.h"
#include "copies.h"
#include "names.h"
#include "wire/filters.h"
#include "wire/channel.h"
#include "values.h"

static _Atomic uint64_t next_id = 1;
static _Atomic long next_pass;

typedef enum leaf_role { LEAF_INPUT, LEAF_WEIGHT, LEAF_STATE } leaf_role;

static struct ggml_tensor *root_of(const struct ggml_tensor *t) {
    return t->view_src != NULL ? t->view_src : (struct ggml_tensor *)(uintptr_t)t;
}

/* What any graph of this process computed, or wrote into a cache: another may read it.
 * (tensor, name) -> id of the last line. */
static pthread_mutex_t produced_lock = PTHREAD_MUTEX_INITIALIZER;
static ls_map produced;

typedef struct produced_key {
    const struct ggml_tensor *tensor;
    char name[sizeof ((struct ggml_tensor *)0)->name];
} produced_key;

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

struct graph_node *graph_pass_node(const graph_pass *pass, const struct ggml_tensor *tensor) {
    uint64_t index = map_get(&pass->indexes, tensor);
    return index != 0 ? &pass->nodes[index - 1] : NULL;
}

/* The i-th tensor that the program gave an operation; NULL where there is none. */
static struct ggml_tensor *source_of(const graph_pass *pass, const struct ggml_tensor *tensor, int i) {
    const struct graph_node *node = graph_pass_node(pass, tensor);
    return node != NULL ? node->src[i] : tensor->src[i];
}

/* ------------------------------------------------------------------- names */

/* A node without a name of its own is called after its weight, or else after its
 * operation and what that was applied to. */
static void write_name(const graph_pass *p, const struct ggml_tensor *t, const char *op, char *out) {
    const struct ggml_tensor *inner = t;
    int depth = 0;
    out[0] = '\0';
    size_t used = 0;
    for (; depth < 3 && is_auto_name(inner->name); depth++) {
        const struct ggml_tensor *weight = NULL, *source;
        for (int i = 0; i < GGML_SOURCES && (source = source_of(p, inner, i)) != NULL && weight == NULL; i++)
            if (source->op == 0 && strstr(source->name, "weight") != NULL)
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
    if (is_auto_name(inner->name) && strstr(out, " @") == NULL) { /* nothing near has a name */
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

static int node_layer(const graph_pass *p, const struct graph_node *node) {
    const struct ggml_tensor *t = node->tensor;
    int layer = layer_of_name(t->name);
    if (layer >= 0 || (!is_auto_name(t->name) && strstr(t->name, " (") == NULL))
        return layer;
    for (int i = 0; i < GGML_SOURCES && node->src[i] != NULL; i++) {
        const struct graph_node *source = graph_pass_node(p, node->src[i]);
        int from = source != NULL ? source->layer : layer_of_name(node->src[i]->name);
        layer = from > layer ? from : layer;
    }
    return layer;
}

/* ------------------------------------------------------------------- lines */

static float parameter(const struct ggml_tensor *t, int index) {
    float value;
    memcpy(&value, &t->op_params[index], sizeof value);
    return value;
}

static void add_float(ls_text *line, const char *key, const struct ggml_tensor *t, int index) {
    float value = parameter(t, index);
    if (isfinite(value))
        ls_text_printf(line, "%s\"%s\":%.9g", line->data[line->length - 1] == '{' ? "" : ",", key, (double)value);
}

/* The parameters whose meaning has been the same in every version. */
static void add_parameters(ls_text *line, const struct ggml_tensor *t, const char *op) {
    ls_text_printf(line, ",\"params\":{");
    if (strcmp(op, "RMS_NORM") == 0 || strcmp(op, "NORM") == 0 || strcmp(op, "L2_NORM") == 0) {
        add_float(line, "eps", t, 0);
    } else if (strcmp(op, "ROPE") == 0) {
        ls_text_printf(line, "\"n_dims\":%d,\"mode\":%d", t->op_params[1], t->op_params[2]);
        add_float(line, "freq_base", t, 5);
        add_float(line, "freq_scale", t, 6);
        add_float(line, "attn_factor", t, 8);
    } else if (strcmp(op, "SOFT_MAX") == 0) {
        add_float(line, "scale", t, 0);
        add_float(line, "max_bias", t, 1);
    } else if (strcmp(op, "SCALE") == 0) {
        add_float(line, "scale", t, 0);
    } else if (strcmp(op, "FLASH_ATTN_EXT") == 0) {
        add_float(line, "scale", t, 0);
        add_float(line, "max_bias", t, 1);
        add_float(line, "logit_softcap", t, 2);
    }
    ls_text_printf(line, "}");
}

static void add_shape(ls_text *line, const struct ggml_tensor *t) {
    int rank = 4;
    while (rank > 1 && t->ne[rank - 1] == 1)
        rank--;
    ls_text_printf(line, ",\"shape\":[");
    for (int i = rank - 1; i >= 0; i--)
        ls_text_printf(line, "%lld%s", (long long)t->ne[i], i > 0 ? "," : "]");
}

static void begin_line(ls_text *line, const graph_pass *p, uint64_t id, const char *name,
                       const struct ggml_tensor *t, const char *op, int layer) {
    ls_text_clear(line);
    ls_text_printf(line, "{\"event\":\"tensor\",\"id\":%llu,\"pass\":%ld,\"layer\":%d,\"name\":",
                   (unsigned long long)id, p->number, layer);
    ls_text_json(line, name, strlen(name));
    ls_text_printf(line, ",\"op\":\"%s\",\"dtype\":\"%s\"", op, p->api->type_name(t->type));
    add_shape(line, t);
}

/* The back end that computes a node, NULL where it isn't known. Its buffer doesn't tell: the
 * CPU computes into memory that a GPU's driver gave ("CUDA_Host"). */
static const char *computed_on(const graph_pass *p, struct ggml_tensor *node) {
    bool known = p->sched != NULL && p->api->backend_sched_get_tensor_backend != NULL && p->api->backend_name != NULL;
    void *backend = known ? p->api->backend_sched_get_tensor_backend(p->sched, node) : NULL;
    return backend != NULL ? p->api->backend_name(backend) : NULL;
}

static void add_backend(ls_text *line, const graph_pass *p, const struct ggml_tensor *t) {
    void *buffer = root_of(t)->buffer;
    const struct graph_node *node = graph_pass_node(p, t);
    const char *name = node != NULL ? computed_on(p, node->tensor) : NULL;
    if (name == NULL && buffer != NULL)
        name = p->api->backend_buffer_name(buffer);
    if (name != NULL) {
        ls_text_printf(line, ",\"backend\":");
        ls_text_json(line, name, strlen(name));
    }
}

/* --------------------------------------------------------- what it is made of */

static void add_source(ls_text *line, uint64_t *sent, int *count, uint64_t id) {
    for (int i = 0; i < *count; i++)
        if (sent[i] == id)
            return;
    if (id == 0)
        return;
    ls_text_printf(line, "%s%llu", *count > 0 ? "," : "", (unsigned long long)id);
    sent[(*count)++] = id;
}

/* Edges run through memory, too: whoever reads a cache, or a tensor that was
 * computed over in place, depends on the last write to it. Writes form a chain. */
static void add_sources(ls_text *line, graph_pass *p, const struct graph_node *node) {
    uint64_t sent[3 * GGML_SOURCES + 1];
    int count = 0;
    ls_text_printf(line, ",\"src\":[");
    for (int i = 0; i < GGML_SOURCES; i++) {
        if (node->src[i] == NULL)
            continue;
        add_source(line, sent, &count, map_get(&p->ids, node->src[i]));
        add_source(line, sent, &count, map_get(&p->context->writes, root_of(node->src[i])));
        add_source(line, sent, &count, map_get(&p->writes, root_of(node->src[i])));
    }
    if (node->write)
        add_source(line, sent, &count, map_get(&p->context->writes, root_of(node->tensor)));
    ls_text_printf(line, "]");
}

static bool is_output(const struct ggml_tensor *t) {
    return (t->flags & GGML_FLAG_OUTPUT) != 0 || strncmp(t->name, "l_out-", 6) == 0 || strncmp(t->name, "result_", 7) == 0;
}

/* What the recorder says it should have been, if it says anything. */
static void resync(const graph_pass *p, const struct graph_node *node) {
    size_t count = values_bytes(p->api, node->tensor);
    void *bytes = ls_channel_resync(node->id, count);
    if (bytes == NULL)
        return;
    values_write(p->api, node->tensor, bytes);
    munmap(bytes, count);
}

static void send_node(graph_pass *p, struct graph_node *node, bool with_values) {
    char name[NAME_MAX_BYTES];
    ls_text line = {0};
    const struct ggml_tensor *t = node->tensor;
    node->sent = true;
    node->id = atomic_fetch_add(&next_id, 1);
    write_name(p, t, node->op, name);
    begin_line(&line, p, node->id, name, t, node->op, node->layer);
    add_sources(&line, p, node);
    add_parameters(&line, t, node->op);
    if (node->view)
        ls_text_printf(&line, ",\"role\":\"view\"");
    else if (node->write)
        ls_text_printf(&line, ",\"role\":\"write\"");
    add_backend(&line, p, t);
    ls_text_printf(&line, "}");
    map_set(&p->ids, t, node->id);
    if (!node->view)
        remember_produced(node->write ? t->view_src : t, node->id);
    if (!node->view && t->view_src != NULL)
        map_set(node->write ? &p->context->writes : &p->writes, t->view_src, node->id);
    if (!line.failed && with_values) {
        if (values_send(p->api, t, line.data, line.length) && !node->view && ls_filter_resync(name, strncmp(t->name, "result_norm", 11) != 0 && is_output(t)))
            resync(p, node);
    } else if (!line.failed)
        ls_channel_send(line.data, line.length, NULL, 0);
    ls_text_done(&line);
}

/* ------------------------------------------------------------------- leafs */

static bool is_state(const graph_pass *p, const struct ggml_tensor *leaf) {
    return strncmp(leaf->name, "cache_", 6) == 0 || map_get(&p->context->writes, leaf) != 0;
}

static leaf_role role_of(const graph_pass *p, const struct ggml_tensor *leaf) {
    void *buffer = root_of(leaf)->buffer;
    if (is_state(p, leaf))
        return LEAF_STATE;
    if (leaf->flags & GGML_FLAG_INPUT)
        return LEAF_INPUT;
    if (buffer != NULL && p->api->backend_buffer_get_usage(buffer) == GGML_USAGE_WEIGHTS)
        return LEAF_WEIGHT;
    size_t length = strlen(leaf->name);
    bool named_so = (length > 7 && strcmp(leaf->name + length - 7, ".weight") == 0) ||
                    (length > 5 && strcmp(leaf->name + length - 5, ".bias") == 0);
    return named_so ? LEAF_WEIGHT : LEAF_INPUT;
}

/* CPU buffers of other layouts hold weights repacked for their kernels: such bytes are
 * not what the type says. */
static bool is_repacked(const graph_pass *p, const struct ggml_tensor *leaf) {
    void *buffer = root_of(leaf)->buffer;
    const char *name = buffer != NULL ? p->api->backend_buffer_name(buffer) : NULL;
    return name != NULL && (strstr(name, "REPACK") != NULL || strstr(name, "AARCH64") != NULL || strstr(name, "AMX") != NULL);
}

static void note_repacked(const struct ggml_tensor *leaf) {
    char note[160];
    snprintf(note, sizeof note, "%s lies repacked for the engine's kernels: its values were not recorded", leaf->name);
    ls_channel_note(note);
}

static void send_leaf(graph_pass *p, const struct ggml_tensor *leaf) {
    static const char *const names[] = {"input", "weight", "state"};
    leaf_role role = role_of(p, leaf);
    uint64_t id;
    if (role != LEAF_INPUT) {
        char key[sizeof leaf + sizeof leaf->name];
        memcpy(key, &leaf, sizeof leaf);
        memcpy(key + sizeof leaf, leaf->name, sizeof leaf->name);
        uint64_t *known = ls_map_at(&p->context->leafs, key, sizeof key);
        if (known == NULL)
            return;
        if (*known != 0) {
            map_set(&p->ids, leaf, *known);
            return;
        }
        *known = id = atomic_fetch_add(&next_id, 1);
    } else {
        id = atomic_fetch_add(&next_id, 1);
    }
    ls_text line = {0};
    begin_line(&line, p, id, leaf->name, leaf, "NONE", layer_of_name(leaf->name));
    uint64_t from = role == LEAF_INPUT ? produced_as(root_of(leaf)) : 0;
    ls_text_printf(&line, ",\"role\":\"%s\"", names[role]);
    if (from != 0) /* by another graph */
        ls_text_printf(&line, ",\"src\":[%llu]", (unsigned long long)from);
    add_backend(&line, p, leaf);
    ls_text_printf(&line, "}");
    map_set(&p->ids, leaf, id);
    bool input = role == LEAF_INPUT && p->wanted &&
                 (ls_filter_input(leaf->name) || map_get(&p->wanted_leafs, leaf) != 0);
    bool weight = role == LEAF_WEIGHT && ls_filter_weights(), repacked = weight && is_repacked(p, leaf);
    if (repacked)
        note_repacked(leaf);
    if (!line.failed && (input || (weight && !repacked)))
        values_send(p->api, leaf, line.data, line.length);
    else if (!line.failed)
        ls_channel_send(line.data, line.length, NULL, 0);
    ls_text_done(&line);
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

/* Token ids index the embedding's rows; positions are what RoPE, or a table of
 * learned positions, is given. */
static void find_rows(const graph_pass *p, const struct ggml_tensor **out_tokens,
                      const struct ggml_tensor **out_positions) {
    *out_tokens = *out_positions = NULL;
    for (int n = 0; n < p->count; n++) {
        const struct ggml_tensor *table = p->nodes[n].src[0], *index = p->nodes[n].src[1];
        if (index == NULL || graph_pass_node(p, index) != NULL)
            continue;
        bool rows = strcmp(p->nodes[n].op, "GET_ROWS") == 0 && graph_pass_node(p, table) == NULL;
        bool position = strncmp(table->name, "pos", 3) == 0 || strstr(table->name, "position") != NULL ||
                        strncmp(index->name, "pos", 3) == 0;
        bool other = strstr(table->name, "type") != NULL;
        if (rows && !position && !other && *out_tokens == NULL)
            *out_tokens = index;
        if ((strcmp(p->nodes[n].op, "ROPE") == 0 || (rows && position)) && *out_positions == NULL)
            *out_positions = index;
    }
}

static void add_row_values(ls_text *line, const graph_pass *p, const char *key,
                           const struct ggml_tensor *t, size_t count) {
    int32_t *values = t != NULL ? malloc((count + 1) * sizeof *values) : NULL;
    if (values != NULL && values_read_i32(p->api, t, count, values)) {
        ls_text_printf(line, ",\"%s\":[", key);
        for (size_t i = 0; i < count; i++)
            ls_text_printf(line, "%s%d", i > 0 ? "," : "", values[i]);
        ls_text_printf(line, "]");
    }
    free(values);
}

static void send_pass(const graph_pass *p) {
    const struct ggml_tensor *tokens, *positions;
    ls_text line = {0};
    find_rows(p, &tokens, &positions);
    ls_text_printf(&line, "{\"event\":\"pass\",\"pass\":%ld,\"context\":%u,\"nodes\":%d", p->number,
                   p->context->number, p->count);
    if (tokens != NULL)
        add_row_values(&line, p, "tokens", tokens, (size_t)tokens->ne[0]);
    if (positions != NULL) /* multi-axis RoPE has several positions a token: the first is time */
        add_row_values(&line, p, "positions", positions, (size_t)(tokens != NULL ? tokens : positions)->ne[0]);
    ls_text_printf(&line, "}");
    if (!line.failed)
        ls_channel_send(line.data, line.length, NULL, 0);
    ls_text_done(&line);
}

/* -------------------------------------------------------------------- pass */

static bool keeps(const graph_pass *p, const struct graph_node *node) {
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
    case LS_OBSERVE_LAST:
        return node == &p->nodes[p->count - 1];
    case LS_OBSERVE_ALL:
        break;
    }
    write_name(p, t, node->op, name);
    return ls_filter_tensor(name, node->op, node->layer);
}

/* The sources of what is kept, so many levels up; of leafs, the inputs. A view of what
 * is computed is no level of its own; one of a cache is all there is to see. */
static void keep_sources(graph_pass *p, const struct graph_node *node, int levels) {
    for (int i = 0; i < GGML_SOURCES && levels > 0; i++) {
        if (node->src[i] == NULL)
            continue;
        struct graph_node *source = graph_pass_node(p, node->src[i]);
        if (source == NULL) {
            map_set(&p->wanted_leafs, node->src[i], 1);
            continue;
        }
        bool passed = source->view && graph_pass_node(p, root_of(node->src[i])) != NULL;
        source->is_source = source->is_source || (!passed && !source->keep && !source->write);
        keep_sources(p, source, levels - !passed);
    }
}

static void index_nodes(graph_pass *p, void *graph) {
    for (int n = 0; n < p->count; n++) {
        struct ggml_tensor *t = p->api->graph_node(graph, n);
        const char *op = p->api->op_desc(t);
        p->nodes[n] = (struct graph_node){.tensor = t, .op = op, .view = is_view_op(op)};
        for (int i = 0; i < GGML_SOURCES; i++)
            p->nodes[n].src[i] = copies_original(&p->context->copies, t->src[i]);
        map_set(&p->indexes, t, (uint64_t)n + 1);
    }
    for (int n = 0; n < p->count; n++) {
        struct graph_node *node = &p->nodes[n];
        struct ggml_tensor *root = node->tensor->view_src;
        node->layer = node_layer(p, node);
        /* written into a tensor that no node of this graph computes: a cache */
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
    *p = (graph_pass){.api = api, .context = context, .sched = sched, .count = count};
    p->nodes = count > 0 ? calloc((size_t)count, sizeof *p->nodes) : NULL;
    if (p->nodes == NULL)
        return false;
    p->number = atomic_fetch_add(&next_pass, 1);
    p->wanted = ls_filter_pass(p->number);
    index_nodes(p, graph);
    for (int n = 0; n < count; n++) /* before the leafs: it makes their roles known */
        if (p->nodes[n].write && map_get(&context->writes, p->nodes[n].tensor->view_src) == 0)
            map_set(&context->writes, p->nodes[n].tensor->view_src, UINT64_MAX);
    send_pass(p);
    send_leafs(p);
    for (int n = 0; n < count; n++) { /* never written before: there is no write to name yet */
        struct ggml_tensor *root = p->nodes[n].tensor->view_src;
        if (root != NULL && map_get(&context->writes, root) == UINT64_MAX)
            map_set(&context->writes, root, map_get(&p->ids, root));
    }
    return true;
}

void graph_pass_computed(graph_pass *p, struct graph_node *node) {
    int index = (int)(node - p->nodes);
    for (; p->next < index; p->next++)
        if (!p->nodes[p->next].sent && !p->nodes[p->next].keep)
            send_node(p, &p->nodes[p->next], false);
    if (!node->sent)
        send_node(p, node, true);
}

/* Caches as the pass leaves them: lines of their own. */
static void send_caches(graph_pass *p) {
    ls_map sent = {0};
    for (int n = 0; n < p->count; n++)
        for (int i = 0; i < GGML_SOURCES; i++) {
            const struct ggml_tensor *leaf = p->nodes[n].src[i] != NULL ? root_of(p->nodes[n].src[i]) : NULL;
            if (leaf == NULL || graph_pass_node(p, leaf) != NULL || !is_state(p, leaf) || map_get(&sent, leaf) != 0)
                continue;
            ls_text line = {0};
            map_set(&sent, leaf, 1);
            begin_line(&line, p, atomic_fetch_add(&next_id, 1), leaf->name, leaf, "NONE", layer_of_name(leaf->name));
            ls_text_printf(&line, ",\"role\":\"state\",\"src\":[%llu]", (unsigned long long)map_get(&p->context->writes, leaf));
            add_backend(&line, p, leaf);
            ls_text_printf(&line, "}");
            if (!line.failed)
                values_send(p->api, leaf, line.data, line.length);
            ls_text_done(&line);
        }
    ls_map_done(&sent);
}

void graph_pass_end(graph_pass *p) {
    for (int n = 0; n < p->count; n++)
        if (!p->nodes[n].sent)
            send_node(p, &p->nodes[n], false);
    if (p->wanted && ls_filter_caches())
        send_caches(p);
    char line[80];
    int length = snprintf(line, sizeof line, "{\"event\":\"pass_end\",\"pass\":%ld}", p->number);
    ls_channel_send(line, (size_t)length, NULL, 0);
    free(p->nodes);
    ls_map_done(&p->ids);
    ls_map_done(&p->indexes);
    ls_map_done(&p->writes);
    ls_map_done(&p->wanted_leafs);
}

void graph_announce(const ggml_api *api) {
    char line[256];
    int length = snprintf(line, sizeof line,
                          "{\"event\":\"start\",\"engine\":\"%s\",\"engine_version\":\"%s\"}",
                          api->engine, api->engine_version);
    ls_channel_send(line, (size_t)length, NULL, 0);
}
