"""Hyperparameters by meaning: config.json against GGUF keys."""
import numpy as np
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
    assert {c["verdict"] for c in report["config"]} == {"equal"} and len(report["config"]) == 13


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


# --- what no key says by itself

@pytest.mark.parametrize(("id", "config", "keys"), [
    ("attention-scale", {"attention_multiplier": 0.015625}, {"llama.attention.scale": 0.125}),
    ("attention-scale", {"attention_multiplier": 0.015625}, {}),  # the file says nothing: 1 / sqrt(16)
    ("embedding-multiplier", {"embedding_multiplier": 12.0}, {}),
    ("residual-multiplier", {"residual_multiplier": 0.22}, {"llama.residual_scale": 0.44}),
    ("logit-scale", {"logits_scaling": 8.0}, {"llama.logit_scale": 4.0}),
    ("logit-scale", {"logit_scale": 0.0625}, {}),
    ("activation", {"hidden_act": "gelu"}, {}),  # llama's is SiLU
    ("layers-without-rope", {"no_rope_layers": [1, 0]}, {}),
    ("layers-without-window", {"layer_types": ["sliding_attention", "full_attention"]}, {}),
    ("sliding-window", {"sliding_window": None}, {"add_sliding_window": 64}),
    ("final-softcap", {"final_logit_softcapping": None}, {"add_final_logit_softcapping": 30.0}),
])
def test_what_a_key_or_the_architecture_implies(compare, id, config, keys):
    status, _, report = compare({**CONFIG, **config}, {**KEYS, **keys})
    assert status == 1
    assert [c["id"] for c in report["config"] if c["verdict"] == "differs"] == [id]


def test_what_is_only_said_otherwise(compare):
    same = {"hidden_act": "silu", "embedding_multiplier": 1.0, "residual_multiplier": 1, "logits_scaling": 1.0, "attention_multiplier": 0.25,
            "sliding_window": None, "no_rope_layers": [1, 1], "layer_types": ["full_attention"] * 2}
    status, _, report = compare({**CONFIG, **same})
    assert status == 0, findings(report)


@pytest.mark.parametrize(("arch", "model_type", "verdict"), [
    ("llama", "mistral", "equal"), ("gpt-oss", "gpt_oss", "equal"), ("qwen3moe", "qwen3_moe", "equal"), ("gemma3", "gemma3_text", "equal"),
    ("llama", "qwen2", "differs"), ("qwen2", "llama", "differs"), ("llama", "somebodys_own", "one-sided"), ("unheard-of", "unheard_of", "equal"),
])
def test_the_architecture(tmp_path, arch, model_type, verdict):
    reference = write_hf(tmp_path / "hf", {"model.embed_tokens.weight": normal(48, 4)}, {"model_type": model_type})
    _, _, report = diff(reference, write_gguf(tmp_path / "m.gguf", {"token_embd.weight": normal(48, 4)}, arch=arch), "--what", "config")
    assert [c["verdict"] for c in report["config"] if c["id"] == "architecture"] == [verdict]


def test_experts_are_normalized(tmp_path):
    def run(arch, model_type, config, **keys):
        config = {"model_type": model_type, **config}
        reference = write_hf(tmp_path / "hf", {"model.embed_tokens.weight": normal(48, 4)}, config)
        candidate = write_gguf(tmp_path / "m.gguf", {"token_embd.weight": normal(48, 4)}, arch=arch, keys=list(keys.items()))
        return findings(diff(reference, candidate, "--what", "config")[2], "config")

    assert run("qwen3moe", "qwen3_moe", {"norm_topk_prob": True}) == []
    assert "normalized: false in the reference" in run("qwen3moe", "qwen3_moe", {"norm_topk_prob": False})[0]
    assert run("deepseek2", "deepseek_v3", {"norm_topk_prob": True}, **{"deepseek2.expert_weights_norm": True}) == []
    assert len(run("deepseek2", "deepseek_v3", {"norm_topk_prob": True}, **{"deepseek2.expert_weights_norm": False})) == 1


def test_two_folders_are_compared_key_by_key(tmp_path):
    def folder(name, **config):
        return write_hf(tmp_path / name, {"model.embed_tokens.weight": normal(48, 4)}, {**CONFIG, **config})

    a = folder("a", novel_gate=1, nested={"x": [1, 2.0], "y": None}, transformers_version="4.1", torch_dtype="float32", hidden_act="silu", use_cache=True)
    same = folder("b", novel_gate=1.0, nested={"y": None, "x": [1.0, 2]}, transformers_version="5.0", dtype="bfloat16", hidden_act="swish", use_cache=False)
    assert diff(a, same, "--what", "config")[0] == 0
    for change, key in [({"novel_gate": 2}, "novel_gate"), ({"nested": {"x": [1, 3], "y": None}}, "nested.x"), ({"nested": {"x": [1, 2], "y": 0.5}}, "nested.y"),
                        ({"hidden_act": "gelu"}, "activation"), ({"novel_gate": None}, "novel_gate"), ({"model_type": "qwen2"}, "architecture")]:
        status, _, report = diff(a, folder("c", **{**dict(novel_gate=1, nested={"x": [1, 2.0], "y": None}), "hidden_act": "silu", **change}), "--what", "config")
        assert status == 1 and [c["id"] for c in report["config"] if c["verdict"] == "differs"] == [key], change
    # a key that one of them leaves out is no difference
    assert diff(a, folder("d"), "--what", "config")[0] == 0


