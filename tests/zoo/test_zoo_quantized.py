"""Quantized checkpoints against the GGUF files that llama.cpp's converter makes of them, and of their originals.

This process computes with threads: what is forked from it afterwards would wait for them, so test_zoo.py comes first."""
import dataclasses
import json
import pathlib
import shutil
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file, save_file

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "checkpoints")]
import animals  # noqa: E402
import breeding  # noqa: E402
import conversion_lab  # noqa: E402
import keeper  # noqa: E402
import quantizers  # noqa: E402

# Of these, the converter reads the codes.
READ = ["fp8 blocks", "fp8 rows", "ct int8 rows", "ct int4 groups", "ct int4 groups zero", "gptq 2 bits", "gptq 4 bits", "gptq 8 bits", "gptq desc_act", "gptq_v2", "nvfp4"]


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    """A llama, whose rotary rows the converter reorders, and its GGUF files."""
    folder = tmp_path_factory.mktemp("original")
    breeding.save(animals.BY_NAME["llama"], folder / "hf")
    for kind in ("f32", "q8_0"):
        conversion_lab.convert(folder / "hf", folder / f"{kind}.gguf", kind)
    return folder


def quantize(original, folder, scheme):
    shutil.copytree(original / "hf", folder)
    config, tensors = json.loads((folder / "config.json").read_text()), {}
    for name, value in load_file(folder / "model.safetensors").items():
        if not name.endswith("_proj.weight"):
            tensors[name] = value
            continue
        parts, how, _ = quantizers.SCHEMES[scheme](value.float().numpy())
        tensors |= {name.removesuffix(".weight") + end: part.clone().contiguous() for end, part in parts.items()}
    config |= {"quantization": how["mlx"], "quantization_config": how["mlx"]} if "mlx" in how else {"quantization_config": how}
    save_file(tensors, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def compare(a, b):
    done = subprocess.run([keeper.LOCKSTEP, "diff", a, b, "--json", "-"], capture_output=True, text=True, timeout=300)
    return done.returncode, json.loads(done.stdout)


def is_right(a, b):
    status, report = compare(a, b)
    assert status == 0 and not [f for f in report["findings"] if f["fails"] or f["gap"]], report["findings"]
    return report


@pytest.mark.parametrize("scheme", quantizers.SCHEMES)
def test_against_the_original_and_its_conversions(original, tmp_path, scheme):
    made = quantize(original, tmp_path / "hf", scheme)
    for other in ("hf", "f32.gguf", "q8_0.gguf"):
        report = is_right(original / other, made)
        assert sum(p["candidate"]["dtype"].startswith(("fp8", "compressed", "modelopt", "gptq", "awq", "bits", "mlx")) for p in report["weights"]["pairs"]) == 28
    is_right(made, original / "f32.gguf")


@pytest.mark.parametrize("scheme", READ)
def test_against_its_own_conversion(original, tmp_path, scheme):
    made = quantize(original, tmp_path / "hf", scheme)
    for kind in ("f32", "q8_0"):
        conversion_lab.convert(made, tmp_path / f"{kind}.gguf", kind)
        report = is_right(made, tmp_path / f"{kind}.gguf")
        if kind == "f32" and scheme != "nvfp4":
            assert max(p["metrics"]["nmse"] for p in report["weights"]["pairs"]) < 1e-12


def test_a_conversion_that_leaves_the_rotary_rows_as_they_are(original, tmp_path):
    made = quantize(original, tmp_path / "hf", "gptq 4 bits")
    plain = quantize(original, tmp_path / "plain", "gptq 4 bits")
    tensors = {n: v for n, v in load_file(original / "hf" / "model.safetensors").items()}
    name = "model.layers.1.self_attn.q_proj.weight"
    value = tensors[name]
    tensors[name] = value.reshape(4, 16, 2, -1).swapaxes(1, 2).reshape(value.shape)  # the inverse, so that the converter's change undoes it
    shutil.copy(original / "hf" / "config.json", plain / "config.json")
    save_file(tensors, plain / "model.safetensors")
    conversion_lab.convert(plain, tmp_path / "f32.gguf", "f32")
    status, report = compare(made, tmp_path / "f32.gguf")
    wrong = [p for p in report["weights"]["pairs"] if p["verdict"] == "differs"]
    assert status == 1 and len(wrong) == 1 and wrong[0]["reference"]["name"] == name and "was not made" in wrong[0]["cause"], report["findings"]


@pytest.fixture(scope="module")
def experts(tmp_path_factory):
    """gpt-oss, whose experts are MXFP4, and the same in floats."""
    folder = tmp_path_factory.mktemp("experts")
    whole = animals.BY_NAME["gpt_oss"]
    animal = dataclasses.replace(whole, config=whole.config | {"intermediate_size": 96})  # square matrices don't say which axis is which
    breeding.save(animal, folder / "plain")
    shutil.copytree(folder / "plain", folder / "hf")
    config, tensors, floats = json.loads((folder / "hf" / "config.json").read_text()), {}, {}
    for name, value in load_file(folder / "hf" / "model.safetensors").items():
        if not name.endswith(("gate_up_proj", "down_proj")):
            tensors[name] = floats[name] = value
            continue
        parts, how, big = quantizers.mxfp4(value.float().transpose(1, 2).numpy())
        assert big.shape == value.shape
        tensors |= {name + end: part.contiguous() for end, part in parts.items()}
        floats[name] = big.contiguous()
        config["quantization_config"] = how
    save_file(tensors, folder / "hf" / "model.safetensors")
    (folder / "hf" / "config.json").write_text(json.dumps(config))
    shutil.copytree(folder / "plain", folder / "decoded")
    save_file(floats, folder / "decoded" / "model.safetensors")
    return folder


def test_experts_in_mxfp4(experts, tmp_path):
    is_right(experts / "plain", experts / "hf")
    report = is_right(experts / "decoded", experts / "hf")
    assert {p["verdict"] for p in report["weights"]["pairs"]} == {"identical"}
    conversion_lab.convert(experts / "hf", tmp_path / "m.gguf", "f32")  # as MXFP4, gate and up apart
    is_right(experts / "hf", tmp_path / "m.gguf")
    is_right(tmp_path / "m.gguf", experts / "hf")
    conversion_lab.convert(experts / "decoded", tmp_path / "f32.gguf", "f32")
    is_right(experts / "hf", tmp_path / "f32.gguf")


def test_experts_whose_blocks_are_swapped(experts, tmp_path):
    shutil.copytree(experts / "hf", tmp_path / "hf")
    tensors = load_file(tmp_path / "hf" / "model.safetensors")
    name = next(n for n in tensors if n.endswith("down_proj_blocks"))
    tensors[name] = tensors[name] << 4 | tensors[name] >> 4
    save_file(tensors, tmp_path / "hf" / "model.safetensors")
    status, report = compare(experts / "plain", tmp_path / "hf")
    wrong = [p for p in report["weights"]["pairs"] if p["verdict"] == "differs"]
    assert status == 1 and len(wrong) == 1 and "change places" in wrong[0]["cause"], report["findings"]
