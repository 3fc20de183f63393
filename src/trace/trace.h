/* Reads a trace: the graph that ran, its passes, and its values on demand. Any other
 * container is read as a trace of one pass without a graph. */
#ifndef LS_TRACE_TRACE_H
#define LS_TRACE_TRACE_H

#include <string.h>

#include "base/map.h"
#include "base/role.h"
#include "format/archive.h"
#include "format/segments.h"
#include "op/op.h"

#define LS_NONE SIZE_MAX

/* A number, or true or false; a text; or a list of numbers. */
typedef struct ls_parameter {
    const char *key;
    double value;      /* 0 for the others */
    const char *text;  /* NULL for the others */
    const double *items; /* NULL for the others */
    size_t count;
} ls_parameter;

/* Whose operation a node is, and so what its operands and parameters mean. */
typedef enum ls_dialect { LS_DIALECT_OTHER, LS_DIALECT_GGML, LS_DIALECT_ATEN } ls_dialect;

typedef struct ls_node {
    const char *name;
    const char *op;    /* the engine's spelling; "" if it has none */
    const ls_op *kind; /* its row in the table of operations; never NULL */
    ls_dialect dialect;
    bool is_aside;     /* computed by the recorder, not by the program */
    const char *dtype; /* in the engine */
    const char *where, *backend;
    const char *file;  /* relative to the trace; NULL if the values were not kept */
    uint64_t at, bytes; /* of the values' NPY in the file; `bytes` 0 means the whole file */
    unsigned occurrence;
    int layer;
    lockstep_role role;
    size_t pass; /* index, or LS_NONE for a weight */
    int rank;
    uint64_t shape[LOCKSTEP_MAX_RANK];
    uint64_t elements;
    size_t *sources; /* indexes of earlier nodes */
    size_t source_count;
    size_t alias_of; /* index, or LS_NONE */
    size_t *operands; /* of each slot: index, or LS_NONE for an empty one; the sources, where the line says nothing else */
    size_t operand_count;
    size_t view_of;   /* index of the tensor in whose memory this one lies, or LS_NONE */
    uint64_t offset;  /* bytes from its first element to this one's */
    int64_t *strides; /* bytes, per axis; NULL where the elements are contiguous */
    ls_parameter *parameters;
    size_t parameter_count;
    size_t stored;     /* index in the trace's archive, if it has one */
    const char *lost;  /* why expected values are missing; or NULL */
    uint64_t xxh3;     /* of the values as stored; 0 if unknown */
    const uint64_t *sample; /* of a weight: the hash of a sample of its bytes (base/sampled.h); NULL if unknown */
} ls_node;

/* A file with weights that the run opened. */
typedef struct ls_model_file {
    const char *path;  /* absolute */
    uint64_t bytes;    /* 0 if unknown */
    uint64_t modified; /* nanoseconds since 1970 */
} ls_model_file;

typedef struct ls_pass {
    size_t rows; /* 0: unknown */
    const int32_t *tokens, *positions, *sequences; /* each may be NULL */
    unsigned context, process;
    bool ended;
    size_t first_node; /* the first that belongs to it; LS_NONE if none so far */
    size_t end_node;   /* behind the last that does */
    size_t like;       /* an earlier pass with the same graph, whose lines stand for this one's; LS_NONE */
    bool told_later; /* its positions are recorded after it has begun */
} ls_pass;

typedef struct ls_trace {
    const char *path;
    bool is_graph;       /* false for a container without order, operations and passes */
    bool is_ordered;     /* its nodes are in the order in which they were computed or written */
    bool is_graph_only;  /* it was recorded without anything that is computed */
    bool complete;       /* the log has its last line */
    bool compiled_eagerly; /* a note says that compiled regions ran eagerly */
    bool is_torch;       /* recorded by the PyTorch hook */
    const char *only;    /* which part of the run a filter kept, in words; NULL without filters */
    const char *engine, *version, *model, *device; /* never NULL, may be "" */
    const char *started; /* when it was recorded, as ISO 8601; NULL if unknown */
    const char **command; /* that was recorded */
    size_t command_count;
    ls_node *nodes;      /* in order of execution */
    size_t node_count;
    ls_pass *passes;
    size_t pass_count, ended_count;
    const char **notes;
    size_t note_count;
    ls_model_file *model_files; /* in the order in which they were opened */
    size_t model_file_count;
    uint64_t dropped;
    ls_segments segments; /* files with the nodes' values */
    lockstep_archive *archive; /* has the values, if they are not in files of their own */
    /* NULL, or for a trace that is being fed, gets values from memory. */
    bool (*memory)(void *context, size_t node, ls_view *out_view);
    void *memory_context;
    ls_map kinds; /* spelling of an operation -> its row + 1 */
    ls_arena arena;
} ls_trace;

