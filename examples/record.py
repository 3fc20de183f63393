#!/usr/bin/env python3
"""Records the example traces anew: one small random Qwen3 (kept as qwen3-hf) in
transformers and in llama.cpp, correct, and with the norms of q and k swapped in its second layer.

Run from the root of the repository after `make test` has installed the engines:
    .deps/venv/bin/python examples/record.py
"""
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
E2E = ROOT / "tests" / "e2e"
sys.path.insert(0, str(E2E))
import models  # noqa: E402

PROMPT = [5, 17, 25, 33, 8]


def capture(out, *command):
    # relative names, so that the recorded command has nothing of this machine
    environment = dict(os.environ, PATH=f"{pathlib.Path(sys.executable).parent}:{os.environ['PATH']}")
    subprocess.run([str(ROOT / "build" / "lockstep"), "capture", "-o", str(ROOT / "examples" / out), "--", *command],
                   check=True, env=environment)


def main():
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        for name in ("run_hf.py", "run_llama.mjs"):
            os.symlink(E2E / name, name)
        os.symlink(ROOT / ".deps" / "llama-v0.5.0", "llama-v0.5.0")
        model = models.make_model("tiny")
        model.save_pretrained("hf")
        shutil.copytree("hf", ROOT / "examples" / "qwen3-hf", dirs_exist_ok=True)
        tensors = models.gguf_tensors(model, "qwen3")
        models.write_gguf("model.gguf", model, "qwen3", tensors)
        a, b = "blk.1.attn_q_norm.weight", "blk.1.attn_k_norm.weight"
        tensors[a], tensors[b] = tensors[b], tensors[a]
        models.write_gguf("faulty.gguf", model, "qwen3", tensors)
        run = {"prompt": PROMPT, "steps": []}
        capture("qwen3-transformers", "python", "run_hf.py", json.dumps(dict(run, model="hf")))
        for out, gguf in (("qwen3-llama.cpp", "model.gguf"), ("qwen3-llama.cpp-faulty", "faulty.gguf")):
            options = dict(run, engine="llama-v0.5.0", model=gguf, flash=False)
            capture(out, "node", "--preserve-symlinks-main", "run_llama.mjs", json.dumps(options))


if __name__ == "__main__":
    main()
