#include "diff/live.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "diff/divergence.h"
#include "diff/outputs.h"
#include "diff/proof.h"
#include "diff/resync.h"
#include "base/grow.h"
#include "trace/handed_on.h"

enum {
    STEP = 64,      /* pairs are looked at again after so many lines */
    LOOKAHEAD = 32, /* a value waits for so many nodes, among them the names and masks that it needs */
    SURE = 4,       /* so many failing pairs in a row need no excuse */
    PINNED_MAX = 64,
};
#define MEMORY_BYTES (256ull << 20)
#define INPUTS_BYTES (64ull << 20)
#define WEIGHTS_BYTES (256ull << 20) /* of weights that no file has; hooks send no more */

/* A value of the candidate that is kept in memory. */
typedef struct held {
    uint8_t *bytes; /* NULL: none, or no longer */
    uint64_t size;
    lockstep_dtype dtype;
    int rank;
    uint64_t shape[LOCKSTEP_MAX_RANK];
    bool pinned; /* kept to the end: it may explain the first divergence */
} held;

struct ls_live {
    ls_live_options options;
    ls_diff *diff;
    ls_trace_feed *feed;
    held coming; /* its line is still to come */
    uint64_t filled;
    held *values; /* per node of the candidate */
    size_t value_capacity, value_count;
    uint64_t bytes, pinned_bytes; /* held, without the inputs */
    uint64_t input_bytes, weight_bytes; /* replay needs them at the end */
    size_t pinned;
    size_t oldest;   /* values of nodes before it have been dropped to make room */
    size_t first_open; /* nodes before it belong to passes that have ended, and hold no values */
    size_t next;     /* all pairs before it have been compared */
    size_t lines;    /* since the pairs were looked at */
    size_t ended;    /* passes whose end was seen */
    unsigned char *depth; /* per failing pair: how many failing pairs in a row end with it */
    size_t depth_capacity;
    size_t *queue, *looked_at; /* per node: the queue of a walk over the graph, and the last walk that saw the node */
    size_t look_capacity, look;
    void *replaced; /* the values that the process was last told to continue with */
    bool over; /* the comparison was stopped, or has failed */
    lockstep_status status;
    lockstep_error error;
};

/* ------------------------------------------------------------------ values */

static bool see_value(void *context, size_t node, ls_view *out_view) {
    const ls_live *live = context;
    const held *h = node < live->value_count ? &live->values[node] : NULL;
    if (h == NULL || h->bytes == NULL)
        return false;
    *out_view = (ls_view){.data = h->bytes, .dtype = h->dtype, .rank = h->rank};
    memcpy(out_view->shape, h->shape, sizeof h->shape);
    ls_view_set_contiguous(out_view);
    return true;
}

static void drop(ls_live *live, size_t node) {
    held *h = &live->values[node];
    if (h->bytes == NULL || h->pinned)
        return;
    live->bytes -= h->size;
    free(h->bytes);
    h->bytes = NULL;
}

static void begin_values(void *context, const ls_stored_values *values) {
    ls_live *live = context;
    live->coming = (held){.size = values->bytes, .dtype = values->dtype, .rank = values->rank};
    live->coming.bytes = live->over ? NULL : malloc(values->bytes > 0 ? values->bytes : 1);
    live->filled = 0;
    memcpy(live->coming.shape, values->shape, (size_t)values->rank * sizeof *values->shape);
}

static void put_values(void *context, const void *bytes, size_t count) {
    ls_live *live = context;
    if (live->coming.bytes != NULL && count <= live->coming.size - live->filled)
        memcpy(live->coming.bytes + live->filled, bytes, count);
    live->filled += count;
}

static int end_values(void *context, bool whole, ls_place *out_place) {
    ls_live *live = context;
    bool there = live->coming.bytes != NULL;
    *out_place = (ls_place){.file = "memory"};
    if (!whole) {
        free(live->coming.bytes);
        live->coming.bytes = NULL;
    }
    return there ? 0 : live->over ? ECANCELED : ENOMEM;
}

