"""lockstep/ggml.h in a program that no hook sees, with the real ggml behind it."""
import json
import platform

import numpy
import pytest
from conftest import BUILD, LOCKSTEP, ROOT, capture, check, compile, ended, lines, load, named, run, tensors

FOLDER = ROOT / ".deps/llama-v0.5.0/node_modules/@node-llama-cpp/linux-x64/bins/linux-x64"
LIBRARIES = [FOLDER / "libggml-base.so", FOLDER / "libggml-cpu-x64.so"]
pytestmark = pytest.mark.skipif(platform.machine() != "x86_64", reason="the engine is built for x86-64")


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    return compile(ROOT / "tests/capture/ggml_program.c", tmp_path_factory.mktemp("ggml") / "program",
                   f"-I{ROOT}/hooks/ggml", f"-L{BUILD}", "-llockstep-capture", "-ldl", f"-Wl,-rpath,{BUILD}:{FOLDER}")


def observe(program, out, *options):
    done = capture(out, "env", "-u", "LD_PRELOAD", program, *LIBRARIES, options=options)
    assert done.returncode == 0, done.stderr
    return done


def layer(ids):
    """The graph, computed by NumPy."""
    pattern = ((numpy.arange(64) * 7) % 11 - 5).astype(numpy.float32)
    rows = pattern[:24].reshape(6, 4)[ids]
    normed = rows / numpy.sqrt((rows * rows).mean(-1, keepdims=True) + 1e-6)
    projected = normed @ pattern[:16].reshape(4, 4).T
    return {"embd": rows, "norm-0": normed, "blk.0.attn_output.weight @": projected,
            "turned-0": projected.T, "l_out-0": projected + rows}


def test_nodes_are_recorded_as_the_hook_would(program, tmp_path):
    out = tmp_path / "t"
    done = observe(program, out)
    assert done.stdout == run(program, *LIBRARIES).stdout
    check(out)
    for number, ids in enumerate(([0, 2, 5], [1, 2, 4])):
        for name, values in layer(ids).items():
            line = named(out, name)[number]
            assert line["pass"] == number and line["dtype"] == "f32"
            assert numpy.allclose(load(out, line), values, rtol=1e-5, atol=1e-5), name
        assert load(out, named(out, "inp_tokens")[number]).tolist() == ids
    rows = [line["tokens"] for line in lines(out) if "tokens" in line and "i" not in line]
    assert rows == [[0, 2, 5], [1, 2, 4]] and ended(out)


def test_the_graph_is_whole(program, tmp_path):
    out = tmp_path / "t"
    observe(program, out)
    by_i = {line["i"]: line["name"] for line in tensors(out)}
    first = {name: named(out, name)[0] for name in by_i.values()}
    sources = {name: [by_i[i] for i in line["src"]] for name, line in first.items()}
    assert sources["embd"] == ["token_embd.weight", "inp_tokens"]
    assert sources["blk.0.attn_output.weight @"] == ["blk.0.attn_output.weight", "norm-0"]
    assert sources["l_out-0"] == ["blk.0.attn_output.weight @", "embd"]
    assert {name for name, line in first.items() if line.get("role") == "weight"} == {
        "token_embd.weight", "blk.0.attn_output.weight"}
    assert len(named(out, "token_embd.weight")) == 1
    view, = {line["name"] for line in tensors(out) if line.get("role") == "view"}
    assert "file" not in first[view] and first[view]["op"] == "TRANSPOSE"
    assert first["norm-0"]["op"] == "RMS_NORM" and first["norm-0"]["params"] == {"eps": pytest.approx(1e-6)}
    assert "params" not in first["embd"]
    assert first["blk.0.attn_output.weight @"]["layer"] == 0 and first["embd"]["layer"] == -1


def test_filters_hold(program, tmp_path):
    observe(program, tmp_path / "a")
    observe(program, tmp_path / "t", "--tensors", "^l_out", "--passes", "1")
    kept = [line for line in check(tmp_path / "t") if "file" in line]
    assert [(line["name"], line["pass"]) for line in kept] == [("l_out-0", 1)]
    assert [line["name"] for line in tensors(tmp_path / "t")] == [line["name"] for line in tensors(tmp_path / "a")]


def test_the_hook_records_the_same(program, tmp_path):
    """With the hook preloaded as well, two engines record in one process."""
    done = capture(tmp_path / "t", program, *LIBRARIES)
    assert done.returncode == 0, done.stderr
    assert len({line["process"] for line in lines(tmp_path / "t") if "engine" in line}) >= 1
    check(tmp_path / "t")
    assert run(LOCKSTEP, "diff", tmp_path / "t", tmp_path / "t").returncode == 0


def verified(program, out, **fault):
    done = capture(out, "env", "-u", "LD_PRELOAD", *(f"{key}={value}" for key, value in fault.items()), program, *LIBRARIES)
    assert done.returncode == 0, done.stderr
    pattern = ((numpy.arange(64) * 7) % 11 - 5).astype(numpy.float32)
    numpy.savez(out.with_suffix(".npz"), **{"token_embd.weight": pattern[:24].reshape(6, 4), "blk.0.attn_output.weight": pattern[:16].reshape(4, 4)})
    done = run(LOCKSTEP, "verify", out, "--model", out.with_suffix(".npz"), "--json", "-")
    return done.returncode, [(o["name"], o["verdict"]) for o in json.loads(done.stdout)["operations"] if o["verdict"] not in ("agrees", "unchecked")]


@pytest.mark.parametrize("factor", ["1.001", "0", "nan", "-1"])
@pytest.mark.parametrize("name", ["embd", "norm-0"])
def test_a_kernel_that_is_wrong_and_a_dump_that_lies(program, tmp_path, name, factor):
    """Of one row: what is computed from it tells which of both it is."""
    assert verified(program, tmp_path / "right") == (0, [])
    assert verified(program, tmp_path / "kernel", FAULT_IN=name, FAULT=factor) == (1, [(name, "wrong-kernel")] * 2)
    assert verified(program, tmp_path / "dump", FAULT_IN=name, FAULT=factor, FAULT_IN_DUMP=1) == (1, [(name, "dump-error")] * 2)


def test_what_nothing_is_computed_from_is_not_decided(program, tmp_path):
    assert verified(program, tmp_path / "t", FAULT_IN="l_out-0", FAULT="1.001") == (1, [("l_out-0", "undecided")] * 2)


def test_the_header_is_also_cpp(tmp_path):
    source = (ROOT / "tests/capture/ggml_program.c").read_text()
    declarations = source[:source.index("enum { VOCAB")]
    (tmp_path / "p.cpp").write_text(declarations + "int main() { return lockstep_ggml_open(\"x\", nullptr) != nullptr; }\n")
    compile(tmp_path / "p.cpp", tmp_path / "p", "-c", f"-I{ROOT}/hooks/ggml", "-Wno-unused", "-Wno-unused-function",
            compiler="c++")
