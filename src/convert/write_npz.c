/* NPZ: a zip of stored NPY files, like that of numpy.savez, but aligned so that the arrays can be
 * mapped. */
#include <libdeflate.h>
#include <stdlib.h>
#include <string.h>

#include "convert/conversion.h"
#include "format/formats.h"
#include "format/npy.h"
#include "format/paths.h"
#include "format/zip_writer.h"

typedef struct zipping {
    ls_sink *sink;
    uint32_t crc;
} zipping;

static lockstep_status put(void *context, const void *bytes, size_t size, lockstep_error *error) {
    zipping *z = context;
    z->crc = libdeflate_crc32(z->crc, bytes, size);
    return ls_sink_write(z->sink, bytes, size, error);
}

static lockstep_status put_text(ls_sink *sink, ls_text *text, lockstep_error *error) {
    lockstep_status status = text->failed ? ls_fail(error, LOCKSTEP_NO_MEMORY, "out of memory") : ls_sink_write(sink, text->data, text->length, error);
    ls_text_done(text);
    return status;
}

/* Writes the local header and the NPY header; the CRC-32 is added after the elements. */
static lockstep_status begin_member(zipping *z, ls_zip_entry *m, lockstep_dtype dtype, int rank, const uint64_t *shape, uint64_t bytes, lockstep_error *error) {
    char header[LS_NPY_HEADER_MAX];
    ls_text local = {0};
    size_t size = ls_npy_header(dtype, rank, shape, header, sizeof header);
    m->header = z->sink->written;
    m->size = size + bytes;
    ls_zip_put_local(&local, m, LS_ZIP64_FROM, LS_NPY_ALIGNMENT);
    LS_TRY(put_text(z->sink, &local, error));
    return put(z, header, size, error);
}

static lockstep_status end_member(const zipping *z, ls_zip_entry *m, lockstep_error *error) {
    uint8_t crc[4];
    m->crc = z->crc;
    for (int i = 0; i < 4; i++)
        crc[i] = (uint8_t)(z->crc >> 8 * i);
    return ls_sink_patch(z->sink, m->header + LS_ZIP_CRC_AT, crc, sizeof crc, error);
}

static lockstep_status write_member(const ls_conversion *c, const ls_item *item, ls_zip_entry *m, ls_sink *sink, lockstep_error *error) {
    zipping z = {sink, 0};
    LS_TRY(begin_member(&z, m, item->dtype, item->rank, item->shape, item->bytes, error));
    LS_TRY(ls_item_stream(c, item, put, &z, error));
    return end_member(&z, m, error);
}

/* Writes a trace's log as an array of bytes. */
static lockstep_status write_log(const ls_conversion *c, ls_zip_entry *m, ls_sink *sink, lockstep_error *error) {
    zipping z = {sink, 0};
    LS_TRY(begin_member(&z, m, LOCKSTEP_U8, 1, &c->log_size, c->log_size, error));
    LS_TRY(put(&z, c->log, (size_t)c->log_size, error));
    return end_member(&z, m, error);
}

static lockstep_status write_all(const ls_conversion *c, ls_zip_entry *members, ls_arena *arena, ls_sink *sink, lockstep_error *error) {
    for (size_t i = 0; i < c->count; i++) {
        members[i].name = ls_arena_printf(arena, "%s.npy", c->items[i].name);
        if (members[i].name == NULL)
            return ls_fail_memory(c->archive, error);
        if (strlen(members[i].name) > 0xffff)
            return ls_fail(error, LOCKSTEP_LIMIT, "found a tensor's name of %zu bytes, expected at most the 65535 of a zip", strlen(members[i].name));
        LS_TRY(write_member(c, &c->items[i], &members[i], sink, error));
    }
    size_t count = c->count;
    if (c->log != NULL) {
        members[count].name = ls_arena_printf(arena, "%s.npy", LS_TRACE_LOG);
        if (members[count].name == NULL)
            return ls_fail_memory(c->archive, error);
        LS_TRY(write_log(c, &members[count++], sink, error));
    }
    uint64_t central = sink->written;
    for (size_t i = 0; i < count; i++) {
        ls_text record = {0};
        ls_zip_put_record(&record, &members[i], LS_ZIP64_FROM);
        LS_TRY(put_text(sink, &record, error));
    }
    ls_text end = {0};
    ls_zip_put_end(&end, count, central, sink->written - central, LS_ZIP64_FROM);
    return put_text(sink, &end, error);
}

static lockstep_status write_npz(const ls_conversion *c, ls_sink *sink, lockstep_error *error) {
    ls_arena arena = {0};
    ls_zip_entry *members = calloc(c->count + 1, sizeof *members);
    lockstep_status status = members != NULL ? write_all(c, members, &arena, sink, error) : ls_fail_memory(c->archive, error);
    free(members);
    ls_arena_done(&arena);
    return status;
}

static lockstep_dtype npz_holds(lockstep_dtype dtype) { return ls_dtype(dtype)->npy != NULL ? dtype : LOCKSTEP_F32; }
static const char *const suffixes[] = {".npz", NULL};
/* Names become paths of zip members. */
static const char *objection(const ls_conversion *c, const char *name) {
    enum { LONGEST = 0xffff - 4 };
    if (strlen(name) > LONGEST)
        return "its name is longer than a zip allows (65,531 bytes)";
    if (c->log != NULL && strcmp(name, LS_TRACE_LOG) == 0)
        return "the trace's own log has this name in an NPZ";
    const char *slash = strrchr(name, '/'); /* the part after it may be any name */
    char *folder = slash != NULL ? strndup(name, (size_t)(slash - name)) : NULL;
    bool inside = strchr(name, '\\') == NULL && (slash == NULL || (folder != NULL && ls_path_stays_inside(folder)));
    free(folder);
    return inside ? NULL : "its name is not a valid path in a zip";
}

const ls_writer ls_writer_npz = {"npz", suffixes, false, npz_holds, write_npz, objection};
