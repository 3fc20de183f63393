"""Standard streams that take nothing, signals, and what must not be left behind."""
import os
import pathlib
import signal
import stat
import subprocess
import time

import numpy as np
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
LOCKSTEP = ROOT / "build" / "lockstep"
EXAMPLES = ROOT / "examples"
PAIR = [EXAMPLES / "qwen3-transformers", EXAMPLES / "qwen3-llama.cpp-faulty"]

PRINTING = [["--help"], ["--version"], ["ls", "--help"], ["ls", EXAMPLES / "llama-hf"], ["ls", "--stats", EXAMPLES / "llama-faulty.gguf"],
            ["show", EXAMPLES / "llama-faulty.gguf", "output_norm.weight"], ["diff", *PAIR], ["diff", "--json", "-", *PAIR], ["tokens", *PAIR],
            ["diff", EXAMPLES / "llama-hf", EXAMPLES / "llama-faulty.gguf"], ["check", "--reference", PAIR[0], "--", "true"]]


@pytest.mark.parametrize("redirection", [">/dev/full", ">&-"])
@pytest.mark.parametrize("words", PRINTING, ids=lambda words: " ".join(str(word).split("/")[-1] for word in words))
def test_output_that_is_lost_is_trouble(words, redirection):
    done = subprocess.run(["sh", "-c", f'"$0" "$@" {redirection}', LOCKSTEP, *map(str, words)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2 and done.stderr != ""


@pytest.fixture
def array(tmp_path):
    np.save(tmp_path / "a.npy", np.arange(6, dtype="f4"))
    return tmp_path / "a.npy"


def convert(*words):
    return subprocess.run([str(word) for word in (LOCKSTEP, "convert", *words)], capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("make, kind", [(os.mkfifo, stat.S_ISFIFO), (os.mkdir, stat.S_ISDIR)])
def test_special_files_are_not_written_over(array, tmp_path, make, kind):
    make(tmp_path / "out.npz")
    done = convert(array, tmp_path / "out.npz")
    assert done.returncode == 2 and "out.npz: is a" in done.stderr and kind(os.lstat(tmp_path / "out.npz").st_mode)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.npy", "out.npz"]


@pytest.mark.parametrize("place", ["/dev/null", "/dev/full", "/dev/stdout"])
def test_devices_are_not_written_over(array, place):
    before = os.lstat(place)
    for format in ("npz", "raw", "safetensors"):
        done = convert(array, place, "--format", format)
        assert done.returncode == 2 and place in done.stderr
    assert os.lstat(place).st_ino == before.st_ino


def test_a_link_stays_and_leads_to_the_new_file(array, tmp_path):
    (tmp_path / "real.npz").write_text("old")
    (tmp_path / "link.npz").symlink_to("real.npz")
    assert convert(array, tmp_path / "link.npz").returncode == 0
    assert (tmp_path / "link.npz").is_symlink() and np.load(tmp_path / "real.npz").files == ["a"]
    (tmp_path / "lost.npz").symlink_to("nowhere")
    done = convert(array, tmp_path / "lost.npz")
    assert done.returncode == 2 and "a dangling link" in done.stderr


def test_long_names_of_files(array, tmp_path):
    """The longest that a file may have: nothing is added to it meanwhile."""
    assert convert(array, tmp_path / ("n" * 251 + ".npz")).returncode == 0
    assert convert(array, tmp_path / ("n" * 252 + ".npz")).returncode == 2
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_leaves_no_unfinished_file(tmp_path, number):
    with open(tmp_path / "a.bin", "wb") as file:
        file.truncate(8 << 30)  # sparse
    (tmp_path / "out").mkdir()
    process = subprocess.Popen([LOCKSTEP, "convert", f"{tmp_path / 'a.bin'}::f32,{2 << 30}", tmp_path / "out" / "x.npz"],
                               preexec_fn=lambda: signal.signal(number, signal.SIG_DFL))
    while not list((tmp_path / "out").iterdir()) and process.poll() is None:
        time.sleep(0.001)
    process.send_signal(number)
    assert process.wait(60) == -number and not list((tmp_path / "out").iterdir())


def test_a_file_may_not_grow(array, tmp_path):
    """ulimit -f: the kernel's signal is no reason to leave something."""
    done = subprocess.run(["sh", "-c", 'ulimit -f 0; exec "$0" "$@"', LOCKSTEP, "convert", array, tmp_path / "out.npz"], capture_output=True, text=True)
    assert done.returncode == 2 and "File too large" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["a.npy"]
