/* Which parts of a model a file holds: GGUF has the text model in one file and its image and
 * audio towers, with their projectors, in another (mmproj). */
#ifndef LS_CHECKPOINT_MODEL_PARTS_H
#define LS_CHECKPOINT_MODEL_PARTS_H

#include "checkpoint/checkpoint.h"

typedef enum ls_model_part { LS_PART_TEXT = 1, LS_PART_TOWERS = 2 } ls_model_part;

/* Bits of ls_model_part. */
unsigned ls_model_parts(const ls_checkpoint *checkpoint);
ls_model_part ls_model_part_of(const char *name);
/* The kind of module that a name belongs to: "attention", "mlp", "norms", "embeddings", "others". */
const char *ls_model_module_of(const char *name);

#endif
