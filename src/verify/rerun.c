#include "verify/rerun.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/role.h"
#include "base/text.h"
#include "record/trace_writer.h"
#include "tensor/dtype.h"
#include "tensor/summary.h"
#include "verify/computed.h"

typedef struct rerun {
    const ls_trace *trace;
    ls_recorded values;
    ls_array *computed;  /* per node */
    size_t *last_use;    /* per node: the last one that reads it */
    bool *within;        /* per node: from `from` to `to` */
    ls_recording to;
    ls_text line;
    int failed;          /* errno */
    ls_rerun *out;
} rerun;

/* ------------------------------------------------------------------ computing */

static bool is_computed(const ls_trace *t, size_t node) { return ls_node_is_operation(&t->nodes[node]); }

static bool compute(const rerun *r, size_t node, ls_array *out, const char **out_reason) {
    ls_computed c;
    const bool ok = ls_computed_of(&r->values, node, &(ls_rows){0}, true, &c);
    *out = c.values;
    *out_reason = c.reason;
    free(c.scale);
    return ok;
}

/* Of an operation that is not computed, the recorded values are used, where there are some. */
static void take(rerun *r, size_t node) {
    const char *reason = NULL;
    const bool wanted = r->within[node];
    if (wanted && compute(r, node, &r->computed[node], &reason)) {
        r->out->computed++;
        return;
    }
    if (wanted && r->out->reason == NULL) {
        r->out->reason = reason;
        r->out->first = node;
    }
    const bool there = ls_node_has_values(&r->trace->nodes[node]) && ls_leaf_stored(r->trace, node, &r->computed[node], &reason);
    r->out->recorded += there;
    r->out->unknown += !there;
}

static size_t first_with(const ls_trace *t, const char *name) {
    for (size_t i = 0; i < t->node_count; i++)
        if (is_computed(t, i) && strcmp(t->nodes[i].name, name) == 0)
            return i;
    return LS_NONE;
}

/* In each pass, from the first operation of one name to the last of the other. */
static lockstep_status mark_within(rerun *r, const ls_rerun_options *o, lockstep_error *error) {
    const ls_trace *t = r->trace;
    const char *const names[] = {o->from, o->to};
    for (int i = 0; i < 2; i++)
        if (names[i] != NULL && first_with(t, names[i]) == LS_NONE)
            return ls_fail(error, LOCKSTEP_NOT_FOUND, "%s: no operation has the name '%s' (lockstep ls lists them)", t->path, names[i]);
    for (size_t pass = 0; pass < t->pass_count; pass++) {
        bool begun = o->from == NULL;
        size_t last = o->to == NULL ? t->node_count : 0;
        for (size_t i = 0; i < t->node_count && o->to != NULL; i++)
            last = t->nodes[i].pass == pass && strcmp(t->nodes[i].name, o->to) == 0 ? i + 1 : last;
        for (size_t i = 0; i < t->node_count; i++) {
            if (t->nodes[i].pass != pass)
                continue;
            begun = begun || strcmp(t->nodes[i].name, o->from) == 0;
            r->within[i] = begun && i < last;
        }
    }
    return LOCKSTEP_OK;
}

/* ------------------------------------------------------------------ memory */

/* What lies behind an operand is needed until it is read. */
static void use(rerun *r, size_t operand, size_t by) {
    enum { DEEPEST = 64 };
    const ls_trace *t = r->trace;
    for (int depth = 0; operand != LS_NONE && depth < DEEPEST; depth++) {
        const ls_node *n = &t->nodes[operand];
        r->last_use[operand] = by > r->last_use[operand] ? by : r->last_use[operand];
        operand = n->alias_of != LS_NONE ? n->alias_of : n->view_of != LS_NONE ? n->view_of : n->role == LOCKSTEP_ROLE_VIEW || n->role == LOCKSTEP_ROLE_INPUT ? (n->source_count > 0 ? n->sources[0] : LS_NONE) : LS_NONE;
    }
}

static void find_last_uses(rerun *r) {
    const ls_trace *t = r->trace;
    for (size_t i = 0; i < t->node_count; i++)
        for (size_t k = 0; k < t->nodes[i].operand_count; k++)
            if (t->nodes[i].operands[k] != LS_NONE)
                use(r, t->nodes[i].operands[k], i);
}

static void release(rerun *r, size_t operand, size_t by) {
    enum { DEEPEST = 64 };
    const ls_trace *t = r->trace;
    for (int depth = 0; operand != LS_NONE && depth < DEEPEST; depth++) {
        const ls_node *n = &t->nodes[operand];
        if (r->last_use[operand] <= by)
            ls_array_release(&r->computed[operand]);
        operand = n->alias_of != LS_NONE ? n->alias_of : n->view_of != LS_NONE ? n->view_of : n->role == LOCKSTEP_ROLE_VIEW && n->source_count > 0 ? n->sources[0] : LS_NONE;
    }
}

