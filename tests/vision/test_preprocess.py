"""`lockstep preprocess` against transformers' image processors, in both of their arithmetics."""
import json
import math
import subprocess

import numpy as np
import PIL.Image
import pictures
import pytest
import torch
import transformers
from test_decoding import LOCKSTEP, PLAIN, preprocess

MEAN, STD = [0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]
CONFIGS = {
    "mllama": {"image_processor_type": "MllamaImageProcessor", "size": {"height": 56, "width": 56}, "max_image_tiles": 4, "image_mean": MEAN, "image_std": STD},
    "mllama, nine tiles": {"image_processor_type": "MllamaImageProcessorFast", "size": {"height": 28, "width": 28}, "max_image_tiles": 9, "resample": 3},
    "clip": {"image_processor_type": "CLIPImageProcessor", "size": {"shortest_edge": 56}, "crop_size": {"height": 56, "width": 56}},
    "clip, as older files have it": {"feature_extractor_type": "CLIPFeatureExtractor", "size": 60, "crop_size": 56, "resample": 3, "do_center_crop": True},
    "clip, odd crop beyond the picture": {"image_processor_type": "CLIPImageProcessor", "size": {"shortest_edge": 20}, "crop_size": {"height": 57, "width": 23}},
    "siglip": {"image_processor_type": "SiglipImageProcessor", "size": {"height": 64, "width": 48}, "resample": 2, "processor_class": "SiglipProcessor"},
    "gemma 3n": {"image_processor_type": "SiglipImageProcessorFast", "feature_extractor_type": "Gemma3nAudioFeatureExtractor", "size": {"height": 64, "width": 64}, "resample": 2, "do_normalize": False},
    "gemma 3": {"image_processor_type": "Gemma3ImageProcessor", "size": {"height": 56, "width": 56}, "do_pan_and_scan": None},
    "gemma 3, pan and scan": {"image_processor_type": "Gemma3ImageProcessorFast", "size": {"height": 56, "width": 56}, "do_pan_and_scan": True,
                              "pan_and_scan_min_crop_size": 16, "pan_and_scan_max_num_crops": 4, "pan_and_scan_min_ratio_to_activate": 1.2},
    "longest edge": {"image_processor_type": "CLIPImageProcessor", "size": {"shortest_edge": 40, "longest_edge": 70}, "do_center_crop": False, "resample": 1},
    "within a box": {"image_processor_type": "CLIPImageProcessor", "size": {"max_height": 40, "max_width": 70}, "do_center_crop": False},
    "padded": {"image_processor_type": "ViTImageProcessor", "size": 40, "do_pad": True, "pad_size": {"height": 50, "width": 41}},
    "not rescaled": {"image_processor_type": "ViTImageProcessor", "size": 40, "do_rescale": False, "image_mean": 127.5, "image_std": [127.5, 100, 50]},
    "other factor": {"image_processor_type": "ViTImageProcessor", "size": 40, "rescale_factor": 1 / 127.5, "image_mean": [1, 1, 1], "image_std": [1, 1, 1]},
}
CLASSES = {"Mllama": (transformers.MllamaImageProcessor, transformers.MllamaImageProcessorPil), "CLIP": (transformers.CLIPImageProcessor, transformers.CLIPImageProcessorPil),
           "Siglip": (transformers.SiglipImageProcessor, transformers.SiglipImageProcessorPil), "Gemma3": (transformers.Gemma3ImageProcessor, transformers.Gemma3ImageProcessorPil),
           "ViT": (transformers.ViTImageProcessor, transformers.ViTImageProcessorPil)}
SHAPES = {
    "photograph": pictures.saved(pictures.photo(203, 149), "JPEG"), "upright": pictures.saved(pictures.photo(75, 300), "PNG"),
    "the size that is wanted": pictures.saved(pictures.photo(56, 56), "PNG"), "1x1": pictures.saved(pictures.photo(1, 1), "PNG"),
    "1x4000": pictures.saved(pictures.photo(1, 4000), "PNG"), "4000x1": pictures.saved(pictures.photo(4000, 1), "PNG"),
    "grey": pictures.saved(pictures.photo(90, 61).convert("L"), "PNG"), "alpha": pictures.saved(PIL.Image.fromarray(pictures.noise(61, 90, 4), "RGBA"), "PNG"),
    "turned": pictures.saved(pictures.photo(203, 149), "JPEG", exif=pictures.exif(6)),
}


def kind_of(config):
    name = config.get("image_processor_type") or config["feature_extractor_type"]
    return next(kind for kind in CLASSES if name.startswith(kind))


def by_transformers(config, data, arithmetic):
    """{name: array}, or None where transformers itself fails."""
    own = {key: value for key, value in config.items() if not key.endswith("_type") and value is not None}
    processor = CLASSES[kind_of(config)][arithmetic == "pillow"](**own)
    image = PIL.Image.fromarray(np.ascontiguousarray(pictures.pixels(data).transpose(1, 2, 0)))
    try:
        made = processor(images=[[image]] if kind_of(config) == "Mllama" else image, return_tensors="pt")
    except (ValueError, RuntimeError, ZeroDivisionError):
        return None
    return {name: np.asarray(value) for name, value in made.items()}


