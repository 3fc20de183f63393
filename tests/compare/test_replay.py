"""Replay on a model in NumPy, whose two sides share no names: a gated block with biases, run twice, with its weights in the trace."""
import json
import re

import numpy as np
import pytest

from traces import Trace, diff, report

TOKENS, WIDTH, INNER, LAYERS = 6, 16, 24, 3


def weights(seed=0):
    rng = np.random.default_rng(seed)
    made = {"embed": rng.standard_normal((40, WIDTH))}
    for layer in range(LAYERS):
        made[f"norm{layer}"] = 1 + 0.3 * rng.standard_normal(WIDTH)
        for name, shape in (("gate", (INNER, WIDTH)), ("up", (INNER, WIDTH)), ("down", (WIDTH, INNER))):
            made[f"{name}{layer}"] = rng.standard_normal(shape) / shape[1] ** 0.5
        made[f"bias{layer}"] = 0.5 * rng.standard_normal(WIDTH)
    return {name: value.astype("f4") for name, value in made.items()}


def norm(x, eps=1e-6):
    return x / np.sqrt((x ** 2).mean(-1, keepdims=True) + eps)


def silu(x):
    return x / (1 + np.exp(-x))


def reference(path, w, tokens=range(TOKENS), spoil=lambda name, value: value):
    """As PyTorch records it: a product with its bias is one tensor."""
    t = Trace(path).begin(tokens)

    def keep(name, value, sources, op, layer):
        return t.add(name, spoil(name, value).astype("f4"), sources, op=op, layer=layer)
    x = w["embed"].astype("f8")[list(tokens)]
    at = keep("tok", x, [], "embedding", -1)
    for n in range(LAYERS):
        h = norm(x) * w[f"norm{n}"]
        normed = keep(f"b.{n}.ln", h, [at], "mul", n)
        gate, up = h @ w[f"gate{n}"].T.astype("f8"), h @ w[f"up{n}"].T.astype("f8")
        g, u = keep(f"b.{n}.g", gate, [normed], "linear", n), keep(f"b.{n}.u", up, [normed], "linear", n)
        act = keep(f"b.{n}.a", silu(gate), [g], "silu", n)
        mixed = keep(f"b.{n}.m", silu(gate) * up, [act, u], "mul", n)
        out = (silu(gate) * up) @ w[f"down{n}"].T.astype("f8") + w[f"bias{n}"]
        o = keep(f"b.{n}.o", out, [mixed], "linear", n)
        x = x + out
        at = keep(f"b.{n}", x, [at, o], "add", n)
    return t.write()


def candidate(path, w, tokens=range(TOKENS), op=lambda name: name, eps=1e-6, with_weights=True, spoil=lambda name, value: value, extra=None, trace=None):
    """As ggml records it, with the weights' values. trace: to which a pass is added."""
    t = (trace or Trace(path)).begin(tokens)
    given = {name: t.add(name, value if with_weights else None, role="weight", **({} if with_weights else {"shape": list(value.shape), "dtype": "f32"})) for name, value in w.items()}
    ids = t.add("ids", np.array(list(tokens), "i4"), role="input")

    def keep(name, value, sources, kind, layer, **more):
        return t.add(name, spoil(name, value).astype("f4"), sources, op=op(kind), layer=layer, **more)
    x = w["embed"].astype("f8")[list(tokens)]
    at = keep("e", x, [given["embed"], ids], "GET_ROWS", -1)
    for n in range(LAYERS):
        h = norm(x, eps)
        normed = keep(f"n-{n}", h, [at], "RMS_NORM", n, params={"eps": eps})
        h = h * w[f"norm{n}"]
        scaled = keep(f"nw-{n}", h, [normed, given[f"norm{n}"]], "MUL", n)
        gate, up = h @ w[f"gate{n}"].T.astype("f8"), h @ w[f"up{n}"].T.astype("f8")
        g, u = keep(f"g-{n}", gate, [given[f"gate{n}"], scaled], "MUL_MAT", n), keep(f"u-{n}", up, [given[f"up{n}"], scaled], "MUL_MAT", n)
        mixed = keep(f"m-{n}", silu(gate) * up, [g, u], "SWIGLU", n)
        product = (silu(gate) * up) @ w[f"down{n}"].T.astype("f8")
        p = keep(f"p-{n}", product, [given[f"down{n}"], mixed], "MUL_MAT", n)
        o = keep(f"o-{n}", product + w[f"bias{n}"], [p, given[f"bias{n}"]], "ADD", n)
        x = x + product + w[f"bias{n}"]
        at = keep(f"x-{n}", x, [at, o], "ADD", n)
        if extra is not None and n == extra:
            x = x * 2
            at = keep(f"twice-{n}", x, [at], "SCALE", n, params={"scale": 2})
    return t.write()


