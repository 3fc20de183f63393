/* Heads in another order: where a linear attention has more value heads than key heads, the heads that share a key lie side by side in
 * the reference, and llama.cpp's converter takes the first of each key, then the second ones. */
#ifndef LS_REPLAY_HEAD_ORDER_H
#define LS_REPLAY_HEAD_ORDER_H

#include "base/arena.h"
#include "trace/trace.h"

/* Of a pass's linear attention; all 0 where it has none, or as many heads of both kinds. */
typedef struct ls_head_groups {
    uint64_t keys, values; /* heads */
    uint64_t key_size, value_size; /* elements of a head */
} ls_head_groups;

ls_head_groups ls_head_groups_of(const ls_trace *trace, size_t first, size_t last, size_t pass);
/* For each element of a node with the channels of value heads, or with those of query, key and value heads, its place in the
 * reference's tensor, which has rows of channels, or of tokens. NULL if the node isn't one, or out of memory. */
uint64_t *ls_head_order(ls_arena *arena, const ls_head_groups *groups, uint64_t elements, uint64_t tokens, const ls_node *reference);

#endif
