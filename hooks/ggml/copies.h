/* A scheduler gives each back end copies of tensors of other back ends, fills them while it
 * computes, and substitutes them for the originals in the program's graph. A copy doesn't refer
 * to its original, so the graph's sources are compared before and after the substitution. */
#ifndef LS_HOOKS_COPIES_H
#define LS_HOOKS_COPIES_H

#include "base/map.h"
#include "ggml_abi.h"

/* The sources of a graph's nodes before a scheduler splits it; NULL if out of memory. */
typedef struct graph_sources graph_sources;
graph_sources *graph_sources_of(const ggml_api *api, void *graph);
/* Rebuilds *copies (pointer of a copy -> pointer of its original), and frees the sources. */
void copies_learn(ls_map *copies, graph_sources *before);
/* The original of a copy; any other tensor itself. */
struct ggml_tensor *copies_original(const ls_map *copies, struct ggml_tensor *tensor);

#endif
