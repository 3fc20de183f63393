#include "result/result.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/escape.h"

enum { WORST = 10, HINTS = 5, TEXT = 1200 };

/* Whether Markdown or HTML could take a character for its own. */
static bool is_special(const char *text, const char *at) {
    const bool inside = at > text && isalnum((unsigned char)at[-1]) && isalnum((unsigned char)at[1]);
    if ((unsigned char)*at >= 0x80 || isalnum((unsigned char)*at) || strchr(" .,;%/=()'", *at) != NULL)
        return false;
    return *at == ':' ? strncmp(at, "://", 3) == 0 : !((*at == '-' || *at == '_') && inside) && !(*at == '+' && at > text);
}

/* What is special is written as an entity. */
static void put_text(const char *text, ls_text *out) {
    char escaped[TEXT];
    ls_escape(text, strlen(text), escaped, sizeof escaped);
    for (const char *c = escaped; *c != '\0'; c++)
        if (is_special(escaped, c))
            ls_text_printf(out, "&#%d;", (unsigned char)*c);
        else
            ls_text_append(out, c, 1);
}

static void put_code(const char *text, ls_text *out) {
    ls_text_printf(out, "<code>");
    put_text(text, out);
    ls_text_printf(out, "</code>");
}

static void put_error(double error, ls_text *out) {
    if (isnan(error))
        ls_text_printf(out, "–");
    else
        ls_text_printf(out, "%.2e", error);
}

static void put_sides(const ls_result *r, ls_text *out) {
    static const char *const sides[] = {"reference", "candidate"};
    ls_text_printf(out, "\n| | path | engine | model |\n|---|---|---|---|\n");
    for (size_t i = 0; i < 2; i++) {
        const json_t *side = json_object_get(r->json, sides[i]);
        const char *engine = ls_result_text(side, r->is_of_traces ? "engine" : "format"), *version = ls_result_text(side, "engine_version");
        ls_text_printf(out, "| %s | ", sides[i]);
        put_code(ls_result_text(side, "path"), out);
        ls_text_printf(out, " | ");
        put_text(engine, out);
        ls_text_printf(out, " ");
        put_text(version, out);
        ls_text_printf(out, " | ");
        put_text(ls_result_text(side, "model"), out);
        ls_text_printf(out, " |\n");
    }
}

static void put_first(const json_t *first, ls_text *out) {
    const double layer = ls_result_number(first, "candidate.layer"), pass = ls_result_number(first, "candidate.pass");
    const json_t *cause = json_array_get(json_object_get(first, "causes"), 0);
    ls_text_printf(out, "\n**First divergence:** ");
    put_code(ls_result_text(first, "candidate.name"), out);
    ls_text_printf(out, " (");
    put_text(ls_result_text(first, "candidate.op"), out);
    ls_text_printf(out, ")");
    if (layer >= 0)
        ls_text_printf(out, ", layer %.0f", layer);
    if (!isnan(pass))
        ls_text_printf(out, ", pass %.0f", pass);
    ls_text_printf(out, "; in the reference ");
    put_code(ls_result_text(first, "reference.name"), out);
    ls_text_printf(out, "  \nrelative L2 ");
    put_error(ls_result_number(first, "metrics.rel_l2"), out);
    ls_text_printf(out, " (tolerance ");
    put_error(ls_result_number(first, "tolerance"), out);
    ls_text_printf(out, "); the largest difference: %.6g where the reference has %.6g\n", ls_result_number(first, "metrics.max_abs_candidate"), ls_result_number(first, "metrics.max_abs_reference"));
    if (cause == NULL)
        return;
    ls_text_printf(out, "\n**Cause:** ");
    put_text(ls_result_text(cause, "rule"), out);
    ls_text_printf(out, ": ");
    put_text(ls_result_text(cause, "summary"), out);
    ls_text_printf(out, "\n");
    if (*ls_result_text(cause, "where") != '\0') {
        ls_text_printf(out, "\n**Look at:** ");
        put_text(ls_result_text(cause, "where"), out);
        ls_text_printf(out, "\n");
    }
}

/* What fails by itself, then what follows; larger errors first. */
static int by_error(const void *a, const void *b) {
    const ls_case *x = *(const ls_case *const *)a, *y = *(const ls_case *const *)b;
    if (x->state != y->state)
        return x->state == LS_CASE_FAILS ? -1 : 1;
    const double l = isnan(x->error) ? INFINITY : x->error, r = isnan(y->error) ? INFINITY : y->error;
    return l != r ? (l > r ? -1 : 1) : (x > y) - (x < y);
}

