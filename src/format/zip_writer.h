/* Writes the records of a zip archive of stored members (APPNOTE.TXT 6.3.10; zip.c has the layout). */
#ifndef LS_FORMAT_ZIP_WRITER_H
#define LS_FORMAT_ZIP_WRITER_H

#include <stdint.h>

#include "base/text.h"

enum {
    LS_ZIP_CRC_AT = 14,       /* the CRC-32's offset in a local header */
    LS_ZIP_MEMBERS = 0xfffe,  /* the most that the end record can count without ZIP64 */
    LS_ZIP_RECORD_EXTRA = 80, /* exceeds the size of a central record without its name */
    LS_ZIP_END_SIZE = 56 + 20 + 22,
};
/* Sizes and offsets of at least this need a ZIP64 field. */
#define LS_ZIP64_FROM UINT32_MAX

typedef struct ls_zip_entry {
    const char *name;
    uint64_t header; /* offset of its local header */
    uint64_t size;   /* bytes of its data */
    uint32_t crc;
} ls_zip_entry;

/* Appends the local header of a member to `out`, padded so that the data after it begins at a
 * multiple of `align` bytes in the archive. Sizes of at least `zip64_from` (at most LS_ZIP64_FROM) get
 * a ZIP64 field. */
void ls_zip_put_local(ls_text *out, const ls_zip_entry *entry, uint64_t zip64_from, unsigned align);
/* Appends the member's record in the central directory. */
void ls_zip_put_record(ls_text *out, const ls_zip_entry *entry, uint64_t zip64_from);
/* Appends the end records; the directory has `size` bytes at `offset`. */
void ls_zip_put_end(ls_text *out, uint64_t members, uint64_t offset, uint64_t size, uint64_t zip64_from);

#endif
