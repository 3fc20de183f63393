/* Runs tasks on all cores. */
#ifndef LS_BASE_POOL_H
#define LS_BASE_POOL_H

#include <stdint.h>

/* Calls run(context, i, worker) once for each i in [0, count), on up to
 * ls_pool_threads() threads (the caller's among them), and returns when all are
 * done. Which thread gets which i is unspecified, so results must not depend on it.
 * `worker` is in [0, ls_pool_threads()). Concurrent calls, and calls from within tasks, share
 * the threads: where none is left, all tasks run on the calling thread. */
void ls_pool_run(uint64_t count, void (*run)(void *context, uint64_t i, int worker), void *context);

/* LOCKSTEP_THREADS if set, else the number of cores that this process may use; 1..64. */
int ls_pool_threads(void);

#endif
