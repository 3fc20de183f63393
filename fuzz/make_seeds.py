#!/usr/bin/env python3
"""Writes the seeds of the container targets: small real files of NumPy, safetensors,
gguf and torch. Run with the tests' Python; the results are committed."""
import io
import json
import pathlib
import struct
import sys
import zipfile

import gguf
import numpy as np
import PIL.Image
import safetensors.numpy
import safetensors.torch
import torch

SEEDS = pathlib.Path(__file__).resolve().parent / "seeds"
sys.path.insert(0, str(SEEDS.parent.parent / "tests" / "formats"))
import ggml_models  # noqa: E402
sys.path.insert(0, str(SEEDS.parent.parent / "tests" / "checkpoints"))
import quantizers  # noqa: E402


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


def pictures():
    """Small PNG and JPEG files, and configurations of image processors."""
    pixels = np.random.default_rng(0).integers(0, 256, (9, 11, 4), np.uint8)
    image = PIL.Image.fromarray(pixels, "RGBA")
    exif = PIL.Image.Exif()
    exif[0x112] = 6
    for mode in ("RGBA", "RGB", "LA", "L", "1", "P"):
        put("image", f"{mode}.png", saved(lambda to, mode=mode: image.convert(mode).save(to, "PNG", exif=exif)))
    put("image", "wide.png", saved(lambda to: PIL.Image.fromarray(pixels[:, :, 0].astype("u2") * 257).save(to, "PNG")))
    for mode, options in (("RGB", {"exif": exif}), ("L", {}), ("CMYK", {}), ("RGB", {"progressive": True})):
        put("image", f"{mode}-{len(options)}{'p' if 'progressive' in options else ''}.jpg", saved(lambda to, mode=mode, options=options: image.convert(mode).save(to, "JPEG", quality=50, **options)))
    plain = saved(lambda to: image.convert("RGB").save(to, "PNG"))
    put("image", "long_chunk.png", plain[:33] + struct.pack(">I", 0x5d000000) + b"eXIf" + plain[33:])
    for name, more in {"CLIP": {"size": {"shortest_edge": 8}, "crop_size": {"height": 9, "width": 4}}, "Mllama": {"size": {"height": 4, "width": 4}, "max_image_tiles": 3},
                       "Siglip": {"size": 8, "resample": 0, "do_pad": True, "pad_size": {"height": 20, "width": 30}}, "ViT": {"size": {"max_height": 3, "max_width": 9}},
                       "Gemma3": {"size": {"height": 8, "width": 8}, "do_pan_and_scan": True, "pan_and_scan_min_crop_size": 2, "pan_and_scan_max_num_crops": 3, "pan_and_scan_min_ratio_to_activate": 1.1}}.items():
        put("processor", name, json.dumps({"image_processor_type": f"{name}ImageProcessor", "image_mean": [0.5, 0.4, 0.3], "image_std": 0.25, "rescale_factor": 0.004, **more}).encode())


def events():
    """Each seed is the JSON of a frame, after a byte that is even if no data follows."""
    tensor = {"event": "tensor", "id": 3, "pass": 0, "layer": 1, "name": "Qcur-1", "op": "ROPE", "src": [1, 2], "shape": [2]}
    kept = {
        "tensor": b"0" + json.dumps({**tensor, "dtype": "q4_0", "shape": [2, 64], "params": {"n_dims": 64, "freq_base": 1e6}}).encode(),
        "data": b"1" + json.dumps({**tensor, "dtype": "f32", "alias_of": 1, "where": "a.c:3", "role": "view"}).encode(),
        "axes": b"0" + json.dumps({**tensor, "dtype": "q9", "shape": [1] * 12, "name": "\u00e9\U0001f600"}).encode(),
        "pass": b"0" + json.dumps({"event": "pass", "pass": 0, "context": 1, "tokens": [5, 7], "positions": [0, -1]}).encode(),
        "like": b"0" + json.dumps({"event": "pass", "pass": 1, "like": 0}).encode(),
        "model_file": b"0" + json.dumps({"event": "model_file", "path": "/models/m.gguf"}).encode(),
    }
    for name, data in kept.items():
        put("event", name, data)


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


