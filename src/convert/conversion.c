#include "base/pattern.h"
#include "base/progress.h"
#include "convert/conversion.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "format/formats.h"
#include "format/paths.h"
#include "tensor/encode.h"
#include "tensor/pages.h"

static const ls_writer *const writers[] = {&ls_writer_npy,  &ls_writer_npz,  &ls_writer_safetensors,
                                       &ls_writer_gguf, &ls_writer_text, &ls_writer_raw, NULL};

/* ---------------------------------------------------------------------- elements */

enum { TILE = 8192 }; /* elements; a multiple of every block */

typedef lockstep_status putter(void *context, const void *bytes, size_t size, lockstep_error *error);

/* Copies the bytes, which are already in the result's type and order. */
static lockstep_status stream_blocks(const ls_view *view, uint64_t bytes, putter *put, void *context, lockstep_error *error) {
    enum { PIECE = 1 << 20 };
    for (uint64_t at = 0; at < bytes; at += PIECE)
        LS_TRY(put(context, view->data + at, bytes - at < PIECE ? (size_t)(bytes - at) : PIECE, error));
    return LOCKSTEP_OK;
}

static lockstep_status stream_tile(const ls_view *view, lockstep_dtype to, uint64_t first, size_t n, putter *put, void *context,
                                   lockstep_error *error) {
    union {
        float floats[TILE];
        double doubles[TILE];
        int64_t whole[TILE];
    } tile;
    uint16_t halves[TILE];
    if (to == view->dtype && view->factor == 0) {
        ls_view_read_raw(view, first, n, &tile);
        return put(context, &tile, n * ls_dtype(to)->block_bytes, error);
    }
    if (to == LOCKSTEP_I16 || to == LOCKSTEP_I32 || to == LOCKSTEP_I64) { /* a narrower integer, widened */
        double values[TILE];
        const size_t size = ls_dtype(to)->block_bytes;
        uint8_t bytes[TILE * sizeof(int64_t)];
        ls_view_read_f64(view, first, n, values);
        for (size_t i = 0; i < n; i++) {
            int64_t value = (int64_t)values[i];
            memcpy(bytes + i * size, &value, size);
        }
        return put(context, bytes, n * size, error);
    }
    if (to == LOCKSTEP_F64) {
        ls_view_read_f64(view, first, n, tile.doubles);
        return put(context, tile.doubles, n * sizeof *tile.doubles, error);
    }
    ls_view_read_f32(view, first, n, tile.floats);
    if (to == LOCKSTEP_F32)
        return put(context, tile.floats, n * sizeof *tile.floats, error);
    (to == LOCKSTEP_F16 ? ls_encode_f16 : ls_encode_bf16)(tile.floats, n, halves);
    return put(context, halves, n * sizeof *halves, error);
}

lockstep_status ls_item_stream(const ls_conversion *conversion, const ls_item *item, putter *put, void *context, lockstep_error *error) {
    ls_view view;
    LS_TRY(ls_archive_view(conversion->archive, item->tensor, &view, error));
    uint64_t elements = ls_view_elements(&view);
    const ls_dtype_row *row = ls_dtype(view.dtype);
    bool as_it_is = item->dtype == view.dtype && ls_view_is_contiguous(&view) && view.factor == 0 && (!view.swap || row->swap == NULL);
    lockstep_status status = LOCKSTEP_OK;
    if (as_it_is)
        status = stream_blocks(&view, item->bytes, put, context, error);
    else if (item->dtype == view.dtype && row->block_elements > 1)
        status = ls_fail(error, LOCKSTEP_UNSUPPORTED, "tensor '%s': blocks of %s that are not contiguous, or in the opposite byte order, can't be kept: use --to f32",
                         item->name, row->name);
    for (uint64_t at = 0; !as_it_is && at < elements && status == LOCKSTEP_OK; at += TILE)
        status = stream_tile(&view, item->dtype, at, elements - at < TILE ? (size_t)(elements - at) : TILE, put, context, error);
    ls_view_drop(&view, 0, elements);
    ls_archive_release(conversion->archive, item->tensor);
    ls_progress_add(LS_STAGE_WRITING, 1);
    return status;
}

static lockstep_status put_in_sink(void *context, const void *bytes, size_t size, lockstep_error *error) {
    return ls_sink_write(context, bytes, size, error);
}

lockstep_status ls_item_write(const ls_conversion *conversion, const ls_item *item, ls_sink *sink, lockstep_error *error) {
    return ls_item_stream(conversion, item, put_in_sink, sink, error);
}

