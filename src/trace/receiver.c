#include "trace/receiver.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { PROCESSES_MAX = 1024, RING_LEAST = 64 << 10, JSON_FIRST = 64 << 10, JSON_MAX = 64 << 20 };

struct ls_inlet {
    ls_receiver *receiver;
    int descriptor; /* the socket: hangs up when the process is gone */
    int pid;
    unsigned process;
    ls_ring *ring;
    uint64_t size; /* our own copy: the observed can write to the ring's page */
    uint64_t read; /* ours alone */
    uint64_t data_left, taken;
    bool gone;
    char *json;
    size_t json_capacity;
    pthread_t thread;
};

struct ls_receiver {
    char name[64];
    char options[LS_OPTIONS_MAX];
    uint64_t ring_bytes;
    ls_receiver_events events;
    int listener, stop[2];
    pthread_t acceptor;
    pthread_mutex_t lock;
    pthread_cond_t left; /* a process has gone */
    ls_inlet *inlets[PROCESSES_MAX];
    unsigned count, alive, refused;
    _Atomic uint64_t activity;
    _Atomic bool abandon; /* closing: stop waiting for processes that stay */
};

/* -------------------------------------------------------------- one process */

/* A writer that waits for room is woken once there is a good deal of it: a full ring is
 * read until then in any case. */
static void give_back(ls_inlet *in, uint64_t count) {
    in->read += count;
    atomic_store(&in->ring->read, in->read);
    uint64_t used = atomic_load(&in->ring->written) - in->read;
    if (used <= in->size - in->size / 4)
        ls_bell_ring(&in->ring->read_bell);
}

static bool hung_up(ls_inlet *in) {
    struct pollfd poller = {.fd = in->descriptor, .events = POLLIN};
    return poll(&poller, 1, 0) > 0;
}

/* Waits until `count` bytes can be read; false when they will never come. */
static bool available(ls_inlet *in, uint64_t count, uint64_t *out_have) {
    for (;;) {
        uint64_t ready = atomic_load_explicit(&in->ring->written, memory_order_acquire) - in->read;
        if (ready >= count && ready <= in->size)
            return *out_have = ready, true;
        uint32_t seen = atomic_load(&in->ring->written_bell.count);
        bool gone = in->gone || hung_up(in); /* before the last look at `written` */
        uint64_t have = atomic_load_explicit(&in->ring->written, memory_order_acquire) - in->read;
        if (have > in->size)
            return *out_have = have, false; /* a broken or hostile writer */
        if (have >= count)
            return *out_have = have, true;
        if (gone) {
            in->gone = true;
            return *out_have = have, false;
        }
        if (atomic_load(&in->receiver->abandon))
            return *out_have = have, false;
        ls_bell_wait(&in->ring->written_bell, seen, 50);
    }
}

static const uint8_t *at_read(ls_inlet *in) {
    return ls_ring_bytes(in->ring) + in->read % in->size;
}

bool ls_inlet_data(ls_inlet *in, size_t at_least, const uint8_t **out_bytes, size_t *out_count) {
    if (in->taken > 0) {
        uint64_t taken = in->taken;
        in->taken = 0;
        in->data_left -= taken;
        give_back(in, taken);
    }
    if (in->data_left == 0 || at_least > in->data_left)
        return false;
    uint64_t have;
    if (!available(in, at_least > 0 ? at_least : 1, &have))
        return false;
    have = have < in->data_left ? have : in->data_left;
    enum { MOST = 4 << 20 };
    have = have < MOST ? have : MOST;
    in->taken = have;
    *out_bytes = at_read(in);
    *out_count = (size_t)have;
    return true;
}

/* Passes over data that the frame's receiver left. */
static bool skip_data(ls_inlet *in) {
    const uint8_t *bytes;
    size_t count;
    while (in->data_left > in->taken)
        if (!ls_inlet_data(in, 1, &bytes, &count))
            return false;
    uint64_t taken = in->taken;
    in->taken = in->data_left = 0;
    give_back(in, taken);
    return true;
}

/* Into memory that grows with what has arrived, not with what was declared. */
static bool read_json(ls_inlet *in, size_t size) {
    uint64_t have;
    for (size_t done = 0; done < size;) {
        if (!available(in, 1, &have))
            return false;
        size_t n = have < size - done ? (size_t)have : size - done;
        if (done + n > in->json_capacity) {
            size_t capacity = done + n > JSON_FIRST ? (done + n) * 2 : JSON_FIRST;
            char *bigger = realloc(in->json, capacity);
            if (bigger == NULL)
                return false;
            in->json = bigger;
            in->json_capacity = capacity;
        }
        memcpy(in->json + done, at_read(in), n);
        done += n;
        give_back(in, n);
    }
    return true;
}

