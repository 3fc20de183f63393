#!/usr/bin/env python3
"""Measures Lockstep and the programs that it is compared with in one run, and prints each
figure with its target. It is not part of the tests, because it needs a quiet machine.

    bench/run.py [diff traces numpy memory gguf idle kernels decode sketch checkpoint checkpoint-memory observe record torch replay]

Times are medians of several runs that take turns. Lockstep's are for the whole process, from
start to exit; those of others don't include starting Python.
"""
import json
import os
import pathlib
import platform
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
BUILD = ROOT / "build"
LOCKSTEP = BUILD / "lockstep"
PYTHON = ROOT / ".deps" / "venv" / "bin" / "python"
GGML = ROOT / ".deps/llama-v0.5.0/node_modules/@node-llama-cpp/linux-x64/bins/linux-x64"
ELEMENTS = 1 << 26  # 256 MiB of float32
RUNS = 7

# This process stays small (no NumPy), because a child's peak memory includes its parent's.
MAKE_PAIR = """
import sys, numpy as np
random = np.random.default_rng(0)
a = random.standard_normal(int(sys.argv[3]), dtype=np.float32)
b = a * (1 + np.float32(1e-6) * random.standard_normal(a.size, dtype=np.float32))
np.save(sys.argv[1], a)
np.save(sys.argv[2], b)
"""

NUMPY = """
import sys, time, numpy as np
def figures(a, b):
    d = np.abs(a - b)
    relative = d / (np.abs(a) + 1e-8)
    rmse = np.sqrt(np.mean((a - b) ** 2))
    cosine = np.dot(a, b) / (np.linalg.norm(a) * np.linalg.norm(b))
    return d.max(), d.mean(), relative.max(), relative.mean(), rmse, cosine, np.allclose(b, a)
start = time.perf_counter()
a, b = np.load(sys.argv[1]).astype(sys.argv[3]), np.load(sys.argv[2]).astype(sys.argv[3])
loaded = time.perf_counter()
figures(a, b)
done = time.perf_counter()
print(done - loaded, done - start)
"""

MAKE_GGUF = """
import sys, numpy as np, gguf
writer = gguf.GGUFWriter(sys.argv[1], "llama")
writer.add_token_list([f"token-{i}" for i in range(128_000)])
for i in range(1000):
    writer.add_tensor(f"blk.{i // 10}.part_{i % 10}.weight", np.zeros((8, 8), np.float32))
writer.write_header_to_file()
writer.write_kv_data_to_file()
writer.write_tensors_to_file()
writer.close()
"""

READ_GGUF = """
import sys, time, gguf
start = time.perf_counter()
reader = gguf.GGUFReader(sys.argv[1])
names = [(t.name, t.shape.tolist(), t.tensor_type.name) for t in reader.tensors]
print(time.perf_counter() - start)
"""

# 1 GiB of repetitions of one tile of real values, quantized by ggml.
MAKE_CHECKPOINTS = """
import ctypes, sys, gguf, numpy as np
ggml = ctypes.CDLL(sys.argv[1])
ggml.ggml_quantize_chunk.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p] + 3 * [ctypes.c_int64] + [ctypes.c_void_p]
rows, columns, tile = int(sys.argv[5]), 4096, 512
values = (np.random.default_rng(0).standard_normal((tile, columns), dtype=np.float32) * 0.02).astype(np.float16)
original, quantized = (gguf.GGUFWriter(path, "llama") for path in sys.argv[2:4])
kinds = [gguf.GGMLQuantizationType[k] for k in sys.argv[4].split(",")]
blocks = {}
for kind in set(kinds):
    elements, size = gguf.GGML_QUANT_SIZES[kind]
    blocks[kind] = np.zeros((tile, columns // elements * size), np.uint8)
    wide = values.astype(np.float32)
    ggml.ggml_quantize_chunk(kind, wide.ctypes.data, blocks[kind].ctypes.data, 0, tile, columns, None)
for i, kind in enumerate(kinds):
    original.add_tensor_info(f"blk.{i}.w.weight", (rows, columns), values.dtype, rows * columns * 2)
    quantized.add_tensor_info(f"blk.{i}.w.weight", (rows, blocks[kind].shape[1]), np.dtype("uint8"), rows * blocks[kind].shape[1], raw_dtype=kind)
for writer in (original, quantized):
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    writer.fout[0].write(bytes(-writer.fout[0].tell() % 32))
for kind in kinds:
    for _ in range(rows // tile):
        original.fout[0].write(values.tobytes())
        quantized.fout[0].write(blocks[kind].tobytes())
for writer in (original, quantized):
    writer.close()
"""

