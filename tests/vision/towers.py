"""Vision-language models that are made small, run in two engines, and compared. To add one, add a row."""
import collections

import projector_files
import tower_models
from tower_models import BEGIN_IMAGE, END_IMAGE, IMAGE, SIDE

HALF = [0.5, 0.5, 0.5]
CLIP_MEAN, CLIP_STD = [0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]
BEFORE, AFTER = [5, 17], [25, 33]  # token ids around the picture

# make() gives transformers' model, built(function) runs a function that builds it, files(model, hf, out) writes out/model.gguf and out/mmproj.gguf; ids: of the picture, with its
# placeholders; whole: the language model is compared, too; known: live faults of the engine, as (operation, part of its name, cause);
# pending: what is not right yet.
Row = collections.namedtuple("Row", "name make files processor side ids whole known built pending", defaults=(True, (), lambda function: function(), ""))

SIGLIP = {"image_processor_type": "SiglipImageProcessor", "do_resize": True, "do_rescale": True, "do_normalize": True, "image_mean": HALF, "image_std": HALF, "resample": 2}
PLAIN = {**SIGLIP, "do_normalize": False, "size": {"height": 256, "width": 256}, "image_seq_length": 256}

TOWERS = [
    Row("gemma3", tower_models.gemma3, projector_files.gemma3,
        {**SIGLIP, "image_processor_type": "Gemma3ImageProcessor", "size": {"height": SIDE, "width": SIDE}, "image_seq_length": 4, "do_pan_and_scan": False},
        SIDE, [BEGIN_IMAGE] + 4 * [IMAGE] + [END_IMAGE]),
    Row("llava", tower_models.llava, projector_files.llava,
        {"image_processor_type": "CLIPImageProcessor", "size": {"height": SIDE, "width": SIDE}, "do_center_crop": False, "image_mean": CLIP_MEAN, "image_std": CLIP_STD},
        SIDE, 16 * [IMAGE],
        known=(("CONCAT", "", "rolled"), ("GELU", "mm.0", "gelu-variant"))),  # the class token comes last; the projector's GELU is the one with tanh
    Row("qwen2_5_vl", tower_models.qwen2_5_vl, projector_files.by_converter({BEGIN_IMAGE: "<|vision_start|>", END_IMAGE: "<|vision_end|>", IMAGE: "<|image_pad|>"}),
        {"image_processor_type": "Qwen2VLImageProcessor", "image_mean": CLIP_MEAN, "image_std": CLIP_STD, "patch_size": 14, "merge_size": 2, "temporal_patch_size": 2, "min_pixels": 3136, "max_pixels": 1000000},
        168, [BEGIN_IMAGE] + 36 * [IMAGE] + [END_IMAGE],
        known=(("GELU", "", "gelu-variant"), ("RMS_NORM", "norm-0", "norm-eps")),  # GELU by its tanh approximation; and the engine has eps 0 whatever the file says
        pending="the patch embedding is open: the reference is given patches, cut out and put in another order, where the engine is given the picture"),
    Row("internvl", tower_models.internvl, projector_files.by_converter({BEGIN_IMAGE: "<img>", END_IMAGE: "</img>", IMAGE: "<IMG_CONTEXT>"}, ("vision_tower.", "multi_modal_projector.")),
        {**SIGLIP, "image_processor_type": "GotOcr2ImageProcessor", "size": {"height": SIDE, "width": SIDE}, "crop_to_patches": False}, SIDE, [BEGIN_IMAGE] + 4 * [IMAGE] + [END_IMAGE],
        known=(("CONCAT", "", "rolled"), ("GELU", "", "gelu-variant"), ("CONT", "layer_out", ""))),  # the class token comes last, and the last row is left out afterwards
    Row("janus", tower_models.janus, projector_files.by_converter({IMAGE: "<image_placeholder>"}),
        {**SIGLIP, "image_processor_type": "JanusImageProcessor", "size": {"height": SIDE, "width": SIDE}}, SIDE, 16 * [IMAGE],
        known=(("GELU", "", "gelu-variant"),)),  # GELU by its tanh approximation, where transformers has erf
    Row("gemma3n", tower_models.gemma3n, projector_files.gemma3n, PLAIN, 256, [], whole=False),
    Row("gemma3n-short", tower_models.gemma3n, projector_files.gemma3n, PLAIN, 256, [], whole=False, built=tower_models.with_short_stages),
]
BY_NAME = {row.name: row for row in TOWERS}
