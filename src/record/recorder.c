#include "record/recorder.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/grow.h"
#include "base/hash.h"
#include "base/map.h"
#include "base/role.h"
#include "base/text.h"
#include "tensor/dtype.h"
#include "tensor/summary.h"
#include "wire/frame_reader.h"

enum { TILE = 16384 };

typedef struct process_state {
    struct id_pair {
        uint64_t id, i;
    } *ids; /* rising in id */
    size_t id_count, id_capacity;
    unsigned open_passes;
    bool died; /* within a tensor's values */
    bool said_end;
    ls_map occurrences; /* "pass/op/name" -> seen so far in a pass that is open */
} process_state;

struct ls_recorder {
    pthread_mutex_t lock;
    ls_recording recording;
    bool stats_only;
    bool over; /* the recording has what it wanted */
    uint64_t next_i;
    process_state **processes; /* by number; NULL where there is none, or it is gone */
    size_t process_capacity;
    ls_map passes;            /* "process/pass" -> pass of the trace + 1 */
    ls_map rows;              /* pass of the trace -> how many it has, where known */
    ls_recorder_totals totals;
    ls_text line; /* of the tensor that is being recorded */
    float *tile; /* TILE of them */
    ls_arena frame_memory; /* of what is read of a frame */
};

/* ------------------------------------------------------------------- lines */

static void lost(ls_recorder *r, const char *why) {
    if (r->totals.trouble[0] == '\0')
        snprintf(r->totals.trouble, sizeof r->totals.trouble, "%s", why);
}

enum { DUMPED = JSON_COMPACT | JSON_REAL_PRECISION(9) };

/* With its newline. */
static bool write_text(ls_recorder *r, const char *text, size_t length) {
    int why = r->recording.line(r->recording.context, text, length);
    if (why == ECANCELED) {
        r->over = true;
    } else if (why != 0) {
        lost(r, strerror(why));
        r->totals.lost_lines++;
    }
    return why == 0;
}

/* Takes the object over. */
static bool write_line(ls_recorder *r, json_t *object) {
    char *text = json_dumps(object, DUMPED);
    json_decref(object);
    if (text == NULL)
        return false;
    size_t length = strlen(text);
    text[length] = '\n'; /* over the NUL */
    bool written = write_text(r, text, length + 1);
    free(text);
    return written;
}

/* `compiled`: how compiled regions ran, where the note is of that; or NULL. */
static void write_compiled_note(ls_recorder *r, const char *text, const char *compiled) {
    if (r->totals.notes++ == 0)
        snprintf(r->totals.note, sizeof r->totals.note, "%s", text);
    write_line(r, json_pack("{s:s, s:s*}", "note", text, "compiled", compiled));
}

static void write_note(ls_recorder *r, const char *text) { write_compiled_note(r, text, NULL); }

/* Arguments need not be UTF-8; JSON must. */
static json_t *argument_json(const char *argument) {
    ls_text quoted = {0};
    ls_text_json(&quoted, argument, strlen(argument));
    json_t *text = json_loads(quoted.data != NULL ? quoted.data : "\"\"", JSON_DECODE_ANY, NULL);
    ls_text_done(&quoted);
    return text;
}

static json_t *argv_json(char *const *argv) {
    json_t *list = json_array();
    for (; argv != NULL && *argv != NULL; argv++)
        json_array_append_new(list, argument_json(*argv));
    return list;
}

static bool write_first_line(ls_recorder *r, const char *only, char *const *argv) {
    char when[32] = "";
    time_t now = time(NULL);
    struct tm utc;
    if (gmtime_r(&now, &utc) != NULL)
        strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", &utc);
    json_t *line = json_pack("{s:i, s:s}", "lockstep_trace", 1, "started", when);
    json_object_set_new(line, "argv", argv_json(argv));
    if (only != NULL)
        json_object_set_new(line, "only", argument_json(only));
    return write_line(r, line);
}

