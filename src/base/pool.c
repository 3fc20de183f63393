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

/* Threads at work, besides the one that has called the first run. */
static atomic_int busy;

/* Up to `wanted` threads of those that are not at work. */
static int take_threads(int wanted) {
    const int most = ls_pool_threads() - 1;
    int now = atomic_load(&busy), taken;
    do
        taken = most - now < wanted ? most - now : wanted;
    while (taken > 0 && !atomic_compare_exchange_weak(&busy, &now, now + taken));
    return taken > 0 ? taken : 0;
}

static void give_threads(int count) { atomic_fetch_sub(&busy, count); }

static void work(const worker *self) {
    job *j = self->job;
    for (uint64_t i = atomic_fetch_add_explicit(&j->next, 1, memory_order_relaxed); i < j->count; i = atomic_fetch_add_explicit(&j->next, 1, memory_order_relaxed))
        j->run(j->context, i, self->index);
}

static void *work_beside(void *self) {
    work(self);
    give_threads(1);
    return NULL;
}

/* While the caller waits for the last tasks, these may have its thread. */
void ls_pool_run(uint64_t count, void (*run)(void *, uint64_t, int), void *context) {
    job j = {.run = run, .context = context, .count = count};
    worker workers[MAX_THREADS] = {{&j, 0}};
    pthread_t threads[MAX_THREADS];
    const int taken = count > 1 ? take_threads(count < MAX_THREADS ? (int)count - 1 : MAX_THREADS - 1) : 0;
    int started = 0;
    while (started < taken) {
        workers[started + 1] = (worker){&j, started + 1};
        if (pthread_create(&threads[started], NULL, work_beside, &workers[started + 1]) != 0)
            break; /* fewer threads, the same result */
        started++;
    }
    give_threads(taken - started);
    work(&workers[0]);
    if (started > 0)
        give_threads(1);
    for (int i = 0; i < started; i++)
        pthread_join(threads[i], NULL);
    if (started > 0)
        atomic_fetch_add(&busy, 1);
}
