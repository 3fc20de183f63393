"""Deaths, disks and wrong usage: what was recorded stays right, and the observed
program ends as it would alone."""
import json
import os
import pathlib
import random
import resource
import signal
import subprocess
import threading

import pytest
from conftest import BUILD, LIMIT, LOCKSTEP, PYTHON, ROOT, capture, check, ended, lines, named, run, tensors


def start(out, *command, options=(), **more):
    return subprocess.Popen([str(part) for part in (LOCKSTEP, "capture", "-o", out, *options, "--", *command)],
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True, **more)


def finish(process):
    """Its end, and what it still had to say. What hangs is killed, with its children."""
    watchdog = threading.Timer(LIMIT, os.killpg, (process.pid, signal.SIGKILL))
    watchdog.start()
    try:
        with process.stdout, process.stderr:
            out, err = process.stdout.read(), process.stderr.read()
        return process.wait(), out, err
    finally:
        watchdog.cancel()


# ------------------------------------------------------------------ deaths

@pytest.mark.parametrize("seed", range(int(os.environ.get("LOCKSTEP_KILLS", "10"))))
def test_killed_while_it_records(engine, tmp_path, seed):
    out = tmp_path / "t"
    process = start(out, engine, "loop", 1 << 30)
    victim = int(process.stdout.readline())
    for _ in range(random.Random(seed).randrange(1, 30)):
        process.stdout.readline()
    os.kill(victim, signal.SIGKILL)
    status, _, errors = finish(process)
    assert status == 128 + signal.SIGKILL and "INCOMPLETE" in errors
    assert check(out) and not ended(out)
    diff = run(LOCKSTEP, "diff", out, out)
    assert "incomplete" in (diff.stdout + diff.stderr).lower()


@pytest.mark.parametrize("passes", [0, 1, 9, 30])
def test_the_recorder_is_killed(engine, tmp_path, passes):
    """The engine has more to say than the ring holds, and goes on as if alone."""
    process = start(tmp_path / "t", "sh", "-c", '"$0" loop 60; echo status $?', engine)
    process.stdout.readline()
    for _ in range(passes):
        process.stdout.readline()
    process.kill()
    status, out, errors = finish(process)
    assert status == -signal.SIGKILL and errors == ""
    assert out.splitlines() == [f"pass {n}" for n in range(passes, 60)] + ["status 0"]
    check(tmp_path / "t")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1])
def test_a_signal_to_lockstep_reaches_the_command(tmp_path, number):
    process = start(tmp_path / "t", "sh", "-c",
                    f"trap 'echo got; exit 9' {number.value}; echo ready; while :; do sleep 0.02; done",
                    preexec_fn=lambda: signal.signal(number, signal.SIG_DFL))  # under nohup it is ignored
    assert process.stdout.readline() == "ready\n"
    process.send_signal(number)
    assert finish(process)[:2] == (9, "got\n")


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGABRT, signal.SIGTERM])
def test_a_death_by_signal_is_the_exit_status(tmp_path, number):
    assert capture(tmp_path / "t", "sh", "-c", f"kill -{number.value} $$").returncode == 128 + number.value


def test_the_command_gets_the_signals_that_lockstep_was_given(tmp_path):
    script = "grep -E 'Sig(Blk|Ign)' /proc/self/status"
    assert capture(tmp_path / "t", "sh", "-c", script).stdout == run("sh", "-c", script).stdout


# ------------------------------------------------------- status and streams

@pytest.mark.parametrize("status", [0, 1, 2, 77, 126, 255])
def test_the_exit_status_passes_through(engine, tmp_path, status):
    assert capture(tmp_path / "t", engine, "exit", status).returncode == status


def test_a_command_that_is_not_there(tmp_path):
    done = capture(tmp_path / "t", "lockstep-no-such-command")
    assert done.returncode == 127
    assert done.stderr == "lockstep capture: lockstep-no-such-command: No such file or directory\n"


def test_a_command_that_is_not_executable(tmp_path):
    (tmp_path / "x").write_text("")
    done = capture(tmp_path / "t", tmp_path / "x")
    assert done.returncode == 126 and "Permission denied" in done.stderr and done.stderr.count("\n") == 1


def test_streams_pass_through(tmp_path):
    done = capture(tmp_path / "t", "sh", "-c", "cat; echo err >&2", input="in\x00put")
    assert done.stdout == "in\x00put" and done.stderr.startswith("err\n")


def test_a_command_that_computes_nothing(tmp_path):
    done = capture(tmp_path / "t", "sh", "-c", "exit 4")
    assert done.returncode == 4 and done.stderr.count("\n") == 1 and "nothing was recorded" in done.stderr
    assert ended(tmp_path / "t")


