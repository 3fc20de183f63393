#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/escape.h"
#include "report/report.h"
#include "report/styles.h"
#include "report/table.h"

enum { AROUND = 6, TEXT = 24, JOINED = 512 };

typedef struct looking {
    const ls_sequence *reference, *candidate;
    const ls_tokenizer *tokenizer;
    const ls_token_step *steps;
    size_t count;
} looking;

static bool differs(const looking *l, size_t i) { return l->steps[i].reference == LS_NONE || l->steps[i].candidate == LS_NONE ||
                                                         !ls_tokens_agree(l->reference->ids[l->steps[i].reference], l->candidate->ids[l->steps[i].candidate]); }

static const ls_token *token_of(const looking *l, int32_t id) {
    return l->tokenizer != NULL && id >= 0 && (uint64_t)id < l->tokenizer->token_count && l->tokenizer->tokens[id].text != NULL ? &l->tokenizer->tokens[id] : NULL;
}

static void cell_of(const looking *l, const ls_sequence *s, size_t index, char *out, size_t capacity) {
    out[0] = '\0';
    if (index == LS_NONE)
        return;
    int used = s->ids[index] == LOCKSTEP_NO_TOKEN ? snprintf(out, capacity, "(embedding)") : snprintf(out, capacity, "%d", s->ids[index]);
    const ls_token *t = token_of(l, s->ids[index]);
    char text[TEXT * 4 + 1];
    if (t == NULL)
        return;
    ls_escape(t->text, t->length < TEXT ? t->length : TEXT, text, sizeof text);
    snprintf(out + used, capacity - (size_t)used, " '%s'", text);
}

static void add_row(const looking *l, ls_table *table, size_t i, bool is_first) {
    char row[32], left[200], right[200];
    snprintf(row, sizeof row, "%zu", i);
    cell_of(l, l->reference, l->steps[i].reference, left, sizeof left);
    cell_of(l, l->candidate, l->steps[i].candidate, right, sizeof right);
    const char *cells[] = {row, is_first ? ">" : differs(l, i) ? "*" : "", left, right};
    ls_table_add(table, differs(l, i) ? LS_BAD : "", cells);
}

static void put_lines(const looking *l, size_t first, bool all, const ls_screen *screen, ls_text *out) {
    static const ls_column columns[] = {{"row", 0, false, true}, {" ", 0, false, false}, {"reference", 0, true, false}, {"candidate", 0, true, false}, {0}};
    size_t since = AROUND + 1; /* lines since a difference */
    bool skipped = false;
    ls_table table;
    ls_table_init(&table, screen, columns);
    for (size_t i = 0; i < l->count; i++) {
        since = differs(l, i) ? 0 : since + 1;
        const bool near = first == LS_NONE ? i < 2 * AROUND : i < first ? i + AROUND >= first : since <= AROUND;
        if (skipped && (all || near))
            ls_table_add_line(&table, LS_FAINT, "  …");
        skipped = !all && !near;
        if (!skipped)
            add_row(l, &table, i, i == first);
    }
    if (skipped)
        ls_table_add_line(&table, LS_FAINT, "  …");
    ls_table_finish(&table, out);
}

/* ------------------------------------------------------------------ likely explanations */

static bool is_doubled(const ls_sequence *s) { return s->count > 1 && s->ids[0] == s->ids[1]; }

/* The tokens of one side in steps [from, to), as text; false if a text is unknown. */
static bool join(const looking *l, bool candidate, size_t from, size_t to, char out[JOINED], ls_text *ids) {
    size_t used = 0;
    bool known = true;
    for (size_t i = from; i < to; i++) {
        size_t index = candidate ? l->steps[i].candidate : l->steps[i].reference;
        if (index == LS_NONE)
            continue;
        int32_t id = (candidate ? l->candidate : l->reference)->ids[index];
        const ls_token *t = token_of(l, id);
        ls_text_printf(ids, "%s%d", ids->length > 0 ? " " : "", id);
        known = known && t != NULL && used + t->length < JOINED;
        if (known)
            memcpy(out + used, t->text, t->length);
        used += known ? t->length : 0;
    }
    out[used] = '\0';
    return known;
}