/* ------------------------------------------------------------------ writing */

static void put_line(rerun *r) {
    ls_text_append(&r->line, "}\n", 2);
    const int code = r->line.failed ? ENOMEM : r->to.line(r->to.context, r->line.data, r->line.length);
    r->failed = r->failed != 0 ? r->failed : code;
    ls_text_clear(&r->line);
}

static void put_text(rerun *r, const char *key, const char *value) {
    if (value == NULL)
        return;
    ls_text_printf(&r->line, ",\"%s\":", key);
    ls_text_json(&r->line, value, strlen(value));
}

static void put_list(rerun *r, const char *key, const size_t *items, size_t count) {
    ls_text_printf(&r->line, ",\"%s\":[", key);
    for (size_t i = 0; i < count; i++)
        ls_text_printf(&r->line, items[i] != LS_NONE ? "%s%zu" : "%snull", i > 0 ? "," : "", items[i]);
    ls_text_printf(&r->line, "]");
}

static void put_ids(rerun *r, const char *key, const int32_t *ids, size_t count) {
    if (ids == NULL)
        return;
    ls_text_printf(&r->line, ",\"%s\":[", key);
    for (size_t i = 0; i < count; i++)
        ls_text_printf(&r->line, "%s%d", i > 0 ? "," : "", ids[i]);
    ls_text_printf(&r->line, "]");
}

static void put_number(rerun *r, double value) {
    if (isfinite(value))
        ls_text_printf(&r->line, "%.17g", value);
    else
        ls_text_printf(&r->line, isnan(value) ? "\"nan\"" : value > 0 ? "\"inf\"" : "\"-inf\"");
}

static void put_head(rerun *r) {
    const ls_trace *t = r->trace;
    ls_text_printf(&r->line, "{\"lockstep_trace\":1,\"argv\":[]");
    put_line(r);
    ls_text_printf(&r->line, "{\"process\":0,\"engine\":\"double precision\"");
    put_text(r, "model", *t->model != '\0' ? t->model : NULL);
    put_line(r);
    for (size_t i = 0; i < t->pass_count; i++) {
        const ls_pass *p = &t->passes[i];
        ls_text_printf(&r->line, "{\"pass\":%zu,\"context\":%u,\"process\":%u", i, p->context, p->process);
        put_ids(r, "tokens", p->tokens, p->rows);
        put_ids(r, "positions", p->positions, p->rows);
        put_ids(r, "sequences", p->sequences, p->rows);
        put_line(r);
    }
}

/* Everything about a node but its values. */
static void put_node(rerun *r, size_t node, const char *dtype) {
    const ls_node *n = &r->trace->nodes[node];
    ls_text_printf(&r->line, "{\"i\":%zu", node);
    if (n->pass != LS_NONE)
        ls_text_printf(&r->line, ",\"pass\":%zu", n->pass);
    ls_text_printf(&r->line, ",\"layer\":%d,\"occurrence\":%u", n->layer, n->occurrence);
    put_text(r, "name", n->name);
    put_text(r, "op", n->op);
    put_text(r, "dtype", dtype);
    put_text(r, "role", ls_role_name(n->role));
    ls_text_printf(&r->line, ",\"shape\":[");
    for (int i = 0; i < n->rank; i++)
        ls_text_printf(&r->line, "%s%llu", i > 0 ? "," : "", (unsigned long long)n->shape[i]);
    ls_text_printf(&r->line, "]");
    put_list(r, "src", n->sources, n->source_count);
    put_list(r, "operands", n->operands, n->operand_count);
    if (n->alias_of != LS_NONE)
        ls_text_printf(&r->line, ",\"alias_of\":%zu", n->alias_of);
    if (n->view_of != LS_NONE)
        ls_text_printf(&r->line, ",\"view_of\":%zu,\"offset\":%llu", n->view_of, (unsigned long long)n->offset);
    for (int i = 0; i < n->rank && n->strides != NULL; i++)
        ls_text_printf(&r->line, "%s%lld%s", i == 0 ? ",\"strides\":[" : ",", (long long)n->strides[i], i + 1 == n->rank ? "]" : "");
    for (size_t i = 0; i < n->parameter_count; i++) {
        ls_text_printf(&r->line, i == 0 ? ",\"params\":{" : ",");
        ls_text_json(&r->line, n->parameters[i].key, strlen(n->parameters[i].key));
        ls_text_printf(&r->line, ":");
        put_number(r, n->parameters[i].value);
        ls_text_printf(&r->line, i + 1 == n->parameter_count ? "}" : "");
    }
    put_text(r, "where", n->where);
}

