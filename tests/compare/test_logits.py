"""What a divergence does to the next token, against NumPy."""
import numpy as np
import pytest

from traces import Trace, diff, report

RNG = np.random.default_rng(5)
TOKENS, WIDTH, VOCABULARY = 7, 12, 40
TABLE, HEAD = RNG.standard_normal((VOCABULARY, WIDTH)).astype("f4"), RNG.standard_normal((VOCABULARY, WIDTH)).astype("f4")


def run(path, head, ids, vocabulary=VOCABULARY):
    trace = Trace(path).begin(ids)
    table = trace.add("table", TABLE[:vocabulary], role="weight")
    tokens = trace.add("ids", np.asarray(ids, "i4"), role="input")
    embedded = trace.add("embedded", TABLE[ids], [table, tokens], op="GET_ROWS")
    logits = TABLE[ids] @ head.T
    trace.add("logits", logits, [trace.add("head", head, role="weight"), embedded], op="MUL_MAT")
    return trace.write(), logits


@pytest.mark.parametrize("noise", [0.02, 0.3, 2.0])
def test_most_likely_tokens(tmp_path, noise):
    ids = RNG.integers(0, VOCABULARY, TOKENS).tolist()
    ref, expected = run(tmp_path / "r", HEAD, ids)
    cand, got = run(tmp_path / "c", HEAD + noise * RNG.standard_normal(HEAD.shape).astype("f4"), ids)
    logits = diff(ref, cand)[1]["logits"]
    changed = expected.argmax(1) != got.argmax(1)
    tops = [set(np.argsort(row)[-5:]) for row in expected], [set(np.argsort(row)[-5:]) for row in got]
    assert logits["rows"] == TOKENS and logits["argmax_changed"] == changed.sum() and logits["top5_changed"] == sum(a != b for a, b in zip(*tops))
    margins = np.sort(expected, 1)[:, -1] - np.sort(expected, 1)[:, -2]
    if not changed.all():
        assert np.isclose(logits["closest"], margins[~changed].min(), rtol=1e-6)
    if changed.any():
        row = int(changed.argmax())
        first, a, b = logits["first_changed"], expected[row].argmax(), got[row].argmax()
        assert (first["row"], first["reference"], first["candidate"]) == (row, a, b)
        assert np.isclose(first["margin"], expected[row, a] - expected[row, b]) and np.isclose(first["candidate_margin"], got[row, b] - got[row, a])


def test_where_there_is_nan_no_token_is_the_most_likely(tmp_path):
    ids = [1, 2, 3]
    ref, cand = Trace(tmp_path / "r").begin(ids), Trace(tmp_path / "c").begin(ids)
    for trace, faulty in ((ref, False), (cand, True)):
        head = HEAD.copy()
        logits = TABLE[ids] @ head.T
        if faulty:
            logits[1, 3] = np.nan
        table, tokens = trace.add("table", TABLE, role="weight"), trace.add("ids", np.asarray(ids, "i4"), role="input")
        embedded = trace.add("embedded", TABLE[ids], [table, tokens], op="GET_ROWS")
        trace.add("logits", logits, [trace.add("head", head, role="weight"), embedded], op="MUL_MAT")
    sides = ref.write(), cand.write()
    logits = diff(*sides)[1]["logits"]
    assert (logits["rows"], logits["nan_rows"], logits["argmax_changed"], logits["first_changed"]) == (3, 1, 0, None)
    text = " ".join(report(*sides).split())
    assert "1 of 3 rows hold NaN; in the others, the most likely token is the same in all 2 rows" in text and "greedy" not in text


def test_other_outputs_are_no_logits(tmp_path):
    ids = [1, 2, 3, 4]
    assert diff(run(tmp_path / "r", HEAD[:WIDTH], ids)[0], run(tmp_path / "c", HEAD[:WIDTH], ids)[0])[1]["logits"] is None
