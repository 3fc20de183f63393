"""Values in segments: what others open, what a crash leaves, and what lies."""
import json
import random
import shutil
import struct
import zipfile

import numpy
import pytest
from conftest import BUILD, LOCKSTEP, capture, check, ended, lines, load_segment, load_values, run, tensors

# As tests/capture/engine.c and bench/record_tensors.c compute them.
def expected(count, elements):
    values = ((numpy.arange(elements) % 1009).astype("f4") * numpy.float32(0.001) - numpy.float32(0.5)).astype("f4")
    return [values] * count


@pytest.fixture(scope="session")
def source():
    program = BUILD / "bench" / "record_tensors"
    if not program.exists():
        run("make", "-C", BUILD.parent, program.relative_to(BUILD.parent), timeout=300, check=True)
    return program


def record(out, source, count=5, elements=1000, limit=None):
    done = run("env", *([f"LOCKSTEP_SEGMENT_BYTES={limit}"] if limit else []), LOCKSTEP, "capture", "-o", out, "--", source, 4 * elements, count)
    assert done.returncode == 0, done.stderr
    return out


def files(out):
    return sorted(str(path.relative_to(out)) for path in (out / "tensors").iterdir())


@pytest.mark.parametrize("limit, segments", [(None, 1), (9000, 3), (4300, 5), (1000, 5)])
def test_values_fill_segment_after_segment(source, tmp_path, limit, segments):
    """With 1,000 bytes a segment, each value is larger than that, and its sizes are in ZIP64 fields."""
    out = record(tmp_path / "t", source, limit=limit)
    found = check(out)
    assert files(out) == [f"tensors/{number:04}.npz" for number in range(segments)] and ended(out)
    for line, values in zip(found, expected(5, 1000), strict=True):
        assert numpy.array_equal(load_values(out, line), values)
    assert all((out / file).stat().st_size <= (limit or 2**32) for file in files(out)) or limit == 1000
    assert run(LOCKSTEP, "diff", out, record(tmp_path / "u", source)).returncode == 0


def test_zip64_fields(source, tmp_path):
    """What Python's zipfile reads, and that the fields are there: extra 1 in the local header, the record, and the end."""
    out = record(tmp_path / "t", source, count=1, limit=1000)
    data = (out / "tensors/0000.npz").read_bytes()
    with zipfile.ZipFile(out / "tensors/0000.npz") as segment:
        info = segment.infolist()[0]
        assert info.file_size == info.compress_size == 128 + 4000 and segment.testzip() is None
    name, extra = struct.unpack_from("<HH", data, 26)
    assert struct.unpack_from("<II", data, 18) == (2**32 - 1, 2**32 - 1)
    assert struct.unpack_from("<HHQQ", data, 30 + name) == (1, 16, 4128, 4128) and 30 + name + extra == lines(out)[3]["at"]
    assert b"PK\6\6" in data and b"PK\6\7" in data


def test_a_value_without_elements_and_a_scalar(tmp_path):
    script = tmp_path / "run.py"
    script.write_text("import torch\n\n\nclass Two(torch.nn.Module):\n    def forward(self, x):\n        return x.sum(), x[:0] * 2\n\n\nTwo()(torch.ones(3))\n")
    assert capture(tmp_path / "t", BUILD.parent / ".deps/venv/bin/python", script).returncode == 0
    shapes = [line["shape"] for line in check(tmp_path / "t") if "file" in line]
    assert [] in shapes


def test_a_limit_on_the_size_of_files_begins_segments(source, tmp_path):
    """ulimit -f counts for each file: values that fit one by one are all kept."""
    import resource
    limit = 512 << 10  # the channel's memory counts, too
    done = run(LOCKSTEP, "capture", "-o", tmp_path / "t", "--", source, 120 << 10, 12,
               preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)))
    assert done.returncode == 0, done.stderr
    assert len([line for line in check(tmp_path / "t") if "file" in line]) == 12 and len(files(tmp_path / "t")) == 3


# ------------------------------------------------------------------ the same trace, a file a value

def unpack(trace, out):
    """Each value into a file of its own, as dumps have them, with NumPy."""
    (out / "tensors").mkdir(parents=True)
    rows = []
    for line in lines(trace):
        if "at" in line:
            values = load_values(trace, line)
            line = {key: value for key, value in line.items() if key not in ("at", "bytes", "member")}
            line["file"] = f"tensors/{line['i']}.npy"
            numpy.save(out / line["file"], values)
        rows.append(json.dumps(line))
    (out / "trace.jsonl").write_text("\n".join(rows) + "\n")
    return out


