"""torch is seen however a program finds and imports it, and the program's own modules
keep their names."""
import os
import subprocess
import sys

import pytest

from test_process import LOCKSTEP, lines, load, observed, tensors

CALL = """
print(tuple(torch.nn.Linear(4, 3)(torch.ones(2, 4)).shape))
"""

WAYS = {
    "looked for": "import importlib.util\nimportlib.util.find_spec('torch')\nimport torch",
    "by a library that looks for it": "from transformers import LlamaConfig\nimport torch",
    "in a thread": """
import importlib, threading
thread = threading.Thread(target=importlib.import_module, args=("torch",))
thread.start()
thread.join()
import torch""",
    "by a finder of its own": """
import sys, importlib.machinery
class Finder:
    def find_spec(self, name, path=None, target=None):
        return importlib.machinery.PathFinder.find_spec(name, path, target)
sys.meta_path.insert(0, Finder())
import torch""",
    "with other finders": """
import sys
sys.meta_path = [f for f in sys.meta_path if getattr(f, "__module__", "").startswith("_frozen_importlib")]
import torch""",
    "lazily": """
import importlib.util, sys
spec = importlib.util.find_spec("torch")
spec.loader = importlib.util.LazyLoader(spec.loader)
torch = importlib.util.module_from_spec(spec)
sys.modules["torch"] = torch
spec.loader.exec_module(torch)""",
    "by its file": """
import importlib.util, sys
found = importlib.util.find_spec("torch")
spec = importlib.util.spec_from_file_location("torch", found.origin, submodule_search_locations=found.submodule_search_locations)
torch = importlib.util.module_from_spec(spec)
sys.modules["torch"] = torch
spec.loader.exec_module(torch)""",
    "and wraps Module.__call__": """
import torch
before = torch.nn.Module.__call__
def call(self, *args, **kwargs):
    print("called")
    return before(self, *args, **kwargs)
torch.nn.Module.__call__ = call""",
    "and restricts the recording": "import torch, lockstep_debug\nlockstep_debug.capture(None).__enter__()",
}


@pytest.mark.parametrize("way", WAYS)
def test_torch_is_seen(tmp_path, way):
    path = tmp_path / "program.py"
    path.write_text(WAYS[way] + CALL)
    done = observed(path, tmp_path / "trace")
    assert done.returncode == 0, done.stderr
    assert done.stdout == ("called\n" if "wraps" in way else "") + "(2, 3)\n"
    assert load(tmp_path / "trace", "output").shape == (2, 3)
    assert len([line for line in lines(tmp_path / "trace") if line.get("ended")]) == 1


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_workers_record_for_themselves(tmp_path, method):
    path = tmp_path / "program.py"
    path.write_text(f"""
import torch
from torch.utils.data import DataLoader, Dataset

class Data(Dataset):
    def __len__(self):
        return 2

    def __getitem__(self, i):
        with torch.no_grad():
            return torch.nn.Linear(2, 4)(torch.full((2,), float(i)))

if __name__ == "__main__":
    for batch in DataLoader(Data(), batch_size=2, num_workers=1, multiprocessing_context={method!r}):
        with torch.no_grad():
            print(tuple(torch.nn.Linear(4, 3)(batch).shape))
""")
    done = observed(path, tmp_path / "trace")
    assert done.returncode == 0 and done.stdout == "(2, 3)\n", done.stderr
    shapes = sorted(line["shape"] for line in tensors(tmp_path / "trace") if line.get("role") == "input")
    assert shapes == [[2], [2], [2, 4]]


def test_cells_of_a_notebook_are_recorded(tmp_path):
    path = tmp_path / "program.py"
    path.write_text('''
import sys, types
main = types.ModuleType("__main__")
sys.modules["__main__"] = main
for number, cell in enumerate(["import torch", """
def twice(x):
    return x * 2
class Net(torch.nn.Module):
    def forward(self, x):
        return twice(x)
""", "print(Net()(torch.ones(2)).tolist())"]):
    exec(compile(cell, f"<cell {number}>", "exec"), vars(main))
''')
    done = observed(path, tmp_path / "trace")
    assert done.returncode == 0 and done.stdout == "[2.0, 2.0]\n", done.stderr
    assert load(tmp_path / "trace", "twice").tolist() == [2, 2]


def test_the_programs_modules_keep_their_names(tmp_path):
    ours = [path.stem for path in (LOCKSTEP.parents[1] / "python" / "lockstep_debug").glob("[a-z]*.py")]
    assert "recorder" in ours
    for name in ours:
        (tmp_path / f"{name}.py").write_text(f"NAME = {name!r}\n")
    (tmp_path / "lockstep").mkdir()
    (tmp_path / "lockstep" / "__init__.py").write_text("NAME = 'lockstep'\n")
    path = tmp_path / "program.py"
    path.write_text(f"import torch\nfor name in {ours + ['lockstep']!r}:\n    assert __import__(name).NAME == name\n" + CALL)
    done = observed(path, tmp_path / "trace")
    assert done.returncode == 0 and done.stdout == "(2, 3)\n", done.stderr
    assert load(tmp_path / "trace", "output").shape == (2, 3)


def test_a_script_may_be_named_lockstep(tmp_path):
    (tmp_path / "lockstep.py").write_text("import torch\nprint(__name__)" + CALL)
    done = subprocess.run([LOCKSTEP, "capture", "-o", "trace", "--", sys.executable, "-m", "lockstep"], cwd=tmp_path,
                          capture_output=True, text=True, timeout=100)
    assert done.returncode == 0 and done.stdout == "__main__\n(2, 3)\n", done.stderr
    assert load(tmp_path / "trace", "output").shape == (2, 3)


