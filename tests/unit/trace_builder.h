/* Builds traces in memory: lines as docs/trace-format.md has them, values from arrays. */
#ifndef LS_TESTS_TRACE_BUILDER_H
#define LS_TESTS_TRACE_BUILDER_H

#include "diff/diff.h"
#include "trace/trace.h"

enum { BUILDER_NODES = 64 };

typedef struct trace_builder {
    ls_trace_feed *feed;
    ls_trace *trace;
    float *values[BUILDER_NODES]; /* copies, which the trace sees; NULL where a node has none */
    size_t count, passes;
} trace_builder;

/* Members that are zero do not apply; `layer` counts from 1, so that 0 is outside of blocks. */
typedef struct built_node {
    const char *name, *op, *role;
    int layer;
    int rank;
    uint64_t shape[LOCKSTEP_MAX_RANK];
    const float *values; /* as many as the shape says; NULL: the values were not kept */
    const size_t *sources;
    size_t source_count;
    const size_t *alias; /* the node that this one is another name of */
} built_node;

/* Failures of the calls end the test. */
void builder_begin(trace_builder *builder);
/* Begins a pass of `count` rows; each array may be NULL. */
void builder_pass(trace_builder *builder, size_t count, const int32_t *tokens, const int32_t *positions, const int32_t *sequences);
/* Returns the number by which later nodes name it as their source. */
size_t builder_add(trace_builder *builder, const built_node *node);
/* Ends the passes and, if it is `complete`, the trace. The caller closes the trace, then calls builder_done. */
ls_trace *builder_end(trace_builder *builder, bool complete);
void builder_done(trace_builder *builder);

/* Compares two built traces, and closes them with the diff. */
ls_diff *builder_diff(trace_builder *reference, trace_builder *candidate, const ls_diff_options *options);
/* The index of the pair whose candidate has this name; the test fails where there is none. */
size_t builder_pair(const ls_diff *diff, const char *name);

/* Numbers between -1 and 1 that depend on the seed alone. */
void fill_random(float *out, size_t count, uint32_t seed);

#endif
