"""Kernels that are wrong and recorded values that are not what was computed, drawn at random: `make kernels SEED=n CASES=n`.

Each case is a small model in unmodified llama.cpp of which one kernel (two in a layer, or all of an operation) gives a wrong
result (wrong_kernel.c), or a trace in which one tensor has the values of another: of a buffer that was read too early
or too late. `lockstep verify` has to name just these. A change has to be eight times the noise of the operation's siblings to count.
"""
import argparse
import collections
import json
import pathlib
import random
import shutil
import statistics
import subprocess
import sys
import tempfile

import numpy as np

import conftest
import faults
from segments import store_values

FAMILIES, TYPES = faults.FAMILIES, faults.TYPES
LEAST = 8  # times the siblings' noise
FLOOR = 1e-6  # relative L2 that f32 kernels may be off
SHAPES = ("one",) * 6 + ("two in a layer", "all siblings") + ("stale",) * 4
RESULTS = ("row", "head", "nan", "shift", "f16")
# operation -> (word of its parameters, factors): eps, RoPE's base, attention's scale
PARAMETERS = {"RMS_NORM": (0, (1e3, 1e4)), "ROPE": (5, (1.05, 2.0)), "SOFT_MAX": (0, (0.9, 1.1)), "FLASH_ATTN_EXT": (0, (0.9, 1.1)), "SCALE": (0, (0.9, 2.0))}


def build(folder):
    """The library that is preloaded."""
    here, out = conftest.HERE, pathlib.Path(folder) / "wrong_kernel.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-O2", "-Wall", "-Wextra", "-Werror", "-D_GNU_SOURCE", f"-I{conftest.ROOT / 'hooks/ggml'}",
                    here / "wrong_kernel.c", "-o", out, "-ldl", "-lm"], check=True)
    return out


def verify(trace, model=None):
    done = conftest.run(conftest.LOCKSTEP, "verify", trace, *(["--model", model] if model is not None else []), "--json", "-")
    assert done.returncode in (0, 1, 2) and done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def computed(trace):
    """Operations with f32 results, each with its number among those of its kind, in all passes."""
    numbers, out = collections.Counter(), []
    for line in trace.tensors:
        if "pass" in line and line.get("role") not in ("weight", "input", "state"):
            number = numbers[line["op"]]
            numbers[line["op"]] += 1
            if line.get("role") is None and line["dtype"] == "f32" and "file" in line:
                out.append(dict(line, number=number))
    return out


def noise(clean):
    """node -> the median error of its siblings in a clean run, and that of their worst rows"""
    groups = collections.defaultdict(list)
    for o in clean["operations"]:
        if "rel_l2" in o:
            groups[o["op"], o["allowed"]].append(o)
    medians = {key: [statistics.median(o[k] for o in group) for k in ("rel_l2", "row_rel_l2")] for key, group in groups.items()}
    return {o["node"]: medians[o["op"], o["allowed"]] for group in groups.values() for o in group}


class Case:
    def __init__(self, seed, trace_of, shape=None):
        draw = self.draw = random.Random(seed)
        self.seed, self.family, self.type, self.flash = seed, draw.choice(FAMILIES), draw.choice(TYPES), draw.random() < 0.5
        self.shape = shape or draw.choice(SHAPES)
        self.trace = trace_of(self)
        operations = computed(self.trace)
        kind = draw.choice(sorted({o["op"] for o in operations}))  # else most would be products
        first = draw.choice([o for o in operations if o["op"] == kind])
        self.places = [first]
        if self.shape == "two in a layer":
            self.places.append(draw.choice([o for o in operations if o["layer"] == first["layer"] and o["pass"] == first["pass"] and o["i"] != first["i"]]))
        if self.shape == "all siblings":
            self.places = [o for o in operations if o["op"] == first["op"]]
        self.changes = [self.change(o) for o in ([first] if self.shape == "all siblings" else self.places)]

    def change(self, operation):
        """KIND:ARGUMENT:FACTOR"""
        op, kinds = operation["op"], list(RESULTS)
        kinds += ["parameter"] * 2 if op in PARAMETERS else ["block"] * 2 if op == "MUL_MAT" and self.reads_weight(operation) else []
        kind = self.draw.choice(kinds)
        if kind == "parameter":
            word, factors = PARAMETERS[op]
            return f"parameter:{word}:{self.draw.choice(factors)}"
        return f"{kind}:{self.draw.randrange(1000)}:{self.draw.choice([0.5, 0.9, 1.1, 2.0, -1.0])}"

    def reads_weight(self, operation):
        return any(self.trace.by_order[i].get("role") == "weight" for i in operation["src"])

    def environment(self):
        numbers = ["*"] if self.shape == "all siblings" else [o["number"] for o in self.places]
        return ",".join(f"{o['op']}:{n}:{c}" for o, n, c in zip(self.places, numbers, self.changes))

    def __str__(self):
        what = "another tensor's values in" if self.shape == "stale" else ", ".join(self.changes) + (" in all" if self.shape == "all siblings" else " in")
        where = ", ".join(f"{conftest.title(o)} of pass {o['pass']}" for o in self.places[:2])
        return f"seed {self.seed}: {self.family} {self.type}{' flash attention' if self.flash else ''}: {what} {where}"


