/* lockstep ls: what containers hold. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/columns.h"
#include "base/escape.h"
#include "base/text.h"
#include "format/archive.h"
#include "quantized/quantized.h"
#include "commands.h"
#include "pass_list.h"
#include "reference_names.h"
#include "report/tensor_tree.h"
#include "tensor/value_text.h"
#include "terminal.h"

typedef struct ls_options {
    const char *map;
    bool stats, json, tree;
} ls_options;

static const option_row ls_token_alignment[] = {
    {"--stats", OPTION_FLAG, offsetof(ls_options, stats), NULL,
     "min, max, mean, std, L2 norm, NaN, Inf and zeros of each tensor", NULL},
    {"--tree", OPTION_FLAG, offsetof(ls_options, tree), NULL, "group the tensors by module, with the sizes", NULL},
    {"--map", OPTION_PATH, offsetof(ls_options, map), "FILE", "of a trace: the names that the tensors have in the reference (from `lockstep map`)", NULL},
    {"--json", OPTION_FLAG, offsetof(ls_options, json), NULL, "JSON (docs/ls.md)", NULL},
    {0},
};

enum { COLUMNS = 80, SHOWN_ELEMENTS = 4, FLUSH = 1 << 16 };

/* Output is collected and written in pieces, so that memory stays small. */
static void flush(ls_text *out, size_t least) {
    if (out->length < least || out->failed)
        return;
    fwrite(out->data, 1, out->length, stdout);
    ls_text_clear(out);
}

static void report(const lockstep_error *error) {
    fprintf(stderr, "lockstep ls: %s\n", error->message);
}

/* At most `columns` columns, shortened with an ellipsis. */
static void put_escaped(ls_text *out, const char *text, size_t length, size_t columns) {
    char shown[COLUMNS * 4];
    if (columns >= sizeof shown)
        columns = sizeof shown - 1;
    size_t used = ls_escape(text, length, shown, sizeof shown);
    size_t end = 0;
    for (int left = (int)columns, own; end < used; left -= own) {
        const size_t size = ls_character(shown + end, used - end, &own);
        if (own > left)
            break;
        end += size;
    }
    ls_text_append(out, shown, end);
    if (end < used || length > used)
        ls_text_printf(out, "…");
}

/* --- metadata */

static const char *kind_name(ls_meta_kind kind) {
    static const char *const names[] = {"text", "int", "uint", "float", "bool", "array"};
    return names[kind];
}

static void put_meta_value(ls_text *out, const ls_meta *meta, size_t columns) {
    char number[LS_VALUE_TEXT];
    switch (meta->kind) {
        case LS_META_TEXT:
            ls_text_printf(out, "\"");
            put_escaped(out, meta->as.text.bytes, (size_t)meta->as.text.length, columns);
            ls_text_printf(out, "\"");
            break;
        case LS_META_INT:
            ls_text_printf(out, "%" PRId64, meta->as.i);
            break;
        case LS_META_UINT:
            ls_text_printf(out, "%" PRIu64, meta->as.u);
            break;
        case LS_META_FLOAT:
            ls_value_text(meta->as.f, (double)(float)meta->as.f == meta->as.f, number);
            ls_text_printf(out, "%s", number);
            break;
        case LS_META_BOOL:
            ls_text_printf(out, "%s", meta->as.b ? "true" : "false");
            break;
        case LS_META_ARRAY:
            ls_text_printf(out, "%" PRIu64 " x %s:", meta->as.array.count,
                           kind_name(meta->as.array.kind));
            for (uint64_t i = 0, at = 0; i < meta->as.array.count; i++) {
                ls_meta element;
                if (i == SHOWN_ELEMENTS) {
                    ls_text_printf(out, ", …");
                    break;
                }
                ls_meta_next(meta, &at, &element);
                ls_text_printf(out, i == 0 ? " " : ", ");
                put_meta_value(out, &element, 8);
            }
    }
}

