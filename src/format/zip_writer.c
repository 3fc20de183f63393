#include "format/zip_writer.h"

#include <stdbool.h>
#include <string.h>

#include "base/utf8.h"

enum {
    LOCAL = 30,
    RECORD = 46,
    ZIP64_EXTRA = 1,
    PADDING_EXTRA = 0xd935, /* alignment u16, then zeros; the id is zipalign's */
    VERSION = 45,           /* the first version of the specification with ZIP64 */
    UTF8_NAME = 1 << 11,    /* without it, names are in code page 437 */
    FIRST_DAY = 0x21,       /* 1980-01-01, the first date that a zip can hold */
};

static void put16(uint8_t *p, unsigned value) { p[0] = (uint8_t)value, p[1] = (uint8_t)(value >> 8); }
static void put32(uint8_t *p, uint32_t value) { put16(p, value & 0xffff), put16(p + 2, value >> 16); }
static void put64(uint8_t *p, uint64_t value) { put32(p, (uint32_t)value), put32(p + 4, (uint32_t)(value >> 32)); }

static void append(ls_text *out, const void *bytes, size_t size) { ls_text_append(out, bytes, size); }

static unsigned flags_of(const char *name) {
    size_t length = strlen(name), at = 0;
    uint32_t code;
    for (size_t n; at < length; at += n)
        if ((n = ls_utf8_decode(name + at, length - at, &code)) == 0)
            return 0;
    return UTF8_NAME;
}

/* Writes the fields that local headers and central records share, from `needed version` on. */
static void put_common(uint8_t *p, const ls_zip_entry *entry, bool wide, size_t extra) {
    put16(p, VERSION);
    put16(p + 2, flags_of(entry->name));
    put16(p + 8, FIRST_DAY);
    put32(p + 10, entry->crc);
    put32(p + 14, wide ? UINT32_MAX : (uint32_t)entry->size);
    put32(p + 18, wide ? UINT32_MAX : (uint32_t)entry->size);
    put16(p + 22, (unsigned)strlen(entry->name));
    put16(p + 24, (unsigned)extra);
}

void ls_zip_put_local(ls_text *out, const ls_zip_entry *entry, uint64_t zip64_from, unsigned align) {
    enum { WIDE = 20, LEAST = 6 };
    const bool wide = entry->size >= zip64_from;
    uint8_t head[LOCAL] = {'P', 'K', 3, 4}, zip64[WIDE] = {0}, padding[LEAST] = {0};
    const size_t name = strlen(entry->name), fixed = LOCAL + name + (wide ? WIDE : 0);
    size_t gap = (size_t)((align - (entry->header + fixed) % align) % align);
    while (gap > 0 && gap < LEAST) /* an extra field has at least its header */
        gap += align;
    put_common(head + 4, entry, wide, (wide ? WIDE : 0) + gap);
    append(out, head, sizeof head);
    append(out, entry->name, name);
    if (wide) {
        put16(zip64, ZIP64_EXTRA);
        put16(zip64 + 2, WIDE - 4);
        put64(zip64 + 4, entry->size);
        put64(zip64 + 12, entry->size);
        append(out, zip64, sizeof zip64);
    }
    if (gap == 0)
        return;
    put16(padding, PADDING_EXTRA);
    put16(padding + 2, (unsigned)gap - 4);
    put16(padding + 4, align);
    append(out, padding, sizeof padding);
    for (size_t i = LEAST; i < gap; i++)
        append(out, "", 1);
}

void ls_zip_put_record(ls_text *out, const ls_zip_entry *entry, uint64_t zip64_from) {
    const bool wide = entry->size >= zip64_from, far = entry->header >= zip64_from;
    uint8_t head[RECORD] = {'P', 'K', 1, 2, VERSION}, zip64[28] = {0};
    size_t used = wide || far ? 4 : 0;
    if (wide) {
        put64(zip64 + used, entry->size);
        put64(zip64 + used + 8, entry->size);
        used += 16;
    }
    if (far) {
        put64(zip64 + used, entry->header);
        used += 8;
    }
    put_common(head + 6, entry, wide, used);
    put32(head + 42, far ? UINT32_MAX : (uint32_t)entry->header);
    put16(zip64, ZIP64_EXTRA);
    put16(zip64 + 2, used > 0 ? (unsigned)used - 4 : 0);
    append(out, head, sizeof head);
    append(out, entry->name, strlen(entry->name));
    append(out, zip64, used);
}

void ls_zip_put_end(ls_text *out, uint64_t members, uint64_t offset, uint64_t size, uint64_t zip64_from) {
    uint8_t end64[56] = {'P', 'K', 6, 6}, locator[20] = {'P', 'K', 6, 7}, end[22] = {'P', 'K', 5, 6};
    const bool wide = members > LS_ZIP_MEMBERS || offset >= zip64_from || size >= zip64_from;
    if (wide) {
        put64(end64 + 4, sizeof end64 - 12);
        put16(end64 + 12, VERSION);
        put16(end64 + 14, VERSION);
        put64(end64 + 24, members);
        put64(end64 + 32, members);
        put64(end64 + 40, size);
        put64(end64 + 48, offset);
        put64(locator + 8, offset + size);
        put32(locator + 16, 1);
        append(out, end64, sizeof end64);
        append(out, locator, sizeof locator);
    }
    put16(end + 8, wide ? 0xffff : (unsigned)members);
    put16(end + 10, wide ? 0xffff : (unsigned)members);
    put32(end + 12, wide ? UINT32_MAX : (uint32_t)size);
    put32(end + 16, wide ? UINT32_MAX : (uint32_t)offset);
    append(out, end, sizeof end);
}
