"""Replay on real engines, without any naming rules: clean runs are found whole, and faults are named where they are."""
import ctypes
import json

import gguf
import numpy as np
import pytest

import fault_kinds
import faults
from conftest import LOCKSTEP, Trace, diff, run
from segments import store_values

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


@pytest.mark.parametrize("kind,flash", [("q4_k", False), ("q6_k", True), ("iq4_xs", False), ("q2_k", True)])
def test_weights_in_blocks_of_256(lab, kind, flash):
    """Quantized by the engine's own functions; most are repacked for its kernels, where their bytes can't be compared with the file's."""
    trace, model = faults.clean(lab, "llama-wide", kind, flash)
    products = [t["dtype"] for t in Trace(trace).tensors if t.get("role") == "weight" and t["name"].startswith("blk.") and len(t["shape"]) == 2]
    assert len(products) == 3 * 7 and {dtype.lower() for dtype in products} == {kind}
    status, result = diff(faults.reference(lab, "llama-wide"), trace, "--preset", "none")
    replay = result["replay"]
    assert status == 0 and result["verdict"] == "match"
    assert replay["origins"] == replay["counts"]["open"] == replay["counts"]["unsupported"] == replay["kernels"]["differ"] == 0
    swapped = lab.faulty("llama-wide", f"swapped-{kind}", lambda t: t.update({"blk.1.attn_k.weight": t["blk.1.attn_v.weight"], "blk.1.attn_v.weight": t["blk.1.attn_k.weight"]}), quantize=kind)
    status, result = diff(faults.reference(lab, "llama-wide"), lab.candidate("llama-wide", flash=flash, gguf=swapped), "--preset", "none")
    assert status == 1 and {o["name"] for o in result["replay"]["operations"] if o["origin"]} == {"Kcur-1", "Vcur-1"}


def test_a_reference_in_bfloat16(lab):
    """Its own rounding, of activations and weights, is no fault; reversed heads are."""
    trace, model = faults.clean(lab, "llama", "f32", False)
    reference = lab.reference("llama", dtype="bfloat16")
    status, result = diff(reference, trace, "--preset", "none", "--candidate-model", model)
    assert status == 0 and result["replay"]["origins"] == result["replay"]["counts"]["open"] == 0
    limits = {(l["op"], l["weight_type"]): l["rel_l2"] for l in result["replay"]["detection_limits"]}
    assert 2 ** -9 < limits["RMS_NORM", None] < 0.05  # half a unit of bfloat16, and some
    text = run(LOCKSTEP, "diff", reference, trace, "--preset", "none", "--candidate-model", model).stdout
    assert "the reference computes in bf16, which hides what is smaller: record it in float32" in " ".join(text.split())
    wrong = lab.faulty("llama", "replay-heads", lambda t: t.update({"blk.2.attn_v.weight": fault_kinds.reverse_heads(t["blk.2.attn_v.weight"], 2)}))
    status, result = diff(reference, lab.candidate("llama", gguf=wrong), "--preset", "none", "--candidate-model", wrong)
    assert status == 1 and {o["name"] for o in result["replay"]["operations"] if o["origin"]} == {"Vcur-2"}


@pytest.mark.parametrize("times,is_seen", [(4, True), (0.1, False)])
def test_the_detection_limit_is_what_it_says(lab, times, is_seen):
    """A weight is changed at random, which changes its product's result by the same share."""
    trace, model = faults.clean(lab, "llama", "f32", False)
    _, clean = diff(faults.reference(lab, "llama"), trace, "--preset", "none")
    limit, = (l for l in clean["replay"]["detection_limits"] if (l["op"], l["weight_type"]) == ("MUL_MAT", "f32"))
    assert limit["operations"] > 50 and 1e-7 < limit["rel_l2"] < 1e-4
    noise = lambda shape: 1 + times * limit["rel_l2"] * np.random.default_rng(4).standard_normal(shape)
    changed = lab.faulty("llama", f"limit-{times}", lambda t: t.update({"blk.1.ffn_up.weight": (t["blk.1.ffn_up.weight"] * noise(t["blk.1.ffn_up.weight"].shape)).astype("f4")}))
    status, result = diff(faults.reference(lab, "llama"), lab.candidate("llama", gguf=changed), "--preset", "none")
    named = {o["name"] for o in result["replay"]["operations"] if o["origin"]}
    assert (status, named) == ((1, {"ffn_up-1"}) if is_seen else (0, set()))


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