lockstep_status ls_recorder_open(const ls_recording *recording, bool stats_only, const char *only, char *const *argv,
                                 ls_recorder **out_recorder, lockstep_error *error) {
    ls_recorder *r = calloc(1, sizeof *r);
    float *tile = malloc(TILE * sizeof *tile);
    if (r == NULL || tile == NULL) {
        free(r);
        free(tile);
        recording->close(recording->context, false);
        return ls_fail(error, LOCKSTEP_NO_MEMORY, "out of memory");
    }
    *r = (ls_recorder){.recording = *recording, .stats_only = stats_only, .tile = tile};
    pthread_mutex_init(&r->lock, NULL);
    if (!write_first_line(r, only, argv)) {
        ls_recorder_totals totals;
        ls_fail(error, LOCKSTEP_IO, "the trace can't be written: %s", r->totals.trouble);
        ls_recorder_close(r, false, 0, &totals);
        return LOCKSTEP_IO;
    }
    *out_recorder = r;
    return LOCKSTEP_OK;
}

/* ----------------------------------------------------------------- tensors */

static bool remember_id(process_state *p, uint64_t id, uint64_t i) {
    if (p->id_count == p->id_capacity) {
        size_t capacity = p->id_capacity == 0 ? 1024 : p->id_capacity * 2;
        struct id_pair *ids = realloc(p->ids, capacity * sizeof *ids);
        if (ids == NULL)
            return false;
        p->ids = ids;
        p->id_capacity = capacity;
    }
    size_t at = p->id_count; /* threads may overtake each other by a little */
    while (at > 0 && p->ids[at - 1].id > id)
        at--;
    if (at > 0 && p->ids[at - 1].id == id)
        return false; /* not unique */
    memmove(p->ids + at + 1, p->ids + at, (p->id_count - at) * sizeof *p->ids);
    p->ids[at] = (struct id_pair){id, i};
    p->id_count++;
    return true;
}

static const struct id_pair *find_id(const process_state *p, uint64_t id) {
    size_t low = 0, high = p->id_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (p->ids[middle].id < id)
            low = middle + 1;
        else
            high = middle;
    }
    return low < p->id_count && p->ids[low].id == id ? &p->ids[low] : NULL;
}

/* The ids of `src` as the trace's own numbers; those never seen are left out. */
static void put_sources(ls_text *line, const process_state *p, const json_t *ids) {
    const char *separator = "";
    json_t *id;
    size_t at;
    ls_text_printf(line, ",\"src\":[");
    json_array_foreach(ids, at, id) {
        const struct id_pair *pair = json_is_integer(id) ? find_id(p, (uint64_t)json_integer_value(id)) : NULL;
        if (pair == NULL)
            continue;
        ls_text_printf(line, "%s%llu", separator, (unsigned long long)pair->i);
        separator = ",";
    }
    ls_text_append(line, "]", 1);
}

typedef struct incoming {
    const char *name, *op;
    lockstep_dtype dtype, stored; /* in the engine; in the file */
    bool known;                   /* dtype is one of ours */
    int rank;
    uint64_t shape[LOCKSTEP_MAX_RANK], elements, bytes;
} incoming;

/* Of more axes than a trace has, the outermost are one; the line says which. */
static void fold_shape(json_t *object, const incoming *in) {
    if (json_array_size(json_object_get(object, "shape")) <= LOCKSTEP_MAX_RANK)
        return;
    json_object_set(object, "folded_from", json_object_get(object, "shape"));
    json_t *shape = json_array();
    for (int i = 0; i < in->rank; i++)
        json_array_append_new(shape, json_integer((json_int_t)in->shape[i]));
    json_object_set_new(object, "shape", shape);
}

static incoming incoming_of(const ls_frame_tensor *t) {
    incoming in = {.name = t->name, .op = t->op, .dtype = t->dtype, .known = t->dtype != LOCKSTEP_OPAQUE,
                   .rank = t->rank, .elements = t->elements, .bytes = t->bytes};
    memcpy(in.shape, t->shape, sizeof in.shape);
    if (in.known)
        in.stored = ls_dtype(in.dtype)->npy != NULL ? in.dtype : LOCKSTEP_F32;
    return in;
}

