"""Whatever a file says is text."""
import numpy as np
import pytest
from reports import block, chain, make

NAMES = [
    '<img src=x onerror="document.title=1">', "</script><script>document.title=1</script>", "<!--<script>", "\x1b[31mred\x1b[0m", "\u202egnp.exe\u202c", "a\u2028b\u2029c",
    "{{constructor}}", "__proto__", "a\"b'c`d&amp;&lt;", "javascript:alert(1)", "-", " ", "x" * 3000, "テンソル\u200b", "constructor", "hasOwnProperty", "</STYLE>", "\\u003c", "\ufffe\ufeff", "%3Cscript%3E",
]


@pytest.fixture
def hostile(tmp_path):
    values = [np.random.default_rng(i).standard_normal((3, 5)).astype("f4") for i in range(len(NAMES))]
    wrong = [value + (i >= 4) for i, value in enumerate(values)]
    kept = [tmp_path / "r<b>", tmp_path / "c&'"]
    for path, side in zip(kept, (values, wrong)):
        chain(path, [value.astype("f4") for value in side], NAMES, op="</td><b>op", layer=lambda i: i)
    return make(tmp_path, *kept, "--picture", ".")


def test_names_stay_text(hostile, browser):
    page, result = hostile
    assert len(result["pairs"]) == len(NAMES)
    browser.open(page)
    browser.until("return document.querySelector('.chart svg') !== null")
    for index in range(len(NAMES)):
        browser.run("location.hash = '#p' + arguments[0]", index)
    browser.until("return document.querySelectorAll('tr.more').length === arguments[0]", len(NAMES))
    assert browser.run("return document.title") != "1"
    assert browser.run("return document.querySelectorAll('img, b, tr.row script, iframe, object, main style, main script').length") == 0
    for index, name in enumerate(NAMES):
        shown = browser.run("return document.querySelector(arguments[0]).textContent", f"#p{index} th .name")
        assert shown == "".join(f"\\u{ord(c):04x}" if c in "\x1b\u202e\u202c\u2028\u2029\u200b\ufeff" else c for c in name)


def test_nothing_that_could_end_a_script_is_in_the_data(hostile):
    page, _ = hostile
    assert page.read_text().count("</script") == 3  # of the two blocks and the program
    assert block(page, "result")["pairs"][0]["candidate"]["name"] == NAMES[0]
    assert not any(c in page.read_text() for c in "\u2028\u2029")


def test_every_handler_and_source_is_the_pages_own(hostile, browser):
    page, _ = hostile
    browser.open(page)
    assert browser.run("return [...document.querySelectorAll('*')].filter((each) => [...each.attributes].some((a) => a.name.startsWith('on') || a.name === 'src' || a.name === 'style' && each.closest('tr.row bdi'))).length") == 0
    assert browser.run("return [...document.querySelectorAll('a')].every((a) => a.getAttribute('href').startsWith('#'))")


def test_the_policy_forbids_other_scripts_and_the_network(hostile, chromium):
    page, _ = hostile
    chromium.open(page)
    refused = chromium.run("""
        const script = document.createElement('script'); script.textContent = 'window.ran = true'; document.body.append(script);
        const button = document.createElement('button'); button.setAttribute('onclick', 'window.ran = true'); document.body.append(button); button.click();
        return window.ran === undefined""")
    assert refused
    assert chromium.call("POST", "/execute/async", {"script": "fetch('https://example.invalid/').then(() => arguments[0]('went'), (e) => arguments[0]('refused'))", "args": []}) == "refused"
    assert any("Content Security Policy" in text for text in chromium.complaints())
