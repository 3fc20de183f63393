"""Batches against single sequences, padding in front and behind, longer prompts: rows that are
the same pair in every tensor, and the rest is said."""
import json
import zlib

import numpy as np
import pytest

from traces import Trace, diff, first_name, report

A, B, LONG = [5, 6, 7, 8], [9, 10, 11, 12], [5, 6, 7, 8, 21, 22]
HEADS, WIDTH = 4, 8  # as many heads as tokens: an axis is not told by its size


def noise(*key, size):
    return np.random.default_rng(zlib.crc32(repr(key).encode())).standard_normal(size)


def row(name, history, size, fault):
    """What a causal model computes for a token depends on what is before it."""
    return noise(name, tuple(history), size=size) + (fault if history and history[-1] == 7 else 0)


def sequence_run(path, batch, padding=None, fault=0.0, flat=False):
    """`batch`: token lists of one length; `padding`: how many rows of each are padding, in front
    (positive) or behind (negative). `flat`: as engines do that have one axis for all rows."""
    count, length = len(batch), len(batch[0])
    padding = padding or [0] * count
    mask = np.ones((count, length), "i8")
    states, heads, scores = (np.zeros(shape, "f4") for shape in ((count, length, WIDTH), (count, HEADS, length, 5), (count, HEADS, length, length)))
    for b, tokens in enumerate(batch):
        pad = padding[b]
        mask[b, :pad if pad > 0 else 0] = 0
        mask[b, length + pad if pad < 0 else length:] = 0
        real = [t for t in range(length) if mask[b, t]]
        for t in range(length):
            history = [tokens[k] for k in real if k <= t] if mask[b, t] else ["padding", b, t]
            states[b, t] = row("state", history, WIDTH, fault)
            heads[b, :, t] = row("heads", history, (HEADS, 5), 0)
            for s in range(length):
                seen = mask[b, s] and s <= t
                scores[b, :, t, s] = row("score", [*history, real.index(s) if mask[b, s] else "p"], HEADS, 0) if seen else -np.inf
    t = Trace(path)
    t.begin([token for tokens in batch for token in tokens], positions=list(range(length)) * count,
            sequences=[b for b in range(count) for _ in range(length)])
    if any(padding):
        t.add("attention_mask", mask, role="input", op="input")
    if flat:
        states = states.reshape(count * length, WIDTH)
    x = t.add("state", states, [], op="Embedding")
    if not flat:
        h = t.add("heads", heads, [x], op="Linear")
        s = t.add("scores", scores, [h], op="softmax")
    t.add("out", states * 2, [x if flat else s], op="Linear")
    return t.write()


RUNS = {
    "one": dict(batch=[A]),
    "two": dict(batch=[A, B]),
    "swap": dict(batch=[B, A]),
    "left": dict(batch=[[0, 0, *A], [*B, 13, 14]], padding=[2, 0]),
    "right": dict(batch=[[*A, 0, 0], [*B, 13, 14]], padding=[-2, 0]),
    "long": dict(batch=[LONG]),
    "three": dict(batch=[B, A, [1, 2, 3, 4]]),
}


@pytest.mark.parametrize("reference", RUNS)
@pytest.mark.parametrize("candidate", RUNS)
def test_shared_rows_agree(tmp_path, reference, candidate):
    status, result = diff(sequence_run(tmp_path / "r", **RUNS[reference]), sequence_run(tmp_path / "c", **RUNS[candidate]))
    assert status == 0 and result["verdict"] == "match", (result["reason"], result["first_divergence"])
    assert {pair["verdict"] for pair in result["pairs"]} <= {"identical", "match"}, "no shape divergence"
    assert result["pairing"]["coverage"] > 0.99


@pytest.mark.parametrize("reference", RUNS)
@pytest.mark.parametrize("candidate", RUNS)
def test_a_fault_in_a_shared_row_is_found(tmp_path, reference, candidate):
    status, result = diff(sequence_run(tmp_path / "r", **RUNS[reference]), sequence_run(tmp_path / "c", **RUNS[candidate], fault=0.5))
    assert status == 1 and first_name(result) == "state"


