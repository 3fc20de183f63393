#include "record/segment_writer.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <libdeflate.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/text.h"
#include "format/npy.h"
#include "format/zip_writer.h"

/* The value that is being written, or was written last. */
typedef struct member {
    ls_zip_entry entry;
    char name[LS_MEMBER_NAME];
    uint64_t npy;            /* offset of its NPY */
    uint64_t bytes, done;    /* of its elements */
    uint64_t written;        /* bytes of the segment, from entry.header on */
    bool patch;              /* its local header was written before its CRC was known */
    size_t directory_before; /* the directory's length without it */
    int failed;              /* errno of the first write that did */
} member;

struct ls_segment_writer {
    int folder, file; /* file: -1 while no segment is open */
    unsigned number;  /* of the segment that is open, or comes next */
    uint64_t limit, zip64_from;
    uint64_t end;     /* of the open segment's last whole member */
    uint64_t count;   /* of its members */
    ls_text directory; /* their records */
    ls_text head;     /* the local and the NPY header of the value, until its first elements come */
    member value;
    int finish_code;  /* errno of the first zip directory that could not be written, or 0 */
};

void ls_segment_name(unsigned number, char out[LS_SEGMENT_NAME]) { snprintf(out, LS_SEGMENT_NAME, "%04u.npz", number); }

ls_segment_writer *ls_segment_writer_new(int folder, uint64_t limit) {
    ls_segment_writer *w = calloc(1, sizeof *w);
    struct rlimit files;
    if (w == NULL)
        return NULL;
    *w = (ls_segment_writer){.folder = folder, .file = -1, .limit = limit, .zip64_from = limit < LS_ZIP64_FROM ? limit : LS_ZIP64_FROM};
    if (getrlimit(RLIMIT_FSIZE, &files) == 0 && files.rlim_cur != RLIM_INFINITY && (uint64_t)files.rlim_cur < limit)
        w->limit = (uint64_t)files.rlim_cur;
    return w;
}

/* ------------------------------------------------------------------ segments */