static void put_values(rerun *r, size_t node, lockstep_dtype dtype, const void *bytes) {
    const ls_node *n = &r->trace->nodes[node];
    const ls_stored_values values = {node, n->name, dtype, n->rank, n->shape, n->elements, n->elements * ls_dtype(dtype)->block_bytes};
    ls_place place;
    r->to.begin(r->to.context, &values);
    r->to.put(r->to.context, bytes, (size_t)values.bytes);
    const int code = r->to.end(r->to.context, true, &place);
    r->failed = r->failed != 0 ? r->failed : code;
    if (code == 0)
        ls_text_printf(&r->line, ",\"file\":\"%s\",\"at\":%llu,\"bytes\":%llu,\"member\":\"%s\"", place.file, (unsigned long long)place.at, (unsigned long long)place.bytes, place.member);
    ls_text_printf(&r->line, ",\"xxh3\":\"%016llx\"", (unsigned long long)XXH3_64bits(bytes, (size_t)values.bytes));
}

/* Inputs are as they were recorded. */
static void put_input(rerun *r, size_t node) {
    ls_hold hold;
    lockstep_error error;
    const ls_node *n = &r->trace->nodes[node];
    put_node(r, node, n->dtype);
    if (ls_node_has_values(n) && ls_trace_hold(r->trace, node, &hold, &error) == LOCKSTEP_OK) {
        void *bytes = ls_dtype(hold.view.dtype)->block_elements == 1 ? malloc(n->elements * ls_dtype(hold.view.dtype)->block_bytes + 1) : NULL;
        if (bytes != NULL && ls_view_elements(&hold.view) == n->elements) {
            ls_view_read_raw(&hold.view, 0, n->elements, bytes);
            put_values(r, node, hold.view.dtype, bytes);
        }
        free(bytes);
        ls_hold_release(&hold);
    }
    put_line(r);
}

static void put(rerun *r, size_t node) {
    const ls_node *n = &r->trace->nodes[node];
    if (!is_computed(r->trace, node)) {
        put_input(r, node);
        return;
    }
    take(r, node);
    const bool there = r->computed[node].values != NULL;
    put_node(r, node, there && !ls_node_is_integer(n) ? "f64" : n->dtype);
    if (there)
        put_values(r, node, LOCKSTEP_F64, r->computed[node].values);
    put_line(r);
}

/* ------------------------------------------------------------------ whole */

static void run_all(rerun *r) {
    const ls_trace *t = r->trace;
    put_head(r);
    for (size_t i = 0; i < t->node_count && r->failed == 0; i++) {
        put(r, i);
        if (t->nodes[i].role == LOCKSTEP_ROLE_WRITE)
            ls_recorded_write(&r->values, i);
        for (size_t k = 0; k < t->nodes[i].operand_count; k++)
            release(r, t->nodes[i].operands[k], i);
        if (r->last_use[i] <= i)
            ls_array_release(&r->computed[i]);
    }
    for (size_t i = 0; i < t->pass_count; i++) {
        ls_text_printf(&r->line, "{\"pass\":%zu,\"ended\":true", i);
        put_line(r);
    }
    ls_text_printf(&r->line, "{\"end\":true,\"tensors\":%zu,\"dropped\":0,\"exit\":0", t->node_count);
    put_line(r);
}

static lockstep_status run(rerun *r, const ls_rerun_options *o, const char *directory, lockstep_error *error) {
    const size_t n = r->trace->node_count;
    r->computed = calloc(n + 1, sizeof *r->computed);
    r->last_use = calloc(n + 1, sizeof *r->last_use);
    r->within = calloc(n + 1, sizeof *r->within);
    if (r->computed == NULL || r->last_use == NULL || r->within == NULL)
        return ls_fail(error, LOCKSTEP_NO_MEMORY, "out of memory");
    LS_TRY(mark_within(r, o, error));
    find_last_uses(r);
    LS_TRY(ls_trace_writer_open(directory, &r->to, error));
    r->values.computed = r->computed;
    run_all(r);
    const int finished = r->to.finish != NULL ? r->to.finish(r->to.context) : 0, closed = r->to.close(r->to.context, r->out->computed > 0);
    const int code = r->failed != 0 ? r->failed : finished != 0 ? finished : closed;
    return code == 0 ? LOCKSTEP_OK : ls_fail(error, LOCKSTEP_IO, "%s can't be written: %s", directory, strerror(code));
}

lockstep_status ls_rerun_write(const ls_trace *trace, const ls_models *models, const ls_rerun_options *options, const char *directory, ls_rerun *out, lockstep_error *error) {
    rerun r = {.trace = trace, .values = {.trace = trace, .models = models, .replaced = LS_NONE}, .out = out};
    *out = (ls_rerun){0};
    const lockstep_status status = run(&r, options, directory, error);
    for (size_t i = 0; r.computed != NULL && i < trace->node_count; i++)
        ls_array_release(&r.computed[i]);
    free(r.computed);
    free(r.last_use);
    free(r.within);
    ls_text_done(&r.line);
    ls_recorded_done(&r.values);
    return status;
}
