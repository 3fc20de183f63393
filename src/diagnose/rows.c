#include "diagnose/diagnose.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "compare/rearranged.h"

/* The texts are kept as long as the comparison. */
static bool keep_texts(const ls_evidence *e, ls_cause *cause) {
    for (ls_cause_parameter *p = cause->parameters; p < cause->parameters + LS_CAUSE_PARAMETERS && p->name != NULL; p++)
        if (p->text != NULL && (p->text = ls_arena_copy(&e->diff->arena, p->text, strlen(p->text))) == NULL)
            return false;
    return true;
}

static bool find(const ls_evidence *e, const ls_row_table *table, ls_cause *out) {
    ls_row_texts texts;
    ls_cause found;
    if (!ls_find_row_cause(table, &texts, &found) || !keep_texts(e, &found))
        return false;
    found.residual = sqrt(found.residual);
    *out = found;
    return true;
}

static double mean_row(const ls_evidence *e) {
    double squares = 0;
    for (size_t i = 0; i < e->count; i++)
        squares += e->reference[i] * e->reference[i];
    return squares / ((double)e->count / (double)e->channels);
}

/* Which channels or tokens differ, what they hold instead, or in what order they are. */
bool ls_fit_rows(const ls_evidence *e, ls_cause *out) {
    const double least = fmax(e->pair->mark.tolerance, ls_evidence_rounding(e)), allowed = least * least;
    const ls_row_table tokens = {.reference = e->reference, .candidate = e->candidate, .rows = e->count / e->channels, .columns = e->channels, .allowed = allowed, .typical = mean_row(e), .row = "row", .column = "channel"};
    ls_row_table channels;
    double *values = tokens.rows > 1 && tokens.columns > 1 ? ls_row_table_transpose(&tokens, &channels) : NULL;
    const bool found = values != NULL && (find(e, &channels, out) || find(e, &tokens, out));
    free(values);
    return found;
}
