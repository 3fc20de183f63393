"""`with lockstep_debug.capture(model):` and `lockstep_debug.tap(name, tensor)`."""
import os
import shutil
import subprocess

from . import filters, native
from .install import install
from .modules import Region
from .passes import Run, is_recordable, ours, thread
from .recorder import guard, recorder

import torch


class Capture:
    def __init__(self, model, out):
        self.model = model
        self.out = out
        self.child = None

    def __enter__(self):
        if self.out is not None and not os.environ.get("LOCKSTEP_CHANNEL"):
            self._listen()
        if os.environ.get("LOCKSTEP_CHANNEL"):
            install()
            Region.used = True
            Region.models.append(self.model)
        return self

    def __exit__(self, *exception):
        if self.model in Region.models:
            Region.models.reverse()
            Region.models.remove(self.model)
            Region.models.reverse()
        if self.child is not None:
            recorder.close()
            os.environ.pop("LOCKSTEP_CHANNEL", None)
            self.child.communicate()  # the end of its input ends the recording
            self.child = None
        return False

    def _listen(self):
        """Starts a recorder, which prints where its socket and the hook's library are."""
        command = [_program(), "capture", "-o", os.fspath(self.out), "--listen"]
        self.child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        channel = self.child.stdout.readline().rstrip("\n")
        library = self.child.stdout.readline().rstrip("\n")
        if not channel or not library:
            self.child.communicate()
            status, self.child = self.child.returncode, None
            raise RuntimeError(f"lockstep capture --listen ended with status {status}")
        os.environ["LOCKSTEP_CHANNEL"] = channel
        os.environ["LOCKSTEP_HOOK"] = library
        native.load().lockstep_hook_close()  # C code may have found no recorder before
        recorder.reset()  # a separate recording: ids and passes start again


def _program():
    """The `lockstep` command: $LOCKSTEP, the one in this checkout, or the one on the path."""
    given = os.environ.get("LOCKSTEP")
    if given:
        return given
    here = os.path.dirname(os.path.abspath(__file__))
    for relative in ("../../build/lockstep", "../../../../bin/lockstep"):
        built = os.path.normpath(os.path.join(here, relative))
        if os.access(built, os.X_OK):
            return built
    found = shutil.which("lockstep")
    if found is None:
        raise FileNotFoundError("no `lockstep` command: set LOCKSTEP, or put it on the PATH")
    return found


@guard
def tap(name, tensor):
    if thread.busy or not is_recordable(tensor) or not recorder.open():
        return
    with ours:
        run = thread.run
        if run is None:  # outside any forward call: a separate pass, without rows
            recorder.start("torch", str(torch.__version__), "", str(tensor.device))
            run = Run(torch.nn.Module())
            recorder.send({"event": "pass", "pass": run.number})
            run.record(None, "tap", tensor, [], name=name, kind=filters.INPUT, layer=-1)
            recorder.send({"event": "pass_end", "pass": run.number})
            run.close()
        else:
            run.name_result(name, "tap", tensor, filters.INPUT)
