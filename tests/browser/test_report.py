"""The HTML report of two traces, as Chromium shows it."""
import math
import re
import subprocess

import numpy as np
import pytest
from reports import QWEN, block, chain, make
from traces import LOCKSTEP, ROOT, Trace

ENGINE = ROOT / "build" / "examples" / "qwen3"


@pytest.fixture(scope="module")
def qwen(tmp_path_factory):
    return make(tmp_path_factory.mktemp("qwen"), *QWEN)


def errors_of(result):
    return [pair["metrics"]["rel_l2"] for pair in result["pairs"]]


def rows(browser):
    return browser.run("return [...document.querySelectorAll('tr.row')].map((row) => Number(row.dataset.index))")


def unfold(browser):
    browser.run("const select = document.querySelector('select[aria-label=Fold]'); select.value = 'none'; select.dispatchEvent(new Event('change'))")


def test_the_data_is_the_json(qwen):
    page, result = qwen
    embedded = block(page, "result")
    assert {**embedded, "produced": None} == {**result, "produced": None}


def test_the_top_says_what_is_wrong(qwen, browser):
    page, result = qwen
    browser.open(page)
    top = browser.texts("#summary")[0]
    for words in ("The two runs diverge", "Qcur_normed-1", "layer 1", "norm-1", "channel-scale", result["produced"]["command"]):
        assert words in top, words
    assert browser.run("return document.title").startswith("diverged: ")
    assert browser.box("#summary h1")["y"] < 200 and browser.box(".cause")["y"] < 500  # above the fold


def points(browser):
    """index of the pair -> its place in the chart, from the paths that are drawn"""
    found = {}
    for path in browser.run("return [...document.querySelectorAll('.chart path.dots')].map((path) => [path.dataset.places, path.getAttribute('d')])"):
        places = [tuple(map(float, place)) for place in re.findall(r"M([-\d.]+),([-\d.]+)h0", path[1])]
        found.update(zip(map(int, path[0].split()), places, strict=True))
    return found


def test_the_points_of_the_chart_are_the_values(qwen, browser):
    page, result = qwen
    browser.open(page)
    browser.until("return document.querySelector('.chart svg') !== null")
    scale = {key: float(value) for key, value in browser.run("return {...document.querySelector('.chart svg').dataset}").items()}
    drawn = points(browser)
    assert sorted(drawn) == list(range(len(result["pairs"])))
    assert sorted(drawn, key=lambda index: drawn[index][0]) == sorted(drawn)  # in execution order
    for index, error in enumerate(errors_of(result)):
        exponent = scale["high"] - (drawn[index][1] - scale["top"]) / (scale["bottom"] - scale["top"]) * (scale["high"] - scale["low"])
        assert exponent == pytest.approx(math.log10(error) if error > 1e-10 else scale["low"], abs=0.01), index


def test_a_click_on_the_chart_reaches_the_row(qwen, browser):
    page, _ = qwen
    browser.open(page)
    browser.until("return document.querySelector('.chart svg') !== null")
    browser.scroll_to(".chart svg")
    place, box = points(browser)[40], browser.box(".chart svg")
    browser.point(box["x"] + place[0], box["y"] + place[1], click=True)
    assert browser.until("return document.querySelector('tr.current')?.id") == "p40"
    assert browser.run("return document.querySelector('#p40').nextElementSibling.classList.contains('more')")


def test_a_link_reaches_the_row(qwen, browser):
    page, result = qwen
    browser.open(page, "#p7")
    assert browser.run("return document.querySelector('tr.current').id") == "p7"
    browser.until("const y = document.querySelector('#p7').getBoundingClientRect().y; return 0 < y && y < innerHeight")
    assert result["pairs"][7]["candidate"]["name"] in browser.texts("#p7")[0]


def test_the_table_filters(qwen, browser):
    page, result = qwen
    browser.open(page)
    browser.type("#pairs input[type=search]", "q_norm")
    wanted = [i for i, pair in enumerate(result["pairs"]) if any("q_norm" in text.lower() for text in (pair["candidate"]["name"], pair["reference"]["name"], pair["candidate"]["op"]))]
    assert wanted and rows(browser) == wanted
    browser.run("const select = document.querySelector('select[aria-label=Verdict]'); select.value = 'failing'; select.dispatchEvent(new Event('change'))")
    assert rows(browser) == [i for i in wanted if result["pairs"][i]["verdict"] not in ("match", "identical", "explained")]


