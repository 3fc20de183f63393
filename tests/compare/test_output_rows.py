"""One side computes logits for some rows only: the last ones, or those that its graph selects. NumPy says which."""
import numpy as np
import pytest

from traces import Trace, diff, first_name, report

CHANNELS, VOCABULARY = 16, 40
RNG = np.random.default_rng(5)
EMBEDDING, MIXING, HEAD = (RNG.standard_normal(shape).astype("f4") for shape in ((100, CHANNELS), (CHANNELS, CHANNELS), (CHANNELS, VOCABULARY)))
TOKENS = [5, 17, 25, 33, 8, 61, 2]


def hidden_of(tokens):
    """Causal: a row depends on the rows before it."""
    return (np.cumsum(EMBEDDING[tokens], axis=0) / np.arange(1, len(tokens) + 1)[:, None]).astype("f4") @ MIXING


def model(path, tokens, keep=slice(None), shape=lambda v: v[None], passes=None, spoil=None, selects=False):
    """`keep`: the rows that have logits. `shape`: how arrays are stored. `selects`: the graph says which rows."""
    t, hidden = Trace(path), hidden_of(tokens)
    for part in passes or [range(len(tokens))]:
        t.begin([tokens[i] for i in part], positions=part)
        own, rows = hidden[part.start:part.stop], list(range(part.start, part.stop))[keep]
        body = t.add("hidden", shape(own), op="linear")
        kept = hidden[rows]
        if selects:
            start, stop, step = keep.indices(len(part))
            body = t.add("kept", kept[None], [body], op="slice", role="view", params={"dim": 1, "start": start, "end": stop, "step": step})
        weight = t.add("head.weight", HEAD, role="weight")
        logits = kept @ HEAD
        if spoil is not None:
            logits = spoil(logits)
        t.add("logits", shape(logits), [body, weight], op="linear")
    return t.write()


SHAPES = {"batch axis": lambda v: v[None], "as rows": lambda v: v, "squeezed": lambda v: v[0] if len(v) == 1 else v, "split": lambda v: v.reshape(len(v), 4, -1)}


@pytest.mark.parametrize("kept", [1, 3])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("fewer", ["reference", "candidate"])
def test_the_last_rows_are_compared_with_all(tmp_path, fewer, shape, kept):
    some = {"keep": slice(-kept, None), "shape": SHAPES[shape]}
    r = model(tmp_path / "r", TOKENS, **some if fewer == "reference" else {})
    c = model(tmp_path / "c", TOKENS, **some if fewer == "candidate" else {})
    status, result = diff(r, c)
    if shape == "split":  # heads that only one side has, and fewer rows: nothing says which axis is which
        assert status == 1 and first_name(result) == "logits"
        return
    assert status == 0, result["reason"]
    assert [p["verdict"] for p in result["pairs"]] == ["match" if p["metrics"]["rel_l2"] else "identical" for p in result["pairs"]]
    assert ("row 6 of 7" if kept == 1 else "rows 4-6 of 7") in report(r, c, "--all") + str(result["pairs"])


@pytest.mark.parametrize("selects", [False, True])
@pytest.mark.parametrize("fewer", ["reference", "candidate"])
def test_a_fault_in_the_kept_row_is_found(tmp_path, fewer, selects):
    some = {"keep": slice(-1, None), "selects": selects}
    r = model(tmp_path / "r", TOKENS, **some if fewer == "reference" else {})
    c = model(tmp_path / "c", TOKENS, spoil=lambda v: v + 0.3, **some if fewer == "candidate" else {})
    status, result = diff(r, c)
    assert status == 1 and first_name(result) == "logits" and result["first_divergence"]["verdict"] == "diverged"


def test_a_fault_in_a_row_that_the_reference_lacks_does_not_count(tmp_path):
    def spoil(v):
        v[:-1] += 1
        return v
    assert diff(model(tmp_path / "r", TOKENS, slice(-1, None)), model(tmp_path / "c", TOKENS, spoil=spoil))[0] == 0


@pytest.mark.parametrize("row", [0, 3, 5])
def test_another_row_than_the_last(tmp_path, row):
    """It is a fault, unless the graph shows that this row was selected."""
    c = model(tmp_path / "c", TOKENS)
    keep = slice(row, row + 1)
    assert diff(model(tmp_path / "known", TOKENS, keep, selects=True), c)[0] == 0
    status, result = diff(model(tmp_path / "unknown", TOKENS, keep), c)
    assert status == 1 and first_name(result) == "logits"
    assert diff(c, model(tmp_path / "candidate", TOKENS, keep, selects=True))[0] == 0


def test_every_other_row(tmp_path):
    assert diff(model(tmp_path / "r", TOKENS, slice(0, None, 2), selects=True), model(tmp_path / "c", TOKENS))[0] == 0


@pytest.mark.parametrize("selects", [False, True])
def test_a_longer_prompt(tmp_path, selects):
    longer = [*TOKENS, 44, 3]
    r = model(tmp_path / "r", TOKENS, slice(-1, None), selects=selects)
    assert diff(r, model(tmp_path / "all", longer))[0] == 0
    assert diff(r, model(tmp_path / "bad", longer, spoil=lambda v: 1.1 * v))[0] == 1


def test_two_last_rows_that_are_not_the_same_are_not_compared(tmp_path):
    r = model(tmp_path / "r", TOKENS, slice(-1, None), selects=True)
    status, result = diff(r, model(tmp_path / "c", [*TOKENS, 44, 3], slice(-1, None), selects=True))
    assert status == 2 and result["verdict"] == "incomparable"
    assert [p["verdict"] for p in result["pairs"] if p["candidate"]["name"] == "logits"] == ["unaligned"]


@pytest.mark.parametrize("selects", [False, True])
def test_a_prompt_in_chunks(tmp_path, selects):
    r = model(tmp_path / "r", TOKENS)
    c = model(tmp_path / "c", TOKENS, slice(-1, None), passes=[range(4), range(4, 7)], selects=selects)
    assert diff(r, c)[0] == 0


def batch(path, sequences, kept, shape=lambda v: v, spoil=0):
    t = Trace(path)
    length = len(sequences[0])
    t.begin([i for s in sequences for i in s], list(range(length)) * len(sequences), [n for n in range(len(sequences)) for _ in range(length)])
    hidden = np.stack([hidden_of(s) for s in sequences])
    body = t.add("hidden", hidden, op="linear")
    weight = t.add("head.weight", HEAD, role="weight")
    t.add("logits", shape(hidden[:, length - kept:] @ HEAD + spoil), [body, weight], op="linear")
    return t.write()


@pytest.mark.parametrize("kept", [1, 2])
@pytest.mark.parametrize("sequences", [2, 3, 7])
def test_the_last_rows_of_each_sequence(tmp_path, sequences, kept):
    prompts = [[*TOKENS[n % 7:], *TOKENS[:n % 7]] for n in range(sequences)]
    whole = batch(tmp_path / "whole", prompts, 7)
    for name, shape in {"as it is": lambda v: v, "one row": lambda v: v[:, 0]}.items():
        if kept > 1 and name == "one row":
            continue
        some = batch(tmp_path / name, prompts, kept, shape)
        bad = batch(tmp_path / f"{name} bad", prompts, kept, shape, spoil=0.2)
        assert diff(whole, some)[0] == 0 and diff(some, whole)[0] == 0
        assert diff(whole, bad)[0] == 1 and diff(bad, whole)[0] == 1
