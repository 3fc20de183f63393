/* Zip, as far as tensor containers use it (APPNOTE.TXT 6.3.10); read from the end:
 *
 *   members   local header, name, extra, data[, data descriptor]  …
 *   central directory: for each member one record:
 *       'PK' 01 02  made-by  needed  flags  method  time  date  crc32  packed u32  size u32
 *       name-length extra-length comment-length  disk  attributes u16 u32  header-offset u32
 *       name  extra  comment
 *   [zip64 end record   'PK' 06 06  size u64  made-by  needed  disk u32  disk u32
 *                       entries u64  entries u64  directory-size u64  directory-offset u64]
 *   [zip64 locator      'PK' 06 07  disk u32  offset-of-end-record u64  disks u32]
 *   end record          'PK' 05 06  disk  disk  entries  entries  directory-size u32
 *                       directory-offset u32  comment-length  comment
 *
 * Fields without a type are u16; all are little endian. If a field is all ones, its value
 * is in the zip64 extra (id 1) or end record. Sizes are only taken from the central
 * directory, because NumPy and PyTorch omit them from local headers. */
#include "format/zip.h"

#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/cursor.h"
#include "format/names.h"
#include "format/paths.h"

enum {
    END_SIZE = 22,
    LOCATOR_SIZE = 20,
    END64_SIZE = 56,
    RECORD_SIZE = 46,
    LOCAL_SIZE = 30,
    MAX_COMMENT = 65535,
    FLAG_ENCRYPTED = 0x1,
    FLAG_PATCHED = 0x20,
    FLAG_STRONG = 0x40,
    FLAG_MASKED = 0x2000,
    STORED = 0,
    DEFLATED = 8,
    ZIP64_EXTRA = 1,
    /* Deflate encodes at most 258 bytes in 2 bits. */
    DEFLATE_RATIO = 1032,
};
static const uint8_t SIGNATURE_END[4] = "PK\5\6", SIGNATURE_END64[4] = "PK\6\6",
                     SIGNATURE_LOCATOR[4] = "PK\6\7", SIGNATURE_RECORD[4] = "PK\1\2",
                     SIGNATURE_LOCAL[4] = "PK\3\4";

typedef struct directory {
    uint64_t entries, size, offset;
    uint64_t end; /* where it must end */
} directory;

static uint64_t get(const uint8_t *p, int width) {
    uint64_t value = 0;
    for (int i = 0; i < width; i++)
        value |= (uint64_t)p[i] << 8 * i;
    return value;
}

static bool is_end(const uint8_t *bytes, uint64_t size, uint64_t at) {
    return memcmp(bytes + at, SIGNATURE_END, 4) == 0 && at + END_SIZE + get(bytes + at + 20, 2) == size;
}

static lockstep_status find_end(const ls_source *source, const uint8_t *bytes, uint64_t *out_at,
                                lockstep_error *error) {
    uint64_t found = UINT64_MAX;
    if (source->size >= END_SIZE) {
        uint64_t at = source->size - END_SIZE;
        uint64_t least = at > MAX_COMMENT ? at - MAX_COMMENT : 0;
        for (;; at--) {
            if (is_end(bytes, source->size, at)) {
                if (found != UINT64_MAX)
                    return ls_fail_at(error, LOCKSTEP_MALFORMED, source->name, at,
                                      "zip: found a second end record at offset %llu, expected one",
                                      (unsigned long long)found);
                found = at;
            }
            if (at == least)
                break;
        }
    }
    if (found == UINT64_MAX)
        return ls_fail_at(error, LOCKSTEP_TRUNCATED, source->name, source->size,
                          "zip: found no end record that reaches the file's end, expected 'PK' 05 06");
    *out_at = found;
    return LOCKSTEP_OK;
}

