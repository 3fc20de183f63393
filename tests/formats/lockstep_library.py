"""The public C API through ctypes, and the program, for tests of formats."""
import ctypes
import json
import os
import pathlib
import subprocess

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
LOCKSTEP = os.environ.get("LOCKSTEP_BIN", str(ROOT / "build" / "lockstep"))
MAX_RANK = 8


class Info(ctypes.Structure):
    _fields_ = [
        ("name", ctypes.c_char_p),
        ("dtype", ctypes.c_char_p),
        ("type", ctypes.c_int),
        ("rank", ctypes.c_int),
        ("shape", ctypes.POINTER(ctypes.c_uint64)),
        ("elements", ctypes.c_uint64),
        ("bytes", ctypes.c_uint64),
    ]


class Error(ctypes.Structure):
    _fields_ = [
        ("status", ctypes.c_int),
        ("offset", ctypes.c_uint64),
        ("message", ctypes.c_char * 500),
    ]


_library = ctypes.CDLL(str(ROOT / "build" / "liblockstep.so"))
_library.lockstep_archive_open.argtypes = [ctypes.c_char_p, ctypes.c_void_p, ctypes.c_void_p]
_library.lockstep_archive_close.argtypes = [ctypes.c_void_p]
_library.lockstep_archive_format.argtypes = [ctypes.c_void_p]
_library.lockstep_archive_format.restype = ctypes.c_char_p
_library.lockstep_archive_tensor_count.argtypes = [ctypes.c_void_p]
_library.lockstep_archive_tensor_count.restype = ctypes.c_size_t
_library.lockstep_archive_tensor.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p]
_library.lockstep_archive_read.argtypes = [
    ctypes.c_void_p, ctypes.c_size_t, ctypes.c_uint64, ctypes.c_uint64, ctypes.c_void_p, ctypes.c_void_p]
_library.lockstep_dtype_name.restype = ctypes.c_char_p


class Failed(Exception):
    def __init__(self, error):
        super().__init__(error.message.decode())
        self.status, self.offset = error.status, error.offset


class Archive:
    """tensors: name -> (index, file dtype, type, shape, bytes), in file order."""

    def __init__(self, path):
        self.handle, error = ctypes.c_void_p(), Error()
        if _library.lockstep_archive_open(str(path).encode(), ctypes.byref(self.handle), ctypes.byref(error)):
            raise Failed(error)
        self.format = _library.lockstep_archive_format(self.handle).decode()
        self.tensors = {}
        for i in range(_library.lockstep_archive_tensor_count(self.handle)):
            info = Info()
            assert _library.lockstep_archive_tensor(self.handle, i, ctypes.byref(info)) == 0
            self.tensors[info.name.decode()] = (
                i, info.dtype.decode(), _library.lockstep_dtype_name(info.type).decode(),
                tuple(info.shape[: info.rank]), info.bytes)

    def read(self, name, first=0, count=None):
        """Values as float64: all in their shape, or a flat range of them."""
        index, _, _, shape, _ = self.tensors[name]
        total = int(np.prod(shape, dtype=np.int64))
        values, error = np.empty(total if count is None else count), Error()
        if _library.lockstep_archive_read(self.handle, index, first, values.size,
                                          values.ctypes.data_as(ctypes.c_void_p), ctypes.byref(error)):
            raise Failed(error)
        return values.reshape(shape) if count is None else values

    def close(self):
        _library.lockstep_archive_close(self.handle)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def run(*arguments):
    return subprocess.run([LOCKSTEP, *map(str, arguments)], capture_output=True, text=True, errors="replace")


def run_json(*arguments):
    done = run(*arguments, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def assert_same(found, expected):
    """Equal values; NaN equals NaN, and zeros keep their signs."""
    with np.errstate(invalid="ignore"):  # signalling NaN
        expected = np.asarray(expected).astype(np.float64)
    assert found.shape == expected.shape
    np.testing.assert_array_equal(found, expected)
    numbers = ~np.isnan(expected)
    np.testing.assert_array_equal(np.signbit(found[numbers]), np.signbit(expected[numbers]))
