#include "format/inflated_members.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <zlib.h>

enum { CHUNK = 256 * 1024, MEMORY_LIMIT = 1024 * 1024 };

typedef struct unpacked {
    uint8_t *bytes; /* of a deflated member; NULL until it is used */
    bool mapped;    /* `bytes` is a mapped temporary file */
    size_t size;
    bool checked;   /* the CRC of a stored member was verified */
} unpacked;

struct ls_inflated {
    pthread_mutex_t lock;
    size_t count;
    unpacked items[];
};

struct ls_inflated *ls_inflated_new(size_t count) {
    struct ls_inflated *inflated = NULL;
    if (count < SIZE_MAX / sizeof(unpacked) / 2)
        inflated = calloc(1, sizeof *inflated + count * sizeof(unpacked));
    if (inflated != NULL) {
        pthread_mutex_init(&inflated->lock, NULL);
        inflated->count = count;
    }
    return inflated;
}

static void drop(unpacked *item) {
    if (item->mapped)
        munmap(item->bytes, item->size);
    else
        free(item->bytes);
    *item = (unpacked){.checked = item->checked};
}

void ls_inflated_free(struct ls_inflated *inflated) {
    if (inflated == NULL)
        return;
    for (size_t i = 0; i < inflated->count; i++)
        drop(&inflated->items[i]);
    pthread_mutex_destroy(&inflated->lock);
    free(inflated);
}

void ls_inflated_release(struct ls_inflated *inflated, const ls_zip_member *member) {
    pthread_mutex_lock(&inflated->lock);
    drop(&inflated->items[member->index]);
    pthread_mutex_unlock(&inflated->lock);
}

/* --- a stream of inflated bytes */

typedef struct stream {
    z_stream z;
    ls_source *source;
    const ls_zip_member *member;
    uint64_t at;   /* compressed bytes handed to zlib */
    uint64_t made; /* inflated bytes */
    bool ended;    /* the deflate stream has ended */
    uint8_t *input;
} stream;

static lockstep_status stream_open(stream *s, ls_source *source, const ls_zip_member *member,
                                   lockstep_error *error) {
    *s = (stream){.source = source, .member = member, .input = malloc(CHUNK)};
    if (s->input == NULL || inflateInit2(&s->z, -MAX_WBITS) != Z_OK) { /* raw deflate */
        free(s->input);
        return ls_fail(error, LOCKSTEP_NO_MEMORY, "%s: out of memory", source->name);
    }
    return LOCKSTEP_OK;
}

static void stream_close(stream *s) {
    inflateEnd(&s->z);
    free(s->input);
}

static lockstep_status fail_stream(const stream *s, lockstep_error *error, const char *why) {
    return ls_fail_at(error, LOCKSTEP_MALFORMED, s->source->name,
                      s->member->data + s->at - s->z.avail_in,
                      "zip member '%s': %s after %llu of %llu inflated bytes", s->member->name, why,
                      (unsigned long long)s->made, (unsigned long long)s->member->size);
}

/* Reads `length` bytes, or fewer at the end of the stream. */
static lockstep_status stream_read(stream *s, uint8_t *out, size_t length, size_t *out_length,
                                   lockstep_error *error) {
    s->z.next_out = out;
    s->z.avail_out = (uInt)length;
    while (s->z.avail_out > 0 && !s->ended) {
        if (s->z.avail_in == 0) {
            uint64_t left = s->member->packed - s->at;
            size_t n = left < CHUNK ? (size_t)left : CHUNK;
            if (n == 0)
                return fail_stream(s, error, "the compressed data ends early,");
            LS_TRY(ls_source_read_at(s->source, s->member->data + s->at, s->input, n, error));
            s->at += n;
            s->z.next_in = s->input;
            s->z.avail_in = (uInt)n;
        }
        int result = inflate(&s->z, Z_NO_FLUSH);
        s->ended = result == Z_STREAM_END;
        if (result == Z_MEM_ERROR)
            return ls_fail(error, LOCKSTEP_NO_MEMORY, "%s: out of memory", s->source->name);
        if (result != Z_OK && result != Z_STREAM_END && result != Z_BUF_ERROR)
            return fail_stream(s, error, s->z.msg != NULL ? s->z.msg : "the compressed data is corrupt,");
    }
    *out_length = length - s->z.avail_out;
    s->made += *out_length;
    return LOCKSTEP_OK;
}

lockstep_status ls_zip_read(ls_source *source, const ls_zip_member *member, void *out,
                            size_t length, lockstep_error *error) {
    if (!member->deflated)
        return ls_source_read_at(source, member->data, out, length, error);
    stream s;
    size_t made = 0;
    LS_TRY(stream_open(&s, source, member, error));
    lockstep_status status = stream_read(&s, out, length, &made, error);
    if (status == LOCKSTEP_OK && made != length)
        status = fail_stream(&s, error, "the compressed data ends early,");
    stream_close(&s);
    return status;
}

/* --- whole members */

static lockstep_status check_crc(ls_source *source, const ls_zip_member *member, uint32_t crc,
                                 lockstep_error *error) {
    if (crc != member->crc && !member->crc_left_out)
        return ls_fail_at(error, LOCKSTEP_MALFORMED, source->name, member->record + 16,
                          "zip member '%s': found data with CRC-32 %08x, expected %08x", member->name,
                          crc, member->crc);
    return LOCKSTEP_OK;
}

