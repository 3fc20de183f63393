"""Image towers and their projectors: CLIP in LLaVA, SigLIP in Gemma 3, MobileNetV5 in
Gemma 3n; and Gemma 3n's text."""
import re

import gguf
import numpy as np
import pytest
import torch
import transformers
from checkpoint_files import diff, failing, findings, write_gguf, write_hf
from gguf.constants import MODEL_ARCH
from hf_models import interleaved
from safetensors.numpy import load_file

VISION = dict(hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=48, image_size=28, patch_size=14)
TEXT = dict(vocab_size=48, hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=64)
TOWER = gguf.get_tensor_name_map(MODEL_ARCH.MMPROJ, 8)


def randomised(model):
    torch.manual_seed(3)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape) * 0.05 + (1 if parameter.ndim == 1 else 0))
    return model


def gguf_name(name, text):
    name = re.sub(r"^vision_tower\.(?!vision_model|timm_model)", "vision_tower.vision_model.", name)
    name = name.replace("mm_input_projection_weight", "mm_input_projection.weight")
    if name.startswith("language_model."):
        return text.get_name(name.removeprefix("language_model."), try_suffixes=(".weight", ".bias"))
    return TOWER.get_name(name, try_suffixes=(".weight", ".bias"))


def split_files(folder, saved, arch, change):
    """model.gguf and mmproj.gguf, as llama.cpp's converter makes two of one checkpoint."""
    text = gguf.get_tensor_name_map(arch, 2)
    model, tower = {}, {}
    for name, value in saved.items():
        target = gguf_name(name, text)
        if target is not None:
            (model if name.startswith("language_model.") else tower)[target] = np.ascontiguousarray(change(name, value))
    out = folder / "gguf"
    out.mkdir()
    keys = [("add_head_count", 4), ("add_head_count_kv", 2)]
    write_gguf(out / "model.gguf", model, arch=gguf.MODEL_ARCH_NAMES[arch], keys=keys)
    write_gguf(out / "mmproj-model.gguf", tower, arch="clip")
    return out


def llama_change(name, value):
    heads = 4 if "language_model" in name and ".q_proj." in name else 2 if "language_model" in name and ".k_proj." in name else 0
    return interleaved(value, heads) if heads else value


def gemma_change(name, value):
    return value + np.float32(1) if ("language_model" in name and "norm" in name) or "soft_emb_norm" in name else value


CASES = {
    "llava": (lambda: transformers.LlavaForConditionalGeneration(transformers.LlavaConfig(
        text_config=transformers.LlamaConfig(**TEXT), vision_config=transformers.CLIPVisionConfig(**VISION), image_token_index=1)),
        MODEL_ARCH.LLAMA, llama_change),
    "gemma3": (lambda: transformers.Gemma3ForConditionalGeneration(transformers.Gemma3Config(
        text_config=transformers.Gemma3TextConfig(**TEXT, head_dim=16), vision_config=transformers.SiglipVisionConfig(**VISION), mm_tokens_per_image=1)),
        MODEL_ARCH.GEMMA3, gemma_change),
}


@pytest.mark.parametrize("family", CASES)
def test_a_model_and_its_projector_against_one_checkpoint(tmp_path, family):
    make, arch, change = CASES[family]
    randomised(make().float()).save_pretrained(tmp_path / "hf")
    saved = load_file(tmp_path / "hf" / "model.safetensors")
    out = split_files(tmp_path, saved, arch, change)
    status, _, report = diff(tmp_path / "hf", out, "--what", "weights")
    assert status == 0, failing(report)
    weights = report["weights"]
    assert weights["preset"] == family and weights["candidate_only"] == [] and weights["by"]["content"] == 0
    assert all(".head." in name for name in weights["reference_only"])
    assert {p["verdict"] for p in weights["pairs"]} <= {"identical", "match"} and len(weights["pairs"]) > 50
    assert diff(out, tmp_path / "hf", "--what", "weights")[0] == 0
    # the tower alone, with a fault
    tower = {gguf_name(n, None): v for n, v in saved.items() if n.startswith(("vision_tower", "multi_modal")) and gguf_name(n, None)}
    tower = {n: np.ascontiguousarray(change("x." + n, v)) for n, v in tower.items()}
    a, b = "v.blk.1.attn_q.weight", "v.blk.1.attn_k.weight"
    tower[a], tower[b] = tower[b], tower[a]
    status, _, report = diff(tmp_path / "hf", write_gguf(tmp_path / "mmproj.gguf", tower, arch="clip"), "--what", "weights")
    assert status == 1 and {p["candidate"]["name"] for p in report["weights"]["pairs"] if p["verdict"] == "differs"} == {a, b}


