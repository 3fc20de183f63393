"""Correct conversions, in which nothing may be found: `make clean-runs` (FIRST=n RUNS=n).

Every two values of the parameters meet in some run (not all of their combinations). Each run is recorded, compared with
transformers without naming rules, and verified. Models that only llama.cpp has are verified alone. A pair is wrong if
the family's rules name another tensor of the reference. The trained BERT has one finding, which is known: GELU in its tanh form.
"""
import argparse
import collections
import itertools
import json
import pathlib
import random
import subprocess
import sys
import tempfile

import bert
import conftest
import faults
import kernel_faults
import models
import other_models

FAMILIES = ("llama", "llama-biased", "llama-wide", "qwen2", "qwen3", "gemma2", "gemma3")
OF_256 = ("q4_k", "q6_k", "iq4_xs")  # types in blocks of 256, which only llama-wide has rows for
PARAMETERS = {
    "family": FAMILIES,
    "type": ("f32", "f16", "bf16 reference", "q8_0", "q4_0", *OF_256),
    "flash": (False, True),
    "tokens": (1, 24, 300),
    "steps": (0, 4),
    "sequences": (1, 2),
}
BATCH, CONTEXT = 128, 512  # a prompt of 300 tokens comes in three batches
LIMITS = {"rel_l2": 2, "channel": 8, "mean": 7, "scale": 6}  # docs/replay.md, in units of what is expected

Run = collections.namedtuple("Run", PARAMETERS)


def is_possible(run):
    return run.type not in OF_256 or run.family == "llama-wide"


def pairs(run):
    return set(itertools.combinations(enumerate(run), 2))


def pairwise(seed=1):
    """Runs that have all possible pairs of values: each time the one of some random ones that has most new pairs."""
    draw, runs = random.Random(seed), []
    possible = [Run(*values) for values in itertools.product(*PARAMETERS.values()) if is_possible(Run(*values))]
    left = set().union(*map(pairs, possible))
    while left:
        pair = draw.choice(sorted(left, key=str))
        having = [run for run in possible if pair in pairs(run)]
        runs.append(max(draw.sample(having, min(len(having), 50)), key=lambda run: len(pairs(run) & left)))
        left -= pairs(runs[-1])
    return runs


RUNS = pairwise()
OTHERS = tuple(other_models.KINDS)


def prompt(run):
    """The prompts of all sequences, equally long."""
    ids = [3 + (7 * i * i + 5 * i) % (models.VOCAB - 3) for i in range(run.tokens)]
    return [ids, [3 + (i + 40) % (models.VOCAB - 3) for i in ids]][:run.sequences]


def steps(run):
    return conftest.STEPS[:run.steps]


def reference(lab, run):
    dtype = "bfloat16" if run.type == "bf16 reference" else "float32"
    first, *others = prompt(run)
    options = {"model": str(lab.hf(run.family)), "prompt": first, "others": others, "steps": steps(run), "dtype": dtype,
               "attention": "eager" if run.family in models.GEMMAS else "sdpa"}
    key = ("clean reference", run.family, run.tokens, run.sequences, run.steps, dtype)
    out = lab.folder / "-".join(str(k) for k in key).replace(" ", "-")
    return lab.once(key, lambda: conftest.capture(out, sys.executable, conftest.HERE / "run_hf.py", json.dumps(options)))


def model_file(lab, run):
    kind = None if run.type in ("f32", "bf16 reference") else run.type
    path = lab.gguf(run.family) if kind is None else lab.folder / run.family / f"clean-run-{kind}.gguf"
    if not path.exists():
        models.write_gguf(path, lab.model(run.family), run.family, models.gguf_tensors(lab.model(run.family), run.family), quantize=kind)
    return path


def candidate(lab, run):
    first, *others = prompt(run)
    return lab.candidate(run.family, gguf=model_file(lab, run), flash=run.flash, prompt=first, others=others, steps=steps(run), batch=BATCH, context=CONTEXT)


def paired(result):
    return {p["candidate"]["order"]: p["reference"]["order"] for p in result["pairs"] if p["verdict"] != "explained"}


def have_the_same_values(a, b):
    """In another order, perhaps: heads are permuted before and after attention; and at position 0, RoPE changes nothing. Models in bf16
    compute norms in f32, and round them then: both are recorded."""
    limit = 1e-6 if a["dtype"] == b["dtype"] else 2 ** -8
    return all(abs(a["stats"][key] - b["stats"][key]) <= limit * abs(b["stats"][key]) for key in ("min", "max", "l2"))


def wrong_pairs(reference, by_values, by_rules):
    """Orders of the candidate's tensors. A pair of the rules counts only where it matches: they pair Gemma's scores before their scale."""
    lines = conftest.Trace(reference).by_order
    values, rules = paired(by_values), paired(by_rules)
    return [order for order in values.keys() & rules.keys() if not have_the_same_values(lines[values[order]], lines[rules[order]])]


def largest(replay):
    """Each of the four statistics that are compared with what rounding explains, at its largest."""
    found = [o["added"] for o in replay["operations"] if o.get("added") and not o["accepted"]]
    ratio = {"rel_l2": max((a["rel_l2"] / a["expected"] for a in found if a["expected"] > 0), default=0)}
    return {**ratio, **{name: max((a[name] for a in found), default=0) for name in ("channel", "mean", "scale")}}