typedef struct writing {
    const ls_recording *to; /* NULL: the values are not kept */
    XXH3_state_t hash;
    ls_summary summary;
} writing;

static void put_bytes(writing *w, const void *bytes, size_t count) {
    XXH3_64bits_update(&w->hash, bytes, count);
    if (w->to != NULL)
        w->to->put(w->to->context, bytes, count);
}

/* Whole blocks as they came: summed up, converted where NPY has no such type. */
static void put_blocks(ls_recorder *r, writing *w, const incoming *in, const uint8_t *bytes, size_t blocks) {
    const ls_dtype_row *row = ls_dtype(in->dtype);
    bool converted = in->stored != in->dtype;
    if (!converted)
        put_bytes(w, bytes, blocks * row->block_bytes);
    size_t step = row->to_f32 != NULL ? TILE / row->block_elements : TILE / 2;
    for (size_t done = 0; done < blocks; done += step) {
        size_t n = blocks - done < step ? blocks - done : step;
        const uint8_t *from = bytes + done * row->block_bytes;
        size_t elements = n * row->block_elements;
        if (in->dtype == LOCKSTEP_F32) {
            ls_summary_add_f32(&w->summary, from, elements);
        } else if (row->to_f32 != NULL) {
            row->to_f32(from, elements, r->tile);
            ls_summary_add_f32(&w->summary, r->tile, elements);
        } else {
            row->to_f64(from, elements, (double *)(void *)r->tile);
            ls_summary_add_f64(&w->summary, (double *)(void *)r->tile, elements);
        }
        if (converted)
            put_bytes(w, r->tile, elements * sizeof(float));
    }
}

static bool copy_values(ls_recorder *r, writing *w, const incoming *in, const ls_frame *frame) {
    uint32_t block = ls_dtype(in->dtype)->block_bytes;
    size_t carried = 0; /* bytes of a block that was cut by the end of a piece */
    uint8_t carry[512];
    for (uint64_t left = frame->data_bytes; left > 0;) {
        const uint8_t *bytes;
        size_t count;
        if (!ls_inlet_data(frame->inlet, 1, &bytes, &count))
            return false;
        left -= count;
        if (carried > 0) {
            size_t more = block - carried < count ? block - carried : count;
            memcpy(carry + carried, bytes, more);
            carried += more, bytes += more, count -= more;
            if (carried < block)
                continue;
            put_blocks(r, w, in, carry, 1);
            carried = 0;
        }
        put_blocks(r, w, in, bytes, count / block);
        carried = count % block;
        memcpy(carry, bytes + (count - carried), carried);
    }
    return true;
}

static void put_number(ls_text *line, const char *key, double value) {
    if (isfinite(value))
        ls_text_printf(line, "\"%s\":%.9g,", key, value);
    else
        ls_text_printf(line, "\"%s\":\"%s\",", key, isnan(value) ? "nan" : value > 0 ? "inf" : "-inf");
}

static void put_stats(ls_text *line, const ls_summary *s) {
    ls_text_printf(line, ",\"stats\":{");
    if (s->finite > 0) {
        put_number(line, "min", s->min);
        put_number(line, "max", s->max);
        put_number(line, "mean", ls_summary_mean(s));
        put_number(line, "l2", ls_summary_l2(s));
    }
    ls_text_printf(line, "\"nan\":%llu,\"inf\":%llu}", (unsigned long long)s->nan, (unsigned long long)s->inf);
}

static void lose_values(ls_recorder *r, const char *why) {
    lost(r, why);
    ls_text_printf(&r->line, ",\"lost\":");
    ls_text_json(&r->line, why, strlen(why));
    r->totals.dropped++;
}

static void put_place(ls_text *line, const ls_place *place) {
    ls_text_printf(line, ",\"file\":\"%s\"", place->file);
    if (place->bytes > 0)
        ls_text_printf(line, ",\"at\":%llu,\"bytes\":%llu,\"member\":\"%s\"", (unsigned long long)place->at, (unsigned long long)place->bytes, place->member);
}

