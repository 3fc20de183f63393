#include "record/recorder.h"

#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/grow.h"
#include "base/hash.h"
#include "base/map.h"
#include "base/role.h"
#include "base/text.h"
#include "tensor/dtype.h"
#include "tensor/summary.h"
#include "wire/frame_reader.h"

enum { TILE = 8192 };

typedef struct process_state {
    struct id_pair {
        uint64_t id, i;
    } *ids; /* in increasing order of id */
    size_t id_count, id_capacity;
    unsigned open_passes;
    bool died; /* it ended within a tensor's values */
    bool said_end;
    ls_map occurrences; /* "pass/op/name" -> seen so far in a pass that is open */
} process_state;

struct ls_recorder {
    pthread_mutex_t lock;
    ls_recording recording;
    bool stats_only;
    bool over; /* the recording needs nothing more */
    uint64_t next_i;
    process_state **processes; /* by number; NULL where there is none, or it is gone */
    size_t process_capacity;
    ls_map passes;            /* "process/pass" -> pass of the trace + 1 */
    ls_map rows;              /* pass of the trace -> how many it has, where known */
    ls_recorder_totals totals;
    ls_text line; /* the one that is being built */
    float *tile; /* TILE floats */
    ls_arena frame_memory; /* what is read from a frame */
};

/* ------------------------------------------------------------------- lines */

static void lost(ls_recorder *r, const char *reason) {
    if (r->totals.reason[0] == '\0')
        snprintf(r->totals.reason, sizeof r->totals.reason, "%s", reason);
}

/* With its newline. */
static bool write_text(ls_recorder *r, const char *text, size_t length) {
    int code = r->recording.line(r->recording.context, text, length);
    if (code == ECANCELED) {
        r->over = true;
    } else if (code != 0) {
        lost(r, strerror(code));
        r->totals.lost_lines++;
    }
    return code == 0;
}

/* Ends r->line and writes it. One that could not be built is lost. */
static bool end_line(ls_recorder *r) {
    ls_text_append(&r->line, "}\n", 2);
    if (!r->line.failed)
        return write_text(r, r->line.data, r->line.length);
    ls_text_done(&r->line);
    lost(r, strerror(ENOMEM));
    r->totals.lost_lines++;
    return false;
}

/* `compiled`: how compiled regions ran, if the note is about that; or NULL. */
static void write_compiled_note(ls_recorder *r, const char *text, const char *compiled) {
    if (r->totals.notes++ == 0)
        snprintf(r->totals.note, sizeof r->totals.note, "%s", text);
    ls_text_clear(&r->line);
    ls_text_printf(&r->line, "{\"note\":");
    ls_text_json(&r->line, text, strlen(text));
    if (compiled != NULL) {
        ls_text_printf(&r->line, ",\"compiled\":");
        ls_text_json(&r->line, compiled, strlen(compiled));
    }
    end_line(r);
}

static void write_note(ls_recorder *r, const char *text) { write_compiled_note(r, text, NULL); }

/* Arguments need not be UTF-8; ls_text_json sees to it that the line is. */
static bool write_first_line(ls_recorder *r, const ls_recorder_options *o) {
    char when[32] = "";
    time_t now = time(NULL);
    struct tm utc;
    if (gmtime_r(&now, &utc) != NULL)
        strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", &utc);
    ls_text_clear(&r->line);
    ls_text_printf(&r->line, "{\"lockstep_trace\":1,\"started\":\"%s\",\"argv\":[", when);
    for (char *const *argument = o->argv; argument != NULL && *argument != NULL; argument++) {
        ls_text_append(&r->line, ",", argument > o->argv ? 1 : 0);
        ls_text_json(&r->line, *argument, strlen(*argument));
    }
    ls_text_append(&r->line, "]", 1);
    if (o->only != NULL) {
        ls_text_printf(&r->line, ",\"only\":");
        ls_text_json(&r->line, o->only, strlen(o->only));
    }
    if (o->graph_only)
        ls_text_printf(&r->line, ",\"graph_only\":true");
    return end_line(r);
}

