"""safetensors, against the safetensors library and torch."""
import json

import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy
import safetensors.torch
import torch

from lockstep_library import Archive, Failed, assert_same, run_json

TORCH = {
    "bool": torch.bool, "i8": torch.int8, "u8": torch.uint8, "i16": torch.int16, "u16": torch.uint16,
    "i32": torch.int32, "u32": torch.uint32, "i64": torch.int64, "u64": torch.uint64,
    "f16": torch.float16, "bf16": torch.bfloat16, "f32": torch.float32, "f64": torch.float64,
}


def sample(kind, shape):
    torch.manual_seed(0)
    values = torch.randint(0, 100, shape)
    if TORCH[kind].is_floating_point:
        values = torch.randn(shape) * 1000
    return values.to(TORCH[kind])


@pytest.mark.parametrize("shape", [(), (0,), (5,), (3, 4), (2, 0, 3), (2, 3, 4, 5)], ids=str)
def test_every_type(tmp_path, shape):
    tensors = {f"t.{kind}": sample(kind, shape) for kind in TORCH}
    safetensors.torch.save_file(tensors, tmp_path / "x.safetensors", metadata={"format": "pt", "é": "\n"})
    with Archive(tmp_path / "x.safetensors") as archive:
        assert archive.format == "safetensors" and set(archive.tensors) == set(tensors)
        for kind in TORCH:
            _, _, found, found_shape, size = archive.tensors[f"t.{kind}"]
            assert (found, found_shape, size) == (kind, shape, tensors[f"t.{kind}"].nbytes)
            assert_same(archive.read(f"t.{kind}"), tensors[f"t.{kind}"].to(torch.float64).numpy())
    assert run_json("ls", tmp_path / "x.safetensors")["archives"][0]["metadata"] == {"format": "pt", "é": "\n"}


def test_what_has_no_decoder_is_listed_with_its_size(tmp_path):
    tensor = torch.zeros(3, 4).to(torch.complex64)
    safetensors.torch.save_file({"x": tensor}, tmp_path / "x.safetensors")
    with Archive(tmp_path / "x.safetensors") as archive:
        assert archive.tensors["x"][2:] == ("opaque", (3, 4), tensor.nbytes)
        with pytest.raises(Failed, match="can't be decoded"):
            archive.read("x")


def test_order_is_that_of_the_bytes(tmp_path):
    header = json.dumps({"b": {"dtype": "U8", "shape": [2], "data_offsets": [1, 3]},
                         "a": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1], "unknown": [{}, None, -1.5e3]}}).encode()
    (tmp_path / "x.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + b"\1\2\3")
    assert safetensors.numpy.load_file(tmp_path / "x.safetensors")["b"].tolist() == [2, 3]
    with Archive(tmp_path / "x.safetensors") as archive:
        assert list(archive.tensors) == ["a", "b"]
        assert_same(archive.read("b"), [2, 3])


def sharded(tmp_path):
    tensors = {f"layer.{i}.w": np.full((2, 3), i, np.float32) for i in range(4)}
    names = list(tensors)
    files = {"model-00001-of-00002.safetensors": names[:2], "model-00002-of-00002.safetensors": names[2:]}
    for file, inside in files.items():
        safetensors.numpy.save_file({n: tensors[n] for n in inside}, tmp_path / file, metadata={"format": "pt"})
    index = {"metadata": {"total_size": 96}, "weight_map": {n: f for f, inside in files.items() for n in inside}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    return tensors, index


@pytest.mark.parametrize("by", ["index", "directory"])
def test_shards_are_one_archive(tmp_path, by):
    tensors, _ = sharded(tmp_path)
    with Archive(tmp_path / "model.safetensors.index.json" if by == "index" else tmp_path) as archive:
        assert list(archive.tensors) == list(tensors)
        for name, array in tensors.items():
            assert_same(archive.read(name), array)


def test_a_directory_with_one_file(tmp_path):
    safetensors.numpy.save_file({"x": np.arange(3.0)}, tmp_path / "model.safetensors")
    with Archive(tmp_path) as archive:
        assert_same(archive.read("x"), np.arange(3.0))


@pytest.mark.parametrize("name, file, message", [
    ("layer.0.w", "model-00002-of-00002.safetensors", "found no tensor 'layer.0.w' in model-00002"),
    ("missing", "model-00001-of-00002.safetensors", "found no tensor 'missing'"),
    ("layer.0.w", "../model.safetensors", "expected one beside the index"),
    ("layer.0.w", "sub/model.safetensors", "expected one beside the index"),
    ("layer.0.w", "gone.safetensors", "No such file"),
])
def test_a_wrong_index_is_refused(tmp_path, name, file, message):
    _, index = sharded(tmp_path)
    index["weight_map"][name] = file
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(Failed, match=message):
        Archive(tmp_path)


def test_bfloat16_bits(tmp_path):
    array = np.arange(65536, dtype=np.uint16).view(ml_dtypes.bfloat16)
    safetensors.numpy.save_file({"x": array}, tmp_path / "x.safetensors")
    with Archive(tmp_path / "x.safetensors") as archive:
        assert_same(archive.read("x"), array)
