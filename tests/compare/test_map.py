"""`lockstep map`: what a comparison has learned about names, as rules that `--map` reads."""
import json
import subprocess

import numpy as np
import pytest
import yaml

import test_replay
from traces import LOCKSTEP, Trace, diff

LAYERS = 3


def write_map(reference, candidate, out, *options):
    return subprocess.run([LOCKSTEP, "map", reference, candidate, "-o", out, *options], capture_output=True, text=True)


def rules_of(path):
    return yaml.safe_load(path.read_text())["rules"]


def stack(tmp_path, ours=lambda layer, what: f"{what}-{layer}", theirs=lambda layer, what: f"model.layers.{layer}.{what}", skipped=()):
    """Two runs of the same layers, in two passes, under the names that the two functions give. `skipped`: layers without the norm."""
    rng = np.random.default_rng(7)
    ref, cand = Trace(tmp_path / "r"), Trace(tmp_path / "c")
    embedding = rng.standard_normal((40, 16)).astype("f4")
    weights = [[(rng.standard_normal((16, 16)) / 4).astype("f4") for _ in range(2)] for _ in range(LAYERS)]
    table = cand.add("E", embedding, role="weight")
    given = [[cand.add(f"blk.{k}.{n}", w, role="weight") for n, w in enumerate(pair)] for k, pair in enumerate(weights)]
    for number, ids in enumerate([np.arange(6, dtype="i4"), np.array([9], "i4")]):
        for trace in (cand, ref):
            trace.begin(ids.tolist(), positions=range(6 * number, 6 * number + len(ids)))
        x = embedding[ids].astype("f8")
        c = cand.add("embd", x.astype("f4"), [table, cand.add("ids", ids, role="input")], op="GET_ROWS")
        r = ref.add("embed_tokens", x.astype("f4"), [], op="embedding")
        for layer in range(LAYERS):
            for n, what in enumerate(("up", "down")):
                value = x @ weights[layer][n].astype("f8").T
                c = cand.add(ours(layer, what), value.astype("f4"), [given[layer][n], c], op="MUL_MAT", layer=layer)
                r = ref.add(theirs(layer, what), value.astype("f4"), [r], op="linear", layer=layer)
                x = test_replay.silu(value)
                c = cand.add(ours(layer, "act"), x.astype("f4"), [c], op="SILU", layer=layer)
                r = ref.add(theirs(layer, "act"), x.astype("f4"), [r], op="silu", layer=layer)
    return ref.write(), cand.write()


def orders(result):
    return {p["candidate"]["order"]: p["reference"]["order"] for p in result["pairs"]}


def assert_the_map_pairs_the_same(tmp_path, reference, candidate):
    done = write_map(reference, candidate, tmp_path / "map.yaml")
    assert done.returncode == 0, done.stderr
    learned, by_map = diff(reference, candidate, "--preset", "none"), diff(reference, candidate, "--preset", "none", "--map", tmp_path / "map.yaml")
    assert (by_map[0], by_map[1]["verdict"]) == (learned[0], learned[1]["verdict"]) == (0, "match")
    assert orders(by_map[1]) == orders(learned[1])
    assert {p["by"] for p in by_map[1]["pairs"]} == {"map"}, "each pair has a rule"
    assert not [hint for hint in by_map[1]["hints"] if "paired nothing" in hint]
    return rules_of(tmp_path / "map.yaml")


def test_one_rule_serves_all_layers_and_passes(tmp_path):
    rules = assert_the_map_pairs_the_same(tmp_path, *stack(tmp_path))
    assert {(r["candidate"], r["op"], r.get("occurrence", 0), r["reference"], r.get("reference-occurrence", 0)) for r in rules} == {
        ("embd", "GET_ROWS", 0, "embed_tokens", 0), ("up-{L}", "MUL_MAT", 0, "model.layers.{L}.up", 0), ("down-{L}", "MUL_MAT", 0, "model.layers.{L}.down", 0),
        ("act-{L}", "SILU", 0, "model.layers.{L}.act", 0), ("act-{L}", "SILU", 1, "model.layers.{L}.act", 1)}


def test_where_the_layer_is_not_in_the_names_tensors_are_counted(tmp_path):
    rules = assert_the_map_pairs_the_same(tmp_path, *stack(tmp_path, ours=lambda layer, what: what, theirs=lambda layer, what: what))
    assert {r["candidate"] for r in rules} == {"embd", "up", "down", "act"}
    assert [r["occurrence"] for r in rules if r["candidate"] == "up"] == ["0+1*L"]
    assert {r["occurrence"] for r in rules if r["candidate"] == "act"} == {"0+2*L", "1+2*L"}