def test_rows_that_only_one_side_has_are_said(tmp_path):
    text = report(sequence_run(tmp_path / "r", **RUNS["one"]), sequence_run(tmp_path / "c", **RUNS["left"]))
    assert "6 further rows of the candidate left out" in text and "2 rows of padding left out" in text
    assert "positions shifted by padding" in text
    text = report(tmp_path / "c", tmp_path / "r")
    assert "6 rows of the reference are left out: the candidate's batches lack their sequences" in text
    text = report(sequence_run(tmp_path / "l", **RUNS["long"]), tmp_path / "r")
    assert "the candidate ended earlier" in text


def test_one_axis_of_all_rows_against_two(tmp_path):
    status, result = diff(sequence_run(tmp_path / "r", **RUNS["two"]), sequence_run(tmp_path / "c", **RUNS["swap"], flat=True))
    assert status == 0 and result["verdict"] == "match", result["first_divergence"]


def test_other_tokens_are_still_other_inputs(tmp_path):
    status, result = diff(sequence_run(tmp_path / "r", [A]), sequence_run(tmp_path / "c", [[5, 6, 99, 8]]))
    assert status == 1 and result["verdict"] == "inputs-differ"


def test_as_many_rows_that_are_others_are_not_compared(tmp_path):
    """A reference in two passes, and a candidate whose last layer keeps a row of the second."""
    values = np.random.default_rng(3).standard_normal((6, 8)).astype("f4")
    r = Trace(tmp_path / "r")
    for rows in (slice(0, 1), slice(1, 6)):
        positions = range(6)[rows]
        r.begin([10 + p for p in positions], positions=positions)
        x = r.add("x", values[rows], [], op="a")
        r.add("y", 2 * values[rows], [x], op="b")
    c = Trace(tmp_path / "c").begin([10 + p for p in range(6)])
    ids = c.add("out_ids", np.array([5], "i4"), role="input", op="NONE")
    x = c.add("x", values, [], op="a")
    kept = c.add("kept", values[5:], [x, ids], op="GET_ROWS")
    c.add("y", 2 * values[5:], [kept], op="b")
    status, result = diff(r.write(), c.write())
    assert {pair["candidate"]["name"]: pair["verdict"] for pair in result["pairs"]}["y"] == "unaligned"
    assert status == 2 and result["first_divergence"] is None


BOS = [[1, 5, 6, 7], [1, 9, 10, 11]]


@pytest.mark.parametrize("reference, candidate", [(r, c) for r in ([0, 1], [0], [1]) for c in ([0, 1], [1, 0], [0], [1]) if set(r) & set(c)])
def test_sequences_that_begin_alike(tmp_path, reference, candidate):
    status, result = diff(sequence_run(tmp_path / "r", [BOS[i] for i in reference]), sequence_run(tmp_path / "c", [BOS[i] for i in candidate]))
    assert status == 0 and result["pairing"]["coverage"] > 0.99, result["inputs"]


@pytest.mark.parametrize("at", range(4))
def test_other_tokens_in_one_sequence_of_a_batch_are_other_inputs(tmp_path, at):
    other = [99 if i == at else token for i, token in enumerate(B)]
    status, result = diff(sequence_run(tmp_path / "r", [A, B]), sequence_run(tmp_path / "c", [A, other]))
    assert status == 1 and result["verdict"] == "inputs-differ"


def test_a_sequence_twice_does_not_stand_for_another(tmp_path):
    status, result = diff(sequence_run(tmp_path / "r", [BOS[0], BOS[1]]), sequence_run(tmp_path / "c", [BOS[0], BOS[0]]))
    assert status == 1 and result["verdict"] == "inputs-differ"


def test_a_mask_that_is_added_is_no_padding(tmp_path):
    for name, factor in (("r", 1), ("c", -6)):
        t = Trace(tmp_path / name).begin([3, 4, 5])
        t.add("attention_mask", np.zeros((1, 3), "f4"), role="input", op="input")
        t.add("x", factor * noise("x", size=(1, 3, 8)).astype("f4"), [], op="a")
        t.write()
    status, result = diff(tmp_path / "r", tmp_path / "c")
    assert status == 1 and first_name(result) == "x"