/* Takes the values that came before this line. */
static bool take_values(ls_live *live, size_t node) {
    size_t capacity = ls_doubled(live->value_capacity, node + 1);
    if (!ls_extend(&live->values, live->value_capacity, capacity, sizeof *live->values))
        return false;
    live->value_capacity = capacity;
    held *h = &live->values[node];
    *h = live->coming;
    live->value_count = node + 1;
    const lockstep_role role = live->diff->in.candidate.trace->nodes[node].role;
    const bool is_weight = role == LOCKSTEP_ROLE_WEIGHT;
    uint64_t *bytes = is_weight ? &live->weight_bytes : &live->input_bytes;
    h->pinned = (is_weight || role == LOCKSTEP_ROLE_INPUT) && h->size <= (is_weight ? WEIGHTS_BYTES : INPUTS_BYTES) - *bytes;
    if (h->bytes != NULL)
        *(h->pinned ? bytes : &live->bytes) += h->size;
    live->coming.bytes = NULL;
    return true;
}

/* ------------------------------------------------------------------ pairs */

static size_t pair_at(const ls_live *live, size_t node) { return live->diff->matching.pair_of[live->diff->in.candidate.values.value_of[node]]; }

static void hold_on_to(ls_live *live, size_t node) {
    held *h = node < live->value_count ? &live->values[node] : NULL;
    if (h == NULL || h->bytes == NULL || h->pinned || live->pinned >= PINNED_MAX)
        return;
    h->pinned = true;
    live->pinned++;
    live->pinned_bytes += h->size;
}

/* Has the current walk not seen this node yet? Marks it as seen. */
static bool is_new(ls_live *live, size_t node) {
    if (live->looked_at[node] == live->look)
        return false;
    live->looked_at[node] = live->look;
    return true;
}

/* How many failing pairs in a row lead to a source of a node. With `keep`, its value is kept. Sets *out_through
 * where the source has no partner, so that its own sources count instead. */
static unsigned failing_before(ls_live *live, size_t source, bool keep, bool *out_through) {
    size_t pair = pair_at(live, source);
    if (keep)
        hold_on_to(live, live->diff->in.candidate.values.value_of[source]);
    *out_through = pair == 0;
    const ls_pair *p = pair != 0 ? &live->diff->pairs.items[pair - 1] : NULL;
    bool counts = p != NULL && !p->is_resynced && pair - 1 < live->depth_capacity && p->is_compared && ls_pair_fails(p);
    return counts ? live->depth[pair - 1] : 0;
}

/* How many failing pairs in a row lead to a node, through at most LEVELS nodes without a partner. With `keep`,
 * the values on the way to the nearest pairs are kept. */
static lockstep_status look_above(ls_live *live, size_t node, bool keep, unsigned *out_deepest) {
    enum { LEVELS = 4 };
    const ls_trace *t = live->diff->in.candidate.trace;
    size_t capacity = ls_doubled(live->look_capacity, t->node_count), count = 0, next = 0;
    if (!ls_extend(&live->looked_at, live->look_capacity, capacity, sizeof *live->looked_at) ||
        !ls_extend(&live->queue, live->look_capacity, capacity, sizeof *live->queue))
        return ls_fail(&live->error, LOCKSTEP_NO_MEMORY, "out of memory");
    live->look_capacity = capacity;
    live->look++;
    *out_deepest = 0;
    live->queue[count++] = node;
    for (int level = 0; level < LEVELS; level++)
        for (size_t end = count; next < end; next++) {
            const ls_node *n = &t->nodes[live->queue[next]];
            for (size_t k = 0; k <= n->source_count; k++) {
                size_t source = k < n->source_count ? n->sources[k] : n->alias_of;
                bool through = false;
                if (source == LS_NONE || !is_new(live, source))
                    continue;
                unsigned above = failing_before(live, source, keep, &through);
                *out_deepest = above > *out_deepest ? above : *out_deepest;
                if (through)
                    live->queue[count++] = source;
            }
        }
    return LOCKSTEP_OK;
}

static lockstep_status pin(ls_live *live, size_t node) {
    unsigned depth;
    if (live->pinned >= PINNED_MAX || live->pinned_bytes > live->options.memory_bytes / 2)
        return LOCKSTEP_OK;
    hold_on_to(live, node);
    return look_above(live, node, true, &depth);
}

static lockstep_status compare(ls_live *live, size_t pair) {
    ls_diff *d = live->diff;
    LS_TRY(ls_diff_compare(d, pair, &live->error));
    const ls_pair *p = &d->pairs.items[pair];
    if (!ls_pair_fails(p))
        return LOCKSTEP_OK;
    size_t capacity = ls_doubled(live->depth_capacity, pair + 1);
    if (!ls_extend(&live->depth, live->depth_capacity, capacity, sizeof *live->depth))
        return ls_fail(&live->error, LOCKSTEP_NO_MEMORY, "out of memory");
    live->depth_capacity = capacity;
    unsigned above;
    LS_TRY(look_above(live, p->candidate_value, false, &above));
    live->depth[pair] = (unsigned char)(above < 200 ? above + 1 : 200);
    return above == 0 ? pin(live, p->candidate_value) : LOCKSTEP_OK;
}

