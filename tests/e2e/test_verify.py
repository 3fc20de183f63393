"""`lockstep verify` on traces of real engines: nothing is flagged in a clean run, and what was changed in one is."""
import json
import re
import sys

import numpy as np
import pytest
import torch

import models
import other_models
from conftest import HERE, PROMPTS, STEPS, Trace, capture, run, LOCKSTEP
from kernel_faults import verify
from segments import store_values

TYPES = {"f32": None, "q8_0": "q8_0", "q4_0": "q4_0", "f16": "f16"}


@pytest.fixture(scope="module")
def recorded(lab):
    def record(family, kind, flash):
        def make():
            path = lab.gguf(family)
            if TYPES[kind] is not None:
                path = lab.folder / family / f"verify-{kind}.gguf"
                models.write_gguf(path, lab.model(family), family, models.gguf_tensors(lab.model(family), family), quantize=TYPES[kind])
            return lab.candidate(family, gguf=path, flash=flash), path
        return lab.once(("verify", family, kind, flash), make)
    return record


@pytest.mark.parametrize("flash", [False, True], ids=["no-fa", "fa"])
@pytest.mark.parametrize("family,kind", [("llama", "f32"), ("qwen3", "q4_0"), ("gemma2", "q8_0"), ("gemma3", "f16")])
def test_a_clean_run_agrees(recorded, family, kind, flash):
    """Everything is checked: the weights are the file's, and caches hold what the recorded writes left in them."""
    trace, model = recorded(family, kind, flash)
    status, result = verify(trace, model)
    assert status == 0 and result["verdict"] == "agrees" and result["checked"] == len(result["operations"]) > 500


@pytest.mark.parametrize("architecture,op,count", [("mamba", "ssm_scan", 2), ("mamba2", "ssm_scan", 2), ("rwkv6", "rwkv_wkv6", 2), ("rwkv7", "rwkv_wkv7", 2),
                                                   ("qwen2vl", "rope", 4), ("qwen3vl", "rope", 4)])
def test_states_and_sections(lab, tmp_path, architecture, op, count):
    """Engines clear states, write them and read them again. All results that have elements are checked."""
    model = other_models.write(tmp_path / "m.gguf", architecture)
    trace = lab.candidate(architecture, gguf=model, prompt=PROMPTS[24][:5] + [33])
    status, result = verify(trace, model)
    assert status == 0 and {o.get("reason") for o in result["operations"]} == {None}
    assert sum(f["checked"] for f in result["families"] if f["op"] == op) == count * (1 + len(STEPS))


@pytest.mark.parametrize("name,op", [("ffn_swiglu-2", "SWIGLU"), ("Kcur-1", "ROPE"), ("kq_soft_max-3", "SOFT_MAX"), ("attn_norm-4", "MUL"), ("Vcur-0", "MUL_MAT"), ("l_out-1", "ADD")])
def test_a_dump_that_was_changed_is_named_alone(recorded, tmp_path, name, op):
    trace, model = recorded("llama", "f32", False)
    run("cp", "-r", trace, tmp_path / "t")
    line = Trace(trace).find(name, op, pass_=0)
    values = np.load(trace / line["file"])[line["member"].removesuffix(".npy")] * np.float32(1.001)
    store_values(tmp_path / "t", line, values)
    status, result = verify(tmp_path / "t", model)
    bad = [(o["name"], o["pass"], o["verdict"]) for o in result["operations"] if o["verdict"] not in ("agrees", "unchecked")]
    assert status == 1 and bad == [(name, 0, "dump-error")]


def test_weights_of_another_model_are_not_right(recorded, lab, tmp_path):
    trace, _ = recorded("llama", "f32", False)
    other = lab.faulty("llama", "verify-other", lambda t: t.update({"blk.1.ffn_up.weight": t["blk.1.ffn_up.weight"] * 1.001}))
    status, result = verify(trace, other)
    unchecked = [o for o in result["operations"] if o["verdict"] != "agrees"]
    assert status == 2 and {(o["name"], o["verdict"], o["reason"]) for o in unchecked} == {("ffn_up-1", "unchecked", "weights that are not the model file's")}
    run("cp", "-r", trace, tmp_path / "t")  # where the engine's memory couldn't be read, its kernel is what is wrong
    log = (trace / "trace.jsonl").read_text()
    (tmp_path / "t" / "trace.jsonl").write_text(re.sub(r',"sample_xxh3":"[0-9a-f]*"', "", log))
    status, result = verify(tmp_path / "t", other)
    bad = [o for o in result["operations"] if o["verdict"] != "agrees"]
    assert status == 1 and {o["verdict"] for o in bad} == {"wrong-kernel"} and {o["name"] for o in bad} == {"ffn_up-1"} and len(bad) == 1 + len(STEPS)


