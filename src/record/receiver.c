#include "record/receiver.h"

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
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "wire/frame_reader.h"

enum { RING_LEAST = 64 << 10, JSON_FIRST = 64 << 10 };

struct ls_inlet {
    ls_receiver *receiver;
    int descriptor; /* the socket: hangs up when the process is gone */
    int pid;
    unsigned process;
    ls_ring *ring;
    uint64_t size; /* our own copy: the observed can write to the ring's page */
    uint64_t read; /* ours alone */
    uint64_t data_left, taken;
    unsigned naps; /* since bytes last came */
    bool gone;
    bool deaf; /* it does not read its answers */
    char *json;
    size_t json_capacity;
    ls_inlet *previous, *next; /* in the receiver's list */
};

struct ls_receiver {
    char name[64];
    char options[LS_OPTIONS_MAX];
    uint64_t ring_bytes;
    ls_receiver_events events;
    int listener, stop[2];
    int missed; /* a file with one byte for each process that could not connect */
    pthread_t acceptor;
    pthread_mutex_t lock;
    pthread_cond_t left; /* a process has gone */
    ls_inlet *served;  /* processes that are connected */
    ls_inlet *watched; /* that hung up but are still alive */
    unsigned count, alive, refused;
    _Atomic uint64_t activity;
    _Atomic bool abandon; /* closing: stop waiting for processes that stay */
};

/* -------------------------------------------------------------- one process */

/* Wake a blocked writer only when a quarter of the ring is free, to batch wake-ups. */
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

/* Small frames come in a stream. A wake-up for each would cost the writer a system call and the processor a context
 * switch, so the reader sleeps for short times first, and only then waits for the bell. */
static void await_more(ls_inlet *in, uint32_t seen) {
    enum { NAPS = 20, NAP_NS = 100 * 1000, WAIT_MS = 50 };
    if (in->naps++ < NAPS)
        nanosleep(&(struct timespec){.tv_nsec = NAP_NS}, NULL);
    else
        ls_bell_wait(&in->ring->written_bell, seen, WAIT_MS);
}

/* Waits until `count` bytes can be read; false when they will never come. */
static bool available(ls_inlet *in, uint64_t count, uint64_t *out_have) {
    for (;;) {
        uint64_t ready = atomic_load_explicit(&in->ring->written, memory_order_acquire) - in->read;
        if (ready >= count && ready <= in->size) {
            in->naps = 0;
            return *out_have = ready, true;
        }
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
        await_more(in, seen);
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
    enum { MOST = 512 << 10 };
    have = have < MOST ? have : MOST;
    in->taken = have;
    *out_bytes = at_read(in);
    *out_count = (size_t)have;
    return true;
}

void ls_inlet_await(ls_inlet *in) {
    uint64_t most = in->data_left < in->size ? in->data_left : in->size, have;
    pthread_mutex_lock(&in->receiver->lock);
    bool several = in->receiver->alive > 1;
    pthread_mutex_unlock(&in->receiver->lock);
    if (several && most > 0)
        available(in, most, &have);
}

/* Skips the data that the frame's consumer did not read. */
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
    if (!ls_frame_header_is_valid(&header))
        return -1;
    give_back(in, sizeof header);
    if (!read_json(in, header.json_bytes))
        return -1;
    in->data_left = header.data_bytes;
    in->taken = 0;
    ls_frame frame = {in->json, header.json_bytes, header.data_bytes, in->process, in->pid, in};
    atomic_fetch_add(&in->receiver->activity, 1);
    const ls_receiver_events *events = &in->receiver->events;
    return events->frame(events->context, &frame) && skip_data(in) && !in->deaf ? 1 : -1;
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
    in->deaf = in->deaf || !sent; /* a process that waits for its answer has room for it */
    if (descriptor >= 0)
        close(descriptor);
    return bytes == NULL || (whole && sent);
}

/* Whether the process still has memory: when a process ends, its memory goes before its descriptors are closed. */
static bool lives(int pid) {
    char path[48], first = '0';
    snprintf(path, sizeof path, "/proc/%d/statm", pid);
    int file = pid > 0 ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    bool read_any = file >= 0 && read(file, &first, 1) == 1;
    if (file >= 0)
        close(file);
    return read_any ? first != '0' : pid <= 0 || errno != ENOENT;
}

static void link_inlet(ls_inlet **list, ls_inlet *in) {
    in->previous = NULL;
    in->next = *list;
    if (*list != NULL)
        (*list)->previous = in;
    *list = in;
}

