"""Kernels that are wrong, and recorded values that were not computed: a sample of `make kernels` (kernel_faults.py)."""
import pytest

import faults
import kernel_faults
from conftest import title


@pytest.fixture(scope="module")
def campaign(tmp_path_factory):
    return kernel_faults.Campaign(tmp_path_factory.mktemp("kernels"))


@pytest.mark.parametrize("seed,shape", [(2, "one"), (9, "one"), (57, "one"), (46, "two in a layer"), (14, "two in a layer"), (11, "all siblings"), (14, "stale")])
def test_what_is_wrong_is_named_alone(campaign, seed, shape):
    case = campaign.draw(seed, shape)
    result = campaign.run(case)
    assert result is not None, f"{case}: too small to count"
    assert (result["verdict"], result["status"], result["diff"]) == ("right", 1, "right"), f"{case}: {result}"


def test_what_nothing_reads_is_undecided(campaign):
    """The logits: nobody can tell whether they were computed or only recorded wrongly."""
    case = campaign.draw(2, "one")
    case.places = [o for o in kernel_faults.computed(case.trace) if o["name"] == "result_output"][:1]
    case.changes = ["row:0:1.5"]
    trace, counts = campaign.wrong_kernels(case)
    _, result = kernel_faults.verify(trace, campaign.clean(case)[1])
    assert counts and [(o["name"], o["verdict"]) for o in result["operations"] if o["verdict"] != "agrees"] == [("result_output", "undecided")]


def test_nan_of_a_kernel_is_not_laid_on_what_reads_it(campaign):
    """It goes through the cache into all later passes, where every operation has operands that are no numbers."""
    case = campaign.draw(2, "one")
    case.places = [o for o in kernel_faults.computed(case.trace) if title(o) == "Kcur-1 (MUL_MAT)" and o["pass"] == 0]
    case.changes = ["nan:339:1"]
    trace, _ = campaign.wrong_kernels(case)
    status, result = kernel_faults.verify(trace, campaign.clean(case)[1])
    assert status == 1 and [(o["name"], o["op"], o["verdict"]) for o in result["operations"] if o["verdict"] not in ("agrees", "unchecked")] == [("Kcur-1", "mul_mat", "wrong-kernel")]
    assert any(o.get("reason") == "operands that are no numbers" for o in result["operations"])
    status, result = faults.conftest.diff(faults.reference(campaign.lab, case.family), trace)
    assert status == 1 and result["first_divergence"]["causes"][0]["rule"] == "kernel" and title(result["first_divergence"]["candidate"]) == "Kcur-1 (MUL_MAT)"
