/* YAML files written by people: errors have line numbers. */
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

/* Calls `read` with the root node, which may be NULL. The nodes are freed when `read` returns. */
lockstep_status ls_yaml_parse(const char *file, const char *text, size_t size,
                              ls_yaml_reader *read, void *context, lockstep_error *error);
/* The same for a file of at most `most` bytes. */
lockstep_status ls_yaml_open(const char *path, uint64_t most, ls_yaml_reader *read, void *context, lockstep_error *error);
/* Fails at a node, or for the whole file if `at` is NULL. */
lockstep_status ls_yaml_bad(const ls_yaml *yaml, const yaml_node_t *at, const char *what);
/* The key, which must be a scalar, and the value of a pair of a mapping. */
lockstep_status ls_yaml_pair(ls_yaml *yaml, const yaml_node_pair_t *pair, yaml_node_t **out_key, yaml_node_t **out_value);
static inline const char *ls_yaml_text(const yaml_node_t *scalar) { return (const char *)scalar->data.scalar.value; }

#endif
