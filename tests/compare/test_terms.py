"""A sum whose terms are not all the reference's: a factor of one of them, or another order of its parts."""
import numpy as np
import pytest

from traces import Trace, diff

RNG = np.random.default_rng(21)
X, TILES = RNG.standard_normal((4, 9, 16)).astype(np.float32), RNG.standard_normal((4, 1, 16)).astype(np.float32)


def compared(tmp_path, ours):
    reference = Trace(tmp_path / "r").begin([1])
    x, tiles = reference.add("x", X, op="custom", layer=0), reference.add("tiles", TILES, op="custom", layer=0)
    at = reference.add("sum", X + TILES, [x, tiles], op="add", layer=0)
    reference.add("out", (X + TILES) ** 2, [at], op="custom", layer=0)
    np.savez(tmp_path / "c.npz", x=X, tiles=TILES, sum=ours.astype(np.float32), out=(ours ** 2).astype(np.float32))
    return diff(reference.write(), tmp_path / "c.npz")


def cause(report):
    assert report["first_divergence"]["candidate"]["name"] == "sum"
    return report["first_divergence"]["causes"][0] if report["first_divergence"]["causes"] else {"rule": None}


@pytest.mark.parametrize("factor", [1.1523, 0.5, -1, 3])
def test_a_factor_of_one_term(tmp_path, factor):
    status, report = compared(tmp_path, X + np.float32(factor) * TILES)
    found = cause(report)
    assert status == 1 and (found["rule"], found["parameters"]["term"]) == ("term-scale", "tiles")
    assert found["parameters"]["factor"] == pytest.approx(factor, rel=1e-5) and found["after"] < 1e-6


@pytest.mark.parametrize("factor", [0, 2])
def test_a_term_that_is_missing_or_there_twice_has_its_own_cause(tmp_path, factor):
    assert cause(compared(tmp_path, X + factor * TILES)[1])["rule"] in ("missing-term", "swapped-with", None)


@pytest.mark.parametrize("order", [(0, 2, 1, 3), (3, 2, 1, 0), (1, 2, 3, 0)])
def test_another_order_of_one_term(tmp_path, order):
    status, report = compared(tmp_path, X + TILES[list(order)])
    found = cause(report)
    first = next(i for i, part in enumerate(order) if part != i)
    assert status == 1 and found["rule"] == "term-order"
    assert {key: found["parameters"][key] for key in ("parts", "part", "from", "term")} == {"parts": 4, "part": first, "from": order[first], "term": "tiles"}


def test_what_is_neither_is_not_taken_for_one(tmp_path):
    noise = RNG.standard_normal(X.shape) * 0.3
    assert cause(compared(tmp_path, X + TILES + noise)[1])["rule"] not in ("term-scale", "term-order")
    twice = TILES[[0, 0, 2, 3]]  # no order: one is there twice
    (tmp_path / "b").mkdir()
    assert cause(compared(tmp_path / "b", X + twice)[1])["rule"] != "term-order"
