"""Files of torch.save, against torch.load(weights_only=True)."""
import io
import collections
import json
import zipfile

import pytest
import safetensors.torch
import torch

from lockstep_library import Archive, Failed, assert_same, run, run_json

TYPES = {
    "bool": torch.bool, "i8": torch.int8, "u8": torch.uint8, "i16": torch.int16, "u16": torch.uint16,
    "i32": torch.int32, "u32": torch.uint32, "i64": torch.int64, "u64": torch.uint64, "f16": torch.float16,
    "bf16": torch.bfloat16, "f32": torch.float32, "f64": torch.float64,
}
SHAPES = [(), (0,), (1,), (7,), (3, 5), (0, 4), (2, 3, 4), (1, 1, 2, 1, 1, 1, 1, 3)]


def sample(dtype, shape, seed=0):
    """Any bits at all, so that NaN, infinities and subnormals are among them."""
    generator = torch.Generator().manual_seed(seed)
    if dtype == torch.bool:
        return torch.randint(0, 2, shape, generator=generator).bool()
    if dtype in (torch.int64, torch.uint64):  # what a double holds
        return torch.randint(0, 2**53, shape, generator=generator).to(dtype)
    count = torch.Size(shape).numel()
    raw = torch.randint(0, 256, (count * dtype.itemsize,), dtype=torch.uint8, generator=generator)
    return raw.view(dtype).reshape(shape)


def values(tensor):
    tensor = tensor.detach().resolve_neg()
    return (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()


def flatten(value, name=()):
    if isinstance(value, torch.Tensor):
        return {".".join(name): value}
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, (list, tuple)) else ()
    return {k: v for key, item in items for k, v in flatten(item, (*name, str(key))).items()}


def check(path, saved):
    """The file's tensors are those that torch loads, in order."""
    torch.save(saved, path)
    expected = flatten(torch.load(path, weights_only=True))
    with Archive(path) as archive:
        assert archive.format == "torch" and list(archive.tensors) == list(expected)
        for name, tensor in expected.items():
            _, dtype, kind, shape, size = archive.tensors[name]
            assert (TYPES[kind], shape, size) == (tensor.dtype, tuple(tensor.shape), tensor.nbytes)
            assert dtype == str(tensor.dtype).removeprefix("torch.")
            assert_same(archive.read(name), values(tensor))


@pytest.mark.parametrize("dtype", TYPES.values(), ids=TYPES)
def test_every_type_and_shape(tmp_path, dtype):
    check(tmp_path / "x.pt", {str(shape): sample(dtype, shape) for shape in SHAPES})


def test_views_are_read_through_their_strides(tmp_path):
    base = sample(torch.float32, (4, 6, 5))
    check(tmp_path / "x.pt", {
        "base": base, "transposed": base.transpose(0, 2), "sliced": base[1:3, ::2, 4:], "row": base[2, 3],
        "last": base[3, 5, 4], "expanded": base[:, :1].expand(4, 9, 5), "all one": base[0, 0, 0].expand(3, 7),
        "windows": base.flatten().unfold(0, 10, 3), "none": base[4:], "diagonal": base[0, :5].diagonal(),
    })


def test_a_storage_that_tensors_share_is_stored_once(tmp_path):
    base = sample(torch.bfloat16, (1000,))
    check(tmp_path / "x.pt", [base, base[10:20], base.view(10, 100).t()])
    with zipfile.ZipFile(tmp_path / "x.pt") as file:
        assert [n for n in file.namelist() if "/data/" in n] == ["x/data/0"]


def test_a_state_dict_with_buffers(tmp_path):
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4), torch.nn.MultiheadAttention(4, 2))
    check(tmp_path / "x.pth", model.state_dict())


