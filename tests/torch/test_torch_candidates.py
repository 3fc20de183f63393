"""A port of a transformers model to PyTorch, with other names and other factorings: judged by replay, right and with planted faults."""
import json
import os
import pathlib
import subprocess
import sys

import pytest

transformers = pytest.importorskip("transformers")

from test_ports import LOCKSTEP, PORT, capture, diff  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[2]

LLAMA = """
import sys
import torch
import transformers
from torch import nn
from torch.nn import functional as F

sys.path.insert(0, sys.argv[1])
import lockstep_debug

fault = None
torch.manual_seed(0)
config = transformers.LlamaConfig(vocab_size=250, hidden_size=64, intermediate_size=112, num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=2,
                                  rms_norm_eps=1e-6, tie_word_embeddings=False, attn_implementation="eager")
hf = transformers.LlamaForCausalLM(config).eval()
with torch.no_grad():
    for parameter in hf.parameters():
        parameter.add_(torch.randn_like(parameter) * 0.05)


class Norm(nn.Module):
    def __init__(self, weight):
        super().__init__()
        self.gain = nn.Parameter(weight.detach().clone())

    def forward(self, x):
        return F.rms_norm(x, (64,), self.gain, 1e-5 if fault == "eps" else 1e-6)


def rotate(x):
    base = 10500.0 if fault == "base" else 10000.0
    angles = torch.arange(x.shape[-2])[:, None] * base ** (-torch.arange(0, 16, 2) / 16)
    a, b = x[..., :8], x[..., 8:]
    return torch.cat([a * angles.cos() - b * angles.sin(), b * angles.cos() + a * angles.sin()], -1)


class Layer(nn.Module):
    def __init__(self, layer):
        super().__init__()
        a, m = layer.self_attn, layer.mlp
        self.n1, self.n2 = Norm(layer.input_layernorm.weight), Norm(layer.post_attention_layernorm.weight)
        self.qkv = nn.Parameter(torch.cat([a.q_proj.weight, a.k_proj.weight, a.v_proj.weight]).detach())
        self.wo = nn.Parameter(a.o_proj.weight.detach().clone())
        self.gate_up = nn.Parameter(torch.cat([m.gate_proj.weight, m.up_proj.weight]).detach())
        self.down = nn.Parameter(m.down_proj.weight.detach().clone())

    def forward(self, x):
        t = x.shape[0]
        q, k, v = (y.view(t, -1, 16).transpose(0, 1) for y in (self.n1(x) @ self.qkv.T).split([64, 32, 32], -1))
        mask = torch.ones(t, t, dtype=torch.bool).tril(1 if fault == "mask" else 0)
        y = F.scaled_dot_product_attention(rotate(q)[None], rotate(k)[None], v[None], attn_mask=mask, scale=1.0 if fault == "scale" else None, enable_gqa=True)[0]
        x = x + y.transpose(0, 1).reshape(t, 64) @ self.wo.T
        gate, up = (self.n2(x) @ self.gate_up.T).chunk(2, -1)
        return x + (F.silu(up) * gate if fault == "swapped" else F.silu(gate) * up) @ self.down.T


class Port(nn.Module):
    def __init__(self):
        super().__init__()
        self.table = nn.Parameter(hf.model.embed_tokens.weight.detach().clone())
        self.stack = nn.ModuleList(Layer(layer) for layer in hf.model.layers)
        self.last = Norm(hf.model.norm.weight)
        self.out = nn.Parameter(hf.lm_head.weight.detach().clone())

    def forward(self, input_ids):
        x = self.table[input_ids[0]]
        for layer in self.stack:
            x = layer(x)
        return (self.last(x) @ self.out.T)[None]


ids, port = torch.tensor([[5, 17, 25, 33, 8, 99, 120, 31, 7, 64, 11, 45, 77, 2]]), Port().eval()
with torch.no_grad():
    with lockstep_debug.capture(hf, out="hf"):
        hf(input_ids=ids)
    for fault in (None, "base", "eps", "scale", "mask", "swapped"):
        with lockstep_debug.capture(port, out=str(fault)):
            port(input_ids=ids)
"""


