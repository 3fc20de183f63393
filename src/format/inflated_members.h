/* Zip members unpacked on first use, shared by all threads that read an archive. */
#ifndef LS_FORMAT_INFLATED_MEMBERS_H
#define LS_FORMAT_INFLATED_MEMBERS_H

#include "format/zip.h"

struct ls_inflated;

/* For members with an index below `count`; NULL if out of memory. */
struct ls_inflated *ls_inflated_new(size_t count);
void ls_inflated_free(struct ls_inflated *inflated);

/* All bytes of a member: in place if it is stored, otherwise inflated in memory, or from
 * 1 MiB on in an unlinked temporary file (in $TMPDIR, else /tmp). The CRC is checked
 * once. Borrowed until released or freed. */
lockstep_status ls_inflated_bytes(struct ls_inflated *inflated, ls_source *source,
                                  const ls_zip_member *member, const uint8_t **out_bytes,
                                  lockstep_error *error);
/* Frees an inflated member; the next ls_inflated_bytes inflates it again. */
void ls_inflated_release(struct ls_inflated *inflated, const ls_zip_member *member);

#endif
