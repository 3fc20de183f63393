"""Sends events out of the process: as dictionaries, they become calls to the C library that
writes all frames (src/wire/frame_writer.h)."""
import ctypes
import struct

from . import native

_NODES_MAX = 1 << 14


class Transport:
    """The recorder's channel, through the library that LOCKSTEP_HOOK names.

    Events are sent by one thread at a time: the caller holds a lock.
    """

    def __init__(self):
        self._library = native.load()
        self._line = self._library.lockstep_hook_line
        self._nodes = {}  # what calls from the same place in a model have in common -> (native.Line, its node's address)
        self.next_id = self._library.lockstep_hook_next_id      # for tensors, also those that C code records
        self.next_pass = self._library.lockstep_hook_next_pass  # from 0 in each recording
        self._events = {"start": self._start, "pass": self._pass, "rows": self._rows, "pass_end": self._pass_end,
                        "note": self._note, "model_file": self._model_file, "end": lambda event: self._library.lockstep_hook_end()}

    def open(self):
        return bool(self._library.lockstep_hook_open())

    def option(self, key):
        room = ctypes.create_string_buffer(4096)
        found = self._library.lockstep_hook_option(key.encode(), room, len(room))
        return room.value.decode("utf-8", "replace") if found else None

    def pattern(self, text):
        return native.pattern(self._library, text)

    def ranges(self, text):
        return native.ranges(self._library, text)

    def send(self, event, pointer=0, size=0):
        """Copies the `size` bytes at the address `pointer`. False once the recorder is gone."""
        if event["event"] == "tensor":
            return self._tensor(event, pointer, size)
        self._events[event["event"]](event)
        return bool(self._library.lockstep_hook_open())

    def _tensor(self, event, pointer, size):
        get = event.get
        name, op, layer, dtype, parameters = event["name"], event["op"], event["layer"], event["dtype"], get("params")
        role, where, backend = get("role"), get("where"), get("backend")
        # repr distinguishes True, 1 and 1.0, which are equal keys
        key = name, op, layer, dtype, role, where, backend, repr(parameters) if parameters else None
        known = self._nodes.get(key)
        if known is None:
            known = self._remember(key, name, op, layer, dtype, parameters, role, where, backend)
        shape, sources, operands = event["shape"], get("src", ()), get("operands", ())
        rank, count, slots = len(shape), len(sources), len(operands)
        numbers = struct.pack("%dQ" % (rank + count + slots), *shape, *sources, *operands)
        if role == "weight":
            return self._weight(known[1], event, numbers, rank, pointer, size)
        whole = get("view_of")
        if whole:
            numbers += struct.pack("%dQ%dq" % (2, rank), whole, get("offset", 0), *get("strides", ()))
        return self._line(known[1], event["id"], get("pass", -1), get("alias_of", 0), numbers, rank, count, slots, bool(whole), pointer or None, size) != 0

    def _weight(self, node, event, shape, rank, pointer, size):
        """`sampled`: where the values are that are hashed, though not kept, and how many bytes they have."""
        keeps = size > 0
        if not keeps:
            pointer, size = event.get("sampled", (0, 0))
        return self._library.lockstep_hook_weight(node, event["id"], shape, rank, pointer or None, size, keeps) != 0

    def _model_file(self, event):
        self._library.lockstep_hook_model_file(native.encode(event["path"]))

    def _remember(self, key, name, op, layer, dtype, parameters, role, where, backend):
        if len(self._nodes) >= _NODES_MAX:
            self._nodes.clear()
        line = native.Line()
        line.fill(name, op, layer, dtype, (), (), parameters, role, 0, where, backend)
        known = self._nodes[key] = line, ctypes.addressof(line.node)
        return known

    def _start(self, event):
        known = (event.get(key) for key in ("engine", "engine_version", "model", "device", "framework"))
        self._library.lockstep_hook_start(*(None if value is None else native.encode(str(value)) for value in known))

    @staticmethod
    def _rows_of(event):
        return ctypes.byref(native.rows(event.get("tokens"), event.get("positions"), event.get("sequences")))

    def _pass(self, event):
        self._library.lockstep_hook_pass_begin(event["pass"], self._rows_of(event), bool(event.get("told_later")))

    def _rows(self, event):
        self._library.lockstep_hook_pass_rows(event["pass"], self._rows_of(event))

    def _pass_end(self, event):
        self._library.lockstep_hook_pass_end(event["pass"], self._rows_of(event))

    def _note(self, event):
        compiled = event.get("compiled")
        self._library.lockstep_hook_note(native.encode(event["text"]), None if compiled is None else native.encode(compiled))

    def resync(self, identity, pointer, size):
        """Asks for replacement values; True when they were written to the `size` bytes at `pointer`."""
        return bool(self._library.lockstep_hook_resync(identity, pointer, size))

    def close(self):
        self._library.lockstep_hook_close()