/* Adds place, stats and hash to the line; false when the process died meanwhile. */
static bool keep_values(ls_recorder *r, const incoming *in, uint64_t i, const ls_frame *frame) {
    writing w = {.to = r->stats_only ? NULL : &r->recording};
    ls_stored_values values = {i, in->name, in->stored, in->rank, in->shape, in->elements, in->elements * ls_dtype(in->stored)->block_bytes};
    ls_place place;
    XXH3_64bits_reset(&w.hash);
    ls_summary_init(&w.summary);
    w.summary.no_spread = true;
    if (w.to != NULL)
        w.to->begin(w.to->context, &values);
    bool whole = copy_values(r, &w, in, frame);
    int failed = w.to != NULL ? w.to->end(w.to->context, whole, &place) : 0;
    if (failed != 0 && failed != ECANCELED)
        lose_values(r, strerror(failed));
    if (!whole)
        return false;
    if (w.to != NULL && failed == 0) {
        put_place(&r->line, &place);
        r->totals.files++;
        r->totals.bytes += values.bytes;
    }
    put_stats(&r->line, &w.summary);
    ls_text_printf(&r->line, ",\"xxh3\":\"%016llx\"", (unsigned long long)XXH3_64bits_digest(&w.hash));
    return true;
}

static uint64_t occurrence(process_state *p, int64_t pass, const incoming *in) {
    ls_text key = {0};
    ls_text_printf(&key, "%lld/%s/%s", (long long)pass, in->op, in->name);
    uint64_t *seen = key.failed ? NULL : ls_map_at(&p->occurrences, key.data, key.length);
    ls_text_done(&key);
    return seen != NULL ? (*seen)++ : 0;
}

/* The trace's number for a process's own; NULL when out of memory. 0 is not yet given. */
static uint64_t *pass_slot(ls_recorder *r, unsigned process, const json_t *object) {
    char key[64];
    int length = snprintf(key, sizeof key, "%u/%lld", process,
                          (long long)json_integer_value(json_object_get(object, "pass")));
    return ls_map_at(&r->passes, key, (size_t)length);
}

/* Keys of a line that the recorder alone gives; a process's own are dropped. */
static const char *const ours[] = {"i",    "file", "at",    "bytes",  "member",        "stats", "xxh3", "lost", "occurrence", "event",
                                   "note", "end",  "ended", "engine", "lockstep_trace"};

static int append_dumped(const char *bytes, size_t count, void *line) {
    ls_text_append(line, bytes, count);
    return 0;
}

/* What a process may say of a tensor, behind what the recorder says; without the keys that are the recorder's. */
static void put_given(ls_text *line, json_t *object) {
    static const char *const translated[] = {"id", "pass", "src", "alias_of"};
    for (size_t k = 0; k < sizeof ours / sizeof ours[0]; k++)
        json_object_del(object, ours[k]);
    for (size_t k = 0; k < sizeof translated / sizeof translated[0]; k++)
        json_object_del(object, translated[k]);
    ls_text_append(line, ",", 1);
    const size_t brace = line->length;
    if (json_dump_callback(object, append_dumped, line, DUMPED) != 0)
        line->failed = true;
    if (line->failed)
        return;
    memmove(line->data + brace, line->data + brace + 1, line->length - brace - 1);
    line->length -= 2; /* both braces: an object with a name isn't empty */
}

/* All of the line that doesn't depend on values; the process's keys, then the recorder's. */
static void begin_line(ls_recorder *r, process_state *p, json_t *object, const incoming *in, uint64_t i, int64_t pass, bool weight) {
    ls_text *line = &r->line;
    const json_t *alias_of = json_object_get(object, "alias_of");
    const struct id_pair *alias = alias_of != NULL ? find_id(p, (uint64_t)json_integer_value(alias_of)) : NULL;
    ls_text_clear(line);
    ls_text_printf(line, "{\"i\":%llu", (unsigned long long)i);
    if (pass >= 0)
        ls_text_printf(line, ",\"pass\":%lld", (long long)pass);
    put_sources(line, p, json_object_get(object, "src"));
    ls_text_printf(line, ",\"occurrence\":%llu", (unsigned long long)(weight ? 0 : occurrence(p, pass, in)));
    if (alias != NULL)
        ls_text_printf(line, ",\"alias_of\":%llu", (unsigned long long)alias->i);
    fold_shape(object, in);
    put_given(line, object);
}

