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


SHAPES = {"batch axis": lambda v: v[None], "as rows": lambda v: v, "squeezed": lambda v: v[0] if len(v) == 1 else v}


@pytest.mark.parametrize("selects", [False, True])
@pytest.mark.parametrize("kept", [1, 3])
@pytest.mark.parametrize("shape", SHAPES)
def test_the_candidates_last_rows_are_compared(tmp_path, shape, kept, selects):
    r = model(tmp_path / "r", TOKENS)
    c = model(tmp_path / "c", TOKENS, slice(-kept, None), SHAPES[shape], selects=selects)
    status, result = diff(r, c)
    assert status == 0, result["reason"]
    assert ("row 6 of 7" if kept == 1 else "rows 4-6 of 7") in str(result["pairs"])


@pytest.mark.parametrize("kept", [1, 3])
def test_the_references_rows_are_known_from_its_graph(tmp_path, kept):
    c = model(tmp_path / "c", TOKENS)
    r = model(tmp_path / "r", TOKENS, slice(-kept, None), selects=True)
    assert diff(r, c)[0] == 0 and "the reference computes only some rows of logits" in report(r, c)
    status, result = diff(model(tmp_path / "unknown", TOKENS, slice(-kept, None)), c)
    assert status == 1 and result["first_divergence"]["verdict"] == "shape"


@pytest.mark.parametrize("selects", [False, True])
@pytest.mark.parametrize("fewer", ["reference", "candidate"])
def test_a_fault_in_the_kept_row_is_found(tmp_path, fewer, selects):
    some = {"keep": slice(-1, None), "selects": selects}
    r = model(tmp_path / "r", TOKENS, **some if fewer == "reference" else {})
    c = model(tmp_path / "c", TOKENS, spoil=lambda v: v + 0.3, **some if fewer == "candidate" else {})
    status, result = diff(r, c)
    assert status == 1 and first_name(result) == "logits"


def test_a_fault_in_a_row_that_the_reference_lacks_does_not_count(tmp_path):
    def spoil(v):
        v[:-1] += 1
        return v
    assert diff(model(tmp_path / "r", TOKENS, slice(-1, None), selects=True), model(tmp_path / "c", TOKENS, spoil=spoil))[0] == 0


@pytest.mark.parametrize("selects", [False, True])
@pytest.mark.parametrize("row", [0, 3, 5])
def test_another_row_than_the_last_is_a_fault_of_the_candidate(tmp_path, row, selects):
    """A reference may choose its rows; a candidate whose code chooses others is wrong."""
    keep = slice(row, row + 1)
    assert diff(model(tmp_path / "known", TOKENS, keep, selects=True), model(tmp_path / "all", TOKENS))[0] == 0
    status, result = diff(model(tmp_path / "r", TOKENS), model(tmp_path / "c", TOKENS, keep, selects=selects))
    assert status == 1 and first_name(result) in ("logits", "kept")
    last = model(tmp_path / "last", TOKENS, slice(-1, None), selects=True)
    assert diff(last, model(tmp_path / "other", TOKENS, keep, selects=selects))[0] != 0


def test_every_other_row(tmp_path):
    assert diff(model(tmp_path / "r", TOKENS, slice(0, None, 2), selects=True), model(tmp_path / "c", TOKENS))[0] == 0


def test_a_longer_prompt(tmp_path):
    longer = [*TOKENS, 44, 3]
    r = model(tmp_path / "r", TOKENS, slice(-1, None), selects=True)
    assert diff(r, model(tmp_path / "all", longer))[0] == 0
    assert diff(r, model(tmp_path / "bad", longer, spoil=lambda v: 1.1 * v))[0] == 1


def test_two_last_rows_that_are_not_the_same_are_not_compared(tmp_path):
    r = model(tmp_path / "r", TOKENS, slice(-1, None), selects=True)
    status, result = diff(r, model(tmp_path / "c", [*TOKENS, 44, 3], slice(-1, None), selects=True))
    assert status == 2 and result["verdict"] == "incomparable"
    assert [p["verdict"] for p in result["pairs"] if p["candidate"]["name"] == "logits"] == ["unaligned"]


