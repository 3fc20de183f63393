"""The Python package as pip installs it, and `record` of arrays, read back by NumPy."""
import ctypes
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

import numpy
import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from segments import load_values

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = ROOT / "build"
LOCKSTEP = BUILD / "lockstep"
sys.path[:0] = [str(ROOT / "python"), str(ROOT / "tests")]

from lockstep_debug import VERSION, arrays, native  # noqa: E402
from segments import load_values  # noqa: E402


def run(*command, **more):
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=300, **more)


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A folder that has the package and nothing else, made by pip from a copy of the sources."""
    folder = tmp_path_factory.mktemp("pip")
    shutil.copytree(ROOT / "python", folder / "python", ignore=shutil.ignore_patterns("__pycache__"))
    done = run(sys.executable, "-m", "pip", "install", "--no-build-isolation", "--no-deps", "--no-index", "-q", "--target", folder / "site", folder / "python")
    assert done.returncode == 0, done.stderr
    return folder / "site"


def python(code, site=None, command=(), **more):
    """Runs code without the user's packages on the path, but with those of this Python."""
    environment = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "LOCKSTEP_CHANNEL", "LOCKSTEP_HOOK")}
    environment.update({"PYTHONPATH": str(site)} if site else {}, **more)
    return run(*command, sys.executable, "-c", code, env=environment)


def lines(trace):
    return [json.loads(line) for line in (trace / "trace.jsonl").read_text().splitlines()]


def test_what_pip_installs(installed):
    assert (installed / "lockstep_debug" / "hf.py").exists() and not (installed / "sitecustomize.py").exists()
    done = run(sys.executable, "-m", "lockstep_debug.hf", "--help", env=dict(os.environ, PYTHONPATH=str(installed)))
    assert done.returncode == 0 and "MODEL_DIR" in done.stdout, done.stderr
    header = (ROOT / "include/lockstep/capture.h").read_text()
    parts = [re.search(rf"LOCKSTEP_VERSION_{part} (\d+)$", header, re.MULTILINE).group(1) for part in ("MAJOR", "MINOR", "PATCH")]
    assert VERSION == ".".join(parts) and (installed / f"lockstep_debug-{VERSION}.dist-info").exists()


def test_capture_from_an_installed_package(installed, tmp_path):
    done = python(f"""
import torch, lockstep_debug
assert lockstep_debug.__file__.startswith({str(installed)!r})
model = torch.nn.Linear(2, 1, bias=False)
with lockstep_debug.capture(model, out={str(tmp_path / "t")!r}):
    lockstep_debug.tap("x", torch.ones(1, 2))
    model(torch.ones(1, 2))
""", installed, LOCKSTEP=str(LOCKSTEP))
    assert done.returncode == 0, done.stderr
    assert {"x", "output"} <= {line.get("name") for line in lines(tmp_path / "t")}


ENGINE = """
import sys
import numpy, lockstep_debug
assert "torch" not in sys.modules
x = numpy.arange(12, dtype=numpy.float32).reshape(3, 4)
first = lockstep_debug.record("x", x, layer=2, role="input")
second = lockstep_debug.record("turned", x.T[::-1], layer=2, op="transpose", sources=[first], where="engine.py:7",
                               parameters={"eps": 1e-6, "axes": [1, 0], "mode": "a", "causal": False, "sizes": [[1, 2.5], ["b", None]], "big": 2**70})
lockstep_debug.record("again", x.T[::-1], alias=second)
lockstep_debug.record("scalar", numpy.float64(2.5))
lockstep_debug.record("complex", numpy.zeros(2, complex))
lockstep_debug.record("none", numpy.zeros((0, 3)))
engine = lockstep_debug.engine("mine", "2.0")
engine.begin_pass(tokens=[5, 7], positions=[0, 1])
engine.record("half", numpy.array([1, 2], numpy.float16))
engine.end_pass()
print(first, second)
"""


