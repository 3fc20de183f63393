/* Zip archives: their central directory, checked as if somebody had meant harm. */
#ifndef LS_FORMAT_ZIP_H
#define LS_FORMAT_ZIP_H

#include "base/arena.h"
#include "io/source.h"

typedef struct ls_zip_member {
    const char *name;
    size_t index;
    bool deflated;         /* otherwise stored */
    uint32_t crc;          /* CRC-32 of the inflated bytes */
    bool crc_left_out;     /* set by who knows that its writer has none: don't check */
    uint64_t packed, size; /* bytes in the file, and inflated */
    uint64_t record;       /* offset of its central record, for messages */
    uint64_t header, data; /* offsets of its local header and of its first byte */
} ls_zip_member;

/* Members in the order of the central directory; they and their names are the
 * arena's. Refused, beside what is truncated or contradicts itself: encryption,
 * methods other than stored and deflated, several disks, names that leave the
 * archive or appear twice, members that overlap, sizes beyond what deflate can
 * reach, bytes before the archive, two end records. */
lockstep_status ls_zip_list(ls_source *source, ls_arena *arena, ls_zip_member **out_members,
                            size_t *out_count, lockstep_error *error);

/* Inflates (or copies) the first `length` bytes of a member, length <= size. */
lockstep_status ls_zip_read(ls_source *source, const ls_zip_member *member, void *out,
                            size_t length, lockstep_error *error);

#endif