def test_what_has_no_rows_is_compared_beside_selected_rows(tmp_path):
    def with_slopes(path, tokens, wrong=0):
        t = Trace(path).begin(tokens)
        body = t.add("hidden", hidden_of(tokens)[None], op="linear")
        t.add("slopes", np.arange(12, dtype="f4") + wrong, op="constant")
        kept = t.add("kept", hidden_of(tokens)[None, -1:], [body], op="slice", role="view", params={"dim": 1, "start": -1, "end": 2**62})
        t.add("logits", hidden_of(tokens)[None, -1:] @ HEAD, [kept, t.add("head.weight", HEAD, role="weight")], op="linear")
        return t.write()
    r = with_slopes(tmp_path / "r", TOKENS)
    assert diff(r, with_slopes(tmp_path / "good", [*TOKENS, 44, 3]), "--tensors", "slopes|hidden")[0] == 0
    status, result = diff(r, with_slopes(tmp_path / "bad", [*TOKENS, 44, 3], 1), "--tensors", "slopes|hidden")
    assert status == 1 and first_name(result) == "slopes"


@pytest.mark.parametrize("selects", [False, True])
def test_a_prompt_in_chunks(tmp_path, selects):
    r = model(tmp_path / "r", TOKENS)
    c = model(tmp_path / "c", TOKENS, slice(-1, None), passes=[range(4), range(4, 7)], selects=selects)
    assert diff(r, c)[0] == 0


@pytest.mark.parametrize("first", [1, 2])
def test_chunks_of_the_reference_that_were_not_compared_are_not_covered(tmp_path, first):
    r = model(tmp_path / "r", TOKENS, passes=[range(first), range(first, 7)])
    status, result = diff(r, model(tmp_path / "c", TOKENS), "--tensors", "hidden")
    assert status == 2 and result["pairing"]["coverage"] == pytest.approx(first / 7)


def batch(path, sequences, kept, shape=lambda v: v, spoil=0, selects=False):
    t = Trace(path)
    length = len(sequences[0])
    t.begin([i for s in sequences for i in s], list(range(length)) * len(sequences), [n for n in range(len(sequences)) for _ in range(length)])
    hidden = np.stack([hidden_of(s) for s in sequences])
    body = t.add("hidden", hidden, op="linear")
    if selects:
        body = t.add("kept", hidden[:, length - kept:], [body], op="slice", role="view", params={"dim": 1, "start": -kept, "end": 2**62})
    weight = t.add("head.weight", HEAD, role="weight")
    t.add("logits", shape(hidden[:, length - kept:] @ HEAD + spoil), [body, weight], op="linear")
    return t.write()


@pytest.mark.parametrize("selects", [False, True])
@pytest.mark.parametrize("kept", [1, 2])
@pytest.mark.parametrize("sequences", [2, 3, 7])
def test_the_last_rows_of_each_sequence(tmp_path, sequences, kept, selects):
    prompts = [[*TOKENS[n % 7:], *TOKENS[:n % 7]] for n in range(sequences)]
    whole = batch(tmp_path / "whole", prompts, 7)
    for name, shape in {"as it is": lambda v: v, "one row": lambda v: v[:, 0]}.items():
        if kept > 1 and name == "one row":
            continue
        some = batch(tmp_path / name, prompts, kept, shape, selects=selects)
        bad = batch(tmp_path / f"{name} bad", prompts, kept, shape, spoil=0.2, selects=selects)
        assert diff(whole, some)[0] == 0 and diff(some, whole)[0] == (0 if selects else 1)
        assert diff(whole, bad)[0] == 1 and diff(bad, whole)[0] == 1


# ---------------------------------------------------------------- what may not be taken for rows

def outputs(path, values, sequences=1):
    t = Trace(path).begin(TOKENS * sequences, list(range(7)) * sequences, [n for n in range(sequences) for _ in range(7)])
    body = t.add("hidden", np.stack([hidden_of(TOKENS)] * sequences), op="linear")
    t.add("logits", values, [body], op="linear")
    return t.write()


CODEBOOKS, LABELS, COPIES = (RNG.standard_normal(shape).astype("f4") for shape in ((2, 7, 7, 40), (1, 7, 7), (1, 7, 40)))
NO_ROWS = {
    "one of as many codebooks as rows": (CODEBOOKS[:1], CODEBOOKS[:1, -1:], 1),
    "one of as many labels as rows": (LABELS, LABELS[:, :, -1:], 1),
    "as many copies as rows": (COPIES, np.concatenate([np.repeat(COPIES[None] + 1, 6, 0), COPIES[None]]), 1),
    "as many heads as rows, and the reference has one": (CODEBOOKS[:1, -1:], CODEBOOKS[:1], 1),
    "one of the codebooks of a batch": (CODEBOOKS, CODEBOOKS[:, -1:], 2),
}