@pytest.mark.parametrize("ours", [lambda layer, what: f"b{layer}_2_{what}", lambda layer, what: f"2_{what}_{layer}", lambda layer, what: f"{what}.{layer}.w{layer}"])
def test_another_number_in_a_name_is_not_the_layer(tmp_path, ours):
    rules = assert_the_map_pairs_the_same(tmp_path, *stack(tmp_path, ours=ours))
    assert len(rules) <= 1 + 4 * LAYERS


def test_names_that_no_rule_can_say_are_left_out(tmp_path):
    reference, candidate = stack(tmp_path, ours=lambda layer, what: f"{{{what}}}-{layer}" if what == "up" else f'"{what}\n# {layer}')
    done = write_map(reference, candidate, tmp_path / "map.yaml")
    assert done.returncode == 0
    rules = rules_of(tmp_path / "map.yaml")
    assert f"{2 * LAYERS} pairs are left out" in (tmp_path / "map.yaml").read_text()
    assert {r["candidate"] for r in rules} == {"embd", '"act\n# {L}', '"down\n# {L}'}
    assert diff(reference, candidate, "--map", tmp_path / "map.yaml")[0] == 0


def test_a_line_that_was_edited_wrongly_is_refuted_by_the_values(tmp_path):
    reference, candidate = stack(tmp_path)
    write_map(reference, candidate, tmp_path / "map.yaml")
    text = (tmp_path / "map.yaml").read_text()
    (tmp_path / "map.yaml").write_text(text.replace("layers.{L}.up", "layers.{L}.x").replace("layers.{L}.down", "layers.{L}.up").replace("layers.{L}.x", "layers.{L}.down"))
    status, result = diff(reference, candidate, "--map", tmp_path / "map.yaml")
    assert status == 0 and any("the values of up-0 are not those of model.layers.0.down" in hint for hint in result["hints"])
    assert all(p["verdict"] in ("identical", "match") for p in result["pairs"]), "the values count"


def test_where_nothing_was_learned_nothing_is_written(tmp_path):
    a, b = Trace(tmp_path / "a").begin(range(4)), Trace(tmp_path / "b").begin(range(4))
    rng = np.random.default_rng(0)
    for t, name, shape in ((a, "x", (4, 3)), (a, "x2", (4, 3)), (b, "y", (4, 5)), (b, "y2", (4, 5))):
        t.add(name, rng.standard_normal(shape).astype("f4"), [], op="silu")
    done = write_map(a.write(), b.write(), tmp_path / "map.yaml")
    assert done.returncode == 2 and "nothing to write" in done.stderr and not (tmp_path / "map.yaml").exists()


def test_ls_shows_the_names_of_the_reference(tmp_path):
    reference, candidate = stack(tmp_path, ours=lambda layer, what: what, theirs=lambda layer, what: f"model.layers.{layer}.{what}")
    write_map(reference, candidate, tmp_path / "map.yaml")
    done = subprocess.run([LOCKSTEP, "ls", candidate, "--map", tmp_path / "map.yaml", "--json"], capture_output=True, text=True)
    named = {t["name"]: t.get("reference") for t in json.loads(done.stdout)["archives"][0]["tensors"]}
    assert named["embd"] == named["embd#2"] == "embed_tokens" and named["ids"] is None
    for layer in range(LAYERS):
        for pass_ in range(2):
            number = pass_ * LAYERS + layer + 1
            assert named["up" if number == 1 else f"up#{number}"] == f"model.layers.{layer}.up"
        assert named[f"act#{2 * layer + 2}"] == f"model.layers.{layer}.act#2"
    assert "model.layers.2.down" in subprocess.run([LOCKSTEP, "ls", candidate, "--map", tmp_path / "map.yaml"], capture_output=True, text=True).stdout


def test_ls_with_what_is_no_map(tmp_path):
    _, candidate = stack(tmp_path)
    (tmp_path / "x.yaml").write_text("rules: 3")
    for path, words in ((tmp_path / "none", "No such file"), (tmp_path / "x.yaml", "found an unknown key")):
        done = subprocess.run([LOCKSTEP, "ls", candidate, "--map", path], capture_output=True, text=True)
        assert done.returncode == 2 and words in done.stderr
