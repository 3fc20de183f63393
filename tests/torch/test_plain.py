"""Plain torch models: identity of values, names, threads, exceptions, filters."""
import gc
import threading
import time
import weakref

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import lockstep_debug
from conftest import same_bits
from lockstep_debug import functions, passes, values
from lockstep_debug.recorder import recorder
from replay import check_operations


def run(module, *args, **kwargs):
    with torch.no_grad():
        return module(*args, **kwargs)


class Body(nn.Module):
    """A root whose forward is the given function."""

    def __init__(self, forward, **children):
        super().__init__()
        self.run = forward
        for name, child in children.items():
            setattr(self, name, child)

    def forward(self, *args):
        return self.run(self, *args)


# ------------------------------------------------------------------ identity

def test_writing_in_place_makes_a_new_value(recording):
    x = torch.arange(6.0).reshape(2, 3)

    def forward(self, x):
        y = x * 2
        z = y + 1
        y.add_(10)
        return y * z

    model = Body(forward)
    out = run(model, x)
    mul, add = recording.line("mul"), recording.line("add_")
    assert recording.value(mul).tolist() == (x * 2).tolist()
    assert recording.value(add).tolist() == (x * 2 + 10).tolist()
    assert recording.line("mul", 1)["src"] == [add["id"], recording.line("add")["id"]]
    assert same_bits(recording["output"], out)
    assert check_operations(recording, model, same_bits) == ["mul", "add", "add_", "mul"]


def test_writing_to_a_view_changes_what_the_whole_holds(recording):
    def forward(self, x):
        y = x * 1
        y[:, 0] = 7.0
        whole = y + 0
        return whole

    x = torch.randn(3, 4)
    out = run(Body(forward), x)
    source = recording.by_id(recording.line("add")["src"][0])
    expected = x.clone()
    expected[:, 0] = 7
    assert source["op"] == "assembled"
    assert same_bits(recording.value(source), expected) and same_bits(out, expected)
    written = [recording.by_id(i)["op"] for i in source["src"]]
    assert written[0] == "mul" and written[1] in ("copy_", "fill_")


def test_a_view_read_after_its_base_was_written_is_another_value(recording):
    def forward(self, x):
        y = x * 1
        first = y[0]
        a = first + 1
        y.mul_(3)
        return a, first + 1

    x = torch.randn(2, 4)
    run(Body(forward), x)
    one, two = recording.line("add"), recording.line("add", 1)
    assert one["src"] != two["src"]
    assert recording.by_id(recording.by_id(two["src"][0])["src"][0])["op"] == "mul_"
    assert same_bits(recording.value(two), x[0] * 3 + 1)


def test_views_are_not_copied(recording):
    def forward(self, x):
        return x.reshape(4, 6).t()[1:3].unsqueeze(0).expand(5, 2, 4) + 0

    run(Body(forward), torch.randn(2, 3, 4))
    views = [e for e in recording.tensors if e.get("role") == "view"]
    assert [e["op"] for e in views] == ["view", "t", "slice", "unsqueeze", "expand"]
    assert not any("data" in e for e in views)
    assert [e["src"] for e in views[1:]] == [[e["id"]] for e in views[:-1]]


def test_slots_that_are_left_out(recording):
    """Operands are said where the sources, which lack what is not given, would be taken for other slots."""
    def forward(self, x, rows, weight, bias):
        picked = x[:, rows]
        normed = torch.native_layer_norm(picked, [3], None, bias, 1e-5)[0]
        return torch.native_layer_norm(normed, [3], weight, None, 1e-5)[0] + x

    run(Body(forward), torch.randn(4, 3), torch.tensor([2, 0, 1]), torch.randn(3), torch.randn(3))
    given = [recording.line(f"args.{i}")["id"] for i in range(4)]
    index, first, second = recording.line("index"), recording.line("native_layer_norm"), recording.line("native_layer_norm", 1)
    assert index["src"] == [given[0], given[1]] and index["operands"] == [given[0], 0, given[1]]
    assert first["src"] == [index["id"], given[3]] and first["operands"] == [index["id"], 0, given[3]]
    assert second["src"] == [first["id"], given[2]] and "operands" not in second  # the last slot is empty
    assert recording.line("add")["src"] == [second["id"], given[0]] and "operands" not in recording.line("add")


