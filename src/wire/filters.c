#include "wire/filters.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/pattern.h"
#include "base/ranges.h"
#include "op/op.h"
#include "wire/channel.h"

/* What one recorder asked for. */
typedef struct filters {
    struct filters *older; /* of an earlier recorder: another thread may still read them */
    unsigned connection; /* to that recorder */
    regex_t tensors, ops, resync;
    bool has_tensors, has_ops, has_resync, resync_outputs;
    char layers[LS_OPTIONS_MAX], passes[LS_OPTIONS_MAX]; /* "0-3,7"; empty for all */
    ls_observe_level what;
    int sources;
    bool weights, caches;
} filters;

static const filters everything = {.what = LS_OBSERVE_ALL};
static filters *_Atomic current;

static bool is_among(const char *ranges, long value) { return *ranges == '\0' || ls_ranges_hold(ranges, value); }

static bool compile(const char *key, regex_t *out) {
    char text[LS_OPTIONS_MAX];
    return ls_channel_option(key, text, sizeof text) && ls_pattern_compile(text, out);
}

static void parse(filters *f) {
    char text[LS_OPTIONS_MAX];
    f->has_tensors = compile("tensors", &f->tensors);
    f->has_ops = compile("ops", &f->ops);
    f->sources = ls_channel_option("sources", text, sizeof text) ? (int)strtol(text, NULL, 10) : 0;
    f->weights = ls_channel_option("weights", text, sizeof text);
    f->caches = ls_channel_option("kv", text, sizeof text);
    f->resync_outputs = ls_channel_option("resync", text, sizeof text) && strcmp(text, "layer") == 0;
    f->has_resync = !f->resync_outputs && compile("resync", &f->resync);
    ls_channel_option("layers", f->layers, sizeof f->layers);
    ls_channel_option("passes", f->passes, sizeof f->passes);
    if (ls_channel_option("observe", text, sizeof text))
        f->what = strcmp(text, "named") == 0     ? LS_OBSERVE_NAMED
                  : strcmp(text, "outputs") == 0 ? LS_OBSERVE_OUTPUTS
                  : strcmp(text, "last") == 0    ? LS_OBSERVE_LAST
                  : strcmp(text, "inputs") == 0  ? LS_OBSERVE_INPUTS
                                                 : LS_OBSERVE_ALL;
}

static void drop(filters *f) {
    if (f->has_tensors)
        regfree(&f->tensors);
    if (f->has_ops)
        regfree(&f->ops);
    if (f->has_resync)
        regfree(&f->resync);
    free(f);
}

/* The filters of the recorder that this process is connected to. A process may record for one recorder after another;
 * other threads may still read the filters of an earlier one, so these stay in memory. No lock: a thread that holds one
 * could fork. */
static const filters *active(void) {
    if (!ls_channel_open())
        return &everything;
    const unsigned connection = ls_channel_connection();
    filters *before = atomic_load(&current);
    if (before != NULL && before->connection == connection)
        return before;
    filters *made = calloc(1, sizeof *made);
    if (made == NULL)
        return &everything;
    made->older = before;
    made->connection = connection;
    parse(made);
    if (atomic_compare_exchange_strong(&current, &before, made))
        return made;
    drop(made); /* another thread was faster */
    return before;
}

ls_observe_level ls_filter_observe(void) { return active()->what; }
bool ls_filter_pass(long pass) { return is_among(active()->passes, pass); }
int ls_filter_sources(void) { return active()->sources; }
bool ls_filter_weights(void) { return active()->weights; }
bool ls_filter_caches(void) { return active()->caches; }

bool ls_filter_has_names(void) {
    const filters *f = active();
    return f->has_tensors || f->has_ops;
}

bool ls_filter_resync(const char *name, bool output) {
    const filters *f = active();
    return (f->resync_outputs && output) || (f->has_resync && regexec(&f->resync, name, 0, NULL, 0) == 0);
}

static bool matches(const filters *f, const char *name, const char *op) {
    return (!f->has_tensors || regexec(&f->tensors, name, 0, NULL, 0) == 0) && (!f->has_ops || regexec(&f->ops, op, 0, NULL, 0) == 0);
}

bool ls_filter_tensor(const char *name, const char *op, int layer) {
    const filters *f = active();
    return matches(f, name, op) && is_among(f->layers, layer);
}

bool ls_filter_input(const char *name) { return matches(active(), name, LS_OP_LEAF_SPELLING); }
