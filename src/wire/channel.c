#include "wire/channel.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { UNTRIED, CLOSED, OPEN }; /* of this process's connection */

static _Atomic int connection = UNTRIED;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int channel_socket = -1; /* hangs up when the recorder is gone */
static dev_t socket_device;     /* identity of the socket: a program may close unknown descriptors */
static ino_t socket_inode;      /* and open something else under the same number */
static ls_ring *ring;
static uint64_t written; /* private; the recorder sees ring->written */
static _Atomic long next_pass; /* of this connection */
static _Atomic unsigned connections; /* made so far by this process and its ancestors */
static int cancel_state; /* of the thread that is writing a frame, before the frame */

/* ------------------------------------------------------------------ bells */

void ls_bell_wait(ls_bell *bell, uint32_t seen, int milliseconds) {
    struct timespec time = {milliseconds / 1000, milliseconds % 1000 * 1000000L};
    atomic_fetch_add(&bell->sleepers, 1);
    syscall(SYS_futex, &bell->count, FUTEX_WAIT, seen, &time, NULL, 0);
    atomic_fetch_sub(&bell->sleepers, 1);
}

void ls_bell_ring(ls_bell *bell) {
    atomic_fetch_add(&bell->count, 1);
    if (atomic_load(&bell->sleepers) != 0)
        syscall(SYS_futex, &bell->count, FUTEX_WAKE, 1, NULL, NULL, 0);
}

ls_ring *ls_ring_map(int descriptor, uint64_t size) {
    size_t once = LS_RING_PAGE + (size_t)size;
    uint8_t *base = mmap(NULL, once + (size_t)size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (base == MAP_FAILED)
        return NULL;
    int access = PROT_READ | PROT_WRITE, flags = MAP_SHARED | MAP_FIXED;
    if (mmap(base, once, access, flags, descriptor, 0) == MAP_FAILED ||
        mmap(base + once, (size_t)size, access, flags, descriptor, LS_RING_PAGE) == MAP_FAILED) {
        munmap(base, once + (size_t)size);
        return NULL;
    }
    return (ls_ring *)base;
}

/* --------------------------------------------------------------- messages */

typedef union control {
    struct cmsghdr header;
    char bytes[CMSG_SPACE(sizeof(int))];
} control;

bool ls_socket_send(int s, char byte, int descriptor) {
    control c = {0};
    struct iovec part = {&byte, 1};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    if (descriptor >= 0) {
        message.msg_control = &c;
        message.msg_controllen = sizeof c;
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(sizeof descriptor);
        memcpy(CMSG_DATA(header), &descriptor, sizeof descriptor);
    }
    return sendmsg(s, &message, MSG_NOSIGNAL | MSG_DONTWAIT) == 1;
}

/* Waits for such a message; false if the other side is gone. *out_descriptor is -1 if there is none. */
static bool socket_receive(int s, char *out_byte, int *out_descriptor) {
    control c;
    struct iovec part = {out_byte, 1};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = &c, .msg_controllen = sizeof c};
    ssize_t n;
    do
        n = recvmsg(s, &message, MSG_CMSG_CLOEXEC);
    while (n < 0 && errno == EINTR);
    *out_descriptor = -1;
    struct cmsghdr *header = n == 1 ? CMSG_FIRSTHDR(&message) : NULL;
    if (header != NULL && header->cmsg_type == SCM_RIGHTS)
        memcpy(out_descriptor, CMSG_DATA(header), sizeof *out_descriptor);
    return n == 1;
}

/* ------------------------------------------------------------- connecting */

static int connect_to(const char *name) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t length = strlen(name);
    if (name[0] != '@' || length >= sizeof address.sun_path)
        return -1;
    memcpy(address.sun_path + 1, name + 1, length - 1); /* abstract, so no file is left behind */
    int s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (s < 0)
        return -1;
    /* Programs may rely on low descriptor numbers. */
    int high = fcntl(s, F_DUPFD_CLOEXEC, 200);
    if (high >= 0) {
        close(s);
        s = high;
    }
    struct timeval patience = {.tv_sec = 10};
    setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
    if (connect(s, (struct sockaddr *)&address, size) != 0) {
        close(s);
        return -1;
    }
    return s;
}

static bool socket_is_ours(void) {
    struct stat info;
    return channel_socket >= 0 && fstat(channel_socket, &info) == 0 && info.st_dev == socket_device && info.st_ino == socket_inode;
}

