#include "diff/judgement.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/pool.h"
#include "base/progress.h"
#include "compare/eight_bits.h"
#include "compare/row_metrics.h"
#include "match/aligned_pair.h"
#include "match/picture_node.h"

static bool are_integers(const ls_diff *d, const ls_pair *p) {
    return ls_node_is_integer(&d->in.reference.trace->nodes[p->reference_value]) && ls_node_is_integer(&d->in.candidate.trace->nodes[p->candidate_value]);
}

/* Ids and ranks are equal or not; but rounding may change the order of nearly equal values. */
static double integers_allowed(const ls_pair *p) { return p->mark.tolerance >= 5e-3 ? 0.5 : 0; }

static bool passes(const ls_diff *d, const ls_pair *p) {
    const ls_metrics *m = &p->metrics;
    if (m->masked_differ > 0 || (!p->is_score && m->masked_rel > p->mark.tolerance))
        return false;
    if (m->finite == 0)
        return true; /* only masked or non-finite elements, on which both sides agree */
    if (are_integers(d, p))
        return (double)m->above[LS_SHARES - 1] <= integers_allowed(p) * (double)m->elements; /* how many are not equal */
    return d->options.elementwise ? m->beyond == 0 : d->options.profile->passes(m, p->mark.tolerance);
}

static void judge(const ls_diff *d, ls_pair *p) {
    const ls_metrics *m = &p->metrics;
    if (m->nan_reference + m->nan_candidate > 0 || m->nonfinite_differ > 0)
        p->mark.verdict = LS_VERDICT_NONFINITE;
    else if (m->identical)
        p->mark.verdict = LS_VERDICT_IDENTICAL;
    else
        p->mark.verdict = passes(d, p) ? LS_VERDICT_MATCH : LS_VERDICT_DIVERGED;
}

/* A softmax turns scores far below the rest into 0, so engines mask with -1e4, -65504, -1e9 and so on. Returns the
 * value at or below which an element of a side counts as masked. */
static double mask_below(double least) { return least <= -9e3 && least > LS_MASK_BELOW ? least / 2 : LS_MASK_BELOW; }

/* For tensors of which it is not known what they feed: one large negative value, many times, in the same places. */
static bool is_one_mask(const ls_metrics *m) {
    return m->masked >= 2 && m->masked_differ == 0 && m->masked_spread < 1e-2 && m->masked_rel < 1e-2;
}

/* Computes all metrics of a pair. */
static lockstep_status measure(const ls_diff *d, ls_pair *p, const ls_layout *l, lockstep_error *error) {
    const ls_diff_options *o = &d->options;
    ls_compare_options limits = {.atol = o->elementwise ? o->atol : o->profile->atol, .rtol = o->elementwise ? o->rtol : o->profile->rtol,
                              .mask_reference = LS_MASK_BELOW, .mask_candidate = LS_MASK_BELOW};
    ls_metrics *m = &p->metrics;
    LS_TRY(ls_compare(&l->reference, &l->candidate, &limits, m, error));
    double reference_mask = mask_below(m->reference.min), candidate_mask = mask_below(m->candidate.min);
    bool plain = !d->in.reference.trace->is_graph && !d->in.candidate.trace->is_graph; /* what the tensor feeds is not known */
    if ((p->is_score || plain) && (reference_mask > LS_MASK_BELOW || candidate_mask > LS_MASK_BELOW)) {
        ls_compare_options apart = limits;
        ls_metrics numbers;
        apart.mask_reference = reference_mask;
        apart.mask_candidate = candidate_mask;
        LS_TRY(ls_compare(&l->reference, &l->candidate, &apart, &numbers, error));
        if (p->is_score || is_one_mask(&numbers)) {
            limits = apart;
            *m = numbers;
        }
    }
    p->mask_reference = limits.mask_reference;
    p->mask_candidate = limits.mask_candidate;
    if (!o->elementwise && o->profile->loose > 0 && m->beyond > 0) {
        ls_metrics looser;
        limits.atol = limits.rtol = o->profile->loose;
        LS_TRY(ls_compare(&l->reference, &l->candidate, &limits, &looser, error));
        m->beyond_loose = looser.beyond;
    }
    return LOCKSTEP_OK;
}

/* Several threads compare pairs, and share the arena. */
static const char *keep_text(ls_diff *d, const char *text) {
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    pthread_mutex_lock(&lock);
    const char *copy = ls_arena_copy(&d->arena, text, strlen(text));
    pthread_mutex_unlock(&lock);
    return copy != NULL ? copy : "";
}

