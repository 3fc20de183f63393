/* GGUF files as parts of an archive. */
#ifndef LS_FORMAT_GGUF_H
#define LS_FORMAT_GGUF_H

#include "format/archive.h"

/* Adds the tensors and the metadata of a file, of all shards when its name is that
 * of one. The source is the archive's. `is_first`: its keys have to be unique;
 * otherwise those that the archive has already are left out. */
lockstep_status ls_gguf_add(lockstep_archive *archive, ls_source *source, bool is_first,
                            lockstep_error *error);
/* The number in "-00002-of-00003.gguf"; 1 for any other name. */
unsigned ls_gguf_shard_number(const char *path);

#endif
