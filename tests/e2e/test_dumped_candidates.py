"""A candidate's tensors in a folder, under names that mean nothing and in no order, against a reference that was recorded whole."""
import random
import re

import numpy as np
import pytest

import dumped
import faults
import models
from conftest import Trace, capture, diff

# what llama.cpp's tensors are in transformers
OURS = {
    "Qcur MUL_MAT": "self_attn.q_proj", "Kcur MUL_MAT": "self_attn.k_proj", "Vcur MUL_MAT": "self_attn.v_proj", "attn_norm MUL": "input_layernorm/mul",
    "ffn_gate MUL_MAT": "mlp.gate_proj", "ffn_up MUL_MAT": "mlp.up_proj", "ffn_out MUL_MAT": "mlp.down_proj", "ffn_norm MUL": "post_attention_layernorm/mul",
    "Qcur_normed MUL": "self_attn.q_norm/mul", "Kcur_normed MUL": "self_attn.k_norm/mul",
}
GEMMAS = dict(OURS, **{"ffn_norm MUL": "pre_feedforward_layernorm/mul"})


def of_reference(name, family):
    """transformers' name of a tensor that llama.cpp calls `name`, where the table has one."""
    parts = re.fullmatch(r"(\w+)-(\d+) (\w+)", name)
    known = (GEMMAS if family in models.GEMMAS else OURS).get(f"{parts[1]} {parts[3]}") if parts else None
    return known and f"model.layers.{parts[2]}.{known}"


def swap(first, second):
    return lambda t: t.update({first: t[second], second: t[first]})


def swap_layers(a, b):
    def change(t):
        for name in [n for n in t if n.startswith(f"blk.{a}.")]:
            swap(name, name.replace(f"blk.{a}.", f"blk.{b}."))(t)
    return change


def edit(name, change):
    return lambda t: t.update({name: change(t[name])})


def paired(result, files):
    """[(reference's name, ours)]"""
    return [(pair["reference"]["name"], files[pair["candidate"]["name"]]) for pair in result["pairs"]]


def permuted(value, draw):
    axes = list(range(value.ndim))
    draw.shuffle(axes)
    return np.ascontiguousarray(value.transpose(axes))


def half(value, draw):
    return np.clip(value, -6e4, 6e4).astype("f2")


def last_row(value, draw):
    return np.take(value, [-1], value.shape.index(24)) if 24 in value.shape else value


CHANGES = {"as computed": (lambda v, draw: v, 1), "half": (half, 1), "axes permuted": (permuted, 1), "only the last row": (last_row, 1), "a third": (lambda v, draw: v, 1 / 3)}


@pytest.mark.parametrize("family, change", [(family, change) for family in ("llama", "qwen3", "gemma3") for change in CHANGES
                                            if (family, change) != ("llama", "axes permuted")])  # rotary pairs are not looked for across axes
def test_each_tensor_finds_its_partner(lab, tmp_path, family, change):
    alter, share = CHANGES[change]
    files = dumped.write(tmp_path / "c", faults.clean(lab, family, "f32", False)[0], 7, share, alter)
    _, result = diff(faults.reference(lab, family), tmp_path / "c", "--preset", "none")
    expected = {ours: of_reference(ours, family) for ours in files.values() if of_reference(ours, family)}
    found = {ours: theirs for theirs, ours in paired(result, files) if ours in expected}
    assert found == expected and result["pairing"]["by"]["inferred"] == 0
    if family != "gemma3":  # its GELU comes from a table of f16, which a folder does not tell
        assert result["totals"]["beyond"] == 0


FAULTS = {
    "gate and up swapped": (swap("blk.0.ffn_gate.weight", "blk.0.ffn_up.weight"), "ffn_gate-0", "model.layers.0.mlp.gate_proj and model.layers.0.mlp.up_proj are swapped"),
    "layers swapped": (swap_layers(1, 2), "attn_norm-1", "layers 1 and 2 are swapped"),
    "rows of a weight reversed": (edit("blk.2.ffn_down.weight", lambda w: w[::-1].copy()), "ffn_out-2", None),
    "norm off by one": (edit("blk.1.ffn_norm.weight", lambda w: w + 1), "ffn_norm-1", None),
    "one scaled": (edit("blk.3.attn_v.weight", lambda w: w * np.float32(1.02)), "Vcur-3", None),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_the_first_divergence_is_where_the_fault_is(lab, tmp_path, fault):
    change, first, words = FAULTS[fault]
    files = dumped.write(tmp_path / "c", lab.candidate("llama", gguf=lab.faulty("llama", "dumped", change)), 8, 1)
    status, result = diff(faults.reference(lab, "llama"), tmp_path / "c", "--preset", "none")
    found = result["first_divergence"]
    ours = files[found["candidate"]["name"]]
    assert status == 1 and ours.split()[0] == first and found["reference"]["name"] == of_reference(ours, "llama")
    assert words is None or any(words in hint for hint in result["hints"])
    wrong = {(theirs, ours) for theirs, ours in paired(result, files) if of_reference(ours, "llama") not in (None, theirs)}
    assert not wrong


def test_the_norms_of_q_and_k_swapped(lab, tmp_path):
    change = swap("blk.1.attn_q_norm.weight", "blk.1.attn_k_norm.weight")
    files = dumped.write(tmp_path / "c", lab.candidate("qwen3", gguf=lab.faulty("qwen3", "dumped", change)), 8, 1)
    status, result = diff(faults.reference(lab, "qwen3"), tmp_path / "c", "--preset", "none")
    assert status == 1 and files[result["first_divergence"]["candidate"]["name"]].startswith("Qcur_normed-1")
    assert any("q_norm.weight and model.layers.1.self_attn.k_norm.weight are swapped" in hint for hint in result["hints"])


def test_another_model_is_called_one(lab, tmp_path):
    dumped.write(tmp_path / "c", faults.clean(lab, "gemma3", "f32", False)[0], 9, 1)
    status, result = diff(faults.reference(lab, "llama"), tmp_path / "c", "--preset", "none")
    assert status != 0 and any("seem to be different models" in hint for hint in result["hints"])
    assert result["pairing"]["by"]["inferred"] == 0


@pytest.mark.parametrize("share", [1, 1 / 3])
def test_two_folders_with_the_same_meaningless_names(lab, tmp_path, share):
    reference = faults.reference(lab, "llama")
    theirs = dumped.write(tmp_path / "r", reference, 1, share)
    ours = dumped.write(tmp_path / "c", faults.clean(lab, "llama", "f32", False)[0], 2, 1)
    _, result = diff(tmp_path / "r", tmp_path / "c")
    assert result["pairing"]["by"]["name"] == 0 and any("names mean nothing here" in hint for hint in result["hints"])
    pairs = [(theirs[p["reference"]["name"]].rsplit(" ", 1)[0], of_reference(ours[p["candidate"]["name"]], "llama")) for p in result["pairs"]]
    known = [(r, c) for r, c in pairs if c and not r.endswith("self_attn/cat")]  # a cache without a past is a copy
    assert len(known) >= share * 40 and all(r == c for r, c in known)
