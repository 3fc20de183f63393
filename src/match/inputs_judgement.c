/* How the inputs of the two runs differ. */
#include <limits.h>
#include <string.h>

#include "match/alignment_state.h"
#include "match/token_alignment.h"

static int32_t first_position_of(const ls_pass *pass) { return pass->positions != NULL && pass->rows > 0 ? pass->positions[0] : 0; }

/* An engine may begin with a pass over a token or two, and begin again then. Without a partner, that is no input. */
static bool is_warm_up(const ls_row_side *s, size_t p) {
    enum { MOST_ROWS = 2 };
    const ls_pass *pass = &s->trace->passes[p];
    if (s->ids[p] == NULL || s->used_count[p] > 0 || pass->rows > MOST_ROWS || first_position_of(pass) != 0)
        return false;
    bool is_first = true, begins_again = false;
    for (size_t i = 0; i < s->trace->pass_count; i++) {
        const ls_pass *other = &s->trace->passes[i];
        const bool same = i != p && s->ids[i] != NULL && other->process == pass->process && other->context == pass->context;
        is_first = is_first && !(same && i < p);
        begins_again = begins_again || (same && i > p && first_position_of(other) == 0);
    }
    return is_first && begins_again;
}

static size_t unmatched_pass(const ls_row_side *s) {
    for (size_t p = 0; p < s->trace->pass_count; p++)
        for (size_t r = 0; s->ids[p] != NULL && r < s->trace->passes[p].rows; r++)
            if (!s->used[p][r] && !is_warm_up(s, p))
                return p;
    return LS_NONE;
}

static size_t common_prefix(const ls_pass *a, const ls_pass *b) {
    size_t n = 0;
    while (n < a->rows && n < b->rows && a->tokens[n] == b->tokens[n] &&
           (a->positions == NULL || b->positions == NULL || a->positions[n] == b->positions[n]))
        n++;
    return n;
}

/* The candidate's pass whose tokens are closest to those of a pass of the reference. */
static size_t closest_pass(const ls_trace *candidate, const ls_pass *pass) {
    size_t best = LS_NONE, best_score = 0;
    for (size_t p = 0; p < candidate->pass_count; p++) {
        const ls_pass *other = &candidate->passes[p];
        if (other->tokens == NULL)
            continue;
        size_t gap = other->rows > pass->rows ? other->rows - pass->rows : pass->rows - other->rows;
        size_t score = 1000000 + 2 * common_prefix(pass, other) - (gap < 500000 ? gap : 500000);
        if (best == LS_NONE || score > best_score)
            best = p, best_score = score;
    }
    return best;
}

static bool has_extra(const ls_pass *longer, const ls_pass *shorter, size_t at) {
    return longer->rows == shorter->rows + 1 &&
           memcmp(longer->tokens, shorter->tokens, at * sizeof *longer->tokens) == 0 &&
           memcmp(longer->tokens + at + 1, shorter->tokens + at, (shorter->rows - at) * sizeof *longer->tokens) == 0;
}

static bool repeats(const int32_t *tokens, size_t at) { return at > 0 && tokens[at] == tokens[at - 1]; }

/* How the tokens of two passes differ. */
static ls_inputs_finding difference_of(const ls_pass *ref, const ls_pass *cand) {
    size_t at = common_prefix(ref, cand);
    bool in_both = at < ref->rows && at < cand->rows;
    ls_inputs_finding f = {.code = LS_INPUTS_LENGTHS, .at = at, .reference_rows = ref->rows, .candidate_rows = cand->rows};
    if (in_both && ref->tokens[at] == cand->tokens[at])
        f.code = LS_INPUTS_POSITIONS;
    else if (in_both)
        f.code = LS_INPUTS_TOKENS;
    if (has_extra(cand, ref, at < ref->rows ? at : ref->rows))
        f.code = LS_INPUTS_EXTRA_TOKEN;
    else if (has_extra(ref, cand, at < cand->rows ? at : cand->rows))
        f.code = LS_INPUTS_MISSING_TOKEN;
    f.reference_token = at < ref->rows ? ref->tokens[at] : -1;
    f.candidate_token = at < cand->rows ? cand->tokens[at] : -1;
    if (f.code == LS_INPUTS_POSITIONS) {
        f.reference_position = ref->positions[at];
        f.candidate_position = cand->positions[at];
    }
    f.is_doubled = (f.code == LS_INPUTS_EXTRA_TOKEN && repeats(cand->tokens, at)) || (f.code == LS_INPUTS_MISSING_TOKEN && repeats(ref->tokens, at));
    return f;
}