def test_a_named_view_comes_with_its_values(recording):
    model = Body(lambda self, x: self.flip(x) + 0, flip=Body(lambda self, x: x.transpose(0, 1)))
    x = torch.randn(2, 3)
    run(model, x)
    assert same_bits(recording["flip"], x.t().contiguous())
    assert "alias_of" in recording.line("flip")


def test_memory_used_again_is_another_value(recording):
    def forward(self, x):
        for _ in range(50):
            x = x * 1.0 + 1.0
        return x

    model = Body(forward)
    run(model, torch.randn(64))
    check_operations(recording, model, same_bits)
    ids = [e["id"] for e in recording.tensors]
    assert len(set(ids)) == len(ids)
    adds = [e for e in recording.tensors if e["op"] == "add"]
    muls = [e for e in recording.tensors if e["op"] == "mul"]
    assert [a["src"] for a in adds] == [[m["id"]] for m in muls]


def test_recording_keeps_no_tensor_alive(recording):
    seen = []

    def forward(self, x):
        y = x * 2
        seen.append(weakref.ref(y))
        z = y.view(-1) + 1
        del y
        gc.collect()
        seen.append(seen[0]() is None)
        return z

    run(Body(forward), torch.randn(2, 2))
    assert seen[1]


def test_what_is_known_of_values_is_bounded(recording):
    held = []

    def forward(self, x):
        for _ in range(5000):
            x = x + 1
        held.append(len(passes.thread.run.registry.cells))
        return x

    run(Body(forward), torch.zeros(2))
    assert held[0] < 2 * values._SWEEP_EVERY
    assert len(recorder.survivors) <= 2


def test_a_buffer_filled_anew_by_the_caller_is_read_anew(recording):
    model = Body(lambda self, x: x + 1)
    x = torch.zeros(3)
    run(model, x)
    x.fill_(5)
    run(model, x)
    inputs = [e for e in recording.tensors if e.get("role") == "input"]
    assert [recording.value(e).tolist() for e in inputs] == [[0, 0, 0], [5, 5, 5]]
    assert recording.line("add", 0, number=1)["src"] == [inputs[1]["id"]]


def test_a_state_changed_between_passes_is_read_as_it_is(recording):
    class Counter(nn.Module):
        def forward(self, x):
            self.state = x * 1 if not hasattr(self, "state") else self.state
            return self.state + x

    model = Counter()
    run(model, torch.ones(2))
    model.state.mul_(4)
    run(model, torch.ones(2))
    state = next(e for e in recording.tensors if e.get("role") == "state")
    assert recording.value(state).tolist() == [4, 4]
    assert state["src"] == [recording.line("mul")["id"]]


def test_the_output_of_a_layer_in_place_is_a_new_value(recording):
    model = nn.Sequential(nn.Linear(3, 3), nn.ReLU(inplace=True), nn.Dropout(), nn.Flatten(0)).eval()
    x = torch.randn(2, 3)
    out = run(model, x)
    linear = F.linear(x, model[0].weight, model[0].bias).detach()
    assert same_bits(recording["0"], linear)
    assert same_bits(recording["1"], linear.relu())
    assert same_bits(recording["2"], linear.relu())
    assert same_bits(recording["3"], out) and same_bits(recording["output"], out)


def test_batch_norm_in_training_leaves_its_buffers_right(recording):
    model = nn.Sequential(nn.BatchNorm1d(3))
    expected = nn.Sequential(nn.BatchNorm1d(3))
    for scale in (1, 2):
        x = torch.randn(4, 3) * scale
        passes.thread.busy = True
        wanted = expected(x)
        passes.thread.busy = False
        assert same_bits(model(x).detach(), wanted.detach())
    assert same_bits(model[0].running_var, expected[0].running_var)
    assert recording.notes == []


# ------------------------------------------------------------------ names and sources

def test_torch_layers_are_one_line_each(recording):
    model = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.GELU(), nn.Flatten(2), nn.LayerNorm(16))
    out = run(model, torch.randn(2, 3, 4, 4))
    made = [e["name"] for e in recording.tensors if e.get("role") not in ("weight", "view", "input")]
    assert made == ["0", "1", "2", "3", "output"]
    conv = recording.line("0")
    assert [recording.by_id(i)["name"] for i in conv["src"]] == ["input", "0.weight", "0.bias"]
    assert conv["params"]["padding"] == [1, 1]
    assert same_bits(recording["3"], out)
    assert check_operations(recording, model, same_bits) == ["Conv2d", "GELU", "LayerNorm"]


