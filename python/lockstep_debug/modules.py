"""Module calls: where passes begin and end, and where most names come from.

`Module.__call__` is wrapped rather than hooked: torch's global hooks see no keyword
arguments before the call, miss changes that a module's own hooks make to the result, are
not run when a SystemExit passes through, and make torch.compile warn.
"""
import contextlib
import functools
import sys

import torch

from . import caches, eager, filters, functions, grouped, inputs, scripted
from .dispatch import Observer
from .module_facts import class_name, is_leaf, is_outer, is_script, original_call
from .passes import Run, is_recordable, ours, simple_parameters, tensors_of, thread, walk
from .recorder import guard, recorder, where

# They only call the module inside.
_TRANSPARENT = {"OptimizedModule", "DistributedDataParallel", "DataParallel"}
# They take a different code path when a function mode is active, so it is switched off for
# them; the dispatch mode still sees every operation.
_MODE_SHY = (torch.nn.MultiheadAttention, torch.nn.TransformerEncoderLayer, torch.nn.TransformerEncoder)


class Region:
    """What `lockstep_debug.capture` restricts the recording to."""
    used = False     # whether there has been a region: from then on, nothing outside regions is recorded
    models = []      # of the open regions; None means any model


def observed_call(self, /, *args, **kwargs):
    if recorder.dormant or thread.busy or thread.hidden:
        return original_call(self, *args, **kwargs)
    if type(self).__name__ in _TRANSPARENT:
        return original_call(self, *args, **kwargs)
    if recorder.filters.compiled and is_script(self) and recorder.open():
        return opaque_call(functools.partial(original_call, self), self, args, kwargs)
    run = thread.run
    if run is not None:
        return _call(run, self, args, kwargs)
    if not _is_root(self, args, kwargs):
        return original_call(self, *args, **kwargs)
    return _root_call(self, args, kwargs)


def opaque_call(function, module, args, kwargs):
    """A call whose internals can't be seen, recorded like one of torch's layers."""
    run = thread.run
    if run is not None:
        return _call(run, module, args, kwargs, function)
    if not _is_root(module, args, kwargs):
        return function(*args, **kwargs)
    return _root_call(module, args, kwargs, function)


@guard
def _is_root(module, args, kwargs):
    if Region.used and not any(model is None or model is module for model in Region.models):
        return False
    if torch._C._current_graph_task_id() != -1:  # recomputed within a backward pass
        return False
    if torch._C._get_tracing_state() is not None or torch._C._functorch.peek_interpreter_stack() is not None:
        return False
    # Meta and fake tensors: nothing is computed. The arguments show that; a parameter does
    # not, as it may be elsewhere until its layer runs (offloading to disk).
    given = [tensor for _, tensor in walk(list(args) + list(kwargs.values()))]
    if (args or kwargs) and not any(is_recordable(tensor) for tensor in given):
        return False
    first = next(module.parameters(), None)
    if not given and first is not None and not is_recordable(first):
        return False
    return recorder.open()


def _root_call(module, args, kwargs, opaque=None):
    """`opaque`: the function that is called in the module's place, see opaque_call."""
    run = _begin(module, args, kwargs)
    if run is None:
        return opaque(*args, **kwargs) if opaque else original_call(module, *args, **kwargs)
    run.modes = _enter_modes()
    thread.run = run
    try:
        result = _call(run, module, args, kwargs, opaque)
    except BaseException as error:
        _finish(run, error)
        raise
    _record_caches(run, module, args, kwargs, result)
    _finish(run, None)
    return result


@guard
def _begin(module, args, kwargs):
    with ours:
        _announce(module)
        eager.run_eagerly()
        run = Run(module)
        inputs.begin(run, module, args, kwargs)
    run.replaced = functions.replace(module) or []
    return run


def _is_of_transformers(module):
    return any(base.__module__.split(".")[0] == "transformers" for base in type(module).__mro__)


def _announce(module):
    """The engine is the library that defines the model, or the one that the model wraps:
    "SentenceTransformer/BertModel"."""
    inner = next((part for part in module.modules() if _is_of_transformers(part)), None)
    name = class_name(module)
    if inner is not None and "transformers" in sys.modules:
        engine, version = "transformers", getattr(sys.modules["transformers"], "__version__", "")
        name += "" if inner is module else f"/{type(inner).__name__}"
    else:
        engine, version = "torch", str(torch.__version__)
    first = next((parameter for parameter in module.parameters() if is_recordable(parameter)), None)
    recorder.start(engine, version, name, str(first.device) if first is not None else "cpu")


@guard
def _record_caches(run, module, args, kwargs, result):
    with ours:
        caches.record(run, module, args, kwargs, result)


