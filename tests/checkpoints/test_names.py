"""Which weight is which when names differ: wrappers, beginnings, and content that contradicts names."""
import numpy as np
import pytest
from checkpoint_files import diff, failing, findings, normal, pair_of, write_gguf, write_hf

CONFIG = {"architectures": ["NovelForCausalLM"], "model_type": "novel"}


def model(layers=3):
    made = {"model.embed_tokens.weight": normal(40, 16, seed=1), "lm_head.weight": normal(40, 16, seed=2), "model.norm.weight": normal(16, seed=3)}
    for i in range(layers):
        for k, (name, shape) in enumerate([("self_attn.q_proj", (16, 16)), ("self_attn.k_proj", (16, 16)), ("mlp.gate_proj", (24, 16)), ("mlp.up_proj", (24, 16)),
                                           ("mlp.down_proj", (16, 24))]):
            made[f"model.layers.{i}.{name}.weight"] = normal(*shape, seed=100 * i + k)
        made[f"model.layers.{i}.input_layernorm.weight"] = normal(16, seed=100 * i + 10)
    return made


def swapped(tensors, a, b):
    def other(name):
        return name.replace(a, "@").replace(b, a).replace("@", b)
    return {other(n): v for n, v in tensors.items()}


@pytest.mark.parametrize("wrap", [
    "module.", "_orig_mod.", "base_model.model.", "module._orig_mod.", "_orig_mod.module.", "base_model.model.module.", "_fsdp_wrapped_module.", "net.", "ema.student.",
])
def test_wrappers_pair_by_name(tmp_path, wrap):
    a = write_hf(tmp_path / "a", model(), CONFIG)
    b = write_hf(tmp_path / "b", {wrap + n: v for n, v in model().items()}, CONFIG)
    for x, y in ((a, b), (b, a)):
        status, _, report = diff(x, y)
        assert status == 0 and report["weights"]["by"] == {"name": 21, "preset": 0, "content": 0}, wrap


@pytest.mark.parametrize("infix", ["_fsdp_wrapped_module.", "_checkpoint_wrapped_module._orig_mod.", "base_layer."])
def test_wrappers_between_modules(tmp_path, infix):
    a = write_hf(tmp_path / "a", model(), CONFIG)
    made = {n.replace(".layers.0.", f".layers.0.{infix}").replace("proj.weight", f"proj.{infix}weight"): v for n, v in model().items()}
    status, _, report = diff(a, write_hf(tmp_path / "b", made, CONFIG))
    assert status == 0 and report["weights"]["by"]["name"] == 21


@pytest.mark.parametrize(("a", "b"), [("gate_proj", "up_proj"), (".layers.0.", ".layers.1."), ("q_proj", "k_proj"), ("model.embed_tokens", "lm_head")])
@pytest.mark.parametrize("wrap", ["module.", "other.", ""])
def test_a_swap_is_found_behind_a_wrapper(tmp_path, a, b, wrap):
    reference = write_hf(tmp_path / "a", model(), CONFIG)
    faulty = {wrap + n: v for n, v in swapped(model(), a, b).items()}
    status, text, report = diff(reference, write_hf(tmp_path / "b", faulty, CONFIG))
    assert status == 1 and "it holds the reference's" in text
    assert all(p["candidate"]["name"] == wrap + p["reference"]["name"] for p in report["weights"]["pairs"])


OURS = [("model.layers.{}.self_attn.q_proj", "blk.{}.attn_q"), ("model.layers.{}.self_attn.k_proj", "blk.{}.attn_k"), ("model.layers.{}.mlp.gate_proj", "blk.{}.ffn_gate"),
        ("model.layers.{}.mlp.up_proj", "blk.{}.ffn_up"), ("model.layers.{}.mlp.down_proj", "blk.{}.ffn_down"), ("model.layers.{}.input_layernorm", "blk.{}.attn_norm")]