DEQUANTIZE = """
import sys, time, gguf, numpy as np
original, quantized = (gguf.GGUFReader(path) for path in sys.argv[1:3])
wanted = [int(i) for i in sys.argv[3].split(",")]
seconds = 0
for i in wanted:
    a, b = original.tensors[i], quantized.tensors[i]
    np.asarray(a.data).sum(), np.asarray(b.data).sum()  # in the page cache
    start = time.perf_counter()
    x = np.asarray(a.data).astype(np.float32)
    y = gguf.quants.dequantize(np.asarray(b.data), b.tensor_type).reshape(x.shape)
    d = y - x
    error, power = np.mean(d ** 2), np.mean(x ** 2)
    np.abs(d).max(), np.abs(d).mean(), error / power, 10 * np.log10(power / error)
    np.dot(x.ravel(), y.ravel()) / np.linalg.norm(x) / np.linalg.norm(y)
    ((d ** 2).sum(1) / (x ** 2).sum(1)).max()
    seconds += time.perf_counter() - start
print(seconds)
"""

missed = 0


def report(what, figure, target="", met=None):
    global missed
    missed += met is False
    verdict = "" if met is None else "met" if met else "MISSED"
    print(f"{what:<66} {figure:>12}  {target:<12} {verdict}", flush=True)


def run(*command, **options):
    done = subprocess.run([str(part) for part in command], stdout=subprocess.PIPE, text=True, **options)
    if done.returncode not in (0, 1):
        sys.exit(f"{command[0]}: exit status {done.returncode}")
    return done.stdout


def timed(*command):
    start = time.perf_counter()
    run(*command)
    return time.perf_counter() - start


def python(script, *arguments):
    return run(PYTHON, "-c", script, *arguments)


def make_pair(folder):
    pair = folder / "a.npy", folder / "b.npy"
    if not pair[0].exists():
        python(MAKE_PAIR, *pair, ELEMENTS)
    return pair


def bench_diff(folder):
    pair = make_pair(folder)
    size = sum(path.stat().st_size for path in pair)
    ways = {way: [] for way in ("map", "populate", "pread")}
    inside, diff = {way: [] for way in ways}, []
    for _ in range(RUNS + 1):  # the first warms the page cache
        for way in ways:
            start = time.perf_counter()
            inside[way].append(size / float(run(BUILD / "bench" / "read_bandwidth", way, *pair).split()[0]))
            ways[way].append(time.perf_counter() - start)
        diff.append(timed(LOCKSTEP, "diff", *pair))
    seconds = statistics.median(diff[1:])
    report("diff of two cached files of 256 MiB", f"{size / seconds / 1e9:.1f} GB/s", f"{seconds * 1e3:.0f} ms")
    best, way = min((statistics.median(times[1:]), way) for way, times in ways.items())
    report(f"reading them with as many threads ({way}), whole process too", f"{size / best / 1e9:.1f} GB/s")
    report("diff, share of that bandwidth", f"{best / seconds:.2f}", ">= 0.5", best / seconds >= 0.5)
    best, way = min((statistics.median(times[1:]), way) for way, times in inside.items())
    report(f"reading them ({way}), without the process's start and exit", f"{size / best / 1e9:.1f} GB/s")
    report("diff (whole process), share of that bandwidth", f"{best / seconds:.2f}", ">= 0.5", best / seconds >= 0.5)


