#include "bundle/bundle.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "bundle/script.h"
#include "diff/proof.h"
#include "eval/some_rows.h"
#include "format/npy.h"
#include "io/sink.h"
#include "match/aligned_pair.h"
#include "tensor/dtype.h"
#include "tensor/rounding.h"
#include "verify/recorded.h"

enum { LEAVES = 64, STEPS = 64, CHANNELS = 16 };

/* What is cut out of a tensor: rows of a matrix, in this order; all of them where there are none. */
typedef struct cut {
    uint64_t rows[CHANNELS];
    size_t count;
} cut;

typedef struct bundler {
    const ls_diff *d;
    const ls_trace *t;
    const char *folder;
    size_t target;             /* the operation whose result is compared */
    const ls_replayed *item;   /* of an operation at fault; or NULL */
    double *expected, *got;    /* the whole result; expected: NaN where the reference has nothing */
    ls_recorded recorded;
    ls_rows rows;              /* those that are kept of a single operation */
    uint64_t place;
    cut channels;              /* of a product with a weight */
    ls_script_leaf leaves[LEAVES];
    ls_script_step steps[STEPS];
    size_t leaf_count, step_count;
    lockstep_error *error;
} bundler;

static lockstep_status fail(bundler *b, const char *reason) {
    return ls_fail(b->error, LOCKSTEP_UNSUPPORTED, "%s (%s): %s", b->t->nodes[b->target].name, b->t->nodes[b->target].op, reason);
}

/* ------------------------------------------------------------------ the two results */

/* Puts the reference's values where the candidate's corresponding elements are. */
static void place_expected(bundler *b, const ls_aligned_pair *a) {
    const ls_view *to = &a->layout.candidate, *from = &a->layout.reference, *all = &a->candidate.view;
    const size_t size = ls_dtype(to->dtype)->block_bytes, total = (size_t)b->t->nodes[b->target].elements;
    uint64_t at[LOCKSTEP_MAX_RANK] = {0};
    for (uint64_t i = 0; i < ls_view_elements(to); i++) {
        int64_t offset = (to->data - all->data) / (int64_t)size;
        for (int k = 0; k < to->rank; k++)
            offset += (int64_t)at[k] * to->strides[k];
        const size_t index = offset >= 0 ? (size_t)offset : SIZE_MAX;
        if (index < total)
            ls_view_read_f64(from, i, 1, &b->expected[index]);
        for (int k = to->rank; k-- > 0 && ++at[k] == to->shape[k];)
            at[k] = 0;
    }
}

static lockstep_status read_results(bundler *b, const ls_pair *pair) {
    ls_aligned_pair aligned;
    const ls_node *n = &b->t->nodes[b->target];
    b->expected = calloc(n->elements + 1, sizeof *b->expected);
    b->got = calloc(n->elements + 1, sizeof *b->got);
    if (b->expected == NULL || b->got == NULL)
        return ls_fail(b->error, LOCKSTEP_NO_MEMORY, "out of memory");
    LS_TRY(ls_aligned_pair_open(&b->d->matching, pair, ls_pair_reorder(pair), LS_LAYOUT_VOTED, &aligned, b->error));
    for (uint64_t i = 0; i < n->elements; i++)
        b->expected[i] = NAN;
    const ls_view *held = &aligned.candidate.view;
    const bool fits = ls_view_elements(held) == n->elements && ls_view_is_contiguous(held) && ls_dtype(held->dtype)->block_elements == 1 && held->data != NULL;
    if (fits) {
        ls_view_read_f64(held, 0, (size_t)n->elements, b->got);
        place_expected(b, &aligned);
    }
    ls_aligned_pair_close(&aligned);
    return fits ? LOCKSTEP_OK : fail(b, "its recorded values are not those of the whole tensor");
}

/* ------------------------------------------------------------------ what is left out */

static uint64_t size_of(const ls_node *n, int axis) { return n != NULL && axis < n->rank ? n->shape[n->rank - 1 - axis] : 1; }

static uint64_t inner_of(const ls_node *n, int axis) {
    uint64_t inner = 1;
    for (int i = 0; i < axis; i++)
        inner *= size_of(n, i);
    return inner;
}

static double squared(const bundler *b, uint64_t i) {
    const double d = b->got[i] - b->expected[i];
    return isnan(b->expected[i]) ? 0 : isnan(d) ? INFINITY : d * d;
}

