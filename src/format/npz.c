/* NPZ: a zip of NAME.npy members, stored (savez) or deflated (savez_compressed).
 * A stored member is read in place; for a deflated one, only the NPY header is inflated
 * until its values are needed. A member that isn't .npy is listed as opaque bytes. */
#include <string.h>

#include "format/inflated_members.h"
#include "format/npy.h"
#include "format/formats.h"
#include "format/paths.h"

static bool probe(const char *path, bool is_directory, const uint8_t *head, size_t size) {
    return !is_directory &&
           ((size >= 4 && (memcmp(head, "PK\3\4", 4) == 0 || memcmp(head, "PK\5\6", 4) == 0)) ||
            ls_path_has_suffix(path, ".npz"));
}

static lockstep_status add_bytes(lockstep_archive *archive, ls_source *source,
                                 const ls_zip_member *m, lockstep_error *error) {
    ls_tensor t = {.name = m->name,
                   .file_dtype = "bytes",
                   .dtype = LOCKSTEP_OPAQUE,
                   .rank = 1,
                   .shape = {m->size},
                   .source = source,
                   .member = m};
    LS_TRY(ls_tensor_measure(&t, 1, 8, m->record, error));
    return ls_archive_add_tensor(archive, &t, m->record, error);
}

static lockstep_status add_array(lockstep_archive *archive, ls_source *source,
                                 const ls_zip_member *m, lockstep_error *error) {
    ls_arena *arena = &archive->arena;
    ls_tensor t = {.name = ls_arena_copy(arena, m->name, strlen(m->name) - strlen(".npy"))};
    ls_npy_place place = {source, source->name, m->data, m->size};
    if (m->deflated) { /* offsets are relative to the inflated member */
        place.file = ls_arena_printf(arena, "%s(%s)", source->name, m->name);
        place.origin = 0;
    }
    uint8_t header[LS_NPY_HEADER_LIMIT];
    size_t size = m->size < LS_NPY_FIRST_READ ? (size_t)m->size : LS_NPY_FIRST_READ, end = 0;
    if (t.name == NULL || place.file == NULL)
        return ls_fail_memory(archive, error);
    LS_TRY(ls_zip_read(source, m, header, size, error));
    LS_TRY(ls_npy_header_end(header, size, &place, &end, error));
    if (end > size)
        LS_TRY(ls_zip_read(source, m, header, end, error));
    LS_TRY(ls_npy_parse(header, end, &place, arena, &t, error));
    t.member = m;
    return ls_archive_add_tensor(archive, &t, m->record, error);
}

static lockstep_status open_npz(lockstep_archive *archive, ls_source *source,
                                lockstep_error *error) {
    archive->is_ordered = true;
    ls_zip_member *members = NULL;
    size_t count = 0;
    LS_TRY(ls_zip_list(source, &archive->arena, &members, &count, error));
    archive->inflated = ls_inflated_new(count);
    if (archive->inflated == NULL)
        return ls_fail_memory(archive, error);
    for (size_t i = 0; i < count; i++) {
        const ls_zip_member *m = &members[i];
        if (m->size == 0 && ls_path_has_suffix(m->name, "/"))
            continue; /* a folder */
        if (ls_path_has_suffix(m->name, ".npy"))
            LS_TRY(add_array(archive, source, m, error));
        else
            LS_TRY(add_bytes(archive, source, m, error));
    }
    return LOCKSTEP_OK;
}

const ls_format ls_format_npz = {"npz", "NumPy arrays in a zip (.npz)", probe, open_npz};
