/* NPZ: a zip (APPNOTE 6.3) of stored NPY files, as numpy.savez writes it. Every member
 * has a ZIP64 extra field, so that one larger than 4 GiB needs no other way; its CRC is
 * written when the bytes have passed. */
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "base/utf8.h"
#include "convert/conversion.h"
#include "format/formats.h"
#include "format/npy.h"
#include "format/paths.h"

enum { LOCAL = 30, EXTRA = 20, CENTRAL = 46, CRC_AT = 14 };

typedef struct member {
    char *name;
    uint64_t offset, size;
    uint32_t crc;
} member;

typedef struct zipping {
    ls_sink *sink;
    uint32_t crc;
} zipping;

static void put16(uint8_t *p, unsigned value) { p[0] = (uint8_t)value, p[1] = (uint8_t)(value >> 8); }
static void put32(uint8_t *p, uint32_t value) { put16(p, value & 0xffff), put16(p + 2, value >> 16); }
static void put64(uint8_t *p, uint64_t value) { put32(p, (uint32_t)value), put32(p + 4, (uint32_t)(value >> 32)); }

static lockstep_status put(void *context, const void *bytes, size_t size, lockstep_error *error) {
    zipping *z = context;
    z->crc = (uint32_t)crc32_z(z->crc, bytes, size);
    return ls_sink_write(z->sink, bytes, size, error);
}

/* Bit 11 says that a name is UTF-8; without it, it is taken for code page 437. */
static unsigned flags_of(const char *name) {
    size_t length = strlen(name), at = 0;
    uint32_t code;
    for (size_t n; at < length; at += n)
        if ((n = ls_utf8_decode(name + at, length - at, &code)) == 0)
            return 0;
    return 1 << 11;
}

static lockstep_status write_local(ls_sink *sink, const member *m, lockstep_error *error) {
    uint8_t head[LOCAL] = {'P', 'K', 3, 4, 45}, extra[EXTRA] = {1, 0, 16, 0};
    put16(head + 6, flags_of(m->name));
    put32(head + 18, UINT32_MAX);
    put32(head + 22, UINT32_MAX);
    put16(head + 26, (unsigned)strlen(m->name));
    put16(head + 28, EXTRA);
    put64(extra + 4, m->size);
    put64(extra + 12, m->size);
    LS_TRY(ls_sink_write(sink, head, sizeof head, error));
    LS_TRY(ls_sink_write(sink, m->name, strlen(m->name), error));
    return ls_sink_write(sink, extra, sizeof extra, error);
}

static lockstep_status write_member(const ls_conversion *c, const ls_item *item, member *m, ls_sink *sink, lockstep_error *error) {
    char header[LS_NPY_HEADER_MAX];
    uint8_t crc[4];
    zipping z = {sink, 0};
    size_t size = ls_npy_header(item->dtype, item->rank, item->shape, header, sizeof header);
    m->offset = sink->written;
    m->size = size + item->bytes;
    LS_TRY(write_local(sink, m, error));
    LS_TRY(put(&z, header, size, error));
    LS_TRY(ls_item_stream(c, item, put, &z, error));
    m->crc = z.crc;
    put32(crc, z.crc);
    return ls_sink_patch(sink, m->offset + CRC_AT, crc, sizeof crc, error);
}

/* A trace's log, as an array of bytes. */
static lockstep_status write_log(const ls_conversion *c, member *m, ls_sink *sink, lockstep_error *error) {
    char header[LS_NPY_HEADER_MAX];
    uint8_t crc[4];
    zipping z = {sink, 0};
    size_t size = ls_npy_header(LOCKSTEP_U8, 1, &c->log_size, header, sizeof header);
    m->offset = sink->written;
    m->size = size + c->log_size;
    LS_TRY(write_local(sink, m, error));
    LS_TRY(put(&z, header, size, error));
    LS_TRY(put(&z, c->log, (size_t)c->log_size, error));
    m->crc = z.crc;
    put32(crc, z.crc);
    return ls_sink_patch(sink, m->offset + CRC_AT, crc, sizeof crc, error);
}

