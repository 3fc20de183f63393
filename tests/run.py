#!/usr/bin/env python3
"""Runs the test suites (or those named) and prints `N passed, N failed` last.

A suite is a command; its tests are counted from the JUnit XML files that it writes
under $LOCKSTEP_RESULTS. A suite that ends badly, runs out of its time budget or
counts no test is itself a failure.
"""
import os
import pathlib
import shutil
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree

ROOT = pathlib.Path(__file__).resolve().parent.parent
RESULTS = ROOT / "build" / "results"
PYTHON = ROOT / ".deps" / "venv" / "bin" / "python"

# name, seconds allowed on two cores, command
SUITES = [
    ("layers", 20, [PYTHON, "-m", "pytest", "-q", "tests/test_layers.py"]),
    ("unit", 120, ["tests/run_unit", "build"]),
    ("sanitizers", 400, ["tests/run_unit", "build/asan"]),
    ("cli", 200, [PYTHON, "-m", "pytest", "-q", "tests/cli"]),
    ("formats", 200, [PYTHON, "-m", "pytest", "-q", "tests/formats"]),
    ("checkpoints", 200, [PYTHON, "-m", "pytest", "-q", "tests/checkpoints"]),
    ("capture", 300, [PYTHON, "-m", "pytest", "-q", "tests/capture"]),
    ("compare", 200, [PYTHON, "-m", "pytest", "-q", "tests/compare"]),
    ("torch", 420, [PYTHON, "-m", "pytest", "-q", "tests/torch"]),
    ("engines", 480, [PYTHON, "-m", "pytest", "-q", "tests/e2e"]),
]


def count(folder):
    passed, failed, names = 0, 0, []
    for path in sorted(folder.glob("**/*.xml")):
        for case in ElementTree.parse(path).getroot().iter("testcase"):
            bad = [c for c in case if c.tag in ("failure", "error")]
            skipped = any(c.tag == "skipped" for c in case)
            if bad:
                failed += 1
                names.append(f"{case.get('classname', '')} {case.get('name')}".strip())
            elif not skipped:
                passed += 1
    return passed, failed, names


def main():
    wanted = sys.argv[1:]
    unknown = set(wanted) - {name for name, _, _ in SUITES}
    if unknown:
        sys.exit(f"no such suite: {', '.join(sorted(unknown))}")
    passed = failed = 0
    for name, budget, command in SUITES:
        if wanted and name not in wanted:
            continue
        folder = RESULTS / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        command = [str(part) for part in command]
        if "pytest" in command:
            command.append(f"--junitxml={folder}/pytest.xml")
        environment = dict(os.environ, LOCKSTEP_RESULTS=str(folder))
        print(f"== {name} (at most {budget} s)", flush=True)
        start = time.monotonic()
        trouble = None
        try:
            done = subprocess.run(command, cwd=ROOT, env=environment, timeout=budget)
            trouble = f"exit status {done.returncode}" if done.returncode else None
        except subprocess.TimeoutExpired:
            trouble = f"not done within {budget} s"
        ok, bad, names = count(folder)
        if bad == 0 and (trouble or ok == 0):
            bad, names = 1, [trouble or "no test was run"]
        print(f"== {name}: {ok} passed, {bad} failed, {time.monotonic() - start:.0f} s", flush=True)
        for each in names:
            print(f"   FAILED {each}", flush=True)
        passed += ok
        failed += bad
    print(f"{passed} passed, {failed} failed")
    sys.exit(1 if failed or not passed else 0)


if __name__ == "__main__":
    main()
