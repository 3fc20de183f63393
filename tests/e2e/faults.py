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
from fault_kinds import FAMILIES, KINDS, Draft, judge_cause

TYPES = ("f32", "q8_0", "q4_0")
LEAST, VISIBLE = 1e-4, 1e-2
# ---------------------------------------------------------------- a case

class FamilyDraft(Draft):
    """Of one of the families that models.py writes."""

    SETTINGS = {"attention.sliding_window": "sliding_window", "attn_logit_softcapping": "attn_logit_softcapping", "final_logit_softcapping": "final_logit_softcapping"}
    ARGUMENTS = {"rope.freq_base": "rope_base", "attention.layer_norm_rms_epsilon": "eps"}

    def __init__(self, draw, family, config, tensors):
        super().__init__(draw, tensors, config.num_hidden_layers, conftest.PROMPTS[24])
        self.family, self.config = family, config
        self.keys, self.settings = {}, {}  # arguments of models.write_gguf; attributes of the configuration

    def value(self, key):
        return {"rope.freq_base": 1e6 if self.family == "gemma3" else 1e4}[key]

    def set(self, key, value):
        if key in self.ARGUMENTS:
            self.keys[self.ARGUMENTS[key]] = value
        else:
            self.settings[self.SETTINGS[key]] = value

    def heads(self, name, _):
        return self.config.num_attention_heads if name == "attn_q" else self.config.num_key_value_heads


class Case:
    def __init__(self, seed, types=TYPES, two=False):
        draw = random.Random(seed)
        self.seed, self.draw = seed, draw
        self.family, self.type, self.flash = draw.choice(FAMILIES), draw.choice(types), draw.random() < 0.3
        names = [n for n, kind in KINDS.items() if self.family in kind.families]
        self.kinds = draw.sample(names, 2 if two else 1)
        self.layers = draw.sample(range(models.LAYERS), len(self.kinds))

    def __str__(self):
        where = ", ".join(f"{k} (layer {i})" for k, i in zip(self.kinds, self.layers))
        return f"seed {self.seed}: {self.family} {self.type}{' flash attention' if self.flash else ''}: {where}"

    def write(self, lab, path):
        """Plants the faults. Returns where they are, one for each."""
        model = lab.model(self.family)
        draft = FamilyDraft(self.draw, self.family, model.config, dict(models.gguf_tensors(model, self.family)))
        places = [KINDS[name].plant(draft, layer) for name, layer in zip(self.kinds, self.layers)]
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
    return lab.reference(family, attention="eager" if family in models.GEMMAS else "sdpa", dtype=dtype)


def logits(trace):
    """The outputs of all passes; of an encoder, the last operation's."""
    trace = conftest.Trace(trace)
    outputs = [t for t in trace.tensors if t["name"] == "result_output"] or [t for t in trace.tensors if "file" in t and "params" in t][-1:]
    return np.concatenate([trace.values(t).ravel() for t in outputs]).astype(np.float64)


def relative_change(before, after):
    return float(np.linalg.norm(after - before) / np.linalg.norm(before))


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
    before = logits(clean(lab, case.family, case.type, case.flash)[0])
    return Planted(places, path, trace, relative_change(before, logits(trace)))


def verdict_of(wanted, found):
    """wanted: for each fault, the operations that are at fault; found: for each operation that is named, it and those that belong to it."""
    hits = [any(group & place for group in found) for place in wanted]
    stray = [group for group in found if not any(group & place for place in wanted)]
    return "right" if all(hits) and not stray else "missed" if not found else "partly" if any(hits) else "wrong"


def judge(planted, by, *options):
    """A dictionary: whether the fault is found where it is."""
    status, result = conftest.diff(by, planted.trace, "--preset", "none", "--candidate-model", planted.model, *options)
    wanted, found = [operations_at(planted.trace, place) for place in planted.places], origins(result) + origins_in_weights(result, planted.trace)
    verdict = verdict_of(wanted, found)
    errors = {(o["name"], o["pass"]): (o["added"]["rel_l2"], o["added"]["expected"]) for o in result["replay"]["operations"] if "added" in o
              for place in wanted if (o["name"], o["op"]) in place}
    classes = {o["class"] for o in result["replay"]["operations"] for place in wanted if (o["name"], o["op"]) in place}
    causes = (result["first_divergence"] or {}).get("causes")
    return {"change": planted.change, "verdict": verdict, "cause": causes[0] if causes else None, "status": status, "outcome": result["verdict"], "errors": errors, "beyond": classes == {"beyond"},
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
        self.title, self.counts, self.causes = title, collections.Counter(), collections.Counter()

    def add(self, case, result):
        size = size_of(result["change"])
        self.counts[case.type, size, result["verdict"]] += 1
        self.counts["match", case.type, size] += result["outcome"] == "match"
        self.counts["beyond", case.type] += result["beyond"] and size != "invisible"
        if result["verdict"] == "right" and size != "invisible" and len(case.kinds) == 1:
            self.add_cause(case, result["cause"])
        if result["verdict"] != "right" and size != "invisible":
            print(f"{self.title}{result['verdict']:7} {case}; logits change by {result['change']:.1e} ({size}); said {result['outcome']}{', not comparable with this reference' if result['beyond'] else ''}; named: {result['found'][:6]}", flush=True)

    def add_cause(self, case, cause):
        """Of a fault that was found: whether the first cause is what was planted."""
        verdict = judge_cause(KINDS[case.kinds[0]].sort, cause and cause["rule"])
        self.causes[case.type, verdict] += 1
        if verdict != "right":
            print(f"{self.title}cause {verdict}: {case}" + (f": said {cause['id']}: {cause['text']}" if cause else ""), flush=True)

    def print(self):
        for kind in TYPES:
            named = {verdict: self.causes[kind, verdict] for verdict in ("right", "wrong", "unexplained")}
            if sum(named.values()):
                print(f"{self.title}{kind}: cause named first: {named['right']} right, {named['wrong']} wrong, {named['unexplained']} unexplained, of {sum(named.values())} faults that were found")
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