def ggml_files():
    values = np.random.default_rng(0).normal(size=(2, 64)).astype(np.float32)
    tensors = [ggml_models.tensor("encoder.conv1.bias", (2, 64), 0, values.tobytes()), ggml_models.tensor("half", (64, 2), 1, values.astype(np.float16).tobytes()),
               ggml_models.tensor("scalar", (), 0, values[0, :1].tobytes()), ggml_models.tensor("empty", (0, 3), 0)]
    quantized = [ggml_models.tensor(kind.name, (2, 64), kind.value, gguf.quants.quantize(values, kind).tobytes())
                 for kind in (gguf.GGMLQuantizationType.Q8_0, gguf.GGMLQuantizationType.Q5_0)]
    put("ggml", "whisper.bin", ggml_models.whisper(*tensors, *quantized))
    put("ggml", "vad.bin", ggml_models.vad(*tensors))


def torch_files():
    torch.manual_seed(0)
    base = torch.arange(16.0)
    several = {
        "model": torch.nn.Linear(2, 3).state_dict(), "epoch": 3, "lr": [0.5, 1], "name": "x", "none": None, "yes": True,
        "views": (base.view(4, 4).t(), base[::2], base[0].expand(3, 5), torch._neg_view(base)), "seed": 2**63,
        "parameter": torch.nn.Parameter(base), "u16": torch.ones(2, dtype=torch.uint16), "complex": torch.ones(2, dtype=torch.complex64).conj(),
        "device": torch.device("cuda:1"), "dtype": torch.bfloat16, "size": base.shape, 7: torch.ones(2, dtype=torch.float8_e4m3fn),
    }
    for name, value in {"several": several, "alone": base, "list": [base, {"again": base}]}.items():
        data = saved(lambda stream, value: torch.save(value, stream), value)
        put("torch", f"{name}.pt", data)
        with zipfile.ZipFile(io.BytesIO(data)) as file:
            put("pickle", f"{name}.pkl", file.read("archive/data.pkl"))
            stream = io.BytesIO()
            with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as again:
                for member in file.namelist():
                    again.writestr(zipfile.ZipInfo(member), file.read(member), zipfile.ZIP_DEFLATED)
    put("torch", "deflated.pt", stream.getvalue())


def texts():
    header = "# Tensor: x\n# Shape: {}\n# Dtype: float32\n# Mean: 0.5\n# Data:\n"
    put("text", "python.txt", (header.format("(1, 2, 2)") + "1.000000e+00\n-2.5e-03\nnan\ninf\n").encode())
    put("text", "cut.txt", (header.format("3x700") + "# First 50 elements:\n1\n2\n# Last 50 elements:\n3\n4\n").encode())
    put("text", "indexed.txt", b"0: 1.500000\n1: -0.250000\n2: 3.000000\n")
    put("text", "remark.txt", b"# Data (f")
    put("text", "halves.txt", b"# Shape: 2\n# Data (first 100 elements as hex and converted):\n0x3c00 (1.0)\n0x8001 (-5.9e-08)\n")
    put("text", "rows.txt", b"1.0 2.5e-3 nan\n-4, 5;\t6\n")


def frame(event, data=b""):
    text = json.dumps(event, separators=(",", ":")).encode()
    return struct.pack("<IIQ", 0x4B54534C, len(text), len(data)) + text + data


def put_frames(name, data):
    """The targets for framing, recording and comparison get the same bytes; the last is slow."""
    for target in ("frame", "recorder", "live") if name == "graph" else ("frame", "recorder"):
        put(target, name, data)