static void put_metadata(ls_text *out, const lockstep_archive *archive) {
    for (size_t i = 0; i < archive->meta_count; i++) {
        const ls_meta *meta = &archive->metas[i];
        size_t width = strlen(meta->key), rest = width + 8 < COLUMNS ? COLUMNS - width - 8 : 8;
        ls_text_printf(out, "  ");
        put_escaped(out, meta->key, width, COLUMNS);
        ls_text_printf(out, " = ");
        put_meta_value(out, meta, rest);
        ls_text_printf(out, "\n");
        flush(out, FLUSH);
    }
}

static void put_meta_json(ls_text *out, const ls_meta *meta) {
    switch (meta->kind) {
        case LS_META_TEXT:
            ls_text_json(out, meta->as.text.bytes, (size_t)meta->as.text.length);
            break;
        case LS_META_FLOAT:
            ls_value_json(out, meta->as.f);
            break;
        case LS_META_ARRAY:
            ls_text_printf(out, "{\"array_of\":\"%s\",\"count\":%" PRIu64 ",\"first\":[",
                           kind_name(meta->as.array.kind), meta->as.array.count);
            for (uint64_t i = 0, at = 0; i < meta->as.array.count && i < SHOWN_ELEMENTS; i++) {
                ls_meta element;
                ls_meta_next(meta, &at, &element);
                ls_text_printf(out, i == 0 ? "" : ",");
                put_meta_json(out, &element);
            }
            ls_text_printf(out, "]}");
            break;
        case LS_META_INT:
        case LS_META_UINT:
        case LS_META_BOOL:
            put_meta_value(out, meta, 0);
    }
}

/* --- tensors */

typedef struct layout {
    size_t name, dtype, shape; /* widths of the columns */
} layout;

static size_t escaped_width(const char *text) {
    char shown[COLUMNS * 4];
    ls_escape(text, strlen(text), shown, sizeof shown);
    return (size_t)ls_columns_of(shown);
}

static layout measure(const lockstep_archive *archive) {
    layout l = {4, 5, 5};
    for (size_t i = 0; i < archive->tensor_count; i++) {
        const ls_tensor *t = &archive->tensors[i];
        char shape[LS_SHAPE_TEXT];
        ls_shape_text(t->rank, t->shape, shape);
        size_t name = escaped_width(t->name), dtype = strlen(t->file_dtype), axes = strlen(shape);
        l.name = name > l.name ? name : l.name;
        l.dtype = dtype > l.dtype ? dtype : l.dtype;
        l.shape = axes > l.shape ? axes : l.shape;
    }
    if (l.dtype > 14)
        l.dtype = 14;
    if (l.shape > 26)
        l.shape = 26;
    size_t others = l.dtype + l.shape + 2 * 3 + 13; /* 13: bytes up to terabytes */
    if (l.name > COLUMNS - others)
        l.name = COLUMNS - others;
    return l;
}

/* 1; 0 when there are no statistics because the type has no decoder; -1 on an error. */
static int find_stats(const lockstep_archive *archive, size_t i, ls_stats *out) {
    lockstep_error error;
    ls_view view;
    if (archive->tensors[i].dtype == LOCKSTEP_OPAQUE)
        return 0;
    bool ok = ls_archive_view(archive, i, &view, &error) == LOCKSTEP_OK &&
              ls_view_stats(&view, out, &error) == LOCKSTEP_OK;
    if (!ok)
        report(&error);
    ls_archive_release(archive, i);
    return ok ? 1 : -1;
}

static const char *reference_of(const reference_names *names, size_t i) { return i < names->count ? names->names[i] : NULL; }

