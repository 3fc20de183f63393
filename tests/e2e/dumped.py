"""Folders of .npy files as people dump them: a random third of a reference's tensors, from its prompt alone, under names that mean nothing."""
import random

import numpy as np

import conftest


def tensors(trace):
    """Floats that the first pass computed."""
    trace = conftest.Trace(trace)
    kept = [t for t in trace.tensors if t.get("pass") == 0 and t.get("file") and t.get("role") is None and not t["dtype"].startswith(("i", "u", "bool"))]
    return [(f"{t['name']} {t['op']}", trace.values(t)) for t in kept]


def write(folder, trace, seed, share=1 / 3, change=lambda value, draw: value):
    """Returns what each file is."""
    draw = random.Random(seed)
    values = tensors(trace)
    chosen = draw.sample(values, round(share * len(values)))
    folder.mkdir()
    for i, (_, value) in enumerate(chosen):
        np.save(folder / f"t_{i:03d}.npy", change(value, draw))
    return {f"t_{i:03d}": name for i, (name, _) in enumerate(chosen)}
