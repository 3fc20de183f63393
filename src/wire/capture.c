/* The C capture API: tensors of an engine that calls us, over the channel. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/element_type.h"
#include "base/text.h"
#include "wire/filters.h"
#include "wire/channel.h"

enum { NO_PASS = -1, GATHER_BYTES = 4096 };

struct lockstep_recorder {
    unsigned context;
    _Atomic int process; /* the one that said what it is */
    _Atomic long pass;   /* the open one, or NO_PASS */
    char *version;       /* NULL: unknown */
    char engine[];
};

/* Of the process, whose recorders share one connection. */
static _Atomic uint64_t next_id = 1;
static _Atomic long next_pass;
static _Atomic unsigned next_context;

/* Guards the beginning and ending of passes; a child finds it free. */
static pthread_mutex_t passes = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void before_fork(void) { pthread_mutex_lock(&passes); }
static void after_fork(void) { pthread_mutex_unlock(&passes); }
static void register_fork(void) { pthread_atfork(before_fork, after_fork, after_fork); }

static void send_text(ls_text *line) {
    if (!line->failed)
        ls_channel_send(line->data, line->length, NULL, 0);
    ls_text_done(line);
}

static void add_string(ls_text *line, const char *key, const char *value) {
    if (value == NULL)
        return;
    ls_text_printf(line, ",\"%s\":", key);
    ls_text_json(line, value, strlen(value));
}

/* ------------------------------------------------------------------ passes */

static void add_integers(ls_text *line, const char *key, const int32_t *values, size_t count) {
    if (values == NULL || count == 0)
        return;
    ls_text_printf(line, ",\"%s\":[", key);
    for (size_t i = 0; i < count; i++)
        ls_text_printf(line, "%s%d", i > 0 ? "," : "", values[i]);
    ls_text_append(line, "]", 1);
}

static void send_rows(const lockstep_recorder *r, const char *event, long pass, const lockstep_rows *rows) {
    ls_text line = {0};
    ls_text_printf(&line, "{\"event\":\"%s\",\"pass\":%ld,\"context\":%u", event, pass, r->context);
    if (rows != NULL) {
        add_integers(&line, "tokens", rows->tokens, rows->count);
        add_integers(&line, "positions", rows->positions, rows->count);
        add_integers(&line, "sequences", rows->sequences, rows->count);
    }
    ls_text_append(&line, "}", 1);
    send_text(&line);
}

static void announce(lockstep_recorder *r) {
    ls_text line = {0};
    ls_text_printf(&line, "{\"event\":\"start\",\"context\":%u", r->context);
    add_string(&line, "engine", r->engine);
    add_string(&line, "engine_version", r->version);
    ls_text_append(&line, "}", 1);
    send_text(&line);
    if (ls_filter_sources() > 0)
        ls_channel_note("--sources has no effect on an engine that hands its tensors over one by one: widen --tensors instead");
}

/* All below hold `passes`. */

static void begin_pass(lockstep_recorder *r, const lockstep_rows *rows) {
    long pass = atomic_fetch_add(&next_pass, 1);
    send_rows(r, "pass", pass, rows);
    atomic_store(&r->pass, pass);
}

static void end_pass(lockstep_recorder *r) {
    long pass = atomic_exchange(&r->pass, NO_PASS);
    if (pass != NO_PASS)
        send_rows(r, "pass_end", pass, NULL);
}

/* A child continues the pass that was open, as its own. */
static void know_process(lockstep_recorder *r) {
    int self = (int)getpid();
    if (atomic_load(&r->process) == self)
        return;
    announce(r);
    if (atomic_load(&r->pass) != NO_PASS)
        begin_pass(r, NULL);
    atomic_store(&r->process, self);
}

/* Begins what only one thread may do at a time; *out_held is for leave. False when there is
 * nothing to record to. */