/* One stretch in which the sides differ. */
static void say_stretch(const looking *l, size_t from, size_t to, ls_text *out) {
    size_t of_reference = 0, of_candidate = 0;
    char text[2][JOINED], shown[JOINED];
    ls_text ids[2] = {{0}, {0}};
    for (size_t i = from; i < to; i++) {
        of_reference += l->steps[i].reference != LS_NONE;
        of_candidate += l->steps[i].candidate != LS_NONE;
    }
    bool reference_known = join(l, false, from, to, text[0], &ids[0]), candidate_known = join(l, true, from, to, text[1], &ids[1]);
    bool known = reference_known && candidate_known;
    bool split = (of_reference == 1 && of_candidate > 1) || (of_candidate == 1 && of_reference > 1);
    const char *whole = of_reference == 1 ? "reference" : "candidate", *parts = of_reference == 1 ? "candidate" : "reference";
    bool same = known && of_reference > 0 && of_candidate > 0 && strcmp(text[0], text[1]) == 0;
    ls_escape(text[0], strlen(text[0]), shown, sizeof shown);
    if (same && split)
        ls_text_printf(out, "split: '%s' is one token of the %s and several of the %s (%s; %s)\n", shown, whole, parts, ids[0].data, ids[1].data);
    else if (same)
        ls_text_printf(out, "different tokens for the same text: '%s' (%s; %s)\n", shown, ids[0].data, ids[1].data);
    else if (split && !known)
        ls_text_printf(out, "split? one token of the %s corresponds to several of the %s (%s; %s): --tokenizer PATH shows the texts\n", whole, parts, ids[0].data, ids[1].data);
    else if (of_candidate == 0 && to == l->count)
        ls_text_printf(out, "the candidate ends %zu tokens earlier (%s)\n", of_reference, ids[0].data);
    else if (of_reference == 0 && to == l->count)
        ls_text_printf(out, "the candidate continues for %zu tokens (%s): an end-of-text token that was appended, or more steps\n", of_candidate, ids[1].data);
    ls_text_done(&ids[0]);
    ls_text_done(&ids[1]);
}

bool ls_report_tokens(const ls_sequence *reference, const ls_sequence *candidate, const ls_token_step *steps, size_t count,
                      const ls_tokenizer *tokenizer, bool all, const ls_screen *screen, ls_text *out) {
    looking l = {reference, candidate, tokenizer, steps, count};
    size_t first = LS_NONE, differing = 0;
    for (size_t i = 0; i < count; i++)
        if (differs(&l, i)) {
            first = first == LS_NONE ? i : first;
            differing++;
        }
    ls_text lines = {0};
    ls_text_printf(&lines, "reference  %zu tokens\ncandidate  %zu tokens\n", reference->count, candidate->count);
    put_lines(&l, first, all, screen, &lines);
    if (is_doubled(reference) != is_doubled(candidate))
        ls_text_printf(&lines, "doubled: the %s begins with token %d twice: a beginning-of-text token was added to a prompt that already had one\n",
                       is_doubled(reference) ? "reference" : "candidate", (is_doubled(reference) ? reference : candidate)->ids[0]);
    for (size_t i = 0; i < count;) {
        size_t to = i;
        while (to < count && differs(&l, to))
            to++;
        if (to > i)
            say_stretch(&l, i, to, &lines);
        i = to > i ? to : i + 1;
    }
    if (first == LS_NONE)
        ls_text_printf(&lines, LS_GOOD "verdict: equal" LS_PLAIN "\n");
    else
        ls_text_printf(&lines, LS_BAD "verdict: differ at row %zu" LS_PLAIN "\n", first);
    ls_screen_print(screen, &lines, out);
    ls_text_done(&lines);
    return first == LS_NONE;
}
