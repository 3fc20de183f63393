"""A trained model: the BERT that a Python package carries, against llama.cpp's."""
import json
import sys

import numpy as np
import pytest

import bert
from conftest import DEPS, HERE, Trace, capture, diff, title

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
    status, result = diff(reference, candidate(lab, "bert", flash))
    assert status == 0 and result["verdict"] == "match", (result["reason"], result["first_divergence"])
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
    status, result = diff(reference, candidate(lab, "swapped", change=change))
    assert status == 1
    assert title(result["first_divergence"]["candidate"]) in {"Qcur-3 (ADD)", "Kcur-3 (ADD)"}


def test_a_lost_bias_is_found(lab, reference):
    def change(tensors):
        tensors["blk.2.ffn_down.bias"] = np.zeros_like(tensors["blk.2.ffn_down.bias"])
    status, result = diff(reference, candidate(lab, "unbiased", change=change))
    assert status == 1
    assert title(result["first_divergence"]["candidate"]) == "ffn_out-2 (ADD)"
    assert result["first_divergence"]["causes"][0]["id"] == "channel-offset"


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
        assert result["replay"]["counts"]["open"] == result["replay"]["counts"]["unsupported"] == result["replay"]["kernels"]["differ"] == 0
