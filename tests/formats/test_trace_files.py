"""Traces in one file: read by others as what they are, and by us as traces."""
import json
import pathlib
import shutil
import subprocess

import gguf
import numpy as np
import pytest
import safetensors.numpy
from safetensors import safe_open

from lockstep_library import LOCKSTEP, ROOT

EXAMPLE, FAULTY, REFERENCE = (ROOT / "examples" / n for n in ("qwen3-llama.cpp", "qwen3-llama.cpp-faulty", "qwen3-transformers"))
SUFFIXES = ["gguf", "npz", "safetensors"]


def run(*arguments):
    return subprocess.run([LOCKSTEP, *map(str, arguments)], capture_output=True, text=True)


def files(trace):
    """Unique name -> file, as docs/trace-format.md names them."""
    seen, out = {}, {}
    for line in map(json.loads, (trace / "trace.jsonl").read_text().splitlines()):
        if "file" in line:
            seen[line["name"]] = seen.get(line["name"], 0) + 1
            out[line["name"] + (f"#{seen[line['name']]}" if seen[line["name"]] > 1 else "")] = trace / line["file"]
    return out


def load(path):
    """Arrays by name, and the log, with the format's own library."""
    if path.suffix == ".npz":
        arrays = dict(np.load(path))
        return arrays, arrays.pop("lockstep_trace").tobytes().decode()
    if path.suffix == ".safetensors":
        with safe_open(path, "np") as file:
            return safetensors.numpy.load_file(path), file.metadata()["lockstep_trace"]
    reader = gguf.GGUFReader(path)
    return {t.name: np.asarray(t.data) for t in reader.tensors}, reader.fields["lockstep_trace"].contents()


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_others_read_values_and_log(tmp_path, suffix):
    path = tmp_path / f"t.{suffix}"
    assert run("convert", EXAMPLE, path).returncode == 0
    arrays, log = load(path)
    assert log == (EXAMPLE / "trace.jsonl").read_text()
    expected = files(EXAMPLE)
    assert len(arrays) == len(expected) and set(arrays) == set(expected)
    for name, file in expected.items():
        assert np.array_equal(arrays[name].reshape(-1), np.load(file).reshape(-1)), name


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_diff_reads_them_as_the_traces_they_are(tmp_path, suffix):
    reference, faulty = tmp_path / f"r.{suffix}", tmp_path / f"f.{suffix}"
    assert run("convert", REFERENCE, reference).returncode == 0 and run("convert", FAULTY, faulty).returncode == 0
    expected, found = (run("diff", a, b, "--json", "-") for a, b in ((REFERENCE, FAULTY), (reference, faulty)))
    assert expected.returncode == found.returncode == 1
    a, b = ({key: value for key, value in json.loads(done.stdout).items() if key != "produced"} for done in (expected, found))
    for side in ("reference", "candidate"):
        del a[side]["path"], b[side]["path"]
    assert a == b


def test_capture_writes_one(tmp_path):
    script = tmp_path / "run.py"
    script.write_text("import torch\ntorch.manual_seed(0)\nprint(torch.nn.Linear(4, 3)(torch.ones(2, 4)).sum().item())\n")
    python = ROOT / ".deps" / "venv" / "bin" / "python"
    done = run("capture", "-o", tmp_path / "t.safetensors", "--format", "safetensors", "--", python, script)
    assert done.returncode == 0, done.stderr
    assert sorted(p.name for p in tmp_path.iterdir()) == ["run.py", "t.safetensors"]
    assert run("capture", "-o", tmp_path / "d", "--", python, script).returncode == 0
    assert run("diff", tmp_path / "d", tmp_path / "t.safetensors").returncode == 0


def test_a_part_of_a_trace(tmp_path):
    assert run("convert", EXAMPLE, tmp_path / "t.npz", "--select", "^l_out").returncode == 0
    arrays, _ = load(tmp_path / "t.npz")
    assert arrays and all(name.startswith("l_out") for name in arrays)
    done = run("diff", REFERENCE, tmp_path / "t.npz", "--json", "-")
    assert [p["candidate"]["name"] for p in json.loads(done.stdout)["pairs"]] == [n for n in arrays]


def test_a_log_that_lies(tmp_path):
    """Lines of other shapes than the arrays have, and of files that aren't there."""
    shutil.copytree(EXAMPLE, tmp_path / "t")
    log = tmp_path / "t" / "trace.jsonl"
    arrays = {name: np.load(file) for name, file in list(files(EXAMPLE).items())[:3]}
    lines = log.read_text().replace('"shape":[', '"shape":[7,')
    np.savez(tmp_path / "lie.npz", **arrays, lockstep_trace=np.frombuffer(lines.encode(), np.uint8))
    done = run("diff", EXAMPLE, tmp_path / "lie.npz")
    assert done.returncode in (1, 2) and "match\n" not in done.stdout.split("verdict:")[-1]
    np.savez(tmp_path / "none.npz", lockstep_trace=np.frombuffer(b"not a trace", np.uint8))
    done = run("diff", EXAMPLE, tmp_path / "none.npz")
    assert done.returncode == 2 and "no complete line" in done.stderr