static void unlink_inlet(ls_inlet **list, ls_inlet *in) {
    if (in->previous != NULL)
        in->previous->next = in->next;
    else
        *list = in->next;
    if (in->next != NULL)
        in->next->previous = in->previous;
}

static void free_inlet(ls_inlet *in) {
    if (in->ring != NULL)
        munmap(in->ring, LS_RING_PAGE + 2 * (size_t)in->size);
    if (in->descriptor >= 0)
        close(in->descriptor);
    free(in->json);
    free(in);
}

/* Keeps only the ring's first page, which shows whether there was more to record. */
static void shrink_inlet(ls_inlet *in) {
    uint8_t *bytes = ls_ring_bytes(in->ring);
    madvise(bytes, (size_t)in->size, MADV_REMOVE);
    munmap(bytes, 2 * (size_t)in->size);
    in->size = 0;
    close(in->descriptor);
    in->descriptor = -1;
}

/* Some programs close all descriptors that they don't know, and continue. */
static bool had_more(const ls_inlet *in) {
    return atomic_load(&in->ring->lost) != 0 || atomic_load(&in->ring->written) != in->read;
}

static void *serve(void *argument) {
    ls_inlet *in = argument;
    ls_receiver *receiver = in->receiver;
    int result = 1;
    while (result == 1)
        result = next_frame(in);
    atomic_store(&in->ring->closed, 1);
    shutdown(in->descriptor, SHUT_RDWR); /* wakes a writer that waits for room */
    bool watch = result == 0 && lives(in->pid);
    receiver->events.closed(receiver->events.context, in->process, result < 0 ? LS_ENDING_TORN : LS_ENDING_WHOLE);
    pthread_mutex_lock(&receiver->lock);
    unlink_inlet(&receiver->served, in);
    /* Release its memory and its descriptor now: many processes may follow. */
    if (watch) {
        shrink_inlet(in);
        link_inlet(&receiver->watched, in);
    } else {
        free_inlet(in);
    }
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

/* Tells the process that it is not recorded, so that it need not report itself: see LS_MISSED_NAME. */
static void refuse(ls_receiver *receiver, ls_inlet *in, int s) {
    if (ls_socket_send(s, 'N', -1))
        receiver->refused++;
    if (in == NULL)
        close(s);
    else
        free_inlet(in);
}

static bool start_serving(ls_inlet *in) {
    ls_receiver *receiver = in->receiver;
    pthread_attr_t attributes;
    pthread_t thread;
    if (pthread_attr_init(&attributes) != 0)
        return false;
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_mutex_lock(&receiver->lock);
    bool started = pthread_create(&thread, &attributes, serve, in) == 0;
    if (started) {
        link_inlet(&receiver->served, in);
        receiver->count++;
        receiver->alive++;
    }
    pthread_mutex_unlock(&receiver->lock);
    pthread_attr_destroy(&attributes);
    return started;
}

static void welcome(ls_receiver *receiver, int s) {
    ls_inlet *in = calloc(1, sizeof *in);
    int descriptor = -1;
    if (in == NULL) {
        refuse(receiver, NULL, s);
        return;
    }
    *in = (ls_inlet){.receiver = receiver, .descriptor = s, .size = receiver->ring_bytes, .process = receiver->count};
    if (!same_user(s, &in->pid) || (descriptor = make_largest_ring(&in->size)) < 0 ||
        (in->ring = ls_ring_map(descriptor, in->size)) == NULL) {
        if (descriptor >= 0)
            close(descriptor);
        refuse(receiver, in, s);
        return;
    }
    in->ring->size = in->size;
    memcpy(in->ring->options, receiver->options, sizeof in->ring->options);
    /* A process that gave up waiting and is gone reports that itself. */
    bool greeted = ls_socket_send(s, 'L', descriptor);
    close(descriptor);
    if (!greeted || !start_serving(in)) {
        receiver->refused += greeted;
        free_inlet(in);
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
            else if (pollers[1].revents != 0)
                return NULL;
            else
                poll(NULL, 0, 20); /* no descriptor left: until a process has gone */
        } else if (pollers[1].revents != 0) {
            return NULL; /* only once no process is waiting to connect */
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
    receiver->missed = memfd_create(LS_MISSED_NAME, MFD_CLOEXEC);
    int length = snprintf(receiver->name, sizeof receiver->name, "@lockstep-%d-%d-%u-%016llx",
                          (int)getpid(), receiver->missed, atomic_fetch_add(&number, 1), random);
    memcpy(address.sun_path + 1, receiver->name + 1, (size_t)length - 1);
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + (size_t)length);
    receiver->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return receiver->missed >= 0 && receiver->listener >= 0 && bind(receiver->listener, (struct sockaddr *)&address, size) == 0 &&
           listen(receiver->listener, 64) == 0 && pipe2(receiver->stop, O_CLOEXEC) == 0;
}

/* Signals are handled by the program's main thread, which blocks them when it must. The
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

static void free_receiver(ls_receiver *receiver) {
    const int descriptors[] = {receiver->listener, receiver->missed, receiver->stop[0], receiver->stop[1]};
    for (size_t i = 0; i < sizeof descriptors / sizeof descriptors[0]; i++)
        if (descriptors[i] >= 0)
            close(descriptors[i]);
    pthread_cond_destroy(&receiver->left);
    pthread_mutex_destroy(&receiver->lock);
    free(receiver);
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
    receiver->listener = receiver->missed = receiver->stop[0] = receiver->stop[1] = -1;
    pthread_mutex_init(&receiver->lock, NULL);
    pthread_cond_init(&receiver->left, NULL);
    if (!listen_somewhere(receiver) || !start_accepting(receiver)) {
        lockstep_status status = ls_fail(error, LOCKSTEP_IO, "can't open a channel: %s", strerror(errno));
        free_receiver(receiver);
        return status;
    }
    *out_receiver = receiver;
    return LOCKSTEP_OK;
}

const char *ls_receiver_name(const ls_receiver *receiver) { return receiver->name; }

unsigned ls_receiver_alive(ls_receiver *receiver) {
    unsigned alive = 0;
    pthread_mutex_lock(&receiver->lock);
    for (const ls_inlet *in = receiver->served; in != NULL; in = in->next)
        alive += lives(in->pid);
    pthread_mutex_unlock(&receiver->lock);
    return alive;
}

static void wait_until_left(ls_receiver *receiver, int grace_ms) {
    enum { STEP_MS = 10 };
    uint64_t seen = atomic_load(&receiver->activity);
    pthread_mutex_lock(&receiver->lock);
    for (ls_inlet *in = receiver->served; in != NULL; in = in->next)
        ls_bell_ring(&in->ring->written_bell); /* to look whether its process has gone */
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
    struct stat info;
    if (write(receiver->stop[1], "", 1) < 0)
        abort(); /* an empty pipe takes one byte */
    pthread_join(receiver->acceptor, NULL);
    wait_until_left(receiver, grace_ms);
    atomic_store(&receiver->abandon, true);
    pthread_mutex_lock(&receiver->lock);
    while (receiver->alive > 0)
        pthread_cond_wait(&receiver->left, &receiver->lock);
    pthread_mutex_unlock(&receiver->lock);
    for (ls_inlet *in = receiver->watched, *next; in != NULL; in = next) {
        next = in->next;
        if (had_more(in))
            receiver->events.closed(receiver->events.context, in->process, LS_ENDING_CONTINUED);
        free_inlet(in);
    }
    unsigned refused = receiver->refused;
    if (fstat(receiver->missed, &info) == 0)
        refused += (unsigned)info.st_size;
    free_receiver(receiver);
    return refused;
}

/* A ring of just these bytes: what reads beyond them reads beyond the allocation. */
bool ls_receiver_replay(const ls_receiver_events *events, const void *bytes, size_t count) {
    ls_receiver receiver = {.events = *events};
    ls_ring *ring = aligned_alloc(_Alignof(ls_ring), (LS_RING_PAGE + count + _Alignof(ls_ring) - 1) / _Alignof(ls_ring) * _Alignof(ls_ring));
    if (ring == NULL)
        return false;
    memset(ring, 0, sizeof *ring);
    if (count > 0)
        memcpy(ls_ring_bytes(ring), bytes, count);
    atomic_store(&ring->written, count);
    ls_inlet in = {.receiver = &receiver, .descriptor = -1, .ring = ring, .size = count > 0 ? count : 1, .gone = true};
    int result = 1;
    while (result == 1)
        result = next_frame(&in);
    events->closed(events->context, 0, result < 0 ? LS_ENDING_TORN : LS_ENDING_WHOLE);
    free(in.json);
    free(ring);
    return true;
}