def test_arrays_are_recorded(installed, tmp_path):
    out = tmp_path / "t"
    done = python(ENGINE, installed, [LOCKSTEP, "capture", "-o", out, "--"])
    assert done.returncode == 0, done.stderr
    found = {line["name"]: line for line in lines(out) if "name" in line}
    x = numpy.arange(12, dtype=numpy.float32).reshape(3, 4)
    expected = {"x": x, "turned": x.T[::-1], "scalar": 2.5, "half": [1, 2], "none": numpy.zeros((0, 3))}
    for name, values in expected.items():
        if "file" in found[name]:
            assert numpy.array_equal(load_values(out, found[name]), values), name
    assert all("file" in found[name] for name in ("x", "turned", "scalar", "half"))
    assert found["x"]["role"] == "input" and found["x"]["layer"] == 2 and found["half"]["dtype"] == "f16"
    turned = found["turned"]
    assert turned["src"] == [found["x"]["i"]] and turned["op"] == "transpose" and turned["where"] == "engine.py:7"
    assert turned["params"] == {"eps": 1e-6, "axes": [1, 0], "mode": "a", "causal": False, "sizes": [[1, 2.5], ["b", "None"]], "big": str(2**70)}
    assert found["again"]["alias_of"] == turned["i"] and "complex" not in found
    assert any("complex" in line.get("note", "") for line in lines(out))
    assert [line["engine"] for line in lines(out) if "engine" in line] == ["python", "mine"]
    assert [line["tokens"] for line in lines(out) if "tokens" in line] == [[5, 7]] and "end" in lines(out)[-1]


TENSORS = """
import numpy, torch, lockstep_debug
model = torch.nn.Linear(2, 2)
model.register_forward_hook(lambda m, args, output: lockstep_debug.record("inside", args[0]) and None)
x = torch.arange(6.).reshape(2, 3)
for dtype in ("float16", "bfloat16", "float32", "float64", "int32", "bool"):
    lockstep_debug.record(dtype, x.to(getattr(torch, dtype)).T)
lockstep_debug.record("parameter", torch.nn.Parameter(x), layer=1)
lockstep_debug.record("negated", torch.complex(x, x).conj().imag)
model(torch.ones(1, 2))
print("done")
"""


def test_tensors_of_torch_are_arrays(installed, tmp_path):
    out = tmp_path / "t"
    done = python(TENSORS, installed, [LOCKSTEP, "capture", "-o", out, "--"])
    assert done.returncode == 0 and done.stdout == "done\n", done.stderr
    found = {line["name"]: line for line in lines(out) if "name" in line}
    x = numpy.arange(6, dtype=numpy.float32).reshape(2, 3)
    for name, kind in (("float16", "f16"), ("bfloat16", "bf16"), ("float32", "f32"), ("float64", "f64"), ("int32", "i32"), ("bool", "bool")):
        assert found[name]["dtype"] == kind and numpy.array_equal(load_values(out, found[name]), x.T.astype(bool) if kind == "bool" else x.T), name
    assert numpy.array_equal(load_values(out, found["parameter"]), x) and numpy.array_equal(load_values(out, found["negated"]), -x)
    assert load_values(out, found["inside"]).tolist() == [[1, 1]]
    assert not {"detach", "contiguous", "_to_copy"} & {line.get("op") for line in lines(out)}


TEMPORARY = """
import numpy, torch, lockstep_debug
class Pooled:  # the interface owns a copy
    def __init__(self, value):
        self.value = value
    @property
    def __array_interface__(self):
        copy = numpy.full(4 << 20, self.value, numpy.float32)
        return dict(copy.__array_interface__, owner=copy)
class Buffer:  # as PIL's images are
    def __init__(self, value):
        self.__array_interface__ = dict(typestr="|u1", shape=(2, 3), version=3, data=bytes([value] * 6))
class Own(torch.Tensor):
    pass
for value in range(4):
    lockstep_debug.record(f"pooled.{value}", Pooled(value))
    lockstep_debug.record(f"buffer.{value}", Buffer(value))
    lockstep_debug.record(f"scalar.{value}", numpy.float32(value))
    lockstep_debug.record(f"own.{value}", torch.full((2,), float(value)).as_subclass(Own))
"""


