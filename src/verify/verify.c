#include "verify/verify.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/grow.h"
#include "base/pool.h"
#include "base/progress.h"
#include "eval/sampling.h"
#include "verify/bounds.h"
#include "verify/computed.h"

/* An operation whose error is so many times the median of its family, and above what its siblings may have, is an
 * outlier. A row's error varies more than a tensor's. */
#define OUTLIER 5
#define ROW_MARGIN 6
enum { SIBLINGS_LEAST = 4, LARGE = 1 << 25 /* elements */ };

typedef struct run {
    ls_verification *v;
    ls_recorded values;
    bool exact;    /* no rows are left out, and all is computed in double precision */
    bool all_rows; /* no rows are left out */
} run;

static lockstep_status no_memory(lockstep_error *error) { return ls_fail(error, LOCKSTEP_NO_MEMORY, "out of memory"); }

static ls_rows rows_of(const run *r, size_t node) {
    ls_rows rows = {0};
    if (!r->exact && !r->all_rows)
        ls_rows_choose(r->v->trace, node, &rows);
    return rows;
}

/* ------------------------------------------------------------------ comparing */

typedef struct distance {
    double squares, scale;
    bool broken; /* only one side is finite */
    uint64_t compared;
} distance;

static void add(distance *d, double recorded, double computed, double scale) {
    if (isnan(computed) && !isnan(recorded))
        return; /* computed from what was never written */
    d->compared++;
    if (isfinite(recorded) && isfinite(computed)) {
        d->squares += (recorded - computed) * (recorded - computed);
        d->scale += scale * scale;
    } else {
        d->broken = d->broken || (recorded != computed && !isnan(computed));
    }
}

static double relative(const distance *d) { return d->broken ? INFINITY : d->squares == 0 ? 0 : sqrt(d->squares) / sqrt(d->scale); }

/* What a kernel makes of NaN is its own affair: a masked one may come through, and one that is rounded to blocks not. */
static void measure(const ls_array *recorded, const ls_computed *c, ls_check *out) {
    const ls_array *computed = &c->values;
    const uint64_t n = recorded->rank > 0 && recorded->elements > 0 ? recorded->shape[recorded->rank - 1] : 1;
    distance all = {0};
    for (uint64_t row = 0; row * n < recorded->elements; row++) {
        distance own = {0};
        if (c->reads_nan && (ls_has_nan(recorded->values + row * n, n) || ls_has_nan(computed->values + row * n, n)))
            continue;
        for (uint64_t i = row * n; i < (row + 1) * n; i++)
            add(&own, recorded->values[i], computed->values[i], c->scale[i]);
        all.squares += own.squares;
        all.scale += own.scale;
        all.compared += own.compared;
        all.broken = all.broken || own.broken;
        if (relative(&own) > out->row_error) {
            out->row_error = relative(&own);
            out->worst_row = row;
        }
    }
    out->compared = all.compared;
    out->error = relative(&all);
    out->is_empty = all.scale == 0;
}

static int by_number(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    const int broken = isnan(x) - isnan(y);
    return broken != 0 ? broken : (x > y) - (x < y);
}

/* Replaces indexes by the elements that they name, in rows of `keys`; NaN for those that name none. */
static void look_up(ls_array *indexes, const ls_array *keys) {
    const uint64_t n = keys->rank > 0 ? keys->shape[keys->rank - 1] : 1, rows = n > 0 ? keys->elements / n : 0, each = rows > 0 ? indexes->elements / rows : 0;
    for (uint64_t i = 0; i < indexes->elements; i++) {
        const double at = indexes->values[i];
        indexes->values[i] = each > 0 && i / each < rows && at >= 0 && at < (double)n ? keys->values[i / each * n + (uint64_t)at] : NAN;
    }
}

/* Indexes are equal where what they name is: the order of equal values is nobody's fault. The order of what TOP_K picks
 * is not defined. */
