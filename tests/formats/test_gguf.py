"""GGUF, against the gguf library."""
import resource
import time

import gguf
import numpy as np
import pytest
from gguf import GGMLQuantizationType as Type

from lockstep_library import Archive, Failed, assert_same, run, run_json

PLAIN = {"f32": np.float32, "f16": np.float16, "f64": np.float64, "i8": np.int8, "i16": np.int16,
         "i32": np.int32, "i64": np.int64}
# gguf gives Q8_1, which no file has, the 40 bytes of ggml before 2024; ggml has 36
QUANTIZED = [t for t in Type if t.name not in ("F32", "F16", "F64", "BF16", "I8", "I16", "I32", "I64", "Q8_1")]


def write(path, tensors=(), metadata=lambda writer: None, endian=gguf.GGUFEndian.LITTLE):
    """tensors: (name, array, raw type or None)"""
    writer = gguf.GGUFWriter(path, "llama", endianess=endian)
    metadata(writer)
    for name, array, raw in tensors:
        writer.add_tensor(name, array, raw_dtype=raw)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def random(shape, kind=np.float32, seed=0):
    return (np.random.default_rng(seed).normal(size=shape) * 50).astype(kind)


@pytest.mark.parametrize("endian", gguf.GGUFEndian)
def test_plain_types_and_shapes(tmp_path, endian):
    arrays = {f"{kind}.{len(shape)}": random(shape, dtype)
              for kind, dtype in PLAIN.items() for shape in [(7,), (3, 5), (2, 3, 4), (2, 3, 4, 5)]}
    write(tmp_path / "x.gguf", [(n, a.copy(), None) for n, a in arrays.items()], endian=endian)
    with Archive(tmp_path / "x.gguf") as archive:
        assert list(archive.tensors) == list(arrays)
        for name, array in arrays.items():
            assert archive.tensors[name][1:] == (name[:-2], name[:-2], array.shape, array.nbytes)
            assert_same(archive.read(name), array)


def test_every_f16_and_bf16(tmp_path):
    bits = np.arange(65536, dtype=np.uint16)
    write(tmp_path / "x.gguf", [("f16", bits.view(np.float16), None), ("bf16", bits.view(np.uint8), Type.BF16)])
    with Archive(tmp_path / "x.gguf") as archive:
        assert_same(archive.read("f16"), bits.view(np.float16))
        assert_same(archive.read("bf16"), (bits.astype(np.uint32) << 16).view(np.float32))


@pytest.mark.parametrize("kind", [Type.Q8_0, Type.Q4_0])
def test_dequantizing_has_gguf_s_bits(tmp_path, kind):
    size = gguf.GGML_QUANT_SIZES[kind][1]
    quantized = gguf.quants.quantize(random((64, 96)), kind)
    noise = np.random.default_rng(1).integers(0, 256, (512, 4 * size), np.uint8)
    write(tmp_path / "x.gguf", [("q", quantized, kind), ("noise", noise, kind)])
    with Archive(tmp_path / "x.gguf") as archive:
        assert archive.tensors["q"][1:] == (kind.name.lower(), kind.name.lower(), (64, 96), quantized.nbytes)
        with np.errstate(invalid="ignore"):
            assert_same(archive.read("q"), gguf.quants.dequantize(quantized, kind))
            expected = gguf.quants.dequantize(noise, kind)
        assert_same(archive.read("noise"), expected)
        for first, count in [(0, 1), (31, 2), (33, 31), (40, 100), (5, 3)]:
            assert_same(archive.read("noise", first, count), expected.ravel()[first:first + count])


def test_big_endian_scales(tmp_path):
    """Of a quantized block only the scale has a byte order."""
    blocks = gguf.quants.quantize(random((4, 64)), Type.Q8_0)
    swapped = blocks.reshape(-1, 34).copy()
    swapped[:, :2] = swapped[:, 1::-1]
    write(tmp_path / "x.gguf", [("x", swapped.reshape(blocks.shape), Type.Q8_0)], endian=gguf.GGUFEndian.BIG)
    with Archive(tmp_path / "x.gguf") as archive:
        assert_same(archive.read("x"), gguf.quants.dequantize(blocks, Type.Q8_0))


