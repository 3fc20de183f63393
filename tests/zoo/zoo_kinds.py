"""Kinds of faults in parts that only the zoo's models have: they join those of the fault campaign, which is in ../e2e."""
import numpy as np

from fault_kinds import CAUSES, add_head_kinds, add_norm_kinds, add_product_kinds, kind, swap
from models import permute_rows

EXPERTS = ("ffn_gate_exps", "ffn_up_exps", "ffn_down_exps", "ffn_gate_up_exps")
PRODUCTS = (
    "attn_qkv", "attn_gate", "attn_q_a", "attn_q_b", "attn_kv_a_mqa", "attn_kv_b", "attn_k_b", "attn_v_b", "attn_o", "attn_rel_b",
    "ffn_gate_inp", "ffn_gate_shexp", "ffn_up_shexp", "ffn_down_shexp", "ffn_gate_inp_shexp", *EXPERTS,
    "ssm_in", "ssm_x", "ssm_dt", "ssm_out", "ssm_alpha", "ssm_beta", "ssm_ba", "shortconv.in_proj", "shortconv.out_proj",
    "inp_gate", "proj", "laurel_l", "laurel_r", "altup_router", "hc_attn_down", "hc_attn_up", "hc_attn_inject", "hc_ffn_down", "hc_ffn_up", "hc_ffn_inject",
    "indexer.q_proj", "indexer.k_proj")
NORMS = ("attn_output_norm", "layer_output_norm", "attn_norm_2", "attn_k_norm", "attn_q_a_norm", "attn_kv_a_norm", "post_norm", "laurel_post_norm", "altup_router_norm",
         "ssm_norm", "ssm_b_norm", "ssm_c_norm", "ssm_dt_norm", "hc_attn_norm", "hc_ffn_norm", "indexer.q_norm", "indexer.k_norm")
BIASES = ("attn_q", "attn_k", "attn_v", "attn_qkv", "attn_output", "attn_norm", "ffn_norm", "attn_output_norm", "layer_output_norm", "ffn_gate", "ffn_up", "ffn_down",
          "ffn_gate_exps", "ffn_up_exps", "ffn_down_exps", "ffn_gate_inp", "exp_probs_b", "ssm_conv1d", "ssm_dt")
CONVOLUTIONS = ("ssm_conv1d", "shortconv.conv")
FUSED = ("attn_qkv", "attn_gate", "ffn_up", "ffn_gate_up_exps", "ssm_in", "ssm_ba", "shortconv.in_proj", "attn_q", "attn_kv_a_mqa")
SQUARE = ("attn_q", "attn_output", "attn_o", "ffn_down_exps", "ffn_up_exps", "ffn_gate_exps", "shortconv.out_proj")


def unlike(name, before, after):
    """after, unless it is what was there: then there is no such fault."""
    if before.shape != after.shape or np.array_equal(before, after):
        raise KeyError(name)
    return after


def transposed(name, value):
    return unlike(name, value, value.swapaxes(-1, -2))


