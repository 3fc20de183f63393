#include "match/dumped_pass.h"

/* Whether an integer tensor holds the token ids of a pass. */
static bool are_tokens(const ls_trace *dump, size_t node, const ls_pass *pass) {
    ls_hold hold;
    const ls_node *n = &dump->nodes[node];
    if (pass->tokens == NULL || pass->rows == 0 || !ls_node_is_integer(n) || n->elements != pass->rows || ls_trace_hold(dump, node, &hold, NULL) != LOCKSTEP_OK)
        return false;
    bool equal = true;
    for (size_t i = 0; i < pass->rows && equal; i++) {
        double value;
        ls_view_read_f64(&hold.view, i, 1, &value);
        equal = value == pass->tokens[i];
    }
    ls_hold_release(&hold);
    return equal;
}

static bool has_axis(const ls_node *n, uint64_t size) {
    bool any = false;
    for (int i = 0; i < n->rank && !any; i++)
        any = n->shape[i] == size;
    return any;
}

/* Tensors with an axis of the pass's rows; more than all of them where its token ids are there. */
static size_t score_of(const ls_trace *dump, const ls_pass *pass) {
    size_t count = 0;
    for (size_t i = 0; i < dump->node_count; i++) {
        if (are_tokens(dump, i, pass))
            return dump->node_count + 1;
        count += pass->rows > 1 && !ls_node_is_integer(&dump->nodes[i]) && has_axis(&dump->nodes[i], pass->rows);
    }
    return count;
}

size_t ls_dumped_pass(const ls_trace *dump, const ls_trace *trace) {
    size_t best = LS_NONE, most = 0;
    for (size_t p = 0; p < trace->pass_count; p++) {
        const bool known = p > 0 && trace->passes[p].rows == trace->passes[p - 1].rows && trace->passes[p].tokens == NULL;
        const size_t score = known ? 0 : score_of(dump, &trace->passes[p]);
        if (best != LS_NONE && score <= most)
            continue;
        best = p;
        most = score;
    }
    return best;
}
