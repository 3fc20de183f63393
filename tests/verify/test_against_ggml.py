"""`lockstep verify` against ggml's own kernels: what they compute has to agree, with the parameters that the hook would record."""
import json
import pathlib
import re
import subprocess
import sys

import pytest

pytest.importorskip("torch")

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "op"))
from ggml_library import NEWEST, names_of  # noqa: E402
from ggml_operations import CASES  # noqa: E402
from ggml_results import SEEDS, generator  # noqa: E402
from table import rows  # noqa: E402
from test_operations import verify  # noqa: E402

pytestmark = pytest.mark.skipif(NEWEST is None, reason="no prebuilt ggml")


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    path = tmp_path_factory.mktemp("ggml") / "t"
    done = subprocess.run([sys.executable, ROOT / "tests/verify/ggml_results.py", path], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout.splitlines()[-1:] + done.stderr.splitlines()[-5:]
    return path


def test_what_ggml_computes_agrees(recorded):
    status, result = verify(recorded)
    assert not [(o["name"], o.get("reason")) for o in result["operations"] if o["verdict"] == "unchecked"]
    assert not [(o["name"], o["rel_l2"], o["row_rel_l2"], o["allowed"]) for o in result["operations"] if o["verdict"] != "agrees"]
    assert status == 0 and result["checked"] == len(CASES) * len(SEEDS)


def test_parameters_are_recorded(recorded):
    """Those that the cases give to ggml's functions are those that are read from its nodes."""
    lines = {line["name"]: line for line in map(json.loads, (recorded / "trace.jsonl").read_text().splitlines()) if line.get("op")}
    for name, make in CASES.items():
        for seed in SEEDS:
            given = {key: value for key, value in make(generator(name, seed))[1].items() if value != 0}
            assert lines[f"{name}.{seed}"]["params"] == {key: pytest.approx(value, rel=1e-7) for key, value in given.items()}, name


# ------------------------------------------------------------------ all operations of ggml

def covered():
    table = (ROOT / "src/eval/eval_table.h").read_text()
    identities = set(re.findall(r"^LS_EVAL_ROW\((\w+),", table, flags=re.MULTILINE))
    return {spelling for row in rows().values() if row.id in identities for spelling in row.ggml}


def documented():
    """The spellings in the table of docs/verify.md that says what is not covered."""
    section = (ROOT / "docs/verify.md").read_text().split("## What is not covered")[1].split("\n## ")[0]
    table = [line for line in section.splitlines() if line.startswith("| `")]
    return {spelling for line in table for spelling in re.findall(r"`([A-Z0-9_]+)`", line)}


def test_each_operation_of_ggml_is_covered_or_documented():
    names = set(names_of(NEWEST))
    assert len(names) > 125
    assert not names - covered() - documented(), "in neither src/eval/eval_table.h nor docs/verify.md"
    assert not documented() & covered(), "in both"
    assert not documented() - names, "not ggml's"