static lockstep_status write_central(ls_sink *sink, const member *m, lockstep_error *error) {
    uint8_t head[CENTRAL] = {'P', 'K', 1, 2, 45, 0, 45}, extra[28] = {1, 0, 24, 0};
    put16(head + 8, flags_of(m->name));
    put32(head + 16, m->crc);
    put32(head + 20, UINT32_MAX);
    put32(head + 24, UINT32_MAX);
    put16(head + 28, (unsigned)strlen(m->name));
    put16(head + 30, sizeof extra);
    put32(head + 42, UINT32_MAX);
    put64(extra + 4, m->size);
    put64(extra + 12, m->size);
    put64(extra + 20, m->offset);
    LS_TRY(ls_sink_write(sink, head, sizeof head, error));
    LS_TRY(ls_sink_write(sink, m->name, strlen(m->name), error));
    return ls_sink_write(sink, extra, sizeof extra, error);
}

static lockstep_status write_end(ls_sink *sink, uint64_t members, uint64_t central, lockstep_error *error) {
    uint8_t end64[56] = {'P', 'K', 6, 6}, locator[20] = {'P', 'K', 6, 7}, end[22] = {'P', 'K', 5, 6};
    put64(end64 + 4, sizeof end64 - 12);
    put16(end64 + 12, 45);
    put16(end64 + 14, 45);
    put64(end64 + 24, members);
    put64(end64 + 32, members);
    put64(end64 + 40, sink->written - central);
    put64(end64 + 48, central);
    put64(locator + 8, sink->written);
    put32(locator + 16, 1);
    put16(end + 8, members < 0xffff ? (unsigned)members : 0xffff);
    put16(end + 10, members < 0xffff ? (unsigned)members : 0xffff);
    put32(end + 12, UINT32_MAX);
    put32(end + 16, UINT32_MAX);
    LS_TRY(ls_sink_write(sink, end64, sizeof end64, error));
    LS_TRY(ls_sink_write(sink, locator, sizeof locator, error));
    return ls_sink_write(sink, end, sizeof end, error);
}

static lockstep_status write_all(const ls_conversion *c, member *members, ls_arena *arena, ls_sink *sink, lockstep_error *error) {
    for (size_t i = 0; i < c->count; i++) {
        members[i].name = ls_arena_printf(arena, "%s.npy", c->items[i].name);
        if (members[i].name == NULL)
            return ls_fail_memory(c->archive, error);
        if (strlen(members[i].name) > 0xffff)
            return ls_fail(error, LOCKSTEP_LIMIT, "a tensor's name has %zu bytes, a zip's may have 65535", strlen(members[i].name));
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
    for (size_t i = 0; i < count; i++)
        LS_TRY(write_central(sink, &members[i], error));
    return write_end(sink, count, central, error);
}

static lockstep_status write_npz(const ls_conversion *c, ls_sink *sink, lockstep_error *error) {
    ls_arena arena = {0};
    member *members = calloc(c->count + 1, sizeof *members);
    lockstep_status status = members != NULL ? write_all(c, members, &arena, sink, error) : ls_fail_memory(c->archive, error);
    free(members);
    ls_arena_done(&arena);
    return status;
}

static lockstep_dtype npz_holds(lockstep_dtype dtype) { return ls_dtype(dtype)->npy != NULL ? dtype : LOCKSTEP_F32; }
static const char *const suffixes[] = {".npz", NULL};
/* A member is a path. */
static const char *objection(const ls_conversion *c, const char *name) {
    enum { LONGEST = 0xffff - 4 };
    if (strlen(name) > LONGEST)
        return "its name is longer than a zip's may be (65,531 bytes)";
    if (c->log != NULL && strcmp(name, LS_TRACE_LOG) == 0)
        return "the trace's own log has this name in an NPZ";
    const char *slash = strrchr(name, '/'); /* behind it is a file, whatever its name */
    char *folder = slash != NULL ? strndup(name, (size_t)(slash - name)) : NULL;
    bool inside = strchr(name, '\\') == NULL && (slash == NULL || (folder != NULL && ls_path_stays_inside(folder)));
    free(folder);
    return inside ? NULL : "its name is no path within a zip";
}

const ls_writer ls_writer_npz = {"npz", suffixes, false, npz_holds, write_npz, objection};
