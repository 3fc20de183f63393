#include "report/table.h"

#include <limits.h>
#include <string.h>

#include "base/columns.h"
#include "base/grow.h"
#include "report/cells.h"
#include "report/styles.h"

enum { GAP = 2, LEAST_NAME = 24 }; /* columns */

void ls_table_init(ls_table *t, const ls_screen *screen, const ls_column *columns) {
    *t = (ls_table){.screen = screen, .columns = columns};
    while (columns[t->count].title != NULL && t->count < LS_COLUMNS_MAX)
        t->count++;
}

static const char *keep(ls_table *t, const char *text) {
    ls_text shown = {0};
    ls_screen_text(t->screen, text, strlen(text), &shown);
    const char *kept = shown.failed ? NULL : ls_arena_copy(&t->arena, shown.data != NULL ? shown.data : "", shown.length);
    ls_text_done(&shown);
    t->failed = t->failed || kept == NULL;
    return kept != NULL ? kept : "";
}

static ls_table_row *add(ls_table *t, const char *style) {
    void *rows = t->rows;
    if (t->failed || !ls_grow(&rows, t->row_count, &t->row_capacity, sizeof *t->rows)) {
        t->failed = true;
        return NULL;
    }
    t->rows = rows;
    t->rows[t->row_count] = (ls_table_row){.style = style};
    return &t->rows[t->row_count++];
}

void ls_table_add(ls_table *t, const char *style, const char *const *cells) {
    const char **kept = ls_arena_array(&t->arena, (size_t)t->count, sizeof *kept);
    ls_table_row *row = kept != NULL ? add(t, style) : NULL;
    t->failed = row == NULL;
    for (int i = 0; row != NULL && i < t->count; i++)
        kept[i] = keep(t, cells[i]);
    if (row != NULL)
        row->cells = kept;
}

void ls_table_add_line(ls_table *t, const char *style, const char *line) {
    ls_table_row *row = add(t, style);
    if (row != NULL)
        row->line = keep(t, line);
}

/* ------------------------------------------------------------------ widths */

/* What each column needs; 0 where it is left out. */
static void measure(const ls_table *t, int *widths) {
    for (int i = 0; i < t->count; i++) {
        widths[i] = 0;
        for (size_t k = 0; k < t->row_count; k++) {
            const int own = t->rows[k].cells != NULL ? ls_columns_of(t->rows[k].cells[i]) : 0;
            widths[i] = own > widths[i] ? own : widths[i];
        }
        const int title = ls_columns_of(t->columns[i].title);
        if (widths[i] > 0 && widths[i] < title)
            widths[i] = title;
    }
}

static int least_of(const ls_table *t, const int *widths, int i) { return t->columns[i].is_name && widths[i] > LEAST_NAME ? LEAST_NAME : widths[i]; }

/* The columns of the page that a row takes with names of so many columns each. */
static int least_row(const ls_table *t, const int *widths) {
    int all = 0;
    for (int i = 0; i < t->count; i++)
        all += widths[i] > 0 ? least_of(t, widths, i) + (all > 0 ? GAP : 0) : 0;
    return all;
}

static int first_to_go(const ls_table *t, const int *widths) {
    int found = -1;
    for (int i = 0; i < t->count; i++)
        if (widths[i] > 0 && t->columns[i].rank > 0 && (found < 0 || t->columns[i].rank > t->columns[found].rank))
            found = i;
    return found;
}

/* Gives the names the room that is left: all the same, except that none gets more than it needs. */
static void share(const ls_table *t, int *widths) {
    int room = t->screen->width - least_row(t, widths), given[LS_COLUMNS_MAX], least = 0;
    for (int i = 0; i < t->count; i++)
        given[i] = least_of(t, widths, i);
    while (room > 0) {
        least = -1;
        for (int i = 0; i < t->count; i++)
            if (given[i] < widths[i] && (least < 0 || given[i] < given[least]))
                least = i;
        if (least < 0)
            break;
        given[least]++;
        room--;
    }
    memcpy(widths, given, (size_t)t->count * sizeof *widths);
}

static void fit(const ls_table *t, int *widths) {
    measure(t, widths);
    for (int gone; t->screen->width > 0 && least_row(t, widths) > t->screen->width && (gone = first_to_go(t, widths)) >= 0;)
        widths[gone] = 0;
    if (t->screen->width > 0)
        share(t, widths);
}

/* ------------------------------------------------------------------ output */

static void put_row(const ls_table *t, const int *widths, const ls_table_row *row, ls_text *out) {
    int last = t->count - 1;
    while (last > 0 && (widths[last] == 0 || (row->cells != NULL && *row->cells[last] == '\0')))
        last--;
    ls_text_printf(out, LS_AS_IS "%s", row->style);
    if (row->line != NULL)
        ls_put_beginning(t->screen, row->line, t->screen->width > 0 ? t->screen->width : INT_MAX, out);
    for (int i = 0, gap = 0; row->cells != NULL && i <= last; i++) {
        if (widths[i] == 0)
            continue;
        ls_text_printf(out, "%*s", gap, "");
        if (i == last && !t->columns[i].is_number)
            ls_put_cut(t->screen, row->cells[i], widths[i], out); /* nothing to fill */
        else
            ls_put_cell(t->screen, row->cells[i], widths[i], t->columns[i].is_number, out);
        gap = GAP;
    }
    ls_text_printf(out, "%s\n", *row->style != '\0' ? LS_PLAIN : "");
}

void ls_table_finish(ls_table *t, ls_text *out) {
    int widths[LS_COLUMNS_MAX] = {0};
    const char *titles[LS_COLUMNS_MAX];
    for (int i = 0; i < t->count; i++)
        titles[i] = t->columns[i].title;
    fit(t, widths);
    bool has_cells = false;
    for (size_t i = 0; i < t->row_count; i++)
        has_cells = has_cells || t->rows[i].cells != NULL;
    if (has_cells)
        put_row(t, widths, &(ls_table_row){.style = LS_STRONG, .cells = titles}, out);
    for (size_t i = 0; i < t->row_count; i++)
        put_row(t, widths, &t->rows[i], out);
    out->failed = out->failed || t->failed;
    free(t->rows);
    ls_arena_done(&t->arena);
}
