"""Folders and archives of tensors as people have them: names of their own, no names, no order."""
import zlib

import numpy as np
import pytest

from traces import Trace, diff, first_name, report, verdicts

torch = pytest.importorskip("torch")

NAMES = ["embed", "layer0_q", "layer0_k", "layer0_out", "layer1_q", "layer1_k", "layer1_out", "norm", "logits"]
BAD = NAMES[5:]


def made(rng=0):
    rng = np.random.default_rng(rng)
    reference = {n: rng.standard_normal((1, 7, 100 if n == "logits" else 16)).astype("f4") for n in NAMES}
    candidate = {n: (v + 1e-6 * rng.standard_normal(v.shape)).astype("f4") for n, v in reference.items()}
    candidate.update({n: (reference[n] * 1.07 + 0.02).astype("f4") for n in BAD})
    return reference, candidate


def folder(path, tensors, name=lambda i, n: n, change=lambda v: v):
    path.mkdir()
    for i, (n, v) in enumerate(tensors.items()):
        np.save(path / f"{name(i, n)}.npy", change(v))
    return path


def archive(path, tensors):
    np.savez(path, **tensors)
    return path


def trace(path, tensors):
    t = Trace(path).begin(range(7))
    last = []
    for name, values in tensors.items():
        last = [t.add(name, values, last, op="op")]
    return t.write()


REFERENCES = {
    "torch": lambda path, t: torch.save({n: torch.tensor(v) for n, v in t.items()}, path.with_suffix(".pt")) or path.with_suffix(".pt"),
    "npz": lambda path, t: archive(path.with_suffix(".npz"), t),
    "trace": trace,
    "folder": folder,
}
CANDIDATES = {
    "same names": (True, lambda path, t: folder(path, t)),
    "numbered": (True, lambda path, t: folder(path, t, lambda i, n: f"{i:03d}_{n}")),
    "own names": (False, lambda path, t: folder(path, t, lambda i, n: "t_" + n.replace("layer", "blk").replace("_", "."))),
    "no batch axis": (True, lambda path, t: folder(path, t, change=lambda v: v[0])),
    "transposed": (True, lambda path, t: folder(path, t, change=lambda v: np.ascontiguousarray(v[0].T))),
    "half": (True, lambda path, t: folder(path, t, change=lambda v: v.astype("f2"))),
    "own names, transposed": (False, lambda path, t: folder(path, t, lambda i, n: f"x{zlib.crc32(n.encode())}", lambda v: np.ascontiguousarray(v[0].T))),
}


@pytest.mark.parametrize("reference", REFERENCES)
@pytest.mark.parametrize("candidate", CANDIDATES)
def test_the_first_is_named_where_an_order_is_known(tmp_path, reference, candidate):
    named, make = CANDIDATES[candidate]
    r, c = made()
    status, result = diff(REFERENCES[reference](tmp_path / "r", r), make(tmp_path / "c", c))
    assert status == 1 and result["pairing"]["paired"] == len(NAMES)
    by = result["pairing"]["by"]
    assert by["name"] == (len(NAMES) if named else 0) and by["name"] + by["content"] + by["inferred"] == len(NAMES)
    right = {pair["reference"]["name"]: pair["verdict"] for pair in result["pairs"]}
    assert {n for n, v in right.items() if v == "diverged"} == set(BAD)
    if reference == "folder" and candidate != "numbered":
        assert result["order"] == "unknown" and result["first_divergence"] is None
        assert any("is not known" in hint for hint in result["hints"])
        assert "first divergence" not in report(*(tmp_path / name for name in "rc"))
    else:
        assert result["first_divergence"]["reference"]["name"] == BAD[0]


