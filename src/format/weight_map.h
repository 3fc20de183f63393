/* Hugging Face models in several files: an index, *.index.json, says which file in the same
 * directory has which tensor. */
#ifndef LS_FORMAT_WEIGHT_MAP_H
#define LS_FORMAT_WEIGHT_MAP_H

#include "format/archive.h"

typedef struct ls_weight_map {
    const char *path;   /* of the index */
    ls_source **sources; /* one per file, in the order of the index; owned by the archive */
    size_t source_count, source_capacity;
    ls_names files;     /* file name -> index in sources */
    ls_names tensors;   /* tensor -> index below */
    const char **names, **in; /* tensor, and its file */
    uint64_t *where;
    size_t count, capacity;
} ls_weight_map;

/* Reads an index and opens the files that it names. Call ls_weight_map_done afterwards,
 * even if this fails. */
lockstep_status ls_weight_map_open(lockstep_archive *archive, ls_source *index, ls_weight_map *map,
                                   lockstep_error *error);
/* Call after the files' tensors have been added. Every tensor of the map must be in its
 * file; tensors that the map omits are noted. */
lockstep_status ls_weight_map_check(lockstep_archive *archive, const ls_weight_map *map,
                                    lockstep_error *error);
void ls_weight_map_done(ls_weight_map *map);

#endif
