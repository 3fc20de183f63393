/* Measures how fast this machine reads files that are in the page cache, as a yardstick for
 * comparisons. Sums all 8-byte words, so that every byte is used.
 *
 *   read_bandwidth map|populate|pread FILE... : prints bytes per second
 *
 * LOCKSTEP_THREADS threads (default: all cores) take chunks of all files in turn. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/pool.h"

enum { CHUNK = 1 << 22, PIECE = 1 << 18, MAX_FILES = 8, MAX_THREADS = 64 };

typedef struct input {
    int fd;
    size_t size;
    const uint8_t *bytes;
} input;

typedef struct job {
    input files[MAX_FILES];
    int count;
    const char *way;
    uint8_t *buffers[MAX_THREADS];
    uint64_t sums[MAX_THREADS];
} job;

static uint64_t add(const uint8_t *bytes, size_t size) {
    uint64_t lanes[8] = {0}, words[8];
    for (size_t i = 0; i + sizeof words <= size; i += sizeof words) {
        memcpy(words, bytes + i, sizeof words);
        for (int k = 0; k < 8; k++)
            lanes[k] += words[k];
    }
    return lanes[0] + lanes[1] + lanes[2] + lanes[3] + lanes[4] + lanes[5] + lanes[6] + lanes[7];
}

static void read_chunk(void *context, uint64_t index, int worker) {
    job *j = context;
    const input *file = &j->files[index % (uint64_t)j->count];
    size_t first = index / (uint64_t)j->count * CHUNK;
    if (first >= file->size)
        return;
    size_t size = file->size - first < CHUNK ? file->size - first : CHUNK;
    if (strcmp(j->way, "pread") == 0) {
        for (size_t at = 0; at < size; at += PIECE) {
            ssize_t n = pread(file->fd, j->buffers[worker], size - at < PIECE ? size - at : PIECE, (off_t)(first + at));
            if (n > 0)
                j->sums[worker] += add(j->buffers[worker], (size_t)n);
        }
        return;
    }
#ifdef MADV_POPULATE_READ
    if (strcmp(j->way, "populate") == 0)
        madvise((void *)(uintptr_t)(file->bytes + first), size, MADV_POPULATE_READ);
#endif
    j->sums[worker] += add(file->bytes + first, size);
}

static int open_input(input *file, const char *path) {
    struct stat info;
    file->fd = open(path, O_RDONLY);
    if (file->fd < 0 || fstat(file->fd, &info) != 0)
        return -1;
    file->size = (size_t)info.st_size;
    file->bytes = mmap(NULL, file->size, PROT_READ, MAP_PRIVATE, file->fd, 0);
    return file->bytes == MAP_FAILED ? -1 : 0;
}

int main(int argc, char **argv) {
    job j = {.count = argc - 2, .way = argc > 1 ? argv[1] : ""};
    size_t largest = 0, total = 0;
    struct timespec from, to;
    if (argc < 3 || j.count > MAX_FILES)
        return 2;
    clock_gettime(CLOCK_MONOTONIC, &from);
    for (int i = 0; i < j.count; i++) {
        if (open_input(&j.files[i], argv[2 + i]) != 0) {
            perror(argv[2 + i]);
            return 2;
        }
        total += j.files[i].size;
        largest = j.files[i].size > largest ? j.files[i].size : largest;
    }
    for (int i = 0; i < ls_pool_threads(); i++)
        j.buffers[i] = aligned_alloc(64, PIECE);
    ls_pool_run((largest / CHUNK + 1) * (uint64_t)j.count, read_chunk, &j);
    clock_gettime(CLOCK_MONOTONIC, &to);
    double seconds = (double)(to.tv_sec - from.tv_sec) + 1e-9 * (double)(to.tv_nsec - from.tv_nsec);
    uint64_t sum = 0;
    for (int i = 0; i < MAX_THREADS; i++) {
        sum += j.sums[i];
        free(j.buffers[i]);
    }
    printf("%.0f %016llx\n", (double)total / seconds, (unsigned long long)sum);
    return 0;
}