/* A tensor's line begins as the recorder's. */
static bool record_tensor(ls_recorder *r, process_state *p, json_t *object, const ls_frame *frame, const ls_frame_content *content) {
    incoming in = incoming_of(&content->tensor);
    const char *role = json_string_value(json_object_get(object, "role"));
    const uint64_t own = (uint64_t)content->id, i = r->next_i++;
    const bool weight = ls_role_of(role) == LOCKSTEP_ROLE_WEIGHT;
    const uint64_t *slot = weight || json_object_get(object, "pass") == NULL ? NULL : pass_slot(r, frame->process, object);
    begin_line(r, p, object, &in, i, slot != NULL ? (int64_t)*slot - 1 : -1, weight);
    if (!remember_id(p, own, i))
        return false;
    if (frame->data_bytes != 0 && !in.known)
        lose_values(r, "an element type that can't be decoded");
    else if (frame->data_bytes != 0 && !keep_values(r, &in, i, frame)) {
        p->died = true;
        return false;
    }
    ls_text_append(&r->line, "}\n", 2);
    if (r->line.failed) {
        ls_text_done(&r->line);
        r->line.failed = false;
        lost(r, strerror(ENOMEM));
        r->totals.lost_lines++;
        return true;
    }
    if (!weight)
        r->totals.tensors++;
    write_text(r, r->line.data, r->line.length);
    return true;
}

/* ------------------------------------------------------------------ passes */

static void record_start(ls_recorder *r, unsigned process, json_t *object) {
    const char *engine = json_string_value(json_object_get(object, "engine"));
    const char *version = json_string_value(json_object_get(object, "engine_version"));
    const char *model = json_string_value(json_object_get(object, "model"));
    if (engine != NULL && r->totals.engine[0] == '\0')
        snprintf(r->totals.engine, sizeof r->totals.engine, "%s%s%s%s%s", engine,
                 version != NULL ? " " : "", version != NULL ? version : "",
                 model != NULL ? " " : "", model != NULL ? model : "");
    static const char *const theirs[] = {"engine", "engine_version", "model", "device", "framework", "context",
                                         "rank", "world_size"};
    json_t *line = json_object();
    for (size_t k = 0; k < sizeof theirs / sizeof theirs[0]; k++)
        if (json_object_get(object, theirs[k]) != NULL)
            json_object_set(line, theirs[k], json_object_get(object, theirs[k]));
    json_object_set_new(line, "process", json_integer(process));
    write_line(r, line);
}

static bool are_ids(const json_t *list, size_t count) {
    const json_t *id;
    size_t at;
    json_array_foreach(list, at, id)
        if (!json_is_integer(id) || json_integer_value(id) < INT32_MIN || json_integer_value(id) > INT32_MAX)
            return false;
    return json_array_size(list) == count;
}

/* A pass has as many rows as were first said of it. What else is said, an engine's mistake,
 * would make the trace unreadable: it is left out. False when there is no memory. */
static bool check_rows(ls_recorder *r, int64_t pass, json_t *object) {
    static const char *const keys[] = {"tokens", "positions", "sequences"};
    char key[32], text[120];
    uint64_t *rows = ls_map_at(&r->rows, key, (size_t)snprintf(key, sizeof key, "%lld", (long long)pass));
    bool wrong = false;
    if (rows == NULL)
        return false;
    for (size_t k = 0; k < sizeof keys / sizeof keys[0]; k++) {
        const json_t *list = json_object_get(object, keys[k]);
        uint64_t size = json_array_size(list);
        bool fits = size > 0 && are_ids(list, *rows > 0 ? (size_t)*rows : (size_t)size);
        if (fits)
            *rows = size;
        else
            json_object_del(object, keys[k]);
        wrong = wrong || (size > 0 && !fits);
    }
    if (wrong) {
        snprintf(text, sizeof text, "pass %lld: tokens, positions or sequences of another number than its rows were left out", (long long)pass);
        write_note(r, text);
    }
    return true;
}

