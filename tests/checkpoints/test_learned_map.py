"""`lockstep map` of a checkpoint and a GGUF file: which weight is which, as rules that `--map` reads."""
import subprocess

import numpy as np
import pytest
import yaml
from checkpoint_files import LOCKSTEP, diff, normal, write_gguf, write_hf

LAYERS, HEADS, WIDTH = 3, 4, 32
CONFIG = {"model_type": "novel", "architectures": ["NovelForCausalLM"], "num_attention_heads": HEADS, "num_key_value_heads": HEADS, "hidden_size": WIDTH, "num_hidden_layers": LAYERS}
KEYS = [("add_head_count", HEADS), ("add_head_count_kv", HEADS), ("add_block_count", LAYERS), ("add_embedding_length", WIDTH)]


def files(folder, architecture="novel"):
    hf, gguf = {"net.table.weight": normal(48, WIDTH, seed=99)}, {"token_embd.weight": normal(48, WIDTH, seed=99)}
    for layer in range(LAYERS):
        for n, (theirs, ours, shape) in enumerate((("mix.first", "attn_output", (WIDTH, WIDTH)), ("mlp.a", "ffn_up", (64, WIDTH)), ("mlp.b", "ffn_down", (WIDTH, 64)))):
            for end, size in ((".weight", shape), (".bias", shape[:1])):
                value = normal(*size, seed=10 * layer + n)
                hf[f"net.layers.{layer}.{theirs}{end}"] = value
                gguf[f"blk.{layer}.{ours}{end}"] = value
    return write_hf(folder / "hf", hf, dict(CONFIG, model_type=architecture)), write_gguf(folder / "m.gguf", gguf, arch=architecture, keys=KEYS)


def learn(*words):
    return subprocess.run([LOCKSTEP, "map", *map(str, words)], capture_output=True, text=True)


@pytest.mark.parametrize("turned", [False, True])
def test_one_rule_serves_all_layers(tmp_path, turned):
    hf, gguf = files(tmp_path)
    sides = (gguf, hf) if turned else (hf, gguf)
    done = learn(*sides, "-o", tmp_path / "map.yaml")
    assert done.returncode == 0, done.stderr
    rules = yaml.safe_load((tmp_path / "map.yaml").read_text())["weights"]
    assert {(r["gguf"], r["hf"]) for r in rules} == {("token_embd", "net.table"), ("blk.{L}.attn_output", "net.layers.{L}.mix.first"), ("blk.{L}.ffn_up", "net.layers.{L}.mlp.a"), ("blk.{L}.ffn_down", "net.layers.{L}.mlp.b")}
    status, _, report = diff(*sides, "--what", "weights", "--preset", "none", "--map", tmp_path / "map.yaml")
    assert status == 0 and len(report["weights"]["pairs"]) == 1 + 6 * LAYERS and {p["verdict"] for p in report["weights"]["pairs"]} == {"identical"}
    assert report["weights"]["by"]["content"] == 0, "the rules pair all of them"


def test_what_a_converter_did_is_in_the_rules(tmp_path):
    value = normal(WIDTH, WIDTH, seed=1)
    pairs = value.reshape(HEADS, 2, WIDTH // HEADS // 2, WIDTH).swapaxes(1, 2).reshape(value.shape)
    hf = write_hf(tmp_path / "hf", {f"model.layers.{k}.self_attn.q_proj.weight": value + k for k in range(2)}, dict(CONFIG, model_type="llama", architectures=["LlamaForCausalLM"]))
    gguf = write_gguf(tmp_path / "m.gguf", {f"blk.{k}.attn_q.weight": np.ascontiguousarray(pairs + k, "f4") for k in range(2)}, keys=KEYS)
    text = learn(hf, gguf).stdout
    assert yaml.safe_load(text)["weights"] == [{"gguf": "blk.{L}.attn_q", "hf": "model.layers.{L}.self_attn.q_proj", "change": ["rope-pairs"]}]


def test_two_of_a_kind(tmp_path):
    hf, _ = files(tmp_path)
    done = learn(hf, hf)
    assert done.returncode == 2 and "two of a kind" in done.stderr