def test_a_shared_module_called_twice_has_one_name(recording):
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.a = nn.Linear(3, 3)
            self.b = self.a

        def forward(self, x):
            return self.b(self.a(x))

    model = Twice()
    x = torch.randn(2, 3)
    run(model, x)
    first, second = recording.line("a", 0), recording.line("a", 1)
    with torch.no_grad():
        once = F.linear(x, model.a.weight, model.a.bias)
        assert same_bits(recording.value(second), F.linear(once, model.a.weight, model.a.bias))
    assert second["src"][0] == first["id"]
    assert len([e for e in recording.tensors if e.get("role") == "weight"]) == 2


def scale_and_shift(x, scale):
    return shift(x * scale), None


def shift(x):
    return x + 1


def test_functions_beside_the_model_are_named(recording):
    model = Body(lambda self, x: self.block(x), block=Body(lambda self, x: scale_and_shift(x, 2.0)[0]))
    x = torch.randn(3)
    before = scale_and_shift
    run(model, x)
    assert scale_and_shift is before and functions._replaced == {}
    names = [e["name"] for e in recording.tensors if e.get("role") != "input"]
    assert names == ["block/scale_and_shift/mul", "block/shift/add", "block/shift",
                     "block/scale_and_shift.0", "block", "output"]
    assert same_bits(recording["block/scale_and_shift.0"], x * 2 + 1)
    assert recording.line("block/shift/add")["where"].startswith("test_plain.py:")


def test_structured_outputs_are_walked(recording):
    def forward(self, x):
        return {"first": x + 1, "rest": (x + 2, [x + 3])}

    model = Body(lambda self, x: self.inner(x), inner=Body(forward))
    x = torch.zeros(2)
    run(model, x)
    for name, value in (("inner", 1), ("inner.rest.0", 2), ("inner.rest.1.0", 3),
                        ("first", 1), ("rest.0", 2), ("rest.1.0", 3)):
        assert recording[name].tolist() == [value, value]


def test_matmul_is_one_operation_whatever_its_shapes(recording):
    a, b = torch.randn(2, 3, 4, 5), torch.randn(5, 6)

    def forward(self, a, b):
        return torch.matmul(a, b), a @ b, a.matmul(b), torch.einsum("bhij,jk->bhik", a, b), F.linear(a, b.t())

    out = run(Body(forward), a, b)
    ops = [e["op"] for e in recording.tensors if e.get("role") not in ("view", "input") and "alias_of" not in e]
    assert ops == ["matmul", "matmul", "matmul", "einsum", "linear"]
    for i in range(3):
        assert same_bits(recording.value(recording.line("matmul", i)), out[i])


def test_infinite_parameters_are_valid_json(recording):
    def forward(self, x):
        return x.masked_fill(x > 0, float("-inf"))

    run(Body(forward), torch.randn(4))
    assert recording.line("masked_fill")["params"]["value"] == "-inf"


def test_uninitialised_memory_is_not_recorded_as_values(recording):
    def forward(self, x):
        y = torch.empty(4)
        y.copy_(x)
        return y * 1

    run(Body(forward), torch.arange(4.0))
    empty = recording.line("empty")
    assert "data" not in empty
    assert recording.by_id(recording.line("mul")["src"][0])["op"] == "copy_"


def test_complex_values_are_named_but_not_kept(recording):
    def forward(self, x):
        return torch.view_as_real(torch.view_as_complex(x) * torch.polar(torch.ones(3), torch.ones(3)))

    x = torch.randn(3, 2)
    out = run(Body(forward), x)
    line = recording.line("mul")
    assert line["dtype"] == "c64" and "data" not in line
    assert any("complex64" in note for note in recording.notes)
    assert same_bits(recording["output"], out)


def test_attention_inside_torch_modules_is_not_diverted(recording):
    """Their fast path is taken only without a function mode; it must still be."""
    layer = nn.TransformerEncoderLayer(16, 2, 32, dropout=0.0, batch_first=True).eval()
    model = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False).eval()
    x = torch.randn(2, 5, 16)
    passes.thread.busy = True
    expected = run(model, x)
    passes.thread.busy = False
    assert same_bits(run(model, x), expected)
    assert "_transformer_encoder_layer_fwd" in {e["op"] for e in recording.tensors}
    assert same_bits(recording["layers.1"], expected)


