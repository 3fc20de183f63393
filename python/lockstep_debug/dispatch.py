"""Every operation between modules: a dispatch mode that records what ATen computes."""
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from . import scripted
from .passes import call_parameters, is_recordable, operands, ours, tensors_of, thread, walk
from .recorder import guard, recorder, where
from .values import has_storage, storage_key

# Their memory is uninitialized: the first write to it makes the first value.
_UNWRITTEN = {"empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided", "empty_permuted"}
# They change what autograd knows about a tensor, not its values.
_IGNORED = {"detach_", "requires_grad_", "lift_fresh", "lift"}
# They give a tensor different memory, or memory of a different size.
_REPLACING = {"set_", "resize_", "resize_as_"}


class OpInfo:
    """Facts from the schema of an operation, looked up once."""
    __slots__ = ("function", "op", "names", "written", "written_names", "_name", "_composite", "_slots")

    def __init__(self, function):
        schema = function._schema
        self.function = function  # lives as long as its id is a key
        self.op = schema.name.split("::")[-1]
        self.names = [argument.name for argument in schema.arguments]
        written = [self.op not in _IGNORED and a.alias_info is not None and a.alias_info.is_write
                   for a in schema.arguments]
        self.written = [i for i, w in enumerate(written) if w]
        self.written_names = [n for n, w in zip(self.names, written) if w]
        self._name = function.name()
        self._composite = {}  # by device type
        tensors = [(i, str(a.type)) for i, a in enumerate(schema.arguments) if "Tensor" in str(a.type)]
        # only where one of them may be left out: otherwise the sources say it all
        self._slots = [i for i, _ in tensors] if any("Optional[Tensor]" in kind for _, kind in tensors) else None

    def targets(self, args, kwargs):
        """The tensors that the call writes to."""
        found = [args[i] for i in self.written if i < len(args)]
        found += [kwargs[n] for n in self.written_names if n in kwargs]
        return [t for item in found for _, t in walk(item) if is_recordable(t) and has_storage(t)]

    def operands(self, run, args, kwargs):
        """See passes.operands."""
        if self._slots is None:
            return None
        given = []
        for i in self._slots:
            value = args[i] if i < len(args) else kwargs.get(self.names[i])
            given += value if isinstance(value, (list, tuple)) else [value]
        return operands(run, given)

    def composite(self, device):
        """Whether the call would be decomposed into other operations. Autograd does that
        before we see them, but in inference mode it is not active."""
        found = self._composite.get(device)
        if found is None:
            has = torch._C._dispatch_has_kernel_for_dispatch_key
            try:
                found = has(self._name, "CompositeImplicitAutograd") and not has(self._name, device.upper())
            except RuntimeError:  # a device for which torch's dispatcher has a different name
                found = False
            self._composite[device] = found
        return found


_infos = {}  # id(function) -> its facts; hashing an OpOverload itself would call Python code


def op_info(function):
    info = _infos.get(id(function))
    if info is None or info.function is not function:
        info = _infos[id(function)] = OpInfo(function)
    return info


class Observer(TorchDispatchMode):
    """Active while a root module runs; sees every operation below autograd and autocast."""

    @classmethod
    def _should_skip_dynamo(cls):
        # Torch would import its compiler only to exclude this method from it; compiled regions
        # run eagerly anyway (modules.py).
        return False

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        run = thread.run
        if run is None or thread.busy or recorder.dormant:
            return function(*args, **kwargs)
        if run.script is not None and function.namespace == scripted.NAMESPACE:
            return _mark(run, function, args)
        info = _infos.get(id(function)) or op_info(function)
        if run.frames and run.frames[-1].fetches:
            return function(*args, **kwargs)
        if thread.hidden:
            if not info.written:  # only what it does to values outside the region matters
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
    """Resolves the sources while they still hold the values that the operation will read."""
    targets = info.targets(args, kwargs) if info.written else []
    if thread.hidden:
        # Only what it does to values outside the region matters.
        targets = [t for t in targets if run.registry.cell(t) is not None]
        if not targets:
            return None
    tensors = [t for t in tensors_of(args, kwargs) if is_recordable(t)]
    if thread.hidden:
        tensors = [t for t in tensors if run.registry.cell(t) is not None]
    sources, storages = run.ids_and_storages(tensors)
    extra = {"params": call_parameters(info.names, args, kwargs), "operands": info.operands(run, args, kwargs)}
    return info, sources, storages, targets, extra


@guard
def _after(run, before, result):
    info, sources, storages, targets, extra = before
    extra["where"] = where(4)
    if info.op in _REPLACING:
        for tensor in targets:
            run.registry.forget(tensor)
        return
    done = set()
    outputs = [(s, t) for s, t in walk(result) if is_recordable(t)]
    given = extra["params"]
    for index, (suffix, tensor) in enumerate(outputs):
        if targets and any(tensor is target for target in targets):
            done.add(id(tensor))
        elif thread.hidden:
            continue
        what = info.op if index == 0 else f"{info.op}.{suffix}"
        if index > 0:
            extra["params"] = dict(given, output=index)
        base = storages.get(storage_key(tensor)) if has_storage(tensor) and id(tensor) not in done else None
        if base is not None:
            if run.registry.find(tensor) is None:
                _record_view(run, what, info.op, tensor, base, extra)
            continue
        run.record(what, info.op, tensor, sources, data=info.op not in _UNWRITTEN, **extra)
    for tensor in targets:
        if id(tensor) not in done:
            run.record(info.op, info.op, tensor, sources, **extra)


def _record_view(run, what, op, tensor, base, extra):
    """A view belongs to the argument whose storage it shares; after writes to parts of that
    storage, it may hold values that no line has."""
    source = run.registry.find(base)
    if source is None:
        run.resolve(tensor)
    else:
        run.view(what, op, tensor, source, **extra)