@pytest.mark.parametrize("seed", range(1, 13))
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


@pytest.mark.parametrize("cache", ["Q8_0", "Q4_0", "Q5_1", "IQ4_NL"])
def test_a_quantized_cache(lab, cache):
    """The model is right, whatever its cache holds; and kernels are as far from exact ones as the cache's type is."""
    candidate = lab.candidate("qwen3", flash=True, cache=cache)
    status, result = diff(lab.reference("qwen3"), candidate, "--preset", "none")
    replay = result["replay"]
    assert status == 0 and result["verdict"] == "match"
    assert replay["origins"] == replay["counts"]["open"] == replay["counts"]["unsupported"] == 0
    assert replay["kernels"]["checked"] == replay["kernels"]["operations"] and replay["kernels"]["differ"] == 0


def test_a_fault_behind_a_quantized_cache(lab):
    status, result = diff(lab.reference("qwen3"), lab.candidate("qwen3", flash=True, cache="Q4_0", gguf=lab.faulty("qwen3", "base", rope_base=20000)), "--preset", "none")
    assert status == 1 and {o["op"] for o in result["replay"]["operations"] if o["origin"]} == {"ROPE"}


@pytest.mark.parametrize("family,kind,flash", [("llama", "q4_0", False), ("qwen2", "f32", True), ("gemma2", "q8_0", False)])
def test_a_clean_run_of_which_few_rows_are_computed(lab, monkeypatch, family, kind, flash):
    """As of large models."""
    monkeypatch.setenv("LOCKSTEP_ROWS", "8")
    trace, model = faults.clean(lab, family, kind, flash)
    status, result = diff(faults.reference(lab, family), trace, "--preset", "none", "--candidate-model", model)
    replay = result["replay"]
    assert status == 0 and result["verdict"] == "match" and replay["sampled"] > 50
    assert replay["origins"] == replay["counts"]["open"] == replay["counts"]["unsupported"] == 0


@pytest.mark.parametrize("seed", (3, 5, 8, 11))
def test_a_fault_is_named_from_few_rows(lab, tmp_path, monkeypatch, seed):
    monkeypatch.setenv("LOCKSTEP_ROWS", "8")
    case = faults.Case(seed)
    result = faults.run_case(lab, case, tmp_path)
    if result["change"] < faults.LEAST:
        pytest.skip("changes nothing")
    assert result["verdict"] == "right" and result["status"] == 1, f"{case}: {result}"


def test_a_wrong_kernel_is_told_from_a_wrong_model(lab, tmp_path):
    """A recorded tensor that is not what its operands give: the graph and the weights are right, the kernel or the recording is not."""
    trace, model = faults.clean(lab, "llama", "f32", False)
    run("cp", "-r", trace, tmp_path / "t")
    line = Trace(trace).find("ffn_out-2", "MUL_MAT", pass_=0)
    store_values(tmp_path / "t", line, (Trace(trace).values(line) * 1.01).astype("f4"))
    status, result = diff(faults.reference(lab, "llama"), tmp_path / "t", "--preset", "none", "--candidate-model", model)
    first = result["first_divergence"]
    assert status == 1 and result["replay"]["origins"] == 0 and result["replay"]["kernels"]["differ"] == 1
    assert (first["candidate"]["name"], first["candidate"]["pass"], first["causes"][0]["rule"]) == ("ffn_out-2", 0, "kernel")


def test_weights_other_than_the_files(lab):
    """The user names another model file than the process has read: nothing is concluded from it."""
    trace, _ = faults.clean(lab, "llama", "f32", False)
    other = lab.faulty("llama", "replay-other", lambda t: t.update({"blk.1.ffn_up.weight": t["blk.1.ffn_up.weight"] * 1.05}))
    status, result = diff(faults.reference(lab, "llama"), trace, "--preset", "none", "--candidate-model", other)
    assert status == 2 and result["replay"]["origins"] == 0 and result["replay"]["weights"]["changed"] == 1
    assert "blk.1.ffn_up.weight" in result["reason"] and "--candidate-model" in result["reason"]