static bool has_past(const ls_pass *pass) {
    for (size_t i = 0; pass->positions != NULL && i < pass->rows; i++)
        if (pass->positions[i] >= 0 && (size_t)pass->positions[i] >= pass->rows)
            return true;
    return false;
}

/* Do two tensors of different sizes have equally many elements per row, or per pair of rows (scores)? Tensors that
 * hold earlier tokens as well can't be recognized this way. */
static bool may_be_rows(const ls_diff *d, const ls_pair *p) {
    const ls_pass_pair *pp = &d->matching.tokens.pairs[p->pass_pair];
    const ls_pass *reference = &d->in.reference.trace->passes[pp->reference], *candidate = &d->in.candidate.trace->passes[pp->candidate];
    const double r = (double)d->in.reference.trace->nodes[p->reference_value].elements, c = (double)d->in.candidate.trace->nodes[p->candidate_value].elements;
    const double rows = (double)reference->rows, others = (double)candidate->rows;
    const double kept = (double)ls_row_selection_of(&d->in.candidate.selections, p->candidate_value).selected_count;
    const double of_reference = (double)ls_row_selection_of(&d->in.reference.selections, p->reference_value).selected_count;
    const double held_r = of_reference > 0 ? of_reference : rows, held_c = kept > 0 ? kept : others;
    return r * others == c * rows || r * others * others == c * rows * rows || r * held_c == c * held_r || has_past(reference) || has_past(candidate);
}

/* Sets what doesn't depend on values. */
static void begin(const ls_diff *d, ls_pair *p) {
    const ls_side *r = &d->in.reference, *c = &d->in.candidate;
    p->is_compared = true;
    p->is_score = r->is_score[p->reference_value] || c->is_score[p->candidate_value];
    p->mark.tolerance = ls_precision_tolerance(&r->precision[p->reference_value], &c->precision[p->candidate_value], &p->precision);
}

static void refuse(ls_diff *d, ls_pair *p, lockstep_status status, const char *reason) {
    const ls_pass_pair *pp = &d->matching.tokens.pairs[p->pass_pair];
    bool some_rows = pp->rows != NULL && !pp->whole && may_be_rows(d, p);
    p->mark.verdict = status != LOCKSTEP_INCOMPARABLE ? LS_VERDICT_UNSUPPORTED : some_rows ? LS_VERDICT_UNALIGNED : LS_VERDICT_SHAPE;
    p->reason = keep_text(d, reason);
}

static bool are_pictures(const ls_diff *d, const ls_pair *p) {
    return ls_nodes_are_pictures(&d->in.reference.trace->nodes[p->reference_value], &d->in.candidate.trace->nodes[p->candidate_value]);
}

/* Resized by two libraries, pictures differ by an 8-bit step here and there, above and below. */
static double share_of_steps(const ls_layout *l) {
    ls_eight_bits found;
    return ls_eight_bits_of(&l->reference, &l->candidate, &found) ? found.up + found.down : 0;
}

static const char as_is[] = "as is"; /* shared by most pairs */

/* Measures and judges a pair under a layout. */
static lockstep_status look(ls_diff *d, ls_pair *p, const ls_layout *layout, lockstep_error *error) {
    const ls_diff_options *o = &d->options;
    p->layout = strcmp(layout->text, as_is) == 0 ? as_is : keep_text(d, layout->text);
    LS_TRY(measure(d, p, layout, error));
    p->elements = p->metrics.elements;
    p->reference_is_cut = layout->reference_is_cut;
    judge(d, p);
    if (p->is_score && p->mark.verdict == LS_VERDICT_DIVERGED)
        p->left_of_rows = ls_row_constant_left(&layout->reference, &layout->candidate, layout->columns, p->mask_reference, p->mask_candidate);
    if (p->mark.verdict == LS_VERDICT_DIVERGED && p->metrics.rel_l2 < 0.1 && are_pictures(d, p))
        p->steps = share_of_steps(layout);
    p->grade = !o->elementwise && o->profile->grade != NULL ? o->profile->grade(&p->metrics) : NULL;
    return LOCKSTEP_OK;
}

/* Compares a pair, and returns the vote of its layout where there is one. */
static lockstep_status compare(ls_diff *d, size_t pair, ls_layout_choice choice, ls_layout_vote *out_vote, bool *out_votes, lockstep_error *error) {
    ls_pair *p = &d->pairs.items[pair];
    ls_aligned_pair aligned;
    lockstep_error unreadable;
    bool again = p->is_compared;
    *out_votes = false;
    begin(d, p);
    lockstep_status status = ls_aligned_pair_open(&d->matching, p, ls_pair_reorder(p), choice, &aligned, &unreadable);
    if (status != LOCKSTEP_OK) {
        refuse(d, p, status, unreadable.message);
        return LOCKSTEP_OK;
    }
    *out_votes = aligned.layout.has_vote;
    *out_vote = aligned.layout.vote;
    p->has_one_layout = !aligned.layout.has_choice;
    if (!again || p->layout == NULL || strcmp(p->layout, aligned.layout.text) != 0)
        status = look(d, p, &aligned.layout, error);
    ls_aligned_pair_close(&aligned);
    return status;
}

