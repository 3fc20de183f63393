"""Faults drawn at random and planted in a model file, as they happen in ports: `make faults SEED=n CASES=n TYPE=q4_0 TWO=1 FOLDER=1 REFERENCE=bfloat16`.

Each case is a small model with one fault (or two, in different layers), run in unmodified llama.cpp and compared without
any naming rules. Right means that the operations at fault are all named, and no others. A fault has to change the engine's
logits by a relative L2 of 1e-4 to count, and is visible from 1e-2 on. With FOLDER=1, each is also compared with a third of the
reference's tensors in a folder; right means then that the fault is in a region that is named, and nothing else is named.
"""
import argparse
import collections
import json
import pathlib
import random
import re
import shutil
import sys
import tempfile

import numpy as np

import conftest
import dumped
import models

FAMILIES = ("llama", "qwen2", "qwen3", "gemma2", "gemma3")
GEMMAS = models.GEMMAS
TYPES = ("f32", "q8_0", "q4_0")
LEAST, VISIBLE = 1e-4, 1e-2
PRODUCTS = ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down")
NORMS = ("attn_norm", "ffn_norm")
POST_NORMS = ("post_attention_norm", "post_ffw_norm")

KINDS = {}  # name -> (families, plant)


class Draft:
    """A model file that is about to be written. Weights are by their GGUF names."""

    def __init__(self, draw, family, config, tensors):
        self.draw, self.family, self.config, self.tensors = draw, family, config, tensors
        self.keys, self.settings = {}, {}  # arguments of models.write_gguf; attributes of the configuration

    def weight(self, layer, name):
        return f"blk.{layer}.{name}.weight"

    def edit(self, name, change):
        self.tensors[name] = np.ascontiguousarray(change(self.tensors[name]), dtype=np.float32)
        return {"weights": [name]}

    def heads(self, name):
        return self.config.num_attention_heads if name == "attn_q" else self.config.num_key_value_heads

    def other_layer(self, layer):
        return self.draw.choice([k for k in range(self.config.num_hidden_layers) if k != layer])


def kind(name, families=FAMILIES):
    """plant(draft, layer) changes the draft, and returns where the fault is: weights that are read, or operations."""
    def keep(plant):
        KINDS[name] = (families, plant)
        return plant
    return keep


def zero_row(draft, value):
    value = value.copy()
    value[draft.draw.randrange(len(value))] = 0
    return value


def huge_element(draft, value):
    value = value.copy()
    value[draft.draw.randrange(value.shape[0]), draft.draw.randrange(value.shape[1])] *= draft.draw.choice([20, 100])
    return value


def reverse_heads(value, heads):
    return value.reshape(heads, -1, value.shape[1])[::-1].reshape(value.shape)


def swap(draft, first, second):
    draft.tensors[first], draft.tensors[second] = draft.tensors[second], draft.tensors[first]
    return {"weights": [first, second]}


def add_product_kinds(name):
    @kind(f"{name} scaled")
    def scaled(d, layer):
        return d.edit(d.weight(layer, name), lambda w: w * d.draw.choice([0.5, 0.9, 0.98, 1.02, 1.1, 1.5, 2.0, -1.0]))

    @kind(f"{name} with a row of zeros")
    def row(d, layer):
        return d.edit(d.weight(layer, name), lambda w: zero_row(d, w))

    @kind(f"{name} with a huge element")
    def huge(d, layer):
        return d.edit(d.weight(layer, name), lambda w: huge_element(d, w))

    @kind(f"{name} rolled")
    def rolled(d, layer):
        return d.edit(d.weight(layer, name), lambda w: np.roll(w, d.draw.choice([1, 2, 16]), d.draw.choice([0, 1])))

    @kind(f"{name} of another layer")
    def other(d, layer):
        return d.edit(d.weight(layer, name), lambda w: d.tensors[d.weight(d.other_layer(layer), name)])


def add_head_kinds(name):
    @kind(f"{name} with its heads reversed")
    def reverse(d, layer):
        return d.edit(d.weight(layer, name), lambda w: reverse_heads(w, d.heads(name)))

    @kind(f"{name} with halves as pairs")
    def pairs(d, layer):
        return d.edit(d.weight(layer, name), lambda w: models.permute_rows(w, d.heads(name)))


