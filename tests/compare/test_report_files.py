"""lockstep report: JUnit read by junitparser, Markdown rendered by markdown-it, results judged anew and compared over time."""
import html.parser
import json
import os
import subprocess

import junitparser
import markdown_it
import numpy as np
import pytest

from traces import LOCKSTEP, ROOT, Trace

RNG = np.random.default_rng(3)
HOSTILE = ["<img src=x onerror=alert(1)>", "a|b", "`code`", "**bold** [l](http://e.example)", "\x1b[31mred\x1b[0m", "no\ufffe\uffffcharacters", "]]>&amp;\"'", "@someone #12 http://e.example", "line\nbreak\r\n# h", "ünïcode 名前"]


def write(folder, changed=(), names=HOSTILE, scale=1.5):
    """A chain of steps; those of `changed` multiply by something else."""
    trace = Trace(folder).begin(range(4))
    x = np.linspace(1, 2, 32, dtype="f4").reshape(4, 8)
    at = trace.add("in", x, role="input")
    for i, name in enumerate(names):
        x = (x * np.float32(scale if i in changed else 1.25) + np.float32(0.01)).astype("f4")
        at = trace.add(name, x, [at], op="custom", layer=i)
    return trace.write()


def kept(tmp_path, name, changed=(), **more):
    reference = tmp_path / "reference"
    if not reference.exists():
        write(reference, **more)
    candidate = write(tmp_path / name, changed, **more)
    out = tmp_path / f"{name}.json"
    done = subprocess.run([LOCKSTEP, "diff", reference, candidate, "--json", out], capture_output=True, text=True, timeout=60)
    assert done.returncode == (1 if changed else 0), done.stderr
    return out


def report(*args):
    done = subprocess.run([LOCKSTEP, "report", *map(str, args)], capture_output=True, text=True, timeout=60, env=dict(os.environ, COLUMNS="100"))
    return done.returncode, done.stdout, done.stderr


def states(result):
    """(passing, failing, following) pairs of a result."""
    good = [p for p in result["pairs"] if p["verdict"] in ("match", "identical", "explained")]
    bad = [p for p in result["pairs"] if p not in good]
    return len(good), sum(not p["downstream"] for p in bad), sum(p["downstream"] for p in bad)


@pytest.mark.parametrize("changed", [(), (3,), (2, 7)])
def test_junit(tmp_path, changed):
    path = kept(tmp_path, "c", changed)
    status, _, _ = report(path, "--junit", tmp_path / "out.xml")
    result = json.loads(path.read_text())
    passing, failing, following = states(result)
    xml = junitparser.JUnitXml.fromfile(str(tmp_path / "out.xml"))
    (suite,) = xml
    cases = list(suite)
    assert status == (1 if changed else 0)
    assert (suite.tests, suite.failures, suite.errors, suite.skipped) == (len(result["pairs"]) + 1, failing + bool(changed), 0, following) and len(cases) == suite.tests
    assert xml.tests == suite.tests and xml.failures == suite.failures
    of = lambda case, kind: any(isinstance(r, kind) for r in case.result)
    assert sum(of(c, junitparser.Failure) for c in cases) == suite.failures and sum(of(c, junitparser.Skipped) for c in cases) == following
    assert cases[0].name == "verdict" and of(cases[0], junitparser.Failure) == bool(changed)
    for case, pair in zip(cases[1:], result["pairs"]):
        assert case.classname == f"pass 0.layer {pair['candidate']['layer']}" or pair["candidate"]["layer"] < 0
        properties = {p.get("name"): p.get("value") for p in case._elem.iter("property")}
        assert properties["verdict"] == pair["verdict"] and float(properties["rel_l2"]) == pytest.approx(pair["metrics"]["rel_l2"], rel=1e-9)
    names = " ".join(c.name for c in cases)
    assert "<img src=x onerror=alert(1)> (custom)" in names and "]]>&amp;\"'" in names and "名前" in names and "\\x1b[31mred" in names and "line\\x0abreak" in names


class Elements(html.parser.HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags, self.text = [], ""
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)

    def handle_data(self, data):
        self.text += data


