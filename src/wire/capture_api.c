/* The C capture API: sends the tensors of an engine that calls us as frames. */
#include <lockstep/capture.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/element_type.h"
#include "base/text.h"
#include "wire/channel.h"
#include "wire/filters.h"
#include "wire/frame_writer.h"

struct lockstep_recorder {
    int context;
    _Atomic unsigned connection; /* the one on which it has introduced itself */
    _Atomic long pass;   /* the open one, or LS_NO_PASS */
    char *version;       /* NULL if unknown */
    char engine[];
};

static _Atomic int next_context; /* per process, because its recorders share one connection */

/* Guards the beginning and ending of passes. It is never held in a forked child. */
static pthread_mutex_t passes = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void before_fork(void) { pthread_mutex_lock(&passes); }
static void after_fork(void) { pthread_mutex_unlock(&passes); }
static void register_fork(void) { pthread_atfork(before_fork, after_fork, after_fork); }

/* ------------------------------------------------------------------ passes */

static void announce(const lockstep_recorder *r) {
    ls_frame_start(&(ls_start_event){.engine = r->engine, .version = r->version, .context = r->context});
    if (ls_filter_sources() > 0)
        ls_frame_note("--sources has no effect on an engine that hands its tensors over one by one: widen --tensors instead");
}

/* The functions below are called with `passes` held. */

static void begin_pass(lockstep_recorder *r, const lockstep_rows *rows) {
    long pass = ls_channel_next_pass();
    ls_frame_pass_begin(&(ls_pass_event){.pass = pass, .context = r->context, .rows = rows});
    atomic_store(&r->pass, pass);
}

static void end_pass(lockstep_recorder *r) {
    long pass = atomic_exchange(&r->pass, LS_NO_PASS);
    if (pass != LS_NO_PASS)
        ls_frame_pass_end(&(ls_pass_event){.pass = pass, .context = r->context});
}

/* Introduces the recorder on a new connection. A forked child continues the open pass as its own. */
static void introduce(lockstep_recorder *r) {
    unsigned connection = ls_channel_connection();
    if (atomic_load(&r->connection) == connection)
        return;
    announce(r);
    if (atomic_load(&r->pass) != LS_NO_PASS)
        begin_pass(r, NULL);
    atomic_store(&r->connection, connection);
}

/* Enters the section that only one thread may execute at a time; *out_held is for leave. False
 * if there is no recorder. */
static bool enter(lockstep_recorder *r, int *out_held) {
    if (r == NULL || !ls_channel_open())
        return false;
    *out_held = ls_cancel_hold();
    pthread_mutex_lock(&passes);
    introduce(r);
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
    atomic_store(&r->pass, LS_NO_PASS);
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
    if (atomic_load(&recorder->pass) != LS_NO_PASS)
        ls_frame_pass_rows(&(ls_pass_event){.pass = atomic_load(&recorder->pass), .context = recorder->context, .rows = rows});
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
    ls_frame_note(text);
    leave(held);
}

/* ------------------------------------------------------------------ values */

/* NULL, or the reason why the node can't be recorded. out_values->bytes is 0 for a node without values. */
static const char *measure(const lockstep_node *node, ls_strided *out_values) {
    uint64_t elements = 1;
    if (node->rank < 0 || node->rank > LOCKSTEP_MAX_RANK || (node->rank > 0 && node->shape == NULL))
        return "its rank is not 0 to 8";
    const ls_element_type *type = ls_element_type_of(node->dtype);
    if (type == NULL)
        return "its element type is unknown";
    for (int i = 0; i < node->rank; i++)
        if (__builtin_mul_overflow(elements, node->shape[i], &elements) || node->shape[i] > INT64_MAX)
            return "its shape overflows";
    ls_strided s = {.data = node->data, .rank = node->rank, .size = type->block_bytes};
    *out_values = s;
    if (node->data == NULL || node->dtype == LOCKSTEP_OPAQUE)
        return NULL;
    uint64_t inner = node->rank > 0 ? node->shape[node->rank - 1] : 1;
    if (!ls_dtype_bytes(node->dtype, elements, inner, &s.bytes) || s.bytes > INT64_MAX)
        return "its shape doesn't fit its element type";
    if (s.bytes == 0)
        return NULL;
    int64_t next = type->block_bytes;
    for (int i = node->rank - 1; i >= 0; i--) {
        s.count[i] = i == node->rank - 1 ? node->shape[i] / type->block_elements : node->shape[i];
        s.strides[i] = node->strides != NULL ? node->strides[i] : next;
        next *= (int64_t)s.count[i];
    }
    if (type->block_elements > 1 && node->rank > 0 && s.strides[node->rank - 1] != type->block_bytes)
        return "the blocks of its rows are not contiguous";
    *out_values = s;
    return NULL;
}

