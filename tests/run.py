#!/usr/bin/env python3
"""Runs the test suites (or those named) and prints `N passed, N failed` last.

A suite is a command that keeps a journal of its tests (journal.py) under $LOCKSTEP_RESULTS.
A suite that ends badly or counts no test is itself a failure. The time that it should take
on two quiet cores is printed, and never a failure. But where no test begins or ends for
$LOCKSTEP_TEST_STALL seconds, the suite is killed, and so it is when the whole run has taken
$LOCKSTEP_TEST_LIMIT seconds: the test that it was at and those that were not run are named,
and are failures.

One suite runs beside the others, because most tests wait for a single process: what it
prints appears when it has ended.
"""
import contextlib
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import threading
import time

import journal

ROOT = pathlib.Path(__file__).resolve().parent.parent
RESULTS = ROOT / "build" / "results"
PYTHON = ROOT / ".deps" / "venv" / "bin" / "python"
PYTEST = [PYTHON, "tests/run_pytest", "-q"]
STALL = float(os.environ.get("LOCKSTEP_TEST_STALL", 10 * 60))
LIMIT = float(os.environ.get("LOCKSTEP_TEST_LIMIT", 75 * 60))

# Run only where they are named: a build of its own makes this one slow.
ON_REQUEST = {"threads"}

BESIDE = "engines"

# name, seconds that it should take on two cores, command
SUITES = [
    ("layers", 20, [*PYTEST, "tests/test_layers.py"]),
    ("runner", 60, [*PYTEST, "tests/test_runner.py"]),
    ("op", 30, [*PYTEST, "tests/op"]),
    ("unit", 120, ["tests/run_unit", "build"]),
    ("sanitizers", 400, ["tests/run_unit", "build/asan"]),
    ("threads", 120, ["tests/run_unit", "build/tsan"]),
    ("verify", 20, [*PYTEST, "tests/verify"]),
    ("cli", 200, [*PYTEST, "tests/cli"]),
    ("formats", 200, [*PYTEST, "tests/formats"]),
    ("checkpoints", 200, [*PYTEST, "tests/checkpoints"]),
    ("capture", 300, [*PYTEST, "tests/capture"]),
    ("compare", 200, [*PYTEST, "tests/compare"]),
    ("browser", 90, [*PYTEST, "tests/browser"]),
    ("python", 60, [*PYTEST, "tests/python"]),
    ("torch", 420, [*PYTEST, "tests/torch"]),
    ("engines", 660, [*PYTEST, "tests/e2e"]),
    ("zoo", 240, [*PYTEST, "tests/zoo"]),
    ("vision", 240, [*PYTEST, "tests/vision"]),
]


def size_of(path):
    return path.stat().st_size if path.exists() else 0


def wait(process, journal_file, deadline):
    """Waits for the suite; returns what is wrong with how it ended, or None."""
    written, since = 0, time.monotonic()
    while os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        now = time.monotonic()
        if size_of(journal_file) != written:
            written, since = size_of(journal_file), now
        if STOPPED.is_set():
            return "killed: the run was ended"
        if now > deadline:
            return f"killed: the whole run may take {LIMIT:.0f} s"
        if now > since + STALL:
            return f"killed: no progress for {STALL:.0f} s"
        time.sleep(0.1)
    return None


def kill_group(process):
    """Whatever the suite started and left. It isn't reaped yet, so its number is still its own."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass


STOPPED = threading.Event()  # the runner is to end


def run_suite(command, folder, deadline, output):
    """What is wrong with how the suite ended, or None."""
    environment = dict(os.environ, LOCKSTEP_RESULTS=str(folder))
    try:
        process = subprocess.Popen([str(part) for part in command], cwd=ROOT, env=environment, stdout=output, stderr=output and subprocess.STDOUT, start_new_session=True)
    except OSError as error:
        return f"could not be started: {error}"
    try:
        trouble = wait(process, folder / "journal", deadline)
    finally:
        kill_group(process)
        status = process.wait()
    if trouble is None and status != 0:
        trouble = f"exit status {status}" if status > 0 else f"ended by signal {-status}"
    return trouble


def count(folder, trouble):
    """(passed, names of those that failed, names of those skipped)"""
    last = journal.read(folder)
    passed = sum(event == "passed" for event in last.values())
    failed = [name for name, event in last.items() if event == "failed"]
    failed += [f"{name}: {trouble or 'has no end'}" for name, event in last.items() if event == "begun"]
    failed += [f"{name}: not run" for name, event in last.items() if event == "planned"]
    if not failed and (trouble or passed == 0):
        failed.append(trouble or "no test was run")
    return passed, failed, [name for name, event in last.items() if event == "skipped"]


def run_one(name, budget, command, deadline, beside):
    """(passed, failed)"""
    folder = RESULTS / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    print(f"== {name} (about {budget} s{', beside the others' if beside else ''})", flush=True)
    start = time.monotonic()
    with open(folder / "output", "wb") if beside else contextlib.nullcontext() as output:
        trouble = run_suite(command, folder, deadline, output) if start < deadline else f"the whole suite was not run: the run may take {LIMIT:.0f} s"
    ok, bad, skipped = count(folder, trouble)
    seconds = time.monotonic() - start
    remarks = [trouble] if trouble not in (None, "exit status 1") else []
    remarks += ["longer than it should take"] if seconds > budget else []
    lines = [(folder / "output").read_text(errors="replace").rstrip()] if beside else []
    lines += ["; ".join([f"== {name}: {ok} passed, {len(bad)} failed, {seconds:.0f} s", *remarks])]
    lines += [f"   skipped {each}" for each in skipped] + [f"   FAILED {each}" for each in bad]
    print("\n".join(lines), flush=True)
    return ok, len(bad)


def run_all(wanted):
    deadline = time.monotonic() + LIMIT
    wanted = [suite for suite in SUITES if suite[0] in (wanted or {each for each, _, _ in SUITES} - ON_REQUEST)]
    results = []
    beside = [threading.Thread(target=lambda suite=suite: results.append(run_one(*suite, deadline, True))) for suite in wanted if suite[0] == BESIDE and len(wanted) > 1]
    try:
        for thread in beside:
            thread.start()
        results += [run_one(*suite, deadline, False) for suite in wanted if not beside or suite[0] != BESIDE]
    except BaseException:
        STOPPED.set()
        raise
    finally:
        for thread in beside:
            thread.join()
    return sum(ok for ok, _ in results), sum(bad for _, bad in results)


def main():
    wanted = sys.argv[1:]
    unknown = set(wanted) - {name for name, _, _ in SUITES}
    if unknown:
        sys.exit(f"no such suite: {', '.join(sorted(unknown))}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that a suite doesn't outlive us
    passed, failed = run_all(wanted)
    print(f"{passed} passed, {failed} failed")
    sys.exit(1 if failed or not passed else 0)


if __name__ == "__main__":
    main()
