"""Reports on a terminal: widths by PyPI's wcwidth, figures by NumPy and the JSON, what stays on a screen by PyPI's pyte."""
import errno
import fcntl
import json
import math
import os
import pathlib
import pty
import re
import shlex
import struct
import subprocess
import sys
import termios

import numpy as np
import pyte
import pytest
import wcwidth

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "compare"))
from traces import Trace  # noqa: E402

LOCKSTEP = pathlib.Path(os.environ.get("LOCKSTEP_BIN", ROOT / "build" / "lockstep"))
WIDTHS = [80, 100, 160, 250]
MARKS = "▁▂▃▄▅▆▇█"
COLOR = re.compile("\x1b\\[[0-9;]*m")
TOLERANCE = 1e-4  # of f32


def environment(**more):
    kept = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "CLICOLOR_FORCE", "TERM", "LC_ALL", "LC_CTYPE", "LANG", "COLUMNS")}
    return {**kept, "LC_ALL": "C.UTF-8", **{name: str(value) for name, value in more.items()}}


def lockstep(*words, **variables):
    done = subprocess.run([str(word) for word in (LOCKSTEP, *words)], capture_output=True, timeout=120, env=environment(**variables), cwd=ROOT)
    return done.stdout.decode()  # strictly: nothing but UTF-8 may come


def on_terminal(columns, *words, cwd=ROOT, **variables):
    """What the command writes to a terminal."""
    child, fd = pty.fork()
    if child == 0:
        fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 60, columns, 0, 0))
        os.chdir(cwd)
        os.execve(LOCKSTEP, [str(word) for word in (LOCKSTEP, *words)], environment(**{"TERM": "xterm-256color", **variables}))
    written = b""
    while True:
        try:
            piece = os.read(fd, 1 << 16)
        except OSError as error:
            assert error.errno == errno.EIO
            break
        if not piece:
            break
        written += piece
    os.waitpid(child, 0)
    os.close(fd)
    return written.decode().replace("\r\n", "\n")


def width_of(line):
    width = wcwidth.wcswidth(line)
    assert width >= 0, repr(line)  # -1: control characters
    return width


def relative(reference, candidate):
    return np.linalg.norm(candidate.astype(np.float64) - reference) / np.linalg.norm(reference.astype(np.float64))


# ------------------------------------------------------------------ models

LAYERS = 32
OPERATIONS = ("norm", "query", "scores", "mix", "up", "out")


def model(folder, error, name="{}-{}", layers=LAYERS):
    """Both sides of a chain of operations, and the relative L2 of each of its tensors, by NumPy. error(layer, operation): how far the candidate is from
    the reference, by a factor for each element."""
    random = np.random.default_rng(5)
    sides = [Trace(folder / side).begin([3, 5, 7]) for side in ("reference", "candidate")]
    last, errors = [None, None], {}
    for layer in range(layers):
        for operation in OPERATIONS:
            values = random.normal(size=(3, 16)).astype(np.float32)
            other = (values * (1 + error(layer, operation) * random.normal(size=values.shape))).astype(np.float32)
            title = name.format(operation, layer)
            errors[title] = relative(values, other)
            for i, (trace, array) in enumerate(zip(sides, (values, other))):
                last[i] = trace.add(title, array, [] if last[i] is None else [last[i]], op="MUL", layer=layer)
    return [side.write() for side in sides], errors


@pytest.fixture(scope="module")
def step(tmp_path_factory):
    """Rounding up to layer 20, whose scores are wrong, and all that comes after them."""
    return model(tmp_path_factory.mktemp("step"), lambda layer, operation: 1e-7 if (layer, OPERATIONS.index(operation)) < (20, 2) else 0.5)


@pytest.fixture(scope="module")
def drift(tmp_path_factory):
    return model(tmp_path_factory.mktemp("drift"), lambda layer, _: 10 ** (-7 + layer / 6))


