"""What is done differently at an operation is found by doing it: the parameter, the mask, the positions or the gate with which it gives the reference's values."""
import json
import os
import re
import subprocess

import numpy as np
import pytest

from traces import LOCKSTEP, Trace, diff

TOKENS, HEADS, WIDTH = 12, 3, 16
RNG = np.random.default_rng(11)
X = RNG.standard_normal((TOKENS, HEADS, WIDTH))
SCORES = 2 * RNG.standard_normal((HEADS, TOKENS, TOKENS))
WEIGHT = RNG.standard_normal((20, HEADS * WIDTH)) / 4
OVER_KEYS = RNG.standard_normal((20, TOKENS)) / 3
GATE, UP = RNG.standard_normal((2, TOKENS, HEADS * WIDTH))


def rotated(x, positions, base=10000.0, factor=1.0, dims=WIDTH):
    """Halves, as NEOX rotates them."""
    angles = factor * np.asarray(positions)[:, None, None] * base ** (-np.arange(0, dims, 2) / dims)
    a, b, rest = x[..., :dims // 2], x[..., dims // 2:dims], x[..., dims:]
    return np.concatenate([a * np.cos(angles) - b * np.sin(angles), a * np.sin(angles) + b * np.cos(angles), rest], -1)


def mask(window=TOKENS, causal=True):
    rows, columns = np.mgrid[:TOKENS, :TOKENS]
    return np.where((columns <= rows if causal else True) & (columns > rows - window), 0, -np.inf)


def softmax(allowed, scale=0.25):
    weights = np.exp(SCORES * scale + allowed)
    return weights / weights.sum(-1, keepdims=True)


def silu(x):
    return x / (1 + np.exp(-x))


FUSED = []  # not empty: the reference has no tensor for the operation, but one for the product after it


def compare(tmp_path, op, ours, theirs, operands, params, weight, *options):
    """One operation of the candidate on inputs, and a product after it; `theirs` is what the reference has."""
    ref, cand = Trace(tmp_path / "r").begin(range(TOKENS)), Trace(tmp_path / "c").begin(range(TOKENS))
    f4 = lambda value: np.ascontiguousarray(value).astype("i4" if value.dtype.kind == "i" else "f4")
    sources = [cand.add(name, f4(value), role="input") for name, value in operands.items()]
    for name, value in operands.items():
        ref.add(name, f4(value), role="input")
    at = cand.add("x", f4(ours), sources, op=op, layer=0, params=params)
    there = 0 if FUSED else ref.add("y", f4(theirs), [0], op="custom", layer=0)
    flat = lambda value: value.reshape(-1, weight.shape[1])
    view = cand.add("x (reshaped)", None, [at], op="RESHAPE", role="view", layer=0, shape=list(flat(ours).shape), dtype="f32", view_of=at)
    cand.add("out", f4(flat(ours) @ weight.T), [cand.add("w", f4(weight), role="weight"), view], op="MUL_MAT", layer=0)
    ref.add("out", f4(flat(theirs) @ weight.T), [there], op="linear", layer=0)
    return diff(ref.write(), cand.write(), "--preset", "none", *options)


def rope(tmp_path, theirs, **params):
    positions = np.arange(TOKENS, dtype="i4")
    given = {"n_dims": WIDTH, "mode": 2, "freq_base": 10000.0, "freq_scale": 1.0, "attn_factor": 1.0, **params}
    ours = rotated(X, positions, given["freq_base"], given["freq_scale"], given["n_dims"])
    return compare(tmp_path, "ROPE", ours, theirs(positions), {"q": X, "positions": positions}, given, WEIGHT)


def attention(tmp_path, theirs, own=mask(), scale=0.25):
    return compare(tmp_path, "SOFT_MAX", softmax(own, scale), theirs, {"kq": SCORES, "mask": own}, {"scale": scale}, OVER_KEYS)


def gate(tmp_path, theirs):
    return compare(tmp_path, "SWIGLU", silu(GATE) * UP, theirs, {"gate": GATE, "up": UP}, {}, WEIGHT)


PICTURE = RNG.standard_normal((3, 8, 8))
GRID, POSITIONS = RNG.standard_normal((2, 9, 16))  # the pixels of 3 x 3 in a row


def padded(before, after):
    return np.pad(PICTURE, ((0, 0), (before, after), (before, after)))


def windows(before):
    """Of 3 x 3, each second one, from `before` zeros in front: [windows down, windows across, channels * rows * columns]."""
    room = np.pad(PICTURE, ((0, 0), (before, 3), (before, 3)))
    seen = np.lib.stride_tricks.sliding_window_view(room, (3, 3), (1, 2))[:, ::2, ::2][:, :4, :4]
    return seen.transpose(1, 2, 0, 3, 4).reshape(1, 4, 4, 27)


def picture(tmp_path, op, ours, theirs, params, given={"picture": PICTURE}):
    return compare(tmp_path, op, ours, theirs, given, params, RNG.standard_normal((20, ours.size)) / 10)


def pad(tmp_path, theirs):
    params = {"before_0": 0, "after_0": 1, "before_1": 0, "after_1": 1, "before_2": 0, "after_2": 0, "before_3": 0, "after_3": 0, "circular": 0}
    return picture(tmp_path, "PAD", padded(0, 1), theirs, params)


def convolve(tmp_path, theirs, padding=1):
    params = {"stride_0": 2, "stride_1": 2, "padding_0": padding, "padding_1": padding, "dilation_0": 1, "dilation_1": 1, "is_2d": 1}
    return picture(tmp_path, "IM2COL", windows(padding), theirs, params, {"kernel": RNG.standard_normal((4, 3, 3, 3)), "picture": PICTURE[None]})


def pool(tmp_path, theirs):
    parts = PICTURE.reshape(3, 4, 2, 4, 2)
    params = {"kind": 1, "kernel_0": 2, "kernel_1": 2, "stride_0": 2, "stride_1": 2, "padding_0": 0, "padding_1": 0}
    return picture(tmp_path, "POOL_2D", parts.mean((2, 4)), theirs(parts), params)


def scores(tmp_path, axis):
    def probabilities(along):
        raised = np.exp(SCORES * 0.25)
        return raised / raised.sum(along, keepdims=True)
    return compare(tmp_path, "SOFT_MAX", probabilities(-1), probabilities(axis), {"kq": SCORES}, {"scale": 0.25}, OVER_KEYS)


def add_positions(tmp_path, rows):
    return picture(tmp_path, "ADD", GRID + POSITIONS, rows + POSITIONS, {}, {"x": GRID, "positions": POSITIONS})


EXPERIMENTS = {
    "scaled frequencies": (lambda t: rope(t, lambda p: rotated(X, p, factor=0.25)), "rope-factors", "freq_scale 0.25 instead of 1"),
    "no scaling": (lambda t: rope(t, lambda p: rotated(X, p), freq_scale=0.125), "rope-factors", "freq_scale 1 instead of 0.125"),
    "half of the dimensions": (lambda t: rope(t, lambda p: rotated(X, p, dims=8)), "rope-dims", "n_dims 8 instead of 16"),
    "all dimensions": (lambda t: rope(t, lambda p: rotated(X, p), n_dims=4), "rope-dims", "n_dims 16 instead of 4"),
    "positions from 1": (lambda t: rope(t, lambda p: rotated(X, p + 1)), "row-shift", "positions that are 1 higher"),
    "positions from -2": (lambda t: rope(t, lambda p: rotated(X, p - 2)), "row-shift", "positions that are 2 lower"),
    "a window": (lambda t: attention(t, softmax(mask(5))), "window-size", "a window of 5 positions"),
    "another window": (lambda t: attention(t, softmax(mask(3)), mask(7)), "window-size", "a window of 3 positions"),
    "a window that begins one later": (lambda t: attention(t, softmax(mask(5)), mask(6)), "window", "a window that is one position shorter"),
    "no window": (lambda t: attention(t, softmax(mask()), mask(4)), "mask", "no window"),
    "not causal": (lambda t: attention(t, softmax(mask(causal=False))), "mask", "every token seen by every other"),
    "causal": (lambda t: attention(t, softmax(mask()), mask(causal=False)), "mask", "a causal mask"),
    "scores without a scale": (lambda t: attention(t, softmax(mask(), 1)), "softmax-scale", "scale 1 instead of 0.25"),
    "the scale of other heads": (lambda t: attention(t, softmax(mask(), 128 ** -0.5)), "softmax-scale", "scale 0.08838835 instead of 0.25"),
    "padding on the other side": (lambda t: pad(t, padded(1, 0)), "conv-padding", "1 before and 0 after padded instead of 0 and 1"),
    "windows that begin at the edge": (lambda t: convolve(t, windows(0)), "conv-padding", "0 before padded instead of 1"),
    "windows that begin before the edge": (lambda t: convolve(t, windows(1), 0), "conv-padding", "1 before padded instead of 0"),
    "pooling of the largest": (lambda t: pool(t, lambda parts: parts.max((2, 4))), "pool-kind", "the largest instead of the average"),
    "sums over the queries": (lambda t: scores(t, -2), "softmax-axis", "the sums over the rows instead of the columns of the scores"),
    "rows and columns swapped": (lambda t: add_positions(t, GRID.reshape(3, 3, 16).swapaxes(0, 1).reshape(9, 16)), "axes-swapped", "rows and columns (3 x 3) of operand 0 swapped"),
    "gate and up swapped": (lambda t: gate(t, GATE * silu(UP)), "gate-swapped", "the activation applied to the other factor"),
}


@pytest.mark.parametrize("name", [name for name in EXPERIMENTS if not name.startswith("windows")])  # cutting out windows is no fault before they are multiplied
def test_what_is_done_differently_is_the_cause(tmp_path, name):
    run, rule, words = EXPERIMENTS[name]
    status, result = run(tmp_path)
    faults = [o for o in result["replay"]["operations"] if o["origin"]]
    assert status == 1 and [o["name"] for o in faults] == ["x"]
    assert faults[0]["rule"] is not None and faults[0]["rule"]["id"] == rule and faults[0]["rule"]["instead"] == words and faults[0]["rule"]["left"] < 1e-6, faults[0]["rule"]
    causes = result["first_divergence"]["causes"]
    assert causes[0]["rule"] == rule and words in causes[0]["summary"]


@pytest.mark.parametrize("name", [name for name in EXPERIMENTS if "swapped" not in name])
def test_where_the_reference_is_fused(tmp_path, monkeypatch, name):
    """The operation in front of the one at fault is what is done differently."""
    monkeypatch.setattr(f"{__name__}.FUSED", [True])
    run, rule, words = EXPERIMENTS[name]
    status, result = run(tmp_path)
    faults = [o for o in result["replay"]["operations"] if o["origin"]]
    assert status == 1 and [o["name"] for o in faults] == ["out"]
    assert faults[0]["rule"] is not None and faults[0]["rule"]["id"] == rule and faults[0]["rule"]["instead"].startswith(words + " in "), faults[0]["rule"]


@pytest.mark.parametrize("theirs", [softmax(mask()) * 1.01, softmax(mask())[::-1], softmax(mask() - 0.3 * np.abs(SCORES))], ids=["scaled", "other heads", "another bias"])
def test_what_no_experiment_gives_is_not_explained_by_one(tmp_path, theirs):
    status, result = attention(tmp_path, theirs)
    assert status == 1 and all(o["rule"] is None for o in result["replay"]["operations"] if o["origin"])


def test_what_is_right_has_no_cause(tmp_path):
    assert attention(tmp_path / "a", softmax(mask(5)), mask(5))[0] == 0
    assert rope(tmp_path / "b", lambda p: rotated(X, p, dims=8), n_dims=8)[0] == 0
    assert gate(tmp_path / "c", silu(GATE) * UP)[0] == 0


TOGETHER = {
    "dimensions and frequencies of RoPE": (lambda t: rope(t, lambda p: rotated(X, p, dims=8, factor=0.25)), {"rope-dims", "rope-factors"}, ["n_dims 8 instead of 16", "freq_scale 0.25 instead of 1"]),
    "positions and frequencies of RoPE": (lambda t: rope(t, lambda p: rotated(X, p + 1, factor=0.5)), {"row-shift", "rope-factors"}, ["positions that are 1 higher", "freq_scale 0.5 instead of 1"]),
    "window and scale of attention": (lambda t: attention(t, softmax(mask(5), 1)), {"window-size", "softmax-scale"}, ["a window of 5 positions", "scale 1 instead of 0.25"]),
    "causality and scale of attention": (lambda t: attention(t, softmax(mask(), 0.125), mask(causal=False)), {"mask", "softmax-scale"}, ["a causal mask", "scale 0.125 instead of 0.25"]),
}


@pytest.mark.parametrize("name", TOGETHER)
def test_two_things_that_are_done_differently_are_both_named(tmp_path, name):
    run, rules, words = TOGETHER[name]
    status, result = run(tmp_path)
    (cause, *_) = result["first_divergence"]["causes"]
    assert status == 1 and set(cause["rule"].split("+")) == rules and all(word in cause["summary"] for word in words), cause
    assert cause["after"] < 1e-6 < cause["before"]


def norms(tmp_path, own, theirs):
    """An RMS norm with an eps in each layer, and a product after it."""
    ref, cand = Trace(tmp_path / "r").begin(range(TOKENS)), Trace(tmp_path / "c").begin(range(TOKENS))
    weight, x = (RNG.standard_normal((WIDTH, WIDTH)) / 4).astype("f4"), (X[:, 0] / 50).astype("f4")
    at, there = cand.add("x", x, role="input"), ref.add("x", x, role="input")
    ours, right = x, x
    for layer, (a, b) in enumerate(zip(own, theirs)):
        norm = lambda value, eps: (value / np.sqrt((value.astype("f8") ** 2).mean(-1, keepdims=True) + eps)).astype("f4")
        ours, right = norm(ours, a), norm(right, b)
        at, there = cand.add(f"norm-{layer}", ours, [at], op="RMS_NORM", layer=layer, params={"eps": a}), ref.add(f"layers.{layer}.norm", right, [there], op="rms_norm", layer=layer)
        ours, right = (ours @ weight.T * 0.02).astype("f4"), (right @ weight.T * 0.02).astype("f4")
        at = cand.add(f"out-{layer}", ours, [cand.add(f"w-{layer}", weight * np.float32(0.02), role="weight"), at], op="MUL_MAT", layer=layer)
        there = ref.add(f"layers.{layer}.out", right, [there], op="linear", layer=layer)
    return ref.write(), cand.write()


@pytest.mark.parametrize("own", [[1e-4] * 4, [1e-4, 1e-6, 1e-4, 1e-4]], ids=["all", "but one"])
def test_a_cause_names_its_layers(tmp_path, own):
    status, result = diff(*norms(tmp_path, own, [1e-6] * 4), "--preset", "none")
    (cause, *_) = result["first_divergence"]["causes"]
    assert status == 1 and cause["rule"] == "norm-eps" and cause["layers"] == {"at_fault": [i for i, eps in enumerate(own) if eps != 1e-6], "of": 4}
    assert "rms_norm_eps" in cause["where"] and "layer_norm_rms_epsilon" in cause["where"]


# ------------------------------------------------------------------ lockstep explain


def explain(*args):
    done = subprocess.run([LOCKSTEP, "explain", *map(str, args)], capture_output=True, text=True, timeout=60, env=dict(os.environ, COLUMNS="100"))
    return done.returncode, done.stdout, done.stderr


def test_explain_shows_what_was_tried(tmp_path):
    ref, cand = norms(tmp_path, [1e-6, 1e-4, 1e-4], [1e-6] * 3)
    status, text, _ = explain(ref, cand, "--preset", "none")
    assert status == 1 and text.startswith("norm-1 (RMS_NORM), layer 1, pass 0\nreference   layers.1.norm\n") and "in 2 of 3 layers: 1-2" in text
    assert re.search(r"^  \* norm-eps +\S+  eps 1e-06 instead of 0.0001$", text, re.M) and re.search(r"^    norm-eps +\S+  eps 1e-05 instead of 0.0001$", text, re.M)
    assert all(len(line) <= 100 for line in text.splitlines())

    status, text, _ = explain(ref, cand, "--preset", "none", "--json", "-")
    result = json.loads(text)
    tried = result["tried"]
    assert status == 1 and result["pair"]["candidate"]["name"] == "norm-1" and result["causes"][0]["rule"] == "norm-eps"
    assert tried[0]["explains"] and [t["left"] for t in tried if not t["explains"]] == sorted(t["left"] for t in tried if not t["explains"])
    eps = {float(t["summary"].split()[1]): t["left"] for t in tried if t["kind"] == "experiment" and t["rule"] == "norm-eps"}
    assert set(eps) == {1e-6, 1e-5, 1e-12, 1e-8, 1e-7, 1e-3} and eps[1e-5] > eps[1e-6] < 1e-6  # its own 1e-4 is no experiment


def test_explain_any_tensor(tmp_path):
    ref, cand = norms(tmp_path, [1e-6, 1e-4, 1e-6], [1e-6] * 3)
    for name in ("out-2", "out-2 (MUL_MAT)", "layers.2.out"):
        status, text, _ = explain(ref, cand, name, "--preset", "none")
        assert status == 1 and "this operation is right, and what differs is inherited" in " ".join(text.split()) and "inherited: the first divergence is norm-1 (RMS_NORM)" in text
    status, text, _ = explain(ref, cand, "norm-0", "--preset", "none")
    assert status == 1 and "there is nothing to explain: the two agree" in text
    status, text, error = explain(ref, cand, "nrom-2", "--preset", "none")
    assert status == 2 and text == "" and "no pair of tensors has the name nrom-2; did you mean norm-2" in error
    status, text, error = explain(ref, cand, "\x1b[31mred", "--preset", "none")
    assert status == 2 and "\x1b" not in error and "lockstep ls" in error
    ref, cand = norms(tmp_path / "same", [1e-6], [1e-6])
    status, text, error = explain(ref, cand, "--preset", "none")
    assert status == 0 and "there is no first divergence" in error


# ------------------------------------------------------------------ where it is, if nothing explains it


def changed_in(tmp_path, change, shape=(TOKENS, 4 * WIDTH)):
    """A product whose result is changed by something that no rule knows."""
    ref, cand = Trace(tmp_path / "r").begin(range(TOKENS)), Trace(tmp_path / "c").begin(range(TOKENS))
    x, noise = RNG.standard_normal(shape).astype("f4"), RNG.standard_normal(shape).astype("f4")
    faulty = x.copy()
    change(faulty, noise)
    for trace, values in ((ref, x), (cand, faulty)):
        trace.add("y", values, [trace.add("x", np.ones(shape, "f4"), role="input")], op="custom", layer=0)
    status, result = diff(ref.write(), cand.write())
    return result["first_divergence"]


@pytest.mark.parametrize("first, last", [(16, 32), (5, 6), (60, 64), (0, 33)])
def test_channels_that_differ_are_named(tmp_path, first, last):
    def change(y, noise):
        y[:, first:last] += 0.3 * noise[:, first:last]
    found = changed_in(tmp_path, change)
    assert found["causes"] == [] and found["axes"] == [{"axis": 1, "failing": last - first, "of": 64, "first": first, "last": last - 1}] and found["rows"]["failing"] == TOKENS


def test_heads_that_differ_are_named(tmp_path):
    def change(y, noise):
        y[:, [1, 3]] += 0.3 * noise[:, [1, 3]]
    found = changed_in(tmp_path, change, (TOKENS, 5, WIDTH))
    assert found["causes"] == [] and found["axes"] == [{"axis": 1, "failing": 2, "of": 5, "first": 1, "last": 3}]


def test_where_all_differ_no_axis_is_named(tmp_path):
    def change(y, noise):
        y[3:5] += 0.3 * noise[3:5]
    found = changed_in(tmp_path, change)
    assert found["axes"] == [] and (found["rows"]["first"], found["rows"]["last"], found["rows"]["failing"]) == (3, 4, 2)


# ------------------------------------------------------------------ a transpose too many


def test_a_transposed_file_is_not_the_same(tmp_path):
    square, other = RNG.standard_normal((8, 8)).astype("f4"), RNG.standard_normal((4, 8)).astype("f4")
    for folder, change in (("r", lambda x: x), ("c", lambda x: np.ascontiguousarray(x.T))):
        (tmp_path / folder).mkdir()
        np.save(tmp_path / folder / "square.npy", change(square))
        np.save(tmp_path / folder / "other.npy", change(other))
    status, result = diff(tmp_path / "r", tmp_path / "c")
    verdicts = {p["candidate"]["name"]: p["verdict"] for p in result["pairs"]}
    assert status == 1 and verdicts["square"] == "diverged"
    assert any("other is the reference's only with its axes in another order" in hint for hint in result["hints"])
    np.save(tmp_path / "c" / "square.npy", square)
    np.save(tmp_path / "c" / "other.npy", other)
    status, result = diff(tmp_path / "r", tmp_path / "c")
    assert status == 0 and not any("axes" in hint for hint in result["hints"])
