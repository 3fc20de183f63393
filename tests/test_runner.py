"""The runner of the suites, with suites of our own that hang, are slow, or end badly."""
import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

TESTS = pathlib.Path(__file__).resolve().parent
PYTEST = [sys.executable, TESTS / "run_pytest", "-q", "-p", "no:cacheprovider"]


class Runner:
    def __init__(self, folder):
        self.folder, self.suites = folder, []

    def add(self, name, text, budget=100, arguments=()):
        """A suite of one pytest file."""
        path = self.folder / f"test_{name}.py"
        path.write_text(text)
        return self.command(name, [*PYTEST, path, *arguments], budget)

    def shell(self, name, text):
        """A suite that is at work at once, and keeps its journal by itself."""
        say = 'say() { echo "[\\"$1\\", \\"$2\\"]" >> "$LOCKSTEP_RESULTS/journal"; }\n'
        return self.command(name, ["sh", "-c", say + text])

    def command(self, name, command, budget=100):
        self.suites.append((name, budget, [str(part) for part in command]))
        return self

    def start(self, **limits):
        program = (f"import pathlib, sys; sys.path.insert(0, {str(TESTS)!r}); import run\n"
                   f"run.SUITES, run.RESULTS = {self.suites!r}, pathlib.Path({str(self.folder / 'results')!r})\nrun.main()\n")
        environment = {**os.environ, **{f"LOCKSTEP_TEST_{key.upper()}": str(value) for key, value in limits.items()}}
        return subprocess.Popen([sys.executable, "-c", program], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def run(self, **limits):
        """(exit status, lines of the runner itself)"""
        process = self.start(**limits)
        output, _ = process.communicate(timeout=120)
        lines = [line for line in output.splitlines() if line.startswith(("== ", "   FAILED", "   skipped"))]
        return process.returncode, lines, output.splitlines()[-1]


@pytest.fixture
def runner(tmp_path):
    return Runner(tmp_path)


def failures(lines):
    return [line.split("FAILED ")[1] for line in lines if "FAILED" in line]


def test_what_passes_fails_and_is_skipped_is_counted(runner):
    runner.add("good", "def test_a(): pass\ndef test_b(): pass\n")
    runner.add("mixed", """
import pytest
@pytest.fixture
def broken():
    yield
    raise RuntimeError
def test_good(): pass
def test_bad(): assert False
def test_teardown(broken): pass
@pytest.mark.skip(reason="because")
def test_left_out(): pass
@pytest.mark.parametrize("x", ["a b", "ü"])
def test_names(x): pass
""")
    status, lines, last = runner.run()
    assert status == 1 and last == "5 passed, 2 failed"
    assert [f.split("::")[1] for f in failures(lines)] == ["test_bad", "test_teardown"]
    assert [line.split("::")[1] for line in lines if "skipped" in line] == ["test_left_out"]


def test_all_good(runner):
    status, lines, last = runner.add("good", "def test_a(): pass\n").run()
    assert status == 0 and last == "1 passed, 0 failed" and failures(lines) == []


def is_alive(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


HANGS = """
import pathlib, subprocess, time
def test_first(): pass
def test_hangs():
    child = subprocess.Popen(["sleep", "1000"])
    pathlib.Path({!r}).write_text(str(child.pid))
    child.wait()
def test_third(): pass
def test_fourth(): pass
"""


def test_a_test_that_hangs_is_killed_with_its_children_and_the_rest_is_named(runner, tmp_path):
    runner.add("hangs", HANGS.format(str(tmp_path / "pid"))).add("good", "def test_a(): pass\n")
    status, lines, last = runner.run(stall=12)
    assert status == 1 and last == "2 passed, 3 failed", "the suite after it was run"
    assert [f.split("::")[1] for f in failures(lines)] == ["test_hangs: killed: no progress for 12 s", "test_third: not run", "test_fourth: not run"]
    assert not is_alive(int((tmp_path / "pid").read_text()))


QUICK = "say passed a"
STUCK = "say planned a; say planned b; say planned c; say passed a; say begun b; sleep 1000"


def test_the_whole_run_ends_by_itself(runner):
    status, lines, last = runner.shell("quick", QUICK).shell("stuck", STUCK).shell("never", QUICK).run(limit=5)
    assert status == 1 and last == "2 passed, 3 failed"
    assert failures(lines) == ["b: killed: the whole run may take 5 s", "c: not run", "the whole suite was not run: the run may take 5 s"]


def test_a_suite_that_is_stuck_between_tests(runner):
    status, lines, last = runner.shell("stuck", "say planned a; say planned b; say passed a; sleep 1000").shell("quick", QUICK).run(stall=3)
    assert status == 1 and last == "2 passed, 1 failed" and failures(lines) == ["b: not run"]
    assert lines[1].endswith("; killed: no progress for 3 s")


def test_a_budget_is_no_limit(runner):
    text = "import time, pytest\n@pytest.mark.parametrize('n', range(4))\ndef test_slow(n): time.sleep(0.4)\n"
    status, lines, last = runner.add("slow", text, budget=0.1).run()
    assert status == 0 and last == "4 passed, 0 failed"
    assert lines[-1].endswith("; longer than it should take")


def test_many_short_tests_may_take_longer_than_one_may(runner):
    status, _, last = runner.shell("slow", "for n in 1 2 3 4 5 6 7 8 9 10; do say begun $n; sleep 0.5; say passed $n; done").run(stall=4)
    assert status == 0 and last == "10 passed, 0 failed"


@pytest.mark.parametrize("end, why", [("os._exit(3)", "exit status 3"), ("os.kill(os.getpid(), 11)", "ended by signal 11"), ("os._exit(0)", "has no end")])
def test_a_suite_that_ends_in_the_middle(runner, end, why):
    status, lines, last = runner.add("bad", f"import os\ndef test_a(): pass\ndef test_b(): {end}\ndef test_c(): pass\n").run()
    assert status == 1 and last == "1 passed, 2 failed"
    assert [f.split("::")[1] for f in failures(lines)] == [f"test_b: {why}", "test_c: not run"]


def test_a_file_that_can_not_be_collected(runner):
    status, lines, last = runner.add("bad", "import no_such_module\n").run()
    assert status == 1 and last == "0 passed, 1 failed" and "test_bad.py (collecting)" in failures(lines)[0]


@pytest.mark.parametrize("command, why", [
    (["true"], "no test was run"), (["false"], "exit status 1"), (["no-such-command"], "could not be started")])
def test_a_suite_without_tests_is_a_failure(runner, command, why):
    status, lines, last = runner.command("none", command).run()
    assert status == 1 and last == "0 passed, 1 failed" and why in failures(lines)[0]


def test_all_skipped_is_no_success(runner):
    status, lines, last = runner.add("skips", "import pytest\ndef test_a(): pytest.skip('not here')\n").run()
    assert status == 1 and failures(lines) == ["no test was run"]


def test_a_runner_that_is_ended_leaves_nothing(runner, tmp_path):
    process = runner.add("hangs", HANGS.format(str(tmp_path / "pid"))).start()
    while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == 1 and not is_alive(int((tmp_path / "pid").read_text()))


PROGRAM = """#!/bin/sh
{before}
[ -z "$CMOCKA_XML_FILE" ] || echo '<testsuites><testsuite><testcase name="one"/><testcase name="two">{inside}</testcase></testsuite></testsuites>' > "$(dirname "$CMOCKA_XML_FILE")/group.xml"
exit {status}
"""


def test_programs_of_unit_tests(runner, tmp_path):
    """Cases are counted; a program that crashes, or hangs, is named, and so are those after it."""
    programs = tmp_path / "build" / "tests"
    programs.mkdir(parents=True)
    for name, parts in {"test_1_good": ("", "", 0), "test_2_bad": ("", "<failure/>", 1), "test_3_crash": ("exit 9", "", 0),
                        "test_4_hangs": ("sleep 1000", "", 0), "test_5_after": ("", "", 0)}.items():
        (programs / name).write_text(PROGRAM.format(before=parts[0], inside=parts[1], status=parts[2]))
        (programs / name).chmod(0o755)
    text = (TESTS / "run_unit").read_text().replace('if not build("asan" if sanitized else "unit-tests"):', "if False:")
    script = tmp_path / "run_unit"
    script.write_text(text.replace("import journal\n", f"sys.path.insert(0, {str(TESTS)!r})\nimport journal\n"))
    status, lines, last = runner.command("unit", [sys.executable, script, tmp_path / "build"]).run(stall=4)
    assert status == 1 and last == "3 passed, 4 failed"
    assert sorted(failures(lines)) == ["test_2_bad two", "test_3_crash", "test_4_hangs: killed: no progress for 4 s", "test_5_after: not run"]


def test_a_journal_that_was_cut_off(tmp_path):
    sys.path.insert(0, str(TESTS))
    import journal
    (tmp_path / "journal").write_text(json.dumps(["passed", "a"]) + "\n" + json.dumps(["begun", "b"]) + '\n["pas')
    assert journal.read(tmp_path) == {"a": "passed", "b": "begun"}


def test_one_suite_runs_beside_the_others(runner):
    runner.shell("first", 'cd "$LOCKSTEP_RESULTS"; say begun a; for n in $(seq 300); do test -e ../engines/journal && break; sleep 0.1; done; test -e ../engines/journal && say passed a || say failed a')
    runner.shell("engines", "echo what it prints; say passed b; sleep 1; say failed c; exit 1")
    status, lines, last = runner.run()
    assert status == 1 and last == "2 passed, 1 failed" and failures(lines) == ["c"]
    assert "== engines (about 100 s, beside the others)" in lines
