"""Text dumps, against what was printed."""
import subprocess

import numpy as np
import pytest

from lockstep_library import LOCKSTEP, Archive, Failed, assert_same, run


def sample(shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def lines(array, form="%.9g"):
    """9 digits tell every float32."""
    return "".join(form % value + "\n" for value in array.ravel())


def python_dump(name, array, form="%.9g", shape=None):
    """As the Python side of the dumps prints it."""
    data = lines(array, form) if array.size <= 1000 else (
        "# First 50 elements:\n" + lines(array.ravel()[:50], form) + "# Last 50 elements:\n" + lines(array.ravel()[-50:], form))
    return (f"# Tensor: {name}\n# Shape: {array.shape if shape is None else shape}\n# Dtype: {array.dtype}\n# Mean: {array.mean()}\n"
            f"# Std: {array.std()}\n# Min: {array.min()}\n# Max: {array.max()}\n# Data:\n" + data)


@pytest.mark.parametrize("shape", ["(3, 4)", "[3, 4]", "3x4", "3 4", "torch.Size([3, 4])"])
def test_spellings_of_a_shape(tmp_path, shape):
    array = sample((3, 4))
    (tmp_path / "x.txt").write_text(python_dump("x", array, shape=shape))
    if shape.startswith("torch"):
        with pytest.raises(Failed, match=r"found 'torch.Size\(\[3, 4\]\)' in a shape"):
            Archive(tmp_path / "x.txt")
        return
    with Archive(tmp_path / "x.txt") as archive:
        assert archive.format == "text" and archive.tensors["x"][1:] == ("text", "f32", (3, 4), 48)
        assert_same(archive.read("x"), array)


@pytest.mark.parametrize("text, expected", [
    ("1.5\n-2\n", [1.5, -2]),
    ("0: 1.500000\n1: -2.000000\n", [1.5, -2]),
    ("# Shape: ()\n# Data:\n7\n", 7.0),
    ("# Shape: (0, 3)\n# Data:\n", np.zeros((0, 3))),
    ("# shape: (2,)\r\n\r\n  1e-3\r\n\t+4.\r\n", [np.float32(1e-3), 4]),
    ("nan\ninf\n-inf\n-0.0\n1e-45\n", [np.nan, np.inf, -np.inf, -0.0, np.float32(1e-45)]),
    ("# Tensor: x (FP16 format)\n# Shape: 4\n# Data (first 100 elements as hex and converted):\n0x3c00 (1.000000e+00)\n0x8000 (-0.000000e+00)\n"
     "0x0001 (5.960464e-08)\n0x7bff (6.550400e+04)", np.array([0x3C00, 0x8000, 0x0001, 0x7BFF], np.uint16).view(np.float16)),
    ("1.00000006\n", [np.float32("1.00000006")]),
], ids=["plain", "indexed", "scalar", "empty", "spaces", "special", "halves", "halfway"])
def test_values(tmp_path, text, expected):
    (tmp_path / "x.txt").write_bytes(text.encode())
    with Archive(tmp_path / "x.txt") as archive:
        assert_same(archive.read("x"), expected)


def test_a_dump_of_the_first_and_last_values_is_listed_and_not_read(tmp_path):
    (tmp_path / "py_layer_0_x.txt").write_text(python_dump("x", sample((1, 3, 2048)), "%.6e"))
    (tmp_path / "py_layer_0_y.txt").write_text(python_dump("y", sample((2, 3))))
    with Archive(tmp_path) as archive:
        assert archive.tensors["layer_0_x"][2:] == ("f32", (1, 3, 2048), 4 * 3 * 2048)
        with pytest.raises(Failed, match=r"found 100 values, expected 6144 according to its shape \(only the first and last") as failed:
            archive.read("layer_0_x")
        assert failed.value.status == 4
        assert_same(archive.read("layer_0_y"), sample((2, 3)))
    done = run("ls", tmp_path, "--stats")
    assert done.returncode == 2 and "py_layer_0_x.txt" in done.stderr and "layer_0_y" in done.stdout


def test_a_directory_of_dumps(tmp_path):
    arrays = {f"cpp_layer_{i}_out.txt": sample((2, 3), i) for i in range(12)}
    for file, array in arrays.items():
        (tmp_path / file).write_text(python_dump(file, array))
    (tmp_path / "prompt.txt").write_text("Once upon a time\n")
    with Archive(tmp_path) as archive:
        assert archive.format == "textdir" and list(archive.tensors) == [f"layer_{i}_out" for i in range(12)]
        for file, array in arrays.items():
            assert_same(archive.read(file[4:-4]), array)
    (tmp_path / "other.txt").write_text(python_dump("other", sample((2,))))  # then the prefix says something
    with Archive(tmp_path) as archive:
        assert list(archive.tensors)[0] == "cpp_layer_0_out" and "other" in archive.tensors


def test_six_digits_are_within_half_a_millionth(tmp_path):
    array = sample((1000,))
    (tmp_path / "llamacpp-x.txt").write_text("".join(f"{i}: {v:.6f}\n" for i, v in enumerate(array)))
    with Archive(tmp_path / "llamacpp-x.txt") as archive:
        assert np.abs(archive.read("llamacpp-x") - array).max() < 6e-7


def test_one_dump_at_a_time_is_in_memory(tmp_path):
    for i in range(7):
        (tmp_path / f"{i}.txt").write_text("1\n" * 2_000_000)
    limit_mb = 48  # all seven have 56 MB
    done = subprocess.run(["sh", "-c", f'ulimit -d {limit_mb * 1024}; exec "$0" ls "$1" --stats', LOCKSTEP, tmp_path],
                          capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "") and done.stdout.count("2000000") >= 7
