"""lockstep ls and lockstep show, against NumPy."""
import json
import os
import pathlib
import re
import subprocess

import numpy as np
import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
LOCKSTEP = os.environ.get("LOCKSTEP_BIN", str(ROOT / "build" / "lockstep"))


def run(*arguments):
    return subprocess.run([LOCKSTEP, *map(str, arguments)], capture_output=True, text=True)


def numbers(value):
    """Nested lists with the strings for what JSON lacks made numbers."""
    return [numbers(v) for v in value] if isinstance(value, list) else float(value)


def assert_stats(found, array):
    values = np.asarray(array, np.float64).ravel()
    finite = values[np.isfinite(values)]
    expected = {"min": finite.min(), "max": finite.max(), "mean": finite.mean(), "std": finite.std(),
                "l2": np.linalg.norm(finite), "nan": np.isnan(values).sum(), "inf": np.isinf(values).sum(),
                "zeros": (values == 0).sum()}
    assert found.keys() == expected.keys()
    for key in expected:
        assert found[key] == pytest.approx(expected[key], rel=1e-12, abs=1e-300), key


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    random = np.random.default_rng(0)
    arrays = {"a": random.normal(size=(5, 6, 7)).astype("f4"), "i": np.arange(60).reshape(3, 4, 5),
              "flags": np.array([True, False]), "scalar": np.float64(0.1),
              "special": np.array([np.nan, np.inf, -np.inf, -0.0, 1.5]), "big": random.normal(size=(300, 400)),
              "wide": np.array([2**63 - 1, -2**63, 2**53 + 1]), "n[0]": np.int8(1)}
    path = tmp_path_factory.mktemp("archive") / "x.npz"
    np.savez(path, **arrays)
    return path, arrays


