"""Lockstep's hook for PyTorch.

    with lockstep_debug.capture(model):          # record only this, or
    with lockstep_debug.capture(model, out="ref"):   # record without `lockstep capture`
        model(input_ids)
    lockstep_debug.tap("my.name", tensor)        # record a tensor of one's own code

Without a recorder both do nothing.
"""
import os


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