static bool compare_picks(const run *r, const ls_node *n, ls_array *recorded, ls_computed *c, ls_check *out) {
    ls_array *computed = &c->values;
    ls_array keys = {0};
    const uint64_t width = ls_array_size(recorded, 0);
    if (!ls_recorded_read(&r->values, n->operands[0], &keys, &out->reason))
        return false;
    look_up(recorded, &keys);
    look_up(computed, &keys);
    for (uint64_t at = 0; at < recorded->elements && n->kind->id == LS_OP_TOP_K; at += width) {
        qsort(recorded->values + at, width, sizeof *recorded->values, by_number);
        qsort(computed->values + at, width, sizeof *computed->values, by_number);
    }
    for (uint64_t i = 0; i < computed->elements; i++)
        c->scale[i] = fabs(computed->values[i]);
    ls_array_release(&keys);
    return true;
}

/* Compares a computed node with its recorded values. */
static void compare(const run *r, const ls_node *n, ls_array *recorded, ls_computed *computed, ls_check *out) {
    if (n->kind->role != LS_OP_ROLE_ORDER || !ls_node_is_integer(n) || compare_picks(r, n, recorded, computed, out))
        measure(recorded, computed, out);
    if (out->reason == NULL && out->compared == 0)
        out->reason = computed->reads_nan ? "operands that are no numbers" : "it depends on parts of a cache that were never written in the trace";
}

/* The recorded values come first: they are what a trace can't claim to have. */
static void check_node(const run *r, size_t node, ls_check *out) {
    ls_progress_add(LS_STAGE_VERIFYING, 1);
    const ls_node *n = &r->v->trace->nodes[node];
    ls_rows rows = rows_of(r, node);
    ls_array recorded = {0};
    ls_computed computed = {0};
    *out = (ls_check){.node = node, .share = r->exact || r->all_rows ? 1 : ls_rows_share(r->v->trace, node), .bound = ls_bound_of(r->v->trace, n),
                      .family = SIZE_MAX};
    if (!ls_eval_covers(n))
        out->reason = "an operation that is not covered";
    else if (ls_recorded_read_rows(&r->values, node, &rows, rows.axis, &recorded, &out->reason) && !ls_computed_of(&r->values, node, &rows, r->exact, &computed))
        out->reason = computed.reason;
    else if (out->reason == NULL)
        compare(r, n, &recorded, &computed, out);
    out->worst_row = ls_rows_place(&rows, n, out->worst_row);
    ls_array_release(&recorded);
    ls_computed_done(&computed);
    ls_rows_done(&rows);
}

static bool agrees(const ls_check *c) { return c->reason == NULL && c->error <= c->bound && c->row_error <= ROW_MARGIN * c->bound; }

/* A product of many heads has a matrix for each: what counts is how many rows one of them has. */
static bool is_of_one_token(const ls_node *n) {
    const bool by_head = n->kind->role == LS_OP_ROLE_ATTENTION && n->dialect == LS_DIALECT_ATEN; /* heads outside, tokens inside */
    return (n->kind->role == LS_OP_ROLE_PRODUCT || by_head) && n->rank > 1 ? n->shape[n->rank - 2] == 1 : ls_eval_rows(n) == 1;
}

/* ggml's fused attention adds up in f32 or in f16, as it has many queries or few. */
static uint64_t queries_of(const ls_node *n) { return n->kind->role == LS_OP_ROLE_ATTENTION && n->dialect == LS_DIALECT_GGML ? ls_eval_rows(n) : 0; }

/* Of ggml's products: where both operands have the type in which they are multiplied, none is rounded to it. */
static bool has_equal_types(const ls_trace *t, const ls_node *n) {
    const bool is_product = n->kind->role == LS_OP_ROLE_PRODUCT && n->dialect == LS_DIALECT_GGML && n->operand_count >= 2;
    const size_t a = is_product ? n->operands[0] : LS_NONE, b = is_product ? n->operands[1] : LS_NONE;
    return a != LS_NONE && b != LS_NONE && strcmp(t->nodes[a].dtype, t->nodes[b].dtype) == 0;
}

/* ------------------------------------------------------------------ families */

