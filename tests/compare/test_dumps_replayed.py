"""Replay against folders of tensors without a graph, an order, or names that mean anything."""
import random

import numpy as np
import pytest

from test_replay import LAYERS, TOKENS, candidate, classes, named, reference, weights
from traces import Trace, diff


def values(folder):
    """What the reference computes, by its names for it."""
    kept = {}
    reference(folder, weights(), spoil=lambda name, value: kept.setdefault(name, value.astype("f4")))
    return kept


def dump(folder, tensors, change=lambda value: value, seed=0):
    """In shuffled order. Returns the file that each tensor is in."""
    names = sorted(tensors)
    random.Random(seed).shuffle(names)
    folder.mkdir()
    for i, name in enumerate(names):
        np.save(folder / f"t_{i:03d}.npy", change(tensors[name]))
    return {name: f"t_{i:03d}" for i, name in enumerate(names)}


def only(tensors, *names):
    return {name: tensors[name] for name in names}


def partners(result):
    return {o["name"]: o["reference"] for o in result["replay"]["operations"] if o.get("reference")}


@pytest.mark.parametrize("change", [
    lambda v: v,
    lambda v: v[None],
    lambda v: np.ascontiguousarray(v.T),
    lambda v: np.ascontiguousarray(v.T[None]),
    lambda v: v.astype("f2"),
], ids=["as computed", "with a batch axis", "transposed", "transposed with a batch axis", "half"])
def test_a_folder_in_no_order(tmp_path, change):
    files = dump(tmp_path / "r", values(tmp_path / "trace"), change)
    status, result = diff(tmp_path / "r", candidate(tmp_path / "c", weights()), "--preset", "none")
    assert status == 0 and result["verdict"] == "match" and result["replay"]["counts"]["open"] == 0
    expected = {f"{ours}-{n}": files[f"b.{n}.{theirs}"] for n in range(LAYERS) for ours, theirs in (("nw", "ln"), ("g", "g"), ("u", "u"), ("m", "m"), ("o", "o"))}
    assert expected.items() <= partners(result).items()


def test_only_the_last_row(tmp_path):
    files = dump(tmp_path / "r", values(tmp_path / "trace"), lambda v: v[-1:])
    status, result = diff(tmp_path / "r", candidate(tmp_path / "c", weights()), "--preset", "none")
    assert status == 0 and partners(result)["g-1"] == files["b.1.g"] and partners(result)["x-2"] == files["b.2"]


def test_what_is_behind_the_last_tensor_is_not_comparable(tmp_path):
    kept = only(values(tmp_path / "trace"), "b.0", "b.1.g")
    dump(tmp_path / "r", kept)
    status, result = diff(tmp_path / "r", candidate(tmp_path / "c", weights()), "--preset", "none")
    found = classes(result)
    assert status == 0 and result["verdict"] == "match"
    assert found["x-0"] == found["g-1"] == "found" and found["u-0"] == found["nw-1"] == "covered"
    assert found["u-1"] == found["x-2"] == "beyond"
    assert any("behind the last tensor" in hint for hint in result["hints"])


@pytest.mark.parametrize("change,expected", [
    (lambda w: w.update(gate1=w["gate1"] * np.float32(1.001)), {"g-1"}),
    (lambda w: w.update(up1=w["up1"][::-1].copy()), {"u-1"}),
    (lambda w: w.update(bias2=w["bias2"] + np.float32(0.01)), {"o-2"}),
    (lambda w: (w.update(up0=w["up0"] * np.float32(2)), w.update(down2=w["down2"] * np.float32(-1))), {"u-0", "o-2"}),
], ids=["factor", "rows", "bias", "two"])
def test_a_fault_is_named_alone(tmp_path, change, expected):
    wrong = weights()
    change(wrong)
    dump(tmp_path / "r", values(tmp_path / "trace"))
    status, result = diff(tmp_path / "r", candidate(tmp_path / "c", wrong), "--preset", "none")
    assert status == 1 and result["verdict"] == "diverged" and named(result) == expected


