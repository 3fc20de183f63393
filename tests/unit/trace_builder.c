#include "trace_builder.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/text.h"

static void feed(trace_builder *b, ls_text *line) {
    lockstep_error error = {0};
    assert_false(line->failed);
    if (ls_trace_feed_line(b->feed, line->data, line->length, &error) != LOCKSTEP_OK)
        fail_msg("%.*s: %s", (int)line->length, line->data, error.message);
    ls_text_done(line);
}

static bool see_value(void *context, size_t node, ls_view *out_view) {
    const trace_builder *b = context;
    const ls_node *n = &b->trace->nodes[node];
    if (node >= b->count || b->values[node] == NULL)
        return false;
    *out_view = (ls_view){.data = (const uint8_t *)b->values[node], .dtype = LOCKSTEP_F32, .rank = n->rank};
    memcpy(out_view->shape, n->shape, sizeof n->shape);
    ls_view_set_contiguous(out_view);
    return true;
}

void builder_begin(trace_builder *b) {
    ls_text line = {0};
    *b = (trace_builder){0};
    assert_int_equal(ls_trace_feed_open("built", &b->feed, &b->trace, NULL), LOCKSTEP_OK);
    b->trace->memory = see_value;
    b->trace->memory_context = b;
    ls_text_printf(&line, "{\"lockstep_trace\":1,\"engine\":\"built\",\"argv\":[\"x\"]}");
    feed(b, &line);
}

static void put_list(ls_text *line, const char *key, const int32_t *items, size_t count) {
    if (items == NULL)
        return;
    ls_text_printf(line, ",\"%s\":[", key);
    for (size_t i = 0; i < count; i++)
        ls_text_printf(line, "%s%d", i == 0 ? "" : ",", items[i]);
    ls_text_printf(line, "]");
}

void builder_pass(trace_builder *b, size_t count, const int32_t *tokens, const int32_t *positions, const int32_t *sequences) {
    ls_text line = {0};
    ls_text_printf(&line, "{\"pass\":%zu,\"context\":0,\"process\":0", b->passes++);
    put_list(&line, "tokens", tokens, count);
    put_list(&line, "positions", positions, count);
    put_list(&line, "sequences", sequences, count);
    ls_text_printf(&line, "}");
    feed(b, &line);
}

size_t builder_add(trace_builder *b, const built_node *node) {
    ls_text line = {0};
    size_t i = b->count, elements = 1;
    assert_true(i < BUILDER_NODES);
    ls_text_printf(&line, "{\"i\":%zu,\"layer\":%d,\"name\":\"%s\",\"op\":\"%s\",\"occurrence\":0,\"dtype\":\"f32\"", i, node->layer - 1, node->name,
                   node->op != NULL ? node->op : "");
    if (node->role == NULL || strcmp(node->role, "weight") != 0)
        ls_text_printf(&line, ",\"pass\":%zu", b->passes - 1);
    if (node->role != NULL)
        ls_text_printf(&line, ",\"role\":\"%s\"", node->role);
    if (node->alias != NULL)
        ls_text_printf(&line, ",\"alias_of\":%zu", *node->alias);
    ls_text_printf(&line, ",\"src\":[");
    for (size_t s = 0; s < node->source_count; s++)
        ls_text_printf(&line, "%s%zu", s == 0 ? "" : ",", node->sources[s]);
    ls_text_printf(&line, "],\"shape\":[");
    for (int axis = 0; axis < node->rank; axis++) {
        ls_text_printf(&line, "%s%" PRIu64, axis == 0 ? "" : ",", node->shape[axis]);
        elements *= (size_t)node->shape[axis];
    }
    ls_text_printf(&line, "]");
    if (node->values != NULL) {
        ls_text_printf(&line, ",\"file\":\"tensors/%zu.npy\"", i);
        b->values[i] = malloc(elements * sizeof(float) + 1);
        assert_non_null(b->values[i]);
        memcpy(b->values[i], node->values, elements * sizeof(float));
    }
    ls_text_printf(&line, "}");
    b->count++;
    feed(b, &line);
    return i;
}

ls_trace *builder_end(trace_builder *b, bool complete) {
    for (size_t pass = 0; pass < b->passes; pass++) {
        ls_text line = {0};
        ls_text_printf(&line, "{\"pass\":%zu,\"ended\":true}", pass);
        feed(b, &line);
    }
    if (complete) {
        ls_text line = {0};
        ls_text_printf(&line, "{\"end\":true,\"tensors\":%zu,\"dropped\":0,\"exit\":0}", b->count);
        feed(b, &line);
    }
    ls_trace_feed_close(b->feed);
    b->feed = NULL;
    return b->trace;
}

void builder_done(trace_builder *b) {
    for (size_t i = 0; i < b->count; i++)
        free(b->values[i]);
    *b = (trace_builder){0};
}

ls_diff *builder_diff(trace_builder *reference, trace_builder *candidate, const ls_diff_options *options) {
    ls_diff *diff = NULL;
    lockstep_error error = {0};
    ls_diff_options usual = {.profile = ls_profile_find("auto"), .min_coverage = LS_MIN_COVERAGE};
    if (ls_diff_traces(reference->trace, candidate->trace, options != NULL ? options : &usual, &diff, &error) != LOCKSTEP_OK)
        fail_msg("%s", error.message);
    return diff;
}

size_t builder_pair(const ls_diff *diff, const char *name) {
    for (size_t i = 0; i < diff->pairs.count; i++)
        if (strcmp(diff->in.candidate.trace->nodes[diff->pairs.items[i].candidate].name, name) == 0)
            return i;
    fail_msg("%s has no pair", name);
    return LS_NONE;
}

void fill_random(float *out, size_t count, uint32_t seed) {
    uint32_t state = seed * 2654435761u + 1;
    for (size_t i = 0; i < count; i++) {
        state = state * 1664525u + 1013904223u;
        out[i] = (float)(state >> 8) / (float)(1 << 23) - 1;
    }
}