def bench_numpy(folder):
    pair = make_pair(folder)
    diff = statistics.median(timed(LOCKSTEP, "diff", *pair) for _ in range(RUNS))
    for dtype, target in ("float32", 25), ("float64", None):
        times = [tuple(map(float, python(NUMPY, *pair, dtype).split())) for _ in range(3)]
        alone, with_load = (statistics.median(column) for column in zip(*times))
        report(f"NumPy's expressions in {dtype} (max, mean, relative, RMSE, cosine, allclose)", f"{alone:.2f} s",
               f"+ load {with_load - alone:.2f}")
        ratio = with_load / diff
        report(f"diff, times faster than NumPy in {dtype}", f"{ratio:.1f}", f">= {target}" if target else "",
               ratio >= target if target else None)


def sparse_npy(path, elements):
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({elements},), }}"
    header += " " * (63 - (10 + len(header)) % 64) + "\n"
    with open(path, "wb") as file:
        file.write(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode())
        file.truncate(file.tell() + 4 * elements)


def bench_traces(folder):
    """Many small tensors: what a pair costs besides its bytes."""
    bytes_each, count = 128 << 10, 8000
    traces = folder / "trace_a", folder / "trace_b"
    for seed, trace in enumerate(traces, 1):
        run(LOCKSTEP, "capture", "-o", trace, "--", BUILD / "bench" / "record_tensors", bytes_each, count, seed, stderr=subprocess.DEVNULL)
    segments = [path for trace in traces for path in (trace / "tensors").iterdir()]
    ways, diff = {way: [] for way in ("map", "populate", "pread")}, []
    for _ in range(RUNS + 1):  # the first warms the page cache
        for way in ways:
            ways[way].append(2 * bytes_each * count / float(run(BUILD / "bench" / "read_bandwidth", way, *segments).split()[0]))
        diff.append(timed(LOCKSTEP, "diff", *traces))
    seconds = statistics.median(diff[1:])
    best, way = min((statistics.median(times[1:]), way) for way, times in ways.items())
    report(f"diff of two traces of 1 GB, {count} tensors", f"{2 * bytes_each * count / seconds / 1e9:.1f} GB/s", f"{seconds * 1e3:.0f} ms")
    report(f"  share of the bandwidth of reading their values ({way})", f"{best / seconds:.2f}", ">= 0.3", best / seconds >= 0.3)
    for trace in traces:
        shutil.rmtree(trace)


