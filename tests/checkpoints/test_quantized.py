"""Quantized checkpoints of Hugging Face and MLX are compared as the weights that they stand for."""
import json
import subprocess

import numpy as np
import pytest
import torch
from quantizers import SCHEMES, mxfp4
from safetensors.torch import save_file

from checkpoint_files import LOCKSTEP, diff, failing, findings, normal, pair_of

N = "model.layers.0.mlp.up_proj"
CONFIG = {"architectures": ["LlamaForCausalLM"], "model_type": "llama"}
NORM = torch.from_numpy(normal(16))


def write(folder, tensors, config=None):
    folder.mkdir(parents=True, exist_ok=True)
    save_file({k: v.contiguous() for k, v in tensors.items()}, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(CONFIG | (config or {})))
    return folder


def configured(config):
    return {"quantization": config["mlx"], "quantization_config": config["mlx"]} if "mlx" in config else {"quantization_config": config}


def write_module(folder, parts, config, name=N, **more):
    return write(folder, {"model.norm.weight": NORM, **{name + k: v for k, v in parts.items()}, **more}, configured(config))


def write_plain(folder, values, name=N + ".weight"):
    return write(folder, {"model.norm.weight": NORM, name: values if isinstance(values, torch.Tensor) else torch.from_numpy(values)})


def show(folder, what):
    done = subprocess.run([LOCKSTEP, "show", str(folder), what, "--json"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def matrix(*shape, seed=0):
    """Weights whose rows differ in size, as those of models do."""
    return (normal(*shape, seed=seed) * np.exp2(normal(shape[0], 1, seed=7)) * 0.02).astype(np.float32)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_weights_are_decoded_as_by_the_schemes_own_library(tmp_path, scheme):
    w = matrix(96, 256)
    parts, config, big = SCHEMES[scheme](w)
    made = write_module(tmp_path / "q", parts, config)
    found = show(made, N + ".weight")
    assert found["tensor_shape"] == [96, 256] and found["type"].startswith("scaled_")
    in_bfloat16 = "nvfp4" in scheme  # the library divides and multiplies in bfloat16
    np.testing.assert_allclose(np.array(found["values"]), big.numpy(), rtol=2**-8 if in_bfloat16 else 2e-7, atol=1e-12)


# --- against the original


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_quantized_weight_matches_its_original(tmp_path, scheme):
    w = matrix(96, 256)
    parts, config, _ = SCHEMES[scheme](w)
    made, plain = write_module(tmp_path / "q", parts, config), write_plain(tmp_path / "plain", w)
    for a, b in ((plain, made), (made, plain)):
        status, text, report = diff(a, b)
        assert status == 0 and findings(report) == [], text
        pair = pair_of(report, N + ".weight")
        assert pair["verdict"] == "match" and pair["metrics"]["nmse"] <= pair["allowed_nmse"]


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_quantized_weight_matches_what_its_library_decodes(tmp_path, scheme):
    parts, config, big = SCHEMES[scheme](matrix(96, 256))
    for dtype in (torch.float32, torch.bfloat16):
        plain = write_plain(tmp_path / str(dtype), big.to(dtype))
        status, text, report = diff(plain, write_module(tmp_path / "q", parts, config))
        assert status == 0 and findings(report) == [], text


@pytest.mark.parametrize("scheme", SCHEMES)
def test_another_weight_is_not_taken_for_its_original(tmp_path, scheme):
    parts, config, _ = SCHEMES[scheme](matrix(96, 256))
    for other in (matrix(96, 256, seed=9), 1.5 * matrix(96, 256), matrix(96, 256)[::-1].copy()):
        status, text, report = diff(write_plain(tmp_path / "plain", other), write_module(tmp_path / "q", parts, config), "--what", "weights")
        assert status == 1 and len(failing(report)) == 1 and N + ".weight" in failing(report)[0], text