def compare(tmp_path, w=None, *, clean=None, **more):
    clean = clean if clean is not None else weights()
    return diff(reference(tmp_path / "r", clean), candidate(tmp_path / "c", w if w is not None else clean, **more), "--preset", "none")


def named(result):
    return {o["name"] for o in result["replay"]["operations"] if o["origin"]}


def classes(result):
    return {o["name"]: o["class"] for o in result["replay"]["operations"]}


def test_sides_without_a_common_name(tmp_path):
    status, result = compare(tmp_path)
    assert status == 0 and result["verdict"] == "match" and result["replay"]["origins"] == 0
    found = classes(result)
    assert all(found[f"{name}-{n}"] == "found" for name in ("nw", "g", "u", "m", "o", "x") for n in range(LAYERS)) and found["e"] == "found"
    assert all(found[f"{name}-{n}"] == "covered" for name in ("n", "p") for n in range(LAYERS)), "the reference has neither"
    partner = {o["name"]: o.get("reference") for o in result["replay"]["operations"]}
    assert partner["g-1"] == "b.1.g" and partner["o-2"] == "b.2.o" and partner["x-0"] == "b.0"


@pytest.mark.parametrize("change,expected", [
    (lambda w: w.update(gate1=w["gate1"] * np.float32(1.001)), {"g-1"}),
    (lambda w: w.update(down0=w["down0"][:, ::-1].copy()), {"o-0"}),
    (lambda w: w.update(bias2=w["bias2"] + np.float32(0.01)), {"o-2"}),
    (lambda w: w.update(norm0=w["norm0"] + np.float32(1)), {"nw-0"}),
    (lambda w: w.update(gate2=w["up2"], up2=w["gate2"]), {"g-2", "u-2"}),
    (lambda w: w.update(up0=w["up1"]), {"u-0"}),
    (lambda w: w.update(embed=np.roll(w["embed"], 1, 0)), {"e"}),
    (lambda w: (w.update(up0=w["up0"] * np.float32(2)), w.update(down2=w["down2"] * np.float32(-1))), {"u-0", "o-2"}),
], ids=["factor", "columns", "bias", "norm", "swapped", "layer", "rows", "two"])
def test_a_fault_is_named_alone(tmp_path, change, expected):
    wrong = weights()
    change(wrong)
    status, result = compare(tmp_path, wrong)
    assert status == 1 and result["verdict"] == "diverged" and named(result) == expected
    assert result["first_divergence"]["candidate"]["name"] in expected


def test_a_fault_of_a_parameter(tmp_path):
    """eps is in every norm: the operation that the reference has a tensor for is named, with the norm in front of it."""
    status, result = compare(tmp_path, eps=1e-3)
    assert status == 1 and named(result) == {f"nw-{n}" for n in range(LAYERS)}
    by_node = {o["node"]: o["name"] for o in result["replay"]["operations"]}
    assert {by_node[i] for o in result["replay"]["operations"] if o["name"] == "nw-1" for i in o["region"]} == {"n-1"}


def test_an_operation_that_the_reference_does_not_have(tmp_path):
    """The norm behind it doesn't notice a factor, but the sum of the residual stream does: the two are named together."""
    status, result = compare(tmp_path, extra=1)
    by_node = {o["node"]: o["name"] for o in result["replay"]["operations"]}
    assert status == 1 and named(result) == {"x-2"}
    assert {by_node[i] for o in result["replay"]["operations"] if o["origin"] for i in o["region"]} == {"twice-1"}


def test_a_wrong_kernel(tmp_path):
    """The recorded values of one product are wrong, and its graph and weights are right."""
    status, result = compare(tmp_path, spoil=lambda name, value: value * (1.01 if name == "u-1" else 1))
    assert status == 1 and result["replay"]["origins"] == 0 and result["replay"]["kernels"]["differ"] >= 1
    assert result["first_divergence"]["candidate"]["name"] == "u-1" and result["first_divergence"]["causes"][0]["rule"] == "kernel"


