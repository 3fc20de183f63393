"""Compiled regions run eagerly while they are observed: see compiled.py."""
import sys

import torch

from .recorder import recorder

_EAGER = "torch.compile: compiled regions run eagerly while they are recorded; capture --compiled runs the compiled code"


def note():
    recorder.note(_EAGER, compiled="eager")


def run_eagerly():
    """Until the program sets another stance: the next root call sets this one again."""
    eval_frame = sys.modules.get("torch._dynamo.eval_frame")
    if eval_frame is None or recorder.filters.compiled:
        return
    if not hasattr(torch.compiler, "set_stance"):  # before torch 2.6
        torch._dynamo.config.disable = True
    elif getattr(getattr(eval_frame, "_stance", None), "stance", None) != "force_eager":
        torch.compiler.set_stance("force_eager")
