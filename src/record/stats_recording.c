#include "record/stats_recording.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/escape.h"
#include "tensor/tensor.h"

typedef struct stats_recording {
    ls_recording inner;
    FILE *to;
} stats_recording;

static double number_of(const json_t *object, const char *key) {
    const json_t *value = json_object_get(object, key);
    return json_is_number(value) ? json_number_value(value) : NAN;
}

/* pass 0  layer 1  Qcur-1 (ROPE)  [5, 4, 16]  mean … std … min … max … */
static void print(stats_recording *s, const json_t *line, const json_t *stats) {
    char name[300], op[80], shape[LS_SHAPE_TEXT];
    const char *own_name = json_string_value(json_object_get(line, "name")), *own_op = json_string_value(json_object_get(line, "op"));
    uint64_t axes[LOCKSTEP_MAX_RANK], elements = 1;
    size_t rank = json_array_size(json_object_get(line, "shape"));
    if (own_name == NULL || own_op == NULL || rank > LOCKSTEP_MAX_RANK)
        return;
    for (size_t i = 0; i < rank; i++)
        elements *= axes[i] = (uint64_t)json_integer_value(json_array_get(json_object_get(line, "shape"), i));
    ls_escape(own_name, strlen(own_name), name, sizeof name);
    ls_escape(own_op, strlen(own_op), op, sizeof op);
    ls_shape_text((int)rank, axes, shape);
    double nan = number_of(stats, "nan"), inf = number_of(stats, "inf"), count = (double)elements - nan - inf;
    double mean = number_of(stats, "mean"), l2 = number_of(stats, "l2"), variance = l2 * l2 / count - mean * mean;
    fprintf(s->to, "pass %lld  layer %lld  %s (%s)  %s  mean %.6g  std %.6g  min %.6g  max %.6g", (long long)json_integer_value(json_object_get(line, "pass")),
            (long long)json_integer_value(json_object_get(line, "layer")), name, op, shape, mean, sqrt(variance > 0 ? variance : 0),
            number_of(stats, "min"), number_of(stats, "max"));
    if (nan + inf > 0)
        fprintf(s->to, "  NaN %.0f  infinite %.0f", nan, inf);
    fputc('\n', s->to);
}

static int put_line(void *context, const char *text, size_t length) {
    stats_recording *s = context;
    json_t *line = json_loadb(text, length, 0, NULL);
    const json_t *stats = json_object_get(line, "stats");
    if (stats != NULL)
        print(s, line, stats);
    json_decref(line);
    return s->inner.line(s->inner.context, text, length);
}

static void begin(void *context, const ls_stored_values *values) {
    stats_recording *s = context;
    s->inner.begin(s->inner.context, values);
}

static void put(void *context, const void *bytes, size_t count) {
    stats_recording *s = context;
    s->inner.put(s->inner.context, bytes, count);
}

static int end(void *context, bool whole, ls_place *out_place) {
    stats_recording *s = context;
    return s->inner.end(s->inner.context, whole, out_place);
}

static int finish(void *context) {
    stats_recording *s = context;
    return s->inner.finish != NULL ? s->inner.finish(s->inner.context) : 0;
}

static int leave(void *context, bool recorded) {
    stats_recording *s = context;
    int why = s->inner.close(s->inner.context, recorded);
    free(s);
    return why;
}

lockstep_status ls_stats_recording_open(const ls_recording *inner, FILE *to, ls_recording *out_recording, lockstep_error *error) {
    stats_recording *s = malloc(sizeof *s);
    if (s == NULL) {
        inner->close(inner->context, false);
        return ls_fail(error, LOCKSTEP_NO_MEMORY, "out of memory");
    }
    *s = (stats_recording){*inner, to};
    *out_recording = (ls_recording){s, put_line, begin, put, end, NULL, NULL, finish, leave};
    return LOCKSTEP_OK;
}