/* ---------------------------------------------------------------------- planning */

static const ls_writer *find_writer(const char *name) {
    for (const ls_writer *const *w = writers; *w != NULL; w++)
        if (strcmp((*w)->name, name) == 0)
            return *w;
    return NULL;
}

static const ls_writer *writer_by_suffix(const char *path) {
    for (const ls_writer *const *w = writers; *w != NULL; w++)
        for (const char *const *suffix = (*w)->suffixes; *suffix != NULL; suffix++)
            if (ls_path_has_suffix(path, *suffix))
                return *w;
    return NULL;
}

/* Integers and bools always keep their type, because they are ids and masks. */
static lockstep_dtype wanted_dtype(const ls_writer *writer, lockstep_dtype dtype, ls_target to) {
    static const lockstep_dtype targets[] = {[LS_TARGET_F32] = LOCKSTEP_F32, [LS_TARGET_F16] = LOCKSTEP_F16, [LS_TARGET_BF16] = LOCKSTEP_BF16};
    if (to == LS_TARGET_KEEP || !ls_dtype(dtype)->is_float)
        return writer->holds(dtype);
    return writer->holds(targets[to]);
}

static lockstep_status plan(ls_conversion *c, const ls_writer *writer, const ls_convert_options *o, ls_convert_result *result,
                            lockstep_error *error) {
    regex_t select;
    if (o->select != NULL && !ls_pattern_compile(o->select, &select))
        return ls_pattern_refused(error, "--select", o->select);
    c->items = calloc(c->archive->tensor_count + 1, sizeof *c->items);
    for (size_t i = 0; i < c->archive->tensor_count && c->items != NULL; i++) {
        const ls_tensor *t = &c->archive->tensors[i];
        if (c->log_tensor == i)
            continue; /* written separately */
        if ((o->select != NULL && regexec(&select, t->name, 0, NULL, 0) != 0) || (o->names != NULL && o->names[i] == NULL))
            continue;
        ls_item item = {.name = o->names != NULL ? o->names[i] : t->name, .rank = t->rank, .shape = t->shape, .tensor = i};
        item.dtype = t->dtype == LOCKSTEP_OPAQUE ? LOCKSTEP_OPAQUE : wanted_dtype(writer, t->dtype, o->to);
        uint64_t inner = t->rank > 0 ? t->shape[t->rank - 1] : 1;
        if (item.dtype == LOCKSTEP_OPAQUE || !ls_dtype_bytes(item.dtype, t->elements, inner, &item.bytes)) {
            if (result->left_out++ == 0)
                result->first_left_out = t->name;
            continue;
        }
        c->items[c->count++] = item;
    }
    if (o->select != NULL)
        regfree(&select);
    return c->items != NULL ? LOCKSTEP_OK : ls_fail_memory(c->archive, error);
}

/* Rejects names that the format can't store, before anything is written. */
static lockstep_status check_names(const ls_conversion *c, const ls_writer *writer, lockstep_error *error) {
    for (size_t i = 0; i < c->count && writer->objection != NULL; i++) {
        const char *why = writer->objection(c, c->items[i].name);
        if (why != NULL)
            return ls_fail(error, LOCKSTEP_UNSUPPORTED, "tensor '%.300s': %s; convert into another format, or --select others", c->items[i].name, why);
    }
    return LOCKSTEP_OK;
}

/* ----------------------------------------------------------------------- writing */

static const ls_format *format_of(const ls_writer *writer) {
    for (const ls_format *const *f = ls_formats; *f != NULL; f++)
        if (strcmp((*f)->name, writer->name) == 0)
            return *f;
    return NULL;
}

static lockstep_status find_all(const ls_conversion *c, const lockstep_archive *written, lockstep_error *error) {
    if (written->tensor_count < c->count)
        return ls_fail(error, LOCKSTEP_UNSUPPORTED, "found %zu of %zu tensors", written->tensor_count, c->count);
    for (size_t i = 0; i < c->count && c->log == NULL; i++) /* for a trace, names may have been shortened */
        if (ls_archive_find(written, c->items[i].name) == SIZE_MAX)
            return ls_fail(error, LOCKSTEP_UNSUPPORTED, "found no tensor '%.300s'", c->items[i].name);
    return LOCKSTEP_OK;
}

