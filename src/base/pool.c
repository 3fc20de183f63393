#include "base/pool.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>

enum { MAX_THREADS = 64 };

typedef struct job {
    void (*run)(void *, uint64_t, int);
    void *context;
    uint64_t count;
    _Atomic uint64_t next;
} job;

typedef struct worker {
    job *job;
    int index;
} worker;

int ls_pool_threads(void) {
    const char *text = getenv("LOCKSTEP_THREADS");
    long n = text != NULL ? strtol(text, NULL, 10) : 0;
    if (n < 1) {
        cpu_set_t set;
        n = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
    }
    return n < 1 ? 1 : n > MAX_THREADS ? MAX_THREADS : (int)n;
}

static void *work(void *argument) {
    worker *self = argument;
    job *j = self->job;
    for (;;) {
        uint64_t i = atomic_fetch_add_explicit(&j->next, 1, memory_order_relaxed);
        if (i >= j->count)
            return NULL;
        j->run(j->context, i, self->index);
    }
}

/* Set while a run uses all cores: a concurrent or nested one is serial. */
static atomic_flag is_running = ATOMIC_FLAG_INIT;

void ls_pool_run(uint64_t count, void (*run)(void *, uint64_t, int), void *context) {
    if (count <= 1 || atomic_flag_test_and_set_explicit(&is_running, memory_order_acquire)) {
        for (uint64_t i = 0; i < count; i++)
            run(context, i, 0);
        return;
    }
    job j = {.run = run, .context = context, .count = count};
    worker workers[MAX_THREADS];
    pthread_t threads[MAX_THREADS];
    int wanted = ls_pool_threads(), started = 0;
    if ((uint64_t)wanted > count)
        wanted = (int)count;
    for (int i = 1; i < wanted; i++) {
        workers[i] = (worker){&j, i};
        if (pthread_create(&threads[started], NULL, work, &workers[i]) != 0)
            break; /* fewer threads, the same result */
        started++;
    }
    workers[0] = (worker){&j, 0};
    work(&workers[0]);
    for (int i = 0; i < started; i++)
        pthread_join(threads[i], NULL);
    atomic_flag_clear_explicit(&is_running, memory_order_release);
}
