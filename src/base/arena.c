#include "base/arena.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Block sizes double from the first to the largest; the first is small because many arenas hold only a few strings. */
enum { ALIGNMENT = 16, FIRST_BLOCK = 1024, LARGEST_BLOCK = 64 * 1024 };

struct ls_arena_block {
    struct ls_arena_block *next;
    _Alignas(ALIGNMENT) unsigned char bytes[];
};

void *ls_arena_alloc(ls_arena *arena, size_t size) {
    if (size > SIZE_MAX - sizeof(struct ls_arena_block) - ALIGNMENT)
        return NULL;
    size = (size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    if (arena->blocks == NULL || size > arena->capacity - arena->used) {
        size_t wanted = arena->blocks == NULL ? FIRST_BLOCK : arena->capacity < LARGEST_BLOCK / 2 ? 2 * arena->capacity : LARGEST_BLOCK;
        size_t capacity = size > wanted ? size : wanted;
        struct ls_arena_block *block = calloc(1, sizeof *block + capacity);
        if (block == NULL)
            return NULL;
        block->next = arena->blocks;
        arena->blocks = block;
        arena->used = 0;
        arena->capacity = capacity;
    }
    void *memory = arena->blocks->bytes + arena->used;
    arena->used += size;
    return memory;
}

void *ls_arena_array(ls_arena *arena, size_t count, size_t size) {
    size_t bytes;
    return __builtin_mul_overflow(count, size, &bytes) ? NULL : ls_arena_alloc(arena, bytes);
}

char *ls_arena_copy(ls_arena *arena, const char *text, size_t length) {
    char *copy = length == SIZE_MAX ? NULL : ls_arena_alloc(arena, length + 1);
    if (copy != NULL && length > 0)
        memcpy(copy, text, length);
    return copy;
}

char *ls_arena_printf(ls_arena *arena, const char *format, ...) {
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int length = vsnprintf(NULL, 0, format, args);
    va_end(args);
    char *text = length < 0 ? NULL : ls_arena_alloc(arena, (size_t)length + 1);
    if (text != NULL)
        vsnprintf(text, (size_t)length + 1, format, again);
    va_end(again);
    return text;
}

void ls_arena_reset(ls_arena *arena) {
    struct ls_arena_block *kept = arena->blocks;
    if (kept == NULL)
        return;
    ls_arena older = {.blocks = kept->next};
    ls_arena_done(&older);
    kept->next = NULL;
    if (arena->capacity > LARGEST_BLOCK) { /* one large allocation */
        ls_arena_done(arena);
        return;
    }
    memset(kept->bytes, 0, arena->used);
    arena->used = 0;
}

void ls_arena_done(ls_arena *arena) {
    for (struct ls_arena_block *block = arena->blocks; block != NULL;) {
        struct ls_arena_block *next = block->next;
        free(block);
        block = next;
    }
    *arena = (ls_arena){0};
}
