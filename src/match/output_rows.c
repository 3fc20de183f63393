#include "match/output_rows.h"

#include <string.h>

/* ------------------------------------------------------------------ what the graph selects */

static bool is_computed(const ls_node *n) { return n->role != LOCKSTEP_ROLE_WEIGHT && n->role != LOCKSTEP_ROLE_STATE && n->role != LOCKSTEP_ROLE_INPUT; }

static bool is_index(const ls_node *n) { return (strcmp(n->dtype, "i32") == 0 || strcmp(n->dtype, "i64") == 0) && ls_node_has_values(n); }

/* ggml gathers rows of a computed tensor by a graph input; torch indexes one of [1, rows, channels] or [rows, channels]. */
static size_t index_of(const ls_trace *t, const ls_node *n) {
    const bool gathers = n->kind->id == LS_OP_GET_ROWS || n->kind->id == LS_OP_GATHER;
    const size_t at = gathers && n->source_count >= 2 ? n->sources[n->source_count - 1] : LS_NONE, rows = t->passes[n->pass].rows;
    if (at == LS_NONE || !is_computed(&t->nodes[n->sources[0]]) || !is_index(&t->nodes[at]))
        return LS_NONE;
    const ls_node *index = &t->nodes[at], *table = &t->nodes[n->sources[0]];
    const bool by_input = n->kind->id == LS_OP_GET_ROWS && index->role == LOCKSTEP_ROLE_INPUT;
    const uint64_t channels = table->rank > 0 ? table->shape[table->rank - 1] : 0;
    const bool of_rows = rows > 0 && table->rank >= 2 && table->shape[table->rank - 2] == rows && table->elements == rows * channels;
    return by_input || (of_rows && n->elements == index->elements * channels) ? at : LS_NONE;
}

static int32_t *new_list(size_t count, ls_arena *arena, ls_output_rows *rows) {
    int32_t *list = ls_arena_array(arena, count + 1, sizeof *list);
    rows->selected = list;
    rows->selected_count = list != NULL ? count : 0;
    return list;
}

static lockstep_status read_index(const ls_trace *t, size_t index, double of_pass, ls_arena *arena, ls_output_rows *rows, lockstep_error *error) {
    ls_hold hold;
    LS_TRY(ls_trace_hold(t, index, &hold, error));
    size_t count = (size_t)ls_view_elements(&hold.view);
    int32_t *list = new_list(count, arena, rows);
    for (size_t i = 0; list != NULL && i < count; i++) {
        double value;
        ls_view_read_f64(&hold.view, i, 1, &value);
        list[i] = value >= INT32_MIN && value <= INT32_MAX ? (int32_t)(value < 0 ? value + of_pass : value) : -1; /* torch counts from the end, too */
    }
    ls_hold_release(&hold);
    return list != NULL ? LOCKSTEP_OK : ls_fail(error, LOCKSTEP_NO_MEMORY, "out of memory");
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

/* torch slices a computed tensor of [1, rows, channels] or [rows, channels] along its rows. */
static bool is_slice_of_rows(const ls_trace *t, const ls_node *n, size_t rows, slice *out) {
    if (n->kind->id != LS_OP_SLICE || n->source_count < 1 || ls_node_parameter(n, "dim") == NULL)
        return false;
    const ls_node *source = &t->nodes[n->sources[0]];
    int64_t dim = parameter_of(n, "dim", 0), size = (int64_t)rows;
    dim += dim < 0 ? source->rank : 0;
    if (!is_computed(source) || dim != source->rank - 2 || source->shape[dim] != rows || (dim > 0 && source->elements != rows * source->shape[dim + 1]))
        return false;
    if (ls_node_parameter(n, "index") != NULL) {
        *out = (slice){within(parameter_of(n, "index", 0), size), 1, 1};
    } else {
        int64_t first = within(parameter_of(n, "start", 0), size), step = parameter_of(n, "step", 1);
        int64_t end = ls_node_parameter(n, "length") != NULL ? first + parameter_of(n, "length", 0) : within(parameter_of(n, "end", size), size);
        *out = (slice){first, step, step > 0 && end > first ? (end - first + step - 1) / step : 0};
    }
    return out->count > 0 && out->count < size && out->first + (out->count - 1) * out->step < size;
}

bool ls_output_rows_selects(const ls_trace *t, const ls_node *n) {
    slice s;
    return n->pass != LS_NONE && (index_of(t, n) != LS_NONE || is_slice_of_rows(t, n, t->passes[n->pass].rows, &s));
}

lockstep_status ls_output_rows_read(const ls_trace *t, const ls_node *n, ls_arena *arena, ls_output_rows *rows, lockstep_error *error) {
    slice s;
    const size_t index = index_of(t, n), of_pass = t->passes[n->pass].rows;
    if (index != LS_NONE)
        return read_index(t, index, (double)of_pass, arena, rows, error);
    if (!is_slice_of_rows(t, n, of_pass, &s))
        return LOCKSTEP_OK;
    int32_t *list = new_list((size_t)s.count, arena, rows);
    for (int64_t i = 0; list != NULL && i < s.count; i++)
        list[i] = (int32_t)(s.first + i * s.step);
    return list != NULL ? LOCKSTEP_OK : ls_fail(error, LOCKSTEP_NO_MEMORY, "out of memory");
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
