"""Tiny models of transformers, and their GGUF tensors: names as gguf-py maps them,
values as llama.cpp's converter is known to change them."""
import re

import gguf
import numpy as np
import torch
import transformers
from gguf.constants import MODEL_ARCH

LAYERS, HEADS, KV_HEADS, SIZE = 2, 4, 2, 64
DECODER = dict(vocab_size=48, hidden_size=SIZE, intermediate_size=96, num_hidden_layers=LAYERS, num_attention_heads=HEADS,
               num_key_value_heads=KV_HEADS, max_position_embeddings=64)
HEAD = dict(DECODER, head_dim=16)

# family: (config, model class, architecture of GGUF)
FAMILIES = {
    "llama": (lambda: transformers.LlamaConfig(**DECODER), transformers.LlamaForCausalLM, MODEL_ARCH.LLAMA),
    "qwen2": (lambda: transformers.Qwen2Config(**DECODER), transformers.Qwen2ForCausalLM, MODEL_ARCH.QWEN2),
    "qwen3": (lambda: transformers.Qwen3Config(**HEAD), transformers.Qwen3ForCausalLM, MODEL_ARCH.QWEN3),
    "qwen3moe": (lambda: transformers.Qwen3MoeConfig(**HEAD, num_experts=4, num_experts_per_tok=2, moe_intermediate_size=32),
                 transformers.Qwen3MoeForCausalLM, MODEL_ARCH.QWEN3MOE),
    "gemma2": (lambda: transformers.Gemma2Config(**HEAD), transformers.Gemma2ForCausalLM, MODEL_ARCH.GEMMA2),
    "gemma3": (lambda: transformers.Gemma3TextConfig(**HEAD), transformers.Gemma3ForCausalLM, MODEL_ARCH.GEMMA3),
    "phi3": (lambda: transformers.Phi3Config(**DECODER, pad_token_id=0), transformers.Phi3ForCausalLM, MODEL_ARCH.PHI3),
    "gpt2": (lambda: transformers.GPT2Config(vocab_size=48, n_embd=SIZE, n_layer=LAYERS, n_head=HEADS, n_positions=64),
             transformers.GPT2LMHeadModel, MODEL_ARCH.GPT2),
    "bert": (lambda: transformers.BertConfig(vocab_size=48, hidden_size=SIZE, intermediate_size=96, num_hidden_layers=LAYERS,
                                             num_attention_heads=HEADS, max_position_embeddings=64), transformers.BertModel, MODEL_ARCH.BERT),
}


def make(family):
    """Random in every tensor: an initialiser's constants would all be alike."""
    config, model_class, _ = FAMILIES[family]
    torch.manual_seed(1)
    model = model_class(config()).float()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape) * 0.05 + (1 if parameter.ndim == 1 else 0))
    return model


def interleaved(weight, heads):
    """llama.cpp's permute of Q and K, for rotary pairs of neighbours."""
    return weight.reshape(heads, 2, weight.shape[0] // heads // 2, *weight.shape[1:]).swapaxes(1, 2).reshape(weight.shape)


def changed(family, name, value):
    if family == "llama" and ".q_proj." in name:
        return interleaved(value, HEADS)
    if family == "llama" and ".k_proj." in name:
        return interleaved(value, KV_HEADS)
    if family.startswith("gemma") and "norm" in name:
        return value + np.float32(1)
    if family == "gpt2" and re.search(r"(c_attn|c_proj|c_fc)\.weight$", name):
        return value.T
    return value


def to_gguf(family, saved):
    """saved: the checkpoint's tensors by name."""
    names = gguf.get_tensor_name_map(FAMILIES[family][2], LAYERS)
    out, experts = {}, {}
    for name, value in saved.items():
        expert = re.match(r"(.*\.experts)\.(\d+)\.(\w+)\.weight$", name)
        if expert:
            experts.setdefault((expert[1], expert[3]), {})[int(expert[2])] = value
            continue
        target = names.get_name(name, try_suffixes=(".weight", ".bias"))
        if target is None or name == "lm_head.weight" and np.array_equal(value, saved.get("model.embed_tokens.weight")):
            continue
        out[target] = np.ascontiguousarray(changed(family, name, value))
    for (stem, kind), values in experts.items():
        target = names.get_name(f"{stem}.{kind}.weight", try_suffixes=(".weight",))
        out[target] = np.stack([values[i] for i in range(len(values))])
    return out
