"""Confusions of people who brought up a vision model by hand, each as the smallest runs that show it, and the one command whose output states
the answer. Those about files are in tests/checkpoints/test_casebook.py, those about pictures in tests/vision."""
import json
import subprocess

import numpy as np
import pytest

from traces import LOCKSTEP, Trace, diff

RNG = np.random.default_rng(16)
TOKENS = [5, 1, 3]
TABLE = RNG.standard_normal((8, 16)).astype(np.float32)
FIRST, SECOND = (RNG.standard_normal((2, 16, 16)) / 4).astype(np.float32)


def text_of(reference, candidate, *options):
    return " ".join(subprocess.run([LOCKSTEP, "diff", str(reference), str(candidate), *options], capture_output=True, text=True, timeout=120).stdout.split())


def run_of(path, embedded=None, hidden=None, table=TABLE):
    """Rows of a table and two products. `embedded`, `hidden`: what was recorded instead of what was computed, which later operations read."""
    trace = Trace(path).begin(TOKENS)
    x = table[TOKENS]
    ids, weight = trace.add("tokens", np.array(TOKENS, np.int32), role="input"), trace.add("token_embd.weight", table, role="weight")
    at = trace.add("embd", x if embedded is None else embedded, [weight, ids], op="GET_ROWS")
    h = x @ FIRST.T
    at = trace.add("hidden", h if hidden is None else hidden, [trace.add("first.weight", FIRST, role="weight"), at], op="MUL_MAT", layer=0)
    trace.add("out", h @ SECOND.T, [trace.add("second.weight", SECOND, role="weight"), at], op="MUL_MAT", layer=1)
    return trace.write()


def verify(trace):
    done = subprocess.run([LOCKSTEP, "verify", str(trace), "--json", "-"], capture_output=True, text=True, timeout=120)
    return done.returncode, json.loads(done.stdout)


def wrong(report):
    return {each["name"]: each["verdict"] for each in report["operations"] if each["verdict"] not in ("agrees", "unchecked")}


def test_a_tensor_that_is_read_before_it_was_computed(tmp_path):
    """Row 16: zeros where nothing had been written yet, although what follows was computed from the right values."""
    status, report = verify(run_of(tmp_path / "c", hidden=np.zeros((3, 16), np.float32)))
    assert status == 1 and wrong(report) == {"hidden": "dump-error"}
    _, report = diff(run_of(tmp_path / "r"), tmp_path / "c")
    summaries = {cause["rule"]: cause["summary"] for cause in report["first_divergence"]["causes"]}
    assert report["first_divergence"]["candidate"]["name"] == "hidden" and "what was recorded is not what was computed" in summaries["kernel"]


def test_a_buffer_that_was_reused_before_it_was_read(tmp_path):
    """Row 17: what is printed for the rows of the embeddings is none of the file's rows, and changes between prints."""
    status, report = verify(run_of(tmp_path / "c", embedded=RNG.standard_normal((3, 16)).astype(np.float32) * 12))
    assert status == 1 and wrong(report) == {"embd": "dump-error"}


TILES = RNG.standard_normal((1, 1, 4, 3, 8, 8)).astype(np.float32)


def archives(tmp_path, change):
    other = TILES.copy()
    change(other)
    np.savez(tmp_path / "r.npz", pixel_values=TILES)
    np.savez(tmp_path / "c.npz", pixel_values=other)
    return tmp_path / "r.npz", tmp_path / "c.npz"


def test_more_than_one_pixel_differs(tmp_path):
    """Row 20: the first ten are equal, and `cmp` shows only the first difference, which was taken for the only one."""
    def change(pixels):
        pixels[0, 0, 1, 2, 3, 4:7] += 1
        pixels[0, 0, 3, 0, 0, 0] -= 2
    sides = archives(tmp_path, change)
    status, report = diff(*sides)
    metrics = report["first_divergence"]["metrics"] if report["first_divergence"] else report["pairs"][0]["metrics"]
    assert status == 1 and metrics["max_abs"] == pytest.approx(2, rel=1e-6)
    assert "4 of 768 elements beyond" in text_of(*sides, "--atol", "1e-5", "--rtol", "1e-5")