def test_the_table_sorts(qwen, browser):
    page, result = qwen
    browser.open(page)
    unfold(browser)
    assert rows(browser) == list(range(len(result["pairs"])))
    errors = errors_of(result)
    browser.run("[...document.querySelectorAll('.pairs thead button')].find((each) => each.textContent.startsWith('rel. L2')).click()")
    assert rows(browser) == sorted(range(len(errors)), key=lambda i: (-errors[i], i))
    browser.run("[...document.querySelectorAll('.pairs thead button')].find((each) => each.textContent.startsWith('rel. L2')).click()")
    assert rows(browser) == sorted(range(len(errors)), key=lambda i: (errors[i], i))
    assert browser.run("return document.querySelector('.pairs th[aria-sort=ascending]').textContent").startswith("rel. L2")


def test_the_table_folds_by_layer_and_by_module(qwen, browser):
    page, result = qwen
    browser.open(page)
    first = result["first_divergence"]["pair"]
    assert first in rows(browser) or len(result["pairs"]) <= 80  # the layer in question is open
    browser.run("document.querySelector('tr.group button[aria-expanded=true]').click()")
    assert len(rows(browser)) < len(result["pairs"])
    browser.run("const select = document.querySelector('select[aria-label=Fold]'); select.value = 'module'; select.dispatchEvent(new Event('change'))")
    assert "model.layers.1.self_attn" in browser.texts("tr.group button bdi")


def test_the_keyboard(qwen, browser):
    page, result = qwen
    browser.open(page)
    first = result["first_divergence"]["pair"]
    current = "return document.querySelector('tr.current')?.dataset.index"
    browser.press("j")
    assert browser.run(current) == str(first)  # begins at the first divergence
    browser.press("j", "j", "k")
    assert browser.run(current) == str(first + 1)
    browser.press("Enter")
    assert browser.run("return document.querySelector('tr.current').nextElementSibling.className") == "more"
    assert browser.run("return location.hash") == f"#p{first + 1}"
    browser.press("Enter")
    assert browser.run("return document.querySelectorAll('tr.more').length") == 0
    browser.press("/")
    browser.press(*"kq_soft")
    assert browser.run("return document.activeElement.value") == "kq_soft"
    assert all("kq_soft" in result["pairs"][i]["candidate"]["name"] for i in rows(browser))
    browser.press("Escape")
    assert browser.run("return document.querySelector('#pairs input').value") == ""


def test_what_it_was_computed_from(qwen, browser):
    """The graph near the first divergence: what the trace says of its sources."""
    page, result = qwen
    browser.open(page)
    first = result["pairs"][result["first_divergence"]["pair"]]
    sources = [result["pairs"][i]["candidate"]["name"] for i in first["inputs"]]
    assert sources == ["norm-1"]
    assert [name for name in browser.texts("#first .graph .side:first-child .name")] == sources
    fed = [pair["candidate"]["name"] for pair in result["pairs"] if result["first_divergence"]["pair"] in pair["inputs"]]
    assert browser.texts("#first .graph .side:last-child a.node .name") == fed


def test_verdicts_are_told_without_colour_and_tables_have_heads(qwen, browser):
    page, _ = qwen
    browser.open(page)
    assert all(text[0] in "=✓≈✕↓!▭?" and len(text) > 2 for text in browser.texts(".badge:has(.sign)"))
    assert browser.run("return [...document.querySelectorAll('table')].every((table) => table.caption && table.querySelector('th[scope]'))")
    assert browser.run("return [...document.querySelectorAll('svg[role=img], canvas')].every((each) => each.getAttribute('aria-label') || document.getElementById(each.getAttribute('aria-labelledby')).textContent)")
    assert browser.run("return [...document.querySelectorAll('input, select')].every((each) => each.getAttribute('aria-label') || each.closest('label'))")