@pytest.mark.parametrize("kind", ["list", "npz"])
def test_tensors_without_names_pair_by_what_they_hold(tmp_path, kind):
    r, c = made()
    if kind == "list":
        torch.save([torch.tensor(v) for v in c.values()], tmp_path / "c.pt")
    else:
        np.savez(tmp_path / "c.npz", *c.values())
    status, result = diff(folder(tmp_path / "r", r), tmp_path / ("c.pt" if kind == "list" else "c.npz"))
    assert status == 1 and result["pairing"]["by"]["content"] == len(NAMES)
    assert result["first_divergence"]["reference"]["name"] == BAD[0]


def test_tensors_without_names_and_nothing_alike_pair_by_place(tmp_path):
    rng = np.random.default_rng(1)
    for name in "rc":
        np.savez(tmp_path / f"{name}.npz", *[rng.standard_normal((4, 8)) for _ in range(3)])
    status, result = diff(tmp_path / "r.npz", tmp_path / "c.npz")
    assert status == 1 and result["pairing"]["by"]["name"] == 3


def test_one_tensor_that_differs_needs_no_order(tmp_path):
    r, c = made()
    c = {n: (r[n] * 2 if n == "norm" else r[n]) for n in NAMES}
    status, result = diff(folder(tmp_path / "r", r), folder(tmp_path / "c", c))
    assert status == 1 and first_name(result) == "norm"


def renamed(tensors, names):
    return {names.get(n, n): v for n, v in tensors.items()}


def test_numbers_that_values_contradict_are_dropped(tmp_path):
    """Both sides use the same numbers, for different tensors."""
    r, _ = made()
    first = {n: f"t_{i:03d}" for i, n in enumerate(NAMES)}
    second = {n: f"t_{(i + 2) % len(NAMES):03d}" for i, n in enumerate(NAMES)}
    status, result = diff(folder(tmp_path / "r", renamed(r, first)), folder(tmp_path / "c", renamed(r, second)))
    assert status == 0 and {(p["reference"]["name"], p["candidate"]["name"]) for p in result["pairs"]} == {(first[n], second[n]) for n in NAMES}
    assert any("names mean nothing here" in hint for hint in result["hints"])


def test_names_that_values_contradict_are_a_finding(tmp_path):
    """Names that say something, each of which has another one's values."""
    r, _ = made()
    status, result = diff(folder(tmp_path / "r", r), folder(tmp_path / "c", renamed(r, dict(zip(NAMES, NAMES[2:] + NAMES[:2])))))
    assert status == 1 and any("with which its name pairs it" in hint for hint in result["hints"])


def test_one_buffer_in_place_of_many_tensors(tmp_path):
    r, _ = made()
    status, result = diff(trace(tmp_path / "r", r), folder(tmp_path / "c", {f"x{i}": r["norm"] for i in range(len(NAMES))}))
    assert status != 0 and result["pairing"]["paired"] <= 2


def test_two_names_that_are_exchanged_are_a_finding(tmp_path):
    r, _ = made()
    status, result = diff(folder(tmp_path / "r", r), folder(tmp_path / "c", renamed(r, {"layer0_q": "layer0_k", "layer0_k": "layer0_q"})))
    wrong = {p["candidate"]["name"] for p in result["pairs"] if p["verdict"] == "diverged"}
    assert status == 1 and result["pairing"]["by"]["name"] == len(NAMES) and wrong == {"layer0_q", "layer0_k"}
    assert any("with which its name pairs it; the same is true of 1 more" in hint for hint in result["hints"])


def test_a_tensor_that_was_dumped_twice(tmp_path):
    r, _ = made()
    twice = {f"x{i}": v for i, v in enumerate([*r.values(), r["norm"], r["layer1_q"]])}
    status, result = diff(trace(tmp_path / "r", r), folder(tmp_path / "c", twice))
    assert status == 0 and result["pairing"]["by"]["content"] == len(NAMES) + 2 and result["pairing"]["candidate_only"] == []


