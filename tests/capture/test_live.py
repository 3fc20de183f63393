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
    assert done.returncode == 2 and "unsupported" in done.stdout, done.stdout + done.stderr
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


# ------------------------------------------------------------------ what is missing

@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    return compile(ROOT / "tests/capture/shapes.c", tmp_path_factory.mktemp("shapes") / "shapes", f"-L{BUILD}", "-llockstep",
                   f"-Wl,-rpath,{BUILD}", "-Wl,-rpath-link,.")


def both_ways(tmp_path, program, reference, candidate, *options):
    """(exit status, verdict line) of check, then of capture and diff."""
    capture(tmp_path / "r", program, *reference)
    live = lockstep_check(tmp_path / "r", program, *candidate, options=options)
    capture(tmp_path / "c", program, *candidate)
    after = run(LOCKSTEP, "diff", tmp_path / "r", tmp_path / "c")
    return [(done.returncode, next((line for line in done.stdout.splitlines() if line.startswith("verdict:")), None)) for done in (live, after)]


@pytest.mark.parametrize("options", [[], ["--stop", "first"]], ids=["never", "first"])
@pytest.mark.parametrize("mode", ["between", "chain"])
def test_what_diverges_is_no_match_wherever_it_stops(shapes, tmp_path, mode, options):
    for status, verdict in both_ways(tmp_path, shapes, [mode, 0], [mode, 1], *options):
        assert (status, verdict) == (1, "verdict: diverged")
    assert both_ways(tmp_path, shapes, [mode, 0], [mode, 0], *options)[0] == (0, "verdict: match")


@pytest.mark.parametrize("reference,candidate", [
    (["passes", 0, 5], ["passes", 0, 2]), (["passes", 0, 5], ["passes", 5, 9]), (["trail", 0, 2], ["trail", 0, 0]),
    (["trail", 0, 0], ["trail", 1, 3]), (["cut", 0], ["cut", 1])], ids=lambda words: "-".join(map(str, words)))
def test_what_ran_on_one_side_only_is_no_match(shapes, tmp_path, reference, candidate):
    for status, verdict in both_ways(tmp_path, shapes, reference, candidate):
        assert status == 2 and ("have no partner" in verdict or "final output logits was not compared" in verdict), verdict


def test_what_the_reference_only_scales_in_the_end_is_compared(shapes, tmp_path):
    """No weight takes part in it, and the results differ all the same."""
    assert both_ways(tmp_path, shapes, ["cut", 2], ["cut", 1]) == [(1, "verdict: diverged")] * 2
    assert "reference scaled" in run(LOCKSTEP, "diff", tmp_path / "r", tmp_path / "c").stdout


def test_thousands_of_passes(shapes, tmp_path):
    assert both_ways(tmp_path, shapes, ["steps", 0, 3000], ["steps", 0, 3000]) == [(0, "verdict: match")] * 2


def test_a_prompt_in_other_batches(shapes, tmp_path):
    assert both_ways(tmp_path, shapes, ["prompt", 0, "5,6,7,8,9,10,11"], ["prompt", 1, "5,6,7,8,9,10,11"]) == [(0, "verdict: match")] * 2


def test_tokens_that_were_taken_back_are_compared(shapes, tmp_path):
    for wrong in (0, 1):
        capture(tmp_path / str(wrong), shapes, "rewind", wrong)
    done = run(LOCKSTEP, "tokens", tmp_path / "0", tmp_path / "1")
    assert done.returncode == 1 and "verdict: differ at row 2" in done.stdout, done.stdout


def test_run_hands_over_a_prompt_that_came_in_batches(shapes, tmp_path):
    (tmp_path / "parity.yaml").write_text(f"reference: {{command: '{shapes} prompt 1 5,6,7,8,9,10'}}\n"
                                          f"candidate: {{command: '{shapes} prompt 0 {{tokens}}'}}\nprompts: [x]\n")
    done = run(LOCKSTEP, "run", cwd=tmp_path)
    # several passes of the reference for one of the candidate: the first alone is compared, and that is said
    assert done.returncode == 2 and "final output x was not compared" in done.stdout, done.stdout
    report = json.loads((tmp_path / "parity/01-x/report.json").read_text())
    assert report["inputs"]["status"] == "equal" and report["inputs"]["rows_paired"] == 6
    (tmp_path / "parity.yaml").write_text(f"reference: {{command: '{shapes} prompt 1 5,6,7,8,9,10'}}\n"
                                          "candidate: {command: 'false'}\nprompts: [x]\n")
    assert run(LOCKSTEP, "run", cwd=tmp_path).returncode == 2
    assert not (tmp_path / "parity/01-x/report.json").exists(), "an earlier report says nothing of this run"
