"""Faults as they happen in ports, planted in the GGUF: each is named where it begins.

That each matters is asserted first, with the reference's own code in float64.
"""
import copy

import pytest
import torch

import models
from conftest import PROMPTS, diff, title


def logits(model, tokens=None):
    with torch.no_grad():
        return model.double()(input_ids=torch.tensor([tokens or PROMPTS[24]])).logits[0]


def changed(family, change):
    """How much a change of the model moves its float64 logits, relative L2."""
    clean = models.make_model(family).double()
    faulty = copy.deepcopy(clean)
    replaced = change(faulty)
    a, b = logits(clean), logits(replaced or faulty)
    return float((a - b).norm() / a.norm())


def swap_modules(layer, parent, first, second):
    def change(model):
        owner = getattr(model.model.layers[layer], parent)
        a, b = getattr(owner, first), getattr(owner, second)
        weight = a.weight.data.clone()
        a.weight.data.copy_(b.weight.data)
        b.weight.data.copy_(weight)
    return change


def swap_tensors(first, second):
    def change(tensors):
        tensors[first], tensors[second] = tensors[second], tensors[first]
    return change


def expect(lab, family, gguf, names, layer, flash=False, cause=None):
    status, result = diff(lab.reference(family), lab.candidate(family, gguf=gguf, flash=flash))
    first = result["first_divergence"]
    assert status == 1 and result["verdict"] == "diverged"
    assert first is not None and title(first["candidate"]) in names, title(first["candidate"])
    assert first["candidate"]["layer"] == layer and first["candidate"]["pass"] == 0
    assert "interval" not in first, "its inputs are paired and match"
    assert result["inputs"]["status"] == "equal"
    if cause is not None:
        assert first["causes"], "unexplained"
        assert first["causes"][0]["rule"] == cause, first["causes"]
        assert first["causes"][0]["after"] < 0.1 * first["causes"][0]["before"] or cause == "norm-eps"
        assert first["causes"][0]["after"] <= first["tolerance"] or "weight" in first["causes"][0]["parameters"], "of a weight, its type's rounding is left"
    return result


@pytest.mark.parametrize("flash", [False, True], ids=["no-fa", "fa"])
def test_rope_base(lab, flash):
    def change(model):
        config = models.config_of("qwen3")
        config.rope_parameters = dict(config.rope_parameters, rope_theta=500000.0)
        other = type(model)(config).double().eval()
        other.load_state_dict(model.state_dict())
        return other
    assert changed("qwen3", change) > 1e-3
    gguf = lab.faulty("qwen3", "rope", rope_base=500000.0)
    result = expect(lab, "qwen3", gguf, {"Qcur-0 (ROPE)"}, 0, flash, cause="rope-frequency")
    (setting,) = result["configuration"]
    assert setting["id"] == "rope-base" and float(setting["reference"]["value"]) == 10000 and float(setting["candidate"]["value"]) == 500000
    assert "qwen3.rope.freq_base 500000: they differ" in result["first_divergence"]["causes"][0]["where"]
    assert "rotated with base 500000; the reference's values are those of base 10000" in result["first_divergence"]["causes"][0]["summary"]


def test_rope_base_of_the_global_layers_only(lab):
    gguf = lab.faulty("gemma3", "rope", rope_base=10000.0)
    result = expect(lab, "gemma3", gguf, {"Qcur-5 (ROPE)"}, 5, cause="rope-frequency")
    assert "those of base 1000000" in result["first_divergence"]["causes"][0]["summary"]


def test_rope_base_where_pairs_are_interleaved(lab):
    gguf = lab.faulty("llama", "rope", rope_base=12345.0)
    result = expect(lab, "llama", gguf, {"Qcur-0 (ROPE)"}, 0, cause="rope-frequency")
    assert "rotated with base 12345; the reference's values are those of base 10000" in result["first_divergence"]["causes"][0]["summary"]


