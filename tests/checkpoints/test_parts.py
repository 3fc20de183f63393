"""What a folder or file is: adapters, shards, files beside an index, projectors; and what is said of a fine-tune."""
import json

import numpy as np
import pytest
import torch
from checkpoint_files import diff, failing, findings, normal, write_gguf, write_hf
from safetensors.numpy import save_file

CONFIG = {"architectures": ["LlamaForCausalLM"], "model_type": "llama"}


def model(layers=4, seed=0):
    made = {"model.embed_tokens.weight": normal(48, 32, seed=seed), "model.norm.weight": 1 + normal(32, seed=seed, scale=0.1)}
    for i in range(layers):
        for k, n in enumerate(["self_attn.v_proj", "self_attn.o_proj", "mlp.up_proj", "mlp.down_proj"]):
            made[f"model.layers.{i}.{n}.weight"] = normal(32, 32, seed=seed + 10 * i + k + 1)
        made[f"model.layers.{i}.input_layernorm.weight"] = 1 + normal(32, seed=seed + 10 * i + 9, scale=0.1)
    return made


def folder(path, files, index=None, suffix="safetensors", config=CONFIG):
    path.mkdir()
    for name, tensors in files.items():
        if suffix == "safetensors":
            save_file(tensors, path / f"{name}.safetensors")
        else:
            torch.save({n: torch.from_numpy(v) for n, v in tensors.items()}, path / f"{name}.{suffix}")
    if index:
        (path / f"{index[0]}.{suffix}.index.json").write_text(json.dumps({"weight_map": index[1]}))
    (path / "config.json").write_text(json.dumps(config))
    return path


@pytest.mark.parametrize(("suffix", "name"), [("safetensors", n) for n in ("model", "model.fp16", "consolidated", "diffusion_pytorch_model", "diffusion_pytorch_model.fp16", "adapter_model",
                                                                           "my-own-name")] + [("bin", n) for n in ("pytorch_model", "pytorch_model.fp16", "adapter_model")])
def test_a_folder_by_the_name_of_its_file(tmp_path, suffix, name):
    a = folder(tmp_path / "a", {name: model()}, suffix=suffix)
    status, _, report = diff(a, a)
    assert status == 0 and report["weights"]["coverage"] == 1 and len(report["weights"]["pairs"]) == 22


@pytest.mark.parametrize(("suffix", "stem"), [("safetensors", "model"), ("safetensors", "model.fp16"), ("bin", "pytorch_model")])
def test_shards_without_an_index(tmp_path, suffix, stem):
    names = sorted(model())
    parts = {f"{stem}-0000{i + 1}-of-00003": {n: model()[n] for n in names[i::3]} for i in range(3)}
    whole = write_hf(tmp_path / "whole", model(), CONFIG)
    status, text, _ = diff(whole, folder(tmp_path / "a", parts, suffix=suffix))
    assert status == 0 and "3 shards without" in text
    missing = {k: v for k, v in parts.items() if "-00002-" not in k}
    status, text, report = diff(folder(tmp_path / "b", missing, suffix=suffix), whole)
    assert status == 1 and f"1 of 3 shards are missing, the first {stem}-00002-of-00003.{suffix}" in text and findings(report, "unread")


def test_a_single_file_goes_before_an_index(tmp_path):
    whole = write_hf(tmp_path / "whole", model(), CONFIG)
    shard = "model-00001-of-00001"
    index = ("model", {n: shard + ".safetensors" for n in model()})
    for stale, status in ((model(seed=5), 1), (model(), 0)):
        made = folder(tmp_path / f"s{status}", {"model": stale, shard: model(seed=5 if status == 0 else 0)}, index)
        got, text, _ = diff(whole, made)
        assert got == status and "and not the index of the same name" in text


def test_tensors_that_the_index_leaves_out(tmp_path):
    shard = "model-00001-of-00001"
    index = ("model", {n: shard + ".safetensors" for n in model() if "norm" not in n})
    status, text, report = diff(write_hf(tmp_path / "whole", model(), CONFIG), folder(tmp_path / "a", {shard: model()}, index))
    assert status == 0 and "5 tensors are in a shard and not in the index" in text and len(report["weights"]["pairs"]) == 22


