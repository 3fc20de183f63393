#!/usr/bin/env python3
"""Writes the seeds of the container targets: small real files of NumPy, safetensors
and gguf. Run with the tests' Python; the results are committed."""
import io
import pathlib
import zipfile

import gguf
import numpy as np
import safetensors.numpy

SEEDS = pathlib.Path(__file__).resolve().parent / "seeds"


def put(target, name, data):
    (SEEDS / target).mkdir(parents=True, exist_ok=True)
    (SEEDS / target / name).write_bytes(data)


def saved(save, *arguments, **named):
    stream = io.BytesIO()
    save(stream, *arguments, **named)
    return stream.getvalue()


def npy():
    arrays = {
        "f4": np.arange(6, dtype="<f4").reshape(2, 3), "big-f8": np.arange(4, dtype=">f8"),
        "fortran": np.asfortranarray(np.arange(24, dtype="i2").reshape(2, 3, 4)), "scalar": np.float16(1.5),
        "empty": np.zeros((0, 3), "?"), "text": np.array(["ab", "c"]), "times": np.zeros(2, "M8[ns]"),
        "struct": np.zeros(2, [("a", "<i4"), ("b", "<f8", (2,)), (("t", "c"), [("d", "u1")])]),
    }
    for name, array in arrays.items():
        put("npy", f"{name}.npy", saved(np.save, array))
    put("npy", "v2.npy", saved(np.lib.format.write_array, arrays["f4"], version=(2, 0)))


def npz():
    arrays = {"a": np.arange(6.0), "b": np.zeros((20, 30), "f4")}
    put("npz", "stored.npz", saved(np.savez, **arrays))
    put("npz", "deflated.npz", saved(np.savez_compressed, **arrays))
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as file:
        with file.open(zipfile.ZipInfo("x.npy"), "w", force_zip64=True) as member:
            member.write(saved(np.save, np.int64(7)))
        file.writestr(zipfile.ZipInfo("notes.txt"), "hello")
        file.comment = b"a comment"
    put("npz", "zip64.npz", stream.getvalue())


def safetensors_files():
    tensors = {"layer.0.weight": np.arange(6, dtype="f4").reshape(2, 3), "layer.0.bias": np.zeros(3, "f2"),
               "ids": np.arange(4), "empty": np.zeros((0, 2), "u1"), "scalar": np.array(True)}
    put("safetensors", "several.safetensors", safetensors.numpy.save(tensors, metadata={"format": "np", "n": "é\"\\"}))
    put("safetensors", "none.safetensors", safetensors.numpy.save({}))


def gguf_files():
    for endian in gguf.GGUFEndian:
        path = SEEDS / "gguf" / f"{endian.name.lower()}.gguf"
        path.parent.mkdir(parents=True, exist_ok=True)
        writer = gguf.GGUFWriter(path, "llama", endianess=endian)
        writer.add_uint32("llama.block_count", 2)
        writer.add_array("tokenizer.ggml.tokens", ["a", "bc", "d"])
        writer.add_array("tokenizer.ggml.scores", [0.5, -1.0])
        writer.add_bool("flag", True)
        writer.add_custom_alignment(64)
        random = np.random.default_rng(0).normal(size=(2, 64)).astype(np.float32)
        writer.add_tensor("f32", random.copy())
        writer.add_tensor("f16", random.astype(np.float16))
        for kind in (gguf.GGMLQuantizationType.Q8_0, gguf.GGMLQuantizationType.Q4_0):
            writer.add_tensor(kind.name, gguf.quants.quantize(random, kind), raw_dtype=kind)
        writer.add_tensor("q6_K", np.zeros((1, 210), np.uint8), raw_dtype=gguf.GGMLQuantizationType.Q6_K)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()


if __name__ == "__main__":
    npy()
    npz()
    safetensors_files()
    gguf_files()