/* Reads the result back, and rejects it if that fails or names have changed. */
static lockstep_status read_back(const ls_conversion *c, const ls_writer *writer, ls_sink *sink, lockstep_error *error) {
    ls_source *source;
    lockstep_archive *written;
    lockstep_error why;
    if (fflush(sink->file) != 0)
        return ls_fail(error, LOCKSTEP_IO, "%s: %s", sink->path, strerror(errno));
    lockstep_status status = ls_source_open_file(sink->part, &source, &why);
    if (status == LOCKSTEP_OK)
        status = ls_archive_open_source(source, format_of(writer), &written, &why);
    if (status == LOCKSTEP_OK) {
        status = find_all(c, written, &why);
        lockstep_archive_close(written);
    }
    return status == LOCKSTEP_OK ? status : ls_fail(error, status, "%s: %s can't store these tensors so that they can be read back: %s", sink->path, writer->name, why.message);
}

static lockstep_status write_file(const ls_conversion *c, const ls_writer *writer, const char *path, lockstep_error *error) {
    ls_sink sink;
    LS_TRY(ls_sink_open(path, &sink, error));
    lockstep_status status = writer->write(c, &sink, error);
    if (status == LOCKSTEP_OK && !writer->one)
        status = read_back(c, writer, &sink, error);
    lockstep_error shorter;
    if (ls_guard_check(&shorter) != LOCKSTEP_OK) { /* possibly the cause of other errors */
        status = shorter.status;
        if (error != NULL)
            *error = shorter;
    }
    if (status == LOCKSTEP_OK)
        return ls_sink_close(&sink, error);
    ls_sink_abandon(&sink);
    return status;
}

/* Turns a name into that of a file. Parts that would lead out of the directory or hide the file are replaced. */
static char *file_of(ls_arena *arena, const char *directory, const char *name, const char *suffix) {
    char *path = ls_arena_printf(arena, "%s/%s%s", directory, *name != '\0' ? name : "_", suffix);
    if (path == NULL)
        return NULL;
    char *base = path + strlen(directory) + 1;
    if (*base == '.')
        *base = '_';
    for (char *c = base; *c != '\0'; c++)
        if (*c == '/' || (unsigned char)*c < 32)
            *c = '_';
    return path;
}

typedef struct directory_writing {
    ls_arena arena;
    char **paths;      /* one per item */
    ls_guarded *guard; /* of the files written so far, until all are */
    size_t written;
} directory_writing;

/* Chooses a file for each item. Fails if two names would become the same file, or a file exists already. */
static lockstep_status plan_files(const ls_conversion *c, const ls_writer *writer, const char *directory, directory_writing *w, lockstep_error *error) {
    struct stat info;
    ls_names names = {0};
    lockstep_status status = LOCKSTEP_OK;
    w->paths = calloc(c->count, sizeof *w->paths);
    w->guard = calloc(c->count, sizeof *w->guard);
    for (size_t i = 0; i < c->count && status == LOCKSTEP_OK; i++) {
        char *path = w->paths != NULL && w->guard != NULL ? file_of(&w->arena, directory, c->items[i].name, writer->suffixes[0]) : NULL;
        ls_names_result added = path != NULL ? ls_names_add(&names, path, i) : LS_NAMES_NO_MEMORY;
        if (added == LS_NAMES_NO_MEMORY)
            status = ls_fail_memory(c->archive, error);
        else if (added == LS_NAMES_DUPLICATE)
            status = ls_fail(error, LOCKSTEP_UNSUPPORTED, "tensors '%.200s' and '%.200s' would both become %.300s: --select one of them, or convert into one file",
                             c->items[ls_names_find(&names, path)].name, c->items[i].name, path);
        else if (lstat(path, &info) == 0)
            status = ls_fail(error, LOCKSTEP_INVALID_ARGUMENT, "%s already exists: name a new directory, or remove it", path);
        else
            w->paths[i] = path;
    }
    ls_names_done(&names);
    return status;
}

static lockstep_status write_files(const ls_conversion *c, const ls_writer *writer, directory_writing *w, lockstep_error *error) {
    for (; w->written < c->count; w->written++) {
        ls_conversion one = {.archive = c->archive, .items = &c->items[w->written], .count = 1};
        LS_TRY(write_file(&one, writer, w->paths[w->written], error));
        w->guard[w->written].path = w->paths[w->written];
        ls_guard_add(&w->guard[w->written]);
    }
    return LOCKSTEP_OK;
}

static lockstep_status make_directory(const char *path, const ls_writer *writer, lockstep_error *error) {
    struct stat info;
    if (mkdir(path, 0777) == 0)
        return LOCKSTEP_OK;
    if (errno != EEXIST || stat(path, &info) != 0)
        return ls_fail(error, LOCKSTEP_IO, "%s: %s", path, strerror(errno));
    return S_ISDIR(info.st_mode) ? LOCKSTEP_OK
                                 : ls_fail(error, LOCKSTEP_INVALID_ARGUMENT, "%s: is not a directory; %s is written into a directory, one file per tensor, or into a file whose name ends in %s",
                                           path, writer->name, writer->suffixes[0]);
}

