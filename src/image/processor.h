/* What an image processor of transformers does to a picture, as its preprocessor_config.json says. */
#ifndef LS_IMAGE_PROCESSOR_H
#define LS_IMAGE_PROCESSOR_H

#include <stdbool.h>

#include "base/text.h"
#include "image/resample.h"

/* As the key `size` and the like give it; 0: not given. */
typedef struct ls_wanted_size {
    uint32_t height, width, shortest_edge, longest_edge, max_height, max_width;
} ls_wanted_size;

typedef struct ls_processor_kind ls_processor_kind;

typedef struct ls_processor {
    const ls_processor_kind *kind;
    bool do_resize, do_center_crop, do_rescale, do_normalize, do_pad, do_pan_and_scan;
    const ls_filter *resample;
    ls_wanted_size size, crop_size, pad_size;
    double rescale_factor, mean[3], std[3];
    uint32_t max_image_tiles;                               /* Mllama */
    uint32_t pan_and_scan_min_crop_size, pan_and_scan_max_num_crops; /* Gemma 3 */
    double pan_and_scan_min_ratio_to_activate;
    ls_text unused; /* keys that were not understood, with commas in between */
} ls_processor;

/* Reads a configuration; `path` may be the folder that has it. */
lockstep_status ls_processor_open(const char *path, ls_processor *out_processor, lockstep_error *error);
void ls_processor_done(ls_processor *processor);

/* A step's result. The values belong to the list. */
typedef struct ls_stage {
    const char *name;
    lockstep_dtype dtype;
    int rank;
    uint64_t shape[LOCKSTEP_MAX_RANK];
    void *data;
    int from; /* the stage that it was made from; -1: none */
} ls_stage;

enum { LS_STAGES_MAX = 24 };
typedef struct ls_stages {
    ls_stage items[LS_STAGES_MAX];
    int count;
} ls_stages;

/* Runs it. transformers' processors have two back ends, whose ways are "torchvision" and "pillow"; they differ by one
 * 8-bit step at most. The last stages are what the model gets, under transformers' names and in its layout. */
lockstep_status ls_preprocess(const ls_processor *processor, const ls_way *way, const ls_image *image, ls_stages *out_stages, lockstep_error *error);
void ls_stages_done(ls_stages *stages);

#endif
