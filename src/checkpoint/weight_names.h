/* Information in the names of weights: the wrapper that a module was saved from, its
 * quantization scheme, its layer and its role. */
#ifndef LS_CHECKPOINT_WEIGHT_NAMES_H
#define LS_CHECKPOINT_WEIGHT_NAMES_H

#include "base/map.h"
#include "checkpoint/checkpoint.h"

/* A tensor as described by its name. */
typedef struct ls_weight_label {
    const char *name;   /* without wrappers; "X.weight" for the codes of a quantized X */
    const char *scheme; /* its quantization scheme, for messages; NULL: the values are the weights */
    bool is_codes;      /* if false, and there is a scheme: scales, zeros, … that belong to codes */
    size_t codes;       /* with a scheme: the tensor that holds the codes; itself if is_codes */
} ls_weight_label;

typedef struct ls_weight_labels {
    ls_weight_label *items; /* per tensor */
    ls_map names;           /* name -> tensor + 1; scales and zeros are left out */
    ls_arena arena;
} ls_weight_labels;

lockstep_status ls_weight_labels_read(const ls_checkpoint *checkpoint, ls_weight_labels *out_labels, lockstep_error *error);
void ls_weight_labels_done(ls_weight_labels *labels);
/* The tensor with this name (without wrappers), or SIZE_MAX. */
size_t ls_weight_labels_find(const ls_weight_labels *labels, const char *name);

/* Why these can't be names of the same weight: "the layer", "the role", "the tower", "weight and
 * bias"; NULL when they may be. */
const char *ls_weight_names_contradict(const char *a, const char *b);
enum { LS_WEIGHT_TEMPLATE = 512 };
/* "blk.#.ffn_up.weight": the name with its numbers left out, but not the digits of a word ("fc2"). A long one is cut. */
void ls_weight_put_template(const char *name, char out[LS_WEIGHT_TEMPLATE]);
/* The role that a name indicates ("query", "up", …); NULL if it indicates none. */
const char *ls_weight_role(const char *name);
/* The first number that is a component of the name; -1 if there is none. */
long ls_weight_layer(const char *name);

#endif