static ls_check_family *family_of(ls_verification *v, ls_check *c) {
    const ls_node *n = &v->trace->nodes[c->node];
    const ls_check_family own = {.op = n->kind, .type = ls_bound_type(v->trace, n), .one_row = is_of_one_token(n), .queries = queries_of(n), .equal_types = has_equal_types(v->trace, n), .bound = c->bound};
    for (c->family = 0; c->family < v->family_count; c->family++) {
        ls_check_family *f = &v->families[c->family];
        if (f->op == own.op && strcmp(f->type, own.type) == 0 && f->one_row == own.one_row && f->queries == own.queries && f->equal_types == own.equal_types && f->bound == own.bound)
            return f;
    }
    if (!ls_grow((void **)&v->families, v->family_count, &v->family_capacity, sizeof *v->families))
        return NULL;
    v->families[v->family_count] = own;
    return &v->families[v->family_count++];
}

static double median(double *values, size_t count) {
    qsort(values, count, sizeof *values, by_number);
    return count == 0 ? 0 : count % 2 == 1 ? values[count / 2] : (values[count / 2 - 1] + values[count / 2]) / 2;
}

/* The median and the largest of each family, and its outliers. */
static void look_at_family(ls_verification *v, size_t family, double *errors, double *row_errors) {
    ls_check_family *f = &v->families[family];
    size_t count = 0;
    for (size_t i = 0; i < v->count; i++) {
        const ls_check *c = &v->checks[i];
        if (c->family != family || c->reason != NULL)
            continue;
        f->count++;
        errors[count] = c->error;
        row_errors[count] = c->row_error;
        count += !c->is_empty;
        if (f->count == 1 || c->error > f->largest) {
            f->largest = c->error;
            f->worst = i;
        }
    }
    f->median = median(errors, count);
    f->median_row = median(row_errors, count);
    for (size_t i = 0; i < v->count && count >= SIBLINGS_LEAST; i++) {
        ls_check *c = &v->checks[i];
        if (c->family != family || c->reason != NULL)
            continue;
        const double least = ls_bound_of_siblings(&v->trace->nodes[c->node], f->one_row, f->bound);
        c->is_outlier = agrees(c) && ((c->error > OUTLIER * f->median && c->error > least) ||
                                      (c->row_error > OUTLIER * f->median_row && c->row_error > ROW_MARGIN * least));
    }
}

static bool look_at_families(ls_verification *v) {
    double *errors = malloc((v->count + 1) * sizeof *errors), *row_errors = malloc((v->count + 1) * sizeof *row_errors);
    bool ok = errors != NULL && row_errors != NULL;
    for (size_t i = 0; i < v->count && ok; i++)
        ok = v->checks[i].reason != NULL || family_of(v, &v->checks[i]) != NULL;
    for (size_t f = 0; f < v->family_count && ok; f++)
        look_at_family(v, f, errors, row_errors);
    free(errors);
    free(row_errors);
    return ok;
}

/* Reasons are few, and the texts of this program. */
static bool list_reasons(ls_verification *v) {
    for (size_t i = 0; i < v->count; i++) {
        const char *reason = v->checks[i].reason;
        size_t at = 0;
        while (reason != NULL && at < v->reason_count && strcmp(v->reasons[at].text, reason) != 0)
            at++;
        if (reason != NULL && at == v->reason_count) {
            if (!ls_grow((void **)&v->reasons, v->reason_count, &v->reason_capacity, sizeof *v->reasons))
                return false;
            v->reasons[v->reason_count++] = (ls_check_reason){.text = reason, .first = i};
        }
        if (reason != NULL)
            v->reasons[at].count++;
    }
    return true;
}

/* ------------------------------------------------------------------ kernels and dumps */

static bool is_suspect(const ls_check *c) { return c->reason == NULL && (!agrees(c) || c->is_outlier); }

static bool reads(const ls_trace *t, const ls_node *n, size_t node) {
    for (size_t i = 0; i < n->operand_count; i++)
        if (n->operands[i] != LS_NONE && ls_recorded_is_view_of(t, n->operands[i], node))
            return true;
    return false;
}