def test_operations_that_are_not_covered(tmp_path):
    """They, and what is computed from them, are compared by their values, up to where the reference's values are found again."""
    status, result = compare(tmp_path, op=lambda kind: "CROSS_ENTROPY_LOSS" if kind == "SWIGLU" else kind)
    assert status != 1 and named(result) == set()
    assert {classes(result)[f"m-{n}"] for n in range(LAYERS)} <= {"unsupported", "found", "covered"} and classes(result)["x-2"] == "found"


def test_what_proves_nothing(tmp_path):
    """A model of zeros: every tensor equals every other."""
    zeros = {name: np.zeros_like(value) for name, value in weights().items()}
    status, result = compare(tmp_path, clean=zeros)
    assert named(result) == set() and result["replay"]["counts"]["found"] == 0 and status != 1


def test_nan_in_the_weights(tmp_path):
    broken = weights()
    broken["up1"][3, 2] = np.nan
    status, result = compare(tmp_path, broken)
    assert status == 1 and result["verdict"] == "diverged"


def test_nan_on_both_sides(tmp_path):
    broken = weights()
    broken["up1"][3, 2] = np.nan
    status, _ = compare(tmp_path, clean=broken)
    assert status == 1, "NaN is never a match"


def test_without_weights(tmp_path):
    _, result = compare(tmp_path, with_weights=False)
    assert result["replay"] is None


