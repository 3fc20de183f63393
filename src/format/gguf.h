/* GGUF files as parts of an archive. */
#ifndef LS_FORMAT_GGUF_H
#define LS_FORMAT_GGUF_H

#include "format/archive.h"

/* Adds the tensors and metadata of a file, or of all shards if its name is a shard's. The
 * archive owns the source. If `is_first`, keys must be unique; otherwise, keys that the
 * archive has already are skipped. */
lockstep_status ls_gguf_add(lockstep_archive *archive, ls_source *source, bool is_first,
                            lockstep_error *error);
/* The number in "-00002-of-00003.gguf"; 1 for any other name. */
unsigned ls_gguf_shard_number(const char *path);

#endif
