"""Llama 3.2 Vision in three spellings: transformers', Ollama's, and that of the first
attempts at it in llama.cpp, which keep the gates as they are."""
import re

import numpy as np
import pytest
import torch
import transformers
from checkpoint_files import diff, failing, findings, pair_of, write_gguf
from hf_models import interleaved
from safetensors.numpy import load_file
from transformers.models.mllama.configuration_mllama import MllamaTextConfig, MllamaVisionConfig

HEADS, KV_HEADS = 4, 2

TEXT = {r"lm_head": "output", r"model\.embed_tokens": "token_embd", r"model\.norm": "output_norm"}
BLOCK = {"input_layernorm": "attn_norm", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.o_proj": "attn_output",
         "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down", "cross_attn.q_norm": "cross_attn_q_norm",
         "cross_attn.k_norm": "cross_attn_k_norm", "cross_attn.q_proj": "cross_attn_q_proj", "cross_attn.k_proj": "cross_attn_k_proj",
         "cross_attn.v_proj": "cross_attn_v_proj", "cross_attn.o_proj": "cross_attn_o_proj", "cross_attn_attn_gate": "cross_attn_attn_gate",
         "cross_attn_mlp_gate": "cross_attn_mlp_gate"}
OUTER = "vision_model.gated_positional_embedding."


def ollama(name):
    block = dict(BLOCK, **{"self_attn.v_proj": "attn_v", "post_attention_layernorm": "ffn_norm"})
    vision = {"input_layernorm": "attn_norm", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
              "self_attn.o_proj": "attn_output", "post_attention_layernorm": "ffn_norm", "mlp.fc1": "ffn_up", "mlp.fc2": "ffn_down",
              "gate_attn": "attn_gate", "gate_ffn": "ffn_gate"}
    outer = {"multi_modal_projector": "mm.0", "class_embedding": "v.class_embd", "patch_embedding": "v.patch_embd", "layernorm_pre": "v.pre_ln",
             "layernorm_post": "v.post_ln"}
    alone = {OUTER + "embedding": "v.position_embd.weight", OUTER + "gate": "v.position_embd.gate", OUTER + "tile_embedding.weight": "v.tile_position_embd.weight",
             "vision_model.pre_tile_positional_embedding.embedding.weight": "v.pre_tile_position_embd.weight",
             "vision_model.pre_tile_positional_embedding.gate": "v.pre_tile_position_embd.gate",
             "vision_model.post_tile_positional_embedding.embedding.weight": "v.post_tile_position_embd.weight",
             "vision_model.post_tile_positional_embedding.gate": "v.post_tile_position_embd.gate"}
    return spell(name, block, vision, {"transformer": "v.blk", "global_transformer": "v.global.blk"}, outer, alone)


def notes(name):
    block = dict(BLOCK, **{"self_attn.v_proj": "attn_v_proj", "post_attention_layernorm": "post_attention_norm"})
    shared = {"self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_out",
              "mlp.fc1": "ffn_up", "mlp.fc2": "ffn_down", "gate_attn": "attn_gate", "gate_ffn": "ffn_gate"}
    inside = ".global_transformer." in name
    vision = dict(shared, **({"input_layernorm": "attn_norm", "post_attention_layernorm": "post_attn_norm"} if inside else
                             {"input_layernorm": "input_norm", "post_attention_layernorm": "attn_out_norm"}))
    outer = {"multi_modal_projector": "v.enc.mmproj", "class_embedding": "v.enc.embd.cls", "patch_embedding": "v.enc.patch_embd",
             "layernorm_pre": "v.enc.pre_ln", "layernorm_post": "v.enc.post_ln"}
    alone = {OUTER + "embedding": "v.enc.position_embd", OUTER + "gate": "v.enc.position_gate", OUTER + "tile_embedding.weight": "v.enc.tile_position_embd.weight",
             "vision_model.pre_tile_positional_embedding.embedding.weight": "v.enc.pre_tile_position_embd.weight",
             "vision_model.pre_tile_positional_embedding.gate": "v.enc.pre_tile_position_gate",
             "vision_model.post_tile_positional_embedding.embedding.weight": "v.enc.post_tile_position_embd.weight",
             "vision_model.post_tile_positional_embedding.gate": "v.enc.post_tile_position_gate"}
    return spell(name, block, vision, {"transformer": "v.enc.blk", "global_transformer": "v.enc.global.blk"}, outer, alone)


def spell(name, block, vision, towers, outer, alone):
    if name in alone:
        return alone[name]
    stem, suffix = re.match(r"(.*?)(\.weight|\.bias)?$", name).groups()
    suffix = suffix or ""
    text = stem.removeprefix("language_model.")
    layer = re.match(r"model\.layers\.(\d+)\.(.*)", text)
    if layer:
        return f"blk.{layer[1]}.{block[layer[2]]}{suffix}"
    tower = re.match(r"vision_model\.(\w+)\.layers\.(\d+)\.(.*)", stem)
    if tower:
        return f"{towers[tower[1]]}.{tower[2]}.{vision[tower[3]]}{suffix}"
    for pattern, target in TEXT.items():
        if re.fullmatch(pattern, text):
            return target + suffix
    return outer[stem.removeprefix("vision_model.")] + suffix


