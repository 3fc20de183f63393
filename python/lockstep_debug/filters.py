"""What the recorder wants: which tensors are sent with their values."""
# The kinds of tensor line, as far as `observe` distinguishes them.
INPUT, MODULE, FUNCTION, OPERATION, WEIGHT, CACHE = "input", "module", "function", "operation", "weight", "cache"


class Filters:
    """What `transport` says that the recorder wants; without one, everything."""

    def __init__(self, transport=None):
        def option(key):
            return transport.option(key) if transport is not None else None

        def given(key, make):
            text = option(key)
            return make(text) if text else None

        self.observe = option("observe") or "all"
        resync = option("resync")
        self._resync_outputs = resync == "layer"
        self._resync = transport.pattern(resync) if resync and resync != "layer" else None
        self._weights = bool(option("weights"))
        self._caches = bool(option("kv"))
        self.compiled = bool(option("compiled"))  # compiled regions are not entered
        self.sources = bool(option("sources"))
        self._tensors = given("tensors", lambda text: transport.pattern(text))
        self._ops = given("ops", lambda text: transport.pattern(text))
        self._layers = given("layers", lambda text: transport.ranges(text))
        self._passes = given("passes", lambda text: transport.ranges(text))
        self.whole = self.observe in ("all", "inputs") and not option("stats_only") and \
            not (self._tensors or self._ops or self._layers or self._passes)  # the whole graph can be computed again

    def resync(self, name, output):
        """Whether the recorder may answer with replacement values. `output`: the tensor is the
        output of a layer, or of the network."""
        return (self._resync_outputs and output) or bool(self._resync and self._resync(name))

    def wants(self, kind, name, op, layer, number, outer=False):
        """Whether a tensor's values are to be sent. `outer`: it is an output of a top-level
        block or of the root."""
        if kind is WEIGHT:
            return self._weights
        if kind is CACHE:
            return self._caches and (not self._passes or self._passes(number))
        if self.observe == "last":
            return kind is MODULE and outer and "." not in name
        if self.observe == "inputs" and kind is not INPUT:
            return False
        if self.observe == "named" and kind is OPERATION:
            return False
        if self.observe == "outputs" and not (kind is INPUT or (kind is MODULE and outer)):
            return False
        if self._passes and not self._passes(number):
            return False
        if self._layers and not self._layers(layer):
            return False
        if self._tensors and not self._tensors(name):
            return False
        return not (self._ops and not self._ops(op))
