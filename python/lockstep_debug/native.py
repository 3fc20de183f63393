"""liblockstep-capture through ctypes: the structures of include/lockstep/capture.h, and
the functions that write frames (src/wire/hook_api.c). Nothing here needs torch or NumPy.
"""
import ctypes
import functools
import os


class _Value(ctypes.Union):
    pass


class Parameter(ctypes.Structure):
    """lockstep_parameter"""


_Value._fields_ = [("integer", ctypes.c_int64), ("real", ctypes.c_double), ("boolean", ctypes.c_bool), ("text", ctypes.c_char_p),
                   ("integers", ctypes.POINTER(ctypes.c_int64)), ("reals", ctypes.POINTER(ctypes.c_double)),
                   ("list", ctypes.POINTER(Parameter))]
Parameter._fields_ = [("name", ctypes.c_char_p), ("type", ctypes.c_int), ("count", ctypes.c_uint32), ("value", _Value)]

INTEGER, REAL, BOOLEAN, TEXT, INTEGERS, REALS, LIST = range(7)
ROLES = {None: 0, "input": 1, "weight": 2, "state": 3, "view": 4, "write": 5}


class Node(ctypes.Structure):
    """lockstep_node"""
    _fields_ = [("size", ctypes.c_size_t), ("name", ctypes.c_char_p), ("op", ctypes.c_char_p), ("layer", ctypes.c_int),
                ("role", ctypes.c_int), ("dtype", ctypes.c_int), ("dtype_name", ctypes.c_char_p), ("rank", ctypes.c_int),
                ("shape", ctypes.c_void_p), ("strides", ctypes.c_void_p), ("data", ctypes.c_void_p), ("sources", ctypes.c_void_p),
                ("source_count", ctypes.c_size_t), ("alias", ctypes.c_uint64), ("parameters", ctypes.c_void_p),
                ("parameter_count", ctypes.c_size_t), ("where", ctypes.c_char_p), ("backend", ctypes.c_char_p),
                ("output", ctypes.c_bool), ("writable", ctypes.c_bool), ("operands", ctypes.c_void_p),
                ("operand_count", ctypes.c_size_t), ("view", ctypes.c_void_p)]


class Rows(ctypes.Structure):
    """lockstep_rows"""
    _fields_ = [("count", ctypes.c_size_t), ("tokens", ctypes.POINTER(ctypes.c_int32)),
                ("positions", ctypes.POINTER(ctypes.c_int32)), ("sequences", ctypes.POINTER(ctypes.c_int32))]


def encode(text):
    """UTF-8 up to the first NUL, for any text."""
    return text.encode("utf-8", "replace")


def _set_parameter(parameter, value):
    if isinstance(value, bool):
        parameter.type, parameter.value.boolean = BOOLEAN, value
    elif isinstance(value, int) and -2**63 <= value < 2**63:
        parameter.type, parameter.value.integer = INTEGER, value
    elif isinstance(value, float):
        parameter.type, parameter.value.real = REAL, value
    elif isinstance(value, (list, tuple)):
        items = (Parameter * len(value))()
        for item, one in zip(items, value):
            _set_parameter(item, one)
        parameter.type, parameter.count = LIST, len(value)
        parameter.value.list = ctypes.cast(items, ctypes.POINTER(Parameter))  # keeps the items alive
    else:
        parameter.type, parameter.value.text = TEXT, encode(str(value))


class Line:
    """A node whose memory is reused for each tensor: not thread-safe."""

    def __init__(self):
        self.node = Node(size=ctypes.sizeof(Node))
        self._shape, self._sources, self._parameters = (ctypes.c_uint64 * 0)(), (ctypes.c_uint64 * 0)(), (Parameter * 0)()
        self.pointer = ctypes.byref(self.node)

    def fill(self, name, op, layer, dtype_name, shape, sources=(), parameters=None, role=None, alias=0, where=None, backend=None):
        node = self.node
        node.name, node.op, node.layer, node.role = encode(name), encode(op), layer, ROLES[role]
        node.dtype_name, node.alias = encode(dtype_name), alias
        node.where = None if where is None else encode(where)
        node.backend = None if backend is None else encode(backend)
        count = len(shape)
        if count > len(self._shape):
            self._shape = (ctypes.c_uint64 * (2 * count))()
            node.shape = ctypes.addressof(self._shape)
        self._shape[:count], node.rank = shape, count
        count = len(sources)
        if count > len(self._sources):
            self._sources = (ctypes.c_uint64 * (2 * count))()
            node.sources = ctypes.addressof(self._sources)
        self._sources[:count], node.source_count = sources, count
        node.parameter_count = 0
        if parameters:
            self._fill_parameters(parameters)

    def _fill_parameters(self, parameters):
        count = len(parameters)
        if count > len(self._parameters):
            self._parameters = (Parameter * (2 * count))()
            self.node.parameters = ctypes.addressof(self._parameters)
        for parameter, (name, value) in zip(self._parameters, parameters.items()):
            parameter.name = encode(name)
            _set_parameter(parameter, value)
        self.node.parameter_count = count


