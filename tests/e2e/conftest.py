"""Runs the same small model in transformers and in real, unmodified llama.cpp."""
import json
import os
import pathlib
import subprocess
import sys

import pytest

sys.path[:0] = [str(pathlib.Path(__file__).parent), str(pathlib.Path(__file__).parent.parent)]
import models  # noqa: E402
from segments import load_values  # noqa: E402

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
LOCKSTEP = ROOT / "build" / "lockstep"
DEPS = ROOT / ".deps"

PROMPTS = {
    24: [5, 17, 250, 33, 8, 99, 120, 301, 7, 64, 11, 45, 200, 150, 77, 31, 90, 260, 13, 28, 180, 222, 309, 50],
    1: [5],
}
STEPS = [3, 9, 27, 81]


def run(*command, **keywords):
    keywords.setdefault("env", dict(os.environ, COLUMNS="0"))  # lines are not broken
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=600, **keywords)
    return done


def capture(out, *command, options=()):
    done = run(LOCKSTEP, "capture", "-o", out, *options, "--", *command)
    assert done.returncode == 0, done.stdout + done.stderr
    return out


def diff(reference, candidate, *options):
    """(exit status, JSON)"""
    done = run(LOCKSTEP, "diff", reference, candidate, "--json", "-", *options)
    assert done.returncode in (0, 1, 2) and done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def title(node):
    return f"{node['name']} ({node['op']})"


class Trace:
    """trace.jsonl, read with nothing of ours."""

    def __init__(self, path):
        self.path = pathlib.Path(path)
        lines = [json.loads(line) for line in open(self.path / "trace.jsonl")]
        self.tensors = [line for line in lines if "i" in line]
        self.by_order = {line["i"]: line for line in self.tensors}
        self.passes = [line for line in lines if "pass" in line and "i" not in line]
        self.ended = "end" in lines[-1]

    def values(self, line):
        return load_values(self.path, line)

    def find(self, name, op=None, pass_=0, occurrence=None):
        found = [t for t in self.tensors if t["name"] == name and t.get("pass") == pass_ and (op is None or t["op"] == op)
                 and (occurrence is None or t["occurrence"] == occurrence)]
        assert found, f"no tensor {name} {op}"
        return found[0]


class Lab:
    """Models and references are made once; candidates when asked for."""

    def __init__(self, folder):
        self.folder, self.made, self.count = folder, {}, 0

    def once(self, key, make):
        if key not in self.made:
            self.made[key] = make()
        return self.made[key]

    def model(self, family):
        return self.once(("model", family), lambda: models.save(family, self.folder / family))

    def hf(self, family):
        self.model(family)
        return self.folder / family / "hf"

    def gguf(self, family):
        self.model(family)
        return self.folder / family / "model.gguf"

    def faulty(self, family, name, change=None, **metadata):
        """A GGUF with `change(tensors)` applied; metadata: rope_base, eps."""
        model = self.model(family)
        tensors = models.gguf_tensors(model, family)
        if change is not None:
            tensors = change(tensors) or tensors
        path = self.folder / family / f"{name}.gguf"
        models.write_gguf(path, model, family, tensors, **metadata)
        return path

    def reference(self, family, tokens=24, attention="sdpa", dtype="float32"):
        def make():
            options = {"model": str(self.hf(family)), "prompt": PROMPTS[tokens], "steps": STEPS,
                       "attention": attention, "dtype": dtype}
            out = self.folder / f"ref-{family}-{tokens}-{attention}-{dtype}"
            return capture(out, sys.executable, HERE / "run_hf.py", json.dumps(options))
        return self.once(("reference", family, tokens, attention, dtype), make)

    def candidate(self, family, tokens=24, flash=False, engine="llama-v0.5.0", gguf=None, prompt=None, options=(), wrap=(), **more):
        """wrap: a command that runs the engine's."""
        self.count += 1
        script = "run_linked.mjs" if engine == "llama-linked" else "run_llama.mjs"
        asked = {"engine": str(DEPS / engine), "model": str(gguf or self.gguf(family)), "flash": flash,
                 "prompt": prompt or PROMPTS[tokens], "steps": STEPS, **more}
        return capture(self.folder / f"cand-{self.count}", *wrap, "node", HERE / script, json.dumps(asked), options=options)


@pytest.fixture(scope="session")
def lab(tmp_path_factory):
    return Lab(tmp_path_factory.mktemp("lab"))
