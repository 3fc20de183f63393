"""Ports of one torch model with one mistake each, and batches of a transformers model against
one of their sequences: captured and compared as a user does it."""
import json
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
LOCKSTEP = ROOT / "build" / "lockstep"

PORT = """
import sys
import torch
from torch import nn
from torch.nn import functional as F

mistake = sys.argv[1]
torch.manual_seed(3)


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.q, self.k, self.v, self.o = (nn.Linear(32, 32) for _ in range(4))
        self.up, self.down = nn.Linear(32, 96), nn.Linear(96, 32)
        self.sink = nn.Parameter(torch.tensor(1.5))

    def forward(self, x):
        scores = self.q(x) @ self.k(x).transpose(-1, -2) / 32 ** 0.5
        scores = scores + torch.full_like(scores, torch.finfo(scores.dtype).min).triu(1)
        sink = (self.sink if mistake != "sink" else self.sink * 0 - 9e3).expand(*scores.shape[:-1], 1)
        x = x + self.o(torch.cat([scores, sink], -1).softmax(-1)[..., :-1] @ self.v(x))
        return x + self.down(F.gelu(self.up(x), approximate="none" if mistake == "gelu" else "tanh"))


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.blocks, self.head = nn.Embedding(64, 32), nn.ModuleList(Block() for _ in range(3)), nn.Linear(32, 64)
        self.places, self.norm = nn.Embedding(16, 32), nn.LayerNorm(32)

    def forward(self, input_ids):
        x = self.embed(input_ids)
        x = self.norm(x if mistake == "places" else x + self.places(torch.arange(7)))
        for block in self.blocks:
            x = block(x)
        logits = self.head(x) * 6
        return logits if mistake == "cap" else 3 * torch.tanh(logits / 3)


with torch.no_grad():
    Model().eval()(input_ids=torch.tensor([[5, 17, 50, 33, 8, 2, 61]]))
"""


def capture(out, script, *words):
    subprocess.run([LOCKSTEP, "capture", "-o", out, "--", sys.executable, script, *words], check=True, capture_output=True, timeout=200)
    return out


def diff(reference, candidate):
    done = subprocess.run([LOCKSTEP, "diff", reference, candidate, "--json", "-"], capture_output=True, text=True, timeout=60)
    return done.returncode, json.loads(done.stdout)


@pytest.fixture(scope="module")
def port(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ports")
    (folder / "port.py").write_text(PORT)

    def run(mistake):
        return capture(folder / mistake, folder / "port.py", mistake)
    run.reference = run("none")
    return run


@pytest.mark.parametrize("mistake, where, cause", [
    ("cap", "mul", "soft-cap"), ("gelu", "blocks.0/gelu", "gelu-variant"), ("sink", "blocks.0/cat", None)])
def test_a_mistake_is_named_where_it_begins(port, mistake, where, cause):
    status, result = diff(port.reference, port(mistake))
    first = result["first_divergence"]
    assert status == 1 and first["candidate"]["name"] == where, first
    assert cause is None or first["causes"][0]["rule"] == cause


BATCH = """
import sys
import torch
import transformers

torch.manual_seed(0)
config = transformers.Qwen3Config(vocab_size=64, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
                                  num_key_value_heads=2, head_dim=16, tie_word_embeddings=False)
model = transformers.AutoModelForCausalLM.from_config(config).eval()
a, b = [5, 6, 7, 8], [9, 10, 11, 12]
calls = {"one": dict(input_ids=[a]), "two": dict(input_ids=[b, a]),
         "left": dict(input_ids=[[0, 0] + a, b + [13, 14]], attention_mask=[[0, 0, 1, 1, 1, 1], [1] * 6]),
         "right": dict(input_ids=[a + [0, 0], b + [13, 14]], attention_mask=[[1, 1, 1, 1, 0, 0], [1] * 6])}
with torch.no_grad():
    model(**{key: torch.tensor(value) for key, value in calls[sys.argv[1]].items()})
"""


def test_a_sequence_alone_and_in_batches(tmp_path):
    (tmp_path / "batch.py").write_text(BATCH)
    runs = {name: capture(tmp_path / name, tmp_path / "batch.py", name) for name in ("one", "two", "left", "right")}
    for reference in runs:
        for candidate in runs:
            status, result = diff(runs[reference], runs[candidate])
            assert status == 0 and result["verdict"] == "match", (reference, candidate, result["reason"], result["first_divergence"])
            assert result["pairing"]["coverage"] > 0.9


def test_a_term_that_the_candidate_lacks_is_named(port):
    """Every operation that the candidate has is right; what its norm is given is not."""
    done = subprocess.run([LOCKSTEP, "diff", port.reference, port("places")], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and "first divergence: norm" in done.stdout, done.stdout
    assert "in front of it, the reference adds places" in " ".join(done.stdout.split()), done.stdout