@pytest.mark.parametrize("arithmetic", ["torchvision", "pillow"])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", CONFIGS)
def test_outputs_are_those_of_transformers(name, shape, arithmetic, tmp_path):
    config, data = CONFIGS[name], SHAPES[shape]
    expected = by_transformers(config, data, arithmetic)
    done, found = preprocess(tmp_path, data, config, "--arithmetic", arithmetic)
    if expected is None or found is None:
        assert found is None and expected is None, done.stderr
        assert done.returncode == 2
        return
    for key, value in expected.items():
        assert np.array_equal(found[key].reshape(value.shape), value), key
        assert found[key].shape == value.shape or key == "num_tiles"
    assert found["pixel_values"].dtype == expected["pixel_values"].dtype


def test_the_run_of_the_llama_3_2_vision_notes(tmp_path):
    """1280x748 on a canvas of 1120x1120: resized to 1120x654, 2x2 tiles of 560, aspect ratio 6."""
    config = {**CONFIGS["mllama"], "size": {"height": 560, "width": 560}}
    _, found = preprocess(tmp_path, pictures.saved(pictures.photo(1280, 748), "PNG"), config)
    assert found["resized"].shape == (3, 654, 1120)
    assert found["padded"].shape == (3, 1120, 1120)
    assert found["tiles"].shape == (4, 3, 560, 560)
    assert found["aspect_ratio_ids"].tolist() == [[6]]
    assert found["aspect_ratio_mask"].tolist() == [[[1, 1, 1, 1]]]
    assert found["num_tiles"].tolist() == [[4]]


