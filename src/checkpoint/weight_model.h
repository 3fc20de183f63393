/* The weights of two checkpoints: pairs of tensors, and what was found about them. */
#ifndef LS_CHECKPOINT_WEIGHT_MODEL_H
#define LS_CHECKPOINT_WEIGHT_MODEL_H

#include "checkpoint/checkpoint.h"
#include "checkpoint/quality.h"
#include "checkpoint/weight_names.h"
#include "compare/metrics.h"

enum { LS_REFERENCE, LS_CANDIDATE, LS_SIDES };

/* A tensor, or a run of it along one axis (an expert, a part of a fused weight). */
typedef struct ls_weight_part {
    size_t tensor;
    int axis; /* -1: all of it */
    uint64_t first, count;
    bool index; /* count is 1 and the axis is dropped */
} ls_weight_part;

typedef enum ls_weight_method { LS_WEIGHT_BY_NAME, LS_WEIGHT_BY_PRESET, LS_WEIGHT_BY_CONTENT, LS_WEIGHT_METHOD_COUNT } ls_weight_method;

typedef enum ls_weight_verdict {
    LS_WEIGHT_IDENTICAL,
    LS_WEIGHT_MATCH,       /* within what the two types give */
    LS_WEIGHT_WORSE,       /* the same weight, but beyond that */
    LS_WEIGHT_DIFFERS,
    LS_WEIGHT_NONFINITE,   /* a NaN on any side, or an infinity on one */
    LS_WEIGHT_SHAPE,
    LS_WEIGHT_UNSUPPORTED, /* a side can't be decoded, or holds codes of a scheme that isn't read */
} ls_weight_verdict;

typedef struct ls_weight_pair {
    ls_weight_part part[LS_SIDES];
    ls_weight_method method;
    unsigned changes;    /* of ls_weight_change, done to... */
    int original;        /* ... this side before comparing */
    ls_weight_verdict verdict;
    char layout[120];    /* what was done to compare them; "" */
    ls_metrics metrics;  /* unless shape or unsupported */
    double allowed;      /* NMSE */
    uint64_t padding[LS_SIDES]; /* rows that the other side doesn't have; not compared */
    bool padding_zero[LS_SIDES];
    const char *reason; /* for shape and unsupported */
    const char *cause;   /* a transform that was applied and makes it agree, or NULL */
    double residual;     /* NMSE after it */
    char region[170];    /* "row 123", "rows 17 to 31", "column 5": where it differs; "" */
    const char *contradiction; /* of a pair by content: what their names say otherwise (weight_names.h); NULL */
} ls_weight_pair;

/* A tensor whose content was found under another name. */
typedef struct ls_weight_find {
    int side;       /* of the tensor that was looked for */
    size_t tensor, other; /* other: in the other side, or in the same one for a duplicate */
    bool duplicate; /* both are on `side`, and their partners differ */
    const char *text; /* "tanh(…)", or NULL: as it is */
    double nmse;
} ls_weight_find;

typedef struct ls_weights {
    ls_checkpoint *sides[LS_SIDES];
    ls_rules preset;   /* a name when one is in use */
    ls_weight_labels labels[LS_SIDES];
    ls_weight_pair *pairs; /* in the candidate's file order */
    size_t pair_count, pair_capacity;
    size_t by_method[LS_WEIGHT_METHOD_COUNT];
    bool *paired[LS_SIDES]; /* per tensor */
    ls_weight_find *finds;
    size_t find_count, find_capacity;
    bool search_cut;             /* content was not looked for everywhere: there was too much of one shape */
    uint64_t elements, compared; /* of the candidate */
    uint64_t unsupported;        /* elements of pairs that can't be decoded, and of unpaired codes */
    uint64_t heads[2];           /* query heads and key-value heads, 0 when unknown */
    ls_arena arena;
} ls_weights;

const char *ls_weight_verdict_name(ls_weight_verdict verdict);
const char *ls_weight_method_name(ls_weight_method method);
static inline bool ls_weight_fails(const ls_weight_pair *pair) { return pair->verdict > LS_WEIGHT_MATCH; }
/* NAME, NAME[3] or NAME[64:128]; not escaped. */
void ls_weight_title(const ls_weights *weights, int side, const ls_weight_part *part, char *out, size_t capacity);

/* The preset says that GGUF files do without this weight of a checkpoint. */
bool ls_weight_is_left_out(const ls_weights *weights, const char *name);

/* The scheme that quantized a side of the pair; NULL where both hold weights. */
const char *ls_weight_scheme(const ls_weights *weights, const ls_weight_pair *pair);

#endif
