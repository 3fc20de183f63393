"""Products on GPUs, whose kernels multiply in TF32 or f16, and not all in the same: rounded here as these do."""
import subprocess

import gguf
import numpy as np
import pytest

from test_operations import verify
from traces import LOCKSTEP, Trace

RNG = np.random.default_rng(5)


def tf32(x):
    return ((x.astype("f4").view("u4") + 0x1000) & 0xFFFFE000).view("f4")


def in_f32(w, x):
    return (x.astype("f8") @ w.astype("f8").T).astype("f4")


def in_tf32(w, x):
    return (tf32(x).astype("f8") @ tf32(w).astype("f8").T).astype("f4")


def in_bf16(w, x):
    def bf16(v):
        return ((v.astype("f4").view("u4") + 0x8000) & 0xFFFF0000).view("f4")
    return (bf16(x).astype("f8") @ bf16(w).astype("f8").T).astype("f4")


def in_f16(w, x):
    """Summed up in f16, too, one term after the other."""
    total = np.zeros((len(x), len(w)), "f2")
    for k in range(w.shape[1]):
        total += x[:, k, None].astype("f2") * w[:, k].astype("f2")
    return total.astype("f4")


def products(path, kernels, backend, op="MUL_MAT", terms=512, head=(), **more):
    """A product by each kernel, of two matrices that nothing else reads."""
    t = Trace(path)
    t.lines += head
    t.begin(range(6))
    for i, kernel in enumerate(kernels):
        w, x = RNG.standard_normal((48, terms)).astype("f4"), RNG.standard_normal((6, terms)).astype("f4")
        sources = [t.add(f"w{i}", w, role="weight"), t.add(f"x{i}", x, role="input")]
        t.add(f"y{i}", kernel(w, x), sources if op == "MUL_MAT" else sources[::-1], op=op, backend=backend, **more)
    return t.write()


def verdicts(path):
    return [o["verdict"] for o in verify(path)[1]["operations"]]


def test_ggml_sums_up_in_f16_where_the_gpu_does(tmp_path):
    """The error grows with the root of the number of terms."""
    for terms in (256, 1024, 4096):
        path = products(tmp_path / str(terms), [in_f16] * 5, "Vulkan0", terms=terms)
        assert verdicts(path) == ["agrees"] * 5, verify(path)[1]["families"]


def test_kernels_of_one_operation_need_not_multiply_in_one_type(tmp_path):
    assert verdicts(products(tmp_path / "gpu", [in_f32] * 6 + [in_tf32, in_f16], "Vulkan0")) == ["agrees"] * 8
    assert verdicts(products(tmp_path / "cpu", [in_f32] * 7 + [in_tf32], "CPU")) == ["agrees"] * 7 + ["undecided"]


@pytest.mark.parametrize("backend", ["Vulkan0", "CUDA0"])
def test_a_wrong_kernel_on_a_gpu(tmp_path, backend):
    def wrong(w, x):
        return in_tf32(w, x) * np.float32(1.01)
    assert verdicts(products(tmp_path / "t", [in_tf32] * 6 + [wrong], backend)) == ["agrees"] * 6 + ["undecided"]


# What PyTorch allows is recorded.

def linear(path, kernels, allowed, backend="cuda:0"):
    return products(path, kernels, backend, op="linear", head=[{"process": 0, "engine": "torch", "framework": "torch 2"}], params={"fp32_precision": allowed})


def test_tf32_is_a_type_of_its_own(tmp_path):
    path = linear(tmp_path / "t", [in_tf32] * 4 + [in_f32], "tf32")
    assert verdicts(path) == ["agrees"] * 5
    found = verify(path)[1]
    assert [f["type"] for f in found["families"]] == ["tf32"] and found["reduced"] == 4
    assert "of products of f32, 4 multiplied in a coarser type" in subprocess.run([LOCKSTEP, "verify", path], capture_output=True, text=True).stdout


def test_tf32_that_was_not_allowed(tmp_path):
    assert verdicts(linear(tmp_path / "t", [in_f32] * 4 + [in_tf32], "ieee")) == ["agrees"] * 4 + ["undecided"]


def test_bf16_on_a_cpu(tmp_path):
    assert verdicts(linear(tmp_path / "t", [in_bf16] * 2 + [in_f32] * 3, "bf16", "cpu")) == ["agrees"] * 5


# ggml's CUDA kernel for few rows, as measured on a GPU to the last place: blocks of 8-bit activations with their own sum in f16.

def in_blocks_of_8_bits(w, x, kind):
    raw = gguf.quants.quantize(w, kind).reshape(len(w), -1, 18)
    scale, nibbles = raw[..., :2].copy().view("f2")[..., 0].astype("f4"), np.concatenate([raw[..., 2:] & 15, raw[..., 2:] >> 4], -1).astype("i4")
    blocks = x.reshape(len(x), -1, 32)
    d = np.abs(blocks).max(-1) / 127
    ints, total = np.round(blocks / d[..., None]).astype("i4"), blocks.sum(-1).astype("f2").astype("f4")
    d = d.astype("f2").astype("f4")
    sums = np.einsum("rbk,xbk->xrb", nibbles, ints)
    return (scale[None] * (d[:, None] * sums - 8 * total[:, None])).sum(-1).astype("f4")


@pytest.mark.parametrize("factor, status", [(1, 0), (1.2, 1)])
def test_the_offset_of_a_block_counts_in_full(tmp_path, factor, status):
    """Activations as models have them: a few channels are far larger, which coarsens their blocks."""
    kind, t = gguf.GGMLQuantizationType.Q4_0, Trace(tmp_path / "t").begin(range(1))
    path = gguf.GGUFWriter(tmp_path / "model.gguf", "llama")
    for i in range(40):
        w, x = RNG.standard_normal((64, 256)).astype("f4"), (RNG.standard_normal((1, 256)) * np.where(RNG.random(256) < 0.02, 12, 1)).astype("f4")
        path.add_tensor(f"w{i}", gguf.quants.quantize(w, kind), raw_dtype=kind)
        sources = [t.add(f"w{i}", None, role="weight", dtype="q4_0", shape=[64, 256]), t.add(f"x{i}", x, role="input")]
        t.add(f"y{i}", in_blocks_of_8_bits(w, x, kind) * np.float32(factor), sources, op="MUL_MAT", backend="CUDA0")
    for step in (path.write_header_to_file, path.write_kv_data_to_file, path.write_tensors_to_file, path.close):
        step()
    done, found = verify(t.write(), "--model", tmp_path / "model.gguf")
    assert found["families"][0]["type"] == "q4_0" and found["families"][0]["largest"] > 0.03, "more than CPU kernels differ by"
    assert done == status
