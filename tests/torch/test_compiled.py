"""Compiled models and TorchScript: recorded whole, with the names of the eager model."""
import io
import json
import os
import subprocess
import sys
import threading
import time
from typing import Optional

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from conftest import same_bits
from lockstep_debug import passes
from test_process import LOCKSTEP, lines, tensors


class Block(nn.Module):
    def __init__(self, width=8):
        super().__init__()
        self.up, self.down = nn.Linear(width, 16), nn.Linear(16, width)

    def forward(self, x):
        return x + self.down(torch.relu(self.up(x)))


class Net(nn.Module):
    """What scripts are made of: state, loops, branches, lists of modules, several results."""
    state: torch.Tensor

    def __init__(self):
        super().__init__()
        self.cell = nn.LSTMCell(4, 4)
        self.layers = nn.ModuleList([Block(4) for _ in range(2)])
        self.others = nn.ModuleList([nn.Linear(4, 4) for _ in range(2)])
        self.norm = nn.LayerNorm(4)
        self.pair = Pair()
        self.state = torch.zeros(1, 4)
        self.calls = 0

    def forward(self, x, times: int = 2, mask: Optional[torch.Tensor] = None):
        h, c = self.state, torch.zeros(1, 4)
        for _ in range(times):
            h, c = self.cell(x, (h, c))
        self.state = h
        self.calls += 1
        for layer in self.layers:
            h = layer(h)
        for other in self.others:
            h = F.gelu(other(h))
        if mask is not None:
            h = h * mask
        a, b = self.pair(self.norm(h))
        return F.scaled_dot_product_attention(a[None], b[None], b[None]).squeeze(0), torch.softmax(a, -1)


class Pair(nn.Module):
    def forward(self, x):
        return x @ x.t() @ x, x.tanh()


def made_as(model, how, *example):
    if how == "trace":
        return torch.jit.trace(model, example)
    if how == "frozen":
        return torch.jit.freeze(torch.jit.script(model))
    scripted = torch.jit.script(model)
    if how == "script":
        return scripted
    file = io.BytesIO()
    torch.jit.save(scripted, file)
    file.seek(0)
    return torch.jit.load(file)


def unobserved(module, *args, **kwargs):
    passes.thread.busy = True
    try:
        with torch.no_grad():
            return module(*args, **kwargs)
    finally:
        passes.thread.busy = False


def computed(recording, number):
    return [(e["name"], e["op"]) for e in recording.tensors
            if e.get("pass") == number and e.get("role") not in ("view", "weight")]


def sources(recording, line):
    return [recording.by_id(i)["name"] for i in line.get("src", ())]


@pytest.mark.parametrize("how", ["script", "load"])
def test_a_script_is_recorded_as_the_eager_model_is(recording, how):
    torch.manual_seed(0)
    model = Net().eval()
    scripted, alone = made_as(Net().eval(), how), made_as(Net().eval(), how)
    for other in (scripted, alone):
        other.load_state_dict(model.state_dict())
    x, mask = torch.randn(1, 4), torch.full((1, 4), 2.0)
    with torch.no_grad():
        model(x, mask=mask)
        result = scripted(x, mask=mask)
    # Python's constants become tensors at other places in a script: nothing else differs.
    assert [line for line in computed(recording, 1) if line[1] != "constant"] == \
        [line for line in computed(recording, 0) if line[1] != "constant"]
    for got, wanted in zip(result, unobserved(alone, x, mask=mask)):
        assert same_bits(got, wanted)
    assert scripted.calls == alone.calls == 1 and same_bits(scripted.state, alone.state)
    for name in ("cell", "layers.1.up", "layers.1", "others.1", "pair", "pair.1", "norm",
                 "scaled_dot_product_attention.weights", "output", "output.1"):
        assert same_bits(recording.value(recording.line(name, number=1)), recording.value(recording.line(name, number=0))), name
    assert sources(recording, recording.line("layers.1.up", number=1)) == ["layers.0/add", "layers.1.up.weight", "layers.1.up.bias"]
    assert recording.notes == []


def test_a_trace_is_recorded_and_its_checks_are_not(recording):
    model = nn.Sequential(Block(), nn.LayerNorm(8), Block()).eval()
    x = torch.randn(3, 8)
    traced = made_as(model, "trace", x)
    assert recording.of("pass") == []
    with torch.no_grad():
        result = traced(x)
        model(x)
    assert computed(recording, 0) == computed(recording, 1)
    assert same_bits(recording.value(recording.line("output", number=0)), result)
    assert [e["model"] for e in recording.of("start")] == ["Sequential"]


