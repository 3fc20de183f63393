"""Code compiled by torch.compile, and AOTInductor packages.

Compiled code calls no module and dispatches no operation that could be observed. Compiled
regions therefore run eagerly while they are observed, and the trace says so ("compiled":
"eager"), since the compiler is then not tested. With `lockstep capture --compiled` they
run as compiled, and their inputs and outputs are recorded.
"""
import functools
import inspect
import sys
import types

import torch

from . import eager, modules
from .module_facts import original_call
from .passes import thread
from .recorder import guard, recorder

_REPLAY = "a CUDA graph was replayed: what it computed is not recorded (call the model without CUDA graphs)"
_PACKAGE = "an AOTInductor package: its inputs and outputs are recorded, but not what it computes internally"


@guard
def observe_compiler():
    """Every use of torch.compile, as a function, a decorator or Module.compile, ends in
    OptimizeContext.__call__ with the function to compile."""
    if "torch._dynamo.eval_frame" not in sys.modules:
        return _wait_for_compiler()
    context = getattr(sys.modules["torch._dynamo.eval_frame"], "OptimizeContext", None)
    if context is None or hasattr(context, "_observed_by_lockstep"):
        return
    context._observed_by_lockstep = True
    compile_ = context.__call__

    @functools.wraps(compile_)
    def __call__(self, function):
        if isinstance(function, torch.nn.Module) or not callable(function) or isinstance(function, type):
            return compile_(self, function)
        return _region(compile_, self, function)

    context.__call__ = __call__


def _wait_for_compiler():
    """torch imports its compiler on first use. sitecustomize sees that, if it runs; this is
    for lockstep_debug.capture without it."""
    compile_ = torch.compile
    if hasattr(torch.nn.modules.module, "_called_by_lockstep") or hasattr(compile_, "_observed_by_lockstep"):
        return

    @functools.wraps(compile_)
    def compile(*args, **kwargs):
        import torch._dynamo

        observe_compiler()
        return compile_(*args, **kwargs)

    compile._observed_by_lockstep = True
    torch.compile = compile


def _region(compile_, context, function):
    """Wraps the compiled function in one that records its call or makes it run eagerly."""
    # torch wraps the modules of torch.nn a second time.
    owner = getattr(function, "__self__", getattr(function, "__wrapped__", None))
    is_call = isinstance(function, types.MethodType) and isinstance(owner, torch.nn.Module) \
        and function.__name__ in ("observed_call", "__call__", "_wrapped_call_impl")
    # The compiler must see torch's own __call__, which it knows, not ours.
    made = compile_(context, types.MethodType(original_call, owner) if is_call else function)

    @functools.wraps(made)
    def region(*args, **kwargs):
        if recorder.dormant or thread.busy or thread.hidden or torch.compiler.is_compiling() or not recorder.open():
            return made(*args, **kwargs)
        if recorder.filters.compiled:
            module = owner if isinstance(owner, torch.nn.Module) else _stand_in(function, args)
            return modules.opaque_call(made, module, args, kwargs)
        eager.note()
        eager.run_eagerly()
        return function(*args, **kwargs) if is_call else made(*args, **kwargs)

    if hasattr(made, "_torchdynamo_wrapper_id"):
        region._torchdynamo_wrapper_id = id(region)
    return region


def _model_of(function, args):
    """The name of the one model that a function is given or refers to, because in eager mode
    the pass would be that model's; else the function's own name."""
    code = getattr(function, "__code__", None)
    cells = [cell.cell_contents for cell in getattr(function, "__closure__", None) or () if cell != types.CellType()]
    named = [function.__globals__.get(name) for name in code.co_names] if code else []
    found = {id(item): item for item in (*args, *cells, *named) if isinstance(item, torch.nn.Module)}
    if len(found) != 1:
        return getattr(function, "__name__", "function")
    model = next(iter(found.values()))
    return type(getattr(model, "_orig_mod", model)).__name__


def _stand_in(function, args):
    """A module with the parameters of a function, to serve as the root of a pass."""
    def forward(self, *args, **kwargs):
        raise NotImplementedError

    try:
        signature = inspect.signature(function)
        own = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)
        forward.__signature__ = signature.replace(parameters=[own, *signature.parameters.values()])
    except (TypeError, ValueError):
        pass
    return type(_model_of(function, args), (torch.nn.Module,), {"forward": forward})()


@guard
def observe_replays(kind):
    """Replaying a CUDA graph makes no calls that could be observed."""
    replay = kind.replay

    @functools.wraps(replay)
    def observed(self):
        if not recorder.dormant and recorder.open():
            recorder.note(_REPLAY)
        return replay(self)

    kind.replay = observed


@guard
def observe_packages(package):
    """AOTInductor packages are not modules: their calls are recorded as passes whose internals
    are not seen."""
    kind = package.AOTICompiledModel
    call = kind.__call__

    @functools.wraps(call)
    def __call__(self, *args, **kwargs):
        if recorder.dormant or thread.busy or thread.hidden or not recorder.open():
            return call(self, *args, **kwargs)
        recorder.note(_PACKAGE)
        return modules.opaque_call(functools.partial(call, self), _PackageModule(), args, kwargs)

    kind.__call__ = __call__


class _PackageModule(torch.nn.Module):
    def forward(self, *args, **kwargs):
        raise NotImplementedError


_PackageModule.__name__ = "AOTICompiledModel"