@guard
def _finish(run, error):
    thread.busy = True
    try:
        thread.run = None
        _leave_modes(run.modes)
        functions.restore(run.replaced)
        if error is None:
            inputs.finish(run)
        else:
            recorder.note(f"pass {run.number} ended with {type(error).__name__}")
        run.close()
    finally:
        thread.busy = False


def _enter_modes():
    entered = []
    for kind in (Observer, grouped.Grouping):
        mode = kind()
        try:
            mode.__enter__()
            entered.append(mode)
        except Exception as error:
            recorder.trouble("mode", error)
    return entered


def _leave_modes(entered):
    """Modes can only be left from the top of the stack: if the program left one of its own
    there, ours stays below it, where it does nothing."""
    for mode in reversed(entered):
        try:
            top = torch.overrides._get_current_function_mode() if isinstance(mode, grouped.Grouping) \
                else torch.utils._python_dispatch._get_current_dispatch_mode()
            if top is mode:
                mode.__exit__(None, None, None)
        except Exception as error:
            recorder.trouble("mode", error)


def _call(run, module, args, kwargs, opaque=None):
    frame, leaf, sources = _enter(run, module, args, kwargs, opaque) or (None, False, None)
    function = opaque or _function_of(run, module)
    if frame is None:
        return function(*args, **kwargs)
    thread.hidden += leaf
    try:
        with _modes_for(run, module, opaque):
            result = function(*args, **kwargs)
    except BaseException:
        thread.hidden -= leaf
        _leave(run, frame)
        raise
    thread.hidden -= leaf
    try:
        with ours:
            _record(run, frame, leaf, sources, result)
    finally:
        _leave(run, frame)
    return result


def _function_of(run, module):
    if is_script(module):
        return functools.partial(scripted.call, run, module)
    return functools.partial(original_call, module)


def _modes_for(run, module, opaque):
    if opaque:
        return _WithoutModes(run)
    if isinstance(module, _MODE_SHY):
        return torch._C.DisableTorchFunction()
    return _ALL_MODES


_ALL_MODES = contextlib.nullcontext()


class _WithoutModes:
    """Switches our modes off: compiled code is not entered while any is active."""

    def __init__(self, run):
        self.run = run

    def __enter__(self):
        _leave_modes(self.run.modes)

    def __exit__(self, *exception):
        self.run.modes = _enter_modes()


@guard
def _enter(run, module, args, kwargs, opaque):
    depth = len(run.frames)
    try:
        with ours:
            inputs.learn(run, module, args, kwargs)
            frame = run.enter(module)
            leaf = bool(opaque) or (is_leaf(module) and not frame.fetches)
            sources = []
            if leaf:
                own = list(module._parameters.values()) + list(module._buffers.values())
                tensors = tensors_of(args, kwargs) + [t for t in own if t is not None]
                sources = run.ids(tensors)
            return frame, leaf, sources
    except BaseException:
        del run.frames[depth:]
        raise


def _leave(run, frame):
    """Removes the frame, and any that an exception left above it."""
    while run.frames and run.frames.pop() is not frame:
        pass


@guard
def _record(run, frame, leaf, sources, result):
    op = class_name(frame.module)
    extra = {}
    if leaf:
        constants = getattr(frame.module, "__constants__", ())
        extra["params"] = simple_parameters((key, getattr(frame.module, key, None)) for key in constants)
        if getattr(frame.module, "training", False):
            extra["params"]["training"] = True
        if op == "Embedding" and len(sources) == 2:  # ATen's order
            extra["operands"] = sources[::-1]
        extra["where"] = where(4)
    outer = is_outer(frame.path)
    for index, (suffix, tensor) in enumerate(walk(result)):
        if is_recordable(tensor):
            name = _output_name(frame.path, index, suffix)
            if leaf and index > 0:
                extra["params"] = dict(extra["params"], output=index)
            value = run.name_result(name, op, tensor, filters.MODULE, sources=sources, outer=outer, **extra)
            if index == 0 and recorder.filters.resync(name, _is_resync_point(frame.path, outer)) and value is not None:
                recorder.resync(value.id, tensor)


def _output_name(path, index, suffix):
    """A module's output is named by the module's path, further outputs by path and key. The
    root has no path: its outputs are named by their keys, or `output`."""
    if not path:
        if suffix and not suffix.split(".")[0].isdecimal():
            return suffix
        path = "output"
    return path if index == 0 else f"{path}.{suffix}"


def _is_resync_point(path, outer):
    """Whether it is a numbered block, or the module that computes the logits."""
    last = path.rpartition(".")[2]
    return outer and (last.isdecimal() or last == "lm_head")
