"""Decoded values of every element type, bit for bit those of its own people's library."""
import types

import gguf
import ml_dtypes
import numpy as np
import pytest
import torch
from gguf.scripts.gguf_convert_endian import byteswap_tensors
from safetensors.torch import save_file

from ggml_types import FIELDS, TYPES, WITHOUT_DECODER, decode, fields, quantize, write
from lockstep_library import Archive, run, run_json

GENERATOR = np.random.default_rng(11)


def assert_bits(found, expected):
    """Equal bits, but any NaN is any other."""
    found, expected = found.astype(np.float32), expected.astype(np.float32)
    nan = np.isnan(expected)
    np.testing.assert_array_equal(np.isnan(found), nan)
    np.testing.assert_array_equal(found[~nan].view(np.uint32), expected[~nan].view(np.uint32))


def read(path, name="x", **options):
    with Archive(path) as archive:
        assert archive.tensors[name][2] != "opaque"
        return archive.read(name, **options)


@pytest.mark.parametrize("name", TYPES)
def test_random_blocks(tmp_path, name):
    """Any bytes at all: NaN and infinite scales, subnormal ones, and every code."""
    _, elements, size = TYPES[name]
    count = 2**17 // elements
    blocks = GENERATOR.integers(0, 256, (count, size), dtype=np.uint8)
    path = write(tmp_path / "x.gguf", name, blocks, (count * elements,))
    assert_bits(read(path), decode(name, blocks))


@pytest.mark.parametrize("name", [n for n in TYPES if n not in WITHOUT_DECODER])
def test_blocks_of_ggmls_quantizer(tmp_path, name):
    values = (GENERATOR.normal(size=(16, 1024)) * 10.0 ** GENERATOR.integers(-4, 3, size=(16, 1))).astype(np.float32)
    blocks = quantize(name, values)
    path = write(tmp_path / "x.gguf", name, blocks, values.shape)
    assert_bits(read(path), decode(name, blocks).reshape(values.shape))


@pytest.mark.parametrize("name", TYPES)
def test_pieces_that_begin_and_end_inside_blocks(tmp_path, name):
    _, elements, size = TYPES[name]
    blocks = GENERATOR.integers(0, 120, (8, size), dtype=np.uint8)
    path = write(tmp_path / "x.gguf", name, blocks, (8 * elements,))
    expected = decode(name, blocks)
    for first in (0, 1, elements - 1, elements, 3 * elements + 7):
        for count in (1, 7, elements - 1, elements, elements + 1, 4 * elements):
            if first + count <= expected.size:
                assert_bits(read(path, first=first, count=count), expected[first:first + count])


@pytest.mark.filterwarnings("ignore:.*encountered")
@pytest.mark.parametrize("name", [n for n in TYPES if hasattr(gguf.GGMLQuantizationType, n.upper()) and n not in WITHOUT_DECODER])
def test_against_gguf_py(tmp_path, name):
    kind = gguf.GGMLQuantizationType[name.upper()]
    _, elements, size = TYPES[name]
    blocks = GENERATOR.integers(0, 256, (64, size), dtype=np.uint8)
    try:
        expected = gguf.quants.dequantize(blocks, kind).reshape(-1)
    except NotImplementedError:
        pytest.skip("gguf-py doesn't decode it")
    assert_bits(read(write(tmp_path / "x.gguf", name, blocks, (64 * elements,))), expected)


@pytest.mark.parametrize("name", [n for n in TYPES if "d:u2" in FIELDS[n]])
def test_every_scale(tmp_path, name):
    _, elements, size = TYPES[name]
    blocks = np.resize(GENERATOR.integers(0, 256, (256, size), dtype=np.uint8), (65536, size)).copy()
    blocks.view(fields(name))["d"] = np.arange(65536, dtype=np.uint16)[:, None]
    path = write(tmp_path / "x.gguf", name, blocks, (65536 * elements,))
    with np.errstate(invalid="ignore"):
        assert_bits(read(path), decode(name, blocks))


@pytest.mark.parametrize("name", ["mxfp4", "nvfp4"])
def test_every_scale_of_8_bits_with_every_code(tmp_path, name):
    _, elements, size = TYPES[name]
    scales = 1 if name == "mxfp4" else 4
    blocks = np.empty((256, size), np.uint8)
    blocks[:, :scales] = np.arange(256)[:, None]
    blocks[:, scales:] = np.resize(np.arange(16) * 17, size - scales)
    assert_bits(read(write(tmp_path / "x.gguf", name, blocks, (256 * elements,))), decode(name, blocks))


@pytest.mark.parametrize("name", TYPES)
def test_big_endian_blocks(tmp_path, name):
    _, elements, size = TYPES[name]
    blocks = GENERATOR.integers(0, 256, (64, size), dtype=np.uint8)
    swapped = blocks.view(fields(name)).astype(fields(name).newbyteorder(">"))
    path = write(tmp_path / "x.gguf", name, swapped, (64 * elements,), order=">")
    with np.errstate(invalid="ignore"):
        assert_bits(read(path), decode(name, blocks))