def llama3_factors(config, dimensions):
    """By the classes of transformers itself."""
    from transformers import LlamaConfig
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

    made = LlamaConfig(hidden_size=dimensions * 4, num_attention_heads=4, head_dim=dimensions, **config)
    scaled, _ = ROPE_INIT_FUNCTIONS["llama3"](made, device="cpu")
    base = config["rope_theta"] ** (np.arange(0, dimensions, 2, dtype=np.float32) / dimensions)
    return (1 / base / scaled.numpy()).astype(np.float32)


def test_the_factors_of_rope(tmp_path):
    scaling = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 64}
    config = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "head_dim": 64, "rope_theta": 10000.0, "max_position_embeddings": 512}
    reference = write_hf(tmp_path / "hf", {"model.embed_tokens.weight": normal(48, 4)}, {**config, "rope_scaling": scaling})
    plain = write_hf(tmp_path / "plain", {"model.embed_tokens.weight": normal(48, 4)}, config)
    right = llama3_factors({"rope_theta": 10000.0, "max_position_embeddings": 512, "rope_scaling": scaling}, 64)

    def run(hf, factors):
        candidate = write_gguf(tmp_path / "m.gguf", {"token_embd.weight": normal(48, 4), "rope_freqs.weight": factors})
        return findings(diff(hf, candidate, "--what", "config")[2], "config")

    assert 1 < right.max() < 8.001 and run(reference, right) == []
    assert "RoPE frequency factors" in run(reference, np.ones(32, np.float32))[0]
    wrong = right.copy()
    wrong[20] *= 1.01
    assert "1 of 32 differ" in run(reference, wrong)[0]
    assert run(plain, np.ones(32, np.float32)) == [] and len(run(plain, right)) == 1


def test_the_factors_of_longrope(tmp_path):
    long, short = [1.0 + i / 3 for i in range(8)], [1.0] * 8
    config = dict(CONFIG, rope_scaling={"type": "longrope", "long_factor": long, "short_factor": short})
    reference = write_hf(tmp_path / "hf", {"model.embed_tokens.weight": normal(48, 4)}, config)
    for name, factors, count in [("long", long, 0), ("long", short, 1), ("short", short, 0), ("short", long, 1)]:
        tensors = {"token_embd.weight": normal(48, 4), "rope_factors_long.weight": np.array(long, np.float32), "rope_factors_short.weight": np.array(short, np.float32),
                   f"rope_factors_{name}.weight": np.array(factors, np.float32)}
        report = diff(reference, write_gguf(tmp_path / "m.gguf", tensors, keys=list(KEYS.items())), "--what", "config")[2]
        assert len(findings(report, "config")) == count, (name, findings(report))


# --- what Python reads

@pytest.mark.parametrize("text", [
    '{"model_type": "llama", "hidden_size": 64, "limit": [0.0, Infinity], "other": -Infinity, "third": NaN}',
    '\ufeff{"model_type": "llama", "hidden_size": 64}',
    '{"model_type": "llama", "hidden_size": 32, "hidden_size": 64}',
    '{"model_type": "llama", "hidden_size": 64, "big": 1000000000000000019884624838656, "huge": 1e999, "tiny": -1E-999}',
    '{"model_type": "llama", "hidden_size": 64, "text": "\\ud800 \\u0000 \\udc00"}',
    '{"model_type": "llama", "hidden_size": 64, "deep": ' + "[" * 500 + "]" * 500 + "}",
])
def test_whatever_json_python_reads(tmp_path, text):
    import json
    json.loads(text.removeprefix("\ufeff"))
    folder = write_hf(tmp_path / "hf", {"model.embed_tokens.weight": normal(48, 4)})
    (folder / "config.json").write_text(text, encoding="utf-8")
    status, output, report = diff(folder, write_gguf(tmp_path / "m.gguf", {"token_embd.weight": normal(48, 4)}, keys=[("add_embedding_length", 64)]), "--what", "config")
    assert status == 0, output
    assert [c["verdict"] for c in report["config"] if c["id"] == "hidden-size"] == ["equal"]
    assert diff(folder, folder)[0] == 0