def halves_swapped(name, value):
    """Of the rows of each matrix: gate and up, or queries and gates, in the wrong order."""
    return unlike(name, value, np.roll(value, value.shape[-2] // 2, -2)) if value.shape[-2] % 2 == 0 else transposed(name, value)


CAUSES.update({
    "bias doubled": ("scale",), "bias rolled": ("rolled",), "bias of another layer": ("swapped-with",), "with its experts in another order": ("rolled", "row-order", "head-order"), "with an expert overwritten": ("row",),
    "permuted for another number of heads": ("rope-interleave", "row-order"), "transposed": ("transpose",), "with its halves swapped": ("rolled", "row-order", "head-order", "transpose"), "flipped": ("row-order",),
    "gate and up experts swapped": ("swapped-with",), "shared gate and up swapped": ("swapped-with",), "decay scaled": ("scale",), "state's skip left out": ("all-zero",), "attention's sinks left out": ("constant",),
    "layer's scale left out": ("constant",), "positions shifted in their embedding": ("rolled",), "type's embedding left out": ("all-zero",), "embedding's norm scaled": ("scale",), "frequency factors left out": ("constant",),
    "head's bias left out": ("all-zero",), "output norm off by one": ("plus-one", "plus-two", "not-changed"), "LayerNorm's eps": ("norm-eps",), "RoPE base of the windowed layers": ("rope-frequency",),
    "half of the head rotated": ("rope-dims",), "RoPE's scaling factor": ("rope-factors",), "attention's scale": ("softmax-scale", "scale"), "embedding multiplier": ("scale",), "residual multiplier": ("scale",),
    "logits multiplier": ("scale",), "experts' multiplier": ("scale",), "causal or not": ("mask",), "windowed layers inverted": ("mask", "window-size"), "window": ("window-size", "window", "mask"),
})


def add_bias_kinds(name):
    for sort, change in (("left out", np.zeros_like), ("doubled", lambda b: 2 * b), ("rolled", lambda b: np.roll(b, 1))):
        @kind(f"{name} bias {sort}", (), name)
        def altered(d, layer, change=change):
            return d.edit(d.bias(layer, name), change)

    @kind(f"{name} bias of another layer", (), name)
    def other(d, layer):
        return d.edit(d.bias(layer, name), lambda b: d.tensors[d.bias(d.other_layer(layer), name)])


def add_expert_kinds(name):
    @kind(f"{name} with its experts in another order", (), name)
    def order(d, layer):
        return d.edit(d.weight(layer, name), lambda w: np.roll(w, 1, 0))

    @kind(f"{name} with an expert overwritten", (), name)
    def overwritten(d, layer):
        return d.edit(d.weight(layer, name), lambda w: w[[0, 0, *range(2, len(w))]])


for product in PRODUCTS:
    add_product_kinds(product, ())
add_head_kinds("attn_q_b", ())
for projection in ("attn_q", "attn_k"):
    @kind(f"{projection} permuted for another number of heads", (), projection)
    def other_heads(d, layer, name=projection):
        return d.edit(d.weight(layer, name), lambda w: permute_rows(w, 2 * d.heads(name, layer)))
for norm in NORMS:
    add_norm_kinds(norm, ())
for bias in BIASES:
    add_bias_kinds(bias)
for experts in EXPERTS:
    add_expert_kinds(experts)
for weight in SQUARE:
    @kind(f"{weight} transposed", (), weight)
    def transpose(d, layer, name=weight):
        return d.edit(d.weight(layer, name), lambda w: transposed(name, w))
for weight in FUSED:
    @kind(f"{weight} with its halves swapped", (), weight)
    def halves(d, layer, name=weight):
        return d.edit(d.weight(layer, name), lambda w: halves_swapped(name, w))
for weight in CONVOLUTIONS:
    @kind(f"{weight} flipped", (), weight)
    def flipped(d, layer, name=weight):
        return d.edit(d.weight(layer, name), lambda w: w[:, ::-1])

    @kind(f"{weight} of another layer", (), weight)
    def other_convolution(d, layer, name=weight):
        return d.edit(d.weight(layer, name), lambda w: d.tensors[d.weight(d.other_layer(layer), name)])


@kind("gate and up experts swapped", ())
def gate_and_up_experts(d, layer):
    return swap(d, d.weight(layer, "ffn_gate_exps"), d.weight(layer, "ffn_up_exps"))


@kind("shared gate and up swapped", ())
def shared_gate_and_up(d, layer):
    return swap(d, d.weight(layer, "ffn_gate_shexp"), d.weight(layer, "ffn_up_shexp"))


@kind("decay without its sign", ())
def sign_of_decay(d, layer):
    return d.edit(d.weight(layer, "ssm_a"), lambda a: -0.1 * a)


@kind("logarithm of the decay for the decay", ())
def log_of_decay(d, layer):
    return d.edit(d.weight(layer, "ssm_a"), lambda a: np.log(-a))


@kind("decay scaled", ())
def decay_scaled(d, layer):
    return d.edit(d.weight(layer, "ssm_a"), lambda a: a * d.draw.choice([0.5, 1.1, 2.0]))


@kind("state's skip left out", ())
def no_skip(d, layer):
    return d.edit(d.weight(layer, "ssm_d"), np.zeros_like)


@kind("attention's sinks left out", ())
def no_sinks(d, layer):
    return d.edit(d.weight(layer, "attn_sinks"), lambda s: np.full_like(s, -1e4))


@kind("layer's scale left out", ())
def no_layer_scale(d, layer):
    return d.edit(d.weight(layer, "layer_output_scale"), np.ones_like)


@kind("positions shifted in their embedding", ())
def positions(d, layer):
    return d.edit("position_embd.weight", lambda w: np.roll(w, 1, 0))


@kind("type's embedding left out", ())
def no_type(d, layer):
    return d.edit("token_types.weight", np.zeros_like)


@kind("embedding's norm scaled", ())
def embedding_norm(d, layer):
    return d.edit("token_embd_norm.weight", lambda w: w * 1.1)


@kind("frequency factors left out", ())
def no_factors(d, layer):
    return d.edit("rope_freqs.weight", np.ones_like)


@kind("head's bias left out", ())
def no_head_bias(d, layer):
    return d.edit("output.bias", np.zeros_like)


@kind("output norm off by one", ())
def output_norm_off(d, layer):
    return d.edit("output_norm.weight", lambda w: w - 1)


# ---------------------------------------------------------------- keys

def add_key_kind(name, key, change):
    @kind(name, ())
    def altered(d, layer):
        before = d.value(key)
        after = change(d, before)
        if after == before:
            raise KeyError(key)
        d.set(key, after)
        return {"operations": ".*"}


def times(*factors):
    return lambda d, value: value * d.draw.choice(factors)


def left_out(d, value):
    """1 instead of a multiplier; another value where it is 1."""
    return 1.0 if value != 1 else 1.25


KEYS = {
    "LayerNorm's eps": ("attention.layer_norm_epsilon", lambda d, value: d.draw.choice([1e-4, 1e-3])),  # 1e-6 is below what f32 rounds
    "RoPE base of the windowed layers": ("rope.freq_base_swa", times(1.05, 2, 100)),
    "half of the head rotated": ("rope.dimension_count", lambda d, value: value // 2),
    "RoPE's scaling factor": ("rope.scaling.factor", times(0.5, 2)),
    "YaRN's beta": ("rope.scaling.yarn_beta_fast", times(0.5)),
    "YaRN's mscale": ("rope.scaling.yarn_log_multiplier", times(0.5)),
    "attention's temperature": ("attention.temperature_scale", times(0.5, 2)),
    "attention's scale": ("attention.scale", left_out),
    "embedding multiplier": ("embedding_scale", left_out),
    "residual multiplier": ("residual_scale", left_out),
    "logits multiplier": ("logit_scale", left_out),
    "experts' multiplier": ("expert_weights_scale", left_out),
    "experts' weights normalized or not": ("expert_weights_norm", lambda d, value: not value),
    "gate of the experts": ("expert_gating_func", lambda d, value: 3 - value),
    "number of experts used": ("expert_used_count", lambda d, value: 3 - value if value in (1, 2) else value),
    "bound of queries, keys and values": ("attention.clamp_kqv", times(0.1)),
    "ALiBi's slope": ("attention.max_alibi_bias", times(0.5)),
    "parallel or sequential residual": ("use_parallel_residual", lambda d, value: not value),
    "causal or not": ("attention.causal", lambda d, value: not value),
    "windowed layers inverted": ("attention.sliding_window_pattern", lambda d, value: [not each for each in value] if isinstance(value, list) else value),
    "window": ("attention.sliding_window", lambda d, value: d.draw.choice([4, 7, 9, 12]) if 0 < value < 20 else value),
}
for named, (altered_key, alter) in KEYS.items():
    add_key_kind(named, altered_key, alter)
