"""Pictures are read as Pillow reads them, to the bit, and damaged ones are refused."""
import json
import os
import pathlib
import resource
import subprocess

import numpy as np
import pictures
import pytest

LOCKSTEP = os.environ.get("LOCKSTEP_BIN", pathlib.Path(__file__).resolve().parents[2] / "build" / "lockstep")
PLAIN = {"image_processor_type": "ViTImageProcessor", "do_resize": False, "do_rescale": False, "do_normalize": False}


def preprocess(folder, data, config=PLAIN, *options, before=None):
    """The finished command, and what it wrote by name."""
    (folder / "picture").write_bytes(data)
    (folder / "config.json").write_text(json.dumps(config))
    done = subprocess.run([LOCKSTEP, "preprocess", "picture", "--like", "config.json", "-o", "out", *options], cwd=folder, capture_output=True, text=True, preexec_fn=before)
    if done.returncode != 0:
        return done, None
    subprocess.run([LOCKSTEP, "convert", "out", "out.npz"], cwd=folder, check=True)
    return done, np.load(folder / "out.npz")


@pytest.mark.parametrize("name", pictures.good())
def test_pixels_are_those_of_pillow(name, tmp_path):
    data = pictures.good()[name]
    done, stages = preprocess(tmp_path, data)
    assert done.returncode == 0, done.stderr
    expected = pictures.pixels(data)
    assert stages["decoded"].shape == expected.shape
    assert np.array_equal(stages["decoded"], expected)
    assert np.array_equal(stages["pixel_values"], expected[None])


@pytest.mark.parametrize("name, data, message", pictures.damaged(), ids=[each[0] for each in pictures.damaged()])
def test_damaged_pictures_are_refused(name, data, message, tmp_path):
    limit = None if "LOCKSTEP_BIN" in os.environ else lambda: resource.setrlimit(resource.RLIMIT_AS, (400 << 20, 400 << 20))  # a sanitizer reserves terabytes
    done, _ = preprocess(tmp_path, data, before=limit)
    assert done.returncode == 2
    assert message in done.stderr, done.stderr
    assert done.stderr.startswith("lockstep preprocess: picture: ")
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "out").exists()
