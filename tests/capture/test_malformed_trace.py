"""Traces that break their rules: refused with file and offset, or read as documented."""
import json

import numpy
import pytest
from conftest import LOCKSTEP, run

FIRST = {"lockstep_trace": 1, "argv": ["x"]}
PASS = {"pass": 0, "tokens": [1, 2], "positions": [0, 1]}
END = {"end": True, "tensors": 2, "dropped": 0, "exit": 0}


def tensor(i, name="x", **more):
    return dict({"i": i, "pass": 0, "layer": -1, "name": name, "op": "ADD", "occurrence": 0, "dtype": "f32",
                 "shape": [2, 3], "src": []}, **more)


X = tensor(0, file="tensors/0.npy")
Y = tensor(1, "y", file="tensors/1.npy", src=[0])


def write(folder, rows):
    (folder / "tensors").mkdir(parents=True)
    for name in ("0", "1"):
        numpy.save(folder / "tensors" / f"{name}.npy", numpy.arange(6, dtype="f4").reshape(2, 3))
    text = b"".join(row if isinstance(row, bytes) else json.dumps(row).encode() + b"\n" for row in rows)
    (folder / "trace.jsonl").write_bytes(text)
    return folder


def diff(folder, *options):
    done = run(LOCKSTEP, "diff", folder, folder, *options)
    assert done.returncode in (0, 1, 2) and "\x1b" not in done.stdout + done.stderr
    return done


