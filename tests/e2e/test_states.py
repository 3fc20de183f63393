"""Models with states instead of keys and values: Mamba and Mamba 2, in transformers and in llama.cpp."""
import json
import sys

import gguf
import numpy as np
import pytest
import torch
import transformers

import other_models
from conftest import HERE, PROMPTS, STEPS, capture, diff

WHOLE = {"backbone.embeddings.weight": "token_embd.weight", "backbone.norm_f.weight": "output_norm.weight", "lm_head.weight": "output.weight"}
OF_LAYERS = {"norm.weight": "attn_norm.weight", "mixer.norm.weight": "ssm_norm.weight", "mixer.in_proj.weight": "ssm_in.weight", "mixer.out_proj.weight": "ssm_out.weight",
             "mixer.conv1d.weight": "ssm_conv1d.weight", "mixer.conv1d.bias": "ssm_conv1d.bias", "mixer.x_proj.weight": "ssm_x.weight", "mixer.dt_proj.weight": "ssm_dt.weight",
             "mixer.dt_proj.bias": "ssm_dt.bias", "mixer.dt_bias": "ssm_dt.bias", "mixer.A_log": "ssm_a", "mixer.D": "ssm_d"}


def gguf_name(name):
    if name in WHOLE:
        return WHOLE[name]
    _, _, layer, rest = name.split(".", 3)
    return f"blk.{layer}.{OF_LAYERS[rest]}"


def save_for_transformers(path, family, folder):
    """The model of a GGUF file."""
    common = {"vocab_size": other_models.VOCAB, "hidden_size": other_models.WIDTH, "num_hidden_layers": other_models.LAYERS, "state_size": 16, "expand": 2, "conv_kernel": 4,
              "layer_norm_epsilon": 1e-5, "tie_word_embeddings": False}
    config = transformers.MambaConfig(**common, time_step_rank=8) if family == "mamba" else \
        transformers.Mamba2Config(**common, num_heads=8, head_dim=32, n_groups=1, chunk_size=16)
    model = transformers.AutoModelForCausalLM.from_config(config).float()
    tensors = {tensor.name: np.array(tensor.data) for tensor in gguf.GGUFReader(str(path)).tensors}
    values = {}
    for name, own in model.state_dict().items():
        value = tensors[gguf_name(name)]
        values[name] = torch.tensor(np.log(-value) if name.endswith("A_log") else value).reshape(own.shape)
    model.load_state_dict(values)
    model.save_pretrained(folder)


@pytest.fixture(scope="module", params=["mamba", "mamba2"])
def mamba(request, lab):
    """(family, model file, reference); Mamba 2 of one group, because transformers has one norm for all."""
    family, folder = request.param, lab.folder / request.param
    folder.mkdir()
    path = other_models.write(folder / "model.gguf", family, other_models.mamba(family == "mamba2", groups=1))
    save_for_transformers(path, family, folder / "hf")
    options = {"model": str(folder / "hf"), "prompt": PROMPTS[24], "steps": STEPS, "attention": "eager", "cache": "cache_params"}
    return family, path, capture(folder / "ref", sys.executable, HERE / "run_hf.py", json.dumps(options))


def test_prompt_and_later_passes_are_computed_whole(lab, mamba):
    family, path, reference = mamba
    status, result = diff(reference, lab.candidate(family, gguf=path), "--preset", "none")
    assert status == 0 and result["verdict"] == "match", result["reason"]
    replay = result["replay"]
    assert {o["class"] for o in replay["operations"]} == {"found", "covered"} and replay["origins"] == 0
    assert {o["pass"] for o in replay["operations"] if o["op"] == "SSM_SCAN"} == set(range(1 + len(STEPS)))
    assert replay["kernels"]["checked"] == replay["kernels"]["operations"] == len(replay["operations"])


@pytest.mark.parametrize("tensor", ["ssm_a"])
def test_a_fault_is_named_in_its_layer(lab, mamba, tensor):
    family, path, reference = mamba
    layer, metadata = other_models.mamba(family == "mamba2", groups=1)
    faulty = other_models.write(path.with_name(f"{tensor}.gguf"), family, (layer, metadata), {f"blk.1.{tensor}": 1.02})
    status, result = diff(reference, lab.candidate(family, gguf=faulty), "--preset", "none")
    origins = [o for o in result["replay"]["operations"] if o["origin"]]
    assert status == 1 and origins and {o["layer"] for o in origins} == {1}
    assert {o["pass"] for o in origins} == set(range(1 + len(STEPS)))
