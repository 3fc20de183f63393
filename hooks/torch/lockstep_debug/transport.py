"""The way out of the process: three C functions of the preload library."""
import ctypes
import os


class Transport:
    """The recorder's channel, through the library that LOCKSTEP_HOOK names.

    `send` copies before it returns, may be called by any thread, and gives False
    once the recorder is gone.
    """

    def __init__(self):
        library = ctypes.CDLL(os.environ["LOCKSTEP_HOOK"])
        self._open = library.lockstep_hook_open
        self._open.restype = ctypes.c_int
        self._open.argtypes = []
        self._option = library.lockstep_hook_option
        self._option.restype = ctypes.c_int
        self._option.argtypes = [ctypes.c_char_p, ctypes.c_char_p, ctypes.c_size_t]
        self._next_id = library.lockstep_hook_next_id
        self._next_id.restype = ctypes.c_uint64
        self._next_id.argtypes = []
        self._next_pass = library.lockstep_hook_next_pass
        self._next_pass.restype = ctypes.c_uint64
        self._next_pass.argtypes = []
        self._send = library.lockstep_hook_send
        self._send.restype = ctypes.c_int
        self._send.argtypes = [ctypes.c_char_p, ctypes.c_size_t, ctypes.c_void_p, ctypes.c_uint64]
        self._resync = library.lockstep_hook_resync
        self._resync.restype = ctypes.c_int
        self._resync.argtypes = [ctypes.c_uint64, ctypes.c_void_p, ctypes.c_uint64]
        self._close = library.lockstep_hook_close
        self._close.restype = None
        self._close.argtypes = []

    def open(self):
        return bool(self._open())

    def option(self, key):
        room = ctypes.create_string_buffer(4096)
        found = self._option(key.encode(), room, len(room))
        return room.value.decode("utf-8", "replace") if found else None

    def next_id(self):
        """A number for a tensor, unique in this process, also among those that C code records."""
        return self._next_id()

    def next_pass(self):
        """A number for a pass, counted from 0 for each recording."""
        return self._next_pass()

    def send(self, header, pointer=0, size=0):
        """`header` is JSON as bytes; `size` bytes of data lie at the address `pointer`."""
        return bool(self._send(header, len(header), pointer or None, size))

    def resync(self, identity, pointer, size):
        """Asks for other values; True when they were written to the `size` bytes at `pointer`."""
        return bool(self._resync(identity, pointer, size))

    def close(self):
        self._close()
