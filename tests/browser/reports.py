"""Makes reports for the tests, and reads what is in them."""
import base64
import json
import re
import subprocess

import numpy as np
from traces import LOCKSTEP, ROOT, Trace

QWEN = ROOT / "examples" / "qwen3-transformers", ROOT / "examples" / "qwen3-llama.cpp-faulty"
LLAMA = ROOT / "examples" / "llama-hf", ROOT / "examples" / "llama-faulty.gguf"


def make(folder, reference, candidate, *options):
    """The page, and the JSON of the same run."""
    page, result = folder / "report.html", folder / "report.json"
    done = subprocess.run([LOCKSTEP, "diff", str(reference), str(candidate), "--html", str(page), "--json", str(result), *map(str, options)],
                          capture_output=True, text=True, timeout=120)
    assert done.returncode in (0, 1) and done.stderr == "", done.stderr
    return page, json.loads(result.read_text())


def block(page, name):
    """A block of data, as the file has it."""
    found = re.search(rf'<script type="application/json" id="{name}">\n(.*?)</script>', page.read_text(), re.DOTALL)
    return json.loads(found[1])


def cells(picture, side):
    """[slices, height, width]"""
    return np.frombuffer(base64.b64decode(picture[side]), "<f4").reshape(len(picture["drawn"]), picture["height"], picture["width"])


def chain(path, values, names=None, op="add", layer=lambda i: i // 4):
    """A trace in which each tensor is computed from the one before."""
    t = Trace(path).begin(range(values[0].shape[0]))
    t.lines.insert(1, {"engine": "mine", "engine_version": "1", "model": "", "process": 0})
    last = []
    for i, value in enumerate(values):
        last = [t.add(names[i] if names else f"t.{i}", value, last, op=op, layer=layer(i))]
    return t.write()
