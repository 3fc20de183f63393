#include "copies.h"

#include <stdlib.h>
#include <string.h>

struct graph_sources {
    int count;
    struct node_sources {
        const struct ggml_tensor *node; /* needed because the scheduler may reorder the nodes */
        struct ggml_tensor *src[GGML_SOURCES];
    } nodes[];
};

graph_sources *graph_sources_of(const ggml_api *api, void *graph) {
    int count = api->graph_n_nodes(graph);
    graph_sources *s = calloc(1, sizeof *s + (count > 0 ? (size_t)count : 0) * sizeof *s->nodes);
    for (int n = 0; s != NULL && n < count; n++) {
        struct ggml_tensor *node = api->graph_node(graph, n);
        s->nodes[s->count].node = node;
        memcpy(s->nodes[s->count++].src, node->src, sizeof node->src);
    }
    return s;
}

void copies_learn(ls_map *copies, graph_sources *before) {
    ls_map_done(copies);
    *copies = (ls_map){0};
    for (int n = 0; before != NULL && n < before->count; n++)
        for (int i = 0; i < GGML_SOURCES; i++) {
            const struct ggml_tensor *now = before->nodes[n].node->src[i], *then = before->nodes[n].src[i];
            uint64_t *at = now != NULL && now != then ? ls_map_at(copies, (const char *)&now, sizeof now) : NULL;
            if (at != NULL)
                *at = (uint64_t)(uintptr_t)then;
        }
    free(before);
}

struct ggml_tensor *copies_original(const ls_map *copies, struct ggml_tensor *tensor) {
    const uint64_t *original = copies->count > 0 ? ls_map_find(copies, (const char *)&tensor, sizeof tensor) : NULL;
    return original != NULL && *original != 0 ? (struct ggml_tensor *)(uintptr_t)*original : tensor;
}
