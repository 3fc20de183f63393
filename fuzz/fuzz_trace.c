/* Opens a trace.jsonl, and requests each node's values. */
#include <stdlib.h>
#include <string.h>

#include "trace/trace.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void look(const ls_trace *trace) {
    lockstep_error error;
    ls_hold hold;
    for (size_t i = 0; i < trace->node_count; i++) {
        const ls_node *node = &trace->nodes[i];
        for (size_t k = 0; k < node->source_count; k++)
            if (node->sources[k] >= i)
                abort(); /* sources must come before */
        if (node->alias_of != LS_NONE && node->alias_of >= i)
            abort();
        if (node->pass != LS_NONE && node->pass >= trace->pass_count)
            abort();
        if (i < 8 && ls_node_has_values(node) && ls_trace_hold(trace, i, &hold, &error) == LOCKSTEP_OK)
            abort(); /* there are no files */
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    uint8_t *copy = malloc(size + (size == 0));
    ls_source *log;
    ls_trace *trace;
    lockstep_error error = {0};
    if (copy == NULL)
        return 0;
    if (size > 0)
        memcpy(copy, data, size);
    if (ls_source_open_memory("trace.jsonl", copy, size, &log, &error) == LOCKSTEP_OK) {
        if (ls_trace_open_log("/lockstep-no-such-folder", log, &trace, &error) == LOCKSTEP_OK) {
            look(trace);
            ls_trace_close(trace);
        } else if (error.message[0] == '\0') {
            abort(); /* a failure must have a message */
        }
    }
    free(copy);
    return 0;
}