def test_attention_inside_torch_modules_is_recorded(recording):
    layer = nn.MultiheadAttention(16, 2, batch_first=True)
    x = torch.randn(2, 5, 16)
    passes.thread.busy = True
    expected = layer(x, x, x, need_weights=True, average_attn_weights=False)
    fused = layer(x, x, x, need_weights=False)[0]
    passes.thread.busy = False
    assert same_bits(layer(x, x, x, need_weights=False)[0], fused)
    assert torch.allclose(recording["scaled_dot_product_attention.weights"], expected[1].detach(), atol=1e-6)
    assert F.scaled_dot_product_attention is torch._C._nn.scaled_dot_product_attention


@pytest.mark.parametrize("shape", [(5, 8), (2, 5, 8), (2, 3, 5, 8)])
@pytest.mark.parametrize("masked", ["none", "bool", "float", "causal"])
def test_fused_attention_of_any_shape(recording, shape, masked):
    q, k, v = (torch.randn(shape, dtype=torch.float64) for _ in range(3))
    mask = {"bool": torch.ones(5, 5).tril(1).bool(), "float": torch.randn(5, 5).double()}.get(masked)

    def forward(self, q, k, v):
        return F.scaled_dot_product_attention(q, k, v, mask, is_causal=masked == "causal", scale=0.3)

    out = run(Body(forward), q, k, v)
    weights = recording["scaled_dot_product_attention.weights"]
    assert weights.dtype == torch.float64
    assert torch.allclose(recording["scaled_dot_product_attention.scores"], q @ k.transpose(-1, -2))
    assert torch.allclose(weights @ v, out, atol=1e-12)
    assert same_bits(recording["scaled_dot_product_attention"], out)
    assert ("scaled_dot_product_attention.mask" in recording.names()) == (mask is not None)
    assert recording.notes == []


def test_scores_too_large_are_left_out_and_said(recording, monkeypatch):
    from lockstep_debug import attention

    monkeypatch.setattr(attention, "SCORES_BYTES_MAX", 99)
    q = torch.randn(1, 5, 8)
    run(Body(lambda self, q: F.scaled_dot_product_attention(q, q, q)), q)
    assert "scaled_dot_product_attention.scores" not in recording.names()
    assert any("100 bytes" in note for note in recording.notes)


# ------------------------------------------------------------------ control

def test_an_exception_passes_through_and_the_next_call_is_recorded(recording):
    class Fragile(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = Body(lambda self, x: 1 / 0 if x.sum() > 0 else x * 2)

        def forward(self, x):
            return self.inner(x)

    model = Fragile()
    with pytest.raises(ZeroDivisionError):
        run(model, torch.ones(2))
    assert passes.thread.run is None and not passes.thread.busy and passes.thread.hidden == 0
    assert functions._replaced == {}
    run(model, -torch.ones(2))
    assert recording["inner"].tolist() == [-2, -2]
    assert [e["pass"] for e in recording.of("pass_end")] == [1]
    assert any("ZeroDivisionError" in note for note in recording.notes)


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt])
def test_an_exit_within_a_forward_leaves_nothing_behind(recording, error):
    def forward(self, x):
        raise error

    with pytest.raises(error):
        run(Body(forward), torch.ones(1))
    assert passes.thread.run is None
    assert torch.overrides._get_current_function_mode() is None


def test_a_caught_exception_of_a_module_leaves_the_names_right(recording):
    def forward(self, x):
        try:
            self.bad(x)
        except ValueError:
            pass
        return x + 1

    def bad(self, x):
        raise ValueError

    run(Body(forward, bad=Body(bad)), torch.zeros(1))
    assert "add" in recording.names()


def test_threads_record_apart(recording):
    shared = nn.Sequential(nn.Linear(4, 4), nn.ReLU())
    start, got = threading.Barrier(4), {}

    def work(i):
        start.wait()
        for _ in range(5):
            got[i] = run(shared, torch.full((1, 4), float(i)))
            time.sleep(0.001)

    workers = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(recording.of("pass_end")) == 20 and recording.notes == []
    ids = [e["id"] for e in recording.tensors]
    assert ids == sorted(ids) and len(set(ids)) == len(ids)
    for number in range(20):
        value = int(recording.value(recording.line("input", 0, number))[0, 0])
        assert same_bits(recording.value(recording.line("output", 0, number)), got[value])


