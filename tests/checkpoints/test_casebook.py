"""Confusions that took others days, each as the smallest files that show it, and the
one command whose output states the answer."""
import json
import subprocess

import gguf
import numpy as np
import pytest
from ggml_types import decode, quantize
from checkpoint_files import LOCKSTEP, bpe_tokenizer, diff, failing, findings, normal, pair_of, write_gguf, write_hf

MLLAMA = {"architectures": ["MllamaForConditionalGeneration"], "model_type": "mllama"}
POSITION, PRE, POST = -1.328125, 0.75, -0.197265625  # Llama 3.2 Vision's gates
TANH = {POSITION: -0.8687903250818614, PRE: 0.6351489523872873, POST: -0.19474605586}


def gate(value):
    return np.array([value], np.float32)


HF_GATES = {"vision_model.gated_positional_embedding.gate": gate(POSITION), "vision_model.pre_tile_positional_embedding.gate": gate(PRE),
            "vision_model.post_tile_positional_embedding.gate": gate(POST)}


def test_vocabulary_sizes_that_contradict_each_other(tmp_path):
    words = [f"t{i}" for i in range(128257)]
    tensors = {"token_embd.weight": np.zeros((128264, 4), np.float32), "output.weight": np.zeros((128256, 4), np.float32)}
    candidate = write_gguf(tmp_path / "m.gguf", tensors, arch="mllama", keys=[("add_token_list", words), ("mllama.vocab_size", 128256)])
    hf = {"language_model.model.embed_tokens.weight": normal(128264, 1), "language_model.lm_head.weight": normal(128264, 1)}
    reference = write_hf(tmp_path / "hf", hf, dict(MLLAMA, text_config={"vocab_size": 128264}))
    status, text, _ = diff(reference, candidate, "--what", "vocab")
    assert status == 1 and "candidate: tokens 128257, embedding rows 128264, output rows 128256, declared 128256: inconsistent" in text


CHAT = "{{ bos_token }}{% for m in messages %}{{ m['content'] }}{% endfor %}"
WORDS, SPECIAL = ["a", "b", "c"], ["<|begin_of_text|>", "<|end_of_text|>", "<|eot_id|>"]


def test_bos_doubled(tmp_path):
    keys = [("add_token_list", WORDS + SPECIAL), ("add_bos_token_id", 3), ("add_add_bos_token", True), ("add_chat_template", CHAT)]
    candidate = write_gguf(tmp_path / "m.gguf", {"token_embd.weight": normal(6, 4)}, keys=keys)
    reference = write_hf(tmp_path / "hf", {"model.embed_tokens.weight": normal(6, 4)}, {"bos_token_id": 3}, bpe_tokenizer(WORDS, SPECIAL))
    _, text, report = diff(reference, candidate, "--what", "vocab")
    assert any(f.startswith("candidate: add_bos_token is true and the chat template writes BOS itself") for f in findings(report, "remark"))
    assert "begin with BOS twice" in text


def test_the_end_of_a_turn_is_the_beginning_of_text(tmp_path):
    keys = [("add_token_list", WORDS + SPECIAL), ("add_token_types", [1, 1, 1, 3, 3, 3]), ("add_bos_token_id", 3), ("add_eos_token_id", 5), ("add_eot_token_id", 3)]
    candidate = write_gguf(tmp_path / "m.gguf", {"token_embd.weight": normal(6, 4)}, keys=keys)
    reference = write_hf(tmp_path / "hf", {"model.embed_tokens.weight": normal(6, 4)}, {"bos_token_id": 3, "eos_token_id": [4, 5]},
                         bpe_tokenizer(WORDS, SPECIAL))
    status, text, _ = diff(reference, candidate, "--what", "vocab")
    assert status == 1 and "eot: the candidate's id 3 '<|begin_of_text|>' is also its bos" in text


def test_one_tensor_more_is_a_gate_of_another(tmp_path):
    matrix = {"vision_model.a.weight": normal(8, 8)}
    reference = write_hf(tmp_path / "hf", matrix | HF_GATES)
    converted = {"v.a.weight": normal(8, 8), "v.pre_tile_position_embd.gate": gate(TANH[PRE]), "v.post_tile_position_embd.gate": gate(TANH[POST]),
                 "v.position_embd.gate": gate(1 - TANH[POSITION]), "v.tile_position_embd.gate": gate(-0.86878997)}
    _, text, report = diff(reference, write_gguf(tmp_path / "b.gguf", converted, arch="mllama"), "--preset", "none", "--what", "weights", "--all")
    assert "4 tensors" in text and "5 tensors" in text
    assert "only in the candidate: v.tile_position_embd.gate [1] f32 (= tanh(vision_model.gated_positional_embedding.gate) of the reference)" in text
    assert "only in the candidate: v.position_embd.gate [1] f32 (= 1 - tanh(vision_model.gated_positional_embedding.gate) of the reference)" in text
    assert "v.pre_tile_position_embd.gate [1] f32 (= tanh(vision_model.pre_tile_positional_embedding.gate) of the reference)" in text


