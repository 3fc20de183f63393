"""lockstep diff on the recorded examples and on small containers: words and statuses."""
import json
import pathlib
import shutil
import subprocess

import numpy as np
import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
LOCKSTEP = ROOT / "build" / "lockstep"
REFERENCE = ROOT / "examples" / "qwen3-transformers"
CLEAN = ROOT / "examples" / "qwen3-llama.cpp"
FAULTY = ROOT / "examples" / "qwen3-llama.cpp-faulty"


def diff(*arguments, columns=0):
    return subprocess.run([str(LOCKSTEP), "diff", *map(str, arguments)], capture_output=True, text=True, timeout=60,
                          env={"COLUMNS": str(columns), "PATH": "/usr/bin:/bin"})


def result(*arguments):
    done = diff(*arguments, "--json", "-")
    return done.returncode, json.loads(done.stdout)


def save(folder, **arrays):
    folder.mkdir()
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)
    return folder


def test_a_correct_conversion_matches():
    status, found = result(REFERENCE, CLEAN)
    assert status == 0 and found["schema"] == 1 and found["verdict"] == "match"
    assert found["pairing"]["coverage"] == 1.0 and found["first_divergence"] is None


def test_a_swapped_norm_is_named():
    done = diff(REFERENCE, FAULTY)
    assert done.returncode == 1
    assert "first divergence: Qcur_normed-1 (MUL), layer 1" in done.stdout
    verdict, first, *more = done.stdout.split("\n\n")[-1].splitlines()
    assert verdict == "verdict: diverged" and first.startswith("first divergence: ") and any(line.startswith("cause: channel-scale: ") for line in more)


@pytest.mark.parametrize("columns", [80, 120, 160])
def test_the_table_fits_the_terminal(columns):
    for line in diff(REFERENCE, FAULTY, "--all", columns=columns).stdout.splitlines():
        if line[:5].strip().isdigit():
            assert len(line) <= columns, line


def test_all_lists_every_pair():
    lines = diff(REFERENCE, CLEAN, "--all").stdout.splitlines()
    assert sum(line[:5].strip().isdigit() for line in lines) == result(REFERENCE, CLEAN)[1]["pairing"]["paired"]


def test_without_rules_tensors_pair_by_their_values():
    status, found = result(REFERENCE, CLEAN, "--preset", "none")
    assert status == 0 and found["pairing"]["by"]["content"] > 70 and found["pairing"]["by"]["inferred"] == 0
    rules = {p["candidate"]["order"]: p["reference"]["name"] for p in result(REFERENCE, CLEAN)[1]["pairs"]}
    assert all(rules[p["candidate"]["order"]].split("/")[0] == p["reference"]["name"].split("/")[0] for p in found["pairs"])
    status, found = result(REFERENCE, FAULTY, "--preset", "none")
    assert status == 1 and found["first_divergence"]["candidate"]["name"] == "Qcur_normed-1"


def test_a_map_of_ones_own(tmp_path):
    rules = tmp_path / "map.yaml"
    rules.write_text('rules:\n  - {candidate: "result_output", reference: lm_head}\n')
    status, found = result(REFERENCE, CLEAN, "--preset", "none", "--map", rules)
    assert status == 0 and [p["reference"]["name"] for p in found["pairs"] if p["by"] == "map"] == ["lm_head"] and found["pairing"]["by"]["map"] == 1


@pytest.mark.parametrize("text, words", [
    ("rules: [1]", "a rule is"), ("rules:\n - {candidate: a}", "needs 'candidate' and 'reference'"),
    ("nothing: 1", "unknown key"), ("rules: [", "line"), ("include: nowhere", "names no preset"),
    ("rules:\n - {candidate: a, reference: b, colour: c}", "unknown key"),
])
def test_a_wrong_map_is_refused_with_its_line(tmp_path, text, words):
    rules = tmp_path / "map.yaml"
    rules.write_text(text)
    done = diff(REFERENCE, CLEAN, "--map", rules)
    assert done.returncode == 2 and words in done.stderr and "map.yaml" in done.stderr + text or "include" in text


