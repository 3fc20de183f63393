/* Reads zip archives, and checks the central directory as if an attacker had written it. */
#ifndef LS_FORMAT_ZIP_H
#define LS_FORMAT_ZIP_H

#include "base/arena.h"
#include "io/source.h"

typedef struct ls_zip_member {
    const char *name;
    size_t index;
    bool deflated;         /* otherwise stored */
    uint32_t crc;          /* CRC-32 of the inflated bytes */
    bool crc_left_out;     /* the writer didn't compute it: don't check; set by the caller */
    uint64_t packed, size; /* bytes in the file, and inflated */
    uint64_t record;       /* offset of its central record, for messages */
    uint64_t header, data; /* offsets of its local header and of its first byte */
} ls_zip_member;

/* Lists the members in the order of the central directory; they and their names are
 * allocated in the arena. Besides truncated and contradictory archives it rejects
 * encryption, methods other than stored and deflated, several disks, names that lead out
 * of the archive or occur twice, overlapping members, sizes that deflate can't reach,
 * bytes before the archive, and a second end record. */
lockstep_status ls_zip_list(ls_source *source, ls_arena *arena, ls_zip_member **out_members,
                            size_t *out_count, lockstep_error *error);

/* Inflates (or copies) the first `length` bytes of a member, length <= size. */
lockstep_status ls_zip_read(ls_source *source, const ls_zip_member *member, void *out,
                            size_t length, lockstep_error *error);

#endif