def test_a_training_checkpoint(tmp_path):
    model = torch.nn.Linear(3, 4)
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.ones(2, 3)).sum().backward()
    optimizer.step()
    saved = {"epoch": 3, "loss": 0.5, "name": "né", "best": True, "none": None, "seed": 2**64 - 1, "low": -(2**40),
             "device": torch.device("cuda:1"), "dtype": torch.bfloat16, "shape": torch.Size([2, 3]), "ids": [1, 2, -3],
             "rates": (0.5, 1), "words": ["a", "b"], "model": model.state_dict(), "optimizer": optimizer.state_dict()}
    check(tmp_path / "x.ckpt", saved)
    [archive] = run_json("ls", tmp_path / "x.ckpt")["archives"]
    found = archive["metadata"]
    assert {k: found[k] for k in ("epoch", "loss", "name", "best", "seed", "low")} == {
        k: saved[k] for k in ("epoch", "loss", "name", "best", "seed", "low")}
    assert (found["device"], found["dtype"]) == ("cuda:1", "torch.bfloat16") and "none" not in found
    assert found["shape"] == {"array_of": "int", "count": 2, "first": [2, 3]}
    assert found["ids"]["first"] == [1, 2, -3] and found["rates"]["first"] == [0.5, 1]
    assert (found["words.0"], found["words.1"]) == ("a", "b")
    assert found["optimizer.param_groups.0.lr"] == 0.001


def test_parameters(tmp_path):
    plain, tagged = torch.nn.Parameter(sample(torch.float16, (2, 3))), torch.nn.Parameter(sample(torch.float32, (4,)))
    tagged.attribute = "of Python"
    check(tmp_path / "x.pt", {"plain": plain, "tagged": tagged})


def test_what_a_forward_pass_leaves(tmp_path):
    states = tuple(sample(torch.float32, (1, 3, 8), seed) for seed in range(4))
    check(tmp_path / "x.pt", {"hidden_states": states, "past": [(states[0], states[1]), (states[2], states[3])], "n": {7: states[0]}})


def test_a_lone_tensor_has_the_files_name(tmp_path):
    tensor = sample(torch.float32, (3, 4))
    torch.save(tensor, tmp_path / "logits.last.pt")
    with Archive(tmp_path / "logits.last.pt") as archive:
        assert list(archive.tensors) == ["logits.last"]
        assert_same(archive.read("logits.last"), values(tensor))


def test_big_endian(tmp_path):
    tensors = {name: sample(dtype, (5, 3)) for name, dtype in TYPES.items()}
    integers = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
    swapped = {name: tensor.view(integers[tensor.itemsize]).numpy().byteswap().tobytes() for name, tensor in tensors.items()}
    stream = io.BytesIO()
    torch.save(tensors, stream)
    with zipfile.ZipFile(stream) as old, zipfile.ZipFile(tmp_path / "x.pt", "w") as new:
        for name in old.namelist():  # as a machine of the other order writes it
            new.writestr(name, b"big" if name.endswith("/byteorder") else old.read(name) if "/data/" not in name
                         else list(swapped.values())[int(name.split("/")[2])])
    loaded = torch.load(tmp_path / "x.pt", weights_only=True)
    with Archive(tmp_path / "x.pt") as archive:
        for name, tensor in tensors.items():
            if name not in ("u16", "u32", "u64"):  # untyped storages: torch.load forgets to swap them
                assert_same(values(loaded[name]), values(tensor))
            assert_same(archive.read(name), values(tensor))


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED], ids=["stored", "deflated"])
def test_a_file_that_was_zipped_again(tmp_path, method):
    tensors = {"a": sample(torch.float32, (30, 40)), "large": sample(torch.int16, (700, 1000)).t()}
    stream = io.BytesIO()
    torch.save(tensors, stream)
    with zipfile.ZipFile(stream) as old, zipfile.ZipFile(tmp_path / "x.pt", "w", method) as new:
        for name in reversed(old.namelist()):
            if "/data" in name:  # without the members that the first versions didn't have
                new.writestr(name, old.read(name))
    with Archive(tmp_path / "x.pt") as archive:
        for name, tensor in tensors.items():
            assert_same(archive.read(name), values(tensor))


