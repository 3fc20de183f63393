#include "launch/facts.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

struct ls_facts {
    int socket;
    struct sockaddr_un address;
    socklen_t address_bytes;
    pthread_t thread;
    _Atomic bool stop;
    char text[LS_FACTS_BYTES];
    size_t length;
};

static bool is_known(const ls_facts *f, const char *fact, size_t length) {
    for (const char *line = f->text; *line != '\0'; line = strchr(line, '\n') + 1)
        if (strncmp(line, fact, length) == 0 && line[length] == '\n')
            return true;
    return false;
}

static void take_in(ls_facts *f, char *fact, size_t length) {
    for (size_t i = 0; i < length; i++)
        if (fact[i] < ' ' || fact[i] > '~')
            fact[i] = '?';
    if (length == 0 || f->length + length + 2 > sizeof f->text || is_known(f, fact, length))
        return;
    memcpy(f->text + f->length, fact, length);
    f->length += length;
    f->text[f->length++] = '\n';
    f->text[f->length] = '\0';
}

static void *receive(void *argument) {
    ls_facts *f = argument;
    char fact[300];
    for (;;) {
        ssize_t n = recv(f->socket, fact, sizeof fact, atomic_load(&f->stop) ? MSG_DONTWAIT : 0);
        if (n < 0 && errno != EINTR)
            return NULL;
        if (n > 0)
            take_in(f, fact, (size_t)n);
    }
}

static bool start(ls_facts *f) {
    sigset_t all, before;
    f->socket = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (f->socket < 0)
        return false;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* the main thread handles signals */
    bool started = bind(f->socket, (struct sockaddr *)&f->address, f->address_bytes) == 0 &&
                   pthread_create(&f->thread, NULL, receive, f) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (!started)
        close(f->socket);
    return started;
}

ls_facts *ls_facts_open(const char *channel) {
    ls_facts *f = calloc(1, sizeof *f);
    if (f == NULL)
        return NULL;
    f->address.sun_family = AF_UNIX;
    int length = snprintf(f->address.sun_path + 1, sizeof f->address.sun_path - 1, "%s-facts", channel + 1);
    f->address_bytes = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)length);
    if ((size_t)length >= sizeof f->address.sun_path - 1 || !start(f)) {
        free(f);
        return NULL;
    }
    return f;
}

void ls_facts_close(ls_facts *f, char out[LS_FACTS_BYTES]) {
    out[0] = '\0';
    if (f == NULL)
        return;
    atomic_store(&f->stop, true);
    /* An empty datagram wakes the thread; if the queue is full, it is awake anyway. */
    sendto(f->socket, "", 0, MSG_DONTWAIT, (struct sockaddr *)&f->address, f->address_bytes);
    pthread_join(f->thread, NULL);
    close(f->socket);
    memcpy(out, f->text, sizeof f->text);
    free(f);
}