def test_a_fault_without_a_tensor_of_its_own_is_in_the_region(tmp_path):
    wrong = weights()
    wrong["gate1"] = wrong["gate1"] * np.float32(1.5)
    dump(tmp_path / "r", only(values(tmp_path / "trace"), "tok", "b.0", "b.1", "b.2.g", "b.2.u", "b.2"))
    status, result = diff(tmp_path / "r", candidate(tmp_path / "c", wrong), "--preset", "none")
    names = {o["node"]: o["name"] for o in result["replay"]["operations"]}
    at_fault = [o for o in result["replay"]["operations"] if o["origin"]]
    assert status == 1 and [o["name"] for o in at_fault] == ["x-1"]
    assert {"g-1", "m-1", "p-1"} <= {names[n] for n in at_fault[0]["region"] if n in names}


@pytest.mark.parametrize("kept", [("b.1", "b.2.o"), ("b.2",), ("b.0", "b.2.m", "b.2.o")])
def test_a_fault_in_front_of_the_last_tensor_is_no_match(tmp_path, kept):
    wrong = weights()
    wrong["bias2"] = wrong["bias2"] + np.float32(0.01)
    dump(tmp_path / "r", only(values(tmp_path / "trace"), *kept))
    status, result = diff(tmp_path / "r", candidate(tmp_path / "c", wrong), "--preset", "none")
    assert status != 0 and result["verdict"] != "match"


def test_other_files_in_the_folder_change_nothing(tmp_path):
    """Each twice, tensors of another model and of other sizes, weights, integers, zeros, numbers that are none, and nothing at all."""
    rng, kept = np.random.default_rng(1), values(tmp_path / "trace")
    dump(tmp_path / "r", kept)
    others = {"rows": rng.standard_normal((TOKENS, 16)), "odd": rng.standard_normal((5, 7)), "gate": weights()["gate1"], "embed": weights()["embed"], "ids": np.arange(TOKENS),
              "flags": np.ones((TOKENS, 16), bool), "zeros": np.zeros((TOKENS, 16)), "nan": np.full((TOKENS, 16), np.nan), "scalar": np.float32(3), "empty": np.zeros((0, 16))}
    for name, value in {**others, **{f"again {k}": v for k, v in kept.items()}}.items():
        np.save(tmp_path / "r" / f"{name}.npy", value)
    status, result = diff(tmp_path / "r", candidate(tmp_path / "c", weights()), "--preset", "none")
    assert status == 0 and result["replay"]["origins"] == result["replay"]["counts"]["open"] == 0
    wrong = weights()
    wrong["gate1"] = wrong["gate1"] * np.float32(1.5)
    status, result = diff(tmp_path / "r", candidate(tmp_path / "f", wrong), "--preset", "none")
    assert status == 1 and named(result) == {"g-1"}


def test_the_pass_whose_rows_the_tensors_have(tmp_path):
    """The candidate was warmed up with another number of tokens, and went on afterwards."""
    dump(tmp_path / "r", values(tmp_path / "trace"))
    run = Trace(tmp_path / "c")
    for tokens in ([1, 2], range(TOKENS), [7]):
        candidate(tmp_path / "c", weights(), tokens, trace=run)
    status, result = diff(tmp_path / "r", tmp_path / "c", "--preset", "none")
    assert status == 0 and {o["pass"] for o in result["replay"]["operations"]} == {1}
    assert any("2 other passes" in hint for hint in result["hints"])


@pytest.mark.parametrize("damage", [lambda data: b"", lambda data: data[:-5], lambda data: b"x" * 300], ids=["empty", "cut short", "no array"])
def test_a_file_that_cannot_be_read_is_named_and_the_others_are_compared(tmp_path, damage):
    files = dump(tmp_path / "r", values(tmp_path / "trace"))
    broken = tmp_path / "r" / f"{files['b.1.m']}.npy"
    broken.write_bytes(damage(broken.read_bytes()))
    status, result = diff(tmp_path / "r", candidate(tmp_path / "c", weights()), "--preset", "none")
    assert status == 0 and classes(result)["m-1"] == "covered" and classes(result)["x-2"] == "found"
    assert any(broken.name in hint and "was not read" in hint for hint in result["hints"])