def test_the_engines_model_file_is_found(lab):
    """Nobody names it: the engine has opened it, and its memory has the same bytes."""
    trace, model = faults.clean(lab, "llama", "q4_0", True)
    status, result = diff(faults.reference(lab, "llama"), trace)
    weights = result["replay"]["weights"]
    assert status == 0 and weights["files"] == [str(model)] and weights["opened_by_engine"]
    assert weights["verified"] + weights["assumed"] == len([t for t in Trace(trace).tensors if t.get("role") == "weight"]) and weights["verified"] > 0
    assert run(LOCKSTEP, "verify", trace).returncode == 0


def copy_of_trace(trace, folder, change):
    """With each line of its log changed."""
    run("cp", "-r", trace, folder)
    lines = [json.loads(line) for line in open(folder / "trace.jsonl")]
    (folder / "trace.jsonl").write_text("".join(json.dumps(line) + "\n" for line in map(change, lines) if line is not None))
    return folder


def test_weights_that_were_changed_after_loading(lab, tmp_path):
    trace, _ = faults.clean(lab, "llama", "f32", False)

    def change(line):
        if line.get("name") == "blk.3.attn_k.weight":
            line["sample_xxh3"] = "0123456789abcdef"
        return line
    status, result = diff(faults.reference(lab, "llama"), copy_of_trace(trace, tmp_path / "t", change))
    assert status == 1 and result["verdict"] == "diverged"
    assert "blk.3.attn_k.weight" in result["reason"] and "changed after loading" in result["reason"]


def test_a_model_file_that_was_written_to_is_not_relied_on(lab, tmp_path):
    """Where memory shows which weights are still the same, these are used; the others are not."""
    case = faults.Case(1)
    case.kinds, case.layers, case.family, case.type, case.flash = ["gate and up swapped"], [3], "llama", "f32", False
    path = tmp_path / "m.gguf"
    path.write_bytes(lab.gguf("llama").read_bytes())
    trace = lab.candidate("llama", gguf=path)
    case.write(lab, path)
    _, result = diff(faults.reference(lab, "llama"), trace)
    assert result["replay"]["weights"]["stale"] == 2 and result["replay"]["origins"] == 0
    assert any("changed after the run" in hint for hint in result["hints"])
    path.unlink()
    _, result = diff(faults.reference(lab, "llama"), trace)
    assert result["replay"] is None and any("m.gguf" in hint for hint in result["hints"])


def test_the_sample_of_a_weight_is_what_the_documents_say(lab):
    """XXH3 by libxxhash itself, over the pieces of docs/trace-format.md, of the file that the engine has mapped."""
    xxhash = ctypes.CDLL("libxxhash.so.0").XXH3_64bits_withSeed
    xxhash.restype, xxhash.argtypes = ctypes.c_uint64, [ctypes.c_char_p, ctypes.c_size_t, ctypes.c_uint64]
    trace, model = faults.clean(lab, "llama", "f32", False)
    lines = {t["name"]: t for t in Trace(trace).tensors if "sample_xxh3" in t}
    checked = 0
    for tensor in gguf.GGUFReader(model).tensors:
        data = tensor.data.tobytes()
        if tensor.name in lines:
            assert lines[tensor.name]["sample_xxh3"] == f"{sample(xxhash, data):016x}", tensor.name
            checked += 1
    assert checked > 50


def sample(xxhash, data):
    end, block, mask = 65536, 4096, (1 << 64) - 1
    if len(data) <= 2 * end + 16 * block:
        pieces = [(at, min(end, len(data) - at)) for at in range(0, len(data), end)]
    else:
        pieces = [(0, end), (len(data) - end, end)]
        for k in range(16):
            h = (k + 1) * 0x9E3779B97F4A7C15 & mask
            h = (h ^ h >> 30) * 0xBF58476D1CE4E5B9 & mask
            h = (h ^ h >> 27) * 0x94D049BB133111EB & mask
            pieces.append(((h ^ h >> 31) % (len(data) - block + 1), block))
    hash_ = 0
    for at, count in pieces:
        hash_ = xxhash(data[at:at + count], count, hash_)
    return hash_


