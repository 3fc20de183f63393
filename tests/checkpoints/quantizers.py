"""Quantizes a matrix as each scheme's own tools do, and decodes it again with the scheme's library, or
(GPTQ, bitsandbytes) with its documented arithmetic in NumPy.

Each function takes a float32 matrix and returns (tensors of the module by the ends of their names, the
quantization_config, and the decoded matrix)."""
import json

import numpy as np
import torch
from torch import Tensor


def to_tensor(w) -> Tensor:
    return torch.from_numpy(np.array(w, np.float32))


# --- 8-bit floating point: torch rounds, and multiplies


def fp8_blocks(w, block=128, dtype=torch.float8_e4m3fn):
    t = to_tensor(w)
    rows, columns = t.shape
    padded = torch.nn.functional.pad(t, (0, -columns % block, 0, -rows % block))
    tiles = padded.reshape(padded.shape[0] // block, block, padded.shape[1] // block, block)
    scale = tiles.abs().amax((1, 3)) / torch.finfo(dtype).max
    spread = scale.repeat_interleave(block, 0).repeat_interleave(block, 1)[:rows, :columns]
    codes = (t / spread).to(dtype)
    config = {"quant_method": "fp8", "weight_block_size": [block, block], "activation_scheme": "dynamic"}
    return {".weight": codes, ".weight_scale_inv": scale}, config, codes.float() * spread


def fp8_rows(w, dtype=torch.float8_e4m3fn, scale_dtype=torch.float32):
    t = to_tensor(w)
    scale = (t.abs().amax(1, keepdim=True) / torch.finfo(dtype).max).to(scale_dtype)
    codes = (t / scale.float()).to(dtype)
    weights = {"num_bits": 8, "type": "float", "strategy": "channel", "symmetric": True, "group_size": None}
    config = {"quant_method": "compressed-tensors", "format": "float-quantized", "config_groups": {"group_0": {"targets": ["Linear"], "weights": weights}}}
    return {".weight": codes, ".weight_scale": scale}, config, codes.float() * scale.float()


def fp8_tensor(w, dtype=torch.float8_e4m3fn):
    t = to_tensor(w)
    scale = t.abs().max() / torch.finfo(dtype).max
    codes = (t / scale).to(dtype)
    return {".weight": codes, ".weight_scale": scale, ".input_scale": torch.tensor(0.5)}, {"quant_method": "modelopt", "quant_algo": "FP8"}, codes.float() * scale


def e5m2_rows(w):
    return fp8_rows(w, torch.float8_e5m2, torch.bfloat16)


# --- compressed-tensors, with its own compressors


def compressed(w, bits, strategy, symmetric=True, group=None, dtype=torch.float32):
    from compressed_tensors.compressors import BaseCompressor
    from compressed_tensors.quantization import QuantizationArgs, QuantizationScheme
    from compressed_tensors.quantization.utils import calculate_qparams

    t = to_tensor(w).to(dtype)
    args = QuantizationArgs(num_bits=bits, type="int", strategy=strategy, symmetric=symmetric, group_size=group)
    scheme = QuantizationScheme(targets=["Linear"], weights=args)
    parts = t if group is None else t.reshape(t.shape[0], -1, group)
    if group is None:
        low, high = t.amin(1, keepdim=True), t.amax(1, keepdim=True)
    else:
        low, high = parts.amin(2), parts.amax(2)
    scale, zero = calculate_qparams(low, high, args)
    state = {"weight": t, "weight_scale": scale, "weight_zero_point": zero.to(torch.int8)}
    name = "pack-quantized" if bits != 8 or group else "int-quantized"
    compressor = BaseCompressor.get_value_from_registry(name)
    small = compressor.compress(state, scheme)
    big = compressor.decompress(dict(small), scheme)["weight"].float()
    config = {"quant_method": "compressed-tensors", "format": name,
              "config_groups": {"group_0": {"targets": ["Linear"], "weights": {"num_bits": bits, "group_size": group, "strategy": strategy, "symmetric": symmetric, "type": "int"}}}}
    return {"." + k: v for k, v in small.items()}, config, big


def nvfp4(w):
    from compressed_tensors.compressors import BaseCompressor
    from compressed_tensors.quantization import QuantizationArgs, QuantizationScheme
    from compressed_tensors.quantization.utils import calculate_qparams

    t = to_tensor(w)
    args = QuantizationArgs(num_bits=4, type="float", strategy="tensor_group", symmetric=True, group_size=16, scale_dtype=torch.float8_e4m3fn)
    scheme = QuantizationScheme(targets=["Linear"], weights=args)
    whole = (448 * 6 / t.abs().max()).reshape(1)
    parts = t.reshape(t.shape[0], -1, 16)
    scale, _ = calculate_qparams(parts.amin(2), parts.amax(2), args, global_scale=whole)
    compressor = BaseCompressor.get_value_from_registry("nvfp4-pack-quantized")
    small = compressor.compress({"weight": t, "weight_scale": scale, "weight_global_scale": whole}, scheme)
    big = compressor.decompress(dict(small), scheme)["weight"].float()
    return {"." + k: v for k, v in small.items()}, {"quant_method": "compressed-tensors", "format": "nvfp4-pack-quantized"}, big


def nvfp4_modelopt(w):
    """The same numbers, with the inverse of the scale of the whole tensor, under ModelOpt's names."""
    parts, _, big = nvfp4(w)
    return {".weight": parts[".weight_packed"], ".weight_scale": parts[".weight_scale"], ".weight_scale_2": (1 / parts[".weight_global_scale"]).reshape(()),
            ".input_scale": torch.tensor(1.0)}, {"quant_method": "modelopt", "quant_algo": "NVFP4"}, big


# --- GPTQ and AWQ


def stream(codes, bits):
    """Rows of codes as 32-bit words, the lowest bits first, without gaps."""
    rows, columns = codes.shape
    flat = (codes[:, :, None] >> np.arange(bits)) & 1
    flat = np.pad(flat.reshape(rows, columns * bits), ((0, 0), (0, -columns * bits % 32)))
    return np.packbits(flat.astype(np.uint8), axis=1, bitorder="little").view("<i4")


def grid(w, bits, group, symmetric):
    """Rounds each group of a row to a grid of integers: codes, scales, zero points, values."""
    rows, columns = w.shape
    parts = w.reshape(rows, -1, group)
    top = 2**bits - 1
    if symmetric:
        scale = 2 * np.abs(parts).max(2) / top
        zero = np.full(scale.shape, (top + 1) // 2)
    else:
        low, high = np.minimum(parts.min(2), 0), np.maximum(parts.max(2), 0)
        scale = (high - low) / top
        zero = np.clip(np.rint(-low / scale), 1, top)  # a zero point of 0 can't be stored as one less
    scale = scale.astype(np.float16)
    codes = np.clip(np.rint(parts / scale[..., None].astype(np.float32)) + zero[..., None], 0, top).astype(np.int64)
    values = (codes - zero[..., None]) * scale[..., None].astype(np.float32)
    return codes.reshape(rows, columns), scale, zero.astype(np.int64), values.reshape(rows, columns)


def gptq(w, bits=4, group=32, symmetric=True, shuffle=False, version="gptq"):
    """w: [outputs, inputs]. With `shuffle`, inputs are assigned to groups out of order, as desc_act does."""
    inputs = w.shape[1]
    order = np.random.default_rng(5).permutation(inputs) if shuffle else np.arange(inputs)
    codes, scale, zero, values = grid(w[:, order], bits, group, symmetric)
    index, back = np.empty(inputs, np.int32), np.argsort(order)
    index[order] = np.arange(inputs) // group
    stored = zero - (version == "gptq")
    parts = {".qweight": stream(codes[:, back], bits).T.copy(), ".qzeros": stream(stored.T, bits), ".scales": scale.T.copy(), ".g_idx": index}
    config = {"quant_method": "gptq", "bits": bits, "group_size": group, "desc_act": shuffle, "sym": symmetric, "checkpoint_format": version}
    return {k: torch.from_numpy(v) for k, v in parts.items()}, config, torch.from_numpy(values[:, back])


AWQ_ORDER = [0, 2, 4, 6, 1, 3, 5, 7]


def awq(w, group=32):
    codes, scale, zero, values = grid(w, 4, group, False)

    def pack(q):  # [n, outputs]
        eight = q.reshape(q.shape[0], -1, 8)[:, :, AWQ_ORDER].astype(np.uint32)
        return (eight << (4 * np.arange(8, dtype=np.uint32))).sum(2, dtype=np.uint32).view(np.int32)

    parts = {".qweight": pack(codes.T), ".qzeros": pack(zero.T), ".scales": scale.T.copy()}
    return {k: torch.from_numpy(v) for k, v in parts.items()}, {"quant_method": "awq", "bits": 4, "group_size": group, "version": "gemm", "zero_point": True}, torch.from_numpy(values)


# --- MXFP4 of gpt-oss: the matrices of experts, [experts, outputs, inputs] here


def mxfp4(w):
    from transformers.integrations.mxfp4 import convert_moe_packed_tensors

    levels = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6])
    experts, outputs, inputs = w.shape
    parts = w.reshape(experts, outputs, inputs // 32, 32)
    power = np.floor(np.log2(np.abs(parts).max(3))) - 2
    small = parts / np.exp2(power)[..., None]
    codes = np.abs(np.abs(small)[..., None] - levels).argmin(-1).astype(np.uint8) | (small < 0).astype(np.uint8) << 3
    blocks = torch.from_numpy(codes[..., ::2] | codes[..., 1::2] << 4)
    scales = torch.from_numpy((power + 127).astype(np.uint8))
    return {"_blocks": blocks, "_scales": scales}, {"quant_method": "mxfp4"}, convert_moe_packed_tensors(blocks, scales, dtype=torch.float32)


# --- bitsandbytes: its tables, and its arithmetic in NumPy (the library is large)

NF4 = np.array([-1, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635, -0.18477343022823334, -0.09105003625154495, 0,
                0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224, 0.44070982933044434, 0.5626170039176941,
                0.7229568362236023, 1], np.float32)
FP4 = np.array([0, 0.0052083333, 0.66666667, 1, 0.33333333, 0.5, 0.16666667, 0.25, 0, -0.0052083333, -0.66666667, -1, -0.33333333, -0.5, -0.16666667, -0.25], np.float32)


def dynamic_map():
    """The 8-bit table for scales: a sign, an exponent in unary, and a linear fraction (Dettmers 2021)."""
    values = [0.0, 1.0]
    for exponent in range(7):
        edges = np.linspace(0.1, 1, 2**exponent + 1)
        means = (edges[:-1] + edges[1:]) / 2 * 10.0 ** (exponent - 6)
        values += [*means, *-means]
    return np.sort(np.array(values, np.float32))


def bnb4(w, kind="nf4", nested=False, block=64):
    table = NF4 if kind == "nf4" else FP4
    flat = w.reshape(-1)
    parts = np.pad(flat, (0, -flat.size % block)).reshape(-1, block)
    absmax = np.abs(parts).max(1).astype(np.float32)
    codes = np.abs((parts / absmax[:, None])[..., None] - table).argmin(-1).reshape(-1)[:flat.size].astype(np.uint8)
    codes = np.pad(codes, (0, codes.size % 2))
    state = {"quant_type": kind, "blocksize": block, "dtype": "float32", "shape": list(w.shape)}
    parts = {".weight": (codes[::2] << 4 | codes[1::2])[:, None], ".weight.quant_map": table}
    if nested:
        offset, outer_block, outer_map = absmax.mean(), 256, dynamic_map()
        rest = np.pad(absmax - offset, (0, -absmax.size % outer_block)).reshape(-1, outer_block)
        outer = np.abs(rest).max(1).astype(np.float32)
        small = np.abs((rest / outer[:, None])[..., None] - outer_map).argmin(-1).astype(np.uint8)
        absmax = (outer_map[small] * outer[:, None]).reshape(-1)[:absmax.size] + offset
        parts |= {".weight.absmax": small.reshape(-1)[:absmax.size], ".weight.nested_absmax": outer, ".weight.nested_quant_map": outer_map}
        state |= {"nested_blocksize": outer_block, "nested_dtype": "float32", "nested_offset": float(offset)}
    else:
        parts[".weight.absmax"] = absmax
    parts[f".weight.quant_state.bitsandbytes__{kind}"] = np.frombuffer(json.dumps(state).encode(), np.uint8).copy()
    values = table[codes[:flat.size]] * np.repeat(absmax, block)[:flat.size]
    config = {"quant_method": "bitsandbytes", "load_in_4bit": True, "bnb_4bit_quant_type": kind, "bnb_4bit_use_double_quant": nested}
    return {k: torch.from_numpy(np.ascontiguousarray(v)) for k, v in parts.items()}, config, torch.from_numpy(values.reshape(w.shape).astype(np.float32))


def bnb8(w):
    scale = np.abs(w).max(1).astype(np.float32)
    codes = np.rint(w * (127 / scale[:, None])).astype(np.int8)
    parts = {".weight": codes, ".SCB": scale, ".weight_format": np.uint8(0)}
    return {k: torch.from_numpy(np.array(v)) for k, v in parts.items()}, {"quant_method": "bitsandbytes", "load_in_8bit": True}, torch.from_numpy(codes * (scale[:, None] / 127))


# --- MLX, with its own functions


def mlx(w, bits=4, group=64, dtype="float32"):
    import mlx.core as mx

    codes, scales, biases = mx.quantize(mx.array(w).astype(getattr(mx, dtype)), group_size=group, bits=bits)
    big = np.array(mx.dequantize(codes, scales, biases, group_size=group, bits=bits).astype(mx.float32))
    kept = getattr(torch, dtype)
    parts = {".weight": torch.from_numpy(np.array(codes)), **{k: torch.from_numpy(np.array(v.astype(mx.float32))).to(kept) for k, v in ((".scales", scales), (".biases", biases))}}
    return parts, {"mlx": {"group_size": group, "bits": bits}}, torch.from_numpy(big)


SCHEMES = {
    "fp8 blocks": fp8_blocks, "fp8 rows": fp8_rows, "fp8 tensor": fp8_tensor, "e5m2 rows": e5m2_rows,
    "ct int8 rows": lambda w: compressed(w, 8, "channel"), "ct int8 rows zero": lambda w: compressed(w, 8, "channel", False),
    "ct int8 groups": lambda w: compressed(w, 8, "group", group=32),
    "ct int4 groups": lambda w: compressed(w, 4, "group", group=32), "ct int4 groups zero": lambda w: compressed(w, 4, "group", False, 32),
    "ct int4 rows": lambda w: compressed(w, 4, "channel"), "ct int3 groups": lambda w: compressed(w, 3, "group", group=32),
    "ct int8 rows bfloat16": lambda w: compressed(w, 8, "channel", dtype=torch.bfloat16),
    "ct int4 groups bfloat16": lambda w: compressed(w, 4, "group", False, 32, dtype=torch.bfloat16),
    "nvfp4": nvfp4, "nvfp4 modelopt": nvfp4_modelopt,
    **{f"gptq {b} bits": lambda w, b=b: gptq(w, b) for b in (2, 3, 4, 8)},
    **{f"gptq {b} bits zero": lambda w, b=b: gptq(w, b, symmetric=False) for b in (2, 3, 4, 8)},
    "gptq desc_act": lambda w: gptq(w, 4, shuffle=True), "gptq_v2": lambda w: gptq(w, 4, symmetric=False, version="gptq_v2"), "awq": awq,
    "nf4": bnb4, "fp4": lambda w: bnb4(w, "fp4"), "nf4 nested": lambda w: bnb4(w, nested=True), "LLM.int8": bnb8,
    **{f"mlx {b} bits": lambda w, b=b: mlx(w, b) for b in (2, 3, 4, 5, 6, 8)}, "mlx groups of 32": lambda w: mlx(w, 4, 32), "mlx groups of 128": lambda w: mlx(w, 4, 128),
    "mlx 4 bits bfloat16": lambda w: mlx(w, dtype="bfloat16"), "mlx 8 bits float16": lambda w: mlx(w, 8, dtype="float16"),
}