def test_a_reference_that_has_some_tensors_only(tmp_path):
    """Every other tensor was recorded."""
    w = weights()
    path = reference(tmp_path / "r", w)
    lines = [json.loads(line) for line in (path / "trace.jsonl").read_text().splitlines()]
    for line in lines:
        if "i" in line and line["name"].endswith((".g", ".a", ".ln")):
            line.pop("file")
    (path / "trace.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    status, result = diff(path, candidate(tmp_path / "c", w), "--preset", "none")
    assert status == 0 and result["replay"]["counts"]["open"] == 0 and named(result) == set()
    wrong = dict(w, gate1=w["gate1"] * np.float32(1.5))
    status, result = diff(path, candidate(tmp_path / "d", wrong), "--preset", "none")
    assert status == 1 and named(result) == {"m-1"}
    by_node = {o["node"]: o["name"] for o in result["replay"]["operations"]}
    assert "g-1" in {by_node[i] for o in result["replay"]["operations"] if o["origin"] for i in o["region"]}


def test_the_report_names_what_is_at_fault(tmp_path):
    w = weights()
    wrong = dict(w, up1=w["up1"] * np.float32(1.5))
    text = report(reference(tmp_path / "r", w), candidate(tmp_path / "c", wrong), "--preset", "none")
    assert "at fault, computed from the reference's own values:" in text and "u-1 (MUL_MAT), layer 1, in 1 pass: added here 5.0e-01" in text
    assert "weights: up1" in text and "cause: scale: the candidate is the reference times 1.5" in text


def test_the_table_has_what_was_added_and_expected(tmp_path):
    w = weights()
    sides = reference(tmp_path / "r", w), candidate(tmp_path / "c", dict(w, up1=w["up1"] * np.float32(1.5)))
    _, result = diff(*sides, "--preset", "none")
    told = {o["node"]: (f"{o['added']['rel_l2']:.1e}", f"{o['added']['expected']:.1e}") for o in result["replay"]["operations"] if "added" in o and o["class"] == "found"}
    head, *rows = report(*sides, "--preset", "none", "--all").split("\n\n")[1].splitlines()
    added, order, seen = head.split().index("added"), head.split().index("order"), 0
    for row in rows:
        cells = [cell.strip() for cell in re.split(" {2,}", row.strip())]
        if len(cells) == len(head.split()) and int(cells[order]) in told:
            expected = told[int(cells[order])]
            assert (cells[added], cells[added + 1]) == ("0" if float(expected[0]) == 0 else expected[0], expected[1]), row
            seen += 1
    assert seen > 10


# ------------------------------------------------------------------ what a clean run must not be taken for

def two_sides(tmp_path, ref, cand, tokens):
    """Each side is a list of (name, op, sources, value, more); a source is a name, and weights begin with W."""
    made = np.random.default_rng(5)
    shapes = {"W0": (40, WIDTH), "Wx": (WIDTH, WIDTH), "Wr": (8, WIDTH), "Wh": (WIDTH, 8), "Wg": (INNER, WIDTH), "Wu": (INNER, WIDTH), "Wd": (WIDTH, INNER), "Wg2": (INNER, WIDTH),
              "Wu2": (INNER, WIDTH), "Wd2": (WIDTH, INNER), "Wge": (4, INNER, WIDTH), "Wue": (4, INNER, WIDTH), "Wde": (4, WIDTH, INNER)}
    weights = {name: (made.standard_normal(shape) / shape[-1] ** 0.5).astype("f4") for name, shape in shapes.items()}

    def write(path, lines, own):
        t = Trace(path).begin(tokens)
        at = {name: t.add(name, value, role="weight") for name, value in weights.items()}
        at["ids"] = t.add("ids", np.array(list(tokens), "i4"), role="input")
        at["experts"] = t.add("experts", EXPERTS[:, None].astype("i4"), role="input")
        values = dict(weights, ids=np.array(list(tokens)))
        for name, op, sources, function, *more in lines:
            values[name] = np.asarray(function(*(values[s] for s in sources if s != "experts")), "f8")
            at[name] = t.add(f"{own}{name}", values[name].astype("f4"), [at[s] for s in sources], op=op, layer=0, **(more[0] if more else {}))
        return t.write()
    return diff(write(tmp_path / "r", ref, "r."), write(tmp_path / "c", cand, "c-"), "--preset", "none")


EXPERTS = np.array([3, 1, 0, 2, 1, 3, 0, 0, 2, 1, 3, 2])
MANY = range(12)


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def linear(w, x):
    return x @ w.T.astype("f8")


def take(w, ids):
    return w.astype("f8")[ids]


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def swiglu(g, u):
    return silu(g) * u


def test_a_scale_that_the_reference_applies_later(tmp_path):
    """A copy of what is scaled is not what the scale should have given."""
    same = {"xxh3": "00000000000000a1"}
    ref = [("x", "embedding", ["ids", "W0"], lambda i, w: take(w, i), same), ("copy", "cat", ["x"], lambda x: x, same), ("s", "linear", ["copy", "Wx"], lambda x, w: linear(w, x)),
           ("p", "softmax", ["s"], lambda s: softmax(0.25 * s)), ("o", "linear", ["p", "Wg"], lambda p, w: linear(w, p))]
    cand = [("x", "GET_ROWS", ["W0", "ids"], take), ("q", "SCALE", ["x"], lambda x: 0.25 * x, {"params": {"scale": 0.25}}), ("s", "MUL_MAT", ["Wx", "q"], linear),
            ("p", "SOFT_MAX", ["s"], softmax, {"params": {"scale": 1}}), ("o", "MUL_MAT", ["Wg", "p"], linear)]
    status, result = two_sides(tmp_path, ref, cand, MANY)
    assert status == 0 and not named(result) and classes(result)["c-q"] == classes(result)["c-s"] == "covered"


def test_another_branch_keeps_its_tensors(tmp_path):
    """Two gated branches of one shape, of which the reference has the second one's tensors only."""
    branch = [("g", "linear", ["x", "Wg"], lambda x, w: linear(w, x)), ("u", "linear", ["x", "Wu"], lambda x, w: linear(w, x)), ("m", "mul", ["g", "u"], swiglu),
              ("d", "linear", ["m", "Wd"], lambda m, w: linear(w, m))]
    first = ("e", "moe", ["x", "Wg2", "Wu2", "Wd2"], lambda x, g, u, d: linear(d, swiglu(linear(g, x), linear(u, x))))
    ref = [("x", "embedding", ["ids", "W0"], lambda i, w: take(w, i)), first, *branch, ("o", "add", ["e", "d"], np.add)]
    cand = [("x", "GET_ROWS", ["W0", "ids"], take)]
    for end, sources in (("2", ["Wg2", "Wu2", "Wd2"]), ("", ["Wg", "Wu", "Wd"])):
        cand += [("g" + end, "MUL_MAT", [sources[0], "x"], linear), ("u" + end, "MUL_MAT", [sources[1], "x"], linear), ("m" + end, "SWIGLU", ["g" + end, "u" + end], swiglu),
                 ("d" + end, "MUL_MAT", [sources[2], "m" + end], linear)]
    status, result = two_sides(tmp_path, ref, cand + [("o", "ADD", ["d2", "d"], np.add)], MANY)
    assert status == 0 and not named(result) and classes(result)["c-g2"] == "covered" and classes(result)["c-d2"] == "found"


def test_what_no_weight_goes_into_is_no_product(tmp_path):
    """A later pair of tensors that would be consistent with an operation that the reference lacks."""
    def total(x):
        return x.sum(-1, keepdims=True)
    ref = [("x", "embedding", ["ids", "W0"], lambda i, w: take(w, i)), ("l", "linear", ["x", "Wr"], lambda x, w: linear(w, x)), ("c", "norm", ["l"], lambda x: sigmoid(x) / total(sigmoid(x))),
           ("h", "linear", ["c", "Wh"], lambda x, w: linear(w, x)), ("l2", "linear", ["h", "Wr"], lambda x, w: linear(w, x)), ("s2", "sum", ["l2"], total), ("o", "div", ["l2", "s2"], np.divide)]
    cand = [("x", "GET_ROWS", ["W0", "ids"], take), ("l", "MUL_MAT", ["Wr", "x"], linear), ("a", "SIGMOID", ["l"], sigmoid), ("b", "SUM_ROWS", ["a"], total), ("c", "DIV", ["a", "b"], np.divide),
            ("h", "MUL_MAT", ["Wh", "c"], linear), ("l2", "MUL_MAT", ["Wr", "h"], linear), ("s2", "SUM_ROWS", ["l2"], total), ("o", "DIV", ["l2", "s2"], np.divide)]
    status, result = two_sides(tmp_path, ref, cand, MANY)
    assert status == 0 and not named(result) and classes(result)["c-a"] == classes(result)["c-b"] == "covered"


def test_a_step_that_the_candidate_lacks(tmp_path):
    """What is right in front of it is not blamed: its values are a tensor of the reference, too."""
    ref = [("x", "embedding", ["ids", "W0"], lambda i, w: take(w, i)), ("l", "linear", ["x", "Wr"], lambda x, w: linear(w, x)), ("p", "sigmoid", ["l"], sigmoid),
           ("s", "sum", ["p"], lambda p: p.sum(-1, keepdims=True)), ("d", "div", ["p", "s"], np.divide), ("m", "mul", ["d"], lambda d: 2.5 * d), ("h", "linear", ["m", "Wh"], lambda m, w: linear(w, m)),
           ("y", "linear", ["h", "Wg"], lambda h, w: linear(w, h))]
    cand = [("x", "GET_ROWS", ["W0", "ids"], take), ("l", "MUL_MAT", ["Wr", "x"], linear), ("p", "SIGMOID", ["l"], sigmoid), ("m", "SCALE", ["p"], lambda p: 2.5 * p, {"params": {"scale": 2.5}}),
            ("h", "MUL_MAT", ["Wh", "m"], linear), ("y", "MUL_MAT", ["Wg", "h"], linear)]
    status, result = two_sides(tmp_path, ref, cand, MANY)
    assert status == 1 and named(result) == {"c-m"}


def experts_of_each_side(tmp_path, spoil=lambda w: w):
    """The reference computes each expert's rows together; the candidate does it token by token."""
    order = np.argsort(EXPERTS, kind="stable")

    def gathered(x, w):
        return np.einsum("tok,tk->to", w.astype("f8")[EXPERTS[order]], x)

    def experts(w, x):
        return np.einsum("tok,tik->tio", w.astype("f8")[EXPERTS], x.reshape(len(EXPERTS), 1, -1))

    def wrong(w, x):
        return experts(spoil(w), x)
    ref = [("x", "embedding", ["ids", "W0"], lambda i, w: take(w, i)), ("i", "index", ["x"], lambda x: x[order]), ("g", "grouped_mm", ["i", "Wge"], gathered),
           ("u", "grouped_mm", ["i", "Wue"], gathered), ("m", "mul", ["g", "u"], swiglu), ("d", "grouped_mm", ["m", "Wde"], gathered),
           ("o", "index", ["d"], lambda d: d[np.argsort(order)]), ("y", "linear", ["o", "Wx"], lambda x, w: linear(w, x)),
           ("z", "linear", ["y", "Wg"], lambda x, w: linear(w, x))]
    cand = [("x", "GET_ROWS", ["W0", "ids"], take), ("g", "MUL_MAT_ID", ["Wge", "x3", "experts"], experts), ("u", "MUL_MAT_ID", ["Wue", "x3", "experts"], wrong),
            ("m", "SWIGLU", ["g", "u"], swiglu), ("d", "MUL_MAT_ID", ["Wde", "m", "experts"], experts), ("y", "MUL_MAT", ["Wx", "d"], linear), ("z", "MUL_MAT", ["Wg", "y"], linear)]
    cand.insert(1, ("x3", "CONT", ["x"], lambda x: x[:, None]))
    return two_sides(tmp_path, ref, cand, MANY)


def test_rows_that_are_gathered_by_expert(tmp_path):
    status, result = experts_of_each_side(tmp_path)
    assert status == 0 and not named(result) and {classes(result)[f"c-{name}"] for name in "gumd"} == {"found"} and result["pairing"]["coverage"] == 1
    assert {o["layout"] for o in result["replay"]["operations"] if o["name"] in ("c-g", "c-u", "c-m")} == {"rows by expert"}


def test_a_candidate_that_computed_with_permuted_experts(tmp_path):
    """The weights in its trace are right: its kernel took others."""
    status, result = experts_of_each_side(tmp_path, lambda w: w[[1, 0, 2, 3]])
    assert status == 1 and result["first_divergence"]["candidate"]["name"] == "c-u"


def chain(tmp_path, lengths):
    """Between two tensors of the reference, the candidate computes the same in so many steps."""
    ref, cand, at = [("x", "embedding", ["ids", "W0"], lambda i, w: take(w, i))], [("x", "GET_ROWS", ["W0", "ids"], take)], "x"
    for part, length in enumerate(lengths):
        begin, factor = at, (1.25, 0.7)[part]
        for step in range(length):
            cand.append((f"t{part}.{step}", "SCALE", [at], lambda x, factor=factor: factor * x, {"params": {"scale": factor}}))
            at = f"t{part}.{step}"
        ref.append((at, "forward", [begin], lambda x, factor=factor ** length: factor * x))
    return two_sides(tmp_path, ref + [("y", "linear", [at, "Wx"], lambda x, w: linear(w, x))], cand + [("y", "MUL_MAT", ["Wx", at], linear)], MANY)


def test_a_region_may_be_of_eight_operations(tmp_path):
    status, result = chain(tmp_path, [9, 3])
    assert status == 0 and result["replay"]["counts"]["open"] == 0 and result["replay"]["largest_region"]["operations"] == 8


def test_a_region_that_is_larger_is_open(tmp_path):
    status, result = chain(tmp_path, [10, 3])
    assert status == 2 and result["verdict"] == "incomparable" and result["replay"]["counts"]["open"] == 9 and not named(result)
    assert {name for name, class_ in classes(result).items() if class_ == "open"} == {f"c-t0.{step}" for step in range(9)}


@pytest.mark.parametrize("one_operand", [True, False])
def test_a_region_may_have_one_product(tmp_path, one_operand):
    """Two that multiply the same, such as gate and up, count as one; one after the other don't."""
    second = "x" if one_operand else "g"
    weight = "Wu" if one_operand else "Wd"
    ref = [("x", "embedding", ["ids", "W0"], lambda i, w: take(w, i)),
           ("m", "mlp", ["x", "Wg", weight], lambda x, g, u: swiglu(linear(g, x), linear(u, x)) if one_operand else silu(linear(u, linear(g, x)))),
           ("y", "linear", ["m", "Wd" if one_operand else "Wx"], lambda m, w: linear(w, m))]
    cand = [("x", "GET_ROWS", ["W0", "ids"], take), ("g", "MUL_MAT", ["Wg", "x"], linear), ("u", "MUL_MAT", [weight, second], linear),
            ("m", "SWIGLU", ["g", "u"], swiglu) if one_operand else ("m", "SILU", ["u"], silu), ("y", "MUL_MAT", ["Wd" if one_operand else "Wx", "m"], linear)]
    status, result = two_sides(tmp_path, ref, cand, MANY)
    assert (status, result["replay"]["counts"]["open"]) == ((0, 0) if one_operand else (2, 2)) and not named(result)
