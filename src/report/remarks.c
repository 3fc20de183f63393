#include "report/remarks.h"

#include <string.h>

#include "base/escape.h"
#include "base/nearest.h"
#include "trace/selection.h"

/* ------------------------------------------------------------------ inputs */

static void put_lengths(const ls_inputs_finding *f, ls_text *out) {
    if (f->reference_rows != f->candidate_rows)
        ls_text_printf(out, " (%zu tokens against %zu)", f->reference_rows, f->candidate_rows);
}

void ls_inputs_text(const ls_token_alignment *a, ls_text *out) {
    const ls_inputs_finding *f = &a->finding;
    switch (f->code) {
    case LS_INPUTS_NO_FINDING:
        return;
    case LS_INPUTS_EXTRA_TOKEN:
        ls_text_printf(out, "token ids differ: the candidate has one extra token %d at position %zu%s", f->candidate_token, f->at,
                       f->is_doubled ? " (the same as before it: doubled)" : "");
        break;
    case LS_INPUTS_MISSING_TOKEN:
        ls_text_printf(out, "token ids differ: the candidate lacks token %d at position %zu%s", f->reference_token, f->at,
                       f->is_doubled ? " (the reference has it twice: doubled)" : "");
        break;
    case LS_INPUTS_POSITIONS:
        ls_text_printf(out, "positions differ at row %zu: %d in the reference, %d in the candidate", f->at, f->reference_position, f->candidate_position);
        break;
    case LS_INPUTS_TOKENS:
        ls_text_printf(out, "token ids differ at position %zu: %d in the reference, %d in the candidate", f->at, f->reference_token, f->candidate_token);
        break;
    case LS_INPUTS_LENGTHS:
        ls_text_printf(out, "token ids differ at position %zu: the reference has %zu tokens, the candidate %zu", f->at, f->reference_rows, f->candidate_rows);
        break;
    case LS_INPUTS_LONE_SEQUENCE:
        ls_text_printf(out, "token ids differ in one sequence of a batch whose other sequences are equal (%zu of %zu rows paired)", a->matched, a->reference_rows);
        break;
    case LS_INPUTS_MISSING_SEQUENCES:
        ls_text_printf(out, "%zu rows of the reference are left out: the candidate's batches lack their sequences", a->reference_rows - a->matched);
        break;
    case LS_INPUTS_ENDED_EARLIER:
    case LS_INPUTS_OTHER_TOKENS:
        ls_text_printf(out, "%s: from pass %zu of the reference on, rows have no partner (%zu of %zu rows paired)",
                       f->code == LS_INPUTS_ENDED_EARLIER ? "the candidate ended earlier" : "different tokens", a->first_reference_pass, a->matched, a->reference_rows);
        break;
    case LS_INPUTS_GIVEN_ROWS:
        ls_text_printf(out, "a picture's embeddings differ in number: from position %zu on, the reference has token %d %zu time%s, the candidate %zu row%s of embeddings", f->at,
                       f->reference_token, f->reference_rows, f->reference_rows == 1 ? "" : "s", f->candidate_rows, f->candidate_rows == 1 ? "" : "s");
        return;
    }
    put_lengths(f, out);
}

/* ------------------------------------------------------------------ selections */

static void put_selection(const ls_diff *d, ls_text *out) {
    const char *recorded[2] = {d->in.reference.trace->only, d->in.candidate.trace->only};
    ls_selection_text(d->options.layers, d->options.tensors, NULL, out);
    for (int k = 0; k < 2; k++)
        if (recorded[k] != NULL && (k == 0 || recorded[0] == NULL || strcmp(recorded[0], recorded[1]) != 0))
            ls_text_printf(out, "%s%s", out->length > 0 ? ", " : "", recorded[k]);
    ls_text_printf(out, " only, by request");
}

/* Of the candidate's tensors, the one that may be meant by the selection; NULL. */
static const char *nearest_name(const ls_diff *d) {
    const ls_trace *t = d->in.candidate.trace;
    const char *best = NULL;
    for (size_t i = 0; i < t->node_count && d->options.tensors != NULL; i++)
        best = ls_nearer(d->options.tensors, best, t->nodes[i].name);
    return best;
}

