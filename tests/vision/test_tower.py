"""A tower that is given other pixels: they are the first divergence, and nothing that is computed from them is at fault."""
import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
from test_pixels import LOCKSTEP, PHOTO, REFERENCE, cause, letterboxed, scaled

TOWER = """
import sys
import numpy as np
import torch


class Tower(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.patches = torch.nn.Conv2d(3, 24, 14, stride=14)
        self.norm = torch.nn.LayerNorm(24)
        self.projection = torch.nn.Linear(24, 16)

    def forward(self, pixel_values):
        return self.projection(self.norm(self.patches(pixel_values).flatten(2).transpose(1, 2)))


torch.manual_seed(0)
tower = Tower().eval()
with torch.no_grad():
    if len(sys.argv) > 2:
        tower.norm.bias[3] += 1
    tower(torch.from_numpy(np.load(sys.argv[1])))
"""


@pytest.fixture(scope="module")
def traces(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tower")
    (folder / "tower.py").write_text(TOWER)
    PHOTO.save(folder / "photo.png")
    step = REFERENCE.copy()
    step[0, 1, ::9, ::7] += np.float32(2 / 255)
    # weights have no file, and are recorded: --weights
    for name, pixels, *more in (("ref", REFERENCE), ("letterbox", scaled(letterboxed())), ("step", step), ("both", scaled(letterboxed()), "fault")):
        np.save(folder / f"{name}.npy", np.ascontiguousarray(pixels))
        environment = {key: value for key, value in os.environ.items() if key != "LOCKSTEP_BIN"}
        subprocess.run([LOCKSTEP, "capture", "--weights", "-o", name, "--", sys.executable, "tower.py", f"{name}.npy", *more], cwd=folder, check=True, capture_output=True, env=environment)
    return folder


def diff(folder, candidate, *options):
    done = subprocess.run([LOCKSTEP, "diff", "ref", candidate, "--json", f"{candidate}.json", *options], cwd=folder, capture_output=True, text=True)
    return done, json.loads(pathlib.Path(folder, f"{candidate}.json").read_text())


def test_the_same_pixels_match(traces):
    done, result = diff(traces, "ref")
    assert (done.returncode, result["verdict"]) == (0, "match")
    assert "1 by input" in done.stdout


def test_other_pixels_are_the_first_divergence_and_no_operation_is_at_fault(traces):
    done, result = diff(traces, "letterbox", "--image", "photo.png")
    assert done.returncode == 1
    assert result["first_divergence"]["candidate"]["name"] == "pixel_values"
    assert cause(result)["rule"] == "pixels-geometry"
    assert "at fault" not in done.stdout.replace("0 at fault", ""), done.stdout
    assert [pair["downstream"] for pair in result["pairs"] if pair["verdict"] == "diverged"] == [False] + [True] * (len(result["pairs"]) - 1)


def test_a_step_in_the_pixels_is_named(traces):
    _, result = diff(traces, "step")
    assert result["first_divergence"]["candidate"]["name"] == "pixel_values"
    assert cause(result)["rule"] == "pixels-rounding"


def test_a_fault_behind_other_pixels_is_found_too(traces):
    done, result = diff(traces, "both", "--image", "photo.png")
    assert result["first_divergence"]["candidate"]["name"] == "pixel_values"
    assert [each["name"] for each in result["replay"]["operations"] if each.get("origin")] == ["norm"], done.stdout
