"""lockstep bundle on traces that NumPy made: what is in it is what the traces have, also where they lie."""
import re
import subprocess
import sys

import numpy as np
import pytest

from traces import LOCKSTEP, Trace

RNG = np.random.default_rng(9)
X, TABLE = RNG.standard_normal((6, 8)).astype("f4"), RNG.standard_normal((20, 8)).astype("f4")


def bundle(tmp_path, build, *args):
    """build(trace, faulty): the last node it adds is what differs."""
    sides = []
    for name, faulty in (("r", False), ("c", True)):
        trace = Trace(tmp_path / name).begin(range(6))
        build(trace, faulty)
        sides.append(trace.write())
    done = subprocess.run([LOCKSTEP, "bundle", *sides, *args, "-o", tmp_path / "b", "--preset", "none"], capture_output=True, text=True, timeout=60)
    return done, tmp_path / "b"


def errors(folder):
    done = subprocess.run([sys.executable, folder / "reproduce.py"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return [float(x) for x in re.findall(r"(\S+) from", done.stdout)]


def norm(trace, faulty, name="y", scale=1.5, **params):
    values = X / np.sqrt((X ** 2).mean(1, keepdims=True) + 1e-5)
    if faulty:
        values[4] *= scale
    trace.add(name, values.astype("f4"), [trace.add("x", X, role="input")], op="RMS_NORM", layer=0, params={"eps": 1e-5, **params})


def test_the_row_that_differs(tmp_path):
    done, folder = bundle(tmp_path, norm)
    assert done.returncode == 0, done.stderr
    assert np.array_equal(np.load(folder / "x0.npy"), X[4:5]) and np.allclose(np.load(folder / "got.npy"), 1.5 * np.load(folder / "expected.npy"))
    got, expected = errors(folder)
    assert abs(got - 1 / 3) < 5e-3 and expected < 1e-6 and "Of 6 rows, only the one" in (folder / "README.txt").read_text()


def test_nan_that_the_operation_does_not_give_is_an_error(tmp_path):
    done, folder = bundle(tmp_path, lambda trace, faulty: norm(trace, faulty, scale=np.nan))
    assert done.returncode == 0 and errors(folder) == [np.inf, pytest.approx(0, abs=1e-6)]


@pytest.mark.parametrize("eps", ["nan", "inf", "-inf"])
def test_a_parameter_that_is_no_number(tmp_path, eps):
    done, folder = bundle(tmp_path, lambda trace, faulty: norm(trace, faulty, eps=float(eps)))
    if done.returncode == 0 and (folder / "reproduce.py").exists():
        errors(folder)


@pytest.mark.parametrize("ids", [[0, 3, 19, 4, 4, 1], [0, 3, -1, 4, 4, 1], [0, 3, 20, 4, 4, 1], [0, 3, 2 ** 31 - 1, 4, 4, 1]], ids=["right", "negative", "beyond", "huge"])
def test_a_table_is_cut_to_the_row_that_is_read(tmp_path, ids):
    def build(trace, faulty):
        values = TABLE[np.clip(ids, 0, 19)].copy()
        if faulty:
            values[2] += 1
        trace.add("y", values, [trace.add("table", TABLE, role="weight"), trace.add("ids", np.array(ids, "i4"), role="input")], op="GET_ROWS", layer=0)
    done, folder = bundle(tmp_path, build)
    if 0 <= ids[2] < 20:
        assert done.returncode == 0 and np.array_equal(np.load(folder / "x0.npy"), TABLE[ids[2]:ids[2] + 1]) and errors(folder)[1] == 0
    else:
        assert done.returncode == 2 and "an index is outside of the table" in done.stderr and not folder.exists()


@pytest.mark.parametrize("name", ["*/ system(\"x\"); /*", "a\\", "line\nbreak", "\"\"\"quotes'''", "__import__('os').abort()"])
def test_names_are_comments(tmp_path, name):
    def build(trace, faulty):
        values = X.copy()
        if faulty:
            values[1] += 1
        trace.add("y", values, [trace.add(name, X, role="input")], op="SCALE", layer=0, params={"scale": 1.0})
    done, folder = bundle(tmp_path, build)
    assert done.returncode == 0 and errors(folder)[1] == 0
    lines = [line for line in (folder / "reproduce.c").read_text().splitlines() if "x0 = " in line]
    assert len(lines) == 1 and "\n" not in lines[0] and not lines[0].endswith("\\")


def test_an_operation_that_has_no_script(tmp_path):
    def build(trace, faulty):
        values = np.sort(X, 1) + faulty
        trace.add("y", values.astype("f4"), [trace.add("x", X, role="input")], op="UNHEARD_OF", layer=0)
    done, folder = bundle(tmp_path, build)
    assert done.returncode == 0 and not (folder / "reproduce.py").exists() and "UNHEARD_OF is not written here as a script" in (folder / "README.txt").read_text()