static void put_nothing_selected(const ls_diff *d, ls_text *out) {
    ls_text only = {0};
    ls_selection_text(d->options.layers, d->options.tensors, NULL, &only);
    ls_text_printf(out, "nothing in the candidate matches the selection (%.160s)", only.data != NULL ? only.data : "");
    if (nearest_name(d) != NULL)
        ls_text_printf(out, "; did you mean %.160s? `lockstep ls` lists its names", nearest_name(d));
    else
        ls_text_printf(out, ": `lockstep ls` lists its names");
    ls_text_done(&only);
}

/* ------------------------------------------------------------------ sentences */

static void put_unpaired(ls_text *out, unsigned long long reference, unsigned long long candidate) {
    if (reference > 0)
        ls_text_printf(out, "%llu tensor%s only in the reference%s", reference, reference == 1 ? " is" : "s are", candidate > 0 ? ", " : "");
    if (candidate > 0)
        ls_text_printf(out, "%llu%s only in the candidate", candidate, reference > 0 ? "" : candidate == 1 ? " tensor is" : " tensors are");
    ls_text_printf(out, "; those in both match");
}

static void put_note(const ls_remark *r, ls_text *out) {
    ls_text_printf(out, "%s says: ", r->text);
    for (const char *c = r->detail; *c != '\0'; c++) /* a hint is one line */
        ls_text_append(out, *c == '\n' ? " " : c, 1);
}

static void put_reason(const ls_diff *d, const ls_remark *r, ls_text *out) {
    static const char rest[] = "what was compared matches";
    unsigned long long count = r->count, total = r->total;
    switch ((int)r->code) {
    case LS_REMARK_NO_VALUES: ls_text_printf(out, "%s holds no values of any tensor", r->text); break;
    case LS_REMARK_INPUTS:
        ls_inputs_text(&d->matching.tokens, out);
        ls_text_printf(out, "%s", d->matching.tokens.finding.code == LS_INPUTS_NO_FINDING ? "inputs differ" : "");
        break;
    case LS_REMARK_NOTHING_SELECTED: put_nothing_selected(d, out); break;
    case LS_REMARK_NOTHING_PAIRED: ls_text_printf(out, "no tensor of the candidate could be paired with one of the reference"); break;
    case LS_REMARK_UNREADABLE: ls_text_printf(out, "the values of %llu of %llu pairs could not be read: %.100s", count, total, r->text); break;
    case LS_REMARK_RECORDING_INCOMPLETE: ls_text_printf(out, "%s: the recording is incomplete; what it has matches", r->text); break;
    case LS_REMARK_UNPAIRED_TENSORS: put_unpaired(out, count, total); break;
    case LS_REMARK_PASSES_ALONE:
        ls_text_printf(out, "%llu passes of the reference and %llu of the candidate, without token ids, have no partner; %s", count, total, rest);
        break;
    case LS_REMARK_SELECTION_END: ls_text_printf(out, "the last tensor of the selection, %s, was not compared; %s", r->text, rest); break;
    case LS_REMARK_CANDIDATE_OUTPUT: ls_text_printf(out, "the final output %s was not compared; %s", r->text, rest); break;
    case LS_REMARK_REFERENCE_OUTPUT: ls_text_printf(out, "the reference's final output %s was not compared; %s (if the candidate is a part of the model, --tensors REGEX names it)", r->text, rest); break;
    case LS_REMARK_REPLAY_DIVERGED: ls_text_printf(out, "%llu operation%s at fault, of which no values were recorded", (unsigned long long)r->count, r->count == 1 ? " is" : "s are"); break;
    case LS_REMARK_KERNELS:
        ls_text_printf(out, "%llu operation%s on %s own recorded operands other values than were recorded (first: %s (%s); lockstep verify lists them)", count,
                       count == 1 ? " gives" : "s give", count == 1 ? "its" : "their", r->text, r->detail);
        break;
    case LS_REMARK_NOT_REPLAYED:
        ls_text_printf(out, "%s has only the graph, and its operations could not be computed: only those of ggml can, with the weights (--candidate-model names their file)", r->text);
        break;
    case LS_REMARK_REPLAY_UNSUPPORTED:
        ls_text_printf(out, "%llu operation%s can't be computed (first: %s: %s)", (unsigned long long)r->count, r->count == 1 ? "" : "s", r->text, r->detail);
        break;
    case LS_REMARK_REPLAY_OPEN:
        ls_text_printf(out, "of %llu operation%s, neither the result nor what is computed from it was found in the reference (first: %s)", (unsigned long long)r->count, r->count == 1 ? "" : "s", r->text);
        break;
    case LS_REMARK_REPLAY_BEYOND:
        ls_text_printf(out, "not comparable with this reference: %llu operation%s behind the last tensor that it holds (first: %s)", count, count == 1 ? "" : "s", r->text);
        break;
    case LS_REMARK_REPLAY_COARSE:
        ls_text_printf(out, "between this reference's tensors, the rounding of several weights adds up: at %s, it explains a difference of up to %.1e, so smaller faults "
                       "in front of it are not seen (a reference with more tensors, or a model in f32, shows them)", r->text, r->fraction);
        break;
    case LS_REMARK_REPLAY_LOST:
        ls_text_printf(out, "%llu of %llu tensors of the reference are no operation's result (first: %s)", count, total, r->text);
        break;
    case LS_REMARK_PASSES_NOT_DUMPED:
        ls_text_printf(out, "the reference's tensors are of one pass; %llu other pass%s of the candidate %s not compared", count, count == 1 ? "" : "es", count == 1 ? "was" : "were");
        break;
    case LS_REMARK_WEIGHT_DIFFERS: ls_text_printf(out, "the weight %s is not the reference's, although its type's rounding hides that in the activations", r->text); break;
    case LS_REMARK_WEIGHTS_CHANGED:
        ls_text_printf(out, "%llu of %llu weights in the engine's memory are not those of its model file: they were changed after loading (first: %s)", count, total, r->text);
        break;
    case LS_REMARK_WEIGHTS_OTHER:
        ls_text_printf(out, "%llu of %llu weights in the engine's memory are not those of --candidate-model: it had opened another file (first: %s)", count, total, r->text);
        break;
    case LS_REMARK_COVERAGE:
        ls_text_printf(out, "%.1f %% of the candidate's elements were compared, less than the required %.1f %%", 100 * r->fraction, 100 * r->limit);
        break;
    default: break;
    }
}