def frames():
    def tensor(number, name, dtype, shape, data=b"", **more):
        return frame(dict({"event": "tensor", "id": number, "pass": 0, "layer": -1, "name": name, "op": "ADD",
                           "dtype": dtype, "shape": shape}, **more), data)

    begin = frame({"event": "start", "engine": "e", "engine_version": "1"})
    begin += frame({"event": "pass", "pass": 0, "context": 0, "tokens": [1, 2], "positions": [0, 1]})
    end = frame({"event": "pass_end", "pass": 0}) + frame({"event": "end"})
    put_frames("f32", begin + tensor(1, "x", "f32", [2, 3], np.arange(6, dtype="f4").tobytes(), src=[0], params={"eps": 1e-6}) + end)
    put_frames("q8_0", begin + tensor(1, "q", "q8_0", [32], bytes(34)) + tensor(2, "k", "q6_K", [256], bytes(210)) + end)
    put_frames("graph", begin + tensor(1, "w", "f32", [2], role="weight") + tensor(2, "h", "bf16", [2], bytes(4), src=[1])
        + tensor(3, "h", "bf16", [2], src=[2], alias_of=2, role="view") + frame({"event": "note", "text": "n"})
        + frame({"event": "rows", "pass": 0, "positions": [4, 5]}) + end)
    put_frames("again", begin + tensor(1, "w", "f32", [2], role="weight", sample_xxh3="0123456789abcdef") + frame({"event": "model_file", "path": "/m.gguf"})
        + tensor(2, "ids", "i32", [2], bytes(8), role="input") + frame({"event": "pass_end", "pass": 0}) + frame({"event": "pass", "pass": 1, "like": 0})
        + tensor(3, "ids", "i32", [2], bytes(8), role="input", **{"pass": 1}) + frame({"event": "pass_end", "pass": 1}) + frame({"event": "end"}))
    put_frames("axes", begin + tensor(1, "r", "i32", [1, 2, 1, 1, 1, 1, 1, 1, 1, 2], bytes(16)) + end)
    put_frames("unbegun", begin + tensor(1, "late", "f32", [2], bytes(8), **{"pass": 7}) + frame({"event": "pass", "pass": 7}) + end)


def logs():
    rows = [{"lockstep_trace": 1, "argv": ["x"]}, {"engine": "e", "model": "m", "process": 0},
            {"pass": 0, "tokens": [1, 2], "positions": [0, 1]},
            {"i": 0, "name": "w", "dtype": "q6_K", "shape": [256], "role": "weight", "layer": -1},
            {"i": 1, "pass": 0, "name": "x", "op": "MUL", "dtype": "f32", "shape": [2, 3], "src": [0], "layer": 0,
             "file": "tensors/000001-x.npy", "params": {"eps": 0.5}, "occurrence": 0, "where": "a:1", "backend": "CPU"},
            {"i": 2, "pass": 0, "name": "x (view)", "op": "VIEW", "dtype": "f32", "shape": [3, 2], "src": [1],
             "role": "view", "alias_of": 1}, {"pass": 0, "ended": True}, {"note": "n"},
            {"end": True, "tensors": 2, "dropped": 0, "exit": 0}]
    leaf = {"op": "NONE", "layer": -1, "src": []}
    again = [{"lockstep_trace": 1, "argv": ["x"], "graph_only": True}, {"model_file": "/models/m.gguf", "bytes": 100, "modified": 5, "process": 0},
             {"pass": 0, "tokens": [1, 2], "positions": [0, 1]},
             {"i": 0, **leaf, "name": "w", "dtype": "f32", "shape": [3, 3], "role": "weight", "sample_xxh3": "0123456789abcdef"},
             {"i": 1, **leaf, "pass": 0, "name": "ids", "dtype": "i32", "shape": [2], "role": "input"},
             {"i": 2, **leaf, "pass": 0, "name": "cache", "dtype": "f32", "shape": [4, 3], "role": "state"},
             {"i": 3, "pass": 0, "layer": 0, "name": "k", "op": "GET_ROWS", "dtype": "f32", "shape": [2, 3], "src": [0, 1]},
             {"i": 4, "pass": 0, "layer": 0, "name": "written", "op": "CPY", "dtype": "f32", "shape": [2, 3], "src": [3, 2], "role": "write",
              "view_of": 2, "offset": 0, "strides": [12, 4]},
             {"i": 5, "pass": 0, "layer": 0, "name": "seen", "op": "VIEW", "dtype": "f32", "shape": [2, 3], "src": [2, 4], "role": "view",
              "view_of": 2, "offset": 0, "strides": [12, 4]},
             {"i": 6, "pass": 0, "layer": 0, "name": "y", "op": "MUL_MAT", "dtype": "f32", "shape": [2, 3], "src": [0, 5]},
             {"pass": 0, "ended": True}, {"pass": 1, "like": 0, "tokens": [1, 2], "positions": [2, 3]},
             {"i": 7, **leaf, "pass": 1, "name": "ids", "dtype": "i32", "shape": [2], "role": "input"}, {"pass": 1, "ended": True},
             {"end": True, "tensors": 8, "dropped": 0, "exit": 0}]
    for target in ("trace", "verify"):
        put(target, "repeated.jsonl", "".join(json.dumps(row, separators=(",", ":")) + "\n" for row in again).encode())
    put("trace", "graph.jsonl", "".join(json.dumps(row, separators=(",", ":")) + "\n" for row in rows).encode())