REFUSED = {
    "an empty file": [],
    "no complete line": [json.dumps(FIRST).encode()],
    "no first line": [PASS, X, END],
    "another version": [dict(FIRST, lockstep_trace=2), PASS, X, END],
    "a line that is no JSON": [FIRST, PASS, b"{oops\n", END],
    "a line that is no object": [FIRST, PASS, b"[1]\n", END],
    "an empty line": [FIRST, b"\n", END],
    "a key twice": [FIRST, PASS, b'{"i":0,"i":1,"name":"x","dtype":"f32","shape":[]}\n'],
    "the same i twice": [FIRST, PASS, X, dict(Y, i=0), END],
    "an i beyond the file": [FIRST, PASS, X, dict(Y, i=10**9), END],
    "an i beyond all numbers": [FIRST, PASS, X, b'{"i":99999999999999999999}\n'],
    "an i that is no integer": [FIRST, PASS, dict(X, i=0.5), END],
    "no name": [FIRST, PASS, {k: v for k, v in X.items() if k != "name"}, END],
    "no shape": [FIRST, PASS, {k: v for k, v in X.items() if k != "shape"}, END],
    "a shape with a negative": [FIRST, PASS, dict(X, shape=[-1]), END],
    "a shape that overflows": [FIRST, PASS, dict(X, shape=[2**62, 2**62]), END],
    "nine axes": [FIRST, PASS, dict(X, shape=[1] * 9), END],
    "a pass that is not there": [FIRST, PASS, dict(X, **{"pass": 7}), END],
    "passes with a hole": [FIRST, dict(PASS, **{"pass": 5}), END],
    "more rows than before": [FIRST, PASS, {"pass": 0, "tokens": [1] * 5000}, X, Y, END],
    "fewer rows than before": [FIRST, PASS, {"pass": 0, "positions": [1]}, X, Y, END],
    "a file above": [FIRST, PASS, dict(X, file="../0.npy"), END],
    "a file above from within": [FIRST, PASS, dict(X, file="tensors/../../0.npy"), END],
    "an absolute file": [FIRST, PASS, dict(X, file="/etc/passwd"), END],
    "a NUL in a name": [FIRST, PASS, b'{"i":0,"name":"a\\u0000b","dtype":"f32","shape":[]}\n'],
    "bytes that are not UTF-8": [FIRST, PASS, b'{"i":0,"name":"\xff","dtype":"f32","shape":[]}\n'],
    "brackets without end": [FIRST, b"[" * 100000 + b"\n"],
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(tmp_path, name):
    folder = write(tmp_path / "t", REFUSED[name])
    done = diff(folder)
    assert done.returncode == 2 and done.stdout == ""
    assert str(folder / "trace.jsonl") in done.stderr and "offset" in done.stderr and done.stderr.count("\n") == 1


def test_the_offset_is_that_of_the_line(tmp_path):
    rows = [FIRST, PASS, b"{oops\n"]
    offset = len(json.dumps(FIRST)) + len(json.dumps(PASS)) + 2
    assert f"offset {offset}: " in diff(write(tmp_path / "t", rows)).stderr


WRONG = {
    "a string for a number": ([FIRST, PASS, dict(X, at="5", bytes=152), Y, END], 'found "at": "5", expected an integer'),
    "a real for a number": ([FIRST, PASS, dict(X, at=1.5, bytes=152), Y, END], 'found "at": 1.5, expected an integer'),
    "a number for a file": ([FIRST, PASS, dict(X, file=5), Y, END], 'found "file": 5, expected a string'),
    "a list for a file": ([FIRST, PASS, dict(X, file=[1]), Y, END], 'found "file": [1], expected a string'),
    "a layer beyond all": ([FIRST, PASS, dict(X, layer=2**31), Y, END], 'found "layer": 2147483648, expected an integer from -1'),
    "a layer below all": ([FIRST, PASS, dict(X, layer=-2), Y, END], 'found "layer": -2'),
    "no pass": ([FIRST, PASS, {k: v for k, v in X.items() if k != "pass"}, Y, END], 'found no "pass", expected'),
    "a pass below all": ([FIRST, PASS, dict(X, **{"pass": -1}), Y, END], 'found "pass": -1, expected an integer from 0'),
    "a string for a pass": ([FIRST, PASS, dict(X, **{"pass": "0"}), Y, END], 'found "pass": "0"'),
    "tokens that are no list": ([FIRST, dict(PASS, tokens="x"), X, Y, END], 'found "tokens": "x", expected a list'),
    "tokens of other types": ([FIRST, dict(PASS, tokens=["a", 2**40]), X, Y, END], 'found "tokens": ["a",1099511627776]'),
    "tokens that are no integers": ([FIRST, dict(PASS, tokens=[1.5, 2]), X, Y, END], 'found "tokens": [1.5,2]'),
    "fewer positions than tokens": ([FIRST, dict(PASS, positions=[1]), X, Y, END], 'found "positions": [1]'),
    "lost values below zero": ([FIRST, PASS, X, Y, dict(END, dropped=-5)], 'found "dropped": -5'),
    "an end that is none": ([FIRST, PASS, X, Y, dict(END, end="no")], 'found "end": "no", expected true or false'),
    "a string for sources": ([FIRST, PASS, X, dict(Y, src="x"), END], 'found "src": "x", expected a list of line numbers'),
    "strings among sources": ([FIRST, PASS, X, dict(Y, src=["0"]), END], 'found "src": ["0"], expected a list of line numbers'),
    "a real among operands": ([FIRST, PASS, X, dict(Y, operands=[0, None, 0.5]), END], 'found "operands": [0,null,0.5], expected a list'),
    "a string for an alias": ([FIRST, PASS, X, dict(Y, alias_of="x"), END], 'found "alias_of": "x", expected the number of a line'),
    "a list for a view": ([FIRST, PASS, X, dict(Y, view_of=[0]), END], 'found "view_of": [0], expected the number of a line'),
    "an offset below zero": ([FIRST, PASS, X, dict(Y, view_of=0, offset=-1), END], 'found "offset": -1'),
    "strides of other axes": ([FIRST, PASS, X, dict(Y, view_of=0, strides=[4]), END], 'found "strides": [4], expected a list of integers, one for each axis'),
    "strides that are no integers": ([FIRST, PASS, X, dict(Y, view_of=0, strides=[12, "4"]), END], 'found "strides": [12,"4"]'),
    "a list for parameters": ([FIRST, PASS, X, dict(Y, params=[1]), END], 'found "params": [1], expected an object'),
    "a pass like a later one": ([FIRST, dict(PASS, like=1), X, Y, END], 'found "like": 1, expected an earlier pass'),
    "a pass like itself": ([FIRST, dict(PASS, like=0), X, Y, END], 'found "like": 0, expected an earlier pass'),
    "a string for a pass that is like": ([FIRST, dict(PASS, like="0"), X, Y, END], 'found "like": "0", expected an integer from 0'),
    "a number for a model file": ([FIRST, {"model_file": 1}, PASS, X, Y, END], 'found "model_file": 1, expected a string'),
    "a model file of a size below zero": ([FIRST, {"model_file": "/m", "bytes": -1}, PASS, X, Y, END], 'found "bytes": -1, expected an integer from 0'),
    "a hash that is too short": ([FIRST, PASS, dict(X, xxh3="12"), Y, END], 'found "xxh3": "12", expected 16 hexadecimal digits'),
    "a number for a sample's hash": ([FIRST, PASS, dict(X, sample_xxh3=5), Y, END], 'found "sample_xxh3": 5, expected 16 hexadecimal digits'),
    "a graph alone that is neither": ([dict(FIRST, graph_only="yes"), PASS, X, Y, END], 'found "graph_only": "yes", expected true or false'),
    "a number for a role": ([FIRST, PASS, dict(X, role=1), Y, END], 'found "role": 1, expected a string'),
}


@pytest.mark.parametrize("name", WRONG)
def test_values_of_other_types_are_named(tmp_path, name):
    rows, message = WRONG[name]
    done = diff(write(tmp_path / "t", rows))
    bad = next(i for i, row in enumerate(rows) if row not in (FIRST, PASS, X, Y, END))
    offset = sum(len(json.dumps(row)) + 1 for row in rows[:bad])
    assert done.returncode == 2 and done.stdout == "" and f"offset {offset}: {message}" in done.stderr, done.stderr


def test_a_pass_with_the_graph_of_an_earlier_one(tmp_path):
    """Its inputs have lines, and everything else is repeated: with sources of its own, and the last write before it."""
    def node(i, name, pass_=0, **more):
        return dict(tensor(i, name, **more), **{"pass": pass_})
    rows = [dict(FIRST, graph_only=True), PASS, node(0, "ids", role="input"), node(1, "cache", role="state"), node(2, "written", role="write", view_of=1, src=[0, 1]),
            node(3, "y", src=[2, 0]), {"pass": 0, "ended": True}, {"pass": 1, "like": 0, "tokens": [1, 2], "positions": [2, 3]}, node(4, "ids", 1, role="input"),
            {"pass": 1, "ended": True}, dict(END, tensors=5)]
    done = run(LOCKSTEP, "ls", "--json", write(tmp_path / "t", rows))
    assert done.returncode == 0, done.stderr
    assert "INCOMPLETE" not in done.stdout + done.stderr


def test_a_pass_with_other_inputs_than_it_says_leaves_a_trace_incomplete(tmp_path):
    ids = tensor(2, "ids", role="input")
    for other in ([], [dict(ids, i=3, name="other", **{"pass": 1})], [dict(ids, i=3, shape=[9], **{"pass": 1})]):
        rows = [FIRST, PASS, X, Y, ids, {"pass": 1, "like": 0}, *other, {"pass": 1, "ended": True}, dict(END, tensors=3 + len(other))]
        assert "incomplete" in diff(write(tmp_path / f"t{len(other)}{other != [] and other[0]['name']}", rows)).stdout


def test_few_lines_do_not_stand_for_more_than_memory(tmp_path):
    nodes = [tensor(i, f"n{i}", src=[max(i - 1, 0)]) for i in range(2000)]
    repeats = [line for n in range(1, 1500) for line in ({"pass": n, "like": 0}, {"pass": n, "ended": True})]
    done = diff(write(tmp_path / "t", [FIRST, {"pass": 0}, *nodes, {"pass": 0, "ended": True}, *repeats, END]))
    assert done.returncode == 2 and "found passes like earlier ones that stand for more than 2^21 tensors" in done.stderr, done.stderr


@pytest.mark.parametrize("tensors", [0, 1, 3, 999])
def test_lines_that_are_missing_leave_a_trace_incomplete(tmp_path, tensors):
    done = diff(write(tmp_path / "t", [FIRST, PASS, X, Y, dict(END, tensors=tensors)]))
    assert done.returncode == 2 and "incomplete" in done.stdout and "verdict: match" not in done.stdout


@pytest.mark.parametrize("tensors,complete", [(2, True), (4, True), (3, False), (1, False), (5, False)])
def test_weights_are_counted_all_or_not_at_all(tmp_path, tensors, complete):
    weights = [{k: v for k, v in tensor(i, f"w{i}", role="weight").items() if k != "pass"} for i in (2, 3)]
    done = diff(write(tmp_path / "t", [FIRST, PASS, X, Y, *weights, dict(END, tensors=tensors)]))
    assert ("INCOMPLETE" not in done.stdout) is complete


def test_an_end_that_is_false_is_none(tmp_path):
    assert "incomplete" in diff(write(tmp_path / "t", [FIRST, PASS, X, Y, dict(END, end=False)])).stdout


READ = {
    "half a last line": [FIRST, PASS, X, Y, b'{"i":2,"na'],
    "no last line": [FIRST, PASS, X, Y],
    "a source in the future": [FIRST, PASS, dict(X, src=[1, 0, -3, 10**12]), Y, END],
    "an alias of the future": [FIRST, PASS, dict(X, alias_of=1), Y, END],
    "unknown keys and lines": [FIRST, {"later": 1}, PASS, dict(X, later={"a": []}), Y, END],
    "null for what is not known": [FIRST, dict(PASS, sequences=None), dict(X, where=None, layer=None), Y, END],
    "a count without weights": [FIRST, PASS, X, Y, {**tensor(2, "w", role="weight"), "pass": None}, END],
    "a count with weights": [FIRST, PASS, X, Y, {**tensor(2, "w", role="weight"), "pass": None}, dict(END, tensors=3)],
    "parameters of other types": [FIRST, PASS, dict(X, params={}), dict(Y, params={"a": "b", "c": 1e300}), END],
}


@pytest.mark.parametrize("name", READ)
def test_read_as_documented(tmp_path, name):
    done = diff(write(tmp_path / "t", READ[name]))
    incomplete = "last line" in name  # said, and never a match
    assert done.returncode == (2 if incomplete else 0), done.stderr + done.stdout
    assert ("incomplete" in done.stdout) == incomplete


BAD_FILES = {
    "another shape": lambda path: numpy.save(path, numpy.zeros((3, 2), "f4")),
    "fewer elements": lambda path: numpy.save(path, numpy.zeros(3, "f4")),
    "a file cut short": lambda path: path.write_bytes(path.read_bytes()[:-4]),
    "no NPY": lambda path: path.write_bytes(b"nothing"),
    "no file": lambda path: path.unlink(),
    "a folder": lambda path: (path.unlink(), path.mkdir()),
    "a link out of the trace": lambda path: (path.rename(path.parents[2] / "outside.npy"),
                                             path.symlink_to(path.parents[2] / "outside.npy")),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_values_that_are_not_as_the_line_says(tmp_path, name):
    """Never a match."""
    folder = write(tmp_path / "t", [FIRST, PASS, X, Y, END])
    BAD_FILES[name](folder / "tensors" / "1.npy")
    done = diff(folder)
    assert done.returncode != 0 and "1.npy" in done.stderr + done.stdout, done.stdout


def test_links_out_of_the_trace_are_not_listed(tmp_path):
    folder = write(tmp_path / "t", [FIRST, PASS, X, Y, END])
    BAD_FILES["a link out of the trace"](folder / "tensors" / "1.npy")
    done = run(LOCKSTEP, "ls", folder)
    assert done.returncode == 2 and "leads out of the trace" in done.stderr


def test_a_whole_trace_that_is_a_link_is_read(tmp_path):
    write(tmp_path / "t", [FIRST, PASS, X, Y, END])
    (tmp_path / "link").symlink_to(tmp_path / "t")
    assert diff(tmp_path / "link").returncode == 0


@pytest.mark.parametrize("name", ["\x1b[31mred\x1b[0m", "a\nb", "\u202eabc", "tab\there", "", "a" * 5000])
def test_names_are_shown_escaped(tmp_path, name):
    rows = [dict(FIRST, argv=[name]), {"engine": name, "model": name, "process": 0}, PASS, dict(X, name=name, op=name),
            Y, {"note": name}, END]
    done = diff(write(tmp_path / "t", rows), "--all")
    assert done.returncode == 0, done.stderr
    if 0 < len(name) < 100:
        assert name not in done.stdout
    listed = run(LOCKSTEP, "ls", tmp_path / "t")
    assert listed.returncode == 0 and "\x1b" not in listed.stdout and "\u202e" not in listed.stdout
