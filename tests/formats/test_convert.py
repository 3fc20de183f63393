"""lockstep convert, read back by each format's own library."""
import io
import json
import re
import subprocess
import zipfile

import gguf
import ml_dtypes
import numpy as np
import pytest
import safetensors.torch
import torch
from safetensors import safe_open

from ggml_types import TYPES, decode, quantize
from lockstep_library import LOCKSTEP, Archive


def convert(*arguments):
    return subprocess.run([LOCKSTEP, "convert", *map(str, arguments)], capture_output=True, text=True)


GENERATOR = np.random.default_rng(3)
# every kind of float that rounds: ties, carries into the exponent, subnormals, overflow, NaN
EDGES = np.concatenate([
    GENERATOR.integers(0, 2**32, 4096, dtype=np.uint32).view(np.float32),
    np.array([0, -0.0, np.inf, -np.inf, np.nan, 65504, 65519.99, 65520, -65536, 2**-24, 2**-25, 2**-25 * 1.0001, 3 * 2**-25, 2**-14, 6.1e-5,
              1 + 2**-11, 1 + 3 * 2**-11, 1 + 2**-8, 1 + 3 * 2**-8, 3.4e38, 1e-45], np.float32)])
TENSORS = {"f": torch.from_numpy(GENERATOR.normal(size=(3, 256)).astype(np.float32)), "edges": torch.from_numpy(EDGES),
           "half": torch.randn(2, 3, 4).half(), "b": torch.randn(5).bfloat16(), "wide": torch.randn(4, 2).double(),
           "ids": torch.arange(-3, 9).reshape(3, 4), "small": torch.arange(6, dtype=torch.int8), "mask": torch.tensor([True, False]),
           "scalar": torch.tensor(2.5), "empty": torch.zeros(0, 3)}


@pytest.fixture
def source(tmp_path):
    safetensors.torch.save_file(TENSORS, tmp_path / "in.safetensors", metadata={"format": "pt", "who": "é\"\n"})
    return tmp_path / "in.safetensors"


def same(found, expected):
    found, expected = np.asarray(found), np.asarray(expected)
    assert found.shape == expected.shape and found.dtype == expected.dtype, (found.dtype, expected.dtype)
    nan = expected != expected
    np.testing.assert_array_equal(found != found, nan)
    assert (found.view(f"u{found.dtype.itemsize}") if found.dtype.kind in "fV" else found)[~nan].tobytes() == \
        (expected.view(f"u{expected.dtype.itemsize}") if expected.dtype.kind in "fV" else expected)[~nan].tobytes()


def as_numpy(tensor):
    return tensor.float().numpy() if tensor.dtype == torch.bfloat16 else tensor.numpy()


def test_npz(tmp_path, source):
    assert convert(source, tmp_path / "out.npz").returncode == 0
    with np.load(tmp_path / "out.npz") as found:
        assert set(found.files) == set(TENSORS)
        for name, tensor in TENSORS.items():
            same(found[name], as_numpy(tensor))


def test_npy_of_one(tmp_path, source):
    assert convert(source, tmp_path / "out.npy", "--select", "^wide$").returncode == 0
    same(np.load(tmp_path / "out.npy"), TENSORS["wide"].numpy())
    done = convert(source, tmp_path / "more.npy")
    assert done.returncode == 2 and "npy holds one tensor, but there are 10" in done.stderr and not (tmp_path / "more.npy").exists()


def test_a_directory_of_npy(tmp_path, source):
    assert convert(source, tmp_path / "out", "--format", "npy").returncode == 0
    for name, tensor in TENSORS.items():
        same(np.load(tmp_path / "out" / f"{name}.npy"), as_numpy(tensor))


def test_safetensors_keeps_all_and_the_metadata(tmp_path, source):
    assert convert(source, tmp_path / "out.safetensors").returncode == 0
    found = safetensors.torch.load_file(tmp_path / "out.safetensors")
    for name, tensor in TENSORS.items():
        assert found[name].dtype == tensor.dtype and found[name].shape == tensor.shape
        assert found[name].contiguous().reshape(-1).view(torch.uint8).equal(tensor.contiguous().reshape(-1).view(torch.uint8))
    with safe_open(tmp_path / "out.safetensors", "pt") as file:
        assert file.metadata() == {"format": "pt", "who": "é\"\n"}


