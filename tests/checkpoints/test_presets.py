"""Every preset of weights on a model as transformers saves it, against a conversion whose
names are gguf-py's."""
import re

import numpy as np
import pytest
from checkpoint_files import diff, failing, findings, write_gguf
from hf_models import FAMILIES, HEADS, KV_HEADS, make, to_gguf
from safetensors.numpy import load_file


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """family -> (folder of the checkpoint, its tensors)"""
    done = {}

    def get(family):
        if family not in done:
            folder = tmp_path_factory.mktemp(family)
            make(family).save_pretrained(folder)
            done[family] = folder, load_file(folder / "model.safetensors")
        return done[family]

    return get


def convert(path, family, tensors):
    arch = family if family != "gemma3" else "gemma3"
    return write_gguf(path, tensors, arch=arch, keys=[("add_head_count", HEADS), ("add_head_count_kv", KV_HEADS)])


@pytest.mark.parametrize("family", FAMILIES)
def test_a_conversion_is_identical_and_whole(tmp_path, saved, family):
    folder, tensors = saved(family)
    candidate = convert(tmp_path / "m.gguf", family, to_gguf(family, tensors))
    for reference, other in ((folder, candidate), (candidate, folder)):
        status, text, report = diff(reference, other, "--what", "weights")
        assert status == 0, (failing(report), findings(report))
        weights = report["weights"]
        assert weights["preset"] == family and weights["by"]["content"] == 0 and weights["by"]["name"] == 0
        assert {p["verdict"] for p in weights["pairs"]} <= {"identical", "match"}
        if reference == folder:
            assert weights["candidate_only"] == []
        remarks = [name for side in ("reference_only", "candidate_only") for name in weights[side]]
        assert all(re.search(r"pooler\.dense|lm_head|attn\.(masked_)?bias|position_ids", name) for name in remarks), remarks


@pytest.mark.parametrize("family", FAMILIES)
def test_two_neighbours_swapped_are_named(tmp_path, saved, family):
    _, tensors = saved(family)
    folder = saved(family)[0]
    out = to_gguf(family, tensors)
    matrices = [n for n, v in out.items() if v.ndim >= 2]
    a, b = next((a, b) for i, a in enumerate(matrices) for b in matrices[i + 1:] if out[a].shape == out[b].shape)
    out[a], out[b] = out[b], out[a]
    status, _, report = diff(folder, convert(tmp_path / "m.gguf", family, out), "--what", "weights")
    assert status == 1
    assert {p["candidate"]["name"] for p in report["weights"]["pairs"] if p["verdict"] == "differs"} == {a, b}


def test_experts_one_by_one(tmp_path, saved):
    """The wrong expert is named, not the stack."""
    folder, tensors = saved("qwen3moe")
    out = to_gguf("qwen3moe", tensors)
    name = "blk.1.ffn_up_exps.weight"
    out[name] = out[name].copy()
    out[name][[1, 2]] = out[name][[2, 1]]
    status, _, report = diff(folder, convert(tmp_path / "m.gguf", "qwen3moe", out), "--what", "weights")
    wrong = [p for p in report["weights"]["pairs"] if p["verdict"] == "differs"]
    assert status == 1 and [p["candidate"]["part"] for p in wrong] == ["[1]", "[2]"]
    assert [p["reference"]["name"] for p in wrong] == [f"model.layers.1.mlp.experts.{i}.up_proj.weight" for i in (1, 2)]


def test_experts_stacked_on_both_sides(tmp_path, saved):
    """As transformers has them in memory: gate and up in one, all experts in one."""
    folder, tensors = saved("qwen3moe")
    stacked = {n: v for n, v in tensors.items() if ".experts." not in n}
    for layer in range(2):
        at = f"model.layers.{layer}.mlp.experts"
        of = lambda kind: np.stack([tensors[f"{at}.{i}.{kind}.weight"] for i in range(4)])  # noqa: B023, E731
        stacked[f"{at}.gate_up_proj"] = np.concatenate([of("gate_proj"), of("up_proj")], axis=1)
        stacked[f"{at}.down_proj"] = of("down_proj")
    from checkpoint_files import write_hf
    reference = write_hf(tmp_path / "hf", stacked, {"architectures": ["Qwen3MoeForCausalLM"]})
    status, _, report = diff(reference, convert(tmp_path / "m.gguf", "qwen3moe", to_gguf("qwen3moe", tensors)), "--what", "weights")
    assert status == 0, failing(report)
    assert report["weights"]["coverage"] == 1 and report["weights"]["candidate_only"] == [] and report["weights"]["reference_only"] == []
