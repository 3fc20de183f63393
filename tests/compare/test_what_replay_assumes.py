"""What replay and verify take for granted between the operations that they compute: views show their source, masks count for nothing, regions are
computed however deep they are, and a tensor of a folder is not the first thing that resembles it."""
import json
import shutil
import subprocess

import gguf
import numpy as np
import pytest

import test_replay
from traces import LOCKSTEP, Trace, diff

Q4_0 = gguf.GGMLQuantizationType.Q4_0


def rounded(value):
    return gguf.quants.dequantize(gguf.quants.quantize(value, Q4_0), Q4_0)


@pytest.mark.parametrize("factor,expected", [(1, (0, "match")), (1.1, (1, "diverged"))])
def test_a_view_with_other_values_than_it_shows(tmp_path, factor, expected):
    """Replay reads its source, verify its own values: only the output tells."""
    rng = np.random.default_rng(0)
    e, w, v = rng.standard_normal((6, 16)), rng.standard_normal((24, 16)) / 4, rng.standard_normal((10, 24)) / 5
    keep = lambda t, name, value, sources, op, **more: t.add(name, value.astype("f4"), sources, op=op, layer=0, **more)
    ref, cand = Trace(tmp_path / "r").begin(range(6)), Trace(tmp_path / "c").begin(range(6))
    at = keep(ref, "tok", e, [], "embedding")
    at = keep(ref, "up", e @ w.T, [at], "linear")
    at = keep(ref, "act", test_replay.silu(e @ w.T), [at], "silu")
    keep(ref, "out", test_replay.silu(e @ w.T) @ v.T, [at], "linear")
    given = {name: cand.add(name, value.astype("f4"), role="weight") for name, value in (("E", e), ("W", w), ("V", v))}
    ids = cand.add("ids", np.arange(6, dtype="i4"), role="input")
    at = keep(cand, "e", e, [given["E"], ids], "GET_ROWS")
    at = keep(cand, "view", e * factor, [at], "RESHAPE", role="view")
    up = (e * factor) @ w.T
    at = keep(cand, "u", up, [given["W"], at], "MUL_MAT")
    at = keep(cand, "a", test_replay.silu(up), [at], "SILU")
    keep(cand, "o", test_replay.silu(up) @ v.T, [given["V"], at], "MUL_MAT")
    status, result = diff(ref.write(), cand.write(), "--preset", "none")
    assert (status, result["verdict"]) == expected and result["replay"]["origins"] == 0


@pytest.mark.parametrize("low", [-1e4, -65504, -1e9])
@pytest.mark.parametrize("noise,status", [(0, 0), (1e-2, 1)])
def test_a_row_that_is_masked_everywhere_by_a_finite_number(tmp_path, low, noise, status):
    """As a padded token is. Its scores say nothing about the size of the others'."""
    rng = np.random.default_rng(0)
    tokens, width, heads = 6, 8, 2
    q, k, v = (rng.standard_normal((1, heads, tokens, width)).astype("f4") for _ in range(3))
    mask = np.where(np.tril(np.ones((tokens, tokens))), 0, low).astype("f4")
    mask[0] = low
    scores = q.astype("f8") @ k.astype("f8").transpose(0, 1, 3, 2) * 0.4 + mask
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    out = (weights / weights.sum(-1, keepdims=True)) @ v.astype("f8") * (1 + noise * rng.standard_normal(v.shape))
    t = Trace(tmp_path / "t").begin(range(tokens))
    given = [t.add(name, value, role="input") for name, value in (("q", q), ("k", k), ("v", v), ("mask", mask[None, None]))]
    t.add("kqv", out.transpose(0, 2, 1, 3).astype("f4"), given, op="FLASH_ATTN_EXT", params={"scale": 0.4}, layer=0)
    assert subprocess.run([LOCKSTEP, "verify", t.write()], capture_output=True).returncode == status


