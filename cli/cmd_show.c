/* lockstep show: a tensor's values, by NumPy's basic slicing. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/escape.h"
#include "base/nearest.h"
#include "base/text.h"
#include "format/archive.h"
#include "quantized/quantized.h"
#include "commands.h"
#include "report/histogram.h"
#include "tensor/slice.h"
#include "tensor/value_text.h"
#include "terminal.h"

typedef struct show_options {
    bool json;
} show_options;

static const option_row show_rows[] = {
    {"--json", OPTION_FLAG, offsetof(show_options, json), NULL, "JSON (docs/show.md), every value", NULL},
    {0},
};

/* NumPy's print options: more than THRESHOLD elements are summarized to EDGE at
 * each end of an axis; lines are at most COLUMNS wide. */
enum { THRESHOLD = 1000, EDGE = 3, COLUMNS = 75, BATCH = 1024, NAME_LIMIT = 4096 };

/* --- one element as text */

/* Integers are printed from their bits: a double can't hold all 64-bit values. */
static size_t element_text(const ls_view *view, uint64_t index, bool json, char out[LS_VALUE_TEXT]) {
    if (view->dtype == LOCKSTEP_I64 || view->dtype == LOCKSTEP_U64) {
        uint64_t bits;
        ls_view_read_raw(view, index, 1, &bits);
        return (size_t)(view->dtype == LOCKSTEP_I64
                            ? snprintf(out, LS_VALUE_TEXT, "%" PRId64, (int64_t)bits)
                            : snprintf(out, LS_VALUE_TEXT, "%" PRIu64, bits));
    }
    double value;
    ls_view_read_f64(view, index, 1, &value);
    if (view->dtype == LOCKSTEP_BOOL)
        return (size_t)snprintf(out, LS_VALUE_TEXT, "%s",
                                value != 0 ? (json ? "true" : "True") : (json ? "false" : "False"));
    return ls_value_text(value, !json && view->dtype != LOCKSTEP_F64, out);
}

/* --- as NumPy prints it */

typedef struct printer {
    const ls_view *view;
    ls_text *out; /* NULL while widths are measured */
    bool summarize;
    int width;  /* of the widest element */
    int column; /* where the next element goes */
} printer;

static void print_element(printer *p, uint64_t index, bool first, int indent) {
    char text[LS_VALUE_TEXT];
    int length = (int)element_text(p->view, index, false, text);
    if (p->out == NULL) {
        p->width = length > p->width ? length : p->width;
        return;
    }
    if (!first && p->column + 1 + p->width > COLUMNS) {
        ls_text_printf(p->out, "\n%*s", indent, "");
        p->column = indent;
    } else if (!first) {
        ls_text_printf(p->out, " ");
        p->column++;
    }
    ls_text_printf(p->out, "%*s", p->width, text);
    p->column += p->width;
}

/* Between the parts of an axis: the more axes below it, the more empty lines. */
static void break_line(printer *p, int axis) {
    for (int i = axis + 1; p->out != NULL && i < p->view->rank; i++)
        ls_text_printf(p->out, "\n");
    if (p->out != NULL)
        ls_text_printf(p->out, "%*s", axis + 1, "");
}

/* The elements from `index` on, below `axis`. */
static void print_axis(printer *p, int axis, uint64_t index) {
    uint64_t size = p->view->shape[axis], step = 1;
    bool inner = axis == p->view->rank - 1;
    for (int i = axis + 1; i < p->view->rank; i++)
        step *= p->view->shape[i];
    if (p->out != NULL)
        ls_text_printf(p->out, "[");
    p->column = axis + 1;
    for (uint64_t i = 0; i < size; i++) {
        if (p->summarize && size > 2 * EDGE && i == EDGE) {
            if (p->out != NULL)
                ls_text_printf(p->out, inner ? " ..." : "...");
            p->column += 4;
            i = size - EDGE;
            if (!inner)
                break_line(p, axis);
        }
        if (inner) {
            print_element(p, index + i, i == 0, axis + 1);
            continue;
        }
        print_axis(p, axis + 1, index + i * step);
        if (i + 1 < size)
            break_line(p, axis);
    }
    if (p->out != NULL)
        ls_text_printf(p->out, "]");
}

static void put_values(ls_text *out, const ls_view *view) {
    char text[LS_VALUE_TEXT];
    if (view->rank == 0) {
        element_text(view, 0, false, text);
        ls_text_printf(out, "%s\n", text);
        return;
    }
    uint64_t elements = ls_view_elements(view);
    if (elements == 0) { /* nested brackets would carry no information */
        ls_text_printf(out, "[]\n");
        return;
    }
    printer p = {.view = view, .summarize = elements > THRESHOLD};
    print_axis(&p, 0, 0);
    p.out = out;
    print_axis(&p, 0, 0);
    ls_text_printf(out, "\n");
}

