"""Model functions: functions defined beside a model's classes in its Python module.

`apply_rotary_pos_emb`, `eager_attention_forward` and the like are replaced in their
module's globals while a root module runs, and restored at its end: outside a forward
call, the program (and pickle, which looks functions up by name) finds the originals.
The same is done to torch's scaled_dot_product_attention for torch's own layers, where
the function mode that would see it is switched off.
"""
import functools
import inspect
import sys
import threading
import types

from torch.nn import functional as torch_functional

from . import filters, grouped
from .passes import is_recordable, ours, thread, walk
from .recorder import guard

_lock = threading.Lock()
_replaced = {}  # (module name, key) -> [original, wrapper, how many roots run]

_NOT_PLAIN = inspect.CO_GENERATOR | inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR


def _wrap(function):
    name = function.__name__

    @functools.wraps(function)
    def observed(*args, **kwargs):
        run = thread.run
        if run is None or thread.busy or thread.hidden or not run.frames:
            return function(*args, **kwargs)
        frame = run.frame
        outer, frame.function = frame.function, name
        try:
            result = function(*args, **kwargs)
        finally:
            frame.function = outer
        with ours:
            _record(run, frame, name, result)
        return result

    return observed


@guard
def _record(run, frame, name, result):
    base = f"{frame.path}/{name}" if frame.path else name
    for suffix, tensor in walk(result):
        if is_recordable(tensor):
            run.name_result(f"{base}.{suffix}" if suffix else base, name, tensor, filters.FUNCTION)


def _model_modules(root):
    """The names of the Python modules that define the classes of a model."""
    names = {type(module).__module__ for module in root.modules()}
    return {name for name in names if name.split(".")[0] != "torch" and name in sys.modules}


def _candidates(names):
    for name in names:
        for key, item in list(vars(sys.modules[name]).items()):
            if isinstance(item, types.FunctionType) and item.__module__ in names \
                    and not item.__code__.co_flags & _NOT_PLAIN:
                yield name, key, item


def _attention(*args, **kwargs):
    return grouped.call_attention(grouped.ATTENTION, args, kwargs)


@guard
def replace(root):
    """Puts the wrappers in place; returns what `restore` needs."""
    done = []
    with _lock:
        wanted = [(name, key, function, _wrap) for name, key, function in _candidates(_model_modules(root))]
        wanted.append((torch_functional.__name__, grouped.ATTENTION.__name__,
                       torch_functional.scaled_dot_product_attention, lambda function: _attention))
        for name, key, function, wrap in wanted:
            entry = _replaced.get((name, key))
            if entry is None:
                entry = _replaced[(name, key)] = [function, wrap(function), 0]
                vars(sys.modules[name])[key] = entry[1]
            elif function is not entry[1]:
                continue  # the program has replaced it in the meantime
            entry[2] += 1
            done.append((name, key))
    return done


@guard
def restore(done):
    with _lock:
        for place in done:
            entry = _replaced[place]
            entry[2] -= 1
            if entry[2] == 0:
                del _replaced[place]
                module = sys.modules.get(place[0])
                if module is not None and vars(module).get(place[1]) is entry[1]:
                    vars(module)[place[1]] = entry[0]
