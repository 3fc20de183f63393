"""What `lockstep capture` keeps besides: sources, weights, caches; and other tools' names."""
import json
import sys

import gguf
import numpy as np
import pytest

import models
from conftest import DEPS, HERE, LOCKSTEP, PROMPTS, STEPS, Trace, run


def llama(lab, family="llama", flash=False, gguf=None):
    asked = {"engine": str(DEPS / "llama-v0.5.0"), "model": str(gguf or lab.gguf(family)), "flash": flash, "prompt": PROMPTS[24], "steps": STEPS}
    return ["node", HERE / "run_llama.mjs", json.dumps(asked)]


def capture(out, *options, command):
    done = run(LOCKSTEP, "capture", "-o", out, *options, "--", *command)
    assert done.returncode == 0, done.stderr
    return done


def kept(trace):
    return {(t["pass"], t["name"], t["op"]): trace.values(t) for t in trace.tensors if "file" in t}


def test_sources_are_kept_so_many_levels_up(lab, tmp_path):
    capture(tmp_path / "all", command=llama(lab))
    capture(tmp_path / "two", "--tensors", "^kqv_out-0$", "--sources", "2", command=llama(lab))
    capture(tmp_path / "three", "--tensors", "^kqv_out-0$", "--sources", "3", command=llama(lab))
    everything, two, three = (kept(Trace(tmp_path / name)) for name in ("all", "two", "three"))
    assert {name for _, name, _ in two} == {"kqv_out-0", "kqv-0", "kq_soft_max-0", "cache_v_l0 (view) (permuted)"}
    assert {name for _, name, _ in three} - {name for _, name, _ in two} >= {"kq-0", "KQ_mask" if ("KQ_mask" in {n for _, n, _ in three}) else "kq-0"}
    assert {p for p, _, _ in two} == set(range(5))
    for key, value in two.items():
        if key in everything:  # views are kept on demand only
            assert np.array_equal(value, everything[key]), key


def test_the_names_and_metadata_of_a_kqv_monitor(lab, tmp_path):
    out = tmp_path / "kqv.gguf"
    capture(out, "--tensors", "^kqv_out", "--sources", "1", "--layers", "0", "--naming", "kqv-trace", "--format", "gguf", command=llama(lab))
    capture(tmp_path / "all", command=llama(lab))
    reader = gguf.GGUFReader(out)
    values = {key: field.contents() for key, field in reader.fields.items() if key.startswith("kqv_trace.")}
    assert values == {"kqv_trace.description": "KQV output trace from llama.cpp inference", "kqv_trace.total_steps": 5,
                      "kqv_trace.target_layer": 0, "kqv_trace.trace_sources": True, "kqv_trace.tensor_count": 10}
    found = {t.name: t.data for t in reader.tensors}
    assert set(found) == {f"{name}_step_{step}" for step in range(5) for name in ("kqv_out_kqv_out-0", "src0_kqv-0")}
    trace = Trace(tmp_path / "all")
    for step in range(5):
        assert np.array_equal(found[f"kqv_out_kqv_out-0_step_{step}"], trace.values(trace.find("kqv_out-0", pass_=step, op="CONT")))
    # two such files compare by their names
    assert run(LOCKSTEP, "diff", out, out).returncode == 0


def test_stats_are_printed_as_it_goes(lab, tmp_path):
    done = capture(tmp_path / "t", "--stats", "--tensors", "^ffn_out-[01]$", command=llama(lab))
    lines = [line for line in done.stderr.splitlines() if line.startswith("pass ")]
    trace = Trace(tmp_path / "t")
    expected = [t for t in trace.tensors if "file" in t]
    assert len(lines) == len(expected) == 10
    for line, t in zip(lines, expected):
        words = line.split()
        value = trace.values(t).astype(float)
        got = [float(words[words.index(key) + 1]) for key in ("mean", "std", "min", "max")]
        assert np.allclose(got, [value.mean(), value.std(), value.min(), value.max()], rtol=1e-4, atol=1e-6), line
        assert f"pass {t['pass']}  layer {t['layer']}  {t['name']} ({t['op']})" in line


