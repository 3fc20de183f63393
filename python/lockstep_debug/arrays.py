"""`lockstep_debug.record`: arrays of an engine in Python, through the C capture API.

Needs neither torch nor NumPy: whatever has `__array_interface__` (NumPy, PIL, …) is an array,
and so is a torch tensor on any device.
"""
import atexit
import contextlib
import ctypes
import functools
import math
import os
import sys
import threading

from . import native

_DTYPES = {"|b1": "bool", "|i1": "i8", "|u1": "u8", "<i2": "i16", "<u2": "u16", "<i4": "i32", "<u4": "u32", "<i8": "i64",
           "<u8": "u64", "<f2": "f16", "<f4": "f32", "<f8": "f64"}
# lockstep_dtype; the numbers are fixed, see include/lockstep/capture.h
_NUMBERS = {"bool": 1, "i8": 2, "u8": 3, "i16": 4, "u16": 5, "i32": 6, "u32": 7, "i64": 8, "u64": 9, "f16": 10, "bf16": 11, "f32": 12, "f64": 13}
_TORCH = {"bool": "bool", "int8": "i8", "uint8": "u8", "int16": "i16", "uint16": "u16", "int32": "i32", "uint32": "u32", "int64": "i64",
          "uint64": "u64", "float16": "f16", "bfloat16": "bf16", "float32": "f32", "float64": "f64"}
_AXES_MAX = 8


class _Unrecordable(Exception):
    """Why an array can't be recorded."""


class _Memory:
    """Where an array's elements are, for as long as this exists. Strides are in bytes, None for a contiguous array."""

    def __init__(self, array):
        torch = sys.modules.get("torch")
        if torch is not None and isinstance(array, torch.Tensor):
            self._of_torch(array)
        elif hasattr(array, "__array_interface__"):
            self._of_interface(array, array.__array_interface__)
        else:
            raise _Unrecordable(f"found {type(array).__name__}, expected a NumPy array, a torch tensor or another object with __array_interface__")
        if len(self.shape) > _AXES_MAX:
            raise _Unrecordable(f"found {len(self.shape)} axes, expected at most {_AXES_MAX}")

    def _of_interface(self, array, interface):
        self.owner = array, interface  # either may own the elements
        self.dtype, self.shape, self.strides = _DTYPES.get(interface["typestr"]), interface["shape"], interface.get("strides")
        data = interface.get("data")
        if self.dtype is None or data is None:
            raise _Unrecordable(f"elements of type {interface['typestr']}" if self.dtype is None else "elements that are nowhere in memory")
        if isinstance(data, tuple):
            self.address = data[0]
        else:  # a buffer
            view = memoryview(data).cast("B")[interface.get("offset", 0):]
            if self.strides is not None or view.nbytes < math.prod(self.shape) * int(interface["typestr"][2:]):
                raise _Unrecordable("a buffer that is too small, or has strides")
            self.buffer = (ctypes.c_char * max(view.nbytes, 1))()
            self.buffer[:view.nbytes] = view.tobytes()
            self.address = ctypes.addressof(self.buffer)

    def _of_torch(self, tensor):
        self.dtype = _TORCH.get(str(tensor.dtype).removeprefix("torch."))
        if self.dtype is None or str(tensor.layout) != "torch.strided":
            raise _Unrecordable(f"elements of type {tensor.dtype}, layout {tensor.layout}")
        passes = sys.modules.get(f"{__package__}.passes")
        with contextlib.nullcontext() if passes is None else passes.ours:  # these calls are not the engine's
            self.owner = tensor.detach().cpu().resolve_neg().contiguous()
        self.shape, self.strides, self.address = tuple(self.owner.shape), None, self.owner.data_ptr()


def _reason(error):
    try:
        return str(error) if isinstance(error, _Unrecordable) else repr(error)
    except Exception:
        return type(error).__name__


def _harmless(method):
    """Never raises: what can't be recorded leaves a note, and the engine continues."""
    @functools.wraps(method)
    def call(self, *args, **kwargs):
        try:
            return method(self, *args, **kwargs)
        except Exception as error:
            what = args[0] if args and isinstance(args[0], str) else method.__name__
            self.note(f"{what} was not recorded: {_reason(error)}")
            return 0
    return call


class Engine:
    """One recorder of the C API. All calls do nothing when nothing records."""

    def __init__(self, engine, version):
        self._lock = threading.Lock()
        self._library = native.load()
        self._line = native.Line()
        self._recorder = self._library.lockstep_capture_open(native.encode(engine), None if version is None else native.encode(version))
        atexit.register(self.close)

    @_harmless
    def begin_pass(self, tokens=None, positions=None, sequences=None):
        rows = native.rows(tokens, positions, sequences)
        with self._lock:
            self._library.lockstep_capture_pass_begin(self._recorder, ctypes.byref(rows))

    def end_pass(self):
        with self._lock:
            self._library.lockstep_capture_pass_end(self._recorder)

    @_harmless
    def record(self, name, array, layer=-1, op="", sources=(), parameters=None, alias=0, role=None, where=None, output=True):
        """Returns the tensor's number, for the `sources` and `alias` of later ones; 0 when it was not recorded."""
        memory = _Memory(array)
        with self._lock:
            self._line.fill(name, op, layer, memory.dtype, memory.shape, sources, parameters, role, alias, where)
            node = self._line.node
            node.dtype, node.data, node.output = _NUMBERS[memory.dtype], memory.address, output
            kept = None if memory.strides is None else (ctypes.c_int64 * len(memory.strides))(*memory.strides)
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
