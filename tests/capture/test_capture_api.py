"""The C capture API, seen from the trace."""
import os

import numpy
import pytest
from conftest import BUILD, ROOT, capture, check, compile, ended, lines, load, named, run, tensors


def expected(number, layer):
    h = numpy.arange(12, dtype=numpy.float32).reshape(3, 4)
    for _ in range(layer + 1):
        h = h * 2 + number
    return h


def test_what_an_engine_records_is_read_by_numpy(engine, tmp_path):
    done = capture(tmp_path / "t", engine, "run", 3)
    assert done.returncode == 0 and done.stdout == run(engine, "run", 3).stdout
    check(tmp_path / "t")
    for number, line in enumerate(named(tmp_path / "t", "h-1")):
        assert (line["pass"], line["layer"], line["op"], line["dtype"]) == (number, 1, "", "f32")
        assert numpy.array_equal(load(tmp_path / "t", line), expected(number, 1))
    assert [float(load(tmp_path / "t", line)) for line in named(tmp_path / "t", "sum")] == [
        expected(number, 1).sum() for number in range(3)]
    start = next(line for line in lines(tmp_path / "t") if "engine" in line)
    assert (start["engine"], start["engine_version"], start["process"]) == ("tiny", "1.0", 0)
    passes = [line for line in lines(tmp_path / "t") if "i" not in line and "tokens" in line]
    assert [(p["tokens"], p["positions"]) for p in passes] == [([5, 7, 9], [0, 1, 2])] * 3
    assert ended(tmp_path / "t")


def test_layouts_types_and_edges(engine, tmp_path):
    out = tmp_path / "t"
    done = capture(out, engine, "nodes")
    assert done.returncode == 0 and done.stdout == "1 0\n1 0\n"
    check(out)
    plain = numpy.arange(24, dtype=numpy.float32).reshape(2, 3, 4)
    values = {"plain": plain, "permuted": plain.transpose(2, 0, 1), "reversed": plain[0, 0, ::-1], "repeated": [3] * 4,
              "bf16": numpy.array([1, -1, 3.140625, numpy.inf]), "q8_0": numpy.arange(-16, 16), "product": plain[0, 0]}
    for name, array in values.items():
        assert numpy.array_equal(load(out, named(out, name)[0]), array), name
    assert named(out, "bf16")[0]["dtype"] == "bf16" and named(out, "q8_0")[0]["dtype"] == "q8_0"
    assert "file" not in named(out, "none")[0]
    assert {line["name"] for line in tensors(out)} >= {'na"me\n�'}
    weight, product = named(out, "w")[0], named(out, "product")[0]
    assert weight["role"] == "weight" and weight["dtype"] == "q6_K" and "pass" not in weight
    assert product["src"] == [weight["i"]] and product["op"] == "MUL_MAT" and product["backend"] == "CPU"
    notes = [line["note"] for line in lines(out) if "note" in line]
    assert any("nine axes" in note and "rank" in note for note in notes)
    assert any("half a block" in note for note in notes)
    assert any("sizeof(lockstep_node)" in note for note in notes) and load(out, named(out, "longer")[0]) == 1
    assert run(BUILD / "lockstep", "diff", out, out).returncode == 0


def test_parameters_aliases_and_places(engine, tmp_path):
    out = tmp_path / "t"
    assert capture(out, engine, "nodes").returncode == 0
    product, other = named(out, "product")[0], named(out, "other name")[0]
    assert product["params"] == {"eps": 1e-6, "n_dims": -2**63, "causal": True, 'mode "x"': "ne\\ox\n",
                                 "axes": [0, -2, 2**63 - 1], "factors": [0.5, "-inf"], "none": []}
    assert product["params"]["causal"] is True and product["where"] == "engine.c:12" and "alias_of" not in product
    assert other["alias_of"] == product["i"] and "file" not in other and "params" not in other


def test_what_the_recorder_would_refuse_costs_no_more_than_itself(engine, tmp_path):
    out = tmp_path / "t"
    done = capture(out, engine, "limits")
    assert done.returncode == 0 and ended(out), done.stderr
    notes = [line["note"] for line in lines(out) if "note" in line]
    assert any("64 MiB" in note for note in notes) and any("too many rows" in note for note in notes)
    assert {line["name"] for line in tensors(out)} == {"many", "same", "named", "last"}
    assert len(named(out, "many")[0]["params"]) == 256 and named(out, "same")[0]["params"] == {"a\ufffd": 1, "b\ufffd": 3}
    assert named(out, "named")[0]["dtype"] == "f32" and load(out, named(out, "last")[0]) == 1