def test_memory_that_lives_for_the_call_only(installed, tmp_path):
    done = python(TEMPORARY, installed, [LOCKSTEP, "capture", "-o", tmp_path / "t", "--"])
    assert done.returncode == 0 and "end" in lines(tmp_path / "t")[-1], done.stderr
    found = {line["name"]: line for line in lines(tmp_path / "t") if "i" in line}
    assert len(found) == 16
    for name, line in found.items():
        assert (load_values(tmp_path / "t", line) == int(name[-1])).all(), name


WRONG = """
import numpy, torch, lockstep_debug
x = numpy.ones(2)
lockstep_debug.record("a list", [1.0, 2.0])
lockstep_debug.record("nothing", None)
lockstep_debug.record("sparse", torch.eye(2).to_sparse())
lockstep_debug.record("meta", torch.ones(2, device="meta"))
lockstep_debug.record("nine axes", numpy.ones([1] * 9))
lockstep_debug.record("text", numpy.array(["a"]))
lockstep_debug.record(5, x)
lockstep_debug.record("sources", x, sources=[None])
lockstep_debug.record("layer", x, layer="0")
lockstep_debug.record("role", x, role="output")
lockstep_debug.record("parameters", x, parameters=[1])
lockstep_debug.record("no such keyword", x, colour="red")
lockstep_debug.record()
class Odd:
    @property
    def __array_interface__(self):
        class Worse(Exception):
            def __repr__(self):
                raise RuntimeError
        raise Worse
lockstep_debug.record("worse", Odd())
class Interface:
    def __init__(self, **interface):
        self.__array_interface__ = dict(dict(typestr="<f4", shape=(2, 3), version=3), **interface)
lockstep_debug.record("short buffer", Interface(data=bytes(23)))
lockstep_debug.record("no data", Interface(data=None))
engine = lockstep_debug.engine("mine")
engine.begin_pass(tokens="ab")
engine.record("good", x)
engine.end_pass()
print("done")
"""


def test_what_can_not_be_recorded_leaves_a_note(installed, tmp_path):
    done, plain = python(WRONG, installed, [LOCKSTEP, "capture", "-o", tmp_path / "t", "--"]), python(WRONG, installed)
    assert (done.returncode, done.stdout) == (plain.returncode, plain.stdout) == (0, "done\n"), done.stderr
    notes = [line["note"] for line in lines(tmp_path / "t") if "note" in line]
    for name in ("a list", "nothing", "sparse", "meta", "nine axes", "text", "record", "sources", "layer", "role", "parameters", "no such keyword", "worse", "short buffer", "no data", "begin_pass"):
        assert sum(note.startswith(f"{name} was not recorded: ") for note in notes) == 1, (name, notes)
    assert len(notes) == 17
    assert [line["name"] for line in lines(tmp_path / "t") if "i" in line] == ["good"] and "end" in lines(tmp_path / "t")[-1]


def test_without_a_recorder_nothing_happens(installed):
    done = python(ENGINE, installed)
    assert done.returncode == 0 and done.stdout == "0 0\n", done.stderr


def test_arrays_and_modules_of_torch_in_one_process(installed, tmp_path):
    """Both number their tensors; none is lost."""
    code = """
import numpy, torch, lockstep_debug
model = torch.nn.Linear(2, 2)
for step in range(3):
    lockstep_debug.record(f"array.{step}", numpy.full(3, step, numpy.float32))
    model(torch.full((1, 2), float(step)))
"""
    out = tmp_path / "t"
    done = python(code, installed, [LOCKSTEP, "capture", "-o", out, "--"])
    assert done.returncode == 0 and "end" in lines(out)[-1], done.stderr
    names = [line["name"] for line in lines(out) if "i" in line]
    assert names.count("output") == 3 and all(names.count(f"array.{step}") == 1 for step in range(3))
    for line in lines(out):
        if line.get("name", "").startswith("array."):
            assert load_values(out, line).tolist() == [float(line["name"][-1])] * 3