def add_norm_kinds(name, families):
    @kind(f"{name} scaled", families)
    def scaled(d, layer):
        return d.edit(d.weight(layer, name), lambda w: w * d.draw.choice([0.9, 0.99, 1.01, 1.1]))

    @kind(f"{name} off by one", families)
    def off(d, layer):
        return d.edit(d.weight(layer, name), lambda w: w + d.draw.choice([1, -1]))

    @kind(f"{name} left out", families)
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
    d.keys["rope_base"] = (1e6 if d.family == "gemma3" else 1e4) * d.draw.choice([1.05, 2, 10, 50])
    return {"operations": "ROPE"}


@kind("eps")
def eps(d, layer):
    d.keys["eps"] = d.draw.choice([1e-5, 1e-4, 1e-3])
    return {"operations": "RMS_NORM"}


@kind("sliding window", GEMMAS)
def window(d, layer):
    d.settings["sliding_window"] = d.draw.choice([8, 15, 17])
    return {"operations": "SOFT_MAX|FLASH_ATTN_EXT"}


@kind("attention's soft cap", ("gemma2",))
def attention_cap(d, layer):
    d.settings["attn_logit_softcapping"] = d.draw.choice([20.0, 100.0])
    return {"operations": "SCALE|TANH|SOFT_MAX|FLASH_ATTN_EXT"}


@kind("final soft cap", ("gemma2",))
def final_cap(d, layer):
    d.settings["final_logit_softcapping"] = d.draw.choice([10.0, 100.0])
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
        w[d.draw.choice(conftest.PROMPTS[24])] *= 1.5
        return w
    return d.edit("token_embd.weight", change)


@kind("embeddings scaled")
def embeddings(d, layer):
    return d.edit("token_embd.weight", lambda w: w * d.draw.choice([0.5, 1.01, 3]))


# ---------------------------------------------------------------- a case

class Case:
    def __init__(self, seed, types=TYPES, two=False):
        draw = random.Random(seed)
        self.seed, self.draw = seed, draw
        self.family, self.type, self.flash = draw.choice(FAMILIES), draw.choice(types), draw.random() < 0.3
        names = [n for n, (families, _) in KINDS.items() if self.family in families]
        self.kinds = draw.sample(names, 2 if two else 1)
        self.layers = draw.sample(range(models.LAYERS), len(self.kinds))

    def __str__(self):
        where = ", ".join(f"{k} (layer {i})" for k, i in zip(self.kinds, self.layers))
        return f"seed {self.seed}: {self.family} {self.type}{' flash attention' if self.flash else ''}: {where}"

    def write(self, lab, path):
        """Plants the faults. Returns where they are, one for each."""
        model = lab.model(self.family)
        draft = Draft(self.draw, self.family, model.config, dict(models.gguf_tensors(model, self.family)))
        places = [KINDS[name][1](draft, layer) for name, layer in zip(self.kinds, self.layers)]
        kept = {name: getattr(model.config, name) for name in draft.settings}
        for name, value in draft.settings.items():
            setattr(model.config, name, value)
        try:
            models.write_gguf(path, model, self.family, draft.tensors, quantize=quantization(self.type), **draft.keys)
        finally:
            for name, value in kept.items():
                setattr(model.config, name, value)
        return places


def quantization(kind):
    return None if kind == "f32" else kind


def clean(lab, family, kind, flash):
    """(trace, model file) of a run without a fault"""
    def make():
        path = lab.gguf(family)
        if kind != "f32":
            path = lab.folder / family / f"clean-{kind}.gguf"
            if not path.exists():
                models.write_gguf(path, lab.model(family), family, models.gguf_tensors(lab.model(family), family), quantize=kind)
        return lab.candidate(family, gguf=path, flash=flash), path
    return lab.once(("clean", family, kind, flash), make)


def reference(lab, family, dtype="float32"):
    return lab.reference(family, attention="eager" if family in GEMMAS else "sdpa", dtype=dtype)


