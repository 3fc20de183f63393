/* The weights of two checkpoints: pairs of tensors, and what was found about them. */
#ifndef LS_CHECKPOINT_WEIGHT_MODEL_H
#define LS_CHECKPOINT_WEIGHT_MODEL_H

#include "checkpoint/checkpoint.h"
#include "checkpoint/quality.h"
#include "checkpoint/weight_names.h"
#include "compare/cause.h"
#include "compare/metrics.h"
#include "compare/verdict.h"
#include "match/method.h"

enum { LS_REFERENCE, LS_CANDIDATE, LS_SIDES };

/* A tensor, or a run of it along one axis (an expert, a part of a fused weight). */
typedef struct ls_weight_part {
    size_t tensor;
    int axis; /* -1: all of it */
    uint64_t first, count;
    bool index;      /* count is 1 and the axis is dropped */
    uint64_t step;   /* every step-th; 0 is 1 */
    uint64_t groups; /* rows are divided into this many equal groups first, which become axis 0; 0: they are not */
} ls_weight_part;

typedef struct ls_weight_pair {
    ls_weight_part part[LS_SIDES];
    ls_method method;
    unsigned changes;    /* of ls_weight_change, done to... */
    int original;        /* ... this side before comparing */
    ls_verdict verdict;
    const char *layout;  /* what was done to compare them; NULL if nothing was necessary */
    ls_metrics metrics;  /* unless shape or unsupported */
    double allowed;      /* NMSE */
    uint64_t padding[LS_SIDES]; /* rows that the other side doesn't have; not compared */
    bool padding_zero[LS_SIDES];
    const char *reason; /* for shape and unsupported */
    ls_cause cause;      /* a transform that was applied and makes it agree */
    char region[170];    /* "row 123", "rows 17 to 31", "column 5": where it differs; "" */
    bool is_refuted;     /* replay has found that the operations which read it are right: how it is stored is not known */
    const char *contradiction; /* for a pair by content: in what its names contradict it (weight_names.h); NULL */
} ls_weight_pair;

/* A tensor whose content was found under another name. */
typedef struct ls_weight_find {
    int side;       /* of the tensor that was searched for */
    size_t tensor, other; /* other: in the other side, or in the same one for a duplicate */
    bool duplicate; /* both are on `side`, and their partners differ */
    const char *text; /* "tanh(…)", or NULL if unchanged */
    double nmse;
} ls_weight_find;

typedef struct ls_weights {
    ls_checkpoint *sides[LS_SIDES];
    ls_rules preset;   /* a name when one is in use */
    ls_weight_labels labels[LS_SIDES];
    ls_weight_pair *pairs; /* in the candidate's file order */
    size_t pair_count, pair_capacity;
    size_t by_method[LS_METHOD_COUNT]; /* only some of the methods pair weights */
    bool *paired[LS_SIDES]; /* per tensor */
    ls_weight_find *finds;
    size_t find_count, find_capacity;
    bool search_cut;             /* the search by content was cut short: too many tensors of the same shape */
    uint64_t elements, compared; /* of the candidate */
    uint64_t unsupported;        /* elements of pairs that can't be decoded, and of unpaired codes */
    uint64_t heads[2];           /* query heads and key-value heads, 0 when unknown */
    ls_arena arena;
} ls_weights;

static inline bool ls_weight_has_cause(const ls_weight_pair *pair) { return pair->cause.id != NULL; }
static inline bool ls_weight_fails(const ls_weight_pair *pair) { return ls_verdict_fails(pair->verdict); }
/* NAME, NAME[3] or NAME[64:128]; not escaped. */
void ls_weight_title(const ls_weights *weights, int side, const ls_weight_part *part, char *out, size_t capacity);

/* Whether the preset says that GGUF files don't have this weight of a checkpoint. */
bool ls_weight_is_left_out(const ls_weights *weights, const char *name);

/* The quantization scheme of a side of the pair; NULL if both hold plain weights. */
const char *ls_weight_scheme(const ls_weights *weights, const ls_weight_pair *pair);

#endif
