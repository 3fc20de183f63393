#include "format/segments.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/grow.h"
#include "format/npy.h"
#include "format/paths.h"

static lockstep_status open_source(const char *directory, const char *file, ls_source **out_source, lockstep_error *error) {
    static const char member[4] = "PK\3\4", end[4] = "PK\5\6"; /* how a zip begins, and how an empty one does */
    char path[PATH_MAX], head[sizeof member];
    ls_source *source;
    int length = snprintf(path, sizeof path, "%s/%s", directory, file);
    if (length < 0 || (size_t)length >= sizeof path)
        return ls_fail(error, LOCKSTEP_NOT_FOUND, "%s: the file name '%.100s' in it is too long", directory, file);
    if (!ls_path_stays_inside(file) || !ls_path_resolves_inside(directory, path))
        return ls_fail(error, LOCKSTEP_MALFORMED, "%s: the path leads out of the trace", path);
    LS_TRY(ls_source_open_file(path, &source, error));
    lockstep_status status = ls_source_read_at(source, 0, head, sizeof head, error);
    if (status == LOCKSTEP_OK && memcmp(head, member, sizeof head) != 0 && memcmp(head, end, sizeof head) != 0)
        status = ls_fail_at(error, LOCKSTEP_MALFORMED, path, 0, "found no local zip header, expected 'PK' 03 04");
    if (status != LOCKSTEP_OK)
        ls_source_close(source);
    else
        *out_source = source;
    return status;
}

lockstep_status ls_segments_open(ls_segments *s, const char *directory, const char *file, ls_segment **out_segment, lockstep_error *error) {
    uint64_t *number = ls_map_at(&s->numbers, file, strlen(file));
    void *items = s->items;
    ls_source *source;
    if (number != NULL && *number > 0)
        return *out_segment = &s->items[*number - 1], LOCKSTEP_OK;
    if (number == NULL || !ls_grow(&items, s->count, &s->capacity, sizeof *s->items))
        return ls_fail(error, LOCKSTEP_NO_MEMORY, "%s: out of memory", directory);
    s->items = items;
    LS_TRY(open_source(directory, file, &source, error));
    s->items[s->count] = (ls_segment){.source = source};
    *number = ++s->count;
    *out_segment = &s->items[s->count - 1];
    return LOCKSTEP_OK;
}

lockstep_status ls_segment_claim(ls_segment *segment, const ls_extent *extent, const char *log, uint64_t line_at, lockstep_error *error) {
    const char *file = segment->source->name;
    uint64_t end;
    if (extent->at < segment->end)
        return ls_fail_at(error, LOCKSTEP_MALFORMED, log, line_at, "found values at offset %llu of %s, expected them after the previous ones, from %llu on",
                          (unsigned long long)extent->at, file, (unsigned long long)segment->end);
    if (!ls_add_u64(extent->at, extent->bytes, &end))
        return ls_fail_at(error, LOCKSTEP_MALFORMED, log, line_at, "found %llu bytes at offset %llu of %s, whose end overflows 64 bits",
                          (unsigned long long)extent->bytes, (unsigned long long)extent->at, file);
    if (end > segment->source->size)
        return ls_fail_at(error, LOCKSTEP_TRUNCATED, file, extent->at, "found %llu bytes left, expected %llu",
                          (unsigned long long)(extent->at < segment->source->size ? segment->source->size - extent->at : 0),
                          (unsigned long long)extent->bytes);
    segment->end = end;
    return LOCKSTEP_OK;
}

lockstep_status ls_segment_read(const ls_segment *segment, const ls_extent *extent, const char *name, ls_arena *arena, ls_tensor *out_tensor,
                                lockstep_error *error) {
    ls_tensor tensor = {0};
    LS_TRY(ls_npy_read_at(segment->source, extent->at, extent->bytes, name, arena, &tensor, error));
    const uint64_t found = tensor.offset - extent->at + tensor.bytes;
    if (found != extent->bytes)
        return ls_fail_at(error, LOCKSTEP_MALFORMED, segment->source->name, extent->at, "found an NPY of %llu bytes, expected %llu as in trace.jsonl",
                          (unsigned long long)found, (unsigned long long)extent->bytes);
    *out_tensor = tensor;
    return LOCKSTEP_OK;
}

void ls_segments_done(ls_segments *s, bool close) {
    for (size_t i = 0; i < s->count && close; i++)
        ls_source_close(s->items[i].source);
    free(s->items);
    ls_map_done(&s->numbers);
    *s = (ls_segments){0};
}