@pytest.mark.parametrize("kind", QUANTIZED, ids=lambda t: t.name)
def test_every_quantized_type_is_listed(tmp_path, kind):
    elements, size = gguf.GGML_QUANT_SIZES[kind]
    data = np.zeros((3, 2 * size), np.uint8)
    write(tmp_path / "x.gguf", [("x", data, kind)])
    with Archive(tmp_path / "x.gguf") as archive:
        _, name, found, shape, size = archive.tensors["x"]
        assert (name.lower(), shape, size) == (kind.name.lower(), (3, 2 * elements), data.nbytes)
        if found == "opaque":
            with pytest.raises(Failed, match=f"type {name}, which can't be decoded"):
                archive.read("x")


@pytest.mark.parametrize("endian", gguf.GGUFEndian)
def test_metadata_of_every_kind(tmp_path, endian):
    def metadata(writer):
        for kind, value in [("uint8", 200), ("int8", -5), ("uint16", 60000), ("int16", -30000), ("uint32", 2**32 - 1),
                            ("int32", -2**31), ("float32", 1.5), ("uint64", 2**64 - 1), ("int64", -2**63),
                            ("float64", -1e300), ("bool", True), ("string", "héllo\x1b[0m")]:
            getattr(writer, f"add_{kind}")(f"k.{kind}", value)
        writer.add_float32("k.nan", float("nan"))
        writer.add_array("k.texts", [f"t{i}" for i in range(100)])
        writer.add_array("k.numbers", [1.5, -2.5])
        writer.add_array("k.flags", [True, False])
    write(tmp_path / "x.gguf", metadata=metadata, endian=endian)
    found = run_json("ls", tmp_path / "x.gguf")["archives"][0]["metadata"]
    assert found == {
        "general.architecture": "llama", "k.uint8": 200, "k.int8": -5, "k.uint16": 60000, "k.int16": -30000,
        "k.uint32": 2**32 - 1, "k.int32": -2**31, "k.float32": 1.5, "k.uint64": 2**64 - 1, "k.int64": -2**63,
        "k.float64": -1e300, "k.bool": True, "k.string": "héllo\x1b[0m", "k.nan": "nan",
        "k.texts": {"array_of": "text", "count": 100, "first": ["t0", "t1", "t2", "t3"]},
        "k.numbers": {"array_of": "float", "count": 2, "first": [1.5, -2.5]},
        "k.flags": {"array_of": "bool", "count": 2, "first": [True, False]},
    }
    assert "\x1b" not in run("ls", tmp_path / "x.gguf").stdout


def test_alignment(tmp_path):
    write(tmp_path / "x.gguf", [("a", random(3), None), ("b", random(5), None)],
          metadata=lambda writer: writer.add_custom_alignment(256))
    with Archive(tmp_path / "x.gguf") as archive:
        assert_same(archive.read("b"), random(5))


def split(tmp_path, change=lambda part, values: values):
    arrays = {f"blk.{i}.w": random((4, 8), seed=i) for i in range(3)}
    paths = [tmp_path / f"m-0000{i + 1}-of-00003.gguf" for i in range(3)]
    for part, (name, array) in enumerate(arrays.items()):
        values = change(part, {"split.no": part, "split.count": 3, "split.tensors.count": 3})

        def metadata(writer, part=part, values=values):
            writer.add_uint16("split.no", values["split.no"])
            writer.add_uint16("split.count", values["split.count"])
            writer.add_int32("split.tensors.count", values["split.tensors.count"])
            if part == 0:
                writer.add_string("general.name", "split")
        write(paths[part], [(name, array, None)], metadata)
    return paths, arrays


@pytest.mark.parametrize("given", range(3))
def test_split_files_are_one_archive(tmp_path, given):
    paths, arrays = split(tmp_path)
    with Archive(paths[given]) as archive:
        assert list(archive.tensors) == list(arrays)
        for name, array in arrays.items():
            assert_same(archive.read(name), array)
    assert run_json("ls", paths[given])["archives"][0]["metadata"]["general.name"] == "split"


@pytest.mark.parametrize("part, key, value, message", [
    (1, "split.no", 2, "found split.no 2 and split.count 3, expected 1 and 3"),
    (2, "split.count", 2, "found split.no 2 and split.count 2"),
    (0, "split.tensors.count", 4, "found 3 tensors in 3 files, expected 4"),
])
def test_split_files_that_disagree_are_refused(tmp_path, part, key, value, message):
    paths, _ = split(tmp_path, lambda i, values: values | {key: value} if i == part else values)
    with pytest.raises(Failed, match=message):
        Archive(paths[0])


