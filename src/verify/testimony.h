/* With which values of an operation its readers were computed: those that were recorded, or the right ones. */
#ifndef LS_VERIFY_TESTIMONY_H
#define LS_VERIFY_TESTIMONY_H

#include "eval/eval.h"

typedef enum ls_fault {
    LS_FAULT_NONE,
    LS_FAULT_KERNEL,    /* what is computed from it agrees with the recorded values: they were computed, and are wrong */
    LS_FAULT_DUMP,      /* what is computed from it agrees with the right values: other values were recorded than computed */
    LS_FAULT_UNDECIDED, /* nothing that is computed from it tells */
} ls_fault;

typedef struct ls_testimony {
    double precision, sum;                  /* of all readers: 1 / variance of their estimates, and the estimates weighted by it */
    bool certain_of_recorded, certain_of_right; /* one reader by itself: if there are both, they contradict each other */
    uint64_t as_if_recorded, as_if_right;   /* elements that are finite with only one of both, and tell it by that */
} ls_testimony;

/* Adds a reader: its recorded result, and what it computes from either. allowed: how far a right result may be from the latter. */
void ls_testimony_add(ls_testimony *testimony, const ls_array *result, const ls_array *from_recorded, const ls_array *from_right, double allowed);
/* LS_FAULT_KERNEL, LS_FAULT_DUMP or LS_FAULT_UNDECIDED. */
ls_fault ls_testimony_verdict(const ls_testimony *testimony);

#endif
