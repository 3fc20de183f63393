#include "format/names.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/hash.h"

struct ls_names_slot {
    const char *name; /* NULL if free */
    uint64_t hash;
    size_t index;
};

/* The name's slot, or the free slot where it would be inserted. */
static struct ls_names_slot *probe(const ls_names *names, const char *name, uint64_t hash) {
    size_t i = (size_t)hash & (names->capacity - 1);
    while (names->slots[i].name != NULL &&
           (names->slots[i].hash != hash || strcmp(names->slots[i].name, name) != 0))
        i = (i + 1) & (names->capacity - 1);
    return &names->slots[i];
}

static uint64_t hash_of(const ls_names *names, const char *name) {
    return XXH3_64bits_withSeed(name, strlen(name), names->seed);
}

static bool grow(ls_names *names) {
    ls_names larger = {.capacity = names->capacity == 0 ? 64 : names->capacity * 2,
                       .count = names->count,
                       .seed = names->seed};
    if (larger.capacity < names->capacity)
        return false;
    larger.slots = calloc(larger.capacity, sizeof *larger.slots);
    if (larger.slots == NULL)
        return false;
    if (names->capacity == 0) {
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        larger.seed = (uint64_t)now.tv_nsec ^ (uint64_t)(uintptr_t)larger.slots;
    }
    for (size_t i = 0; i < names->capacity; i++)
        if (names->slots[i].name != NULL)
            *probe(&larger, names->slots[i].name, names->slots[i].hash) = names->slots[i];
    free(names->slots);
    *names = larger;
    return true;
}

ls_names_result ls_names_add(ls_names *names, const char *name, size_t index) {
    if (names->count >= names->capacity / 2 && !grow(names))
        return LS_NAMES_NO_MEMORY;
    uint64_t hash = hash_of(names, name);
    struct ls_names_slot *slot = probe(names, name, hash);
    if (slot->name != NULL)
        return LS_NAMES_DUPLICATE;
    *slot = (struct ls_names_slot){name, hash, index};
    names->count++;
    return LS_NAMES_ADDED;
}

size_t ls_names_find(const ls_names *names, const char *name) {
    if (names->capacity == 0)
        return SIZE_MAX;
    const struct ls_names_slot *slot = probe(names, name, hash_of(names, name));
    return slot->name != NULL ? slot->index : SIZE_MAX;
}

size_t *ls_names_index(ls_names *names, const char *name) {
    if (names->capacity == 0)
        return NULL;
    struct ls_names_slot *slot = probe(names, name, hash_of(names, name));
    return slot->name != NULL ? &slot->index : NULL;
}

void ls_names_done(ls_names *names) {
    free(names->slots);
    *names = (ls_names){0};
}