/* Writes both parts, one after the other, at an offset of the open segment; false with errno. */
static bool write_at(const ls_segment_writer *w, uint64_t offset, const void *first, size_t first_bytes, const void *second, size_t second_bytes) {
    struct iovec parts[2] = {{(void *)(uintptr_t)first, first_bytes}, {(void *)(uintptr_t)second, second_bytes}};
    while (parts[0].iov_len + parts[1].iov_len > 0) {
        ssize_t n = pwritev(w->file, parts, 2, (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        offset += (uint64_t)n;
        for (int i = 0; i < 2; i++) {
            size_t took = (size_t)n < parts[i].iov_len ? (size_t)n : parts[i].iov_len;
            if (took > 0) /* an empty part may have no address */
                parts[i].iov_base = (char *)parts[i].iov_base + took;
            parts[i].iov_len -= took;
            n -= (ssize_t)took;
        }
    }
    return true;
}

static int open_segment(ls_segment_writer *w) {
    char name[LS_SEGMENT_NAME];
    ls_segment_name(w->number, name);
    w->file = openat(w->folder, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    w->end = w->count = 0;
    return w->file >= 0 ? 0 : errno;
}

static int write_directory(ls_segment_writer *w) {
    const uint64_t size = w->directory.length;
    ls_zip_put_end(&w->directory, w->count, w->end, size, w->zip64_from);
    if (w->directory.failed)
        return ENOMEM;
    if (write_at(w, w->end, w->directory.data, w->directory.length, NULL, 0))
        return 0;
    int code = errno;
    return ftruncate(w->file, (off_t)w->end) == 0 ? code : errno; /* no half directory */
}

int ls_segment_finish(ls_segment_writer *w) {
    char name[LS_SEGMENT_NAME];
    if (w->file < 0)
        return w->finish_code;
    int code = w->count > 0 ? write_directory(w) : 0;
    if (close(w->file) != 0 && code == 0)
        code = errno; /* a network file system may report a failed write only now */
    ls_segment_name(w->number, name);
    if (w->count == 0)
        unlinkat(w->folder, name, 0);
    else
        w->number++;
    ls_text_clear(&w->directory);
    w->file = -1;
    w->finish_code = w->finish_code != 0 ? w->finish_code : code;
    return w->finish_code;
}

void ls_segment_writer_free(ls_segment_writer *w) {
    if (w == NULL)
        return;
    if (w->file >= 0)
        close(w->file);
    ls_text_done(&w->directory);
    ls_text_done(&w->head);
    free(w);
}

/* -------------------------------------------------------------------- values */

/* "000012-blk.0.ffn_out.npy": unique by its number, and a file's name wherever it is unpacked. */
static void name_member(uint64_t i, const char *name, char out[LS_MEMBER_NAME]) {
    size_t at = (size_t)snprintf(out, LS_MEMBER_NAME, "%06llu-", (unsigned long long)i);
    for (; *name != '\0' && at < LS_MEMBER_NAME - 5; name++)
        out[at++] = isalnum((unsigned char)*name) || strchr("._-", *name) != NULL ? *name : '_';
    strcpy(out + at, ".npy");
}

/* A segment that has room for the value and its record, or has nothing else. */
static int find_room(ls_segment_writer *w, const member *m) {
    const uint64_t headers = 2 * (strlen(m->name) + LS_ZIP_RECORD_EXTRA) + 2 * LS_NPY_ALIGNMENT;
    const uint64_t others = w->end + w->directory.length + headers + LS_ZIP_END_SIZE;
    const bool fits = others <= w->limit && m->entry.size <= w->limit - others && w->count < LS_ZIP_MEMBERS;
    if (w->file >= 0 && w->count > 0 && !fits)
        ls_segment_finish(w); /* keeps the errno of a failure */
    return w->file >= 0 ? 0 : open_segment(w);
}

void ls_segment_begin(ls_segment_writer *w, const ls_stored_values *values) {
    char npy[LS_NPY_HEADER_MAX];
    const size_t header = ls_npy_header(values->dtype, values->rank, values->shape, npy, sizeof npy);
    member *m = &w->value;
    *m = (member){.bytes = values->bytes};
    name_member(values->i, values->name, m->name);
    m->entry = (ls_zip_entry){.name = m->name, .size = header + values->bytes};
    if (header == 0 || m->entry.size < values->bytes)
        m->failed = EOVERFLOW;
    if (m->failed == 0)
        m->failed = find_room(w, m);
    if (m->failed != 0)
        return;
    m->entry.header = w->end;
    m->entry.crc = libdeflate_crc32(0, npy, header);
    m->directory_before = w->directory.length;
    ls_text_clear(&w->head);
    ls_zip_put_local(&w->head, &m->entry, w->zip64_from, LS_NPY_ALIGNMENT);
    m->npy = w->end + w->head.length;
    ls_text_append(&w->head, npy, header);
    if (w->head.failed)
        m->failed = ENOMEM;
}

static void set_crc(const member *m, uint8_t *out) {
    for (int i = 0; i < 4; i++)
        out[i] = (uint8_t)(m->entry.crc >> 8 * i);
}

/* A value that comes in one piece takes one call: its header has the CRC already. */
void ls_segment_put(ls_segment_writer *w, const void *bytes, size_t count) {
    member *m = &w->value;
    if (m->failed != 0)
        return;
    m->done += count;
    m->entry.crc = libdeflate_crc32(m->entry.crc, bytes, count);
    if (w->head.length > 0 && m->done == m->bytes)
        set_crc(m, (uint8_t *)w->head.data + LS_ZIP_CRC_AT);
    else if (w->head.length > 0)
        m->patch = true;
    if (!write_at(w, w->end + m->written, w->head.data, w->head.length, bytes, count))
        m->failed = errno;
    m->written += w->head.length + count;
    ls_text_clear(&w->head);
}

/* Removes whatever follows the last complete member. */
static void cut_back(const ls_segment_writer *w) {
    if (w->file >= 0 && ftruncate(w->file, (off_t)w->end) != 0)
        return; /* the next value is written over it, and lines name whole values only */
}

int ls_segment_end(ls_segment_writer *w, bool whole, char out_file[LS_SEGMENT_NAME], ls_place *out_place) {
    member *m = &w->value;
    uint8_t crc[4];
    if (whole && m->bytes == 0)
        ls_segment_put(w, "", 0);
    if (whole && m->failed == 0 && m->done != m->bytes)
        m->failed = EIO; /* fewer bytes came than were announced */
    whole = whole && m->failed == 0;
    set_crc(m, crc);
    if (whole && m->patch && !write_at(w, m->entry.header + LS_ZIP_CRC_AT, crc, sizeof crc, NULL, 0))
        m->failed = errno;
    if (whole && m->failed == 0)
        ls_zip_put_record(&w->directory, &m->entry, w->zip64_from);
    if (!whole || m->failed != 0) {
        cut_back(w);
        return m->failed;
    }
    w->end += m->written;
    w->count++;
    ls_segment_name(w->number, out_file);
    memcpy(out_place->member, m->name, sizeof m->name);
    out_place->at = m->npy;
    out_place->bytes = m->entry.size;
    return 0;
}

void ls_segment_undo(ls_segment_writer *w) {
    w->end = w->value.entry.header;
    w->count--;
    w->directory.length = w->value.directory_before;
    cut_back(w);
}