@pytest.fixture(scope="module")
def clean(tmp_path_factory):
    return model(tmp_path_factory.mktemp("clean"), lambda layer, _: 1e-7)


HOSTILE = ["\x1b[31mred\x1b[0m", "\x07\x08\rbell", "\u202eevil", "x" * 5000, "漢字" * 30, "e\u0301" * 50, "🤖👍🏽" * 20, "a\nb\tc", "\x9b2J", "\x1b]0;title\x07", "\u200bzero", "z" + "\u0300" * 200]


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hostile")
    random = np.random.default_rng(1)
    for side in ("reference", "candidate"):
        trace, last = Trace(folder / side).begin([3, 5, 7]), []
        for i, name in enumerate(HOSTILE):
            values = random.normal(size=(3, 4)).astype(np.float32)
            last = [trace.add(name, values * (1 + (side == "candidate") * (i >= 4)), last, op="\x1b[2JOP", layer=i // 3, where="\x1b[1mfile.py:3")]
        trace.write()
        random = np.random.default_rng(1)
    return folder / "reference", folder / "candidate"


# ------------------------------------------------------------------ widths

@pytest.mark.parametrize("columns", WIDTHS)
@pytest.mark.parametrize("options", [(), ("--all",), ("--sort", "error"), ("--sort", "layer"), ("--all", "--sort", "error")], ids=" ".join)
@pytest.mark.parametrize("what", ["step", "clean", "hostile"])
def test_no_line_is_wider_than_the_terminal(request, what, options, columns):
    sides = request.getfixturevalue(what)
    for line in lockstep("diff", *(sides if what == "hostile" else sides[0]), *options, COLUMNS=columns).splitlines():
        assert width_of(line) <= columns, line


@pytest.mark.parametrize("columns", WIDTHS)
@pytest.mark.parametrize("words", [("diff", "examples/llama-hf", "examples/llama-faulty.gguf", "--all"), ("verify", "examples/qwen3-llama.cpp", "--all"),
                                   ("tokens", "examples/qwen3-transformers", "examples/qwen3-llama.cpp", "--all"), ("help", "diff"), ("help", "capture"), ("--help",),
                                   ("ls", "--tree", "examples/llama-hf"), ("show", "examples/llama-hf", "lm_head.weight")], ids=lambda words: " ".join(words[:2]))
def test_every_command_fits(words, columns):
    lines = lockstep(*words, COLUMNS=columns).splitlines()
    assert len(lines) > 3 and all(width_of(line) <= columns for line in lines)


def test_the_width_is_the_terminals_or_that_of_COLUMNS_or_100(step):
    sides, _ = step
    widest = {columns: max(map(width_of, COLOR.sub("", on_terminal(columns, "diff", *sides)).splitlines())) for columns in (90, 130)}
    assert 80 < widest[90] <= 90 < widest[130] <= 130
    assert max(map(width_of, lockstep("diff", *sides).splitlines())) <= 100
    assert lockstep("diff", *sides, COLUMNS="wide") == lockstep("diff", *sides)
    unlimited = lockstep("diff", *sides, COLUMNS=0)
    assert max(map(width_of, unlimited.splitlines())) > 100 and "  its inputs match: query-20 (MUL)\n" in unlimited


def table_of(text):
    """The head and the rows of the table of pairs, and the folded lines."""
    lines = text.split("\n\n")[1].splitlines()
    return lines[0], [line for line in lines[1:] if not line.startswith("  … ")], [line for line in lines[1:] if line.startswith("  … ")]


def test_wide_characters_marks_and_emoji_take_their_columns(tmp_path):
    random = np.random.default_rng(11)
    blocks = [range(0x61, 0x7b), range(0x3b1, 0x3ca), range(0x4e00, 0x9fa5), range(0x3042, 0x3096), range(0xac00, 0xd7a3), range(0xff21, 0xff3a), range(0x1f600, 0x1f64f),
              range(0x1f900, 0x1f9ff), range(0x20000, 0x2a6dd), range(0x430, 0x44f), range(0x2190, 0x21ff), range(0xff66, 0xff9d)]
    marks = [*range(0x300, 0x34f), *range(0x20d0, 0x20dc), 0xfe0e, 0x3099]
    names = ["❤\ufe0f heart", "👍🏽 thumb", "1\ufe0f\u20e3 key", "한글 각", "각 jamo"]
    for _ in range(400):
        name = ""
        for _ in range(8):
            name += chr(random.choice(blocks[random.integers(len(blocks))])) + "".join(chr(random.choice(marks)) for _ in range(random.integers(3)))
        names.append(name)
    np.savez(tmp_path / "x.npz", **{name: np.zeros(2, np.float32) for name in names})
    for words, after in (("--tree",), "  8 B  <f4"), ((), "  <f4"):
        rows = lockstep("ls", tmp_path / "x.npz", *words).splitlines()[4:]
        assert len(rows) == len(names) and len({width_of(row[:row.index(after)]) for row in rows}) == 1


@pytest.mark.parametrize("columns", WIDTHS)
def test_columns_stand_below_their_heads(hostile, columns):
    head, rows, _ = table_of(lockstep("diff", *hostile, "--all", COLUMNS=columns))
    begin = width_of(head[:head.index("verdict")])
    assert len(rows) >= len(HOSTILE)
    for row in rows[:len(HOSTILE)]:
        found = re.search(r"  (identical|match|DIVERGED|downstream)$", row)
        assert found and width_of(row[:found.start()]) + 2 == begin, row


def test_a_cut_name_keeps_both_ends(tmp_path):
    names = "model.language_model.layers.{1}.self_attn.with_a_name_that_is_far_too_long_for_any_terminal_of_80_columns.{0}.output"
    sides, _ = model(tmp_path, lambda *_: 1e-7, name=names, layers=2)
    _, rows, _ = table_of(lockstep("diff", *sides, "--all", COLUMNS=80))
    assert len(rows) >= 12 and all(re.search(r"model\..*…\S*\.output \(MUL\)", row) for row in rows[:12])


def test_the_view_of_a_deep_model_with_a_fault_fits_a_screen(step):
    for columns in (80, 100):
        assert len(lockstep("diff", *step[0], COLUMNS=columns).splitlines()) <= 40


# ------------------------------------------------------------------ figures

def test_the_rows_have_numpys_figures(step):
    sides, errors = step
    titles = list(errors)
    head, rows, _ = table_of(lockstep("diff", *sides, "--all", COLUMNS=200))
    assert head.split() == ["order", "layer", "candidate", "inherited", "relL2", "max|d|", "cosine", "verdict"]
    assert [row.split()[2] for row in rows[:len(titles)]] == titles
    for i, (title, row) in enumerate(zip(titles, rows)):
        order, layer, _, op, inherited, error, *_, verdict = row.split()
        assert (int(order), title, op) == (i, f"{title.split('-')[0]}-{layer}", "(MUL)")
        assert float(error) == pytest.approx(errors[title], rel=0.06)
        assert float(inherited) == pytest.approx(errors[titles[i - 1]] if i > 0 else 0, rel=0.06)
        assert verdict == ("match" if errors[title] <= TOLERANCE else "DIVERGED" if errors[titles[i - 1]] <= TOLERANCE else "downstream")


def test_what_is_inherited_is_the_worst_of_the_nearest_partners(tmp_path):
    random = np.random.default_rng(2)
    values = {name: random.normal(size=(3, 8)).astype(np.float32) for name in ("a", "b", "only", "c", "shape", "d")}
    factors, errors = {"a": 1 + 1e-6, "b": 1 + 3e-6, "only": 1, "c": 1 + 2e-6, "shape": 1, "d": 1 + 4e-6}, {}
    for side in ("r", "c"):
        trace, index = Trace(tmp_path / side).begin([1, 2, 3]), {}
        for name, sources in (("a", ""), ("b", ""), ("only", "ab"), ("c", ["only"]), ("shape", "b"), ("d", ["c", "shape"])):
            array = values[name] if side == "r" else values[name] * np.float32(factors[name])
            errors[name] = relative(values[name], array)
            if (side, name) != ("r", "only"):
                index[name] = trace.add(name, array[:, :5] if (side, name) == ("c", "shape") else array, [index[s] for s in sources if s in index], op="ADD")
        trace.write()
    head, *rows = lockstep("diff", tmp_path / "r", tmp_path / "c", "--all", "--preset", "none", COLUMNS=0).split("\n\n")[1].splitlines()
    table = {row.split()[1]: re.split(" {2,}", row.strip()) for row in rows if row.strip()[:1].isdigit()}
    assert float(table["a"][2]) == 0 and float(table["b"][2]) == 0
    assert float(table["c"][2]) == pytest.approx(max(errors["a"], errors["b"]), rel=0.06), "through a tensor without a partner"
    assert table["shape"][2:5] == [f"{errors['b']:.1e}", "-", "-"]
    assert head.split()[2] == "inherited" and table["d"][2] == f"{errors['d']:.1e}", "nothing is said where an input could not be compared"


@pytest.mark.parametrize("candidate", ["examples/qwen3-llama.cpp", "examples/qwen3-llama.cpp-faulty"])
def test_what_is_inherited_is_the_worst_of_the_inputs_in_the_json(candidate):
    pairs = json.loads(lockstep("diff", "examples/qwen3-transformers", candidate, "--json", "-"))["pairs"]
    head, rows, _ = table_of(lockstep("diff", "examples/qwen3-transformers", candidate, "--all", COLUMNS=0))
    assert head.split()[:5] == ["order", "layer", "candidate", "reference", "inherited"]
    for pair, row in zip(pairs, rows):
        order, _, _, _, inherited, error = re.split(" {2,}", row.strip())[:6]
        assert int(order) == pair["candidate"]["order"] and float(error) == pytest.approx(pair["metrics"]["rel_l2"], rel=0.06)
        assert float(inherited) == pytest.approx(max((pairs[i]["metrics"]["rel_l2"] for i in pair["inputs"]), default=0), rel=0.06), row


def folded(line):
    """How many pairs a folded line stands for."""
    return sum(map(int, re.findall(r"(?:: |, )(\d+) (?:pairs? )?(?:agree|is |explained|downstream|fail|as in|can't)", line)))


@pytest.mark.parametrize("what", ["step", "drift", "clean"])
@pytest.mark.parametrize("options", [(), ("--sort", "error"), ("--sort", "layer")], ids=" ".join)
def test_what_is_not_shown_is_counted(request, what, options):
    sides, errors = request.getfixturevalue(what)
    _, rows, folds = table_of(lockstep("diff", *sides, *options, COLUMNS=160))
    rows = [row for row in rows if re.search(r"(match|explained|DIVERGED|downstream)$", row)]
    assert 3 <= len(rows) <= 40 and len(rows) + sum(map(folded, folds)) == len(errors), folds


def test_the_last_good_pairs_and_the_next_ones_are_shown(step):
    sides, errors = step
    _, rows, folds = table_of(lockstep("diff", *sides, COLUMNS=160))
    titles = list(errors)
    first = titles.index("scores-20")
    assert [row.split()[2] for row in rows] == titles[first - 3:first + 5]
    worst = max(titles[:first - 3], key=errors.get)
    assert folds == [f"  … layers 0–19: {first - 3} pairs agree, worst relL2 {errors[worst]:.1e}: {worst}", f"  … layers 21–31: {len(titles) - first - 5} pairs downstream"]


@pytest.mark.parametrize("what", ["step", "drift"])
def test_the_worst_are_sorted_by_their_error(request, what):
    sides, errors = request.getfixturevalue(what)
    for options, count in ((("--sort", "error"), 20), (("--sort", "error", "--all"), len(errors))):
        _, rows, _ = table_of(lockstep("diff", *sides, *options, COLUMNS=160))
        assert [row.split()[2] for row in rows[:count]] == sorted(errors, key=errors.get, reverse=True)[:count]
    _, rows, _ = table_of(lockstep("diff", *sides, "--sort", "layer", COLUMNS=160))
    assert [row.split()[2] for row in rows[:LAYERS]] == [max((t for t in errors if t.endswith(f"-{n}")), key=errors.get) for n in range(LAYERS)]


@pytest.mark.parametrize("what", ["step", "drift", "clean"])
def test_the_line_of_marks_is_the_error_along_depth(request, what):
    sides, errors = request.getfixturevalue(what)
    worst = [max(e for t, e in errors.items() if t.endswith(f"-{n}")) for n in range(LAYERS)]
    expected = "".join(MARKS[min(7, max(0, math.floor(math.log10(e)) + 8))] for e in worst)
    line = next(line for line in lockstep("diff", *sides).splitlines() if line.startswith("depth "))
    assert line == f"depth      {expected}  layers 0–{LAYERS - 1}, worst relL2 {min(worst):.1e} to {max(worst):.1e}"
    assert len(set(expected)) == {"step": 2, "drift": 6, "clean": 1}[what]


def conclusion(text):
    return text.split("\n\n")[-1].splitlines()


def test_the_conclusion_has_the_facts_of_the_json(step):
    sides, _ = step
    found = json.loads(lockstep("diff", *sides, "--json", "-"))
    first, values = found["first_divergence"], [np.load(side / "tensors/122.npy").astype(np.float64) for side in sides]
    difference = np.abs(values[1] - values[0])
    at = np.unravel_index(np.argmax(difference), difference.shape)
    beyond = int((difference > 1e-5 + 1e-3 * np.abs(values[0])).sum())
    lines = conclusion(lockstep("diff", *sides, COLUMNS=0))
    assert lines[0] == f"verdict: {found['verdict']}" == "verdict: diverged"
    assert lines[1] == f"first divergence: {first['candidate']['name']} (MUL), layer {first['candidate']['layer']}, pass 0; reference {first['reference']['name']}"
    assert lines[2].startswith(f"  rel. L2 {first['metrics']['rel_l2']:.3g} (tolerance {first['tolerance']:.1e} for f32), cosine {first['metrics']['cosine']:.6f}")
    assert lines[3] == (f"  largest |d| {difference.max():.3g}: {values[1][at]:.6g} where the reference has {values[0][at]:.6g}, at [{at[0]}, {at[1]}]; "
                        f"{beyond} of {difference.size} elements beyond 1e-05 + 1e-03 |reference|")
    assert lines[4] == f"  its inputs match: {first['inputs'][0]['name']} (MUL)"
    assert any(line.startswith("cause: ") for line in lines) and lines[-2].startswith("more: ") and lines[-1] == f"why:  lockstep explain {' '.join(map(str, sides))}"


def test_a_match_ends_with_its_verdict(clean):
    text = lockstep("diff", *clean[0])
    assert conclusion(text) == ["verdict: match"] and "more: " not in text


@pytest.mark.parametrize("columns", [80, 0])
def test_the_command_that_shows_more_can_be_pasted_into_a_shell(tmp_path, columns):
    names = [tmp_path / name for name in ("it's a name with spaces", "b $HOME;c")]
    sides, errors = model(tmp_path / "m", lambda layer, _: 1e-7 if layer < 1 else 0.5, layers=3)
    for side, name in zip(sides, names):
        side.rename(name)
    text = lockstep("diff", *names, "--sort", "error", COLUMNS=columns)
    command, explain = text[text.rindex("more: ") + len("more: "):].split("\nwhy:  ")
    assert shlex.split(explain.replace("\\\n", "")) == ["lockstep", "explain", *map(str, names)]
    assert shlex.split(command.replace("\\\n", "")) == ["lockstep", "diff", *map(str, names), "--sort", "error", "--all"]
    again = subprocess.run(["sh", "-c", command], capture_output=True, text=True, env=environment(PATH=f"{LOCKSTEP.parent}:{os.environ['PATH']}", COLUMNS=0))
    _, rows, _ = table_of(again.stdout)
    assert again.returncode == 1 and len([row for row in rows if "(MUL)" in row]) == len(errors)


def test_the_command_of_check_keeps_what_it_runs(tmp_path):
    text = lockstep("check", "--reference", "examples/qwen3-transformers", "--", "build/examples/qwen3", "examples/qwen3-hf", "5,17,25,33,8", "--bug", "gate-up-swapped", COLUMNS=0)
    assert text.endswith("\nmore: lockstep check --reference examples/qwen3-transformers --all -- build/examples/qwen3 examples/qwen3-hf 5,17,25,33,8 --bug gate-up-swapped\n")


# ------------------------------------------------------------------ characters

def test_hostile_names_are_text(hostile):
    for words in (("diff", *hostile), ("diff", *hostile, "--all"), ("ls", hostile[1]), ("ls", hostile[1], "--tree")):
        text = lockstep(*words, COLUMNS=160)
        bad = [c for c in text if c != "\n" and (ord(c) < 32 or 127 <= ord(c) < 160 or c in "\u200b\u202e")]
        assert not bad and ("\\x1b[31mred" in text or words[-1] == hostile[1])


def test_names_that_are_not_utf8(tmp_path):
    for side, factor in (("a", 1), ("b", 2)):
        os.mkdir(tmp_path / side)
        for name in (b"\xff\xfe\x80", b"ok\xc3", b"\xed\xa0\x80"):
            with open(os.path.join(os.fsencode(tmp_path / side), name + b".npy"), "wb") as file:
                np.save(file, factor * np.arange(20.0))
    text = lockstep("diff", tmp_path / "a", tmp_path / "b", "--all")
    assert all(name in text for name in ("\\xff\\xfe\\x80", "ok\\xc3", "\\xed\\xa0\\x80"))


@pytest.mark.parametrize("locale", ["C", "POSIX"])
def test_where_the_locale_is_not_utf8_all_is_ascii(step, hostile, locale):
    for sides in (step[0], hostile):
        text = lockstep("diff", *sides, "--all", LC_ALL=locale)
        assert text.isascii()
    line = next(line for line in lockstep("diff", *step[0], LC_ALL=locale).splitlines() if line.startswith("depth "))
    assert line.split()[1] == "." * 20 + "#" * 12
    assert all(width_of(line) <= 80 for line in lockstep("diff", *hostile, "--all", LC_ALL=locale, COLUMNS=80).splitlines())


# ------------------------------------------------------------------ colours

def test_colours_are_for_terminals(step):
    plain = lockstep("diff", *step[0], TERM="xterm")
    colored = on_terminal(100, "diff", *step[0])
    assert "\x1b" not in plain and "\x1b[" in colored and COLOR.sub("", colored) == plain


@pytest.mark.parametrize("options, variables, has_color", [
    (["--color=always"], {}, True), (["--color", "always"], {"NO_COLOR": "1"}, True), (["--color=never"], {"CLICOLOR_FORCE": "1"}, False),
    ([], {"CLICOLOR_FORCE": "1"}, True), ([], {"CLICOLOR_FORCE": "0"}, False), ([], {"CLICOLOR_FORCE": "1", "NO_COLOR": "1"}, False), ([], {}, False),
])
def test_who_decides_about_colours(step, options, variables, has_color):
    text, plain = lockstep("diff", *step[0], *options, **variables), lockstep("diff", *step[0])
    assert ("\x1b" in text) == has_color and COLOR.sub("", text).split("more: ")[0] == plain.split("more: ")[0]


@pytest.mark.parametrize("variables, has_color", [({}, True), ({"NO_COLOR": "1"}, False), ({"NO_COLOR": ""}, True), ({"TERM": "dumb"}, False), ({"TERM": ""}, False)])
def test_colours_on_a_terminal(step, variables, has_color):
    assert ("\x1b" in on_terminal(100, "diff", *step[0], **variables)) == has_color


def test_a_wrong_word_for_colours():
    done = subprocess.run([LOCKSTEP, "diff", "a", "b", "--color=sometimes"], capture_output=True, text=True)
    assert done.returncode == 2 and "expected auto, always or never" in done.stderr


def test_each_row_ends_its_colours(step, hostile):
    for sides in (step[0], hostile):
        for line in lockstep("diff", *sides, "--color=always", "--all", COLUMNS=80).splitlines():
            codes = COLOR.findall(line)
            if re.search(r"(match|DIVERGED|downstream)(\x1b|$)|^\x1b\[2m  …", line):
                assert not codes or codes[-1] == "\x1b[0m", repr(line)


def test_colours_are_not_all_that_tells_verdicts_apart(step):
    for line in lockstep("diff", *step[0], "--color=always", COLUMNS=160).splitlines():
        if "\x1b[1;31m" in line and "(MUL)" in line and not line.startswith("\x1b[1mfirst"):
            assert "DIVERGED" in line
        if "\x1b[33m" in line:
            assert "downstream" in line


@pytest.mark.parametrize("words", [("diff", "examples/llama-hf", "examples/llama-faulty.gguf"), ("verify", "examples/qwen3-llama.cpp"),
                                   ("tokens", "examples/qwen3-transformers", "examples/qwen3-llama.cpp")], ids=lambda words: words[0])
def test_other_reports_have_colours_too(words):
    colored = lockstep(*words, "--color=always")
    assert "\x1b[" in colored and COLOR.sub("", colored) == lockstep(*words)


def test_json_has_no_colours(step):
    assert json.loads(lockstep("diff", *step[0], "--json", "-", "--color=always"))


# ------------------------------------------------------------------ progress

SLOW = "reference: {{command: \"sh -c 'sleep 2; exec {engine} {model} 5,17 1'\"}}\ncandidate: {{command: '{engine} {model} 5,17 1'}}\nprompts: [{{name: a, tokens: [5, 17]}}]\n"


@pytest.fixture
def slow(tmp_path):
    (tmp_path / "parity.yaml").write_text(SLOW.format(engine=ROOT / "build/examples/qwen3", model=ROOT / "examples/qwen3-hf"))
    return tmp_path


def test_progress_is_said_on_a_terminal_and_erased(slow):
    written = on_terminal(60, "run", cwd=slow)
    assert "\ra: recording\x1b[K" in written
    screen = pyte.Screen(60, 60)
    pyte.Stream(screen).feed(written.replace("\n", "\r\n"))
    lines = [line.rstrip() for line in screen.display if line.strip()]
    assert lines[0].startswith("a       match") and not any("recording" in line for line in lines)


def test_progress_is_not_said_in_pipes(slow):
    done = subprocess.run([LOCKSTEP, "run"], cwd=slow, capture_output=True, text=True, env=environment(TERM="xterm"))
    assert done.stderr == "" and "\r" not in done.stdout and "recording" not in done.stdout
    narrow = subprocess.run([LOCKSTEP, "run", "--skip-reference", "--why"], cwd=slow, capture_output=True, text=True, env=environment(COLUMNS=40)).stdout.splitlines()
    assert len(narrow) >= 4 and all(width_of(line) <= 40 for line in narrow), narrow


def test_progress_is_not_said_to_a_dumb_terminal(slow):
    assert "\r" not in on_terminal(60, "run", cwd=slow, TERM="dumb")


# ------------------------------------------------------------------ trees and histograms

def test_a_histogram_is_numpys(tmp_path):
    random = np.random.default_rng(3)
    arrays = {"normal": random.normal(size=(30, 40)).astype(np.float32), "whole": random.integers(-5, 6, size=500), "tail": random.standard_cauchy(3000),
              "holes": np.where(random.random(900) < 0.1, np.nan, random.random(900)), "edges": np.repeat(np.linspace(0, 1, 11), 3), "some": np.array([1.0, np.inf, 2.0] * 9)}
    np.savez(tmp_path / "x.npz", **arrays)
    for name, array in arrays.items():
        finite = array[np.isfinite(array)].astype(np.float64)
        counts, edges = np.histogram(finite, bins=10)
        lines = [line for line in lockstep("show", tmp_path / "x.npz", name).splitlines() if re.match(r" *\S+ to +\S+[)\]] +\d+ ", line)]
        assert [int(re.search(r"[)\]] +(\d+)", line)[1]) for line in lines] == counts.tolist(), name
        for line, low, high in zip(lines, edges, edges[1:]):
            assert re.match(r" *(\S+) to +(\S+)[)\]]", line).groups() == (f"{low:.5g}", f"{high:.5g}")
        bars = [line.count("█") for line in lines]
        assert bars[int(np.argmax(counts))] == max(bars) > 0 and all((count == 0) == (not line.rstrip().endswith(tuple("▏▎▍▌▋▊▉█"))) for count, line in zip(counts, lines))


@pytest.mark.parametrize("array", [np.ones(50), np.arange(5.0), np.zeros((0, 3)), np.full(40, np.nan), np.array([1e308, -1e308] * 20)], ids=["same", "few", "none", "nan", "wide"])
def test_where_there_is_no_histogram(tmp_path, array):
    np.save(tmp_path / "x.npy", array)
    text = lockstep("show", tmp_path / "x.npy", "x")
    assert " to " not in text and "min " in text


def test_a_tree_has_every_byte(tmp_path):
    shapes = {"embed.weight": (100, 8), "norm.weight": (8,), "odd/name": (5,), "head": (3,), "head.bias": (2,)}
    for n in range(12):
        shapes |= {f"layers.{n}.attn.q.weight": (8, 8), f"layers.{n}.attn.k.weight": (8, 4 if n != 7 else 5), f"layers.{n}.mlp.weight": (16, 8)}
    np.savez(tmp_path / "x.npz", **{name: np.zeros(shape, np.float32) for name, shape in shapes.items()})
    lines = lockstep("ls", "--tree", tmp_path / "x.npz").splitlines()[4:]
    rows = {line.strip().split("  ")[0]: line for line in lines}
    assert "    1–6, each like 0" not in rows and re.search(r"  1–6, each like 0 +18 +\S+ k?B$", "\n".join(lines), re.M)
    assert re.search(r"^  7 +3 ", "\n".join(lines), re.M) and re.search(r"^  8 +3 ", "\n".join(lines), re.M) and "9–11, each like 8" in "\n".join(lines)
    total = sum(4 * math.prod(shape) for name, shape in shapes.items() if name.startswith("layers."))
    assert re.search(rf"^layers +36 +{total / 1000:.1f} kB$", "\n".join(lines), re.M), lines
    assert "odd/name" in rows and "embed.weight" in rows and re.search(r"^head +12 B +<f4 +\[3\]$", "\n".join(lines), re.M)


def test_a_name_that_selects_nothing_gets_the_nearest_one(step):
    assert "did you mean query-20?" in " ".join(lockstep("diff", *step[0], "--tensors", "qeury-20").split())


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_complete_the_new_options(shell):
    names = {"bash": "lockstep", "zsh": "_lockstep", "fish": "lockstep.fish"}
    text = (ROOT / "build/completion" / names[shell]).read_text()
    assert ("--sort" in text or "-l sort" in text) and "order error layer" in text and "auto always never" in text