class Campaign:
    def __init__(self, folder):
        self.folder, self.lab = pathlib.Path(folder), conftest.Lab(pathlib.Path(folder))
        self.library, self.verified = build(folder), {}

    def clean(self, case):
        return faults.clean(self.lab, case.family, case.type, case.flash)

    def draw(self, seed, shape=None):
        return Case(seed, lambda case: conftest.Trace(self.clean(case)[0]), shape)

    def noise(self, case):
        trace, model = self.clean(case)
        return self.lab.once(("noise", trace), lambda: noise(verify(trace, model)[1]))

    def wrong_kernels(self, case):
        """(trace, whether the change is large enough to count)"""
        log = self.folder / "log"
        log.write_text("")
        wrap = ["env", f"WRONG_KERNELS={case.environment()}", f"WRONG_KERNELS_LOG={log}", "sh", "-c", 'LD_PRELOAD="$0:$LD_PRELOAD" exec "$@"', self.library]
        trace = self.lab.candidate(case.family, gguf=self.clean(case)[1], flash=case.flash, wrap=wrap)
        changes = [[float(x) for x in line.split()[-2:]] for line in log.read_text().splitlines()]
        assert len(changes) == len(case.places), "each was changed once"
        siblings = self.noise(case)
        return trace, all(is_large(change, siblings.get(o["i"])) for change, o in zip(changes, sorted(case.places, key=lambda o: o["i"])))

    def stale(self, case):
        """(trace, whether the change counts): a tensor has the values of another of its shape, if there is one of the pass before."""
        line, = case.places
        same = [o for o in computed(case.trace) if o["shape"] == line["shape"] and o["i"] != line["i"]]
        if not same:
            return None, False
        before = [o for o in same if o["name"] == line["name"] and o["op"] == line["op"] and o["pass"] == line["pass"] - 1]
        values = case.trace.values(case.draw.choice(before or same))
        out = self.folder / "stale"
        shutil.copytree(case.trace.path, out)
        store_values(out, line, values)
        return out, is_large([distance(values, case.trace.values(line))], self.noise(case).get(line["i"]))

    def run(self, case):
        """A dictionary, or None if the change is too small."""
        trace, counts = (self.stale if case.shape == "stale" else self.wrong_kernels)(case)
        if not counts:
            return trace and shutil.rmtree(trace)
        status, result = verify(trace, self.clean(case)[1])
        named = {o["node"]: o["verdict"] for o in result["operations"] if o["verdict"] not in ("agrees", "unchecked")}
        right = "dump-error" if case.shape == "stale" else "wrong-kernel"
        wanted = {o["i"]: right for o in case.places}
        undecided = {i: "undecided" if named.get(i) == "undecided" else right for i in wanted}
        verdict = "right" if named == wanted else "undecided" if named == undecided else "missed" if not named else "wrong"
        lines = conftest.Trace(trace).by_order
        out = {"verdict": verdict, "status": status, "named": [f"{conftest.title(lines[i])} of pass {lines[i]['pass']}: {v}" for i, v in named.items() if wanted.get(i) != v],
               "missed": [conftest.title(lines[i]) for i in wanted if i not in named], "diff": self.diff(case, trace)}
        shutil.rmtree(trace)
        return out

    def computes(self, trace, named):
        """The operation whose values a tensor has: another name, or another shape of them."""
        lines = conftest.Trace(trace)
        line = lines.find(named["name"], named["op"], named["pass"], named["occurrence"])
        while line.get("role") == "view":
            line = lines.by_order[line["src"][0]]
        return conftest.title(line)

    def diff(self, case, trace):
        """What `lockstep diff` says: right if it has the cause `kernel` at one of the operations, or names it although the reference has no such tensor."""
        status, result = conftest.diff(faults.reference(self.lab, case.family), trace, "--candidate-model", self.clean(case)[1])
        first = result["first_divergence"]
        causes = first["causes"] if first else []
        at_fault = bool(first) and self.computes(trace, first["candidate"]) in {conftest.title(o) for o in case.places}
        if status == 1 and result["verdict"] == "diverged" and at_fault and causes and causes[0]["rule"] == "kernel":
            return "right"
        if status == 1 and not first and any(f"first: {conftest.title(o)};" in result["reason"] for o in case.places):
            return "right"
        return f"{result['verdict']} ({result['reason']}) at {first and conftest.title(first['candidate'])}, causes {[c['id'] for c in causes]}"


def distance(a, b):
    return float(np.linalg.norm(a.astype(np.float64) - b) / np.linalg.norm(b.astype(np.float64)))


def is_large(change, siblings):
    """Of the whole, or of a row."""
    return siblings is not None and any(not own < LEAST * usual and not own < FLOOR for own, usual in zip(change, siblings))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--cases", type=int, default=40)
    asked = parser.parse_args()
    counts, seed = collections.Counter(), asked.seed
    with tempfile.TemporaryDirectory() as folder:
        campaign = Campaign(folder)
        while sum(counts.values()) < asked.cases:
            case = campaign.draw(seed)
            result, seed = campaign.run(case), seed + 1
            if result is None:
                continue
            counts[case.type, "dumps" if case.shape == "stale" else "kernels", result["verdict"], result["diff"] == "right"] += 1
            if result["verdict"] != "right" or result["diff"] != "right":
                print(f"{result['verdict']:9} {case}; named: {result['named'][:4]}; missed: {result['missed'][:4]}; diff: {result['diff']}", flush=True)
    for kind in TYPES:
        for what in ("kernels", "dumps"):
            of_kind = {k[2:]: n for k, n in counts.items() if k[:2] == (kind, what)}
            right, undecided = (sum(n for k, n in of_kind.items() if k[0] == verdict) for verdict in ("right", "undecided"))
            if of_kind:
                print(f"{kind}, {what}: {right} of {sum(of_kind.values())} right, {undecided} undecided; diff names {sum(n for k, n in of_kind.items() if k[1])}")


if __name__ == "__main__":
    sys.exit(main())
