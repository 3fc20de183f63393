"""The figures of `lockstep diff --json` against NumPy in float64."""
import json
import os
import pathlib
import subprocess

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import save_file

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
LOCKSTEP = os.environ.get("LOCKSTEP_BIN", str(ROOT / "build" / "lockstep"))
SHAPES = [(1,), (7,), (3, 5), (2, 3, 4), (63, 65), (3, 4096), (150, 999), (1 << 20,)]
NPY = ["f2", "f4", "f8", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "?"]


def diff(reference, candidate, *options, threads=None):
    environment = dict(os.environ, **({"LOCKSTEP_THREADS": str(threads)} if threads else {}))
    done = subprocess.run([LOCKSTEP, "diff", str(reference), str(candidate), "--json", "-", *options],
                          stdout=subprocess.PIPE, text=True, env=environment)
    assert done.returncode in (0, 1)
    (pair,) = json.loads(done.stdout)["pairs"]
    return pair["metrics"], pair["verdict"]


def value(figure):
    return float(figure)  # "nan", "inf" and "-inf" as well


def ratio(a, b):
    with np.errstate(divide="ignore", invalid="ignore"):
        return 0.0 if a == 0 and b == 0 else float(np.float64(a) / np.float64(b))


def side(values):
    v = values[np.isfinite(values)]
    return {"min": v.min(), "max": v.max(), "mean": v.mean(), "std": v.std(), "l2": np.linalg.norm(v)}


def expected(reference, candidate):
    r, c = reference.ravel(), candidate.ravel()
    both = np.isfinite(r) & np.isfinite(c)
    place = np.flatnonzero(both)
    a, b = r[both], c[both]
    d = b - a
    with np.errstate(divide="ignore", invalid="ignore"):
        relative = np.where(d == 0, 0, np.abs(d) / np.abs(a))
    squares, of_a, of_b = (d * d).sum(), (a * a).sum(), (b * b).sum()
    out = {
        "max_abs": np.abs(d).max(), "mean_abs": np.abs(d).mean(), "max_rel": relative.max(),
        "mean_rel": relative[a != 0].sum() / a.size, "rmse": np.sqrt((d * d).mean()),
        "rel_l2": np.sqrt(ratio(squares, of_a)), "nmse": ratio(squares, of_a),
        "nmse_var": ratio((d * d).mean(), a.var()), "max_abs_over_max": ratio(np.abs(d).max(), np.abs(a).max()),
        "cosine": (a @ b) / np.sqrt(of_a * of_b) if of_a and of_b else float(of_a == of_b),
    }
    with np.errstate(divide="ignore"):
        out["sqnr_db"] = 10 * np.log10(ratio(of_a, squares)) if squares else np.inf
    counts = {
        "elements": r.size, "finite": a.size, "max_abs_at": place[np.abs(d).argmax()],
        "max_rel_at": place[relative.argmax()], "nan_reference": np.isnan(r).sum(), "nan_candidate": np.isnan(c).sum(),
        "inf_reference": np.isinf(r).sum(), "inf_candidate": np.isinf(c).sum(),
        "nonfinite_differ": (~both & ~((np.isnan(r) & np.isnan(c)) | (r == c))).sum(),
        "above": {f"{t:.0e}": int((np.abs(d) > t).sum()) for t in (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1)},
    }
    return out, counts


def check(metrics, reference, candidate):
    r, c = reference.astype(np.float64), candidate.astype(np.float64)
    reals, counts = expected(r, c)
    for key, figure in reals.items():
        assert value(metrics[key]) == pytest.approx(figure, rel=1e-10, abs=1e-300), key
    for key, figure in counts.items():
        assert metrics[key] == figure, key
    for key, values in ("reference", r), ("candidate", c):
        for name, figure in side(values).items():
            assert value(metrics[key][name]) == pytest.approx(figure, rel=1e-9, abs=1e-12 * np.abs(values[np.isfinite(values)]).max()), (key, name)


def pair_of(kind, shape, seed=0):
    random = np.random.default_rng(seed)
    dtype = np.dtype(kind)
    if dtype.kind == "b":
        return random.integers(0, 2, shape).astype(bool), random.integers(0, 2, shape).astype(bool)
    if dtype.kind in "iu":
        info = np.iinfo(dtype)
        low, high = max(info.min, -(2**52)), min(info.max, 2**52)
        return random.integers(low, high, shape).astype(dtype), random.integers(low, high, shape).astype(dtype)
    a = random.standard_normal(shape)
    return a.astype(dtype), (a * (1 + 1e-3 * random.standard_normal(shape))).astype(dtype)


