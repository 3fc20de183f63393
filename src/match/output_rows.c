#include "match/output_rows.h"

#include <stdlib.h>
#include <string.h>

#include "base/grow.h"

/* ------------------------------------------------------------------ what the graph selects */

static bool is_computed(const ls_node *n) { return n->role != LOCKSTEP_ROLE_WEIGHT && n->role != LOCKSTEP_ROLE_STATE && n->role != LOCKSTEP_ROLE_INPUT; }

static bool is_index(const ls_node *n) { return (strcmp(n->dtype, "i32") == 0 || strcmp(n->dtype, "i64") == 0) && ls_node_has_values(n); }

/* All rows of the pass: [rows, channels], or a batch of [sequences, rows of each, channels]. */
static bool has_all_rows(const ls_node *n, size_t rows) {
    const uint64_t channels = n->rank >= 2 ? n->shape[n->rank - 1] : 0;
    return rows > 0 && channels > 0 && n->elements / channels == rows && n->elements % channels == 0 && (n->rank == 2 || n->rank == 3);
}

static bool gathers(const ls_node *n) {
    return (n->kind->id == LS_OP_GET_ROWS || n->kind->id == LS_OP_INDEX_SELECT || n->kind->id == LS_OP_GATHER || n->kind->id == LS_OP_INDEX) && n->source_count > 0;
}

/* The index by which rows of a computed tensor are gathered, or LS_NONE. */
static size_t index_of(const ls_trace *t, const ls_node *n) {
    const size_t at = gathers(n) && n->source_count >= 2 ? n->sources[n->source_count - 1] : LS_NONE, rows = t->passes[n->pass].rows;
    if (at == LS_NONE || !is_computed(&t->nodes[n->sources[0]]) || !is_index(&t->nodes[at]))
        return LS_NONE;
    const ls_node *index = &t->nodes[at], *table = &t->nodes[n->sources[0]];
    const bool in_one_axis = has_all_rows(table, rows) && table->shape[table->rank - 2] == rows;
    return in_one_axis && n->elements == index->elements * table->shape[table->rank - 1] ? at : LS_NONE;
}

static int32_t *new_list(size_t count, ls_arena *arena, ls_output_rows *rows) {
    int32_t *list = ls_arena_array(arena, count + 1, sizeof *list);
    rows->selected = list;
    rows->selected_count = list != NULL ? count : 0;
    return list;
}

/* False if out of memory. An index that can't be read selects nothing that is known. */
static bool read_index(const ls_trace *t, size_t index, double of_pass, ls_arena *arena, ls_output_rows *rows) {
    ls_hold hold;
    lockstep_error error;
    if (ls_trace_hold(t, index, &hold, &error) != LOCKSTEP_OK)
        return true;
    size_t count = (size_t)ls_view_elements(&hold.view);
    int32_t *list = new_list(count, arena, rows);
    for (size_t i = 0; list != NULL && i < count; i++) {
        double value;
        ls_view_read_f64(&hold.view, i, 1, &value);
        value += value < 0 ? of_pass : 0; /* torch counts from the end, too */
        list[i] = value >= 0 && value < of_pass ? (int32_t)value : -1;
    }
    ls_hold_release(&hold);
    rows->by_input = t->nodes[index].role == LOCKSTEP_ROLE_INPUT;
    return list != NULL;
}

typedef struct slice {
    int64_t first, step, count;
} slice;

static int64_t parameter_of(const ls_node *n, const char *key, int64_t otherwise) {
    const double *value = ls_node_parameter(n, key);
    return value == NULL ? otherwise : *value >= 0x1p62 ? INT64_MAX / 2 : *value <= -0x1p62 ? INT64_MIN / 2 : (int64_t)*value;
}

static int64_t within(int64_t index, int64_t size) {
    index += index < 0 ? size : 0;
    return index < 0 ? 0 : index > size ? size : index;
}

/* torch slices a tensor along its rows, the axis before the channels. */
static bool is_along_rows(const ls_trace *t, const ls_node *n) {
    if (n->kind->id != LS_OP_SLICE || n->source_count < 1 || ls_node_parameter(n, "dim") == NULL)
        return false;
    const int rank = t->nodes[n->sources[0]].rank;
    const int64_t dim = parameter_of(n, "dim", 0);
    return rank >= 2 && (dim == rank - 2 || dim == -2);
}

