#include "diff/layers_left_out.h"

#include <stdlib.h>

enum { LAYERS = 1024 };

/* A module by itself, which hands on what it is given, computes nothing. */
static bool computes(const ls_node *n, size_t pass) { return n->pass == pass && n->role == LOCKSTEP_ROLE_COMPUTED && n->layer >= 0 && n->layer < LAYERS && n->kind->id != LS_OP_UNKNOWN; }

/* Which layers a pass computes something of; a candidate's several passes for one of the reference are taken together. */
static void mark_layers(const ls_trace *t, size_t pass, bool *layers) {
    for (size_t i = t->passes[pass].first_node; i != LS_NONE && i < t->node_count && (t->nodes[i].pass == pass || t->nodes[i].pass == LS_NONE); i++)
        if (computes(&t->nodes[i], pass))
            layers[t->nodes[i].layer] = true;
}

/* Those of the candidate for a pass of the reference. */
static bool mark_candidate(const ls_diff *d, size_t reference, bool *layers) {
    const ls_token_alignment *tokens = &d->matching.tokens;
    bool any = false;
    for (size_t i = 0; i < tokens->pair_count; i++)
        if (tokens->pairs[i].reference == reference) {
            mark_layers(d->in.candidate.trace, tokens->pairs[i].candidate, layers);
            any = true;
        }
    for (size_t l = 0; l < LAYERS && any; l++)
        if (layers[l])
            return true;
    return false; /* no pass, or one whose layers are not known */
}

/* Counts what the reference has of layers that the candidate has in other passes only. */
static void count(const ls_diff *d, size_t pass, const bool *here, const bool *anywhere, ls_layers_left_out *out) {
    const ls_trace *t = d->in.reference.trace;
    const size_t before = out->operations;
    bool seen[LAYERS] = {false};
    for (size_t i = t->passes[pass].first_node; i != LS_NONE && i < t->node_count && (t->nodes[i].pass == pass || t->nodes[i].pass == LS_NONE); i++) {
        const int layer = t->nodes[i].layer;
        if (!computes(&t->nodes[i], pass) || here[layer] || !anywhere[layer])
            continue;
        if (out->operations++ == 0) {
            out->first = i;
            out->layer = layer;
        }
        out->layers += before == 0 && !seen[layer];
        seen[layer] = true;
    }
    out->passes += out->operations > before;
}

bool ls_layers_left_out_find(const ls_diff *d, ls_layers_left_out *out) {
    *out = (ls_layers_left_out){.first = LS_NONE};
    const ls_trace *reference = d->in.reference.trace, *candidate = d->in.candidate.trace;
    if (!reference->is_graph || !candidate->is_graph || ls_diff_is_selective(d))
        return false;
    bool anywhere[LAYERS] = {false};
    for (size_t p = 0; p < candidate->pass_count; p++)
        mark_layers(candidate, p, anywhere);
    for (size_t p = 0; p < reference->pass_count; p++) {
        bool here[LAYERS] = {false};
        if (mark_candidate(d, p, here))
            count(d, p, here, anywhere, out);
    }
    return out->operations > 0;
}
