"""`lockstep check` on engines that die, and engines whose checker dies."""
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import threading

import pytest
from conftest import BUILD, LIMIT, LOCKSTEP, ROOT, capture, ended, run

QWEN3 = [BUILD / "examples" / "qwen3", ROOT / "examples" / "qwen3-hf", "5,17,25,33,8"]


def lockstep_check(reference, *command, options=(), **more):
    return run(LOCKSTEP, "check", "--reference", reference, *options, "--", *command, **more)


@pytest.fixture(scope="module")
def long_reference(tmp_path_factory):
    out = tmp_path_factory.mktemp("live") / "reference"
    assert capture(out, *QWEN3, 200).returncode == 0
    return out


def test_a_run_matches_itself(engine, tmp_path):
    capture(tmp_path / "t", engine, "run")
    done = lockstep_check(tmp_path / "t", engine, "run")
    assert done.returncode == 0 and "verdict: match" in done.stdout, done.stdout + done.stderr


def test_threads_match_themselves(engine, tmp_path):
    capture(tmp_path / "t", engine, "threads")
    for _ in range(5):  # in whatever order they come
        done = lockstep_check(tmp_path / "t", engine, "threads")
        assert done.returncode in (0, 1, 2) and "verdict:" in done.stdout + done.stderr, done.stderr


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("options", [[], ["--resync", "layer"]], ids=["plain", "resync"])
def test_the_checker_is_killed(long_reference, options, seed):
    """Wherever it dies, waiting for an answer or not: the engine says and gives what it would alone."""
    alone = run(*QWEN3, 200)
    words = [LOCKSTEP, "check", "--reference", long_reference, *options, "--", "sh", "-c", 'echo started; "$@"; echo status $?', "sh", *QWEN3, 200]
    process = subprocess.Popen([str(word) for word in words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
    watchdog = threading.Timer(LIMIT, os.killpg, (process.pid, signal.SIGKILL))
    watchdog.start()
    try:
        assert process.stdout.readline() == "started\n"
        try:
            process.wait(random.Random(seed).uniform(0.01, 0.25))
        except subprocess.TimeoutExpired:
            process.kill()
        with process.stdout, process.stderr:
            out = process.stdout.read()
        process.wait()
    finally:
        watchdog.cancel()
    assert out.startswith(alone.stdout + "status 0\n"), out[-200:]


@pytest.mark.parametrize("seed", range(4))
def test_the_engine_is_killed(long_reference, tmp_path, seed):
    words = [LOCKSTEP, "check", "--reference", long_reference, "--json", tmp_path / "json", "--", "sh", "-c", 'echo $$ >&2; exec "$@"', "sh", *QWEN3, 4000]
    process = subprocess.Popen([str(word) for word in words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    victim = int(process.stderr.readline())
    threading.Timer(0.05 + 0.05 * seed, os.kill, (victim, signal.SIGKILL)).start()
    out, errors = process.communicate(timeout=LIMIT)
    assert process.returncode in (1, 2), out
    assert f"ended with status {128 + signal.SIGKILL}" in errors
    assert json.loads((tmp_path / "json").read_text())["verdict"] != "match"


def test_memory_is_bounded(long_reference):
    """200 steps of all tensors, of which only some megabytes may stay."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    done = lockstep_check(long_reference, *QWEN3, 200)
    assert done.returncode == 0, done.stdout
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    assert peak < max(before, 400 << 10), f"{peak >> 10} MiB"


def test_a_reference_that_is_hostile(engine, tmp_path):
    capture(tmp_path / "t", engine, "run")
    victim = next((tmp_path / "t/tensors").iterdir())
    victim.write_bytes(victim.read_bytes()[:60])
    done = lockstep_check(tmp_path / "t", engine, "run")
    assert done.returncode == 1 and "unsupported" in done.stdout, done.stdout + done.stderr
    (tmp_path / "t/trace.jsonl").write_text('{"lockstep_trace":1}\n{"i":0')
    done = lockstep_check(tmp_path / "t", engine, "run")
    assert done.returncode == 2, done.stdout


def test_the_directory_vanishes(engine, tmp_path):
    """Values and lines are lost, and said to be; the engine ends as it would."""
    out = tmp_path / "t"
    process = subprocess.Popen([str(w) for w in (LOCKSTEP, "capture", "-o", out, "--", "sh", "-c", '"$0" loop 40; echo status $?', engine)],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    for _ in range(5):
        process.stdout.readline()
    while out.exists():  # it writes new files meanwhile
        shutil.rmtree(out, ignore_errors=True)
    printed, errors = process.communicate(timeout=LIMIT)
    assert process.returncode == 0 and printed.splitlines()[-1] == "status 0"
    assert errors.count("\n") <= 3 and ("were lost" in errors or "INCOMPLETE" in errors), errors
    assert not out.exists() or not ended(out)