@pytest.mark.parametrize("kind", [t for t in byteswap_tensors if t.name.lower() in map(str.lower, TYPES)], ids=lambda t: t.name)
def test_what_gguf_py_converts_to_big_endian(tmp_path, kind):
    name = next(n for n in TYPES if n.lower() == kind.name.lower())
    _, elements, size = TYPES[name]
    blocks = GENERATOR.integers(0, 256, (16, size), dtype=np.uint8)
    tensor = types.SimpleNamespace(data=blocks.reshape(-1).copy())
    for i in range(16):
        byteswap_tensors[kind](tensor, i * size)
    path = write(tmp_path / "x.gguf", name, tensor.data, (16 * elements,), order=">")
    assert_bits(read(path), decode(name, blocks))


@pytest.mark.parametrize("name", ["q6_K", "q1_0", "nvfp4"])
def test_slices_begin_and_end_anywhere_in_blocks(tmp_path, name):
    _, elements, size = TYPES[name]
    blocks = GENERATOR.integers(0, 64, (18, size), dtype=np.uint8)  # finite scales
    path = write(tmp_path / "x.gguf", name, blocks, (6, 3 * elements))
    values, last = decode(name, blocks).reshape(6, -1), 3 * elements - 1
    for text, cut in [(f"2, 7:{last - 2}:5", np.s_[2, 7:last - 2:5]), (f"::2, {last}::-61", np.s_[::2, last::-61]),
                      (f":, {last // 2}", np.s_[:, last // 2])]:
        np.testing.assert_array_equal(run_json("show", path, f"x[{text}]")["values"], values[cut])


@pytest.mark.parametrize("name", ["q4_K", "iq1_m", "q2_0"])
def test_diff_of_blocks_and_their_values(tmp_path, name):
    """Over many tiles, also with the blocks in the other byte order."""
    _, elements, size = TYPES[name]
    blocks = GENERATOR.integers(0, 64, (1000, size), dtype=np.uint8)  # finite scales
    values = decode(name, blocks).reshape(8, -1)
    write(tmp_path / "a.gguf", name, blocks, values.shape)
    write(tmp_path / "b.gguf", name, blocks.view(fields(name)).astype(fields(name).newbyteorder(">")), values.shape, order=">")
    np.savez(tmp_path / "c.npz", x=values)
    for other in ("b.gguf", "c.npz"):
        assert run("diff", tmp_path / "a.gguf", tmp_path / other, "--profile", "allclose").returncode == 0
    values[6, 1000] += 1
    np.savez(tmp_path / "c.npz", x=values)
    assert run("diff", tmp_path / "a.gguf", tmp_path / "c.npz", "--profile", "allclose").returncode == 1


SMALL = {"float8_e4m3fn": ml_dtypes.float8_e4m3fn, "float8_e5m2": ml_dtypes.float8_e5m2, "float8_e4m3fnuz": ml_dtypes.float8_e4m3fnuz,
         "float8_e5m2fnuz": ml_dtypes.float8_e5m2fnuz, "float8_e8m0fnu": ml_dtypes.float8_e8m0fnu}


@pytest.mark.parametrize("name", SMALL)
def test_every_code_of_eight_bits(tmp_path, name):
    codes = torch.arange(256, dtype=torch.uint8)
    save_file({"x": codes.view(getattr(torch, name))}, tmp_path / "x.safetensors")
    found = read(tmp_path / "x.safetensors")
    assert_bits(found, codes.numpy().view(SMALL[name]).astype(np.float32))
    assert_bits(found, codes.view(getattr(torch, name)).float().numpy())


def test_every_pair_of_four_bits(tmp_path):
    codes = torch.arange(256, dtype=torch.uint8)
    save_file({"x": codes.view(torch.float4_e2m1fn_x2)}, tmp_path / "x.safetensors")
    low_first = np.stack([codes.numpy() & 15, codes.numpy() >> 4], 1).reshape(-1)
    assert_bits(read(tmp_path / "x.safetensors").reshape(-1), low_first.view(ml_dtypes.float4_e2m1fn).astype(np.float32))


def test_rows_of_four_bits_that_end_inside_a_byte(tmp_path):
    data = np.arange(0, 240, 16, dtype=np.uint8) + 3
    header = b'{"x":{"dtype":"F4","shape":[10,3],"data_offsets":[0,15]}}'
    (tmp_path / "x.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + data.tobytes())
    low_first = np.stack([data & 15, data >> 4], 1).view(ml_dtypes.float4_e2m1fn).astype(np.float32)
    assert_bits(read(tmp_path / "x.safetensors"), low_first.reshape(10, 3))