def segments():
    """Segments as a recorder leaves them: complete, and killed before it wrote the directory."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name in ("000000-x.npy", "000001-y.npy"):
            array = io.BytesIO()
            np.save(array, np.arange(6, dtype="f4").reshape(2, 3))
            archive.writestr(zipfile.ZipInfo(name), array.getvalue())
        central = archive.start_dir
    data = stream.getvalue()
    rows = [{"lockstep_trace": 1, "argv": ["x"]}, {"pass": 0}]
    for i, name in enumerate("xy"):
        at = data.index(b"\x93NUMPY", rows[-1].get("at", -1) + 1)
        rows.append({"i": i, "pass": 0, "name": name, "op": "ADD", "dtype": "f32", "shape": [2, 3], "src": [], "file": "tensors/0000.npz",
                     "at": at, "bytes": 152, "member": f"{i:06}-{name}.npy"})
    text = "".join(json.dumps(row, separators=(",", ":")) + "\n" for row in rows).encode()
    put("segment", "killed", text + b"\0" + data[:central] + b"PK\3\4 half a header")
    put("segment", "whole", text + b'{"end":true,"tensors":2,"dropped":0,"exit":0}\n\0' + data)


def verifications():
    """Each operation on small operands, a cache that is written and read, and views."""
    nodes = [("w", "NONE", [4, 8], [], {"role": "weight"}), ("x", "NONE", [3, 8], [], {"role": "input"}), ("pos", "NONE", [3], [], {"role": "input", "dtype": "i32"}),
             ("cache", "NONE", [16, 4], [], {"role": "state"}), ("ids", "NONE", [3], [], {"role": "input", "dtype": "i64"}),
             ("y", "MUL_MAT", [3, 4], [0, 1], {}), ("n", "RMS_NORM", [3, 4], [5], {"params": {"eps": 1e-6}}),
             ("r", "ROPE", [3, 1, 4], [6, 2], {"params": {"n_dims": 4, "mode": 2, "freq_base": 10000, "freq_scale": 1, "attn_factor": 1, "ext_factor": 1, "beta_fast": 32}}),
             ("cache (view)", "SET_ROWS", [16, 4], [6, 4, 3], {"role": "write", "view_of": 3, "offset": 0}),
             ("k", "VIEW", [1, 16, 4], [3, 8], {"role": "view", "view_of": 3, "offset": 0, "strides": [16, 16, 4], "operands": [3]}),
             ("mask", "NONE", [3, 16], [], {"role": "input"}), ("kq", "MUL_MAT", [1, 3, 16], [9, 6], {}),
             ("p", "SOFT_MAX", [1, 3, 16], [11, 10], {"params": {"scale": 0.5, "max_bias": 8}}),
             ("f", "FLASH_ATTN_EXT", [3, 1, 4], [6, 9, 9, 10], {"params": {"scale": 0.5, "logit_softcap": 2}}),
             ("g", "SWIGLU", [3, 2], [5], {}), ("h", "GET_ROWS", [3, 8], [0, 2], {}), ("a", "ADD", [3, 4], [5, 6], {}), ("s", "SCALE", [3, 4], [16], {"params": {"scale": 2}}),
             ("c", "CONCAT", [6, 4], [5, 6], {"params": {"dim": 1}}), ("o", "ARGSORT", [3, 4], [5], {"dtype": "i32"}), ("u", "SUM_ROWS", [3, 1], [5], {}),
             ("e", "MUL_MAT_ID", [3, 1, 4], [0, 1, 2], {}), ("t", "TANH", [3, 4], [5], {}), ("d", "DIAG_MASK_INF", [3, 4], [5], {}), ("q", "REPEAT", [6, 4], [5], {}),
             ("bad", "RESHAPE", [5, 5], [5], {"role": "view"}), ("z", "TANH", [5, 5], [25], {})]
    rows = [{"lockstep_trace": 1, "argv": ["x"]}, {"engine": "ggml", "process": 0}, {"pass": 0, "tokens": [1, 2, 3], "positions": [0, 1, 2]}]
    for i, (name, op, shape, sources, more) in enumerate(nodes):
        held = {} if more.get("role") in ("state", "write", "view") else {"file": f"tensors/{i}.npy"}
        rows.append({"i": i, "pass": 0, "layer": 0, "name": name, "op": op, "dtype": "f32", "shape": shape, "src": sources, "occurrence": 0, **held, **more})
    rows.append({"end": True, "tensors": len(nodes), "dropped": 0, "exit": 0})
    text = "".join(json.dumps(row, separators=(",", ":")) + "\n" for row in rows)
    put("verify", "operations.jsonl", text.encode())
    put("diff", "replayed.jsonl", (text + "\n" + text).encode())


def comparisons():
    def log(tokens, sequences, nodes):
        rows = [{"lockstep_trace": 1, "argv": ["x"]}, {"engine": "e", "process": 0},
                {"pass": 0, "tokens": tokens, "positions": [i % 3 for i in range(len(tokens))], "sequences": sequences}]
        for i, (name, op, shape, sources, more) in enumerate(nodes):
            rows.append({"i": i, "pass": 0, "layer": i // 3, "name": name, "op": op, "dtype": "f32", "shape": shape, "src": sources,
                         "occurrence": 0, "file": f"tensors/{i}.npy", **more})
        rows += [{"pass": 0, "ended": True}, {"end": True, "tensors": len(nodes), "dropped": 0, "exit": 0}]
        return "".join(json.dumps(row, separators=(",", ":")) + "\n" for row in rows)

    def nodes(batch, rows, tail):
        mask = [("attention_mask", "input", [batch, rows], [], {"role": "input"})]
        body = [("x", "Embedding", [batch, rows, 4], [0], {}), ("s", "add", [batch, 2, rows, rows], [1], {}),
                ("p", "softmax", [batch, 2, rows, rows], [2], {}), ("o", "add", [batch, rows, 4], [3, 1], {})]
        return mask + body + ([("t", "tanh", [batch, rows, 4], [4], {}), ("m", "mean", [batch, 4], [5], {})] if tail else [])
    two = log([1, 2, 3, 4, 5, 6], [0, 0, 0, 1, 1, 1], nodes(2, 3, True))
    one = log([4, 5, 6], [0, 0, 0], nodes(1, 3, False))
    put("diff", "batches.jsonl", (two + "\n" + one).encode())
    put("diff", "tail.jsonl", (one + "\n" + one.replace('"add"', '"mul"')).encode())


def maps():
    put("map", "rules.yaml", b"model: Qwen\ninclude: llama\nrules:\n  - {candidate: 'Kcur-{L}', op: ROPE, occurrence: 1, "
        b"reference: [a.{L}.k, b], reorder: rope-pairs}\n  - {candidate: x, of: y, reference: z, reference-occurrence: 0}\n")
    put("map", "alias.yaml", b"rules:\n - &r {candidate: c, reference: &l [a, b, c]}\n - *r\n - {candidate: d, reference: *l}\n")
    put("map", "weights.yaml", b"architecture: [a, b]\nleft-out: ['x.{L}']\nweights:\n  - {gguf: 'blk.{L}.q', hf: ['m.{L}.q', 'n.{L}.q'], "
        b"change: [transpose, plus-one]}\n  - {gguf: e, hf: 'm.{E}.w', form: fused}\n  - {gguf: [a, b], hf: c, form: split, axis: 1}\n")


def quantized():
    weights = np.random.default_rng(1).normal(size=(16, 128)).astype(np.float32)
    schemes = {name: make(weights) for name, make in quantizers.SCHEMES.items()} | {"mxfp4": quantizers.mxfp4(weights.reshape(4, 4, 128))}
    for name, (parts, config, _) in schemes.items():
        text = json.dumps({"quantization_config": config.get("mlx", config)}).encode()
        file = safetensors.torch.save({"up" + end: part.clone().contiguous() for end, part in parts.items()})
        put("quantized", name.replace(" ", "-"), struct.pack("<I", len(text)) + text + file)


def configs():
    put("config", "llama.json", json.dumps({
        "architectures": ["LlamaForCausalLM"], "num_hidden_layers": 2, "num_attention_heads": 4, "head_dim": None, "hidden_size": 64,
        "rope_parameters": {"rope_theta": 1e6, "rope_type": "default"}, "intermediate_size": [96, 96, 128], "tie_word_embeddings": True,
        "text_config": {"rms_norm_eps": 1e-5, "sliding_window": 12}, "use_sliding_window": False}).encode())
    put("config", "python.json", b'\xef\xbb\xbf{"a": NaN, "b": [Infinity, -Infinity], "c": 1000000000000000019884624838656, "d": 1e999, "e": "\\ud800 \\u0000", '
        b'"a": 1, "hidden_size": null, "no_rope_layers": [1, 0], "layer_types": ["sliding_attention", "full_attention"], "num_hidden_layers": 2, "x": {"y": [[[]]]}}')


def tokenizers():
    added = [{"id": 3, "content": "<s>", "special": True, "lstrip": False}]
    put("tokenizer", "bpe.json", json.dumps({"version": "1.0", "added_tokens": added, "normalizer": None, "model": {
        "type": "BPE", "vocab": {"a": 0, "b": 1, "ab\u0120": 2}, "merges": ["a b", ["a", "b"], " a"]}}).encode())
    put("tokenizer", "parts.json", json.dumps({"normalizer": {"type": "NFC"}, "pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "ByteLevel"}]},
        "post_processor": {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "a"}}]}, "decoder": None,
        "model": {"type": "BPE", "byte_fallback": True, "dropout": None, "vocab": {"\0": 0, "a": 1}, "merges": [["a", "\0"]]}}).encode())
    piece = lambda text, score, kind: b"\x0a" + bytes([len(text) + 9]) + b"\x0a" + bytes([len(text)]) + text + b"\x15" + np.float32(score).tobytes() + b"\x18" + bytes([kind])
    put("pieces", "three.model", piece(b"<unk>", 0, 2) + piece(b"ab", -1.5, 1) + piece(b"<0x00>", 0, 6) + b"\x12\x02\x08\x01")
    put("tokenizer", "unigram.json", json.dumps({"model": {"type": "Unigram", "unk_id": 0, "vocab": [["x", -1.5], ["y", 0]]}}).encode())


def results():
    node = {"name": "a (b)", "op": "MUL", "occurrence": 1, "pass": 0, "layer": 2, "order": 7}
    pair = {"candidate": node, "reference": {"name": "<r>"}, "verdict": "diverged", "downstream": False, "tolerance": 1e-4,
            "metrics": {"rel_l2": 0.5, "max_abs": "inf", "cosine": "nan", "nmse": 0.25, "nonfinite_differ": 1}}
    origin = {"name": "c", "op": "ADD", "node": 9, "layer": 2, "pass": 0, "origin": True, "added": {"rel_l2": 1.0}, "rule": {"id": "mask", "instead": "no window"}}
    cause = {"rule": "scale", "summary": "times 2", "where": "somewhere"}
    traces = {"schema": 1, "kind": "traces", "verdict": "diverged", "reason": "r", "reference": {"path": "a"}, "candidate": {"path": "b"}, "hints": ["h"],
              "first_divergence": {**pair, "causes": [cause]}, "replay": {"operations": [origin]}, "pairs": [pair, {**pair, "downstream": True}]}
    weights = {"schema": 1, "kind": "checkpoints", "verdict": "differs", "findings": [{"kind": "config", "fails": True, "gap": False, "text": "t"}],
               "weights": {"pairs": [{"candidate": {"name": "w", "part": "[0:4]"}, "reference": {"name": "v"}, "verdict": "worse", "cause": "c", "metrics": {"nmse": 0.1}}]}}
    put("result", "traces.json", json.dumps(traces).encode())
    put("result", "checkpoints.json", json.dumps(weights).encode())


if __name__ == "__main__":
    pictures()
    results()
    configs()
    quantized()
    tokenizers()
    frames()
    logs()
    segments()
    verifications()
    comparisons()
    maps()
    npy()
    events()
    npz()
    safetensors_files()
    gguf_files()
    ggml_files()
    torch_files()
    texts()
