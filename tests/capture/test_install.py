"""`make install`: what a user of the installed headers, library and command has."""
import os
import re
import subprocess

import numpy
import pytest
from conftest import PYTHON, ROOT, check, ended, load, named, run


@pytest.fixture(scope="module")
def prefix(tmp_path_factory):
    path = tmp_path_factory.mktemp("installed") / "usr"
    done = run("make", "-C", ROOT, "install", f"PREFIX={path}")
    assert done.returncode == 0, done.stderr
    return path


def pkg_config(prefix, *arguments, package="lockstep"):
    done = run("pkg-config", *arguments, package, env=dict(os.environ, PKG_CONFIG_PATH=f"{prefix}/lib/pkgconfig"))
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.mark.parametrize("static", [False, True])
def test_an_engine_built_with_pkg_config(prefix, tmp_path, static):
    engine = tmp_path / "engine"
    libraries = pkg_config(prefix, "--libs", *(["--static"] if static else []))
    if static:
        libraries = [str(prefix / "lib/liblockstep.a") if flag == "-llockstep" else flag for flag in libraries]
    subprocess.run(["cc", ROOT / "tests/capture/engine.c", "-o", engine, *pkg_config(prefix, "--cflags"),
                    *libraries, "-pthread", f"-Wl,-rpath,{prefix}/lib"], check=True)
    out = tmp_path / "t"
    done = run(prefix / "bin/lockstep", "capture", "-o", out, "--", engine, "run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    check(out)
    assert numpy.array_equal(load(out, named(out, "embd")[0]), numpy.arange(12).reshape(3, 4)) and ended(out)
    diff = run(prefix / "bin/lockstep", "diff", out, out)
    assert diff.returncode == 0 and "verdict: match" in diff.stdout


def test_an_engine_built_with_the_capture_library(prefix, tmp_path):
    engine = tmp_path / "engine"
    subprocess.run(["cc", ROOT / "tests/capture/engine.c", "-o", engine, *pkg_config(prefix, "--cflags", "--libs", package="lockstep-capture"),
                    "-pthread", f"-Wl,-rpath,{prefix}/lib"], check=True)
    assert "liblockstep-capture.so.0" in run("readelf", "-d", engine).stdout
    done = run(prefix / "bin/lockstep", "capture", "-o", tmp_path / "t", "--", engine, "run", cwd=tmp_path)
    assert done.returncode == 0 and check(tmp_path / "t") and ended(tmp_path / "t"), done.stderr


def test_the_python_package_is_found(prefix, tmp_path):
    code = "import torch; print(torch.nn.Linear(2, 2)(torch.ones(1, 2)).shape)"
    done = run(prefix / "bin/lockstep", "capture", "-o", tmp_path / "t", "--", PYTHON, "-c", code, cwd=tmp_path)
    assert done.returncode == 0 and done.stdout == "torch.Size([1, 2])\n", done.stderr
    assert check(tmp_path / "t") and ended(tmp_path / "t")


def test_the_version_is_said_alike(prefix):
    version = run(prefix / "bin/lockstep", "--version").stdout.split()[1]
    assert pkg_config(prefix, "--modversion") == [version] == pkg_config(prefix, "--modversion", package="lockstep-capture")
    numbers = [re.search(rf"LOCKSTEP_VERSION_{part} (\d+)$", (prefix / "include/lockstep/capture.h").read_text(), re.MULTILINE).group(1)
               for part in ("MAJOR", "MINOR", "PATCH")]
    assert ".".join(numbers) == version


def test_it_is_installed_below_destdir(tmp_path):
    done = run("make", "-C", ROOT, "install", f"DESTDIR={tmp_path}", "PREFIX=/usr")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "usr/bin/lockstep").exists()
    assert (tmp_path / "usr/lib/pkgconfig/lockstep.pc").read_text().startswith("prefix=/usr\n")
    assert {path.name for path in (tmp_path / "usr/include/lockstep").iterdir()} == {"capture.h", "compare.h", "ggml.h", "lockstep.h", "read.h", "status.h"}
    assert str(tmp_path) not in (tmp_path / "usr/lib/pkgconfig/lockstep.pc").read_text()


def test_uninstall_removes_what_was_installed_and_nothing_else(tmp_path):
    other = tmp_path / "usr/bin/other"
    other.parent.mkdir(parents=True)
    other.touch()
    for target in ("install", "uninstall"):
        done = run("make", "-C", ROOT, target, f"DESTDIR={tmp_path}", "PREFIX=/usr")
        assert done.returncode == 0, done.stderr
    assert [path for path in tmp_path.rglob("*") if not path.is_dir()] == [other]
    assert not list(tmp_path.rglob("*lockstep*"))
