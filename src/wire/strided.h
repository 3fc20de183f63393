/* A tensor's values in memory: blocks of an element type (single elements if the type has
 * no blocks), with a stride for each axis. */
#ifndef LS_WIRE_STRIDED_H
#define LS_WIRE_STRIDED_H

#include <lockstep/capture.h>

typedef struct ls_strided {
    const uint8_t *data; /* block [0, …, 0] */
    int rank;
    uint64_t count[LOCKSTEP_MAX_RANK];  /* blocks along each axis, outermost first; none is 0 */
    int64_t strides[LOCKSTEP_MAX_RANK]; /* bytes; zero and negative are allowed */
    uint64_t size;                      /* bytes of a block */
    uint64_t bytes;                     /* of all blocks */
} ls_strided;

/* Writes all blocks in row-major order into the open frame (ls_channel_begin). */
void ls_strided_send(const ls_strided *values);
/* Overwrites the values, whose memory must be writable, with `values->bytes` contiguous ones. */
void ls_strided_overwrite(const ls_strided *values, const void *contiguous);

#endif
