"""Manual pages and completion, which are generated from the tables of options."""
import os
import pathlib
import pty
import re
import select
import shutil
import signal
import subprocess
import time

import pyte
import pytest

BUILD = pathlib.Path(__file__).resolve().parents[2] / "build"
PAGES = sorted((BUILD / "man").glob("*.1"))
COMMANDS = ["bundle", "capture", "check", "convert", "diff", "explain", "init", "ls", "map", "picture", "preprocess", "report", "run", "show", "tokens", "verify"]


def run(*command, **more):
    return subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=60, **more)


def options_of(command):
    return re.findall(r"^  (-\S+)", run(BUILD / "lockstep", "help", command).stdout, re.MULTILINE)


def complete(*words, cwd=None):
    """What bash offers for the last of the words."""
    script = 'source "$0"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _lockstep; printf "%s\\n" "${COMPREPLY[@]}"'
    done = run("bash", "--norc", "-c", script, BUILD / "completion/lockstep", "lockstep", *words, cwd=cwd)
    assert done.returncode == 0 and done.stderr == ""
    return done.stdout.split()


def needs(program):
    return pytest.mark.skipif(shutil.which(program) is None, reason=f"{program} is not installed")


def test_there_is_a_page_for_each_command():
    assert [page.name for page in PAGES] == sorted(["lockstep.1", *(f"lockstep-{command}.1" for command in COMMANDS)])


@needs("mandoc")
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_mandoc_reads_a_page_without_a_warning(page):
    warnings = [line for line in run("mandoc", "-T", "lint", "-W", "warning", page).stdout.splitlines() if "missing date" not in line]
    assert not warnings


@needs("groff")
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_groff_formats_a_page_without_a_warning(page):
    done = run("groff", "-ww", "-man", "-Tutf8", page)
    assert done.returncode == 0 and done.stderr == ""


@needs("groff")
@pytest.mark.parametrize("command", COMMANDS)
def test_a_page_has_all_of_the_help(command):
    shown = run("groff", "-man", "-Tascii", "-P-cbou", BUILD / f"man/lockstep-{command}.1").stdout
    text = " ".join(re.sub(r"-\n\s*", "-", shown).split())
    for option in options_of(command):
        assert f" {option} " in text


@pytest.mark.parametrize("command", COMMANDS)
def test_help_explains_a_command(command):
    done = run(BUILD / "lockstep", "help", command)
    assert done.returncode == 0 and done.stdout == run(BUILD / "lockstep", command, "--help").stdout


def test_help_of_no_command_is_refused():
    done = run(BUILD / "lockstep", "help", "nothing")
    assert done.returncode == 2 and "no command 'nothing'" in done.stderr and done.stdout == ""


def test_bash_completes_commands():
    assert set(COMMANDS) <= set(complete(""))
    assert complete("di") == ["diff"] and complete("help", "sh") == ["show"]


@pytest.mark.parametrize("command", COMMANDS)
def test_bash_completes_every_option(command):
    offered = complete(command, "-")
    assert set(options_of(command)) <= set(offered) and "--help" in offered


def test_bash_completes_values():
    assert complete("capture", "--observe", "") == ["all", "named", "outputs"]
    assert complete("capture", "--observe", "=", "n") == ["named"], "bash splits --observe=n"
    assert complete("diff", "--map", "x") == [], "the names of files are left to bash"
    assert complete("diff", "ref", "") == []


def test_bash_completes_the_command_to_observe():
    assert "bash" in complete("capture", "-o", "t", "--", "bas")


@needs("zsh")
def test_zsh_accepts_its_completion():
    done = run("zsh", "-f", "-n", BUILD / "completion/_lockstep")
    assert done.returncode == 0 and done.stderr == ""


@needs("zsh")
def test_zsh_knows_every_option():
    text = (BUILD / "completion/_lockstep").read_text()
    for command in COMMANDS:
        part = text.split(f"        {command})\n")[1].split(";;")[0]
        assert all(re.search(rf"'{option}=?\[", part) for option in options_of(command))


def typed(shell, start, folder):
    """A shell: first a function that types into it, then one that waits for words on its screen."""
    child, fd = pty.fork()
    if child == 0:
        os.chdir(folder)
        os.execvpe(shell[0], shell, dict(os.environ, TERM="xterm", LC_ALL="C.UTF-8", HOME=str(folder), XDG_CONFIG_HOME=str(folder), XDG_DATA_HOME=str(folder), PS1="> ", COLUMNS="100"))
    screen = pyte.Screen(100, 40)
    stream = pyte.ByteStream(screen)

    def wait_for(words):
        end = time.monotonic() + 30
        while time.monotonic() < end and not any(words in line for line in screen.display):
            if select.select([fd], [], [], 0.2)[0]:
                stream.feed(os.read(fd, 1 << 16))
        return any(words in line for line in screen.display)
    try:
        os.write(fd, start.encode() + b"\necho sta''rted\n")
        assert wait_for("started")
        yield lambda keys: os.write(fd, keys.encode())
        yield wait_for
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(fd)


SHELLS = [
    pytest.param(["bash", "--norc", "-i"], f"source {BUILD}/completion/lockstep", id="bash"),
    pytest.param(["zsh", "-f", "-i"], f"fpath=({BUILD}/completion $fpath); autoload -U compinit; compinit -u -D", id="zsh", marks=needs("zsh")),
    pytest.param(["fish", "--no-config", "-i"], f"source {BUILD}/completion/lockstep.fish", id="fish", marks=needs("fish")),
]


@pytest.mark.parametrize("shell, start", SHELLS)
def test_a_shell_completes_what_is_typed(shell, start, tmp_path):
    session = typed(shell, start, tmp_path)
    write, wait_for = next(session), next(session)
    for keys, completed in (("lockstep ver\t", "lockstep verify"), ("\x15lockstep verify t --exa\t", "lockstep verify t --exact"), ("\x15lockstep diff a b --reference-m\t", "--reference-model"),
                            ("\x15lockstep diff a b --sort err\t", "--sort error"), ("\x15lockstep diff a b --color alw\t", "--color always")):
        write(keys)
        assert wait_for(completed), keys
    session.close()


@needs("fish")
def test_fish_completes(tmp_path):
    environment = dict(os.environ, HOME=str(tmp_path), XDG_CONFIG_HOME=str(tmp_path), XDG_DATA_HOME=str(tmp_path))
    for command in COMMANDS:
        script = f"source {BUILD / 'completion/lockstep.fish'}; complete -C 'lockstep {command} -'"
        done = run("fish", "--no-config", "-c", script, env=environment)
        assert done.returncode == 0 and done.stderr == ""
        assert set(options_of(command)) <= {line.split("\t")[0] for line in done.stdout.splitlines()}
    script = f"source {BUILD / 'completion/lockstep.fish'}; complete -C 'lockstep capture --observe '"
    assert [line.split("\t")[0] for line in run("fish", "--no-config", "-c", script, env=environment).stdout.splitlines()] == ["all", "named", "outputs"]