def test_markdown(tmp_path):
    path = kept(tmp_path, "c", (1, 4))
    status, text, _ = report(path, "--markdown", "-")
    page = Elements(markdown_it.MarkdownIt("commonmark", {"html": True}).enable("table").enable("strikethrough").render(text))
    result = json.loads(path.read_text())
    assert status == 1 and text.count("\n") < 60 and "diverged" in page.text
    assert set(page.tags) <= {"h3", "p", "strong", "code", "br", "table", "thead", "tbody", "tr", "th", "td"}
    for name in ("a|b", "`code`", "**bold** [l](http://e.example)", "\\x1b[31mred\\x1b[0m", "@someone #12 http://e.example", "line\\x0abreak\\x0d\\x0a# h", "ünïcode 名前"):
        assert name in page.text, name
    assert page.text.count("First divergence") == 1 and f"lockstep diff {result['reference']['path']} {result['candidate']['path']}" in page.text
    assert "http://" not in text, "nothing is to become a link"
    rows = [line for line in text.splitlines() if line.startswith("| <code>")]
    assert len(rows) == len(HOSTILE) - 1 and all(line.count("|") == 5 for line in rows)


def test_markdown_of_a_large_result_is_short(tmp_path):
    path = kept(tmp_path, "c", range(0, 300, 2), names=[f"n{i}" for i in range(300)], scale=1.26)
    assert report(path, "--markdown", "-")[1].count("\n") < 60


@pytest.mark.parametrize("option, key, least", [("--rel-l2", "rel_l2", False), ("--max-abs", "max_abs", False), ("--cosine", "cosine", True), ("--nmse", "nmse", False)])
def test_other_thresholds(tmp_path, option, key, least):
    path = kept(tmp_path, "c", (5,))
    result = json.loads(path.read_text())
    values = sorted({p["metrics"][key] for p in result["pairs"]})
    for threshold in (values[0], (values[0] + values[-1]) / 2, values[-1]):
        bad = [p for p in result["pairs"] if (p["metrics"][key] < threshold if least else p["metrics"][key] > threshold)]
        status, text, _ = report(path, option, repr(threshold), "--junit", tmp_path / "j.xml")
        assert status == bool(bad) and ("verdict: diverged" if bad else "verdict: match") in text and "judged anew" in text
        assert junitparser.JUnitXml.fromfile(str(tmp_path / "j.xml")).failures == len(bad) + bool(bad)


def edited(path, change):
    result = json.loads(path.read_text())
    change(result)
    path.with_name("edited.json").write_text(json.dumps(result))
    return path.with_name("edited.json")


@pytest.mark.parametrize("key", ["nan_reference", "nan_candidate", "nonfinite_differ", "masked_differ"])
def test_no_threshold_passes_what_is_no_number(tmp_path, key):
    path = edited(kept(tmp_path, "c"), lambda r: r["pairs"][3]["metrics"].update({key: 1}))
    assert report(path, "--rel-l2", "1")[0] == 1


@pytest.mark.parametrize("change, words", [
    (lambda r: r["pairing"].update(coverage=0.2), "less than half"),
    (lambda r: r["candidate"].update(complete=False), "incomplete"),
    (lambda r: r["reference"].update(dropped=3), "incomplete"),
    (lambda r: r["inputs"].update(status="partial"), "inputs"),
])
def test_no_threshold_makes_too_little_a_match(tmp_path, change, words):
    status, text, _ = report(edited(kept(tmp_path, "c", (5,)), change), "--rel-l2", "10")
    assert status == 2 and "verdict: incomparable" in text and words in text


