"""`lockstep check`: the same answer as capture and diff, while the engine runs."""
import json
import os
import sys

import pytest

import models
from conftest import DEPS, HERE, LOCKSTEP, PROMPTS, STEPS, diff, run, title
from test_faults import swap_tensors


def llama(lab, gguf, flash=False):
    asked = {"engine": str(DEPS / "llama-v0.5.0"), "model": str(gguf), "flash": flash, "prompt": PROMPTS[24], "steps": STEPS}
    return ["node", HERE / "run_llama.mjs", json.dumps(asked)]


def transformers(folder):
    options = {"model": str(folder), "prompt": PROMPTS[24], "steps": STEPS}
    return [sys.executable, HERE / "run_hf.py", json.dumps(options)]


def check(reference, command, *options, folder):
    """(exit status, JSON, what the engine printed); nothing else may be written."""
    folder.mkdir()
    report = folder.parent / f"{folder.name}.json"
    done = run(LOCKSTEP, "check", "--reference", reference, "--json", report, *options, "--", *command, cwd=folder)
    assert report.exists(), done.stderr
    assert os.listdir(folder) == []
    return done.returncode, json.loads(report.read_text()), done.stdout + done.stderr


def two_faults(tensors):
    swap_tensors("blk.1.attn_q_norm.weight", "blk.1.attn_k_norm.weight")(tensors)
    tensors["blk.5.ffn_norm.weight"] = tensors["blk.5.ffn_norm.weight"] * 1.5


@pytest.fixture(scope="module")
def faulty(lab):
    return lab.faulty("qwen3", "two-faults", two_faults)


def same(result):
    """What both say: a live comparison keeps no values by which kernels could be checked or logits ranked, so less of it counts as compared."""
    shared = {key: value for key, value in result.items() if key not in ("candidate", "produced", "logits")}
    return shared | {"replay": {**result["replay"], "kernels": None}, "pairing": {**result["pairing"], "coverage": None}}


@pytest.mark.parametrize("family,flash", [("llama", False), ("gemma3", False), ("qwen3", True)])
def test_a_clean_run_matches_with_the_figures_of_diff(lab, tmp_path, family, flash):
    reference = lab.reference(family)
    status, live, _ = check(reference, llama(lab, lab.gguf(family), flash), folder=tmp_path / "empty")
    _, after = diff(reference, lab.candidate(family, flash=flash))
    assert status == 0 and live["verdict"] == "match"
    assert live["pairing"]["coverage"] <= after["pairing"]["coverage"]
    assert same(live) == same(after) and live["logits"] is None and after["logits"]["argmax_changed"] == 0 and live["replay"]["kernels"]["operations"] == 0 < after["replay"]["kernels"]["checked"]


def test_a_fault_is_named_with_the_figures_and_the_cause_of_diff(lab, tmp_path, faulty):
    reference = lab.reference("qwen3")
    status, live, printed = check(reference, llama(lab, faulty), folder=tmp_path / "empty")
    _, after = diff(reference, lab.candidate("qwen3", gguf=faulty))
    assert status == 1 and "evaluated 28" in printed
    assert title(live["first_divergence"]["candidate"]) == "Qcur_normed-1 (MUL)"
    assert live["first_divergence"]["causes"][0]["rule"] == "swapped-with"
    assert same(live) == same(after)


def test_stop_first_lets_the_engine_run_on(lab, tmp_path, faulty):
    status, live, printed = check(lab.reference("qwen3"), llama(lab, faulty), "--stop", "first", folder=tmp_path / "empty")
    assert status == 1 and "evaluated 28" in printed
    assert title(live["first_divergence"]["candidate"]) == "Qcur_normed-1 (MUL)"
    assert live["first_divergence"]["causes"][0]["rule"] == "channel-scale"
    assert all(pair["candidate"]["layer"] < 6 for pair in live["pairs"])


def test_stop_first_does_not_stop_at_what_is_only_scaled_later(lab, tmp_path):
    status, live, _ = check(lab.reference("gemma3"), llama(lab, lab.gguf("gemma3")), "--stop", "first", folder=tmp_path / "empty")
    assert status == 0 and live["verdict"] == "match"
    assert any(pair["verdict"] == "explained" for pair in live["pairs"])


