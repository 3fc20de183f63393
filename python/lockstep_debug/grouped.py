"""Functions that are recorded as one operation, under their familiar names.

Into which operations ATen turns `a @ b` depends on the number of axes and on autograd
(expand, view, bmm; mm; or matmul itself in inference mode). A function mode sees the
call as it was written; the operations inside it are hidden.
"""
import torch
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from . import attention
from .passes import is_recordable, operands, ours, simple_parameters, tensors_of, thread, walk
from .recorder import guard, recorder, where

_NORM = ("input", "normalized_shape", "weight", "bias", "eps")
_CONV = ("input", "weight", "bias", "stride", "padding", "dilation", "groups")
_CONV_TRANSPOSE = ("input", "weight", "bias", "stride", "padding", "output_padding", "groups", "dilation")

# name, argument names, where the function is found
_GROUPS = [
    ("matmul", ("input", "other"), (torch, "matmul"), (torch.Tensor, "matmul"), (torch.Tensor, "__matmul__")),
    ("linear", ("input", "weight", "bias"), (F, "linear")),
    ("softmax", ("input", "dim", "dtype"), (torch, "softmax"), (torch.Tensor, "softmax")),
    ("softmax", ("input", "dim", "_stacklevel", "dtype"), (F, "softmax")),
    ("log_softmax", ("input", "dim", "dtype"), (torch, "log_softmax"), (torch.Tensor, "log_softmax")),
    ("log_softmax", ("input", "dim", "_stacklevel", "dtype"), (F, "log_softmax")),
    ("layer_norm", _NORM, (torch, "layer_norm"), (F, "layer_norm")),
    ("rms_norm", ("input", "normalized_shape", "weight", "eps"), (torch, "rms_norm"), (F, "rms_norm")),
    ("group_norm", ("input", "num_groups", "weight", "bias", "eps"), (torch, "group_norm"), (F, "group_norm")),
    ("conv1d", _CONV, (torch, "conv1d"), (F, "conv1d")),
    ("conv2d", _CONV, (torch, "conv2d"), (F, "conv2d")),
    ("conv3d", _CONV, (torch, "conv3d"), (F, "conv3d")),
    ("conv_transpose1d", _CONV_TRANSPOSE, (torch, "conv_transpose1d"), (F, "conv_transpose1d")),
    ("conv_transpose2d", _CONV_TRANSPOSE, (torch, "conv_transpose2d"), (F, "conv_transpose2d")),
    ("conv_transpose3d", _CONV_TRANSPOSE, (torch, "conv_transpose3d"), (F, "conv_transpose3d")),
    ("einsum", ("equation",), (torch, "einsum"), (F, "einsum")),
]


def _table():
    table = {}
    for name, arguments, *places in _GROUPS:
        for owner, key in places:
            function = getattr(owner, key, None)
            if function is not None:
                table.setdefault(function, (name, arguments))
    return table


_FUNCTIONS = _table()
ATTENTION = F.scaled_dot_product_attention


def observing():
    """The run to record for, or None: recording is off, the call is hidden, or it is inside a
    functorch transform, whose tensors represent batches that only the dispatch mode sees."""
    run = thread.run
    if run is None or thread.busy or thread.hidden or recorder.dormant:
        return None
    return run if torch._C._functorch.peek_interpreter_stack() is None else None


class Grouping(TorchFunctionMode):
    """Active while a root module runs."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if function is ATTENTION:
            return call_attention(function, args, kwargs)
        known = _FUNCTIONS.get(function)
        run = observing() if known is not None else None
        if run is None:
            return function(*args, **kwargs)
        name, names = known
        named = list(zip(names, args)) + list(kwargs.items())
        with ours:
            sources, slots = _sources(run, args, kwargs, names, named) or ([], None)
        result = _hidden(function, args, kwargs)
        with ours:
            _record(run, name, named, sources, slots, result)
        return result


def call_attention(function, args, kwargs):
    run = observing()
    if run is None:
        return function(*args, **kwargs)
    with ours:
        call = attention.before(run, args, kwargs)
    result = _hidden(function, args, kwargs)
    if call is not None:
        with ours:
            attention.after(run, call, result)
    return result


def _hidden(function, args, kwargs):
    thread.hidden += 1
    try:
        return function(*args, **kwargs)
    finally:
        thread.hidden -= 1


_TENSORS = {"input", "other", "weight", "bias"}


@guard
def _sources(run, args, kwargs, names, named):
    given = dict(named)
    return run.ids(tensors_of(args, kwargs)), operands(run, [given.get(name) for name in names if name in _TENSORS])


@guard
def _record(run, name, named, sources, slots, result):
    place = where(4)
    for index, (suffix, tensor) in enumerate(walk(result)):
        if is_recordable(tensor) and run.known(tensor) is None:
            run.record(name if index == 0 else f"{name}.{suffix}", name, tensor, sources, operands=slots,
                       params=simple_parameters(named), where=place)
