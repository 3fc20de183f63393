"""Kinds of faults, as they happen in ports, each planted in a model file that is about to be written."""
import collections

import numpy as np

from models import GEMMAS, permute_rows

FAMILIES = ("llama", "qwen2", "qwen3", "gemma2", "gemma3")
PRODUCTS = ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down")
NORMS = ("attn_norm", "ffn_norm")
POST_NORMS = ("post_attention_norm", "post_ffw_norm")

Kind = collections.namedtuple("Kind", "families sort plant")
KINDS = {}  # by name

# What was done, by the sort of kind: ids of causes (docs/diff.md, docs/checkpoints.md) that say so.
CAUSES = {
    "scaled": ("scale",), "output norm": ("scale",), "embeddings scaled": ("scale",), "bias doubled": ("scale",), "embedding of one token scaled": ("row-scale",),
    "with a row of zeros": ("all-zero",), "bias left out": ("all-zero",), "with a huge element": ("element",), "rolled": ("rolled", "head-order"), "vocabulary shifted in the head": ("rolled",),
    "of another layer": ("swapped-with",), "gate and up swapped": ("swapped-with",), "k and v swapped": ("swapped-with",), "norms swapped": ("swapped-with",), "q's and k's norms swapped": ("swapped-with",),
    "with its heads reversed": ("head-order", "row-order"), "with halves as pairs": ("rope-interleave",), "off by one": ("plus-one", "plus-two", "not-changed"), "left out": ("constant",),
    "RoPE base": ("rope-frequency",), "eps": ("norm-eps",), "sliding window": ("window", "window-size", "mask"), "attention's soft cap": ("soft-cap", "scale"), "final soft cap": ("soft-cap", "scale"),
}


class Draft:
    """A model file that is about to be written. Weights and keys are by their GGUF names; one that the model has not is a
    KeyError, and the kind of fault does not apply to it. Below, `value(key)` and `set(key, value)`, without the
    architecture in front, and `heads(name, layer)` are each kind of draft's own.
    """

    def __init__(self, draw, tensors, layers, prompt):
        self.draw, self.tensors, self.layers, self.prompt = draw, tensors, layers, prompt

    def weight(self, layer, name):
        return f"blk.{layer}.{name}.weight"

    def edit(self, name, change):
        self.tensors[name] = np.ascontiguousarray(change(self.tensors[name]), dtype=np.float32)
        return {"weights": [name]}

    def other_layer(self, layer):
        return self.draw.choice([k for k in range(self.layers) if k != layer])


def kind(name, families=FAMILIES, of=""):
    """plant(draft, layer) changes the draft, and returns where the fault is: weights that are read, or operations.
    of: the weight that it is about, which is part of the name."""
    def keep(plant):
        KINDS[name] = Kind(families, name.removeprefix(of).strip(), plant)
        return plant
    return keep


def judge_cause(sort, cause):
    """Of the cause that is named first (its id, or None): whether it is what was planted. None where no id is known to say so."""
    return None if sort not in CAUSES else "unexplained" if cause in (None, "weight") else "right" if cause in CAUSES[sort] else "wrong"


def zero_row(draft, value):
    value = value.copy()
    value[draft.draw.randrange(len(value))] = 0
    return value


def huge_element(draft, value):
    value = value.copy()
    value[tuple(draft.draw.randrange(n) for n in value.shape)] *= draft.draw.choice([20, 100])
    return value


def reverse_heads(value, heads):
    return value.reshape(heads, -1, value.shape[1])[::-1].reshape(value.shape)


def swap(draft, first, second):
    if draft.tensors[first].shape != draft.tensors[second].shape:
        raise KeyError(second)
    draft.tensors[first], draft.tensors[second] = draft.tensors[second], draft.tensors[first]
    return {"weights": [first, second]}


def add_product_kinds(name, families=FAMILIES):
    @kind(f"{name} scaled", families, name)
    def scaled(d, layer):
        return d.edit(d.weight(layer, name), lambda w: w * d.draw.choice([0.5, 0.9, 0.98, 1.02, 1.1, 1.5, 2.0, -1.0]))

    @kind(f"{name} with a row of zeros", families, name)
    def row(d, layer):
        return d.edit(d.weight(layer, name), lambda w: zero_row(d, w))

    @kind(f"{name} with a huge element", families, name)
    def huge(d, layer):
        return d.edit(d.weight(layer, name), lambda w: huge_element(d, w))

    @kind(f"{name} rolled", families, name)
    def rolled(d, layer):
        return d.edit(d.weight(layer, name), lambda w: np.roll(w, d.draw.choice([1, 2, 16]), d.draw.choice([0, 1])))

    @kind(f"{name} of another layer", families, name)
    def other(d, layer):
        return d.edit(d.weight(layer, name), lambda w: d.tensors[d.weight(d.other_layer(layer), name)])


