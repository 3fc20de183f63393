"""llama.cpp with layers on a GPU back end: Vulkan, whose software driver needs no GPU.

ggml leaves out a Vulkan device that is a CPU unless it is named; each run is therefore asked
what it computed where."""
import glob
import json
import platform
import re

import gguf
import numpy as np
import pytest

import models
from conftest import DEPS, HERE, LOCKSTEP, PROMPTS, STEPS, Trace, diff, run, title

DRIVER = next(iter(glob.glob("/usr/share/vulkan/icd.d/lvp_icd*.json")), None)
ENGINE = "llama-vulkan"
THERE = DRIVER is not None and platform.machine() == "x86_64" and (DEPS / ENGINE / "node_modules/@node-llama-cpp/linux-x64-vulkan").is_dir()

pytestmark = pytest.mark.skipif(not THERE, reason="needs llama.cpp with Vulkan (x86-64) and Mesa's software driver")

F32, GPU, F16 = 1e-4, 2e-3, 5e-3  # docs/metrics.md


@pytest.fixture(autouse=True)
def driver(monkeypatch):
    monkeypatch.setenv("VK_ICD_FILENAMES", str(DRIVER))
    monkeypatch.setenv("GGML_VK_VISIBLE_DEVICES", "0")


def on_gpu(lab, family, layers, flash=False, **more):
    return lab.candidate(family, flash=flash, engine=ENGINE, gpu="vulkan", layers=layers, **more)


@pytest.fixture(scope="module")
def runs(lab):
    """Clean runs, recorded once: (family, layers or None for the CPU's build, flash)."""
    def recorded(family, layers, flash=False):
        def make():
            return lab.candidate(family, flash=flash) if layers is None else on_gpu(lab, family, layers, flash)
        return lab.once(("gpu", family, layers, flash), make)
    return recorded


def computed(trace):
    return [t for t in trace.tensors if t.get("role") not in ("input", "weight", "state")]


def is_on_gpu(line):
    return line["backend"] == "Vulkan0"


def assert_match(status, result):
    assert result["inputs"]["status"] == "equal", result["inputs"]
    assert status == 0 and result["verdict"] == "match", (result["reason"], result["first_divergence"])
    assert result["pairing"]["coverage"] > 0.9


def assert_clean(status, result, limit=GPU):
    assert_match(status, result)
    for pair in result["pairs"]:
        assert pair["verdict"] in ("identical", "match") and pair["metrics"]["rel_l2"] <= limit, title(pair["candidate"])


@pytest.mark.parametrize("flash", [False, True], ids=["no-fa", "fa"])
@pytest.mark.parametrize("layers", [99, 4, 0])
@pytest.mark.parametrize("family", ["llama", "qwen3"])
def test_clean_run_matches(lab, runs, family, layers, flash):
    candidate = runs(family, layers, flash)
    status, result = diff(lab.reference(family), candidate)
    assert_clean(status, result, F16 if flash else GPU)
    assert {pair["candidate"]["pass"] for pair in result["pairs"]} == {0, 1, 2, 3, 4}
    trace = Trace(candidate)
    assert all("backend" in line for line in computed(trace))
    on_which = {layer: {is_on_gpu(t) for t in computed(trace) if t["layer"] == layer and t.get("role") is None} for layer in range(models.LAYERS)}
    first = models.LAYERS - (layers - 1 if 0 < layers < 99 else layers)  # the output counts as a layer
    for layer, where in on_which.items():
        if layer > first:
            assert where == {True}, layer
        elif layer < first - 1:
            assert False in where, layer
    for pair in result["pairs"]:
        if not any_gpu_behind(trace, pair["candidate"]["order"]):
            assert pair["precision"] in ("f32", "f16") and (flash or pair["metrics"]["rel_l2"] <= F32), title(pair["candidate"])
        elif not flash:
            assert pair["precision"] == "gpu" and pair["tolerance"] == GPU


def any_gpu_behind(trace, order):
    if not hasattr(trace, "behind"):
        trace.behind = {}
        for line in trace.tensors:
            own = is_on_gpu(line) and line.get("role") in (None, "write")
            trace.behind[line["i"]] = own or any(trace.behind[s] for s in line.get("src", []))
    return trace.behind[order]


