"""What a GPU computed, and what comes of it, may be further off: products in TF32 or f16."""
import numpy as np
import pytest

from traces import Trace, diff

X = np.random.default_rng(1).standard_normal((6, 32)).astype("f4")
NOISE = np.random.default_rng(2).standard_normal((6, 32)).astype("f4")
NOISE *= np.linalg.norm(X) / np.linalg.norm(NOISE)


def chain(path, off=(0, 0, 0), backends=(None, None, None), ops=("MUL_MAT", "MUL_MAT", "MUL_MAT"), weights="CPU"):
    """embedding -> a -> b -> c, each `off` by that relative L2."""
    t = Trace(path).begin(range(6))
    weight = t.add("w", None, role="weight", shape=[32, 32], dtype="f32", backend=weights)
    last = t.add("embedding", X, op="GET_ROWS", backend="CPU")
    for name, error, backend, op in zip("abc", off, backends, ops):
        last = t.add(name, X * (2 + ord(name) % 3) + np.float32(error) * NOISE * (2 + ord(name) % 3), [weight, last], op=op, **({"backend": backend} if backend else {}))
    return t.write()


def judged(tmp_path, **candidate):
    status, result = diff(chain(tmp_path / "r", ops=candidate.get("ops", ("MUL_MAT",) * 3)), chain(tmp_path / "c", **candidate))
    return status, result, {p["candidate"]["name"]: p for p in result["pairs"]}


@pytest.mark.parametrize("backend", ["CUDA0", "Vulkan1", "ROCm0", "MTL0", "Metal", "SYCL0", "cuda:0", "mps:0"])
def test_a_product_on_a_gpu(tmp_path, backend):
    status, result, pairs = judged(tmp_path, off=(8e-4, 9e-4, 1e-3), backends=(backend,) * 3)
    assert status == 0 and result["totals"]["by_gpu"] == 3
    assert [(pairs[n]["precision"], pairs[n]["tolerance"]) for n in "abc"] == [("gpu", 2e-3)] * 3
    assert pairs["embedding"]["precision"] == "f32"


@pytest.mark.parametrize("backend", [None, "CPU", "CPU_Mapped", "CUDA_Host", "Vulkan_Host", "BLAS", "AVX2", "an engine's own"])
def test_elsewhere_the_tolerance_stays(tmp_path, backend):
    status, result, pairs = judged(tmp_path, off=(8e-4, 8e-4, 8e-4), backends=(backend,) * 3)
    assert status == 1 and result["first_divergence"]["candidate"]["name"] == "a" and pairs["a"]["precision"] == "f32"
    assert result["totals"]["by_gpu"] == 0


def test_a_fault_on_a_gpu(tmp_path):
    status, result, _ = judged(tmp_path, off=(5e-4, 4e-3, 4e-3), backends=("CUDA0",) * 3)
    assert status == 1 and result["first_divergence"]["candidate"]["name"] == "b"
    assert result["first_divergence"]["tolerance"] == 2e-3


def test_what_the_cpu_computed_before_is_judged_as_ever(tmp_path):
    status, result, pairs = judged(tmp_path, off=(5e-4, 5e-4, 5e-4), backends=("CPU", "CPU", "CUDA0"))
    assert status == 1 and result["first_divergence"]["candidate"]["name"] == "a"
    assert pairs["b"]["precision"] == "f32" and pairs["c"]["precision"] == "gpu"


def test_what_the_cpu_computes_from_it_has_its_tolerance(tmp_path):
    status, result, pairs = judged(tmp_path, off=(5e-4, 5e-4, 5e-4), backends=("CUDA0", "CPU", "CPU"))
    assert status == 0 and [pairs[n]["precision"] for n in "abc"] == ["gpu"] * 3


def test_a_weight_in_the_memory_of_a_gpu_is_no_computation(tmp_path):
    status, result, pairs = judged(tmp_path, off=(5e-4,) * 3, weights="CUDA0")
    assert status == 1 and pairs["a"]["precision"] == "f32"


def test_a_reference_from_a_gpu(tmp_path):
    status, result = diff(chain(tmp_path / "r", off=(8e-4,) * 3, backends=("Vulkan0",) * 3), chain(tmp_path / "c"))
    assert status == 0 and result["totals"]["by_gpu"] == 3


def test_gelu_on_a_gpu_is_no_table(tmp_path):
    """A table's errors add up with depth; on a GPU nothing is looked up."""
    ops = ("GELU",) * 3
    _, _, on_cpu = judged(tmp_path / "cpu", ops=ops)
    _, _, on_gpu = judged(tmp_path / "gpu", ops=ops, backends=("CUDA0",) * 3)
    assert [on_gpu[n]["tolerance"] for n in "abc"] == [2e-3] * 3 and [on_cpu[n]["precision"] for n in "abc"] == ["gelu-table"] * 3


def test_other_profiles_know_no_gpu(tmp_path):
    sides = chain(tmp_path / "r"), chain(tmp_path / "c", off=(8e-4,) * 3, backends=("CUDA0",) * 3)
    status, result = diff(*sides, "--profile", "backend-ops")
    assert status == 1 and result["totals"]["by_gpu"] == 0