@pytest.mark.parametrize("kind", NPY)
def test_every_type_and_shape(tmp_path, kind):
    for shape in SHAPES:
        a, b = pair_of(kind, shape)
        np.save(tmp_path / "a.npy", a)
        np.save(tmp_path / "b.npy", b)
        check(diff(tmp_path / "a.npy", tmp_path / "b.npy")[0], a, b)


@pytest.mark.parametrize("kind", ["float16", "bfloat16", "float32"])
def test_half_types_of_safetensors(tmp_path, kind):
    dtype = np.dtype(getattr(ml_dtypes, kind, kind))
    a, b = pair_of("f8", (77, 131))
    a, b = a.astype(dtype), b.astype(dtype)
    save_file({"x": a}, tmp_path / "a.safetensors")
    save_file({"x": b}, tmp_path / "b.safetensors")
    metrics, _ = diff(tmp_path / "a.safetensors", tmp_path / "b.safetensors")
    check(metrics, a, b)
    bits = np.dtype(f"u{dtype.itemsize}")

    def order(x):  # a number's place among all of its type
        raw = x.view(bits).astype(np.int64)
        top = 1 << (8 * dtype.itemsize - 1)
        return np.where(raw >= top, top - raw, raw)

    assert metrics["max_ulp"] == np.abs(order(a) - order(b)).max()


@pytest.mark.parametrize("kind", ["<f4", ">f4", "<f8", ">i2"])
def test_byte_order_and_fortran_order(tmp_path, kind):
    a, b = pair_of(kind[1:], (91, 117))
    np.save(tmp_path / "b.npy", b)
    plain = None
    for order in "CF":
        np.save(tmp_path / "a.npy", np.asarray(a.astype(kind), order=order))
        metrics, _ = diff(tmp_path / "a.npy", tmp_path / "b.npy")
        check(metrics, a, b)
        plain = plain or metrics
        assert metrics == plain


def test_two_types(tmp_path):
    a, b = pair_of("f4", (300, 400))
    np.save(tmp_path / "a.npy", a)
    np.save(tmp_path / "b.npy", b.astype("f8"))
    metrics, _ = diff(tmp_path / "a.npy", tmp_path / "b.npy")
    check(metrics, a, b)
    assert metrics["max_ulp"] == "nan"


@pytest.mark.parametrize("seed", range(4))
def test_nan_and_infinities_anywhere(tmp_path, seed):
    a, b = pair_of("f4", (5, 4100), seed)
    random = np.random.default_rng(seed)
    for values in a, b:
        values.flat[random.integers(0, values.size, 20)] = random.choice([np.nan, np.inf, -np.inf], 20)
    b[2, 100], a[2, 100] = np.inf, np.inf
    np.save(tmp_path / "a.npy", a)
    np.save(tmp_path / "b.npy", b)
    metrics, verdict = diff(tmp_path / "a.npy", tmp_path / "b.npy")
    check(metrics, a, b)
    assert verdict == "nonfinite"


def test_zeros(tmp_path):
    for a, b in ([0, 0], [0, 0]), ([0, 0], [1, 2]), ([1, 2], [0, 0]), ([0, 3], [1, 3]):
        a, b = np.array(a, "f4"), np.array(b, "f4")
        np.save(tmp_path / "a.npy", a)
        np.save(tmp_path / "b.npy", b)
        check(diff(tmp_path / "a.npy", tmp_path / "b.npy")[0], a, b)


@pytest.mark.parametrize("atol,rtol", [(0, 1e-3), (1e-3, 0), (1e-4, 1e-3), (1e-8, 1e-5), (0, 0)])
def test_elementwise_tolerance_is_numpys(tmp_path, atol, rtol):
    a, b = pair_of("f8", (40, 1000))
    a.flat[::97] = 0
    np.save(tmp_path / "a.npy", a)
    np.save(tmp_path / "b.npy", b)
    metrics, verdict = diff(tmp_path / "a.npy", tmp_path / "b.npy", "--atol", str(atol), "--rtol", str(rtol))
    assert metrics["beyond"] == (~np.isclose(b, a, atol=atol, rtol=rtol)).sum()
    assert (verdict == "match") == np.allclose(b, a, atol=atol, rtol=rtol)


@pytest.mark.parametrize("kind", ["f2", "f4", "f8"])
def test_threads_do_not_matter(tmp_path, kind):
    a, b = pair_of(kind, (1 << 20,))
    np.save(tmp_path / "a.npy", a)
    np.save(tmp_path / "b.npy", b)
    one, two, three = (diff(tmp_path / "a.npy", tmp_path / "b.npy", threads=n)[0] for n in (1, 2, 3))
    assert one == two == three
