"""What may pass and what may not: final outputs, what is excused, masks, lost values."""
import numpy as np
import pytest

from traces import Trace, diff, first_name, report, verdicts

TOKENS = [7, 3, 11, 2, 40, 5]
R = np.random.default_rng(5)


def normal(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype("f4")


# ------------------------------------------------------------------ final outputs

def tail_of(path, *steps):
    """A head, and what is done with it after: (name, op, values)."""
    t = Trace(path).begin(TOKENS)
    weight = t.add("head.weight", None, role="weight", shape=[8, 4], dtype="f32")
    last = t.add("head", 5 * normal(6, 8), [weight], op="Linear")
    for name, op, values in steps:
        last = t.add(name, values, [last], op=op)
    return t.write()


LOGITS = 5 * normal(6, 8)
CAPPED = (2 * np.tanh(LOGITS.astype("f8") / 2)).astype("f4")


@pytest.mark.parametrize("goes_on", ["reference", "candidate"])
def test_a_soft_cap_on_one_side_is_a_divergence(tmp_path, goes_on):
    steps = [("div", "div", LOGITS / 2), ("tanh", "tanh", CAPPED / 2), ("mul", "mul", CAPPED)]
    sides = [tail_of(tmp_path / "r", *(steps if goes_on == "reference" else [])), tail_of(tmp_path / "c", *(steps if goes_on == "candidate" else []))]
    status, result = diff(*sides)
    assert status == 1 and result["verdict"] == "diverged"
    assert result["first_divergence"]["by"] == "output"
    cause = result["first_divergence"]["causes"][0]
    assert cause["rule"] == "soft-cap" and "2 * tanh(x / 2)" in cause["summary"]
    assert ("candidate lacks" if goes_on == "reference" else "reference lacks") in cause["summary"]


@pytest.mark.parametrize("op, values", [("mul", LOGITS * 0.25), ("div", LOGITS / 3), ("add", LOGITS + 1), ("neg", -LOGITS)])
def test_whatever_is_done_to_the_logits_on_one_side_is_compared(tmp_path, op, values):
    status, result = diff(tail_of(tmp_path / "r", ("y", op, values)), tail_of(tmp_path / "c"))
    assert status == 1 and result["first_divergence"]["reference"]["name"] == "y"


def test_a_tail_that_changes_nothing_is_no_divergence(tmp_path):
    status, result = diff(tail_of(tmp_path / "r", ("y", "mul", LOGITS * 1)), tail_of(tmp_path / "c"))
    assert status == 0 and result["verdict"] == "match"


def test_pooling_on_one_side_is_left_out_by_name(tmp_path):
    pooled = LOGITS.mean(0, keepdims=True)
    status, result = diff(tail_of(tmp_path / "r", ("sentence", "mean", pooled)), tail_of(tmp_path / "c"))
    assert status == 0
    assert any("sentence" in hint and "left out" in hint for hint in result["hints"])


def test_a_result_that_is_brought_to_length_one_is_left_out_by_name(tmp_path):
    norm = np.linalg.norm(LOGITS.astype("f8"), axis=1, keepdims=True)
    t = Trace(tmp_path / "r").begin(TOKENS)
    head = t.add("head", LOGITS, [t.add("head.weight", None, role="weight", shape=[8, 4], dtype="f32")], op="Linear")
    t.add("normalized", (LOGITS / norm).astype("f4"), [head, t.add("norm", norm.astype("f4"), [head], op="norm")], op="div")
    status, result = diff(t.write(), tail_of(tmp_path / "c"))
    assert status == 0 and any("length 1 in normalized" in hint for hint in result["hints"])


def test_a_norm_without_a_weight_is_compared(tmp_path):
    t = Trace(tmp_path / "r").begin(TOKENS)
    head = t.add("head", LOGITS, [t.add("head.weight", None, role="weight", shape=[8, 4], dtype="f32")], op="Linear")
    scale = 1 / np.sqrt((LOGITS.astype("f8") ** 2).mean(1, keepdims=True))
    t.add("normed", (LOGITS * scale).astype("f4"), [head, t.add("rsqrt", scale.astype("f4"), [head], op="mean")], op="mul")
    status, result = diff(t.write(), tail_of(tmp_path / "c"))
    assert status == 1 and result["first_divergence"]["reference"]["name"] == "normed"


def test_a_tail_through_weights_is_not_compared(tmp_path):
    t = Trace(tmp_path / "r").begin(TOKENS)
    head = t.add("head", LOGITS, [t.add("head.weight", None, role="weight", shape=[8, 4], dtype="f32")], op="Linear")
    t.add("more", normal(6, 8, seed=3), [head, t.add("more.weight", None, role="weight", shape=[8, 8], dtype="f32")], op="Linear")
    status, result = diff(t.write(), tail_of(tmp_path / "c"))
    assert status == 2 and "more" in result["reason"]


def own_names(path, prefix, change=lambda v: v, seed=60):
    t = Trace(path).begin(TOKENS)
    weight = t.add(f"{prefix}.w", None, role="weight", shape=[8, 8], dtype="f32")
    x = t.add(f"{prefix}.a", normal(6, 8, seed=seed), [weight], op=prefix)
    t.add(f"{prefix}.b", change(normal(6, 8, seed=61)), [x, weight], op=prefix)
    return t.write()


def test_final_outputs_are_compared_where_no_name_pairs(tmp_path):
    status, result = diff(own_names(tmp_path / "r", "p"), own_names(tmp_path / "c", "q", lambda v: normal(6, 8, seed=62), seed=63))
    assert status == 1 and result["first_divergence"]["by"] == "output" and first_name(result) == "q.b"
    status, result = diff(tmp_path / "r", own_names(tmp_path / "same", "q"))
    assert {pair["by"] for pair in result["pairs"]} == {"content"} and result["pairing"]["coverage"] == 1


# ------------------------------------------------------------------ what is excused

def block(path, change, layers=4, q=1.0, noise=0.0):
    """Per layer x -> branch -> big + branch, as a residual stream; `change(layer, branch)`."""
    rng = np.random.default_rng(11)
    t = Trace(path).begin(TOKENS)
    weight = t.add("w", None, role="weight", shape=[8, 8], dtype="f32")
    stream = 1000 * normal(6, 8, seed=1)
    last = t.add("embed", stream, [weight], op="Embedding")
    for layer in range(layers):
        branch = normal(6, 8, seed=20 + layer)
        changed = change(layer, branch).astype("f4")
        b = t.add(f"layers.{layer}.mlp", changed, [last, weight], op="Linear", layer=layer)
        stream = stream + branch
        last = t.add(f"layers.{layer}", stream + noise * rng.standard_normal(stream.shape).astype("f4"), [last, b], op="add", layer=layer)
    return t.write()


def same(layer, branch):
    return branch


def test_a_fault_that_a_large_residual_hides_is_named(tmp_path):
    swapped = block(tmp_path / "c", lambda layer, b: b[:, ::-1] if layer == 2 else b)
    status, result = diff(block(tmp_path / "r", same), swapped)
    assert status == 1 and first_name(result) == "layers.2.mlp"
    assert result["totals"]["explained"] == 0


def test_a_factor_that_a_large_residual_hides_is_named(tmp_path):
    # one factor would be an excuse if it were undone; here it only vanishes in the sum
    status, result = diff(block(tmp_path / "r", same), block(tmp_path / "c", lambda layer, b: b * 1.01 if layer == 1 else b))
    assert status == 1 and first_name(result) == "layers.1.mlp"
    assert [c["rule"] for c in result["first_divergence"]["causes"]][:1] == ["scale"]


def attention(path, scale=1.0, offset=0.0, fault=False):
    """Scores that are scaled before the product on one side, after it on the other."""
    t = Trace(path).begin(TOKENS)
    weight = t.add("w", None, role="weight", shape=[8, 8], dtype="f32")
    x = t.add("x", normal(6, 8), [weight], op="Embedding")
    for layer in range(3):
        scores = normal(6, 6, seed=30 + layer) * 3
        shown = scores * scale + offset * np.arange(1, 7, dtype="f4")[:, None]
        if fault and layer == 1:
            shown = shown[::-1]
        s = t.add(f"kq-{layer}", np.ascontiguousarray(shown.astype("f4")), [x], op="MUL_MAT", layer=layer)
        p = np.exp(scores.astype("f8"))
        x = t.add(f"probabilities-{layer}", (p / p.sum(-1, keepdims=True)).astype("f4"), [s], op="SOFT_MAX", layer=layer)
    return t.write()


@pytest.mark.parametrize("change, reason", [({"scale": 0.125}, "one factor, undone later"), ({"offset": 0.2}, "a constant in each row, which the softmax cancels")])
def test_what_is_explained_is_excused_and_counted(tmp_path, change, reason):
    status, result = diff(attention(tmp_path / "r"), attention(tmp_path / "c", **change))
    assert status == 0 and result["verdict"] == "match"
    excused = [pair for pair in result["pairs"] if pair["verdict"] == "explained"]
    assert len(excused) == 3 and {pair["excuse"] for pair in excused} == {reason}
    assert result["totals"]["explained"] == 3 and result["totals"]["within"] == result["totals"]["compared"] - 3
    assert f"3 explained (3: {reason})" in report(tmp_path / "r", tmp_path / "c")


def test_what_does_not_resemble_its_partner_is_not_excused(tmp_path):
    status, result = diff(attention(tmp_path / "r"), attention(tmp_path / "c", fault=True))
    assert status == 1 and first_name(result) == "kq-1"


# ------------------------------------------------------------------ identical inputs

def activation(path, f):
    t = Trace(path).begin(TOKENS)
    weight = t.add("w", None, role="weight", shape=[64, 64], dtype="f32")
    x = normal(6, 64, seed=9)
    fc = t.add("fc", x, [weight], op="Linear")
    t.add("act", f(x.astype("f8")).astype("f4"), [fc], op="gelu")
    return t.write()


def gelu_tanh(x):
    return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x ** 3)))


