"""Files of values without a header, against NumPy's tofile."""
import gguf
import ml_dtypes
import numpy as np
import pytest

from lockstep_library import Archive, Failed, assert_same, run

TYPES = {"bool": "?", "i8": "i1", "u8": "u1", "i16": "i2", "u16": "u2", "i32": "i4", "u32": "u4", "i64": "i8", "u64": "u8",
         "f16": "f2", "bf16": ml_dtypes.bfloat16, "f32": "f4", "f64": "f8"}


def sample(shape, dtype="f4"):
    return (np.random.default_rng(0).normal(size=shape) * 50).astype(dtype)


@pytest.mark.parametrize("name", TYPES)
def test_every_type_with_a_shape(tmp_path, name):
    array = np.abs(sample((4, 6))).astype(TYPES[name])
    array.tofile(tmp_path / "x.bin")
    with Archive(f"{tmp_path}/x.bin::{name},4x6") as archive:
        assert archive.format == "raw" and archive.tensors["x"][1:] == (name, name, (4, 6), array.nbytes)
        assert_same(archive.read("x"), array)


def test_quantized_blocks(tmp_path):
    values = sample((3, 64))
    blocks = gguf.quants.quantize(values, gguf.GGMLQuantizationType.Q8_0)
    blocks.tofile(tmp_path / "x.bin")
    with Archive(f"{tmp_path}/x.bin::q8_0,3x64") as archive:
        assert_same(archive.read("x"), gguf.quants.dequantize(blocks, gguf.GGMLQuantizationType.Q8_0))


@pytest.mark.parametrize("file, dtype", [
    ("llamacpp-Qwen3-0.6B.bin", "f4"), ("llamacpp-Qwen3-0.6B-tokens.bin", "i4"), ("pytorch-Qwen3-0.6B-embeddings.bin", "f4"),
    ("x.f32", "f4"), ("x.f64", "f8"), ("x.i64", "i8"),
])
def test_types_that_the_name_tells(tmp_path, file, dtype):
    array = sample((10,), dtype)
    array.tofile(tmp_path / file)
    with Archive(tmp_path / file) as archive:
        [name] = archive.tensors
        assert name == file.rsplit(".", 1)[0]
        assert_same(archive.read(name), array)


@pytest.mark.parametrize("spec, shape", [("::f32", (6,)), ("::f32,6", (6,)), ("::f32,1x2x3", (1, 2, 3)), ("::f32,3x2x1", (3, 2, 1))])
def test_shapes(tmp_path, spec, shape):
    array = sample((6,))
    array.tofile(tmp_path / "llamacpp-x.bin")
    with Archive(f"{tmp_path}/llamacpp-x.bin{spec}") as archive:
        assert_same(archive.read("llamacpp-x"), array.reshape(shape))


def test_a_file_that_has_such_a_name_wins(tmp_path):
    array = sample((6,))
    np.save(tmp_path / "odd::f32.npy", array)
    (tmp_path / "odd::f32.npy").rename(tmp_path / "a::b::f32")
    with Archive(tmp_path / "a::b::f32") as archive:
        assert archive.format == "npy"
        assert_same(archive.read("a::b::f32"), array)
    array.tofile(tmp_path / "c::d")
    with Archive(f"{tmp_path}/c::d::f32") as archive:
        assert_same(archive.read("c::d"), array)


@pytest.mark.parametrize("spec", ["::", "::f31", "::opaque", "::f32,", "::f32,2x", "::f32,x2", "::f32,-6", "::f32,2,3", "::f32, 6",
                                  "::f32,6 ", "::f32,1x1x1x1x1x1x1x1x6", "::f32,18446744073709551616", "::" + "f" * 100])
def test_wrong_specifications(tmp_path, spec):
    sample((6,)).tofile(tmp_path / "x.bin")
    with pytest.raises(Failed, match="expected PATH::DTYPE or PATH::DTYPE,SHAPE, as in x.bin::f32,2x3"):
        Archive(f"{tmp_path}/x.bin{spec}")


@pytest.mark.parametrize("spec, message", [
    ("::f32,7", r"offset 24: found 24 bytes, expected 28 for shape \[7\] of f32"),
    ("::f32,5", r"offset 24: found 24 bytes, expected 20 for shape \[5\] of f32"),
    ("::q8_0", r"found 24 bytes, expected 0 for shape \[0\] of q8_0"),
    ("::q8_0,2x3", "found an innermost axis of 3"),
    ("::f32,4294967296x4294967296", "overflows 64 bits"),
    ("::f32,0x1099511627776x1099511627776", "overflows 64 bits"),
])
def test_sizes_that_do_not_fit(tmp_path, spec, message):
    sample((6,)).tofile(tmp_path / "x.bin")
    with pytest.raises(Failed, match=message):
        Archive(f"{tmp_path}/x.bin{spec}")


def test_a_bin_alone_says_what_to_add(tmp_path):
    sample((6,)).tofile(tmp_path / "x.bin")
    done = run("ls", tmp_path / "x.bin")
    assert done.returncode == 2 and f"say which, as in {tmp_path}/x.bin::f32,2x3" in done.stderr
    done = run("ls", f"{tmp_path}/y.bin::f32")
    assert done.returncode == 2 and "y.bin: No such file" in done.stderr


def test_diff_takes_them(tmp_path):
    array = sample((2, 3))
    array.tofile(tmp_path / "x.bin")
    np.save(tmp_path / "x.npy", array)
    assert run("diff", tmp_path / "x.npy", f"{tmp_path}/x.bin::f32,2x3").returncode == 0
    (array + 1).tofile(tmp_path / "x.bin")
    assert run("diff", tmp_path / "x.npy", f"{tmp_path}/x.bin::f32,2x3").returncode == 1
