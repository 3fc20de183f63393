"""Every operation between modules: a dispatch mode that records what ATen computes."""
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from . import scripted
from .passes import is_recordable, ours, simple_parameters, tensors_of, thread, walk
from .recorder import guard, recorder, where
from .values import has_storage, storage_key

# Their memory holds nothing yet: whatever writes to it makes the first value.
_UNWRITTEN = {"empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided", "empty_permuted"}
# They change what autograd knows of a tensor, not its values.
_IGNORED = {"detach_", "requires_grad_", "lift_fresh", "lift"}
# They give a tensor other memory, or memory of another size.
_REPLACING = {"set_", "resize_", "resize_as_"}


class OpInfo:
    """What the schema of an operation says, looked up once."""
    __slots__ = ("op", "names", "written", "written_names", "_name", "_composite")

    def __init__(self, function):
        schema = function._schema
        self.op = schema.name.split("::")[-1]
        self.names = [argument.name for argument in schema.arguments]
        written = [self.op not in _IGNORED and a.alias_info is not None and a.alias_info.is_write
                   for a in schema.arguments]
        self.written = [i for i, w in enumerate(written) if w]
        self.written_names = [n for n, w in zip(self.names, written) if w]
        self._name = function.name()
        self._composite = {}  # by device type

    def targets(self, args, kwargs):
        """The tensors that the call writes to."""
        found = [args[i] for i in self.written if i < len(args)]
        found += [kwargs[n] for n in self.written_names if n in kwargs]
        return [t for item in found for _, t in walk(item) if is_recordable(t) and has_storage(t)]

    def composite(self, device):
        """Whether the call would be carried out by other operations. Autograd takes
        those apart before we see them, but in inference mode it isn't there to do so."""
        found = self._composite.get(device)
        if found is None:
            has = torch._C._dispatch_has_kernel_for_dispatch_key
            try:
                found = has(self._name, "CompositeImplicitAutograd") and not has(self._name, device.upper())
            except RuntimeError:  # a device that torch's dispatcher calls otherwise
                found = False
            self._composite[device] = found
        return found


_infos = {}


def op_info(function):
    info = _infos.get(function)
    if info is None:
        info = _infos[function] = OpInfo(function)
    return info


class Observer(TorchDispatchMode):
    """Active while a root module runs; sees every operation below autograd and autocast."""

    @classmethod
    def _should_skip_dynamo(cls):
        # torch would import its compiler to keep it out of this method; compiled regions
        # run eagerly anyway (modules.py).
        return False

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        run = thread.run
        if run is None or thread.busy or recorder.dormant:
            return function(*args, **kwargs)
        if run.script is not None and function.namespace == scripted.NAMESPACE:
            return _mark(run, function, args)
        info = _infos.get(function) or op_info(function)
        if thread.hidden:
            if not info.written:  # only what it does to values outside of the region matters
                return function(*args, **kwargs)
        elif _is_composite(info, args):
            with self:  # the kernel that would run; not decompose(), which prefers Python's
                return function._op_dk(torch._C.DispatchKey.CompositeImplicitAutograd, *args, **kwargs)
        with ours:
            before = _before(run, info, args, kwargs)
        result = function(*args, **kwargs)
        if before is not None:
            with ours:
                _after(run, before, result)
        return result


def _mark(run, function, args):
    with ours:
        scripted.mark(run, function._schema.name.rpartition("::")[2], args)


def _is_composite(info, args):
    first = args[0] if args else None
    return is_recordable(first) and info.composite(_device_type(first))


def _device_type(tensor):
    return "cpu" if tensor.is_cpu else tensor.device.type


@guard
def _before(run, info, args, kwargs):
    """Resolves the sources while they still hold what the operation will read."""
    targets = info.targets(args, kwargs) if info.written else []
    if thread.hidden:
        # Only what it does to values outside of the region matters.
        targets = [t for t in targets if run.registry.cell(t) is not None]
        if not targets:
            return None
    tensors = [t for t in tensors_of(args, kwargs) if is_recordable(t)]
    if thread.hidden:
        tensors = [t for t in tensors if run.registry.cell(t) is not None]
    sources = run.ids(tensors)
    keys = {storage_key(t) for t in tensors if has_storage(t)}
    named = [(name, value) for name, value in zip(info.names, args)] + list(kwargs.items())
    return info, sources, tensors, keys, targets, simple_parameters(named)


@guard
def _after(run, before, result):
    info, sources, tensors, keys, targets, params = before
    place = where(4)
    if info.op in _REPLACING:
        for tensor in targets:
            run.registry.forget(tensor)
        return
    done = set()
    outputs = [(s, t) for s, t in walk(result) if is_recordable(t)]
    for index, (suffix, tensor) in enumerate(outputs):
        if any(tensor is target for target in targets):
            done.add(id(tensor))
        elif thread.hidden:
            continue
        what = info.op if index == 0 else f"{info.op}.{suffix}"
        if has_storage(tensor) and storage_key(tensor) in keys and id(tensor) not in done:
            if run.registry.find(tensor) is None:
                _record_view(run, what, info.op, tensor, tensors, params, place)
            continue
        run.record(what, info.op, tensor, sources, params=params, where=place,
                   data=info.op not in _UNWRITTEN)
    for tensor in targets:
        if id(tensor) not in done:
            run.record(info.op, info.op, tensor, sources, params=params, where=place)


def _record_view(run, what, op, tensor, tensors, params, place):
    """A view is of the argument whose storage it shares; after writes to parts of that
    storage it may hold values that no line has."""
    base = next((t for t in tensors if has_storage(t) and storage_key(t) == storage_key(tensor)), None)
    source = run.registry.find(base) if base is not None else None
    if source is None:
        run.resolve(tensor)
    else:
        run.view(what, op, tensor, source, params=params, where=place)