@pytest.mark.parametrize("slice", [
    "", "0", "-1", "1, 2", "1, 2, 3", "..., 0", "0, ...", "1, ..., 2", ":, 1:3", "::2, ::-1", "-2:, :4", "5:1:-2, 0",
    "..., -1:-4:-1", "2:2", "...", ":, :, 3:", "4:0:-3, -3:5, ::5",
])
def test_slices_are_numpy_s(archive, slice):
    path, arrays = archive
    done = run("show", path, f"a[{slice}]" if slice else "a", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    expected = eval(f"array[{slice or '...'}]", {"array": arrays["a"]})
    assert found["shape"] == list(expected.shape)
    assert np.array_equal(np.array(numbers(found["values"])).reshape(expected.shape), expected.astype(np.float64))
    if expected.size:
        assert_stats(found["stats"], expected)


@pytest.mark.parametrize("slice", ["5", "-6", "0,0,0,0", "::0", "a", "..., ...", "0,,1"])
def test_wrong_slices_are_refused(archive, slice):
    done = run("show", archive[0], f"a[{slice}]")
    assert done.returncode == 2 and f"slice [{slice}]" in done.stderr and done.stdout == ""


@pytest.mark.parametrize("name", ["i", "flags", "wide", "scalar"])
def test_values_are_exact(archive, name):
    path, arrays = archive
    assert json.loads(run("show", path, name, "--json").stdout)["values"] == arrays[name].tolist()


def test_not_a_number_is_a_string(archive):
    found = json.loads(run("show", archive[0], "special", "--json").stdout)
    assert found["values"] == ["nan", "inf", "-inf", 0, 1.5]
    assert_stats(found["stats"], archive[1]["special"])


def test_large_arrays_of_integers_are_printed_as_numpy_does(tmp_path):
    array = np.arange(10 * 11 * 12).reshape(10, 11, 12)
    np.save(tmp_path / "x.npy", array)
    assert str(array) in run("show", tmp_path / "x.npy", "x").stdout


@pytest.mark.parametrize("name", ["i", "a[1, 0, 0]", "i[0]", "i[:, 1]", "i[..., 0]", "wide"])
def test_text_is_what_numpy_prints(archive, name):
    path, arrays = archive
    expected = str(eval(f"arrays['{name.split('[')[0]}']" + name[len(name.split("[")[0]):], {"arrays": arrays}))
    assert expected in run("show", path, name).stdout


def test_large_arrays_are_summarized(archive):
    lines = run("show", archive[0], "big").stdout.splitlines()
    histogram = [line for line in lines if re.search(r"\) +\d+  |\] +\d+  ", line)]
    assert len(histogram) == 10 and len(lines) - len(histogram) < 25 and any("..." in line for line in lines)
    assert max(map(len, lines)) <= 80


def test_a_name_with_brackets_goes_before_a_slice(archive):
    assert json.loads(run("show", archive[0], "n[0]", "--json").stdout)["values"] == 1


def test_a_missing_tensor_names_close_ones(archive):
    done = run("show", archive[0], "bigg[0]")
    assert done.returncode == 2
    assert "no tensor 'bigg' among its 8" in done.stderr and "did you mean 'big'?" in done.stderr


@pytest.mark.parametrize("threads", ["1", "2"])
def test_ls_stats(archive, threads):
    path, arrays = archive
    done = subprocess.run([LOCKSTEP, "ls", path, "--stats", "--json"], capture_output=True, text=True,
                          env=dict(os.environ, LOCKSTEP_THREADS=threads))
    (found,) = json.loads(done.stdout)["archives"]
    assert [t["name"] for t in found["tensors"]] == list(arrays)
    for t in found["tensors"]:
        array = arrays[t["name"]]
        assert (t["dtype"], t["shape"], t["elements"], t["bytes"]) == (
            array.dtype.str, list(array.shape), array.size, array.nbytes)
        assert_stats(t["stats"], array)


def test_ls_fits_80_columns(archive, tmp_path):
    np.savez(tmp_path / "long.npz", **{"model.layers.10.self_attn." + "very_" * 4 + "long_name": np.zeros((2, 3))})
    done = run("ls", archive[0], tmp_path / "long.npz", "--stats")
    assert done.returncode == 0
    paths = (str(archive[0]), str(tmp_path))
    assert all(len(line) <= 80 for line in done.stdout.splitlines() if not line.startswith(paths))


def test_ls_goes_on_after_a_file_that_fails(archive, tmp_path):
    (tmp_path / "no.gguf").write_bytes(b"GGUX")
    done = run("ls", tmp_path / "no.gguf", archive[0], tmp_path / "gone.npy", "--json")
    assert done.returncode == 2
    assert [a["format"] for a in json.loads(done.stdout)["archives"]] == ["npz"]
    assert "expected the magic 'GGUF'" in done.stderr and "gone.npy: No such file" in done.stderr


@pytest.mark.parametrize("make", [lambda p: p.write_bytes(b"\x00" * 100), lambda p: p.mkdir(), lambda p: os.mkfifo(p)],
                         ids=["unknown bytes", "empty directory", "fifo"])
def test_what_is_no_container(tmp_path, make):
    make(tmp_path / "x")
    done = run("ls", tmp_path / "x")
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and str(tmp_path / "x") in done.stderr


@pytest.mark.parametrize("arguments", [["ls"], ["show"], ["show", "x.npy"], ["ls", "--what"], ["show", "a", "b", "c"]])
def test_wrong_usage(arguments):
    done = run(*arguments)
    assert done.returncode == 2 and "usage: lockstep " in done.stderr


def test_every_format_is_documented():
    rows = [name for path in (ROOT / "src" / "format").glob("*.c")
            for name in re.findall(r'const ls_format ls_format_\w+ = {\s*"(\w+)"', path.read_text())]
    documented = re.findall(r"^\| `(\w+)` \|", (ROOT / "docs" / "formats.md").read_text(), re.MULTILINE)
    assert len(rows) > 5 and sorted(rows) == sorted(documented)
