"""Replay on real engines, without any naming rules: clean runs are found whole, and faults are named where they are."""
import json

import pytest

import faults
from conftest import LOCKSTEP, Trace, diff, run

COVERED = {"llama": 0, "qwen3": 0, "qwen2": 0.05, "gemma2": 0.03, "gemma3": 0.03}  # of the elements: products before a bias, a scale on Q


@pytest.mark.parametrize("family,kind,flash", [("llama", "f32", False), ("llama", "q4_0", True), ("qwen2", "q8_0", False), ("qwen2", "f32", True), ("qwen3", "q4_0", False),
                                               ("gemma2", "f32", False), ("gemma2", "q4_0", True), ("gemma3", "q8_0", False), ("gemma3", "f32", True)])
def test_a_clean_run_is_found_whole(lab, family, kind, flash):
    trace, model = faults.clean(lab, family, kind, flash)
    status, result = diff(faults.reference(lab, family), trace, "--preset", "none", "--candidate-model", model)
    replay = result["replay"]
    assert status == 0 and result["verdict"] == "match"
    assert replay["origins"] == replay["counts"]["open"] == replay["counts"]["unsupported"] == 0
    assert replay["elements"]["covered"] <= COVERED[family] * sum(replay["elements"].values())
    assert replay["kernels"]["checked"] == replay["kernels"]["operations"] > 500 and replay["kernels"]["differ"] == 0


def test_a_reference_in_bfloat16(lab):
    """Its own rounding, of activations and weights, is no fault; reversed heads are."""
    trace, model = faults.clean(lab, "llama", "f32", False)
    reference = lab.reference("llama", dtype="bfloat16")
    status, result = diff(reference, trace, "--preset", "none", "--candidate-model", model)
    assert status == 0 and result["replay"]["origins"] == result["replay"]["counts"]["open"] == 0
    wrong = lab.faulty("llama", "replay-heads", lambda t: t.update({"blk.2.attn_v.weight": faults.reverse_heads(t["blk.2.attn_v.weight"], 2)}))
    status, result = diff(reference, lab.candidate("llama", gguf=wrong), "--preset", "none", "--candidate-model", wrong)
    assert status == 1 and {o["name"] for o in result["replay"]["operations"] if o["origin"]} == {"Vcur-2"}


def test_what_is_found_is_what_the_preset_says(lab):
    """The rules of a family, which were written by hand, and the values, which know no names, lead to the same tensors."""
    trace, model = faults.clean(lab, "qwen3", "f32", False)
    _, by_rules = diff(faults.reference(lab, "qwen3"), trace, "--preset", "qwen3")
    _, by_values = diff(faults.reference(lab, "qwen3"), trace, "--preset", "none", "--candidate-model", model)
    rules = {p["candidate"]["order"]: p["reference"]["order"] for p in by_rules["pairs"] if p["by"] == "preset"}
    values = {p["candidate"]["order"]: p["reference"]["order"] for p in by_values["pairs"] if p["by"] == "replay"}
    shared = rules.keys() & values.keys()
    assert len(shared) > 400 and len(shared) >= 0.95 * len(rules)
    assert {k: rules[k] for k in shared} == {k: values[k] for k in shared}


@pytest.mark.parametrize("seed", range(1, 17))
def test_a_fault_is_named_alone(lab, tmp_path, seed):
    case = faults.Case(seed)
    result = faults.run_case(lab, case, tmp_path)
    if result["change"] < faults.LEAST:
        pytest.skip("changes nothing")
    if result["verdict"] == "missed" and case.type == "q4_0" and result["change"] < faults.VISIBLE:
        pytest.skip("smaller than the rounding of the type")
    assert result["verdict"] == "right" and result["status"] == 1 and result["outcome"] == "diverged", f"{case}: {result}"


@pytest.mark.parametrize("seed", range(101, 106))
def test_two_faults_are_both_named(lab, tmp_path, seed):
    case = faults.Case(seed, two=True)
    result = faults.run_case(lab, case, tmp_path)
    assert result["verdict"] == "right" and result["open"] == 0, f"{case}: {result}"


def test_a_wrong_kernel_is_told_from_a_wrong_model(lab, tmp_path):
    """A recorded tensor that is not what its operands give: the graph and the weights are right, the kernel or the recording is not."""
    trace, model = faults.clean(lab, "llama", "f32", False)
    run("cp", "-r", trace, tmp_path / "t")
    line = Trace(trace).find("ffn_out-2", "MUL_MAT", pass_=0)
    values = Trace(trace).values(line) * 1.01
    with open(tmp_path / "t" / line["file"], "r+b") as segment:
        segment.seek(line["at"] + line["bytes"] - values.nbytes)
        segment.write(values.astype("f4").tobytes())
    status, result = diff(faults.reference(lab, "llama"), tmp_path / "t", "--preset", "none", "--candidate-model", model)
    first = result["first_divergence"]
    assert status == 1 and result["replay"]["origins"] == 0 and result["replay"]["kernels"]["differ"] == 1
    assert (first["candidate"]["name"], first["candidate"]["pass"], first["causes"][0]["id"]) == ("ffn_out-2", 0, "kernel")


def test_weights_other_than_the_files(lab):
    """The process had other weights than the model file that is named: the products differ on their own operands."""
    trace, _ = faults.clean(lab, "llama", "f32", False)
    other = lab.faulty("llama", "replay-other", lambda t: t.update({"blk.1.ffn_up.weight": t["blk.1.ffn_up.weight"] * 1.05}))
    status, result = diff(faults.reference(lab, "llama"), trace, "--preset", "none", "--candidate-model", other)
    assert status == 1 and {o["name"] for o in result["replay"]["operations"] if o["origin"]} == {"ffn_up-1"}


def test_without_the_weights_nothing_is_computed(lab):
    trace, _ = faults.clean(lab, "llama", "f32", False)
    _, result = diff(faults.reference(lab, "llama"), trace)
    assert result["replay"] is None


def test_the_report(lab, tmp_path):
    case = faults.Case(1)
    case.kinds, case.layers, case.family, case.type, case.flash = ["gate and up swapped"], [3], "llama", "q8_0", False
    case.write(lab, tmp_path / "m.gguf")
    trace = lab.candidate("llama", gguf=tmp_path / "m.gguf")
    text = run(LOCKSTEP, "diff", faults.reference(lab, "llama"), trace, "--candidate-model", tmp_path / "m.gguf").stdout
    assert "replay     830 operations computed from the reference's values, 10 at fault" in text
    assert "kernels    830 of 830 operations checked on their own recorded inputs, 0 wrong" in text
    assert "first divergence: ffn_gate-3 (MUL_MAT), layer 3, pass 0" in text
    assert "  ffn_up-3 (MUL_MAT), layer 3, in 5 passes: added here" in text and "weights: blk.3.ffn_up.weight" in text
    missing = run(LOCKSTEP, "diff", faults.reference(lab, "llama"), trace, "--candidate-model", tmp_path / "none.gguf")
    assert missing.returncode == 2 and "none.gguf" in missing.stderr