@pytest.mark.parametrize("layers", [99, 4])
def test_inputs_are_what_the_program_gave(runs, layers):
    trace = Trace(runs("llama", layers))
    for number, (tokens, start) in enumerate([(PROMPTS[24], 0), *(([step], 24 + i) for i, step in enumerate(STEPS))]):
        positions = list(range(start, start + len(tokens)))
        line = next(p for p in trace.passes if p["pass"] == number and "tokens" in p)
        assert line["tokens"] == tokens and line["positions"] == positions
        assert trace.values(trace.find("inp_tokens", pass_=number)).tolist() == tokens
        assert trace.values(trace.find("inp_pos", pass_=number)).tolist() == positions
        mask = next(t for t in trace.tensors if t.get("role") == "input" and t.get("pass") == number and "mask" in t["name"])
        values = trace.values(mask).reshape(-1, mask["shape"][-1])[:len(tokens)]
        expected = np.where(np.arange(values.shape[1]) <= np.array(positions)[:, None], 0, -np.inf)
        assert np.array_equal(values.astype("f4"), expected)


@pytest.mark.parametrize("layers, flash", [(99, False), (4, False), (4, True), (0, True)])
def test_the_graph_is_the_same_as_on_the_cpu(runs, layers, flash):
    """The same nodes, of the same sources, by name: no copy of the scheduler is among them."""
    def graph(trace):
        titles = {t["i"]: (t.get("pass"), t["name"], t["op"], t["occurrence"]) for t in trace.tensors}
        return {titles[t["i"]]: {titles[s] for s in t.get("src", [])} for t in trace.tensors}
    here, there = graph(Trace(runs("qwen3", layers, flash))), graph(Trace(runs("qwen3", None, flash)))
    assert not [name for _, name, _, _ in here if "#" in name]
    assert here.keys() == there.keys()
    for node, sources in here.items():
        assert sources == there[node], node


@pytest.mark.parametrize("family", ["llama", "qwen3"])
def test_cpu_and_gpu_of_one_engine_agree(runs, family):
    for a, b in ((None, 99), (99, None), (4, 99)):
        status, result = diff(runs(family, a), runs(family, b))
        assert_clean(status, result)
        assert result["totals"]["by_gpu"] == sum(p["metrics"]["rel_l2"] > F32 for p in result["pairs"]) > 0


def test_the_report_says_what_the_tolerance_is_for(lab, runs):
    done = run(LOCKSTEP, "diff", lab.reference("llama"), runs("llama", 99))
    assert re.search(r"; \d+ only within the GPU limit of 2e-03 \(rel\. L2 up to \d\.\de-0[34]\);", unfolded(done.stdout)), done.stdout
    cpu = run(LOCKSTEP, "diff", lab.reference("llama"), runs("llama", None))
    assert "GPU" not in cpu.stdout


def unfolded(text):
    return " ".join(text.split())


def swap(first, second):
    def change(tensors):
        tensors[first], tensors[second] = tensors[second], tensors[first]
    return change


FAULTS = {
    "on the CPU": (swap("blk.2.ffn_gate.weight", "blk.2.ffn_up.weight"), {"ffn_gate-2 (MUL_MAT)", "ffn_up-2 (MUL_MAT)"}, 4),
    "on the GPU": (swap("blk.6.attn_k.weight", "blk.5.attn_k.weight"), {"Kcur-5 (MUL_MAT)"}, 4),
    "all on the GPU": (swap("blk.3.attn_norm.weight", "blk.3.ffn_norm.weight"), {"attn_norm-3 (MUL)"}, 99),
}


@pytest.mark.parametrize("family, quantize, fault", [
    *(("llama", None, fault) for fault in FAULTS), ("qwen3", None, "on the GPU"), ("qwen3", "q8_0", "on the GPU")])
def test_a_fault_is_found_at_its_tensor(lab, family, quantize, fault):
    change, names, layers = FAULTS[fault]
    candidate = on_gpu(lab, family, layers, gguf=lab.faulty(family, "fault", change, quantize=quantize))
    status, result = diff(lab.reference(family), candidate)
    first = result["first_divergence"]
    assert status == 1 and title(first["candidate"]) in names, title(first["candidate"])
    assert result["inputs"]["status"] == "equal" and "interval" not in first
    assert first["candidate"]["backend"] == ("CPU" if fault == "on the CPU" else "Vulkan0")
    text = unfolded(run(LOCKSTEP, "diff", lab.reference(family), candidate).stdout)
    if fault != "on the CPU" and quantize is None:
        assert re.search(r"tolerance 2\.0e-03 for gpu: \S+ was computed on Vulkan0\)", text), text


