#include "wire/strided.h"

#include <string.h>

#include "wire/channel.h"

enum { GATHER_BYTES = 4096 };

/* Joins the innermost axes that are contiguous into one run of bytes. */
static void join_axes(ls_strided *s) {
    while (s->rank > 0 && (s->count[s->rank - 1] == 1 || s->strides[s->rank - 1] == (int64_t)s->size)) {
        s->rank--;
        s->size *= s->count[s->rank];
    }
}

/* Advances the index over the first `rank` axes, the last of them fastest; false after
 * the last index. */
static bool next_index(const ls_strided *s, int rank, uint64_t *index) {
    int axis = rank - 1;
    while (axis >= 0 && ++index[axis] == s->count[axis])
        index[axis--] = 0;
    return axis >= 0;
}

static const uint8_t *block_at(const ls_strided *s, int rank, const uint64_t *index) {
    const uint8_t *at = s->data;
    for (int i = 0; i < rank; i++)
        at += (int64_t)index[i] * s->strides[i];
    return at;
}

/* Gathers small blocks, because each write to the channel takes a few branches. */
static void send_innermost(const ls_strided *s, const uint8_t *from) {
    uint8_t gathered[GATHER_BYTES];
    uint64_t count = s->count[s->rank - 1], room = sizeof gathered / s->size, used = 0;
    for (uint64_t i = 0; i < count; i++, from += s->strides[s->rank - 1]) {
        if (room == 0) {
            ls_channel_data(from, (size_t)s->size);
            continue;
        }
        memcpy(gathered + used++ * s->size, from, (size_t)s->size);
        if (used == room || i + 1 == count) {
            ls_channel_data(gathered, (size_t)(used * s->size));
            used = 0;
        }
    }
}

void ls_strided_send(const ls_strided *values) {
    ls_strided s = *values;
    uint64_t index[LOCKSTEP_MAX_RANK] = {0};
    join_axes(&s);
    if (s.rank == 0) {
        ls_channel_data(s.data, (size_t)s.size);
        return;
    }
    do
        send_innermost(&s, block_at(&s, s.rank - 1, index));
    while (next_index(&s, s.rank - 1, index));
}

void ls_strided_overwrite(const ls_strided *values, const void *contiguous) {
    ls_strided s = *values;
    const uint8_t *from = contiguous;
    uint64_t index[LOCKSTEP_MAX_RANK] = {0};
    join_axes(&s);
    do {
        memcpy((uint8_t *)(uintptr_t)block_at(&s, s.rank, index), from, (size_t)s.size);
        from += s.size;
    } while (next_index(&s, s.rank, index));
}