def test_both_ways_to_keep_values_read_alike(engine, tmp_path):
    capture(tmp_path / "t", engine, "run", 3)
    unpack(tmp_path / "t", tmp_path / "u")
    assert run(LOCKSTEP, "diff", tmp_path / "t", tmp_path / "u").returncode == 0
    for command in (["ls", "--stats"], ["show"]):
        name = [tensors(tmp_path / "t")[-1]["name"]] if command[0] == "show" else []
        shown = [run(LOCKSTEP, command[0], tmp_path / which, *name, *command[1:]) for which in "tu"]
        assert shown[0].returncode == shown[1].returncode == 0, shown[0].stderr + shown[1].stderr
        assert shown[0].stdout.replace(str(tmp_path / "t"), "") == shown[1].stdout.replace(str(tmp_path / "u"), "")
    for which in "tu":
        assert run(LOCKSTEP, "convert", tmp_path / which, tmp_path / f"{which}.npz").returncode == 0
    a, b = (load_segment(tmp_path / f"{which}.npz") for which in "tu")
    a.pop("lockstep_trace.npy"), b.pop("lockstep_trace.npy")
    assert a.keys() == b.keys() and all(numpy.array_equal(a[k], b[k]) for k in a) and a


# ------------------------------------------------------------------ what a crash leaves

def cut(trace, out, log, segment):
    """The first bytes of both: as when the machine, or the recorder, went down."""
    shutil.copytree(trace, out)
    (out / "trace.jsonl").write_bytes((trace / "trace.jsonl").read_bytes()[:log])
    (out / "tensors/0000.npz").write_bytes((trace / "tensors/0000.npz").read_bytes()[:segment])
    return out


def test_a_trace_cut_at_any_byte_is_read_as_far_as_it_is_whole(source, tmp_path):
    whole = record(tmp_path / "whole", source, elements=20)
    log, segment = ((whole / name).stat().st_size for name in ("trace.jsonl", "tensors/0000.npz"))
    first_line = (whole / "trace.jsonl").read_bytes().index(b"\n") + 1
    dice = random.Random(11)
    cuts = [(dice.randrange(first_line, log), dice.randrange(segment + 1)) for _ in range(40)] + [(log - 1, segment), (first_line, 0)]
    for number, (a, b) in enumerate(cuts):
        out = cut(whole, tmp_path / f"t{number}", a, b)
        there = [line for line in tensors(out) if line["at"] + line["bytes"] <= b]
        done = run(LOCKSTEP, "ls", out, "--json")
        assert done.returncode == 0, done.stderr
        assert [t["name"] for t in json.loads(done.stdout)["archives"][0]["tensors"]] == [line["name"] for line in there], (a, b)
        compared = run(LOCKSTEP, "diff", whole, out)
        assert compared.returncode == 2 and "incomplete" in compared.stdout + compared.stderr, compared.stdout
        if there:
            assert run(LOCKSTEP, "convert", "--restore", out).returncode == 0
            assert list(load_segment(out / "tensors/0000.npz")) == [line["member"] for line in there]
            assert all(numpy.array_equal(load_values(out, line), expected(1, 20)[0]) for line in there)
            assert run(LOCKSTEP, "convert", "--restore", out).stdout == "0 segments restored\n"
            again = json.loads(run(LOCKSTEP, "ls", out, "--json").stdout)
            assert [t["name"] for t in again["archives"][0]["tensors"]] == [line["name"] for line in there]
            assert run(LOCKSTEP, "diff", whole, out).returncode == 2
        shutil.rmtree(out)


def test_a_whole_trace_whose_segment_is_cut_is_an_error(source, tmp_path):
    """A copy that was interrupted, say: nothing tells that values may be missing."""
    out = record(tmp_path / "t", source, elements=20)
    path = out / "tensors/0000.npz"
    line = tensors(out)[-1]
    path.write_bytes(path.read_bytes()[:line["at"] + line["bytes"] - 1])
    done = run(LOCKSTEP, "ls", out)
    assert done.returncode == 2 and f"{path}: offset {line['at']}: found {line['bytes'] - 1} bytes left, expected {line['bytes']}" in done.stderr, done.stderr
    done = run(LOCKSTEP, "diff", out, out)
    assert done.returncode != 0 and "0000.npz" in done.stdout + done.stderr


def test_restoring_refuses_what_is_no_trace_and_what_is_recorded_now(source, tmp_path):
    numpy.save(tmp_path / "x.npy", numpy.ones(2))
    for path in (tmp_path / "x.npy", tmp_path, tmp_path / "none"):
        done = run(LOCKSTEP, "convert", "--restore", path)
        assert done.returncode == 2 and done.stderr.count("\n") == 1
    out = record(tmp_path / "t", source)
    import fcntl
    import os
    held = os.open(out, os.O_RDONLY)
    fcntl.flock(held, fcntl.LOCK_EX)
    done = run(LOCKSTEP, "convert", "--restore", out)
    assert done.returncode == 2 and "being recorded" in done.stderr
    os.close(held)
    assert run(LOCKSTEP, "convert", "--restore", out, "--to", "f32").returncode == 2
    assert run(LOCKSTEP, "convert", out).returncode == 2


