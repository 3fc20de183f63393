"""`lockstep check` on engines that die, and engines whose checker dies."""
import json
import os
import random
import shutil
import signal
import subprocess
import threading

import pytest
from conftest import BUILD, LIMIT, LOCKSTEP, PYTHON, ROOT, capture, compile, ended, run

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


LARGE = r"""
#include <stdio.h>
#include <stdlib.h>
#include <lockstep/lockstep.h>
int main(void) {
    enum { COUNT = 20 };
    const uint64_t length = 8 << 20; /* 32 MiB */
    float *values = calloc(length, sizeof *values);
    lockstep_recorder *recorder = lockstep_capture_open("large", NULL);
    for (int i = 0; i < COUNT; i++) {
        char name[16];
        snprintf(name, sizeof name, "t%d", i);
        for (uint64_t k = 0; k < length; k += 97)
            values[k] = (float)(i + (int)(k % 1000));
        lockstep_capture_tensor(recorder, name, -1, LOCKSTEP_F32, 1, &length, NULL, values);
    }
    lockstep_capture_close(recorder);
    free(values);
    return 0;
}
"""


def test_memory_is_bounded(tmp_path):
    """A pass of 640 MiB, of which lockstep holds 256 and a few tensors at most."""
    (tmp_path / "large.c").write_text(LARGE)
    program = compile(tmp_path / "large.c", tmp_path / "large", f"-L{BUILD}", "-llockstep", f"-Wl,-rpath,{BUILD}", "-Wl,-rpath-link,.")
    assert capture(tmp_path / "t", program).returncode == 0
    measure = "import resource, subprocess, sys; code = subprocess.run(sys.argv[1:]).returncode; " \
              "print('peak', resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss >> 10, 'status', code)"
    done = run(PYTHON, "-c", measure, LOCKSTEP, "check", "--reference", tmp_path / "t", "--", program)
    words = done.stdout.splitlines()[-1].split()
    assert "verdict: match" in done.stdout and words[3] == "0", done.stdout + done.stderr
    assert int(words[1]) < 450, f"{words[1]} MiB"


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
