/* An arena: many small allocations that live until their owner is closed. */
#ifndef LS_BASE_ARENA_H
#define LS_BASE_ARENA_H

#include <stddef.h>

typedef struct ls_arena {
    struct ls_arena_block *blocks;
    size_t used, capacity; /* of the newest block */
} ls_arena;

/* Zeroed memory aligned for any type, or NULL if out of memory. */
void *ls_arena_alloc(ls_arena *arena, size_t size);
/* The same for `count` items of `size` bytes; NULL if the product overflows, too. */
void *ls_arena_array(ls_arena *arena, size_t count, size_t size);
/* A NUL-terminated copy of `length` bytes. */
char *ls_arena_copy(ls_arena *arena, const char *text, size_t length);
char *ls_arena_printf(ls_arena *arena, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Releases every allocation, but keeps one block for the next ones. */
void ls_arena_reset(ls_arena *arena);
void ls_arena_done(ls_arena *arena);

#endif
