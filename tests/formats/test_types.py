"""Decoded values of every element type, bit for bit those of its own people's library."""
import gguf
import ml_dtypes
import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from ggml_types import TYPES, WITHOUT_DECODER, decode, quantize, write
from lockstep_library import Archive

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


@pytest.mark.parametrize("kind", [n for n in TYPES if n in ("q4_0", "q8_0", "q4_1", "q5_0", "q5_1", "q4_K", "q6_K", "q2_K", "q3_K", "q5_K")])
def test_scales_of_big_endian_files(tmp_path, kind):
    """The same blocks with their f16 fields swapped: where these are stands in ggml-common.h."""
    halves = {"q4_0": [0], "q8_0": [0], "q4_1": [0, 2], "q5_1": [0, 2], "q5_0": [0], "q4_K": [0, 2], "q5_K": [0, 2], "q6_K": [208], "q2_K": [80, 82], "q3_K": [108]}[kind]
    _, elements, size = TYPES[kind]
    blocks = GENERATOR.integers(0, 256, (32, size), dtype=np.uint8)
    swapped = blocks.copy()
    for at in halves:
        swapped[:, [at, at + 1]] = blocks[:, [at + 1, at]]
    if kind in ("q5_0", "q5_1"):  # the fifth bits, 32 of them
        at = halves[-1] + 2
        swapped[:, at:at + 4] = blocks[:, at:at + 4][:, ::-1]
    path = write(tmp_path / "x.gguf", kind, swapped, (32 * elements,), order=">")
    assert_bits(read(path), decode(kind, blocks))


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