def renamed(tensors, shift=0):
    """As an engine names them whose architecture no preset knows."""
    names = {"model.embed_tokens.weight": "token_embd.weight", "lm_head.weight": "output.weight", "model.norm.weight": "output_norm.weight"}
    for i in range(3):
        names.update({ours.format(i) + ".weight": theirs.format(i + shift) + ".weight" for ours, theirs in OURS})
    return {names[n]: v for n, v in tensors.items()}


def test_content_pairs_what_no_rule_covers(tmp_path):
    a = write_hf(tmp_path / "a", model(), CONFIG)
    for shift in (0, 1):  # layers may be counted from 1
        status, _, report = diff(a, write_gguf(tmp_path / "b.gguf", renamed(model(), shift), arch="novel"))
        assert status == 0 and report["weights"]["by"]["content"] == 21, failing(report)


@pytest.mark.parametrize(("a", "b", "what"), [("gate_proj", "up_proj", "the role"), (".layers.0.", ".layers.1.", "the layer"), ("q_proj", "k_proj", "the role"),
                                              ("model.embed_tokens", "lm_head", "the role"), ("1.mlp.gate_proj", "1.mlp.up_proj", "the role"),
                                              ("2.self_attn.q_proj", "1.self_attn.q_proj", "the layer")])
def test_content_that_contradicts_names(tmp_path, a, b, what):
    reference = write_hf(tmp_path / "a", model(), CONFIG)
    status, text, report = diff(reference, write_gguf(tmp_path / "b.gguf", renamed(swapped(model(), a, b)), arch="novel"))
    count = 2 if a[0] in "12m" else 12 if a == ".layers.0." else 6
    assert status == 1 and len(findings(report, "names")) == count and len(failing(report)) == count
    assert all(f.endswith(f"contradicts its name ({what})") for f in findings(report, "names"))


def test_layers_that_disagree_on_names_that_nobody_knows(tmp_path):
    a = {f"model.{i}.{n}.weight": normal(12, 8, seed=10 * i + k) for i in range(4) for k, n in enumerate(["alpha", "beta"])}
    right = {n.replace("model.", "m").replace("alpha", "x").replace("beta", "y"): v for n, v in a.items()}
    right = {f"part.{n[1:]}": v for n, v in right.items()}
    reference = write_hf(tmp_path / "a", a, CONFIG)
    assert diff(reference, write_hf(tmp_path / "b", right, CONFIG))[0] == 0
    wrong = dict(right, **{"part.2.x.weight": right["part.2.y.weight"], "part.2.y.weight": right["part.2.x.weight"]})
    status, _, report = diff(reference, write_hf(tmp_path / "c", wrong, CONFIG))
    assert status == 1 and sorted(f.split()[0] for f in findings(report, "names")) == ["part.2.x.weight", "part.2.y.weight"]


def test_equal_tensors_are_paired_as_their_names_say(tmp_path):
    """Tied embeddings are stored twice on both sides: either would fit by content."""
    tied = dict(model(), **{"lm_head.weight": model()["model.embed_tokens.weight"]})
    reference = write_hf(tmp_path / "a", tied, CONFIG)
    for order in (list, reversed):
        made = renamed(tied)
        status, _, report = diff(reference, write_gguf(tmp_path / "b.gguf", {n: made[n] for n in order(list(made))}, arch="novel"))
        assert status == 0, failing(report)
        assert pair_of(report, "output.weight")["reference"]["name"] == "lm_head.weight"


# --- quantization schemes that aren't read (test_quantized.py has those that are)

def words(*shape, seed=0, high=1 << 30):
    return np.random.default_rng([seed, *shape]).integers(0, high, size=shape, dtype=np.int64)


def u8(*shape, seed=0):
    return words(*shape, seed=seed, high=256).astype(np.uint8)


def i8(*shape, seed=0):
    return words(*shape, seed=seed, high=127).astype(np.int8)