static void close_socket(void) {
    if (socket_is_ours())
        close(channel_socket);
    channel_socket = -1;
}

/* Reports to the recorder that this process is not recorded, without opening a descriptor, because there may be none
 * left. */
static void report_missed(const char *name) {
    int pid, missed, end = 0;
    char path[64], target[64] = "";
    struct stat info;
    if (sscanf(name, "@lockstep-%d-%d-%n", &pid, &missed, &end) != 2 || end == 0)
        return;
    snprintf(path, sizeof path, "/proc/%d/fd/%d", pid, missed);
    static const char wanted[] = "/memfd:" LS_MISSED_NAME " ";
    if (readlink(path, target, sizeof target - 1) > 0 && strncmp(target, wanted, sizeof wanted - 1) == 0 && stat(path, &info) == 0 &&
        truncate(path, info.st_size + 1) != 0)
        return; /* another user's process, which the recorder has noticed by itself */
}

/* The recorder greets with the ring's descriptor, or without one if it can't record this process. */
static bool connect_ring(const char *name) {
    int s = connect_to(name), descriptor = -1;
    char greeting;
    struct stat info;
    bool greeted = s >= 0 && fstat(s, &info) == 0 && socket_receive(s, &greeting, &descriptor);
    if (greeted) {
        socket_device = info.st_dev;
        socket_inode = info.st_ino;
    }
    bool refused = greeted && descriptor < 0;
    if (descriptor >= 0 && fstat(descriptor, &info) == 0 && info.st_size > LS_RING_PAGE)
        ring = ls_ring_map(descriptor, (uint64_t)info.st_size - LS_RING_PAGE);
    if (descriptor >= 0)
        close(descriptor);
    if (ring == NULL) {
        if (s >= 0)
            close(s);
        if (!refused)
            report_missed(name);
        return false;
    }
    channel_socket = s;
    written = 0;
    atomic_store(&next_pass, 0);
    atomic_fetch_add(&connections, 1);
    return true;
}

/* A forked child shares the ring's memory, but must not write to it. */
static void after_fork(void) {
    close_socket();
    ring = NULL;
    pthread_mutex_init(&lock, NULL);
    atomic_store(&connection, UNTRIED);
}

static void open_once(void) {
    const char *name = getenv(LS_CHANNEL_ENV);
    int saved = errno;
    if (name == NULL || *name == '\0') {
        atomic_store(&connection, CLOSED);
        return;
    }
    static bool registered; /* guarded by the lock */
    if (!registered)
        pthread_atfork(NULL, NULL, after_fork);
    registered = true;
    atomic_store(&connection, connect_ring(name) ? OPEN : CLOSED);
    errno = saved;
}

bool ls_channel_open(void) {
    int now = atomic_load_explicit(&connection, memory_order_acquire);
    if (now == UNTRIED) {
        int held = ls_cancel_hold();
        pthread_mutex_lock(&lock);
        if (atomic_load(&connection) == UNTRIED)
            open_once();
        now = atomic_load(&connection);
        pthread_mutex_unlock(&lock);
        ls_cancel_release(held);
    }
    return now == OPEN;
}

void ls_channel_close(void) {
    pthread_mutex_lock(&lock);
    close_socket();
    if (ring != NULL)
        munmap(ring, LS_RING_PAGE + 2 * (size_t)ring->size);
    ring = NULL;
    atomic_store(&connection, UNTRIED);
    pthread_mutex_unlock(&lock);
}

unsigned ls_channel_connection(void) { return atomic_load(&connections); }

long ls_channel_next_pass(void) { return atomic_fetch_add(&next_pass, 1); }

bool ls_channel_option(const char *key, char *out, size_t capacity) {
    if (!ls_channel_open() || capacity == 0)
        return false;
    size_t length = strlen(key);
    const char *line = ring->options, *end = ring->options + LS_OPTIONS_MAX;
    while (line < end && *line != '\0') {
        const char *stop = memchr(line, '\n', (size_t)(end - line));
        if (stop == NULL)
            return false;
        if ((size_t)(stop - line) > length && memcmp(line, key, length) == 0 && line[length] == '=') {
            size_t size = (size_t)(stop - line) - length - 1;
            size = size < capacity ? size : capacity - 1;
            memcpy(out, line + length + 1, size);
            out[size] = '\0';
            return true;
        }
        line = stop + 1;
    }
    return false;
}

