"""Every quantized type of ggml: its id, its block, and ggml's own functions for it."""
import ctypes
import pathlib
import struct

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
LIBRARY = ROOT / ".deps/llama-v0.5.0/node_modules/@node-llama-cpp/linux-x64/bins/linux-x64/libggml-base.so"

# name: (id, elements, bytes)
TYPES = {
    "q4_0": (2, 32, 18), "q4_1": (3, 32, 20), "q5_0": (6, 32, 22), "q5_1": (7, 32, 24), "q8_0": (8, 32, 34), "q8_1": (9, 32, 36),
    "q2_K": (10, 256, 84), "q3_K": (11, 256, 110), "q4_K": (12, 256, 144), "q5_K": (13, 256, 176), "q6_K": (14, 256, 210),
    "q8_K": (15, 256, 292), "iq2_xxs": (16, 256, 66), "iq2_xs": (17, 256, 74), "iq3_xxs": (18, 256, 98), "iq1_s": (19, 256, 50),
    "iq4_nl": (20, 32, 18), "iq3_s": (21, 256, 110), "iq2_s": (22, 256, 82), "iq4_xs": (23, 256, 136), "iq1_m": (29, 256, 56),
    "tq1_0": (34, 256, 54), "tq2_0": (35, 256, 66), "mxfp4": (39, 32, 17), "nvfp4": (40, 64, 36), "q1_0": (41, 128, 18), "q2_0": (42, 64, 18),
}
# what a block is made of, as ggml-common.h declares it; what q5_* and iq3_xxs read as a u32 is one here
FIELDS = {
    "q4_0": "d:u2 qs:16u1", "q4_1": "d:u2 m:u2 qs:16u1", "q5_0": "d:u2 qh:u4 qs:16u1", "q5_1": "d:u2 m:u2 qh:u4 qs:16u1",
    "q8_0": "d:u2 qs:32i1", "q8_1": "d:u2 s:u2 qs:32i1", "q2_K": "scales:16u1 qs:64u1 d:u2 dmin:u2",
    "q3_K": "hmask:32u1 qs:64u1 scales:12u1 d:u2", "q4_K": "d:u2 dmin:u2 scales:12u1 qs:128u1",
    "q5_K": "d:u2 dmin:u2 scales:12u1 qh:32u1 qs:128u1", "q6_K": "ql:128u1 qh:64u1 scales:16i1 d:u2",
    "q8_K": "d:u4 qs:256i1 bsums:16u2", "iq2_xxs": "d:u2 qs:32u2", "iq2_xs": "d:u2 qs:32u2 scales:8u1",
    "iq3_xxs": "d:u2 qs:64u1 signs:8u4", "iq1_s": "d:u2 qs:32u1 qh:8u2", "iq4_nl": "d:u2 qs:16u1",
    "iq3_s": "d:u2 qs:64u1 qh:8u1 signs:32u1 scales:4u1", "iq2_s": "d:u2 qs:64u1 qh:8u1 scales:8u1",
    "iq4_xs": "d:u2 scales_h:u2 scales_l:4u1 qs:128u1", "iq1_m": "qs:32u1 qh:16u1 scales:4u2", "tq1_0": "qs:48u1 qh:4u1 d:u2",
    "tq2_0": "qs:64u1 d:u2", "mxfp4": "e:u1 qs:16u1", "nvfp4": "d:4u1 qs:32u1", "q1_0": "d:u2 qs:16u1", "q2_0": "d:u2 qs:16u1",
}
WITHOUT_DECODER = ("q8_1", "q8_K")  # ggml makes these of activations, and never decodes them

ggml = ctypes.CDLL(str(LIBRARY))
ggml.ggml_quantize_chunk.restype = ctypes.c_size_t
ggml.ggml_quantize_chunk.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p] + 3 * [ctypes.c_int64] + [ctypes.c_void_p]


def fields(name):
    return np.dtype([tuple(part.split(":")) for part in FIELDS[name].split()])


def decode(name, blocks):
    """float32 values of uint8 blocks, as ggml has them; of the two without a decoder, d * q."""
    _, elements, size = TYPES[name]
    blocks = np.ascontiguousarray(blocks).reshape(-1, size)
    if name == "q8_1":
        return (blocks[:, :2].copy().view("<f2").astype(np.float32) * blocks[:, 4:].view(np.int8).astype(np.float32)).reshape(-1)
    if name == "q8_K":
        return (blocks[:, :4].copy().view("<f4") * blocks[:, 4:260].view(np.int8).astype(np.float32)).reshape(-1)
    out = np.empty(len(blocks) * elements, np.float32)
    function = getattr(ggml, f"dequantize_row_{name}")
    function.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64]
    function.restype = None
    function(blocks.ctypes.data, out.ctypes.data, out.size)
    return out


def quantize(name, values):
    """Blocks that ggml's own quantizer makes of a float32 matrix."""
    number, elements, size = TYPES[name]
    rows, columns = values.shape
    out = np.zeros((rows, columns // elements * size), np.uint8)
    importance = np.ones(columns, np.float32)
    values = np.ascontiguousarray(values)
    written = ggml.ggml_quantize_chunk(number, values.ctypes.data, out.ctypes.data, 0, rows, columns, importance.ctypes.data)
    assert written == out.nbytes
    return out


def write(path, name, blocks, shape, order="<"):
    """A GGUF file with the one tensor `x`; order: "<" or ">"."""
    dims = shape[::-1]
    text = b"x"
    head = struct.pack(order + "4sIQQ", b"GGUF", 3, 1, 0) + struct.pack(order + "Q", 1) + text
    head += struct.pack(f"{order}I{len(dims)}QIQ", len(dims), *dims, TYPES[name][0], 0)
    data = np.ascontiguousarray(blocks).tobytes()
    path.write_bytes(head + b"\0" * (-len(head) % 32) + data + b"\0" * (-len(data) % 32))
    return path
