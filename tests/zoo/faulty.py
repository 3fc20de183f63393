"""Faults drawn at random for each model of the zoo, planted in its GGUF, run, and compared: `make zoo FAULTS=1 SEED=n`.

The kinds are those of the fault campaign (../e2e) and those of zoo_kinds.py. A fault is drawn again until it changes the
engine's outputs. Where the clean conversion differs, too, what is named for it does not count.
"""
import collections
import json
import random
import shutil

import keeper
import numpy as np

import conftest
import faults
import gguf
import models
import planted
import zoo_kinds  # noqa: F401  (which joins KINDS)
from fault_kinds import KINDS, Draft, judge_cause

COUNT = 3  # faults of each model
UNLIMITED = 1e6


class Weights(collections.UserDict):
    """Of a GGUF, by name, as float32; those that were given other values are in `data`."""

    def __init__(self, reader):
        super().__init__()
        self.stored = {tensor.name: tensor for tensor in reader.tensors}

    def __missing__(self, name):
        tensor = self.stored[name]
        return gguf.quants.dequantize(tensor.data, tensor.tensor_type).astype(np.float32)

    def __contains__(self, name):
        return name in self.stored

    def store(self):
        for name, value in self.data.items():
            tensor = self.stored[name]
            flat = value if tensor.tensor_type == gguf.GGMLQuantizationType.F32 else models.quantized(value.reshape(-1, value.shape[-1]), tensor.tensor_type)
            tensor.data[:] = flat.reshape(tensor.data.shape)


class FileDraft(Draft):
    """A copy of a model of the zoo, altered in place."""

    def __init__(self, draw, reader, prompt):
        self.reader, self.architecture = reader, reader.fields["general.architecture"].contents()
        super().__init__(draw, Weights(reader), self.value("block_count"), prompt)

    def field(self, key):
        return self.reader.fields[f"{self.architecture}.{key}"]

    def value(self, key):
        return self.field(key).contents()

    def set(self, key, value):
        field = self.field(key)
        for part, each in zip(field.data, value if isinstance(value, list) else [value]):
            field.parts[part][0] = each

    def heads(self, name, layer):
        heads = self.value("attention.head_count_kv" if name in ("attn_k", "attn_v") else "attention.head_count")
        return heads[layer] if isinstance(heads, list) else heads

    def named(self, layer, name, ends):
        return next((full for full in (f"{stack}blk.{layer}.{name}{end}" for stack in ("", "enc.") for end in ends) if full in self.tensors), name)

    def weight(self, layer, name):
        return self.named(layer, name, (".weight", ""))

    def bias(self, layer, name):
        return self.named(layer, name, (".bias", "") if name == "exp_probs_b" else (".bias",))


def sorts(chosen):
    """Kinds that differ only by the weight that they are about, together."""
    together = collections.defaultdict(list)
    for name in chosen:
        together[KINDS[name].sort].append(name)
    return list(together.values())


def shuffled(draw):
    """Sorts in an order to try them in: the first one is from the zoo's own kinds."""
    own, rest = sorts(name for name in KINDS if not KINDS[name].families), sorts(KINDS)
    return draw.sample(rest, len(rest)), draw.sample(own, len(own))


def attempt(draw, path, names, prompt):
    """Plants one of these kinds in the file. Returns (kind, place), or None if none of them applies."""
    for name in draw.sample(names, len(names)):
        reader = planted.opened(path)
        draft = FileDraft(draw, reader, prompt)
        for layer in draw.sample(range(draft.layers), draft.layers):
            try:
                place = KINDS[name].plant(draft, layer)
            except (KeyError, IndexError, TypeError, ValueError):
                draft.tensors.data.clear()
                continue
            draft.tensors.store()
            reader.data.flush()
            return f"{name} (layer {layer})", place
    return None


def nodes_by_place(tensors):
    counts, places = collections.Counter(), {}
    for t in tensors:
        key = (t.get("pass"), t["name"], t["op"])
        places[*key, counts[key]] = t
        counts[key] += 1
    return places


def told(t, tensors):
    """What an operation does, apart from its operands' values: its parameters, the shapes of what it reads, and the inputs and views that it reads."""
    sources = [tensors[i] for i in t.get("src", []) if i in tensors]
    return [t.get("params"), *([s["name"], s["op"], s["shape"], s.get("params") if s.get("role") == "view" else None, s.get("xxh3") if s.get("role") == "input" else None] for s in sources)]


def altered_operations(clean, faulty):
    """(name, op) of the operations that a key has changed."""
    before, after = conftest.Trace(clean), conftest.Trace(faulty)
    old = nodes_by_place(before.tensors)
    return {(t["name"], t["op"]) for place, t in nodes_by_place(after.tensors).items() if t["op"] != "NONE" and t.get("role") != "view"
            and (place not in old or told(t, after.by_order) != told(old[place], before.by_order))}