def test_a_file_without_checksums(tmp_path):
    torch.serialization.set_crc32_options(False)
    try:
        check(tmp_path / "x.pt", {"a": sample(torch.float32, (30, 40))})
    finally:
        torch.serialization.set_crc32_options(True)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "x.npz", "no-suffix"])
def test_known_by_its_bytes(tmp_path, name):
    check(tmp_path / name, {"a": sample(torch.float32, (3,))})


def test_a_negated_view_of_floats(tmp_path):
    tensors = {kind: torch._neg_view(torch.tensor([1.5, -0.0, 0.0, float("inf"), -2.0]).to(TYPES[kind])) for kind in ("f16", "bf16", "f32", "f64")}
    torch.save(tensors, tmp_path / "x.pt")
    with Archive(tmp_path / "x.pt") as archive:
        for kind, tensor in tensors.items():
            assert archive.tensors[kind][2] == kind
            assert_same(archive.read(kind), values(tensor))


def test_a_negated_view_of_integers_is_listed_and_not_read(tmp_path):
    torch.save({"a": torch.ones(3), "b": torch._neg_view(torch.ones(3, dtype=torch.int32))}, tmp_path / "x.pt")
    with Archive(tmp_path / "x.pt") as archive:
        assert archive.tensors["b"][1:3] == ("int32, negated", "opaque")
        with pytest.raises(Failed, match="tensor 'b' has elements of type int32, negated, which can't be decoded"):
            archive.read("b")


@pytest.mark.parametrize("kind", ["float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz", "float8_e8m0fnu"])
def test_floats_of_eight_bits(tmp_path, kind):
    codes = torch.arange(256, dtype=torch.uint8).view(getattr(torch, kind))
    torch.save({"x": codes}, tmp_path / "x.pt")
    with Archive(tmp_path / "x.pt") as archive:
        assert_same(archive.read("x"), codes.float().numpy())


@pytest.mark.parametrize("dtype", ["complex32", "complex64", "complex128", "float4_e2m1fn_x2"])
def test_what_has_no_decoder_is_listed_with_its_size(tmp_path, dtype):
    tensor = torch.empty(4, 3, dtype=getattr(torch, dtype))
    torch.save([tensor, tensor.conj()] if "complex" in dtype else [tensor], tmp_path / "x.pt")
    with Archive(tmp_path / "x.pt") as archive:
        assert archive.tensors["0"][1:] == (dtype, "opaque", (4, 3), tensor.nbytes)
        if "complex" in dtype:
            assert archive.tensors["1"][1] == f"{dtype}, conjugated"


class Model(torch.nn.Module):
    def forward(self, x):
        return x


@pytest.mark.parametrize("save, message", [
    (lambda path: torch.save(torch.ones(2), path, _use_new_zipfile_serialization=False), "torch.save before 1.6"),
    (lambda path: torch.jit.save(torch.jit.script(Model()), path), "x/constants.pkl', so this is TorchScript"),
    (lambda path: torch.save(Model(), path), "found the global 'test_torch_files.Model'"),
    (lambda path: torch.save(torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8), path), "found the global 'torch._utils._rebuild_qtensor'"),
    (lambda path: torch.save(torch.ones(2), path, pickle_protocol=4), "found protocol 4, expected 2"),
    (lambda path: torch.save(torch.ones(2).untyped_storage(), path), "found a storage that belongs to no tensor"),
    (lambda path: torch.save({b"k": torch.ones(2), "a": [torch.ones(2)]}, path, pickle_protocol=3), "found protocol 3, expected 2"),
    (lambda path: torch.save({"a.b": torch.ones(2), "a": {"b": torch.ones(2)}}, path), "found a second tensor named 'a.b'"),
], ids=["legacy", "TorchScript", "module", "quantized", "protocol 4", "storage", "protocol 3", "one name for two"])
@pytest.mark.filterwarnings("ignore")
def test_what_is_refused(tmp_path, save, message):
    save(tmp_path / "x.pt")
    done = run("ls", tmp_path / "x.pt")
    assert (done.returncode, done.stdout) == (2, "") and message in done.stderr


