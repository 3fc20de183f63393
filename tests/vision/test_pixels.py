"""`lockstep diff` on pixels: what was done otherwise to one and the same photograph is named, with the photograph and
without. Faults are planted with Pillow, NumPy and torch."""
import json
import math
import os
import pathlib
import subprocess

import numpy as np
import PIL.Image
import pictures
import pytest
import torch

LOCKSTEP = os.environ.get("LOCKSTEP_BIN", pathlib.Path(__file__).resolve().parents[2] / "build" / "lockstep")
SIZE = 56
PHOTO = pictures.photo(200, 150)
CLIP = (np.array([0.48145466, 0.4578275, 0.40821073]), np.array([0.26862954, 0.26130258, 0.27577711]))
HALF = (np.full(3, 0.5), np.full(3, 0.5))
BLACK, GREY = (0, 0, 0), (122, 116, 104)


def scaled(image, mean_and_std=HALF, factor=1 / 255):
    mean, std = mean_and_std
    return ((np.asarray(image, float) * factor - mean) / std).transpose(2, 0, 1)[None].astype("f4")


def stretched(resample=PIL.Image.BILINEAR, size=SIZE):
    return PHOTO.resize((size, size), resample)


def letterboxed(colour=BLACK, centered=True, rounding=math.floor, size=SIZE):
    height = rounding(PHOTO.height * size / PHOTO.width)
    canvas = PIL.Image.new("RGB", (size, size), colour)
    canvas.paste(PHOTO.resize((size, height), PIL.Image.BILINEAR), (0, (size - height) // 2 if centered else 0))
    return canvas


def cropped(size=SIZE):
    width = int(size * PHOTO.width / PHOTO.height)
    left = (width - size) // 2
    return PHOTO.resize((width, size), PIL.Image.BILINEAR).crop((left, 0, left + size, size))


def interpolated(cut=False, height=SIZE, **options):
    planes = torch.from_numpy(np.asarray(PHOTO).copy()).permute(2, 0, 1)[None].float()
    out = torch.nn.functional.interpolate(planes, (height, SIZE), mode="bilinear", **options)[0].permute(1, 2, 0).numpy()
    return np.trunc(out) if cut else out.round().clip(0, 255)


def letterboxed_by_corners():
    """What one build of llama.cpp's clip.cpp does."""
    canvas = np.zeros((SIZE, SIZE, 3))
    canvas[7:49] = interpolated(True, 42, align_corners=True)
    return canvas


REFERENCE = scaled(stretched())
HWC = REFERENCE.transpose(0, 2, 3, 1)
# name: the reference, the candidate, the cause with the picture and part of its sentence, the cause without it (None: none)
FAULTS = {
    "letterbox": (REFERENCE, scaled(letterboxed()), "geometry", "candidate's picture is letterboxed, 56x42 in 56x56, centered, the rest black, where the reference's is stretched to 56x56", "geometry"),
    "letterbox in the corner, in a colour": (REFERENCE, scaled(letterboxed(GREY, False)), "geometry", "letterboxed, 56x42 in 56x56, in the top left corner, the rest of colour (122, 116, 104)", "geometry"),
    "the reference letterboxes": (scaled(letterboxed()), REFERENCE, "geometry", "candidate's picture is stretched to 56x56, where the reference's is letterboxed, 56x42", "geometry"),
    "another colour of borders": (scaled(letterboxed()), scaled(letterboxed(GREY)), "geometry", "the rest of colour (122, 116, 104), where the reference's is letterboxed, 56x42 in 56x56, centered, the rest black", None),
    "borders on the other side": (scaled(letterboxed()), scaled(letterboxed(centered=False)), "geometry", "in the top left corner, the rest black, where the reference's is letterboxed, 56x42 in 56x56, centered", None),
    "size rounded up": (scaled(letterboxed(size=50), HALF), scaled(letterboxed(rounding=math.ceil, size=50), HALF), "geometry", "letterboxed, 50x38 in 50x50, centered, the rest black, where the reference's is letterboxed, 50x37", None),
    "center crop": (REFERENCE, scaled(cropped()), "geometry", "center-cropped, 74x56, the middle 56x56, where the reference's is stretched", None),
    "not resized": (REFERENCE, scaled(PHOTO), "geometry", "not resized, 200x150, where the reference's is stretched to 56x56", None),
    "bicubic": (REFERENCE, scaled(stretched(PIL.Image.BICUBIC)), "filter", "candidate is resized with bicubic, antialiased", None),
    "Lanczos": (REFERENCE, scaled(stretched(PIL.Image.LANCZOS)), "filter", "candidate is resized with lanczos, antialiased", None),
    "nearest": (REFERENCE, scaled(stretched(PIL.Image.NEAREST)), "filter", "candidate is resized with nearest", None),
    "box": (scaled(stretched(PIL.Image.BICUBIC)), scaled(stretched(PIL.Image.BOX)), "filter", "box, antialiased", None),
    "without antialiasing": (REFERENCE, scaled(interpolated(align_corners=False)), "filter", "bilinear, without antialiasing, at the centers of pixels, where the reference has bilinear, antialiased", None),
    "corners aligned, cut off": (REFERENCE, scaled(interpolated(True, align_corners=True)), "filter", "bilinear, without antialiasing, with corners aligned, and cut off to 8 bits", None),
    "cut off": (REFERENCE, scaled(interpolated(True, align_corners=False, antialias=True)), "filter", "antialiased in floats, and cut off to 8 bits", "rounding"),
    "CLIP's normalization": (REFERENCE, scaled(stretched(), CLIP), "normalization", "candidate has CLIP's mean and std, where the reference has mean and std 0.5", "normalization"),
    "values from 0 to 1": (scaled(stretched(), CLIP), scaled(stretched(), (0, 1)), "normalization", "candidate has values from 0 to 1, where the reference has CLIP's", "normalization"),
    "values from 0 to 255": (REFERENCE, scaled(stretched(), (0, 1), 1), "normalization", "candidate has values from 0 to 255", "normalization"),
    "not divided by 255": (scaled(stretched(), CLIP), scaled(stretched(), CLIP, 1), "normalization", "candidate has CLIP's mean and std without a division by 255", "normalization"),
    "std of its own": (REFERENCE, scaled(stretched(), (HALF[0], np.array([0.5, 0.25, 0.5]))), "normalization", "candidate has image_mean [0.5, 0.5, 0.5], image_std [0.5, 0.25, 0.5]", "normalization"),
    "BGR": (REFERENCE, REFERENCE[:, ::-1], "order", "in the candidate, colours are in the order blue, green, red", "order"),
    "the reference is BGR": (REFERENCE[:, ::-1], REFERENCE, "order", "in the reference, colours are in the order blue, green, red", "order"),
    "HWC in memory": (REFERENCE, HWC.copy().reshape(REFERENCE.shape), "order", "memory is interleaved (HWC) where the shape says planar (CHW)", "order"),
    "CHW in memory": (HWC, REFERENCE.copy().reshape(HWC.shape), "order", "memory is planar (CHW) where the shape says interleaved (HWC)", "order"),
    "mirrored": (REFERENCE, REFERENCE[..., ::-1], "order", "the picture is mirrored left to right", "order"),
    "upside down": (REFERENCE, REFERENCE[..., ::-1, :], "order", "the picture is mirrored top to bottom", "order"),
    "rows for columns": (REFERENCE, REFERENCE.transpose(0, 1, 3, 2), "order", "rows and columns are exchanged", "order"),
    "letterbox and CLIP's normalization": (REFERENCE, scaled(letterboxed(), CLIP), "", "letterboxed, 56x42 in 56x56, centered, the rest black, where the reference's is stretched to 56x56; the candidate has CLIP's mean and std", "geometry"),
    "letterbox and corners aligned": (REFERENCE, scaled(letterboxed_by_corners()), "", "centered, the rest black, where the reference's is stretched to 56x56; the candidate is resized with bilinear, without antialiasing, with corners aligned", "geometry"),
    "not rounded": (REFERENCE, scaled(torch.nn.functional.interpolate(torch.from_numpy(np.asarray(PHOTO).copy()).permute(2, 0, 1)[None].float(), (SIZE, SIZE), mode="bilinear", antialias=True)[0].permute(1, 2, 0).numpy()), "rounding", "the candidate is not rounded to 8 bits after it was resized", None),
    "BGR before CLIP's normalization": (scaled(stretched(), CLIP), scaled(np.asarray(stretched())[..., ::-1], CLIP), "order", "in the candidate, colours are in the order blue, green, red", "order"),
    "divided by 256": (scaled(stretched(), CLIP), scaled(stretched(), CLIP, 1 / 256), "normalization", "candidate has CLIP's mean and std, with a rescale_factor of 1/256, where the reference has CLIP's mean and std", "normalization"),
    "divided by 255 twice": (scaled(stretched(), CLIP), scaled(stretched(), CLIP, 1 / 255 ** 2), "normalization", "candidate has CLIP's mean and std, with a rescale_factor of 1/6.502e+04", "normalization"),
    "BGR and bicubic": (REFERENCE, scaled(stretched(PIL.Image.BICUBIC))[:, ::-1], "", "resized with bicubic, antialiased", None),
    "BGR and values from 0 to 1": (REFERENCE, scaled(stretched(), (0, 1))[:, ::-1], "", "colours are in the order blue, green, red; the candidate has values from 0 to 1", ""),
}


def diff(folder, reference, candidate, *options):
    np.savez(folder / "ref.npz", pixel_values=np.ascontiguousarray(reference))
    np.savez(folder / "cand.npz", inp_raw=np.ascontiguousarray(candidate))
    PHOTO.save(folder / "photo.png")
    done = subprocess.run([LOCKSTEP, "diff", "ref.npz", "cand.npz", "--json", "result.json", *options], cwd=folder, capture_output=True, text=True)
    assert done.returncode in (0, 1), done.stderr
    return done, json.loads((folder / "result.json").read_text())


def cause(result):
    causes = result["first_divergence"]["causes"]
    return causes[0] if causes else None


@pytest.mark.parametrize("name", FAULTS)
def test_named_with_the_picture(name, tmp_path):
    reference, candidate, rule, sentence, _ = FAULTS[name]
    done, result = diff(tmp_path, reference, candidate, "--image", "photo.png")
    assert result["verdict"] == "diverged"
    found = cause(result)
    assert found is not None, done.stdout
    assert found["rule"] == (f"pixels-{rule}" if rule else "pixels")
    assert sentence in found["summary"], found["summary"]
    assert found["after"] < 0.01
    assert found["where"]
    assert found["values"] > found["free"]


@pytest.mark.parametrize("name", FAULTS)
def test_named_without_the_picture_where_the_tensors_show_it(name, tmp_path):
    reference, candidate, _, _, rule = FAULTS[name]
    _, result = diff(tmp_path, reference, candidate)
    found = cause(result)
    assert result["verdict"] == "diverged"
    assert (found and found["rule"]) == (None if rule is None else f"pixels-{rule}" if rule else "pixels"), found


def test_rows_for_columns_beside_another_place_of_colours(tmp_path):
    _, result = diff(tmp_path, REFERENCE, HWC.transpose(0, 2, 1, 3))
    assert cause(result)["rule"] == "pixels-order"
    assert "rows and columns are exchanged" in cause(result)["summary"]


def test_another_place_of_colours_is_no_difference(tmp_path):
    done, result = diff(tmp_path, REFERENCE, HWC)
    assert (done.returncode, result["verdict"]) == (0, "match")


def mllama(order=slice(None), columns_first=False):
    tiles = np.asarray(PHOTO.resize((2 * SIZE, 2 * SIZE), PIL.Image.BILINEAR)).reshape(2, SIZE, 2, SIZE, 3)
    tiles = tiles.transpose(2, 0, 1, 3, 4) if columns_first else tiles.transpose(0, 2, 1, 3, 4)
    values = (tiles.reshape(4, SIZE, SIZE, 3) / 255 - CLIP[0]) / CLIP[1]
    return values.transpose(0, 3, 1, 2)[order][None, None].astype("f4")


def test_tiles_by_column(tmp_path):
    _, result = diff(tmp_path, mllama(), mllama(columns_first=True), "--image", "photo.png")
    assert cause(result)["rule"] == "pixels-tiles"
    assert "the candidate's tiles are numbered by column" in cause(result)["summary"]


def test_tiles_in_any_other_order(tmp_path):
    _, result = diff(tmp_path, mllama(), mllama([3, 0, 1, 2]))
    assert cause(result)["rule"] == "pixels-tiles"
    assert "the reference's tiles 0, 1, … are its 1, 2, 3, 0" in cause(result)["summary"]


# --- what must not be called a fault, or not be called this one

@pytest.mark.parametrize("image", [[], ["--image", "photo.png"]], ids=["alone", "with the picture"])
@pytest.mark.parametrize("resample", [PIL.Image.BILINEAR, PIL.Image.BICUBIC])
def test_two_libraries_are_one_step_apart_and_match(resample, image, tmp_path):
    from torchvision.transforms.v2 import InterpolationMode, functional

    mode = InterpolationMode.BILINEAR if resample == PIL.Image.BILINEAR else InterpolationMode.BICUBIC
    planes = torch.from_numpy(np.asarray(PHOTO).copy()).permute(2, 0, 1)
    other = functional.resize(planes, [SIZE, SIZE], mode, antialias=True).permute(1, 2, 0).numpy()
    one = np.asarray(stretched(resample)).astype(int)
    assert 0 < np.abs(one - other).max() <= 1
    done, result = diff(tmp_path, scaled(one), scaled(other), *image)
    assert (done.returncode, result["verdict"]) == (0, "match")
    assert "pixels that differ by one 8-bit step here and there" in " ".join(done.stdout.split())


def test_one_step_is_no_excuse_under_a_rule_of_the_user(tmp_path):
    other = REFERENCE.copy()
    other[0, 0, 3, 3] += np.float32(2 / 255)
    assert diff(tmp_path, REFERENCE, other)[0].returncode == 0
    done, result = diff(tmp_path, REFERENCE, other, "--atol", "1e-5", "--rtol", "0")
    assert (done.returncode, cause(result)["rule"]) == (1, "pixels-rounding")


@pytest.mark.parametrize("change", ["two steps", "off the grid", "many"])
def test_more_than_a_step_here_and_there_is_a_fault(change, tmp_path):
    other = REFERENCE.copy()
    if change == "many":
        other[:, :, ::2, ::3] += np.float32(2 / 255)
    else:
        other[0, 1, 5, 7] += np.float32({"two steps": 4 / 255, "off the grid": 0.7 * 2 / 255}[change] * 8)
    assert diff(tmp_path, REFERENCE, other)[1]["verdict"] == "diverged"


def test_a_step_is_a_fault_where_what_follows_fails(tmp_path):
    other = REFERENCE.copy()
    other[0, 0, 3, :3] += np.float32(2 / 255)
    x = np.random.default_rng(0).normal(size=(4, 8)).astype("f4")
    for name, pixels, hidden in (("ref", REFERENCE, x), ("cand", other, 1.1 * x)):
        np.savez(tmp_path / f"{name}.npz", pixel_values=pixels, hidden=hidden)
    done = subprocess.run([LOCKSTEP, "diff", "ref.npz", "cand.npz"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1 and "first divergence: pixel_values" in done.stdout
    assert "cause: pixels-rounding: one 8-bit step at most" in done.stdout


def test_another_photograph_has_no_such_cause(tmp_path):
    other = scaled(pictures.photo(200, 150).rotate(31).resize((SIZE, SIZE)))
    for image in ([], ["--image", "photo.png"]):
        found = cause(diff(tmp_path, REFERENCE, other, *image)[1])
        assert found is None or not found["rule"].startswith("pixels"), found


def test_noise_has_no_such_cause(tmp_path):
    random = np.random.default_rng(0)
    for image in ([], ["--image", "photo.png"]):
        found = cause(diff(tmp_path, random.normal(size=REFERENCE.shape).astype("f4"), random.normal(size=REFERENCE.shape).astype("f4"), *image)[1])
        assert found is None or not found["rule"].startswith("pixels"), found


def test_a_fault_in_some_places_has_no_such_cause(tmp_path):
    other = REFERENCE.copy()
    other[..., 20:30, 20:30] = 0
    for image in ([], ["--image", "photo.png"]):
        found = cause(diff(tmp_path, REFERENCE, other, *image)[1])
        assert found is None or not found["rule"].startswith("pixels"), found


def test_a_preprocessed_trace_against_an_engine_s(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"image_processor_type": "SiglipImageProcessor", "size": {"height": SIZE, "width": SIZE}, "resample": 2}))
    PHOTO.save(tmp_path / "photo.png")
    subprocess.run([LOCKSTEP, "preprocess", "photo.png", "--like", "config.json", "-o", "ref"], cwd=tmp_path, check=True, stdout=subprocess.DEVNULL)
    np.savez(tmp_path / "engine.npz", inp_raw=scaled(letterboxed())[0], other=np.arange(24, dtype="f4"))
    done = subprocess.run([LOCKSTEP, "diff", "ref", "engine.npz", "--image", "photo.png"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1
    assert "cause: pixels-geometry: the candidate's picture is letterboxed, 56x42 in 56x56" in done.stdout, done.stdout + done.stderr
    np.savez(tmp_path / "engine.npz", inp_raw=REFERENCE[0])
    assert subprocess.run([LOCKSTEP, "diff", "ref", "engine.npz"], cwd=tmp_path).returncode == 0


def test_a_picture_that_cannot_be_read_is_said_before_comparing(tmp_path):
    np.savez(tmp_path / "x.npz", a=np.zeros(3, "f4"))
    (tmp_path / "photo.png").write_bytes(b"no picture")
    done = subprocess.run([LOCKSTEP, "diff", "x.npz", "x.npz", "--image", "photo.png"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr == "lockstep diff: --image: photo.png: offset 0: found no picture, expected PNG or JPEG\n"


@pytest.mark.parametrize("shape, what", [((1, 1, 4), "tile"), ((4,), "picture")])
def test_which_tiles_differ_is_said(shape, what, tmp_path):
    reference = np.random.default_rng(0).standard_normal((4, 3, 28, 28)).astype("f4")
    candidate = reference.copy()
    candidate[2] *= 1.25
    done, _ = diff(tmp_path, reference.reshape(*shape, 3, 28, 28), candidate.reshape(*shape, 3, 28, 28))
    assert f"in 1 of 4 {what}s only: 2" in done.stdout and f"rel. L2 of each {what}: 0, 0, 0.25, 0\n" in done.stdout, done.stdout