@pytest.mark.parametrize("lives_for", [0, 1, 2, 3, 4, 7, 12])
def test_a_recorder_that_dies_is_not_noticed(recording, lives_for):
    recording.lives_for = lives_for
    model = nn.Sequential(nn.Linear(4, 4), nn.GELU(), nn.Linear(4, 2))
    x = torch.randn(3, 4)
    passes.thread.busy = True
    expected = run(model, x)
    passes.thread.busy = False
    for _ in range(3):
        assert same_bits(run(model, x), expected)
    assert recorder.dormant and len(recording.events) == lives_for


def test_our_own_mistakes_become_notes(recording, monkeypatch):
    def broken(*args, **kwargs):
        raise RuntimeError("broken on purpose")

    monkeypatch.setattr(passes.Run, "record", broken)
    model = nn.Sequential(nn.Linear(4, 4), Body(lambda self, x: x * 2))
    x = torch.randn(3, 4)
    expected = F.linear(x, model[0].weight, model[0].bias).detach() * 2
    assert same_bits(run(model, x), expected)
    assert any("broken on purpose" in note for note in recording.notes)
    assert len(recording.notes) < 10


def test_compiled_models_run_eagerly_and_are_recorded(recording):
    model = nn.Sequential(nn.Linear(4, 4), nn.GELU())
    compiled = torch.compile(model, backend="eager")
    x = torch.randn(2, 4)
    out = run(compiled, x)
    torch.compiler.set_stance("default")
    assert same_bits(recording["0"], F.linear(x, model[0].weight, model[0].bias).detach())
    assert same_bits(recording["output"], out)
    assert any("torch.compile" in note for note in recording.notes)


def test_meta_and_fake_tensors_are_ignored(recording):
    from torch._subclasses.fake_tensor import FakeTensorMode

    run(nn.Linear(3, 3, device="meta"), torch.empty(2, 3, device="meta"))
    with FakeTensorMode():
        run(nn.Linear(3, 3), torch.empty(2, 3))
    assert recording.events == []


def test_a_model_whose_weights_are_elsewhere_until_they_are_needed_is_recorded(recording):
    """As accelerate offloads: the parameters are meta tensors between the calls."""
    stored = nn.Linear(3, 2)
    model = nn.Sequential(nn.Linear(3, 2, device="meta"), nn.ReLU())

    def fetch(module, args):
        module._parameters.update(weight=nn.Parameter(stored.weight.clone()), bias=nn.Parameter(stored.bias.clone()))

    def drop(module, args, result):
        module._parameters.update(weight=nn.Parameter(stored.weight.to("meta")), bias=nn.Parameter(stored.bias.to("meta")))

    model[0].register_forward_pre_hook(fetch)
    model[0].register_forward_hook(drop)
    x = torch.randn(4, 3)
    out = run(model, x)
    assert same_bits(recording["0"], F.linear(x, stored.weight, stored.bias).detach())
    assert same_bits(recording["output"], out) and recording.notes == []
    weights = {line["name"]: line["id"] for line in recording.tensors if line.get("role") == "weight"}
    assert weights.keys() == {"0.weight", "0.bias"} and "clone" not in {line["op"] for line in recording.tensors}
    assert recording.line("0/linear")["src"] == [recording.line("input")["id"], weights["0.weight"], weights["0.bias"]]


def test_parameters_that_share_their_memory(recording):
    """As cuDNN lays out recurrent layers, and FSDP whole models."""
    model = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 3), nn.Linear(3, 2))
    whole, start = torch.cat([p.detach().flatten() for p in model.parameters()]), 0
    for parameter in model.parameters():
        parameter.data = whole[start:start + parameter.numel()].view_as(parameter)
        start += parameter.numel()
    for _ in range(2):
        run(model, torch.randn(5, 4))
    weights = {line["name"]: line["id"] for line in recording.tensors if line.get("role") == "weight"}
    assert list(weights) == [name for name, _ in model.named_parameters()]
    for layer in recording.tensors:
        if layer["op"] == "Linear" and "src" in layer:
            assert layer["src"][1:] == [weights[f"{layer['name']}.weight"], weights[f"{layer['name']}.bias"]]


