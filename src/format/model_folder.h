/* Finds the files in a directory that make up a model, by Hugging Face's names and others. */
#ifndef LS_FORMAT_MODEL_FOLDER_H
#define LS_FORMAT_MODEL_FOLDER_H

#include "format/archive.h"

/* A family of files: the suffix of their names and the known stems, in order of preference.
 * A single file, STEM.safetensors, takes precedence over STEM.safetensors.index.json, as in
 * transformers; shards, STEM-00001-of-00002.safetensors, are also opened if there is no
 * index. */
typedef struct ls_model_family {
    const char *suffix;
    const char *const *stems;  /* NULL-terminated */
    const char *const *adapters; /* the same for files that don't hold a whole model: tried last */
    bool any;                  /* accept a file with another stem, if it is the only one */
} ls_model_family;

/* Whether the directory has files of the family. */
bool ls_model_folder_has(const char *directory, const ls_model_family *family, bool adapters);
/* Opens the files that make up the model, and adds remarks about others to the archive's notes.
 * The archive owns the sources; *out_index is set if the only one is an index. */
lockstep_status ls_model_folder_open(lockstep_archive *archive, const ls_model_family *family, ls_source ***out_sources, size_t *out_count,
                                     bool *out_index, lockstep_error *error);

/* A suffix for the message that a directory has nothing readable: says that it has weights of
 * another kind, or files without the usual name of a model; "" otherwise. */
const char *ls_model_folder_others(const char *path);

#endif