def test_repeated_keys_of_an_index(tmp_path):
    a = folder(tmp_path / "a", {"model-00001-of-00002": {"x.weight": normal(4, 4)}, "model-00002-of-00002": {"y.weight": normal(5, 4)}})
    one, two = ("model-0000%d-of-00002.safetensors" % i for i in (1, 2))
    (a / "model.safetensors.index.json").write_text('\ufeff{"weight_map": {}, "metadata": {"size": NaN}, "weight_map": {"y.weight": "%s", "x.weight": "%s", "y.weight": "%s"}}' % (one, one, two),
                                                   encoding="utf-8")
    assert diff(a, a)[2]["weights"]["coverage"] == 1


def test_an_adapter_is_no_model(tmp_path):
    lora = {f"base_model.model.model.layers.0.self_attn.v_proj.lora_{x}.weight": normal(*s) for x, s in (("A", (4, 32)), ("B", (32, 4)))}
    adapter = folder(tmp_path / "a", {"adapter_model": lora})
    whole = write_hf(tmp_path / "whole", model(), CONFIG)
    for a, b in ((adapter, whole), (whole, adapter)):
        status, text, report = diff(a, b, "--what", "weights")
        assert status == 2 and "is an adapter" in text and failing(report) == []
    other = folder(tmp_path / "b", {"adapter_model": {n: v * 2 for n, v in lora.items()}})
    assert diff(adapter, adapter)[0] == 0 and diff(adapter, other)[0] == 1


def test_weights_that_nothing_here_reads_are_named(tmp_path):
    (tmp_path / "a").mkdir()
    for name in ("tf_model.h5", "config.json"):
        (tmp_path / "a" / name).write_text("{}")
    status, text, _ = diff(tmp_path / "a", tmp_path / "a")
    assert status == 2 and ".h5" in text


# --- parts of a model

TOWER = {"vision_tower.encoder.layers.0.fc1.weight": normal(16, 16), "multi_modal_projector.linear.weight": normal(16, 16)}
GGUF_TEXT = {"token_embd.weight": model()["model.embed_tokens.weight"], "output_norm.weight": model()["model.norm.weight"]}


def test_text_and_projector_of_a_model_in_two_files(tmp_path):
    small = {n: model()[n] for n in ("model.embed_tokens.weight", "model.norm.weight")}
    hf = write_hf(tmp_path / "hf", small | TOWER, CONFIG)
    text_file = write_gguf(tmp_path / "text.gguf", GGUF_TEXT)
    projector = write_gguf(tmp_path / "mmproj.gguf", {"mm.0.weight": TOWER["multi_modal_projector.linear.weight"], "v.blk.0.ffn_up.weight": TOWER["vision_tower.encoder.layers.0.fc1.weight"]}, arch="clip")
    for candidate, line in ((text_file, "only the text model was compared"), (projector, "only the image and audio part was compared")):
        for a, b in ((hf, candidate), (candidate, hf)):
            status, text, report = diff(a, b)
            assert failing(report) == [] and status == 0 and line in text and report["weights"]["coverage"] == 1, text
    status, _, report = diff(hf, write_gguf(tmp_path / "less.gguf", {"token_embd.weight": GGUF_TEXT["token_embd.weight"]}))
    assert status == 1 and findings(report, "missing") == ["only in the reference: model.norm.weight [32] F32"]


# --- another training

def tuned(change=lambda name, v: v + 0.01 * np.random.default_rng(len(name)).normal(size=v.shape).astype(np.float32)):
    return {n: change(n, v) for n, v in model().items()}


def test_a_fine_tune_is_summed_up(tmp_path):
    a = write_hf(tmp_path / "a", model(), CONFIG)
    status, text, report = diff(a, write_hf(tmp_path / "b", tuned(), CONFIG))
    assert status == 1 and len(failing(report)) == 1
    line = failing(report)[0]
    assert line.startswith("22 of 22 tensors differ a little everywhere") and "attention 8 of 8, mlp 8 of 8, norms 5 of 5, embeddings 1 of 1; layers 0 to 3; relative L2" in line
    assert "is not the reference's" not in text
    part = tuned(lambda n, v: v * np.float32(1) + (0.02 * normal(*v.shape, seed=99) if ".2.mlp" in n or ".1." in n else np.float32(0)))
    line = failing(diff(a, write_hf(tmp_path / "c", part, CONFIG))[2])[0]
    assert line.startswith("7 of 22") and "attention 2 of 8, mlp 4 of 8, norms 1 of 5; layers 1 to 2" in line


