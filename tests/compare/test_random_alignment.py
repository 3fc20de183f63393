"""Random prompts, cut into random passes, with warm-up runs, padding and several sequences, against an oracle of a few
lines: what a causal model computes for a row depends on its history alone, so rows correspond where histories are equal.

The reference computes each prompt in one pass: a pass of the candidate is compared with one of the reference.
"""
import zlib

import numpy as np
import pytest

from traces import Trace, diff, first_name

SEEDS = range(24)
WIDTH = 19  # no number of rows


def row(history):
    return np.random.default_rng(zlib.crc32(repr(list(history)).encode())).standard_normal(WIDTH).astype("f4")


def prompts(random, count):
    """Prompts that begin differently."""
    return [[1000 + s, *(int(token) for token in random.integers(1, 500, random.integers(3, 12)))] for s in range(count)]


def in_chunks(random, length):
    """(begin, end) of the parts of a prompt."""
    cuts = sorted({0, length, *(int(cut) for cut in random.integers(1, length, random.integers(0, 4)))})
    return list(zip(cuts, cuts[1:]))


def add_pass(trace, rows, fault=None):
    """`rows`: (sequence, history), in the order of the batch. The row with the history `fault` is computed wrongly."""
    trace.begin([history[-1] for _, history in rows], positions=[len(history) - 1 for _, history in rows], sequences=[s for s, _ in rows])
    values = np.stack([row(history) + (1 if history == fault else 0) for _, history in rows])
    source = trace.add("x", values, op="Linear")
    trace.add("out", values * 2, [source], op="Linear")


def write_run(path, random, sequences, fault=None, warm_up=False):
    """Each sequence in chunks of its own; the chunks of different sequences share passes at random."""
    trace = Trace(path)
    if warm_up:
        add_pass(trace, [(0, [7]), (0, [7, 8])])
    waiting = [[[(s, prompt[:k + 1]) for k in range(begin, end)] for begin, end in in_chunks(random, len(prompt))] for s, prompt in enumerate(sequences)]
    while any(waiting):
        chosen = [s for s, chunks in enumerate(waiting) if chunks and random.integers(2)]
        batch = [rows for s in chosen for rows in waiting[s].pop(0)]
        if batch:
            add_pass(trace, batch, fault)
    return trace.write()


def write_whole(path, sequences):
    trace = Trace(path)
    add_pass(trace, [(s, prompt[:k + 1]) for s, prompt in enumerate(sequences) for k in range(len(prompt))])
    return trace.write()


@pytest.mark.parametrize("warm_up", [False, True])
@pytest.mark.parametrize("seed", SEEDS)
def test_one_prompt_in_any_chunks(tmp_path, seed, warm_up):
    random = np.random.default_rng(seed)
    prompt = prompts(random, 1)
    reference = write_whole(tmp_path / "r", prompt)
    status, result = diff(reference, write_run(tmp_path / "c", random, prompt, warm_up=warm_up))
    assert status == 0 and result["inputs"]["status"] == "equal" and result["inputs"]["rows_paired"] == len(prompt[0])
    assert {pair["verdict"] for pair in result["pairs"]} == {"identical"}
    assert sum(pair["metrics"]["elements"] for pair in result["pairs"]) == 2 * WIDTH * len(prompt[0]), "each row once in each tensor"


@pytest.mark.parametrize("seed", SEEDS)
def test_a_fault_in_one_row_is_found_there(tmp_path, seed):
    random = np.random.default_rng(seed)
    prompt = prompts(random, 1)
    at = int(random.integers(len(prompt[0])))
    reference = write_whole(tmp_path / "r", prompt)
    status, result = diff(reference, write_run(tmp_path / "c", random, prompt, fault=prompt[0][:at + 1]))
    failing = [pair for pair in result["pairs"] if pair["verdict"] == "diverged"]
    assert status == 1 and first_name(result) == "x"
    assert {pair["candidate"]["name"] for pair in failing} == {"x", "out"}
    assert len({pair["candidate"]["pass"] for pair in failing}) == 1, "the row is in one pass"
    assert failing[0]["metrics"]["above"]["1e-01"] <= WIDTH and failing[0]["metrics"]["max_abs"] == pytest.approx(1, rel=1e-5)


@pytest.mark.parametrize("count", [2, 3])
@pytest.mark.parametrize("seed", SEEDS)
def test_sequences_share_passes_in_any_way(tmp_path, seed, count):
    random = np.random.default_rng(seed)
    sequences = prompts(random, count)
    rows = sum(map(len, sequences))
    reference = write_whole(tmp_path / "r", sequences)
    _, result = diff(reference, write_run(tmp_path / "c", random, sequences))
    assert result["inputs"]["status"] == "equal" and result["inputs"]["rows_paired"] == rows
    assert {pair["verdict"] for pair in result["pairs"]} == {"identical"}
    assert sum(pair["metrics"]["elements"] for pair in result["pairs"]) == 2 * WIDTH * rows, "each row once in each tensor"


@pytest.mark.parametrize("seed", SEEDS)
def test_another_token_is_named(tmp_path, seed):
    random = np.random.default_rng(seed)
    prompt = prompts(random, 1)[0]
    at = int(random.integers(1, len(prompt)))
    other = [*prompt[:at], 999, *prompt[at + 1:]]
    status, result = diff(write_whole(tmp_path / "r", [prompt]), write_whole(tmp_path / "w", [other]))
    assert status == 1 and result["inputs"]["status"] == "differ" and result["inputs"]["position"] == at
    assert result["inputs"]["message"] == f"token ids differ at position {at}: {prompt[at]} in the reference, 999 in the candidate"
    status, result = diff(tmp_path / "r", write_run(tmp_path / "c", random, [other]))
    assert status == 1 and result["verdict"] == "inputs-differ"
    assert result["inputs"]["rows_paired"] <= at, "no row after another token has the same history"


@pytest.mark.parametrize("seed", SEEDS)
def test_padding_in_front_or_behind(tmp_path, seed):
    """A batch of one sequence, padded, with its attention mask."""
    random = np.random.default_rng(seed)
    prompt = prompts(random, 1)[0]
    front, behind = (int(n) for n in random.permutation([int(random.integers(1, 4)), 0]))
    real = [prompt[:k + 1] for k in range(len(prompt))]
    values = np.stack([*(row(["front", k]) for k in range(front)), *map(row, real), *(row(["behind", k]) for k in range(behind))])
    reference = write_whole(tmp_path / "r", [prompt])
    for name, fault in (("c", 0), ("f", 1)):
        run = Trace(tmp_path / name)
        run.begin([0] * front + prompt + [0] * behind, positions=range(len(values)), sequences=[0] * len(values))
        run.add("attention_mask", np.array([[0] * front + [1] * len(prompt) + [0] * behind], "i8"), role="input", op="input")
        array = values.copy()
        array[front + len(prompt) - 1] += fault
        source = run.add("x", array, op="Linear")
        run.add("out", array * 2, [source], op="Linear")
        run.write()
    status, result = diff(reference, tmp_path / "c")
    assert status == 0 and result["inputs"]["rows_paired"] == len(prompt)
    assert {pair["verdict"] for pair in result["pairs"]} == {"identical"}
    status, result = diff(reference, tmp_path / "f")
    assert status == 1 and first_name(result) == "x"