def test_tracing_is_left_alone(recording):
    model = nn.Sequential(nn.Linear(3, 3), Body(lambda self, x: x * 2))
    graph = torch.fx.symbolic_trace(nn.Sequential(nn.Linear(3, 3), nn.ReLU()))
    assert [n.op for n in graph.graph.nodes] == ["placeholder", "call_module", "call_module", "output"]
    traced = torch.jit.trace(model, torch.randn(2, 3), check_trace=False)
    assert recording.of("pass") == []
    x = torch.randn(2, 3)
    assert torch.allclose(traced(x), model(x))


def test_vmap_over_a_model_is_left_alone(recording):
    model = nn.Linear(3, 2)
    x = torch.randn(5, 3)
    assert torch.allclose(torch.func.vmap(model)(x), F.linear(x, model.weight, model.bias), atol=1e-6)
    assert recording.notes == []


# ------------------------------------------------------------------ what is asked for

def with_data(recording):
    return [e["name"] for e in recording.tensors if "data" in e]


BLOCKS = [nn.Sequential(nn.Linear(4, 4), Body(lambda self, x: scale_and_shift(x, 2.0)[0])) for _ in range(3)]


class Tower(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList(BLOCKS)
        self.head = nn.Linear(4, 2)

    def forward(self, x):
        for layer in self.layers:
            x = layer(x) + x
        return self.head(x)


def test_only_the_layers_asked_for_are_sent(recording):
    recording.options = {"layers": "0,2-5"}
    run(Tower(), torch.randn(1, 4))
    assert {e["layer"] for e in recording.tensors if "data" in e} == {0, 2}
    assert "layers.1.0" in recording.names() and "head" in recording.names()


def test_names_and_operations_select_what_is_sent(recording):
    recording.options = {"tensors": "^layers[.][[:digit:]]", "ops": "^(mul|add)$"}
    run(Tower(), torch.randn(1, 4))
    sent = [e for e in recording.tensors if "data" in e]
    assert sent and all(e["op"] in ("mul", "add") and e["name"].startswith("layers.") for e in sent)


def test_only_the_passes_asked_for_are_sent(recording):
    recording.options = {"passes": "1"}
    model = Tower()
    for _ in range(3):
        run(model, torch.randn(1, 4))
    assert {e["pass"] for e in recording.tensors if "data" in e} == {1}
    assert len(recording.of("pass")) == 3


def test_observing_named_tensors_leaves_operations_out(recording):
    recording.options = {"observe": "named"}
    x = torch.randn(1, 4)
    run(Tower(), x)
    sent = with_data(recording)
    assert "layers.0.0" in sent and "layers.0.1/shift" in sent
    assert not any(name.endswith(("/mul", "/add")) for name in sent)
    expected = F.linear(x, BLOCKS[0][0].weight, BLOCKS[0][0].bias).detach() * 2 + 1
    for name in ("layers.0.1/shift", "layers.0.1/scale_and_shift.0", "layers.0.1"):
        assert same_bits(recording[name], expected)


def test_observing_outputs_leaves_only_blocks_and_root(recording):
    recording.options = {"observe": "outputs"}
    run(Tower(), torch.randn(1, 4))
    assert with_data(recording) == ["x", "layers.0", "layers.1", "layers.2", "head"]
    assert recording["output"].shape == (1, 2)


def test_capture_restricts_the_recording(recording):
    model, other = nn.Linear(2, 2), nn.Linear(2, 3)
    with lockstep_debug.capture(model):
        run(other, torch.randn(1, 2))
        run(model, torch.randn(1, 2))
    run(model, torch.randn(1, 2))
    assert len(recording.of("pass")) == 1
    assert recording.of("start")[0]["model"] == "Linear" and recording["output"].shape == (1, 2)


def test_tap_names_a_tensor_of_the_users_code(recording):
    def forward(self, x):
        y = x * 2
        lockstep_debug.tap("doubled", y)
        return y

    run(Body(forward), torch.ones(2))
    tap = recording.line("doubled")
    assert tap["alias_of"] == recording.line("mul")["id"] and tap["pass"] == 0
    lockstep_debug.tap("alone", torch.full((2,), 3.0))
    assert recording["alone"].tolist() == [3, 3] and recording.line("alone")["pass"] == 1


def test_tap_and_capture_do_nothing_without_a_recorder(monkeypatch):
    monkeypatch.delenv("LOCKSTEP_CHANNEL", raising=False)
    call = nn.Module.__call__
    with lockstep_debug.capture(nn.Linear(1, 1)):
        lockstep_debug.tap("x", torch.ones(1))
    assert nn.Module.__call__ is call