def rows(tokens=None, positions=None, sequences=None):
    """lockstep_rows from lists of integers, each of which may be None. Lists whose lengths
    don't match, and lists with integers beyond 32 bits, are left out."""
    made = Rows()
    given = {"tokens": tokens, "positions": positions, "sequences": sequences}
    for name, values in given.items():
        if values is None or not len(values) or (made.count and len(values) != made.count) or \
                not all(-2**31 <= value < 2**31 for value in values):
            continue
        made.count = len(values)
        setattr(made, name, (ctypes.c_int32 * len(values))(*values))
    return made


def pattern(library, text):
    """Whether a name matches a POSIX extended regular expression, as a function; what is none matches nothing."""
    compiled = library.lockstep_hook_pattern(encode(text))

    @functools.lru_cache(1 << 14)
    def matches(name):
        return compiled is not None and bool(library.lockstep_hook_matches(compiled, encode(name)))

    return matches


def ranges(library, text):
    """Whether a number is in a list such as "0-3,7", as a function."""
    listed = encode(text)

    @functools.lru_cache(1 << 14)
    def holds(number):
        return bool(library.lockstep_hook_in_ranges(listed, number))

    return holds


def load(path=None):
    """The library that `lockstep capture` names in the environment, or the one at `path`."""
    library = ctypes.CDLL(path or os.environ["LOCKSTEP_HOOK"])
    text, size, id_, rows_ = ctypes.c_char_p, ctypes.c_size_t, ctypes.c_uint64, ctypes.POINTER(Rows)
    functions = {
        "hook_open": (ctypes.c_int, []),
        "hook_close": (None, []),
        "hook_option": (ctypes.c_int, [text, ctypes.c_char_p, size]),
        "hook_pattern": (ctypes.c_void_p, [text]),
        "hook_matches": (ctypes.c_int, [ctypes.c_void_p, text]),
        "hook_in_ranges": (ctypes.c_int, [text, ctypes.c_int64]),
        "hook_next_id": (id_, []),
        "hook_next_pass": (ctypes.c_int64, []),
        "hook_start": (None, [text, text, text, text, text]),
        "hook_pass_begin": (None, [ctypes.c_int64, rows_, ctypes.c_int]),
        "hook_pass_rows": (None, [ctypes.c_int64, rows_]),
        "hook_pass_end": (None, [ctypes.c_int64, rows_]),
        "hook_line": (ctypes.c_int, [ctypes.c_void_p, id_, ctypes.c_int64, id_, text, ctypes.c_int, size, size, ctypes.c_int, ctypes.c_void_p, id_]),
        "hook_weight": (ctypes.c_int, [ctypes.c_void_p, id_, text, ctypes.c_int, ctypes.c_void_p, id_, ctypes.c_int]),
        "hook_model_file": (None, [text]),
        "hook_note": (None, [text, text]),
        "hook_end": (None, []),
        "hook_resync": (ctypes.c_int, [id_, ctypes.c_void_p, id_]),
        "capture_open": (ctypes.c_void_p, [text, text]),
        "capture_pass_begin": (None, [ctypes.c_void_p, rows_]),
        "capture_pass_end": (None, [ctypes.c_void_p]),
        "capture_close": (None, [ctypes.c_void_p]),
        "capture_note": (None, [ctypes.c_void_p, text]),
        "capture_node": (id_, [ctypes.c_void_p, ctypes.c_void_p]),
    }
    for name, (result, arguments) in functions.items():
        function = getattr(library, "lockstep_" + name)
        function.restype, function.argtypes = result, arguments
    return library
