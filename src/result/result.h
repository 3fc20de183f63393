/* The JSON of a comparison, of traces or of checkpoints, read back: what other formats are written from, so that none disagrees with it. */
#ifndef LS_RESULT_RESULT_H
#define LS_RESULT_RESULT_H

#include <jansson.h>

#include "base/arena.h"
#include "base/error.h"
#include "base/map.h"
#include "base/text.h"

typedef enum ls_case_state {
    LS_CASE_PASSES,
    LS_CASE_FAILS,
    LS_CASE_FOLLOWS, /* it fails because of something before it */
} ls_case_state;

/* Something that was compared: a pair of tensors, or a finding about more than one pair. */
typedef struct ls_case {
    const char *name;      /* the candidate's, with its operation; or what a finding is about */
    const char *key;       /* the same in other results of these two programs */
    const char *reference; /* "" */
    const char *group;     /* "layer 3", "pass 0", "weights", "findings" */
    const char *verdict;
    const char *reason;    /* of what fails; "" */
    ls_case_state state;
    double error;          /* relative L2, or of weights NMSE; NaN where it is not known */
    json_t *pair;          /* borrowed; NULL of a finding */
} ls_case;

typedef struct ls_result {
    json_t *json;
    bool is_of_traces; /* else, of checkpoints */
    ls_case *cases;
    size_t count, capacity;
    ls_map origins; /* the candidate's nodes that are at fault -> index of the operation + 1; the key as below */
    ls_map failing; /* the candidate's nodes whose pairs fail; the key is the number's bytes */
    ls_arena arena;
} ls_result;

/* Reads a file that --json has written. Fails, with the place, for anything else. */
lockstep_status ls_result_open(const char *path, ls_result *out_result, lockstep_error *error);
/* The same of a document, which is taken over, also on failure. */
lockstep_status ls_result_take(json_t *json, const char *name, ls_result *out_result, lockstep_error *error);
void ls_result_done(ls_result *result);
/* How many pairs, or findings, have this state; the verdict is neither. */
size_t ls_result_count(const ls_result *result, bool pairs, ls_case_state state);
/* Whether the comparison found no difference, and compared enough. */
bool ls_result_is_match(const ls_result *result);
/* The verdict, and its reason ("" if there is none). */
const char *ls_result_verdict(const ls_result *result);
const char *ls_result_reason(const ls_result *result);
/* The exit status of the comparison: 0 match, 1 diverged, 2 not comparable. */
int ls_result_exit_status(const ls_result *result);

/* A member as text, "" if it is none; a number, NaN if it is none ("nan" and "inf" are numbers). A path has dots: "reference.path". */
const char *ls_result_text(const json_t *object, const char *path);
double ls_result_number(const json_t *object, const char *path);

/* ------------------------------------------------------------------ judge.c */

/* Rules of the user's; NaN for none. */
typedef struct ls_thresholds {
    double rel_l2, max_abs, cosine, nmse; /* cosine: the least, the others: the most */
} ls_thresholds;

bool ls_thresholds_any(const ls_thresholds *thresholds);
/* Judges all pairs anew, and with them the verdict. Cases are listed again. */
lockstep_status ls_result_judge(ls_result *result, const ls_thresholds *thresholds, lockstep_error *error);

/* ------------------------------------------------------------------ baseline.c */

/* What changed since an earlier result. */
typedef struct ls_changes {
    size_t failed_before, new_failures, worse, repaired, gone; /* gone: compared before, and no longer */
    bool is_worse;  /* something failed that did not before, or got worse, or is gone */
} ls_changes;

/* Fills in how the result differs from the earlier one, and a text for people. */
lockstep_status ls_result_compare(const ls_result *result, const ls_result *baseline, ls_changes *out_changes, ls_text *out, lockstep_error *error);

/* ------------------------------------------------------------------ formats */

/* JUnit's XML: a case is a test. */
void ls_result_junit(const ls_result *result, ls_text *out);
/* Markdown for a pull request: fewer than 60 lines. */
void ls_result_markdown(const ls_result *result, ls_text *out);

#endif