@pytest.mark.parametrize("width", [1440, 1024, 390])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_nothing_is_wider_than_the_window(qwen, browser, width, dark):
    page, result = qwen
    browser.open(page, f"#p{result['first_divergence']['pair']}", width=width, dark=dark)
    browser.until("return document.querySelector('#first canvas') !== null || (document.querySelector('#first .picture').scrollIntoView(), false)")
    assert browser.run("return document.documentElement.scrollWidth") <= width
    ground = browser.run("return getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", ground)[:3])) < 200) == dark


def test_the_switch_of_colours(qwen, browser):
    page, _ = qwen
    browser.open(page)
    ground = "return getComputedStyle(document.body).backgroundColor"
    light = browser.run(ground)
    browser.run("const select = document.querySelector('select[aria-label=Colours]'); select.value = 'dark'; select.dispatchEvent(new Event('change'))")
    assert browser.run(ground) != light


def test_a_match_says_so(tmp_path, browser):
    values = [np.random.default_rng(i).standard_normal((5, 12)).astype("f4") for i in range(12)]
    page, result = make(tmp_path, chain(tmp_path / "r", values), chain(tmp_path / "c", values))
    assert result["verdict"] == "match"
    browser.open(page)
    assert "The two runs match" in browser.texts("#summary")[0]
    assert browser.run("return document.querySelector('.hero').className") == "hero good"