def test_an_operation_on_identical_inputs_may_only_round(tmp_path):
    torch = pytest.importorskip("torch")

    def gelu_erf(x):
        return torch.nn.functional.gelu(torch.from_numpy(x)).numpy()
    status, result = diff(activation(tmp_path / "r", gelu_tanh), activation(tmp_path / "c", gelu_erf))
    assert status == 1 and first_name(result) == "act"
    text = report(tmp_path / "r", tmp_path / "c")
    assert "from identical inputs" in text

    def rounded(x):
        return gelu_tanh(x) * (1 + 1e-7 * np.random.default_rng(3).standard_normal(x.shape))
    status, result = diff(tmp_path / "r", activation(tmp_path / "rounded", rounded))
    assert status == 0


# ------------------------------------------------------------------ masks

def scores(path, mask, numbers, where=None, op="add"):
    t = Trace(path).begin(TOKENS)
    blocked = np.triu(np.ones((6, 6), bool), 1) if where is None else where
    x = t.add("scores", np.where(blocked, np.float32(mask), numbers).astype("f4"), [], op=op)
    p = np.where(blocked, 0, np.exp(numbers.astype("f8")))
    t.add("probabilities", (p / p.sum(-1, keepdims=True)).astype("f4"), [x], op="softmax")
    return t.write()


