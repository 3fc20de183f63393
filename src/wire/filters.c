#include "wire/filters.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/pattern.h"
#include "base/ranges.h"
#include "op/op.h"
#include "wire/channel.h"

static struct {
    regex_t tensors, ops, resync;
    bool has_tensors, has_ops, has_resync, resync_outputs;
    char layers[LS_OPTIONS_MAX], passes[LS_OPTIONS_MAX]; /* "0-3,7"; empty for all */
    ls_observe_level what;
    int sources;
    bool weights, caches;
} filter;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static bool is_among(const char *ranges, long value) { return *ranges == '\0' || ls_ranges_hold(ranges, value); }

static bool compile(const char *key, regex_t *out) {
    char text[1024];
    return ls_channel_option(key, text, sizeof text) && ls_pattern_compile(text, out);
}

static void parse(void) {
    char text[1024];
    filter.has_tensors = compile("tensors", &filter.tensors);
    filter.has_ops = compile("ops", &filter.ops);
    filter.sources = ls_channel_option("sources", text, sizeof text) ? (int)strtol(text, NULL, 10) : 0;
    filter.weights = ls_channel_option("weights", text, sizeof text);
    filter.caches = ls_channel_option("kv", text, sizeof text);
    filter.resync_outputs = ls_channel_option("resync", text, sizeof text) && strcmp(text, "layer") == 0;
    filter.has_resync = !filter.resync_outputs && compile("resync", &filter.resync);
    ls_channel_option("layers", filter.layers, sizeof filter.layers);
    ls_channel_option("passes", filter.passes, sizeof filter.passes);
    if (ls_channel_option("observe", text, sizeof text))
        filter.what = strcmp(text, "named") == 0     ? LS_OBSERVE_NAMED
                      : strcmp(text, "outputs") == 0 ? LS_OBSERVE_OUTPUTS
                      : strcmp(text, "last") == 0    ? LS_OBSERVE_LAST
                                                     : LS_OBSERVE_ALL;
}

ls_observe_level ls_filter_observe(void) {
    pthread_once(&once, parse);
    return filter.what;
}

bool ls_filter_pass(long pass) {
    pthread_once(&once, parse);
    return is_among(filter.passes, pass);
}

bool ls_filter_has_names(void) {
    pthread_once(&once, parse);
    return filter.has_tensors || filter.has_ops;
}

int ls_filter_sources(void) {
    pthread_once(&once, parse);
    return filter.sources;
}

bool ls_filter_weights(void) {
    pthread_once(&once, parse);
    return filter.weights;
}

bool ls_filter_caches(void) {
    pthread_once(&once, parse);
    return filter.caches;
}

bool ls_filter_resync(const char *name, bool output) {
    pthread_once(&once, parse);
    return (filter.resync_outputs && output) || (filter.has_resync && regexec(&filter.resync, name, 0, NULL, 0) == 0);
}

static bool matches(const char *name, const char *op) {
    pthread_once(&once, parse);
    return (!filter.has_tensors || regexec(&filter.tensors, name, 0, NULL, 0) == 0) &&
           (!filter.has_ops || regexec(&filter.ops, op, 0, NULL, 0) == 0);
}

bool ls_filter_tensor(const char *name, const char *op, int layer) { return matches(name, op) && is_among(filter.layers, layer); }

bool ls_filter_input(const char *name) { return matches(name, LS_OP_LEAF_SPELLING); }