def logits(trace):
    trace = conftest.Trace(trace)
    return np.concatenate([trace.values(t).ravel() for t in trace.tensors if t["name"] == "result_output"]).astype(np.float64)


def operations_at(trace, place):
    """(name, op) of the operations that read the weights, or are of the kind."""
    tensors = conftest.Trace(trace).tensors
    if "operations" in place:
        return {(t["name"], t["op"]) for t in tensors if re.fullmatch(place["operations"], t["op"])}
    read = {t["i"] for t in tensors if t["name"] in place["weights"] and t.get("role") == "weight"}
    for t in tensors:
        if t.get("role") == "view" and read & set(t.get("src", [])):
            read.add(t["i"])
    return {(t["name"], t["op"]) for t in tensors if t.get("role") != "view" and read & set(t.get("src", []))}


def origins(result):
    """For each operation at fault, it and the operations that belong to it, as (name, op)."""
    by_node = {o["node"]: (o["name"], o["op"]) for o in result["replay"]["operations"]}
    return [{by_node[n] for n in [o["node"], *o["region"]] if n in by_node} for o in result["replay"]["operations"] if o["origin"]]


def origins_in_weights(result, trace):
    """The operations that read a weight which the comparison of the checkpoints rejects."""
    wrong = [w["candidate"]["name"] for w in result["weights"] or [] if w["verdict"] not in ("identical", "match")]
    return [operations_at(trace, {"weights": [w]}) for w in wrong]


Planted = collections.namedtuple("Planted", "places model trace change")  # change: of the logits, relative L2


def plant(lab, case, folder):
    path = pathlib.Path(folder) / "faulty.gguf"
    places = case.write(lab, path)
    trace = lab.candidate(case.family, gguf=path, flash=case.flash)
    before, after = logits(clean(lab, case.family, case.type, case.flash)[0]), logits(trace)
    return Planted(places, path, trace, float(np.linalg.norm(after - before) / np.linalg.norm(before)))


def judge(planted, by, *options):
    """A dictionary: whether the fault is found where it is."""
    status, result = conftest.diff(by, planted.trace, "--preset", "none", "--candidate-model", planted.model, *options)
    wanted, found = [operations_at(planted.trace, place) for place in planted.places], origins(result) + origins_in_weights(result, planted.trace)
    hits = [any(group & place for group in found) for place in wanted]
    stray = [group for group in found if not any(group & place for place in wanted)]
    verdict = "right" if all(hits) and not stray else "missed" if not found else "partly" if any(hits) else "wrong"
    errors = {(o["name"], o["pass"]): (o["added"]["rel_l2"], o["added"]["expected"]) for o in result["replay"]["operations"] if "added" in o
              for place in wanted if (o["name"], o["op"]) in place}
    classes = {o["class"] for o in result["replay"]["operations"] for place in wanted if (o["name"], o["op"]) in place}
    return {"change": planted.change, "verdict": verdict, "status": status, "outcome": result["verdict"], "errors": errors, "beyond": classes == {"beyond"},
            "found": sorted(set().union(*found)) if found else [], "open": result["replay"]["counts"]["open"]}


def run_case(lab, case, folder, with_weights=False, by=None):
    """As judge; with_weights: the reference's checkpoint is at hand, too. by: the reference, instead of its whole trace."""
    planted = plant(lab, case, folder)
    result = judge(planted, by or reference(lab, case.family), *(["--reference-model", lab.hf(case.family)] if with_weights else []))
    shutil.rmtree(planted.trace)
    return result


# ---------------------------------------------------------------- the campaign

def size_of(change):
    return "invisible" if change < LEAST else "visible" if change >= VISIBLE else "small"