@pytest.mark.parametrize("arguments, words", [
    ((REFERENCE,), "too few arguments"), ((REFERENCE, CLEAN, CLEAN), "unexpected argument"),
    ((REFERENCE, "nowhere"), "nowhere"), ((REFERENCE, CLEAN, "--atol", "many"), "expected a number"),
    ((REFERENCE, CLEAN, "--preset", "gpt9"), "there are:"), ((REFERENCE, CLEAN, "--profile", "mine"), "no profile"),
    ((REFERENCE, CLEAN, "--min-coverage", "2"), "expected 0 to 1"), ((REFERENCE, CLEAN, "--tensors", "("), "regular expression"),
    ((REFERENCE, CLEAN, "--frobnicate"), "unknown option"), ((REFERENCE, CLEAN, "--profile", "torch", "--rtol", "1"), "exclude"),
])
def test_what_is_typed_wrong_is_said(arguments, words):
    done = diff(*arguments)
    assert done.returncode == 2 and words in done.stderr and done.stdout == ""


def test_filters(tmp_path):
    _, found = result(REFERENCE, FAULTY, "--layers", "0")
    assert found["first_divergence"] is None and {p["candidate"]["layer"] for p in found["pairs"]} == {0}
    _, found = result(REFERENCE, CLEAN, "--tensors", "^ffn_out")
    assert {p["candidate"]["name"] for p in found["pairs"]} == {"ffn_out-0", "ffn_out-1", "ffn_out-2"}


def test_json_to_a_file_beside_the_table(tmp_path):
    done = diff(REFERENCE, CLEAN, "--json", tmp_path / "out.json")
    assert done.returncode == 0 and "verdict: match" in done.stdout
    assert json.loads((tmp_path / "out.json").read_text())["verdict"] == "match"
    assert diff(REFERENCE, CLEAN, "--json", tmp_path / "no" / "out.json").returncode == 2


def test_plain_arrays_pair_by_name(tmp_path):
    a = save(tmp_path / "a", x=np.arange(6.0), y=np.ones((2, 3), np.float32))
    b = save(tmp_path / "b", x=np.arange(6.0), y=np.ones((2, 3), np.float32))
    assert result(a, b)[0] == 0
    np.save(b / "y.npy", np.full((2, 3), 2, np.float32))
    status, found = result(a, b)
    assert status == 1 and found["first_divergence"]["candidate"]["name"] == "y"
    assert found["first_divergence"]["metrics"]["rel_l2"] == 1.0


def test_what_only_one_side_has_is_no_match(tmp_path):
    a = save(tmp_path / "a", x=np.arange(6.0), y=np.ones(3))
    b = save(tmp_path / "b", x=np.arange(6.0))
    status, found = result(a, b)
    assert status == 1 and "1 tensor is only in the reference; those in both match" in found["reason"]


def test_nan_is_never_passed(tmp_path):
    values = np.ones(8, np.float32)
    values[3] = np.nan
    a, b = save(tmp_path / "a", x=np.ones(8, np.float32)), save(tmp_path / "b", x=values)
    assert result(a, b)[1]["first_divergence"]["verdict"] == "nonfinite" and result(a, b)[0] == 1
    assert result(b, b)[0] == 1, "not even when both sides have it"


def test_infinities_must_agree_in_sign(tmp_path):
    a = save(tmp_path / "a", x=np.array([1.0, np.inf]))
    b = save(tmp_path / "b", x=np.array([1.0, -np.inf]))
    assert result(a, a)[0] == 0 and result(a, b)[0] == 1


def test_another_shape_is_no_match(tmp_path):
    a, b = save(tmp_path / "a", x=np.arange(6.0)), save(tmp_path / "b", x=np.arange(5.0))
    status, found = result(a, b)
    assert status == 1 and found["first_divergence"]["verdict"] == "shape"


def test_all_zeros_against_values(tmp_path):
    a, b = save(tmp_path / "a", x=np.arange(6.0)), save(tmp_path / "b", x=np.zeros(6))
    assert result(a, b)[0] == 1 and result(b, a)[0] == 1 and result(b, b)[0] == 0


def test_a_pure_scale_error_is_found(tmp_path):
    x = np.random.default_rng(0).normal(size=100)
    a, b = save(tmp_path / "a", x=x), save(tmp_path / "b", x=45.25 * x)
    status, found = result(a, b)
    assert status == 1 and found["pairs"][0]["metrics"]["cosine"] > 0.999999


def test_atol_and_rtol_are_numpys_rule(tmp_path):
    a = save(tmp_path / "a", x=np.array([1.0, 100.0]))
    b = save(tmp_path / "b", x=np.array([1.05, 100.0]))
    for atol, rtol in ((0.04, 0.0), (0.06, 0.0), (0.0, 0.04), (0.0, 0.06), (0.03, 0.03)):
        close = np.allclose(np.load(b / "x.npy"), np.load(a / "x.npy"), atol=atol, rtol=rtol)
        assert (result(a, b, "--atol", atol, "--rtol", rtol)[0] == 0) == close