/* Takes the fields from the zip64 end record, if there is one. */
static lockstep_status read_end64(const ls_source *source, const uint8_t *bytes, uint64_t end_at,
                                  directory *d, lockstep_error *error) {
    if (end_at < LOCATOR_SIZE || memcmp(bytes + end_at - LOCATOR_SIZE, SIGNATURE_LOCATOR, 4) != 0)
        return LOCKSTEP_OK;
    uint64_t locator = end_at - LOCATOR_SIZE, at = get(bytes + locator + 8, 8);
    if (at > locator || locator - at < END64_SIZE || memcmp(bytes + at, SIGNATURE_END64, 4) != 0)
        return ls_fail_at(error, LOCKSTEP_MALFORMED, source->name, locator + 8,
                          "zip: found no zip64 end record at offset %llu", (unsigned long long)at);
    directory wide = {get(bytes + at + 32, 8), get(bytes + at + 40, 8), get(bytes + at + 48, 8), at};
    bool same = (d->entries == 0xffff || d->entries == wide.entries) &&
                (d->size == 0xffffffff || d->size == wide.size) &&
                (d->offset == 0xffffffff || d->offset == wide.offset);
    if (!same || get(bytes + at + 16, 4) != 0 || get(bytes + at + 20, 4) != 0 ||
        get(bytes + at + 24, 8) != wide.entries)
        return ls_fail_at(error, LOCKSTEP_MALFORMED, source->name, at,
                          "zip: the zip64 end record and the end record at offset %llu disagree",
                          (unsigned long long)end_at);
    *d = wide;
    return LOCKSTEP_OK;
}

static lockstep_status find_directory(const ls_source *source, const uint8_t *bytes,
                                      directory *out, lockstep_error *error) {
    uint64_t end = 0;
    LS_TRY(find_end(source, bytes, &end, error));
    const uint8_t *p = bytes + end;
    directory d = {get(p + 10, 2), get(p + 12, 4), get(p + 16, 4), end};
    if (get(p + 4, 2) != 0 || get(p + 6, 2) != 0 || get(p + 8, 2) != d.entries)
        return ls_fail_at(error, LOCKSTEP_UNSUPPORTED, source->name, end + 4,
                          "zip: found parts on several disks, expected one file");
    LS_TRY(read_end64(source, bytes, end, &d, error));
    uint64_t reach;
    if (!ls_add_u64(d.offset, d.size, &reach) || reach != d.end)
        return ls_fail_at(error, LOCKSTEP_MALFORMED, source->name, end,
                          "zip: found a directory of %llu bytes at offset %llu, expected it to end "
                          "at offset %llu (bytes before the archive, or cut out of it?)",
                          (unsigned long long)d.size, (unsigned long long)d.offset,
                          (unsigned long long)d.end);
    if (d.entries > d.size / RECORD_SIZE)
        return ls_fail_at(error, LOCKSTEP_MALFORMED, source->name, end,
                          "zip: found %llu entries, expected at most %llu in a directory of %llu bytes",
                          (unsigned long long)d.entries, (unsigned long long)(d.size / RECORD_SIZE),
                          (unsigned long long)d.size);
    *out = d;
    return LOCKSTEP_OK;
}

/* Takes the fields that are all ones from the zip64 extra field. */
static lockstep_status read_extra(const ls_source *source, const uint8_t *extra, size_t length,
                                  ls_zip_member *m, lockstep_error *error) {
    uint64_t *const wanted[3] = {&m->size, &m->packed, &m->header};
    bool missing = false;
    for (int i = 0; i < 3; i++)
        missing |= *wanted[i] == 0xffffffff;
    for (size_t at = 0; missing && at + 4 <= length;) {
        size_t id = (size_t)get(extra + at, 2), size = (size_t)get(extra + at + 2, 2);
        at += 4;
        if (size > length - at)
            break;
        const uint8_t *p = extra + at, *end = p + size;
        at += size;
        if (id != ZIP64_EXTRA)
            continue;
        missing = false;
        for (int i = 0; i < 3; i++) {
            if (*wanted[i] != 0xffffffff)
                continue;
            if (end - p < 8)
                missing = true;
            else
                *wanted[i] = get(p, 8), p += 8;
        }
        break;
    }
    if (missing)
        return ls_fail_at(error, LOCKSTEP_MALFORMED, source->name, m->record,
                          "zip member '%s': found no zip64 extra with its sizes", m->name);
    return LOCKSTEP_OK;
}

