/* Reads JSON into a tree as Python's json module does. For the files that come with weights
 * (config.json and the like), which are written by Python. */
#ifndef LS_FORMAT_JSON_TREE_H
#define LS_FORMAT_JSON_TREE_H

#include <jansson.h>

#include "base/json_reader.h"
#include "io/source.h"

/* Reads the whole source as one value. The last of repeated keys counts. An integer beyond 64
 * bits becomes a real; NaN, infinities, and numbers too large for a double become strings
 * ("NaN", "Infinity", "-Infinity"), since jansson has no such numbers. Strings may contain NUL
 * and lone surrogates of three bytes each; a key ends at its first NUL. */
lockstep_status ls_json_tree(ls_source *source, json_t **out_json, lockstep_error *error);
/* Reads the next value. */
lockstep_status ls_json_value(ls_json *j, json_t **out_json, lockstep_error *error);

/* The member at a path of keys with dots in between: "reference.path". NULL if there is none; NULL is allowed. */
json_t *ls_json_at(const json_t *object, const char *path);

/* Whether two values are equal. Integers and reals compare by value; the order of keys doesn't matter. */
bool ls_json_same(json_t *a, json_t *b);

#endif