def wanted_operations(case, kind, faulty, place):
    if "weights" in place:
        return faults.operations_at(faulty, place)
    return altered_operations(case / f"candidate-{kind}", faulty)


def clean_origins(case, kind):
    return faults.origins(json.loads((case / f"report-{kind}.json").read_text()))


def run_one(animal, case, kind, draw, names, at):
    """Plants one of the kinds in a copy of the model in the folder `at`, and runs it. Returns what it is if it can be seen in the outputs."""
    shutil.rmtree(at, ignore_errors=True)
    at.mkdir()
    shutil.copy(case / kind / "model.gguf", at / "model.gguf")
    drawn = attempt(draw, at / "model.gguf", names, keeper.prompt_of(animal))
    if not drawn:
        return None
    try:
        keeper.capture(animal, at / "model.gguf", at / "candidate")
    except keeper.Stopped:
        return None
    change, wanted = measure(faults.logits(case / f"candidate-{kind}"), at / "candidate"), wanted_operations(case, kind, at / "candidate", drawn[1])
    counts = change >= faults.LEAST and wanted and not wanted & set().union(*clean_origins(case, kind))
    return {"fault": drawn[0], "change": change, "wanted": sorted(wanted)} if counts else None


def measure(before, trace):
    after = faults.logits(trace)
    if after.shape != before.shape:
        return UNLIMITED
    change = faults.relative_change(before, after)
    return change if np.isfinite(change) else UNLIMITED


def keep_faults(animal, case, kind, seed, count):
    """Draws and runs the faults, each of another sort; kept in case/faults-KIND-SEED, each in a folder of its own."""
    def make(folder):
        folder.mkdir()
        draw, number = random.Random(f"{seed} {animal.name} {kind}"), 0
        rest, own = shuffled(draw)
        while rest and number < count:
            left = own if own and number == 0 else rest
            fault = run_one(animal, case, kind, draw, left.pop(), folder / str(number))
            if fault:
                (folder / str(number) / "fault.json").write_text(json.dumps(fault))
                number += 1
    key = keeper.digest(keeper.model_key(animal), keeper.hooks_key(), count, keeper.source("faulty.py", "zoo_kinds.py", "run_engine.mjs", "../e2e/fault_kinds.py"))
    return keeper.once(case / f"faults-{kind}-{seed}", key, make)


def cause_at(report, wanted):
    """(id, text) of the cause that is given where the fault was planted: of its weight, by experiment, or of the first divergence, if that is there."""
    by_node = {o["node"]: (o["name"], o["op"]) for o in report["replay"]["operations"]}
    at = [o for o in report["replay"]["operations"] if o["origin"] and {by_node.get(node) for node in [o["node"], *o["region"]]} & wanted]
    found = [(o["wrong_weight"]["id"], o["wrong_weight"]["text"]) for o in at if o.get("wrong_weight", {}).get("id")] + [(o["rule"]["id"], o["rule"]["instead"]) for o in at if o["rule"]]
    first = report["first_divergence"]
    if not found and first and first["causes"] and first["candidate"]["order"] in {o["node"] for o in at}:
        found = [(first["causes"][0]["rule"], first["causes"][0]["summary"])]
    return found[0] if found else (None, "")


def judge(case, kind, at):
    """What came out of comparing one fault's run."""
    fault = json.loads((at / "fault.json").read_text())
    try:
        report = keeper.compare(case, kind, at)[0]
    except keeper.Stopped as reason:
        return {**fault, "outcome": "stopped", "verdict": str(reason), "named": []}
    if not report.get("replay"):
        return {**fault, "outcome": "refused", "verdict": report["verdict"], "named": []}
    groups = [group for group in faults.origins(report) + faults.origins_in_weights(report, at / "candidate") if group not in clean_origins(case, kind)]
    wanted = {tuple(each) for each in fault["wanted"]}
    cause, text = cause_at(report, wanted)
    return {**fault, "outcome": outcome_of(wanted, groups, report["verdict"]), "verdict": report["verdict"], "named": [sorted(group)[:4] for group in groups[:4]],
            "cause": f"{cause}: {text}" if cause else None, "explained": judge_cause(KINDS[fault["fault"].rsplit(" (layer ", 1)[0]].sort, cause), "beside": sum(not group & wanted for group in groups), "open": report["replay"]["counts"]["open"]}


def outcome_of(wanted, groups, verdict):
    if groups:
        return "right" if groups[0] & wanted else "wrong"
    return "match" if verdict == "match" else "refused" if verdict == "incomparable" else "missed"


def visit(animal, kind, case, seed, count=COUNT):
    """What came of each fault. The clean run is compared first, by the same program."""
    keeper.visit(animal, case, kind)
    folder = keep_faults(animal, case, kind, seed, count)
    return {"faults": [judge(case, kind, file.parent) for file in sorted(folder.glob("*/fault.json"))]}
