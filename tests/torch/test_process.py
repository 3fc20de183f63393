"""Whole programs under `lockstep capture`: recorded right, and not disturbed."""
import json
import os
import pathlib
import signal
import subprocess
import sys
import textwrap

import numpy
import pytest
import torch

ROOT = pathlib.Path(__file__).resolve().parents[2]
LOCKSTEP = ROOT / "build" / "lockstep"
HOOK = ROOT / "python"
sys.path.insert(0, str(ROOT / "tests"))

from segments import load_values  # noqa: E402

SETUP = """
import torch
from torch import nn
torch.manual_seed(3)
model = nn.Sequential(nn.Linear(4, 8), nn.GELU(), nn.Linear(8, 2)).eval()
x = torch.linspace(-1, 1, 12).reshape(3, 4)
"""


@pytest.fixture
def script(tmp_path):
    """Writes a program; gives the functions that run it, observed or not."""
    def write(body, setup=SETUP):
        path = tmp_path / "program.py"
        path.write_text(setup + textwrap.dedent(body))
        return path
    return write


def plain(path, **environment):
    return subprocess.run([sys.executable, path], capture_output=True, text=True, timeout=100,
                          env=dict(os.environ, **environment))


def observed(path, out, *options, **environment):
    return subprocess.run([LOCKSTEP, "capture", "-o", out, *options, "--", sys.executable, path],
                          capture_output=True, text=True, timeout=100, env=dict(os.environ, **environment))


def lines(out):
    return [json.loads(line) for line in (out / "trace.jsonl").read_text().splitlines()]


def tensors(out):
    return [line for line in lines(out) if "i" in line]


def load(out, name):
    found = [line for line in tensors(out) if line["name"] == name]
    by_id = {line["i"]: line for line in tensors(out)}
    line = found[0]
    while "file" not in line:
        line = by_id[line["alias_of"]]
    return load_values(out, line)


def test_the_values_on_disk_are_the_models(script, tmp_path):
    path = script("""
        with torch.no_grad():
            torch.save(model(x), "OUT")
        """.replace("OUT", str(tmp_path / "expected.pt")))
    done = observed(path, tmp_path / "trace")
    assert done.returncode == 0, done.stderr
    expected = torch.load(tmp_path / "expected.pt")
    assert numpy.array_equal(load(tmp_path / "trace", "output"), expected.numpy())
    assert numpy.array_equal(load(tmp_path / "trace", "2"), expected.numpy())
    first = lines(tmp_path / "trace")
    assert any(line.get("engine") == "torch" and line["model"] == "Sequential" for line in first)
    assert first[-1]["end"] is True and first[-1]["dropped"] == 0