@pytest.fixture(scope="module")
def llama(tmp_path_factory):
    folder = tmp_path_factory.mktemp("llama")
    (folder / "llama.py").write_text(LLAMA)
    subprocess.run([sys.executable, folder / "llama.py", ROOT / "python"], cwd=folder, check=True, capture_output=True, timeout=200)
    return folder


def elements(result):
    counts = result["replay"]["elements"]
    return {kind: n / sum(counts.values()) for kind, n in counts.items()}


def at_fault(result):
    return [o["name"] for o in result["replay"]["operations"] if o["origin"]]


def test_a_port_is_found_in_the_reference(llama):
    status, result = diff(llama / "hf", llama / "None")
    assert status == 0 and result["verdict"] == "match" and not at_fault(result)
    shares = elements(result)
    assert shares["found"] + shares["covered"] == 1 and shares["found"] > 0.5
    kernels = result["replay"]["kernels"]
    assert kernels["operations"] == kernels["checked"] and kernels["differ"] == 0


@pytest.mark.parametrize("fault, where, rule", [
    ("base", "stack.0/rotate/cat", None), ("eps", "stack.0.n1/rms_norm", "norm-eps"), ("scale", "stack.0/scaled_dot_product_attention", None),
    ("mask", "stack.0/scaled_dot_product_attention", None), ("swapped", "stack.0/mul", None)])
def test_a_fault_is_at_its_operation(llama, fault, where, rule):
    status, result = diff(llama / "hf", llama / fault)
    faulty = [o for o in result["replay"]["operations"] if o["origin"]]
    assert status == 1 and result["verdict"] == "diverged" and faulty[0]["name"] == where
    assert {o["layer"] for o in faulty} >= {0, 1} and {o["name"].replace(f".{o['layer']}", ".0") for o in faulty} <= {
        where, "stack.0/scaled_dot_product_attention", "stack.0.n2/rms_norm", "last/rms_norm"}
    assert (faulty[0]["rule"] or {}).get("id") == rule


def test_the_run_again_in_double_precision(llama):
    subprocess.run([LOCKSTEP, "verify", llama / "None", "--replay", "-o", llama / "gold"], check=True, capture_output=True, timeout=60)
    status, result = diff(llama / "None", llama / "gold")
    assert status == 0 and result["verdict"] == "match" and result["pairing"]["coverage"] == 1


@pytest.fixture(scope="module")
def port(tmp_path_factory):
    folder = tmp_path_factory.mktemp("port")
    (folder / "port.py").write_text(PORT)
    return {mistake: capture(folder / mistake, folder / "port.py", mistake) for mistake in ("none", "cap", "gelu", "sink")}


def test_a_model_against_itself(port):
    status, result = diff(port["none"], port["none"])
    shares = elements(result)
    assert status == 0 and not at_fault(result) and shares["found"] + shares["covered"] == 1


def test_a_soft_cap_that_is_missing(port):
    status, result = diff(port["none"], port["cap"])
    assert status == 1 and not at_fault(result)  # each of its operations is right: the last ones are missing
    assert result["first_divergence"]["causes"][0]["rule"] == "soft-cap"


def test_another_form_of_gelu_shares_a_line(port):
    status, result = diff(port["none"], port["gelu"])
    assert status == 1 and at_fault(result) == [f"blocks.{i}/gelu" for i in range(3)]
    assert {o["rule"]["id"] for o in result["replay"]["operations"] if o["origin"]} == {"gelu-variant"}
    text = subprocess.run([LOCKSTEP, "diff", port["none"], port["gelu"]], capture_output=True, text=True, timeout=60, env=dict(os.environ, COLUMNS="0")).stdout
    assert "blocks.0/gelu (gelu) and the same in 3 layers" in text


def test_another_value_beside_the_scores(port):
    status, result = diff(port["none"], port["sink"])
    assert status == 1 and at_fault(result) == [f"blocks.{i}/cat" for i in range(3)]


