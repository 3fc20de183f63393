"""A folder with a random third of a reference's tensors, under names that mean nothing, is enough to tell whether a run is right."""
import pytest

import dumped
import faults
from conftest import diff

SEEDS = {"llama": 11, "qwen3": 12, "gemma3": 13}


@pytest.mark.parametrize("kind", ["f32", "q8_0", "q4_0"])
@pytest.mark.parametrize("family", SEEDS)
def test_a_third_of_the_tensors_of_a_clean_run(lab, tmp_path, family, kind):
    trace, model = faults.clean(lab, family, kind, False)
    files = dumped.write(tmp_path / "r", faults.reference(lab, family), SEEDS[family])
    status, result = diff(tmp_path / "r", trace, "--preset", "none", "--candidate-model", model)
    counts = result["replay"]["counts"]
    assert status == 0 and result["verdict"] == "match" and result["replay"]["origins"] == counts["open"] == 0
    assert counts["found"] > 40 and counts["beyond"] < 20
    assert {o["pass"] for o in result["replay"]["operations"]} == {0}, "the folder holds the prompt"
    assert any("4 other passes" in hint for hint in result["hints"])
    assert {o["reference"] for o in result["replay"]["operations"] if o.get("reference")} <= set(files)


@pytest.mark.parametrize("seed", [5002, 900, 913, 921, 925])
def test_a_fault_is_in_the_region_that_is_named(lab, tmp_path, seed):
    case = faults.Case(seed)
    dumped.write(tmp_path / "r", faults.reference(lab, case.family), seed)
    result = faults.run_case(lab, case, tmp_path, by=tmp_path / "r")
    assert result["verdict"] == "right" and result["outcome"] == "diverged", f"{case}: {result}"


@pytest.mark.parametrize("kind, seed", [("q8_0", 1001), ("q4_0", 1007), ("q4_0", 1016), ("q4_0", 1022)])
def test_rounding_does_not_hide_a_fault_between_two_tensors(lab, tmp_path, kind, seed):
    case = faults.Case(seed, (kind,))
    result = faults.run_case(lab, case, tmp_path, by=faults.dump(lab, case, tmp_path))
    assert result["verdict"] == "right" and result["outcome"] == "diverged", f"{case}: {result}"


@pytest.mark.parametrize("family, kind, flash, seed", [("gemma2", "q4_0", True, 21), ("qwen2", "q8_0", False, 158)])
def test_no_fault_in_another_third_of_a_clean_run(lab, tmp_path, family, kind, flash, seed):
    trace, model = faults.clean(lab, family, kind, flash)
    dumped.write(tmp_path / "r", faults.reference(lab, family), seed)
    status, result = diff(tmp_path / "r", trace, "--preset", "none", "--candidate-model", model)
    assert status == 0 and result["replay"]["origins"] == 0