def test_one_recording_after_another(installed, tmp_path):
    """Each has its engine's line, and its own count of passes."""
    done = python(f"""
import numpy, torch, lockstep_debug
model = torch.nn.Linear(2, 1)
for name in ("a", "b"):
    with lockstep_debug.capture(model, out={str(tmp_path)!r} + "/" + name):
        lockstep_debug.record("x", numpy.ones(2))
        model(torch.ones(1, 2))
    lockstep_debug.record("between", numpy.ones(2))
""", installed, LOCKSTEP=str(LOCKSTEP))
    assert done.returncode == 0, done.stderr
    for name in ("a", "b"):
        found = lines(tmp_path / name)
        assert [line["engine"] for line in found if "engine" in line] == ["python", "torch"]
        passes = {line["name"]: line["pass"] for line in found if line.get("name") in ("x", "output")}
        assert sorted(passes.values()) == [0, 1] and not [line for line in found if line.get("name") == "between"]


def test_each_recording_has_filters_of_its_own(installed, tmp_path):
    """Arrays go through the C API's filters, which belong to a recorder, not to the process."""
    long = "|".join(["nothing"] * 120 + ["^(tap.)?y$"])
    program = tmp_path / "lockstep"
    program.write_text(f'#!/bin/sh\nshift\nexec "{LOCKSTEP}" capture --tensors "$PATTERN" "$@"\n')
    program.chmod(0o755)
    done = python(f"""
import os, numpy, torch, lockstep_debug
model = torch.nn.Linear(2, 1)
for name, pattern in (("a", "^x$"), ("b", {long!r}), ("c", "[\\\\.]z")):
    os.environ["PATTERN"] = pattern
    with lockstep_debug.capture(model, out={str(tmp_path)!r} + "/" + name):
        for array in ("x", "y", "b.z", "bz"):
            lockstep_debug.record(array, numpy.ones(2))
            lockstep_debug.tap("tap." + array, torch.ones(1))
        model(torch.ones(1, 2))
""", installed, LOCKSTEP=str(program))
    assert done.returncode == 0, done.stderr
    kept = {name: {line["name"] for line in lines(tmp_path / name) if "file" in line} for name in "abc"}
    assert kept == {"a": {"x"}, "b": {"y", "tap.y"}, "c": {"b.z", "tap.b.z"}}


def test_the_structures_are_those_of_the_header(tmp_path):
    structures = {"lockstep_node": native.Node, "lockstep_parameter": native.Parameter, "lockstep_rows": native.Rows}
    prints = "".join(f'printf("{c} {field[0]} %zu\\n", offsetof({c}, {field[0]}));' for c, s in structures.items() for field in s._fields_)
    prints += "".join(f'printf("{c} SIZEOF %zu\\n", sizeof({c}));' for c in structures)
    prints += "".join(f'printf("dtype {name} %d\\n", LOCKSTEP_{name.upper()});' for name in arrays._NUMBERS)
    prints += "".join(f'printf("role {name} %d\\n", LOCKSTEP_ROLE_{name.upper()});' for name in native.ROLES if name)
    prints += "".join(f'printf("parameter {name} %d\\n", LOCKSTEP_PARAMETER_{name});'
                      for name in ("INTEGER", "REAL", "BOOLEAN", "TEXT", "INTEGERS", "REALS", "LIST"))
    (tmp_path / "p.c").write_text(f"#include <stdio.h>\n#include <lockstep/capture.h>\nint main(void) {{ {prints} }}")
    subprocess.run(["cc", tmp_path / "p.c", f"-I{ROOT}/include", "-o", tmp_path / "p"], check=True)
    printed = [line.split() for line in run(tmp_path / "p").stdout.splitlines()]
    assert len(printed) > 40
    for kind, name, number in printed:
        if name == "SIZEOF":
            assert ctypes.sizeof(structures[kind]) == int(number)
        elif kind in structures:
            assert getattr(structures[kind], name).offset == int(number), (kind, name)
        elif kind == "dtype":
            assert arrays._NUMBERS[name] == int(number)
        elif kind == "role":
            assert native.ROLES[name] == int(number)
        else:
            assert getattr(native, name) == int(number)
