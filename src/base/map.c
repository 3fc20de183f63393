#include "base/map.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct ls_map_slot {
    char *key; /* NULL: free */
    size_t length;
    uint64_t hash, value;
};

/* The hash is seeded per process, so that a file can't choose names that collide. */
static uint64_t seed(void) {
    static _Atomic uint64_t value;
    if (value == 0)
        value = ((uint64_t)time(NULL) << 20 ^ (uint64_t)getpid() ^ (uint64_t)(uintptr_t)&value) | 1;
    return value;
}

static uint64_t hash_bytes(const char *key, size_t length) {
    uint64_t h = seed() ^ length * 0x9e3779b97f4a7c15u;
    for (; length >= 8; key += 8, length -= 8) {
        uint64_t word;
        memcpy(&word, key, 8);
        h = (h ^ word) * 0xff51afd7ed558ccdu;
        h ^= h >> 32;
    }
    for (; length > 0; key++, length--)
        h = (h ^ (unsigned char)*key) * 0xc4ceb9fe1a85ec53u;
    h ^= h >> 29;
    return h * 0xbf58476d1ce4e5b9u ^ h >> 32;
}

/* The key's slot, or the free slot where it would be inserted. */
static struct ls_map_slot *probe(const ls_map *map, const char *key, size_t length, uint64_t hash) {
    for (size_t i = hash & (map->capacity - 1);; i = (i + 1) & (map->capacity - 1)) {
        struct ls_map_slot *slot = &map->slots[i];
        if (slot->key == NULL || (slot->hash == hash && slot->length == length &&
                                  memcmp(slot->key, key, length) == 0))
            return slot;
    }
}

static bool grow(ls_map *map) {
    ls_map bigger = {.count = map->count, .capacity = map->capacity == 0 ? 64 : map->capacity * 2};
    bigger.slots = calloc(bigger.capacity, sizeof *bigger.slots);
    if (bigger.slots == NULL)
        return false;
    for (size_t i = 0; i < map->capacity; i++)
        if (map->slots[i].key != NULL)
            *probe(&bigger, map->slots[i].key, map->slots[i].length, map->slots[i].hash) = map->slots[i];
    free(map->slots);
    *map = bigger;
    return true;
}

uint64_t *ls_map_at(ls_map *map, const char *key, size_t length) {
    if (map->count >= map->capacity / 4 * 3 && !grow(map))
        return NULL;
    uint64_t hash = hash_bytes(key, length);
    struct ls_map_slot *slot = probe(map, key, length, hash);
    if (slot->key == NULL) {
        char *copy = malloc(length + 1);
        if (copy == NULL)
            return NULL;
        memcpy(copy, key, length);
        copy[length] = '\0';
        *slot = (struct ls_map_slot){copy, length, hash, 0};
        map->count++;
    }
    return &slot->value;
}

uint64_t *ls_map_find(const ls_map *map, const char *key, size_t length) {
    if (map->count == 0)
        return NULL;
    struct ls_map_slot *slot = probe(map, key, length, hash_bytes(key, length));
    return slot->key == NULL ? NULL : &slot->value;
}

void ls_map_done(ls_map *map) {
    for (size_t i = 0; i < map->capacity; i++)
        free(map->slots[i].key);
    free(map->slots);
    *map = (ls_map){0};
}
