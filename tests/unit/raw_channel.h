/* The observed process's end of the channel, by hand: for tests that break its
 * rules. Shared by the unit tests and the fuzz target of frames. */
#ifndef LS_TESTS_RAW_CHANNEL_H
#define LS_TESTS_RAW_CHANNEL_H

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "record/recorder.h"

typedef struct raw_channel {
    int socket;
    ls_ring *ring;
    uint64_t size;
} raw_channel;

/* False when the receiver didn't hand out a ring. */
static inline bool raw_open(const char *name, raw_channel *out) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t length = strlen(name);
    memcpy(address.sun_path + 1, name + 1, length - 1);
    out->socket = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(out->socket, (struct sockaddr *)&address, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length)) != 0)
        return false;
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control;
    char greeting;
    struct iovec part = {&greeting, 1};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
    ssize_t n;
    do
        n = recvmsg(out->socket, &message, 0);
    while (n < 0 && errno == EINTR); /* a fuzzer's timer */
    if (n != 1 || CMSG_FIRSTHDR(&message) == NULL)
        return false;
    int descriptor;
    struct stat info;
    memcpy(&descriptor, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof descriptor);
    fstat(descriptor, &info);
    out->size = (uint64_t)info.st_size - LS_RING_PAGE;
    out->ring = ls_ring_map(descriptor, out->size);
    close(descriptor);
    return out->ring != NULL;
}

/* Waits for the recorder to read what a small ring can't hold; gives up when it
 * has hung up. */
static inline void raw_write(raw_channel *raw, const void *bytes, size_t count) {
    const uint8_t *from = bytes;
    uint64_t written = atomic_load(&raw->ring->written);
    while (count > 0) {
        uint64_t used = written - atomic_load(&raw->ring->read);
        char byte;
        if (used >= raw->size) {
            if (recv(raw->socket, &byte, 1, MSG_DONTWAIT) == 0)
                return;
            ls_bell_wait(&raw->ring->read_bell, atomic_load(&raw->ring->read_bell.count), 1);
            continue;
        }
        size_t n = raw->size - used < count ? (size_t)(raw->size - used) : count;
        memcpy(ls_ring_bytes(raw->ring) + written % raw->size, from, n);
        written += n, from += n, count -= n;
        atomic_store(&raw->ring->written, written);
        ls_bell_ring(&raw->ring->written_bell);
    }
}

static inline void raw_frame(raw_channel *raw, const char *json, const void *data, uint64_t data_bytes) {
    ls_frame_header header = {LS_FRAME_MAGIC, (uint32_t)strlen(json), data_bytes};
    raw_write(raw, &header, sizeof header);
    raw_write(raw, json, strlen(json));
    raw_write(raw, data, (size_t)data_bytes);
}

static inline void raw_close(raw_channel *raw) {
    close(raw->socket);
    ls_bell_ring(&raw->ring->written_bell); /* it need not wait to see that */
    munmap(raw->ring, LS_RING_PAGE + 2 * (size_t)raw->size);
}

#endif