class Tally:
    def __init__(self, title):
        self.title, self.counts = title, collections.Counter()

    def add(self, case, result):
        size = size_of(result["change"])
        self.counts[case.type, size, result["verdict"]] += 1
        self.counts["match", case.type, size] += result["outcome"] == "match"
        self.counts["beyond", case.type] += result["beyond"] and size != "invisible"
        if result["verdict"] != "right" and size != "invisible":
            print(f"{self.title}{result['verdict']:7} {case}; logits change by {result['change']:.1e} ({size}); said {result['outcome']}{', not comparable with this reference' if result['beyond'] else ''}; named: {result['found'][:6]}", flush=True)

    def print(self):
        for kind in TYPES:
            of_kind = {k: n for k, n in self.counts.items() if k[0] == kind and k[1] != "invisible"}
            total, right = sum(of_kind.values()), sum(n for k, n in of_kind.items() if k[2] == "right")
            visible = sum(n for k, n in of_kind.items() if k[1] == "visible")
            missed = sum(n for k, n in of_kind.items() if k[1] == "visible" and k[2] == "missed")
            matches = [self.counts["match", kind, size] for size in ("visible", "small")]
            if total:
                print(f"{self.title}{kind}: {right} of {total} right ({100 * right / total:.1f} %); of {visible} visible ones, {missed} missed; "
                      f"called a match: {matches[0]} visible, {matches[1]} small; behind all that the reference holds: {self.counts['beyond', kind]}")


def dump(lab, case, folder):
    """A third of the reference's tensors, another for each seed."""
    path = pathlib.Path(folder) / f"dump-{case.seed}"
    dumped.write(path, reference(lab, case.family), case.seed)
    return path


def times_rounding(exact, rounded):
    """How many times what a coarser reference explains a fault is, at its own operation: its size is known from an exact reference."""
    return max([exact["errors"][at][0] / expected for at, (_, expected) in rounded["errors"].items() if at in exact["errors"] and expected > 0], default=0)


def campaign(lab, asked, folder):
    whole, part, coarse, below = Tally(""), Tally("folder: "), Tally(f"{asked.reference}: "), Tally(f"{asked.reference}, below four times its rounding: ")
    for seed in range(asked.seed, asked.seed + asked.cases):
        case = Case(seed, (asked.type,) if asked.type else TYPES, asked.two)
        planted, options = plant(lab, case, folder), ["--reference-model", lab.hf(case.family)] if asked.weights else []
        result = judge(planted, reference(lab, case.family), *options)
        whole.add(case, result)
        if asked.reference:
            rounded = judge(planted, reference(lab, case.family, asked.reference), *options)
            (coarse if times_rounding(result, rounded) >= 4 else below).add(case, rounded)
        if asked.folder:
            by = dump(lab, case, folder)
            part.add(case, judge(planted, by))
            shutil.rmtree(by)
        shutil.rmtree(planted.trace)
    for tally in (whole, part, coarse, below):
        tally.print()
    print(f"left out, because they change the logits by less than {LEAST:g}: {sum(n for k, n in whole.counts.items() if k[1] == 'invisible')}")


def clean_campaign(lab, asked, folder):
    """Right conversions, drawn as faults are, compared with folders: nothing may be found."""
    wrong = 0
    for seed in range(asked.seed, asked.seed + asked.cases):
        case = Case(seed, (asked.type,) if asked.type else TYPES)
        trace, model = clean(lab, case.family, case.type, case.flash)
        by = dump(lab, case, folder)
        status, result = conftest.diff(by, trace, "--preset", "none", "--candidate-model", model)
        shutil.rmtree(by)
        if status != 0 or origins(result):
            wrong += 1
            print(f"seed {seed}: {case.family} {case.type}{' flash attention' if case.flash else ''}: said {result['verdict']}; named: {origins(result)[:3]}", flush=True)
    print(f"{asked.cases} clean runs, {wrong} with a finding")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--cases", type=int, default=100)
    parser.add_argument("--type", choices=TYPES, help="of the weights; all of them otherwise")
    parser.add_argument("--weights", action="store_true", help="the reference's checkpoint is given, too")
    parser.add_argument("--two", action="store_true", help="two faults in each case")
    parser.add_argument("--folder", action="store_true", help="compared with a folder of a third of the reference's tensors, too")
    parser.add_argument("--reference", choices=("bfloat16", "float16"), help="compared with a reference in this type, too")
    parser.add_argument("--clean", action="store_true", help="no fault, and folders")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        (clean_campaign if asked.clean else campaign)(conftest.Lab(pathlib.Path(folder)), asked, folder)


if __name__ == "__main__":
    sys.exit(main())
