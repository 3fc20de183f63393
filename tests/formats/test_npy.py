"""NPY, NPZ and directories of .npy, against NumPy."""
import io
import os
import zipfile

import ml_dtypes
import numpy as np
import pytest

from lockstep_library import Archive, Failed, assert_same, run, run_json

TYPES = {
    "bool": "?", "i8": "i1", "u8": "u1", "i16": "i2", "u16": "u2", "i32": "i4", "u32": "u4",
    "i64": "i8", "u64": "u8", "f16": "f2", "f32": "f4", "f64": "f8",
}
SHAPES = [(), (0,), (1,), (7,), (3, 5), (0, 4), (2, 3, 4), (1, 1, 1, 1, 1, 1, 1, 2)]


def sample(kind, shape, seed=0):
    """Any bits at all, so that NaN, infinities and subnormals are among them."""
    random = np.random.default_rng(seed)
    dtype = np.dtype(kind)
    size = int(np.prod(shape, dtype=np.int64))
    if dtype.kind == "b":
        return random.integers(0, 2, shape).astype(bool)
    if dtype.itemsize == 8 and dtype.kind in "iu":  # what a double holds
        return random.integers(0, 2**53, shape).astype(dtype)
    return np.frombuffer(random.bytes(size * dtype.itemsize), dtype).reshape(shape)


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("name", TYPES)
def test_every_type_shape_and_layout(tmp_path, name, order):
    path = tmp_path / "x.npy"
    for shape in SHAPES:
        for layout in ("C", "F"):
            array = sample(TYPES[name], shape).astype(np.dtype(TYPES[name]).newbyteorder(order))
            np.save(path, np.asarray(array, order=layout))
            with Archive(path) as archive:
                _, _, kind, found_shape, size = archive.tensors["x"]
                assert (kind, found_shape, size) == (name, shape, array.nbytes)
                assert_same(archive.read("x"), np.load(path))


@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
def test_every_version(tmp_path, version):
    array = sample("f4", (4, 5))
    with open(tmp_path / "x.npy", "wb") as file:
        np.lib.format.write_array(file, array, version=version)
    with Archive(tmp_path / "x.npy") as archive:
        assert_same(archive.read("x"), array)


@pytest.mark.parametrize("header", [
    "{'shape': (2,), 'descr': '<f4', 'fortran_order': False}\n",
    '{"descr":"<f4","fortran_order":False,"shape":(2,)}',
    "{'descr': '<f4', 'fortran_order': False, 'shape': (2L,), }   ",
    "{'descr': u'=f4', 'fortran_order': True, 'shape': (2 , ) , }\n",
])
def test_headers_that_others_write(tmp_path, header):
    path = tmp_path / "x.npy"
    path.write_bytes(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode()
                     + np.array([1.5, -2], "<f4").tobytes())
    with Archive(path) as archive:
        assert_same(archive.read("x"), np.array([1.5, -2]))


def test_bfloat16_of_ml_dtypes_is_guessed_and_said(tmp_path):
    array = sample("u2", (3, 4)).view(ml_dtypes.bfloat16)
    np.save(tmp_path / "x.npy", array)
    with Archive(tmp_path / "x.npy") as archive:
        assert archive.tensors["x"][1:3] == ("<V2 read as bf16", "bf16")
        assert_same(archive.read("x"), array)


@pytest.mark.parametrize("array", [
    np.zeros(3, "c8"), np.array(["ab", "c"]), np.array([b"ab"]), np.zeros(2, "M8[ns]"), np.zeros(2, "V3"),
    np.zeros(2, [("a", "<i4"), ("b", "<f8", (2,)), (("title", "c"), "u1")]),
    np.zeros(4, [("p", [("x", "f4"), ("y", "f4")])]),
], ids=lambda a: a.dtype.str)
def test_what_has_no_decoder_is_listed_with_its_size(tmp_path, array):
    np.save(tmp_path / "x.npy", array)
    with Archive(tmp_path / "x.npy") as archive:
        assert archive.tensors["x"][2:] == ("opaque", array.shape, array.nbytes)
        with pytest.raises(Failed, match="can't be decoded"):
            archive.read("x")


def test_reads_any_range(tmp_path):
    array = sample("i2", (5, 7, 11)).astype(">i2").transpose(2, 0, 1)
    np.save(tmp_path / "x.npy", array)
    with Archive(tmp_path / "x.npy") as archive:
        flat = array.ravel()
        for first, count in [(0, 385), (1, 1), (76, 3), (384, 1), (385, 0), (100, 200)]:
            assert_same(archive.read("x", first, count), flat[first:first + count])
        with pytest.raises(Failed, match="within its 385"):
            archive.read("x", 380, 6)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_npz(tmp_path, save):
    arrays = {"a": sample("f8", (30, 40)), "n.b": np.arange(3), "big": sample("i2", (700, 1000)),
              "empty": np.zeros((0, 3)), "f": np.asfortranarray(sample("f4", (5, 6)))}
    save(tmp_path / "x.npz", **arrays)
    with Archive(tmp_path / "x.npz") as archive:
        assert archive.format == "npz" and list(archive.tensors) == list(arrays)
        for name, array in arrays.items():
            assert archive.tensors[name][3] == array.shape
            assert_same(archive.read(name), array)


