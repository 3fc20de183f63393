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
    "record": {"base", "io", "tensor", "format", "trace"},  # of trace/: channel.h alone
    "trace": {"base", "io", "tensor", "format", "record"},  # record/: observe.c alone
    "compare": {"base", "tensor"},
    "convert": {"base", "io", "tensor", "format"},
    "preset": {"base", "io"},
    "parity": {"base", "io"},
    "align": {"base", "io", "tensor", "record", "trace", "compare", "preset"},
    "diagnose": {"base", "tensor", "trace", "compare", "align"},
    "checkpoint": {"base", "io", "tensor", "format", "compare", "preset"},
    "report": {"base", "tensor", "format", "compare", "align", "diagnose", "checkpoint"},
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
    for path in sorted((ROOT / "hooks" / "ggml").glob("*.[ch]")):
        for name in includes(path):
            assert name.split("/")[0] in ("base", "trace") or "/" not in name, f"{path.name}: {name}"


def test_file_names_are_unique():
    names = [p.name for p in FILES]
    assert sorted(set(names)) == sorted(names)
