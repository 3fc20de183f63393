/* Compares two logs of traces, separated by a blank line: rows, batches, pairs, layouts,
 * masks, final outputs. Values are in memory and depend only on the node. */
#include <stdlib.h>
#include <string.h>

#include "diff/diff.h"
#include "diagnose/diagnose.h"
#include "report/report.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { VALUES = 1024, PATTERNS = 4 };
static float patterns[PATTERNS][VALUES];

static void fill_patterns(void) {
    for (size_t i = 0; i < VALUES && patterns[0][1] == 0; i++) {
        patterns[0][i] = (float)i * 0.37f - 3;
        patterns[1][i] = (float)(i % 17) - 8;
        patterns[2][i] = i % 3 == 0 ? -3.4e38f : (float)(i % 5); /* masked here and there */
        patterns[3][i] = i % 2 == 0 ? 0 : 1;                     /* an attention mask */
    }
}

static bool see_value(void *context, size_t node, ls_view *out_view) {
    const ls_trace *t = context;
    const ls_node *n = &t->nodes[node];
    if (n->elements > VALUES)
        return false;
    *out_view = (ls_view){.data = (const uint8_t *)patterns[(strlen(n->name) + (unsigned char)n->op[0]) % PATTERNS], .dtype = LOCKSTEP_F32, .rank = n->rank};
    memcpy(out_view->shape, n->shape, sizeof n->shape);
    ls_view_set_contiguous(out_view);
    return true;
}

static ls_trace *open_log(const uint8_t *bytes, size_t size) {
    ls_source *log;
    ls_trace *trace = NULL;
    if (ls_source_open_memory("trace.jsonl", bytes, size, &log, NULL) == LOCKSTEP_OK && ls_trace_open_log("/lockstep-no-such-folder", log, &trace, NULL) == LOCKSTEP_OK) {
        trace->memory = see_value;
        trace->memory_context = trace;
    }
    return trace;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const uint8_t *blank = size > 0 ? memmem(data, size, "\n\n", 2) : NULL;
    if (blank == NULL)
        return 0;
    fill_patterns();
    size_t first = (size_t)(blank - data) + 1;
    ls_trace *reference = open_log(data, first), *candidate = reference != NULL ? open_log(data + first + 1, size - first - 1) : NULL;
    ls_diff_options options = {.preset = "none", .profile = &ls_profiles[0], .min_coverage = 0.5};
    ls_diff *diff;
    ls_diagnosis diagnosis;
    lockstep_error error = {0};
    if (candidate == NULL) {
        ls_trace_close(reference);
        return 0;
    }
    if (ls_diff_traces(reference, candidate, &options, &diff, &error) == LOCKSTEP_OK) {
        ls_text text = {0};
        ls_diagnose(diff, &diagnosis, &error);
        for (int order = 0; order < LS_ROW_ORDER_COUNT; order++)
            ls_report_terminal(&(ls_comparison){.diff = diff, .diagnosis = &diagnosis}, &(ls_row_choice){.all = order == 0, .order = (ls_row_order)order}, &ls_screen_of_files, &text);
        ls_text_done(&text);
        ls_diff_free(diff);
    } else if (error.message[0] == '\0') {
        abort(); /* a failure must have a message */
    }
    return 0;
}