typedef enum pass_event { PASS_BEGINS, PASS_ROWS, PASS_ENDS } pass_event;

static bool record_pass(ls_recorder *r, process_state *p, unsigned process, json_t *object, pass_event what) {
    uint64_t *slot = pass_slot(r, process, object);
    if (slot == NULL)
        return false;
    if (*slot == 0)
        *slot = ++r->totals.passes;
    for (size_t k = 0; k < sizeof ours / sizeof ours[0]; k++)
        json_object_del(object, ours[k]);
    if (what == PASS_BEGINS) {
        if (p->open_passes++ == 0)
            ls_map_done(&p->occurrences);
        json_object_set_new(object, "process", json_integer(process));
    } else if (what == PASS_ENDS) {
        p->open_passes -= p->open_passes > 0;
        json_object_set_new(object, "ended", json_true());
    }
    int64_t pass = (int64_t)*slot - 1;
    if (!check_rows(r, pass, object))
        return false;
    json_t *line = json_pack("{s:I}", "pass", (json_int_t)pass);
    json_object_del(object, "pass");
    json_object_update(line, object);
    write_line(r, line);
    return true;
}

static void answer(ls_recorder *r, const process_state *p, const ls_frame *frame, const json_t *object) {
    const struct id_pair *line = find_id(p, (uint64_t)json_integer_value(json_object_get(object, "id")));
    uint64_t bytes = 0;
    const void *values = NULL;
    if (line != NULL && r->recording.replace != NULL)
        values = r->recording.replace(r->recording.context, line->i, &bytes);
    if (ls_inlet_answer(frame->inlet, values, bytes))
        return;
    if (r->recording.not_replaced != NULL)
        r->recording.not_replaced(r->recording.context, line->i);
    write_note(r, "values to go on with could not be handed over: a tensor kept its own");
}

static bool record_event(ls_recorder *r, process_state *p, const ls_frame *frame, const ls_frame_content *content, json_t *object) {
    switch (content->event) {
    case LS_EVENT_TENSOR:
        return record_tensor(r, p, object, frame, content);
    case LS_EVENT_PASS:
        return record_pass(r, p, frame->process, object, PASS_BEGINS);
    case LS_EVENT_ROWS:
        return record_pass(r, p, frame->process, object, PASS_ROWS);
    case LS_EVENT_PASS_END:
        return record_pass(r, p, frame->process, object, PASS_ENDS);
    case LS_EVENT_RESYNC:
        answer(r, p, frame, object);
        return true;
    case LS_EVENT_START:
        record_start(r, frame->process, object);
        return true;
    case LS_EVENT_NOTE:
        if (json_is_string(json_object_get(object, "text")))
            write_compiled_note(r, json_string_value(json_object_get(object, "text")), json_string_value(json_object_get(object, "compiled")));
        return true;
    case LS_EVENT_END:
        r->totals.ended += !p->said_end;
        p->said_end = true;
        return true;
    case LS_EVENT_OTHER:
        break;
    }
    return true; /* for later versions */
}

/* NULL when there is no memory. */
static process_state *process_of(ls_recorder *r, unsigned process) {
    size_t capacity = ls_doubled(r->process_capacity, (size_t)process + 1);
    if (!ls_extend(&r->processes, r->process_capacity, capacity, sizeof(process_state *)))
        return NULL;
    r->process_capacity = capacity;
    if (r->processes[process] == NULL)
        r->processes[process] = calloc(1, sizeof(process_state));
    return r->processes[process];
}

static void forget_process(ls_recorder *r, size_t process) {
    process_state *p = r->processes[process];
    if (p == NULL)
        return;
    free(p->ids);
    ls_map_done(&p->occurrences);
    free(p);
    r->processes[process] = NULL;
}

