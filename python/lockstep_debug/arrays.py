"""`lockstep_debug.record`: arrays of an engine in Python, through the C capture API.

Needs neither torch nor NumPy: whatever has `__array_interface__` (NumPy, CuPy on the host,
PIL, …) is an array.
"""
import atexit
import ctypes
import os
import threading

from . import native

_DTYPES = {"|b1": "bool", "|i1": "i8", "|u1": "u8", "<i2": "i16", "<u2": "u16", "<i4": "i32", "<u4": "u32", "<i8": "i64",
           "<u8": "u64", "<f2": "f16", "<f4": "f32", "<f8": "f64"}
# lockstep_dtype; the numbers are fixed, see include/lockstep/capture.h
_NUMBERS = {"bool": 1, "i8": 2, "u8": 3, "i16": 4, "u16": 5, "i32": 6, "u32": 7, "i64": 8, "u64": 9, "f16": 10, "f32": 12, "f64": 13}
_AXES_MAX = 8


class Engine:
    """One recorder of the C API. All calls do nothing when nothing records."""

    def __init__(self, engine, version):
        self._lock = threading.Lock()
        self._library = native.load()
        self._line = native.Line()
        self._recorder = self._library.lockstep_capture_open(native.encode(engine), None if version is None else native.encode(version))
        atexit.register(self.close)

    def begin_pass(self, tokens=None, positions=None, sequences=None):
        rows = native.rows(tokens, positions, sequences)
        with self._lock:
            self._library.lockstep_capture_pass_begin(self._recorder, ctypes.byref(rows))

    def end_pass(self):
        with self._lock:
            self._library.lockstep_capture_pass_end(self._recorder)

    def record(self, name, array, layer=-1, op="", sources=(), parameters=None, alias=0, role=None, where=None, output=True):
        """Returns the tensor's number, for the `sources` and `alias` of later ones; 0 when it was not recorded."""
        interface = getattr(array, "__array_interface__", None)
        if interface is None:
            raise TypeError(f"{name}: found {type(array).__name__}, expected an array (with __array_interface__)")
        dtype, shape = _DTYPES.get(interface["typestr"]), interface["shape"]
        if dtype is None or interface["data"] is None or len(shape) > _AXES_MAX:
            self.note(f"{name} was not recorded: type {interface['typestr']}, {len(shape)} axes")
            return 0
        strides = interface.get("strides")
        with self._lock:
            self._line.fill(name, op, layer, dtype, shape, sources, parameters, role, alias, where)
            node = self._line.node
            node.dtype, node.data, node.output = _NUMBERS[dtype], interface["data"][0], output
            kept = None if strides is None else (ctypes.c_int64 * len(strides))(*strides)
            node.strides = None if kept is None else ctypes.addressof(kept)
            return self._library.lockstep_capture_node(self._recorder, ctypes.addressof(node))

    def note(self, text):
        with self._lock:
            self._library.lockstep_capture_note(self._recorder, native.encode(text))

    def close(self):
        with self._lock:  # other threads may still record: the recorder is freed
            recorder, self._recorder = self._recorder, None
            self._library.lockstep_capture_close(recorder)


class _Nobody:
    """Stands in for an engine when nothing records."""

    def begin_pass(self, *args, **kwargs):
        pass

    def record(self, *args, **kwargs):
        return 0

    end_pass = note = close = begin_pass


_default = None
_default_lock = threading.Lock()


def open_engine(engine, version=None):
    return Engine(engine, version) if os.environ.get("LOCKSTEP_CHANNEL") and os.environ.get("LOCKSTEP_HOOK") else _Nobody()


def default():
    """The engine of `lockstep_debug.record`. A channel that is set in the environment later is used."""
    global _default
    if _default is None and os.environ.get("LOCKSTEP_CHANNEL"):
        with _default_lock:
            if _default is None:
                _default = open_engine("python")
    return _default or _Nobody()
