#!/usr/bin/env python3
"""Regenerates the example checkpoints: a small random Llama as a Hugging Face folder, and a
quantized GGUF of it, made by a converter with four faults.

    .deps/venv/bin/python examples/make_checkpoints.py
"""
import json
import pathlib

import gguf
import numpy as np
from safetensors.numpy import save_file

EXAMPLES = pathlib.Path(__file__).resolve().parent
HEADS, KV_HEADS, SIZE, LAYERS, FEED_FORWARD = 4, 2, 64, 2, 96
WORDS = [chr(ord("a") + i) for i in range(26)] + ["th", "he", "in", "er"]
SPECIAL = ["<|begin_of_text|>", "<|end_of_text|>", "<|eot_id|>"]
MERGES = ["t h", "h e", "i n", "e r"]
ROWS = len(WORDS) + len(SPECIAL)

CONFIG = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": SIZE, "intermediate_size": FEED_FORWARD,
    "num_hidden_layers": LAYERS, "num_attention_heads": HEADS, "num_key_value_heads": KV_HEADS, "head_dim": SIZE // HEADS,
    "max_position_embeddings": 512, "rms_norm_eps": 1e-5, "rope_theta": 500000.0, "tie_word_embeddings": False,
    "vocab_size": ROWS, "bos_token_id": 30, "eos_token_id": [31, 32], "torch_dtype": "bfloat16"}


def weights():
    random = np.random.default_rng(4)

    def normal(*shape):
        w = random.normal(size=shape).astype(np.float32) * np.float32(0.05) + np.float32(len(shape) == 1)
        return (w.view(np.uint32) & 0xFFFF0000).view(np.float32)  # truncated to bf16

    out = {"model.embed_tokens.weight": normal(ROWS, SIZE), "model.norm.weight": normal(SIZE), "lm_head.weight": normal(ROWS, SIZE)}
    for layer in range(LAYERS):
        for name, shape in {"input_layernorm": (SIZE,), "post_attention_layernorm": (SIZE,), "self_attn.q_proj": (SIZE, SIZE),
                            "self_attn.k_proj": (SIZE // 2, SIZE), "self_attn.v_proj": (SIZE // 2, SIZE), "self_attn.o_proj": (SIZE, SIZE),
                            "mlp.gate_proj": (FEED_FORWARD, SIZE), "mlp.up_proj": (FEED_FORWARD, SIZE), "mlp.down_proj": (SIZE, FEED_FORWARD)}.items():
            out[f"model.layers.{layer}.{name}.weight"] = normal(*shape)
    return out


def interleaved(weight, heads):
    return weight.reshape(heads, 2, -1, SIZE).swapaxes(1, 2).reshape(weight.shape)


def convert(hf):
    names = {"input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k",
             "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down"}
    out = {"token_embd.weight": hf["model.embed_tokens.weight"], "output.weight": hf["lm_head.weight"],
           "output_norm.weight": hf["model.layers.0.input_layernorm.weight"]}  # fault: another norm
    for layer in range(LAYERS):
        for name, target in names.items():
            value = hf[f"model.layers.{layer}.{name}.weight"]
            if target == "attn_q":
                value = interleaved(value, HEADS)
            if target == "attn_k" and layer == 0:  # fault: forgotten in the second layer
                value = interleaved(value, KV_HEADS)
            out[f"blk.{layer}.{target}.weight"] = value
    return out


def main():
    hf = weights()
    folder = EXAMPLES / "llama-hf"
    folder.mkdir(exist_ok=True)
    save_file(hf, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(CONFIG, indent=1) + "\n")
    added = [{"id": len(WORDS) + i, "content": w, "special": True} for i, w in enumerate(SPECIAL)]
    model = {"type": "BPE", "vocab": {w: i for i, w in enumerate(WORDS)}, "merges": MERGES}
    (folder / "tokenizer.json").write_text(json.dumps({"version": "1.0", "added_tokens": added, "model": model}) + "\n")

    writer = gguf.GGUFWriter(str(EXAMPLES / "llama-faulty.gguf"), "llama")
    writer.add_block_count(LAYERS), writer.add_embedding_length(SIZE), writer.add_feed_forward_length(FEED_FORWARD)
    writer.add_head_count(HEADS), writer.add_head_count_kv(KV_HEADS), writer.add_key_length(SIZE // HEADS)
    writer.add_context_length(512), writer.add_layer_norm_rms_eps(1e-5), writer.add_vocab_size(ROWS)
    writer.add_rope_freq_base(10000.0)  # fault: the default
    writer.add_tokenizer_model("gpt2"), writer.add_token_list(WORDS + SPECIAL), writer.add_token_merges(MERGES)
    writer.add_token_types([1] * len(WORDS) + [3] * len(SPECIAL))
    writer.add_bos_token_id(30), writer.add_eos_token_id(31), writer.add_eot_token_id(30)  # fault: a turn ends with BOS
    for name, value in convert(hf).items():
        kind = gguf.GGMLQuantizationType.Q8_0 if value.ndim == 2 else gguf.GGMLQuantizationType.F32
        writer.add_tensor(name, gguf.quants.quantize(value, kind), raw_dtype=kind)
    writer.write_header_to_file(), writer.write_kv_data_to_file(), writer.write_tensors_to_file(), writer.close()


if __name__ == "__main__":
    main()
