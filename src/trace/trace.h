/* A trace, read back: the graph that ran, its passes, and its values on demand.
 * Any other container is read as a trace of one pass without a graph. */
#ifndef LS_TRACE_TRACE_H
#define LS_TRACE_TRACE_H

#include <string.h>

#include "base/map.h"
#include "base/role.h"
#include "format/archive.h"
#include "format/segments.h"
#include "op/op.h"

#define LS_NONE SIZE_MAX

typedef struct ls_parameter {
    const char *key;
    double value;
} ls_parameter;

typedef struct ls_node {
    const char *name;
    const char *op;    /* as the engine spells it; "" where it has none */
    const ls_op *kind; /* what that is; never NULL */
    const char *dtype; /* in the engine */
    const char *where, *backend;
    const char *file;  /* relative to the trace; NULL when the values were not kept */
    uint64_t at, bytes; /* of the values' NPY in the file; `bytes` 0: it is all of the file */
    unsigned occurrence;
    int layer;
    lockstep_role role;
    size_t pass; /* index, or LS_NONE for a weight */
    int rank;
    uint64_t shape[LOCKSTEP_MAX_RANK];
    uint64_t elements;
    size_t *sources; /* indexes of nodes that came before */
    size_t source_count;
    size_t alias_of; /* index, or LS_NONE */
    ls_parameter *parameters;
    size_t parameter_count;
    size_t stored;     /* in the trace's archive, where it has one */
    const char *lost;  /* why the values are not there although they should be; or NULL */
} ls_node;

typedef struct ls_pass {
    size_t rows; /* 0: unknown */
    const int32_t *tokens, *positions, *sequences; /* each may be NULL */
    unsigned context, process;
    bool ended;
    size_t first_node; /* of its own, or LS_NONE so far */
    bool told_later; /* its positions come after its beginning */
} ls_pass;

typedef struct ls_trace {
    const char *path;
    bool is_graph;       /* false: a container without order, operations and passes */
    bool is_ordered;     /* its nodes are in the order in which they were computed, or written */
    bool complete;       /* has its last line */
    bool compiled_eagerly; /* a note says that compiled regions ran eagerly */
    bool is_torch;       /* recorded by the PyTorch hook */
    const char *only;    /* what a filter kept of the run, in words; NULL: it wasn't filtered */
    const char *engine, *version, *model, *device; /* never NULL, may be "" */
    ls_node *nodes;      /* in order of execution */
    size_t node_count;
    ls_pass *passes;
    size_t pass_count, ended_count;
    const char **notes;
    size_t note_count;
    uint64_t dropped;
    ls_segments segments; /* that nodes' values lie in, by their file */
    lockstep_archive *archive; /* of the values, where they are not in files of their own */
    /* Gives values that lie in memory, for a trace that is being fed; or NULL. */
    bool (*memory)(void *context, size_t node, ls_view *out_view);
    void *memory_context;
    ls_map kinds; /* spelling of an operation -> its row, + 1 */
    ls_arena arena;
} ls_trace;

/* A trace whose log is `log` (closed with it); `path` is where its files would be. */
lockstep_status ls_trace_open_log(const char *path, ls_source *log, ls_trace **out_trace, lockstep_error *error);
lockstep_status ls_trace_open(const char *path, ls_trace **out_trace, lockstep_error *error);
/* NULL is allowed. */
void ls_trace_close(ls_trace *trace);

/* A trace that grows line by line (without its newline), as it is recorded. The
 * arrays of the trace may move with each line. After a failure, no more lines. */
typedef struct ls_trace_feed ls_trace_feed;
lockstep_status ls_trace_feed_open(const char *path, ls_trace_feed **out_feed, ls_trace **out_trace, lockstep_error *error);
lockstep_status ls_trace_feed_line(ls_trace_feed *feed, const char *text, size_t length, lockstep_error *error);
/* The node of the line with this number; LS_NONE. */
size_t ls_trace_feed_node(const ls_trace_feed *feed, uint64_t i);
void ls_trace_feed_close(ls_trace_feed *feed); /* not the trace */

/* A node's values in memory; `hold` keeps them there until ls_hold_release. */
typedef struct ls_hold {
    ls_source *source; /* of this value alone; or NULL */
    void *copy;        /* the value's part of a file, read into memory; or NULL */
    bool shares;       /* its file holds others, too, and stays mapped */
    ls_view view;
} ls_hold;
lockstep_status ls_trace_hold(const ls_trace *trace, size_t node, ls_hold *out_hold, lockstep_error *error);
void ls_hold_release(ls_hold *hold);

/* Token ids, positions, ranks, flags; the quantized iq types begin like them. */
static inline bool ls_node_is_integer(const ls_node *node) {
    return (*node->dtype == 'i' || *node->dtype == 'u' || strcmp(node->dtype, "bool") == 0) && strncmp(node->dtype, "iq", 2) != 0;
}
/* Has values that can be held. */
static inline bool ls_node_has_values(const ls_node *node) { return node->file != NULL; }
/* NULL when the node has no such parameter. */
const double *ls_node_parameter(const ls_node *node, const char *key);

#endif