/* The row that differs most. */
static uint64_t worst_row(const bundler *b, int axis, uint64_t of) {
    const ls_node *n = &b->t->nodes[b->target];
    const uint64_t inner = inner_of(n, axis);
    double *sums = calloc(of, sizeof *sums);
    uint64_t worst = 0;
    for (uint64_t i = 0; i < n->elements && sums != NULL; i++)
        sums[i / inner % of] += squared(b, i);
    for (uint64_t i = 0; i < of && sums != NULL; i++)
        worst = sums[i] > sums[worst] ? i : worst;
    free(sums);
    return worst;
}

static const ls_node *operand_of(const bundler *b, const ls_node *n, size_t slot) {
    return slot < n->operand_count && n->operands[slot] != LS_NONE ? &b->t->nodes[n->operands[slot]] : NULL;
}

static bool is_matrix(const ls_node *n) { return n != NULL && n->rank <= LS_EVAL_AXES && size_of(n, 2) * size_of(n, 3) == 1; }

static bool is_kept(const bundler *b, const ls_node *n, uint64_t i) {
    if (b->rows.places != NULL && i / inner_of(n, b->rows.axis) % b->rows.of != b->place)
        return false;
    bool any = b->channels.count == 0;
    for (size_t k = 0; k < b->channels.count && !any; k++)
        any = i % size_of(n, 0) == b->channels.rows[k];
    return any;
}