static void put_row(const ls_case *c, ls_text *out) {
    ls_text_printf(out, "| ");
    put_code(c->name, out);
    ls_text_printf(out, " | ");
    put_code(c->reference, out);
    ls_text_printf(out, " | ");
    put_error(c->error, out);
    ls_text_printf(out, " | %s", c->state == LS_CASE_FOLLOWS ? "downstream" : "");
    put_text(c->state == LS_CASE_FOLLOWS ? "" : c->verdict, out);
    ls_text_printf(out, *c->reason != '\0' ? ": " : "");
    put_text(c->reason, out);
    ls_text_printf(out, " |\n");
}

static void put_worst(const ls_result *r, ls_text *out) {
    const ls_case **worst = calloc(r->count + 1, sizeof *worst);
    size_t count = 0;
    for (size_t i = 1; i < r->count && worst != NULL; i++) /* the first is the verdict */
        if (r->cases[i].state != LS_CASE_PASSES && r->cases[i].pair != NULL)
            worst[count++] = &r->cases[i];
    if (worst != NULL)
        qsort(worst, count, sizeof *worst, by_error);
    if (count > 0)
        ls_text_printf(out, "\n| candidate | reference | %s | |\n|---|---|---|---|\n", r->is_of_traces ? "relative L2" : "NMSE");
    const char *names[WORST];
    size_t shown = 0;
    for (size_t i = 0; i < count && shown < WORST; i++) {
        bool is_new = true; /* of several passes, the worst stands for all */
        for (size_t k = 0; k < shown && is_new; k++)
            is_new = strcmp(names[k], worst[i]->name) != 0;
        if (!is_new)
            continue;
        put_row(worst[i], out);
        names[shown++] = worst[i]->name;
    }
    if (count > shown)
        ls_text_printf(out, "\n… and %zu more, in these and other passes\n", count - shown);
    free(worst);
}

/* What fails beside the pairs. */
static void put_findings(const ls_result *r, ls_text *out) {
    size_t count = 0;
    for (size_t i = 1; i < r->count; i++) {
        const ls_case *c = &r->cases[i];
        if (c->pair != NULL || c->state == LS_CASE_PASSES || count++ >= HINTS)
            continue;
        ls_text_printf(out, count == 1 ? "\n- " : "- ");
        put_text(c->name, out);
        ls_text_printf(out, "\n");
    }
    if (count > HINTS)
        ls_text_printf(out, "- and %zu more findings\n", count - HINTS);
}

static void put_hints(const ls_result *r, ls_text *out) {
    const json_t *hints = json_object_get(r->json, "hints");
    const size_t count = json_array_size(hints);
    for (size_t i = 0; i < count && i < HINTS; i++) {
        const char *hint = json_string_value(json_array_get(hints, i));
        ls_text_printf(out, i == 0 ? "\n- " : "- ");
        put_text(hint != NULL ? hint : "", out);
        ls_text_printf(out, "\n");
    }
    if (count > HINTS)
        ls_text_printf(out, "- and %zu more notes\n", count - HINTS);
}

void ls_result_markdown(const ls_result *r, ls_text *out) {
    const json_t *first = json_object_get(r->json, "first_divergence");
    static const char *const marks[] = {"✅ ", "❌ ", "⚠ "}; /* by the exit status */
    ls_text_printf(out, "### Lockstep: %s", marks[ls_result_exit_status(r)]);
    put_text(ls_result_verdict(r), out);
    ls_text_printf(out, "\n");
    if (*ls_result_reason(r) != '\0') {
        ls_text_printf(out, "\n");
        put_text(ls_result_reason(r), out);
        ls_text_printf(out, "\n");
    }
    if (json_is_object(first))
        put_first(first, out);
    put_sides(r, out);
    const size_t agree = ls_result_count(r, true, LS_CASE_PASSES), fail = ls_result_count(r, true, LS_CASE_FAILS), follow = ls_result_count(r, true, LS_CASE_FOLLOWS);
    ls_text_printf(out, "\n%zu compared: %zu agree, %zu fail, %zu more follow from these.\n", agree + fail + follow, agree, fail, follow);
    put_findings(r, out);
    put_worst(r, out);
    put_hints(r, out);
    const char *command = ls_result_text(r->json, "produced.command");
    if (*command != '\0') {
        ls_text_printf(out, "\nTo see it again: ");
        put_code(command, out);
        ls_text_printf(out, "\n");
    }
}