def zip_of(path, members, **options):
    with zipfile.ZipFile(path, "w", **options) as file:
        for name, data in members.items():
            with file.open(zipfile.ZipInfo(name), "w", force_zip64=True) as member:
                member.write(data)


def npy(array):
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def test_npz_written_to_a_pipe_with_zip64(tmp_path):
    """Unseekable output has data descriptors and no sizes in local headers."""
    array = sample("f4", (9, 9))
    reading, writing = os.pipe()
    with os.fdopen(writing, "wb") as pipe:
        zip_of(pipe, {"x.npy": npy(array)})
    with os.fdopen(reading, "rb") as pipe:
        (tmp_path / "x.npz").write_bytes(pipe.read())
    with Archive(tmp_path / "x.npz") as archive:
        assert_same(archive.read("x"), array)


def test_npz_with_more_members_than_16_bits_count(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as file:
        for i in range(66000):
            file.writestr(zipfile.ZipInfo(f"{i}.npy"), npy(np.int8(i % 100)) if i % 1000 == 0 else b"")
    # the empty members aren't NPY, and zip64 was read to find that out
    done = run("ls", tmp_path / "x.npz")
    assert done.returncode == 2 and "found no NPY magic in 0 bytes" in done.stderr
    with zipfile.ZipFile(tmp_path / "y.npz", "w") as file:
        data = npy(np.int8(5))
        for i in range(66000):
            file.writestr(zipfile.ZipInfo(f"{i}.npy"), data)
    with Archive(tmp_path / "y.npz") as archive:
        assert len(archive.tensors) == 66000
        assert_same(archive.read("65999"), np.int8(5))


def test_npz_members_that_are_not_npy_are_listed(tmp_path):
    zip_of(tmp_path / "x.npz", {"a.npy": npy(np.arange(2)), "notes.txt": b"hello"})
    with Archive(tmp_path / "x.npz") as archive:
        assert archive.tensors["notes.txt"][1:] == ("bytes", "opaque", (5,), 5)


def test_directory_in_natural_order(tmp_path):
    arrays = {f"layers.{i}/out": np.float32(i) for i in (10, 2, 1)} | {"x": np.arange(3), "a10": np.int8(1), "a9": np.int8(2)}
    for name, array in arrays.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        np.save(tmp_path / f"{name}.npy", array)
    (tmp_path / "notes.txt").write_text("not a tensor")
    with Archive(tmp_path) as archive:
        assert archive.format == "npydir"
        assert list(archive.tensors) == ["a9", "a10", "layers.1/out", "layers.2/out", "layers.10/out", "x"]
        for name, array in arrays.items():
            assert_same(archive.read(name), array)


def test_a_directory_of_more_files_than_descriptors(tmp_path):
    for i in range(1500):
        np.save(tmp_path / f"t{i}.npy", np.int32(i))
    found = run_json("ls", tmp_path, "--stats")["archives"][0]["tensors"]
    assert [t["stats"]["max"] for t in found] == list(range(1500))


def test_trace_directory(tmp_path):
    (tmp_path / "tensors").mkdir()
    for i in range(3):
        np.save(tmp_path / "tensors" / f"{i}.npy", np.full(2, i, np.float32))
    (tmp_path / "trace.jsonl").write_text(
        '{"lockstep_trace":1,"argv":["a"]}\n'
        '{"i":0,"name":"q","file":"tensors/0.npy","params":{"a":[1,{"b":null}]}}\n'
        '{"i":1,"name":"w","role":"weight"}\n'
        '{"i":2,"file":"tensors/1.npy","name":"k\\u00e9"}\n'
        '{"i":3,"name":"q","file":"tensors/2.npy"}\n'
        '{"i":4,"name":"cut off')
    with Archive(tmp_path) as archive:
        assert archive.format == "trace" and list(archive.tensors) == ["q", "ké", "q#2"]
        for i, name in enumerate(archive.tensors):
            assert_same(archive.read(name), np.full(2, i))


@pytest.mark.parametrize("file", ["../x.npy", "/etc/x.npy", "a/../../x.npy", ""])
def test_trace_files_stay_inside(tmp_path, file):
    (tmp_path / "trace.jsonl").write_text('{"name":"q","file":"%s"}\n' % file)
    with pytest.raises(Failed, match="expected a path inside the trace") as failed:
        Archive(tmp_path)
    assert failed.value.offset == 19