static lockstep_status check_record(const ls_source *source, const ls_zip_member *m, unsigned flags,
                                    unsigned method, lockstep_error *error) {
    if (flags & (FLAG_ENCRYPTED | FLAG_STRONG | FLAG_MASKED | FLAG_PATCHED))
        return ls_fail_at(error, LOCKSTEP_UNSUPPORTED, source->name, m->record + 8,
                          "zip member '%s': found flags 0x%04x (encrypted or patched), expected plain data",
                          m->name, flags);
    if (method != STORED && method != DEFLATED)
        return ls_fail_at(error, LOCKSTEP_UNSUPPORTED, source->name, m->record + 10,
                          "zip member '%s': found compression method %u, expected 0 (stored) or 8 (deflated)",
                          m->name, method);
    size_t length = strlen(m->name);
    bool is_folder = length > 0 && m->name[length - 1] == '/';
    if (!is_folder && !ls_path_stays_inside(m->name))
        return ls_fail_at(error, LOCKSTEP_MALFORMED, source->name, m->record + RECORD_SIZE,
                          "zip: found the member name '%s', expected a path inside the archive", m->name);
    if (method == STORED && m->packed != m->size)
        return ls_fail_at(error, LOCKSTEP_MALFORMED, source->name, m->record + 20,
                          "zip member '%s': found %llu stored bytes of %llu, expected equal sizes",
                          m->name, (unsigned long long)m->packed, (unsigned long long)m->size);
    if (method == DEFLATED && m->size / DEFLATE_RATIO > m->packed)
        return ls_fail_at(error, LOCKSTEP_LIMIT, source->name, m->record + 24,
                          "zip member '%s': found a size of %llu bytes, expected at most the %llu that deflate can produce from %llu",
                          m->name, (unsigned long long)m->size,
                          (unsigned long long)(m->packed * DEFLATE_RATIO), (unsigned long long)m->packed);
    return LOCKSTEP_OK;
}

static lockstep_status read_record(const ls_source *source, ls_cursor *c, ls_arena *arena,
                                   ls_zip_member *m, unsigned *out_flags, lockstep_error *error) {
    const uint8_t *p, *name, *extra, *comment;
    m->record = ls_cursor_offset(c);
    LS_TRY(ls_cursor_bytes(c, RECORD_SIZE, "zip: central record", &p, error));
    if (memcmp(p, SIGNATURE_RECORD, 4) != 0)
        return ls_fail_at(error, LOCKSTEP_MALFORMED, source->name, m->record,
                          "zip: found no central record, expected 'PK' 01 02");
    LS_TRY(ls_cursor_bytes(c, get(p + 28, 2), "zip: member name", &name, error));
    LS_TRY(ls_cursor_bytes(c, get(p + 30, 2), "zip: extra field", &extra, error));
    LS_TRY(ls_cursor_bytes(c, get(p + 32, 2), "zip: comment", &comment, error));
    size_t length = (size_t)get(p + 28, 2);
    if (memchr(name, 0, length) != NULL)
        return ls_fail_at(error, LOCKSTEP_MALFORMED, source->name, m->record + RECORD_SIZE,
                          "zip: found a NUL in a member's name");
    m->name = ls_arena_copy(arena, (const char *)name, length);
    if (m->name == NULL)
        return ls_fail(error, LOCKSTEP_NO_MEMORY, "%s: out of memory", source->name);
    unsigned flags = (unsigned)get(p + 8, 2), method = (unsigned)get(p + 10, 2);
    m->deflated = method == DEFLATED;
    m->crc = (uint32_t)get(p + 16, 4);
    m->packed = get(p + 20, 4);
    m->size = get(p + 24, 4);
    m->header = get(p + 42, 4);
    LS_TRY(read_extra(source, extra, (size_t)get(p + 30, 2), m, error));
    *out_flags = flags;
    return check_record(source, m, flags, method, error);
}

/* Finds where the data begins, and checks that both headers are those of the same member. */
static lockstep_status read_local(const ls_source *source, const uint8_t *bytes, unsigned flags,
                                  uint64_t end, ls_zip_member *m, lockstep_error *error) {
    ls_cursor c = {.bytes = bytes, .size = end, .file = source->name};
    const uint8_t *p, *name, *rest;
    if (m->header > end)
        return ls_fail_at(error, LOCKSTEP_MALFORMED, source->name, m->record + 42,
                          "zip member '%s': found header offset %llu, expected at most %llu", m->name,
                          (unsigned long long)m->header, (unsigned long long)end);
    c.at = m->header;
    LS_TRY(ls_cursor_bytes(&c, LOCAL_SIZE, "zip: local header", &p, error));
    if (memcmp(p, SIGNATURE_LOCAL, 4) != 0)
        return ls_fail_at(error, LOCKSTEP_MALFORMED, source->name, m->header,
                          "zip member '%s': found no local header, expected 'PK' 03 04", m->name);
    size_t length = (size_t)get(p + 26, 2);
    LS_TRY(ls_cursor_bytes(&c, length, "zip: local name", &name, error));
    LS_TRY(ls_cursor_bytes(&c, get(p + 28, 2), "zip: local extra field", &rest, error));
    unsigned local_flags = (unsigned)get(p + 6, 2);
    if (length != strlen(m->name) || memcmp(name, m->name, length) != 0)
        return ls_fail_at(error, LOCKSTEP_MALFORMED, source->name, m->header + LOCAL_SIZE,
                          "zip: found the name '%.*s' before the data, expected '%s' as in the directory",
                          (int)(length < 100 ? length : 100), (const char *)name, m->name);
    if (get(p + 8, 2) != (m->deflated ? DEFLATED : STORED) ||
        ((local_flags ^ flags) & (FLAG_ENCRYPTED | FLAG_STRONG | FLAG_PATCHED)) != 0)
        return ls_fail_at(error, LOCKSTEP_MALFORMED, source->name, m->header + 6,
                          "zip member '%s': its local and central headers disagree on flags or method",
                          m->name);
    m->data = ls_cursor_offset(&c);
    LS_TRY(ls_cursor_bytes(&c, m->packed, "zip: member data", &rest, error));
    return LOCKSTEP_OK;
}