def test_a_split_file_alone_is_refused(tmp_path):
    paths, _ = split(tmp_path)
    paths[0].rename(tmp_path / "first.gguf")
    with pytest.raises(Failed, match="one of 3 files"):
        Archive(tmp_path / "first.gguf")
    with pytest.raises(Failed, match="No such file"):
        Archive(paths[1])


def test_an_importance_matrix(tmp_path):
    """As llama-imatrix writes it: sums of squares and counts of each weight's inputs."""
    sums, counts = random((3, 64)) ** 2, np.array([[7.0], [0], [12]], np.float32)

    def metadata(writer):
        writer.add_type(gguf.GGUFType.IMATRIX)
        writer.add_array(gguf.Keys.IMatrix.DATASETS, ["calibration.txt"])
        writer.add_uint32(gguf.Keys.IMatrix.CHUNK_COUNT, 12)
        writer.add_uint32(gguf.Keys.IMatrix.CHUNK_SIZE, 512)

    write(tmp_path / "x.gguf", [("blk.0.ffn_up_exps.weight.in_sum2", sums, None), ("blk.0.ffn_up_exps.weight.counts", counts, None)], metadata)
    with Archive(tmp_path / "x.gguf") as archive:
        assert_same(archive.read("blk.0.ffn_up_exps.weight.in_sum2"), sums)
        assert_same(archive.read("blk.0.ffn_up_exps.weight.counts"), counts)
    metadata = run_json("ls", tmp_path / "x.gguf")["archives"][0]["metadata"]
    assert (metadata["general.type"], metadata["imatrix.chunk_count"]) == ("imatrix", 12)
    assert metadata["imatrix.datasets"]["first"] == ["calibration.txt"]


def test_a_directory_with_a_split_and_a_projector(tmp_path):
    _, arrays = split(tmp_path)
    arrays["v.w"] = random((2, 4), seed=9)
    write(tmp_path / "mmproj-m.gguf", [("v.w", arrays["v.w"], None)],
          lambda writer: (writer.add_string("general.name", "eyes"), writer.add_uint32("clip.vision.block_count", 7)))
    with Archive(tmp_path) as archive:
        assert archive.format == "ggufdir" and list(archive.tensors) == list(arrays)
        for name, array in arrays.items():
            assert_same(archive.read(name), array)
    metadata = run_json("ls", tmp_path)["archives"][0]["metadata"]
    assert (metadata["general.name"], metadata["clip.vision.block_count"]) == ("split", 7)
    with Archive(tmp_path / "m-00001-of-00003.gguf") as archive:  # a file alone is that file
        assert "v.w" not in archive.tensors


def test_a_directory_of_several_models_is_refused(tmp_path):
    for name in ("b.gguf", "a.gguf", "c.gguf"):
        write(tmp_path / name, [("w", random((2, 4)), None)])
    with pytest.raises(Failed, match=r"found several models \(a.gguf, [bc].gguf, …\), expected one: name the file"):
        Archive(tmp_path)


def test_a_directory_with_npy_files_is_one_of_arrays(tmp_path):
    write(tmp_path / "m.gguf", [("w", random((2, 4)), None)])
    np.save(tmp_path / "x.npy", np.zeros(2))
    with Archive(tmp_path) as archive:
        assert archive.format == "npydir" and list(archive.tensors) == ["x"]


def test_opening_is_50_times_faster_than_the_python_reader(tmp_path):
    write(tmp_path / "x.gguf", [(f"blk.{i}.w", np.zeros((1, 32), np.float32), None) for i in range(200)],
          lambda writer: writer.add_array("tokenizer.ggml.tokens", [f"token {i}" for i in range(20000)]))

    def user_time():
        return resource.getrusage(resource.RUSAGE_SELF).ru_utime

    start = user_time()
    gguf.GGUFReader(tmp_path / "x.gguf")
    theirs = user_time() - start
    ours = []
    for _ in range(5):
        start = time.perf_counter()
        Archive(tmp_path / "x.gguf").close()
        ours.append(time.perf_counter() - start)
    assert min(ours) * 50 < theirs