def test_resync_shows_each_fault_by_itself(lab, tmp_path, faulty):
    status, live, _ = check(lab.reference("qwen3"), llama(lab, faulty), "--resync", "layer", folder=tmp_path / "empty")
    origins = {title(p["candidate"]) for p in live["pairs"] if p["verdict"] == "diverged" and not p["downstream"]}
    assert status == 1
    assert origins == {"Qcur_normed-1 (MUL)", "Kcur_normed-1 (MUL)", "ffn_norm-5 (MUL)"}
    resynced = {p["candidate"]["name"]: p for p in live["pairs"] if "resync" in p}
    assert set(resynced) == {f"l_out-{layer}" for layer in range(models.LAYERS)} | {"result_output"}
    assert all(p["resync"]["left"] == 0 for p in resynced.values())
    # the layers after a fault get right inputs: what they give is right
    before = {p["candidate"]["layer"]: p["metrics"]["rel_l2"] for p in live["pairs"]
              if p["candidate"]["pass"] == 0 and p["candidate"]["name"].startswith("l_out-")}
    assert all((error > 1e-3) == (layer in (1, 5)) for layer, error in before.items()), before


def test_resync_by_name(lab, tmp_path, faulty):
    _, live, _ = check(lab.reference("qwen3"), llama(lab, faulty), "--resync", "^l_out-1$", folder=tmp_path / "empty")
    assert {p["candidate"]["name"] for p in live["pairs"] if "resync" in p} == {"l_out-1"}
    first = [p for p in live["pairs"] if p["verdict"] == "diverged" and not p["downstream"]]
    assert {p["candidate"]["layer"] for p in first} == {1, 5}


def faulty_hf(lab, folder):
    import transformers as library
    model = library.AutoModelForCausalLM.from_pretrained(lab.hf("qwen3"))
    for layer, factor in ((2, 1.5), (6, 0.5)):
        model.model.layers[layer].mlp.down_proj.weight.data *= factor
    model.save_pretrained(folder)
    return folder


def test_pytorch_is_checked_too(lab, tmp_path):
    reference, command = lab.reference("qwen3"), transformers(lab.hf("qwen3"))
    status, live, printed = check(reference, command, folder=tmp_path / "empty")
    assert status == 0 and live["totals"]["within"] == live["totals"]["compared"] > 1500
    command = transformers(faulty_hf(lab, tmp_path / "hf"))
    status, live, _ = check(reference, command, folder=tmp_path / "one")
    first = live["first_divergence"]["candidate"]
    assert status == 1 and first["layer"] == 2 and "down_proj" in first["name"]
    assert {p["candidate"]["layer"] for p in live["pairs"] if p["verdict"] == "diverged" and not p["downstream"]} == {2, 6}  # by replay
    status, live, _ = check(reference, command, "--resync", "layer", folder=tmp_path / "two")
    assert {p["candidate"]["layer"] for p in live["pairs"] if p["verdict"] == "diverged" and not p["downstream"]} == {2, 6}


def test_the_programs_own_failure_is_told(lab, tmp_path):
    done = run(LOCKSTEP, "check", "--reference", lab.reference("qwen3"), "--", "sh", "-c", "exit 3")
    assert done.returncode == 2 and "computed nothing" in done.stderr and "ended with status 3" in done.stderr
    command = llama(lab, lab.gguf("qwen3"))
    done = run(LOCKSTEP, "check", "--reference", lab.reference("qwen3"), "--", "sh", "-c", '"$@"; exit 4', "sh", *command)
    assert done.returncode == 2 and "verdict: match" in done.stdout and "sh itself ended with status 4" in done.stderr


def test_what_was_typed_wrong(tmp_path):
    for words, said in ((["--", "true"], "--reference REF"), (["--reference", tmp_path / "none", "--", "true"], "none"),
                        (["--reference", "examples/qwen3-transformers", "--resync", "(", "--", "true"], "--resync"),
                        (["--reference", "examples/qwen3-transformers", "--stop", "never", "--", "no-such-program"], "No such file")):
        done = run(LOCKSTEP, "check", *words, cwd=HERE.parent.parent)
        assert done.returncode == 2 and said in done.stderr, done.stderr
