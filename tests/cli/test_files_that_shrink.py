"""A file that somebody makes shorter while it is read: one line that names it, status 2, and
nothing left. A library that is preloaded shrinks it right after it was mapped."""
import os
import pathlib
import shutil
import subprocess

import numpy as np
import pytest
from safetensors.numpy import save_file

ROOT = pathlib.Path(__file__).resolve().parents[2]
LOCKSTEP = ROOT / "build" / "lockstep"
ENGINE = ROOT / "build" / "examples" / "qwen3"
EXAMPLE = ROOT / "examples" / "qwen3-transformers"

SHRINK = r"""
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
static void shrink(int fd) {
    const char *path = getenv("SHRINK_PATH"), *to = getenv("SHRINK_TO");
    struct stat mapped, wanted;
    if (path != NULL && fd >= 0 && fstat(fd, &mapped) == 0 && stat(path, &wanted) == 0 && mapped.st_ino == wanted.st_ino &&
        mapped.st_dev == wanted.st_dev && mapped.st_size >= atol(to)) {
        int again = open(path, O_WRONLY | O_TRUNC * (getenv("SHRINK_REWRITE") != NULL));
        if (again < 0 || ftruncate(again, atol(to)) != 0 || close(again) != 0)
            abort();
    }
}
void *mmap(void *at, size_t size, int access, int flags, int fd, off_t offset) {
    void *(*real)(void *, size_t, int, int, int, off_t) = dlsym(RTLD_NEXT, "mmap");
    void *got = real(at, size, access, flags, fd, offset);
    shrink(fd);
    return got;
}
void *mmap64(void *at, size_t size, int access, int flags, int fd, off_t offset) { return mmap(at, size, access, flags, fd, offset); }
"""


@pytest.fixture(scope="module")
def shim(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shim")
    (folder / "shrink.c").write_text(SHRINK)
    subprocess.run(["cc", "-D_GNU_SOURCE", "-shared", "-fPIC", "-O1", folder / "shrink.c", "-o", folder / "shrink.so", "-ldl"], check=True)
    return folder / "shrink.so"


@pytest.fixture
def files(tmp_path):
    values = np.arange(1 << 20, dtype=np.float32)
    for name in ("a", "b"):
        np.save(tmp_path / f"{name}.npy", values)
        np.savez(tmp_path / f"{name}.npz", x=values, y=values[:7])
        save_file({"x": values, "y.weight": values[:100]}, tmp_path / f"{name}.safetensors")
        np.save(tmp_path / f"{name}_small.npy", values[:1200])
    shutil.copytree(EXAMPLE, tmp_path / "trace")
    return tmp_path


def shrunk(shim, folder, path, to, *words):
    before = set(os.listdir(folder))
    done = subprocess.run([str(word) for word in (LOCKSTEP, *words)], cwd=folder, capture_output=True, text=True, timeout=60,
                          env=dict(os.environ, LD_PRELOAD=str(shim), SHRINK_PATH=str(folder / path), SHRINK_TO=str(to)))
    assert done.returncode == 2, (done.returncode, done.stderr)
    # a container that is looked into twice may be short already the second time; of a trace's
    # values that can't be read, the verdict tells
    said = done.stderr or next((line for line in done.stdout.splitlines() if line.startswith("verdict: incomparable")), "") + "\n"
    assert said.count("\n") == 1 and path in said and ("shorter" in said or ": offset " in said), said
    left = set(os.listdir(folder)) - before
    assert not [name for name in left if not (folder / name).is_dir() or os.listdir(folder / name)], left
    return done


COMMANDS = [["ls", "--stats", "{}"], ["show", "{}", "{tensor}"], ["diff", "{}", "b.{suffix}"], ["diff", "b.{suffix}", "{}"],
            ["convert", "{}", "out.npz"], ["convert", "{}", "out.safetensors"], ["convert", "{}", "out.gguf"], ["convert", "{}", "out", "--format", "npy"],
            ["convert", "{}", "out.npz", "--to", "f16"], ["convert", "{}", "out", "--format", "text"]]


@pytest.mark.parametrize("suffix", ["npy", "npz", "safetensors"])
@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_a_file_that_is_cut(shim, files, words, suffix):
    name, tensor = f"a.{suffix}", "a" if suffix == "npy" else "x"
    shrunk(shim, files, name, 8192, *(word.format(name, suffix=suffix, tensor=tensor) for word in words))


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_a_file_that_is_cut_within_its_last_page(shim, files, words):
    """There are zeros then, and no signal."""
    shutil.copy(files / "b_small.npy", files / "b.npy")
    shrunk(shim, files, "a_small.npy", 4500, *(word.format("a_small.npy", suffix="npy", tensor="a_small") for word in words))


def test_a_file_that_is_written_over_with_as_much(shim, files):
    """As cp does it: in place."""
    size = (files / "a.npy").stat().st_size
    for words in (["ls", "--stats", "a.npy"], ["diff", "b.npy", "a.npy"], ["convert", "a.npy", "out.npz"]):
        shutil.copy(files / "b.npy", files / "a.npy")
        os.utime(files / "a.npy", (10**9, 10**9))
        done = subprocess.run([LOCKSTEP, *words], cwd=files, capture_output=True, text=True, timeout=60,
                              env=dict(os.environ, LD_PRELOAD=str(shim), SHRINK_PATH=str(files / "a.npy"), SHRINK_TO=str(size), SHRINK_REWRITE="1"))
        assert done.returncode == 2 and done.stderr.count("\n") == 1 and "a.npy" in done.stderr, done.stderr
        assert not (files / "out.npz").exists()


def test_a_trace_that_is_cut(shim, files):
    log = pathlib.Path("trace") / "trace.jsonl"
    large = max((files / "trace" / "tensors").iterdir(), key=lambda path: path.stat().st_size).relative_to(files)
    for path in (log, large):
        shutil.rmtree(files / "trace")
        shutil.copytree(EXAMPLE, files / "trace")
        shrunk(shim, files, str(path), 100, "diff", "trace", EXAMPLE)
    shutil.rmtree(files / "trace")
    shutil.copytree(EXAMPLE, files / "trace")
    done = shrunk(shim, files, str(log), 100, "tokens", "trace", EXAMPLE)
    assert "verdict" not in done.stdout


def test_a_reference_that_is_cut_while_it_is_checked(shim, files):
    log = pathlib.Path("trace") / "trace.jsonl"
    shrunk(shim, files, str(log), 100, "check", "--reference", "trace", "--", "true")
