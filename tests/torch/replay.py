"""Executes recorded operations again, with torch, from their recorded sources."""
import torch
from torch.nn import functional as F

from conftest import _BY_NAME

_SCALARS = {"inf": float("inf"), "-inf": float("-inf"), "nan": float("nan")}


class Replay:
    """Values of a recording by id; weights are taken from the model by their names."""

    def __init__(self, recording, model):
        self.recording = recording
        self.lines = {line["id"]: line for line in recording.tensors}
        self.weights = dict(model.named_parameters(remove_duplicate=False))
        self.weights.update(model.named_buffers(remove_duplicate=False))
        self._values = {}

    def value(self, identity):
        if identity not in self._values:
            line = self.lines[identity]
            if line.get("role") == "weight":
                made = self.weights[line["name"]].detach()
            elif "data" in line or "alias_of" in line or not line["shape"] or 0 in line["shape"]:
                made = self.recording.value(line)
            else:  # a view, an operation on the value of its source
                made = self.run(line)
            self._values[identity] = made
        return self._values[identity]

    def run(self, line):
        """The result of a line's operation, or None for one that isn't ATen's."""
        sources = [self.value(i) for i in line.get("src", [])]
        params = {k: _SCALARS.get(v, v) if isinstance(v, str) else v for k, v in line.get("params", {}).items()}
        if line["op"] in _OWN:
            return _OWN[line["op"]](sources, params, line)
        packet = getattr(torch.ops.aten, line["op"], None)
        if packet is None:
            return None
        for overload in packet.overloads():
            call = getattr(packet, overload)
            bound = _bind(call._schema, list(sources), dict(params))
            if bound is None:
                continue
            try:
                result = call(**bound)
            except (RuntimeError, TypeError):  # a scalar where this overload has a tensor
                continue
            if isinstance(result, (list, tuple)):
                suffix = line["name"].rsplit(".", 1)[-1]
                result = result[int(suffix) if suffix.isdecimal() else 0]
            return result
        return None


def _bind(schema, sources, params):
    """Arguments for a schema: tensors in order from the sources, the rest by name."""
    kwargs = {}
    for argument in schema.arguments:
        kind = str(argument.type)
        if argument.name in params:
            value = params.pop(argument.name)
            if argument.name == "dtype":
                value = _BY_NAME[value]
        elif kind == "List[Tensor]":
            value, sources = sources, []
        elif kind in ("Tensor", "Optional[Tensor]") and sources:
            value = sources.pop(0)
            if argument.alias_info is not None and argument.alias_info.is_write:
                value = value.clone()
        elif argument.has_default_value() or kind.startswith("Optional"):
            continue
        else:
            return None
        kwargs[argument.name] = value
    return kwargs if not sources and not params else None


_OWN = {
    "Linear": lambda s, p, line: F.linear(*s),
    "Embedding": lambda s, p, line: F.embedding(*s),
    "LayerNorm": lambda s, p, line: F.layer_norm(s[0], p["normalized_shape"], s[1], s[2], p["eps"]),
    "RMSNorm": lambda s, p, line: F.rms_norm(s[0], p["normalized_shape"], s[1], p.get("eps")),
    # The source may have had strides that a view could keep; its copy here hasn't.
    "view": lambda s, p, line: s[0].reshape(line["shape"]),
    "_unsafe_view": lambda s, p, line: s[0].reshape(line["shape"]),
    "Conv1d": lambda s, p, line: F.conv1d(*s, stride=p["stride"], padding=p["padding"], groups=p["groups"]),
    "Conv2d": lambda s, p, line: F.conv2d(*s, stride=p["stride"], padding=p["padding"], groups=p["groups"]),
    "GELU": lambda s, p, line: F.gelu(s[0], approximate=p["approximate"]),
    "matmul": lambda s, p, line: torch.matmul(*s),
    "linear": lambda s, p, line: F.linear(*s),
    "softmax": lambda s, p, line: torch.softmax(
        s[0], p["dim"], dtype=_BY_NAME[p["dtype"]] if "dtype" in p else None),
}
# Not computed from their sources alone.
_NOT_REPLAYED = {"constant", "state", "input", "assembled", "tap", "scaled_dot_product_attention", "Dropout"}


def check_operations(recording, model, bits):
    """Every operation, executed again from its recorded sources, must give the recorded
    result bit for bit. Gives the names of the operations checked."""
    replay = Replay(recording, model)
    checked = []
    for line in recording.tensors:
        if "data" not in line or line["op"] in _NOT_REPLAYED or "src" not in line:
            continue
        again = replay.run(line)
        assert again is not None, f"cannot execute {line['name']} {line.get('params')} {line['src']}"
        assert bits(again.contiguous(), recording.value(line)), f"{line['name']} differs"
        checked.append(line["op"])
    return checked