def test_one_file_below_2_mb_for_400_pairs_with_pictures(tmp_path, browser):
    random = np.random.default_rng(5)
    values = [random.standard_normal((32, 256)).astype("f4") for _ in range(400)]
    wrong = [value + (i >= 200) * random.standard_normal(value.shape).astype("f4") for i, value in enumerate(values)]
    page, result = make(tmp_path, chain(tmp_path / "r", values, layer=lambda i: i // 10), chain(tmp_path / "c", wrong, layer=lambda i: i // 10), "--picture", "t.1[0-9][0-9]")
    assert len(result["pairs"]) == 400 and len(block(page, "pictures")["pictures"]) == 24 and block(page, "pictures")["more"] > 0
    assert page.stat().st_size < 2_000_000
    browser.open(page)


def test_5000_pairs_are_a_matter_of_a_moment(tmp_path, browser):
    """Work is bounded: folded layers have no rows. The time is what a slow machine may take ten times over."""
    random = np.random.default_rng(6)
    values = [random.standard_normal((1, 4)).astype("f4") for _ in range(5000)]
    wrong = [value + (i >= 2500) for i, value in enumerate(values)]
    page, result = make(tmp_path, chain(tmp_path / "r", values, layer=lambda i: i // 50), chain(tmp_path / "c", [w.astype("f4") for w in wrong], layer=lambda i: i // 50))
    assert len(result["pairs"]) == 5000
    browser.devtools("Performance.enable")
    browser.open(page)
    browser.until("return document.querySelector('.chart svg') !== null")
    metrics = {each["name"]: each["value"] for each in browser.devtools("Performance.getMetrics")["metrics"]}
    assert browser.run("return document.querySelectorAll('tr.row').length") <= 100
    assert browser.run("return document.querySelectorAll('*').length") < 12_000
    assert metrics["ScriptDuration"] < 20, metrics["ScriptDuration"]
    print("seconds of scripting:", metrics["ScriptDuration"])


def test_without_pictures_and_without_what_older_results_lack(qwen, tmp_path, browser):
    """A page of a kept result has no values to draw."""
    page, result = qwen
    text = page.read_text()
    kept = tmp_path / "kept.html"
    kept.write_text(re.sub(r'(id="pictures">\n).*?(</script>)', r"\1null\2", text, flags=re.DOTALL))
    browser.open(kept, f"#p{result['first_divergence']['pair']}")
    assert "Its picture is not in this file" in browser.texts("#first")[0]
    assert "lockstep picture" in browser.texts("#first .command code")[0]


def test_check_writes_a_page(tmp_path, browser):
    page = tmp_path / "check.html"
    done = subprocess.run([LOCKSTEP, "check", "--reference", QWEN[0], "--html", page, "--", ENGINE, ROOT / "examples" / "qwen3-hf", "5,17,25,33,8", "--bug", "gate-up-swapped"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1, done.stderr
    browser.open(page)
    top = browser.texts("#summary")[0]
    assert "model.layers.0.mlp.gate_proj" in top and "swapped-with" in top and "lockstep check" in top
    assert "lockstep picture" not in top  # what ran is gone


@pytest.mark.parametrize("bug, named", [("rope-interleaved", "apply_rotary_pos_emb"), ("norm-eps", "layers.0.input_layernorm"), ("gelu", "mlp.act_fn"), ("no-qk-norm", "q_norm"), ("gqa-order", "scaled_dot_product_attention")])
def test_the_top_alone_names_the_operation_at_fault(tmp_path, browser, bug, named):
    page = tmp_path / "check.html"
    done = subprocess.run([LOCKSTEP, "check", "--reference", QWEN[0], "--html", page, "--", ENGINE, ROOT / "examples" / "qwen3-hf", "5,17,25,33,8", "--bug", bug], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1, done.stderr
    browser.open(page)
    assert named in browser.texts(".lead")[0]


def odd(folder, kind):
    """(reference, candidate, words at the top) of results that are neither a match nor a usual divergence."""
    values = [np.random.default_rng(i).standard_normal((4, 6)).astype("f4") for i in range(6)]
    if kind == "inputs differ":
        t = Trace(folder / "c").begin([9, 9, 9, 9])
        t.add("t.0", values[0], op="add")
        return chain(folder / "r", values), t.write(), "The two runs had different inputs"
    if kind == "nothing paired":
        return chain(folder / "r", values), chain(folder / "c", [v[:, :3] + 9 for v in values], [f"other{i}" for i in range(6)]), "The two runs "
    if kind == "not finite":
        wrong = [v.copy() for v in values]
        wrong[3][1, 2], wrong[4][:] = np.nan, np.inf
        return chain(folder / "r", values), chain(folder / "c", wrong), "The two runs diverge"
    if kind == "another shape":
        return chain(folder / "r", values), chain(folder / "c", [v[:, :5] if i == 3 else v for i, v in enumerate(values)]), "The two runs "
    if kind == "integers and masks":
        masks = [np.where(v > 0, v, np.float32(-3.4e38)).astype("f4") for v in values]
        return chain(folder / "r", [*masks, np.arange(4, dtype="i4")]), chain(folder / "c", [*masks, np.arange(4, dtype="i4") + 1]), "The two runs diverge"
    for side, shift in (("r", 0), ("c", 1)):
        np.savez(folder / f"{side}.npz", a=values[0], b=values[1] + shift, scalar=np.float32(shift), empty=np.zeros((0, 3), "f4"))
    return folder / "r.npz", folder / "c.npz", "The two runs diverge"


@pytest.mark.parametrize("kind", ["inputs differ", "nothing paired", "not finite", "another shape", "integers and masks", "archives"])
def test_results_of_every_kind_are_shown(tmp_path, browser, kind):
    *sides, said = odd(tmp_path, kind)
    page, done = tmp_path / "report.html", subprocess.run([LOCKSTEP, "diff", *sides, "--html", tmp_path / "report.html", "--picture", "."], capture_output=True, text=True, timeout=60)
    assert done.returncode in (1, 2) and page.exists(), done.stderr
    browser.open(page)
    pairs = block(page, "result")["pairs"]
    assert said in browser.texts("#summary")[0]
    for index in range(len(pairs)):
        browser.run("location.hash = '#p' + arguments[0]", index)
    browser.until("return document.querySelectorAll('tr.more').length === arguments[0]", len(pairs))
    browser.run("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
    browser.run("document.querySelectorAll('.picture').forEach((each) => each.scrollIntoView())")
    browser.until("return [...document.querySelectorAll('.picture')].every((each) => each.querySelector('canvas') || (each.scrollIntoView(), false))")
    assert browser.run("return document.documentElement.scrollWidth") <= 1440


def test_what_is_not_finite_is_no_small_error(tmp_path, browser):
    *sides, _ = odd(tmp_path, "not finite")
    page, result = make(tmp_path, *sides)
    browser.open(page)
    top = browser.texts("#summary")[0]
    assert "the candidate has 1 NaN" in top and "the reference has none" in top
    browser.until("return document.querySelector('.chart svg') !== null")
    highest = float(browser.run("return document.querySelector('.chart svg').dataset.top"))
    assert points(browser)[3][1] == pytest.approx(highest, abs=0.1)
    assert "∞" in browser.texts("#p3")[0]
