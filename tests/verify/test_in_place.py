"""Views of what was computed in place, as ggml describes them: they name the memory's first owner."""
import json
import pathlib
import subprocess

import numpy as np
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]


def write_trace(folder, steps):
    """steps: (line, values or None), as docs/trace-format.md has them."""
    (folder / "tensors").mkdir(parents=True)
    lines = [{"lockstep_trace": 1}, {"process": 0, "engine": "ggml"}, {"pass": 0, "nodes": len(steps), "tokens": [5, 7], "positions": [0, 1], "process": 0}]
    for i, (line, values) in enumerate(steps):
        line = {"i": i, "pass": 0, "layer": -1, "occurrence": 0, "dtype": "f32", "backend": "CPU", **line}
        if values is not None:
            line["file"] = f"tensors/{i:06}.npy"
            np.save(folder / line["file"], values)
        lines.append(line)
    lines.append({"end": True, "tensors": len(steps), "dropped": 0})
    (folder / "trace.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def scattered(rng, sums):
    """Rows put into filled memory in place, looked at in another shape, and summed: as llama.cpp masks groups of experts."""
    rows, ids = rng.standard_normal((2, 1, 4)).astype("f4"), np.array([[1], [0]], "i8")
    filled = np.full((2, 2, 4), -3, "f4")
    masked = filled.copy()
    for token in range(2):
        masked[token, ids[token, 0]] = rows[token, 0]
    place = {"view_of": 2, "offset": 0}
    return [
        ({"name": "rows", "op": "NONE", "role": "input", "shape": [2, 1, 4], "src": []}, rows),
        ({"name": "ids", "op": "NONE", "role": "input", "shape": [2, 1], "src": [], "dtype": "i64"}, ids),
        ({"name": "filled", "op": "FILL", "shape": [2, 2, 4], "src": [0], "params": {"value": -3.0}}, filled),
        ({"name": "masked", "op": "SET_ROWS", "shape": [2, 2, 4], "src": [0, 1, 2], "strides": [32, 16, 4], **place}, masked),
        ({"name": "flat", "op": "RESHAPE", "role": "view", "shape": [2, 8], "src": [3], "strides": [32, 4], **place}, None),
        ({"name": "sums", "op": "SUM_ROWS", "shape": [2, 1], "src": [4]}, sums(masked.reshape(2, 8))),
    ]


@pytest.mark.parametrize("right", [True, False])
def test_a_view_lies_in_what_was_computed_in_place(tmp_path, right):
    sums = lambda flat: (flat.sum(1, keepdims=True) * (1 if right else 1.01)).astype("f4")  # noqa: E731
    trace = write_trace(tmp_path / "trace", scattered(np.random.default_rng(3), sums))
    done = subprocess.run([ROOT / "build" / "lockstep", "verify", trace, "--json", "-"], capture_output=True, text=True)
    assert done.returncode == (0 if right else 1), done.stdout + done.stderr
    wrong = [operation["name"] for operation in json.loads(done.stdout)["operations"] if operation["verdict"] != "agrees"]
    assert wrong == ([] if right else ["sums"])