/* Opens a trace whose log is `log`, which is closed with it; `path` is the directory of its files. */
lockstep_status ls_trace_open_log(const char *path, ls_source *log, ls_trace **out_trace, lockstep_error *error);
lockstep_status ls_trace_open(const char *path, ls_trace **out_trace, lockstep_error *error);
/* NULL is allowed. */
void ls_trace_close(ls_trace *trace);

/* A trace that grows line by line (without newlines) while it is recorded. Each line may
 * move the trace's arrays. After a failure, no more lines may be added. */
typedef struct ls_trace_feed ls_trace_feed;
lockstep_status ls_trace_feed_open(const char *path, ls_trace_feed **out_feed, ls_trace **out_trace, lockstep_error *error);
lockstep_status ls_trace_feed_line(ls_trace_feed *feed, const char *text, size_t length, lockstep_error *error);
/* The node of the line with this number, or LS_NONE. */
size_t ls_trace_feed_node(const ls_trace_feed *feed, uint64_t i);
void ls_trace_feed_close(ls_trace_feed *feed); /* doesn't close the trace */

/* A node's values, held in memory until ls_hold_release. */
typedef struct ls_hold {
    ls_source *source; /* a file with only this value; or NULL */
    void *copy;        /* the value's part of a file, read into memory; or NULL */
    bool shares;       /* the file has other values, too, and stays mapped */
    ls_view view;
} ls_hold;
lockstep_status ls_trace_hold(const ls_trace *trace, size_t node, ls_hold *out_hold, lockstep_error *error);
void ls_hold_release(ls_hold *hold);

/* The highest number of a layer; -1 where no node is of one. */
static inline int ls_trace_last_layer(const ls_trace *trace) {
    int last = -1;
    for (size_t i = 0; i < trace->node_count; i++)
        last = trace->nodes[i].layer > last ? trace->nodes[i].layer : last;
    return last;
}
/* Token ids, positions, ranks or flags. (The names of quantized iq types begin with an i, too.) */
static inline bool ls_node_is_integer(const ls_node *node) {
    return (*node->dtype == 'i' || *node->dtype == 'u' || strcmp(node->dtype, "bool") == 0) && strncmp(node->dtype, "iq", 2) != 0;
}
/* Pixels, a spectrogram, embeddings, a mask: what the program put in. */
static inline bool ls_node_is_given_float(const ls_node *node) {
    return node->role == LOCKSTEP_ROLE_INPUT && node->source_count == 0 && (*node->dtype == 'f' || strncmp(node->dtype, "bf", 2) == 0);
}
/* Whether the node has values that can be held. */
static inline bool ls_node_has_values(const ls_node *node) { return node->file != NULL; }
/* An operation with values of its own: no view, no other name, no write to a cache. */
static inline bool ls_node_is_operation(const ls_node *node) {
    return node->pass != LS_NONE && node->alias_of == LS_NONE && !node->is_aside && node->role == LOCKSTEP_ROLE_COMPUTED && node->kind->role != LS_OP_ROLE_VIEW &&
           node->kind->role != LS_OP_ROLE_LEAF;
}
/* What it does: its operation, or for what is given its role. */
static inline const char *ls_node_work(const ls_node *node) {
    const char *role = node->kind->role == LS_OP_ROLE_LEAF ? ls_role_name(node->role) : NULL;
    return role != NULL ? role : node->op;
}
/* Whether a name that a user typed is the node's, or "NAME (OP)", "NAME (OP #2)" or "NAME #2", as reports show it. */
bool ls_node_is_called(const ls_node *node, const char *typed);
/* Whether an engine on ggml recorded it. */
bool ls_trace_is_ggml(const ls_trace *trace);
/* The node that a view or another name shows: itself, if it is neither. */
size_t ls_trace_shown(const ls_trace *trace, size_t node);
/* The first pass whose token ids are known, or LS_NONE. */
size_t ls_trace_first_with_tokens(const ls_trace *trace);
/* NULL if the node has no such parameter, or it is no number. */
const double *ls_node_parameter(const ls_node *node, const char *key);
/* NULL if the node has no such parameter, or it is no text. */
const char *ls_node_text(const ls_node *node, const char *key);
/* A list, or a number as a list of one; NULL if the node has no such parameter. */
const double *ls_node_list(const ls_node *node, const char *key, size_t *out_count);

#endif
