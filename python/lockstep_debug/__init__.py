"""Lockstep in Python: the hook that `lockstep capture` puts into programs that use
PyTorch, and functions that a program can call itself.

    with lockstep_debug.capture(model):              # record only this, or
    with lockstep_debug.capture(model, out="ref"):   # record without `lockstep capture`
        model(input_ids)
    lockstep_debug.tap("my.name", tensor)            # record a PyTorch tensor

    lockstep_debug.record("layers.0.q", array)       # record an array of an engine in Python

Without a recorder they do nothing. Only `capture` and `tap` need torch.
"""
import os

VERSION = "0.1.0"  # of LOCKSTEP_VERSION_MAJOR, … in include/lockstep/capture.h


def capture(model=None, out=None):
    """A context manager that restricts the recording to forward calls of `model` (any,
    if None) within the block. With `out`, and no recorder in the environment, it starts
    `lockstep capture -o OUT --listen` for the block."""
    from .region import Capture

    return Capture(model, out)


def tap(name, tensor):
    """Records a tensor under a name. Within a forward call it belongs to that pass."""
    if not os.environ.get("LOCKSTEP_CHANNEL"):
        return
    from .region import tap as record

    record(name, tensor)


def record(name="", array=None, **more):
    """Records an array of an engine in Python: NumPy's, a torch tensor, or another object with
    `__array_interface__`. Returns its number, for the `sources` or `alias` of later ones; 0
    without a recorder. It never raises: what can't be recorded leaves a note in the trace.

    `more`: layer (-1), op, sources, parameters (a dictionary), alias, role ("input",
    "weight", "state", "view", "write"), where ("file.py:12"), output (True: kept whatever
    the value of --observe).
    """
    if not os.environ.get("LOCKSTEP_CHANNEL"):
        return 0
    from .arrays import default

    return default().record(name, array, **more)


def engine(name, version=None):
    """Returns a recorder for an engine with forward passes: an object with begin_pass(tokens=,
    positions=, sequences=), record(…) as above, end_pass(), note(text) and close()."""
    from .arrays import open_engine

    return open_engine(name, version)