static int by_number(const void *a, const void *b) {
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* Of a product with one weight, the channels that differ most in the rows that are kept. */
static void choose_channels(bundler *b) {
    const ls_node *n = &b->t->nodes[b->target], *weight = operand_of(b, n, 0);
    const uint64_t channels = size_of(n, 0);
    if (n->kind->id != LS_OP_MUL_MAT || n->dialect != LS_DIALECT_GGML || !is_matrix(weight) || weight->role != LOCKSTEP_ROLE_WEIGHT || channels <= CHANNELS)
        return;
    double *sums = calloc(channels, sizeof *sums);
    for (uint64_t i = 0; i < n->elements && sums != NULL; i++)
        sums[i % channels] += is_kept(b, n, i) ? squared(b, i) : 0;
    cut chosen = {.count = sums != NULL ? CHANNELS : 0};
    for (size_t k = 0; k < chosen.count; k++) {
        uint64_t best = 0;
        for (uint64_t c = 1; c < channels; c++)
            best = sums[c] > sums[best] ? c : best;
        chosen.rows[k] = best;
        sums[best] = -1;
    }
    qsort(chosen.rows, chosen.count, sizeof *chosen.rows, by_number);
    b->channels = chosen;
    free(sums);
}

static bool is_lookup(const bundler *b) {
    const ls_node *n = &b->t->nodes[b->target], *ids = operand_of(b, n, 1);
    return n->kind->id == LS_OP_GET_ROWS && n->dialect == LS_DIALECT_GGML && is_matrix(operand_of(b, n, 0)) && ids != NULL && ids->elements == size_of(n, 1) && is_matrix(n);
}

static void choose(bundler *b) {
    bool by_rows = ls_rows_along(b->t, b->target, &b->rows);
    if (b->item != NULL && b->item->region_count > 0)
        by_rows = false;
    else if (is_lookup(b)) {
        b->rows = (ls_rows){.axis = 1, .of = size_of(&b->t->nodes[b->target], 1)};
        by_rows = true;
    }
    if (!by_rows || b->rows.of < 2) {
        b->rows = (ls_rows){0};
    } else {
        b->place = worst_row(b, b->rows.axis, b->rows.of);
        b->rows.count = 1;
        b->rows.places = &b->place;
    }
    if (b->item == NULL || b->item->region_count == 0)
        choose_channels(b);
}

/* ------------------------------------------------------------------ files */

static lockstep_status write_bytes(bundler *b, const char *name, const void *head, size_t head_size, const void *bytes, size_t size) {
    char path[4096];
    ls_sink sink;
    if (snprintf(path, sizeof path, "%s/%s", b->folder, name) >= (int)sizeof path)
        return ls_fail(b->error, LOCKSTEP_INVALID_ARGUMENT, "%s: the path is too long", b->folder);
    LS_TRY(ls_sink_open(path, &sink, b->error));
    lockstep_status status = ls_sink_write(&sink, head, head_size, b->error);
    if (status == LOCKSTEP_OK)
        status = ls_sink_write(&sink, bytes, size, b->error);
    if (status != LOCKSTEP_OK)
        ls_sink_abandon(&sink);
    return status == LOCKSTEP_OK ? ls_sink_close(&sink, b->error) : status;
}

/* float32, or int32. */
static lockstep_status write_npy(bundler *b, const char *name, int rank, const uint64_t *shape, const double *values, bool is_integer) {
    char head[LS_NPY_HEADER_MAX];
    uint64_t count = 1;
    for (int i = 0; i < rank; i++)
        count *= shape[i];
    const size_t length = ls_npy_header(is_integer ? LOCKSTEP_I32 : LOCKSTEP_F32, rank, shape, head, sizeof head);
    union {
        float real;
        int32_t integer;
    } *elements = length > 0 ? malloc((count + 1) * sizeof *elements) : NULL;
    if (elements == NULL)
        return ls_fail(b->error, LOCKSTEP_NO_MEMORY, "%s: out of memory", name);
    for (uint64_t i = 0; i < count; i++)
        if (is_integer && !(values[i] >= INT32_MIN && values[i] <= INT32_MAX)) {
            free(elements);
            return fail(b, "an integer is too large for int32");
        } else if (is_integer) {
            elements[i].integer = (int32_t)values[i];
        } else {
            elements[i].real = (float)values[i];
        }
    const lockstep_status status = write_bytes(b, name, head, length, elements, count * sizeof *elements);
    free(elements);
    return status;
}

static lockstep_status write_result(bundler *b, const char *name, const double *all) {
    const ls_node *n = &b->t->nodes[b->target];
    double *kept = malloc((n->elements + 1) * sizeof *kept);
    uint64_t count = 0;
    for (uint64_t i = 0; i < n->elements && kept != NULL; i++)
        if (is_kept(b, n, i))
            kept[count++] = all[i];
    const ls_node *some = &b->steps[b->step_count - 1].node;
    const lockstep_status status = kept != NULL ? write_npy(b, name, some->rank, some->shape, kept, false) : ls_fail(b->error, LOCKSTEP_NO_MEMORY, "out of memory");
    free(kept);
    return status;
}

/* ------------------------------------------------------------------ operands */

/* The blocks of these rows of a quantized weight, as they are in its file. */
static lockstep_status write_blocks(bundler *b, const char *name, const ls_view *view, const cut *c) {
    const ls_dtype_row *type = ls_dtype(view->dtype);
    const uint64_t width = view->shape[view->rank - 1], row = width / type->block_elements * type->block_bytes, rows = c->count > 0 ? c->count : ls_view_elements(view) / width;
    uint8_t *bytes = malloc(rows * row + 1);
    for (uint64_t i = 0; i < rows && bytes != NULL; i++)
        memcpy(bytes + i * row, view->data + (c->count > 0 ? c->rows[i] : i) * row, row);
    const lockstep_status status = bytes != NULL ? write_bytes(b, name, "", 0, bytes, rows * row) : ls_fail(b->error, LOCKSTEP_NO_MEMORY, "out of memory");
    free(bytes);
    return status;
}

static bool has_blocks(const bundler *b, size_t node, ls_view *out) {
    const char *reason;
    return b->t->nodes[node].role == LOCKSTEP_ROLE_WEIGHT && ls_models_find(&b->d->models, node, out, &reason) && out->data != NULL && out->factor == 0 && ls_dtype(out->dtype)->block_elements > 1 &&
           ls_view_is_contiguous(out) && out->shape[out->rank - 1] % ls_dtype(out->dtype)->block_elements == 0;
}

/* What is read of a leaf; the values are written row by row. */
static lockstep_status write_leaf(bundler *b, ls_script_leaf *leaf, size_t node, const char *stem, const ls_array *values, const cut *c) {
    const ls_node *n = &b->t->nodes[node];
    char name[40];
    ls_view view;
    const uint64_t width = ls_array_size(values, 0), rows = c->count > 0 ? c->count : width > 0 ? values->elements / width : 0;
    uint64_t total;
    if (!ls_mul_u64(rows, width, &total))
        return fail(b, "its shape is impossible");
    double *kept = malloc((total + 1) * sizeof *kept), *buffer = malloc((width + 1) * sizeof *buffer);
    for (uint64_t i = 0; i < rows && kept != NULL && buffer != NULL; i++)
        memcpy(kept + i * width, ls_array_part(values, (c->count > 0 ? c->rows[i] : i) * width, width, buffer), width * sizeof *kept);
    leaf->rank = values->rank;
    memcpy(leaf->shape, values->shape, sizeof leaf->shape);
    if (c->count > 0 && leaf->rank > 1)
        leaf->shape[leaf->rank - 2] = c->count;
    snprintf(name, sizeof name, "%s.npy", stem);
    lockstep_status status = kept != NULL && buffer != NULL ? write_npy(b, name, leaf->rank, leaf->shape, kept, ls_node_is_integer(n)) : ls_fail(b->error, LOCKSTEP_NO_MEMORY, "out of memory");
    free(kept);
    free(buffer);
    leaf->is_raw = has_blocks(b, node, &view);
    leaf->type = leaf->is_raw ? ls_dtype(view.dtype)->name : ls_node_is_integer(n) ? "i32" : strcmp(n->dtype, "f16") == 0 || strcmp(n->dtype, "bf16") == 0 ? n->dtype : "f32";
    snprintf(name, sizeof name, "%s.bin", stem);
    return status == LOCKSTEP_OK && leaf->is_raw ? write_blocks(b, name, &view, c) : status;
}

/* Which rows of an operand are read. */
static lockstep_status cut_of(bundler *b, const ls_node *n, size_t slot, cut *out) {
    ls_array ids = {0};
    const char *reason;
    *out = slot == 0 ? b->channels : (cut){0};
    if (slot != 0 || b->rows.places == NULL || !is_lookup(b))
        return LOCKSTEP_OK;
    if (!ls_recorded_read(&b->recorded, n->operands[1], &ids, &reason))
        return fail(b, reason);
    const double id = ids.values[b->place];
    const bool is_inside = id >= 0 && id < (double)size_of(operand_of(b, n, 0), 1);
    *out = (cut){.rows = {is_inside ? (uint64_t)id : 0}, .count = 1};
    ls_array_release(&ids);
    return is_inside ? LOCKSTEP_OK : fail(b, "an index is outside of the table");
}

static bool read_leaf(bundler *b, const ls_node *n, size_t slot, ls_array *out, const char **out_reason) {
    static const ls_rows all = {0};
    const bool looks_up = b->rows.places != NULL && is_lookup(b);
    if (ls_leaf_borrow(&b->d->models, n, slot, out))
        return true;
    if (!looks_up)
        return ls_recorded_read_rows(&b->recorded, n->operands[slot], b->rows.places != NULL ? &b->rows : &all, ls_rows_axis_of(b->t, n, slot, &b->rows), out, out_reason);
    if (!ls_recorded_read(&b->recorded, n->operands[slot], out, out_reason))
        return false;
    if (slot == 1) { /* of the table, one row is kept */
        out->rank = 1;
        out->shape[0] = out->elements = 1;
        out->values[0] = 0;
    }
    return true;
}

static lockstep_status add_leaf(bundler *b, const ls_node *n, size_t slot, size_t *out_at) {
    const char *reason = NULL;
    char stem[16];
    ls_array values = {0};
    cut c;
    if (b->leaf_count == LEAVES)
        return fail(b, "too many operands");
    LS_TRY(cut_of(b, n, slot, &c));
    if (!read_leaf(b, n, slot, &values, &reason))
        return fail(b, reason != NULL ? reason : "an operand was not recorded");
    ls_script_leaf *leaf = &b->leaves[b->leaf_count];
    *leaf = (ls_script_leaf){.name = b->t->nodes[n->operands[slot]].name};
    snprintf(stem, sizeof stem, "x%zu", b->leaf_count);
    const lockstep_status status = write_leaf(b, leaf, n->operands[slot], stem, &values, &c);
    ls_array_release(&values);
    *out_at = b->leaf_count++;
    return status;
}

/* The step that an operand is the result of, or a view of; SIZE_MAX. */
static size_t step_of(const bundler *b, size_t operand, const size_t *nodes) {
    for (size_t i = 0; i < b->step_count; i++)
        if (ls_recorded_is_view_of(b->t, operand, nodes[i]))
            return i;
    return SIZE_MAX;
}

/* Whether all elements of a view of float32 lie in the result that it is of. */
static bool lies_inside(const ls_node *view, const ls_node *of) {
    uint64_t last = view->offset, way;
    for (int i = 0; i < view->rank && view->strides != NULL; i++) {
        if (view->shape[i] == 0 || view->strides[i] < 0 || !ls_mul_u64(view->shape[i] - 1, (uint64_t)view->strides[i], &way) || !ls_add_u64(last, way, &last))
            return false;
    }
    if (view->strides == NULL && (view->elements == 0 || !ls_add_u64(last, (view->elements - 1) * sizeof(float), &last)))
        return false;
    return last / sizeof(float) < of->elements;
}

static lockstep_status add_operand(bundler *b, ls_script_step *step, const ls_node *n, size_t slot, const size_t *nodes) {
    const size_t operand = n->operands[slot], at = step_of(b, operand, nodes);
    if (at == SIZE_MAX) {
        step->operands[slot].source = LS_SCRIPT_LEAF;
        return add_leaf(b, n, slot, &step->operands[slot].at);
    }
    const ls_node *seen = &b->t->nodes[operand];
    step->operands[slot].source = LS_SCRIPT_STEP;
    step->operands[slot].at = at;
    if (operand == nodes[at])
        return LOCKSTEP_OK;
    step->operands[slot].view = seen;
    if (!lies_inside(seen, &b->steps[at].node))
        return fail(b, "a view goes beyond what it is a view of");
    return seen->view_of == nodes[at] || seen->strides == NULL ? LOCKSTEP_OK : fail(b, "a view of a view is between its operations");
}

/* One operation, whose caches are as they were before it. */
static lockstep_status add_step(bundler *b, size_t node, size_t *nodes) {
    const ls_node *n = &b->t->nodes[node];
    if (b->step_count == STEPS || n->operand_count > LS_SCRIPT_OPERANDS)
        return fail(b, "too many operations or operands");
    ls_script_step *step = &b->steps[b->step_count];
    *step = (ls_script_step){.node = b->rows.places != NULL ? ls_rows_node(&b->rows, n) : *n};
    if (b->channels.count > 0)
        step->node.shape[step->node.rank - 1] = b->channels.count;
    for (size_t slot = 0; slot < n->operand_count; slot++)
        if (n->operands[slot] != LS_NONE)
            LS_TRY(add_operand(b, step, n, slot, nodes));
    nodes[b->step_count++] = node;
    return LOCKSTEP_OK;
}

static bool is_step(const bundler *b, size_t node) {
    bool any = node == b->target;
    for (size_t i = 0; b->item != NULL && i < b->item->region_count && !any; i++)
        any = b->item->region[i] == node;
    return any;
}

static lockstep_status add_steps(bundler *b) {
    size_t nodes[STEPS];
    for (size_t i = 0; i <= b->target; i++) {
        if (is_step(b, i))
            LS_TRY(add_step(b, i, nodes));
        else if (b->t->nodes[i].role == LOCKSTEP_ROLE_WRITE)
            ls_recorded_write(&b->recorded, i);
    }
    return LOCKSTEP_OK;
}

/* ------------------------------------------------------------------ all of it */

static lockstep_status write_scripts(bundler *b, ls_bundled *out) {
    const ls_script script = {b->leaves, b->steps, b->leaf_count, b->step_count};
    const char *numpy = ls_script_missing_numpy(&script), *ggml = ls_script_missing_ggml(&script);
    ls_text text = {0};
    lockstep_status status = LOCKSTEP_OK;
    out->has_numpy = numpy == NULL;
    out->has_ggml = ggml == NULL;
    out->missing = numpy != NULL ? numpy : ggml;
    if (numpy == NULL) {
        ls_script_numpy(&script, &text);
        status = write_bytes(b, "reproduce.py", "", 0, text.data != NULL ? text.data : "", text.length);
    }
    ls_text_clear(&text);
    if (ggml == NULL && status == LOCKSTEP_OK) {
        ls_script_ggml(&script, &text);
        status = write_bytes(b, "reproduce.c", "", 0, text.data != NULL ? text.data : "", text.length);
    }
    ls_text_done(&text);
    return status;
}

static lockstep_status write_all(bundler *b, const ls_pair *pair, ls_bundled *out) {
    LS_TRY(read_results(b, pair));
    choose(b);
    LS_TRY(add_steps(b));
    LS_TRY(write_result(b, "expected.npy", b->expected));
    LS_TRY(write_result(b, "got.npy", b->got));
    const ls_node *n = &b->t->nodes[b->target];
    *out = (ls_bundled){.rows = b->rows.places != NULL ? 1 : 0, .of = b->rows.of, .channels = b->channels.count, .of_channels = size_of(n, 0), .operations = b->step_count};
    return write_scripts(b, out);
}

lockstep_status ls_bundle_write(const ls_diff *d, const ls_pair *pair, const char *folder, ls_bundled *out, lockstep_error *error) {
    bundler *b = calloc(1, sizeof *b);
    if (b == NULL)
        return ls_fail(error, LOCKSTEP_NO_MEMORY, "out of memory");
    *b = (bundler){.d = d, .t = d->in.candidate.trace, .folder = folder, .target = pair->candidate_value, .item = ls_proof_of(d, pair->candidate_value), .error = error};
    b->recorded = (ls_recorded){.trace = b->t, .models = &d->models, .replaced = LS_NONE};
    const ls_node *n = &b->t->nodes[b->target];
    const lockstep_status status = n->role != LOCKSTEP_ROLE_COMPUTED || n->pass == LS_NONE ? fail(b, "it is not the result of an operation that the trace holds") : write_all(b, pair, out);
    ls_recorded_done(&b->recorded);
    free(b->expected);
    free(b->got);
    free(b);
    return status;
}
