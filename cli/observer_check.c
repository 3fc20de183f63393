#include "observer_check.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "match/values.h"
#include "compare/metrics.h"
#include "options.h"
#include "launch/observe.h"
#include "trace/trace.h"
#include "record/trace_writer.h"

typedef struct found {
    size_t passes, changed, incomparable;
    double max_abs, rel_l2;
} found;

/* Compares `output` of the barely observed run with the tensor of the same label in the other. */
static void compare_output(const ls_values *full, const ls_values *bare, size_t pass, size_t output, found *f) {
    const ls_node *n = &bare->trace->nodes[output];
    ls_label label = {n->name, n->op, NULL, (long)n->occurrence};
    size_t same = ls_values_find(full, pass, &label);
    ls_hold holds[2] = {{0}, {0}};
    ls_metrics m;
    bool compared = same != LS_NONE && ls_trace_hold(full->trace, same, &holds[0], NULL) == LOCKSTEP_OK &&
                    ls_trace_hold(bare->trace, output, &holds[1], NULL) == LOCKSTEP_OK &&
                    ls_view_elements(&holds[0].view) == ls_view_elements(&holds[1].view) &&
                    ls_compare(&holds[1].view, &holds[0].view, &(ls_compare_options){0}, &m, NULL) == LOCKSTEP_OK;
    ls_hold_release(&holds[0]);
    ls_hold_release(&holds[1]);
    f->passes++;
    f->incomparable += !compared;
    if (!compared || m.identical)
        return;
    f->changed++;
    f->max_abs = fmax(f->max_abs, m.max_abs);
    f->rel_l2 = fmax(f->rel_l2, m.rel_l2);
}

static int conclude(const found *f, int exit) {
    if (f->passes == 0 || f->incomparable > 0) {
        fprintf(stderr, "lockstep: can't tell whether observing changed anything: %zu of %zu passes gave nothing to compare\n", f->incomparable, f->passes);
        return exit == 0 ? EXIT_TROUBLE : exit;
    }
    if (f->changed == 0) {
        fprintf(stderr, "lockstep: observing changed nothing: the results of %zu pass%s have the same bits when barely observed\n", f->passes, f->passes == 1 ? "" : "es");
        return exit;
    }
    fprintf(stderr, "lockstep: observing CHANGED the results of %zu of %zu passes: rel. L2 up to %.1e, max |d| %.1e (operations that are fused "
                    "when unobserved, or a program that gives different numbers on each run)\n", f->changed, f->passes, f->rel_l2, f->max_abs);
    return exit == 0 ? EXIT_DIVERGED : exit;
}

static lockstep_status compare_runs(const ls_trace *full, const ls_trace *bare, found *f, lockstep_error *error) {
    ls_values values[2] = {{0}, {0}};
    lockstep_status status = ls_values_init(full, &values[0], error);
    if (status == LOCKSTEP_OK)
        status = ls_values_init(bare, &values[1], error);
    size_t *outputs = status == LOCKSTEP_OK ? ls_values_outputs(&values[1], true) : NULL;
    for (size_t pass = 0; outputs != NULL && pass < bare->pass_count; pass++)
        if (outputs[pass] != LS_NONE)
            compare_output(&values[0], &values[1], pass, outputs[pass], f);
    f->incomparable += bare->pass_count != full->pass_count;
    if (status == LOCKSTEP_OK && outputs == NULL)
        status = ls_fail(error, LOCKSTEP_NO_MEMORY, "out of memory");
    free(outputs);
    ls_values_done(&values[0]);
    ls_values_done(&values[1]);
    return status;
}

bool observer_check_place(const char *path, char *out, size_t capacity) {
    int length = snprintf(out, capacity, "%s.unobserved", path);
    return length > 0 && (size_t)length < capacity;
}

int observer_check(const char *path, char **command, int exit) {
    char bare_path[PATH_MAX];
    ls_trace *full = NULL, *bare = NULL;
    ls_observed done;
    lockstep_error error;
    found f = {0};
    bool placed = observer_check_place(path, bare_path, sizeof bare_path);
    lockstep_status status = placed ? ls_observe(&(ls_observe_options){.directory = bare_path, .what = "last", .log = "/dev/null"}, command, &done, &error)
                                    : ls_fail(&error, LOCKSTEP_LIMIT, "%s: the name is too long", path);
    bool recorded = status == LOCKSTEP_OK;
    if (status == LOCKSTEP_OK)
        status = ls_trace_open(path, &full, &error);
    if (status == LOCKSTEP_OK)
        status = ls_trace_open(bare_path, &bare, &error);
    if (status == LOCKSTEP_OK)
        status = compare_runs(full, bare, &f, &error);
    ls_trace_close(full);
    ls_trace_close(bare);
    if (recorded)
        ls_trace_remove(bare_path, NULL);
    if (status == LOCKSTEP_OK)
        return conclude(&f, exit);
    fprintf(stderr, "lockstep capture: --check-observer: %s\n", error.message);
    return exit == 0 ? EXIT_TROUBLE : exit;
}
