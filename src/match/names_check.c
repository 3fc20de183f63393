#include "match/names_check.h"

#include <stdlib.h>
#include <string.h>

#include "base/pool.h"
#include "match/aligned_pair.h"
#include "match/choosing.h"
#include "match/mere_number.h"

#define FAR 0.5     /* relative L2 from which on a pair by name may be another one */
#define EQUAL 5e-3
enum { SEVERAL = 4 };

typedef struct checking {
    ls_matching *m;
    bool *far;      /* per pair */
    ls_pair *named; /* those that are, once they are taken back */
    size_t count;
} checking;

/* How far the two tensors of a pair by name are from each other. */
static void measure(void *context, uint64_t i, int worker) {
    const checking *k = context;
    const ls_pair *p = &k->m->pairs->items[i];
    ls_aligned_pair aligned;
    lockstep_error why;
    (void)worker;
    if (p->method != LS_METHOD_NAME)
        return;
    k->far[i] = true;
    if (ls_aligned_pair_open(k->m, p, ls_pair_reorder(p), LS_LAYOUT_LEARN, &aligned, &why) != LOCKSTEP_OK)
        return;
    k->far[i] = !(ls_layout_error(&aligned.layout) < FAR);
    ls_aligned_pair_close(&aligned);
}

/* Takes back the pairs that are far apart. */
static bool take_back(checking *k, ls_value_findings *findings) {
    const ls_pairs *pairs = k->m->pairs;
    k->far = calloc(pairs->count + 1, sizeof *k->far);
    k->named = malloc((pairs->count + 1) * sizeof *k->named);
    if (k->far == NULL || k->named == NULL)
        return false;
    ls_pool_run(pairs->count, measure, k);
    for (size_t i = 0; i < pairs->count; i++) {
        findings->named += pairs->items[i].method == LS_METHOD_NAME;
        if (k->far[i])
            k->named[k->count++] = pairs->items[i];
    }
    if (k->count > 0)
        ls_matching_retract(k->m, k->far);
    return true;
}

/* Another tensor of the reference has the candidate's values. */
static bool is_refuted(const checking *k, const ls_resemblance *found, const ls_pair *named) {
    const size_t own = k->m->in->reference.values.value_of[named->reference];
    bool refuted = false;
    for (size_t c = 0; c < found->candidate.count && !refuted; c++) {
        const ls_piece *p = &found->candidate.items[c];
        const ls_likeness *best = found->of[c].count > 0 ? &found->of[c].items[0] : NULL;
        refuted = p->node == named->candidate_value && p->last_of < 0 && !p->sketch.is_plain && best != NULL && best->error < EQUAL && found->reference.items[best->reference].node != own;
    }
    return refuted;
}

static lockstep_status count_refuted(const checking *k, ls_value_findings *findings, lockstep_error *error) {
    ls_resemblance found;
    LS_TRY(ls_resemblance_find(k->m, 0, false, &found, error));
    for (size_t i = 0; i < k->count; i++) {
        if (!is_refuted(k, &found, &k->named[i]))
            continue;
        if (findings->refuted++ == 0) {
            findings->refuted_reference = k->named[i].reference;
            findings->refuted_candidate = k->named[i].candidate;
        }
    }
    ls_resemblance_done(&found);
    return LOCKSTEP_OK;
}

/* Pairs that are near each other are so by chance, then. */
static lockstep_status drop_names(checking *k, lockstep_error *error) {
    bool *dropped = calloc(k->m->pairs->count + 1, sizeof *dropped);
    for (size_t i = 0; i < k->m->pairs->count && dropped != NULL; i++)
        dropped[i] = k->m->pairs->items[i].method == LS_METHOD_NAME;
    if (dropped != NULL)
        ls_matching_retract(k->m, dropped);
    free(dropped);
    return dropped != NULL ? LOCKSTEP_OK : ls_fail(error, LOCKSTEP_NO_MEMORY, "out of memory");
}

/* Whether most of the names in question are mere numbers. One that says something, and has another one's values, is a finding. */
static bool mean_nothing(const checking *k) {
    size_t numbers = 0;
    for (size_t i = 0; i < k->count; i++)
        numbers += ls_is_mere_number(k->m->in->candidate.trace->nodes[k->named[i].candidate].name);
    return 2 * numbers > k->count;
}

static lockstep_status check(checking *k, ls_value_findings *findings, lockstep_error *error) {
    if (!take_back(k, findings))
        return ls_fail(error, LOCKSTEP_NO_MEMORY, "out of memory");
    if (k->count > 0)
        LS_TRY(count_refuted(k, findings, error));
    findings->drops_names = findings->refuted >= SEVERAL && findings->refuted > findings->named - k->count && mean_nothing(k);
    if (findings->drops_names)
        return drop_names(k, error);
    for (size_t i = 0; i < k->count; i++)
        LS_TRY(ls_matching_add(k->m, &k->named[i], error));
    return LOCKSTEP_OK;
}

lockstep_status ls_names_check(ls_matching *m, ls_value_findings *findings, lockstep_error *error) {
    checking k = {.m = m};
    if (m->in->reference.trace->is_graph && m->in->candidate.trace->is_graph)
        return LOCKSTEP_OK;
    const lockstep_status status = check(&k, findings, error);
    free(k.far);
    free(k.named);
    return status;
}
