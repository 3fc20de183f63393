/* Names of graph nodes, and the blocks that they belong to. */
#ifndef LS_HOOKS_NAMES_H
#define LS_HOOKS_NAMES_H

#include "ggml_abi.h"

enum { NAME_MAX_BYTES = 160 };

/* Whether the program gave it no name ("node_27", "leaf_3" or empty). */
bool is_auto_name(const char *name);
/* The block index in "Kcur-3", "Kcur-3 (view)", "blk.3.attn_k.weight" or "cache_k_l3"; -1 if none. */
int layer_of_name(const char *name);

#endif
