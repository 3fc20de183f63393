#include <stdio.h>
#include <string.h>

#include "base/escape.h"
#include "command_line.h"
#include "commands.h"
#include "image/picture_file.h"
#include "image/processor.h"
#include "launch/own_trace.h"
#include "tensor/tensor.h"

typedef struct preprocess_options {
    const char *like, *out, *arithmetic;
} preprocess_options;

#define FIELD(name) offsetof(preprocess_options, name)
static const option_row options[] = {
    {"--like", OPTION_PATH, FIELD(like), "PATH", "preprocessor_config.json, or a checkpoint's folder that has it", NULL},
    {"-o", OPTION_PATH, FIELD(out), "OUT", "the trace to write: a new directory, or an older trace to replace", NULL},
    {"--arithmetic", OPTION_TEXT, FIELD(arithmetic), "NAME", "how to resize: torchvision (default), pillow, or the way of an engine (docs/preprocessing.md)", NULL},
    {0},
};

static const char *objection(const preprocess_options *o) {
    if (o->like == NULL)
        return "--like PATH is missing: it names the preprocessor_config.json to follow";
    return o->out == NULL ? "-o OUT is missing: it names the trace to write" : NULL;
}

/* One pass, whose only input is the picture. */
static lockstep_status record(const ls_stages *stages, const char *out, lockstep_error *error) {
    ls_own_trace trace;
    uint64_t numbers[LS_STAGES_MAX];
    LS_TRY(ls_own_trace_open(out, NULL, "lockstep preprocess", &trace, error));
    lockstep_capture_pass_begin(trace.engine, NULL);
    for (int i = 0; i < stages->count; i++) {
        const ls_stage *s = &stages->items[i];
        lockstep_node node = {.size = sizeof node, .name = s->name, .layer = -1, .dtype = s->dtype, .rank = s->rank, .shape = s->shape, .data = s->data,
                              .role = s->from < 0 ? LOCKSTEP_ROLE_INPUT : LOCKSTEP_ROLE_COMPUTED, .output = true};
        node.sources = s->from >= 0 ? &numbers[s->from] : NULL;
        node.source_count = s->from >= 0;
        numbers[i] = lockstep_capture_node(trace.engine, &node);
    }
    lockstep_capture_pass_end(trace.engine);
    return ls_own_trace_close(&trace, out, error);
}

static void print_stages(const ls_stages *stages) {
    for (int i = 0; i < stages->count; i++) {
        const ls_stage *s = &stages->items[i];
        char shape[LS_SHAPE_TEXT];
        ls_shape_text(s->rank, s->shape, shape);
        printf("%-18s %-4s %s", s->name, lockstep_dtype_name(s->dtype), shape);
        const int64_t *values = s->data;
        for (uint64_t k = 0; s->dtype == LOCKSTEP_I64 && k < s->shape[s->rank - 1]; k++)
            printf("%s%lld", k == 0 ? "  " : " ", (long long)values[k]);
        printf("\n");
    }
}

static void print_unused(const ls_processor *p, const char *like) {
    char keys[400], path[300];
    if (p->unused.length == 0)
        return;
    ls_escape(p->unused.data, p->unused.length, keys, sizeof keys);
    ls_escape(like, strlen(like), path, sizeof path);
    fprintf(stderr, "lockstep preprocess: %s: keys that have no effect here, and may have one in transformers: %s\n", path, keys);
}

static lockstep_status find_way(const char *name, const ls_way **out, lockstep_error *error) {
    ls_text known = {0};
    *out = name != NULL ? ls_way_find(name) : ls_ways;
    if (*out != NULL && (*out)->arithmetic != LS_ARITHMETIC_UNROUNDED)
        return LOCKSTEP_OK;
    for (const ls_way *w = ls_ways; w->name != NULL && w->arithmetic != LS_ARITHMETIC_UNROUNDED; w++) /* those come last, and make no picture */
        ls_text_printf(&known, "%s%s", w == ls_ways ? "" : ", ", w->name);
    const lockstep_status status = ls_fail(error, LOCKSTEP_INVALID_ARGUMENT, "--arithmetic: found '%s', expected one of %s", name, known.data != NULL ? known.data : "a few");
    ls_text_done(&known);
    return status;
}

static lockstep_status preprocess(const char *picture, const preprocess_options *o, lockstep_error *error) {
    ls_processor processor = {0};
    ls_image image = {0};
    ls_stages stages = {0};
    const ls_way *way;
    LS_TRY(find_way(o->arithmetic, &way, error));
    lockstep_status status = ls_processor_open(o->like, &processor, error);
    if (status == LOCKSTEP_OK)
        status = ls_image_open(picture, &image, error);
    if (status == LOCKSTEP_OK)
        status = ls_preprocess(&processor, way, &image, &stages, error);
    ls_image_free(&image);
    if (status == LOCKSTEP_OK)
        status = record(&stages, o->out, error);
    if (status == LOCKSTEP_OK) {
        print_stages(&stages);
        print_unused(&processor, o->like);
    }
    ls_stages_done(&stages);
    ls_processor_done(&processor);
    return status;
}

static int run(const arguments *args, const void *parsed) {
    const preprocess_options *o = parsed;
    const char *wrong = objection(o);
    lockstep_error error;
    if (wrong == NULL && preprocess(args->positional[0], o, &error) == LOCKSTEP_OK)
        return EXIT_MATCH;
    fprintf(stderr, "lockstep preprocess: %s\n", wrong != NULL ? wrong : error.message);
    return EXIT_TROUBLE;
}

const command_row command_preprocess = {
    .name = "preprocess",
    .usage = "IMAGE --like PATH -o OUT [options]",
    .summary = "Does to a picture what a transformers image processor does, and writes every step as a trace.",
    .exits = "0, 2 error",
    .options = options,
    .options_size = sizeof(preprocess_options),
    .min_positional = 1,
    .max_positional = 1,
    .run = run,
};
