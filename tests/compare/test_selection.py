"""Parts of a model by request, maps that don't fit, and models that no preset knows."""
import subprocess

import numpy as np
import pytest

from traces import LOCKSTEP, Trace, diff

X = np.random.default_rng(3).standard_normal((6, 8)).astype("f4")


def model(path, kept=None, only=None, wrong=(), head=True, names="layers.{}", engine="mine", of=""):
    """Five layers and a head; `kept` says of which layers the values are there."""
    t = Trace(path).begin(range(6))
    t.lines.insert(1, {"engine": engine, "engine_version": "1", "model": of, "process": 0})
    if only is not None:
        t.lines[0]["only"] = only
    last = t.add("embedding", X if kept is None else None, op="GET_ROWS", shape=[6, 8], dtype="f32")
    for layer in range(5):
        values = X * (layer + 2) + (1 if layer in wrong else 0) * X[::-1]
        last = t.add(names.format(layer), values if kept is None or layer in kept else None, [last], op="add", layer=layer, shape=[6, 8], dtype="f32")
    if head:
        t.add("head", 3 * X if kept is None else None, [last], op="Linear", shape=[6, 8], dtype="f32")
    return t.write()


def said(result):
    return " / ".join([result["reason"] or "", *result["hints"]])


LEFT = "layer 3 only, by request; the model's outputs were not compared"


def test_one_layer_by_request(tmp_path):
    sides = model(tmp_path / "r"), model(tmp_path / "c", wrong=[1])
    assert diff(*sides)[0] == 1
    status, result = diff(*sides, "--layers", "3")
    assert status == 0 and result["verdict"] == "match" and LEFT in result["hints"]
    status, result = diff(*sides, "--layers", "0-2")
    assert status == 1 and result["first_divergence"]["candidate"]["layer"] == 1
    assert "layers 0-2 only, by request; the model's outputs were not compared" in result["hints"]


def test_one_layer_recorded_on_both_sides(tmp_path):
    status, result = diff(model(tmp_path / "r", [3], "layer 3"), model(tmp_path / "c", [3], "layer 3"))
    assert status == 0 and result["verdict"] == "match" and LEFT in result["hints"] and result["pairing"]["coverage"] == 1
    status, result = diff(model(tmp_path / "r2", [3], "layer 3"), model(tmp_path / "c2", [3], "layer 3", wrong=[3]))
    assert status == 1 and result["first_divergence"]["candidate"]["layer"] == 3


def test_where_one_side_alone_was_filtered_the_output_is_missed(tmp_path):
    status, result = diff(model(tmp_path / "r"), model(tmp_path / "c", [3], "layer 3"))
    assert status == 2 and "head was not compared" in result["reason"]


def test_the_last_of_the_selection_has_to_be_compared(tmp_path):
    status, result = diff(model(tmp_path / "r", [2], "layer 2"), model(tmp_path / "c", [2, 3], "layers 2-3"))
    assert status == 2 and "the last tensor of the selection, layers.3, was not compared" in result["reason"]


def test_values_that_are_gone_without_a_filter_are_no_selection(tmp_path):
    status, result = diff(model(tmp_path / "r", [3]), model(tmp_path / "c", [3]))
    assert status == 2 and not any("by request" in hint for hint in result["hints"])


def test_a_selection_with_the_output(tmp_path):
    status, result = diff(model(tmp_path / "r"), model(tmp_path / "c"), "--tensors", "head|layers.4")
    assert status == 0 and "tensors that match 'head|layers.4' only, by request" in result["hints"]


@pytest.mark.parametrize("options, words", [(["--tensors", "nothing"], "tensors that match 'nothing'"), (["--layers", "9"], "layer 9")])
def test_nothing_of_what_was_asked_for(tmp_path, options, words):
    status, result = diff(model(tmp_path / "r"), model(tmp_path / "c"), *options)
    assert status == 2 and words in result["reason"] and "lockstep ls" in result["reason"]