/* ------------------------------------------------------------------- nodes */

static void resync(const ls_strided *values, uint64_t id) {
    void *bytes = ls_frame_resync(id, (size_t)values->bytes);
    if (bytes == NULL)
        return;
    ls_strided_overwrite(values, bytes);
    munmap(bytes, (size_t)values->bytes);
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
    if (ls_filter_observe() == LS_OBSERVE_INPUTS && node->role != LOCKSTEP_ROLE_INPUT)
        return false;
    if (ls_filter_observe() == LS_OBSERVE_OUTPUTS && !node->output && node->role != LOCKSTEP_ROLE_INPUT)
        return false;
    return ls_filter_pass(pass) && ls_filter_tensor(node->name, node->op != NULL ? node->op : "", node->layer);
}

/* The pass to record into: the open one, or a new one. LS_NO_PASS if the channel is gone. */
static long pass_of(lockstep_recorder *r) {
    int held;
    if (!enter(r, &held))
        return LS_NO_PASS;
    if (atomic_load(&r->pass) == LS_NO_PASS)
        begin_pass(r, NULL);
    long pass = atomic_load(&r->pass);
    leave(held);
    return pass;
}

/* The struct of another version of the header may be shorter, so that what it lacks is zero, or longer, and what it has
 * besides is ignored. False for one that is shorter than any version's. */
static bool read_node(const lockstep_node *given, lockstep_node *out) {
    const size_t first_version = offsetof(lockstep_node, operands);
    if (given->size < first_version)
        return false;
    *out = (lockstep_node){0};
    memcpy(out, given, given->size < sizeof *out ? given->size : sizeof *out);
    return true;
}

bool lockstep_capture_wants(lockstep_recorder *recorder, const lockstep_node *given) {
    lockstep_node node;
    if (recorder == NULL || given == NULL || !read_node(given, &node) || node.name == NULL)
        return false;
    long pass = pass_of(recorder);
    return pass != LS_NO_PASS && wanted(&node, pass);
}

static void note_refused(lockstep_recorder *r, const lockstep_node *node, const char *reason) {
    ls_text text = {0};
    ls_text_printf(&text, "%s was not recorded: %s", node->name, reason);
    if (!text.failed)
        lockstep_capture_note(r, text.data);
    ls_text_done(&text);
}

uint64_t lockstep_capture_node(lockstep_recorder *recorder, const lockstep_node *given) {
    ls_strided values;
    lockstep_node own, *node = &own;
    if (recorder == NULL || given == NULL)
        return 0;
    if (!read_node(given, node)) {
        lockstep_capture_note(recorder, "a node was not recorded: its size is not sizeof(lockstep_node)");
        return 0;
    }
    long pass = node->name != NULL ? pass_of(recorder) : LS_NO_PASS;
    if (pass == LS_NO_PASS)
        return 0;
    const char *wrong = measure(node, &values);
    if (wrong != NULL) {
        note_refused(recorder, node, wrong);
        return 0;
    }
    uint64_t id = ls_frame_next_id();
    bool with_values = values.bytes > 0 && wanted(node, pass);
    if (!ls_frame_node(node, id, node->role == LOCKSTEP_ROLE_WEIGHT ? LS_NO_PASS : pass, with_values ? &values : NULL))
        return 0;
    if (with_values && node->writable && ls_filter_resync(node->name, node->output))
        resync(&values, id);
    return id;
}

void lockstep_capture_tensor(lockstep_recorder *recorder, const char *name, int layer,
                             lockstep_dtype dtype, int rank, const uint64_t *shape,
                             const int64_t *strides, const void *data) {
    if (recorder == NULL)
        return;
    lockstep_node node = {.size = sizeof node, .name = name, .layer = layer, .dtype = dtype, .rank = rank,
                          .shape = shape, .strides = strides, .data = data, .output = true};
    lockstep_capture_node(recorder, &node);
}
