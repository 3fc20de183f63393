#include "image/processor_kind.h"

#define CLIP_MEAN {0.48145466, 0.4578275, 0.40821073}
#define CLIP_STD {0.26862954, 0.26130258, 0.27577711}
#define HALF {0.5, 0.5, 0.5}
#define NEAREST &ls_filters[0]
#define BILINEAR &ls_filters[2]
#define BICUBIC &ls_filters[4]
#define SQUARE {.height = 224, .width = 224}
/* What all have in common. */
#define USUAL .do_resize = true, .do_rescale = true, .do_normalize = true, .rescale_factor = 1 / 255.0

/* Defaults are those of transformers' classes. */
const ls_processor_kind ls_processor_kinds[] = {
    {"CLIP", ls_run_plain, false, {USUAL, .do_center_crop = true, .resample = BICUBIC, .size = {.shortest_edge = 224}, .crop_size = SQUARE, .mean = CLIP_MEAN, .std = CLIP_STD}},
    {"Siglip", ls_run_plain, false, {USUAL, .resample = BICUBIC, .size = SQUARE, .mean = HALF, .std = HALF}},
    {"ViT", ls_run_plain, true, {USUAL, .resample = BILINEAR, .size = SQUARE, .mean = HALF, .std = HALF}},
    {"Gemma3", ls_run_gemma3, true, {USUAL, .resample = BILINEAR, .size = SQUARE, .mean = HALF, .std = HALF}},
    {"Mllama", ls_run_mllama, true, {USUAL, .do_pad = true, .resample = BILINEAR, .size = SQUARE, .mean = HALF, .std = HALF, .max_image_tiles = 4}},
    {0},
};