@pytest.mark.parametrize(("to", "dtype"), [("f16", torch.float16), ("bf16", torch.bfloat16), ("f32", torch.float32)])
def test_rounding_is_torchs(tmp_path, source, to, dtype):
    assert convert(source, tmp_path / "out.safetensors", "--to", to).returncode == 0
    found = safetensors.torch.load_file(tmp_path / "out.safetensors")
    for name, tensor in TENSORS.items():
        expected = tensor.float().to(dtype) if tensor.dtype.is_floating_point else tensor  # by way of float32
        assert found[name].dtype == expected.dtype
        nan = expected.isnan() if expected.dtype.is_floating_point else torch.zeros_like(expected, dtype=torch.bool)
        if nan.any():
            assert found[name].isnan().equal(nan)
        assert found[name][~nan].contiguous().view(torch.uint8).equal(expected[~nan].contiguous().view(torch.uint8)), name


def test_gguf(tmp_path, source):
    assert convert(source, tmp_path / "out.gguf").returncode == 0
    reader = gguf.GGUFReader(tmp_path / "out.gguf")
    found = {t.name: t for t in reader.tensors}
    assert set(found) == set(TENSORS)
    types = {n: t.tensor_type.name for n, t in found.items()}
    assert types == {"f": "F32", "edges": "F32", "half": "F16", "b": "BF16", "wide": "F64", "ids": "I64", "small": "I8", "mask": "I16",
                     "scalar": "F32", "empty": "F32"}
    same(np.asarray(found["half"].data).reshape(2, 3, 4), TENSORS["half"].numpy())
    same(np.asarray(found["b"].data).view(ml_dtypes.bfloat16).astype(np.float32).reshape(5), as_numpy(TENSORS["b"]))
    assert found["ids"].data.reshape(3, 4).tolist() == TENSORS["ids"].tolist() and found["mask"].data.tolist() == [1, 0]
    assert bytes(reader.fields["who"].parts[-1]).decode() == "é\"\n"


def test_gguf_to_gguf_keeps_blocks_and_keys(tmp_path):
    writer = gguf.GGUFWriter(str(tmp_path / "in.gguf"), "llama")
    writer.add_block_count(3), writer.add_layer_norm_rms_eps(1e-5), writer.add_token_list(["a", "é"]), writer.add_add_bos_token(True)
    writer.add_array("scores", [0.5, -1.5])
    values = GENERATOR.normal(size=(4, 256)).astype(np.float32)
    blocks = {name: quantize(name, values) for name in ("q4_K", "q6_K", "q8_0", "iq4_xs")}
    for name, data in blocks.items():
        writer.add_tensor(name, data, raw_dtype=gguf.GGMLQuantizationType[name.upper()])
    writer.write_header_to_file(), writer.write_kv_data_to_file(), writer.write_tensors_to_file(), writer.close()
    assert convert(tmp_path / "in.gguf", tmp_path / "out.gguf").returncode == 0
    before, after = gguf.GGUFReader(tmp_path / "in.gguf"), gguf.GGUFReader(tmp_path / "out.gguf")
    assert [(t.name, t.tensor_type, t.data.tobytes()) for t in before.tensors] == [(t.name, t.tensor_type, t.data.tobytes()) for t in after.tensors]
    for key, field in before.fields.items():
        if not key.startswith("GGUF."):
            assert after.fields[key].contents() == field.contents() and after.fields[key].types == field.types, key
    assert convert(tmp_path / "in.gguf", tmp_path / "out.npz").returncode == 0
    with np.load(tmp_path / "out.npz") as found:
        for name, data in blocks.items():
            same(found[name], decode(name, data).reshape(4, 256))