static bool enter(lockstep_recorder *r, int *out_held) {
    if (r == NULL || !ls_channel_open())
        return false;
    *out_held = ls_cancel_hold();
    pthread_mutex_lock(&passes);
    know_process(r);
    return true;
}

static void leave(int held) {
    pthread_mutex_unlock(&passes);
    ls_cancel_release(held);
}

lockstep_recorder *lockstep_capture_open(const char *engine, const char *version) {
    if (!ls_channel_open())
        return NULL;
    pthread_once(&once, register_fork);
    engine = engine != NULL ? engine : "";
    size_t length = strlen(engine);
    lockstep_recorder *r = calloc(1, sizeof *r + length + 1);
    if (r == NULL)
        return NULL;
    memcpy(r->engine, engine, length + 1);
    r->version = version != NULL ? strdup(version) : NULL;
    r->context = atomic_fetch_add(&next_context, 1);
    atomic_store(&r->pass, NO_PASS);
    int held;
    if (enter(r, &held))
        leave(held);
    return r;
}

void lockstep_capture_pass_begin(lockstep_recorder *recorder, const lockstep_rows *rows) {
    int held;
    if (!enter(recorder, &held))
        return;
    end_pass(recorder);
    begin_pass(recorder, rows);
    leave(held);
}

void lockstep_capture_rows(lockstep_recorder *recorder, const lockstep_rows *rows) {
    int held;
    if (!enter(recorder, &held))
        return;
    if (atomic_load(&recorder->pass) != NO_PASS)
        send_rows(recorder, "rows", atomic_load(&recorder->pass), rows);
    leave(held);
}

void lockstep_capture_pass_end(lockstep_recorder *recorder) {
    int held;
    if (!enter(recorder, &held))
        return;
    end_pass(recorder);
    leave(held);
}

void lockstep_capture_close(lockstep_recorder *recorder) {
    if (recorder == NULL)
        return;
    lockstep_capture_pass_end(recorder);
    free(recorder->version);
    free(recorder);
}

void lockstep_capture_note(lockstep_recorder *recorder, const char *text) {
    int held;
    if (text == NULL || !enter(recorder, &held))
        return;
    ls_channel_note(text);
    leave(held);
}

/* ------------------------------------------------------------------ values */

/* What is sent of a node: a type's blocks, `count` of them along each axis. */
typedef struct blocks {
    int rank;
    uint64_t count[LOCKSTEP_MAX_RANK], size, bytes;
    int64_t strides[LOCKSTEP_MAX_RANK];
} blocks;

/* NULL, or what is wrong with the node. */
static const char *measure(const lockstep_node *node, blocks *out) {
    uint64_t elements = 1;
    if (node->rank < 0 || node->rank > LOCKSTEP_MAX_RANK || (node->rank > 0 && node->shape == NULL))
        return "its rank is not 0 to 8";
    if ((unsigned)node->dtype >= LOCKSTEP_DTYPE_COUNT)
        return "its element type is unknown";
    for (int i = 0; i < node->rank; i++)
        if (__builtin_mul_overflow(elements, node->shape[i], &elements) || node->shape[i] > INT64_MAX)
            return "its shape overflows";
    *out = (blocks){.rank = node->rank};
    if (node->data == NULL || node->dtype == LOCKSTEP_OPAQUE)
        return NULL;
    const ls_element_type *row = ls_element_type_of(node->dtype);
    uint64_t inner = node->rank > 0 ? node->shape[node->rank - 1] : 1;
    if (!ls_dtype_bytes(node->dtype, elements, inner, &out->bytes) || out->bytes > INT64_MAX)
        return "its shape doesn't fit its element type";
    if (out->bytes == 0)
        return NULL;
    out->size = row->block_bytes;
    int64_t next = row->block_bytes;
    for (int i = node->rank - 1; i >= 0; i--) {
        out->count[i] = i == node->rank - 1 ? node->shape[i] / row->block_elements : node->shape[i];
        out->strides[i] = node->strides != NULL ? node->strides[i] : next;
        next *= (int64_t)out->count[i];
    }
    if (row->block_elements > 1 && node->rank > 0 && out->strides[node->rank - 1] != row->block_bytes)
        return "the blocks of its rows don't lie together";
    return NULL;
}