/* Are the reference's unpaired rows whole sequences of their batches, whose other sequences are paired? */
static bool lacks_sequences_only(const ls_row_side *ref) {
    bool lacks = true;
    size_t missing = 0;
    for (size_t p = 0; p < ref->trace->pass_count && lacks; p++) {
        const ls_pass *pass = &ref->trace->passes[p];
        size_t used = 0;
        bool last = false, any = false;
        for (size_t r = 0; ref->ids[p] != NULL && r < pass->rows && lacks; r++) {
            bool same = any && (pass->sequences == NULL || pass->sequences[r] == pass->sequences[r - 1]);
            if (ref->ids[p][r].padding)
                continue;
            lacks = !same || ref->ids[p][r - 1].padding || ref->used[p][r] == last;
            missing += !ref->used[p][r];
            used += ref->used[p][r];
            last = ref->used[p][r];
            any = true;
        }
        lacks = lacks && (!any || used > 0);
    }
    return lacks && missing > 0;
}

/* The furthest position among some rows of a pass; -1 for a sequence that only this batch has. */
static int32_t furthest_position(const ls_row_side *s, size_t p, size_t row, size_t end) {
    int32_t furthest = -1;
    bool paired = s->used_count[p] == 0; /* all rows of a pass without a partner count */
    for (size_t r = row; r < end; r++) {
        const ls_row_id *id = &s->ids[p][r];
        paired = paired || (!id->padding && s->used[p][r]);
        furthest = !id->padding && id->position > furthest ? id->position : furthest;
    }
    return paired ? furthest : -1;
}

/* Did the candidate only stop sooner? Then no row of it is at or beyond the first unpaired position of the
 * reference. (A warm-up run is before it.) */
static bool ended_earlier(const ls_row_side *ref, const ls_row_side *cand) {
    int32_t last = -1, first_missing = INT32_MAX;
    for (size_t p = 0; p < ref->trace->pass_count; p++)
        for (size_t r = 0; ref->ids[p] != NULL && r < ref->trace->passes[p].rows; r++)
            if (!ref->used[p][r] && ref->ids[p][r].position < first_missing && !is_warm_up(ref, p))
                first_missing = ref->ids[p][r].position;
    for (size_t p = 0; p < cand->trace->pass_count; p++)
        for (size_t r = 0, end; cand->ids[p] != NULL && r < cand->trace->passes[p].rows; r = end) {
            end = ls_rows_end_of_sequence(&cand->trace->passes[p], r);
            int32_t furthest = furthest_position(cand, p, r, end);
            last = furthest > last ? furthest : last;
        }
    return last < first_missing;
}

/* Counts unpaired passes; `silent`: only those without tokens. */
static size_t alone(const ls_row_side *s, bool silent) {
    size_t count = 0;
    for (size_t p = 0; p < s->seen; p++)
        count += (s->ids[p] == NULL || !silent) && !s->paired[p];
    return count;
}

/* Does some batch have a sequence without any paired row beside sequences that are paired? */
static bool has_lone_sequence(const ls_row_side *s) {
    for (size_t p = 0; p < s->trace->pass_count; p++) {
        const ls_pass *pass = &s->trace->passes[p];
        bool lone = false, paired = false;
        for (size_t r = 0, end; s->ids[p] != NULL && r < pass->rows; r = end) {
            bool used = false, any = false;
            end = ls_rows_end_of_sequence(pass, r);
            for (size_t i = r; i < end; i++) {
                any = any || !s->ids[p][i].padding;
                used = used || (s->used[p][i] && !s->ids[p][i].padding);
            }
            lone = lone || (any && !used);
            paired = paired || used;
        }
        if (lone && paired)
            return true;
    }
    return false;
}

/* How many tokens like the first of the given rows the reference has from there on. */
static size_t placeholders_of(const ls_trace *reference, const ls_given_rows *given) {
    for (size_t p = 0; p < reference->pass_count; p++) {
        const ls_pass *pass = &reference->passes[p];
        size_t count = 0;
        for (size_t r = 0; pass->tokens != NULL && r < pass->rows; r++) {
            const bool begun = count > 0 || (pass->positions != NULL ? pass->positions[r] : (int32_t)r) == given->position;
            if (begun && pass->tokens[r] != given->token)
                break;
            count += begun;
        }
        if (count > 0)
            return count;
    }
    return 0;
}