def listed(tmp_path, value):
    torch.save({"w": torch.ones(2), "v": value}, tmp_path / "x.pt")
    torch.load(tmp_path / "x.pt", weights_only=True)
    done = run("ls", "--json", tmp_path / "x.pt")
    assert done.returncode == 0, done.stderr
    archive = json.loads(done.stdout)["archives"][0]
    assert "w" in [t["name"] for t in archive["tensors"]]
    return archive


@pytest.mark.parametrize("value", [
    {3}, {"a", 1}, b"x", bytes(range(256)), 1 + 2j, complex(float("inf"), -1), bytearray(b"xy"), collections.Counter("aab"), collections.OrderedDict(a=1), torch.Size([1, 2]),
    torch.float32, torch.device("cpu"), torch.strided, 10 ** 30, -10 ** 40, {1.5: 1, None: 2, True: 3, (1, 2): 4}, {"deep": [{1, 2}, (b"z", 1j)]}, torch.ones(2, device="meta"),
    torch.eye(3).to_sparse(), torch.nn.Parameter(torch.ones(2)),
], ids=repr)
@pytest.mark.filterwarnings("ignore")
def test_whatever_weights_only_reads_is_listed(tmp_path, value):
    listed(tmp_path, value)


def test_what_such_values_are_listed_as(tmp_path):
    metas = dict(listed(tmp_path, {"c": 1 + 2j, "b": b"ab", "n": 10 ** 30, "m": -10 ** 30, "k": {1.5: 7, None: 8}})["metadata"])
    assert metas == {"v.c": "(1+2j)", "v.b": "ab", "v.n": 1e30, "v.m": -1e30, "v.k.1.5": 7, "v.k.None": 8}


def sharded(folder):
    parts = [{"a.weight": sample(torch.float32, (3, 4)), "a.bias": sample(torch.float16, (4,))}, {"b.weight": sample(torch.bfloat16, (5, 2)).t()}]
    files = [f"pytorch_model-0000{i + 1}-of-00002.bin" for i in range(2)]
    for part, file in zip(parts, files):
        torch.save(part, folder / file)
    index = {"metadata": {"total_size": 1}, "weight_map": {name: file for part, file in zip(parts, files) for name in part}}
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps(index))
    return parts[0] | parts[1], index


@pytest.mark.parametrize("given", ["", "pytorch_model.bin.index.json"])
def test_a_sharded_model(tmp_path, given):
    tensors, _ = sharded(tmp_path)
    with Archive(tmp_path / given) as archive:
        assert archive.format == "torch" and list(archive.tensors) == list(tensors)
        for name, tensor in tensors.items():
            assert_same(archive.read(name), values(tensor))


@pytest.mark.parametrize("name, file, message", [
    ("c", "pytorch_model-00001-of-00002.bin", "found no tensor 'c' in pytorch_model-00001-of-00002.bin"),
    ("b.weight", "pytorch_model-00001-of-00002.bin", "found no tensor 'b.weight' in pytorch_model-00001"),
    ("c", "../x.bin", "found the file name '../x.bin', expected one beside the index"),
    ("c", "missing.bin", "No such file"),
])
def test_a_wrong_index_is_refused(tmp_path, name, file, message):
    _, index = sharded(tmp_path)
    index["weight_map"][name] = file
    (tmp_path / "pytorch_model.bin.index.json").write_text(json.dumps(index))
    with pytest.raises(Failed, match=message):
        Archive(tmp_path)


def test_a_directory_with_one_file(tmp_path):
    tensors = {"a": sample(torch.float32, (3,))}
    torch.save(tensors, tmp_path / "pytorch_model.bin")
    with Archive(tmp_path) as archive:
        assert archive.format == "torch"
        assert_same(archive.read("a"), values(tensors["a"]))
    safetensors.torch.save_file({"b": tensors["a"]}, tmp_path / "model.safetensors")  # which transformers prefers
    with Archive(tmp_path) as archive:
        assert archive.format == "safetensors" and list(archive.tensors) == ["b"]
