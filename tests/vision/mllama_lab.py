"""Llama 3.2 Vision: transformers against the tower in NumPy, with and without its bugs, and against itself without cross-attention."""
import collections
import sys

import gallery
import keeper
import mllama_tower
import numpy as np
import projector_files
import scenes
import segments
import torch
import tower_models

PROCESSOR = {"image_processor_type": "MllamaImageProcessor", "size": {"height": tower_models.MLLAMA_SIDE, "width": tower_models.MLLAMA_SIDE}, "max_image_tiles": tower_models.MLLAMA_TILES}
GIVEN = ("pixel_values", "aspect_ratio_ids", "aspect_ratio_mask")
TILES = 3  # side by side; a fourth is padding

# tensor: the dump that is wrong first. known_place, known_cause: what is not right yet.
Bug = collections.namedtuple("Bug", "name tensor causes known_place known_cause", defaults=((), "", ""))
NO_EXPERIMENTS = "experiments are made with operations of the candidate, and an archive has none"
BUGS = [
    Bug("gate", "pre_tile", ("term-scale",)),
    Bug("tile order", "pre_tile", ("term-order",)),
    Bug("no mask", "local.0.attn", ("mask",), known_cause=NO_EXPERIMENTS),
    Bug("gelu", "local.0.act", ("activation", "gelu-variant")),
    Bug("class last", "with_class", ("rolled",), known_place="tensors with their rows rolled are not recognized by their values: it is named at the first that is, local.0.attn"),
    Bug("layer order", "output", ("row-order", "permute-axes", "transpose"), known_place="an output with its channels in another order is not recognized by its values: it is listed as the candidate's alone"),
    Bug("layer early", "output", ("swapped-with",), known_cause="other values in a part of the channels: that these are another tensor's is not looked for"),
]


def made(case):
    def make(folder):
        torch.manual_seed(keeper.breeding.SEED)
        tower_models.mllama().save_pretrained(folder / "hf")
        projector_files.save_processor(folder / "hf", PROCESSOR)
    return keeper.once(case / "model", key(), make)


def key(*more):
    own = [(gallery.HERE / name).read_bytes() for name in ("tower_models.py", "run_mllama.py", "scenes.py", "mllama_lab.py")]
    return keeper.digest(own, keeper.transformers.__version__, *more)


def recorded(case, name, *options):
    """transformers' run: "reference", or with options."""
    side = tower_models.MLLAMA_SIDE

    def make(folder):
        scenes.photograph(TILES * side).crop((0, 0, TILES * side, side)).save(case / "picture.png")
        gallery.recorded(folder, sys.executable, gallery.HERE / "run_mllama.py", case / "model" / "hf", case / "picture.png", *options)
    case.mkdir(parents=True, exist_ok=True)
    made(case)
    return keeper.once(case / name, key(keeper.hooks_key()), make)


def given(trace):
    """What the processor made of the picture, as the reference recorded it."""
    lines = [line for line in map(gallery.json.loads, open(trace / "trace.jsonl")) if line.get("name") in GIVEN and line.get("file")]
    first = {line["name"]: line for line in reversed(lines)}
    return [segments.load_values(trace, first[name]) for name in GIVEN]


def dumped(case, trace, bug=None):
    """An archive as a port writes it: its own names, in its own order."""
    pixels, aspect, mask = given(trace)
    tower = mllama_tower.Tower(case / "model" / "hf", bug)
    out = case / f"{bug or 'clean'}.npz"
    np.savez(out, **tower.run(pixels.reshape(-1, *pixels.shape[-3:]), int(aspect.flat[0]), mask.reshape(-1)))
    return out


def compared(case, bug=None):
    """(exit status, JSON, text) of transformers' tower against the one in NumPy."""
    trace = recorded(case, "tower", "--tower")
    return gallery.diff(trace, dumped(case, trace, bug), case / f"report-{bug or 'clean'}")


def without_cross_attention(case):
    return gallery.diff(recorded(case, "reference"), recorded(case, "without", "--without-cross-attention"), case / "report-without")
