/* A hash map from a string to a number. Keys are copied. */
#ifndef LS_BASE_MAP_H
#define LS_BASE_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct ls_map {
    struct ls_map_slot *slots;
    size_t count, capacity; /* capacity is a power of two, or 0 */
} ls_map;

/* Finds or inserts a key. Returns a pointer to its value (0 for a new key), valid until
 * the next call of this function; NULL if out of memory. */
uint64_t *ls_map_at(ls_map *map, const char *key, size_t length);
/* NULL if the key isn't in the map. */
uint64_t *ls_map_find(const ls_map *map, const char *key, size_t length);
void ls_map_done(ls_map *map);

#endif
