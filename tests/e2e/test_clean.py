"""Correct conversions match, on real engines, with almost everything compared."""
import pytest

import clean_runs
from conftest import PROMPTS, Trace, diff, title

# Measured on clean runs; docs/metrics.md says where these come from.
F32 = 1e-4          # plain f32 arithmetic
GELU_TABLE = 1e-3   # ggml's CPU GELU is a table of f16
CACHE_F16 = 5e-3    # flash attention in llama.cpp casts K and V to f16 whatever the cache's type


def check(status, result, limit):
    assert result["inputs"]["status"] == "equal", result["inputs"]
    assert result["verdict"] == "match" and status == 0, (result["reason"], result["first_divergence"])
    assert result["first_divergence"] is None
    assert result["pairing"]["coverage"] >= 0.9
    for pair in result["pairs"]:
        if pair["verdict"] != "explained":
            assert pair["metrics"]["rel_l2"] <= limit, title(pair["candidate"])
            assert pair["metrics"]["nan_candidate"] == 0


@pytest.mark.parametrize("tokens", [24, 1])
@pytest.mark.parametrize("flash", [False, True], ids=["no-fa", "fa"])
@pytest.mark.parametrize("family", ["llama", "qwen3", "gemma3"])
def test_clean_run_matches(lab, family, flash, tokens):
    status, result = diff(lab.reference(family, tokens), lab.candidate(family, tokens, flash))
    check(status, result, CACHE_F16 if flash else GELU_TABLE if family == "gemma3" else F32)
    passes = {pair["candidate"]["pass"] for pair in result["pairs"]}
    assert len(passes) == 5  # the prompt and four decode steps


def test_f32_bound_holds_before_the_first_gelu(lab):
    _, result = diff(lab.reference("gemma3"), lab.candidate("gemma3"))
    before = [p for p in result["pairs"] if p["precision"] == "f32" and p["verdict"] != "explained"]
    assert len(before) > 10
    assert all(p["metrics"]["rel_l2"] <= F32 for p in before)


def test_only_what_is_scaled_later_is_explained(lab):
    _, result = diff(lab.reference("gemma3"), lab.candidate("gemma3"))
    names = {p["candidate"]["name"].split("-")[0] for p in result["pairs"] if p["verdict"] == "explained"}
    assert names == {"kq"}


SAMPLE = [run for run in clean_runs.RUNS if run.tokens == 24][::4]
# In batches of which the last is small, by fused attention, against scores that are rounded to bfloat16:
SAMPLE += [clean_runs.Run("gemma2", "bf16 reference", True, 300, 4, 2)]


@pytest.mark.parametrize("run", SAMPLE, ids=lambda run: "-".join(str(value) for value in run))
def test_a_run_without_rules_names_nothing(lab, run):
    """A sample of `make clean-runs`."""
    assert clean_runs.check(lab, run)["problems"] == []


@pytest.mark.parametrize("flash", [False, True], ids=["no-fa", "fa"])
@pytest.mark.parametrize("family", ["llama-biased", "gemma2"])
def test_biases_in_attention_and_soft_caps(lab, family, flash):
    status, result = diff(lab.reference(family, attention="eager" if family == "gemma2" else "sdpa"), lab.candidate(family, flash=flash))
    check(status, result, CACHE_F16 if flash else GELU_TABLE if family == "gemma2" else F32)
    paired = {title(pair["candidate"]): pair["reference"]["name"] for pair in result["pairs"]}
    if family == "llama-biased":  # what the product is before its bias, the reference doesn't hold
        assert paired["Qcur-3 (ADD)"] == "model.layers.3.self_attn.q_proj" and "Qcur-3 (MUL_MAT)" not in paired


@pytest.mark.parametrize("flash", [False, True], ids=["no-fa", "fa"])
def test_eager_attention_in_the_reference(lab, flash):
    status, result = diff(lab.reference("qwen3", attention="eager"), lab.candidate("qwen3", flash=flash))
    check(status, result, CACHE_F16 if flash else F32)


def test_an_old_llama_cpp(lab):
    # its binding can't ask for an f32 cache: K and V are f16
    status, result = diff(lab.reference("llama"), lab.candidate("llama", engine="llama-b4753"))
    check(status, result, CACHE_F16)


def test_a_copy_linked_into_one_file_and_its_warm_up(lab):
    candidate = lab.candidate("qwen3", engine="llama-linked")
    status, result = diff(lab.reference("qwen3"), candidate)
    assert len(Trace(candidate).passes) == 4  # begin and end of a warm-up and of the prompt
    assert status == 0 and result["verdict"] == "match", result["reason"]
    assert result["inputs"]["status"] == "shorter"
    assert {p["candidate"]["pass"] for p in result["pairs"]} == {1}, "the warm-up has dropped out"
    assert result["pairing"]["coverage"] >= 0.9


def test_a_prompt_in_several_batches(lab):
    candidate = lab.candidate("qwen3", batch=10)
    status, result = diff(lab.reference("qwen3"), candidate)
    check(status, result, F32)
    assert len({p["candidate"]["pass"] for p in result["pairs"]}) == 7  # 10 + 10 + 4 rows, four steps


def test_two_engines_of_one_kind_pair_by_name(lab):
    status, result = diff(lab.candidate("qwen3"), lab.candidate("qwen3"))
    assert status == 0 and result["pairing"]["coverage"] == 1.0
    assert result["pairing"]["by"] == {"map": 0, "name": result["pairing"]["paired"], "preset": 0, "input": 0, "elimination": 0, "content": 0, "inferred": 0, "place": 0, "replay": 0, "output": 0}
    assert all(p["verdict"] == "identical" for p in result["pairs"])


def test_one_token_at_position_zero_is_said_to_hide_faults(lab):
    candidate = lab.candidate("qwen3", prompt=[5], tokens=1, options=("--passes", "0"))
    status, result = diff(lab.reference("qwen3", 1), lab.candidate("qwen3", prompt=[5], steps=[]))
    assert status == 0
    assert any("RoPE" in hint for hint in result["hints"])
    assert candidate


def test_a_fault_in_the_rows_of_a_later_batch(lab):
    def poison(tensors):
        tensors["token_embd.weight"] = tensors["token_embd.weight"].copy()  # the model's own otherwise
        tensors["token_embd.weight"][PROMPTS[24][15]] *= 1.5
    gguf = lab.faulty("qwen3", "one-token", poison)
    status, result = diff(lab.reference("qwen3"), lab.candidate("qwen3", gguf=gguf, batch=10))
    first = result["first_divergence"]
    assert status == 1 and title(first["candidate"]) == "embd (GET_ROWS)", first
    assert (first["reference"]["pass"], first["candidate"]["pass"]) == (0, 1)
    assert first["rows"] == {"failing": 1, "of": 10, "first": 5, "last": 5}