def test_a_fault_among_a_fine_tune_is_still_named(tmp_path):
    faulty = tuned()
    faulty["model.layers.1.mlp.up_proj.weight"] = faulty["model.layers.1.mlp.up_proj.weight"][::-1].copy()
    status, text, report = diff(write_hf(tmp_path / "a", model(), CONFIG), write_hf(tmp_path / "b", faulty, CONFIG))
    assert status == 1 and len(failing(report)) == 2 and "model.layers.1.mlp.up_proj.weight (F32) is not the reference's" in text


def test_other_weights_are_no_fine_tune(tmp_path):
    _, _, report = diff(write_hf(tmp_path / "a", model(), CONFIG), write_hf(tmp_path / "b", model(seed=50), CONFIG))
    assert len(failing(report)) >= 22 and not findings(report, "cause")


# --- hints

def test_which_rules_were_taken(tmp_path):
    made = {"model.layers.0.mlp.up_proj.weight": normal(16, 16), "model.norm.weight": normal(16)}
    theirs = {"blk.0.ffn_up.weight": normal(16, 16), "output_norm.weight": normal(16)}
    mistral = write_hf(tmp_path / "m", made, {"architectures": ["MistralForCausalLM"], "model_type": "mistral"})
    odd = write_gguf(tmp_path / "odd.gguf", theirs, arch="novel")
    assert diff(mistral, write_gguf(tmp_path / "m.gguf", theirs))[2]["weights"]["preset"] == "mistral"  # which takes in those of llama
    assert diff(mistral, odd, "--what", "weights")[2]["weights"]["preset"] == "mistral"  # which takes in those of llama
    novel = write_hf(tmp_path / "n", made, {"architectures": ["NovelForCausalLM"], "model_type": "novel"})
    status, text, _ = diff(novel, odd)
    assert status == 0 and "no preset knows the names of NovelForCausalLM and novel" in text and "--preset NAME" in text and "--map FILE" in text
    assert "no preset" not in diff(novel, odd, "--preset", "llama")[1]
    status, text, _ = diff(odd, novel, "--preset", "llama")
    assert status == 0 and "are the two sides swapped?" in text
    assert "swapped" not in diff(novel, odd, "--preset", "llama")[1]


# --- what would take too much

@pytest.mark.parametrize("pattern", ["(" * 60000 + "a" + ")" * 60000, "(" * 200 + "a" + ")" * 200, "((a{1,255}){1,255}){1,255}", "[" * 60000, "a{1,30000}"], ids=lambda p: p[:12])
def test_patterns_that_would_take_too_much(tmp_path, pattern):
    a = write_hf(tmp_path / "a", model(), CONFIG)
    status, text, _ = diff(a, a, "--tensors", pattern)
    assert status == 2 and "--tensors: the regular expression" in text
    assert diff(a, a, "--tensors", r"^(model)\.[[:alpha:]_.]+{0}norm|([(]x){3}")[0] in (0, 2)


@pytest.mark.parametrize("text", ["weights: " + "[" * 280000, "{a: " * 100000, "- " * 100000, "a: &a [x]\nweights:\n" + "- [*a, *a]\n" * 60000,
                                  "\n".join(f"k{i}: &k{i} [{', '.join([f'*k{i - 1}' if i else 'x'] * 9)}]" for i in range(9))], ids=lambda t: t[:8])
def test_maps_that_would_take_too_much(tmp_path, text):
    a = write_hf(tmp_path / "a", model(), CONFIG)
    (tmp_path / "map.yaml").write_text(text)
    status, output, _ = diff(a, a, "--map", tmp_path / "map.yaml")
    assert status == 2 and ("nested deeper than 64" in output or "its aliases stand for" in output)