def test_a_closed_standard_error_costs_nothing(engine, tmp_path):
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run([LOCKSTEP, "capture", "-o", tmp_path / "t", "--", engine, "exit", "3"], stderr=writer)
    os.close(writer)
    assert done.returncode == 3


def test_many_processes_one_after_another(engine, tmp_path):
    done = capture(tmp_path / "t", "sh", "-c", f"i=0; while [ $i -lt 40 ]; do {engine} run 1 || exit 1; i=$((i+1)); done")
    assert done.returncode == 0 and len(named(tmp_path / "t", "h-1")) == 40 and ended(tmp_path / "t")


@pytest.mark.parametrize("options", [
    ["--tensors", "["], ["--layers", "x"], ["--layers", "3-1"], ["--passes", "-"], ["--observe", "some"],
    ["--tensors", "a" * 2000]])
def test_wrong_options_start_nothing(tmp_path, options):
    done = capture(tmp_path / "t", "touch", tmp_path / "ran", options=options)
    assert done.returncode == 2 and options[0] in done.stderr
    assert not (tmp_path / "ran").exists() and not (tmp_path / "t").exists()


# -------------------------------------------------------------- where to

def refused(out, engine):
    done = capture(out, engine, "run")
    assert done.returncode == 2 and str(out) in done.stderr and done.stdout == "", done.stderr
    return done.stderr


def test_out_is_a_file(engine, tmp_path):
    (tmp_path / "t").write_text("mine")
    refused(tmp_path / "t", engine)
    refused(tmp_path / "t" / "below", engine)
    assert (tmp_path / "t").read_text() == "mine"


def test_out_holds_other_files(engine, tmp_path):
    (tmp_path / "t").mkdir()
    (tmp_path / "t" / "thesis.tex").write_text("mine")
    assert "not a trace" in refused(tmp_path / "t", engine)
    assert [path.name for path in (tmp_path / "t").iterdir()] == ["thesis.tex"]


def test_out_can_not_be_written(engine):
    refused(pathlib.Path("/proc/lockstep-test"), engine)


def test_values_do_not_follow_a_link(engine, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "t").mkdir()
    (tmp_path / "t" / "trace.jsonl").write_text("")
    (tmp_path / "t" / "tensors").symlink_to(tmp_path / "elsewhere")
    refused(tmp_path / "t", engine)
    assert not list((tmp_path / "elsewhere").iterdir())


def test_an_older_trace_is_replaced(engine, tmp_path):
    capture(tmp_path / "t", engine, "run", 9)
    (tmp_path / "t" / "tensors" / "notes.txt").write_text("mine")
    assert capture(tmp_path / "t", engine, "run", 1).returncode == 0
    (tmp_path / "t" / "tensors" / "notes.txt").unlink()
    found = check(tmp_path / "t")
    assert len(found) == 4 and [path.name for path in (tmp_path / "t" / "tensors").iterdir()] == ["0000.npz"]


# ---------------------------------------------------------------- full disks

def test_values_larger_than_a_file_may_be(engine, tmp_path):
    """ulimit -f: the kernel's signal must not end the recording."""
    limit = 1 << 19  # "flood" tensors are 1 MiB
    done = capture(tmp_path / "t", engine, "flood", 3,
                   preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)))
    assert done.returncode == 0 and "were lost: File too large" in done.stderr
    found = check(tmp_path / "t")
    assert [line["lost"] for line in found] == ["File too large"] * 3
    assert lines(tmp_path / "t")[-1]["dropped"] == 3 and not list((tmp_path / "t" / "tensors").iterdir())


@pytest.fixture
def small_disk(tmp_path):
    path = tmp_path / "disk"
    path.mkdir()
    mounted = os.geteuid() == 0 and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=3m", "lockstep-test", path], capture_output=True).returncode == 0
    if not mounted:
        pytest.skip("no right to mount a small disk")
    yield path
    subprocess.run(["umount", path], check=True)


def test_a_full_disk(engine, small_disk, tmp_path):
    done = capture(small_disk / "t", engine, "flood", 10)
    assert done.returncode == 0 and "No space left on device" in done.stderr
    found = check(small_disk / "t")
    kept = [line for line in found if "file" in line]
    assert kept and len(kept) < 10 and all(line["lost"] == "No space left on device" for line in found if line not in kept)


def test_a_full_trace_is_incomplete(engine, tmp_path):
    """Lines that can't be written are missed, not left half."""
    limit = 128 << 10
    done = capture(tmp_path / "t", engine, "run", 600, options=["--stats-only"],
                   preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)))
    assert done.returncode == 0 and "INCOMPLETE" in done.stderr and "lines of the trace were lost" in done.stderr
    assert check(tmp_path / "t") and not ended(tmp_path / "t")
    assert (tmp_path / "t" / "trace.jsonl").read_text().endswith("\n")


# -------------------------------------------------------------- real engines