def permuted(name, value):
    heads = HEADS if ".self_attn.q_proj." in name else KV_HEADS if ".self_attn.k_proj." in name else 0
    return interleaved(value, heads) if heads and name.startswith("language_model") else value


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    vision = MllamaVisionConfig(hidden_size=32, num_hidden_layers=2, num_global_layers=1, attention_heads=2, intermediate_size=48,
                                vision_output_dim=64, image_size=28, patch_size=14, intermediate_layers_indices=[0], max_num_tiles=2,
                                supported_aspect_ratios=[[1, 1], [1, 2], [2, 1]])
    text = MllamaTextConfig(vocab_size=48, hidden_size=64, intermediate_size=96, num_hidden_layers=3, num_attention_heads=HEADS,
                            num_key_value_heads=KV_HEADS, cross_attention_layers=[1], pad_token_id=0, max_position_embeddings=64)
    made = transformers.MllamaForConditionalGeneration(transformers.MllamaConfig(vision_config=vision, text_config=text))
    torch.manual_seed(2)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.copy_(torch.randn(parameter.shape) * 0.3 + 0.1)
        made.model.vision_model.gated_positional_embedding.gate.fill_(-1.328125)
        made.model.vision_model.pre_tile_positional_embedding.gate.fill_(0.75)
        made.model.vision_model.post_tile_positional_embedding.gate.fill_(-0.197265625)
    folder = tmp_path_factory.mktemp("mllama")
    made.save_pretrained(folder / "hf")
    saved = load_file(folder / "hf" / "model.safetensors")
    own = {notes(n): np.ascontiguousarray(permuted(n, v)) for n, v in saved.items()}
    others = {ollama(n): np.ascontiguousarray(permuted(n, v)) for n, v in saved.items()}
    gate = saved[OUTER + "gate"]
    others["v.tile_position_embd.gate"] = np.tanh(gate)
    others["v.position_embd.gate"] = 1 - np.tanh(gate)
    for name in [n for n in others if re.search(r"tile_position_embd\.gate|v\.global.*_gate", n) and n != "v.tile_position_embd.gate"]:
        others[name] = np.tanh(others[name])
    keys = [("add_head_count", HEADS), ("add_head_count_kv", KV_HEADS)]
    write_gguf(folder / "own.gguf", own, arch="mllama", keys=keys)
    write_gguf(folder / "ollama.gguf", others, arch="mllama", keys=keys)
    return folder, own, others


@pytest.mark.parametrize("spelling", ["own", "ollama"])
def test_each_against_transformers(model, spelling):
    folder, own, others = model
    for sides in ((folder / "hf", folder / f"{spelling}.gguf"), (folder / f"{spelling}.gguf", folder / "hf")):
        status, text, report = diff(*sides, "--what", "weights")
        assert status == 0, failing(report)
        weights = report["weights"]
        assert weights["by"]["content"] == 0 and weights["candidate_only"] == weights["reference_only"] == []
        assert {p["verdict"] for p in weights["pairs"]} <= {"identical", "match"}
    assert len(own) + 1 == len(others)


def test_changes_are_printed(model):
    folder, _, _ = model
    _, _, report = diff(folder / "hf", folder / "ollama.gguf", "--what", "weights")
    assert pair_of(report, "v.position_embd.gate")["layout"] == "one-minus-tanh"
    assert pair_of(report, "v.tile_position_embd.gate")["layout"] == "tanh"
    assert pair_of(report, "v.tile_position_embd.gate")["reference"]["name"] == OUTER + "gate"


def test_one_against_the_other(model):
    """Gates before and after tanh are the same gates; the clone of one is what the other lacks."""
    folder, own, others = model
    status, text, report = diff(folder / "own.gguf", folder / "ollama.gguf", "--what", "weights")
    assert status == 1 and len(failing(report)) == 1
    assert findings(report, "extra") == ["only in the candidate: v.tile_position_embd.gate [1] f32 (= tanh(v.enc.position_gate) of the reference)"]
    layouts = {p["candidate"]["name"]: p["layout"] for p in report["weights"]["pairs"] if p["layout"]}
    assert layouts == {"v.position_embd.gate": "one-minus-tanh", "v.pre_tile_position_embd.gate": "tanh", "v.post_tile_position_embd.gate": "tanh",
                       "v.global.blk.0.attn_gate": "tanh", "v.global.blk.0.ffn_gate": "tanh"}


def test_a_gate_left_as_it_was(model, tmp_path):
    """The value that was taken for the same: -0.197266 against -0.194746."""
    folder, _, others = model
    raw = dict(others, **{"v.post_tile_position_embd.gate": np.array([-0.197265625], np.float32)})
    candidate = write_gguf(tmp_path / "m.gguf", raw, arch="mllama", keys=[("add_head_count", HEADS), ("add_head_count_kv", KV_HEADS)])
    status, _, report = diff(folder / "hf", candidate, "--what", "weights")
    assert status == 1 and len(failing(report)) == 1
    assert pair_of(report, "v.post_tile_position_embd.gate")["cause"] == "the converter's change (tanh) was not made"
