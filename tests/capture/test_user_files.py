"""What the user has stays: a recording replaces an older one only, and only when there is
something to replace it with."""
import os
import resource
import signal
import subprocess
import time

import numpy
import pytest
from conftest import LOCKSTEP, capture, check, ended, lines, run, tensors


def tree(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def refuses(out, *command, options=()):
    """Says which path is in the way, and changes nothing there."""
    parent = out.parent
    before = tree(parent)
    done = capture(out, *command, options=options)
    assert done.returncode == 2 and str(out) in done.stderr and done.stderr.count("\n") == 1, done.stderr
    assert tree(parent) == before


def waiting(out, engine, options=()):
    """A capture that has recorded a pass, and waits until its standard input is closed."""
    process = subprocess.Popen([str(part) for part in (LOCKSTEP, "capture", "-o", out, *options, "--", "sh", "-c", f"{engine} run 1; read x; exit 5")],
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    process.stdout.readline()
    return process


# ------------------------------------------------------------- an older trace

@pytest.mark.parametrize("command, status", [(["pyhton", "run.py"], 127), (["/"], 126), (["sh", "-c", "exit 3"], 3), (["sh", "-c", "kill -9 $$"], 137)])
def test_a_command_that_records_nothing_leaves_the_older_trace(engine, tmp_path, command, status):
    capture(tmp_path / "t", engine, "run", 3)
    before = tree(tmp_path)
    done = capture(tmp_path / "t", *command)
    assert done.returncode == status and "older recording" in done.stderr
    assert tree(tmp_path) == before


def test_a_command_that_cannot_start_leaves_no_directory(tmp_path):
    assert capture(tmp_path / "t", "pyhton").returncode == 127
    assert not (tmp_path / "t").exists()


def test_what_no_line_names_stays(engine, tmp_path):
    out = tmp_path / "t"
    capture(out, engine, "run", 3)
    for name in ("notes.txt", "tensors/mine.npy", "tensors/999999-mine.npy", "tensors/folder/deep.npy"):
        (out / name).parent.mkdir(exist_ok=True)
        (out / name).write_text("mine")
    assert capture(out, engine, "run", 1).returncode == 0
    for name in ("notes.txt", "tensors/mine.npy", "tensors/999999-mine.npy", "tensors/folder/deep.npy"):
        assert (out / name).read_text() == "mine"
    assert len(check(out)) == 4 and ended(out)
    assert set(tree(out)) == {line["file"] for line in tensors(out)} | {"trace.jsonl", "notes.txt", "tensors/mine.npy", "tensors/999999-mine.npy",
                                                                        "tensors/folder/deep.npy"}


def test_the_directory_itself_stays(engine, tmp_path):
    """It may be somebody's working directory, a mount, or behind a link."""
    (tmp_path / "t").mkdir(mode=0o750)
    (tmp_path / "link").symlink_to("t")
    before = (tmp_path / "t").stat()
    for passes in (2, 1):
        assert run(LOCKSTEP, "capture", "-o", ".", "--", engine, "run", passes, cwd=tmp_path / "link").returncode == 0
    assert (tmp_path / "t").stat().st_ino == before.st_ino and (tmp_path / "t").stat().st_mode == before.st_mode
    assert capture(tmp_path / "link", engine, "run", 1).returncode == 0 and (tmp_path / "link").is_symlink()
    assert len(check(tmp_path / "t")) == 4


def test_a_killed_recorder_leaves_the_older_trace_and_the_next_one_replaces_it(engine, tmp_path):
    out = tmp_path / "t"
    capture(out, engine, "run", 2)
    before = {name: content for name, content in tree(out).items()}
    process = waiting(out, engine)
    process.kill()
    process.communicate()
    after = tree(out)
    assert {name: after.get(name) for name in before} == before
    assert capture(out, engine, "run", 1).returncode == 0
    assert len(check(out)) == 4 and set(tree(out)) == {line["file"] for line in tensors(out)} | {"trace.jsonl"}


@pytest.mark.parametrize("log", ['{"my":"own log, of another tool"}\n', "", '{"lockstep": 1}\n', "lockstep_trace"])
def test_another_tools_directory_is_refused(engine, tmp_path, log):
    out = tmp_path / "t"
    (out / "tensors").mkdir(parents=True)
    (out / "trace.jsonl").write_text(log)
    (out / "tensors" / "weights.npy").write_text("mine")
    refuses(out, engine, "run", 1)


def test_a_log_that_is_a_directory_a_link_or_a_fifo_is_refused(engine, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    capture(elsewhere, engine, "run", 1)
    for make in (lambda path: path.mkdir(), lambda path: path.symlink_to(elsewhere / "trace.jsonl"), os.mkfifo):
        out = tmp_path / "t"
        (out / "tensors").mkdir(parents=True)
        (out / "tensors" / "mine.npy").write_text("mine")
        make(out / "trace.jsonl")
        refuses(out, engine, "run", 1)
        run("rm", "-r", out)


def test_names_in_a_log_do_not_lead_elsewhere(engine, tmp_path):
    out = tmp_path / "t"
    capture(out, engine, "run", 1)
    (tmp_path / "mine.npy").write_text("mine")
    (out / "mine.npy").write_text("mine")
    with open(out / "trace.jsonl", "a") as log:
        for name in ("tensors/../mine.npy", "../mine.npy", "tensors/..", "mine.npy", str(tmp_path / "mine.npy")):
            log.write('{"i":99,"name":"x","file":"%s"}\n' % name)
    assert capture(out, engine, "run", 1).returncode == 0
    assert (tmp_path / "mine.npy").read_text() == (out / "mine.npy").read_text() == "mine"


# ------------------------------------------------------------- at the same time

def test_a_second_recording_into_the_same_place_is_refused(engine, tmp_path):
    for older in (False, True):
        first = waiting(tmp_path / "t", engine)
        done = capture(tmp_path / "t", engine, "run", 1)
        assert done.returncode == 2 and "another recording" in done.stderr and done.stderr.count("\n") == 1
        first.communicate("\n")
        assert first.returncode == 5 and len(check(tmp_path / "t")) == 4 and ended(tmp_path / "t")


# ------------------------------------------------------------- one file

@pytest.mark.parametrize("format", ["gguf", "npz", "safetensors"])
def test_a_file_that_is_no_recording_is_refused(engine, tmp_path, format):
    out = tmp_path / f"out.{format}"
    out.write_text("precious")
    refuses(out, engine, "run", 1, options=["--format", format])
    numpy.savez(tmp_path / "weights.npz", w=numpy.zeros(3, "f4"))
    run(LOCKSTEP, "convert", tmp_path / "weights.npz", out)
    refuses(out, engine, "run", 1, options=["--format", format])


def test_a_file_of_an_older_recording_is_replaced_by_tensors_only(engine, tmp_path):
    out, options = tmp_path / "out.npz", ["--format", "npz"]
    assert capture(out, engine, "run", 2, options=options).returncode == 0
    before = out.read_bytes()
    assert capture(out, "pyhton", options=options).returncode == 127
    assert capture(out, "true", options=options).returncode == 0 and out.read_bytes() == before
    assert capture(out, engine, "run", 1, options=options).returncode == 0 and out.read_bytes() != before
    assert [path.name for path in tmp_path.iterdir()] == ["out.npz"]


def test_what_lies_where_it_is_recorded_is_refused(engine, tmp_path):
    for name, options in (("out.gguf.recording", ["--format", "gguf"]), ("out.gguf.unobserved", ["--check-observer"])):
        (tmp_path / name / "tensors").mkdir(parents=True)
        (tmp_path / name / "tensors" / "mine.npy").write_text("mine")
        (tmp_path / name / "keep.txt").write_text("mine")
        refuses(tmp_path / "out.gguf", engine, "run", 1, options=options)
        run("rm", "-r", tmp_path / name)


def test_the_second_run_of_check_observer_leaves_nothing(engine, tmp_path):
    assert capture(tmp_path / "t", engine, "run", 1, options=["--check-observer"]).returncode == 0
    assert [path.name for path in tmp_path.iterdir()] == ["t"]


# ------------------------------------------------------------- what was lost

def test_values_without_a_line_are_not_kept(engine, tmp_path):
    """The log is full, the disk isn't."""
    limit = 128 << 10
    done = capture(tmp_path / "t", engine, "run", 300, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)))
    assert done.returncode == 0 and "INCOMPLETE" in done.stderr
    found = check(tmp_path / "t")
    assert found and not ended(tmp_path / "t")
    assert {line["file"] for line in found} == {name for name in tree(tmp_path / "t") if name != "trace.jsonl"}


def test_lost_values_are_counted_in_the_last_line(engine, tmp_path):
    limit = 1 << 19
    capture(tmp_path / "t", engine, "flood", 3, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)))
    assert lines(tmp_path / "t")[-1]["end"] is True and lines(tmp_path / "t")[-1]["dropped"] == 3


def test_permissions_are_the_umasks(engine, tmp_path):
    for mask in (0o022, 0o077):
        out = tmp_path / f"{mask}"
        capture(out, engine, "run", 1, preexec_fn=lambda: os.umask(mask))
        for path in (out, out / "tensors"):
            assert path.stat().st_mode & 0o777 == 0o777 & ~mask
        assert (out / "trace.jsonl").stat().st_mode & 0o777 == 0o666 & ~mask
