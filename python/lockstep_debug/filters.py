"""What the recorder wants: which tensors are sent with their values."""
import re

# The kinds of tensor line, as far as `observe` distinguishes them.
INPUT, MODULE, FUNCTION, OPERATION, WEIGHT, CACHE = "input", "module", "function", "operation", "weight", "cache"

_POSIX_CLASSES = {
    "alpha": "a-zA-Z", "digit": "0-9", "alnum": "a-zA-Z0-9", "upper": "A-Z", "lower": "a-z",
    "space": r"\s", "blank": r" \t", "punct": r"!-/:-@\[-`{-~", "xdigit": "0-9A-Fa-f",
    "word": r"\w", "cntrl": r"\x00-\x1f\x7f", "print": r"\x20-\x7e", "graph": r"\x21-\x7e",
}


def posix_pattern(text):
    """A POSIX extended regular expression in Python's syntax."""
    return re.compile(re.sub(r"\[:(\w+):\]", lambda m: _POSIX_CLASSES.get(m.group(1), m.group(0)), text))


def parse_ranges(text):
    """`0-3,7` as a list of (first, last), by the rules of src/base/ranges.h; the command line
    has checked it."""
    parts = (part.partition("-") for part in text.split(","))
    return [(int(first), int(last) if dash else int(first)) for first, dash, last in parts]


def in_ranges(number, ranges):
    return any(first <= number <= last for first, last in ranges)


class Filters:
    """`option(key)` gives the text of an option, or None."""

    def __init__(self, option):
        self.observe = option("observe") or "all"
        tensors, ops = option("tensors"), option("ops")
        layers, passes = option("layers"), option("passes")
        resync = option("resync")
        self._resync_outputs = resync == "layer"
        self._resync = posix_pattern(resync) if resync and resync != "layer" else None
        self._weights = bool(option("weights"))
        self._caches = bool(option("kv"))
        self.compiled = bool(option("compiled"))  # compiled regions are not entered
        self.sources = bool(option("sources"))
        self._tensors = posix_pattern(tensors) if tensors else None
        self._ops = posix_pattern(ops) if ops else None
        self._layers = parse_ranges(layers) if layers else None
        self._passes = parse_ranges(passes) if passes else None

    def resync(self, name, output):
        """Whether the recorder may answer with replacement values. `output`: the tensor is the
        output of a layer, or of the network."""
        return (self._resync_outputs and output) or bool(self._resync and self._resync.search(name))

    def wants(self, kind, name, op, layer, number, outer=False):
        """Whether a tensor's values are to be sent. `outer`: it is an output of a top-level
        block or of the root."""
        if kind is WEIGHT:
            return self._weights
        if kind is CACHE:
            return self._caches and (not self._passes or in_ranges(number, self._passes))
        if self.observe == "last":
            return kind is MODULE and outer and "." not in name
        if self.observe == "named" and kind is OPERATION:
            return False
        if self.observe == "outputs" and not (kind is INPUT or (kind is MODULE and outer)):
            return False
        if self._passes and not in_ranges(number, self._passes):
            return False
        if self._layers and not in_ranges(layer, self._layers):
            return False
        if self._tensors and not self._tensors.search(name):
            return False
        return not (self._ops and not self._ops.search(op))
