/* Which rows or columns of a weight differ, what they hold instead, or in what order they are. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "checkpoint/weight_steps.h"
#include "compare/rearranged.h"

enum { MOST_ELEMENTS = 1 << 23, LEAST_COLUMNS = 8 };

typedef struct pair_values {
    ls_weight_values sides[LS_SIDES];
    double *values; /* of both sides */
} pair_values;

static bool lay_out(ls_weights *w, ls_weight_pair *pair, pair_values *out) {
    ls_text done = {0};
    bool fits = true;
    for (int side = 0; side < LS_SIDES && fits; side++) {
        const char *name = w->sides[side]->archive->tensors[pair->part[side].tensor].name;
        fits = ls_weight_read(w, side, &pair->part[side], side == pair->original ? pair->changes : 0, ls_weight_heads(w, name), &out->sides[side], NULL) == LOCKSTEP_OK;
    }
    fits = fits && ls_weight_lay_out(pair, &out->sides[LS_REFERENCE].view, &out->sides[LS_CANDIDATE].view, &done) == LOCKSTEP_OK;
    ls_text_done(&done);
    return fits;
}

/* The rows of both sides, as many columns as there is room for. A vector is a column. */
static bool read_rows(pair_values *p, ls_row_table *out) {
    const ls_view *view = &p->sides[LS_REFERENCE].view;
    const uint64_t elements = ls_view_elements(view), width = view->rank > 1 ? view->shape[view->rank - 1] : 1;
    const uint64_t rows = width > 0 ? elements / width : 0, most = rows > 0 ? MOST_ELEMENTS / rows : 0, columns = width < most ? width : most;
    if (rows < 2 || (columns < LEAST_COLUMNS && columns < width))
        return false;
    p->values = malloc(2 * rows * columns * sizeof *p->values);
    if (p->values == NULL)
        return false;
    for (int side = 0; side < LS_SIDES; side++)
        for (uint64_t row = 0; row < rows; row++)
            ls_view_read_f64(&p->sides[side].view, row * width, columns, p->values + ((uint64_t)side * rows + row) * columns);
    out->reference = p->values;
    out->candidate = p->values + rows * columns;
    out->rows = rows;
    out->columns = columns;
    out->is_cut = columns < width;
    return true;
}

static const char *keep_text(ls_weights *w, const char *text) { return ls_arena_copy(&w->arena, text, strlen(text)); }

/* Only what leaves no more than the types do, and less than there was. */
static bool keep(ls_weights *w, ls_weight_pair *pair, ls_cause *cause) {
    if (!(cause->residual <= fmax(pair->allowed, 1e-12)) || !(cause->residual < pair->metrics.nmse))
        return false;
    for (ls_cause_parameter *p = cause->parameters; p < cause->parameters + LS_CAUSE_PARAMETERS && p->name != NULL; p++)
        if (p->text != NULL && (p->text = keep_text(w, p->text)) == NULL)
            return false;
    pair->cause = *cause;
    return true;
}

static bool find_among_columns(const ls_row_table *table, ls_row_texts *texts, ls_cause *out) {
    ls_row_table turned;
    double *values = table->columns > 1 && !table->is_cut ? ls_row_table_transpose(table, &turned) : NULL;
    const bool found = values != NULL && ls_find_row_cause(&turned, texts, out);
    free(values);
    return found;
}

/* Of queries, keys and values, rows belong to heads. */
static bool is_of_heads(const char *name) {
    static const char *const parts[] = {"attn_q.", "attn_k.", "attn_v.", "q_proj.", "k_proj.", "v_proj."};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (strstr(name, parts[i]) != NULL)
            return true;
    return false;
}

void ls_weight_find_rows(ls_weights *w, ls_weight_pair *pair) {
    const double far = 16, most = 0.25; /* times what the type makes of a row on average; a quarter of its energy */
    const char *name = w->sides[LS_CANDIDATE]->archive->tensors[pair->part[LS_CANDIDATE].tensor].name;
    const uint64_t heads = is_of_heads(name) ? ls_weight_heads(w, name) : 0;
    ls_row_table table = {.allowed = fmin(far * fmax(pair->allowed, 1e-12), most), .row = "row", .column = "column"};
    ls_row_texts texts;
    ls_cause cause;
    pair_values values = {0};
    if (lay_out(w, pair, &values) && read_rows(&values, &table)) {
        table.row = values.sides[LS_REFERENCE].view.rank > 1 ? "row" : "element";
        table.head = heads > 0 && table.rows % heads == 0 ? table.rows / heads : 0;
        if (ls_find_row_cause(&table, &texts, &cause) || find_among_columns(&table, &texts, &cause))
            keep(w, pair, &cause);
    }
    free(values.values);
    for (int side = 0; side < LS_SIDES; side++)
        free(values.sides[side].owned);
}