FILES = """
import sys
import torch
import transformers

config = transformers.LlamaConfig(vocab_size=50, hidden_size=32, intermediate_size=48, num_hidden_layers=1, num_attention_heads=2)
if sys.argv[1] == "save":
    transformers.LlamaForCausalLM(config).save_pretrained("model")
else:
    with torch.no_grad():
        model = transformers.LlamaForCausalLM.from_pretrained("model").eval()
        if sys.argv[1] == "changed":
            model.model.layers[0].mlp.up_proj.weight[3, 4] += 1
        if sys.argv[1] == "converted":
            model = model.to(torch.bfloat16)
        model(input_ids=torch.tensor([[5, 17, 25, 33, 8]]))
"""


def test_weights_come_from_the_files_that_were_loaded(tmp_path):
    def run(*words):
        subprocess.run([*words], cwd=tmp_path, check=True, capture_output=True, timeout=100)
    (tmp_path / "files.py").write_text(FILES)
    run(sys.executable, "files.py", "save")
    for what in ("load", "changed"):
        run(LOCKSTEP, "capture", "-o", what, "--", sys.executable, "files.py", what)
    lines = [json.loads(line) for line in (tmp_path / "load" / "trace.jsonl").read_text().splitlines()]
    assert [line["model_file"] for line in lines if "model_file" in line] == [str((tmp_path / "model" / "model.safetensors").resolve())]
    weights = {line["name"]: line for line in lines if line.get("role") == "weight"}
    assert {name for name, line in weights.items() if "file" in line} == {"model.rotary_emb.inv_freq"}  # what the file has not
    status, result = diff(tmp_path / "load", tmp_path / "load")
    assert status == 0 and result["replay"]["weights"]["verified"] == len(weights) - 1
    status, result = diff(tmp_path / "load", tmp_path / "changed")
    assert status == 1 and result["replay"]["weights"]["changed"] == 1


def test_a_file_that_was_converted_to_another_type_is_named(tmp_path):
    """Its weights are recorded all the same, because the program has others; what compares checkpoints needs the file."""
    def run(*words):
        subprocess.run([*words], cwd=tmp_path, check=True, capture_output=True, timeout=100)
    (tmp_path / "files.py").write_text(FILES)
    run(sys.executable, "files.py", "save")
    run(LOCKSTEP, "capture", "-o", "converted", "--", sys.executable, "files.py", "converted")
    lines = [json.loads(line) for line in (tmp_path / "converted" / "trace.jsonl").read_text().splitlines()]
    assert [line["model_file"] for line in lines if "model_file" in line] == [str((tmp_path / "model" / "model.safetensors").resolve())]
    assert all("file" in line for line in lines if line.get("role") == "weight")


def test_names_of_files_whose_prefix_is_another():
    sys.path.insert(0, str(ROOT / "python"))
    from lockstep_debug import model_files
    model_files._files.update({"a": {"language_model.model.layers.3.mlp.up_proj.weight": ("torch.bfloat16", [4, 8]), "norm.weight": ("torch.float32", [4])}})
    assert model_files.find_layer("model.language_model.layers.3.mlp.up_proj.weight", [4, 8]) == "a"
    assert model_files.find_layer("model.language_model.layers.2.mlp.up_proj.weight", [4, 8]) is None
    assert model_files.find_layer("model.layers.3.mlp.up_proj.weight", [8, 4]) is None and model_files.find_layer("final.norm.weight", [4]) is None


VARIANTS = """
import copy
import sys
import torch
import transformers

sys.path.insert(0, sys.argv[1])
import lockstep_debug

torch.manual_seed(0)
config = transformers.LlamaConfig(vocab_size=250, hidden_size=64, intermediate_size=112, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
                                  max_position_embeddings=64, rms_norm_eps=1e-6)
f32 = transformers.LlamaForCausalLM(config).eval()
ids = torch.tensor([[5, 17, 249, 33, 8]])
for cache in ("growing", "static"):
    with lockstep_debug.capture(f32, out=cache):
        f32.generate(ids, max_new_tokens=4, do_sample=False, **({"cache_implementation": "static"} if cache == "static" else {}))

right, eps, base = (copy.deepcopy(f32).to(torch.bfloat16) for _ in range(3))
for module in eps.modules():
    if hasattr(module, "variance_epsilon"):
        module.variance_epsilon = 1e-5
base.model.rotary_emb.inv_freq = f32.model.rotary_emb.inv_freq * 0.99
for name, model in {"f32": f32, "right": right, "eps": eps, "base": base}.items():
    with torch.no_grad(), lockstep_debug.capture(model, out=name):
        model(input_ids=ids)
"""