/* Of a computed tensor that has all rows, within each of its sequences. */
static bool is_slice_of_rows(const ls_trace *t, const ls_node *n, slice *out) {
    if (!is_along_rows(t, n))
        return false;
    const ls_node *source = &t->nodes[n->sources[0]];
    const int64_t size = (int64_t)source->shape[source->rank - 2], index = parameter_of(n, "index", 0);
    if (!is_computed(source) || !has_all_rows(source, t->passes[n->pass].rows))
        return false;
    if (ls_node_parameter(n, "index") != NULL) {
        *out = (slice){index + (index < 0 ? size : 0), 1, index < -size || index >= size ? 0 : 1};
    } else {
        const int64_t first = within(parameter_of(n, "start", 0), size), step = parameter_of(n, "step", 1), length = parameter_of(n, "length", 0);
        const int64_t end = ls_node_parameter(n, "length") != NULL ? within(first + (length > 0 && length < size ? length : size), size) : within(parameter_of(n, "end", size), size);
        *out = (slice){first, step, step > 0 && end > first ? (end - first - 1) / step + 1 : 0};
    }
    return out->count > 0 && out->count < size;
}

/* Sequence by sequence, as the rows of the pass are. */
static bool read_slice(const ls_node *source, slice s, size_t rows, ls_arena *arena, ls_output_rows *out) {
    const int64_t length = (int64_t)source->shape[source->rank - 2], sequences = (int64_t)rows / length;
    int32_t *list = new_list((size_t)(s.count * sequences), arena, out);
    for (int64_t i = 0; list != NULL && i < s.count * sequences; i++)
        list[i] = (int32_t)(i / s.count * length + s.first + i % s.count * s.step);
    return list != NULL;
}

static bool append(ls_row_selections *all, const ls_output_rows *rows) {
    if (!ls_grow((void **)&all->items, all->count, &all->capacity, sizeof *all->items))
        return false;
    all->items[all->count++] = *rows;
    return true;
}

/* What a node holds follows from its sources. A write holds what it writes into. */
static size_t inherited(const ls_row_selections *all, const ls_node *n) {
    const bool writes = n->kind->role == LS_OP_ROLE_WRITE || n->kind->id == LS_OP_ACC || n->kind->id == LS_OP_INDEX_ADD || n->kind->id == LS_OP_SCATTER_ADD;
    size_t found = n->alias_of != LS_NONE ? all->of_node[n->alias_of] : 0;
    for (size_t i = 0; i < n->source_count && found == 0 && (i == 0 || !writes); i++)
        found = all->of_node[n->sources[i]];
    return found;
}

static bool read_node(ls_row_selections *all, const ls_trace *t, size_t node) {
    const ls_node *n = &t->nodes[node];
    const size_t before = inherited(all, n), rows = t->passes[n->pass].rows, index = index_of(t, n);
    ls_output_rows own = {0};
    slice s;
    all->of_node[node] = before;
    if (before != 0) { /* what is selected from selected rows */
        all->of_node[node] = (gathers(n) && all->of_node[n->sources[0]] != 0) || is_along_rows(t, n) ? LS_NONE : before;
        return true;
    }
    if (index != LS_NONE ? !read_index(t, index, (double)rows, &all->arena, &own) : is_slice_of_rows(t, n, &s) && !read_slice(&t->nodes[n->sources[0]], s, rows, &all->arena, &own))
        return false;
    if (own.selected == NULL)
        return true;
    all->of_node[node] = all->count + 1;
    return append(all, &own);
}

lockstep_status ls_row_selections_read(ls_row_selections *all, const ls_trace *t, size_t from, lockstep_error *error) {
    for (size_t i = from; i < t->node_count; i++) {
        all->of_node[i] = 0;
        if (t->nodes[i].pass != LS_NONE && !read_node(all, t, i))
            return ls_fail(error, LOCKSTEP_NO_MEMORY, "out of memory");
    }
    return LOCKSTEP_OK;
}

void ls_row_selections_done(ls_row_selections *all) {
    free(all->of_node);
    free(all->items);
    ls_arena_done(&all->arena);
}

ls_output_rows ls_row_selection_of(const ls_row_selections *all, size_t node) {
    const size_t at = all->of_node[node];
    return at == 0 || at == LS_NONE ? (ls_output_rows){0} : all->items[at - 1];
}

/* ------------------------------------------------------------------ what a tensor holds */

bool ls_output_rows_list(const ls_output_rows *rows, size_t count, uint32_t *out) {
    const bool selected = rows->selected_count == count && count < rows->rows;
    const size_t sequences = rows->sequences > 0 ? rows->sequences : 1, length = rows->rows / sequences, each = count / sequences;
    if (count == 0 || count > rows->rows || (!selected && count % sequences != 0))
        return false;
    for (size_t i = 0; i < count; i++)
        out[i] = selected ? (uint32_t)rows->selected[i] : (uint32_t)(i / each * length + length - each + i % each);
    return true;
}