def test_no_threshold_hides_a_finding(tmp_path):
    done = subprocess.run([LOCKSTEP, "diff", ROOT / "examples/llama-hf", ROOT / "examples/llama-faulty.gguf", "--json", tmp_path / "ck.json"], capture_output=True, text=True)
    assert done.returncode == 1
    status, text, _ = report(tmp_path / "ck.json", "--nmse", "10", "--junit", tmp_path / "j.xml")
    assert status == 1 and "verdict: differs" in text
    status, text, _ = report(tmp_path / "ck.json", "--junit", tmp_path / "j.xml")
    result = json.loads((tmp_path / "ck.json").read_text())
    wrong = [p for p in result["weights"]["pairs"] if p["verdict"] not in ("match", "identical")]
    alone = [f for f in result["findings"] if f["fails"] and f["pair"] not in [result["weights"]["pairs"].index(p) for p in wrong]]
    assert f"{len(wrong)} fail" in text and f"{len(alone)} finding" in text
    assert junitparser.JUnitXml.fromfile(str(tmp_path / "j.xml")).failures == len(wrong) + len(alone) + 1
    changed = edited(tmp_path / "ck.json", lambda r: [f.update(text=f["text"].replace("1.", "2.")) for f in r["findings"]])
    assert report(changed, "--baseline", tmp_path / "ck.json")[0] == 0, "a number in a sentence is nothing new"


def test_what_got_worse_although_it_failed_before(tmp_path):
    old = kept(tmp_path, "c", (5,))
    for change in (lambda p: p["metrics"].update(rel_l2="nan"), lambda p: p.update(metrics=None, verdict="shape"), lambda p: p.update(verdict="nonfinite"), lambda p: p["metrics"].update(rel_l2=9.0)):
        new = edited(old, lambda r: [change(p) for p in r["pairs"] if p["candidate"]["layer"] == 5])
        status, text, _ = report(new, "--baseline", old)
        assert status == 1 and "1 worse" in text, text
    looser = edited(old, lambda r: [p.update(verdict="match", downstream=False) or p["metrics"].update(rel_l2=9.0) for p in r["pairs"] if p["candidate"]["layer"] == 5])
    assert "better:" not in report(looser, "--baseline", old)[1], "what passes with a larger error is not better"


def test_a_baseline_is_read_before_it_is_overwritten(tmp_path):
    clean = kept(tmp_path, "clean", names=[f"n{i}" for i in range(8)])
    write(tmp_path / "bad", (5,), names=[f"n{i}" for i in range(8)])
    done = subprocess.run([LOCKSTEP, "diff", tmp_path / "reference", tmp_path / "bad", "--json", clean, "--baseline", clean], capture_output=True, text=True)
    assert done.returncode == 1 and "new: n5" in done.stdout and json.loads(clean.read_text())["verdict"] == "diverged"


@pytest.mark.parametrize("known, words", [({"rule": {"id": "norm-eps", "instead": "eps 1 instead of 2"}}, "norm-eps: computed with eps 1 instead of 2"),
                                          ({"rule": None, "wrong_weight": {"name": "w", "text": "halved"}}, "w: halved")])
def test_an_origin_has_its_cause(tmp_path, known, words):
    def change(result):
        (failing,) = [p for p in result["pairs"] if p["verdict"] == "diverged" and not p["downstream"]]
        result["replay"] = {"operations": [{"name": "x", "op": "ADD", "node": failing["candidate"]["order"], "origin": True, **known}]}
    path = edited(kept(tmp_path, "c", (5,), names=[f"n{i}" for i in range(9)]), change)
    _, text, _ = report(path, "--markdown", "-", "--junit", tmp_path / "j.xml")
    messages = [result.message for case in list(junitparser.JUnitXml.fromfile(str(tmp_path / "j.xml")))[0] for result in case.result]
    assert words in text and any(words in message for message in messages)


def test_a_model_match_is_no_match(tmp_path):
    path = edited(kept(tmp_path, "c"), lambda r: r.update(verdict="model match"))
    status, text, _ = report(path, "--markdown", "-")
    assert status == 2 and "✅" not in text


def test_rules_for_elements_need_the_tensors(tmp_path):
    status, text, error = report(kept(tmp_path, "c", (5,)), "--atol", "1")
    assert status == 2 and text == "" and "which a result does not hold" in error


