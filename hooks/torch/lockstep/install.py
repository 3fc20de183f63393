"""Run by sitecustomize once torch has been imported: sets the hook."""
import atexit
import functools
import os


def install():
    import torch

    from . import modules
    from .recorder import recorder

    if torch.nn.Module.__call__ is modules.observed_call:
        return
    torch.nn.Module.__call__ = modules.observed_call
    if not hasattr(getattr(torch, "compiler", None), "set_stance"):  # before torch 2.6
        os.environ.setdefault("TORCHDYNAMO_DISABLE", "1")
    atexit.register(recorder.end)
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=recorder.after_fork)
    _note_compilation(torch, recorder)


def _note_compilation(torch, recorder):
    """What is compiled runs eagerly while it is recorded; the user is to know."""
    compile_ = getattr(torch, "compile", None)
    if compile_ is None:
        return

    @functools.wraps(compile_)
    def noted(*args, **kwargs):
        try:
            if recorder.open():
                recorder.note("torch.compile: compiled regions run eagerly while they are recorded")
        except Exception as error:
            recorder.trouble("compile", error)
        return compile_(*args, **kwargs)

    torch.compile = noted
