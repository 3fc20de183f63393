/* A scheduler gives each back end copies of what another one computed or holds, fills them
 * while it computes, and puts them in the place of the originals in the program's graph. The
 * copies say nothing of where they come from, so the graph is looked at before and after. */
#ifndef LS_HOOKS_COPIES_H
#define LS_HOOKS_COPIES_H

#include "base/map.h"
#include "ggml_abi.h"

/* The sources of a graph's nodes, before a scheduler splits it; NULL when out of memory. */
typedef struct graph_sources graph_sources;
graph_sources *graph_sources_of(const ggml_api *api, void *graph);
/* Fills *copies (pointer of a copy -> pointer of its original) anew, and frees the sources. */
void copies_learn(ls_map *copies, graph_sources *before);
/* The tensor itself when it is no copy. */
struct ggml_tensor *copies_original(const ls_map *copies, struct ggml_tensor *tensor);

#endif
