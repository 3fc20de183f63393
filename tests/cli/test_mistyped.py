"""Words that were typed wrongly: the right one is suggested, where one is likely to be meant."""
import pathlib
import re
import subprocess

import pytest

LOCKSTEP = pathlib.Path(__file__).resolve().parents[2] / "build" / "lockstep"
COMMANDS = ("capture", "check", "diff", "verify", "run", "init", "tokens", "map", "ls", "show", "convert")


def said(*words):
    done = subprocess.run([LOCKSTEP, *words], capture_output=True, text=True)
    assert done.returncode == 2
    return done.stderr


def mistakes(word):
    """One letter too few, one too many, another one, and two exchanged."""
    middle = len(word) // 2
    return {word[:middle] + word[middle + 1:], word[:middle] + "q" + word[middle:], word[:middle] + "q" + word[middle + 1:], word[:middle - 1] + word[middle] + word[middle - 1] + word[middle + 1:]} - {word}


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command(command):
    for wrong in mistakes(command) - set(COMMANDS):
        if len(wrong) > 1:
            found = re.search(r"did you mean '(\w+)'", said(wrong))
            assert found and found[1] in COMMANDS and (found[1] == command or len(command) <= 4), (wrong, found)


@pytest.mark.parametrize("option", ["--json", "--reference-model", "--min-coverage", "--accept", "--tensors"])
def test_an_option(option):
    for wrong in mistakes(option):
        assert f"did you mean {option}?" in said("diff", "a", "b", wrong, "x"), wrong


def test_the_beginning_of_an_option():
    assert "did you mean --reference-model?" in said("diff", "a", "b", "--reference", "x")


@pytest.mark.parametrize("words", [("frobnicate",), ("x",), ("diff", "a", "b", "--frobnicate"), ("diff", "a", "b", "-z"), ("q" * 500,)])
def test_what_is_like_nothing(words):
    assert "did you mean" not in said(*words)