def test_operands_views_and_older_headers(engine, tmp_path):
    out = tmp_path / "t"
    assert capture(out, engine, "nodes").returncode == 0
    weight, product, masked, plain = (named(out, name)[0] for name in ("w", "product", "masked", "the sources"))
    assert masked["src"] == [weight["i"]] and masked["operands"] == [product["i"], None, weight["i"], None]
    assert (masked["view_of"], masked["offset"], masked["strides"]) == (product["i"], 12, [-8])
    assert plain["src"] == [weight["i"]] and not {"operands", "view_of", "offset", "strides"} & set(plain)
    shorter = named(out, "shorter")[0]
    assert load(out, shorter) == 1 and not {"operands", "view_of"} & set(shorter)


def test_a_locale_with_a_decimal_comma(tmp_path):
    """snprintf writes 0,5 then; a frame must not."""
    made = run("localedef", "-i", "de_DE", "-f", "UTF-8", tmp_path / "de_DE.UTF-8")
    if not (tmp_path / "de_DE.UTF-8").exists():
        pytest.skip(f"no locale can be made: {made.stderr.strip()}")
    (tmp_path / "p.c").write_text("""
        #include <locale.h>
        #include <stdio.h>
        #include <lockstep/capture.h>
        int main(void) {
            const lockstep_parameter half = {.name = "half", .type = LOCKSTEP_PARAMETER_REAL, .value.real = -0.5};
            lockstep_node node = {.size = sizeof node, .name = "x", .layer = -1, .dtype = LOCKSTEP_F32, .parameters = &half, .parameter_count = 1};
            char text[8];
            lockstep_recorder *recorder = lockstep_capture_open("p", NULL);
            if (setlocale(LC_ALL, "de_DE.UTF-8") == NULL || snprintf(text, sizeof text, "%g", 0.5) != 3 || text[1] != ',')
                return 9;
            lockstep_capture_node(recorder, &node);
            lockstep_capture_close(recorder);
            return 0;
        }""")
    program = compile(tmp_path / "p.c", tmp_path / "p", f"-L{BUILD}", "-llockstep", f"-Wl,-rpath,{BUILD}", "-Wl,-rpath-link,.")
    assert capture(tmp_path / "t", program, env=dict(os.environ, LOCPATH=str(tmp_path))).returncode == 0
    assert named(tmp_path / "t", "x")[0]["params"] == {"half": -0.5} and ended(tmp_path / "t")


def test_a_child_records_for_itself(engine, tmp_path):
    out = tmp_path / "t"
    assert capture(out, engine, "fork").returncode == 0
    check(out)
    process = {line["pass"]: line["process"] for line in lines(out) if "process" in line and "pass" in line}
    where = {name: process[named(out, name)[0]["pass"]] for name in ("before", "parent", "child", "sum")}
    assert where == {"before": 0, "parent": 0, "child": 1, "sum": 1}
    assert numpy.array_equal(load(out, named(out, "h-0")[0]), expected(7, 0))
    assert ended(out)


def test_an_engine_that_another_program_becomes(engine, tmp_path):
    done = capture(tmp_path / "t", engine, "exec")
    assert done.returncode == 0 and done.stdout == run(engine, "run").stdout
    assert len(named(tmp_path / "t", "h-0")) == 2 and ended(tmp_path / "t")


def test_two_recorders_in_two_threads(engine, tmp_path):
    out = tmp_path / "t"
    assert capture(out, engine, "threads").returncode == 0
    check(out)
    context = {line["pass"]: line["context"] for line in lines(out) if "pass" in line and "context" in line}
    for number in (0, 1):
        own = [line for line in named(out, "h-1") if context[line["pass"]] == number]
        assert all(numpy.array_equal(load(out, line), expected(n, 1)) for n, line in enumerate(own)) and len(own) == 50
    assert {line["engine"] for line in lines(out) if "engine" in line} == {"first", "second"}
    assert ended(out)


def test_more_than_the_ring_holds(engine, tmp_path):
    assert capture(tmp_path / "t", engine, "flood", 100).returncode == 0
    first = [load(tmp_path / "t", line)[0] for line in named(tmp_path / "t", "flood")]
    assert first == list(range(100)) and ended(tmp_path / "t")


@pytest.mark.parametrize("options,kept", [
    ([], {"embd", "h-0", "h-1", "sum"}), (["--tensors", "^h-"], {"h-0", "h-1"}), (["--layers", "1"], {"h-1"}),
    (["--ops", "MUL"], set()), (["--observe", "outputs", "--tensors", "sum"], {"sum"})])
def test_filters(engine, tmp_path, options, kept):
    capture(tmp_path / "t", engine, "run", options=options)
    found = check(tmp_path / "t")
    assert {line["name"] for line in found if "file" in line} == kept and len(found) == 8


