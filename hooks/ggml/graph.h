/* Records one computation of a graph: a pass. */
#ifndef LS_HOOKS_GRAPH_H
#define LS_HOOKS_GRAPH_H

#include "base/map.h"
#include "ggml_abi.h"
#include "op/op.h"

/* What outlives a pass: weights, caches and counters of a scheduler or back end. */
typedef struct graph_context {
    unsigned number;
    ls_map leafs;  /* (pointer, name) of a weight or a cache -> id */
    ls_map writes; /* pointer of a cache -> id of the last write into it */
    ls_map kinds;  /* pointer of an operation's name -> its row in the table of operations + 1 */
    ls_map shapes; /* hash of a graph whose lines were sent -> number of its pass + 1; kept where only graphs are recorded */
    ls_map copies; /* made by the scheduler in the graph that it allocated last (copies.h) */
} graph_context;

typedef struct graph_pass {
    const ggml_api *api;
    graph_context *context;
    void *sched;   /* the scheduler that computes it, or NULL */
    long number;   /* of the pass in this process */
    bool wanted;   /* values are recorded, not only lines */
    bool is_like;  /* an earlier pass has the same graph: only the inputs are sent */
    int count;     /* of the nodes that are computed */
    int next;      /* the lines of nodes before this one were sent */
    struct pass_node {
        struct ggml_tensor *tensor;
        struct ggml_tensor *src[GGML_SOURCES]; /* the program's originals, not the scheduler's copies */
        const char *op;
        const ls_op *kind;
        uint64_t id;
        int place; /* among all nodes of the graph */
        int layer;
        bool view, write, keep, sent;
        bool is_source;  /* of a kept node (--sources) */
        bool app_asked; /* the program's own callback wants it */
    } *nodes;
    ls_map ids;     /* pointer -> id, of tensors that have a line in this pass */
    ls_map indexes; /* pointer of a node -> its index + 1 */
    ls_map wanted_leafs; /* pointers of inputs that are such sources */
    ls_map writes;  /* pointer of a node that was overwritten in place -> id of the last write */
} graph_pass;

/* Hold what all graphs share while the process forks, so that the child finds it whole and unlocked. */
void graph_hold(void);
void graph_release(void);
/* Sends the lines of the pass, its weights and its inputs, and the inputs' values. False, with
 * nothing to undo, if the pass can't be recorded. */
bool graph_pass_begin(graph_pass *pass, const ggml_api *api, graph_context *context, void *sched, void *graph);
/* NULL for a tensor that is not a node of this graph. */
struct pass_node *graph_pass_node(const graph_pass *pass, const struct ggml_tensor *tensor);
/* Call when a node has been computed. Sends the lines of earlier nodes that have no values,
 * then its line and values. */
void graph_pass_computed(graph_pass *pass, struct pass_node *node);
/* Sends the remaining lines. */
void graph_pass_end(graph_pass *pass);

#endif
