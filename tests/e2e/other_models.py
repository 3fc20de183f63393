"""Small random models of other kinds than transformers: only for llama.cpp, as f32 GGUF."""
import gguf
import numpy as np

VOCAB, WIDTH, LAYERS, SEED = 320, 128, 2, 11


def mamba(two, groups=2):
    """Mamba, or Mamba 2: {name: shape}, and the metadata. Shapes have the innermost axis last."""
    inner, state, rank, heads = 2 * WIDTH, 16, 8, 8
    mixed = inner + 2 * groups * state if two else inner
    layer = {
        "attn_norm.weight": [WIDTH], "ssm_in.weight": [2 * inner + 2 * groups * state + heads if two else 2 * inner, WIDTH], "ssm_conv1d.weight": [mixed, 4],
        "ssm_conv1d.bias": [mixed], "ssm_dt.bias": [heads if two else inner], "ssm_a": [heads, 1] if two else [inner, state], "ssm_d": [heads, 1] if two else [inner],
        "ssm_out.weight": [WIDTH, inner],
    }
    layer.update({"ssm_norm.weight": [groups, inner // groups]} if two else {"ssm_x.weight": [rank + 2 * state, inner], "ssm_dt.weight": [inner, rank]})
    return layer, {"ssm.conv_kernel": 4, "ssm.inner_size": inner, "ssm.state_size": state, "ssm.time_step_rank": heads if two else rank,
                   **({"ssm.group_count": groups} if two else {})}


def qwen_vl(three):
    """A transformer whose rotary embedding has sections: one after another, or from Qwen 3 on interleaved."""
    head, ff = 16, 48
    heads = WIDTH // head
    layer = {"attn_norm.weight": [WIDTH], "ffn_norm.weight": [WIDTH], "ffn_gate.weight": [ff, WIDTH], "ffn_up.weight": [ff, WIDTH], "ffn_down.weight": [WIDTH, ff],
             "attn_output.weight": [WIDTH, WIDTH]}
    layer.update({f"attn_{name}.weight": [WIDTH, WIDTH] for name in "qkv"})
    layer.update({"attn_q_norm.weight": [head], "attn_k_norm.weight": [head]} if three else {f"attn_{name}.bias": [WIDTH] for name in "qkv"})
    return layer, {"attention.head_count": heads, "attention.head_count_kv": heads, "rope.dimension_sections": [2, 3, 3, 0], "rope.freq_base": 10000.0,
                   "attention.key_length": head, "attention.value_length": head}


def rwkv7():
    head, rank, ff = 64, 8, 48
    layer = {"attn_norm.weight": [WIDTH], "attn_norm.bias": [WIDTH], "attn_norm_2.weight": [WIDTH], "attn_norm_2.bias": [WIDTH],
             "time_mix_lerp_fused.weight": [6, 1, 1, WIDTH], "time_mix_ln.weight": [WIDTH], "time_mix_ln.bias": [WIDTH],
             "channel_mix_lerp_k.weight": [1, 1, WIDTH], "channel_mix_key.weight": [ff, WIDTH], "channel_mix_value.weight": [WIDTH, ff],
             "time_mix_k_k.weight": [WIDTH], "time_mix_k_a.weight": [WIDTH], "time_mix_r_k.weight": [WIDTH]}
    layer.update({f"time_mix_{name}0.weight": [WIDTH] for name in "wav"})
    for name in "wavg":
        layer.update({f"time_mix_{name}1.weight": [rank, WIDTH], f"time_mix_{name}2.weight": [WIDTH, rank]})
    layer.update({f"time_mix_{name}.weight": [WIDTH, WIDTH] for name in ("receptance", "key", "value", "output")})
    ranks = {f"attention.{name}_lora_rank": rank for name in ("decay", "iclr", "value_residual_mix", "gate")}
    return layer, {"wkv.head_size": head, "feed_forward_length": ff, "attention.layer_norm_epsilon": 1e-5, **ranks}


def rwkv6():
    head, rank, ff = 64, 8, 48
    layer = {"attn_norm.weight": [WIDTH], "attn_norm.bias": [WIDTH], "attn_norm_2.weight": [WIDTH], "attn_norm_2.bias": [WIDTH],
             "time_mix_w1.weight": [5 * rank, WIDTH], "time_mix_w2.weight": [5, WIDTH, rank], "time_mix_lerp_x.weight": [1, 1, WIDTH], "time_mix_lerp_fused.weight": [5, 1, 1, WIDTH],
             "time_mix_first.weight": [WIDTH // head, head], "time_mix_decay.weight": [WIDTH], "time_mix_decay_w1.weight": [rank, WIDTH],
             "time_mix_decay_w2.weight": [WIDTH, rank], "time_mix_ln.weight": [WIDTH], "time_mix_ln.bias": [WIDTH],
             "channel_mix_lerp_k.weight": [1, 1, WIDTH], "channel_mix_lerp_r.weight": [1, 1, WIDTH], "channel_mix_receptance.weight": [WIDTH, WIDTH],
             "channel_mix_key.weight": [ff, WIDTH], "channel_mix_value.weight": [WIDTH, ff]}
    layer.update({f"time_mix_{name}.weight": [WIDTH, WIDTH] for name in ("receptance", "key", "value", "gate", "output")})
    return layer, {"wkv.head_size": head, "feed_forward_length": ff, "attention.layer_norm_epsilon": 1e-5, "time_mix_extra_dim": rank, "time_decay_extra_dim": rank,
                   "rescale_every_n_layers": 0}


KINDS = {"mamba": lambda: mamba(False), "mamba2": lambda: mamba(True), "qwen2vl": lambda: qwen_vl(False), "qwen3vl": lambda: qwen_vl(True), "rwkv6": rwkv6, "rwkv7": rwkv7}


def weight(rng, name, shape):
    if name.endswith("ssm_a"):
        return -np.exp(rng.standard_normal(shape))
    if len(shape) > 1 and min(shape[-2:]) > 1:
        return rng.standard_normal(shape) / np.sqrt(shape[-1])
    return ("norm" in name or "_ln" in name) * 1.0 + 0.3 * rng.standard_normal(shape)


def add(writer, architecture, key, value):
    name = f"{architecture}.{key}"
    if isinstance(value, list):
        writer.add_array(name, value)
    elif isinstance(value, float):
        writer.add_float32(name, value)
    else:
        writer.add_uint32(name, value)


def write(path, architecture, model=None, factors=()):
    """model: of KINDS by default; factors: {name of a tensor: what it is multiplied with}."""
    rng = np.random.default_rng(SEED)
    layer, metadata = model or KINDS[architecture]()
    writer = gguf.GGUFWriter(str(path), architecture)
    common = {"context_length": 256, "embedding_length": WIDTH, "block_count": LAYERS, "feed_forward_length": 48, "attention.head_count": 0,
              "attention.layer_norm_rms_epsilon": 1e-5, "vocab_size": VOCAB}
    for key, value in {**common, **metadata}.items():
        add(writer, architecture, key, value)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("default")
    writer.add_token_list([f"<t{i}>" for i in range(VOCAB)])
    writer.add_token_types([3 if i < 3 else 4 for i in range(VOCAB)])
    writer.add_token_merges(["< t"])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    shapes = {"token_embd.weight": [VOCAB, WIDTH], "output_norm.weight": [WIDTH], "output.weight": [VOCAB, WIDTH]}
    if architecture.startswith("rwkv"):
        shapes.update({"token_embd_norm.weight": [WIDTH], "token_embd_norm.bias": [WIDTH], "output_norm.bias": [WIDTH]})
    shapes.update({f"blk.{i}.{name}": shape for i in range(LAYERS) for name, shape in layer.items()})
    for name, shape in shapes.items():
        writer.add_tensor(name, (weight(rng, name, shape) * dict(factors).get(name, 1)).astype("f4"))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