/* ---------------------------------------------------------------- writing */

/* Marks the ring to show that frames are missing. The recorder reads the mark if it is still running. */
static void give_up(void) {
    if (ring != NULL)
        atomic_store(&ring->lost, 1);
    atomic_store(&connection, CLOSED);
}

static bool recorder_is_gone(void) {
    if (!socket_is_ours())
        return true; /* the program closed it, so the recorder considers this process gone */
    struct pollfd poller = {.fd = channel_socket, .events = POLLIN};
    return poll(&poller, 1, 0) > 0; /* the recorder sends nothing unasked, so this is the hang-up */
}

static void publish(void) {
    atomic_store_explicit(&ring->written, written, memory_order_release);
    ls_bell_ring(&ring->written_bell);
}

/* Waits for free space in the ring; returns 0 once the recorder is gone. */
static uint64_t room(void) {
    for (;;) {
        uint32_t seen = atomic_load(&ring->read_bell.count);
        uint64_t used = written - atomic_load_explicit(&ring->read, memory_order_acquire);
        if (used < ring->size)
            return ring->size - used;
        publish();
        if (recorder_is_gone())
            return 0;
        ls_bell_wait(&ring->read_bell, seen, 100);
    }
}

bool ls_channel_data(const void *bytes, size_t count) {
    enum { CHUNK = 1 << 20 }; /* the recorder can start reading a large tensor before it is complete */
    const uint8_t *from = bytes;
    while (count > 0 && atomic_load(&connection) == OPEN) {
        uint64_t n = room();
        if (n == 0) {
            give_up();
            break;
        }
        n = n > CHUNK ? CHUNK : n;
        n = n > count ? count : n;
        memcpy(ls_ring_bytes(ring) + written % ring->size, from, (size_t)n);
        written += n;
        from += n;
        count -= (size_t)n;
        if (n == CHUNK)
            publish();
    }
    return count == 0;
}

bool ls_channel_begin(const char *json, size_t json_bytes, uint64_t data_bytes) {
    int held = ls_cancel_hold();
    pthread_mutex_lock(&lock);
    cancel_state = held;
    if (ring != NULL && atomic_load_explicit(&ring->closed, memory_order_relaxed) != 0)
        give_up();
    ls_frame_header header = {LS_FRAME_MAGIC, (uint32_t)json_bytes, data_bytes};
    return ls_channel_data(&header, sizeof header) && ls_channel_data(json, json_bytes);
}

void ls_channel_end(void) {
    if (atomic_load(&connection) == OPEN)
        publish();
    int held = cancel_state;
    pthread_mutex_unlock(&lock);
    ls_cancel_release(held);
}

bool ls_channel_send(const char *json, size_t json_bytes, const void *data, uint64_t data_bytes) {
    if (!ls_channel_open())
        return false;
    bool sent = ls_channel_begin(json, json_bytes, data_bytes) && ls_channel_data(data, (size_t)data_bytes);
    ls_channel_end();
    return sent;
}

/* Maps the answer's bytes; NULL if there is no answer, or it doesn't have `count` bytes. */
static void *receive_answer(size_t count) {
    int descriptor;
    char byte;
    struct stat info;
    struct pollfd poller = {.fd = channel_socket, .events = POLLIN};
    while (socket_is_ours() && poll(&poller, 1, 1000) <= 0) /* comparing may take long; a hang-up wakes, too */
        ;
    if (!socket_is_ours() || !socket_receive(channel_socket, &byte, &descriptor)) {
        give_up();
        return NULL;
    }
    void *mapped = MAP_FAILED;
    if (descriptor >= 0 && fstat(descriptor, &info) == 0 && info.st_size > 0 && (uint64_t)info.st_size == count)
        mapped = mmap(NULL, count, PROT_READ, MAP_PRIVATE, descriptor, 0);
    if (descriptor >= 0)
        close(descriptor);
    return mapped != MAP_FAILED ? mapped : NULL;
}

void *ls_channel_ask(const char *json, size_t json_bytes, size_t answer_bytes) {
    void *answer = NULL;
    if (!ls_channel_open())
        return NULL;
    if (ls_channel_begin(json, json_bytes, 0)) {
        publish();
        answer = receive_answer(answer_bytes);
    }
    ls_channel_end();
    return answer;
}
