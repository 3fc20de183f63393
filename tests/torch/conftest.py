"""An observed model in this process, with a transport that keeps what is sent."""
import itertools
import json
import pathlib
import sys

import pytest
import torch

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "python"))

from lockstep_debug import install, modules, native, transport  # noqa: E402
from lockstep_debug.recorder import DTYPES, recorder  # noqa: E402

LIBRARY = native.load(str(ROOT / "build" / "liblockstep-capture.so"))
_BY_NAME = {name: dtype for dtype, name in DTYPES.items()}


class Recording:
    """The events that a recorder would have received."""

    def __init__(self):
        self.events = []
        self.options = {}
        self.lives_for = None   # how many events until the recorder is gone
        self.next_id = itertools.count().__next__
        self.next_pass = itertools.count().__next__

    # the interface of lockstep_debug.transport.Transport
    def open(self):
        return True

    def option(self, key):
        return self.options.get(key)

    def pattern(self, text):
        return native.pattern(LIBRARY, text)

    def ranges(self, text):
        return native.ranges(LIBRARY, text)

    def send(self, event, pointer=0, size=0):
        import ctypes

        if self.lives_for is not None and len(self.events) >= self.lives_for:
            return False
        event = json.loads(json.dumps(event), parse_constant=lambda text: pytest.fail(f"not JSON: {text}"))
        if size:
            event["data"] = ctypes.string_at(pointer, size)
        self.events.append(event)
        return True

    def close(self):
        pass

    # what tests ask
    def of(self, kind):
        return [event for event in self.events if event["event"] == kind]

    @property
    def tensors(self):
        return self.of("tensor")

    @property
    def notes(self):
        return [event["text"] for event in self.of("note")]

    def names(self):
        return [event["name"] for event in self.tensors]

    def line(self, name, occurrence=0, number=None):
        found = [e for e in self.tensors if e["name"] == name and number in (None, e.get("pass"))]
        assert len(found) > occurrence, f"{name} #{occurrence} is not among {self.names()}"
        return found[occurrence]

    def by_id(self, identity):
        return next(event for event in self.tensors if event["id"] == identity)

    def value(self, line):
        """The values of a line, through its alias."""
        while "data" not in line and "alias_of" in line:
            line = self.by_id(line["alias_of"])
        assert "data" in line, f"no values for {line['name']}"
        data = torch.frombuffer(bytearray(line["data"]), dtype=_BY_NAME[line["dtype"]])
        return data.reshape(line["shape"])

    def __getitem__(self, name):
        return self.value(self.line(name))


@pytest.fixture
def recording(monkeypatch):
    """This process observed, its transport replaced."""
    made = Recording()
    original = torch.nn.Module.__call__
    monkeypatch.setenv("LOCKSTEP_CHANNEL", "replaced by the test")
    monkeypatch.setattr(transport, "Transport", lambda: made)
    recorder.reset()
    install.install()
    yield made
    recorder.dormant = True
    torch.nn.Module.__call__ = original
    modules.Region.used, modules.Region.models = False, []


def same_bits(a, b):
    return a.dtype == b.dtype and a.shape == b.shape and \
        torch.equal(a.contiguous().reshape(-1).view(torch.uint8), b.contiguous().reshape(-1).view(torch.uint8))
