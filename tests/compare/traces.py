"""Builds traces for tests: lines as the format's page says them, values by NumPy."""
import json
import os
import pathlib
import subprocess

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
LOCKSTEP = os.environ.get("LOCKSTEP_BIN", str(ROOT / "build" / "lockstep"))


class Trace:
    """One run of an engine that is called after its folder."""

    def __init__(self, path):
        self.path, self.count, self.passes = pathlib.Path(path), 0, -1
        (self.path / "tensors").mkdir(parents=True)
        self.lines = [{"lockstep_trace": 1, "argv": ["x"]}]

    def begin(self, tokens, positions=None, sequences=None):
        self.passes += 1
        line = {"pass": self.passes, "context": 0, "process": 0, "tokens": list(tokens),
                "positions": list(positions if positions is not None else range(len(tokens)))}
        if sequences is not None:
            line["sequences"] = list(sequences)
        self.lines.append(line)
        return self

    def begin_silent(self):
        """A pass without tokens."""
        self.passes += 1
        self.lines.append({"pass": self.passes, "context": 1, "process": 0})
        return self

    def add(self, name, values, sources=(), op="", layer=-1, dtype=None, **more):
        """Returns the number by which later tensors name it as their source."""
        i, self.count = self.count, self.count + 1
        line = {"i": i, "layer": layer, "name": name, "op": op, "occurrence": 0, "src": list(sources), **more}
        if more.get("role") != "weight":
            line["pass"] = self.passes
        if dtype is not None:
            line["dtype"] = dtype
        if values is not None:
            values = np.asarray(values)
            np.save(self.path / f"tensors/{i}.npy", values)
            line["file"] = f"tensors/{i}.npy"
            line["shape"] = list(values.shape)
            line["dtype"] = dtype or {"float32": "f32", "float16": "f16", "int64": "i64", "int32": "i32"}[str(values.dtype)]
        self.lines.append(line)
        return i

    def write(self):
        ended = [{"pass": p, "ended": True} for p in range(self.passes + 1)]
        lines = [*self.lines, *ended, {"end": True, "tensors": self.count, "dropped": 0, "exit": 0}]
        (self.path / "trace.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        return self.path


def diff(reference, candidate, *options):
    """(exit status, JSON)"""
    done = subprocess.run([LOCKSTEP, "diff", str(reference), str(candidate), "--json", "-", *map(str, options)],
                          capture_output=True, text=True, timeout=120)
    assert done.returncode in (0, 1, 2) and done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def report(reference, candidate, *options):
    return subprocess.run([LOCKSTEP, "diff", str(reference), str(candidate), *map(str, options)], capture_output=True, text=True,
                          timeout=120, env=dict(os.environ, COLUMNS="0")).stdout


def first_name(result):
    return result["first_divergence"] and result["first_divergence"]["candidate"]["name"]


def verdicts(result):
    return {pair["candidate"]["name"]: pair["verdict"] for pair in result["pairs"]}
