"""lockstep bundle: NumPy and the engine's own ggml compute what is in it, and get what the engine got."""
import re
import subprocess
import sys

import numpy as np
import pytest

from conftest import DEPS, LOCKSTEP, diff, title


def ggml():
    """(headers, libraries) of one version of ggml."""
    header = next((DEPS / "llama-linked").rglob("ggml.h"))
    library = next((DEPS / "llama-vulkan").rglob("libggml-base.so"))
    return header.parent, library.parent


def bundle(reference, candidate, out, *more):
    done = subprocess.run([LOCKSTEP, "bundle", reference, candidate, "-o", out, *more], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    return done.stdout


def errors(text):
    return [float(x) for x in re.findall(r"(\d\.\d+e[+-]\d+) from", text)]


def compute(folder):
    """What each script says: how far its result is from the candidate's, and from the reference's."""
    done = subprocess.run([sys.executable, folder / "reproduce.py"], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    headers, libraries = ggml()
    cpu = next(libraries.glob("libggml-cpu-x64.so"), None) or next(libraries.glob("libggml-cpu-sse42.so"))
    built = subprocess.run(["cc", "-Wall", folder / "reproduce.c", "-I", headers, "-o", folder / "r", cpu, libraries / "libggml-base.so", "-lm", f"-Wl,-rpath,{libraries}"], capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    ran = subprocess.run(["./r"], cwd=folder, capture_output=True, text=True, timeout=300)
    assert ran.returncode == 0, ran.stderr
    return errors(done.stdout), errors(ran.stdout)


def recorded(reference, candidate):
    """A tensor for each kind of operation that the two traces have a pair of."""
    seen = {}
    for pair in diff(reference, candidate)[1]["pairs"]:
        if pair["verdict"] in ("match", "explained") and pair["candidate"]["op"] not in seen:
            seen[pair["candidate"]["op"]] = pair
    return seen


@pytest.mark.parametrize("family, flash, quantize", [("gemma2", True, None), ("qwen3", False, "q4_0")])
def test_each_operation_computes_what_the_engine_computed(lab, tmp_path, family, flash, quantize):
    gguf = lab.faulty(family, f"bundle-{quantize}", quantize=quantize)
    reference, candidate = lab.reference(family, attention="eager"), lab.candidate(family, flash=flash, gguf=gguf)
    pairs = recorded(reference, candidate)
    assert {"GET_ROWS", "RMS_NORM", "MUL", "MUL_MAT", "ROPE"} <= set(pairs)
    rounded = {"GEGLU": 2e-3, "CPY": 1e-3, "RESHAPE": 2e-3, "MUL_MAT": 3e-2 if quantize else 1e-6}  # f16 tables, caches and keys; products of blocks with rounded activations
    for op, pair in pairs.items():
        folder = tmp_path / op
        bundle(reference, candidate, folder, title(pair["candidate"]))
        assert max(np.load(folder / "got.npy").size, 1) <= pair["metrics"]["elements"] or op in ("RESHAPE", "CPY")
        (numpy, _), (engine, _) = compute(folder)
        assert numpy < rounded.get(op, 1e-6) and engine < rounded.get(op, 1e-6) * (0.1 if op == "MUL_MAT" else 1), (op, numpy, engine)


def test_a_wrong_weight(lab, tmp_path):
    """The scripts get the candidate's result, not the reference's; the values are those of the traces and the file."""
    def change(tensors):
        tensors["blk.2.ffn_down.weight"] = tensors["blk.2.ffn_down.weight"] * np.float32(1.5)
    gguf = lab.faulty("llama", "bundle", change)
    reference, candidate = lab.reference("llama"), lab.candidate("llama", gguf=gguf)
    text = bundle(reference, candidate, tmp_path / "b")
    (numpy, far), (engine, also) = compute(tmp_path / "b")
    assert "reproduce.py and reproduce.c" in text and numpy < 1e-6 and engine < 1e-6 and abs(far - 0.5) < 1e-3 and abs(also - 0.5) < 1e-3
    assert np.allclose(np.load(tmp_path / "b/got.npy"), 1.5 * np.load(tmp_path / "b/expected.npy"), rtol=1e-3, atol=1e-5)
    weight = np.load(tmp_path / "b/x0.npy")
    assert weight.shape[0] == 16 and sum(path.stat().st_size for path in (tmp_path / "b").glob("*.np*")) < 64 << 10
    readme = (tmp_path / "b/README.txt").read_text()
    assert "ffn_down" in readme and "scale" in readme and "only the one that differs most" in readme and "16 of" in readme


def test_where_it_can_not_be_written(lab, tmp_path):
    reference, candidate = lab.reference("llama"), lab.candidate("llama")
    refused = lambda *args: subprocess.run([LOCKSTEP, "bundle", reference, candidate, *args], capture_output=True, text=True, cwd=tmp_path)
    done = refused()
    assert done.returncode == 2 and "there is no first divergence" in done.stderr and not (tmp_path / "bundle").exists()
    (tmp_path / "there").mkdir()
    done = refused("norm-0", "-o", "there")
    assert done.returncode == 2 and "exists already" in done.stderr and list((tmp_path / "there").iterdir()) == []
    done = refused("norm-0", "-o", "no/such/folder")
    assert done.returncode == 2 and "No such file" in done.stderr
    done = refused("nrom-0")
    assert done.returncode == 2 and "did you mean norm-0" in done.stderr