/* A failing pair may still turn out to be excused by what later pairs show. */
static bool is_sure(const ls_live *live, size_t pair) {
    return pair < live->depth_capacity && live->depth[pair] >= SURE;
}

/* Is there a divergence among what was compared so far? */
static bool has_diverged(const ls_live *live) {
    ls_mark *marks;
    size_t first = LS_NONE;
    if (ls_divergence_mark(live->diff, &marks, &first, NULL) == LOCKSTEP_OK)
        free(marks);
    return first != LS_NONE;
}

static bool is_ripe(const ls_live *live, const ls_pair *p, bool now) {
    const ls_trace *t = live->diff->in.candidate.trace;
    size_t pass = t->nodes[p->candidate_value].pass;
    return now || p->candidate_value + LOOKAHEAD <= t->node_count || pass == LS_NONE || t->passes[pass].ended;
}

/* ------------------------------------------------------------------ advancing */

/* Drops values that have been compared, or found no partner in time; the oldest first. */
static void make_room(ls_live *live) {
    const ls_trace *t = live->diff->in.candidate.trace;
    for (; live->oldest < live->value_count && live->bytes > live->options.memory_bytes; live->oldest++) {
        size_t pass = t->nodes[live->oldest].pass;
        bool open_input = t->nodes[live->oldest].role == LOCKSTEP_ROLE_INPUT && pass != LS_NONE && !t->passes[pass].ended;
        if (!open_input)
            drop(live, live->oldest);
    }
}

/* Drops the values of passes that have ended. */
static void drop_ended(ls_live *live) {
    const ls_trace *t = live->diff->in.candidate.trace;
    size_t first_open = live->value_count;
    for (size_t i = live->first_open; i < live->value_count; i++) {
        size_t pass = t->nodes[i].pass;
        bool open = pass != LS_NONE && !t->passes[pass].ended;
        if (!open)
            drop(live, i);
        else if (i < first_open)
            first_open = i;
    }
    live->first_open = first_open;
    live->oldest = live->oldest > first_open ? live->oldest : first_open;
}

static lockstep_status advance(ls_live *live, bool all) {
    ls_diff *d = live->diff;
    bool pass_ended = d->in.candidate.trace->ended_count != live->ended, failing = false;
    live->lines = 0;
    live->ended = d->in.candidate.trace->ended_count;
    LS_TRY(ls_diff_grow(d, &live->error));
    bool now = all || live->bytes > live->options.memory_bytes, sure = false;
    for (size_t i = live->next; i < d->pairs.count; i++) {
        if (!d->pairs.items[i].is_compared && is_ripe(live, &d->pairs.items[i], now || sure)) { /* once sure, all that is there is looked at */
            LS_TRY(compare(live, i));
            failing = failing || ls_pair_fails(&d->pairs.items[i]);
            sure = sure || (live->options.stop_first && !all && is_sure(live, i));
        }
        if (live->next == i && d->pairs.items[i].is_compared)
            live->next++;
    }
    if (pass_ended || all)
        LS_TRY(ls_outputs_pair(d, &live->error)); /* before their values are dropped */
    if (live->options.stop_first && !all && (sure || (pass_ended && failing)) && has_diverged(live))
        live->over = true;
    if (pass_ended)
        drop_ended(live);
    else
        make_room(live);
    return LOCKSTEP_OK;
}

static int put_line(void *context, const char *text, size_t length) {
    ls_live *live = context;
    const ls_trace *t = live->diff->in.candidate.trace;
    if (live->over)
        return ECANCELED;
    size_t before = t->node_count;
    live->status = ls_trace_feed_line(live->feed, text, length - 1, &live->error);
    if (live->status == LOCKSTEP_OK && t->node_count > before && !take_values(live, before))
        live->status = ls_fail(&live->error, LOCKSTEP_NO_MEMORY, "out of memory");
    bool due = ++live->lines >= STEP || t->ended_count != live->ended || live->bytes > live->options.memory_bytes;
    if (live->status == LOCKSTEP_OK && due)
        live->status = advance(live, false);
    live->over = live->over || live->status != LOCKSTEP_OK;
    return live->over ? ECANCELED : 0;
}

