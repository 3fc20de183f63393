#include "replay/head_order.h"

#define ELEMENTS_MAX ((uint64_t)1 << 22)

static ls_head_groups groups_of(const ls_node *query, const ls_node *value) {
    if (query->rank < 2 || value->rank < 2)
        return (ls_head_groups){0};
    const ls_head_groups g = {.keys = query->shape[query->rank - 2], .values = value->shape[value->rank - 2], .key_size = query->shape[query->rank - 1], .value_size = value->shape[value->rank - 1]};
    const bool fits = g.keys > 0 && g.values > g.keys && g.values % g.keys == 0 && g.values <= UINT32_MAX && g.key_size <= UINT32_MAX && g.value_size <= UINT32_MAX;
    return fits ? g : (ls_head_groups){0};
}

ls_head_groups ls_head_groups_of(const ls_trace *t, size_t first, size_t last, size_t pass) {
    for (size_t i = first; i < last; i++) {
        const ls_node *n = &t->nodes[i];
        if (n->pass == pass && n->kind->id == LS_OP_GATED_DELTA_NET && n->operand_count > 2 && n->operands[0] != LS_NONE && n->operands[2] != LS_NONE)
            return groups_of(&t->nodes[n->operands[0]], &t->nodes[n->operands[2]]);
    }
    return (ls_head_groups){0};
}

/* The first channel that belongs to a value head; `channels` itself where none does. */
static uint64_t first_of_values(const ls_head_groups *g, uint64_t channels) {
    const uint64_t keys = 2 * g->keys * g->key_size, values = g->values * g->value_size;
    return channels == values || channels == g->values ? 0 : channels == keys + values ? keys : channels;
}

static uint64_t channel_of(const ls_head_groups *g, uint64_t channels, uint64_t first, uint64_t channel) {
    if (channel < first)
        return channel;
    const uint64_t size = (channels - first) / g->values, head = (channel - first) / size, of_key = head / g->keys, key = head % g->keys;
    return first + (key * (g->values / g->keys) + of_key) * size + (channel - first) % size;
}

static bool has_rows_of_channels(const ls_node *n, uint64_t channels, uint64_t tokens) {
    return n->rank >= 2 && tokens > 1 && n->shape[n->rank - 1] == tokens && n->shape[n->rank - 2] == channels;
}

uint64_t *ls_head_order(ls_arena *arena, const ls_head_groups *g, uint64_t elements, uint64_t tokens, const ls_node *reference) {
    const uint64_t channels = tokens > 0 && elements % tokens == 0 ? elements / tokens : 0;
    const uint64_t first = channels > 0 && g->values > 0 ? first_of_values(g, channels) : channels;
    if (first == channels || elements > ELEMENTS_MAX || reference->elements != elements)
        return NULL;
    uint64_t *order = ls_arena_alloc(arena, elements * sizeof *order);
    const bool turned = has_rows_of_channels(reference, channels, tokens);
    for (uint64_t i = 0; order != NULL && i < elements; i++) {
        const uint64_t channel = channel_of(g, channels, first, i % channels), token = i / channels;
        order[i] = turned ? channel * tokens + token : token * channels + channel;
    }
    return order;
}
