/* Computes the operations of a trace's log again. Values are in memory and depend only on the node. */
#include <stdlib.h>
#include <string.h>

#include "report/verify_report.h"
#include "verify/verify.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { VALUES = 256 };
static float values[VALUES];

static bool see_value(void *context, size_t node, ls_view *out_view) {
    const ls_node *n = &((const ls_trace *)context)->nodes[node];
    if (n->elements > VALUES)
        return false;
    *out_view = (ls_view){.data = (const uint8_t *)values, .dtype = LOCKSTEP_F32, .rank = n->rank};
    memcpy(out_view->shape, n->shape, sizeof n->shape);
    ls_view_set_contiguous(out_view);
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    ls_source *log;
    ls_trace *trace = NULL;
    ls_verification v;
    const ls_models models = {.trace = NULL}; /* no files */
    lockstep_error error = {0};
    for (size_t i = 0; i < VALUES; i++)
        values[i] = (float)(i % 5);
    if (ls_source_open_memory("trace.jsonl", data, size, &log, NULL) != LOCKSTEP_OK || ls_trace_open_log("/lockstep-no-such-folder", log, &trace, NULL) != LOCKSTEP_OK)
        return 0;
    trace->memory = see_value;
    trace->memory_context = trace;
    for (size_t i = 0; i < trace->node_count; i++)
        if (trace->nodes[i].role == LOCKSTEP_ROLE_STATE && trace->nodes[i].elements > 1 << 16) {
            ls_trace_close(trace); /* slow, and nothing else */
            return 0;
        }
    if (ls_verify(trace, &models, false, &v, &error) == LOCKSTEP_OK) {
        ls_text text = {0};
        ls_report_verification(&v, true, &ls_screen_of_files, &text);
        ls_report_verification_json(&v, &text);
        ls_text_done(&text);
        ls_verification_done(&v);
    } else if (error.message[0] == '\0') {
        abort(); /* a failure must have a message */
    }
    ls_trace_close(trace);
    return 0;
}
