/* The files that hold the values of a trace (docs/trace-format.md). A segment has many values, each an NPY
 * at the offset that its line gives. Its zip directory isn't needed, and may not be written yet. */
#ifndef LS_FORMAT_SEGMENTS_H
#define LS_FORMAT_SEGMENTS_H

#include "base/map.h"
#include "format/archive.h"

/* Where the values of a line are, according to the line. */
typedef struct ls_extent {
    const char *file; /* relative to the trace; NULL if the line has no values */
    uint64_t at, bytes; /* of the NPY, including its header; `bytes` 0 means the whole file */
} ls_extent;

typedef struct ls_segment {
    ls_source *source;
    uint64_t end; /* of the last value claimed */
} ls_segment;

typedef struct ls_segments {
    ls_segment *items;
    size_t count, capacity;
    ls_map numbers; /* file -> index + 1 */
} ls_segments;

/* Returns the segment of this name, which is opened on first use. Fails unless it is a regular file inside
 * the trace's directory that begins like a zip. The pointer is valid until the next call. */
lockstep_status ls_segments_open(ls_segments *segments, const char *directory, const char *file, ls_segment **out_segment,
                                 lockstep_error *error);
/* Claims [at, at + bytes) of a segment. LOCKSTEP_MALFORMED, with the line's position in `log`, if it begins before
 * the end of the previously claimed value, or is impossible. LOCKSTEP_TRUNCATED if the segment is shorter, because
 * recording or copying was interrupted. */
lockstep_status ls_segment_claim(ls_segment *segment, const ls_extent *extent, const char *log, uint64_t line_at, lockstep_error *error);
/* Reads the header of the NPY, which must have as many bytes as the extent, into *out_tensor, including its
 * name and offset. */
lockstep_status ls_segment_read(const ls_segment *segment, const ls_extent *extent, const char *name, ls_arena *arena, ls_tensor *out_tensor,
                                lockstep_error *error);
/* Frees the segments; with `close`, closes their sources, too. */
void ls_segments_done(ls_segments *segments, bool close);

#endif