def test_text_brings_floats_back(tmp_path, source):
    assert convert(source, tmp_path / "out", "--format", "text", "--select", "^(f|wide|scalar|half)$").returncode == 0
    lines = (tmp_path / "out" / "f.txt").read_text().splitlines()
    assert lines[:3] == ["# Tensor: f", "# Shape: [3, 256]", "# Data:"]
    same(np.array([float(x) for x in lines[3:]], np.float32).reshape(3, 256), TENSORS["f"].numpy())
    wide = [float(x) for x in (tmp_path / "out" / "wide.txt").read_text().splitlines()[3:]]
    assert wide == TENSORS["wide"].flatten().tolist()
    with Archive(tmp_path / "out" / "half.txt") as archive:  # and we read what we write
        assert archive.read("half").tolist() == TENSORS["half"].tolist()


def test_raw(tmp_path, source):
    assert convert(source, tmp_path / "f.bin", "--select", "^f$").returncode == 0
    same(np.fromfile(tmp_path / "f.bin", "<f4"), TENSORS["f"].numpy().reshape(-1))


def test_fp8_stays_in_safetensors_only(tmp_path):
    codes = torch.arange(256, dtype=torch.uint8).view(torch.float8_e4m3fn)
    safetensors.torch.save_file({"x": codes}, tmp_path / "in.safetensors")
    assert convert(tmp_path / "in.safetensors", tmp_path / "out.safetensors").returncode == 0
    found = safetensors.torch.load_file(tmp_path / "out.safetensors")["x"]
    assert found.dtype == torch.float8_e4m3fn and found.view(torch.uint8).equal(codes.view(torch.uint8))
    assert convert(tmp_path / "in.safetensors", tmp_path / "out.gguf").returncode == 0
    assert gguf.GGUFReader(tmp_path / "out.gguf").tensors[0].tensor_type == gguf.GGMLQuantizationType.F32