@pytest.fixture(scope="module")
def variants(tmp_path_factory):
    folder = tmp_path_factory.mktemp("variants")
    (folder / "variants.py").write_text(VARIANTS)
    subprocess.run([sys.executable, folder / "variants.py", ROOT / "python"], cwd=folder, check=True, capture_output=True, timeout=200)
    return folder


def test_a_cache_that_is_padded(variants):
    """The static cache has room for all positions: indices, masks, and the scores that the recorder computes, are longer."""
    for reference, candidate in (("growing", "static"), ("static", "growing")):
        status, result = diff(variants / reference, variants / candidate)
        assert status == 0 and result["verdict"] == "match", result["reason"]
        assert not at_fault(result)
        assert any(p["verdict"] == "explained" and p["candidate"]["name"].endswith(".scores") for p in result["pairs"])


def test_small_faults_of_a_model_in_bf16(variants):
    """What is computed in f32, without a weight in bf16, is as exact as in a model in f32."""
    status, result = diff(variants / "f32", variants / "right")
    assert status == 0 and result["verdict"] == "match", result["reason"]
    for candidate, where in (("eps", "model.layers.0.input_layernorm/"), ("base", "model.rotary_emb/")):
        status, result = diff(variants / "f32", variants / candidate)
        assert status == 1 and at_fault(result)[0].startswith(where), at_fault(result)


SLICES = """
import sys
import torch
from torch import nn

sys.path.insert(0, sys.argv[1])
import lockstep_debug


class Attention(nn.Module):
    def __init__(self, write):
        super().__init__()
        self.q, self.k, self.v, self.o = (nn.Linear(16, 16) for _ in range(4))
        self.write, self.keys, self.values = write, torch.zeros(1, 2, 12, 8), torch.zeros(1, 2, 12, 8)

    def forward(self, x, start):
        heads = [project(x).view(1, -1, 2, 8).transpose(1, 2) for project in (self.q, self.k, self.v)]
        end = start + x.shape[1]
        for cache, new in ((self.keys, heads[1]), (self.values, heads[2])):
            at = torch.arange(start, end)
            if self.write == "slice":
                cache[:, :, start:end] = new
            elif self.write == "index":
                cache[:, :, at] = new
            elif self.write == "index_copy":
                cache.index_copy_(2, at, new)
            else:
                cache.scatter_(2, at[None, None, :, None].expand_as(new), new)
        mask = torch.full((x.shape[1], end), float("-inf")).triu(start + 1)
        weights = torch.softmax(heads[0] @ self.keys[:, :, :end].transpose(-1, -2) / 8 ** 0.5 + mask, -1)
        return x + self.o((weights @ self.values[:, :, :end]).transpose(1, 2).reshape(1, -1, 16))


for name in ("slice", "index", "index_copy", "scatter", "slice-faulty"):
    torch.manual_seed(1)
    model, x = Attention(name.split("-")[0]).eval(), torch.randn(1, 8, 16)
    if "faulty" in name:
        model.k.weight.data *= 1.1
    with torch.no_grad(), lockstep_debug.capture(model, out=name):
        for start, end in ((0, 5), (5, 6), (6, 8)):
            model(x[:, start:end], start)
"""


def test_caches_that_are_written_in_place(tmp_path):
    """What is at fault before a write is not at fault again in what later passes read."""
    (tmp_path / "slices.py").write_text(SLICES)
    subprocess.run([sys.executable, tmp_path / "slices.py", ROOT / "python"], cwd=tmp_path, check=True, capture_output=True, timeout=100)
    for write in ("slice", "index", "scatter"):
        status, result = diff(tmp_path / "index_copy", tmp_path / write)
        assert status == 0 and result["verdict"] == "match", result["reason"]
        assert {o["class"] for o in result["replay"]["operations"]} <= {"found", "covered"}
    status, result = diff(tmp_path / "index_copy", tmp_path / "slice-faulty")
    assert status == 1 and [(o["name"], o["pass"]) for o in result["replay"]["operations"] if o["origin"]] == [("k", 0), ("k", 1), ("k", 2)]
