"""Writes small checkpoints with their own people's libraries, and runs the program."""
import json
import os
import pathlib
import subprocess

import gguf
import numpy as np
from safetensors.numpy import save_file

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
LOCKSTEP = os.environ.get("LOCKSTEP_BIN", str(ROOT / "build" / "lockstep"))


def write_gguf(path, tensors, arch="llama", keys=(), kinds=None, endian=gguf.GGUFEndian.LITTLE):
    """keys: [(adder name or raw key, value)]; kinds: name -> quantization type."""
    writer = gguf.GGUFWriter(str(path), arch, endianess=endian)
    for key, value in keys:
        if hasattr(writer, key):
            getattr(writer, key)(value)
        elif isinstance(value, bool):
            writer.add_bool(key, value)
        elif isinstance(value, int):
            writer.add_uint32(key, value)
        elif isinstance(value, float):
            writer.add_float32(key, value)
        else:
            writer.add_string(key, value)
    for name, value in tensors.items():
        kind = (kinds or {}).get(name)
        if kind is None:
            writer.add_tensor(name, value)
        elif isinstance(kind, tuple):  # bytes of a type as they are: (type, bytes of shape)
            writer.add_tensor(name, value, raw_dtype=kind[0])
        else:
            writer.add_tensor(name, gguf.quants.quantize(value, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def write_hf(folder, tensors, config=None, tokenizer=None, **files):
    """A model's folder; files: name without .json -> object."""
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    save_file({n: np.ascontiguousarray(v) for n, v in tensors.items()}, folder / "model.safetensors")
    for name, value in dict(files, config=config, tokenizer=tokenizer).items():
        if value is not None:
            (folder / f"{name}.json").write_text(json.dumps(value))
    return folder


def normal(*shape, seed=0, scale=1.0):
    return (np.random.default_rng([seed, *shape]).normal(size=shape) * scale).astype(np.float32)


def diff(reference, candidate, *options):
    """Exit status, the table, and the same as JSON."""
    command = [LOCKSTEP, "diff", str(reference), str(candidate), *map(str, options)]
    environment = dict(os.environ, COLUMNS="0")
    table = subprocess.run(command, capture_output=True, text=True, env=environment)
    done = subprocess.run([*command, "--json", "-"], capture_output=True, text=True, env=environment)
    assert done.returncode == table.returncode
    return table.returncode, table.stdout + table.stderr, json.loads(done.stdout) if done.stdout else None


def findings(report, kind=None):
    return [f["text"] for f in report["findings"] if kind in (None, f["kind"])]


def failing(report):
    return [f["text"] for f in report["findings"] if f["fails"]]


def pair_of(report, name):
    return next(p for p in report["weights"]["pairs"] if p["candidate"]["name"] == name)


def bpe_tokenizer(words, special=(), merges=()):
    """tokenizer.json as the tokenizers library writes it; special words come last."""
    vocab = {w: i for i, w in enumerate(words)}
    added = [{"id": len(words) + i, "content": w, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False,
              "special": True} for i, w in enumerate(special)]
    return {"version": "1.0", "truncation": None, "padding": None, "added_tokens": added, "normalizer": None,
            "pre_tokenizer": None, "post_processor": None, "decoder": None,
            "model": {"type": "BPE", "dropout": None, "unk_token": None, "vocab": vocab, "merges": list(merges)}}
