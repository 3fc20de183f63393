"""The HTML report of two checkpoints."""
import re

import gguf
import numpy as np
import pytest
from reports import LLAMA, block, cells, make
from safetensors.numpy import load_file


@pytest.fixture(scope="module")
def llama(tmp_path_factory):
    return make(tmp_path_factory.mktemp("llama"), *LLAMA, "--picture", r"blk\.0\.attn_norm")


def test_findings_in_the_order_of_suspicion(llama, browser):
    page, result = llama
    browser.open(page)
    shown = browser.texts("#summary .findings li")
    assert len(shown) == len(result["findings"]) == 5
    assert all(finding["text"] in text and finding["kind"] in text for finding, text in zip(result["findings"], shown))
    assert "The checkpoints differ" in browser.texts("#summary")[0]


def test_the_map_has_each_weight_once_with_its_error(llama, browser):
    page, result = llama
    browser.open(page)
    pairs = result["weights"]["pairs"]
    found = browser.run("return [...document.querySelectorAll('.map td a')].map((a) => [a.getAttribute('href'), a.title, a.textContent, a.closest('tr').querySelector('th').textContent])")
    assert sorted(href for href, *_ in found) == sorted(f"#p{i}" for i in range(len(pairs)))
    for href, title, sign, layer in found:
        pair = pairs[int(href[2:])]
        assert pair["candidate"]["name"] in title and pair["verdict"] in title
        assert float(title.split()[-1].replace("−", "-")) == pytest.approx(pair["metrics"]["nmse"], rel=0.05, abs=1e-12)
        assert sign == {"identical": "=", "match": "✓", "differs": "✕"}[pair["verdict"]]
        number = re.search(r"blk\.(\d+)\.", pair["candidate"]["name"])
        assert layer == (number[1] if number else "–")


def test_a_cell_of_the_map_leads_to_the_row(llama, browser):
    page, result = llama
    browser.open(page)
    index = next(i for i, pair in enumerate(result["weights"]["pairs"]) if pair["verdict"] == "differs")
    browser.click(f'.map td a[href="#p{index}"]')
    assert browser.until("return document.querySelector('tr.current')?.id") == f"p{index}"


def test_pictures_of_weights_are_the_weights(llama):
    page, result = llama
    pictures = {result["weights"]["pairs"][p["pair"]]["candidate"]["name"]: p for p in block(page, "pictures")["pictures"]}
    assert {"output_norm.weight", "blk.1.attn_k.weight", "blk.0.attn_norm.weight"} <= set(pictures)
    reference = {name: value for file in sorted(LLAMA[0].glob("*.safetensors")) for name, value in load_file(file).items()}
    candidate = {t.name: t for t in gguf.GGUFReader(LLAMA[1]).tensors}
    norm = pictures["output_norm.weight"]
    assert np.array_equal(cells(norm, "reference").ravel(), reference["model.norm.weight"]) and np.array_equal(cells(norm, "candidate").ravel(), candidate["output_norm.weight"].data)
    keys = pictures["blk.1.attn_k.weight"]
    t = candidate["blk.1.attn_k.weight"]
    decoded = gguf.quants.dequantize(t.data, t.tensor_type)
    if keys["row_step"] * keys["column_step"] == 1:
        assert np.sort(cells(keys, "candidate").ravel()) == pytest.approx(np.sort(decoded.ravel()), rel=1e-6)  # rows are in the order in which they were compared
    for side, values in (("candidate_values", decoded), ("reference_values", reference["model.layers.1.self_attn.k_proj.weight"])):
        assert np.abs(np.array(keys[side]) - np.histogram(values.astype("f8"), 64, (keys["low"], keys["high"]))[0]).sum() <= 8  # of values on an edge


def test_the_settings_that_differ(llama, browser):
    page, result = llama
    browser.open(page)
    differ = [entry for entry in result["config"] if entry["verdict"] != "equal"]
    assert differ and [cell for cell in browser.texts("#config > .scroll tbody tr td:first-child")] == [entry["meaning"] for entry in differ]