/* --- as JSON */

static void flush(ls_text *out, size_t least) {
    if (out->length < least || out->failed)
        return;
    fwrite(out->data, 1, out->length, stdout);
    ls_text_clear(out);
}

static void put_number(ls_text *out, const ls_view *view, uint64_t index, double value) {
    char text[LS_VALUE_TEXT];
    if (ls_dtype(view->dtype)->is_float) {
        ls_value_json(out, value);
    } else {
        element_text(view, index, true, text);
        ls_text_printf(out, "%s", text);
    }
}

/* Nested lists like ndarray.tolist(): brackets open and close where an index is
 * the first or last of its axis, so that no recursion is needed. */
static void put_values_json(ls_text *out, const ls_view *view) {
    uint64_t elements = ls_view_elements(view);
    double values[BATCH];
    if (elements == 0) {
        ls_text_printf(out, "[]"); /* the shape shows which axis is empty */
        return;
    }
    for (uint64_t i = 0; i < elements; i++) {
        if (i % BATCH == 0) {
            uint64_t left = elements - i;
            ls_view_read_f64(view, i, left < BATCH ? (size_t)left : BATCH, values);
            flush(out, 1);
        }
        int opened = 0, closed = 0;
        uint64_t span = 1;
        for (int axis = view->rank - 1; axis >= 0; axis--) {
            span *= view->shape[axis];
            opened += i % span == 0;
            closed += (i + 1) % span == 0;
        }
        ls_text_printf(out, "%s%.*s", i > 0 ? "," : "", opened, "[[[[[[[[");
        put_number(out, view, i, values[i % BATCH]);
        ls_text_printf(out, "%.*s", closed, "]]]]]]]]");
    }
}

/* --- which tensor */

static void suggest(const lockstep_archive *archive, const char *wanted) {
    enum { SUGGESTIONS = 3 };
    size_t best[SUGGESTIONS], scores[SUGGESTIONS], count = 0, limit = strlen(wanted) / 3 + 1;
    for (size_t i = 0; i < archive->tensor_count; i++) {
        const char *name = archive->tensors[i].name;
        size_t score = *wanted != '\0' && strstr(name, wanted) != NULL ? 1 : ls_typing_errors(name, wanted);
        if (score > limit)
            continue;
        size_t at = count < SUGGESTIONS ? count++ : SUGGESTIONS;
        for (; at > 0 && score < scores[at - 1]; at--)
            if (at < SUGGESTIONS)
                best[at] = best[at - 1], scores[at] = scores[at - 1];
        if (at < SUGGESTIONS)
            best[at] = i, scores[at] = score;
    }
    for (size_t i = 0; i < count; i++) {
        char shown[300];
        ls_escape(archive->tensors[best[i]].name, strlen(archive->tensors[best[i]].name), shown,
                  sizeof shown);
        fprintf(stderr, "  did you mean '%s'?\n", shown);
    }
}

/* NAME or NAME[SLICE]; a name that itself contains brackets has precedence. SIZE_MAX, and the name, if there is none. */
static size_t look_up(const lockstep_archive *archive, const char *text, char *slice, char name[NAME_LIMIT]) {
    size_t length = strlen(text), index = ls_archive_find(archive, text);
    const char *open = strrchr(text, '[');
    *slice = '\0';
    if (index != SIZE_MAX)
        return index;
    bool sliced = open != NULL && text[length - 1] == ']';
    size_t name_length = sliced ? (size_t)(open - text) : length;
    snprintf(name, NAME_LIMIT, "%.*s", (int)name_length, text);
    if (length >= NAME_LIMIT)
        return SIZE_MAX;
    if (sliced)
        snprintf(slice, NAME_LIMIT, "%.*s", (int)(length - name_length - 2), open + 1);
    return ls_archive_find(archive, name);
}

static size_t find_tensor(const lockstep_archive *archive, const char *text, char *slice) {
    char shown[300], name[NAME_LIMIT];
    size_t index = look_up(archive, text, slice, name);
    if (index != SIZE_MAX)
        return index;
    ls_escape(name, strlen(name), shown, sizeof shown);
    fprintf(stderr, "lockstep show: %s: no tensor '%s' among its %zu\n", archive->path, shown,
            archive->tensor_count);
    suggest(archive, name);
    return SIZE_MAX;
}

/* --- the command */