static int by_header(const void *a, const void *b) {
    const ls_zip_member *x = *(ls_zip_member *const *)a, *y = *(ls_zip_member *const *)b;
    return x->header < y->header ? -1 : x->header > y->header;
}

/* By sharing bytes, members could unpack to more than the ratio allows (Fifield, 2019). */
static lockstep_status check_overlap(const ls_source *source, ls_zip_member *members, size_t count,
                                     lockstep_error *error) {
    ls_zip_member **sorted = calloc(count + 1, sizeof *sorted);
    if (sorted == NULL)
        return ls_fail(error, LOCKSTEP_NO_MEMORY, "%s: out of memory", source->name);
    for (size_t i = 0; i < count; i++)
        sorted[i] = &members[i];
    qsort(sorted, count, sizeof *sorted, by_header);
    lockstep_status status = LOCKSTEP_OK;
    for (size_t i = 0; i + 1 < count && status == LOCKSTEP_OK; i++)
        if (sorted[i]->data + sorted[i]->packed > sorted[i + 1]->header)
            status = ls_fail_at(error, LOCKSTEP_MALFORMED, source->name, sorted[i + 1]->header,
                                "zip: members '%s' and '%s' overlap", sorted[i]->name,
                                sorted[i + 1]->name);
    free(sorted);
    return status;
}

static lockstep_status read_members(ls_source *source, const uint8_t *bytes, const directory *d,
                                    ls_arena *arena, ls_names *names, ls_zip_member *members,
                                    lockstep_error *error) {
    ls_cursor c = {.bytes = bytes + d->offset, .size = d->size, .origin = d->offset, .file = source->name};
    for (uint64_t i = 0; i < d->entries; i++) {
        ls_zip_member *m = &members[i];
        unsigned flags = 0;
        m->index = (size_t)i;
        LS_TRY(read_record(source, &c, arena, m, &flags, error));
        LS_TRY(read_local(source, bytes, flags, d->offset, m, error));
        ls_names_result added = ls_names_add(names, m->name, (size_t)i);
        if (added == LS_NAMES_NO_MEMORY)
            return ls_fail(error, LOCKSTEP_NO_MEMORY, "%s: out of memory", source->name);
        if (added == LS_NAMES_DUPLICATE)
            return ls_fail_at(error, LOCKSTEP_MALFORMED, source->name, m->record,
                              "zip: found a second member named '%s', expected unique names", m->name);
    }
    if (ls_cursor_left(&c) != 0)
        return ls_fail_at(error, LOCKSTEP_MALFORMED, source->name, ls_cursor_offset(&c),
                          "zip: found %llu bytes after the directory's %llu entries, expected none",
                          (unsigned long long)ls_cursor_left(&c), (unsigned long long)d->entries);
    return check_overlap(source, members, (size_t)d->entries, error);
}

lockstep_status ls_zip_list(ls_source *source, ls_arena *arena, ls_zip_member **out_members,
                            size_t *out_count, lockstep_error *error) {
    const uint8_t *bytes;
    directory d = {0};
    LS_TRY(ls_source_bytes(source, &bytes, error));
    LS_TRY(find_directory(source, bytes, &d, error));
    ls_zip_member *members = ls_arena_array(arena, (size_t)d.entries + 1, sizeof *members);
    if (members == NULL)
        return ls_fail(error, LOCKSTEP_NO_MEMORY, "%s: out of memory", source->name);
    ls_names names = {0};
    lockstep_status status = read_members(source, bytes, &d, arena, &names, members, error);
    ls_names_done(&names);
    if (status != LOCKSTEP_OK)
        return status;
    *out_members = members;
    *out_count = (size_t)d.entries;
    return LOCKSTEP_OK;
}
