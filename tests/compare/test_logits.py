"""What a divergence does to the next token, against NumPy."""
import numpy as np
import pytest

from traces import Trace, diff

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


def test_nan_is_no_prediction(tmp_path):
    ids = [1, 2, 3]
    head = HEAD.copy()
    head[:, 0] = np.nan
    ref, cand = run(tmp_path / "r", HEAD, ids)[0], run(tmp_path / "c", head, ids)[0]
    logits = diff(ref, cand)[1]["logits"]
    assert logits["argmax_changed"] == 3 and logits["first_changed"]["candidate"] == -1 and logits["first_changed"]["margin"] == "nan"


def test_other_outputs_are_no_logits(tmp_path):
    ids = [1, 2, 3, 4]
    assert diff(run(tmp_path / "r", HEAD[:WIDTH], ids)[0], run(tmp_path / "c", HEAD[:WIDTH], ids)[0])[1]["logits"] is None