/* Joins the innermost axes that lie together to one run of bytes. */
static void join_axes(blocks *b) {
    while (b->rank > 0 && (b->count[b->rank - 1] == 1 || b->strides[b->rank - 1] == (int64_t)b->size)) {
        b->rank--;
        b->size *= b->count[b->rank];
    }
}

static void send_axis(const blocks *b, const uint8_t *from) {
    uint8_t gathered[GATHER_BYTES];
    uint64_t count = b->count[b->rank - 1], room = sizeof gathered / b->size, used = 0;
    for (uint64_t i = 0; i < count; i++, from += b->strides[b->rank - 1]) {
        if (room == 0) {
            ls_channel_data(from, (size_t)b->size);
            continue;
        }
        memcpy(gathered + used++ * b->size, from, (size_t)b->size);
        if (used == room || i + 1 == count) {
            ls_channel_data(gathered, (size_t)(used * b->size));
            used = 0;
        }
    }
}

/* Row-major: the last axis runs fastest. */
static void send_values(blocks b, const uint8_t *data) {
    join_axes(&b);
    if (b.rank == 0) {
        ls_channel_data(data, (size_t)b.size);
        return;
    }
    uint64_t index[LOCKSTEP_MAX_RANK] = {0};
    for (;;) {
        const uint8_t *from = data;
        for (int i = 0; i + 1 < b.rank; i++)
            from += (int64_t)index[i] * b.strides[i];
        send_axis(&b, from);
        int axis = b.rank - 2;
        while (axis >= 0 && ++index[axis] == b.count[axis])
            index[axis--] = 0;
        if (axis < 0)
            return;
    }
}

/* ------------------------------------------------------------------- nodes */

/* The other way: contiguous values back to where they came from. */
static void overwrite(blocks b, const uint8_t *from, uint8_t *data) {
    uint64_t index[LOCKSTEP_MAX_RANK] = {0};
    for (;;) {
        uint8_t *to = data;
        for (int i = 0; i < b.rank; i++)
            to += (int64_t)index[i] * b.strides[i];
        memcpy(to, from, (size_t)b.size);
        from += b.size;
        int axis = b.rank - 1;
        while (axis >= 0 && ++index[axis] == b.count[axis])
            index[axis--] = 0;
        if (axis < 0)
            return;
    }
}

static void resync(const lockstep_node *node, const blocks *b, uint64_t id) {
    void *bytes = ls_channel_resync(id, (size_t)b->bytes);
    if (bytes == NULL)
        return;
    overwrite(*b, bytes, (uint8_t *)(uintptr_t)node->data);
    munmap(bytes, (size_t)b->bytes);
}

static void write_node(ls_text *line, const lockstep_node *node, uint64_t id, long pass) {
    static const char *const roles[] = {NULL, "input", "weight", "state", "view", "write"};
    const char *dtype = node->dtype_name != NULL ? node->dtype_name : lockstep_dtype_name(node->dtype);
    ls_text_printf(line, "{\"event\":\"tensor\",\"id\":%llu", (unsigned long long)id);
    if (node->role != LOCKSTEP_ROLE_WEIGHT)
        ls_text_printf(line, ",\"pass\":%ld", pass);
    ls_text_printf(line, ",\"layer\":%d", node->layer);
    add_string(line, "name", node->name);
    add_string(line, "op", node->op != NULL ? node->op : "");
    add_string(line, "dtype", dtype);
    if ((unsigned)node->role < sizeof roles / sizeof roles[0])
        add_string(line, "role", roles[node->role]);
    add_string(line, "backend", node->backend);
    ls_text_printf(line, ",\"shape\":[");
    for (int i = 0; i < node->rank; i++)
        ls_text_printf(line, "%s%llu", i > 0 ? "," : "", (unsigned long long)node->shape[i]);
    ls_text_printf(line, "],\"src\":[");
    bool first = true;
    for (size_t i = 0; i < node->source_count; i++)
        if (node->sources[i] != 0) {
            ls_text_printf(line, "%s%llu", first ? "" : ",", (unsigned long long)node->sources[i]);
            first = false;
        }
    ls_text_printf(line, "]}");
}

