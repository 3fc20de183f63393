/* What a model's architecture implies without a key: which GGUF architecture a Hugging Face
 * model type becomes, and what engines assume about a GGUF file from its architecture
 * alone. The table has one row per architecture. */
#ifndef LS_CHECKPOINT_ARCHITECTURES_H
#define LS_CHECKPOINT_ARCHITECTURES_H

#include <stdbool.h>

#include "checkpoint/checkpoint.h"

enum { LS_IMPLIED_UNKNOWN = -1 };

typedef struct ls_architecture {
    const char *gguf;         /* general.architecture */
    const char *activation;   /* "silu", "gelu", "relu2", or NULL if not known */
    int experts_normalized;   /* 0, 1 or LS_IMPLIED_UNKNOWN: whether the weights of the chosen experts are normalized to sum to 1 */
    int rope_step;            /* n: every n-th layer has no RoPE; 0: all have it; LS_IMPLIED_UNKNOWN */
    int window_step;          /* n: every n-th layer has full attention, the others a window; 1: all have full attention; LS_IMPLIED_UNKNOWN */
    const char *const *types; /* model_type of the checkpoints that are converted to it; NULL-terminated */
} ls_architecture;

/* NULL for an architecture that isn't in the table. */
const ls_architecture *ls_architecture_of(const char *gguf);

/* The engines' name for a checkpoint's architecture; NULL when it isn't in the table. */
const char *ls_architecture_in_gguf(const ls_checkpoint *checkpoint);

typedef enum ls_kinship { LS_KIN_SAME, LS_KIN_OTHER, LS_KIN_UNKNOWN } ls_kinship;
/* Whether two checkpoints declare the same architecture. */
ls_kinship ls_architecture_kinship(const ls_checkpoint *reference, const ls_checkpoint *candidate);
/* The architecture that a checkpoint declares: general.architecture, model_type, or the
 * model class without its head; "" when it declares none. */
const char *ls_architecture_text(const ls_checkpoint *checkpoint, const char **out_key);

#endif