NUMBERS = normal(6, 6, seed=40)
MASKS = [float(np.finfo("f4").min), -1e9, -65504.0, -1e4, -np.inf]


@pytest.mark.parametrize("mask", MASKS)
def test_masks_do_not_swallow_the_rest(tmp_path, mask):
    off = NUMBERS.copy()
    off[4, 1] += 0.5
    status, result = diff(scores(tmp_path / "r", mask, NUMBERS), scores(tmp_path / "c", mask, off))
    assert status == 1 and first_name(result) == "scores"
    pair = result["first_divergence"]["metrics"]
    seen = np.tril(np.ones((6, 6), bool))
    d = (off.astype("f8") - NUMBERS)[seen]
    assert pair["rel_l2"] == pytest.approx(np.linalg.norm(d) / np.linalg.norm(NUMBERS.astype("f8")[seen]), rel=1e-6)
    assert pair["masked"] == 15 and pair["masked_differ"] == 0
    assert pair["max_abs_at"] == 4 * 6 + 1
    assert pair["max_abs_reference"] == pytest.approx(float(NUMBERS[4, 1])) and pair["max_abs_candidate"] == pytest.approx(float(off[4, 1]))


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("other", MASKS)
def test_masks_are_compared_as_allowed_or_blocked(tmp_path, mask, other):
    status, result = diff(scores(tmp_path / "r", mask, NUMBERS), scores(tmp_path / "c", other, NUMBERS))
    assert status == 0 and verdicts(result)["scores"] in ("match", "identical")


