#include "diff/coverage.h"

/* Elements of a node without the padding of a KV cache. */
static double counted(const ls_diff *d, size_t node) {
    const ls_node *n = &d->in.candidate.trace->nodes[node];
    const ls_kv_window *w = &d->in.candidate.windows[node];
    return (double)(w->padded != 0 ? n->elements / w->padded * w->count : n->elements);
}

/* The share of a pass's rows that have a partner. Rows without one are left out of both sides, and reported. */
static double shared_rows(const ls_diff *d, size_t pass) {
    const ls_token_alignment *tokens = &d->matching.tokens;
    const ls_trace *candidate = d->in.candidate.trace;
    size_t at = ls_token_alignment_from(tokens, pass), rows = 0, all = pass < candidate->pass_count ? candidate->passes[pass].rows : 0;
    for (; at < tokens->pair_count && tokens->pairs[at].candidate == pass; at++) {
        if (tokens->pairs[at].rows == NULL || tokens->pairs[at].whole)
            return 1;
        rows += tokens->pairs[at].row_count;
    }
    return all > 0 && rows < all ? (double)rows / (double)all : 1;
}

/* Where several passes of the reference make up one of the candidate, only the rows of one are compared. */
static bool has_all_shared_rows(const ls_diff *d, size_t pass) {
    const ls_token_alignment *tokens = &d->matching.tokens;
    size_t at = ls_token_alignment_from(tokens, pass);
    return at + 1 >= tokens->pair_count || tokens->pairs[at + 1].candidate != pass;
}

/* Elements of a pair that could have been compared. The reference may have computed the logits of some rows only. */
static double comparable(const ls_diff *d, const ls_pair *p) {
    size_t pass = d->in.candidate.trace->nodes[p->candidate_value].pass;
    double share = ls_pair_has_metrics(p) ? shared_rows(d, pass) : 1, all = counted(d, p->candidate_value);
    if (share == 1 && !p->reference_is_cut)
        return all;
    return has_all_shared_rows(d, pass) ? (double)p->elements : share * all;
}

typedef struct share {
    double covered, total;
} share;

static void add_pairs(const ls_diff *d, bool integers, share *s) {
    for (size_t i = 0; i < d->pairs.count; i++) {
        const ls_pair *p = &d->pairs.items[i];
        if (p->is_extra || (!integers && ls_node_is_integer(&d->in.candidate.trace->nodes[p->candidate_value])))
            continue;
        s->covered += (double)p->elements;
        s->total += comparable(d, p);
    }
}

static void add_absorbed(const ls_diff *d, share *s) {
    const ls_matching *m = &d->matching;
    for (size_t i = 0; i < d->in.candidate.trace->node_count; i++) {
        if (m->absorbed_into[i] == 0 || m->pair_of[i] != 0)
            continue;
        s->total += counted(d, i);
        if (ls_pair_has_metrics(&d->pairs.items[m->absorbed_into[i] - 1]))
            s->covered += counted(d, i);
    }
}

static void add_unpaired(const ls_diff *d, bool integers, share *s) {
    const ls_matching *m = &d->matching;
    for (size_t i = 0; i < m->candidate_only_count; i++) {
        const ls_node *n = &d->in.candidate.trace->nodes[m->candidate_only[i]];
        if (integers || !ls_node_is_integer(n))
            s->total += counted(d, m->candidate_only[i]) * shared_rows(d, n->pass);
    }
}

static share measure(const ls_diff *d, bool integers) {
    share s = {0, 0};
    add_pairs(d, integers, &s);
    add_absorbed(d, &s);
    add_unpaired(d, integers, &s);
    return s;
}

double ls_coverage_of(const ls_diff *d) {
    share s = measure(d, false);
    if (s.total == 0)
        s = measure(d, true); /* integers (token ids, positions) count only where there is nothing else */
    if (s.total == 0)
        return 0;
    return s.covered < s.total ? s.covered / s.total : 1;
}
