"""In which rows the first divergence lies, against NumPy."""
import json
import os
import pathlib
import subprocess

import numpy as np
import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
LOCKSTEP = os.environ.get("LOCKSTEP_BIN", str(ROOT / "build" / "lockstep"))
ROWS, WIDTH = 9, 6
TOKENS = [7, 3, 11, 2, 40, 5, 6, 8, 9]
TOLERANCE = 1e-4  # of f32: docs/metrics.md


def write(path, passes):
    """A trace of one tensor `x` a pass; `passes`: (rows, values)."""
    (path / "tensors").mkdir(parents=True)
    lines = [{"lockstep_trace": 1, "argv": ["x"]}]
    for number, (rows, values) in enumerate(passes):
        np.save(path / f"tensors/{number}.npy", values)
        lines += [{"pass": number, "context": 0, "process": 0, "tokens": [TOKENS[r] for r in rows], "positions": list(rows)},
                  {"i": number, "pass": number, "layer": -1, "name": "x", "op": "", "occurrence": 0, "dtype": "f32",
                   "shape": list(values.shape), "file": f"tensors/{number}.npy", "src": []},
                  {"pass": number, "ended": True}]
    lines.append({"end": True, "tensors": len(passes), "dropped": 0, "exit": 0})
    (path / "trace.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def diff(folder, reference, candidate):
    made = [write(folder / "r", reference), write(folder / "c", candidate)]
    first = json.loads(subprocess.run([LOCKSTEP, "diff", *made, "--json", "-"], capture_output=True, text=True).stdout)["first_divergence"]
    text = subprocess.run([LOCKSTEP, "diff", *made], capture_output=True, text=True, env=dict(os.environ, COLUMNS="160")).stdout
    return first, next((line.strip() for line in text.splitlines() if "rows only" in line), None)


def expected(reference, candidate):
    with np.errstate(invalid="ignore"):
        d = np.linalg.norm((candidate - reference).reshape(ROWS, -1), axis=1) / np.linalg.norm(reference.reshape(ROWS, -1), axis=1)
    failing = [int(r) for r in np.flatnonzero(~(d <= TOLERANCE))]
    return {"failing": len(failing), "of": ROWS, "first": failing[0], "last": failing[-1]}


CASES = {
    "one": ([4], lambda x: x * 1.5, "in 1 of 9 rows only: row 4, token 40 at position 4"),
    "to the end": ([6, 7, 8], lambda x: -x, "in 3 of 9 rows only: all of rows 6 to 8; the first is row 6, token 6 at position 6"),
    "scattered": ([1, 5, 8], lambda x: x + 1, "in 3 of 9 rows only: among rows 1 to 8; the first is row 1, token 3 at position 1"),
    "lost": ([3], lambda x: x * np.nan, "in 1 of 9 rows only: row 3, token 2 at position 3"),
    "infinite": ([0, 1], lambda x: x * np.inf, "in 2 of 9 rows only: all of rows 0 to 1; the first is row 0, token 7 at position 0"),
    "all": (range(ROWS), lambda x: x * 2, None),
}


@pytest.mark.parametrize("shape", [(ROWS, WIDTH), (2, ROWS, WIDTH)], ids=["rows first", "heads first"])
@pytest.mark.parametrize("case", CASES)
def test_rows_that_fail(tmp_path, case, shape):
    rows, change, text = CASES[case]
    reference = np.random.default_rng(1).standard_normal(shape).astype("f4")
    candidate = reference + np.float32(1e-7)
    candidate[..., list(rows), :] = change(candidate[..., list(rows), :])
    first, said = diff(tmp_path, [(range(ROWS), reference)], [(range(ROWS), candidate)])
    assert first["rows"] == expected(np.moveaxis(reference, -2, 0), np.moveaxis(candidate, -2, 0)) and said == text


def test_equal_infinities_do_not_fail(tmp_path):
    reference = np.random.default_rng(1).standard_normal((ROWS, WIDTH)).astype("f4")
    reference[2, 1] = -np.inf
    candidate = reference.copy()
    candidate[7] *= 2
    first, _ = diff(tmp_path, [(range(ROWS), reference)], [(range(ROWS), candidate)])
    assert first["rows"] == {"failing": 1, "of": ROWS, "first": 7, "last": 7}


def test_no_claim_where_two_axes_could_be_the_rows(tmp_path):
    reference = np.random.default_rng(1).standard_normal((ROWS, ROWS)).astype("f4")
    candidate = reference.copy()
    candidate[2] *= 2
    first, said = diff(tmp_path, [(range(ROWS), reference)], [(range(ROWS), candidate)])
    assert first is not None and "rows" not in first and said is None


def test_rows_in_batches(tmp_path):
    reference = np.random.default_rng(1).standard_normal((ROWS, WIDTH)).astype("f4")
    candidate = reference.copy()
    candidate[6] *= 2
    cut = [(rows, candidate[rows.start:rows.stop]) for rows in (range(0, 4), range(4, ROWS))]
    first, said = diff(tmp_path, [(range(ROWS), reference)], cut)
    assert first["rows"] == {"failing": 1, "of": 5, "first": 2, "last": 2}, "of the candidate's pass"
    assert said == "in 1 of 5 rows only: row 2, token 6 at position 6"
    assert (first["reference"]["pass"], first["candidate"]["pass"]) == (0, 1)


@pytest.mark.parametrize("heads", [4, ROWS])
def test_as_many_heads_as_rows(tmp_path, heads):
    values = np.random.default_rng(1).standard_normal((heads, ROWS, WIDTH)).astype("f4")
    first, _ = diff(tmp_path, [(range(ROWS), values)], [(rows, values[:, rows.start:rows.stop]) for rows in (range(0, 4), range(4, ROWS))])
    assert first is None