# ------------------------------------------------------------------ what lies

def change(key, value, which=1):
    """In one tensor's line; value: of the line as it was."""
    def apply(out):
        rows = lines(out)
        line = [row for row in rows if "i" in row][which]
        line[key] = value(line) if callable(value) else value
        (out / "trace.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return apply


def write(offset, data):
    def apply(out):
        path = out / "tensors/0000.npz"
        content = bytearray(path.read_bytes())
        at = offset(tensors(out)) if callable(offset) else offset
        content[at:at + len(data)] = data
        path.write_bytes(content)
    return apply


def replace(make):
    def apply(out):
        path = out / "tensors/0000.npz"
        path.unlink()
        make(path)
    return apply


LOG, SEGMENT = "trace.jsonl: offset ", "tensors/0000.npz"
# what is changed -> where the error is, and what it says
LIES = {
    "an offset into the header of the NPY": (change("at", lambda l: l["at"] + 2), SEGMENT, "found no NPY magic"),
    "an offset into the zip's header": (change("at", lambda l: l["at"] - 20), SEGMENT, "found no NPY magic"),
    "an offset into the value before": (change("at", lambda l: l["at"] - 200), LOG, "expected them after the previous ones"),
    "an offset of the value before": (change("at", lambda l: 64), LOG, "expected them after the previous ones"),
    "an offset into a later value": (change("at", lambda l: l["at"] + 900), LOG, "expected them after the previous ones"),
    "an offset into the directory": (change("at", lambda l: l["at"] + 250, which=-1), SEGMENT, "found no NPY magic"),
    "an offset beyond the segment": (change("at", 10**12), SEGMENT, "found 0 bytes left"),
    "an offset whose end overflows": (change("at", 2**63 - 1), SEGMENT, "bytes left"),
    "an offset below 0": (change("at", -1), LOG, ""),
    "an offset that is text": (change("at", "64"), LOG, ""),
    "more bytes than the NPY": (change("bytes", lambda l: l["bytes"] + 1), SEGMENT, "expected 209 as in trace.jsonl"),
    "fewer bytes than the NPY": (change("bytes", lambda l: l["bytes"] - 1), SEGMENT, "array: found 79 bytes, expected 80"),
    "fewer bytes than its header": (change("bytes", 9), SEGMENT, "found no NPY magic in 9 bytes"),
    "bytes beyond all": (change("bytes", 2**63 - 1), SEGMENT, "bytes left"),
    "bytes below 0": (change("bytes", -5), LOG, ""),
    "another shape": (change("shape", [4, 5]), SEGMENT, "expected the shape in trace.jsonl"),
    "a shape without elements": (change("shape", [0, 20]), SEGMENT, "expected the shape in trace.jsonl"),
    "a segment above": (change("file", "../0000.npz"), LOG, ""),
    "a segment that isn't there": (change("file", "tensors/0007.npz"), "tensors/0007.npz", "No such file"),
    "a segment that is the log": (change("file", "trace.jsonl"), "trace.jsonl", "expected 'PK' 03 04"),
    "a segment without a zip's first bytes": (write(0, b"xx"), SEGMENT, "expected 'PK' 03 04"),
    "an NPY without its magic": (write(lambda t: t[1]["at"], b"\0"), SEGMENT, "found no NPY magic"),
    "a segment that is gone": (replace(lambda path: None), SEGMENT, "No such file"),
    "a segment that is empty": (replace(lambda path: path.touch()), SEGMENT, "bytes left"),
    "a segment that is a folder": (replace(lambda path: path.mkdir()), SEGMENT, "is a directory"),
    "a segment that leads out of the trace": (replace(lambda path: path.symlink_to("/etc/passwd")), SEGMENT, "leads out of the trace"),
}


@pytest.mark.parametrize("name", LIES)
def test_lies_about_values(source, tmp_path, name):
    """Never a match, never beyond the file; the place and the reason are said."""
    whole = record(tmp_path / "whole", source, elements=20)
    out = shutil.copytree(whole, tmp_path / "t")
    apply, place, message = LIES[name]
    apply(out)
    done = run(LOCKSTEP, "diff", "whole", "t", cwd=tmp_path)
    assert done.returncode in (1, 2) and done.stderr.count("\n") <= 1
    said = " ".join((done.stdout + done.stderr).split())
    assert place in said and message in said, said
    listed = run(LOCKSTEP, "ls", out)
    assert listed.returncode == (0 if name in ("another shape", "a shape without elements") else 2) and listed.stderr.count("\n") <= 1, listed.stdout
    restored = run(LOCKSTEP, "convert", "--restore", out)
    assert restored.returncode in (0, 2)
