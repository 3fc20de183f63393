#include "observer_check.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "compare/metrics.h"
#include "options.h"
#include "trace/observe.h"
#include "trace/trace.h"
#include "trace/trace_writer.h"

/* The last value that a pass computed, or LS_NONE. */
static size_t last_of(const ls_trace *t, size_t pass) {
    size_t last = LS_NONE;
    for (size_t i = 0; i < t->node_count; i++)
        if (t->nodes[i].pass == pass && t->nodes[i].role == LS_ROLE_COMPUTED && t->nodes[i].alias_of == LS_NONE && ls_node_has_values(&t->nodes[i]))
            last = i;
    return last;
}

/* The node that pairs with the last one of the barely observed run. */
static size_t same_as(const ls_trace *t, size_t pass, const ls_node *other) {
    for (size_t i = 0; i < t->node_count; i++) {
        const ls_node *n = &t->nodes[i];
        if (n->pass == pass && strcmp(n->name, other->name) == 0 && strcmp(n->op, other->op) == 0 && n->occurrence == other->occurrence && ls_node_has_values(n))
            return i;
    }
    return LS_NONE;
}

typedef struct found {
    size_t passes, changed, incomparable;
    double max_abs, rel_l2;
} found;

static void compare_pass(const ls_trace *full, const ls_trace *bare, size_t pass, found *f) {
    size_t b = last_of(bare, pass);
    size_t a = b != LS_NONE && pass < full->pass_count ? same_as(full, pass, &bare->nodes[b]) : LS_NONE;
    ls_hold holds[2] = {{0}, {0}};
    ls_metrics m;
    bool compared = a != LS_NONE && ls_trace_hold(full, a, &holds[0], NULL) == LOCKSTEP_OK && ls_trace_hold(bare, b, &holds[1], NULL) == LOCKSTEP_OK &&
                    ls_view_elements(&holds[0].view) == ls_view_elements(&holds[1].view) &&
                    ls_compare(&holds[1].view, &holds[0].view, &(ls_compare_wants){0}, &m, NULL) == LOCKSTEP_OK;
    ls_hold_release(&holds[0]);
    ls_hold_release(&holds[1]);
    if (b == LS_NONE && last_of(full, pass) == LS_NONE)
        return; /* nothing was computed */
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
        fprintf(stderr, "lockstep: whether observing changed anything can't be told: %zu of %zu passes gave nothing to compare\n", f->incomparable, f->passes);
        return exit == 0 ? EXIT_TROUBLE : exit;
    }
    if (f->changed == 0) {
        fprintf(stderr, "lockstep: observing changed nothing: what %zu pass%s gave has the same bits when it is barely observed\n", f->passes, f->passes == 1 ? "" : "es");
        return exit;
    }
    fprintf(stderr, "lockstep: observing CHANGED what came out of %zu of %zu passes: rel. L2 up to %.1e, max |d| %.1e (operations that are fused "
                    "when nobody looks, or a program that gives other numbers each time)\n", f->changed, f->passes, f->rel_l2, f->max_abs);
    return exit == 0 ? EXIT_DIVERGED : exit;
}

int observer_check(const char *path, char **command, int exit) {
    char bare_path[PATH_MAX];
    ls_trace *full = NULL, *bare = NULL;
    ls_observed done;
    lockstep_error error;
    found f = {0};
    snprintf(bare_path, sizeof bare_path, "%s.unobserved", path);
    lockstep_status status = ls_observe(&(ls_observe_options){.directory = bare_path, .what = "last", .log = "/dev/null"}, command, &done, &error);
    if (status == LOCKSTEP_OK)
        status = ls_trace_open(path, &full, &error);
    if (status == LOCKSTEP_OK)
        status = ls_trace_open(bare_path, &bare, &error);
    for (size_t pass = 0; status == LOCKSTEP_OK && pass < bare->pass_count; pass++)
        compare_pass(full, bare, pass, &f);
    if (status == LOCKSTEP_OK && bare->pass_count != full->pass_count)
        f.incomparable++;
    ls_trace_close(full);
    ls_trace_close(bare);
    ls_trace_remove(bare_path, NULL);
    if (status == LOCKSTEP_OK)
        return conclude(&f, exit);
    fprintf(stderr, "lockstep capture: --check-observer: %s\n", error.message);
    return exit == 0 ? EXIT_TROUBLE : exit;
}
