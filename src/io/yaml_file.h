/* YAML files that people write: what is wrong with one is said with its line. */
#ifndef LS_IO_YAML_FILE_H
#define LS_IO_YAML_FILE_H

#include <yaml.h>

#include "base/error.h"

typedef struct ls_yaml {
    const char *file;
    yaml_document_t document;
    lockstep_error *error;
} ls_yaml;

typedef lockstep_status ls_yaml_reader(void *context, ls_yaml *yaml, yaml_node_t *root);

/* Calls `read` with the root, which may be NULL. The nodes are gone afterwards. */
lockstep_status ls_yaml_parse(const char *file, const char *text, size_t size,
                              ls_yaml_reader *read, void *context, lockstep_error *error);
/* The same for a file of at most `most` bytes. */
lockstep_status ls_yaml_open(const char *path, uint64_t most, ls_yaml_reader *read, void *context, lockstep_error *error);
/* NULL `at`: the file as a whole. */
lockstep_status ls_yaml_bad(const ls_yaml *yaml, const yaml_node_t *at, const char *what);
/* Key, a plain word, and value of a pair of a mapping. */
lockstep_status ls_yaml_pair(ls_yaml *yaml, const yaml_node_pair_t *pair, yaml_node_t **out_key, yaml_node_t **out_value);
static inline const char *ls_yaml_text(const yaml_node_t *scalar) { return (const char *)scalar->data.scalar.value; }

#endif
