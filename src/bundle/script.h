/* Scripts that compute the operations of a bundle. */
#ifndef LS_BUNDLE_SCRIPT_H
#define LS_BUNDLE_SCRIPT_H

#include "base/text.h"
#include "trace/trace.h"

/* An operand that is read from a file: x0.npy, or x0.bin where a quantized weight's blocks are kept as they are. */
typedef struct ls_script_leaf {
    const char *name;
    int rank;
    uint64_t shape[LOCKSTEP_MAX_RANK]; /* of what is in the file */
    const char *type; /* of the candidate's tensor, a word of this program's: "f16" */
    bool is_raw;
} ls_script_leaf;

/* What an operand of an operation is: a leaf, the result of an earlier operation or a view of it, or nothing. */
typedef enum ls_script_source { LS_SCRIPT_NOTHING, LS_SCRIPT_LEAF, LS_SCRIPT_STEP } ls_script_source;
enum { LS_SCRIPT_OPERANDS = 8 };

typedef struct ls_script_step {
    ls_node node; /* its result has the shape of what is in the bundle */
    struct {
        ls_script_source source;
        size_t at;           /* of the leaves or the steps */
        const ls_node *view; /* of a step's result; NULL: all of it */
    } operands[LS_SCRIPT_OPERANDS];
} ls_script_step;

typedef struct ls_script {
    const ls_script_leaf *leaves;
    const ls_script_step *steps; /* the last one gives what is compared */
    size_t leaf_count, step_count;
} ls_script;

/* The first operation that can't be written for NumPy, or for ggml; NULL where all can. */
const char *ls_script_missing_numpy(const ls_script *script);
const char *ls_script_missing_ggml(const ls_script *script);
/* The texts of reproduce.py and reproduce.c. */
void ls_script_numpy(const ls_script *script, ls_text *out);
void ls_script_ggml(const ls_script *script, ls_text *out);

#endif
