#include "chosen_pair.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/escape.h"
#include "base/nearest.h"
#include "checkpoint/checkpoint_diff.h"
#include "diff/diff.h"
#include "diff/proof.h"
#include "progress.h"

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

static const ls_pair *choose(const char *command, const ls_diff *d, const char *name) {
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

static int use_chosen(const char *command, ls_diff *diff, const char *name, const void *options, use_of_pair *use, int without) {
    comparison_result result;
    alike_weights alike = {0};
    ls_explanation x = {.comparison = &result.comparison};
    lockstep_error error;
    comparison_explain(command, options, diff, &alike, &result);
    x.pair = choose(command, diff, name);
    int status = name == NULL ? (without >= 0 ? without : result.status) : EXIT_TROUBLE;
    if (x.pair != NULL && ls_diagnose_pair(diff, x.pair, &x.diagnosis, &x.attempts, &error) != LOCKSTEP_OK) {
        fprintf(stderr, "lockstep %s: %s\n", command, error.message);
        status = EXIT_TROUBLE;
    } else if (x.pair != NULL) {
        status = use(&x, result.status, options);
    }
    comparison_done(&result);
    alike_weights_done(&alike);
    return status;
}

int chosen_pair_use(const char *command, const arguments *args, const void *options, use_of_pair *use, int without) {
    const char *name = args->positional_count > 2 ? args->positional[2] : NULL;
    ls_diff_options wanted;
    ls_diff *diff;
    lockstep_error error;
    if (ls_checkpoint_is_one(args->positional[0]) && ls_checkpoint_is_one(args->positional[1])) {
        fprintf(stderr, "lockstep %s: these are checkpoints, which have no operations: `lockstep diff` says all that is known of their weights\n", command);
        return EXIT_TROUBLE;
    }
    if (!comparison_understand(command, options, &wanted))
        return EXIT_TROUBLE;
    wanted.explain = name != NULL ? name : "";
    progress_begin(NULL);
    const lockstep_status done = ls_diff_paths(args->positional[0], args->positional[1], &wanted, &diff, &error);
    progress_end();
    if (done != LOCKSTEP_OK) {
        fprintf(stderr, "lockstep %s: %s\n", command, error.message);
        return EXIT_TROUBLE;
    }
    const int status = use_chosen(command, diff, name, options, use, without);
    ls_diff_free(diff);
    return status;
}