lockstep_status ls_diff_compare(ls_diff *d, size_t pair, lockstep_error *error) {
    ls_layout_vote vote;
    bool votes;
    LS_TRY(compare(d, pair, LS_LAYOUT_VOTED, &vote, &votes, error));
    if (votes)
        ls_layout_cast(&d->matching.votes, &vote);
    return LOCKSTEP_OK;
}

/* ------------------------------------------------------------------ all pairs */

/* A round over many pairs, on all cores. */
typedef struct round {
    ls_diff *d;
    ls_layout_choice choice;
    const size_t *pairs;
    struct ballot {
        ls_layout_vote vote;
        bool votes;
    } *ballots;
    pthread_mutex_t lock; /* guards the members below */
    lockstep_status status;
    lockstep_error error; /* of one of the pairs that failed */
} round;

static void run_task(void *context, uint64_t i, int worker) {
    round *r = context;
    lockstep_error error;
    (void)worker;
    lockstep_status status = compare(r->d, r->pairs[i], r->choice, &r->ballots[i].vote, &r->ballots[i].votes, &error);
    ls_progress_add(LS_STAGE_COMPARING, 1);
    if (status == LOCKSTEP_OK)
        return;
    pthread_mutex_lock(&r->lock);
    r->status = status;
    r->error = error;
    pthread_mutex_unlock(&r->lock);
}

/* Votes are counted in the order of the pairs, so that results don't depend on threads. */
static void count_votes(const round *r, size_t count) {
    for (size_t i = 0; i < count && r->choice == LS_LAYOUT_LEARN; i++)
        if (r->ballots[i].votes)
            ls_layout_cast(&r->d->matching.votes, &r->ballots[i].vote);
}

/* A pair of at least this size is compared by all cores together. */
enum { LARGE_ELEMENTS = 1 << 22 };

static bool is_large(const ls_diff *d, size_t pair) { return d->in.candidate.trace->nodes[d->pairs.items[pair].candidate_value].elements >= LARGE_ELEMENTS; }

static lockstep_status run_round(ls_diff *d, ls_layout_choice choice, const size_t *pairs, size_t count, lockstep_error *error) {
    round r = {.d = d, .choice = choice, .pairs = pairs, .ballots = calloc(count + 1, sizeof *r.ballots), .lock = PTHREAD_MUTEX_INITIALIZER};
    if (r.ballots == NULL)
        return ls_fail(error, LOCKSTEP_NO_MEMORY, "out of memory");
    size_t small = 0;
    ls_progress_begin(LS_STAGE_COMPARING, count);
    while (small < count && !is_large(d, pairs[small]))
        small++;
    ls_pool_run(small, run_task, &r);
    for (size_t i = small; i < count; i++)
        run_task(&r, i, 0);
    ls_progress_end(LS_STAGE_COMPARING);
    count_votes(&r, count);
    free(r.ballots);
    if (r.status != LOCKSTEP_OK && error != NULL)
        *error = r.error;
    return r.status;
}

/* Lists the pairs of a round: the large ones last. */
static size_t list_pairs(const ls_diff *d, ls_layout_choice choice, size_t *out) {
    size_t count = 0;
    for (int large = 0; large < 2; large++)
        for (size_t i = 0; i < d->pairs.count; i++) {
            const ls_pair *p = &d->pairs.items[i];
            bool wanted = choice == LS_LAYOUT_LEARN || (ls_pair_has_metrics(p) && !p->has_one_layout);
            if (wanted && is_large(d, i) == (large == 1))
                out[count++] = i;
        }
    return count;
}

lockstep_status ls_diff_compare_all(ls_diff *d, lockstep_error *error) {
    static const ls_layout_choice rounds[] = {LS_LAYOUT_LEARN, LS_LAYOUT_VOTED};
    lockstep_status status = LOCKSTEP_OK;
    size_t *pairs = malloc((d->pairs.count + 1) * sizeof *pairs);
    if (pairs == NULL)
        return ls_fail(error, LOCKSTEP_NO_MEMORY, "out of memory");
    for (int k = 0; k < 2 && status == LOCKSTEP_OK; k++)
        status = run_round(d, rounds[k], pairs, list_pairs(d, rounds[k], pairs), error);
    free(pairs);
    return status;
}