def test_names_stay_inside_the_directory(tmp_path):
    header = json.dumps({"../x": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]}, "/a\u001bb": {"dtype": "U8", "shape": [1], "data_offsets": [1, 2]}}).encode()
    (tmp_path / "in.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + b"\1\2")
    assert convert(tmp_path / "in.safetensors", tmp_path / "out", "--format", "npy").returncode == 0
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["_._x.npy", "_a_b.npy"] and not (tmp_path / "x.npy").exists()


def test_trouble_leaves_nothing_behind(tmp_path, source):
    for arguments, message in [((source, tmp_path / "out.xyz"), "doesn't indicate a format to write"), ((source, tmp_path / "no" / "out.npz"), "No such file or directory"),
                               ((source, tmp_path / "out.npz", "--select", "nothing"), "no tensor to convert"),
                               ((source, tmp_path / "out.npz", "--select", "("), "is not a regular expression"),
                               ((tmp_path / "none.npy", tmp_path / "out.npz"), "none.npy"), ((source, tmp_path / "out.npz", "--to", "f8"), "--to: found 'f8', expected ")]:
        done = convert(*arguments)
        assert done.returncode == 2 and message in done.stderr, done.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["in.safetensors"]
    long = {"x" * 64: torch.zeros(1)}
    safetensors.torch.save_file(long, source)
    assert "GGUF allows at most 63" in convert(source, tmp_path / "out.gguf").stderr and not list(tmp_path.glob("out*"))


def test_what_cannot_be_written_is_said(tmp_path):
    safetensors.torch.save_file({"c": torch.zeros(2, dtype=torch.complex64), "x": torch.ones(2)}, tmp_path / "in.safetensors")
    done = convert(tmp_path / "in.safetensors", tmp_path / "out.npz")
    assert done.returncode == 1 and "1 tensors left out because their type can't be written; the first: c" in done.stderr
    assert np.load(tmp_path / "out.npz").files == ["x"]


def test_every_ggml_type_to_float(tmp_path):
    from ggml_types import write
    for name, (_, elements, size) in TYPES.items():
        blocks = GENERATOR.integers(0, 100, (3, size), dtype=np.uint8)
        write(tmp_path / "in.gguf", name, blocks, (3 * elements,))
        assert convert(tmp_path / "in.gguf", tmp_path / "out.npy", "--to", "f32").returncode == 0
        same(np.load(tmp_path / "out.npy"), decode(name, blocks))


# ------------------------------------------------------------ names

def named(tmp_path, names, form="safetensors"):
    """A container in which the n-th of these names has the value n."""
    path = tmp_path / f"in.{form}"
    if form == "npz":
        np.savez(path, **{name: np.array([at], "f4") for at, name in enumerate(names)})
    else:
        safetensors.torch.save_file({name: torch.tensor([float(at)]) for at, name in enumerate(names)}, path)
    return path


AWKWARD = [["../../x"], ["/etc/x"], ["a//b"], ["a/./b"], ["a/../b"], ["a\\b"], ["a.npy", "a"], ["."], [".."], [""], ["a/"], ["/"], ["lockstep_trace", "b"], ["n" * 300],
           ["n" * 65531], ["n" * 65532], ["\x1b[2J\n"], ["a" * 80 + "z", "b" * 80 + "z"], ["x" * 63, "x" * 64], ["a/b", "a_b"], ["a\x01b", "a\x02b"], ["é", "ü\u202e"]]


@pytest.mark.parametrize("form", ["npz", "safetensors", "gguf"])
@pytest.mark.parametrize("names", AWKWARD, ids=lambda names: " ".join(ascii(name)[1:21] for name in names))
def test_names_are_read_back_or_refused(tmp_path, names, form):
    out = tmp_path / f"out.{form}"
    done = convert(named(tmp_path, names), out)
    if done.returncode != 0:
        assert done.returncode == 2 and done.stderr.count("\n") == 1 and [path.name for path in tmp_path.iterdir()] == ["in.safetensors"]
        return
    if form == "npz":
        with zipfile.ZipFile(out) as file:  # NumPy gives the member a.npy for both "a" and "a.npy"
            found = {name[:-4]: float(np.load(io.BytesIO(file.read(name)))[0]) for name in file.namelist()}
    elif form == "safetensors":
        found = {name: float(value[0]) for name, value in safetensors.torch.load_file(out).items()}
    else:
        found = {tensor.name: float(tensor.data[0]) for tensor in gguf.GGUFReader(out).tensors}
    assert found == {name: float(at) for at, name in enumerate(names)}
    with Archive(out) as archive:
        assert all(archive.read(name)[0] == at for at, name in enumerate(names))


def test_a_name_that_safetensors_takes_for_metadata(tmp_path):
    done = convert(named(tmp_path, ["__metadata__", "b"], "npz"), tmp_path / "out.safetensors")
    assert done.returncode == 2 and "__metadata__" in done.stderr and not (tmp_path / "out.safetensors").exists()


@pytest.mark.parametrize("form", ["npy", "text", "raw"])
@pytest.mark.parametrize("names", [["a/b", "a_b"], ["x", "a\x01b", "a\x02b"], [".a", "_a"], ["", "_"]], ids=ascii)
def test_two_names_that_would_be_one_file_are_refused(tmp_path, names, form):
    done = convert(named(tmp_path, names), tmp_path / "out", "--format", form)
    assert done.returncode == 2 and "would both become" in done.stderr and not (tmp_path / "out").exists()
    assert convert(named(tmp_path, names), tmp_path / "out", "--format", form, "--select", f"^{re.escape(names[0])}$").returncode == 0


def test_a_file_in_the_directory_is_not_written_over(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "b.npy").write_text("precious")
    done = convert(named(tmp_path, ["a", "b", "c"]), tmp_path / "out", "--format", "npy")
    assert done.returncode == 2 and "out/b.npy already exists" in done.stderr
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["b.npy"] and (tmp_path / "out" / "b.npy").read_text() == "precious"


def test_of_a_directory_all_is_written_or_nothing(tmp_path):
    """The last of three tensors can't be read."""
    np.savez(tmp_path / "in.npz", a=np.ones(4, "f4"), b=np.ones(4, "f4"), c=np.full(4, 2, "f4"))
    data = bytearray((tmp_path / "in.npz").read_bytes())
    data[data.rindex(np.float32(2).tobytes())] ^= 1
    (tmp_path / "in.npz").write_bytes(data)
    done = convert(tmp_path / "in.npz", tmp_path / "out", "--format", "npy")
    assert done.returncode == 2 and "CRC" in done.stderr and not list(tmp_path.glob("out/*"))