N = "model.layers.0.mlp.up_proj"
SCHEMES = {
    "torchao": ({"_weight_qdata": i8(16, 32), "_weight_scale": normal(16), "_weight_zero_point": i8(16)}, {"quant_method": "torchao"}),
    "hqq": ({"W_q": u8(8, 32), "scale": normal(16, 1), "zero": normal(16, 1), "nbits": words(1)}, {"quant_method": "hqq"}),
    "eetq": ({"weight": i8(32, 16), "weight_scales": normal(16)}, {"quant_method": "eetq"}),
    "quanto": ({"weight._data": i8(16, 32), "weight._scale": normal(16, 1), "input_scale": normal(1)}, {"quant_method": "quanto"}),
    "unheard-of": ({"weight": u8(16, 16), "magic": normal(16)}, {"quant_method": "unheard-of"}),
}
PLAIN = normal(16, 32, seed=77)


def quantized(folder, parts, config, seed=0, **more):
    return write_hf(folder, {"model.norm.weight": normal(16), **{f"{N}.{k}": v for k, v in parts.items()}, **more}, {**CONFIG, "quantization_config": config} if config else CONFIG)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_codes_are_not_compared_as_weights(tmp_path, scheme):
    parts, config = SCHEMES[scheme]
    plain = write_hf(tmp_path / "plain", {"model.norm.weight": normal(16), f"{N}.weight": PLAIN}, CONFIG)
    for settings in (config, None)[:1 if scheme == "unheard-of" else 2]:
        made = quantized(tmp_path / "q", parts, settings)
        for a, b in ((plain, made), (made, plain)):
            status, text, report = diff(a, b, "--what", "weights")
            assert status == 2 and failing(report) == [] and report["verdict"] == "incomplete", text
            assert [p["verdict"] for p in report["weights"]["pairs"] if "norm" not in p["candidate"]["name"]] == ["unsupported"]
            assert settings is None or f"is quantized by {settings['quant_method']}:" in findings(report, "unsupported")[0]
    # equal bytes of one scheme are equal; a scale that differs leaves nothing to say of the codes
    same = quantized(tmp_path / "same", parts, config)
    status, text, report = diff(made if scheme == "unheard-of" else quantized(tmp_path / "q", parts, config), same, "--what", "weights")
    assert status == 0, text
    if scheme != "unheard-of":
        scale = next(k for k, v in parts.items() if v.dtype == np.float32)
        other = quantized(tmp_path / "other", {**parts, scale: parts[scale] * 3}, config)
        status, text, report = diff(same, other, "--what", "weights")
        assert status == 2 and {p["verdict"] for p in report["weights"]["pairs"] if "norm" not in p["candidate"]["name"]} == {"unsupported"}


def test_other_findings_beside_codes_still_count(tmp_path):
    parts, config = SCHEMES["hqq"]
    plain = write_hf(tmp_path / "plain", {"model.norm.weight": normal(16), f"{N}.weight": PLAIN, "x.weight": normal(4, 4)}, CONFIG)
    status, _, report = diff(plain, quantized(tmp_path / "q", parts, config, **{"x.weight": normal(4, 4, seed=9)}), "--what", "weights")
    assert status == 1 and len(failing(report)) == 1


def test_codes_against_a_gguf_file(tmp_path):
    parts, config = SCHEMES["hqq"]
    made = write_hf(tmp_path / "q", {f"{N}.{k}": v for k, v in parts.items()} | {"model.norm.weight": normal(16)},
                    {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "quantization_config": config})
    candidate = write_gguf(tmp_path / "m.gguf", {"blk.0.ffn_up.weight": PLAIN, "output_norm.weight": normal(16)})
    for a, b in ((made, candidate), (candidate, made)):
        status, text, report = diff(a, b, "--what", "weights")
        assert status == 2 and failing(report) == [] and "quantized by hqq" in text
