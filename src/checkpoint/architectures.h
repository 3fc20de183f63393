/* What a model's architecture says without a key: which of GGUF's architectures a model
 * type of Hugging Face becomes, and what engines assume of a GGUF file by its architecture
 * alone. One row of the table an architecture. */
#ifndef LS_CHECKPOINT_ARCHITECTURES_H
#define LS_CHECKPOINT_ARCHITECTURES_H

#include <stdbool.h>

#include "checkpoint/checkpoint.h"

enum { LS_IMPLIED_UNKNOWN = -1 };

typedef struct ls_architecture {
    const char *gguf;         /* general.architecture */
    const char *activation;   /* "silu", "gelu", "relu2", or NULL: not known */
    int experts_normalized;   /* 0, 1 or LS_IMPLIED_UNKNOWN: the weights of the chosen experts are made to sum to 1 */
    int rope_step;            /* every so manieth layer has no RoPE; 0: all have it; LS_IMPLIED_UNKNOWN */
    int window_step;          /* every so manieth layer sees everything, the others a window; 1: all see everything; LS_IMPLIED_UNKNOWN */
    const char *const *types; /* model_type of the checkpoints that become it; NULL-terminated */
} ls_architecture;

/* NULL for an architecture that the table doesn't have. */
const ls_architecture *ls_architecture_of(const char *gguf);

/* What engines call a checkpoint's architecture; NULL when the table doesn't say. */
const char *ls_architecture_in_gguf(const ls_checkpoint *checkpoint);

typedef enum ls_kinship { LS_KIN_SAME, LS_KIN_OTHER, LS_KIN_UNKNOWN } ls_kinship;
/* Whether two checkpoints say that they hold one architecture. */
ls_kinship ls_architecture_kinship(const ls_checkpoint *reference, const ls_checkpoint *candidate);
/* What a checkpoint says of its architecture: general.architecture, model_type, or the
 * model class without its head; "" when it says nothing. */
const char *ls_architecture_text(const ls_checkpoint *checkpoint, const char **out_key);

#endif
