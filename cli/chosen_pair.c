#include "chosen_pair.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/escape.h"
#include "base/nearest.h"
#include "diff/proof.h"

static bool is_called(const ls_diff *d, const ls_pair *p, const char *name) {
    return ls_node_is_called(&d->in.candidate.trace->nodes[p->candidate], name) || ls_node_is_called(&d->in.reference.trace->nodes[p->reference], name);
}

/* Better ones are larger. */
static int rank_of(const ls_diff *d, const ls_pair *p) {
    return ls_proof_is_origin(d, p->candidate_value) ? 3 : ls_verdict_fails(p->mark.verdict) ? 2 : 1;
}

static void put_name(const char *name, const char *separator) {
    char escaped[300];
    ls_escape(name, strlen(name), escaped, sizeof escaped);
    fprintf(stderr, "%s%s", separator, escaped);
}

enum { MOST = 3 };
typedef struct suggestions {
    const char *names[MOST];
    size_t errors[MOST], count;
} suggestions;

static void consider(const char *typed, const char *name, suggestions *out) {
    const size_t errors = ls_may_be_meant(typed, name) ? ls_typing_errors(typed, name) : SIZE_MAX;
    size_t at = out->count;
    for (size_t i = 0; i < out->count; i++)
        if (strcmp(out->names[i], name) == 0)
            return;
    while (at > 0 && errors < out->errors[at - 1])
        at--;
    if (errors == SIZE_MAX || at == MOST)
        return;
    out->count += out->count < MOST;
    for (size_t i = out->count - 1; i > at; i--) {
        out->names[i] = out->names[i - 1];
        out->errors[i] = out->errors[i - 1];
    }
    out->names[at] = name;
    out->errors[at] = errors;
}

/* Names that may have been meant. */
static void suggest(const ls_diff *d, const char *typed) {
    suggestions found = {0};
    for (size_t i = 0; i < d->pairs.count; i++) {
        consider(typed, d->in.candidate.trace->nodes[d->pairs.items[i].candidate].name, &found);
        consider(typed, d->in.reference.trace->nodes[d->pairs.items[i].reference].name, &found);
    }
    for (size_t i = 0; i < found.count; i++)
        put_name(found.names[i], i == 0 ? "; did you mean " : ", ");
    fprintf(stderr, "%s\n", found.count > 0 ? "?" : ". `lockstep ls` lists the names of each side");
}

const ls_pair *chosen_pair(const char *command, const ls_diff *d, const char *name) {
    const ls_pair *best = name == NULL && d->result.first != LS_NONE ? &d->pairs.items[d->result.first] : NULL;
    for (size_t i = 0; i < d->pairs.count && name != NULL; i++) {
        const ls_pair *p = &d->pairs.items[i];
        if (is_called(d, p, name) && (best == NULL || rank_of(d, p) > rank_of(d, best)))
            best = p;
    }
    if (best == NULL && name == NULL)
        fprintf(stderr, "lockstep %s: there is no first divergence: name the tensor\n", command);
    if (best == NULL && name != NULL) {
        fprintf(stderr, "lockstep %s: no pair of tensors has the name ", command);
        put_name(name, "");
        suggest(d, name);
    }
    return best;
}
