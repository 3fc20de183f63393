/* Checkpoints that were quantized for transformers or MLX: codes and what belongs to them become one
 * tensor with the weight's name, shape and values. */
#ifndef LS_QUANTIZED_QUANTIZED_H
#define LS_QUANTIZED_QUANTIZED_H

#include <jansson.h>

#include "format/archive.h"

/* The codes and the tensors beside them are replaced by the weights that they stand for: tensors with
 * codes (tensor/codes.h), or with a trouble where they contradict each other. `config` is config.json, or
 * NULL. Schemes that aren't known (and those that the configuration says others of) are left as they are. */
lockstep_status ls_quantized_fold(lockstep_archive *archive, json_t *config, lockstep_error *error);
/* Whether it is a scale or zero point of activations, which says nothing about the weight that its name begins with: a checkpoint without it
 * computes in its own precision. */
bool ls_quantized_is_of_activations(const char *name);
/* quant_method of the configuration, "mlx" for MLX's, "an unnamed scheme", or NULL where there is none. */
const char *ls_quantized_method(json_t *config);
/* Opens a path, and folds it by the config.json beside it. */
lockstep_status ls_quantized_open(const char *path, lockstep_archive **out_archive, lockstep_error *error);

#endif
