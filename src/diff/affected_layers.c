#include "diff/affected_layers.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The length of a layer's number at the beginning of a text; 0. */
static size_t number_at(const char *text, int layer) {
    char digits[16];
    const int length = snprintf(digits, sizeof digits, "%d", layer);
    const char after = strncmp(text, digits, (size_t)length) == 0 ? text[length] : '0';
    return after >= '0' && after <= '9' ? 0 : (size_t)length;
}

/* Whether two names are the same, but for the number of the layer. */
static bool are_alike(const char *a, int layer_of_a, const char *b, int layer_of_b) {
    char before = '\0';
    while (*a != '\0' && *b != '\0') {
        const bool begins = before < '0' || before > '9';
        const size_t x = begins ? number_at(a, layer_of_a) : 0, y = begins ? number_at(b, layer_of_b) : 0;
        const bool both = x > 0 && y > 0;
        if (!both && *a != *b)
            return false;
        before = *a;
        a += both ? x : 1;
        b += both ? y : 1;
    }
    return *a == *b;
}

static bool are_equal(const char *a, const char *b) { return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0); }

/* The same operation of another layer. */
static bool is_counterpart(const ls_diff *d, const ls_replayed *a, const ls_replayed *b) {
    const ls_node *x = &d->in.candidate.trace->nodes[a->node], *y = &d->in.candidate.trace->nodes[b->node];
    return x->kind == y->kind && are_alike(x->name, x->layer, y->name, y->layer);
}

bool ls_has_same_fault(const ls_diff *d, const ls_replayed *a, const ls_replayed *b) {
    if (a->is_origin != b->is_origin || a->is_accepted != b->is_accepted || !are_equal(a->rule, b->rule) || !are_equal(a->weight_rule, b->weight_rule))
        return false;
    if (a->rule != NULL)
        return d->in.candidate.trace->nodes[a->node].kind == d->in.candidate.trace->nodes[b->node].kind && are_equal(a->instead, b->instead);
    return is_counterpart(d, a, b) && are_equal(a->weight_text, b->weight_text);
}

bool ls_affected_layers_find(const ls_diff *d, const ls_replayed *item, ls_affected_layers *out) {
    const ls_trace *t = d->in.candidate.trace;
    *out = (ls_affected_layers){.layers = t->nodes[item->node].layer >= 0 ? (size_t)ls_trace_last_layer(t) + 1 : 0};
    out->at_fault = calloc(out->layers + 1, sizeof *out->at_fault);
    out->present = calloc(out->layers + 1, sizeof *out->present);
    const bool ok = out->at_fault != NULL && out->present != NULL;
    for (size_t i = 0; i < d->replay.count && out->layers > 0 && ok; i++) {
        const ls_replayed *other = &d->replay.items[i];
        const int layer = t->nodes[other->node].layer;
        if (layer < 0 || !is_counterpart(d, item, other))
            continue;
        out->present[layer] = true;
        out->at_fault[layer] = out->at_fault[layer] || ls_has_same_fault(d, item, other);
    }
    for (size_t i = 0; i < out->layers && ok; i++) {
        out->faulty += out->at_fault[i];
        out->total += out->present[i];
    }
    if (!ok)
        ls_affected_layers_done(out);
    return ok;
}

void ls_affected_layers_done(ls_affected_layers *e) {
    free(e->at_fault);
    free(e->present);
    *e = (ls_affected_layers){0};
}
