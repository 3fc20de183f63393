/* What a graph node is called, and which block it belongs to. */
#ifndef LS_HOOKS_NAMES_H
#define LS_HOOKS_NAMES_H

#include "ggml_abi.h"

enum { NAME_MAX_BYTES = 160 };

/* The program gave it no name ("node_27"; "leaf_3"; nothing). */
bool is_auto_name(const char *name);
/* Block index of "Kcur-3", "Kcur-3 (view)", "blk.3.attn_k.weight", "cache_k_l3"; -1. */
int layer_of_name(const char *name);

#endif