@pytest.mark.parametrize("layers", ["one", "3-", "5-2", "1,,2", "-1", "", "3x"])
def test_layers_that_are_no_numbers(tmp_path, layers):
    sides = model(tmp_path / "r"), model(tmp_path / "c")
    done = subprocess.run([LOCKSTEP, "diff", *map(str, sides), f"--layers={layers}"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2 and done.stdout == "" and "--layers: found" in done.stderr and "0-3,7" in done.stderr


@pytest.mark.parametrize("rule, good", [
    ('{candidate: "b.{X}", reference: "layers.{L}"}', False), ('{candidate: "b.{L}", reference: "layers.{l}"}', False),
    ('{candidate: "b.{L}", of: "{Y}", reference: "layers.{L}"}', False), ('{candidate: "b.{L}", reference: ["x", "layers.{E}"]}', False),
    ('{candidate: "b.{L}", reference: "layers.{L}"}', True)])
def test_placeholders_of_a_map(tmp_path, rule, good):
    (tmp_path / "map.yaml").write_text(f"rules:\n  - {rule}\n")
    sides = model(tmp_path / "r"), model(tmp_path / "c", names="b.{}")
    done = subprocess.run([LOCKSTEP, "diff", *map(str, sides), "--map", str(tmp_path / "map.yaml")], capture_output=True, text=True, timeout=60)
    assert done.returncode == (0 if good else 2)
    assert good or ("unknown placeholder" in done.stderr and "map.yaml" in done.stderr and "{L}" in done.stderr), done.stderr


def test_a_rule_that_never_applied(tmp_path):
    (tmp_path / "map.yaml").write_text('include: decoder\nrules:\n  - {candidate: "b.{L}", reference: "layers.{L}"}\n'
                                       '  - {candidate: "c.{L}", reference: "layers.{L}"}\n')
    status, result = diff(model(tmp_path / "r"), model(tmp_path / "c", names="b.{}"), "--map", tmp_path / "map.yaml")
    assert status == 0 and [h for h in result["hints"] if "paired nothing" in h] == [
        "rule 2 of the map, layers.{L} for c.{L}, paired nothing: `lockstep ls` lists the names of both sides"]


def unlike(tmp_path, reference, candidate):
    """Two graphs without a common name, or common values."""
    sides = []
    for seed, (folder, prefix, (engine, of)) in enumerate((("r", "a", reference), ("c", "b", candidate))):
        x = np.random.default_rng(seed).standard_normal(X.shape).astype("f4")
        t = Trace(tmp_path / folder).begin(range(6))
        t.lines.insert(1, {"engine": engine, "model": of, "process": 0})
        last = t.add(f"{prefix}.in", x, op="GET_ROWS")
        t.add(f"{prefix}.out", 2 * x[:, 4:], [last], op="MUL_MAT")
        sides.append(t.write())
    return diff(*sides)


def test_a_model_that_no_preset_knows(tmp_path):
    _, result = unlike(tmp_path, ("transformers", "NovelForCausalLM"), ("llama.cpp", ""))
    assert result["pairing"]["by"]["preset"] == 0
    assert "no preset knows NovelForCausalLM" in said(result) and "--preset" in said(result) and "--map" in said(result)
    _, result = unlike(tmp_path / "none", ("transformers", ""), ("llama.cpp", ""))
    assert "no preset knows the model, which neither side names" in said(result)


def test_sides_that_are_swapped(tmp_path):
    _, result = unlike(tmp_path, ("llama.cpp", ""), ("transformers", "LlamaForCausalLM"))
    assert "are the two sides swapped?" in said(result)
    _, result = unlike(tmp_path / "right", ("transformers", "LlamaForCausalLM"), ("llama.cpp", ""))
    assert "swapped" not in said(result)


@pytest.mark.parametrize("reference, candidate, preset", [
    ("LlamaForCausalLM", "", "llama"), ("", "LlamaForCausalLM", "llama"), ("", "qwen3", "qwen3"), ("MistralForCausalLM", "", "mistral"), ("Novel", "", None)])
def test_the_preset_is_of_either_side(tmp_path, reference, candidate, preset):
    _, result = diff(model(tmp_path / "r", of=reference), model(tmp_path / "c", of=candidate))
    assert result["pairing"]["preset"] == preset
