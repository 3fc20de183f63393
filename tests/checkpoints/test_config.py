"""Hyperparameters by meaning: config.json against GGUF keys."""
import pytest
from checkpoint_files import diff, findings, normal, write_gguf, write_hf

CONFIG = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
          "num_key_value_heads": 2, "head_dim": 16, "intermediate_size": 96, "rope_theta": 500000.0, "rms_norm_eps": 1e-5,
          "vocab_size": 48, "max_position_embeddings": 512, "tie_word_embeddings": True}
KEYS = {"add_embedding_length": 64, "add_block_count": 2, "add_head_count": 4, "add_head_count_kv": 2, "add_key_length": 16,
        "add_feed_forward_length": 96, "add_rope_freq_base": 500000.0, "add_layer_norm_rms_eps": 1e-5, "add_vocab_size": 48,
        "add_context_length": 512, "add_rope_dimension_count": 16}


@pytest.fixture
def compare(tmp_path):
    def run(config=CONFIG, keys=KEYS, arch="llama"):
        reference = write_hf(tmp_path / "hf", {"model.embed_tokens.weight": normal(48, 4)}, config)
        candidate = write_gguf(tmp_path / "m.gguf", {"token_embd.weight": normal(48, 4)}, arch=arch, keys=list(keys.items()))
        return diff(reference, candidate, "--what", "config")

    return run


def test_equal(compare):
    status, text, report = compare()
    assert status == 0 and "0 differ" in text
    assert {c["verdict"] for c in report["config"]} == {"equal"} and len(report["config"]) == 12


@pytest.mark.parametrize(("id", "config", "keys", "line"), [
    ("layers", {"num_hidden_layers": 3}, {}, "layers: 3 in the reference (num_hidden_layers), 2 in the candidate (llama.block_count)"),
    ("heads", {}, {"add_head_count": 8}, "attention heads: 4 in the reference (num_attention_heads), 8 in the candidate (llama.attention.head_count)"),
    ("kv-heads", {}, {"add_head_count_kv": None}, "key-value heads: 2 in the reference (num_key_value_heads), 4 in the candidate (not given: the default)"),
    ("head-size", {"head_dim": None}, {"add_key_length": 32}, "head size: 16 in the reference (not given: the default), 32 in the candidate (llama.attention.key_length)"),
    ("feed-forward", {"intermediate_size": 100}, {}, "feed-forward size: 100 in the reference"),
    ("rope-base", {"rope_theta": None, "rope_parameters": {"rope_theta": 1e6, "rope_type": "default"}}, {},
     "RoPE base: 1000000 in the reference (rope_parameters.rope_theta), 500000 in the candidate"),
    ("rope-base", {}, {"add_rope_freq_base": None}, "RoPE base: 500000 in the reference (rope_theta), 10000 in the candidate (not given: the default)"),
    ("rope-scaling", {"rope_scaling": {"rope_type": "linear", "factor": 2.0}}, {},
     "RoPE scaling: linear in the reference (rope_scaling.rope_type), none in the candidate (not given: the default)"),
    ("rope-scaling", {"rope_scaling": {"rope_type": "llama3", "factor": 8.0}}, {}, "RoPE scaling: llama3 in the reference"),
    ("rope-dimensions", {"partial_rotary_factor": 0.5}, {}, "rotated dimensions: 8 in the reference (not given: the default), 16 in the candidate"),
    ("norm-eps", {}, {"add_layer_norm_rms_eps": 1e-6}, "norm eps: 1e-05 in the reference (rms_norm_eps), 1e-06 in the candidate"),
    ("tied-embeddings", {"tie_word_embeddings": False}, {}, "tied embeddings: false in the reference"),
    ("vocabulary", {"vocab_size": 49}, {}, "vocabulary size: 49 in the reference (vocab_size), 48 in the candidate (llama.vocab_size)"),
    ("sliding-window", {"sliding_window": 128}, {"add_sliding_window": 64}, "sliding window: 128 in the reference"),
    ("experts", {"num_local_experts": 8}, {"add_expert_count": 4}, "experts: 8 in the reference"),
    ("experts-used", {"num_experts_per_tok": 2}, {"add_expert_used_count": 1}, "experts used: 2 in the reference"),
    ("attention-softcap", {"attn_logit_softcapping": 50.0}, {"add_attn_logit_softcapping": 30.0}, "attention soft cap: 50 in the reference"),
    ("final-softcap", {"final_logit_softcapping": 30.0}, {"add_final_logit_softcapping": 50.0}, "final soft cap: 30 in the reference"),
])
def test_a_mismatch_has_both_values(compare, id, config, keys, line):
    status, text, report = compare({k: v for k, v in {**CONFIG, **config}.items() if v is not None},
                                   {k: v for k, v in {**KEYS, **keys}.items() if v is not None})
    assert status == 1
    assert [c["id"] for c in report["config"] if c["verdict"] == "differs"] == [id]
    assert len(findings(report, "config")) == 1 and findings(report, "config")[0].startswith(line)
    assert line.split(" in the reference")[0] in text


def test_the_text_model_of_a_larger_one(compare):
    inner = {k: v for k, v in CONFIG.items() if k not in ("architectures", "model_type")}
    assert compare({"architectures": ["X"], "model_type": "x", "text_config": inner})[0] == 0


def test_a_value_for_each_layer(compare, tmp_path):
    config = dict(CONFIG, intermediate_size=[96, 96])
    assert compare(config)[0] == 0
    status, _, report = compare(dict(CONFIG, intermediate_size=[96, 128]))
    assert status == 1 and findings(report, "config")[0].startswith("feed-forward size: 96, 128 in the reference (intermediate_size), 96 in the candidate")


@pytest.mark.parametrize(("kind", "tensor"), [("llama3", "rope_freqs.weight"), ("longrope", "rope_factors_long.weight")])
def test_scaling_that_is_a_tensor(tmp_path, kind, tensor):
    config = dict(CONFIG, rope_scaling={"rope_type": kind, "factor": 8.0})
    reference = write_hf(tmp_path / "hf", {"model.embed_tokens.weight": normal(48, 4)}, config)
    candidate = write_gguf(tmp_path / "m.gguf", {"token_embd.weight": normal(48, 4), tensor: normal(8)}, keys=list(KEYS.items()))
    _, _, report = diff(reference, candidate, "--what", "config")
    assert "RoPE scaling" not in " ".join(findings(report, "config"))


def test_two_gguf_files_tell_every_key_of_the_model(tmp_path):
    def file(name, **more):
        return write_gguf(tmp_path / name, {"token_embd.weight": normal(48, 4)}, keys=list(KEYS.items()) + list(more.items()))

    a = file("a.gguf", **{"llama.strange.scale": 1.5, "general.name": "a"})
    b = file("b.gguf", **{"llama.strange.scale": 2.5, "llama.only_here": 3, "general.name": "b"})
    status, _, report = diff(a, b, "--what", "config")
    assert status == 1
    assert findings(report, "config") == ["llama.strange.scale: 1.5 in the reference (llama.strange.scale), 2.5 in the candidate (llama.strange.scale)"]
    assert [c["id"] for c in report["config"] if c["verdict"] == "one-sided"] == ["llama.only_here"]
