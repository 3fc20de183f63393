/* What computing the candidate's operations shows, where its weights are at hand: whether the graph and the weights are right
 * (replay), and whether the kernels are (verify). Differences that neither explains are rounding that has added up. */
#ifndef LS_DIFF_PROOF_H
#define LS_DIFF_PROOF_H

#include "diff/model.h"

/* Runs the first, which needs none of the candidate's values but its inputs. */
lockstep_status ls_proof_replay(ls_diff *diff, lockstep_error *error);
/* Runs both, if the candidate's operations can be computed, and pairs what replay has found. */
lockstep_status ls_proof_run(ls_diff *diff, lockstep_error *error);
/* Where a name or a rule leads to another tensor than the values do, the values count, and it is noted. Call when the pairs have been
 * compared. */
lockstep_status ls_proof_correct_names(ls_diff *diff, lockstep_error *error);
/* What was found of a node of the candidate; NULL where nothing was. */
const ls_replayed *ls_proof_of(const ls_diff *diff, size_t node);
const ls_check *ls_proof_check(const ls_diff *diff, size_t node);
/* A fault begins at the node: of the graph or the weights, or of the kernel or the recording. */
bool ls_proof_is_origin(const ls_diff *diff, size_t node);
/* The weight that an operand is, through views; LS_NONE. */
size_t ls_proof_weight_of(const ls_trace *trace, size_t operand);
/* A weight of the candidate that is not the reference's. The texts are copied. */
typedef struct ls_wrong_weight {
    const char *name;
    double error;            /* relative L2 */
    const char *rule, *text; /* what was done to it; or NULL */
    double left;             /* relative L2 without that */
    bool is_certain;         /* operations that read it are at fault, although replay has not found them to be: rounding hides it */
    bool is_scaled;          /* all of it has one factor: then their results would have it, too */
} ls_wrong_weight;
/* Says so of the operations at fault that read it. Returns how many operations read it and are at fault. */
size_t ls_proof_blame_weight(ls_diff *diff, const ls_wrong_weight *weight);
/* A weight of the reference that the partner of an operation at fault reads, which reads this weight of the candidate; LS_NONE if there is no such
 * operation, if its partner reads no weight of so many elements, or if it reads the weight called `known`, whatever is in front of its name. */
size_t ls_proof_wanted_weight(const ls_diff *diff, const char *weight, const char *known, uint64_t elements);
/* Whether two names are the same, but for what is in front of one of them. */
bool ls_proof_is_same_name(const char *a, const char *b);
/* Whether operations read it, and all that do were found, or are covered by what was. */
bool ls_proof_is_read_right(const ls_diff *diff, const char *weight);
/* A regular expression that matches the names of the weights that operations at fault read; NULL where these read none, and when out of
 * memory. To be freed. */
char *ls_proof_suspected_weights(const ls_diff *diff);
/* The largest relative L2 of a final output that rounding explains: as verify has measured it in the pass; where every row of every operation
 * was computed and is right, a model may have amplified it. */
double ls_proof_noise(const ls_diff *diff, size_t pass);

/* Share of the elements of the candidate's operations that were found or are covered. */
double ls_proof_coverage(const ls_diff *diff);

#endif
