"""Other tools' rules as profiles, against their definitions in NumPy."""
import json
import pathlib
import subprocess

import numpy as np
import pytest

LOCKSTEP = pathlib.Path(__file__).resolve().parents[2] / "build" / "lockstep"


def judged(folder, reference, candidate, profile):
    np.save(folder / "r.npy", reference)
    np.save(folder / "c.npy", candidate)
    done = subprocess.run([LOCKSTEP, "diff", folder / "r.npy", folder / "c.npy", "--json", "-", "--profile", profile], capture_output=True, text=True)
    pair = json.loads(done.stdout)["pairs"][0]
    return done.returncode, pair["verdict"], pair.get("grade")


def cosine(a, b):
    a, b = a.astype(float).ravel(), b.astype(float).ravel()
    return a @ b / np.linalg.norm(a) / np.linalg.norm(b)


def tiers(r, c):
    if np.allclose(c, r, rtol=1e-4, atol=1e-4):
        return "EXCELLENT"
    if np.allclose(c, r, rtol=1e-3, atol=1e-3):
        return "GOOD"
    return "ACCEPTABLE" if np.abs(c - r).max() < 1e-2 and cosine(r, c) > 0.99 else "SIGNIFICANT"


def cosine_or_mean(r, c):
    if cosine(r, c) >= 0.999 or np.abs(c - r).mean() <= 1e-4:
        return "EXACT"
    return "CLOSE" if cosine(r, c) >= 0.995 else "MISMATCH"


CASES = {
    "noise 1e-6": lambda r, n: r + 1e-6 * n, "noise 2e-4": lambda r, n: r + 2e-4 * n, "noise 2e-3": lambda r, n: r + 2e-3 * n,
    "noise 5e-2": lambda r, n: r + 5e-2 * n, "noise 9e-2": lambda r, n: r + 9e-2 * n, "noise 1": lambda r, n: r + n,
    "forty-five times": lambda r, n: 45 * r, "small values": lambda r, n: r, "one element": lambda r, n: np.where(np.arange(r.size) == 7, r + 3, r),
}


@pytest.mark.parametrize("case", CASES)
def test_each_rule_says_what_its_definition_says(tmp_path, case):
    generator = np.random.default_rng(5)
    r, n = generator.standard_normal(5000).astype(np.float32), generator.uniform(-1, 1, 5000).astype(np.float32)
    c = CASES[case](r, n).astype(np.float32)
    if case == "small values":
        r, c = r * np.float32(1e-5), n * np.float32(1e-5)
    for profile, rule, worst in (("tiers", tiers, "SIGNIFICANT"), ("cosine-or-mean", cosine_or_mean, "MISMATCH")):
        status, verdict, grade = judged(tmp_path, r, c, profile)
        assert grade == rule(r, c)
        assert status == (grade == worst) and (verdict == "diverged") == (grade == worst)
    d = np.abs(c.astype(float) - r)
    means = d.mean() <= 1e-6 and (d / np.abs(r.astype(float))).mean() <= 1e-4
    assert judged(tmp_path, r, c, "means")[1:] == ("identical" if np.array_equal(r, c) else "match" if means else "diverged", None)


def test_what_the_documents_say_is_wrong_with_them(tmp_path):
    r = np.random.default_rng(6).standard_normal(1000).astype(np.float32)
    assert judged(tmp_path, r, 45 * r, "cosine-or-mean")[2] == "EXACT"
    assert judged(tmp_path, r * np.float32(1e-3), -r * np.float32(1e-3), "tiers")[2] == "SIGNIFICANT"
    assert judged(tmp_path, r * np.float32(1e-5), -r * np.float32(1e-5), "tiers")[2] == "EXCELLENT"


def test_a_nan_fails_whatever_the_rule(tmp_path):
    r = np.ones(100, np.float32)
    c = r.copy()
    c[3] = np.nan
    for profile in ("tiers", "cosine-or-mean", "means"):
        assert judged(tmp_path, r, c, profile)[:2] == (1, "nonfinite")
