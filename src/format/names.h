/* A hash table from names to indexes. It finds duplicates while a container is opened,
 * and tensors afterwards. Names are borrowed. */
#ifndef LS_FORMAT_NAMES_H
#define LS_FORMAT_NAMES_H

#include "base/error.h"

typedef struct ls_names {
    struct ls_names_slot *slots;
    size_t capacity, count; /* capacity: 0 or a power of two */
    uint64_t seed;          /* so that a hostile file can't choose collisions */
} ls_names;

typedef enum ls_names_result { LS_NAMES_ADDED, LS_NAMES_DUPLICATE, LS_NAMES_NO_MEMORY } ls_names_result;

ls_names_result ls_names_add(ls_names *names, const char *name, size_t index);
/* The index of a name, or SIZE_MAX. */
size_t ls_names_find(const ls_names *names, const char *name);
/* A pointer to the index of a name, for updating it; NULL if the name isn't there. Valid
 * until the next ls_names_add. */
size_t *ls_names_index(ls_names *names, const char *name);
void ls_names_done(ls_names *names);

#endif