def test_weights_as_they_were_loaded(lab, tmp_path):
    capture(tmp_path / "t", "--weights", "--observe", "outputs", command=llama(lab))
    on_disk = {t.name: t.data for t in gguf.GGUFReader(lab.gguf("llama")).tensors}
    trace = Trace(tmp_path / "t")
    loaded = {t["name"]: trace.values(t) for t in trace.tensors if t.get("role") == "weight" and "file" in t}
    assert set(loaded) == set(on_disk)
    assert all(np.array_equal(loaded[name], on_disk[name].reshape(loaded[name].shape)) for name in loaded)
    done = run(LOCKSTEP, "diff", lab.hf("llama"), tmp_path / "t", "--what", "weights")
    assert done.returncode == 0 and f"{len(on_disk)} of {len(on_disk)} candidate tensors paired" in done.stdout, done.stdout


def test_weights_that_are_not_the_checkpoints(lab, tmp_path):
    def swap(tensors):
        tensors["blk.2.attn_norm.weight"], tensors["blk.2.ffn_norm.weight"] = tensors["blk.2.ffn_norm.weight"], tensors["blk.2.attn_norm.weight"]
    faulty = lab.faulty("llama", "swapped-norms", swap)
    capture(tmp_path / "t", "--weights", "--observe", "outputs", command=llama(lab, gguf=faulty))
    done = run(LOCKSTEP, "diff", lab.hf("llama"), tmp_path / "t", "--what", "weights")
    said = " ".join(done.stdout.split())
    assert done.returncode == 1 and "blk.2.attn_norm.weight" in said and "it holds the reference's model.layers.2.post_attention_layernorm.weight" in said


def test_weights_of_a_quantized_model(lab, tmp_path):
    path = tmp_path / "q8.gguf"
    model = lab.model("llama")
    models.write_gguf(path, model, "llama", models.gguf_tensors(model, "llama"), quantize="q8_0")
    capture(tmp_path / "t", "--weights", "--observe", "outputs", command=llama(lab, gguf=path))
    trace = Trace(tmp_path / "t")
    for t in gguf.GGUFReader(path).tensors:
        line = next(line for line in trace.tensors if line["name"] == t.name)
        if "file" in line:
            assert np.array_equal(trace.values(line), gguf.quants.dequantize(t.data, t.tensor_type).reshape(line["shape"])), t.name
        else:  # repacked for the kernels: said, not guessed at
            assert any(t.name in note and "repacked" in note for note in
                       [json.loads(text).get("note", "") for text in open(tmp_path / "t/trace.jsonl")])


def test_weights_in_pytorch(lab, tmp_path):
    options = {"model": str(lab.hf("llama")), "prompt": [5, 17], "steps": []}
    capture(tmp_path / "t", "--weights", "--observe", "outputs", command=[sys.executable, HERE / "run_hf.py", json.dumps(options)])
    done = run(LOCKSTEP, "diff", tmp_path / "t", lab.gguf("llama"), "--what", "weights")
    assert done.returncode == 0 and "verdict: match" in done.stdout, done.stdout


def test_sources_of_a_graph_that_is_not_known_ahead_are_said_not_to_come(lab, tmp_path):
    options = {"model": str(lab.hf("llama")), "prompt": [5, 17], "steps": []}
    done = capture(tmp_path / "t", "--sources", "1", "--tensors", "lm_head", command=[sys.executable, HERE / "run_hf.py", json.dumps(options)])
    assert "note: --sources has no effect on PyTorch" in done.stderr
    assert "note" not in capture(tmp_path / "u", "--tensors", "lm_head", command=[sys.executable, HERE / "run_hf.py", json.dumps(options)]).stderr