ENGINE = ROOT / ".deps" / "llama-v0.5.0"
PROMPT = [5, 17, 42, 7, 99]


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    subprocess.run([PYTHON, ROOT / "tests/e2e/models.py", "qwen3", folder], check=True, capture_output=True)
    return folder


def llama(model, steps=1):
    given = dict(engine=str(ENGINE), model=str(model / "model.gguf"), prompt=PROMPT, steps=[3] * steps)
    return ["node", ROOT / "tests/e2e/run_llama.mjs", json.dumps(given)]


def torch(model):
    return [PYTHON, ROOT / "tests/e2e/run_hf.py", json.dumps(dict(model=str(model / "hf"), prompt=PROMPT, steps=[3]))]


@pytest.fixture(scope="session")
def everything(model, tmp_path_factory):
    """Each engine's trace without filters: lines by (pass, name, op, occurrence)."""
    found = {}
    for name, command in (("llama", llama(model)), ("torch", torch(model))):
        out = tmp_path_factory.mktemp(name) / "t"
        done = capture(out, *command, timeout=120)
        assert done.returncode == 0, done.stderr
        found[name] = {key(line): line for line in check(out)}
    return found


def key(line):
    return line.get("pass"), line["name"], line["op"], line["occurrence"]


def of_layers(line, layers):
    """The inputs of a graph of ggml are of all layers: without the mask, scores can't be compared."""
    return line["layer"] in layers or line.get("role") == "input"


FILTERS = {
    "tensors": (["--tensors", "(k_proj|^Kcur-)"], lambda line: "k_proj" in line["name"] or line["name"].startswith("Kcur-")),
    "layers": (["--layers", "1,3-4"], lambda line: of_layers(line, (1, 3, 4))),
    "passes": (["--passes", "1"], lambda line: line.get("pass") == 1),
    "both": (["--layers", "2", "--passes", "0"], lambda line: of_layers(line, (2,)) and line.get("pass") == 0),
    "statistics": (["--stats-only"], lambda line: False),
}


@pytest.mark.parametrize("name", FILTERS)
@pytest.mark.parametrize("kind", ["llama", "torch"])
def test_filters_keep_what_was_asked(everything, model, tmp_path, kind, name):
    options, wanted = FILTERS[name]
    done = capture(tmp_path / "t", *(llama(model) if kind == "llama" else torch(model)), options=options, timeout=120)
    assert done.returncode == 0, done.stderr
    found, whole = {key(line): line for line in check(tmp_path / "t")}, everything[kind]
    # what a fused attention hides is recomputed only where it is wanted
    hidden = {k for k in whole if k[1].endswith(("attention.scores", "attention.weights"))}
    assert set(found) - hidden == set(whole) - hidden
    kept = {k for k, line in found.items() if "file" in line}
    assert all(wanted(found[k]) for k in kept)
    if "--layers" in options:
        assert (kind == "llama") == any(found[k].get("role") == "input" for k in kept)
    # computed values that were there before and are wanted are there still
    missing = {k for k, line in whole.items() if "file" in line and "role" not in line and wanted(line)} - kept
    assert not missing
    assert all(found[k]["xxh3"] == whole[k]["xxh3"] for k in kept & {k for k in whole if "xxh3" in whole[k]})
    assert kept or name == "statistics"


def test_outputs_only(everything, model, tmp_path):
    capture(tmp_path / "t", *llama(model), options=["--observe", "outputs"], timeout=120)
    found = check(tmp_path / "t")
    assert {key(line) for line in found} == set(everything["llama"])
    kept = {line["name"] for line in found if "file" in line and "role" not in line}
    assert "l_out-0" in kept and "result_output" in kept and "Kcur-0" not in kept


@pytest.mark.parametrize("nodes", [40, 200, 333])
def test_llama_cpp_killed_while_it_records(model, tmp_path, nodes):
    """Killed after so many lines of its trace, long before its end."""
    out = tmp_path / "t"
    process = start(out, "sh", "-c", 'echo $$; exec "$@"', "sh", *llama(model, steps=200))
    victim = int(process.stdout.readline())
    log = out / "trace.jsonl"
    while process.poll() is None and log.read_bytes().count(b"\n") < nodes:
        pass
    os.kill(victim, signal.SIGKILL)
    status, _, errors = finish(process)
    assert status == 128 + signal.SIGKILL and "INCOMPLETE" in errors, errors
    assert len(check(out)) > 1 and not ended(out)


def test_llama_cpp_preloaded_without_a_recorder(model):
    alone = run(*llama(model))
    done = run(*llama(model), env=dict(os.environ, LD_PRELOAD=str(BUILD / "liblockstep-ggml.so")))
    assert (done.returncode, done.stdout, done.stderr) == (alone.returncode, alone.stdout, alone.stderr)
