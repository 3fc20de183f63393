/* The files that the values of a trace lie in (docs/trace-format.md): a segment holds many, each an NPY
 * at an offset that its line gives. Its zip directory isn't needed, and may not be there yet. */
#ifndef LS_FORMAT_SEGMENTS_H
#define LS_FORMAT_SEGMENTS_H

#include "base/map.h"
#include "format/archive.h"

/* Where a line says that its values lie. */
typedef struct ls_extent {
    const char *file; /* relative to the trace; NULL: it has none */
    uint64_t at, bytes; /* of the NPY, header included; `bytes` 0: all of the file */
} ls_extent;

typedef struct ls_segment {
    ls_source *source;
    uint64_t end; /* of the last value that was claimed */
} ls_segment;

typedef struct ls_segments {
    ls_segment *items;
    size_t count, capacity;
    ls_map numbers; /* of the file -> index + 1 */
} ls_segments;

/* The segment of this name, opened when it is first asked for. Fails where it
 * isn't a regular file inside of the trace's directory that begins like a zip. The pointer is valid until
 * the next call. */
lockstep_status ls_segments_open(ls_segments *segments, const char *directory, const char *file, ls_segment **out_segment,
                                 lockstep_error *error);
/* Claims [at, at + bytes) of a segment. LOCKSTEP_MALFORMED, with the line's place in `log`, where it begins
 * before the end of the value claimed before, or can't be. LOCKSTEP_TRUNCATED where the segment is shorter: a
 * recorder or a copy was cut short. */
lockstep_status ls_segment_claim(ls_segment *segment, const ls_extent *extent, const char *log, uint64_t line_at, lockstep_error *error);
/* Reads the header of the NPY, which has to have as many bytes as the extent; name and offset of
 * *out_tensor are set, too. */
lockstep_status ls_segment_read(const ls_segment *segment, const ls_extent *extent, const char *name, ls_arena *arena, ls_tensor *out_tensor,
                                lockstep_error *error);
/* Closes the sources, unless they were handed on. */
void ls_segments_done(ls_segments *segments, bool close);

#endif