bool ls_recorder_frame(void *recorder, const ls_frame *frame) {
    ls_recorder *r = recorder;
    ls_frame_content content;
    lockstep_error error = {0};
    bool ok = false;
    pthread_mutex_lock(&r->lock);
    process_state *p = process_of(r, frame->process);
    if (frame->process >= r->totals.processes)
        r->totals.processes = frame->process + 1;
    if (p != NULL && !r->over &&
        ls_frame_read(frame->json, frame->json_bytes, frame->data_bytes, &r->frame_memory, &content, &error) == LOCKSTEP_OK) {
        json_t *object = json_loadb(frame->json, frame->json_bytes, JSON_REJECT_DUPLICATES, NULL);
        ok = object != NULL && record_event(r, p, frame, &content, object) && !r->over;
        json_decref(object);
    }
    if (!ok && p != NULL && !p->died && !r->over) {
        char text[600];
        snprintf(text, sizeof text, "process %u sent what it may not, and was cut off%s%s", frame->process,
                 error.message[0] != '\0' ? ": " : "", error.message);
        write_note(r, text);
    }
    ls_arena_reset(&r->frame_memory);
    pthread_mutex_unlock(&r->lock);
    return ok;
}

void ls_recorder_closed(void *recorder, unsigned process, ls_ending ending) {
    ls_recorder *r = recorder;
    pthread_mutex_lock(&r->lock);
    const process_state *p = process < r->process_capacity ? r->processes[process] : NULL;
    if (!r->over && (ending != LS_ENDING_WHOLE || (p != NULL && p->open_passes > 0)))
        r->totals.torn = true;
    if (p != NULL)
        forget_process(r, process);
    if (!r->over && ending == LS_ENDING_WENT_ON) {
        char text[120];
        snprintf(text, sizeof text, "process %u closed the channel, as all descriptors it doesn't know: what it computed later is missing", process);
        write_note(r, text);
    }
    pthread_mutex_unlock(&r->lock);
}

bool ls_recorder_has_ended(ls_recorder *r) {
    pthread_mutex_lock(&r->lock);
    bool ended = r->totals.processes > 0 && r->totals.ended == r->totals.processes;
    pthread_mutex_unlock(&r->lock);
    return ended;
}

void ls_recorder_note(ls_recorder *r, const char *text) {
    pthread_mutex_lock(&r->lock);
    write_note(r, text);
    pthread_mutex_unlock(&r->lock);
}

/* The values are there, and their lines tell where: only others can't open the file. */
static void finish_values(ls_recorder *r) {
    int why = r->recording.finish != NULL ? r->recording.finish(r->recording.context) : 0;
    char text[200];
    if (why == 0)
        return;
    snprintf(text, sizeof text, "a segment has no zip directory yet (%s): np.load opens it after `lockstep convert --restore`", strerror(why));
    write_note(r, text);
}

void ls_recorder_close(ls_recorder *r, bool whole, int exit_status, ls_recorder_totals *out_totals) {
    finish_values(r);
    if (whole && !r->totals.torn && r->totals.lost_lines == 0)
        write_line(r, json_pack("{s:b, s:I, s:I, s:i}", "end", 1, "tensors", (json_int_t)r->totals.tensors,
                                "dropped", (json_int_t)r->totals.dropped, "exit", exit_status));
    int why = r->recording.close(r->recording.context, r->totals.tensors > 0 || r->totals.files > 0);
    if (why != 0)
        snprintf(r->totals.not_placed, sizeof r->totals.not_placed, "%s", strerror(why));
    *out_totals = r->totals;
    for (size_t i = 0; i < r->process_capacity; i++)
        forget_process(r, i);
    free(r->processes);
    ls_map_done(&r->passes);
    ls_map_done(&r->rows);
    ls_text_done(&r->line);
    free(r->tile);
    ls_arena_done(&r->frame_memory);
    pthread_mutex_destroy(&r->lock);
    free(r);
}