def test_stages_follow_from_each_other(tmp_path):
    _, found = preprocess(tmp_path, SHAPES["photograph"], CONFIGS["mllama"], "--arithmetic", "pillow")
    rows, columns = (size // 56 for size in found["padded"].shape[1:])
    tiles = found["padded"].reshape(3, rows, 56, columns, 56).transpose(1, 3, 0, 2, 4).reshape(-1, 3, 56, 56)
    assert np.array_equal(found["tiles"], tiles)
    assert np.array_equal(found["padded"][:, :found["resized"].shape[1], :found["resized"].shape[2]], found["resized"])
    assert np.array_equal(found["rescaled"], (tiles.astype(float) / 255).astype("f4"))
    lines = map(json.loads, (tmp_path / "out" / "trace.jsonl").read_text().splitlines())
    nodes = {line["name"]: line for line in lines if "i" in line}
    assert nodes["decoded"]["role"] == "input"
    assert nodes["tiles"]["src"] == [nodes["padded"]["i"]]


# --- the ways to resize

FILTERS = {"nearest": 0, "lanczos": 1, "bilinear": 2, "bicubic": 3, "box": 4, "hamming": 5}
SIZES = [(56, 40), (203, 40), (56, 149), (400, 300), (1, 1), (7, 500), (190, 20)]


def resized(folder, data, size, name, way):
    config = {**PLAIN, "do_resize": True, "size": {"height": size[1], "width": size[0]}, "resample": FILTERS[name]}
    done, found = preprocess(folder, data, config, "--arithmetic", way)
    assert done.returncode == 0, done.stderr
    return found["resized"]


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("name", FILTERS)
def test_pillow_s_filters_to_the_bit(name, size, tmp_path):
    data = SHAPES["photograph"]
    image = PIL.Image.fromarray(pictures.pixels(data).transpose(1, 2, 0))
    expected = np.asarray(image.resize(size, FILTERS[name])).transpose(2, 0, 1)
    assert np.array_equal(resized(tmp_path, data, size, name, "pillow"), expected)


@pytest.mark.parametrize("size", [size for size in SIZES if size != (1, 1)], ids=str)  # torch itself fails there
@pytest.mark.parametrize("name", ["nearest", "lanczos", "bilinear", "bicubic"])
def test_torchvision_s_filters_to_the_bit(name, size, tmp_path):
    from torchvision.transforms.v2 import InterpolationMode, functional

    data = SHAPES["photograph"]
    mode = InterpolationMode.NEAREST_EXACT if name == "nearest" else InterpolationMode(name)
    expected = functional.resize(torch.from_numpy(pictures.pixels(data).copy()), [size[1], size[0]], mode, antialias=True).numpy()
    assert np.array_equal(resized(tmp_path, data, size, name, "torchvision"), expected)


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("way, options", [("float", {"antialias": True, "align_corners": False}), ("half-pixel", {"align_corners": False}), ("corners", {"align_corners": True})])
@pytest.mark.parametrize("name", ["bilinear", "bicubic"])
def test_torch_s_interpolate(name, way, options, size, tmp_path):
    data = SHAPES["photograph"]
    exact = torch.nn.functional.interpolate(torch.from_numpy(pictures.pixels(data).copy())[None].float(), (size[1], size[0]), mode=name, **options)[0].numpy().clip(0, 255)
    found = resized(tmp_path, data, size, name, way)
    assert np.abs(found - exact).max() <= 0.5 + 1e-3
    if way != "float":
        cut = resized(tmp_path, data, size, name, f"{way}-truncated")
        assert (exact - cut).min() >= -1e-3 and (exact - cut).max() <= 1 + 1e-3


def clip_cpp(image, width, height, long):
    """Point sampling as llama.cpp's clip.cpp has it: the first corner aligned, or both, in floats cut off to 8 bits."""
    f = np.float32
    rows, columns = image.shape[1:]
    step_x, step_y = f(columns - 1) / f(width - long), f(rows - 1) / f(height - long)
    x, y = f(step_x) * np.arange(width, dtype=f), f(step_y) * np.arange(height, dtype=f)
    x0, y0 = np.floor(x).astype(int), np.floor(y).astype(int)
    x1, y1 = np.minimum(x0 + 1, columns - 1), np.minimum(y0 + 1, rows - 1)
    image, fx, fy = image.astype(f), (x - x0).astype(f), (y - y0).astype(f)[:, None]
    top = image[:, y0][:, :, x0] + (image[:, y0][:, :, x1] - image[:, y0][:, :, x0]) * fx
    bottom = image[:, y1][:, :, x0] + (image[:, y1][:, :, x1] - image[:, y1][:, :, x0]) * fx
    return np.trunc(top + (bottom - top) * fy)


@pytest.mark.parametrize("way", ["corners-truncated", "short-corners-truncated"])
def test_point_sampling_of_llama_cpp(way, tmp_path):
    data = SHAPES["photograph"]
    found = resized(tmp_path, data, (56, 40), "bilinear", way)
    difference = np.abs(found - clip_cpp(pictures.pixels(data), 56, 40, way.startswith("corners")))
    assert difference.max() <= 1 and (difference > 0).mean() < 1e-3  # a float rounded to one side of a whole number


# --- what is refused, and said

def refusal(folder, config, *options):
    done, found = preprocess(folder, SHAPES["1x1"], config, *options)
    assert done.returncode == 2 and found is None
    return done.stderr


@pytest.mark.parametrize("change, message", [
    ({"image_processor_type": "Qwen2VLImageProcessor"}, "found 'Qwen2VLImageProcessor', expected an image processor of these: CLIP, Siglip, ViT, Gemma3, Mllama"),
    ({"image_processor_type": None}, "found no image_processor_type, expected an image processor of these"),
    ({"size": {"depth": 3}}, "size: expected only height, width, shortest_edge"), ({"size": "big"}, "size: expected a number"),
    ({"size": {"height": -4, "width": 5}}, "size: expected a whole number from 1 to 65535"),
    ({"size": {"height": 4}}, "size: expected height and width"), ({"do_resize": 1}, "do_resize: expected true or false"),
    ({"image_mean": [1, 2]}, "image_mean: expected 3 numbers, or one for all channels"), ({"image_std": [1, 0, 1]}, "image_std: expected numbers above 0"),
    ({"resample": 9}, "resample: expected a resampling filter of Pillow's, 0 to 5"), ({"rescale_factor": 0}, "rescale_factor: expected a number above 0"),
    ({"resample": 4}, "torchvision has no filter 'box'; Pillow has"),
    ({"size": {"height": 65535, "width": 65535}}, "at most 89478485"),
])
def test_wrong_configurations_are_refused(change, message, tmp_path):
    assert message in refusal(tmp_path, {"image_processor_type": "ViTImageProcessor", **change})


def test_an_unknown_way_is_refused_with_the_known_ones(tmp_path):
    assert "--arithmetic: found 'opencv', expected one of torchvision, pillow, float" in refusal(tmp_path, PLAIN, "--arithmetic", "opencv")


def test_keys_without_effect_are_said(tmp_path):
    done, _ = preprocess(tmp_path, SHAPES["1x1"], {**PLAIN, "do_magic": True, "processor_class": "X"})
    assert done.returncode == 0
    assert "keys that have no effect here, and may have one in transformers: do_magic\n" in done.stderr


def test_a_folder_of_a_checkpoint(tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "processor_config.json").write_text(json.dumps({"image_processor": CONFIGS["mllama"], "processor_class": "MllamaProcessor"}))
    (tmp_path / "picture.png").write_bytes(SHAPES["photograph"])
    done = subprocess.run([LOCKSTEP, "preprocess", "picture.png", "--like", "model", "-o", "out"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0 and "aspect_ratio_ids" in done.stdout, done.stderr


def test_the_two_arithmetics_differ_by_a_step_at_most(tmp_path):
    both = [resized(tmp_path, SHAPES["photograph"], (56, 40), "bilinear", way).astype(int) for way in ("torchvision", "pillow")]
    assert math.isclose(np.abs(both[0] - both[1]).max(), 1)
