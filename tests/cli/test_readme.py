"""What the README shows is what the program prints."""
import os
import pathlib
import re
import shlex
import subprocess

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
SHOWN = re.compile(r"<!-- run: (?P<command>.*?) -->\n```\n\$ (?P<again>.*?)\n(?P<output>.*?)```\n<!-- end -->", re.DOTALL)


def run(command):
    environment = dict(os.environ, PATH=f"{ROOT / 'build'}:{os.environ['PATH']}", COLUMNS="100", LC_ALL="C.UTF-8", NO_COLOR="1")
    return subprocess.run(shlex.split(command), cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60)


def test_commands_shown_in_the_readme_print_what_it_shows():
    found = list(SHOWN.finditer((ROOT / "README.md").read_text()))
    assert found
    for match in found:
        assert match["command"] == match["again"]
        assert run(match["command"]).stdout == match["output"]


def test_every_document_that_the_readme_links_to_is_there():
    for page in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        for link in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
            assert (page.parent / link).exists(), f"{page.name}: {link}"


def test_every_option_is_in_the_help():
    for command in ("capture", "check", "run", "init", "tokens", "diff", "ls", "show", "convert"):
        done = run(f"lockstep {command} --help")
        assert done.returncode == 0 and done.stdout.startswith(f"usage: lockstep {command}")