def test_query_and_key_rows_not_permuted(lab):
    def change(model):
        for layer in model.model.layers:
            for projection, heads in ((layer.self_attn.q_proj, 4), (layer.self_attn.k_proj, 2)):
                rows = projection.weight.data
                projection.weight.data = rows.reshape(heads, rows.shape[0] // heads // 2, 2, -1).swapaxes(1, 2).reshape(rows.shape)
    assert changed("llama", change) > 1e-3
    plain = models.gguf_tensors(lab.model("llama"), "llama", permuted=False)
    gguf = lab.faulty("llama", "unpermuted", lambda tensors: plain)
    result = expect(lab, "llama", gguf, {"Qcur-0 (ROPE)"}, 0, cause="rope-interleave")  # all layers: so it is RoPE that rotates other elements
    assert "halves" in result["first_divergence"]["causes"][0]["summary"]


@pytest.mark.parametrize("family", ["qwen3", "gemma3"])
def test_query_and_key_norms_swapped(lab, family):
    assert changed(family, swap_modules(1, "self_attn", "q_norm", "k_norm")) > 1e-3
    gguf = lab.faulty(family, "norms", swap_tensors("blk.1.attn_q_norm.weight", "blk.1.attn_k_norm.weight"))
    expect(lab, family, gguf, {"Qcur_normed-1 (MUL)"}, 1, cause="swapped-with")


@pytest.mark.parametrize("flash", [False, True], ids=["no-fa", "fa"])
@pytest.mark.parametrize("family", ["llama", "qwen3", "gemma3"])
def test_gate_and_up_swapped_in_layer_2(lab, family, flash):
    assert changed(family, swap_modules(2, "mlp", "gate_proj", "up_proj")) > 1e-3
    gguf = lab.faulty(family, "gate", swap_tensors("blk.2.ffn_gate.weight", "blk.2.ffn_up.weight"))
    expect(lab, family, gguf, {"ffn_gate-2 (MUL_MAT)", "ffn_up-2 (MUL_MAT)"}, 2, flash, cause="swapped-with")


@pytest.mark.parametrize("family", ["llama", "qwen3"])
def test_rms_norm_eps(lab, family):
    def change(model):
        for module in model.modules():
            if hasattr(module, "variance_epsilon"):
                module.variance_epsilon = 1e-3
    assert changed(family, change) > 1e-5
    gguf = lab.faulty(family, "eps", eps=1e-3)
    result = expect(lab, family, gguf, {"norm-0 (RMS_NORM)"}, 0, cause="norm-eps")
    assert "eps 1e-06 instead of 0.001" in result["first_divergence"]["causes"][0]["summary"]


@pytest.mark.parametrize("family", ["llama", "qwen3", "gemma3"])
def test_output_norm_replaced(lab, family):
    def change(model):
        model.model.norm.weight.data.copy_(model.model.layers[0].input_layernorm.weight.data)
    assert changed(family, change) > 1e-3
    def replace(tensors):
        tensors["output_norm.weight"] = tensors["blk.0.attn_norm.weight"]
    expect(lab, family, lab.faulty(family, "norm", replace), {"result_norm (MUL)"}, -1, cause="swapped-with")


@pytest.mark.parametrize("family", ["llama", "qwen3", "gemma3"])
def test_one_extra_bos(lab, family):
    clean = models.make_model(family)
    a, b = logits(clean), logits(clean, [1] + PROMPTS[24])[1:]
    assert float((a - b).norm() / a.norm()) > 1e-3
    status, result = diff(lab.reference(family), lab.candidate(family, prompt=[1] + PROMPTS[24]))
    assert status == 1 and result["verdict"] == "inputs-differ"
    assert result["inputs"]["status"] == "differ" and result["inputs"]["position"] == 0
    assert "one extra token 1 at position 0" in result["inputs"]["message"]
    assert result["pairs"] == [] and result["first_divergence"] is None


def test_a_fault_that_one_token_cannot_show_is_found_in_the_next_pass(lab):
    gguf = lab.faulty("qwen3", "rope", rope_base=500000.0)
    status, result = diff(lab.reference("qwen3", 1), lab.candidate("qwen3", 1, gguf=gguf))
    assert status == 1
    assert title(result["first_divergence"]["candidate"]) == "Qcur-0 (ROPE)"
    assert result["first_divergence"]["candidate"]["pass"] == 1


def test_the_checkpoints_tell_whether_a_weight_is_to_blame(lab):
    """The same divergence twice: another weight in the file, or another eps in the engine."""
    def change(tensors):
        tensors["blk.2.attn_k.weight"] = tensors["blk.2.attn_k.weight"][::-1].copy()

    for gguf, verdicts in ((lab.faulty("qwen3", "weight-to-blame", change), {"blk.2.attn_k.weight": "differs"}),
                           (lab.faulty("qwen3", "eps-to-blame", eps=1e-2), {})):
        _, result = diff(lab.reference("qwen3"), lab.candidate("qwen3", gguf=gguf), "--reference-model", lab.hf("qwen3"), "--candidate-model", gguf)
        found = {p["candidate"]["name"]: p["verdict"] for p in result["weights"]}
        assert len(found) > 80, "all of them are compared"
        assert {name: verdict for name, verdict in found.items() if verdict not in ("identical", "match")} == verdicts


def reverse_heads(layer):
    def change(tensors):
        name = f"blk.{layer}.attn_q.weight"
        heads = tensors[name].reshape(models.COMMON["num_attention_heads"], -1, tensors[name].shape[1])
        tensors[name] = heads[::-1].reshape(tensors[name].shape).copy()
    return change


def from_another_layer(layer, other, name):
    def change(tensors):
        tensors[f"blk.{layer}.{name}"] = tensors[f"blk.{other}.{name}"].copy()
    return change


@pytest.mark.parametrize("quantize", [None, "q4_0"], ids=["f32", "q4_0"])
def test_what_was_done_to_a_weight_is_the_cause(lab, quantize):
    """Nobody names the reference's checkpoint: it is still where transformers opened it."""
    result = expect(lab, "llama", lab.faulty("llama", "heads", reverse_heads(2), quantize=quantize), {"Qcur-2 (MUL_MAT)"}, 2, cause="head-order")
    cause = result["first_divergence"]["causes"][0]
    assert cause["summary"] == "blk.2.attn_q.weight: the candidate's heads are the reference's in reverse order" and cause["parameters"]["weight"] == "blk.2.attn_q.weight"
    assert cause["before"] > 1 and cause["after"] < 0.1
    wrong = {o["name"]: o["wrong_weight"] for o in result["replay"]["operations"] if "wrong_weight" in o}
    assert set(wrong) == {"Qcur-2"} and wrong["Qcur-2"]["name"] == "blk.2.attn_q.weight" and wrong["Qcur-2"]["id"] == "head-order"


BRANCH_FAULTS = {  # what a residual stream and a coarse type would hide
    "gate and up": (swap_tensors("blk.3.ffn_gate.weight", "blk.3.ffn_up.weight"), {"ffn_gate-3 (MUL_MAT)", "ffn_up-3 (MUL_MAT)"}, 3),
    "heads": (reverse_heads(2), {"Qcur-2 (MUL_MAT)"}, 2),
    "another layer's values": (from_another_layer(4, 1, "attn_v.weight"), {"Vcur-4 (MUL_MAT)"}, 4),
    "another layer's output": (from_another_layer(5, 2, "ffn_down.weight"), {"ffn_out-5 (MUL_MAT)"}, 5),
}


@pytest.mark.parametrize("quantize", ["q4_0", "q8_0"])
@pytest.mark.parametrize("flash", [False, True], ids=["no-fa", "fa"])
def test_faults_in_branches_of_quantized_models(lab, quantize, flash):
    reference = lab.reference("llama")
    status, result = diff(reference, lab.candidate("llama", gguf=lab.faulty("llama", "clean", quantize=quantize), flash=flash))
    assert status == 0 and result["verdict"] == "match", result["first_divergence"]
    for name, (change, names, layer) in BRANCH_FAULTS.items():
        expect(lab, "llama", lab.faulty("llama", "faulty", change, quantize=quantize), names, layer, flash)