def test_a_configuration_that_cant_be_read_costs_itself_alone(tmp_path):
    folder = write_hf(tmp_path / "hf", {"model.embed_tokens.weight": normal(48, 4)})
    (folder / "config.json").write_text('{"hidden_size": 64,}')
    same = write_gguf(tmp_path / "a.gguf", {"token_embd.weight": normal(48, 4)})
    status, text, report = diff(folder, same, "--preset", "llama")
    assert status == 2 and report["verdict"] == "incomplete" and report["weights"]["coverage"] == 1
    assert "configuration of the reference was not compared" in text and "config.json: offset 19" in text
    other = write_gguf(tmp_path / "b.gguf", {"token_embd.weight": normal(48, 4, seed=1)})
    assert diff(folder, other, "--preset", "llama")[0] == 1


def convert(tmp_path, config, tensors, keys, arch):
    reference = write_hf(tmp_path / "hf", {"model.embed_tokens.weight": normal(48, 4)}, {**CONFIG, **config})
    return diff(reference, write_gguf(tmp_path / "m.gguf", {"token_embd.weight": normal(48, 4), **tensors}, arch=arch, keys=list(keys.items())), "--what", "config")


@pytest.mark.parametrize(("counts", "layer_with_keys", "status"), [([0, 2], 1, 0), ([2, 0], 0, 0), ([0, 4], 1, 1), ([2, 0], 1, 1)])
def test_layers_without_attention_have_no_key_value_heads(tmp_path, counts, layer_with_keys, status):
    keys = {k: v for k, v in KEYS.items() if k != "add_head_count_kv"} | {"add_head_count_kv": counts}
    found, text, report = convert(tmp_path, {"model_type": "jamba", "architectures": ["JambaForCausalLM"]}, {f"blk.{layer_with_keys}.attn_k.weight": normal(32, 64)}, keys, "jamba")
    assert found == status, text
    assert [c["id"] for c in report["config"] if c["verdict"] == "differs"] == (["kv-heads"] if status else [])


LATENT = {"model_type": "deepseek_v3", "architectures": ["DeepseekV3ForCausalLM"], "kv_lora_rank": 40, "qk_nope_head_dim": 32, "qk_rope_head_dim": 16, "num_key_value_heads": 4}


@pytest.mark.parametrize("config", [{"head_dim": 16, "qk_head_dim": 48}, {"head_dim": None}])
@pytest.mark.parametrize(("mla", "rotated", "wrong"), [(48, 16, []), (40, 16, ["head-size"]), (48, 32, ["rope-dimensions"])])
def test_latent_attention(tmp_path, config, mla, rotated, wrong):
    keys = {**KEYS, "add_head_count_kv": 1, "add_key_length": 56, "add_key_length_mla": mla, "add_rope_dimension_count": rotated}
    found, text, report = convert(tmp_path, {**LATENT, **config}, {}, keys, "deepseek2")
    assert [c["id"] for c in report["config"] if c["verdict"] == "differs"] == wrong, text
    assert found == (1 if wrong else 0)


@pytest.mark.parametrize(("config", "kv", "status"), [
    ({"multi_query": True, "num_kv_heads": 4}, 1, 0), ({"multi_query": True, "num_kv_heads": 4}, 4, 1),
    ({"new_decoder_architecture": True, "multi_query": True, "num_kv_heads": 2}, 2, 0), ({"new_decoder_architecture": True, "num_kv_heads": 2}, 1, 1)])
def test_key_value_heads_of_falcon(tmp_path, config, kv, status):
    keys = {**KEYS, "add_head_count_kv": kv}
    found, text, _ = convert(tmp_path, {"model_type": "falcon", "architectures": ["FalconForCausalLM"], "num_key_value_heads": None, **config}, {}, keys, "falcon")
    assert found == status, text


@pytest.mark.parametrize(("model", "status"), [("BertModel", 0), ("BertForCausalLM", 1), ("GPT2LMHeadModel", 1)])
def test_a_model_without_an_output_matrix_has_nothing_to_tie(tmp_path, model, status):
    found, text, _ = convert(tmp_path, {"model_type": "bert", "architectures": [model], "tie_word_embeddings": False}, {}, KEYS, "bert")
    assert found == status, text


@pytest.mark.parametrize(("key", "value", "status"), [("router_scaling_factor", 2.5, 0), ("router_scaling_factor", 1.5, 1)])
def test_other_names_of_multipliers(tmp_path, key, value, status):
    found, text, _ = convert(tmp_path, {key: value}, {}, {**KEYS, "add_expert_weights_scale": 2.5}, "llama")
    assert found == status, text


@pytest.mark.parametrize(("full", "status"), [({0, 2}, 0), ({1, 3}, 1)])
def test_modern_bert_counts_windows_from_the_first_layer(tmp_path, full, status):
    kinds = ["full_attention" if layer in full else "sliding_attention" for layer in range(4)]
    keys = {**KEYS, "add_block_count": 4, "modern-bert.attention.sliding_window_pattern": 2}
    found, text, _ = convert(tmp_path, {"model_type": "modernbert", "architectures": ["ModernBertModel"], "num_hidden_layers": 4, "layer_types": kinds}, {}, keys, "modern-bert")
    assert found == status, text