def bench_memory(folder):
    pair = folder / "sparse_a.npy", folder / "sparse_b.npy"
    for path in pair:
        sparse_npy(path, 20 << 28)
    start = time.perf_counter()
    child = subprocess.Popen([LOCKSTEP, "diff", *pair], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    seconds = time.perf_counter() - start
    for path in pair:
        path.unlink()
    peak = usage.ru_maxrss / 1024
    report("peak memory of diff with two files of 20 GiB", f"{peak:.0f} MiB", "<= 256", peak <= 256 and status == 0)
    report("  and its time (holes, mostly not in the page cache)", f"{seconds:.0f} s")


def bench_gguf(folder):
    path = folder / "many.gguf"
    python(MAKE_GGUF, path)
    run(LOCKSTEP, "ls", path)
    ours = statistics.median(timed(LOCKSTEP, "ls", path) for _ in range(RUNS))
    theirs = statistics.median(float(python(READ_GGUF, path)) for _ in range(3))
    report("GGUF of 1,000 tensors and 128,000 strings: gguf.GGUFReader", f"{theirs * 1e3:.0f} ms")
    report("  lockstep ls", f"{ours * 1e3:.1f} ms")
    report("  times faster", f"{theirs / ours:.0f}", ">= 50", theirs / ours >= 50)


def instructions(computations, preload):
    environment = dict(os.environ, LD_PRELOAD=str(BUILD / "liblockstep-ggml.so") if preload else "")
    environment.pop("LOCKSTEP_CHANNEL", None)
    backend = GGML / ("libggml-cpu-haswell.so" if "avx2" in pathlib.Path("/proc/cpuinfo").read_text() else "libggml-cpu-x64.so")
    done = subprocess.run(["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null",
                           str(BUILD / "bench" / "idle_engine"), str(backend), str(computations)],
                          env=environment, stderr=subprocess.PIPE, text=True)
    found = re.search(r"Collected : (\d+)", done.stderr)
    if done.returncode != 0 or not found:
        sys.exit(done.stderr)
    return int(found[1])


def bench_idle(_folder):
    if platform.machine() != "x86_64":
        return report("idle hook in a ggml program", "not measured", "needs x86-64")
    few, many = 20, 120
    without = [instructions(n, False) for n in (few, many)]
    preloaded = [instructions(n, True) for n in (few, many)]
    each = [(counts[1] - counts[0]) / (many - few) for counts in (without, preloaded)]
    once = preloaded[0] - without[0] - few * (each[1] - each[0])
    report("a graph of 48 small operations, computed by ggml", f"{each[0] / 1e3:.0f} k", "instructions")
    report("  idle hook preloaded: more in each computation", f"{each[1] - each[0]:.0f}", "instructions")
    report("  ratio of instructions", f"{each[1] / each[0]:.5f}", "<= 1.001", each[1] / each[0] <= 1.001)
    report("  more once, at the start", f"{once / 1e6:.1f} M", "instructions")


def bench_kernels(_folder):
    for line in run(BUILD / "bench" / "kernels").splitlines():
        kernel, variant, figure = line.split()
        report(f"kernel {kernel}, {variant}", f"{float(figure):.2f} ns", "an element")


def bench_decode(_folder):
    twice = ("f16", "q6_K", "mxfp4", "nvfp4", "iq2_xxs")
    for line in run(BUILD / "bench" / "decode", GGML / "libggml-base.so").splitlines():
        kind, ours, theirs = line.split()
        ratio, target = float(ours) / float(theirs), 2 if kind in twice else 1
        report(f"decoding {kind}: {ours} million a second, ggml {theirs}", f"{ratio:.2f}", f">= {target}", ratio >= target)


def bench_sketch(_folder):
    plain, with_hash, rows, both = map(float, run(BUILD / "bench" / "sketch").split())
    report("comparing Q4_K with f16", f"{plain:.2f} ns", "an element")
    report("  with each row's figures", f"{rows / plain:.2f}", "of that")
    report("  with hashes, too: share that hashing adds", f"{both / rows - 1:.2f}", "<= 0.33", both / rows - 1 <= 1 / 3)


def bench_checkpoint(folder):
    original, quantized = folder / "original.gguf", folder / "quantized.gguf"
    kinds = ["Q4_K"] * 28 + ["Q6_K"] * 19
    python(MAKE_CHECKPOINTS, GGML / "libggml-base.so", original, quantized, ",".join(kinds), 8192)
    size = quantized.stat().st_size
    run(LOCKSTEP, "diff", original, quantized)  # warms the page cache
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        child = subprocess.Popen([LOCKSTEP, "diff", original, quantized], stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(child.pid, 0)
        seconds.append(time.perf_counter() - start)
    ours = statistics.median(seconds)
    theirs = {kind: float(python(DEQUANTIZE, original, quantized, numbers)) / 2 * kinds.count(kind)
              for kind, numbers in (("Q4_K", "0,14"), ("Q6_K", "28,40"))}
    report(f"diff of {size / 2**30:.2f} GiB of Q4_K and Q6_K against f16", f"{ours:.2f} s", f"{(size + original.stat().st_size) / ours / 1e9:.1f} GB/s")
    report("gguf's dequantize and NumPy's expressions (from 4 of 47 tensors)", f"{sum(theirs.values()):.1f} s")
    report("  times faster", f"{sum(theirs.values()) / ours:.1f}", ">= 20", sum(theirs.values()) / ours >= 20)
    report("  peak memory", f"{usage.ru_maxrss / 1024:.0f} MiB", "<= 256", usage.ru_maxrss <= 256 * 1024 and status in (0, 256))
    original.unlink(), quantized.unlink()


def sparse_gguf(path, kind, elements, block, size):
    head = b"GGUF" + (3).to_bytes(4, "little") + (8).to_bytes(8, "little") + (1).to_bytes(8, "little")
    key, value = b"general.architecture", b"llama"
    head += len(key).to_bytes(8, "little") + key + (8).to_bytes(4, "little") + len(value).to_bytes(8, "little") + value
    each = elements // block * size
    for i in range(8):
        name = f"blk.{i}.w.weight".encode()
        head += len(name).to_bytes(8, "little") + name + (2).to_bytes(4, "little") + (4096).to_bytes(8, "little")
        head += (elements // 4096).to_bytes(8, "little") + kind.to_bytes(4, "little") + (i * each).to_bytes(8, "little")
    head += b"\0" * (-len(head) % 32)
    with open(path, "wb") as file:
        file.write(head)
        file.truncate(len(head) + 8 * each)


def bench_checkpoint_memory(folder):
    paths = folder / "a.gguf", folder / "b.gguf"
    elements = 20 * 2**30 // 2 // 8
    sparse_gguf(paths[0], 1, elements, 1, 2)
    sparse_gguf(paths[1], 12, elements, 256, 144)
    start = time.perf_counter()
    child = subprocess.Popen([LOCKSTEP, "diff", *paths], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    peak = usage.ru_maxrss / 1024
    report("peak memory of diff of checkpoints, 20 GiB of f16 against Q4_K", f"{peak:.0f} MiB", "<= 256", peak <= 256 and status == 0)
    report("  and its time (holes)", f"{time.perf_counter() - start:.0f} s")


MAKE_MODEL = """
import sys, gguf, numpy as np
path, layers, width, hidden, heads, vocabulary = sys.argv[1], 12, 768, 2048, 12, 16000
generator = np.random.default_rng(9)
w = gguf.GGUFWriter(path, "llama")
w.add_context_length(512), w.add_embedding_length(width), w.add_block_count(layers), w.add_feed_forward_length(hidden)
w.add_head_count(heads), w.add_head_count_kv(heads), w.add_layer_norm_rms_eps(1e-6), w.add_rope_freq_base(10000.0)
w.add_rope_dimension_count(width // heads), w.add_vocab_size(vocabulary), w.add_tokenizer_model("gpt2"), w.add_tokenizer_pre("default")
w.add_token_list([f"<t{i}>" for i in range(vocabulary)]), w.add_token_types([4] * vocabulary), w.add_token_merges(["< t"])
w.add_bos_token_id(1), w.add_eos_token_id(2), w.add_add_bos_token(False)
parameters = 0
def add(name, *shape):
    global parameters
    value = generator.standard_normal(shape, dtype=np.float32) * (1 / shape[-1] ** 0.5 if len(shape) > 1 else 0.1) + (len(shape) == 1)
    parameters += value.size
    w.add_tensor(name, value.astype(np.float16 if len(shape) > 1 else np.float32))
add("token_embd.weight", vocabulary, width), add("output.weight", vocabulary, width), add("output_norm.weight", width)
for i in range(layers):
    for name, shape in {"attn_norm": (width,), "attn_q": (width, width), "attn_k": (width, width), "attn_v": (width, width),
                        "attn_output": (width, width), "ffn_norm": (width,), "ffn_gate": (hidden, width), "ffn_up": (hidden, width),
                        "ffn_down": (width, hidden)}.items():
        add(f"blk.{i}.{name}.weight", *shape)
w.write_header_to_file(), w.write_kv_data_to_file(), w.write_tensors_to_file(), w.close()
print(parameters)
"""


def bench_observe(folder):
    """Real llama.cpp: a model of 110M random parameters, a prompt of 64 tokens, 16 decoded tokens."""
    model = folder / "model.gguf"
    parameters = int(python(MAKE_MODEL, model))
    options = json.dumps({"engine": str(ROOT / ".deps" / "llama-v0.5.0"), "model": str(model), "flash": False, "timed": True,
                          "prompt": [3 + 7 * i % 900 for i in range(64)], "steps": [5 + 11 * i % 900 for i in range(16)]})
    engine = ["node", ROOT / "tests" / "e2e" / "run_llama.mjs", options]

    def evaluated(*before, **more):
        """Returns the seconds of evaluation, and of the whole process."""
        start = time.perf_counter()
        out = run(*before, *engine, stderr=subprocess.DEVNULL, **more)
        whole = time.perf_counter() - start
        return float(next(line for line in out.splitlines() if line.startswith("evaluated")).split()[3]), whole

    null = dict(os.environ, LD_PRELOAD=str(BUILD / "bench" / "null_callback.so"))
    reference = folder / "reference"
    evaluated(LOCKSTEP, "capture", "-o", reference, "--")
    ways = {"plain": lambda: evaluated(), "null": lambda: evaluated(env=null),
            "stats": lambda: evaluated(LOCKSTEP, "capture", "-o", folder / "stats", "--stats-only", "--"),
            "all": lambda: evaluated(LOCKSTEP, "capture", "-o", folder / f"all{len(compared)}", "--"),  # ext4 is slow to create what it just removed
            "check": lambda: evaluated(LOCKSTEP, "check", "--reference", reference, "--")}
    times = {way: [] for way in ways}
    compared = []
    for _ in range(RUNS):
        for way, measure in ways.items():
            times[way].append(measure())
        start = time.perf_counter()
        run(LOCKSTEP, "diff", reference, folder / f"all{len(compared)}")
        compared.append(time.perf_counter() - start)
    inside = {way: statistics.median(t[0] for t in times[way]) for way in ways}
    whole = {way: statistics.median(t[1] for t in times[way]) for way in ways}
    report(f"evaluation of {parameters / 1e6:.0f}M parameters, unobserved", f"{inside['plain']:.2f} s")
    report("  a callback that does nothing on every node", f"{inside['null'] / inside['plain']:.2f} x", "of that")
    ratio = inside["stats"] / inside["null"]
    report("  --stats-only, all nodes, against that callback", f"{ratio:.2f} x", "<= 1.3", ratio <= 1.3)
    report("  all nodes to .npy, against that callback", f"{inside['all'] / inside['null']:.2f} x")
    report("  check, against that callback", f"{inside['check'] / inside['null']:.2f} x")
    report("diff, which computes every operation twice, against evaluation", f"{statistics.median(compared) / inside['plain']:.1f} x", "of one thread")
    both = whole["all"] + statistics.median(compared)
    report("check, against capture and then diff (whole processes)", f"{whole['check'] / both:.2f} x", "< 1", whole["check"] < both)


# A Llama of a billion random parameters, recorded by transformers in f32 and by llama.cpp in Q4_K; prints what the engine was asked.
MAKE_RUNS = """
import json, pathlib, random, sys
sys.path[:0] = [sys.argv[2] + "/tests/e2e", sys.argv[2] + "/tests"]
import conftest, models
models.COMMON.update(hidden_size=2048, intermediate_size=8192, num_hidden_layers=16, num_attention_heads=32, num_key_value_heads=8, head_dim=64)
models.LAYERS = 16
lab = conftest.Lab(pathlib.Path(sys.argv[1]))
draw = random.Random(3)
conftest.PROMPTS[250] = [draw.randrange(3, 320) for _ in range(250)]
model = lab.folder / "q4_k.gguf"
models.write_gguf(model, lab.model("llama"), "llama", models.gguf_tensors(lab.model("llama"), "llama"), quantize="q4_k")
reference, candidate = lab.reference("llama", tokens=250), lab.candidate("llama", tokens=250, gguf=model)
print(json.dumps([str(reference), str(candidate), str(model), conftest.PROMPTS[250], conftest.STEPS]))
"""


def bench_replay(folder):
    """A comparison of a prompt of 250 tokens and 4 decoded ones, against what the engine needs for them on the same cores."""
    made = run(PYTHON, "-c", MAKE_RUNS, folder, ROOT, stderr=subprocess.DEVNULL).splitlines()[-1]
    reference, candidate, model, prompt, steps = json.loads(made)
    options = json.dumps({"engine": str(ROOT / ".deps" / "llama-v0.5.0"), "model": model, "flash": False, "timed": True, "prompt": prompt, "steps": steps,
                          "threads": len(os.sched_getaffinity(0))})
    times = {"engine": [], "diff": [], "verify": []}
    for _ in range(3):
        out = run("node", ROOT / "tests" / "e2e" / "run_llama.mjs", options, stderr=subprocess.DEVNULL)
        times["engine"].append(float(next(line for line in out.splitlines() if line.startswith("evaluated")).split()[3]))
        times["diff"].append(timed(LOCKSTEP, "diff", reference, candidate, "--preset", "none"))
        times["verify"].append(timed(LOCKSTEP, "verify", candidate))
    exact = timed(LOCKSTEP, "diff", reference, candidate, "--preset", "none", "--exact")
    engine, diff, verify = (statistics.median(times[way]) for way in ("engine", "diff", "verify"))
    report("llama.cpp, 1 G parameters in Q4_K, 250 tokens and 4 decoded", f"{engine:.2f} s")
    report("  verify, some rows, against that", f"{verify / engine:.1f} x")
    report("  diff, some rows, against that", f"{diff / engine:.1f} x", "<= 3", diff <= 3 * engine)
    report("  diff --exact, against that", f"{exact / engine:.1f} x", "<= 20", exact <= 20 * engine)


# A prompt of 64 tokens and 16 decoded tokens, in 3 rounds; prints the seconds of the last two. With "null", runs under
# a dispatch mode that does nothing, which is the least that observing every operation costs.
RUN_TORCH = """
import contextlib, sys, time, torch, transformers
from torch.utils._python_dispatch import TorchDispatchMode
class Null(TorchDispatchMode):
    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        return function(*args, **(kwargs or {}))
torch.set_num_threads(1)  # with more on a busy machine, the time is mostly that of threads waiting for each other
torch.manual_seed(0)
config = transformers.LlamaConfig(hidden_size=768, intermediate_size=2048, num_hidden_layers=12, num_attention_heads=12,
                                  num_key_value_heads=12, vocab_size=16000, max_position_embeddings=512)
model = transformers.LlamaForCausalLM(config).eval()
prompt = torch.tensor([[3 + 7 * i % 900 for i in range(64)]])
for r in range(3):
    start = time.perf_counter()
    with torch.no_grad(), Null() if sys.argv[1] == "null" else contextlib.nullcontext():
        out = model(prompt, use_cache=True)
        for step in range(16):
            out = model(torch.tensor([[5 + 11 * step]]), past_key_values=out.past_key_values, use_cache=True)
    if r > 0:
        print(time.perf_counter() - start)
"""


def bench_torch(folder):
    """PyTorch capture of a model of 12 layers of 768, compared with a dispatch mode that does nothing."""
    memory = tempfile.TemporaryDirectory(dir="/dev/shm") if os.path.isdir("/dev/shm") else None
    quick = pathlib.Path(memory.name) if memory else folder
    program = folder / "program.py"
    program.write_text(RUN_TORCH)

    def capture(out, *options):
        return lambda: (LOCKSTEP, "capture", "-o", out, *options, "--")

    ways = {"plain": tuple, "null": tuple, "outputs": capture(quick / "outputs", "--observe", "outputs"),
            "stats": capture(quick / "stats", "--stats-only"), "memory": capture(quick / "all"), "disk": capture(folder / "all")}
    times = {way: [] for way in ways}
    for _ in range(2):
        for way, before in ways.items():
            times[way] += map(float, run(*before(), PYTHON, program, way, stderr=subprocess.DEVNULL).split())
            for place in (quick, folder):
                for trace in place.glob("*/trace.jsonl"):
                    shutil.rmtree(trace.parent)
    inside = {way: statistics.median(seconds) for way, seconds in times.items()}
    report("PyTorch, 12 layers of 768, 64 tokens and 16 decoded", f"{inside['plain']:.2f} s")
    report("  a dispatch mode that does nothing", f"{inside['null']:.2f} s")
    for way, what, target in (("outputs", "--observe outputs", 1.5), ("stats", "--stats-only", 2), ("memory", "all values, to memory", 2.5)):
        ratio = inside[way] / inside["null"]
        report(f"  {what}, against that mode", f"{ratio:.2f} x", f"<= {target}", ratio <= target)
    ratio = inside["disk"] / inside["memory"]
    report("  all values, to disk against to memory", f"{ratio:.2f} x", "<= 1.3", ratio <= 1.3)


def bench_record(folder):
    """The recorder's speed for an engine that computes nothing, compared with dd."""
    bytes_each, count = 64 * 768 * 4, 1500
    memory = tempfile.TemporaryDirectory(dir="/dev/shm") if os.path.isdir("/dev/shm") else None  # not limited by a disk
    folder = pathlib.Path(memory.name) if memory else folder
    source = BUILD / "bench" / "record_tensors"
    recorded, copied = [], []
    for _ in range(RUNS):
        start = time.perf_counter()
        run(LOCKSTEP, "capture", "-o", folder / "recorded", "--", source, bytes_each, count, stderr=subprocess.DEVNULL)
        recorded.append(time.perf_counter() - start)
        shutil.rmtree(folder / "recorded")
        start = time.perf_counter()
        run("dd", "if=/dev/zero", f"of={folder / 'dd'}", f"bs={bytes_each}", f"count={count}", stderr=subprocess.DEVNULL)
        copied.append(time.perf_counter() - start)
        (folder / "dd").unlink()
    size = bytes_each * count
    report(f"capture of {count} tensors of {bytes_each >> 10} KiB", f"{size / statistics.median(recorded) / 1e9:.2f} GB/s")
    report("dd with the same block size", f"{size / statistics.median(copied) / 1e9:.2f} GB/s")
    ratio = statistics.median(copied) / statistics.median(recorded)
    report("capture, share of that", f"{ratio:.2f}", ">= 0.8", ratio >= 0.8)


BENCHES = {"observe": bench_observe, "record": bench_record, "torch": bench_torch, "replay": bench_replay, "decode": bench_decode, "sketch": bench_sketch, "checkpoint": bench_checkpoint, "checkpoint-memory": bench_checkpoint_memory,
           "diff": bench_diff, "traces": bench_traces, "numpy": bench_numpy, "memory": bench_memory, "gguf": bench_gguf,
           "idle": bench_idle, "kernels": bench_kernels}


def main():
    wanted = sys.argv[1:] or list(BENCHES)
    unknown = set(wanted) - set(BENCHES)
    if unknown:
        sys.exit(f"no such measurement: {', '.join(sorted(unknown))}")
    threads = os.environ.get("LOCKSTEP_THREADS", len(os.sched_getaffinity(0)))
    print(f"{platform.machine()}, {threads} threads")
    with tempfile.TemporaryDirectory(prefix="lockstep-bench-") as folder:
        for name in wanted:
            BENCHES[name](pathlib.Path(folder))
    print("every target met" if missed == 0 else f"{missed} missed")


if __name__ == "__main__":
    main()
