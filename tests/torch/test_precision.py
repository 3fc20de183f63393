"""In which type torch may multiply is noted with each product of f32."""
import pytest
import torch
from torch import nn

from lockstep_debug import precision

SETTINGS = pytest.mark.skipif(not hasattr(torch.backends.cuda.matmul, "fp32_precision"), reason="torch before 2.9 has other settings")


@pytest.fixture(autouse=True)
def settings():
    yield
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = True


def test_by_default_only_convolutions_on_a_gpu_are_in_tf32():
    f32 = torch.float32
    assert [precision.allowed(op, f32, "cuda") for op in ("Linear", "bmm", "scaled_dot_product_attention", "Conv1d", "convolution", "LSTM", "add")] == \
        ["ieee", "ieee", "ieee", "tf32", "tf32", "tf32", None]
    assert [precision.allowed(*what) for what in (("Linear", f32, "cpu"), ("Linear", torch.bfloat16, "cuda"), ("Linear", f32, "mps"))] == [None] * 3


def test_both_ways_to_allow_tf32():
    torch.backends.cuda.matmul.allow_tf32 = True
    assert precision.allowed("linear", torch.float32, "cuda") == "tf32"
    torch.set_float32_matmul_precision("highest")
    assert precision.allowed("linear", torch.float32, "cuda") == "ieee"
    torch.set_float32_matmul_precision("high")
    torch.backends.cudnn.allow_tf32 = False
    assert [precision.allowed(op, torch.float32, "cuda") for op in ("linear", "conv2d")] == ["tf32", "ieee"]


@SETTINGS
def test_it_is_recorded(recording):
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU())
    with torch.no_grad():
        model(torch.ones(1, 4))
        torch.set_float32_matmul_precision("medium")
        model(torch.ones(1, 4))
    products = [line["params"] for line in recording.tensors if line["op"] == "Linear"]
    assert [params.get("fp32_precision") for params in products] == [None, "bf16"] and products[1]["in_features"] == 4
    assert all("fp32_precision" not in line.get("params", {}) for line in recording.tensors if line["op"] == "ReLU")
