/* Files of torch.save, alone or as the parts of one model. */
#ifndef LS_FORMAT_TORCH_H
#define LS_FORMAT_TORCH_H

#include "format/archive.h"

/* How a file of torch.save before 1.6 begins: the pickled magic number. */
#define LS_TORCH_LEGACY_MAGIC {0x80, 0x02, 0x8a, 0x0a, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19, 0x2e}

/* Adds the tensors of all files, whose sources are the archive's, and what the
 * first has of each metadata key. */
lockstep_status ls_torch_open_files(lockstep_archive *archive, ls_source *const *sources, size_t count,
                                    lockstep_error *error);

#endif