/* An operation in question, with its right values. */
typedef struct suspect {
    size_t check;
    size_t write, cache; /* the last write of its values to a cache; LS_NONE */
    ls_testimony testimony;
    ls_array right; /* as recorded, where nothing was computed */
} suspect;

typedef struct suspects {
    suspect *items;
    size_t count, capacity;
    uint64_t held; /* elements of their right values */
} suspects;

/* Where nearly everything is wrong (another model's weights), most suspects stay undecided. */
enum { SUSPECTS_MAX = 1000, HELD_MAX = 1 << 25 };

/* What is computed, and what was recorded where nothing is. */
static bool right_values(const run *r, size_t node, ls_array *out) {
    const ls_node *n = &r->v->trace->nodes[node];
    ls_rows rows = rows_of(r, node);
    ls_computed computed;
    const char *reason;
    if (!ls_recorded_read(&r->values, node, out, &reason))
        return ls_rows_done(&rows), false;
    const bool ok = ls_computed_of(&r->values, node, &rows, r->exact, &computed);
    double *all = ok ? ls_values_new(n, &reason) : NULL;
    if (all != NULL)
        ls_rows_spread(&rows, n, computed.values.values, all);
    for (uint64_t i = 0; all != NULL && i < n->elements; i++)
        out->values[i] = isnan(all[i]) ? out->values[i] : all[i];
    if (all == NULL)
        ls_array_release(out);
    free(all);
    ls_computed_done(&computed);
    ls_rows_done(&rows);
    return all != NULL;
}

static lockstep_status add_suspect(run *r, suspects *s, size_t check, lockstep_error *error) {
    ls_check *c = &r->v->checks[check];
    suspect own = {.check = check, .write = LS_NONE, .cache = LS_NONE};
    const uint64_t elements = r->v->trace->nodes[c->node].elements;
    c->fault = LS_FAULT_UNDECIDED;
    r->v->failed++;
    if (s->count == SUSPECTS_MAX || elements > HELD_MAX - s->held)
        return LOCKSTEP_OK;
    if (!ls_grow((void **)&s->items, s->count, &s->capacity, sizeof *s->items))
        return no_memory(error);
    if (right_values(r, c->node, &own.right)) {
        s->items[s->count++] = own;
        s->held += elements;
    }
    return LOCKSTEP_OK;
}

/* Through a cache. */
static bool reads_cache(run *r, const ls_node *n, size_t cache) {
    for (size_t i = 0; i < n->operand_count && cache != LS_NONE; i++)
        if (n->operands[i] != LS_NONE && ls_recorded_cache(&r->values, n->operands[i]) == cache)
            return true;
    return false;
}

/* Computes a reader from the right values of a suspect. */
static bool compute_from_right(run *r, const suspect *s, bool through_cache, size_t reader, const ls_rows *rows, ls_computed *out) {
    double *saved = through_cache ? ls_recorded_save(&r->values, s->cache) : NULL;
    if (through_cache && saved == NULL)
        return false;
    r->values.replaced = r->v->checks[s->check].node;
    r->values.replacement = &s->right;
    if (through_cache)
        ls_recorded_write(&r->values, s->write);
    const bool ok = ls_computed_of(&r->values, reader, rows, r->exact, out);
    r->values.replaced = LS_NONE;
    if (through_cache)
        ls_recorded_restore(&r->values, s->cache, saved);
    return ok;
}

/* A reader of values that were recorded wrongly was computed from others, which are as far from the right ones as their kernel may be. */
static void excuse(const run *r, const ls_check *accused, ls_check *reader, ls_array *recorded, ls_computed *from_right) {
    ls_check again = {.node = reader->node};
    compare(r, &r->v->trace->nodes[reader->node], recorded, from_right, &again);
    reader->error = again.error;
    reader->row_error = again.row_error;
    reader->bound += accused->bound;
    reader->is_outlier = false;
}