@pytest.mark.parametrize(("value", "cause"), [
    (TANH[POSITION], "the candidate is tanh of the other"), (1 - TANH[POSITION], "the candidate is 1 - tanh of the other")])
def test_a_gate_that_was_put_through_tanh(tmp_path, value, cause):
    reference = write_hf(tmp_path / "hf", {"gate.weight": gate(POSITION)})
    status, text, report = diff(reference, write_gguf(tmp_path / "b.gguf", {"gate.weight": gate(value)}))
    assert status == 1 and pair_of(report, "gate.weight")["cause"] == cause and cause in text


def test_nearly_the_same_gate_is_not_the_same(tmp_path):
    reference = write_hf(tmp_path / "hf", {"post.weight": gate(POST)})
    status, text, report = diff(reference, write_gguf(tmp_path / "b.gguf", {"post.weight": gate(TANH[POST])}))
    assert status == 1 and "post.weight: -0.194746062, the reference's post.weight is -0.197265625 (relative difference 1.3e-02)" in text
    assert pair_of(report, "post.weight")["metrics"]["max_rel"] == pytest.approx(1 - TANH[POST] / POST, rel=1e-5)  # f32 gates


def test_a_gate_under_the_name_of_another(tmp_path):
    """One converter's position gate is the other's tile gate: the values say so."""
    a = write_gguf(tmp_path / "a.gguf", {"v.position_gate": gate(TANH[POSITION]), "v.x.weight": normal(4, 4)}, arch="mllama")
    b = write_gguf(tmp_path / "b.gguf", {"v.tile_position_embd.gate": gate(TANH[POSITION]), "v.position_embd.gate": gate(1 - TANH[POSITION]),
                                         "v.x.weight": normal(4, 4)}, arch="mllama")
    _, _, report = diff(a, b, "--preset", "none")
    pair = pair_of(report, "v.tile_position_embd.gate")
    assert pair["reference"]["name"] == "v.position_gate" and pair["by"] == "content" and pair["verdict"] == "identical"
    assert report["weights"]["candidate_only"] == ["v.position_embd.gate"]


def test_other_names_and_types_are_found_by_content(tmp_path):
    norm, v = normal(64, seed=1), normal(32, 64, seed=2)
    a = write_gguf(tmp_path / "a.gguf", {"blk.3.ffn_norm.weight": norm, "blk.3.attn_v.weight": v})
    b = write_gguf(tmp_path / "b.gguf", {"blk.3.post_attention_norm.weight": norm, "blk.3.cross_attn_v_proj.weight": v.astype(np.float16)})
    status, text, report = diff(a, b, "--preset", "none", "--all")
    assert status == 0, failing(report)
    found = {p["candidate"]["name"]: (p["reference"]["name"], p["reference"]["dtype"], p["candidate"]["dtype"], p["by"]) for p in report["weights"]["pairs"]}
    assert found == {"blk.3.post_attention_norm.weight": ("blk.3.ffn_norm.weight", "f32", "f32", "content"),
                     "blk.3.cross_attn_v_proj.weight": ("blk.3.attn_v.weight", "f32", "f16", "content")}


def test_floats_read_as_half_floats(tmp_path):
    """The low halves of floats that were bf16 are zeros: every other value is 0."""
    w = (normal(16, 8).view(np.uint32) & 0xFFFF0000).view(np.float32)
    a = write_gguf(tmp_path / "a.gguf", {"w.weight": w})
    b = write_gguf(tmp_path / "b.gguf", {"w.weight": w.view(np.float16).reshape(-1)[:128].reshape(16, 8).astype(np.float32)})
    status, text, report = diff(a, b)
    assert status == 1 and "the reference says f32, but its bytes are the other side's values as f16" in text


