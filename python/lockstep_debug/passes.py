"""One pass: the forward call of a root module, and its state while it runs."""
import contextlib
import threading
import weakref

import torch

from . import filters, precision, weights
from .module_facts import is_elsewhere
from .recorder import DTYPES, dtype_name, plain_parameter, recorder
from .values import Registry, Value, geometry, has_storage, parts_of, place_in, storage_key


class Thread(threading.local):
    """What this thread is recording.

    busy:    we run torch operations of our own; nothing is recorded.
    hidden:  depth of regions that are recorded as one (nn.Linear, matmul, …).
    """
    run = None
    busy = False
    hidden = 0

    def __init__(self):
        self.contexts = []  # these switch modes off, while busy


thread = Thread()


class _Ours:
    """Marks torch operations as our own. Neither our modes nor the program's see them: a mode
    costs a Python call for each operation, and for each look at a tensor's shape."""

    def __enter__(self):
        thread.busy = True
        off = _function_off()
        off.__enter__()
        modes_off = None
        if _dispatch_modes():  # inside our own, there is usually no other
            modes_off = _dispatch_off()
            modes_off.__enter__()
        thread.contexts.append((off, modes_off))

    def __exit__(self, *exception):
        off, modes_off = thread.contexts.pop()
        if modes_off is not None:
            modes_off.__exit__(None, None, None)
        off.__exit__(None, None, None)
        thread.busy = False


_function_off = torch._C.DisableTorchFunction
_dispatch_off = getattr(torch._C, "_DisableTorchDispatch", contextlib.nullcontext)
_dispatch_modes = getattr(torch._C, "_len_torch_dispatch_stack", lambda: 1)
ours = _Ours()

_PLAIN = {torch.Tensor: True, torch.nn.Parameter: True}


def is_recordable(tensor):
    """Whether it is an ordinary tensor backed by memory, not a fake, meta or wrapper tensor."""
    kind = type(tensor)
    plain = _PLAIN.get(kind)
    if plain is None:
        plain = isinstance(tensor, torch.Tensor) and \
            kind.__torch_dispatch__ is torch.Tensor.__torch_dispatch__
        _PLAIN[kind] = plain
    return plain and not tensor.is_meta


def walk(value, prefix="", depth=6):
    """(suffix, tensor) for every tensor in nested containers; caches are left out."""
    if isinstance(value, torch.Tensor):
        yield prefix, value
        return
    if depth == 0:
        return
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, tuple) and hasattr(value, "_fields"):
        items = zip(value._fields, value)
    elif isinstance(value, (list, tuple)):
        items = enumerate(value)
    elif hasattr(value, "__dataclass_fields__") and not hasattr(value, "get_seq_length"):
        items = ((name, getattr(value, name, None)) for name in value.__dataclass_fields__)
    else:
        return
    for key, item in items:
        if item is not None and key not in ("past_key_values", "past_key_value"):
            yield from walk(item, f"{prefix}.{key}" if prefix else str(key), depth - 1)


_NO_TENSORS = {int, float, bool, str, type(None), torch.dtype, torch.device}


def tensors_of(args, kwargs):
    """Every tensor in the arguments of a call, as walk((args, kwargs)) finds them."""
    found = []
    for value in (*args, *kwargs.values()) if kwargs else args:
        kind = type(value)
        if _PLAIN.get(kind):
            found.append(value)
        elif kind not in _NO_TENSORS:
            found += [tensor for _, tensor in walk(value, depth=5)]
    return found


_BLOCK_LISTS = ("layers", "layer", "blocks", "block", "h")


def block_index(path):
    """The number after the name of a list of blocks ("…layers.3…"), or else the first
    number among a path's components; -1 outside of blocks."""
    parts = path.split(".")
    numbers = [(i, int(part)) for i, part in enumerate(parts) if part.isdecimal()]
    named = [number for i, number in numbers if i > 0 and parts[i - 1] in _BLOCK_LISTS]
    return (named or [number for _, number in numbers] or [-1])[0]


def _as_written(path):
    """The path without the component that torch.compile inserts."""
    return ".".join(part for part in path.split(".") if part != "_orig_mod") if "_orig_mod" in path else path


class Frame:
    """A module that is being called, and the model function that it is in."""
    __slots__ = ("module", "path", "layer", "function", "_fetches")

    def __init__(self, module, path, layer):
        self.module = module
        self.path = path
        self.layer = layer
        self.function = None
        self._fetches = is_elsewhere(module)

    @property
    def fetches(self):
        """Whether the module's weights are being fetched: it computes nothing yet."""
        self._fetches = self._fetches and is_elsewhere(self.module)
        return self._fetches

    @property
    def scope(self):
        """The prefix of the names of operations."""
        if self.function is None:
            return self.path
        return f"{self.path}/{self.function}" if self.path else self.function

    def name(self, what):
        scope = self.scope
        return f"{scope}/{what}" if scope else what