@pytest.mark.parametrize("quantize, flash", [("q8_0", False), ("q4_0", True)])
def test_quantized_weights(lab, quantize, flash):
    model = lab.faulty("llama", quantize, quantize=quantize)
    assert_match(*diff(lab.reference("llama"), on_gpu(lab, "llama", 99, flash, gguf=model)))


def test_a_prompt_in_several_batches(lab):
    candidate = on_gpu(lab, "qwen3", 4, batch=12)
    assert [len(p["tokens"]) for p in Trace(candidate).passes if "tokens" in p] == [12, 12, 1, 1, 1, 1]
    assert_clean(*diff(lab.reference("qwen3"), candidate))


def command(lab, family, layers, gguf=None, flash=False):
    asked = {"engine": str(DEPS / ENGINE), "model": str(gguf or lab.gguf(family)), "flash": flash, "prompt": PROMPTS[24],
             "steps": STEPS, "gpu": "vulkan", "layers": layers}
    return ["node", HERE / "run_llama.mjs", json.dumps(asked)]


@pytest.mark.parametrize("layers, options", [(4, []), (99, ["--resync", "layer"])], ids=["plain", "resync"])
def test_check(lab, tmp_path, layers, options):
    def check(gguf):
        done = run(LOCKSTEP, "check", "--reference", lab.reference("qwen3"), *options, "--json", tmp_path / "json", "--", *command(lab, "qwen3", layers, gguf))
        return done.returncode, json.loads((tmp_path / "json").read_text())
    status, result = check(None)
    assert_clean(status, result)
    assert (result["totals"]["resynced"] > 0) == bool(options)
    assert any(pair["candidate"]["backend"] == "Vulkan0" for pair in result["pairs"])
    for pair in result["pairs"]:
        assert "resync" not in pair or pair["resync"]["left"] == 0
    status, result = check(lab.faulty("qwen3", "eps", swap("blk.6.attn_q_norm.weight", "blk.6.attn_k_norm.weight")))
    assert status == 1 and title(result["first_divergence"]["candidate"]) == "Qcur_normed-6 (MUL)"


def test_weights_are_the_files(lab):
    trace = Trace(on_gpu(lab, "llama", 99, options=("--weights",)))
    recorded = {t["name"]: t for t in trace.tensors if t.get("role") == "weight" and "file" in t}
    on_the_gpu = 0
    for tensor in gguf.GGUFReader(str(lab.gguf("llama"))).tensors:
        line = recorded[tensor.name]
        assert np.array_equal(trace.values(line), np.asarray(tensor.data)), tensor.name
        on_the_gpu += line["backend"] == "Vulkan0"
    assert on_the_gpu > 60


@pytest.mark.parametrize("layers", [99, 4])
def test_the_cache_is_what_was_written(lab, layers):
    """After each pass: the rows of its positions are the keys and values of that pass."""
    trace = Trace(on_gpu(lab, "llama", layers, options=("--kv",)))
    for layer in (0, 3, 7):
        rows = []
        for number in range(5):
            keys = trace.values(trace.find(f"Kcur-{layer}", "ROPE", pass_=number)).reshape(-1, 64)
            rows.append(keys)
            cache = trace.values([t for t in trace.tensors if t["name"] == f"cache_k_l{layer}" and "file" in t][number])
            so_far = np.concatenate(rows)
            assert np.array_equal(cache.reshape(-1, 64)[:len(so_far)], so_far)


def test_two_masks_of_one_name(lab):
    """Gemma has two masks, for windows and for all; both go to the GPU."""
    candidate = on_gpu(lab, "gemma3", 99)
    assert_match(*diff(lab.reference("gemma3"), candidate))
    trace = Trace(candidate)
    scores = [t for t in trace.tensors if t["op"] == "SOFT_MAX" and t["pass"] == 0]
    masks = [[s for s in t["src"] if "mask" in trace.by_order[s]["name"]] for t in scores]
    assert len(masks) == models.LAYERS
    for line, (mask,) in zip(scores, masks):
        while "file" not in trace.by_order[mask]:
            (mask,) = trace.by_order[mask]["src"]
        values = trace.values(trace.by_order[mask])
        values = values.reshape(-1, values.shape[-1])[:24, :24]
        row, column = np.indices(values.shape)
        window = 16 if line["layer"] % 6 != 5 else 1000
        assert np.array_equal(values.astype("f4"), np.where((column <= row) & (row - column < window), 0, -np.inf)), line["layer"]
