"""The process-wide part of the recording: ids, notes, and sending tensors."""
import math
import os
import sys
import threading

import torch

from . import filters, transport

DTYPES = {
    torch.bool: "bool", torch.int8: "i8", torch.uint8: "u8", torch.int16: "i16", torch.int32: "i32",
    torch.int64: "i64", torch.float16: "f16", torch.bfloat16: "bf16", torch.float32: "f32",
    torch.float64: "f64",
}
_OTHER_DTYPES = {torch.complex32: "c32", torch.complex64: "c64", torch.complex128: "c128"}


def dtype_name(dtype):
    """The trace's name for a dtype; torch's if it has none."""
    return DTYPES.get(dtype) or _OTHER_DTYPES.get(dtype) or str(dtype).replace("torch.", "")


class Recorder:
    """One per process. Nothing here may raise into the observed program: callers go
    through `guard`, and once the recorder has gone away, this is `dormant` for good."""

    def __init__(self):
        self.lock = threading.RLock()
        self.facts = set()    # for the message that `capture` prints when nothing was recorded
        self.filters = filters.Filters()
        self.reset()

    def reset(self):
        """As if nothing had been recorded yet: the next forward call connects."""
        self.dormant = False
        self.transport = None
        self._noted = set()
        self._model_files = set()
        self._started = False
        self.weights = {}     # id(parameter) -> (weak reference to it, value)
        self.weight_bytes = 0  # of the weights whose values were kept because no file has them
        self.survivors = {}   # values of earlier passes that are still alive: see values.py

    def after_fork(self):
        """A forked child is another process: it has its own channel and its own ids."""
        self.lock = threading.RLock()
        self.reset()

    # ---------------------------------------------------------------- sending

    def open(self):
        """True when there is a recorder; connects at the first call."""
        if self.dormant:
            return False
        with self.lock:
            if self.transport is None:
                if not os.environ.get("LOCKSTEP_CHANNEL"):
                    return False
                made = transport.Transport()
                if not made.open():
                    self.facts.add("refused")
                    self.dormant = True
                    return False
                self.filters = filters.Filters(made)
                self.transport = made
        return True

    def send(self, event, pointer=0, size=0):
        if self.dormant or self.transport is None:
            return
        with self.lock:
            if not self.transport.send(event, pointer, size):
                self.dormant = True

    def start(self, engine, version, model, device):
        """Sends once which engine is recorded."""
        with self.lock:
            if self._started:
                return
            self._started = True
            self.send({"event": "start", "engine": engine, "engine_version": version, "model": model,
                       "device": device, "framework": f"torch {torch.__version__}"})
            if self.filters.sources:
                self.note("--sources has no effect on PyTorch, whose graph is not known before it runs: "
                          "widen --tensors instead")

    def next_pass(self):
        return self.transport.next_pass() if self.transport is not None else 0

    def tensor(self, event, tensor=None, keeps=True):
        """Sends a tensor line, with the values of `tensor` if given; returns its id. keeps: false for
        a weight of which only a hash is kept."""
        data = None
        if tensor is not None and tensor.numel():
            data = self.host_copy(tensor)
        if data is not None and not keeps:
            event["sampled"] = data.data_ptr(), data.numel() * data.element_size()
        transport = self.transport
        if transport is None:
            return 0
        with self.lock:  # ids increase in the order in which lines are sent
            event["id"] = identity = transport.next_id()
            if self.dormant:
                return identity
            sent = transport.send(event) if data is None or not keeps else \
                transport.send(event, data.data_ptr(), data.numel() * data.element_size())
            if not sent:
                self.dormant = True
        return identity

    def model_file(self, path):
        """Sends once that the process has opened a file with weights."""
        with self.lock:
            if path not in self._model_files:
                self._model_files.add(path)
                self.send({"event": "model_file", "path": path})

    def resync(self, identity, tensor):
        """Overwrites the tensor with the values that the recorder answers with, if any."""
        host = torch.empty(tensor.shape, dtype=tensor.dtype)
        if self.transport.resync(identity, host.data_ptr(), host.numel() * host.element_size()):
            with torch.no_grad():
                tensor.detach().copy_(host)

    def host_copy(self, tensor):
        """The elements as a contiguous tensor in host memory, or None with a note."""
        if tensor.is_cpu and tensor.dtype in DTYPES and tensor.layout is torch.strided and tensor.is_contiguous() \
                and not tensor.is_neg():
            return tensor  # only its address is needed
        what = None
        if tensor.layout is not torch.strided or tensor.is_quantized:
            what = f"{tensor.layout} or quantized storage"
        elif tensor.dtype not in DTYPES:
            what = str(tensor.dtype)
        elif tensor.is_cuda and torch.cuda.is_current_stream_capturing():
            what = "a tensor inside a CUDA graph's capture"
        if what:
            self.note(f"values not kept: {what}")
            return None
        tensor = tensor.detach()
        if tensor.is_neg():
            tensor = tensor.resolve_neg()
        if tensor.device.type != "cpu":
            tensor = tensor.to("cpu")
        return tensor.contiguous()

    # ---------------------------------------------------------------- notes

    def note(self, text, **facts):
        """Sends a note for the user, once. `facts` are for programs that read the trace."""
        with self.lock:
            if text not in self._noted and len(self._noted) < 1000:
                self._noted.add(text)
                self.send({"event": "note", "text": text, **facts})

    def trouble(self, where, error):
        """An exception of our own: reported, never raised."""
        try:
            kind = f"{where}: {type(error).__name__}"
            with self.lock:
                if kind in self._noted:
                    return
                self._noted.add(kind)
            self.note(f"not recorded ({kind}: {str(error)[:300]})")
        except Exception:
            self.dormant = True

    def end(self):
        with self.lock:
            if self._started and not self.dormant:
                self.send({"event": "end"})
            self.dormant = True

    def close(self):
        """The end of the recording, though not of the process."""
        self.end()
        if self.transport is not None:
            self.transport.close()


recorder = Recorder()


# -------------------------------------------------------------------- small helpers

def guard(function):
    """Wraps a function so that its exceptions become notes, and its result is then None."""
    def guarded(*args, **kwargs):
        try:
            return function(*args, **kwargs)
        except Exception as error:
            recorder.trouble(function.__name__, error)
            return None
    guarded.__name__ = function.__name__
    return guarded


def plain_parameter(value):
    """A scalar parameter of an operation as JSON, or None when it isn't a scalar."""
    if isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, torch.dtype):
        return dtype_name(value)
    if isinstance(value, (list, tuple)) and len(value) <= 64:
        items = [plain_parameter(item) for item in value]
        return None if any(item is None for item in items) else items
    return None


_SKIPPED = {}
_PLACES = {}  # (file, line) -> what `where` returns
_PLACES_MAX = 1 << 14
_OURS = os.path.dirname(os.path.abspath(__file__)) + os.sep
_TORCH = os.path.dirname(os.path.abspath(torch.__file__)) + os.sep


def where(depth=2):
    """`file:line` of the innermost frame that is neither torch's nor ours."""
    frame = sys._getframe(depth)
    while frame is not None:
        name = frame.f_code.co_filename
        skip = _SKIPPED.get(name)
        if skip is None:
            skip = _SKIPPED[name] = name.startswith((_OURS, _TORCH, "<frozen"))
        if not skip:
            return _place(name, frame.f_lineno)
        frame = frame.f_back
    return None


def _place(name, line):
    place = _PLACES.get((name, line))
    if place is None:
        if len(_PLACES) >= _PLACES_MAX:
            _PLACES.clear()
        place = _PLACES[name, line] = f"{os.path.basename(name)}:{line}"
    return place
