#include "align/noise.h"

#include <math.h>
#include <string.h>

#include "compare/tolerance.h"

static bool is_gelu(const char *op) { return strcmp(op, "GELU") == 0 || strcmp(op, "GEGLU") == 0; }

void ls_noise_spread(const ls_trace *t, size_t from, ls_noise *all) {
    for (size_t i = from; i < t->node_count; i++) {
        const ls_node *n = &t->nodes[i];
        ls_noise own = {ls_noise_of_type(n->dtype), 0, i};
        for (size_t k = 0; k <= n->source_count; k++) {
            size_t source = k < n->source_count ? n->sources[k] : n->alias_of;
            if (source == LS_NONE || (t->nodes[source].role == LS_ROLE_INPUT && t->nodes[source].source_count == 0))
                continue; /* masks are f16 for some kernels, and exact */
            if (all[source].row > own.row) {
                own.row = all[source].row;
                own.from = all[source].from;
            }
            own.lookups = all[source].lookups > own.lookups ? all[source].lookups : own.lookups;
        }
        if (is_gelu(n->op)) {
            if (own.row < LS_NOISE_GELU_TABLE) {
                own.row = LS_NOISE_GELU_TABLE;
                own.from = i;
            }
            own.lookups++;
        }
        all[i] = own;
    }
}

double ls_noise_tolerance(const ls_noise *a, const ls_noise *b, int *out_row) {
    unsigned lookups = a->lookups > b->lookups ? a->lookups : b->lookups;
    int row = *out_row = a->row > b->row ? a->row : b->row;
    /* independent errors, one a layer, add in quadrature */
    return ls_noise_rows[row].rel_l2 * (row == LS_NOISE_GELU_TABLE ? sqrt(lookups) : 1);
}