def test_blocks_taken_for_values(tmp_path):
    """The first bytes of a Q4_K block are two half floats and six-bit scales, not values."""
    w = normal(16, 256)
    blocks = quantize("q4_K", w)
    a = write_gguf(tmp_path / "a.gguf", {"w.weight": blocks}, kinds={"w.weight": (gguf.GGMLQuantizationType.Q4_K,)})
    done = subprocess.run([LOCKSTEP, "show", str(a), "w.weight[0, :8]", "--json"], capture_output=True, text=True)
    assert json.loads(done.stdout)["values"] == decode("q4_K", blocks)[:8].tolist()
    taken = blocks.reshape(-1).astype(np.float32)[:2304].reshape(16, 144)  # "111 3 37 13"
    b = write_gguf(tmp_path / "b.gguf", {"w.weight": taken})
    status, text, _ = diff(a, b)
    assert status == 1 and "the reference says q4_K, but its bytes are the other side's values as u8" in text


def test_a_row_that_four_bits_leave_nothing_of(tmp_path):
    """A token that training never saw: its scale is below the smallest half float."""
    w = normal(64, 256, scale=0.02)
    w[7] *= np.float32(1e-7)
    blocks = quantize("q4_K", w)
    assert np.count_nonzero(decode("q4_K", blocks).reshape(64, 256)[7]) == 0
    reference = write_hf(tmp_path / "hf", {"token_embd.weight": w})
    candidate = write_gguf(tmp_path / "m.gguf", {"token_embd.weight": blocks}, kinds={"token_embd.weight": (gguf.GGMLQuantizationType.Q4_K,)})
    status, text, report = diff(reference, candidate)
    assert pair_of(report, "token_embd.weight")["rows"] | {"worst_nmse": 1, "worst_row": 7, "lost": 1, "first_lost": 7} == pair_of(report, "token_embd.weight")["rows"]
    assert "1 of 64 rows are all zero, but not in the reference, first [7, :] (the largest of them has 1." in text
    assert status == 0, failing(report)  # four bits can't do better, and so little can't matter


def test_a_row_of_a_quantized_embedding_has_its_original_values(tmp_path):
    rows = normal(300, 256)
    kind = gguf.GGMLQuantizationType.Q8_0
    path = write_gguf(tmp_path / "m.gguf", {"token_embd.weight": rows}, kinds={"token_embd.weight": kind})
    done = subprocess.run([LOCKSTEP, "show", str(path), "token_embd.weight[206, :4]", "--json"], capture_output=True, text=True)
    expected = gguf.quants.dequantize(gguf.quants.quantize(rows, kind), kind).reshape(rows.shape)[206, :4]
    assert done.returncode == 0 and json.loads(done.stdout)["values"] == expected.tolist()


def test_the_output_norm_is_an_attention_norm(tmp_path):
    norms = {"blk.0.attn_norm.weight": normal(64, seed=1), "blk.1.attn_norm.weight": normal(64, seed=2), "output_norm.weight": normal(64, seed=3)}
    a = write_gguf(tmp_path / "a.gguf", norms)
    b = write_gguf(tmp_path / "b.gguf", dict(norms, **{"output_norm.weight": norms["blk.0.attn_norm.weight"]}))
    status, text, report = diff(a, b)
    assert status == 1 and findings(report, "duplicate") == ["output_norm.weight has the same content as blk.0.attn_norm.weight"]


def test_the_rows_of_queries_are_permuted(tmp_path):
    """Same mean, same spread, other order."""
    w = normal(64, 16)
    config = {"architectures": ["LlamaForCausalLM"], "num_attention_heads": 4}
    reference = write_hf(tmp_path / "hf", {"model.layers.0.self_attn.q_proj.weight": w}, config)
    candidate = write_gguf(tmp_path / "m.gguf", {"blk.0.attn_q.weight": w.reshape(4, 2, 8, 16).swapaxes(1, 2).reshape(64, 16).copy()}, keys=[("add_head_count", 4)])
    status, text, report = diff(reference, candidate, "--all")
    assert status == 0 and "rope-pairs: reshape(4, 2, 8, ...).swapaxes(1, 2)" in text


def test_rope_parameters_are_told_apart_by_name(tmp_path):
    config = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "rope_theta": 500000.0}
    reference = write_hf(tmp_path / "hf", {"model.norm.weight": normal(8)}, config)
    candidate = write_gguf(tmp_path / "m.gguf", {"output_norm.weight": normal(8)}, keys=[("add_rope_freq_base", 100.0)])
    status, text, _ = diff(reference, candidate)
    assert status == 1 and "RoPE base: 500000 in the reference (rope_theta), 100 in the candidate (llama.rope.freq_base)" in text