static size_t first_with_tokens(const ls_row_side *s) {
    size_t p = 0;
    while (p < s->trace->pass_count && (s->ids[p] == NULL || is_warm_up(s, p)))
        p++;
    return p < s->trace->pass_count ? p : LS_NONE;
}

/* Where a picture has other rows than the reference has tokens for it, that is what to say. */
static bool find_given(ls_token_alignment *a) {
    const ls_given_rows *g = &a->given;
    const size_t expected = g->count > 0 ? placeholders_of(a->state->reference.trace, g) : 0;
    if (expected == 0 || expected == g->count)
        return false;
    a->finding = (ls_inputs_finding){.code = LS_INPUTS_GIVEN_ROWS, .at = (size_t)g->position, .reference_token = g->token, .reference_rows = expected, .candidate_rows = g->count};
    return true;
}

static void judge_tokens(ls_token_alignment *a) {
    const ls_row_side *ref = &a->state->reference, *cand = &a->state->candidate;
    size_t first = first_with_tokens(ref), missing = unmatched_pass(ref);
    a->first_reference_pass = missing;
    if (missing == LS_NONE) {
        a->status = LS_INPUTS_EQUAL;
        return;
    }
    if (a->matched > 0 && has_lone_sequence(ref) && has_lone_sequence(cand)) {
        a->status = LS_INPUTS_PARTIAL;
        a->finding.code = LS_INPUTS_LONE_SEQUENCE;
        return;
    }
    if (a->matched > 0 && lacks_sequences_only(ref)) {
        a->status = LS_INPUTS_SHORTER;
        a->finding.code = LS_INPUTS_MISSING_SEQUENCES;
        return;
    }
    bool earlier = a->matched > 0 && ended_earlier(ref, cand);
    if (find_given(a)) {
        a->status = missing == first ? LS_INPUTS_DIFFER : LS_INPUTS_PARTIAL;
        return;
    }
    a->status = earlier ? LS_INPUTS_SHORTER : missing == first ? LS_INPUTS_DIFFER : LS_INPUTS_PARTIAL;
    if (a->status != LS_INPUTS_DIFFER) {
        a->finding.code = earlier ? LS_INPUTS_ENDED_EARLIER : LS_INPUTS_OTHER_TOKENS;
        return;
    }
    size_t closest = closest_pass(cand->trace, &ref->trace->passes[first]);
    if (closest != LS_NONE)
        a->finding = difference_of(&ref->trace->passes[first], &cand->trace->passes[closest]);
}

/* Of the passes that the user chose, the first that have other tokens. */
static void judge_chosen(ls_token_alignment *a) {
    const ls_row_side *ref = &a->state->reference, *cand = &a->state->candidate;
    a->status = a->pair_count > 0 ? LS_INPUTS_EQUAL : LS_INPUTS_UNKNOWN;
    for (size_t i = 0; i < a->pair_count && a->status != LS_INPUTS_DIFFER; i++) {
        const ls_pass_pair *p = &a->pairs[i];
        const ls_pass *r = &ref->trace->passes[p->reference], *c = &cand->trace->passes[p->candidate];
        const bool in_reference = ref->ids[p->reference] != NULL, in_candidate = cand->ids[p->candidate] != NULL;
        if (!in_reference && !in_candidate) {
            a->status = LS_INPUTS_UNKNOWN;
        } else if (in_reference && in_candidate && p->row_count < (r->rows < c->rows ? r->rows : c->rows) && ref->padding + cand->padding == 0) {
            a->status = LS_INPUTS_DIFFER;
            a->finding = difference_of(r, c);
        }
    }
    a->reference_alone = a->candidate_alone = a->left_out = 0;
}

void ls_token_alignment_judge(ls_token_alignment *a) {
    const ls_row_side *ref = &a->state->reference, *cand = &a->state->candidate;
    a->first_reference_pass = LS_NONE;
    a->reference_rows = ref->rows;
    a->candidate_rows = cand->rows;
    a->padding = ref->padding + cand->padding;
    a->reference_alone = alone(ref, !a->in_order);
    a->candidate_alone = alone(cand, !a->in_order);
    a->given = cand->given;
    a->by_weights = a->state->alike_count > 0 && a->in_order;
    a->left_out = a->state->alike_count > 0 ? a->candidate_alone : 0; /* another run's, or another picture's: the reference's have a partner */
    a->candidate_alone -= a->left_out;
    a->finding = (ls_inputs_finding){0};
    if (a->chosen != NULL)
        judge_chosen(a);
    else if (a->in_order || !a->state->decided)
        a->status = LS_INPUTS_UNKNOWN;
    else
        judge_tokens(a);
}
