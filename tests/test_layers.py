"""The parts of the source tree include only downwards (docs/architecture.md)."""
import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent

# part -> parts that it may include besides itself and the public header
ALLOWED = {
    "base": set(),
    "io": {"base"},
    "tensor": {"base", "io"},
    "format": {"base", "io", "tensor"},
    "image": {"base", "io", "tensor", "format"},
    "quantized": {"base", "io", "tensor", "format"},
    "op": set(),
    "wire": {"base", "op"},  # libc alone: engines link it
    "record": {"base", "io", "tensor", "format", "op", "wire"},
    "trace": {"base", "io", "tensor", "format", "op"},
    "launch": {"base", "wire", "record", "trace"},
    "compare": {"base", "tensor"},
    "convert": {"base", "io", "tensor", "format"},
    "preset": {"base", "io"},
    "parity": {"base", "io"},
    "eval": {"base", "tensor", "format", "op", "trace"},
    "verify": {"base", "tensor", "format", "op", "record", "trace", "eval"},
    "match": {"base", "io", "tensor", "op", "trace", "compare", "preset"},
    "replay": {"base", "tensor", "op", "trace", "eval", "compare", "match"},
    "diff": {"base", "io", "tensor", "op", "record", "trace", "compare", "preset", "match", "eval", "verify", "replay"},
    "diagnose": {"base", "tensor", "image", "op", "trace", "compare", "match", "replay", "verify", "diff"},
    "checkpoint": {"base", "io", "tensor", "format", "quantized", "op", "compare", "preset", "match"},
    "bundle": {"base", "io", "tensor", "format", "op", "trace", "compare", "match", "eval", "verify", "replay", "diff"},
    "result": {"base", "io", "format", "compare"},
    "report": {"base", "tensor", "format", "trace", "compare", "match", "diff", "diagnose", "checkpoint", "verify", "replay", "result"},
}
FILES = sorted((ROOT / "src").glob("*/*.[ch]"))


def includes(path):
    return re.findall(r'^\s*#\s*include\s+"([^"]+)"', path.read_text(), re.MULTILINE)


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_includes_only_downwards(path):
    part = path.parent.name
    for name in includes(path):
        assert "/" in name, f"{name}: include as part/file.h"
        other = name.split("/")[0]
        assert other == part or other in ALLOWED[part], f"{part} may not include {name}"


def test_the_preload_library_needs_libc_alone():
    for path in sorted((ROOT / "hooks").glob("*/*.[ch]")):
        for name in includes(path):
            assert name.split("/")[0] in ("base", "op", "wire") or "/" not in name, f"{path.name}: {name}"


def test_what_engines_link_needs_libc_alone():
    for path in FILES:
        if path.parent.name in ("op", "wire"):
            others = re.findall(r"<(jansson|yaml|zlib|xxhash|lockstep/(?:lockstep|read|compare|status))\.h>", path.read_text())
            assert not others, f"{path.name}: {others}"


def test_frames_are_written_in_one_place():
    for folder, pattern in (("src", "*/*.[ch]"), ("hooks", "*/*.[ch]"), ("include", "*/*.h"), ("python", "**/*.py")):
        for path in (ROOT / folder).glob(pattern):
            if path.parent != ROOT / "src" / "wire":
                assert '\\"event\\"' not in path.read_text() and "json.dumps" not in path.read_text(), path


def test_file_names_are_unique():
    names = [p.name for p in FILES]
    assert sorted(set(names)) == sorted(names)


def units():
    """{part/stem: the stems that its header and source include}"""
    graph = {}
    for path in FILES:
        unit = f"{path.parent.name}/{path.stem}"
        graph.setdefault(unit, set()).update(name.rsplit(".", 1)[0] for name in includes(path))
    return {unit: {other for other in others if other in graph and other != unit} for unit, others in graph.items()}


def test_no_files_include_each_other_in_a_circle():
    graph = units()
    while True:  # take away what includes nothing that is left; a circle remains
        free = {unit for unit, others in graph.items() if not others & set(graph)}
        if not free:
            break
        graph = {unit: others for unit, others in graph.items() if unit not in free}
    assert not graph, sorted(graph)
