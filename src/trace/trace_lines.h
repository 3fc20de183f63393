/* Reads the lines of trace.jsonl into a trace (docs/trace-format.md). */
#ifndef LS_TRACE_TRACE_LINES_H
#define LS_TRACE_TRACE_LINES_H

#include "trace/trace.h"

/* State while a log is read. */
typedef struct ls_trace_lines {
    ls_trace *trace;
    const char *name;    /* of the log, for messages */
    uint64_t bytes;      /* of the log, so far */
    size_t node_capacity, pass_capacity, note_capacity, model_file_capacity;
    bool has_files;      /* values are in files in the trace's directory */
    bool said;           /* error has a message already */
    const char *wrong;   /* the first key of the line whose value is not `expected`; or NULL */
    const char *expected;
    uint64_t line_at;    /* offset of the line */
    bool *unreadable;    /* by node: its segment is missing, or ends before its values */
    size_t unreadable_capacity, unreadable_count;
    size_t *by_order; /* "i" of a line -> node index + 1 */
    uint64_t order_capacity;
    ls_map last_writes;   /* node of a cache -> the last write into it + 1 */
    bool is_torn;         /* tensors are missing */
    size_t repeated;      /* nodes without a line of their own */
    size_t looked_at;     /* nodes, for that */
    lockstep_error *error;
} ls_trace_lines;

/* Reads one line, without its newline, that begins at `at`. */
lockstep_status ls_trace_read_line(ls_trace_lines *lines, const char *text, size_t length, uint64_t at);
/* Reads all complete lines. */
lockstep_status ls_trace_read_lines(ls_trace_lines *lines, const char *bytes, size_t size);
/* Room for one more node; false if out of memory. */
bool ls_trace_grow_nodes(ls_trace_lines *lines);
/* Adds a node to its pass, and to the writes into a cache. What reads the cache depends on the last of these. */
void ls_trace_place_node(ls_trace_lines *lines, size_t node);
/* Adds the nodes of a pass that has ended, from those of the one that it is like. */
lockstep_status ls_trace_repeat(ls_trace_lines *lines, size_t pass);
void ls_trace_lines_done(ls_trace_lines *lines);

#endif