def test_the_cache_in_pytorch(lab, tmp_path):
    options = {"model": str(lab.hf("llama")), "prompt": [5, 17, 9], "steps": [3]}
    capture(tmp_path / "t", "--kv", command=[sys.executable, HERE / "run_hf.py", json.dumps(options)])
    trace = Trace(tmp_path / "t")
    first, second = (trace.values(trace.find("past_key_values.0.keys", pass_=number)) for number in (0, 1))
    assert first.shape[2] == 3 and second.shape[2] == 4 and np.array_equal(first, second[:, :, :3])
    rotated = trace.find("model.layers.0.self_attn/apply_rotary_pos_emb.1", pass_=0)
    assert np.array_equal(first, trace.values(trace.by_order[rotated["alias_of"]]))


def test_the_cache_as_each_pass_leaves_it(lab, tmp_path):
    capture(tmp_path / "t", "--kv", command=llama(lab))
    trace = Trace(tmp_path / "t")
    for number, rows in enumerate([24, 1, 1, 1, 1]):
        caches = [t for t in trace.tensors if t["name"] == "cache_k_l0" and t.get("pass") == number and "file" in t]
        assert len(caches) == 1 and caches[0]["role"] == "state"
        cache = trace.values(caches[0]).astype(float).reshape(-1, 64)
        new = trace.values(trace.find("Kcur-0", op="ROPE", pass_=number)).reshape(rows, 64)
        first = 0 if number == 0 else 23 + number
        assert np.allclose(cache[first:first + rows], new, atol=2e-3, rtol=2e-3), "the rows that this pass wrote"


@pytest.mark.parametrize("side", ["llama.cpp", "transformers"])
def test_whether_observing_changes_anything(lab, tmp_path, side):
    options = {"model": str(lab.hf("llama")), "prompt": PROMPTS[24], "steps": STEPS}
    command = llama(lab) if side == "llama.cpp" else [sys.executable, HERE / "run_hf.py", json.dumps(options)]
    done = capture(tmp_path / "t", "--check-observer", command=command)
    assert "observing changed nothing: the results of 5 passes have the same bits" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["t"]


def test_an_output_that_no_module_gives(tmp_path):
    program = tmp_path / "model.py"
    program.write_text("import torch\ntorch.manual_seed(0)\n"
                       "class M(torch.nn.Module):\n"
                       "    def __init__(self):\n        super().__init__()\n        self.inner = torch.nn.Linear(4, 4)\n"
                       "    def forward(self, x):\n        return torch.softmax(self.inner(x), -1)\n"
                       "with torch.no_grad(): M()(torch.ones(2, 4))\n")
    done = run(LOCKSTEP, "capture", "-o", tmp_path / "t", "--check-observer", "--", sys.executable, program)
    assert done.returncode == 0 and "observing changed nothing: the results of 1 pass" in done.stderr, done.stderr


def test_a_program_that_gives_other_numbers_each_time(tmp_path):
    program = tmp_path / "noise.py"
    program.write_text("import torch\nm = torch.nn.Linear(4, 4)\nm(torch.ones(2, 4))\n")
    done = run(LOCKSTEP, "capture", "-o", tmp_path / "t", "--check-observer", "--", sys.executable, program)
    assert done.returncode == 1 and "observing CHANGED the results of 1 of 1 passes" in done.stderr


@pytest.mark.parametrize("words,said", [
    (["--sources", "2"], "--sources needs --tensors or --ops"), (["--sources", "1.5", "--tensors", "x"], "a number of levels"),
    (["--naming", "kqv-trace"], "--naming needs --format gguf"), (["--naming", "x", "--format", "gguf"], "--naming: found 'x', expected kqv-trace"),
    (["--check-observer", "--stats-only"], "--check-observer needs a command, and values")])
def test_what_was_typed_wrong(tmp_path, words, said):
    done = run(LOCKSTEP, "capture", "-o", tmp_path / "t", *words, "--", "true")
    assert done.returncode == 2 and said in done.stderr
