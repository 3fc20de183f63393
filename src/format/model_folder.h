/* Which files of a directory make up a model: Hugging Face's names, and those of others. */
#ifndef LS_FORMAT_MODEL_FOLDER_H
#define LS_FORMAT_MODEL_FOLDER_H

#include "format/archive.h"

/* A family of files: how their names end, and the stems that are known, the first first.
 * A file of one stem, STEM.safetensors, goes before STEM.safetensors.index.json, as it does
 * for transformers; shards, STEM-00001-of-00002.safetensors, are opened without an index,
 * too, when there is none. */
typedef struct ls_model_family {
    const char *suffix;
    const char *const *stems;  /* NULL-terminated */
    const char *const *adapters; /* the same, of files that hold no whole model: after any other */
    bool any;                  /* a file with another stem will do, when it is the only one */
} ls_model_family;

/* The directory holds files of the family. */
bool ls_model_folder_has(const char *directory, const ls_model_family *family, bool adapters);
/* Opens what makes up the model, and adds what else is worth knowing to the archive's notes.
 * The sources are the archive's; *out_index when the only one is an index. */
lockstep_status ls_model_folder_open(lockstep_archive *archive, const ls_model_family *family, ls_source ***out_sources, size_t *out_count,
                                     bool *out_index, lockstep_error *error);

/* For the message that a directory holds nothing to be read: what it holds instead, weights
 * of other kinds, or several models of which none is called as one is; "" otherwise. */
const char *ls_model_folder_others(const char *path);

#endif