@pytest.mark.parametrize("mask", MASKS)
def test_another_mask_is_a_divergence(tmp_path, mask):
    window = np.triu(np.ones((6, 6), bool), 1) | np.tril(np.ones((6, 6), bool), -3)
    status, result = diff(scores(tmp_path / "r", mask, NUMBERS), scores(tmp_path / "c", mask, NUMBERS, window))
    assert status == 1 and first_name(result) == "scores"


def test_large_negative_activations_are_no_mask(tmp_path):
    """Outlier channels of -2e4 are numbers: a fault in them counts."""
    paths = []
    for name, factor in (("r", 1), ("c", 1.01)):
        t = Trace(tmp_path / name).begin(TOKENS)
        x = normal(6, 8, seed=50)
        x[:, 3] = -2e4 * factor
        t.add("stream", x, [], op="add")
        paths.append(t.write())
    status, result = diff(*paths)
    assert status == 1 and first_name(result) == "stream"


# ------------------------------------------------------------------ lost values, causes

def test_values_that_cannot_be_read_are_trouble_and_no_divergence(tmp_path):
    for name in "rc":
        t = Trace(tmp_path / name).begin(TOKENS)
        x = t.add("x", normal(6, 8), [], op="a")
        t.add("y", normal(6, 8, seed=1), [x], op="b")
        t.write()
    (tmp_path / "c" / "tensors" / "0.npy").unlink()
    status, result = diff(tmp_path / "r", tmp_path / "c")
    assert status == 2 and result["verdict"] == "incomparable" and "1 of 2" in result["reason"]
    np.save(tmp_path / "c" / "tensors" / "1.npy", 2 * normal(6, 8, seed=1))  # a divergence all the same
    status, result = diff(tmp_path / "r", tmp_path / "c")
    assert status == 1 and first_name(result) == "y"


@pytest.mark.parametrize("shape", [(1, 1), (1, 2), (3,)])
def test_a_cause_explains_more_than_it_fits(tmp_path, shape):
    for name, seed in (("r", 1), ("c", 2)):
        (tmp_path / name).mkdir()
        np.save(tmp_path / name / "x.npy", normal(*shape, seed=seed))
    status, result = diff(tmp_path / "r", tmp_path / "c")
    assert status == 1 and result["first_divergence"]["causes"] == []


def test_an_origin_is_counted_once_for_all_passes(tmp_path):
    for name, factor in (("r", 1), ("c", 2)):
        t = Trace(tmp_path / name)
        for step in range(4):
            t.begin([step + 1], positions=[step])
            x = t.add("x", normal(1, 8, seed=step), [], op="a")
            t.add("y", factor * normal(1, 8, seed=10 + step), [x], op="b")
        t.write()
    status, result = diff(tmp_path / "r", tmp_path / "c")
    assert status == 1 and result["totals"]["origins"] == 1
    text = report(tmp_path / "r", tmp_path / "c")
    assert text.count("DIVERGED") == 1 and "passes 1–3: 3 pairs agree, 3 as in an earlier pass" in text


# ------------------------------------------------------------------ what hides a fault

