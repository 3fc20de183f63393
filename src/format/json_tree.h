/* JSON as Python's json module reads it, built as a tree. For the files beside weights
 * (config.json and the like), which Python wrote. */
#ifndef LS_FORMAT_JSON_TREE_H
#define LS_FORMAT_JSON_TREE_H

#include <jansson.h>

#include "base/json_reader.h"
#include "io/source.h"

/* The whole source as one value. Of repeated keys the last counts. An integer beyond 64
 * bits becomes a real; NaN, Infinity, -Infinity, and a number too large for a double become
 * texts ("NaN", "Infinity", "-Infinity"), since jansson has no such numbers. Texts may hold
 * NUL, and lone surrogates in three bytes each; a key ends at its first NUL. */
lockstep_status ls_json_tree(ls_source *source, json_t **out_json, lockstep_error *error);
/* The value that comes next. */
lockstep_status ls_json_value(ls_json *j, json_t **out_json, lockstep_error *error);

/* Equal values: numbers by value, whole or not; keys in any order. */
bool ls_json_same(json_t *a, json_t *b);

#endif
