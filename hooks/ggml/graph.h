/* One computation of one graph, recorded: a pass. */
#ifndef LS_HOOKS_GRAPH_H
#define LS_HOOKS_GRAPH_H

#include "base/map.h"
#include "ggml_abi.h"
#include "op/op.h"

/* What outlives a pass: a scheduler's or backend's weights, caches and counters. */
typedef struct graph_context {
    unsigned number;
    ls_map leafs;  /* (pointer, name) of a weight or a cache -> id */
    ls_map writes; /* pointer of a cache -> id of the last write into it */
    ls_map kinds;  /* pointer of an operation's name -> its row in the table of operations, + 1 */
    ls_map copies; /* of the scheduler, in the graph that it allocated last (copies.h) */
} graph_context;

typedef struct graph_pass {
    const ggml_api *api;
    graph_context *context;
    void *sched;   /* that computes it, or NULL */
    long number;   /* of the process */
    bool wanted;   /* its values, not only its lines */
    int count;     /* of nodes */
    int next;      /* nodes before this one have their lines */
    struct pass_node {
        struct ggml_tensor *tensor;
        struct ggml_tensor *src[GGML_SOURCES]; /* the program's own, where the scheduler put copies */
        const char *op;
        const ls_op *kind;
        uint64_t id;
        int layer;
        bool view, write, keep, sent;
        bool is_source;  /* of something that is kept: --sources */
        bool app_asked; /* the program's own callback wants it */
    } *nodes;
    ls_map ids;     /* pointer -> id, of what has a line in this pass */
    ls_map indexes; /* pointer of a node -> its index + 1 */
    ls_map wanted_leafs; /* pointers of inputs that are such sources */
    ls_map writes;  /* pointer of a node that was computed over in place -> id of the last */
} graph_pass;

/* Sends the pass's line, its weights' and inputs' lines, and the inputs' values.
 * False, with nothing to undo, when it can't be recorded. */
bool graph_pass_begin(graph_pass *pass, const ggml_api *api, graph_context *context, void *sched, void *graph);
/* NULL for a tensor that is no node of this graph. */
struct pass_node *graph_pass_node(const graph_pass *pass, const struct ggml_tensor *tensor);
/* A node has just been computed: sends its line and its values, after the lines of
 * earlier nodes that have no values. */
void graph_pass_computed(graph_pass *pass, struct pass_node *node);
/* Sends the remaining lines. */
void graph_pass_end(graph_pass *pass);

#endif