class Run:
    """The recording of one pass."""

    def __init__(self, root):
        self.number = recorder.next_pass()
        self.registry = Registry()
        self.frames = []
        self.modes = []        # the dispatch and function modes that see what it does
        self.script = None     # position within the TorchScript that is running: see scripted.py
        self.rows = None       # inputs.Rows: tokens, positions, sequences
        self.paths = {}
        for path, module in root.named_modules():
            path = _as_written(path)
            self.paths.setdefault(id(module), (path, block_index(path)))
        self._parameters = {}
        for named in (root.named_parameters, root.named_buffers):
            for name, tensor in named():
                if is_recordable(tensor) and has_storage(tensor):
                    self._parameters.setdefault(storage_key(tensor), {}).setdefault(geometry(tensor), (weakref.ref(tensor), _as_written(name)))

    @property
    def frame(self):
        return self.frames[-1]

    def enter(self, module):
        known = self.paths.get(id(module))
        if known is None:  # made on the fly, or stored where torch doesn't look
            path = self.frames[-1].path if self.frames else ""
            name = type(module).__name__
            known = (f"{path}.{name}" if path else name, self.frames[-1].layer if self.frames else -1)
        frame = Frame(module, *known)
        self.frames.append(frame)
        return frame

    # ---------------------------------------------------------------- which value a tensor holds

    def resolve(self, tensor):
        """The value that a tensor holds. If it has not been recorded yet, that is done now: it is
        a weight, a view, a state of an earlier pass, or a constant from outside."""
        if not is_recordable(tensor) or not has_storage(tensor):
            return None
        return self.registry.find(tensor) or self._resolve_new(tensor)

    def _resolve_new(self, tensor):
        """The value of a tensor whose place in memory is not in the registry."""
        value = None
        beside = self._beside_others(tensor)
        if beside is not None:
            self.registry.put(beside[0], self._weight(*beside))
            value = self.registry.find(tensor)
        elif self.registry.cell(tensor) is None:
            if tensor.numel() == 0:  # such as a cache before its first use
                return None
            self._introduce(tensor)
            value = self.registry.find(tensor)
        if value is None:
            value = self._reread(tensor)
        return value

    def ids(self, tensors):
        """The ids of the values of tensors, in order; for `x * x`, the same id twice."""
        values = [self.resolve(tensor) for tensor in tensors]
        return [value.id for value in values if value is not None]

    def ids_and_storages(self, tensors):
        """The same for recordable tensors, and the first tensor in each of their storages, by the storage's key."""
        ids, storages = [], {}
        for tensor in tensors:
            if not has_storage(tensor):
                continue
            key = storage_key(tensor)
            storages.setdefault(key, tensor)
            value = self.registry.find_in(key, tensor) or self._resolve_new(tensor)
            if value is not None:
                ids.append(value.id)
        return ids, storages

    def _introduce(self, tensor):
        """Records a storage that is seen for the first time in this pass."""
        parameter, name = self._as_parameter(tensor)
        if parameter is not None:
            self.registry.put(parameter, self._weight(parameter, name))
            return
        old = recorder.survivors.get(storage_key(tensor))
        if old is not None and not old.expired():
            values, is_one = old.underlying(tensor)
            place = place_in(values[-1], tensor) if is_one else None
            view = {} if place is None else {"view_of": values[-1].id, "offset": place[0], "strides": place[1]}
            self.record("state", "state", tensor, [value.id for value in values], role="state", **view)
        else:
            self.record("constant", "constant", tensor, [], kind=filters.INPUT, role="input")

    def _beside_others(self, tensor):
        """A parameter that shares its memory with others, as those of recurrent layers do on a GPU, and is not known yet; and its name."""
        together = self._parameters.get(storage_key(tensor), ())
        ref, name = together.get(geometry(tensor), (None, None)) if len(together) > 1 else (None, None)
        parameter = ref() if ref else None
        if parameter is None or storage_key(parameter) != storage_key(tensor) or self.registry.find(parameter) is not None:
            return None
        return parameter, name

    def _as_parameter(self, tensor):
        together = self._parameters.get(storage_key(tensor), {})
        ref, name = together.get(geometry(tensor)) or next(iter(together.values()), (None, None))
        parameter = ref() if ref else None
        if parameter is not None and storage_key(parameter) == storage_key(tensor):
            return parameter, name
        if self.frames:  # put in place only for this call, as offloading does
            frame = self.frames[-1]
            for kept in (frame.module._parameters, frame.module._buffers):
                for key, own in kept.items():
                    if own is tensor:
                        return own, f"{frame.path}.{key}" if frame.path else key
        return None, None

    def _weight(self, parameter, name):
        with recorder.lock:
            ref, value = recorder.weights.get(id(parameter), (None, None))
            if ref is None or ref() is not parameter:
                value = Value(weights.record(parameter, name, block_index(name)), False, parameter)
                recorder.weights[id(parameter)] = (weakref.ref(parameter), value)
        return value

    def _reread(self, tensor):
        """A known storage seen through a new view: a view of one value, or, after writes to
        parts of it, values that no line holds yet."""
        cell = self.registry.cell(tensor)
        sources, whole = cell.underlying(tensor)
        if whole:
            return self.view("view", "view", tensor, sources[-1])
        return self.record("assembled", "assembled", tensor, [value.id for value in sources], params=parts_of(sources, tensor))

    # ---------------------------------------------------------------- lines

    def _event(self, name, op, tensor, layer, sources, extra):
        event = {"event": "tensor", "pass": self.number, "layer": layer, "name": name, "op": op,
                 "dtype": DTYPES.get(tensor.dtype) or dtype_name(tensor.dtype), "shape": tensor.shape}
        if sources:
            event["src"] = sources
        for key, item in extra.items():
            if item:
                event[key] = item
        if not tensor.is_cpu:
            event["backend"] = str(tensor.device)
        return event

    def record(self, what, op, tensor, sources, *, name=None, kind=filters.OPERATION, data=True,
               layer=None, outer=False, track=True, **extra):
        """A line for a new value, named `what` within the innermost scope or `name`."""
        frame = self.frames[-1] if self.frames else None
        if layer is None:
            layer = frame.layer if frame else -1
        if name is None:
            name = frame.name(what) if frame else what
        event = self._event(name, op, tensor, layer, sources, extra)
        allowed = precision.allowed(op, tensor.dtype, "cpu" if tensor.is_cpu else tensor.device.type)
        if allowed:
            event["params"] = dict(event.get("params") or {}, fp32_precision=allowed)
        data = data and recorder.filters.wants(kind, name, op, layer, self.number, outer)
        value = Value(recorder.tensor(event, tensor if data else None), data, tensor)
        if track:
            self.registry.put(tensor, value)
        return value

    def view(self, what, op, tensor, source, **extra):
        """A line for another view of a value; nothing is copied."""
        frame = self.frames[-1]
        event = self._event(frame.name(what), op, tensor, frame.layer, [source.id], extra)
        event["role"] = "view"
        for whole in (source.whole, source):
            place = place_in(whole, tensor)
            if place is not None:
                event["view_of"], event["offset"], event["strides"] = whole.id, *place
                break
        value = Value(recorder.tensor(event), False, tensor, source.whole)
        self.registry.put_view(tensor, value)
        return value

    def alias(self, name, op, tensor, value, kind, *, layer=None, outer=False, **extra):
        """A line that gives a known value another name. It has data when no line has them in
        this shape yet: for a view, or for a value that a filter left out before."""
        if layer is None:
            layer = self.frames[-1].layer
        event = self._event(name, op, tensor, layer, [], extra)
        event["alias_of"] = value.id if value.data_id is None else value.data_id
        send = value.data_id is None and \
            recorder.filters.wants(kind, name, op, layer, self.number, outer)
        identity = recorder.tensor(event, tensor if send else None)
        if send:
            value.data_id = identity

    def name_result(self, name, op, tensor, kind, *, sources=(), outer=False, **extra):
        """A line for the result of a module or of a function, known or not."""
        value = self.known(tensor)
        if value is None:
            return self.record(None, op, tensor, list(sources), name=name, kind=kind, outer=outer, **extra)
        self.alias(name, op, tensor, value, kind, outer=outer, **extra)
        return value

    def known(self, tensor):
        """The value of a tensor if its storage was seen in this pass, or is that of a weight."""
        if not is_recordable(tensor) or not has_storage(tensor):
            return None
        if self.registry.cell(tensor) is None and self._as_parameter(tensor)[0] is None:
            return None
        return self.resolve(tensor)

    def close(self):
        with recorder.lock:
            self.registry.close(recorder.survivors)


def operands(run, given):
    """The ids of an operation's tensor arguments slot by slot, with 0 for one that is not given; None if no
    later one is given, because the sources then are the operands, in order."""
    while given and given[-1] is None:
        given.pop()
    if None not in given:
        return None
    values = [run.resolve(tensor) if isinstance(tensor, torch.Tensor) else None for tensor in given]
    return [0 if value is None else value.id for value in values]


def call_parameters(names, args, kwargs):
    """The scalar arguments of a call, as an object for a line."""
    found = {}
    for name, value in zip(names, args):
        if not _PLAIN.get(type(value)):
            plain = plain_parameter(value)
            if plain is not None:
                found[name] = plain
    if kwargs:
        found.update(simple_parameters(kwargs.items()))
    return found


def simple_parameters(pairs):
    """The scalars among (name, value) pairs, as an object for a line."""
    found = {}
    for name, value in pairs:
        plain = plain_parameter(value)
        if plain is not None:
            found[name] = plain
    return found