def test_what_is_not_covered_is_listed(lab, tmp_path):
    options = {"model": str(lab.hf("llama")), "prompt": PROMPTS[24], "steps": []}
    trace = capture(tmp_path / "hf", sys.executable, HERE / "run_hf.py", json.dumps(options))
    status, result = verify(trace)
    assert status == 0 and {o["verdict"] for o in result["operations"]} == {"agrees"}
    log = (trace / "trace.jsonl").read_text()
    assert '"op":"silu"' in log
    (trace / "trace.jsonl").write_text(log.replace('"op":"silu"', '"op":"its_own"'))
    status, result = verify(trace)
    assert status == 0 and {o["reason"] for o in result["operations"] if o["verdict"] == "unchecked"} == {"an operation that is not covered"}


ANGLES = (len(PROMPTS[24]) + len(STEPS)) * 2 ** -24  # half a unit in the last place of the largest angle, the last position


def rerun(trace, out, *options):
    done = run(LOCKSTEP, "verify", trace, "--replay", "-o", out, *options)
    return done.returncode, done.stderr


def float64_logits(lab, family):
    """transformers in double precision: of the whole prompt and the later tokens in one pass, the rows that the engine computed."""
    model = lab.model(family).double().eval()
    with torch.no_grad():
        logits = model(torch.tensor([PROMPTS[24] + STEPS])).logits[0]
    model.float()
    return logits[len(PROMPTS[24]) - 1:].numpy()


@pytest.mark.parametrize("family,flash", [("llama", False), ("qwen3", True), ("gemma2", False)])
def test_the_run_again_in_double_precision(lab, recorded, tmp_path, family, flash):
    """Its logits are transformers' in float64, but for RoPE's angles, which transformers rounds to f32."""
    trace, _ = recorded(family, "f32", flash)
    status, said = rerun(trace, tmp_path / "gold")
    assert status == 0 and "0 kept their recorded values, 0 have none" in said
    gold, expected = Trace(tmp_path / "gold"), float64_logits(lab, family)
    for pass_, row in enumerate(expected):
        values = gold.values(gold.find("result_output", pass_=pass_))
        assert values.dtype == np.float64 and np.linalg.norm(values.ravel() - row) < ANGLES * np.linalg.norm(row)


def test_a_graph_alone_can_be_run(lab, tmp_path):
    """Its passes that repeat others, too."""
    status, said = rerun(lab.candidate("llama", options=["--graph-only"]), tmp_path / "gold")
    assert status == 0, said
    gold, expected = Trace(tmp_path / "gold"), float64_logits(lab, "llama")
    for pass_, row in enumerate(expected):
        assert np.linalg.norm(gold.values(gold.find("result_output", pass_=pass_)).ravel() - row) < ANGLES * np.linalg.norm(row)


def test_the_less_exact_side(lab, recorded, tmp_path):
    """The engine's Q4_0 kernels quantize activations; a reference that computes in f32 with the same weights is nearer to exact."""
    trace, model = recorded("qwen3", "q4_0", False)
    other, _ = recorded("qwen3", "f32", False)
    assert rerun(trace, tmp_path / "gold")[0] == 0
    done = run(LOCKSTEP, "diff", tmp_path / "gold", trace, "--oracle", tmp_path / "gold", "--json", "-")
    opinions = json.loads(done.stdout)["oracle"]
    assert len(opinions) >= 1 + len(STEPS) and all(o["reference"] == 0 < o["candidate"] < 0.2 for o in opinions)
    text = run(LOCKSTEP, "diff", lab.reference("qwen3"), trace, "--oracle", tmp_path / "gold").stdout
    assert "the reference is the less exact" in text  # its weights are not rounded, so it computes another model
    wrong = run(LOCKSTEP, "diff", lab.reference("qwen3"), other, "--oracle", lab.reference("llama"))
    assert wrong.returncode == 2 and "is not the run of" in wrong.stderr


def test_a_part_of_the_run_again(recorded, tmp_path):
    """What comes before keeps the recorded values, and so does what comes after."""
    trace, _ = recorded("llama", "f32", False)
    status, said = rerun(trace, tmp_path / "gold", "--from", "ffn_norm-2", "--to", "l_out-2")
    assert status == 0, said
    gold, old = Trace(tmp_path / "gold"), Trace(trace)
    for name, same in (("l_out-1", True), ("ffn_norm-2", False), ("l_out-2", False), ("attn_norm-3", True), ("result_output", True)):
        a, b = gold.values(gold.find(name)), old.values(old.find(name))
        assert np.array_equal(a, b.astype(np.float64)) is same and np.allclose(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("options,message", [(["--replay"], "needs -o OUT"), (["-o", "x"], "need --replay"), (["--replay", "-o", "x", "--all"], "don't apply"),
                                             (["--replay", "-o", "x", "--from", "nothing"], "no operation has the name 'nothing'")])
def test_options_of_a_run_again(recorded, tmp_path, options, message):
    trace, _ = recorded("llama", "f32", False)
    done = run(LOCKSTEP, "verify", trace, *options, cwd=tmp_path)
    assert done.returncode == 2 and message in done.stderr and not any(tmp_path.iterdir())