/* Compares at once, because the process waits for the answer. */
static const void *replace(void *context, uint64_t i, uint64_t *out_bytes) {
    ls_live *live = context;
    ls_diff *d = live->diff;
    lockstep_dtype engine;
    size_t node = live->over ? LS_NONE : ls_trace_feed_node(live->feed, i);
    if (node == LS_NONE)
        return NULL;
    live->status = ls_diff_grow(d, &live->error);
    size_t pair = live->status == LOCKSTEP_OK ? pair_at(live, node) : 0;
    if (pair != 0 && !d->pairs.items[pair - 1].is_compared)
        live->status = compare(live, pair - 1);
    live->over = live->over || live->status != LOCKSTEP_OK;
    free(live->replaced);
    live->replaced = NULL;
    if (!live->over && pair != 0 && d->pairs.items[pair - 1].mark.verdict < LS_VERDICT_SHAPE &&
        ls_dtype_find(d->in.candidate.trace->nodes[node].dtype, &engine))
        live->replaced = ls_resync_values(d, &d->pairs.items[pair - 1], engine, out_bytes);
    return live->replaced;
}

static void not_replaced(void *context, uint64_t i) {
    ls_live *live = context;
    size_t node = ls_trace_feed_node(live->feed, i), pair = node != LS_NONE ? pair_at(live, node) : 0;
    if (pair != 0)
        live->diff->pairs.items[pair - 1].is_resynced = false;
}

static int leave(void *context, bool recorded) {
    (void)context, (void)recorded;
    return 0;
}

/* ------------------------------------------------------------------ whole */

static void free_live(ls_live *live) {
    for (size_t i = 0; i < live->value_count; i++)
        free(live->values[i].bytes);
    free(live->values);
    free(live->depth);
    free(live->queue);
    free(live->looked_at);
    free(live->replaced);
    ls_trace_feed_close(live->feed);
    free(live);
}

lockstep_status ls_live_open(const char *reference, const ls_live_options *options, ls_live **out_live,
                             ls_recording *out_recording, lockstep_error *error) {
    ls_live *live = calloc(1, sizeof *live);
    ls_trace *candidate;
    if (live == NULL)
        return ls_fail(error, LOCKSTEP_NO_MEMORY, "out of memory");
    live->options = *options;
    if (live->options.memory_bytes == 0)
        live->options.memory_bytes = MEMORY_BYTES;
    ls_trace *known = NULL;
    lockstep_status status = ls_trace_open(reference, &known, error);
    if (status == LOCKSTEP_OK)
        status = ls_trace_feed_open(options->name, &live->feed, &candidate, error);
    if (status == LOCKSTEP_OK) {
        candidate->memory = see_value;
        candidate->memory_context = live;
        status = ls_diff_open(known, candidate, &options->diff, &live->diff, error);
    } else {
        ls_trace_close(known);
    }
    if (status != LOCKSTEP_OK) {
        free_live(live);
        return status;
    }
    *out_live = live;
    *out_recording = (ls_recording){live, put_line, begin_values, put_values, end_values, replace, not_replaced, NULL, leave};
    return LOCKSTEP_OK;
}

static lockstep_status finish(ls_live *live) {
    ls_diff *d = live->diff;
    LS_TRY(live->status);
    if (live->over) {
        static const char said[] = "{\"note\":\"observed up to the first divergence only\"}";
        LS_TRY(ls_trace_feed_line(live->feed, said, sizeof said - 1, &live->error));
    }
    LS_TRY(advance(live, true));
    if (!ls_trace_link_inputs(d->in.candidate.trace))
        return ls_fail(&live->error, LOCKSTEP_NO_MEMORY, "out of memory");
    if (!live->over && d->matching.tokens.status != LS_INPUTS_DIFFER)
        LS_TRY(ls_proof_replay(d, &live->error));
    LS_TRY(ls_diff_finish(d, &live->error));
    if (live->over && d->result.first != LS_NONE)
        d->in.candidate.trace->complete = true; /* complete up to where it was to be observed */
    return LOCKSTEP_OK;
}

lockstep_status ls_live_finish(ls_live *live, ls_diff **out_diff, lockstep_error *error) {
    lockstep_status status = finish(live);
    if (status == LOCKSTEP_OK)
        *out_diff = live->diff;
    else if (error != NULL)
        *error = live->error;
    return status;
}

void ls_live_close(ls_live *live) {
    if (live == NULL)
        return;
    ls_diff_free(live->diff);
    free_live(live);
}