@pytest.mark.parametrize("options", [("--atol", "1e-4", "--rtol", "0"), ("--profile", "allclose"), ("--profile", "torch")])
def test_a_rule_of_the_users_is_not_softened(tmp_path, options):
    for name, off in (("r", 0), ("c", 1)):
        t = Trace(tmp_path / name).begin(range(1, 65))
        x = t.add("h", normal(64, 64, seed=70) * np.float32(1 + off * 1e-5), [], op="x")
        logits = normal(64, 64, seed=71)
        logits[5, 5] += off * 1e-3
        t.add("logits", logits, [x], op="mm")
        t.write()
    status, result = diff(tmp_path / "r", tmp_path / "c", *options)
    assert status == 1 and verdicts(result)["logits"] == "diverged"


def test_a_factor_that_only_a_wider_tolerance_passes_is_no_excuse(tmp_path):
    """f32 up to a product with q4_0, which may be 20 % off."""
    for name, factor in (("r", 1), ("c", np.float32(1.15))):
        t = Trace(tmp_path / name).begin(TOKENS)
        x = t.add("embed", normal(6, 64, seed=72) * factor, [], op="x")
        weight = t.add("w", None, role="weight", shape=[64, 64], dtype="q4_0")
        t.add("logits", normal(6, 64, seed=73) * factor, [x, weight], op="MUL_MAT")
        t.write()
    status, result = diff(tmp_path / "r", tmp_path / "c")
    assert status == 1 and first_name(result) == "embed"


@pytest.mark.parametrize("op", ["", "SUB", "CONCAT", "ADD", "where"])
def test_a_larger_term_hides_a_fault_whatever_joins_them(tmp_path, op):
    for name, factor in (("r", 1), ("c", -3)):
        t = Trace(tmp_path / name).begin(TOKENS)
        big = t.add("stream", 1e6 * normal(6, 8, seed=74), [], op="x")
        branch = normal(6, 8, seed=75) * np.float32(factor)
        b = t.add("branch", branch, [big], op="MUL_MAT")
        t.add("sum", (1e6 * normal(6, 8, seed=74) + branch).astype("f4"), [big, b], op=op)
        t.write()
    status, result = diff(tmp_path / "r", tmp_path / "c")
    assert status == 1 and first_name(result) == "branch"


def test_what_is_done_to_picked_rows_is_compared_or_trouble(tmp_path):
    paths = []
    for name in "rc":
        t = Trace(tmp_path / name).begin(TOKENS)
        head = t.add("head", LOGITS, [t.add("head.weight", None, role="weight", shape=[8, 4], dtype="f32")], op="Linear")
        last = t.add("last", LOGITS[-1:], [head], op="slice")
        if name == "r":
            t.add("capped", (30 * np.tanh(LOGITS[-1:] / 30)).astype("f4"), [last], op="tanh")
        paths.append(t.write())
    status, _ = diff(*paths)
    assert status in (1, 2)


@pytest.mark.parametrize("dtype", ["i4", "i8"])
def test_ids_are_equal_or_not(tmp_path, dtype):
    for name, off in (("r", 0), ("c", 1)):
        t = Trace(tmp_path / name).begin(TOKENS)
        x = t.add("x", normal(6, 8), [], op="x")
        t.add("ids", (np.arange(6) + 50000 + off * (np.arange(6) == 3)).astype(dtype), [x], op="argmax")
        t.write()
    status, result = diff(tmp_path / "r", tmp_path / "c")
    assert status == 1 and first_name(result) == "ids"


def test_inputs_that_are_not_compared_prove_nothing(tmp_path):
    for name, factor in (("r", 1), ("c", np.float32(1 + 3e-5))):
        t = Trace(tmp_path / name).begin(TOKENS)
        mel = t.add("mel", normal(6, 8, seed=76) * factor, [], op="input", role="input")
        t.add("conv", normal(6, 8, seed=77) * factor, [mel], op="conv1d")
        t.write()
    assert diff(tmp_path / "r", tmp_path / "c")[0] == 0
