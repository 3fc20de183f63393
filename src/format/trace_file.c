#include <stdio.h>
#include <string.h>

#include "base/hash.h"
#include "format/formats.h"
#include "tensor/tensor.h"

bool ls_archive_trace_log(const lockstep_archive *archive, const char **out_bytes, uint64_t *out_size) {
    const ls_meta *meta = ls_archive_meta(archive, LS_TRACE_LOG);
    size_t index = ls_archive_find(archive, LS_TRACE_LOG);
    ls_view view;
    if (meta != NULL && meta->kind == LS_META_TEXT) {
        *out_bytes = meta->as.text.bytes;
        *out_size = meta->as.text.length;
        return true;
    }
    if (index == SIZE_MAX || archive->tensors[index].dtype != LOCKSTEP_U8 ||
        ls_archive_view(archive, index, &view, NULL) != LOCKSTEP_OK || !ls_view_is_contiguous(&view))
        return false;
    *out_bytes = (const char *)view.data;
    *out_size = ls_view_elements(&view);
    return true;
}

/* A name that happens to equal a numbered one is rejected later as a duplicate. */
const char *ls_trace_tensor_name(ls_arena *arena, ls_names *seen, const char *name) {
    size_t *count = ls_names_index(seen, name);
    if (count != NULL)
        return ls_arena_printf(arena, "%s#%zu", name, ++*count);
    return ls_names_add(seen, name, 1) == LS_NAMES_ADDED ? name : NULL;
}

void ls_short_name(const char *name, char out[LS_SHORT_NAME]) {
    enum { END = LS_SHORT_NAME - 18 };
    size_t length = strlen(name);
    if (length < LS_SHORT_NAME)
        memcpy(out, name, length + 1);
    else
        snprintf(out, LS_SHORT_NAME, "%016llx~%s", (unsigned long long)XXH3_64bits(name, length), name + length - END);
}
