"""The tiny engine, built; and what tests ask of a trace."""
import ctypes
import json
import os
import pathlib
import subprocess
import sys
import zipfile

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from segments import load_segment, load_values  # noqa: E402

BUILD = ROOT / "build"
LOCKSTEP = BUILD / "lockstep"
PYTHON = ROOT / ".deps" / "venv" / "bin" / "python"
LIMIT = 60  # seconds; what takes so long hangs

xxhash = ctypes.CDLL("libxxhash.so.0")
xxhash.XXH3_64bits.restype = ctypes.c_uint64
xxhash.XXH3_64bits.argtypes = [ctypes.c_char_p, ctypes.c_size_t]


def compile(source, out, *flags, compiler="cc"):
    subprocess.run([compiler, "-O1", "-Wall", "-Wextra", "-Werror", source, "-o", out, f"-I{ROOT}/include", "-pthread", *flags],
                   check=True)
    return out


@pytest.fixture(scope="session")
def engine(tmp_path_factory):
    return compile(ROOT / "tests/capture/engine.c", tmp_path_factory.mktemp("engine") / "engine",
                   f"-L{BUILD}", "-llockstep-capture", f"-Wl,-rpath,{BUILD}")


@pytest.fixture(scope="session", autouse=True)
def library_name(tmp_path_factory):
    """The build tree has liblockstep.so; programs ask for its soname."""
    link = BUILD / "liblockstep.so.0"
    if not link.exists():
        link.symlink_to("liblockstep.so")


def run(*command, **more):
    more.setdefault("timeout", LIMIT)
    more.setdefault("text", True)
    more.setdefault("env", dict(os.environ, COLUMNS="0"))  # lines are not broken
    return subprocess.run([str(part) for part in command], capture_output=True, **more)


def capture(out, *command, options=(), **more):
    return run(LOCKSTEP, "capture", "-o", out, *options, "--", *command, **more)


def lines(out):
    """Every complete line."""
    text = (out / "trace.jsonl").read_text()
    return [json.loads(line) for line in text[:text.rfind("\n") + 1].splitlines()]


def tensors(out):
    return [line for line in lines(out) if "i" in line]


def named(out, name):
    found = [line for line in tensors(out) if line["name"] == name]
    assert found, f"{name} is not among {[line['name'] for line in tensors(out)]}"
    return found


def load(out, line):
    """The values of a line, checked against all that the line says of them."""
    array = load_values(out, line)
    assert list(array.shape) == line["shape"]
    data = array.tobytes()
    assert f"{xxhash.XXH3_64bits(data, len(data)):016x}" == line["xxh3"]
    return array


def check(out):
    """All lines and files agree; gives the tensor lines."""
    found = tensors(out)
    assert [line["i"] for line in found] == sorted({line["i"] for line in found})
    for line in found:
        if "file" in line:
            load(out, line)
    files = {line["file"] for line in found if "file" in line}
    on_disk = {str(path.relative_to(out)) for path in (out / "tensors").iterdir()}
    assert files <= on_disk
    if ended(out):
        check_segments(out, [line for line in found if "file" in line])
    return found


def check_segments(out, kept):
    """Segments are zips that others find whole, with a member for each line, aligned for mapping."""
    for file in {line["file"] for line in kept}:
        inside = [line for line in kept if line["file"] == file]
        with zipfile.ZipFile(out / file) as segment:
            assert segment.testzip() is None
        arrays = load_segment(out / file)
        assert list(arrays) == [line["member"] for line in inside]
        for line in inside:
            array = arrays[line["member"]]
            assert array.tobytes() == load_values(out, line).tobytes() and list(array.shape) == line["shape"]
            assert line["at"] % 64 == 0


def ended(out):
    return "end" in lines(out)[-1]