def test_a_server_ended_by_ctrl_c_is_whole(tmp_path):
    path = tmp_path / "program.py"
    path.write_text("import os, signal, time, torch\nsignal.signal(signal.SIGINT, signal.default_int_handler)  # may be ignored here" + CALL + "os.kill(os.getpid(), signal.SIGINT)\ntime.sleep(60)\n")
    done = observed(path, tmp_path / "trace")
    assert done.returncode == 128 + 2 and "INCOMPLETE" not in done.stderr
    assert lines(tmp_path / "trace")[-1]["end"] is True


# ------------------------------------------------------------------ when nothing is recorded

def said(tmp_path, *command, **environment):
    """Why nothing was recorded, as `capture` says it, and the status."""
    done = subprocess.run([LOCKSTEP, "capture", "-o", tmp_path / "trace", "--", *command], capture_output=True, text=True,
                          timeout=100, cwd=tmp_path, env=dict(os.environ, **environment))
    line, = [line for line in done.stderr.splitlines() if line.startswith("lockstep: nothing was recorded: ")]
    assert ". What to do: " in line
    return line, done.returncode


def test_no_python(tmp_path):
    line, status = said(tmp_path, "sh", "-c", "exit 3")
    assert "neither Python nor" in line and "ended with status 3" in line and status == 3
    assert line.endswith(" (hooks loaded: ggml)")


@pytest.mark.parametrize("options", ["-I", "-BE", "-sS"])
def test_options_that_keep_the_hook_out(tmp_path, options):
    shut_out = options[-1]
    line, _ = said(tmp_path, "sh", "-c", f"'{sys.executable}' -W ignore {options} -c 1; true")
    assert f"Python was started with -{shut_out}," in line and "lockstep_debug.capture" in line
    assert line.endswith(" (hooks loaded: ggml)")


def test_a_path_that_was_set_anew(tmp_path):
    assert "PYTHONPATH was replaced" in said(tmp_path, "env", "PYTHONPATH=", sys.executable, "-c", "1")[0]


def test_torch_never_imported(tmp_path):
    line, _ = said(tmp_path, sys.executable, "-c", "1")
    assert "never imported torch" in line and line.endswith(" (hooks loaded: ggml, torch)")


def test_torch_but_no_module(tmp_path):
    line, _ = said(tmp_path, sys.executable, "-c", "import torch; torch.ones(2) + 1")
    assert "no torch.nn.Module was called" in line and "lockstep_debug.tap" in line


@pytest.mark.parametrize("name", ["onnxruntime", "jax", "mlx", "tensorflow", "openvino", "tinygrad"])
def test_another_framework(tmp_path, name):
    (tmp_path / name).mkdir()
    (tmp_path / name / "__init__.py").write_text("")
    line, _ = said(tmp_path, sys.executable, "-c", f"import {name}")
    assert f"computed with {name}, which is not recorded" in line and "lockstep diff" in line


def test_python_that_ends_abruptly(tmp_path):
    assert "exit handlers" in said(tmp_path, sys.executable, "-c", "import os; os._exit(0)")[0]


@pytest.mark.parametrize("options", [[], ["-static"]])
def test_a_static_ggml(tmp_path, options):
    (tmp_path / "engine.c").write_text('#include <stdio.h>\nint main(void) { return printf("GGML_ASSERT(%s) failed", "x") < 0; }\n')
    subprocess.run(["cc", *options, "engine.c", "-o", "engine"], cwd=tmp_path, check=True)
    line, _ = said(tmp_path, "./engine")
    assert "its own copy of ggml" in line and "BUILD_SHARED_LIBS=ON" in line


def test_a_program_without_the_hooks_library(tmp_path):
    (tmp_path / "engine.c").write_text("int main(void) { return 0; }\n")
    subprocess.run(["cc", "-static", "engine.c", "-o", "engine"], cwd=tmp_path, check=True)
    line, _ = said(tmp_path, "./engine")
    assert "linked statically" in line and line.endswith(" (no hook was loaded)")


def test_a_ggml_that_computes_nothing(tmp_path):
    (tmp_path / "ggml.c").write_text("int ggml_nothing;\n")
    subprocess.run(["cc", "-shared", "-fPIC", "ggml.c", "-o", "libggml-base.so"], cwd=tmp_path, check=True)
    line, _ = said(tmp_path, sys.executable, "-c", "import ctypes; ctypes.CDLL('./libggml-base.so')")
    assert "computed no graph" in line


def test_a_hook_that_fails_says_why(tmp_path):
    (tmp_path / "lockstep_debug.py").write_text("")
    line, _ = said(tmp_path, sys.executable, "-c", "import torch; torch.nn.Linear(1, 1)(torch.ones(1))")
    assert "the hook failed in Python (ImportError" in line


def test_a_recorder_that_cannot_be_connected_to_is_said(tmp_path):
    """The program may not map the memory of the ring (twice 4 MiB)."""
    body = """
import resource, torch
torch.set_num_threads(1)
pages = int(open("/proc/self/statm").read().split()[0])
limit = pages * resource.getpagesize() + (6 << 20)
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
torch.nn.Linear(1, 1)(torch.ones(1))
"""
    line, status = said(tmp_path, sys.executable, "-c", body, OMP_NUM_THREADS="1")
    assert "could not connect to the recorder" in line and status == 0