def test_gemma3n_text(tmp_path):
    config = transformers.Gemma3nTextConfig(**TEXT, head_dim=16, hidden_size_per_layer_input=8, vocab_size_per_layer_input=48, laurel_rank=8,
                                            num_kv_shared_layers=0, layer_types=["full_attention", "full_attention"], activation_sparsity_pattern=[0.0, 0.0])
    randomised(transformers.Gemma3nForCausalLM(config).float()).save_pretrained(tmp_path / "hf")
    names, out, stacked = gguf.get_tensor_name_map(MODEL_ARCH.GEMMA3N, 2), {}, {}
    for name, value in load_file(tmp_path / "hf" / "model.safetensors").items():
        numbered = re.match(r"(model\.altup_\w*projections)\.(\d+)\.weight", name)
        if numbered:
            stacked.setdefault(numbered[1] + ".weight", {})[int(numbered[2])] = value
            continue
        target = names.get_name(name, try_suffixes=(".weight", ".bias"))
        assert target is not None, name
        out[target] = value.reshape(1, -1, 1, 1) if name.endswith("gamma") else value
    for name, parts in stacked.items():
        out[names.get_name(name, try_suffixes=(".weight",))] = np.stack([parts[i] for i in sorted(parts)])
    status, _, report = diff(tmp_path / "hf", write_gguf(tmp_path / "m.gguf", out, arch="gemma3n"), "--what", "weights")
    assert status == 0, failing(report)
    weights = report["weights"]
    assert weights["preset"] == "gemma3n" and weights["by"]["content"] == weights["by"]["name"] == 0
    assert weights["candidate_only"] == weights["reference_only"] == [] and {p["verdict"] for p in weights["pairs"]} == {"identical"}
    assert len(stacked) == 2


def test_mobilenet(tmp_path):
    """Names of a tower of timm's, which isn't installed: convolutions keep their axes."""
    shapes = {"conv_stem.conv.weight": (8, 3, 3, 3), "conv_stem.bn.weight": (8,), "conv_stem.conv.bias": (8,),
              "blocks.0.0.conv_exp.weight": (16, 8, 3, 3), "blocks.0.0.bn1.weight": (16,), "blocks.0.0.conv_pwl.weight": (8, 16, 1, 1), "blocks.0.0.bn2.weight": (8,),
              "blocks.1.0.dw_start.conv.weight": (8, 1, 5, 5), "blocks.1.0.dw_start.bn.weight": (8,), "blocks.1.0.dw_mid.conv.weight": (16, 1, 5, 5),
              "blocks.1.0.pw_exp.conv.weight": (16, 8, 1, 1), "blocks.1.0.pw_proj.conv.weight": (8, 16, 1, 1), "blocks.1.0.layer_scale.gamma": (8,),
              "blocks.2.11.attn.query.proj.weight": (16, 8, 1, 1), "blocks.2.11.attn.key.proj.weight": (4, 8, 1, 1), "blocks.2.11.attn.key.down_conv.weight": (8, 1, 3, 3),
              "blocks.2.11.attn.key.norm.weight": (8,), "blocks.2.11.attn.output.proj.weight": (8, 16, 1, 1), "blocks.2.11.norm.weight": (8,),
              "msfa.ffn.pw_exp.conv.weight": (16, 8, 1, 1), "msfa.ffn.pw_proj.bn.weight": (8,), "msfa.norm.weight": (8,)}
    random = np.random.default_rng(5)
    hf = {f"model.vision_tower.timm_model.{n}": random.normal(size=s).astype(np.float32) for n, s in shapes.items()}
    hf |= {f"model.embed_vision.{n}.weight": random.normal(size=(8, 8)).astype(np.float32) for n in ("embedding", "embedding_projection")}
    hf |= {f"model.embed_vision.{n}.weight": random.normal(size=8).astype(np.float32) for n in ("hard_embedding_norm", "soft_embedding_norm")}
    out = {}
    for name, value in hf.items():
        block = re.match(r"model\.vision_tower\.timm_model\.blocks\.(.*)", name)
        target = f"v.blk.{block[1]}" if block else TOWER.get_name(name, try_suffixes=(".weight", ".bias"))
        out[target] = value.reshape(1, -1, 1, 1) if name.endswith("gamma") else value
    reference = write_hf(tmp_path / "hf", hf, {"architectures": ["Gemma3nForConditionalGeneration"]})
    status, _, report = diff(reference, write_gguf(tmp_path / "mmproj.gguf", out, arch="clip"), "--what", "weights")
    assert status == 0, (failing(report), findings(report))
    assert report["weights"]["by"] == {"name": 0, "preset": len(hf), "content": 0}


@pytest.mark.parametrize("axes, fails", [((32,), True), ((1, 32, 1, 1), False), ((32, 1, 1), False), ((1, 1, 32), True)])
def test_a_scale_of_channels_has_the_axes_that_the_engine_needs(tmp_path, axes, fails):
    """The values are the same; with [32] the engine stops."""
    gamma = np.random.default_rng(1).standard_normal(32).astype("f4")
    write_hf(tmp_path / "hf", {"vision_tower.timm_model.blocks.1.0.layer_scale.gamma": gamma}, {"model_type": "gemma3n", "architectures": ["Gemma3nForConditionalGeneration"]})
    status, lines, report = diff(tmp_path / "hf", write_gguf(tmp_path / "m.gguf", {"v.blk.1.0.layer_scale.gamma": gamma.reshape(axes)}, arch="clip"), "--what", "weights")
    assert (status == 1) == fails and any(f["kind"] == "shape" and "has to be [1, channels, 1, 1]" in f["text"] for f in report["findings"]) == fails