def test_the_graph_alone(lab, tmp_path):
    """Nothing that was computed is recorded; the model is judged all the same, and said to be all that was judged."""
    trace = lab.candidate("qwen3", options=["--graph-only"])
    reference = faults.reference(lab, "qwen3")
    assert all(t.get("file") is None or t["role"] == "input" for t in Trace(trace).tensors)
    log = (trace / "trace.jsonl").read_text().splitlines()
    size = {n: sum(len(line) for line in log if f'"pass":{n},' in line) for n in range(5)}
    assert all(size[n] < 20_000 for n in (2, 3, 4)) and size[1] > 50_000  # the passes of one token have one graph
    status, result = diff(reference, trace)
    assert status == 2 and result["verdict"] == "model match" and result["pairing"]["coverage"] > 0.999
    assert result["replay"]["origins"] == result["replay"]["counts"]["open"] == 0 and result["replay"]["counts"]["found"] > 800
    done = run(LOCKSTEP, "diff", reference, trace, "--model-only")
    assert done.returncode == 0 and "kernels    not checked (graph-only)" in done.stdout and done.stdout.endswith("verdict: model match\n")
    full = run(LOCKSTEP, "diff", reference, faults.clean(lab, "qwen3", "f32", False)[0], "--json", "-")
    same = [(o["name"], o["op"], o["pass"], o["class"], o.get("reference")) for o in result["replay"]["operations"]]
    assert same == [(o["name"], o["op"], o["pass"], o["class"], o.get("reference")) for o in json.loads(full.stdout)["replay"]["operations"]]


def test_a_fault_in_the_graph_alone(lab, tmp_path):
    wrong = lab.faulty("llama", "graph-only", lambda t: t.update({"blk.2.attn_v.weight": fault_kinds.reverse_heads(t["blk.2.attn_v.weight"], 2)}))
    status, result = diff(faults.reference(lab, "llama"), lab.candidate("llama", gguf=wrong, options=["--graph-only"]), "--model-only")
    assert status == 1 and result["verdict"] == "diverged"
    assert {(o["name"], o["pass"]) for o in result["replay"]["operations"] if o["origin"]} == {("Vcur-2", n) for n in range(5)}


def test_the_graph_alone_needs_weights(lab):
    trace = copy_of_trace(lab.candidate("llama", options=["--graph-only"]), lab.folder / "no-weights", lambda line: None if "model_file" in line else line)
    done = run(LOCKSTEP, "diff", faults.reference(lab, "llama"), trace, "--model-only")
    assert done.returncode == 2 and "--candidate-model names their file" in done.stdout
    assert run(LOCKSTEP, "diff", faults.reference(lab, "llama"), trace, "--model-only", "--candidate-model", lab.gguf("llama")).returncode == 0


def test_weights_whose_rounding_hides_a_fault(lab):
    """The products with them differ by no more than Q4_0 does; the checkpoint that the reference opened shows it."""
    def spoil(tensors):
        tensors["blk.3.ffn_gate.weight"] = tensors["blk.3.ffn_gate.weight"] * np.float32(1.01)
        tensors["blk.5.attn_v.weight"] = tensors["blk.5.attn_v.weight"].copy()
        tensors["blk.5.attn_v.weight"][3, 9] *= 30
    model = lab.faulty("llama", "hidden-q4_0", spoil, quantize="q4_0")
    status, result = diff(lab.reference("llama"), lab.candidate("llama", gguf=model), "--preset", "none")
    blamed = {o["name"] for o in result["replay"]["operations"] if o["origin"]}
    assert status == 1 and result["verdict"] == "diverged" and blamed == {"ffn_gate-3", "Vcur-5"}


def test_the_report(lab, tmp_path):
    case = faults.Case(1)
    case.kinds, case.layers, case.family, case.type, case.flash = ["gate and up swapped"], [3], "llama", "q8_0", False
    case.write(lab, tmp_path / "m.gguf")
    trace = lab.candidate("llama", gguf=tmp_path / "m.gguf")
    text = run(LOCKSTEP, "diff", faults.reference(lab, "llama"), trace, "--candidate-model", tmp_path / "m.gguf").stdout
    assert "replay     830 operations on the reference's values, 10 at fault; " in text
    assert "kernels    830 of 830 operations checked on their own recorded inputs, 0 wrong" in text
    assert "first divergence: ffn_gate-3 (MUL_MAT), layer 3, pass 0" in text
    assert "  ffn_up-3 (MUL_MAT), layer 3, in 5 passes: added here" in text and "weights: blk.3.ffn_up.weight" in text
    missing = run(LOCKSTEP, "diff", faults.reference(lab, "llama"), trace, "--candidate-model", tmp_path / "none.gguf")
    assert missing.returncode == 2 and "none.gguf" in missing.stderr