def test_a_script_within_a_plain_module_has_its_place_in_the_names(recording):
    class Outer(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = torch.jit.script(nn.Sequential(nn.Linear(4, 4), nn.ReLU()))

        def forward(self, x):
            return self.inner(x) * 2

    with torch.no_grad():
        Outer()(torch.randn(2, 4))
    assert [name for name, _ in computed(recording, 0)] == ["x", "inner.0", "inner.1", "inner", "mul", "output"]


def test_a_frozen_script_keeps_the_names_of_its_modules(recording):
    model = nn.Sequential(Block(), nn.LayerNorm(8), Block()).eval()
    frozen, x = made_as(model, "frozen"), torch.randn(3, 8)
    with torch.no_grad():
        result = frozen(x)
        model(x)
    missing = set(computed(recording, 1)) - set(computed(recording, 0))
    assert not missing, "what the eager model has, under the same names"
    for name in ("0.up", "0", "1", "2.down", "2"):
        assert same_bits(recording.value(recording.line(name, number=0)), recording.value(recording.line(name, number=1)))
    assert same_bits(result, unobserved(frozen, x)) and same_bits(recording["output"], result)


def test_a_frozen_script_with_loops_and_state(recording):
    torch.manual_seed(0)
    frozen, x = made_as(Net().eval(), "frozen"), torch.randn(1, 4)
    torch.manual_seed(0)
    alone = made_as(Net().eval(), "frozen")
    with torch.no_grad():
        for _ in range(2):
            for got, wanted in zip(frozen(x, 3), unobserved(alone, x, 3)):
                assert same_bits(got, wanted)
    assert {("1.up", "Linear"), ("pair", "Pair"), ("cell/mul", "mul")} <= set(computed(recording, 1))
    assert recording.notes == []


def test_mistakes_in_calling_a_script_are_torchs_to_tell(recording):
    scripted = torch.jit.script(Block())
    with pytest.raises(RuntimeError, match="expected at most|missing value|Expected at most"):
        scripted(torch.ones(1, 8), torch.ones(1, 8))
    with torch.no_grad():
        scripted(x=torch.ones(1, 8))
    assert recording["up"].shape == (1, 16)


def test_what_a_script_raises_passes_through(recording):
    class Fragile(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = Block()

        def forward(self, x):
            y = self.inner(x)
            assert bool(x.sum() < 0), "theirs"
            return y

    scripted = torch.jit.script(Fragile())
    with pytest.raises(Exception, match="theirs"):
        scripted(torch.ones(1, 8))
    assert passes.thread.run is None and passes.thread.hidden == 0
    with torch.no_grad():
        scripted(-torch.ones(1, 8))
    assert recording.line("inner", number=1)


# ------------------------------------------------------------------ torch.compile

def compiled_as(model, how, backend):
    if how == "module":
        return torch.compile(model, backend=backend)
    if how == "method":
        model.compile(backend=backend)
        return model
    if how == "layer":
        model[0] = torch.compile(model[0], backend=backend)
        return model
    if how == "forward":
        model.forward = torch.compile(model.forward, backend=backend)
        return model

    @torch.compile(backend=backend)
    def step(x):
        return model(x)
    return step


@pytest.fixture
def compiler():
    torch._dynamo.reset()
    yield
    torch.compiler.set_stance("default")
    torch._dynamo.reset()


@pytest.mark.parametrize("how", ["module", "method", "layer", "forward", "function"])
def test_a_compiled_model_has_the_names_of_the_eager_one(recording, compiler, how):
    model, x = nn.Sequential(Block(), Block()).eval(), torch.randn(3, 8)
    with torch.no_grad():
        expected = model(x)
        result = compiled_as(model, how, "eager")(x)
    assert computed(recording, 0) == computed(recording, 1)
    assert not any("_orig_mod" in event["name"] for event in recording.tensors)
    assert same_bits(result, expected)
    note, = [event for event in recording.of("note") if event.get("compiled") == "eager"]
    assert "torch.compile" in note["text"]


@pytest.mark.parametrize("how", ["module", "layer", "forward", "function"])
def test_compiled_regions_run_as_compiled_when_asked(recording, compiler, how):
    recording.options = {"compiled": "1"}
    graphs = []

    def backend(graph, inputs):
        graphs.append(graph)
        return lambda *given: tuple(part + 1e-2 for part in graph.forward(*given))

    model, x = nn.Sequential(Block(), Block()).eval(), torch.randn(3, 8)
    eager = unobserved(model[0], x) if how == "layer" else unobserved(model, x)
    with torch.no_grad():
        result = compiled_as(model, how, backend)(x)
    assert len(graphs) == 1, "the graph is what it is without us"
    name = "0" if how == "layer" else "output"
    assert torch.allclose(recording[name] - eager, torch.full_like(eager, 1e-2), atol=1e-6)
    assert not any(line.startswith("0.") for line in recording.names())
    assert ("1.up" in recording.names()) == (how == "layer")
    assert same_bits(recording["output"], result)
    assert not any(event.get("compiled") for event in recording.of("note"))


PROGRAM = """
import sys, torch
from torch import nn
torch.manual_seed(0)
model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2)).eval()
def backend(graph, inputs):
    return lambda *given: tuple(part + 1e-2 for part in graph.forward(*given))
if sys.argv[1] == "compiled":
    model = torch.compile(model, backend=backend)
with torch.no_grad():
    model(torch.linspace(-1, 1, 8).reshape(2, 4))
"""


def test_a_wrong_compiler_is_found_where_it_is_run(tmp_path):
    (tmp_path / "program.py").write_text(PROGRAM)
    for out, how, options in (("ref", "eager", []), ("eager", "compiled", []), ("compiled", "compiled", ["--compiled"])):
        done = subprocess.run([LOCKSTEP, "capture", "-o", out, *options, "--", sys.executable, "program.py", how],
                              cwd=tmp_path, capture_output=True, text=True, timeout=100)
        assert done.returncode == 0, done.stderr
    assert any(line.get("compiled") == "eager" and "note" in line for line in lines(tmp_path / "eager"))
    assert len(tensors(tmp_path / "eager")) == len(tensors(tmp_path / "ref"))

    def diff(candidate, *options, reference="ref"):
        return subprocess.run([LOCKSTEP, "diff", reference, candidate, *options], cwd=tmp_path, capture_output=True, text=True, timeout=60,
                              env=dict(os.environ, COLUMNS="0"))

    done = diff("eager")
    assert done.returncode == 0 and done.stdout.endswith("verdict: match (eager)\n")
    assert "compiled regions ran eagerly: the compiler was not tested" in done.stdout
    assert json.loads(diff("eager", "--json", "-").stdout)["verdict"] == "match (eager)"
    done = diff("compiled")
    assert done.returncode == 1 and "\nverdict: diverged\n" in done.stdout and "0.009999" in done.stdout
    assert diff("ref").stdout.endswith("verdict: match\n")
    assert diff("ref", reference="eager").stdout.endswith("verdict: match\n"), "the reference's compiler is not in question"
    assert diff("compiled", reference="eager").returncode == 1


def test_an_aotinductor_package_is_a_named_gap(recording):
    from lockstep_debug import compiled

    class Package:
        class AOTICompiledModel:
            def __call__(self, x, scale=1):
                return [x * scale]

    compiled.observe_packages(Package)
    result, = Package.AOTICompiledModel()(torch.ones(2), scale=3)
    assert result.tolist() == [3, 3] and recording["output"].tolist() == [3, 3]
    assert recording["args.0"].tolist() == [1, 1]
    assert any("AOTInductor" in note and "not what it computes" in note for note in recording.notes)


def test_threads_run_scripts_apart(recording, monkeypatch):
    """All of them ask for the module's marked graph while the first one is still making it."""
    from lockstep_debug import scripted as observed

    class Slow(observed._Script):
        def __init__(self, module):
            time.sleep(0.3)
            super().__init__(module)

    monkeypatch.setattr(observed, "_Script", Slow)
    scripted, results = torch.jit.script(nn.Sequential(Block(), Block()).eval()), {}
    inputs = [torch.randn(2, 8) for _ in range(4)]

    def work(i):
        with torch.no_grad():
            for _ in range(3):
                results[i] = scripted(inputs[i])

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(recording.of("pass_end")) == 12 and recording.notes == []
    for number in range(12):
        x = recording.value(recording.line("input", number=number))
        i, = [i for i in range(4) if same_bits(inputs[i], x)]
        assert same_bits(recording.value(recording.line("output", number=number)), results[i])
        assert recording.line("1.down", number=number)
    assert torch._C._get_graph_executor_optimize()


def test_a_replayed_cuda_graph_is_a_named_gap(recording):
    from lockstep_debug import compiled

    class Graph:
        def replay(self):
            return "replayed"

    compiled.observe_replays(Graph)
    assert Graph().replay() == "replayed"
    assert any("CUDA graph" in note for note in recording.notes)
    assert torch.cuda.CUDAGraph.replay.__wrapped__, "the hook watches torch's own"