def test_tiles_beyond_the_first_are_compared(tmp_path):
    """Row 21: of each tensor, people looked at the first ten elements of the first tile."""
    def change(pixels):
        pixels[0, 0, 2] *= 1.01
    status, report = diff(*archives(tmp_path, change))
    pair = report["first_divergence"] or report["pairs"][0]
    assert status == 1
    assert {"axis": 2, "failing": 1, "of": 4, "first": 2, "last": 2} in pair["axes"]


CROSS = RNG.standard_normal((16, 16)).astype(np.float32) / 4


def decode(path, crosses):
    """Three layers, of which the second looks at the picture; a prompt, then a token. crosses: in which passes it is run."""
    trace = Trace(path)
    weights = [trace.add(f"layers.{i}.weight", w, role="weight") for i, w in enumerate((FIRST, CROSS, SECOND))]
    for number, tokens in enumerate(([5, 1, 3], [2])):
        trace.begin(tokens, positions=[0, 1, 2] if number == 0 else [3])
        x = TABLE[tokens]
        at = trace.add("x", x, role="input")
        for layer, w in enumerate((FIRST, CROSS, SECOND)):
            if layer == 1 and not crosses[number]:
                continue
            x = x @ w.T
            at = trace.add(f"layers.{layer}.out", x, [weights[layer], at], op="MUL_MAT", layer=layer)
    return trace.write()


def test_layers_that_are_left_out_of_decoding(tmp_path):
    """Row 22: the encoder's output is the same, and answers vary: the layers that look at the picture aren't run for later tokens."""
    sides = decode(tmp_path / "r", (True, True)), decode(tmp_path / "c", (True, False))
    status, report = diff(*sides)
    assert status == 1
    assert "the candidate runs nothing of layer 1 in 1 pass in which the reference does, though it does in others: 1 operations were left out, the first layers.1.out" in " ".join(report["hints"])
    assert "runs nothing of layer" not in text_of(sides[0], decode(tmp_path / "same", (True, True)))


def test_two_runs_of_one_engine(tmp_path):
    """Row 23: an answer changes from run to run, or with the device: the first operation that isn't the same is named, and the rest follows from it."""
    status, report = diff(run_of(tmp_path / "a"), run_of(tmp_path / "b"))
    assert status == 0 and report["verdict"] == "match" and {pair["verdict"] for pair in report["pairs"]} == {"identical"}
    table = TABLE.copy()
    table[3] += RNG.standard_normal(16).astype(np.float32)  # what nobody has set is different each time
    status, report = diff(tmp_path / "a", run_of(tmp_path / "c", table=table))
    assert status == 1 and report["first_divergence"]["candidate"]["name"] == "embd"


def test_identical_up_to_here(tmp_path):
    """Row 25: a hash showed that the embeddings are the same: look behind them."""
    reference = run_of(tmp_path / "r")
    candidate = Trace(tmp_path / "c").begin(TOKENS)
    x = TABLE[TOKENS]
    ids, weight = candidate.add("tokens", np.array(TOKENS, np.int32), role="input"), candidate.add("token_embd.weight", TABLE, role="weight")
    at = candidate.add("embd", x, [weight, ids], op="GET_ROWS")
    h = (x @ FIRST.T) * np.float32(1.5)
    at = candidate.add("hidden", h, [candidate.add("first.weight", FIRST, role="weight"), at], op="MUL_MAT", layer=0)
    candidate.add("out", h @ SECOND.T, [candidate.add("second.weight", SECOND, role="weight"), at], op="MUL_MAT", layer=1)
    text = text_of(reference, candidate.write())
    assert text.split("first divergence: ")[1].startswith("hidden (MUL_MAT)"), text
    assert "embd (GET_ROWS)" in text.split("its inputs match: ")[1][:40] and "identical" in text, text
