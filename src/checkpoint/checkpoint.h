/* One side of a comparison of checkpoints: an archive of weights, and the files beside it. */
#ifndef LS_CHECKPOINT_CHECKPOINT_H
#define LS_CHECKPOINT_CHECKPOINT_H

#include <jansson.h>

#include "format/archive.h"
#include "preset/rules.h"

typedef struct ls_checkpoint {
    lockstep_archive *archive;
    const char *directory;    /* of the companion files; "" for a file of GGUF or ggml, which has none */
    bool gguf;
    json_t *config;           /* config.json, or NULL */
    const char *config_trouble; /* why an existing config.json can't be read; or NULL */
    const char *architecture; /* general.architecture, or config.json's model_type; "" */
    const char *model;        /* config.json's architectures[0]; "" */
    ls_arena arena;
} ls_checkpoint;

/* The path holds weights rather than a trace: a GGUF file with an architecture, a
 * directory with config.json and weights, or tensors most of which are named
 * *.weight or *.bias. False, too, when it can't be opened. */
bool ls_checkpoint_is_one(const char *path);
lockstep_status ls_checkpoint_open(const char *path, ls_checkpoint *out_checkpoint, lockstep_error *error);
void ls_checkpoint_close(ls_checkpoint *checkpoint);

/* A JSON document that may hold anything; at most `limit` bytes. NULL as *out_json
 * when there is no such file. */
lockstep_status ls_checkpoint_json(const char *path, uint64_t limit, json_t **out_json, lockstep_error *error);
/* For a file beside the weights. One that can't be read only loses the checks that depend on it, and *out_trouble says
 * why, in the arena; fails only when out of memory. */
lockstep_status ls_checkpoint_unread(ls_arena *arena, lockstep_status status, const lockstep_error *why, const char **out_trouble,
                                     lockstep_error *error);
/* Parses it from a source of any kind. */
lockstep_status ls_config_parse(ls_source *source, json_t **out_json, lockstep_error *error);
/* The value at a path of keys, "text_config.num_hidden_layers"; NULL when there is none. */
json_t *ls_config_find(json_t *config, const char *path);
/* Whether the path exists and is null, wherever the language model's configuration may be. */
bool ls_config_is_null(json_t *config, const char *path);
/* The same, wherever the language model's configuration may be: at the top level, in
 * text_config or in llm_config. */
json_t *ls_config_text(json_t *config, const char *path);

#endif