static void put_hint(const ls_diff *d, const ls_remark *r, ls_text *out) {
    unsigned long long count = r->count;
    switch ((int)r->code) {
    case LS_REMARK_ONE_TOKEN: ls_text_printf(out, "one token at position 0 can't show a fault of RoPE, the mask or the softmax: try a longer prompt"); break;
    case LS_REMARK_TRACE_INCOMPLETE: ls_text_printf(out, "%s is incomplete: its run did not end normally", r->text); break;
    case LS_REMARK_NOTE: put_note(r, out); break;
    case LS_REMARK_VALUES_LOST: ls_text_printf(out, "%s lost the values of %llu tensors while recording", r->text, count); break;
    case LS_REMARK_SIDES_SWAPPED:
        ls_text_printf(out, "are the two sides swapped? Presets expect the reference's names from PyTorch and the candidate's from ggml, but the reference was recorded from %s", r->text);
        break;
    case LS_REMARK_NO_PRESET:
        ls_text_printf(out, "no preset knows %s: name the preset of a similar model (--preset NAME), or list which names correspond (--map FILE, docs/presets.md)",
                       *r->text != '\0' ? r->text : "the model, which neither side names");
        break;
    case LS_REMARK_RULE_UNUSED:
        ls_text_printf(out, "rule %llu of the map, %s for %s, paired nothing: `lockstep ls` lists the names of both sides", count, r->text, r->detail);
        break;
    case LS_REMARK_RULES_UNUSED: ls_text_printf(out, "%llu more rules of the map paired nothing", count); break;
    case LS_REMARK_SELECTION: put_selection(d, out); break;
    case LS_REMARK_SELECTION_LACKS_OUTPUTS:
        put_selection(d, out);
        ls_text_printf(out, "; the model's outputs were not compared");
        break;
    case LS_REMARK_REFERENCE_POOLS:
        ls_text_printf(out, "left out: the reference also computes %s, which only pools or picks rows of what was compared", r->text);
        break;
    case LS_REMARK_OUTPUT_ROWS:
        ls_text_printf(out, "the reference computes only some rows of %s: the others of the candidate were not compared", r->text);
        break;
    case LS_REMARK_UNIT_LENGTH: ls_text_printf(out, "left out: the reference normalizes its output to length 1 in %s, and the candidate does not", r->text); break;
    case LS_REMARK_CANDIDATE_POOLS:
        ls_text_printf(out, "left out: the candidate also computes %s, which only pools or picks rows of what was compared", r->text);
        break;
    case LS_REMARK_ORDER_UNKNOWN:
        ls_text_printf(out, "the order in which these tensors were computed is not known (files only have names), so none of those that differ is called the first: "
                            "compare with a trace or an .npz, or number the files");
        break;
    case LS_REMARK_EAGER: ls_text_printf(out, "compiled regions ran eagerly: the compiler was not tested (capture --compiled runs the compiled code)"); break;
    case LS_REMARK_PASSES_NOT_COMPARED:
        ls_text_printf(out, "where several passes of the reference correspond to one of the candidate, only the first is compared (%llu are not)", count);
        break;
    case LS_REMARK_MODEL_UNOPENED: ls_text_printf(out, "the model file that the engine opened can't be read, so its operations were not computed: %s", r->text); break;
    case LS_REMARK_TOO_DEAR:
        ls_text_printf(out, "the operations were not computed, which would take %.1e multiplications: --exact computes them all the same", r->fraction);
        break;
    case LS_REMARK_MODEL_STALE: ls_text_printf(out, "the model file was changed after the run: operations with %llu of its weights were not computed", count); break;
    case LS_REMARK_OTHER_MODEL:
        ls_text_printf(out, "%llu of %llu operations give other values than were recorded: the process may have loaded another model file than --candidate-model names", (unsigned long long)r->count, (unsigned long long)r->total);
        break;
    case LS_REMARK_PERMUTED:
        ls_text_printf(out, "%s is the reference's only with its axes in another order (%s)", r->text, r->detail);
        if (r->count > 1)
            ls_text_printf(out, "; the same is true of %zu more", r->count - 1);
        ls_text_printf(out, ": a transpose that only one side has is no difference here");
        break;
    case LS_REMARK_NAMES_DROPPED:
        ls_text_printf(out, "names mean nothing here: of %llu tensors with equal names on both sides, the values of %llu are those of another one, so tensors were paired by their values", (unsigned long long)r->total, count);
        break;
    case LS_REMARK_FEW_PAIRS:
        ls_text_printf(out, "only %llu of %llu tensors have a partner: the two sides seem to be different models, or to have run on different inputs", count, (unsigned long long)r->total);
        break;
    case LS_REMARK_NAME_REFUTED:
        ls_text_printf(out, "the values of %s are not those of %s, with which its name pairs it", r->text, r->detail);
        if (count > 1)
            ls_text_printf(out, "; the same is true of %llu more", count - 1);
        break;
    case LS_REMARK_LAYERS_SWAPPED: ls_text_printf(out, "layers %llu and %llu are swapped: each is computed with the other's weights", count, (unsigned long long)r->total); break;
    case LS_REMARK_SWAPPED: ls_text_printf(out, "%s and %s are swapped in the candidate: the values of what is computed from them show it", r->text, r->detail); break;
    case LS_REMARK_OTHER_WEIGHT: ls_text_printf(out, "the candidate's values of %s are those that %s gives", r->text, r->detail); break;
    case LS_REMARK_LAYERS_LEFT_OUT:
        ls_text_printf(out, "the candidate runs nothing of %s in %llu pass%s in which the reference does, though it does in others: %llu operations were left out, the first %s", r->detail,
                       (unsigned long long)r->total, r->total == 1 ? "" : "es", (unsigned long long)r->count, r->text);
        break;
    case LS_REMARK_INPUTS_PARTIAL: ls_inputs_text(&d->matching.tokens, out); break;
    default: break;
    }
}

void ls_remark_text(const ls_diff *d, const ls_remark *r, ls_text *out) {
    put_reason(d, r, out);
    put_hint(d, r, out);
}

const char *ls_excuse_text(ls_excuse excuse) {
    static const char *const texts[] = {"",
                                        "rounding, no more than in its inputs or other layers",
                                        "one factor, undone later",
                                        "a constant in each row, which the softmax cancels",
                                        "masked earlier on one side than on the other",
                                        "different positions: one side left-pads its batch",
                                        "the same in every layer",
                                        "right when computed from the reference's values: the rounding of weights and kernels has added up",
                                        "pixels that differ by one 8-bit step here and there, as those of two libraries do",
                                        "accepted by its rule"};
    return texts[excuse];
}