def test_a_tensor_of_few_values_pairs_only_with_an_equal_one(tmp_path):
    r, _ = made()
    mask = np.triu(np.full((7, 7), -np.inf, "f4"), 1)
    own = {f"x{i}": v for i, v in enumerate([*r.values(), mask])}
    assert diff(folder(tmp_path / "r", {**r, "mask": mask}), folder(tmp_path / "c", own))[0] == 0
    status, result = diff(tmp_path / "r", folder(tmp_path / "other", {**own, "x9": np.where(np.eye(7) == 1, -np.inf, 0).astype("f4")}))
    only = [[n["name"] for n in result["pairing"][side]] for side in ("candidate_only", "reference_only")]
    assert status == 1 and only == [["x9"], ["mask"]]


def test_tensors_of_another_model_are_called_so(tmp_path):
    r, _ = made()
    other, _ = made(rng=5)
    status, result = diff(trace(tmp_path / "r", r), folder(tmp_path / "c", other, lambda i, n: f"x{i}"))
    assert status == 2 and result["pairing"]["paired"] == 0 and any("seem to be different models" in hint for hint in result["hints"])


@pytest.mark.parametrize("delimiter", [" ", ",", "\t", "; "])
def test_rows_of_values_in_text(tmp_path, delimiter):
    r, _ = made()
    (tmp_path / "c").mkdir()
    for n, v in r.items():
        np.savetxt(tmp_path / "c" / f"{n}.txt", v[0], delimiter=delimiter)
    status, result = diff(folder(tmp_path / "r", r), tmp_path / "c")
    assert status == 0 and set(verdicts(result).values()) == {"identical"}
    shapes = {pair["candidate"]["name"]: pair["candidate"]["shape"] for pair in result["pairs"]}
    assert shapes["logits"] == [7, 100]


def test_numbers_that_tell_tensors_apart(tmp_path):
    r = {f"{i}_weight": np.random.default_rng(i).standard_normal((4, 8)).astype("f4") for i in range(3)}
    status, result = diff(folder(tmp_path / "r", r), folder(tmp_path / "c", r))
    assert status == 0 and set(verdicts(result).values()) == {"identical"}
    status, result = diff(folder(tmp_path / "one", {"weight": r["1_weight"]}), tmp_path / "c")
    assert status == 1 and result["pairing"]["by"]["name"] == 0 and result["pairing"]["by"]["content"] == 1


def test_wrappers_in_front_of_names(tmp_path):
    r, _ = made()
    for prefix in ("module.", "_orig_mod.", "base_model.model.", "module._orig_mod."):
        status, result = diff(trace(tmp_path / f"r{prefix}", r), trace(tmp_path / f"c{prefix}", {prefix + n: v for n, v in r.items()}))
        assert status == 0 and result["pairing"]["by"]["name"] == len(NAMES)


