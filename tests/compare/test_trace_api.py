"""Comparing traces through the public headers, from a C program."""
import json
import subprocess

import numpy as np
import pytest

from traces import ROOT, Trace

PROGRAM = r"""
#include <lockstep/lockstep.h>
#include <stdio.h>
#include <string.h>
int main(int count, char **words) {
    lockstep_trace_options options = {.size = sizeof options};
    lockstep_trace_comparison *c;
    lockstep_error error;
    if (count > 3 && strcmp(words[3], "size") == 0)
        options.size = 8;
    if (count > 3 && strcmp(words[3], "profile") == 0)
        options.profile = "none-such";
    if (count > 3 && strcmp(words[3], "elementwise") == 0) {
        options.elementwise = true;
        options.atol = 10;
    }
    if (lockstep_traces_compare(words[1], words[2], &options, &c, &error) != LOCKSTEP_OK) {
        printf("%d %s\n", (int)error.status, error.message);
        return 9;
    }
    printf("%s|%s|%.17g|%zu\n", lockstep_trace_comparison_verdict(c), lockstep_trace_comparison_reason(c), lockstep_trace_comparison_coverage(c),
           lockstep_trace_comparison_first(c));
    for (size_t i = 0; i < lockstep_trace_comparison_pair_count(c); i++) {
        lockstep_pair p;
        if (lockstep_trace_comparison_pair(c, i, &p) != LOCKSTEP_OK)
            return 8;
        printf("%s|%s|%s|%s|%d|%d|%d|%.17g|%.17g|%.17g\n", p.reference, p.candidate, p.method, p.verdict, p.fails, p.downstream, p.layer, p.rel_l2, p.max_abs, p.cosine);
    }
    lockstep_cause cause;
    for (size_t i = 0; lockstep_trace_comparison_cause(c, i, &cause) == LOCKSTEP_OK; i++)
        printf("cause|%s|%.17g\n", cause.id, cause.residual);
    lockstep_pair beyond;
    int status = lockstep_trace_comparison_exit_status(c);
    if (lockstep_trace_comparison_pair(c, 1000, &beyond) != LOCKSTEP_INVALID_ARGUMENT || lockstep_trace_comparison_write_json(c, words[count - 1], &error) != LOCKSTEP_OK)
        status = 7;
    lockstep_trace_comparison_close(c);
    lockstep_trace_comparison_close(NULL);
    return status;
}
"""


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    folder = tmp_path_factory.mktemp("api")
    (folder / "compare.c").write_text(PROGRAM)
    subprocess.run(["cc", "-Wall", "-Werror", f"-I{ROOT / 'include'}", folder / "compare.c", f"-L{ROOT / 'build'}", "-llockstep", f"-Wl,-rpath,{ROOT / 'build'}", "-o",
                    folder / "compare"], check=True)
    return folder / "compare"


def made(tmp_path, factor):
    rng = np.random.default_rng(7)
    first, last = rng.standard_normal((5, 8)).astype("f4"), rng.standard_normal((5, 8)).astype("f4")
    sides = {}
    for side, scale in (("reference", np.float32(1)), ("candidate", np.float32(factor))):
        t = Trace(tmp_path / side).begin(range(5))
        a = t.add("first", first, [], op="op")
        t.add("last", last * scale, [a], op="op")
        sides[side] = t.write()
    return sides["reference"], sides["candidate"], last


def run(program, *words):
    done = subprocess.run([program, *map(str, words)], capture_output=True, text=True)
    return done.returncode, [line.split("|") for line in done.stdout.splitlines()]


def test_a_match(tmp_path, program):
    reference, candidate, _ = made(tmp_path, 1)
    status, lines = run(program, reference, candidate, tmp_path / "report.json")
    assert status == 0 and lines[0] == ["match", "", "1", str(2**64 - 1)]
    assert [line[:6] for line in lines[1:]] == [["first", "first", "name", "identical", "0", "0"], ["last", "last", "name", "identical", "0", "0"]]
    assert json.loads((tmp_path / "report.json").read_text())["verdict"] == "match"


def test_a_divergence_its_figures_and_its_cause(tmp_path, program):
    reference, candidate, last = made(tmp_path, 3)
    status, lines = run(program, reference, candidate, tmp_path / "report.json")
    assert status == 1 and lines[0][0] == "diverged" and lines[0][3] == "1"
    wrong, right = (last * np.float32(3)).astype("f8"), last.astype("f8")
    assert lines[2][3:6] == ["diverged", "1", "0"]
    assert float(lines[2][7]) == pytest.approx(np.linalg.norm(wrong - right) / np.linalg.norm(right), rel=1e-12)
    assert float(lines[2][8]) == np.abs(wrong - right).max()
    assert float(lines[2][9]) == pytest.approx((wrong * right).sum() / np.linalg.norm(wrong) / np.linalg.norm(right), rel=1e-12)
    assert ["cause", "scale"] == lines[3][:2]


def test_elementwise_tolerances(tmp_path, program):
    reference, candidate, _ = made(tmp_path, 3)
    assert run(program, reference, candidate, "elementwise", tmp_path / "report.json")[0] == 0


@pytest.mark.parametrize("option, words", [("size", "found a size of 8"), ("profile", "no profile 'none-such'")])
def test_options_that_make_no_sense(tmp_path, program, option, words):
    reference, candidate, _ = made(tmp_path, 1)
    status, lines = run(program, reference, candidate, option, tmp_path / "report.json")
    assert status == 9 and lines[0][0].startswith("1 ") and words in lines[0][0]


def test_a_path_that_is_not_there(tmp_path, program):
    status, lines = run(program, tmp_path / "none", tmp_path / "none", tmp_path / "report.json")
    assert status == 9 and "none" in lines[0][0]