def test_filtered_passes_and_statistics_only(engine, tmp_path):
    capture(tmp_path / "t", engine, "run", 5, options=["--passes", "1,3-9"])
    assert {line["pass"] for line in tensors(tmp_path / "t") if "file" in line} == {1, 3, 4}
    capture(tmp_path / "s", engine, "run", 5, options=["--stats-only"])
    assert not list((tmp_path / "s" / "tensors").iterdir())
    assert [(line["name"], line["stats"]["max"]) for line in tensors(tmp_path / "s")][2] == ("h-1", 44)


PLUGIN = r"""
#include <dlfcn.h>
#include <stddef.h>
#include <lockstep/lockstep.h>
int main(int argc, char **argv) {
    void *library = argc > 1 ? dlopen(argv[1], RTLD_NOW | RTLD_LOCAL) : NULL;
    lockstep_recorder *(*open)(const char *, const char *) = NULL;
    void (*tensor)(lockstep_recorder *, const char *, int, lockstep_dtype, int, const uint64_t *, const int64_t *, const void *) = NULL;
    void (*close)(lockstep_recorder *) = NULL;
    const double value = 2.5;
    if (library == NULL)
        return 3;
    *(void **)&open = dlsym(library, "lockstep_capture_open");
    *(void **)&tensor = dlsym(library, "lockstep_capture_tensor");
    *(void **)&close = dlsym(library, "lockstep_capture_close");
    lockstep_recorder *recorder = open("plugin", NULL);
    tensor(recorder, "value", -1, LOCKSTEP_F64, 0, NULL, NULL, &value);
    close(recorder);
    return 0;
}
"""


@pytest.mark.parametrize("library", ["liblockstep.so", "liblockstep-capture.so"])
def test_through_dlopen(tmp_path, library):
    (tmp_path / "p.c").write_text(PLUGIN)
    program = compile(tmp_path / "p.c", tmp_path / "p", "-ldl", "-Wno-pedantic")
    assert capture(tmp_path / "t", program, BUILD / library).returncode == 0
    line, = named(tmp_path / "t", "value")
    assert load(tmp_path / "t", line) == 2.5 and line["pass"] == 0 and ended(tmp_path / "t")


def test_from_cpp(tmp_path):
    (tmp_path / "p.cpp").write_text("""
        #include <lockstep/lockstep.h>
        int main() {
            lockstep_recorder *recorder = lockstep_capture_open("cpp", nullptr);
            const uint64_t shape[] = {2};
            const float values[] = {1, 2};
            lockstep_capture_tensor(recorder, "x", 0, LOCKSTEP_F32, 1, shape, nullptr, values);
            lockstep_capture_close(recorder);
        }""")
    program = compile(tmp_path / "p.cpp", tmp_path / "p", f"-L{BUILD}", "-llockstep", f"-Wl,-rpath,{BUILD}",
                      compiler="c++")
    assert capture(tmp_path / "t", program).returncode == 0
    assert load(tmp_path / "t", named(tmp_path / "t", "x")[0]).tolist() == [1, 2]


@pytest.mark.parametrize("name", [None, "", "@", "lockstep", "@lockstep-1-0-stale", "@" + "x" * 200])
def test_without_a_recorder_nothing_changes(engine, name):
    environment = {k: v for k, v in os.environ.items() if k != "LOCKSTEP_CHANNEL"}
    alone = run(engine, "run", 4, env=environment)
    environment["LD_PRELOAD"] = str(BUILD / "liblockstep-ggml.so")
    if name is not None:
        environment["LOCKSTEP_CHANNEL"] = name
    done = run(engine, "run", 4, env=environment)
    assert (done.returncode, done.stdout, done.stderr) == (0, alone.stdout, "")


@pytest.mark.parametrize("mode", ["run", "fork"])
def test_a_sanitized_engine(tmp_path, mode):
    """AddressSanitizer ends a program that has other libraries before its own, and its leak check looks at ours."""
    sanitized = compile(ROOT / "tests/capture/engine.c", tmp_path / "engine", f"-L{BUILD}", "-llockstep-capture", f"-Wl,-rpath,{BUILD}",
                        "-fsanitize=address", "-Wno-maybe-uninitialized")
    alone = run(sanitized, mode, 1)
    assert alone.returncode == 0, alone.stderr
    done = capture(tmp_path / "t", sanitized, mode, 1, options=("--tensors", "h|child"))
    assert done.returncode == 0 and done.stdout == alone.stdout and "Sanitizer" not in done.stderr, done.stderr
    assert named(tmp_path / "t", "h-1") and ended(tmp_path / "t")