def test_baseline(tmp_path):
    names = [f"n{i}" for i in range(8)]
    clean, one, two, worse = (kept(tmp_path, name, changed, names=names, scale=scale)
                              for name, changed, scale in [("clean", (), 1), ("one", (5,), 1.3), ("two", (2, 5), 1.3), ("worse", (5,), 1.9)])
    status, text, _ = report(one, "--baseline", one)
    assert status == 0 and "0 new failures, 0 worse, 0 no longer compared, 0 better; 1 failed before" in text
    status, text, _ = report(one, "--baseline", clean)
    assert status == 1 and "new: n5 (custom)" in text and "new: verdict" in text
    status, text, _ = report(clean, "--baseline", one)
    assert status == 0 and "better: n5 (custom)" in text
    status, text, _ = report(two, "--baseline", one)
    assert status == 1 and "new: n2 (custom)" in text and "n5" not in text.split("since the baseline")[1]
    status, text, _ = report(worse, "--baseline", one)
    assert status == 1 and "worse: n5 (custom)" in text and "1 worse" in text
    result = json.loads(one.read_text())
    result["pairs"] = [p for p in result["pairs"] if p["candidate"]["name"] != "n0"]
    (tmp_path / "less.json").write_text(json.dumps(result))
    status, text, _ = report(tmp_path / "less.json", "--baseline", one)
    assert status == 1 and "no longer compared: n0 (custom)" in text


def test_diff_writes_the_same(tmp_path):
    path = kept(tmp_path, "c", (3,))
    written = [tmp_path / "d.xml", tmp_path / "d.md"]
    done = subprocess.run([LOCKSTEP, "diff", tmp_path / "reference", tmp_path / "c", "--junit", written[0], "--markdown", written[1], "--baseline", path], capture_output=True, text=True)
    assert done.returncode == 0 and "0 new failures, 0 worse" in done.stdout and "verdict: diverged" in done.stdout
    report(path, "--junit", tmp_path / "r.xml", "--markdown", tmp_path / "r.md", "--html", tmp_path / "r.html")
    assert written[0].read_text() == (tmp_path / "r.xml").read_text() and written[1].read_text() == (tmp_path / "r.md").read_text()
    page = (tmp_path / "r.html").read_text()
    assert "<img src=x" not in page and "\\u003cimg src=x onerror=alert(1)\\u003e" in page
    done = subprocess.run([LOCKSTEP, "diff", tmp_path / "reference", tmp_path / "c", "--baseline", tmp_path / "no.json"], capture_output=True, text=True)
    assert done.returncode == 2 and "no.json" in done.stderr


MALFORMED = {
    "not JSON": ("{", "offset 1"),
    "a list": ("[]", "expected what `lockstep diff --json` writes"),
    "another schema": ('{"schema": 2, "kind": "traces", "verdict": "match"}', "expected what"),
    "another kind": ('{"schema": 1, "kind": "x", "verdict": "match"}', "expected what"),
    "no verdict": ('{"schema": 1, "kind": "traces"}', "expected what"),
    "a verdict that is none": ('{"schema": 1, "kind": "traces", "verdict": 1}', "expected what"),
    "deep": ("[" * 100000, "offset"),
    "cut": ('{"schema": 1, "kind": "traces", "verdict": "match", "pairs": [{"candi', "offset"),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed(tmp_path, name):
    text, words = MALFORMED[name]
    (tmp_path / "r.json").write_text(text)
    status, out, error = report(tmp_path / "r.json")
    assert status == 2 and out == "" and words in error


@pytest.mark.parametrize("pairs", ['[1, "x", null, [], {}]', '{"a": 1}', '[{"candidate": 3, "metrics": []}]', '[{"candidate": {"name": 1, "pass": "inf", "layer": 1e300, "occurrence": "nan"}, "verdict": "match", "metrics": {"rel_l2": "x"}}]'])
def test_what_is_of_other_types_fails_and_breaks_nothing(tmp_path, pairs):
    (tmp_path / "r.json").write_text(f'{{"schema": 1, "kind": "traces", "verdict": "diverged", "pairs": {pairs}, "first_divergence": {{"causes": 3}}, "hints": [1], "replay": {{"operations": [{{"origin": true}}]}}}}')
    status, _, _ = report(tmp_path / "r.json", "--junit", tmp_path / "j.xml", "--markdown", tmp_path / "m.md")
    assert status == 1
    junitparser.JUnitXml.fromfile(str(tmp_path / "j.xml"))