static uint32_t crc_of(uint32_t crc, const uint8_t *bytes, uint64_t size) {
    for (uint64_t at = 0; at < size;) {
        uInt n = size - at < CHUNK ? (uInt)(size - at) : CHUNK;
        crc = (uint32_t)crc32(crc, bytes + at, n);
        at += n;
    }
    return crc;
}

/* Opens a file without a name, which disappears with its last mapping. */
static int open_temporary(void) {
    const char *folder = getenv("TMPDIR");
    if (folder == NULL || *folder == '\0')
        folder = "/tmp";
    int fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC | O_EXCL, 0600);
    char path[4096];
    if (fd < 0 && snprintf(path, sizeof path, "%s/lockstep-XXXXXX", folder) < (int)sizeof path) {
        fd = mkostemp(path, O_CLOEXEC);
        if (fd >= 0)
            unlink(path);
    }
    return fd;
}

static lockstep_status write_fully(int fd, const uint8_t *bytes, size_t length, const char *file,
                                   lockstep_error *error) {
    while (length > 0) {
        ssize_t n = write(fd, bytes, length);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return ls_fail(error, LOCKSTEP_IO, "%s: a temporary file for inflating: %s", file, strerror(errno));
        bytes += n;
        length -= (size_t)n;
    }
    return LOCKSTEP_OK;
}

/* Inflates everything into `to`, or into the file if that is NULL. */
static lockstep_status inflate_to(stream *s, uint8_t *to, int fd, lockstep_error *error) {
    uint64_t size = s->member->size;
    uint32_t crc = 0;
    uint8_t *buffer = to == NULL ? malloc(CHUNK) : NULL;
    uint8_t beyond;
    lockstep_status status = LOCKSTEP_OK;
    if (to == NULL && buffer == NULL)
        return ls_fail(error, LOCKSTEP_NO_MEMORY, "%s: out of memory", s->source->name);
    while (status == LOCKSTEP_OK && s->made < size) {
        uint64_t at = s->made;
        size_t n = size - at < CHUNK ? (size_t)(size - at) : CHUNK, made = 0;
        uint8_t *out = to != NULL ? to + at : buffer;
        status = stream_read(s, out, n, &made, error);
        if (status == LOCKSTEP_OK && made != n)
            status = fail_stream(s, error, "the compressed data ends early,");
        crc = crc_of(crc, out, made);
        if (status == LOCKSTEP_OK && to == NULL)
            status = write_fully(fd, out, n, s->source->name, error);
    }
    size_t more = 0;
    if (status == LOCKSTEP_OK)
        status = stream_read(s, &beyond, 1, &more, error);
    if (status == LOCKSTEP_OK && more > 0)
        status = fail_stream(s, error, "the compressed data continues");
    if (status == LOCKSTEP_OK)
        status = check_crc(s->source, s->member, crc, error);
    free(buffer);
    return status;
}

static lockstep_status unpack_to_file(stream *s, unpacked *out, lockstep_error *error) {
    int fd = open_temporary();
    if (fd < 0)
        return ls_fail(error, LOCKSTEP_IO, "%s: a temporary file for inflating: %s", s->source->name,
                       strerror(errno));
    lockstep_status status = inflate_to(s, NULL, fd, error);
    if (status == LOCKSTEP_OK) {
        void *bytes = mmap(NULL, (size_t)s->member->size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (bytes == MAP_FAILED)
            status = ls_fail(error, LOCKSTEP_IO, "%s: can't map a temporary file: %s", s->source->name,
                             strerror(errno));
        else
            *out = (unpacked){bytes, true, (size_t)s->member->size, true};
    }
    close(fd);
    return status;
}

static lockstep_status unpack_to_memory(stream *s, unpacked *out, lockstep_error *error) {
    size_t size = (size_t)s->member->size;
    uint8_t *bytes = malloc(size + 1);
    if (bytes == NULL)
        return ls_fail(error, LOCKSTEP_NO_MEMORY, "%s: out of memory", s->source->name);
    lockstep_status status = inflate_to(s, bytes, -1, error);
    if (status == LOCKSTEP_OK)
        *out = (unpacked){bytes, false, size, true};
    else
        free(bytes);
    return status;
}

static lockstep_status unpack(ls_source *source, const ls_zip_member *member, unpacked *out,
                              lockstep_error *error) {
    stream s;
    LS_TRY(stream_open(&s, source, member, error));
    lockstep_status status = member->size < MEMORY_LIMIT ? unpack_to_memory(&s, out, error)
                                                         : unpack_to_file(&s, out, error);
    stream_close(&s);
    return status;
}

lockstep_status ls_inflated_bytes(struct ls_inflated *inflated, ls_source *source,
                                  const ls_zip_member *member, const uint8_t **out_bytes,
                                  lockstep_error *error) {
    unpacked *item = &inflated->items[member->index];
    const uint8_t *bytes = NULL;
    lockstep_status status = LOCKSTEP_OK;
    pthread_mutex_lock(&inflated->lock);
    if (member->deflated) {
        if (item->bytes == NULL)
            status = unpack(source, member, item, error);
        bytes = item->bytes;
    } else {
        status = ls_source_bytes(source, &bytes, error);
        if (status == LOCKSTEP_OK) {
            bytes += member->data;
            if (!item->checked)
                status = check_crc(source, member, crc_of(0, bytes, member->size), error);
            item->checked = status == LOCKSTEP_OK;
        }
    }
    pthread_mutex_unlock(&inflated->lock);
    if (status == LOCKSTEP_OK)
        *out_bytes = bytes;
    return status;
}
