"""A part of the vision lab: right towers and whole models match in both engines, and planted faults are named. `make vision` runs all."""
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import gallery  # noqa: E402
import mllama_lab  # noqa: E402
import projector_files  # noqa: E402
import sight_faults  # noqa: E402
import towers  # noqa: E402
import vision  # noqa: E402

WHOLE = [towers.BY_NAME[name] for name in ("gemma3", "llava")]
SHORT = towers.BY_NAME["gemma3n-short"]
FAULTS = [fault for fault in sight_faults.FAULTS if fault.tower in ("gemma3", "llava") or fault.name == "key and value norm swapped"]


def named(planted):
    return getattr(planted, "tower", "mllama") + ", " + planted.name


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("vision")
    vision.prepare(WHOLE, made)
    vision.prepare([SHORT], made, ["photograph"])
    mllama_lab.recorded(made / "mllama", "tower", "--tower")
    return made


@pytest.fixture(scope="session")
def outcomes(folder):
    works = vision.clean_runs(WHOLE, folder) + vision.clean_runs([SHORT], folder, ["photograph"], ["server"])
    of_clean = {(work[1].name, work[3], work[4]): work for work in works}
    planted = [(vision.of_fault, fault, folder) for fault in FAULTS] + [(vision.of_bug, bug, folder) for bug in mllama_lab.BUGS]
    results = list(vision.run([*of_clean.values(), *planted]))
    print("\n".join([*(result["line"] for result in results), vision.totals(results)]))
    return dict(zip([*of_clean, *map(named, FAULTS + mllama_lab.BUGS)], results))


CLEAN = [(row.name, scene, engine) for row in WHOLE for scene in ("photograph", "drawing") for engine in gallery.ENGINES] + [(SHORT.name, "photograph", "server")]


@pytest.mark.parametrize("case", CLEAN, ids=["-".join(case) for case in CLEAN])
def test_a_right_model_is_as_it_should_be(outcomes, case):
    """A match; of LLaVA, the two live faults of the engine, each with its cause."""
    assert outcomes[case]["place"], outcomes[case]["line"]


def with_known(which):
    for planted in FAULTS + mllama_lab.BUGS:
        known = planted.known_place or (planted.known_cause if which == "cause" else "")
        yield pytest.param(planted, id=named(planted), marks=[pytest.mark.xfail(reason=known, strict=True)] if known else [])


@pytest.mark.parametrize("planted", list(with_known("place")))
def test_a_planted_fault_is_named(outcomes, planted):
    assert outcomes[named(planted)]["place"], outcomes[named(planted)]["line"]


@pytest.mark.parametrize("planted", list(with_known("cause")))
def test_its_cause_is_the_first(outcomes, planted):
    assert outcomes[named(planted)]["cause"] == "right", outcomes[named(planted)]["line"]


def test_a_port_of_a_tower_in_numpy_matches(folder):
    status, report, _ = mllama_lab.compared(folder / "mllama")
    assert (status, report["verdict"], report["pairing"]["by"].get("name", 0)) == (0, "match", 0)
    assert report["pairing"]["paired"] == report["pairing"]["candidate_total"] == 50


def test_layers_that_decoding_leaves_out_are_named(folder):
    result = vision.of_left_out(folder)
    assert result["place"], result["line"]


def test_gamma_without_its_axes_is_a_finding(folder):
    """The converter leaves MobileNetV5's layer scales as [C], and the engine, which multiplies them with [1, C, 1, 1], dies of it."""
    projector_files.convert(folder / SHORT.name / "model" / "hf", folder / "gamma.gguf", "f16")
    status, report, _ = gallery.diff(folder / SHORT.name / "model" / "hf", folder / "gamma.gguf", folder / "gamma")
    assert status == 1 and any("layer_scale.gamma" in finding["text"] for finding in report["findings"])