/* Writes all files, or none. */
static lockstep_status write_each(const ls_conversion *c, const ls_writer *writer, const char *directory, lockstep_error *error) {
    directory_writing w = {0};
    lockstep_status status = plan_files(c, writer, directory, &w, error);
    if (status == LOCKSTEP_OK)
        status = make_directory(directory, writer, error);
    if (status == LOCKSTEP_OK)
        status = write_files(c, writer, &w, error);
    for (size_t i = 0; i < w.written; i++) {
        if (status != LOCKSTEP_OK)
            unlink(w.paths[i]);
        ls_guard_remove(&w.guard[i]);
    }
    free(w.paths);
    free(w.guard);
    ls_arena_done(&w.arena);
    return status;
}

/* The log is the first source of a trace, or inside a file that was converted from one. */
static lockstep_status find_log(ls_conversion *c, lockstep_error *error) {
    const uint8_t *bytes;
    if (strcmp(c->archive->format, "trace") != 0) {
        static const char first[] = "{\"lockstep_trace\"";
        if (!ls_archive_trace_log(c->archive, &c->log, &c->log_size) || c->log_size < sizeof first || memcmp(c->log, first, sizeof first - 1) != 0)
            c->log = NULL; /* anything else with this name is an ordinary tensor */
        else if (ls_archive_meta(c->archive, LS_TRACE_LOG) == NULL)
            c->log_tensor = ls_archive_find(c->archive, LS_TRACE_LOG);
        return LOCKSTEP_OK;
    }
    LS_TRY(ls_source_bytes(c->archive->sources[0], &bytes, error));
    c->log = (const char *)bytes;
    c->log_size = c->archive->sources[0]->size;
    return LOCKSTEP_OK;
}

static lockstep_status choose_writer(const char *out, const ls_convert_options *o, const ls_writer **out_writer, lockstep_error *error) {
    *out_writer = o->format != NULL ? find_writer(o->format) : writer_by_suffix(out);
    if (*out_writer != NULL)
        return LOCKSTEP_OK;
    return o->format != NULL
               ? ls_fail(error, LOCKSTEP_INVALID_ARGUMENT, "found format '%s', expected one that can be written: npy, npz, safetensors, gguf, text, raw", o->format)
               : ls_fail(error, LOCKSTEP_INVALID_ARGUMENT, "%s: its name doesn't indicate a format to write (.npy, .npz, .safetensors, .gguf, .txt, .bin): give --format", out);
}

lockstep_status ls_convert(const lockstep_archive *in, const char *out, const ls_convert_options *options, ls_convert_result *out_result,
                           lockstep_error *error) {
    const ls_writer *writer;
    ls_conversion c = {.archive = in, .log_tensor = SIZE_MAX, .metas = options->metas, .meta_count = options->meta_count};
    ls_convert_result result = {0};
    LS_TRY(choose_writer(out, options, &writer, error));
    lockstep_status status = options->names == NULL ? find_log(&c, error) : LOCKSTEP_OK;
    if (status == LOCKSTEP_OK)
        status = plan(&c, writer, options, &result, error);
    if (status == LOCKSTEP_OK)
        status = check_names(&c, writer, error);
    if (status == LOCKSTEP_OK && c.count == 0 && c.log == NULL)
        status = ls_fail(error, LOCKSTEP_NOT_FOUND, "%s: no tensor to convert%s", in->path,
                         options->select != NULL ? " has a name that --select matches" : "");
    if (status == LOCKSTEP_OK && writer->one && c.count > 1 && writer_by_suffix(out) != NULL)
        status = ls_fail(error, LOCKSTEP_INVALID_ARGUMENT, "%s: %s holds one tensor, but there are %zu: select one, or name a directory and give --format %s",
                         out, writer->name, c.count, writer->name);
    ls_progress_begin(LS_STAGE_WRITING, c.count);
    if (status == LOCKSTEP_OK)
        status = writer->one && writer_by_suffix(out) == NULL ? write_each(&c, writer, out, error) : write_file(&c, writer, out, error);
    ls_progress_end(LS_STAGE_WRITING);
    result.tensors = c.count;
    free(c.items);
    if (status == LOCKSTEP_OK)
        *out_result = result;
    return status;
}
