"""Sets the hook: run by sitecustomize when the first module is called or the first
function compiled, or by lockstep_debug.capture."""
import atexit
import os

import torch

from . import compiled, modules
from .recorder import recorder


def install(original=None):
    """Gives what is to be called in place of `original`, torch's Module.__call__. Without
    `original` it is put there, unless sitecustomize sees the calls already."""
    if not _installed:
        _installed.append(True)
        if original is not None:
            modules.original_call = original
        compiled.observe_compiler()
        atexit.register(recorder.end)
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=recorder.after_fork)
    now = torch.nn.Module.__call__
    if original is None and now is not modules.observed_call \
            and not hasattr(torch.nn.modules.module, "_observed_by_lockstep"):
        modules.original_call = now
        torch.nn.Module.__call__ = modules.observed_call
    return modules.observed_call


_installed = []
