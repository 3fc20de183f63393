/* Values, appended to few files: stored zips of NPY members (docs/trace-format.md). A member is whole,
 * its CRC-32 included, before ls_segment_end returns; the zip's directory follows when the segment is full or
 * the writer is finished. */
#ifndef LS_RECORD_SEGMENT_WRITER_H
#define LS_RECORD_SEGMENT_WRITER_H

#include "record/recording.h"

/* A segment's most bytes: what a zip holds without ZIP64. A larger value has a segment of its own. */
#define LS_SEGMENT_BYTES UINT32_MAX
enum { LS_SEGMENT_NAME = 16 };

typedef struct ls_segment_writer ls_segment_writer;

/* Writes into the folder (borrowed). Segments have at most `limit` bytes, or as many as a limit of the
 * process on the size of files lets them; sizes from `limit` on get ZIP64 fields. NULL: no memory. */
ls_segment_writer *ls_segment_writer_new(int folder, uint64_t limit);
/* One value at a time, in pieces. After a failure, put does nothing; end returns why, as an errno, and nothing
 * is left of the value. out_file is the segment's name in the folder. */
void ls_segment_begin(ls_segment_writer *writer, const ls_stored_values *values);
void ls_segment_put(ls_segment_writer *writer, const void *bytes, size_t count);
int ls_segment_end(ls_segment_writer *writer, bool whole, char out_file[LS_SEGMENT_NAME], ls_place *out_place);
/* Takes the last value back: no line names it. */
void ls_segment_undo(ls_segment_writer *writer);
/* Writes the open segment's directory; the next value begins another segment. 0, or the errno of why this or an
 * earlier segment has no directory. */
int ls_segment_finish(ls_segment_writer *writer);
/* Frees; an open segment is left without a directory. NULL is allowed. */
void ls_segment_writer_free(ls_segment_writer *writer);
/* The name of the segment with this number. */
void ls_segment_name(unsigned number, char out[LS_SEGMENT_NAME]);

#endif