/* 1: a frame was delivered; 0: the end, between frames; -1: torn or broken. */
static int next_frame(ls_inlet *in) {
    uint64_t have;
    ls_frame_header header;
    if (!available(in, sizeof header, &have))
        return have == 0 ? 0 : -1;
    memcpy(&header, at_read(in), sizeof header);
    if (header.magic != LS_FRAME_MAGIC || header.json_bytes > JSON_MAX)
        return -1;
    give_back(in, sizeof header);
    if (!read_json(in, header.json_bytes))
        return -1;
    in->data_left = header.data_bytes;
    in->taken = 0;
    ls_frame frame = {in->json, header.json_bytes, header.data_bytes, in->process, in->pid, in};
    atomic_fetch_add(&in->receiver->activity, 1);
    const ls_receiver_events *events = &in->receiver->events;
    return events->frame(events->context, &frame) && skip_data(in) ? 1 : -1;
}

bool ls_inlet_answer(ls_inlet *in, const void *bytes, uint64_t count) {
    int descriptor = bytes != NULL ? memfd_create("lockstep-answer", MFD_CLOEXEC) : -1;
    const char *from = bytes;
    while (descriptor >= 0 && count > 0) {
        ssize_t n = write(descriptor, from, count < 1 << 30 ? (size_t)count : 1 << 30);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        from += n;
        count -= (uint64_t)n;
    }
    bool whole = count == 0 && descriptor >= 0;
    bool sent = ls_socket_send(in->descriptor, 'A', whole ? descriptor : -1);
    if (descriptor >= 0)
        close(descriptor);
    return bytes == NULL || (whole && sent);
}

static void *serve(void *argument) {
    ls_inlet *in = argument;
    ls_receiver *receiver = in->receiver;
    int result = 1;
    while (result == 1)
        result = next_frame(in);
    free(in->json);
    receiver->events.closed(receiver->events.context, in->process, result < 0);
    pthread_mutex_lock(&receiver->lock);
    atomic_store(&in->ring->closed, 1);
    shutdown(in->descriptor, SHUT_RDWR); /* tells a writer that waits for room */
    /* Its memory goes now: many processes may follow. */
    munmap(in->ring, LS_RING_PAGE + 2 * (size_t)in->size);
    in->ring = NULL;
    receiver->alive--;
    pthread_cond_signal(&receiver->left);
    pthread_mutex_unlock(&receiver->lock);
    return NULL;
}

/* ------------------------------------------------------------- connecting */