def shares(replay):
    total = sum(replay["elements"].values()) or 1
    return {name: 100 * replay["elements"][name] / total for name in ("found", "covered", "unsupported")}


def verification_problems(trace, model):
    status, verified = kernel_faults.verify(trace, model)
    accused = [f"{o['name']} ({o['op']}) is {o['verdict']}" for o in verified["operations"] if o["verdict"] not in ("agrees", "unchecked")]
    return accused + ([] if status == 0 or accused else [f"verify: status {status}, {verified['verdict']}"])


def compare(reference, trace, model, *options):
    """(problems, JSON of the comparison without rules)"""
    status, result = conftest.diff(reference, trace, "--preset", "none", "--candidate-model", model, *options)
    replay = result["replay"]
    if replay is None:
        return [f"nothing was computed: {result['reason']}"], result
    problems = [] if status == 0 else [f"status {status}: {result['reason']}"]
    problems += [f"{o['name']} ({o['op']}) of pass {o['pass']} is at fault" for o in replay["operations"] if o["origin"]]
    problems += [f"{o['name']} ({o['op']}) of pass {o['pass']} is open" for o in replay["operations"] if o["class"] == "open"]
    return problems + verification_problems(trace, model), result


def check(lab, run):
    """A dictionary: problems, which should be none, and figures."""
    trace, model, by = candidate(lab, run), model_file(lab, run), reference(lab, run)
    problems, result = compare(by, trace, model)
    wrong = wrong_pairs(by, result, conftest.diff(by, trace, "--candidate-model", model)[1])
    problems += [f"{len(wrong)} wrong pairs, first of tensor {min(wrong)}"] if wrong else []
    return {"problems": problems, "result": result}


def check_bert(lab, flash):
    """Its GELU in each of six layers, and nothing else."""
    ids = [101, 1996, 4633, 2651, 2003, 3376, 1998, 1045, 2066, 2009, 102]
    model, options = lab.folder / "bert.gguf", {"prompt": ids}
    bert.write(model)
    by = lab.once("bert", lambda: conftest.capture(lab.folder / "ref-clean-bert", sys.executable, conftest.HERE / "run_bert_hf.py", json.dumps({**options, "model": str(bert.FOLDER)})))
    asked = {**options, "engine": str(conftest.DEPS / "llama-v0.5.0"), "model": str(model), "flash": flash}
    trace = conftest.capture(lab.folder / f"clean-bert-{flash}", "node", conftest.HERE / "run_bert_llama.mjs", json.dumps(asked))
    problems, result = compare(by, trace, model, "--accept", "gelu-variant")
    accepted = result["replay"]["accepted"]
    problems += [f"{accepted} operations with another GELU"] if accepted != 6 else []
    return {"problems": problems, "result": result}


def check_other(lab, architecture):
    """Of models without a reference, the kernels."""
    model = other_models.write(lab.folder / f"{architecture}.gguf", architecture)
    trace = lab.candidate(architecture, gguf=model, prompt=conftest.PROMPTS[24], batch=BATCH)
    return {"problems": verification_problems(trace, model), "result": None}


def all_checks(lab):
    """(family, type, options, function that checks it)"""
    for run in RUNS:
        options = f"{'FA ' if run.flash else ''}{run.tokens} + {run.steps} tokens{', 2 sequences' if run.sequences == 2 else ''}"
        yield run.family, run.type, options, lambda run=run: check(lab, run)
    for flash in PARAMETERS["flash"]:
        yield "bert", "f32", "FA " if flash else "", lambda flash=flash: check_bert(lab, flash)
    for architecture in OTHERS:
        yield architecture, "f32", "verify alone", lambda architecture=architecture: check_other(lab, architecture)


def row(family, kind, options, outcome):
    result = outcome["result"]
    figures = f"{'agrees' if not outcome['problems'] else 'fails':8}"
    if result is not None and result["replay"] is not None:
        figures = f"{result['verdict']:8}" + "".join(f" {v:6.1f}" for v in shares(result["replay"]).values()) + " " + " ".join(f"{v:6.2f}" for v in largest(result["replay"]).values())
    return f"{family:13} {kind:15} {options:25} {figures}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--runs", type=int, default=1000)
    asked = parser.parse_args()
    done = failed = 0
    print(f"{'family':13} {'type':15} {'options':25} verdict   found cover% unsup% rel_l2 channel mean  scale")
    with tempfile.TemporaryDirectory() as folder:
        checks = list(all_checks(conftest.Lab(pathlib.Path(folder))))
        for family, kind, options, function in checks[asked.first - 1:asked.first - 1 + asked.runs]:
            try:
                outcome = function()
            except subprocess.TimeoutExpired as late:
                outcome = {"problems": [f"lockstep {late.cmd[1]} took longer than {late.timeout} s"], "result": None}
            done, failed = done + 1, failed + bool(outcome["problems"])
            print(row(family, kind, options, outcome), flush=True)
            for problem in outcome["problems"][:5]:
                print(f"    {problem}", flush=True)
    print(f"{done} of {len(checks)} runs, {failed} with a finding")
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
