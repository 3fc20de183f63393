"""`lockstep verify` against what torch computes in float64, in traces that the hook has recorded."""
import pathlib
import re
import subprocess
import sys

import pytest

pytest.importorskip("torch")

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "op"))
from table import rows  # noqa: E402
from test_operations import LOCKSTEP, verify  # noqa: E402

CHANCE = {"randn", "randint", "randperm"}
SINGLE = {"mul_mat_id", "copy"}  # computed in float32, or rounded to it


@pytest.fixture(scope="module")
def operations(tmp_path_factory):
    path = tmp_path_factory.mktemp("torch") / "t"
    subprocess.run([LOCKSTEP, "capture", "-o", path, "--", sys.executable, ROOT / "tests/verify/torch_operations.py"], check=True, capture_output=True, timeout=200)
    return [o for o in verify(path)[1]["operations"] if o["name"] not in CHANCE]


def test_what_torch_computes_agrees(operations):
    assert len(operations) > 1500
    assert {o["name"] for o in operations if o["verdict"] == "unchecked"} == {"log_sigmoid_forward.1"}  # memory for the backward pass
    wrong = [o for o in operations if o["verdict"] != "unchecked" and (o["verdict"] != "agrees" or o["rel_l2"] > (1e-7 if o["op"] in SINGLE else 1e-12))]
    assert not wrong, wrong[:5]


def test_every_operation_of_aten_is_tried(operations):
    table = (ROOT / "src/eval/aten_table.h").read_text()
    covered = {rows()[identity].name for identity in re.findall(r"^LS_ATEN_ROW\((\w+),", table, flags=re.MULTILINE)}
    assert covered - {o["op"] for o in operations if o["verdict"] == "agrees"} == {"gelu_quick"}  # only tried in place of another form of GELU