@pytest.mark.parametrize("name", NO_ROWS)
def test_other_axes_of_that_size_are_no_rows(tmp_path, name):
    reference, candidate, sequences = NO_ROWS[name]
    status, result = diff(outputs(tmp_path / "r", reference, sequences), outputs(tmp_path / "c", candidate, sequences))
    assert status == 1 and first_name(result) == "logits" and result["first_divergence"]["verdict"] == "shape"


def experts(path, rows, keep, chosen=(3,)):
    """An expert gets some rows; the logits don't come from those."""
    t, hidden = Trace(path).begin(TOKENS), hidden_of(TOKENS)
    body = t.add("hidden", hidden[None], op="linear")
    index = t.add("chosen", np.array(chosen, "i8"), [body], op="where")
    own = t.add("expert.in", hidden[list(chosen)], [body, index], op="index")
    t.add("expert.out", hidden[list(chosen)] @ MIXING, [own], op="linear")
    t.add("logits", hidden[None, rows] @ HEAD if keep else hidden[None] @ HEAD, [body, t.add("head.weight", HEAD, role="weight")], op="linear")
    return t.write()


def test_rows_of_experts_are_not_those_of_the_logits(tmp_path):
    r = experts(tmp_path / "r", [], False)
    assert diff(r, experts(tmp_path / "last", [6], True))[0] == 0
    status, result = diff(r, experts(tmp_path / "other", [3], True))
    assert status == 1 and first_name(result) == "logits"
    r = experts(tmp_path / "three", [], False, (0, 1, 2))
    assert diff(r, experts(tmp_path / "c", [4, 5, 6], True, (0, 1, 2)))[0] == 0
    assert diff(r, experts(tmp_path / "d", [0, 1, 2], True, (0, 1, 2)))[0] == 1


def test_rows_of_selected_rows(tmp_path):
    """ggml gathers output rows, and of those the ones for a classifier."""
    t, hidden, wanted = Trace(tmp_path / "c").begin(TOKENS), hidden_of(TOKENS), np.array([2, 5, 6], "i4")
    body = t.add("hidden", hidden, op="linear")
    kept = t.add("kept", hidden[wanted], [body, t.add("out_ids", wanted, op="NONE", role="input")], op="GET_ROWS")
    logits = t.add("logits", hidden[wanted] @ HEAD, [kept, t.add("head.weight", HEAD, role="weight")], op="MUL_MAT")
    t.add("pooled", (hidden[wanted] @ HEAD)[:1], [logits, t.add("cls", np.array([0], "i4"), op="NONE", role="input")], op="GET_ROWS")
    status, result = diff(model(tmp_path / "r", TOKENS), t.write())
    assert status == 0 and "3 of 7 rows" in str(result["pairs"])


@pytest.mark.parametrize("index", [[2**40], [-8], [7], [np.iinfo("i8").min], []])
def test_an_index_out_of_range(tmp_path, index):
    t, hidden = Trace(tmp_path / "c").begin(TOKENS), hidden_of(TOKENS)
    body = t.add("hidden", hidden[None], op="linear")
    kept = t.add("kept", hidden[[6] * len(index)], [body, t.add("index", np.array(index, "i8"), [body], op="where")], op="index")
    t.add("logits", hidden[None, [0]] @ HEAD, [kept, t.add("head.weight", HEAD, role="weight")], op="linear")
    assert diff(model(tmp_path / "r", TOKENS), t.write())[0] == 1


def test_an_index_that_is_lost_costs_its_own_pair_only(tmp_path):
    c = experts(tmp_path / "c", [6], True)
    (c / "tensors/1.npy").unlink()
    status, result = diff(experts(tmp_path / "r", [], False), c)
    assert status == 2 and "could not be read" in result["reason"] and len(result["pairs"]) == 5


@pytest.mark.parametrize("shape", [(), (7,), (7, 16), (1, 7, 16), (1, 1, 7, 16), (0, 16)])
@pytest.mark.parametrize("params", [{"dim": -2}, {"dim": -1}, {"dim": 2**62}, {"dim": -2**62, "start": 1}, {"dim": 0, "index": 2**62}, {"dim": 0, "index": -2**62},
                                    {"dim": 1, "start": -2**62, "end": 2**62, "step": 2**62}, {"dim": 1, "start": 1, "length": 2**62}, {"dim": -2, "start": 6, "step": 0}])
def test_slices_of_any_shape_and_parameters(tmp_path, shape, params):
    t = Trace(tmp_path / "c").begin(TOKENS)
    body = t.add("hidden", np.zeros(shape, "f4"), op="linear")
    t.add("kept", np.zeros((1, 16), "f4"), [body], op="slice", role="view", params=params)
    assert diff(model(tmp_path / "r", TOKENS), t.write())[0] in (1, 2)
