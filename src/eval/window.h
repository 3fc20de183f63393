/* Windows that convolutions and poolings move along an axis. */
#ifndef LS_EVAL_WINDOW_H
#define LS_EVAL_WINDOW_H

#include "eval/eval.h"

typedef struct ls_window {
    int64_t size, stride, padding, dilation;
} ls_window;

/* Where element k of the window at `at` lies in the operand; negative or beyond its end: in the padding. */
static inline int64_t ls_window_source(const ls_window *w, uint64_t at, uint64_t k) { return (int64_t)at * w->stride + (int64_t)k * w->dilation - w->padding; }

static inline bool ls_window_is_possible(const ls_window *w) {
    const int64_t most = 1 << 24;
    return w->size > 0 && w->stride > 0 && w->dilation > 0 && w->padding >= 0 && w->size < most && w->stride < most && w->dilation < most && w->padding < most;
}

enum { LS_WINDOW_AXES = 3 };

/* The windows of so many axes, by the kernel's sizes and the operation's parameters, and those of the others, which do
 * nothing. Refuses what is not possible. */
bool ls_windows_of(ls_evaluation *evaluation, const ls_array *kernel, int axes, ls_window out[LS_WINDOW_AXES]);

#endif
