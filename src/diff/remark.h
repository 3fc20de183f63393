/* What a comparison has to say beside its pairs: codes with arguments. report/remarks.c has the sentences. */
#ifndef LS_DIFF_REMARK_H
#define LS_DIFF_REMARK_H

#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/error.h"

typedef enum ls_remark_code {
    LS_REMARK_NONE,
    /* reasons of an outcome */
    LS_REMARK_NO_VALUES,               /* text: the path of a trace without values */
    LS_REMARK_INPUTS,                  /* the token alignment's finding says how the inputs differ */
    LS_REMARK_NOTHING_SELECTED,        /* --tensors and --layers select nothing */
    LS_REMARK_NOTHING_PAIRED,
    LS_REMARK_UNREADABLE,              /* count of total pairs; text: why the first can't be read */
    LS_REMARK_RECORDING_INCOMPLETE,    /* text: the path */
    LS_REMARK_UNPAIRED_TENSORS,        /* count in the reference only, total in the candidate only */
    LS_REMARK_PASSES_ALONE,            /* count passes of the reference and total of the candidate have no partner */
    LS_REMARK_SELECTION_END,           /* text: the last tensor of the selection, which was not compared */
    LS_REMARK_CANDIDATE_OUTPUT,        /* text: the candidate's final output, which was not compared */
    LS_REMARK_REFERENCE_OUTPUT,        /* text: the reference's */
    LS_REMARK_REPLAY_DIVERGED,         /* count: operations that are at fault, and were not compared */
    LS_REMARK_KERNELS,                 /* count: operations that give other values than were recorded, and come before what was compared and fails; text, detail: the first, and its operation */
    LS_REMARK_NOT_REPLAYED,            /* text: the path of a trace with only the graph, whose operations could not be computed */
    LS_REMARK_REPLAY_UNSUPPORTED,      /* count: operations that can't be computed; text: the first; detail: why */
    LS_REMARK_REPLAY_OPEN,             /* count: operations whose result was found nowhere; text: the first */
    LS_REMARK_WEIGHT_DIFFERS,          /* text: a weight of the candidate that is not the reference's */
    LS_REMARK_WEIGHTS_CHANGED,         /* count of total weights in the engine's memory are not those of the file that it opened; text: the first */
    LS_REMARK_WEIGHTS_OTHER,           /* the same, of a file that was named by the user */
    LS_REMARK_COVERAGE,                /* fraction compared, less than limit */
    /* hints */
    LS_REMARK_ONE_TOKEN,               /* one token at position 0 hides some faults */
    LS_REMARK_TRACE_INCOMPLETE,        /* text: the path */
    LS_REMARK_NOTE,                    /* text: the path; detail: what a side noted while it was recorded */
    LS_REMARK_VALUES_LOST,             /* text: the path; count */
    LS_REMARK_SIDES_SWAPPED,           /* text: the reference's engine */
    LS_REMARK_NO_PRESET,               /* text: the model, or "" */
    LS_REMARK_RULE_UNUSED,             /* count: the rule's number; text: its reference name; detail: the candidate's */
    LS_REMARK_RULES_UNUSED,            /* count more of them */
    LS_REMARK_SELECTION,               /* a filter: only a part was compared */
    LS_REMARK_SELECTION_LACKS_OUTPUTS, /* the same, and the model's outputs were not among it */
    LS_REMARK_REFERENCE_POOLS,         /* text: the tensor to which only the reference goes on */
    LS_REMARK_UNIT_LENGTH,             /* text: the reference's tensor */
    LS_REMARK_CANDIDATE_POOLS,         /* text: the tensor to which only the candidate goes on */
    LS_REMARK_ORDER_UNKNOWN,
    LS_REMARK_EAGER,                   /* compiled regions ran eagerly */
    LS_REMARK_PASSES_NOT_COMPARED,     /* count: passes of the reference beside the first that make up one of the candidate */
    LS_REMARK_OUTPUT_ROWS,             /* text: a tensor of which the reference computes some rows only */
    LS_REMARK_MODEL_UNOPENED,          /* text: why a model file that the run opened can't be read now */
    LS_REMARK_TOO_DEAR,                /* fraction: multiplications that computing the operations would take */
    LS_REMARK_MODEL_STALE,             /* count weights are of a model file that was changed after the run */
    LS_REMARK_OTHER_MODEL,             /* count of total operations give other values with the model file's weights than were recorded */
    LS_REMARK_PERMUTED,                /* count: pairs by name that agree only under another order of their axes; text: the first; detail: the order */
    LS_REMARK_NAMES_DROPPED,           /* count of total pairs with equal names have other tensors' values: names mean nothing */
    LS_REMARK_FEW_PAIRS,               /* only count of total tensors that could have a partner have one */
    LS_REMARK_NAME_REFUTED,            /* count: pairs like the first; text: a tensor of the candidate; detail: of the reference, with which a name or a rule pairs it, but not its values */
    LS_REMARK_REPLAY_BEYOND,           /* count: operations behind the last tensor that a reference without a graph holds; text: the first */
    LS_REMARK_REPLAY_COARSE,           /* fraction: a difference that rounding explains at an operation; text: its name */
    LS_REMARK_REPLAY_LOST,             /* count of total tensors of such a reference are no operation's result; text: the first */
    LS_REMARK_PASSES_NOT_DUMPED,       /* count: passes of the candidate beside the one that such a reference belongs to */
    LS_REMARK_LAYERS_SWAPPED,          /* count, total: two layers of the reference whose weights the candidate has the other way round */
    LS_REMARK_SWAPPED,                 /* text, detail: two weights or operations of the reference, the same */
    LS_REMARK_OTHER_WEIGHT,            /* text: an operation of the reference; detail: the weight with which the candidate computes it */
    LS_REMARK_LAYERS_LEFT_OUT,         /* count: operations of the reference of layers that the candidate doesn't run in total passes; text: the first; detail: the first layer, and how many more */
    LS_REMARK_INPUTS_PARTIAL,          /* the token alignment's finding says which rows have no partner */
} ls_remark_code;

typedef struct ls_remark {
    ls_remark_code code;
    const char *text, *detail; /* as recorded, not escaped; of the trace, the options or the arena */
    uint64_t count, total;
    double fraction, limit;
} ls_remark;

typedef struct ls_remarks {
    ls_remark *items;
    size_t count, capacity;
    bool failed; /* out of memory: one is missing */
} ls_remarks;

void ls_remarks_add(ls_remarks *remarks, const ls_remark *remark);
void ls_remarks_done(ls_remarks *remarks);

#endif
