"""Small random models, saved for transformers and as f32 GGUF with the same weights.

The weights are drawn so that every part of the network matters: norm weights and
biases are random, a few channels are outliers, and each block's output is some tens
of percent of the residual that it is added to. A fault anywhere then changes the
logits (tests assert it).
"""
import ctypes
import pathlib
import sys

import gguf
import numpy as np
import torch
import transformers

GGML = next((pathlib.Path(__file__).resolve().parents[2] / ".deps/llama-v0.5.0").rglob("libggml-base.so"), None)

VOCAB = 320
LAYERS = 8
SEED = 7

COMMON = dict(
    vocab_size=VOCAB, hidden_size=64, intermediate_size=160, num_hidden_layers=LAYERS,
    num_attention_heads=4, num_key_value_heads=2, head_dim=32, max_position_embeddings=512,
    rms_norm_eps=1e-6, bos_token_id=1, eos_token_id=2, pad_token_id=0,
)


def config_of(family):
    if family == "tiny":  # the recorded example's Qwen3
        small = dict(COMMON, hidden_size=32, intermediate_size=64, num_hidden_layers=3, head_dim=16, vocab_size=64)
        return transformers.Qwen3Config(**small, rope_theta=10000.0, tie_word_embeddings=False)
    if family == "llama":
        return transformers.LlamaConfig(**COMMON, rope_theta=10000.0, tie_word_embeddings=False)
    if family == "llama-wide":  # rows of whole blocks of the K- and I-types
        wide = dict(COMMON, hidden_size=256, intermediate_size=512, num_hidden_layers=3, head_dim=64)
        return transformers.LlamaConfig(**wide, rope_theta=10000.0, tie_word_embeddings=False)
    if family == "llama-biased":
        return transformers.LlamaConfig(**COMMON, rope_theta=10000.0, tie_word_embeddings=False, attention_bias=True)
    if family == "gemma2":
        return transformers.Gemma2Config(
            **COMMON, query_pre_attn_scalar=32, sliding_window=16, attn_logit_softcapping=50.0,
            final_logit_softcapping=30.0, tie_word_embeddings=True)
    if family == "qwen2":
        # llama.cpp wants heads that make up the hidden size
        return transformers.Qwen2Config(**{k: v for k, v in COMMON.items() if k != "head_dim"}, rope_theta=10000.0, tie_word_embeddings=False)
    if family == "qwen3":
        return transformers.Qwen3Config(**COMMON, rope_theta=10000.0, tie_word_embeddings=False)
    if family == "gemma3":
        return transformers.Gemma3TextConfig(
            **COMMON, query_pre_attn_scalar=32, sliding_window=16, rope_theta=1000000.0,
            rope_local_base_freq=10000.0, final_logit_softcapping=None, tie_word_embeddings=True)
    raise ValueError(family)


def randomise(model):
    """Weights that no initialiser would give, but that training might."""
    generator = torch.Generator().manual_seed(SEED)

    def normal(shape, scale):
        return torch.randn(shape, generator=generator) * scale

    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim == 1 and "norm" in name:
                # Gemma multiplies by 1 + weight, the others by weight
                centre = 0.0 if "gemma" in type(model).__name__.lower() else 1.0
                parameter.copy_(centre + normal(parameter.shape, 0.3))
            elif parameter.ndim == 1:
                parameter.copy_(normal(parameter.shape, 0.2))
            elif "embed" in name or "lm_head" in name:
                parameter.copy_(normal(parameter.shape, 1.0))
                parameter[:, 5] *= 8  # outlier channels
                parameter[:, -3] *= 5
            else:
                gain = 0.35 if ("o_proj" in name or "down_proj" in name) else 1.2
                parameter.copy_(normal(parameter.shape, gain / parameter.shape[1] ** 0.5))
    return model


def make_model(family, attention="sdpa"):
    config = config_of(family)
    attention = "eager" if family == "gemma2" else attention  # soft caps: transformers has no other
    config._attn_implementation = attention
    torch.manual_seed(SEED)
    model = transformers.AutoModelForCausalLM.from_config(config, attn_implementation=attention)
    return randomise(model.float()).eval()


# --- GGUF, by the names that llama.cpp loads