def test_a_region_that_is_a_long_chain(tmp_path):
    """The rounding of two weights, with 1,000 operations between them, on a small stack."""
    rng = np.random.default_rng(0)
    e, a, b = rng.standard_normal((8, 64)), rng.standard_normal((64, 64)).astype("f4") / 8, rng.standard_normal((64, 64)).astype("f4") / 8
    t = Trace(tmp_path / "c").begin(range(8))
    given = {name: t.add(name, value.astype("f4"), role="weight", dtype=dtype) for name, value, dtype in (("E", e, None), ("A", rounded(a), "q4_0"), ("B", rounded(b), "q4_0"))}
    at = t.add("e", e.astype("f4"), [given["E"], t.add("ids", np.arange(8, dtype="i4"), role="input")], op="GET_ROWS", layer=0)
    y, exact = e @ rounded(a).T, e @ a.T
    at = t.add("a", y.astype("f4"), [given["A"], at], op="MUL_MAT", layer=0)
    for i in range(1000):
        factor = 1.02 if i % 2 else 0.99
        y, exact = y * factor, exact * factor
        at = t.add(f"s{i}", y.astype("f4"), [at], op="SCALE", params={"scale": factor}, layer=0)
    t.add("z", (y @ rounded(b).T).astype("f4"), [given["B"], at], op="MUL_MAT", layer=0)
    (tmp_path / "dumps").mkdir()
    for name, value in (("tok", e), ("z", exact @ b.T), ("ids", np.arange(8))):
        np.save(tmp_path / "dumps" / f"{name}.npy", value if value.dtype == "int64" else value.astype("f4"))
    done = subprocess.run(["sh", "-c", 'ulimit -s 1024; exec "$@"', "sh", LOCKSTEP, "diff", tmp_path / "dumps", t.write(), "--preset", "none"], capture_output=True, text=True)
    assert done.returncode == 0 and "verdict: match" in done.stdout, done.stdout + done.stderr


def quantized_candidate(path, w, fault):
    """test_replay's model with its matrices in Q4_0; in layer 1, `fault` is a factor on the block's output."""
    t = Trace(path).begin(range(test_replay.TOKENS))
    is_matrix = lambda name: name[:2] in ("ga", "up", "do", "em")
    wq = {name: rounded(value) if is_matrix(name) else value for name, value in w.items()}
    given = {name: t.add(name, value, role="weight", **({"dtype": "q4_0"} if is_matrix(name) else {})) for name, value in wq.items()}
    keep = lambda name, value, sources, op, **more: t.add(name, value.astype("f4"), sources, op=op, layer=0, **more)
    x = wq["embed"].astype("f8")[:test_replay.TOKENS]
    at = keep("e", x, [given["embed"], t.add("ids", np.arange(test_replay.TOKENS, dtype="i4"), role="input")], "GET_ROWS")
    for n in range(test_replay.LAYERS):
        h = test_replay.norm(x)
        normed = keep(f"n-{n}", h, [at], "RMS_NORM", params={"eps": 1e-6})
        h = h * wq[f"norm{n}"]
        scaled = keep(f"nw-{n}", h, [normed, given[f"norm{n}"]], "MUL")
        gate, up = (h @ wq[f"{name}{n}"].T.astype("f8") for name in ("gate", "up"))
        g, u = (keep(f"{name[0]}-{n}", value, [given[f"{name}{n}"], scaled], "MUL_MAT") for name, value in (("gate", gate), ("up", up)))
        mixed = keep(f"m-{n}", test_replay.silu(gate) * up, [g, u], "SWIGLU")
        out = (test_replay.silu(gate) * up) @ wq[f"down{n}"].T.astype("f8")
        o = keep(f"p-{n}", out, [given[f"down{n}"], mixed], "MUL_MAT")
        out = out + wq[f"bias{n}"]
        o = keep(f"o-{n}", out, [o, given[f"bias{n}"]], "ADD")
        if n == 1 and fault != 1:
            out = out * fault
            o = keep(f"s-{n}", out, [o], "SCALE", params={"scale": fault})
        x = x + out
        at = keep(f"x-{n}", x, [at, o], "ADD")
    return t.write()


@pytest.mark.parametrize("layers,fault,status", [(4, 1, 0), (8, 1, 0), (16, 1, 0), (8, 3, 1)])
def test_a_folder_with_the_first_and_the_last_layer(tmp_path, monkeypatch, layers, fault, status):
    """Layers resemble one another, and Q4_0's rounding adds up: the last layer's tensor is not an earlier one's."""
    for name, value in {"WIDTH": 64, "INNER": 128, "TOKENS": 16, "LAYERS": layers}.items():
        monkeypatch.setattr(test_replay, name, value)
    w = test_replay.weights(0)
    w["embed"] = np.random.default_rng(0).standard_normal((40, 64)).astype("f4")
    trace = test_replay.reference(tmp_path / "r", w, tokens=range(16))
    (tmp_path / "dumps").mkdir()
    for line in map(json.loads, (trace / "trace.jsonl").read_text().splitlines()):
        if line.get("name") in ("tok", f"b.{layers - 1}"):
            shutil.copy(trace / line["file"], tmp_path / "dumps" / f"{line['name']}.npy")
    np.save(tmp_path / "dumps" / "ids.npy", np.arange(16))
    found = diff(tmp_path / "dumps", quantized_candidate(tmp_path / "c", w, fault), "--preset", "none")
    assert found[0] == status, found[1]["verdict"]
    if status == 0:
        assert {o["reference"] for o in found[1]["replay"]["operations"] if o["name"] == f"x-{layers - 1}"} == {f"b.{layers - 1}"}
