"""A prebuilt whisper.cpp, unmodified: encoder and decoder against transformers' Whisper.

Its graph names neither weights nor most nodes, the encoder runs as three passes
without tokens, and its matrices and caches are f16.
"""
import json
import sys

import numpy as np
import pytest
import torch

import whisper_models
from conftest import HERE, LOCKSTEP, capture, diff, run, title

PROMPT, STEPS = [50257, 50362, 11, 12, 13], [100, 200]
F16 = 5e-3


class Whisper:
    def __init__(self, folder):
        self.folder = folder
        self.model = whisper_models.save(folder)
        self.mel = folder / "mel.npy"
        np.save(self.mel, np.random.default_rng(3).standard_normal((whisper_models.MELS, whisper_models.FRAMES), dtype=np.float32))
        self.reference = capture(folder / "ref", *self.command("run_whisper_hf.py", folder / "hf"))

    def command(self, script, model, **more):
        options = {"model": str(model), "mel": str(self.mel), "prompt": PROMPT, "steps": STEPS, **more}
        return [sys.executable, HERE / script, json.dumps(options)]

    def cpp(self, name, change=None, **more):
        tensors = whisper_models.ggml_tensors(self.model)
        if change is not None:
            change(tensors)
        whisper_models.write(self.folder / f"{name}.bin", self.model.config, tensors)
        return self.command("run_whisper_cpp.py", self.folder / f"{name}.bin", **more)


@pytest.fixture(scope="module")
def whisper(tmp_path_factory):
    return Whisper(tmp_path_factory.mktemp("whisper"))


@pytest.mark.parametrize("flash", [False, True], ids=["no-fa", "fa"])
def test_a_clean_run_matches(whisper, tmp_path, flash):
    trace = capture(tmp_path / "cand", *whisper.cpp("clean", flash=flash))
    status, result = diff(whisper.reference, trace, "--accept", "gelu-variant")
    assert status == 0 and result["verdict"] == "match", (result["reason"], result["first_divergence"])
    assert result["inputs"]["status"] == "equal" and result["inputs"]["rows_paired"] == len(PROMPT + STEPS)
    assert result["pairing"]["coverage"] > 0.9
    for pair in result["pairs"]:
        if pair["verdict"] != "explained":
            assert pair["metrics"]["rel_l2"] <= F16, title(pair["candidate"])
        assert pair["metrics"]["cosine"] > 0.9999, title(pair["candidate"])
    names = {pair["reference"]["name"] for pair in result["pairs"]}
    for layer in range(whisper_models.LAYERS):
        assert {f"layers.{layer}.fc2", f"model.decoder.layers.{layer}.encoder_attn.out_proj"} <= names
    assert "proj_out" in names


def logits(model, whisper):
    with torch.no_grad():
        return model(input_features=torch.from_numpy(np.load(whisper.mel))[None], decoder_input_ids=torch.tensor([PROMPT + STEPS])).logits[0]


FAULTS = {  # what is swapped in a conversion; the tensor where it begins
    "encoder-values": ("encoder.blocks.1.attn.key.weight", "encoder.blocks.1.attn.value.weight",
                       {"layers.1.self_attn.k_proj", "layers.1.self_attn.v_proj"}),
    "encoder-norms": ("encoder.blocks.2.attn_ln.weight", "encoder.blocks.2.mlp_ln.weight", {"layers.2.self_attn_layer_norm"}),
    "cross-keys": ("decoder.blocks.1.cross_attn.key.weight", "decoder.blocks.1.attn.key.weight", {"model.decoder.layers.1.encoder_attn.k_proj"}),
    "decoder-output": ("decoder.blocks.0.attn.out.weight", "decoder.blocks.0.cross_attn.out.weight", {"model.decoder.layers.0.self_attn.out_proj"}),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_swap_is_named_where_it_begins(whisper, tmp_path, fault):
    first, second, where = FAULTS[fault]

    def swap(tensors):
        tensors[first], tensors[second] = tensors[second], tensors[first]
    before = logits(whisper.model, whisper)
    state = whisper.model.state_dict()
    ours = {whisper_models.ggml_name(name): name for name in state}
    kept = state[ours[first]].clone()
    state[ours[first]].copy_(state[ours[second]])
    state[ours[second]].copy_(kept)
    moved = float((logits(whisper.model, whisper) - before).norm() / before.norm())
    state[ours[second]].copy_(state[ours[first]])
    state[ours[first]].copy_(kept)
    assert moved > 1e-3, "the fault must matter"
    done = run(LOCKSTEP, "check", "--reference", whisper.reference, "--accept", "gelu-variant", "--json", tmp_path / "json", "--", *whisper.cpp(fault, swap))
    result = json.loads((tmp_path / "json").read_text())
    assert done.returncode == 1 and result["first_divergence"]["reference"]["name"] in where, result["first_divergence"]


def test_fused_attention_that_sees_the_padding_of_its_cache(tmp_path_factory, monkeypatch):
    """Of an audio context that is no multiple of 256, whisper.cpp's fused attention in the
    encoder sees the zeros up to the next: a real divergence, named at the operation."""
    monkeypatch.setattr(whisper_models, "FRAMES", 200)
    whisper = Whisper(tmp_path_factory.mktemp("padded"))
    status, result = diff(whisper.reference, capture(whisper.folder / "plain", *whisper.cpp("plain")), "--accept", "gelu-variant")
    assert status == 0, result["first_divergence"]
    status, result = diff(whisper.reference, capture(whisper.folder / "fused", *whisper.cpp("fused", flash=True)), "--accept", "gelu-variant")
    assert status == 1 and title(result["first_divergence"]["candidate"]) == "FLASH_ATTN_EXT (FLASH_ATTN_EXT)"
    assert result["first_divergence"]["reference"]["name"] == "layers.0.self_attn/scaled_dot_product_attention"


@pytest.mark.parametrize("flash", [False, True], ids=["no-fa", "fa"])
def test_replay_needs_no_names(whisper, tmp_path, flash):
    """whisper.cpp names neither its weights nor its nodes; its file, from before GGUF, is found by what the weights are. It computes
    GELU in its tanh form, which is all that differs."""
    trace = capture(tmp_path / "cand", *whisper.cpp("clean", flash=flash))
    status, result = diff(whisper.reference, trace, "--preset", "none")
    replay = result["replay"]
    assert replay["weights"]["verified"] == 128 and replay["weights"]["opened_by_engine"]
    assert replay["counts"]["open"] == replay["counts"]["unsupported"] == replay["kernels"]["differ"] == 0
    at_fault = [o for o in replay["operations"] if o["origin"]]
    assert status == 1 and at_fault and all(o["op"] == "GELU" and o["rule"]["id"] == "gelu-variant" and o["rule"]["left"] < 1e-6 for o in at_fault)
    status, result = diff(whisper.reference, trace, "--preset", "none", "--accept", "gelu-variant")
    assert status == 0 and result["verdict"] == "match"


@pytest.mark.parametrize("flash", [False, True], ids=["no-fa", "fa"])
def test_every_kernel_agrees_with_double_precision(whisper, tmp_path, flash):
    trace = capture(tmp_path / "cand", *whisper.cpp("clean", flash=flash), options=["--weights"])
    done = run(LOCKSTEP, "verify", trace, "--json", "-")
    result = json.loads(done.stdout)
    assert done.returncode == 0 and result["checked"] >= len(result["operations"]) - 1 > 800
    assert {"im2col", "norm", "gelu", "get_rows", "flash_attention" if flash else "softmax"} <= {f["op"] for f in result["families"]}