static int make_ring(uint64_t size) {
    int descriptor = memfd_create("lockstep-ring", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (descriptor < 0)
        return -1;
    /* Sealed: the observed can't shrink it under us. */
    if (ftruncate(descriptor, (off_t)(LS_RING_PAGE + size)) != 0 ||
        fcntl(descriptor, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) {
        close(descriptor);
        return -1;
    }
    return descriptor;
}

/* As large as a limit on the size of files (which counts here, too) lets it be. */
static int make_largest_ring(uint64_t *size) {
    for (;; *size /= 2) {
        int descriptor = make_ring(*size);
        if (descriptor >= 0 || *size <= RING_LEAST)
            return descriptor;
    }
}

static bool same_user(int s, int *out_pid) {
    struct ucred peer;
    socklen_t size = sizeof peer;
    if (getsockopt(s, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0 || peer.uid != getuid())
        return false;
    *out_pid = (int)peer.pid;
    return true;
}

static void free_inlet(ls_inlet *in) {
    if (in->ring != NULL)
        munmap(in->ring, LS_RING_PAGE + 2 * (size_t)in->size);
    close(in->descriptor);
    free(in);
}

static void welcome(ls_receiver *receiver, int s) {
    ls_inlet *in = calloc(1, sizeof *in);
    int descriptor = -1;
    if (in == NULL) {
        receiver->refused++;
        close(s);
        return;
    }
    *in = (ls_inlet){.receiver = receiver, .descriptor = s, .size = receiver->ring_bytes};
    if (!same_user(s, &in->pid)) {
        free_inlet(in);
        return;
    }
    if (receiver->count == PROCESSES_MAX || (descriptor = make_largest_ring(&in->size)) < 0 ||
        (in->ring = ls_ring_map(descriptor, in->size)) == NULL) {
        if (descriptor >= 0)
            close(descriptor);
        free_inlet(in);
        receiver->refused++;
        return;
    }
    in->ring->size = in->size;
    memcpy(in->ring->options, receiver->options, sizeof in->ring->options);
    pthread_mutex_lock(&receiver->lock);
    in->process = receiver->count;
    bool started = ls_socket_send(s, 'L', descriptor) &&
                   pthread_create(&in->thread, NULL, serve, in) == 0;
    if (started) {
        receiver->inlets[receiver->count++] = in;
        receiver->alive++;
    }
    pthread_mutex_unlock(&receiver->lock);
    close(descriptor);
    if (!started) {
        free_inlet(in);
        receiver->refused++;
    }
}

static void *accept_all(void *argument) {
    ls_receiver *receiver = argument;
    for (;;) {
        struct pollfd pollers[2] = {{.fd = receiver->listener, .events = POLLIN},
                                    {.fd = receiver->stop[0], .events = POLLIN}};
        if (poll(pollers, 2, -1) < 0 && errno != EINTR)
            return NULL;
        if (pollers[0].revents & POLLIN) {
            int s = accept4(receiver->listener, NULL, NULL, SOCK_CLOEXEC);
            if (s >= 0)
                welcome(receiver, s);
        } else if (pollers[1].revents != 0) {
            return NULL; /* only once nobody is left waiting at the door */
        }
    }
}

static bool listen_somewhere(ls_receiver *receiver) {
    static _Atomic unsigned number;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    unsigned long long random = 0;
    int source = open("/dev/urandom", O_RDONLY | O_CLOEXEC);
    if (source < 0 || read(source, &random, sizeof random) != sizeof random)
        random = (unsigned long long)getpid();
    if (source >= 0)
        close(source);
    int length = snprintf(receiver->name, sizeof receiver->name, "@lockstep-%d-%u-%016llx",
                          (int)getpid(), atomic_fetch_add(&number, 1), random);
    memcpy(address.sun_path + 1, receiver->name + 1, (size_t)length - 1);
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + (size_t)length);
    receiver->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return receiver->listener >= 0 && bind(receiver->listener, (struct sockaddr *)&address, size) == 0 &&
           listen(receiver->listener, 64) == 0 && pipe2(receiver->stop, O_CLOEXEC) == 0;
}

/* Signals are the program's main thread's: it holds them back when it must. The
 * threads that serve processes inherit this one's mask. */
static bool start_accepting(ls_receiver *receiver) {
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int failed = pthread_create(&receiver->acceptor, NULL, accept_all, receiver);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    errno = failed;
    return failed == 0;
}

lockstep_status ls_receiver_open(const char *options, uint64_t ring_bytes,
                                 const ls_receiver_events *events, ls_receiver **out_receiver,
                                 lockstep_error *error) {
    if (strlen(options) >= LS_OPTIONS_MAX)
        return ls_fail(error, LOCKSTEP_LIMIT, "the options are longer than %d bytes", LS_OPTIONS_MAX - 1);
    ls_receiver *receiver = calloc(1, sizeof *receiver);
    if (receiver == NULL)
        return ls_fail(error, LOCKSTEP_NO_MEMORY, "out of memory");
    strcpy(receiver->options, options);
    receiver->ring_bytes = ring_bytes;
    receiver->events = *events;
    receiver->stop[0] = receiver->stop[1] = -1;
    pthread_mutex_init(&receiver->lock, NULL);
    pthread_cond_init(&receiver->left, NULL);
    if (!listen_somewhere(receiver) || !start_accepting(receiver)) {
        lockstep_status status = ls_fail(error, LOCKSTEP_IO, "can't open a channel: %s", strerror(errno));
        free(receiver);
        return status;
    }
    *out_receiver = receiver;
    return LOCKSTEP_OK;
}

const char *ls_receiver_name(const ls_receiver *receiver) { return receiver->name; }

static unsigned locked(ls_receiver *receiver, const unsigned *value) {
    pthread_mutex_lock(&receiver->lock);
    unsigned n = *value;
    pthread_mutex_unlock(&receiver->lock);
    return n;
}

unsigned ls_receiver_processes(ls_receiver *receiver) { return locked(receiver, &receiver->count); }

unsigned ls_receiver_alive(ls_receiver *receiver) { return locked(receiver, &receiver->alive); }

static void wait_until_left(ls_receiver *receiver, int grace_ms) {
    enum { STEP_MS = 10 };
    uint64_t seen = atomic_load(&receiver->activity);
    pthread_mutex_lock(&receiver->lock);
    for (unsigned i = 0; i < receiver->count; i++)
        if (receiver->inlets[i]->ring != NULL)
            ls_bell_ring(&receiver->inlets[i]->ring->written_bell); /* to look whether its process has gone */
    for (int waited = 0; receiver->alive > 0 && waited < grace_ms; waited += STEP_MS) {
        struct timespec until;
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += STEP_MS * 1000000L;
        until.tv_sec += until.tv_nsec / 1000000000L;
        until.tv_nsec %= 1000000000L;
        pthread_cond_timedwait(&receiver->left, &receiver->lock, &until);
        uint64_t now = atomic_load(&receiver->activity);
        if (now != seen)
            waited = 0;
        seen = now;
    }
    pthread_mutex_unlock(&receiver->lock);
}

unsigned ls_receiver_close(ls_receiver *receiver, int grace_ms) {
    if (write(receiver->stop[1], "", 1) < 0)
        abort(); /* an empty pipe takes one byte */
    pthread_join(receiver->acceptor, NULL);
    wait_until_left(receiver, grace_ms);
    atomic_store(&receiver->abandon, true);
    for (unsigned i = 0; i < receiver->count; i++) {
        pthread_join(receiver->inlets[i]->thread, NULL);
        free_inlet(receiver->inlets[i]);
    }
    close(receiver->listener);
    close(receiver->stop[0]);
    close(receiver->stop[1]);
    pthread_cond_destroy(&receiver->left);
    pthread_mutex_destroy(&receiver->lock);
    unsigned refused = receiver->refused;
    free(receiver);
    return refused;
}
