/* Models of Hugging Face in several files: an index, *.index.json, which says in
 * which file beside it each tensor lies. */
#ifndef LS_FORMAT_WEIGHT_MAP_H
#define LS_FORMAT_WEIGHT_MAP_H

#include "format/archive.h"

typedef struct ls_weight_map {
    const char *path;   /* of the index */
    ls_source **sources; /* of the files, once each, in the order of the index; the archive's */
    size_t source_count, source_capacity;
    ls_names files;     /* file name -> index in sources */
    ls_names tensors;   /* tensor -> index below */
    const char **names, **in; /* tensor, and its file */
    uint64_t *where;
    size_t count, capacity;
} ls_weight_map;

/* Reads an index and opens the files that it names. To be ended with
 * ls_weight_map_done, also after a failure. */
lockstep_status ls_weight_map_open(lockstep_archive *archive, ls_source *index, ls_weight_map *map,
                                   lockstep_error *error);
/* Once the files' tensors were added: every tensor has to be where the map says,
 * and what it leaves out is noted. */
lockstep_status ls_weight_map_check(lockstep_archive *archive, const ls_weight_map *map,
                                    lockstep_error *error);
void ls_weight_map_done(ls_weight_map *map);

#endif