/* Computes a reader of a suspect from the right values, too, and asks with which of both its recorded result agrees. If
 * with the right ones, the reader is not at fault itself. */
static void ask(run *r, suspect *s, ls_check *reader) {
    ls_check *accused = &r->v->checks[s->check];
    const ls_node *n = &r->v->trace->nodes[reader->node];
    const bool direct = reads(r->v->trace, n, accused->node), through_cache = !direct && reads_cache(r, n, s->cache);
    if (!direct && !through_cache)
        return;
    const char *reason;
    ls_rows rows = rows_of(r, reader->node);
    ls_array recorded = {0};
    ls_computed from_recorded = {0}, from_right = {0};
    if (ls_recorded_read_rows(&r->values, reader->node, &rows, rows.axis, &recorded, &reason) &&
        ls_computed_of(&r->values, reader->node, &rows, r->exact, &from_recorded) && compute_from_right(r, s, through_cache, reader->node, &rows, &from_right)) {
        ls_testimony_add(&s->testimony, &recorded, &from_recorded.values, &from_right.values, accused->bound + reader->bound);
        accused->fault = ls_testimony_verdict(&s->testimony);
        if (accused->fault == LS_FAULT_DUMP && reader->reason == NULL)
            excuse(r, accused, reader, &recorded, &from_right);
    }
    ls_array_release(&recorded);
    ls_computed_done(&from_recorded);
    ls_computed_done(&from_right);
    ls_rows_done(&rows);
}

static void note_write(run *r, suspects *s, size_t write) {
    for (size_t k = 0; k < s->count; k++)
        if (reads(r->v->trace, &r->v->trace->nodes[write], r->v->checks[s->items[k].check].node)) {
            s->items[k].write = write;
            s->items[k].cache = ls_recorded_cache(&r->values, write);
        }
}

/* Goes through the trace again, because caches have to be as they were. */
static lockstep_status judge_suspects(run *r, lockstep_error *error) {
    ls_verification *v = r->v;
    suspects s = {0};
    lockstep_status status = LOCKSTEP_OK;
    size_t check = 0;
    for (size_t i = 0; i < v->trace->node_count && status == LOCKSTEP_OK; i++) {
        if (v->trace->nodes[i].role == LOCKSTEP_ROLE_WRITE) {
            ls_recorded_write(&r->values, i);
            note_write(r, &s, i);
        }
        if (check == v->count || v->checks[check].node != i)
            continue;
        for (size_t k = 0; k < s.count; k++)
            ask(r, &s.items[k], &v->checks[check]);
        if (is_suspect(&v->checks[check]))
            status = add_suspect(r, &s, check, error);
        check++;
    }
    for (size_t k = 0; k < s.count; k++)
        ls_array_release(&s.items[k].right);
    free(s.items);
    return status;
}

static bool any_suspect(const ls_verification *v) {
    bool any = false;
    for (size_t i = 0; i < v->count && !any; i++)
        any = is_suspect(&v->checks[i]);
    return any;
}

/* ------------------------------------------------------------------ all */

/* Operations between two writes to caches, which are checked at the same time. */
typedef struct batch {
    const run *r;
    ls_check *checks;
} batch;

/* Elements that are in memory while an operation is checked, about. */
static uint64_t size_of(const run *r, size_t node) {
    const ls_trace *t = r->v->trace;
    uint64_t size = t->nodes[node].elements;
    for (size_t i = 0; i < t->nodes[node].operand_count && size < UINT64_MAX / 2; i++)
        if (t->nodes[node].operands[i] != LS_NONE)
            size += t->nodes[t->nodes[node].operands[i]].elements;
    return size;
}

/* Several large ones at a time would need more memory than there is. */
static bool is_large(const run *r, size_t node) { return size_of(r, node) > LARGE; }

static void check_small(void *context, uint64_t i, int worker) {
    const batch *b = context;
    (void)worker;
    if (!is_large(b->r, b->checks[i].node))
        check_node(b->r, b->checks[i].node, &b->checks[i]);
}