def permute_rows(weight, heads):
    """Llama's rotary halves, interleaved as ggml's NORM rope wants them; biases, too."""
    return weight.reshape(heads, 2, weight.shape[0] // heads // 2, -1).swapaxes(1, 2).reshape(weight.shape)


LAYER_NAMES = {
    "input_layernorm.weight": "attn_norm.weight",
    "self_attn.q_proj.weight": "attn_q.weight", "self_attn.q_proj.bias": "attn_q.bias",
    "self_attn.k_proj.weight": "attn_k.weight", "self_attn.k_proj.bias": "attn_k.bias",
    "self_attn.v_proj.weight": "attn_v.weight", "self_attn.v_proj.bias": "attn_v.bias",
    "self_attn.o_proj.weight": "attn_output.weight", "self_attn.o_proj.bias": "attn_output.bias",
    "self_attn.q_norm.weight": "attn_q_norm.weight", "self_attn.k_norm.weight": "attn_k_norm.weight",
    "mlp.gate_proj.weight": "ffn_gate.weight", "mlp.up_proj.weight": "ffn_up.weight",
    "mlp.down_proj.weight": "ffn_down.weight",
}
GEMMAS = ("gemma2", "gemma3")
LLAMAS = ("llama", "llama-biased", "llama-wide")
POST_NORM = {
    "llama": {"post_attention_layernorm.weight": "ffn_norm.weight"},
    "gemma3": {"post_attention_layernorm.weight": "post_attention_norm.weight",
               "pre_feedforward_layernorm.weight": "ffn_norm.weight",
               "post_feedforward_layernorm.weight": "post_ffw_norm.weight"},
}
POST_NORM["gemma2"] = POST_NORM["gemma3"]


def gguf_tensors(model, family, permuted=True):
    """name -> float32 array, as a correct conversion has them."""
    config, out = model.config, {}
    layer_names = dict(LAYER_NAMES, **POST_NORM.get(family, POST_NORM["llama"]))
    for name, parameter in model.state_dict().items():
        value = parameter.detach().float().numpy()
        if name == "model.embed_tokens.weight":
            target = "token_embd.weight"
        elif name == "model.norm.weight":
            target = "output_norm.weight"
        elif name == "lm_head.weight":
            if config.tie_word_embeddings:
                continue
            target = "output.weight"
        else:
            layer, rest = name.removeprefix("model.layers.").split(".", 1)
            target = f"blk.{layer}.{layer_names[rest]}"
        if family in GEMMAS and target.endswith("norm.weight"):
            value = value + 1
        if family in LLAMAS and permuted and "attn_q." in target:
            value = permute_rows(value, config.num_attention_heads)
        if family in LLAMAS and permuted and "attn_k." in target:
            value = permute_rows(value, config.num_key_value_heads)
        out[target] = np.ascontiguousarray(value, dtype=np.float32)
    return out


def quantized(value, kind):
    """By gguf's own Python where it can, or else by the function that the engine exports."""
    try:
        return gguf.quants.quantize(value, kind)
    except NotImplementedError:
        block, size = gguf.GGML_QUANT_SIZES[kind]
        rows, columns = value.shape
        out, importance = np.empty((rows, columns // block * size), np.uint8), np.ones(columns, np.float32)
        function = ctypes.CDLL(str(GGML)).ggml_quantize_chunk
        function.restype = ctypes.c_size_t
        function.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p] + 3 * [ctypes.c_int64] + [ctypes.c_void_p]
        values = np.ascontiguousarray(value, np.float32)
        written = function(int(kind), values.ctypes.data, out.ctypes.data, 0, rows, columns, importance.ctypes.data)
        assert columns % block == 0 and written == out.nbytes
        return out


def write_gguf(path, model, family, tensors, rope_base=None, eps=None, quantize=None):
    config = model.config
    writer = gguf.GGUFWriter(str(path), "llama" if family in LLAMAS else family)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    if family != "qwen2":
        writer.add_key_length(config.head_dim)
        writer.add_value_length(config.head_dim)
    writer.add_layer_norm_rms_eps(eps if eps is not None else config.rms_norm_eps)
    default_base = 1000000.0 if family == "gemma3" else 10000.0
    writer.add_rope_freq_base(rope_base if rope_base is not None else default_base)
    if family in GEMMAS:
        writer.add_sliding_window(config.sliding_window)
    if family == "gemma2":
        writer.add_attn_logit_softcapping(config.attn_logit_softcapping)
        writer.add_final_logit_softcapping(config.final_logit_softcapping)
    if family in LLAMAS:
        writer.add_rope_dimension_count(config.head_dim)
    writer.add_vocab_size(config.vocab_size)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("default")
    writer.add_token_list([f"<t{i}>" for i in range(config.vocab_size)])
    writer.add_token_types([3 if i < 3 else 4 for i in range(config.vocab_size)])
    writer.add_token_merges(["< t"])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_add_bos_token(False)
    for name, value in tensors.items():
        kind = gguf.GGMLQuantizationType.F32
        if quantize and value.ndim == 2 and "blk." in name:
            kind = gguf.GGMLQuantizationType[quantize.upper()]
            value = quantized(value, kind)
        writer.add_tensor(name, value, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def save(family, folder):
    """folder/hf (transformers) and folder/model.gguf; returns the model."""
    folder = pathlib.Path(folder)
    model = make_model(family)
    model.save_pretrained(folder / "hf")
    write_gguf(folder / "model.gguf", model, family, gguf_tensors(model, family))
    return model


if __name__ == "__main__":
    save(sys.argv[1], sys.argv[2])
