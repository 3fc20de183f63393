/* The model files that have a trace's weights, which traces usually lack: given ones, or those that the run opened. */
#ifndef LS_EVAL_MODELS_H
#define LS_EVAL_MODELS_H

#include "trace/trace.h"

typedef enum ls_weight_state {
    LS_WEIGHT_NOWHERE,  /* in no model file */
    LS_WEIGHT_VERIFIED, /* what was sampled of the engine's memory is what the file has */
    LS_WEIGHT_ASSUMED,  /* in a file, but the engine's memory could not be read */
    LS_WEIGHT_CHANGED,  /* the engine's memory has other bytes than the file */
    LS_WEIGHT_OTHER,    /* of another shape or type than in the file */
    LS_WEIGHT_STALE,    /* the file was changed after the run, and this weight with it, or perhaps */
    LS_WEIGHT_STATES,
} ls_weight_state;

typedef struct ls_model_weight {
    const lockstep_archive *archive; /* NULL if in no file */
    size_t tensor;
    ls_weight_state state;
} ls_model_weight;

/* Zeroed: no files. */
typedef struct ls_models {
    const ls_trace *trace;
    lockstep_archive **archives;
    size_t count;
    bool are_recorded; /* they are those that the run opened */
    char unopened[500]; /* why one of those could not be opened; or "" */
    ls_model_weight *weights; /* by node */
    ls_map samples;    /* hash and size of a file's tensor -> its file << 32 | its index + 1; made when a name is in no file */
    bool has_samples;
    size_t by_state[LS_WEIGHT_STATES]; /* weights of the trace */
    size_t first_changed; /* node */
} ls_models;

/* Opens the files of these paths, which have to be readable (folders are passed over, except PyTorch's); without any, those that the trace names, as far as they
 * are. The trace is borrowed. */
lockstep_status ls_models_open(const ls_trace *trace, const char *const *paths, size_t count, ls_models *out_models, lockstep_error *error);
void ls_models_done(ls_models *models);
/* A weight as it is in its file; false, with the reason, where there is none that can be relied on. */
bool ls_models_find(const ls_models *models, size_t node, ls_view *out_view, const char **out_reason);

/* Whether the file is no longer what it was when it was opened. */
bool ls_model_file_is_changed(const ls_model_file *file);

#endif