lockstep_status ls_recorder_open(const ls_recording *recording, const ls_recorder_options *options, ls_recorder **out_recorder, lockstep_error *error) {
    ls_recorder *r = calloc(1, sizeof *r);
    float *tile = malloc(TILE * sizeof *tile);
    if (r == NULL || tile == NULL) {
        free(r);
        free(tile);
        recording->close(recording->context, false);
        return ls_fail(error, LOCKSTEP_NO_MEMORY, "out of memory");
    }
    *r = (ls_recorder){.recording = *recording, .stats_only = options->stats_only, .tile = tile};
    pthread_mutex_init(&r->lock, NULL);
    if (!write_first_line(r, options)) {
        ls_recorder_totals totals;
        ls_fail(error, LOCKSTEP_IO, "the trace can't be written: %s", r->totals.reason);
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

static void add_integer(ls_text *line, const char *key, uint64_t value) {
    ls_text_append(line, key, strlen(key));
    ls_text_integer(line, (int64_t)value);
}

/* The ids of `src` as the trace's own numbers; those never seen are left out. */
static void put_sources(ls_text *line, const process_state *p, const ls_frame_content *content) {
    ls_frame_list ids = ls_frame_list_of(content, "src");
    const char *separator = ",\"src\":[";
    bool whole, any = false;
    int64_t id;
    while (ls_frame_list_next(&ids, &whole, &id)) {
        const struct id_pair *pair = whole ? find_id(p, (uint64_t)id) : NULL;
        if (pair == NULL)
            continue;
        add_integer(line, separator, pair->i);
        separator = ",";
        any = true;
    }
    ls_text_append(line, any ? "]" : ",\"src\":[]", any ? 1 : 9);
}

/* The ids of `operands` likewise, slot by slot; null for an empty slot, and for one never seen. */
static void put_operands(ls_text *line, const process_state *p, const ls_frame_content *content) {
    ls_frame_list ids = ls_frame_list_of(content, "operands");
    const char *separator = ",\"operands\":[";
    bool whole, any = false;
    int64_t id;
    for (; ls_frame_list_next(&ids, &whole, &id); separator = ",", any = true) {
        const struct id_pair *pair = whole ? find_id(p, (uint64_t)id) : NULL;
        if (pair != NULL)
            add_integer(line, separator, pair->i);
        else
            ls_text_printf(line, "%snull", separator);
    }
    if (any)
        ls_text_append(line, "]", 1);
}

typedef struct incoming {
    const char *name, *op;
    lockstep_dtype dtype, stored; /* in the engine; in the file */
    bool known;                   /* dtype is one of ours */
    int rank;
    uint64_t shape[LOCKSTEP_MAX_RANK], elements, bytes;
} incoming;

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

/* Hashes whole blocks and computes their statistics tile by tile, so that each tile is read from memory once. Types that NPY lacks are
 * converted and stored by the tile; all others are stored as they came, in one call. */
static void put_blocks(ls_recorder *r, writing *w, const incoming *in, const uint8_t *bytes, size_t blocks) {
    const ls_dtype_row *row = ls_dtype(in->dtype);
    const bool converted = in->stored != in->dtype;
    size_t step = row->to_f32 != NULL ? TILE / row->block_elements : TILE / 2;
    for (size_t done = 0; done < blocks; done += step) {
        size_t n = blocks - done < step ? blocks - done : step;
        const uint8_t *from = bytes + done * row->block_bytes;
        size_t elements = n * row->block_elements;
        if (!converted)
            XXH3_64bits_update(&w->hash, from, n * row->block_bytes);
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
    if (!converted && w->to != NULL)
        w->to->put(w->to->context, bytes, blocks * row->block_bytes);
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

static void lose_values(ls_recorder *r, const char *reason) {
    lost(r, reason);
    ls_text_printf(&r->line, ",\"lost\":");
    ls_text_json(&r->line, reason, strlen(reason));
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

/* The trace's number for a process's own, plus 1; 0 if none was given yet. NULL: no memory. */
static uint64_t *pass_slot(ls_recorder *r, unsigned process, int64_t pass) {
    char key[64];
    int length = snprintf(key, sizeof key, "%u/%lld", process, (long long)pass);
    return ls_map_at(&r->passes, key, (size_t)length);
}

/* The trace's number of a tensor's pass. One that the process never began is begun here, with nothing known of its rows. */
static bool find_pass(ls_recorder *r, unsigned process, int64_t number, int64_t *out_pass) {
    uint64_t *slot = pass_slot(r, process, number);
    if (slot == NULL)
        return false;
    const bool is_new = *slot == 0;
    if (is_new)
        *slot = ++r->totals.passes;
    *out_pass = (int64_t)*slot - 1;
    if (!is_new)
        return true;
    ls_text_clear(&r->line);
    add_integer(&r->line, "{\"pass\":", (uint64_t)*out_pass);
    add_integer(&r->line, ",\"process\":", process);
    return end_line(r) || !r->over;
}

static bool is_among(const char *key, const char *const *keys, size_t count) {
    for (size_t k = 0; k < count; k++)
        if (strcmp(key, keys[k]) == 0)
            return true;
    return false;
}

/* Keys of a line that only the recorder writes; a process's own are dropped. */
static bool is_reserved(const char *key) {
    static const char *const reserved[] = {"i",    "file", "at",  "bytes", "member", "stats",  "xxh3",          "lost", "occurrence", "event",
                                           "note", "end", "ended", "engine", "pass", "model_file", "lockstep_trace"};
    return is_among(key, reserved, sizeof reserved / sizeof reserved[0]);
}

/* A shape of more axes than a trace has is written with its outermost axes folded into one, beside the original. */
static void put_folded_shape(ls_text *line, const incoming *in, const ls_frame_content *content, const ls_frame_member *shape) {
    ls_text_printf(line, ",\"folded_from\":");
    ls_frame_put_value(line, content, shape);
    for (int i = 0; i < in->rank; i++)
        add_integer(line, i > 0 ? "," : ",\"shape\":[", in->shape[i]);
    ls_text_append(line, "]", 1);
}

/* What a process may say of a tensor, without the keys that are the recorder's. */
static void put_given(ls_text *line, const incoming *in, const ls_frame_content *content) {
    static const char *const translated[] = {"id", "src", "operands", "alias_of", "view_of"};
    const bool folded = content->tensor.axes > LOCKSTEP_MAX_RANK;
    for (size_t m = 0; m < content->member_count; m++) {
        const ls_frame_member *member = &content->members[m];
        if (is_reserved(member->key) || is_among(member->key, translated, sizeof translated / sizeof translated[0]))
            continue;
        if (folded && strcmp(member->key, "strides") == 0)
            continue; /* they are those of the shape that is folded */
        if (folded && strcmp(member->key, "shape") == 0)
            put_folded_shape(line, in, content, member);
        else if (!folded || strcmp(member->key, "folded_from") != 0)
            ls_frame_put_member(line, content, member);
    }
}

/* Adds a key whose value is the id of another tensor, as the trace's own number; one never seen is left out. */
static void put_reference(ls_text *line, const process_state *p, const ls_frame_content *content, const char *key) {
    const ls_frame_member *member = ls_frame_find(content, key);
    uint64_t id;
    if (member == NULL)
        return;
    ls_json value = {.text = content->text, .size = member->end, .at = member->begin};
    const struct id_pair *pair = ls_json_u64(&value, "an id", &id, NULL) == LOCKSTEP_OK ? find_id(p, id) : NULL;
    if (pair != NULL)
        ls_text_printf(line, ",\"%s\":%llu", key, (unsigned long long)pair->i);
}

/* All of the line that doesn't depend on values: the recorder's keys, then the process's. */
static void begin_line(ls_recorder *r, process_state *p, const ls_frame_content *content, const incoming *in, uint64_t i, int64_t pass, bool weight) {
    ls_text *line = &r->line;
    ls_text_clear(line);
    add_integer(line, "{\"i\":", i);
    if (pass >= 0)
        add_integer(line, ",\"pass\":", (uint64_t)pass);
    put_sources(line, p, content);
    add_integer(line, ",\"occurrence\":", weight ? 0 : occurrence(p, pass, in));
    put_operands(line, p, content);
    put_reference(line, p, content, "alias_of");
    put_reference(line, p, content, "view_of");
    put_given(line, in, content);
}

static bool record_tensor(ls_recorder *r, process_state *p, const ls_frame *frame, const ls_frame_content *content) {
    incoming in = incoming_of(&content->tensor);
    const char *role = ls_frame_string(content, "role", &r->frame_memory);
    const uint64_t own = (uint64_t)content->id, i = r->next_i++;
    const bool weight = ls_role_of(role) == LOCKSTEP_ROLE_WEIGHT;
    int64_t pass = -1;
    if (!weight && !find_pass(r, frame->process, content->pass, &pass))
        return false;
    begin_line(r, p, content, &in, i, pass, weight);
    if (!remember_id(p, own, i))
        return false;
    if (frame->data_bytes != 0 && !in.known)
        lose_values(r, "an element type that can't be decoded");
    else if (frame->data_bytes != 0 && !keep_values(r, &in, i, frame)) {
        p->died = true;
        return false;
    }
    if (!weight && !r->line.failed)
        r->totals.tensors++;
    end_line(r);
    return true;
}

/* ------------------------------------------------------------------ passes */

static void name_engine(ls_recorder *r, const ls_frame_content *content) {
    const char *engine = ls_frame_string(content, "engine", &r->frame_memory);
    const char *version = ls_frame_string(content, "engine_version", &r->frame_memory);
    const char *model = ls_frame_string(content, "model", &r->frame_memory);
    if (engine != NULL && r->totals.engine[0] == '\0')
        snprintf(r->totals.engine, sizeof r->totals.engine, "%s%s%s%s%s", engine,
                 version != NULL ? " " : "", version != NULL ? version : "",
                 model != NULL ? " " : "", model != NULL ? model : "");
}

static void record_start(ls_recorder *r, unsigned process, const ls_frame_content *content) {
    static const char *const kept[] = {"engine", "engine_version", "model", "device", "framework", "context",
                                       "rank", "world_size"};
    name_engine(r, content);
    ls_text_clear(&r->line);
    add_integer(&r->line, "{\"process\":", process);
    for (size_t m = 0; m < content->member_count; m++)
        if (is_among(content->members[m].key, kept, sizeof kept / sizeof kept[0]))
            ls_frame_put_member(&r->line, content, &content->members[m]);
    end_line(r);
}

/* The list's length if all of its elements are 32-bit integers, else 0. *out_given: there are elements. */
static uint64_t count_ids(const ls_frame_content *content, const char *key, bool *out_given) {
    ls_frame_list list = ls_frame_list_of(content, key);
    uint64_t count = 0;
    bool whole, ids = true;
    int64_t id;
    while (ls_frame_list_next(&list, &whole, &id)) {
        ids = ids && whole && id >= INT32_MIN && id <= INT32_MAX;
        count++;
    }
    *out_given = count > 0;
    return ids ? count : 0;
}

static const char *const row_keys[] = {"tokens", "positions", "sequences"};
enum { ROW_KEYS = sizeof row_keys / sizeof row_keys[0] };

/* A pass has as many rows as the first list of them had. A list of another length is an engine's mistake that
 * would make the trace unreadable, and is left out: out_fits is false. False when there is no memory. */
static bool check_rows(ls_recorder *r, int64_t pass, const ls_frame_content *content, bool out_fits[ROW_KEYS]) {
    char key[32], text[120];
    uint64_t *rows = ls_map_at(&r->rows, key, (size_t)snprintf(key, sizeof key, "%lld", (long long)pass));
    bool wrong = false, given;
    if (rows == NULL)
        return false;
    for (size_t k = 0; k < ROW_KEYS; k++) {
        const uint64_t count = count_ids(content, row_keys[k], &given);
        out_fits[k] = count > 0 && (*rows == 0 || count == *rows);
        if (out_fits[k])
            *rows = count;
        wrong = wrong || (given && !out_fits[k]);
    }
    if (wrong) {
        snprintf(text, sizeof text, "pass %lld: tokens, positions or sequences that don't match its number of rows were left out", (long long)pass);
        write_note(r, text);
    }
    return true;
}

typedef enum pass_event { PASS_BEGINS, PASS_ROWS, PASS_ENDS } pass_event;

static bool is_row_key(const char *key, size_t *out) {
    for (*out = 0; *out < ROW_KEYS; ++*out)
        if (strcmp(key, row_keys[*out]) == 0)
            return true;
    return false;
}

/* The number, in the trace, of the earlier pass with the same graph. False for one that never was. */
static bool put_like(ls_recorder *r, unsigned process, int64_t pass, const ls_frame_content *content) {
    int64_t like;
    if (!ls_frame_integer(content, "like", &like))
        return true;
    const uint64_t *slot = like >= 0 ? pass_slot(r, process, like) : NULL;
    if (slot == NULL || *slot == 0 || (int64_t)*slot > pass)
        return false;
    add_integer(&r->line, ",\"like\":", *slot - 1);
    return true;
}

static bool record_pass(ls_recorder *r, process_state *p, unsigned process, const ls_frame_content *content, pass_event what) {
    bool fits[ROW_KEYS];
    size_t k;
    uint64_t *slot = pass_slot(r, process, content->pass);
    if (slot == NULL)
        return false;
    if (*slot == 0)
        *slot = ++r->totals.passes;
    const int64_t pass = (int64_t)*slot - 1;
    if (what == PASS_BEGINS && p->open_passes++ == 0)
        ls_map_done(&p->occurrences);
    if (what == PASS_ENDS)
        p->open_passes -= p->open_passes > 0;
    if (!check_rows(r, pass, content, fits))
        return false;
    ls_text_clear(&r->line);
    add_integer(&r->line, "{\"pass\":", (uint64_t)pass);
    for (size_t m = 0; m < content->member_count; m++) {
        const char *key = content->members[m].key;
        const bool ours = is_reserved(key) || (what == PASS_BEGINS && (strcmp(key, "process") == 0 || strcmp(key, "like") == 0));
        if (!ours && (!is_row_key(key, &k) || fits[k]))
            ls_frame_put_member(&r->line, content, &content->members[m]);
    }
    if (what == PASS_BEGINS)
        add_integer(&r->line, ",\"process\":", process);
    if (what == PASS_BEGINS && !put_like(r, process, pass, content))
        return false;
    if (what == PASS_ENDS)
        ls_text_printf(&r->line, ",\"ended\":true");
    end_line(r);
    return true;
}

static void record_note(ls_recorder *r, const ls_frame_content *content) {
    const char *text = ls_frame_string(content, "text", &r->frame_memory);
    if (text != NULL)
        write_compiled_note(r, text, ls_frame_string(content, "compiled", &r->frame_memory));
}

/* With what tells later whether it is still the same file. */
static void record_model_file(ls_recorder *r, unsigned process, const ls_frame_content *content) {
    const char *path = ls_frame_string(content, "path", &r->frame_memory);
    struct stat info;
    if (path == NULL || *path != '/')
        return;
    ls_text_clear(&r->line);
    ls_text_printf(&r->line, "{\"model_file\":");
    ls_text_json(&r->line, path, strlen(path));
    if (stat(path, &info) == 0) {
        add_integer(&r->line, ",\"bytes\":", (uint64_t)info.st_size);
        add_integer(&r->line, ",\"modified\":", (uint64_t)info.st_mtim.tv_sec * 1000000000u + (uint64_t)info.st_mtim.tv_nsec);
    }
    add_integer(&r->line, ",\"process\":", process);
    end_line(r);
}

static void answer(ls_recorder *r, const process_state *p, const ls_frame *frame, const ls_frame_content *content) {
    const struct id_pair *line = find_id(p, (uint64_t)content->id);
    uint64_t bytes = 0;
    const void *values = NULL;
    if (line != NULL && r->recording.replace != NULL)
        values = r->recording.replace(r->recording.context, line->i, &bytes);
    if (ls_inlet_answer(frame->inlet, values, bytes))
        return;
    if (r->recording.not_replaced != NULL)
        r->recording.not_replaced(r->recording.context, line->i);
    write_note(r, "replacement values could not be passed to the process: a tensor kept its own");
}

static bool record_event(ls_recorder *r, process_state *p, const ls_frame *frame, const ls_frame_content *content) {
    switch (content->event) {
    case LS_EVENT_TENSOR:
        return record_tensor(r, p, frame, content);
    case LS_EVENT_PASS:
        return record_pass(r, p, frame->process, content, PASS_BEGINS);
    case LS_EVENT_ROWS:
        return record_pass(r, p, frame->process, content, PASS_ROWS);
    case LS_EVENT_PASS_END:
        return record_pass(r, p, frame->process, content, PASS_ENDS);
    case LS_EVENT_RESYNC:
        answer(r, p, frame, content);
        return true;
    case LS_EVENT_START:
        record_start(r, frame->process, content);
        return true;
    case LS_EVENT_NOTE:
        record_note(r, content);
        return true;
    case LS_EVENT_MODEL_FILE:
        record_model_file(r, frame->process, content);
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
    if (frame->data_bytes > 0)
        ls_inlet_await(frame->inlet);
    pthread_mutex_lock(&r->lock);
    process_state *p = process_of(r, frame->process);
    if (frame->process >= r->totals.processes)
        r->totals.processes = frame->process + 1;
    if (p != NULL && !r->over &&
        ls_frame_read(frame->json, frame->json_bytes, frame->data_bytes, &r->frame_memory, &content, &error) == LOCKSTEP_OK)
        ok = record_event(r, p, frame, &content) && !r->over;
    if (!ok && p != NULL && !p->died && !r->over) {
        char text[600];
        snprintf(text, sizeof text, "process %u broke the protocol and was cut off%s%s", frame->process,
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
    if (!r->over && ending == LS_ENDING_CONTINUED) {
        char text[160];
        snprintf(text, sizeof text, "process %u closed the channel (some programs close all descriptors that they don't know): its later tensors are missing", process);
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

/* Without the zip directory, the values can still be read by way of their lines, but other programs can't open the file. */
static void finish_values(ls_recorder *r) {
    int code = r->recording.finish != NULL ? r->recording.finish(r->recording.context) : 0;
    char text[200];
    if (code == 0)
        return;
    snprintf(text, sizeof text, "a segment has no zip directory yet (%s): np.load opens it after `lockstep convert --restore`", strerror(code));
    write_note(r, text);
}

void ls_recorder_close(ls_recorder *r, bool whole, int exit_status, ls_recorder_totals *out_totals) {
    finish_values(r);
    if (whole && !r->totals.torn && r->totals.lost_lines == 0) {
        ls_text_clear(&r->line);
        ls_text_printf(&r->line, "{\"end\":true,\"tensors\":%llu,\"dropped\":%llu,\"exit\":%d", (unsigned long long)r->totals.tensors,
                       (unsigned long long)r->totals.dropped, exit_status);
        end_line(r);
    }
    int code = r->recording.close(r->recording.context, r->totals.tensors > 0 || r->totals.files > 0);
    if (code != 0)
        snprintf(r->totals.not_placed, sizeof r->totals.not_placed, "%s", strerror(code));
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
