/* What the names of weights say: which wrapper a module was saved from, which scheme
 * quantized it, which layer and which role it has. */
#ifndef LS_CHECKPOINT_WEIGHT_NAMES_H
#define LS_CHECKPOINT_WEIGHT_NAMES_H

#include "base/map.h"
#include "checkpoint/checkpoint.h"

/* A tensor as its name tells it. */
typedef struct ls_weight_label {
    const char *name;   /* without wrappers; "X.weight" for the codes of a quantized X */
    const char *scheme; /* that quantized it, for messages; NULL: the values are the weights */
    bool is_codes;      /* otherwise, with a scheme: scales, zeros, … that belong to codes */
    size_t codes;       /* of a scheme: the tensor that holds the codes; itself where is_codes */
} ls_weight_label;

typedef struct ls_weight_labels {
    ls_weight_label *items; /* per tensor */
    ls_map names;           /* name -> tensor + 1; scales and zeros are left out */
    ls_arena arena;
} ls_weight_labels;

lockstep_status ls_weight_labels_read(const ls_checkpoint *checkpoint, ls_weight_labels *out_labels, lockstep_error *error);
void ls_weight_labels_done(ls_weight_labels *labels);
/* The tensor of a name without wrappers, or SIZE_MAX. */
size_t ls_weight_labels_find(const ls_weight_labels *labels, const char *name);

/* Why these can't be names of one weight: "the layer", "the role", "the tower", "weight and
 * bias"; NULL when they may be. */
const char *ls_weight_names_contradict(const char *a, const char *b);
/* The first number that is a component of the name; -1 where there is none. */
long ls_weight_layer(const char *name);
/* The role in a model that the name tells: "query", "up", …; NULL where it tells none. */
const char *ls_weight_role(const char *name);

#endif
