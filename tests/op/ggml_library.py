"""The prebuilt ggml by ctypes: names of operations, graph nodes made by the library's own functions, results of its CPU back end."""
import ctypes
import struct

import numpy as np

from table import ROOT

LIBRARIES = sorted((ROOT / ".deps").glob("*/node_modules/@node-llama-cpp/*/bins/*/libggml-base.so"))
NEWEST = next((p for p in LIBRARIES if "llama-v0.5.0" in str(p)), None)

F, I, P = ctypes.c_float, ctypes.c_int, ctypes.c_void_p
SHAPE, OP_PARAMS, SOURCES, WORDS = 16, 84, 152, 16  # struct ggml_tensor: type, buffer, ne[4], nb[4], op, op_params, flags, src[10]
TYPES = {"float32": 0, "float16": 1, "int32": 26, "int64": 27}


def load(path):
    library = ctypes.CDLL(str(path))
    library.ggml_op_name.restype = library.ggml_unary_op_name.restype = ctypes.c_char_p
    return library


def read_names(function, last):
    """The names of a constant array whose length nothing tells."""
    names = []
    while not names or names[-1] != last:
        names.append(function(len(names)).decode())
    return names


def last_of(data, names):
    """The last one that this version has."""
    return next(name for name in names if b"\0" + name.encode() + b"\0" in data)


def names_of(path):
    """All operations that the library names: ordinary ones, functions of one number, gates."""
    library, data = load(path), path.read_bytes()
    has_gates = hasattr(library, "ggml_glu_op_name")
    names = read_names(library.ggml_op_name, "GLU" if has_gates else "OPT_STEP_ADAMW")
    names += read_names(library.ggml_unary_op_name, last_of(data, ("TRUNC", "XIELU", "GELU_ERF", "EXP")))
    if has_gates:
        library.ggml_glu_op_name.restype = ctypes.c_char_p
        names += read_names(library.ggml_glu_op_name, last_of(data, ("SWIGLU_CLAMP", "GEGLU_QUICK", "SWIGLU")))
    return names


def cpu_backend(base):
    """The CPU back end that suits this machine best."""
    found = [ctypes.CDLL(str(p)) for p in sorted(base.parent.glob("libggml-cpu-*.so"))]
    return max(found, key=lambda library: library.ggml_backend_score())


class Ggml:
    """Without memory, nodes only have shapes and parameters; with it, they can be computed."""

    def __init__(self, path, memory=0):
        self.path, self.library = path, load(path)
        self.library.ggml_init.restype = self.library.ggml_get_data.restype = P
        self.library.ggml_op_desc.restype = ctypes.c_char_p

        class Init(ctypes.Structure):
            _fields_ = [("size", ctypes.c_size_t), ("memory", P), ("no_alloc", ctypes.c_bool)]

        self.library.ggml_init.argtypes = [Init]
        self.context = P(self.library.ggml_init(Init(memory or 16 << 20, None, memory == 0)))

    def close(self):
        self.library.ggml_free(self.context)

    def tensor(self, *shape, kind=0):
        """The innermost axis comes first."""
        new = self.library.ggml_new_tensor
        new.restype, new.argtypes = P, [P, I, I, ctypes.POINTER(ctypes.c_int64)]
        return P(new(self.context, kind, len(shape), (ctypes.c_int64 * len(shape))(*shape)))

    def given(self, values):
        """A tensor with the values of an array, whose innermost axis comes last."""
        values = np.ascontiguousarray(values)
        new = self.tensor(*values.shape[::-1], kind=TYPES[str(values.dtype)])
        ctypes.memmove(self.library.ggml_get_data(new), values.ctypes.data, values.nbytes)
        return new

    def call(self, name, *arguments):
        """`arguments` in C's order without the context; Python floats are C floats."""
        function = getattr(self.library, name)
        function.restype = P
        given = [F(a) if isinstance(a, float) else I(a) if isinstance(a, int) else a for a in arguments]
        return function(self.context, *given)

    def compute(self, node):
        graph = self.library.ggml_new_graph
        graph.restype = P
        graph = P(graph(self.context))
        self.library.ggml_build_forward_expand(graph, P(node))
        assert cpu_backend(self.path).ggml_graph_compute_with_ctx(self.context, graph, I(2)) == 0

    def shape(self, node):
        """As recorded: innermost last, without outer axes of one."""
        shape = list(struct.unpack_from("<4q", ctypes.string_at(node + SHAPE, 32)))
        while len(shape) > 1 and shape[-1] == 1:
            shape.pop()
        return shape[::-1]

    def values(self, node):
        """Of a contiguous tensor."""
        kind = struct.unpack("<i", ctypes.string_at(node, 4))[0]
        dtype = np.dtype(next(name for name, number in TYPES.items() if number == kind))
        shape = self.shape(node)
        raw = ctypes.string_at(self.library.ggml_get_data(P(node)), int(np.prod(shape)) * dtype.itemsize)
        return np.frombuffer(raw, dtype).reshape(shape).copy()

    def sources(self, node):
        """Addresses, up to the last that is there."""
        found = list(struct.unpack_from("<10Q", ctypes.string_at(node + SOURCES, 80)))
        while found and found[-1] == 0:
            found.pop()
        return found

    def spelling(self, node):
        return self.library.ggml_op_desc(P(node)).decode()

    def parameters(self, node, row):
        raw = ctypes.string_at(node + OP_PARAMS, 4 * WORDS)
        read = {"I32": "<i", "F32": "<f", "U64": "<Q"}
        return {name: struct.unpack_from(read[kind], raw, 4 * word)[0] for name, (kind, word) in row.parameters.items()}