def add_head_kinds(name, families=FAMILIES):
    @kind(f"{name} with its heads reversed", families, name)
    def reverse(d, layer):
        return d.edit(d.weight(layer, name), lambda w: reverse_heads(w, d.heads(name, layer)))

    @kind(f"{name} with halves as pairs", families, name)
    def pairs(d, layer):
        return d.edit(d.weight(layer, name), lambda w: permute_rows(w, d.heads(name, layer)))


def add_norm_kinds(name, families):
    @kind(f"{name} scaled", families, name)
    def scaled(d, layer):
        return d.edit(d.weight(layer, name), lambda w: w * d.draw.choice([0.9, 0.99, 1.01, 1.1]))

    @kind(f"{name} off by one", families, name)
    def off(d, layer):
        return d.edit(d.weight(layer, name), lambda w: w + d.draw.choice([1, -1]))

    @kind(f"{name} left out", families, name)
    def ones(d, layer):
        return d.edit(d.weight(layer, name), np.ones_like)


for product in PRODUCTS:
    add_product_kinds(product)
for product in ("attn_q", "attn_k", "attn_v"):
    add_head_kinds(product)
for norm in NORMS:
    add_norm_kinds(norm, FAMILIES)
for norm in POST_NORMS:
    add_norm_kinds(norm, GEMMAS)
add_norm_kinds("attn_q_norm", ("qwen3", "gemma3"))


@kind("gate and up swapped")
def gate_and_up(d, layer):
    return swap(d, d.weight(layer, "ffn_gate"), d.weight(layer, "ffn_up"))


@kind("k and v swapped")
def k_and_v(d, layer):
    return swap(d, d.weight(layer, "attn_k"), d.weight(layer, "attn_v"))


@kind("norms swapped")
def norms(d, layer):
    return swap(d, d.weight(layer, "attn_norm"), d.weight(layer, "ffn_norm"))


@kind("q's and k's norms swapped", ("qwen3", "gemma3"))
def head_norms(d, layer):
    return swap(d, d.weight(layer, "attn_q_norm"), d.weight(layer, "attn_k_norm"))


def change_bias(d, layer, change):
    name = d.draw.choice(["attn_q", "attn_k", "attn_v"])
    d.edit(f"blk.{layer}.{name}.bias", change)
    return {"weights": [f"blk.{layer}.{name}.bias"]}


@kind("bias left out", ("qwen2",))
def no_bias(d, layer):
    return change_bias(d, layer, np.zeros_like)


@kind("bias doubled", ("qwen2",))
def two_biases(d, layer):
    return change_bias(d, layer, lambda b: 2 * b)


@kind("RoPE base")
def rope_base(d, layer):
    d.set("rope.freq_base", d.value("rope.freq_base") * d.draw.choice([1.05, 2, 10, 50]))
    return {"operations": "ROPE"}


@kind("eps")
def eps(d, layer):
    d.set("attention.layer_norm_rms_epsilon", d.draw.choice([1e-5, 1e-4, 1e-3]))
    return {"operations": "RMS_NORM"}


@kind("sliding window", GEMMAS)
def window(d, layer):
    d.set("attention.sliding_window", d.draw.choice([8, 15, 17]))
    return {"operations": "SOFT_MAX|FLASH_ATTN_EXT"}


@kind("attention's soft cap", ("gemma2",))
def attention_cap(d, layer):
    d.set("attn_logit_softcapping", d.draw.choice([20.0, 100.0]))
    return {"operations": "SCALE|TANH|SOFT_MAX|FLASH_ATTN_EXT"}


@kind("final soft cap", ("gemma2",))
def final_cap(d, layer):
    d.set("final_logit_softcapping", d.draw.choice([10.0, 100.0]))
    return {"operations": "SCALE|TANH"}


@kind("output norm")
def output_norm(d, layer):
    return d.edit("output_norm.weight", lambda w: w * 1.1)


@kind("vocabulary shifted in the head", ("llama", "qwen2", "qwen3"))
def head_rolled(d, layer):
    return d.edit("output.weight", lambda w: np.roll(w, 1, 0))


@kind("embedding of one token scaled")
def embedding_row(d, layer):
    def change(w):
        w = w.copy()
        w[d.draw.choice(d.prompt)] *= 1.5
        return w
    return d.edit("token_embd.weight", change)


@kind("embeddings scaled")
def embeddings(d, layer):
    return d.edit("token_embd.weight", lambda w: w * d.draw.choice([0.5, 1.01, 3]))
