"""Writes a trace of what ggml's CPU back end gives for the cases of ggml_operations.py, as the hook records it:

    python ggml_results.py FOLDER

A process of its own: ggml ends it where an assertion fails, and other tests load other versions of the library."""
import pathlib
import sys

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests" / "op"), str(ROOT / "tests" / "compare")]
from ggml_library import NEWEST, Ggml  # noqa: E402
from ggml_operations import CASES  # noqa: E402
from table import rows  # noqa: E402
from traces import Trace  # noqa: E402

SEEDS = range(6)
MEMORY = 64 << 20


def array_of(x):
    return x.numpy().astype({"torch.float64": "f4", "torch.float16": "f2", "torch.int32": "i4", "torch.int64": "i8"}[str(x.dtype)])


def generator(name, seed):
    return np.random.default_rng([seed, *name.encode()])


def record(t, name, seed, rows_by_spelling):
    operands, _, _, call = CASES[name](generator(name, seed))
    ggml = Ggml(NEWEST, MEMORY)
    arrays = [array_of(x) for x in operands]
    tensors = [ggml.given(x) for x in arrays]
    node = call(ggml, tensors)
    ggml.compute(node)
    numbers = {tensor.value: t.add(f"{name}.{seed}.{i}", x, role="input") for i, (tensor, x) in enumerate(zip(tensors, arrays))}
    slots = [numbers[address] if address else None for address in ggml.sources(node)]
    spelling = ggml.spelling(node)
    params = {key: value for key, value in ggml.parameters(node, rows_by_spelling[spelling]).items() if value != 0}
    t.add(f"{name}.{seed}", ggml.values(node), [n for n in slots if n is not None], op=spelling, params=params, operands=slots)
    ggml.close()


def main():
    rows_by_spelling = {spelling: row for row in rows().values() for spelling in row.ggml}
    t = Trace(sys.argv[1]).begin([1])
    for name in CASES:
        for seed in SEEDS:
            print(name, seed, flush=True)  # the last line names what ggml ended at
            record(t, name, seed, rows_by_spelling)
    t.write()


if __name__ == "__main__":
    main()