static bool wanted(const lockstep_node *node, long pass) {
    if (node->role == LOCKSTEP_ROLE_WEIGHT && ls_filter_weights())
        return true;
    if (node->role == LOCKSTEP_ROLE_STATE && ls_filter_caches())
        return ls_filter_pass(pass);
    if (ls_filter_observe() == LS_OBSERVE_LAST && !node->output)
        return false;
    if (node->role == LOCKSTEP_ROLE_WEIGHT || node->role == LOCKSTEP_ROLE_STATE ||
        node->role == LOCKSTEP_ROLE_WRITE || (node->role == LOCKSTEP_ROLE_VIEW && !ls_filter_has_names()))
        return false;
    if (ls_filter_observe() == LS_OBSERVE_OUTPUTS && !node->output && node->role != LOCKSTEP_ROLE_INPUT)
        return false;
    return ls_filter_pass(pass) && ls_filter_tensor(node->name, node->op != NULL ? node->op : "", node->layer);
}

/* The pass to record into: the open one, or a new one. NO_PASS: the channel is gone. */
static long pass_of(lockstep_recorder *r) {
    int held;
    if (!enter(r, &held))
        return NO_PASS;
    if (atomic_load(&r->pass) == NO_PASS)
        begin_pass(r, NULL);
    long pass = atomic_load(&r->pass);
    leave(held);
    return pass;
}

bool lockstep_capture_wants(lockstep_recorder *recorder, const lockstep_node *node) {
    long pass = node != NULL && node->name != NULL ? pass_of(recorder) : NO_PASS;
    return pass != NO_PASS && wanted(node, pass);
}

static void note_refused(lockstep_recorder *r, const lockstep_node *node, const char *why) {
    ls_text text = {0};
    ls_text_printf(&text, "%s was not recorded: %s", node->name, why);
    if (!text.failed)
        lockstep_capture_note(r, text.data);
    ls_text_done(&text);
}

uint64_t lockstep_capture_node(lockstep_recorder *recorder, const lockstep_node *node) {
    if (recorder == NULL || node == NULL || node->name == NULL)
        return 0;
    long pass = pass_of(recorder);
    if (pass == NO_PASS)
        return 0;
    blocks b;
    const char *wrong = measure(node, &b);
    if (wrong != NULL) {
        note_refused(recorder, node, wrong);
        return 0;
    }
    ls_text line = {0};
    uint64_t id = atomic_fetch_add(&next_id, 1);
    write_node(&line, node, id, pass);
    if (line.failed) {
        id = 0;
    } else if (b.bytes == 0 || !wanted(node, pass)) {
        ls_channel_send(line.data, line.length, NULL, 0);
    } else {
        if (ls_channel_begin(line.data, line.length, b.bytes))
            send_values(b, node->data);
        ls_channel_end();
        if (node->writable && ls_filter_resync(node->name, node->output))
            resync(node, &b, id);
    }
    ls_text_done(&line);
    return id;
}

void lockstep_capture_tensor(lockstep_recorder *recorder, const char *name, int layer,
                             lockstep_dtype dtype, int rank, const uint64_t *shape,
                             const int64_t *strides, const void *data) {
    if (recorder == NULL)
        return;
    lockstep_node node = {.name = name, .layer = layer, .dtype = dtype, .rank = rank, .shape = shape,
                          .strides = strides, .data = data, .output = true};
    lockstep_capture_node(recorder, &node);
}
