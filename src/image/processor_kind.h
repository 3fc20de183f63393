/* The kinds of image processors: a row each in processor_kinds.c. */
#ifndef LS_IMAGE_PROCESSOR_KIND_H
#define LS_IMAGE_PROCESSOR_KIND_H

#include "image/processor.h"

/* A run of a processor. */
typedef struct ls_preprocessing {
    const ls_processor *processor;
    const ls_way *way;
    ls_stages *stages;
    lockstep_error *error;
} ls_preprocessing;

/* Otherwise torchvision's, which other ways share but for the resizing. */
static inline bool ls_is_pillow(const ls_preprocessing *run) { return run->way->arithmetic == LS_ARITHMETIC_PILLOW; }

struct ls_processor_kind {
    const char *name; /* as in "MllamaImageProcessor" */
    lockstep_status (*run)(ls_preprocessing *run, const ls_image *image);
    bool size_is_square; /* a size that is one number is that of both sides, and not of the shorter one */
    ls_processor defaults;
};

/* Ends with a NULL name. */
extern const ls_processor_kind ls_processor_kinds[];

lockstep_status ls_run_plain(ls_preprocessing *run, const ls_image *image);
lockstep_status ls_run_mllama(ls_preprocessing *run, const ls_image *image);
lockstep_status ls_run_gemma3(ls_preprocessing *run, const ls_image *image);

/* --- steps, in preprocess_steps.c; each appends a stage */

/* Pictures of equal size as [pictures, 3, height, width], or without the first axis where `is_one`. */
lockstep_status ls_stage_images(ls_preprocessing *run, const char *name, const ls_image *images, size_t count, bool is_one, int from);
/* Integers. */
lockstep_status ls_stage_integers(ls_preprocessing *run, const char *name, int rank, const uint64_t *shape, const int64_t *values, int from);
/* The last stage's bytes, rescaled and normalized as configured: a stage "rescaled", where there is such a step, and "normalized". */
lockstep_status ls_stage_values(ls_preprocessing *run);
/* What the model gets: the last stage at the beginning of a tensor of this shape, the rest of it zero. Floats that fill it
 * are not kept twice: they only get this name. */
lockstep_status ls_stage_output(ls_preprocessing *run, const char *name, int rank, const uint64_t *shape);
/* Room for a stage, zeroed; NULL with the error set. */
void *ls_stage_new(ls_preprocessing *run, const ls_stage *stage, size_t bytes);

/* Resized with the configured filter, in the run's way. */
lockstep_status ls_step_resize(const ls_preprocessing *run, const ls_image *image, const ls_box *box, uint32_t width, uint32_t height, ls_image *out_image);
/* The size that `size` asks for. */
lockstep_status ls_step_size(const ls_preprocessing *run, const ls_image *image, uint32_t *out_width, uint32_t *out_height);
/* `image` at (left, top) of a black canvas; parts beyond it are cut off. */
lockstep_status ls_step_place(const ls_preprocessing *run, const ls_image *image, int64_t left, int64_t top, uint32_t width, uint32_t height, ls_image *out_image);

#endif
