"""Installs the hook: called by sitecustomize when the first module is called or the first
function compiled, or by lockstep_debug.capture."""
import atexit
import functools
import os

import torch

from . import compiled, modules, scripted
from .passes import thread
from .recorder import recorder


def install():
    """Returns the function to be called in place of torch's Module.__call__, and puts it there
    unless sitecustomize already sees the calls."""
    if not _installed:
        _installed.append(True)
        compiled.observe_compiler()
        compiled.observe_replays(torch.cuda.CUDAGraph)
        _leave_checks_alone()
        atexit.register(recorder.end)
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=recorder.after_fork)
            os.register_at_fork(after_in_child=scripted.after_fork)
    if not hasattr(torch.nn.modules.module, "_called_by_lockstep"):
        torch.nn.Module.__call__ = modules.observed_call
    return modules.observed_call


_installed = []


def _leave_checks_alone():
    """torch.jit.trace runs both the model and its own result once more, to compare them: these
    are not passes of the program."""
    check = torch.jit._trace._check_trace

    @functools.wraps(check)
    def _check_trace(*args, **kwargs):
        busy, thread.busy = thread.busy, True
        try:
            return check(*args, **kwargs)
        finally:
            thread.busy = busy

    torch.jit._trace._check_trace = _check_trace