static void check_from(const run *r, size_t first) {
    ls_pool_run(r->v->count - first, check_small, &(batch){r, r->v->checks + first});
    for (size_t i = first; i < r->v->count; i++)
        if (is_large(r, r->v->checks[i].node))
            check_node(r, r->v->checks[i].node, &r->v->checks[i]);
}

static bool is_checked(const ls_node *n) { return ls_node_is_operation(n) && n->elements > 0; }

static size_t count_operations(const ls_trace *trace) {
    size_t count = 0;
    for (size_t i = 0; i < trace->node_count; i++)
        count += is_checked(&trace->nodes[i]);
    return count;
}

static lockstep_status check_all(run *r, lockstep_error *error) {
    ls_verification *v = r->v;
    size_t first = 0;
    for (size_t i = 0; i < v->trace->node_count; i++) {
        const ls_node *n = &v->trace->nodes[i];
        if (n->role == LOCKSTEP_ROLE_WRITE) {
            check_from(r, first);
            first = v->count;
            ls_recorded_write(&r->values, i);
        }
        if (!is_checked(n))
            continue;
        if (!ls_grow((void **)&v->checks, v->count, &v->capacity, sizeof *v->checks))
            return no_memory(error);
        v->checks[v->count++] = (ls_check){.node = i};
    }
    check_from(r, first);
    return LOCKSTEP_OK;
}

static ls_recorded values_of(const ls_trace *trace, const ls_models *models) {
    return (ls_recorded){.trace = trace, .models = models, .replaced = LS_NONE};
}

lockstep_status ls_verify(const ls_trace *trace, const ls_models *models, bool exact, ls_verification *out,
                          lockstep_error *error) {
    *out = (ls_verification){.trace = trace};
    run r = {.v = out, .exact = exact, .values = values_of(trace, models)};
    ls_progress_begin(LS_STAGE_VERIFYING, count_operations(trace));
    lockstep_status status = check_all(&r, error);
    ls_progress_end(LS_STAGE_VERIFYING);
    if (status == LOCKSTEP_OK && (!look_at_families(out) || !list_reasons(out)))
        status = no_memory(error);
    if (status == LOCKSTEP_OK && any_suspect(out)) {
        ls_recorded_done(&r.values);
        r.values = values_of(trace, models);
        status = judge_suspects(&r, error);
    }
    for (size_t i = 0; i < out->count; i++)
        if (out->checks[i].reason == NULL) {
            out->checked++;
            out->sampled += out->checks[i].share < 1;
            out->reduced += out->checks[i].fault == LS_FAULT_NONE && ls_bound_is_reduced(trace, &trace->nodes[out->checks[i].node], out->checks[i].error);
        }
    ls_recorded_done(&r.values);
    if (status != LOCKSTEP_OK)
        ls_verification_done(out);
    return status;
}

/* What fails is in question: what reads it has not been asked. */
static void check_again(const run *r, ls_check *c) {
    const ls_check before = *c;
    check_node(r, before.node, c);
    c->family = before.family;
    c->fault = before.fault;
    if (agrees(c) || before.fault != LS_FAULT_NONE || c->reason != NULL)
        return;
    c->fault = LS_FAULT_UNDECIDED;
    r->v->failed++;
}

void ls_verify_all_rows(ls_verification *v, const ls_models *models, const bool *wanted) {
    run r = {.v = v, .all_rows = true, .values = values_of(v->trace, models)};
    size_t check = 0;
    for (size_t i = 0; i < v->trace->node_count; i++) {
        if (v->trace->nodes[i].role == LOCKSTEP_ROLE_WRITE)
            ls_recorded_write(&r.values, i);
        if (check == v->count || v->checks[check].node != i)
            continue;
        if (wanted[i])
            check_again(&r, &v->checks[check]);
        check++;
    }
    ls_recorded_done(&r.values);
}

void ls_verification_done(ls_verification *v) {
    free(v->checks);
    free(v->families);
    free(v->reasons);
    *v = (ls_verification){0};
}