static int put_tensor(ls_text *out, const lockstep_archive *archive, size_t i, const layout *l, const reference_names *names,
                      const ls_options *options) {
    const ls_tensor *t = &archive->tensors[i];
    char shape[LS_SHAPE_TEXT], name[COLUMNS * 4];
    ls_shape_text(t->rank, t->shape, shape);
    ls_escape(t->name, strlen(t->name), name, sizeof name);
    const int width = ls_columns_of(name);
    if (width > (int)l->name) /* a line of its own */
        ls_text_printf(out, "%s\n%*s", name, (int)l->name, "");
    else
        ls_text_printf(out, "%s%*s", name, (int)l->name - width, "");
    ls_text_printf(out, "  %-*s  %-*s  %13" PRIu64, (int)l->dtype, t->file_dtype, (int)l->shape, shape, t->bytes);
    if (reference_of(names, i) != NULL) {
        ls_text_printf(out, "  ");
        put_escaped(out, reference_of(names, i), strlen(reference_of(names, i)), COLUMNS);
    }
    ls_text_printf(out, "\n");
    if (!options->stats)
        return EXIT_MATCH;
    ls_stats stats;
    int found = find_stats(archive, i, &stats);
    if (found == 1)
        ls_stats_text(out, &stats, "    ");
    else
        ls_text_printf(out, "    %s\n", found == 0 ? "no statistics: its type can't be decoded"
                                                   : "no statistics: its values can't be read");
    return found < 0 ? EXIT_TROUBLE : EXIT_MATCH;
}

static int put_tensor_json(ls_text *out, const lockstep_archive *archive, size_t i, const reference_names *names,
                           const ls_options *options) {
    const ls_tensor *t = &archive->tensors[i];
    ls_text_printf(out, i == 0 ? "\n{\"name\":" : ",\n{\"name\":");
    ls_text_json(out, t->name, strlen(t->name));
    ls_text_printf(out, ",\"dtype\":");
    ls_text_json(out, t->file_dtype, strlen(t->file_dtype));
    ls_text_printf(out, ",\"type\":\"%s\",\"shape\":", lockstep_dtype_name(t->dtype));
    ls_shape_json(out, t->rank, t->shape);
    ls_text_printf(out, ",\"elements\":%" PRIu64 ",\"bytes\":%" PRIu64, t->elements, t->bytes);
    if (reference_of(names, i) != NULL) {
        ls_text_printf(out, ",\"reference\":");
        ls_text_json(out, reference_of(names, i), strlen(reference_of(names, i)));
    }
    ls_stats stats;
    int found = options->stats ? find_stats(archive, i, &stats) : 0;
    if (options->stats)
        ls_text_printf(out, ",\"stats\":");
    if (found == 1)
        ls_stats_json(out, &stats);
    else if (options->stats)
        ls_text_printf(out, "null");
    ls_text_printf(out, "}");
    return found < 0 ? EXIT_TROUBLE : EXIT_MATCH;
}

/* --- archives */

static int put_tree(ls_text *out, const lockstep_archive *archive) {
    const ls_screen screen = terminal_screen(NULL);
    lockstep_error error;
    ls_text_printf(out, "\n");
    if (ls_put_tensor_tree(&screen, archive, out, &error) == LOCKSTEP_OK)
        return EXIT_MATCH;
    report(&error);
    return EXIT_TROUBLE;
}

static int put_archive(ls_text *out, const lockstep_archive *archive, const reference_names *names, const ls_options *options) {
    int status = EXIT_MATCH;
    uint64_t bytes = 0;
    for (size_t i = 0; i < archive->tensor_count; i++)
        bytes += archive->tensors[i].bytes;
    put_escaped(out, archive->path, strlen(archive->path), COLUMNS);
    ls_text_printf(out, "\n%s, %zu tensors, %" PRIu64 " bytes\n", archive->format,
                   archive->tensor_count, bytes);
    if (options->tree)
        return put_tree(out, archive);
    put_metadata(out, archive);
    pass_list_put(archive->path, out);
    layout l = measure(archive);
    if (archive->tensor_count > 0)
        ls_text_printf(out, "\n%-*s  %-*s  %-*s  %13s%s\n", (int)l.name, "name", (int)l.dtype, "dtype",
                       (int)l.shape, "shape", "bytes", options->map != NULL ? "  in the reference" : "");
    for (size_t i = 0; i < archive->tensor_count; i++) {
        if (put_tensor(out, archive, i, &l, names, options) != EXIT_MATCH)
            status = EXIT_TROUBLE;
        flush(out, FLUSH);
    }
    return status;
}