@pytest.mark.parametrize("shape", [(8, 8, 16), (1, 8, 8, 16)])
def test_a_fault_does_not_hide_in_the_choice_of_an_axis(tmp_path, shape):
    """As many heads as rows, one of them padding."""
    for name in "rc":
        t = Trace(tmp_path / name).begin([3, 4, 5, 6, 7, 8, 9, 0])
        t.add("attention_mask", np.array([[1, 1, 1, 1, 1, 1, 1, 0]]), role="input", op="input")
        q = noise("q", size=(8, 8, 16))
        if name == "c":
            q[7] *= -1
        t.add("q", q.astype("f4").reshape(shape), [], op="a")
        t.write()
    assert diff(tmp_path / "r", tmp_path / "c")[0] != 0


def test_a_shape_of_another_width_is_a_divergence_in_a_shorter_prompt_too(tmp_path):
    for name, rows, width in (("r", 5, 64), ("c", 4, 48)):
        t = Trace(tmp_path / name).begin(range(1, rows + 1))
        x = t.add("x", np.random.default_rng(1).standard_normal((5, 8)).astype("f4")[:rows], [], op="a")
        t.add("attn", np.random.default_rng(width).standard_normal((rows, width)).astype("f4"), [x], op="b")
        t.write()
    status, result = diff(tmp_path / "r", tmp_path / "c")
    assert status == 1 and first_name(result) == "attn"


def test_passes_of_a_graph_without_positions(tmp_path):
    """An engine's graph with ALiBi has none: a pass continues the one before where the reference has such rows, or begins again."""
    def run(path, told):
        t, history = Trace(path), []
        for tokens in ([5, 6, 7], [8], [8], [5, 6, 7], [9]):
            history = history if len(tokens) == 1 else []
            t.begin(tokens, range(len(history), len(history) + len(tokens)))
            if not told:
                del t.lines[-1]["positions"]
            rows = [history + tokens[:n + 1] for n in range(len(tokens))]
            t.add("state", np.stack([noise("state", tuple(h), size=WIDTH) for h in rows]).astype("f4"), op="add")
            history = rows[-1]
        return t.write()
    status, result = diff(run(tmp_path / "r", True), run(tmp_path / "c", False))
    assert status == 0 and result["totals"]["compared"] == 5 and result["inputs"]["status"] == "equal" and not any("position" in h for h in result["hints"])


@pytest.mark.parametrize("engine,inputs", [("llama.cpp", "equal"), ("mine", "shorter")])
def test_a_graph_that_does_not_name_sequences(tmp_path, engine, inputs):
    """ggml's have only positions: where these begin again, so does a sequence."""
    reference, candidate = sequence_run(tmp_path / "r", [A, LONG[:4], B]), sequence_run(tmp_path / "c", [A, LONG[:4], B], flat=True)
    lines = [json.loads(line) for line in (candidate / "trace.jsonl").read_text().splitlines()]
    lines[0]["engine"] = engine
    for line in lines:
        line.pop("sequences", None)
    (candidate / "trace.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    status, result = diff(reference, candidate)
    assert result["inputs"]["status"] == inputs
    assert engine == "mine" or (status == 0 and result["inputs"]["rows_paired"] == 12)


def test_the_last_rows_of_sequences_that_come_in_several_passes(tmp_path):
    """The reference computes a batch at once; the candidate halves of its sequences, and logits of their last rows alone."""
    hidden = np.stack([np.stack([row("state", tokens[:i + 1], WIDTH, 0) for i in range(4)]) for tokens in (A, B)]).astype("f4")
    r = Trace(tmp_path / "r").begin([*A, *B], list(range(4)) * 2, [0] * 4 + [1] * 4)
    r.add("out", hidden * 2, [r.add("state", hidden, op="linear")], op="linear")
    c = Trace(tmp_path / "c")
    for half in (slice(0, 2), slice(2, 4)):
        c.begin([*A[half], *B[half]], list(range(4)[half]) * 2, [0, 0, 1, 1])
        state = c.add("state", hidden[:, half].reshape(4, WIDTH), op="linear")
    index = c.add("out_ids", np.array([1, 3], "i4"), role="input", op="NONE")
    kept = c.add("kept", hidden[:, 3], [state, index], op="GET_ROWS")
    c.add("out", hidden[:, 3] * 2, [kept], op="linear")
    status, result = diff(r.write(), c.write())
    assert status == 0 and result["verdict"] == "match", (result["reason"], result["first_divergence"])
    assert {p["candidate"]["name"] for p in result["pairs"]} >= {"state", "out"}
