"""Sets the hook: run by sitecustomize when the first module is called or the first
function compiled, or by lockstep_debug.capture."""
import atexit
import functools
import os

import torch

from . import compiled, modules
from .passes import thread
from .recorder import recorder


def install():
    """Gives what is to be called in place of torch's Module.__call__, and puts it there
    unless sitecustomize sees the calls already."""
    if not _installed:
        _installed.append(True)
        compiled.observe_compiler()
        compiled.observe_replays(torch.cuda.CUDAGraph)
        _leave_checks_alone()
        atexit.register(recorder.end)
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=recorder.after_fork)
    if not hasattr(torch.nn.modules.module, "_called_by_lockstep"):
        torch.nn.Module.__call__ = modules.observed_call
    return modules.observed_call


_installed = []


def _leave_checks_alone():
    """torch.jit.trace runs the model and what it made of it once more each, to compare
    them: these are no passes of the program."""
    check = torch.jit._trace._check_trace

    @functools.wraps(check)
    def _check_trace(*args, **kwargs):
        busy, thread.busy = thread.busy, True
        try:
            return check(*args, **kwargs)
        finally:
            thread.busy = busy

    torch.jit._trace._check_trace = _check_trace
