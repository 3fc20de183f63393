"""Fourteen of the zoo's architectures: right conversions match, and a planted fault is named where it is. `make zoo` runs all."""
import json
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import animals  # noqa: E402
import checkpoints  # noqa: E402
import faulty  # noqa: E402
import keeper  # noqa: E402
import planted  # noqa: E402
import zoo  # noqa: E402

# What is altered, and which kinds of operations may be named for it where no weight is.
FAULTS = {
    "olmo2": (planted.scale("blk.2.attn_q_norm.weight", 1.02), None),
    "granite": (planted.key("granite.residual_scale", 0.72), {"SCALE"}),
    "cohere2": (planted.key("cohere2.rope.freq_base", 20000.0), {"ROPE"}),
    "stablelm": (planted.swap("blk.0.ffn_gate.weight", "blk.0.ffn_up.weight"), None),
    "qwen3_5": (planted.scale("blk.1.attn_gate.weight", 1.05), None),
    "bloom": (planted.swap("blk.1.attn_norm.bias", "blk.1.ffn_norm.bias"), None),
    "gemma2": (planted.key("gemma2.attn_logit_softcapping", 31.0), {"SCALE"}),
    "phi3": (planted.scale("blk.1.ffn_up.weight", 1.05), None),
    "mixtral": (planted.scale("blk.2.ffn_down_exps.weight", 1.03), None),
    "qwen2_moe": (planted.scale("blk.1.ffn_gate_inp_shexp.weight", 1.1), None),
    "deepseek_v3": (planted.scale("blk.3.attn_v_b.weight", 1.02), None),
    "ministral3": (planted.key("mistral3.rope.scaling.factor", 8.0), {"ROPE"}),
    "exaone_moe": (planted.scale("blk.1.exp_probs_b.bias", 0), None),  # seen behind an index only
    "granite-hybrid": (planted.swap("blk.1.attn_k.weight", "blk.3.attn_k.weight"), None),  # nothing is rotated, and heads are ordered for it all the same
}
DRAWN = ("gemma2", "phi3", "mixtral", "deepseek_v3", "granite-hybrid", "qwen3_5", "bloom")  # each with a fault drawn at random, by a fixed seed
SEED = 1
QUANTIZED = ("bloom", "mixtral", "deepseek_v3")
NAMES_MISLEAD = ("phi",)  # weights are paired by content, and their names contradict it
VISITS = [(animals.BY_NAME[name], "f32") for name in FAULTS] + [(animals.BY_NAME[name], "q8_0") for name in QUANTIZED + NAMES_MISLEAD]


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("zoo")


@pytest.fixture(scope="session")
def outcomes(folder):
    return zoo.Queue(folder, 2).run(VISITS)


@pytest.mark.parametrize("animal, kind", VISITS, ids=[f"{animal.name}-{kind}" for animal, kind in VISITS])
def test_a_right_conversion_matches(outcomes, animal, kind):
    outcome = outcomes[animal.name, kind]
    assert "stopped" not in outcome, outcome["stopped"]
    assert outcome["verdict"] == "match", outcome
    assert outcome["found"] + outcome["covered"] >= 95 and not outcome["open"], outcome


FILES_OPEN = {"qwen3_5", "granite-hybrid"}  # docs/zoo.md: value heads in another order; a constant that the converter writes


@pytest.mark.parametrize("kind", ["f32", "q8_0"])
@pytest.mark.parametrize("name", [name for name in FAULTS if name not in FILES_OPEN])
def test_the_files_of_a_right_conversion_match(folder, name, kind):
    (folder / name).mkdir(exist_ok=True)
    outcome = checkpoints.visit(animals.BY_NAME[name], folder / name, kind)
    assert (outcome["verdict"], outcome["status"]) == ("match", 0), outcome


def run_with_fault(animal, case, alter):
    """The report, and the names of the altered weights."""
    for part in ("faulty", "candidate-faulty"):
        keeper.shutil.rmtree(case / part, ignore_errors=True)
    (case / "candidate-faulty.made").unlink(missing_ok=True)
    (case / "faulty").mkdir()
    wrong = planted.plant(case / "f32" / "model.gguf", case / "faulty" / "model.gguf", alter)
    keeper.candidate(animal, case, "faulty")
    return keeper.compare(case, "faulty")[0], wrong


def read_by(case, report):
    """For each operation at fault, with those that are named with it: kinds, and names of the weights that they read."""
    nodes = {line["i"]: line for line in map(json.loads, open(case / "candidate-faulty" / "trace.jsonl")) if "i" in line}
    for operation in report["replay"]["operations"]:
        if operation["origin"]:
            named = [nodes[i] for i in [operation["node"], *(operation["region"] or [])]]
            yield {node["op"] for node in named}, {nodes[i]["name"] for node in named for i in node.get("src", []) if i in nodes}


@pytest.mark.parametrize("name", FAULTS)
def test_a_planted_fault_is_named(outcomes, folder, name):
    alter, kinds = FAULTS[name]
    report, wrong = run_with_fault(animals.BY_NAME[name], folder / name, alter)
    assert report["verdict"] == "diverged"
    faults = list(read_by(folder / name, report))
    assert faults
    for ops, weights in faults:
        assert (weights & wrong) if wrong else (ops & kinds), (ops, weights)
    assert wrong <= set().union(*(weights for _, weights in faults))


@pytest.mark.parametrize("name", DRAWN)
def test_a_drawn_fault_is_named(outcomes, folder, name):
    drawn = faulty.visit(animals.BY_NAME[name], "f32", folder / name, SEED, 1)["faults"]
    assert [(fault["outcome"], fault["verdict"]) for fault in drawn] == [("right", "diverged")], drawn
    assert drawn[0]["explained"] != "wrong", drawn[0]["cause"]
