#include <math.h>

#include "report/conclusion.h"
#include "report/depth.h"
#include "report/head.h"
#include "report/pair_table.h"
#include "report/replay_report.h"
#include "report/report.h"
#include "report/titles.h"

static void put_oracle(ls_text *out, const ls_comparison *c) {
    enum { SHOWN = 6 };
    char name[LS_TITLE];
    for (size_t i = 0; c->oracle != NULL && i < c->oracle->count && i < SHOWN; i++) {
        const ls_opinion *o = &c->oracle->opinions[i];
        const ls_node *n = &c->diff->in.candidate.trace->nodes[o->node];
        ls_title_text(n->name, name, sizeof name);
        ls_text_printf(out, "oracle     %s, pass %zu: ", name, n->pass);
        if (isnan(o->reference) || isnan(o->candidate))
            ls_text_printf(out, "could not be compared\n");
        else
            ls_text_printf(out, "the reference is %.1e from it, the candidate %.1e: the %s is the less exact\n", o->reference, o->candidate, o->candidate > o->reference ? "candidate" : "reference");
    }
}

/* What there is to know besides the first divergence. */
static void put_details(const ls_comparison *c, bool all, ls_text *out) {
    ls_put_hints(c->diff, out);
    ls_report_replay_origins(c->diff, all, out);
    put_oracle(out, c);
    if (c->weights != NULL)
        ls_report_weights(c->weights, !c->diff->is_replayed, all, out);
}

void ls_report_terminal(const ls_comparison *c, const ls_row_choice *rows, const ls_screen *screen, ls_text *out) {
    const ls_diff *d = c->diff;
    ls_text lines = {0};
    ls_put_head(screen, c, rows->all, &lines);
    if (d->pairs.count > 0) {
        ls_put_depth(screen, d, &lines);
        ls_text_printf(&lines, "\n");
        ls_put_pair_table(screen, d, rows, &lines);
    }
    if (rows->all)
        ls_put_unpaired(d, &lines);
    put_details(c, rows->all, &lines);
    ls_put_conclusion(c, &lines);
    ls_screen_print(screen, &lines, out);
    ls_text_done(&lines);
}