static void put_json(ls_text *out, const lockstep_archive *archive, const ls_tensor *t,
                     const char *slice, const ls_view *view, const ls_stats *stats) {
    ls_text_printf(out, "{\"lockstep_show\":1,\"path\":");
    ls_text_json(out, archive->path, strlen(archive->path));
    ls_text_printf(out, ",\"name\":");
    ls_text_json(out, t->name, strlen(t->name));
    ls_text_printf(out, ",\"dtype\":");
    ls_text_json(out, t->file_dtype, strlen(t->file_dtype));
    ls_text_printf(out, ",\"type\":\"%s\",\"tensor_shape\":", lockstep_dtype_name(t->dtype));
    ls_shape_json(out, t->rank, t->shape);
    ls_text_printf(out, ",\"slice\":");
    ls_text_json(out, slice, strlen(slice));
    ls_text_printf(out, ",\"shape\":");
    ls_shape_json(out, view->rank, view->shape);
    ls_text_printf(out, ",\"stats\":");
    ls_stats_json(out, stats);
    ls_text_printf(out, ",\"values\":");
    put_values_json(out, view);
    ls_text_printf(out, "}\n");
}

static void put_histogram(ls_text *out, const ls_view *view, const ls_stats *stats) {
    const ls_screen screen = terminal_screen(NULL);
    ls_histogram histogram;
    ls_text lines = {0};
    if (ls_histogram_of(view, stats, &histogram))
        ls_put_histogram(&screen, &histogram, &lines);
    ls_screen_print(&screen, &lines, out);
    ls_text_done(&lines);
}

static void put_text(ls_text *out, const ls_tensor *t, const char *slice, const ls_view *view,
                     const ls_stats *stats) {
    char name[300], whole[LS_SHAPE_TEXT], part[LS_SHAPE_TEXT];
    ls_escape(t->name, strlen(t->name), name, sizeof name);
    ls_shape_text(t->rank, t->shape, whole);
    ls_shape_text(view->rank, view->shape, part);
    ls_text_printf(out, "%s  %s  %s", name, t->file_dtype, whole);
    if (*slice != '\0')
        ls_text_printf(out, "  [%s] -> %s", slice, part);
    ls_text_printf(out, "\n");
    put_values(out, view);
    put_histogram(out, view, stats);
    ls_stats_text(out, stats, "");
}

static int show(const lockstep_archive *archive, const char *wanted, const show_options *options) {
    char slice[NAME_LIMIT];
    lockstep_error error;
    ls_view view;
    ls_stats stats;
    size_t index = find_tensor(archive, wanted, slice);
    if (index == SIZE_MAX)
        return EXIT_TROUBLE;
    if (ls_archive_view(archive, index, &view, &error) != LOCKSTEP_OK ||
        ls_view_slice(&view, slice, &error) != LOCKSTEP_OK ||
        ls_view_stats(&view, &stats, &error) != LOCKSTEP_OK) {
        fprintf(stderr, "lockstep show: %s\n", error.message);
        return EXIT_TROUBLE;
    }
    ls_text out = {0};
    const ls_tensor *t = &archive->tensors[index];
    if (options->json)
        put_json(&out, archive, t, slice, &view, &stats);
    else
        put_text(&out, t, slice, &view, &stats);
    flush(&out, 1);
    bool failed = out.failed || fflush(stdout) != 0 || ferror(stdout);
    if (out.failed)
        fprintf(stderr, "lockstep show: out of memory\n");
    ls_text_done(&out);
    return failed ? EXIT_TROUBLE : EXIT_MATCH;
}

/* A quantized weight takes the place of its codes and scales, unless one of these is what was asked for. */
static lockstep_status open_for(const char *path, const char *wanted, lockstep_archive **out_archive, lockstep_error *error) {
    char slice[NAME_LIMIT], name[NAME_LIMIT];
    lockstep_archive *archive;
    LS_TRY(ls_quantized_open(path, &archive, error));
    if (look_up(archive, wanted, slice, name) == SIZE_MAX) {
        lockstep_archive_close(archive);
        return lockstep_archive_open(path, out_archive, error);
    }
    *out_archive = archive;
    return LOCKSTEP_OK;
}

static int run(const arguments *args, const void *options) {
    lockstep_archive *archive;
    lockstep_error error;
    if (open_for(args->positional[0], args->positional[1], &archive, &error) != LOCKSTEP_OK) {
        fprintf(stderr, "lockstep show: %s\n", error.message);
        return EXIT_TROUBLE;
    }
    int status = show(archive, args->positional[1], options);
    lockstep_archive_close(archive);
    return status;
}

const command_row command_show = {
    .name = "show",
    .usage = "PATH 'NAME[SLICE]' [--json]",
    .summary = "Prints a tensor's values, dequantized, with NumPy's basic slicing.",
    .exits = "0, or 2 when the values can't be shown",
    .options = show_rows,
    .options_size = sizeof(show_options),
    .min_positional = 2,
    .max_positional = 2,
    .run = run,
};