static int put_archive_json(ls_text *out, const lockstep_archive *archive, const reference_names *names,
                            const ls_options *options) {
    int status = EXIT_MATCH;
    ls_text_printf(out, "{\"path\":");
    ls_text_json(out, archive->path, strlen(archive->path));
    ls_text_printf(out, ",\"format\":\"%s\",\"metadata\":{", archive->format);
    for (size_t i = 0; i < archive->meta_count; i++) {
        ls_text_printf(out, i == 0 ? "\n" : ",\n");
        ls_text_json(out, archive->metas[i].key, strlen(archive->metas[i].key));
        ls_text_printf(out, ":");
        put_meta_json(out, &archive->metas[i]);
        flush(out, FLUSH);
    }
    ls_text_printf(out, "},\"tensors\":[");
    for (size_t i = 0; i < archive->tensor_count; i++) {
        if (put_tensor_json(out, archive, i, names, options) != EXIT_MATCH)
            status = EXIT_TROUBLE;
        flush(out, FLUSH);
    }
    ls_text_printf(out, "]}");
    return status;
}

static void put_notes(const lockstep_archive *archive) {
    for (size_t i = 0; i < archive->note_count; i++) {
        char text[1024];
        ls_escape(archive->notes[i].text, strlen(archive->notes[i].text), text, sizeof text);
        fprintf(stderr, "lockstep ls: %s\n", text);
    }
}

/* The names that the map gives; none without a map. */
static lockstep_status open_names(const char *path, const lockstep_archive *archive, const ls_options *options, reference_names *out, lockstep_error *error) {
    *out = (reference_names){0};
    if (options->map == NULL)
        return LOCKSTEP_OK;
    LS_TRY(reference_names_open(path, options->map, out, error));
    if (out->count == archive->tensor_count)
        return LOCKSTEP_OK;
    reference_names_done(out);
    return ls_fail(error, LOCKSTEP_INVALID_ARGUMENT, "%s: --map needs a trace that is complete", path);
}

/* One path; the exit status. `shown`: how many came before it. */
static int put_path(ls_text *out, const char *path, int *shown, const ls_options *options) {
    lockstep_archive *archive;
    lockstep_error error;
    reference_names names;
    lockstep_status opened = ls_quantized_open(path, &archive, &error);
    if (opened == LOCKSTEP_OK && (opened = open_names(path, archive, options, &names, &error)) != LOCKSTEP_OK)
        lockstep_archive_close(archive);
    if (opened != LOCKSTEP_OK) {
        flush(out, 1); /* print earlier output before the message */
        fflush(stdout);
        report(&error);
        return EXIT_TROUBLE;
    }
    if ((*shown)++ > 0)
        ls_text_printf(out, options->json ? "," : "\n");
    const int status = options->json ? put_archive_json(out, archive, &names, options) : put_archive(out, archive, &names, options);
    put_notes(archive);
    reference_names_done(&names);
    lockstep_archive_close(archive);
    return status;
}

static int run(const arguments *args, const void *raw) {
    const ls_options *options = raw;
    ls_text out = {0};
    int status = EXIT_MATCH, shown = 0;
    if (options->tree && (options->json || options->stats || options->map != NULL)) {
        fprintf(stderr, "lockstep ls: --tree lists names and sizes: --stats, --map and --json don't apply to it\n");
        return EXIT_TROUBLE;
    }
    if (options->json)
        ls_text_printf(&out, "{\"lockstep_ls\":1,\"archives\":[");
    for (int i = 0; i < args->positional_count; i++) {
        const int result = put_path(&out, args->positional[i], &shown, options);
        status = result != EXIT_MATCH ? result : status;
    }
    if (options->json)
        ls_text_printf(&out, "]}\n");
    flush(&out, 1);
    if (out.failed)
        fprintf(stderr, "lockstep ls: out of memory\n");
    bool wrote = fflush(stdout) == 0 && !ferror(stdout);
    status = out.failed || !wrote ? EXIT_TROUBLE : status;
    ls_text_done(&out);
    return status;
}

const command_row command_ls = {
    .name = "ls",
    .usage = "PATH… [--tree] [--stats] [--map FILE] [--json]",
    .summary = "Lists the tensors and metadata of any container.",
    .exits = "0, or 2 when a path could not be read",
    .options = ls_token_alignment,
    .options_size = sizeof(ls_options),
    .min_positional = 1,
    .max_positional = -1,
    .run = run,
};