@pytest.mark.parametrize("ending,status", [
    ("", 0), ("import sys; sys.exit(3)", 3), ("import os; os._exit(4)", 4),
    ("raise ValueError('theirs')", 1), ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", 128 + 9)])
def test_the_program_ends_as_it_would(script, tmp_path, ending, status):
    path = script(f"""
        with torch.no_grad():
            print(model(x).tolist(), flush=True)
        {ending}
        """)
    done, alone = observed(path, tmp_path / "trace"), plain(path)
    assert done.returncode == status and alone.returncode == (status if status < 128 else 128 - status)
    assert done.stdout == alone.stdout
    assert [l for l in done.stderr.splitlines() if not l.startswith("lockstep:")] == alone.stderr.splitlines()
    assert load(tmp_path / "trace", "2").shape == (3, 2)


def test_an_exit_within_a_forward_is_the_programs(script, tmp_path):
    path = script("""
        import sys
        class Leaves(nn.Module):
            def forward(self, x):
                sys.exit(5)
        nn.Sequential(model, Leaves())(x)
        """)
    done = observed(path, tmp_path / "trace")
    assert done.returncode == 5 and done.stderr.count("Traceback") == 0
    assert load(tmp_path / "trace", "0.2").shape == (3, 2)


def test_forked_children_record_for_themselves(script, tmp_path):
    path = script("""
        import os
        with torch.no_grad():
            model(x)
            child = os.fork()
            if child == 0:
                model(x * 2)
                os._exit(0)
            os.waitpid(child, 0)
            model(x * 3)
        """)
    done = observed(path, tmp_path / "trace", OMP_NUM_THREADS="1")
    assert done.returncode == 0, done.stderr
    inputs = [load_values(tmp_path / "trace", line) for line in tensors(tmp_path / "trace")
              if line.get("role") == "input"]
    x = numpy.linspace(-1, 1, 12, dtype=numpy.float32).reshape(3, 4)
    assert sorted(round(float(i[0, 0])) for i in inputs) == [-3, -2, -1]
    assert all(numpy.allclose(i, x * -i[0, 0]) for i in inputs)
    assert len({line["process"] for line in lines(tmp_path / "trace") if "engine" in line}) == 2


def test_a_program_without_torch_is_left_alone(script, tmp_path):
    path = script("import sys; print(sorted(m for m in sys.modules if 'torch' in m or 'lockstep' in m))", setup="")
    done = observed(path, tmp_path / "trace")
    assert done.returncode == 0 and done.stdout == plain(path).stdout == "[]\n"


def test_the_sitecustomize_beneath_still_runs(script, tmp_path):
    beneath = tmp_path / "beneath"
    beneath.mkdir()
    (beneath / "sitecustomize.py").write_text("print('beneath')\nMARK = 1\n")
    path = script("""
        import sitecustomize
        print(sitecustomize.MARK)
        with torch.no_grad():
            model(x)
        """)
    done = observed(path, tmp_path / "trace", PYTHONPATH=str(beneath))
    assert done.stdout == "beneath\n1\n", done.stderr
    assert load(tmp_path / "trace", "output").shape == (3, 2)


def test_the_hook_does_nothing_without_a_channel(script):
    path = script("print(nn.Module.__call__.__module__, torch.__loader__.__class__.__name__)")
    done = plain(path, PYTHONPATH=str(HOOK))
    assert done.stdout == plain(path).stdout and done.returncode == 0


def test_torch_keeps_its_loader(script, tmp_path):
    path = script("""
        import inspect
        print(type(torch.__spec__.loader).__name__, vars(torch.__spec__.loader).keys(),
              len(inspect.getsource(torch)) > 1000)
        """)
    assert observed(path, tmp_path / "trace").stdout == plain(path).stdout


def listen(out):
    recorder = subprocess.Popen([LOCKSTEP, "capture", "-o", out, "--listen"], stdin=subprocess.PIPE,
                                stdout=subprocess.PIPE, text=True)
    return recorder, recorder.stdout.readline().strip(), recorder.stdout.readline().strip()


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_the_program_outlives_its_recorder(script, tmp_path, how):
    path = script("""
        big = nn.Linear(4, 300000)
        with torch.no_grad():
            print(model(x).tolist(), flush=True)
            input()
            for _ in range(60):
                total = big(x.repeat(20, 1)).sum().item()
            print(total, model(x).tolist())
        """)
    recorder, channel, library = listen(tmp_path / "trace")
    program = subprocess.Popen(
        [sys.executable, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=dict(os.environ, LOCKSTEP_CHANNEL=channel, LOCKSTEP_HOOK=library, PYTHONPATH=str(HOOK)))
    first = program.stdout.readline()
    recorder.send_signal(how)
    recorder.wait(20)
    recorder.communicate()
    rest, errors = program.communicate("\n", timeout=60)
    assert program.returncode == 0 and errors == ""
    alone = subprocess.run([sys.executable, path], input="\n", capture_output=True, text=True, timeout=60)
    assert first + rest == alone.stdout


def test_capture_can_start_its_own_recorder(script, tmp_path):
    path = script(f"""
        import sys
        sys.path.insert(0, {str(HOOK)!r})
        import lockstep_debug
        for name, factor in (("one", 1.0), ("two", 2.0)):
            with lockstep_debug.capture(model, out={str(tmp_path)!r} + "/" + name):
                with torch.no_grad():
                    lockstep_debug.tap("outside", x * 10 * factor)
                    model(x * factor)
                    nn.Linear(4, 4)(x)
        with torch.no_grad():
            model(x)
        """)
    done = plain(path, LOCKSTEP=str(LOCKSTEP))
    assert done.returncode == 0, done.stderr
    x = numpy.linspace(-1, 1, 12, dtype=numpy.float32).reshape(3, 4)
    for name, factor in (("one", 1), ("two", 2)):
        out = tmp_path / name
        assert lines(out)[-1]["end"] is True
        assert numpy.allclose(load(out, "input"), x * factor)
        assert numpy.allclose(load(out, "outside"), x * 10 * factor)
        assert len([line for line in tensors(out) if line["name"] == "output"]) == 1


def test_a_generation_is_recorded_whole(script, tmp_path):
    body = """
        config = transformers.LlamaConfig(vocab_size=50, hidden_size=16, intermediate_size=24,
            num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1)
        torch.manual_seed(0)
        model = transformers.LlamaForCausalLM(config).eval()
        print(model.generate(torch.tensor([[1, 2, 3]]), max_new_tokens=3, do_sample=False).tolist())
        """
    path = script(body, setup="import torch, transformers\n")
    done, alone = observed(path, tmp_path / "trace"), plain(path)
    assert done.stdout == alone.stdout and done.returncode == 0
    passes = {}
    for line in lines(tmp_path / "trace"):
        if "pass" in line and "i" not in line:
            passes.setdefault(line["pass"], {}).update(line)
    ids = json.loads(alone.stdout)[0]
    assert [p["tokens"] for p in passes.values()] == [ids[:3], ids[3:4], ids[4:5]]
    assert [p["positions"] for p in passes.values()] == [[0, 1, 2], [3], [4]]
    assert all(p["ended"] for p in passes.values())
    assert not any("note" in line for line in lines(tmp_path / "trace"))


def test_logits_of_some_rows_against_all_of_them(script, tmp_path):
    body = """
        config = transformers.LlamaConfig(vocab_size=50, hidden_size=16, intermediate_size=24,
            num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1)
        torch.manual_seed(0)
        model, ids = transformers.LlamaForCausalLM(config).eval(), torch.tensor([[1, 2, 3, 4, 5, 6]])
        for suffix in ("", "-bad"):
            for name, call in {
                "all": lambda: model(input_ids=ids),
                "generated": lambda: model.generate(ids, max_new_tokens=1, do_sample=False, pad_token_id=0),
                "two": lambda: model(input_ids=ids, logits_to_keep=2),
                "chosen": lambda: model(input_ids=ids, logits_to_keep=torch.tensor([1, -2])),
            }.items():
                with lockstep_debug.capture(model, out=sys.argv[1] + "/" + name + suffix), torch.no_grad():
                    call()
            model.lm_head.weight.data[7] *= 1.1
        """
    path = script(body, setup="import lockstep_debug, sys, torch, transformers\n")
    environment = dict(os.environ, PYTHONPATH=str(HOOK), LOCKSTEP=str(LOCKSTEP))
    done = subprocess.run([sys.executable, path, tmp_path], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr

    def diff(*sides):
        return subprocess.run([LOCKSTEP, "diff", *(tmp_path / side for side in sides)], capture_output=True, text=True)

    for some in ("generated", "two", "chosen"):
        for sides in ((some, "all"), ("all", some)):
            assert diff(*sides).stdout.endswith("verdict: match\n")
            bad = diff(sides[0], f"{sides[1]}-bad")
            assert bad.returncode == 1 and "first divergence: lm_head" in bad.stdout


def test_a_number_that_is_kept_between_passes(script, tmp_path):
    """A tensor without axes: transformers' static caches count in one."""
    program = script("""
        class Counts(nn.Module):
            def forward(self, x):
                self.count = x.sum() if not hasattr(self, "count") else self.count + x.shape[0]
                return x + self.count

        counts = Counts()
        with torch.no_grad():
            for _ in range(3):
                counts(x)
    """)
    done = observed(program, tmp_path / "t")
    assert done.returncode == 0 and "not recorded" not in done.stderr, done.stderr
    states = [line for line in tensors(tmp_path / "t") if line.get("role") == "state"]
    assert [line["shape"] for line in states] == [[], []] and all("view_of" in line for line in states)
