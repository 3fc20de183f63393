"""Random layouts against NumPy: whatever NumPy transposes, reshapes or selects, its values are found equal, and one
element that is changed is found. What the metrics have to be follows from that one element.
"""
import math

import numpy as np
import pytest

from traces import Trace, diff, first_name, verdicts

SEEDS = range(24)
CHANGE = 0.5


def sizes(random, count, least=2, most=9):
    """Different sizes of `count` axes."""
    return [int(size) for size in random.permutation(np.arange(least, most))[:count]]


def permuted(random, tokens):
    """(reference, candidate): axes in another order, axes of 1 put in."""
    shape = [tokens, *(size for size in sizes(random, 4) if size != tokens)][:int(random.integers(2, 5))]
    reference = random.standard_normal(shape).astype("f4")
    order = random.permutation(len(shape))
    candidate = reference.transpose(order)
    for _ in range(random.integers(0, 2)):
        candidate = np.expand_dims(candidate, int(random.integers(0, candidate.ndim + 1)))
    return reference, candidate


def split(random, tokens):
    """Heads are an axis of their own on one side, and moved in front of the tokens or not."""
    heads, size = [each for each in sizes(random, 4, 3, 12) if each != tokens][:2]
    reference = random.standard_normal((tokens, heads * size)).astype("f4")
    candidate = reference.reshape(tokens, heads, size)
    return reference, candidate if random.integers(2) else candidate.transpose(1, 0, 2)


def merged(random, tokens):
    reference, candidate = split(random, tokens)
    return candidate, reference


KINDS = {"permuted": permuted, "split": split, "merged": merged}


def write(path, tokens, value):
    """A run: the tensor and, computed from it, an output that is the same on both sides."""
    trace = Trace(path).begin(range(100, 100 + tokens))
    source = trace.add("x", np.ascontiguousarray(value), op="Linear")
    trace.add("out", np.random.default_rng(0).standard_normal((tokens, 16)).astype("f4"), [source], op="Linear")
    return trace.write()


def changed(random, value):
    """One element is another one: by far more than rounding explains, and less than other layouts would differ by."""
    value = np.array(value)
    value[tuple(int(random.integers(size)) for size in value.shape)] += CHANGE
    return value


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", SEEDS)
def test_equal_values_are_found_equal(tmp_path, kind, seed):
    random = np.random.default_rng(seed)
    tokens = int(random.integers(2, 9))
    reference, candidate = KINDS[kind](random, tokens)
    status, result = diff(write(tmp_path / "r", tokens, reference), write(tmp_path / "c", tokens, candidate))
    assert verdicts(result)["x"] == "identical", (reference.shape, candidate.shape, result["pairs"][0])
    assert status == 0 and result["pairing"]["coverage"] == 1


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", SEEDS)
def test_one_element_that_is_changed_is_found(tmp_path, kind, seed):
    random = np.random.default_rng(seed)
    tokens = int(random.integers(2, 9))
    reference, candidate = KINDS[kind](random, tokens)
    candidate = changed(random, candidate)
    _, result = diff(write(tmp_path / "r", tokens, reference), write(tmp_path / "c", tokens, candidate), "--atol", "1e-3", "--rtol", "0")
    pair = next(pair for pair in result["pairs"] if pair["candidate"]["name"] == "x")
    assert first_name(result) == "x" and pair["verdict"] == "diverged"
    assert math.isclose(pair["metrics"]["max_abs"], CHANGE, rel_tol=1e-5)
    assert math.isclose(pair["metrics"]["rmse"], CHANGE / math.sqrt(reference.size), rel_tol=1e-5), "one element, and no other"


@pytest.mark.parametrize("seed", SEEDS)
def test_rows_that_only_some_passes_have(tmp_path, seed):
    """The candidate has a part of the prompt in its pass, and each row of it is the reference's."""
    random = np.random.default_rng(seed)
    tokens, width = int(random.integers(4, 12)), int(random.integers(13, 20))
    first = int(random.integers(1, tokens - 1))
    values = random.standard_normal((tokens, width)).astype("f4")
    prompt = [int(token) for token in random.integers(1, 1000, tokens)]
    reference = Trace(tmp_path / "r").begin(prompt)
    reference.add("x", values, op="Linear")
    for name, fault in (("c", False), ("f", True)):
        candidate = Trace(tmp_path / name)
        for begin, end in ((0, first), (first, tokens)):
            part = values[begin:end]
            candidate.begin(prompt[begin:end], positions=range(begin, end))
            candidate.add("x", changed(random, part) if fault and begin > 0 else part, op="Linear")
        candidate.write()
    reference.write()
    status, result = diff(tmp_path / "r", tmp_path / "c")
    assert status == 0 and {pair["verdict"] for pair in result["pairs"]} == {"identical"} and len(result["pairs"]) == 2
    status, result = diff(tmp_path / "r", tmp_path / "f", "--atol", "1e-3", "--rtol", "0")
    assert status == 1 and [pair["verdict"] for pair in result["pairs"]] == ["identical", "diverged"]
