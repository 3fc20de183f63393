"""The inputs of a pass: token ids, positions, sequences, and every tensor argument."""
import inspect
import weakref

import torch

from . import filters
from .passes import is_recordable, walk
from .recorder import recorder

_INTEGERS = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8)
_POSITION_NAMES = ("position_ids", "cache_position")
CACHE_NAMES = ("past_key_values", "past_key_value", "cache_params")

_signatures = weakref.WeakKeyDictionary()


def signature(module):
    """The signature of a module's forward, or None."""
    kind = type(module)
    if kind not in _signatures:
        try:
            _signatures[kind] = inspect.signature(kind.forward)
        except (TypeError, ValueError, AttributeError):
            _signatures[kind] = None
    return _signatures[kind]


def arguments(module, args, kwargs):
    """(name, value) of the arguments of a forward call, in the order of its parameters."""
    if isinstance(module, torch.jit.ScriptModule):
        names = [argument.name for argument in module._c._get_method("forward").schema.arguments[1:]]
        return list(zip(names, args)) + list(kwargs.items())
    form = signature(module)
    try:
        bound = form.bind_partial(module, *args, **kwargs).arguments
    except (AttributeError, TypeError):
        return [(f"args.{i}", value) for i, value in enumerate(args)] + list(kwargs.items())
    found = []
    for name, value in list(bound.items())[1:]:
        kind = form.parameters[name].kind
        if kind is inspect.Parameter.VAR_POSITIONAL:
            found += [(f"{name}.{i}", item) for i, item in enumerate(value)]
        elif kind is inspect.Parameter.VAR_KEYWORD:
            found += list(value.items())
        else:
            found.append((name, value))
    return found


def unfolded(named):
    """The same, with the items of dictionaries under their own keys, too (sentence-transformers
    passes its modules one dictionary of features)."""
    return named + [(key, item) for _, value in named if isinstance(value, dict)
                    for key, item in value.items() if isinstance(key, str)]


class Rows:
    """The rows of a pass, flattened with the batch outermost."""

    def __init__(self, named):
        self.tokens = self.sequences = self.positions = None
        self.batch = self.length = 0
        self._offset = _past_length(named)
        tokens = _tokens(named)
        if tokens is not None:
            ids = tokens.unsqueeze(0) if tokens.dim() == 1 else tokens
            self.batch, self.length = ids.shape
            self.tokens = ids.reshape(-1).tolist()
        else:
            embeds = dict(named).get("inputs_embeds")
            if isinstance(embeds, torch.Tensor) and embeds.dim() == 3 and is_recordable(embeds):
                self.batch, self.length = embeds.shape[:2]
        if self.batch:
            self.sequences = [b for b in range(self.batch) for _ in range(self.length)]
        self.learn(named)

    def learn(self, named):
        """Takes the positions from arguments that carry them."""
        for name, value in named:
            if self.positions is None and name in _POSITION_NAMES and is_recordable(value):
                self.positions = self._spread(value)

    def _spread(self, positions):
        """One position per row, or None when the shape doesn't fit. If there are several kinds
        of position (time, height, width), the first is used."""
        while positions.dim() > 2:
            positions = positions[0]
        if positions.dim() == 1:
            positions = positions.unsqueeze(0)
        if positions.dim() != 2 or positions.dtype not in _INTEGERS \
                or positions.shape[1] != self.length or positions.shape[0] not in (1, self.batch):
            return None
        return positions.expand(self.batch, self.length).reshape(-1).tolist()

    def settle(self):
        """Counts the positions from the cache's length when nothing in the pass gives them."""
        if self.positions is None and self.batch and self._offset is not None:
            self.positions = [self._offset + t for _ in range(self.batch) for t in range(self.length)]

    def event(self, keys):
        return {key: getattr(self, key) for key in keys if getattr(self, key) is not None}


def _tokens(named):
    by_name = dict(named)
    for name in ("input_ids", "decoder_input_ids"):
        if _is_ids(by_name.get(name)):
            return by_name[name]
    for name, value in named:
        if _is_ids(value) and "mask" not in name and name not in _POSITION_NAMES:
            return value
    return None


def _is_ids(value):
    return is_recordable(value) and value.dtype in _INTEGERS and value.dim() in (1, 2)


def _past_length(named):
    for name, value in named:
        if name in CACHE_NAMES and value is not None:
            if hasattr(value, "get_seq_length"):
                try:
                    return int(value.get_seq_length())
                except ValueError:  # it holds states only, which don't tell
                    return None
            if isinstance(value, (list, tuple)) and value:  # a tuple with one (key, value) per layer
                first = next((tensor for _, tensor in walk(value)), None)
                return first.shape[-2] if first is not None else 0
    return 0


def record_inputs(run, named):
    """One line for each tensor argument, with its current values: a buffer that the caller
    refills for each call keeps its address."""
    tensors = [(f"{name}.{suffix}" if suffix else name, tensor)
               for name, value in named if name not in CACHE_NAMES
               for suffix, tensor in walk(value) if is_recordable(tensor)]
    for _, tensor in tensors:
        run.registry.forget(tensor)
    for name, tensor in tensors:
        run.record(None, "input", tensor, [], name=name, kind=filters.INPUT, role="input", layer=-1)


def begin(run, module, args, kwargs):
    """Announces the pass, then records its inputs."""
    named = arguments(module, args, kwargs)
    run.rows = Rows(unfolded(named))
    event = {"event": "pass", "pass": run.number}
    event.update(run.rows.event(("tokens", "positions", "sequences")))
    run.positions_sent = run.rows.positions is not None
    if not run.positions_sent and run.rows.batch:
        event["told_later"] = True
    recorder.send(event)
    record_inputs(run, named)


def learn(run, module, args, kwargs):
    """Looks for positions among the arguments of a module within the pass."""
    if run.rows is None or run.rows.positions is not None or not run.rows.batch:
        return
    form = signature(module)
    if form is not None and any(name in form.parameters or name in kwargs for name in _POSITION_NAMES):
        run.rows.learn(arguments(module, args, kwargs))
        if run.rows.positions is not None:
            run.positions_sent = True
            recorder.send({"event": "rows", "pass": run.number, "positions": run.rows.positions})


def finish(run):
    event = {"event": "pass_end", "pass": run.number}
    if run.rows is not None and not run.positions_sent:
        run.rows.settle()
        event.update(run.rows.event(("positions",)))
    recorder.send(event)