def test_an_incomplete_trace_is_no_match(tmp_path):
    cut = tmp_path / "cut"
    shutil.copytree(CLEAN, cut)
    log = (cut / "trace.jsonl").read_text().splitlines(keepends=True)
    (cut / "trace.jsonl").write_text("".join(log[:-1]))
    status, found = result(REFERENCE, cut)
    assert status == 2 and not found["candidate"]["complete"] and "incomplete" in found["reason"]


def test_a_lost_file_is_no_match(tmp_path):
    lost = tmp_path / "lost"
    shutil.copytree(CLEAN, lost)
    next((lost / "tensors").glob("*result_output.npy")).unlink()
    status, found = result(REFERENCE, lost)
    assert status == 2 and found["pairs"][-1]["verdict"] == "unsupported"


def test_escape_sequences_in_names_do_not_reach_the_terminal(tmp_path):
    evil = tmp_path / "evil"
    shutil.copytree(FAULTY, evil)
    log = (evil / "trace.jsonl").read_text().replace('"llama.cpp"', '"\\u001b[31mllama\\u202e"')
    (evil / "trace.jsonl").write_text(log)
    done = diff(REFERENCE, evil)
    assert "\x1b" not in done.stdout and "\u202e" not in done.stdout and "\\x1b[31m" in done.stdout


def test_quantized_against_its_original(tmp_path):
    import gguf
    values = np.random.default_rng(1).normal(size=(8, 64)).astype(np.float32)
    for name, kind in (("q8", gguf.GGMLQuantizationType.Q8_0), ("f32", gguf.GGMLQuantizationType.F32)):
        writer = gguf.GGUFWriter(str(tmp_path / f"{name}.gguf"), "test")
        writer.add_tensor("w", gguf.quants.quantize(values, kind), raw_dtype=kind)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
    dequantized = gguf.quants.dequantize(gguf.quants.quantize(values, gguf.GGMLQuantizationType.Q8_0), gguf.GGMLQuantizationType.Q8_0)
    expected = np.linalg.norm(dequantized.astype(np.float64) - values) / np.linalg.norm(values.astype(np.float64))
    status, found = result(tmp_path / "f32.gguf", tmp_path / "q8.gguf")
    assert status == 0 and found["kind"] == "checkpoints"
    assert found["weights"]["pairs"][0]["metrics"]["rel_l2"] == pytest.approx(expected, rel=1e-9)
    assert result(tmp_path / "q8.gguf", tmp_path / "f32.gguf")[0] == 0


def test_arrays_of_many_axes(tmp_path):
    x = np.random.default_rng(2).normal(size=(2, 3, 2, 3, 2, 3, 2))
    a, b = save(tmp_path / "a", x=x), save(tmp_path / "b", x=x)
    assert result(a, b)[0] == 0
    np.save(b / "x.npy", -x)
    status, found = result(a, b)
    assert status == 1 and found["first_divergence"]["causes"][0]["rule"] == "scale"


def left_out(folder, target, keep):
    """The trace as if a filter had kept only the values of some names."""
    shutil.copytree(folder, target)
    lines = [json.loads(line) for line in (target / "trace.jsonl").read_text().splitlines()]
    for line in lines:
        if "file" in line and not keep(line["name"]):
            (target / line.pop("file")).unlink()
    (target / "trace.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return target


def test_what_a_filter_left_out_is_not_wrong_but_not_a_match_either(tmp_path):
    partial = left_out(CLEAN, tmp_path / "partial", lambda name: "result" not in name)
    status, found = result(REFERENCE, partial)
    assert status == 2 and found["first_divergence"] is None and "result_output was not compared" in found["reason"]


def test_a_fault_behind_values_that_were_left_out_gives_an_interval(tmp_path):
    partial = left_out(FAULTY, tmp_path / "partial", lambda name: "Qcur" not in name and "Kcur" not in name)
    status, found = result(REFERENCE, partial)
    first = found["first_divergence"]
    assert status == 1 and first["candidate"]["name"] == "kq-1"
    assert "Qcur_normed-1" in {node["name"] for node in first["interval"]}


def test_outputs_alone_are_enough_where_little_coverage_is_asked_for(tmp_path):
    partial = left_out(CLEAN, tmp_path / "partial", lambda name: name in ("result_output", "out_ids"))
    assert result(REFERENCE, partial)[0] == 2
    assert result(REFERENCE, partial, "--min-coverage", "0")[0] == 0
