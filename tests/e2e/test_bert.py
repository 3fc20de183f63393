"""A trained model: the BERT that a Python package carries, against llama.cpp's."""
import json
import sys

import numpy as np
import pytest

import bert
from conftest import DEPS, HERE, LOCKSTEP, Trace, capture, diff, run, title

IDS = [101, 1996, 4633, 2651, 2003, 3376, 1998, 1045, 2066, 2009, 102]


@pytest.fixture(scope="module")
def reference(lab):
    options = json.dumps({"model": str(bert.FOLDER), "prompt": IDS})
    return capture(lab.folder / "ref-bert", sys.executable, HERE / "run_bert_hf.py", options)


def candidate(lab, name, flash=False, change=None, **metadata):
    bert.write(lab.folder / f"{name}.gguf", change, **metadata)
    options = {"engine": str(DEPS / "llama-v0.5.0"), "model": str(lab.folder / f"{name}.gguf"), "prompt": IDS, "flash": flash}
    return capture(lab.folder / f"cand-{name}-{flash}", "node", HERE / "run_bert_llama.mjs", json.dumps(options))


# From the first GELU on, llama.cpp's table of f16 bounds the agreement: 1e-3 for one
# layer, and six layers' errors add in quadrature. With flash attention it casts K and V.
@pytest.mark.parametrize("flash, limit", [(False, 1e-3 * 6 ** 0.5), (True, 5e-3)], ids=["no-fa", "fa"])
def test_clean_run_matches(lab, reference, flash, limit):
    trace = candidate(lab, "bert", flash)
    status, result = diff(reference, trace, "--accept", "gelu-variant")
    assert status == 0 and result["verdict"] == "match", (result["reason"], result["first_divergence"])
    assert result["replay"]["accepted"] == 6 and result["replay"]["origins"] == 0
    assert result["pairing"]["preset"] == "bert" and result["pairing"]["coverage"] >= 0.9
    assert result["inputs"]["status"] == "equal"
    assert max(p["metrics"]["rel_l2"] for p in result["pairs"]) <= limit
    if not flash:
        before = [p for p in result["pairs"] if p["precision"] == "f32"]
        assert len(before) > 10 and all(p["metrics"]["rel_l2"] <= 1e-4 for p in before)
        first = [p for p in result["pairs"] if p["candidate"]["layer"] == 0]
        assert all(p["metrics"]["rel_l2"] <= 1e-3 for p in first)


def test_the_embedding_is_the_mean_of_the_recorded_rows(lab, reference):
    trace = Trace(candidate(lab, "bert"))
    rows = trace.values(trace.find("result_embd")).astype(np.float64)
    pooled = trace.values(trace.find("result_embd_pooled"))
    assert np.allclose(pooled, rows.mean(0), rtol=1e-5, atol=1e-6)


def test_swapped_query_and_key_weights_are_found(lab, reference):
    def change(tensors):
        for kind in ("weight", "bias"):
            a, b = f"blk.3.attn_q.{kind}", f"blk.3.attn_k.{kind}"
            tensors[a], tensors[b] = tensors[b], tensors[a]
    status, result = diff(reference, candidate(lab, "swapped", change=change), "--accept", "gelu-variant")
    assert status == 1
    assert title(result["first_divergence"]["candidate"]) in {"Qcur-3 (ADD)", "Kcur-3 (ADD)"}


def test_a_lost_bias_is_found(lab, reference):
    def change(tensors):
        tensors["blk.2.ffn_down.bias"] = np.zeros_like(tensors["blk.2.ffn_down.bias"])
    status, result = diff(reference, candidate(lab, "unbiased", change=change), "--accept", "gelu-variant")
    assert status == 1
    assert title(result["first_divergence"]["candidate"]) == "ffn_out-2 (ADD)"
    assert result["first_divergence"]["causes"][0]["rule"] == "channel-offset"


def test_replay_names_the_other_gelu_in_each_layer(lab, reference):
    """llama.cpp computes BERT's GELU in its tanh form; the model says erf. Everything else is right, and a fault beside it shows."""
    def change(tensors):
        tensors["blk.2.attn_q.bias"][:] = 0
    for name, plant, more in (("replayed", None, set()), ("replayed-lost", change, {("Qcur-2", "ADD")})):
        trace = candidate(lab, name, change=plant)
        status, result = diff(reference, trace, "--preset", "none", "--candidate-model", lab.folder / f"{name}.gguf")
        at_fault = [o for o in result["replay"]["operations"] if o["origin"]]
        assert status == 1 and {(o["name"], o["op"]) for o in at_fault} == {(f"ffn_gelu-{n}", "GELU") for n in range(6)} | more
        assert all(3e-4 < o["added"]["rel_l2"] < 1e-3 for o in at_fault if o["op"] == "GELU")
        assert all(o["rule"]["id"] == "gelu-variant" and o["rule"]["instead"] == "GELU_ERF instead of GELU" and o["rule"]["left"] < 1e-6 for o in at_fault if o["op"] == "GELU")
        assert all(o["rule"] is None for o in at_fault if o["op"] != "GELU")
        assert result["replay"]["counts"]["open"] == result["replay"]["counts"]["unsupported"] == result["replay"]["kernels"]["differ"] == 0


def test_what_is_accepted_hides_no_other_fault(lab, reference):
    """Only the operations that are named, only by the rule that explains them, and nothing beside it."""
    def change(tensors):
        tensors["blk.2.attn_q.bias"][:] = 0
    clean, lost = candidate(lab, "accepted"), candidate(lab, "accepted-lost", change=change)
    status, result = diff(reference, clean, "--accept", "gelu-variant@-[0-4]$")
    assert status == 1 and [o["name"] for o in result["replay"]["operations"] if o["origin"]] == ["ffn_gelu-5"]
    status, result = diff(reference, lost, "--accept", "gelu-variant")
    assert status == 1 and [o["name"] for o in result["replay"]["operations"] if o["origin"]] == ["Qcur-2"] and result["replay"]["accepted"] == 6
    status, result = diff(reference, clean, "--accept", "norm-eps")
    assert status == 1 and result["replay"]["origins"] == 6


def test_the_same_difference_in_all_layers_is_said_once(lab, reference):
    trace = candidate(lab, "said-once")
    text = run(LOCKSTEP, "diff", reference, trace).stdout
    assert text.count("gelu-variant: the reference's values come out with GELU_ERF") == 1 and "ffn_gelu-0 (GELU) and the same in 6 layers" in text
    assert "cause: gelu-variant" in text
    accepted = run(LOCKSTEP, "diff", reference, trace, "--accept", "gelu-variant").stdout
    assert "different by design (--accept):\n  ffn_gelu-0 (GELU) and the same in 6 layers" in accepted and accepted.endswith("verdict: match\n")
    wrong = run(LOCKSTEP, "diff", reference, trace, "--accept", "gelu")
    assert wrong.returncode == 2 and "found 'gelu', expected RULE or RULE@OPERATIONS with one of the rules gelu-variant" in wrong.stderr