@pytest.mark.parametrize("length", [100, 399, 400, 500, 511, 512, 5000])
def test_names_are_compared_whole(tmp_path, length):
    long = "m." * (length // 2)
    a, b = (np.random.default_rng(k).standard_normal((2, 8)).astype("f4") for k in (0, 1))
    status, result = diff(trace(tmp_path / "r", {long + "first": a, long + "second": b}), trace(tmp_path / "c", {long + "second": b, long + "first": a}))
    assert status == 0 and set(verdicts(result).values()) == {"identical"}


@pytest.mark.parametrize("channels", [63, 64, 128, 256])
@pytest.mark.parametrize("smooth", [False, True])
def test_axes_are_told_apart_in_squares(tmp_path, channels, smooth):
    n = 128
    values = np.random.default_rng(0).normal(size=(1, channels, n, n)).astype("f4")
    if smooth:
        y, x = np.mgrid[:n, :n] / n
        values = ((np.sin(3 * x + np.arange(channels)[:, None, None]) + 0.1 * np.cos(5 * y))[None] + 0.05 * values).astype("f4")
    np.savez(tmp_path / "r.npz", t=values)
    np.savez(tmp_path / "c.npz", t=np.ascontiguousarray(values[0].transpose(2, 1, 0)))
    status, result = diff(tmp_path / "r.npz", tmp_path / "c.npz")
    assert status == 0 and result["pairs"][0]["verdict"] == "identical", result["pairs"][0]["layout"]


@pytest.mark.parametrize("rows", [65535, 65536, 70000])
def test_any_number_of_rows(tmp_path, rows):
    values = np.random.default_rng(0).standard_normal((rows, 2)).astype("f4")
    r, c = Trace(tmp_path / "r").begin([i % 1000 for i in range(rows)]), Trace(tmp_path / "c")
    r.add("x", values)
    for part in (range(rows // 2), range(rows // 2, rows)):
        c.begin([i % 1000 for i in part], positions=part)
        c.add("x", values[part.start:part.stop])
    status, result = diff(r.write(), c.write())
    assert status == 0 and all(pair["verdict"] == "identical" for pair in result["pairs"])


def test_weights_behind_a_dump_are_those_of_the_reference_graph(tmp_path):
    from safetensors.numpy import save_file
    r, c = made()
    rng = np.random.default_rng(1)
    weights = {f"w_{n}": rng.standard_normal((4, 4)).astype("f4") for n in r}
    t, last = Trace(tmp_path / "r").begin(range(7)), []
    for name, values in r.items():  # more nodes than the candidate has tensors: its weights come after each other
        w = t.add(f"w_{name}", weights[f"w_{name}"], role="weight")
        last = [t.add(name, values, [*last, w], op="op")]
    other = {**weights, f"w_{BAD[0]}": 2 * weights[f"w_{BAD[0]}"]}
    save_file(weights, tmp_path / "r.safetensors")
    save_file(other, tmp_path / "c.safetensors")
    status, result = diff(t.write(), folder(tmp_path / "c", c), "--reference-model", tmp_path / "r.safetensors",
                          "--candidate-model", tmp_path / "c.safetensors")
    assert status == 1 and result["first_divergence"]["reference"]["name"] == BAD[0]
    assert [(p["candidate"]["name"], p["verdict"]) for p in result["weights"]] == [(f"w_{BAD[0]}", "differs")]


def test_a_dump_of_some_stages_needs_the_final_output(tmp_path):
    """A trace has more than anyone dumps; between two dumps, all tensors must be there."""
    r, _ = made()
    reference, some = trace(tmp_path / "r", r), {n: r[n] for n in ("layer0_q", "layer0_k", "layer1_out")}
    status, result = diff(reference, folder(tmp_path / "some", some))
    assert (status, result["verdict"]) == (2, "incomparable") and "the reference's final output logits was not compared" in result["reason"]
    assert diff(reference, tmp_path / "some", "--tensors", "layer")[0] == 0
    assert diff(reference, folder(tmp_path / "end", {**some, "logits": r["logits"]}))[0] == 0
    assert diff(folder(tmp_path / "all", r), tmp_path / "end")[0] == 1
    status, result = diff(reference, folder(tmp_path / "more", {**some, "logits": r["logits"], "unknown": np.ones((3, 5), "f4") * np.arange(5, dtype="f4")}))
    assert status == 1 and "1 tensor is only in the candidate" in result["reason"]


def test_a_dump_needs_an_output_even_without_weights(tmp_path):
    """Without a weight, a smaller output looks like a pooling; what only picks or ranks may be missing."""
    rng = np.random.default_rng(2)
    body, classes = rng.standard_normal((1, 7, 16)).astype("f4"), rng.standard_normal((1, 7, 2)).astype("f4")
    t = Trace(tmp_path / "r").begin(range(7))
    logits = t.add("logits", classes, [t.add("norm", body, op="linear")], op="linear")
    without = diff(t.write(), folder(tmp_path / "norm", {"norm": body}))
    assert without[0] == 2 and "final output logits was not compared" in without[1]["reason"]
    t.add("next", np.argmax(classes, -1), [logits], op="argmax")
    assert diff(t.write(), folder(tmp_path / "both", {"norm": body, "logits": classes}))[0] == 0
