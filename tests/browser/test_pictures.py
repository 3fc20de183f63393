"""Heat maps, histograms and worst positions in the report, and `lockstep picture`: against NumPy and Pillow."""
import re
import subprocess

import numpy as np
import pytest
from reports import LLAMA, block, cells, chain, make
from traces import LOCKSTEP, Trace

pillow = pytest.importorskip("PIL.Image")

RANDOM = np.random.default_rng(11)


def sides(folder, reference, candidate):
    """Traces of one tensor that diverges, behind one that doesn't."""
    first = RANDOM.standard_normal((4, 6)).astype("f4")
    return chain(folder / "r", [first, reference]), chain(folder / "c", [first, candidate])


def drawn(folder, reference, candidate, *options):
    page, result = make(folder, *sides(folder, reference, candidate), *options)
    index = next(i for i, pair in enumerate(result["pairs"]) if pair["candidate"]["name"] == "t.1")
    return page, next(picture for picture in block(page, "pictures")["pictures"] if picture["pair"] == index)


def worst_of_blocks(reference, candidate, rows, columns):
    """Of each block, the element whose values differ most; the first of equals."""
    height, width = -(-reference.shape[0] // rows), -(-reference.shape[1] // columns)
    out = np.zeros((2, height, width), "f4")
    for i in range(height):
        for k in range(width):
            r, c = (side[i * rows:(i + 1) * rows, k * columns:(k + 1) * columns] for side in (reference, candidate))
            at = np.unravel_index(np.argmax(np.abs(c.astype("f8") - r.astype("f8"))), r.shape)
            out[:, i, k] = r[at], c[at]
    return out


def test_small_tensors_are_drawn_as_they_are(tmp_path):
    reference = RANDOM.standard_normal((24, 64)).astype("f4")
    candidate = reference + RANDOM.standard_normal((24, 64)).astype("f4")
    _, picture = drawn(tmp_path, reference, candidate)
    assert np.array_equal(cells(picture, "reference")[0], reference) and np.array_equal(cells(picture, "candidate")[0], candidate)
    assert picture["shape"] == [24, 64] and picture["at"] is None


def test_large_tensors_keep_the_worst_element_of_each_block(tmp_path):
    reference = RANDOM.standard_normal((211, 517)).astype("f4")
    candidate = reference + RANDOM.standard_normal((211, 517)).astype("f4")
    _, picture = drawn(tmp_path, reference, candidate)
    rows, columns = picture["row_step"], picture["column_step"]
    assert rows * columns > 1
    wanted = worst_of_blocks(reference, candidate, rows, columns)
    assert np.array_equal(cells(picture, "reference")[0], wanted[0]) and np.array_equal(cells(picture, "candidate")[0], wanted[1])
    at = cells(picture, "at").view("<u4")[0]
    for i, k in [(0, 0), (3, 5), (picture["height"] - 1, picture["width"] - 1)]:
        place = i * rows + at[i, k] // columns, k * columns + at[i, k] % columns
        assert reference[place] == wanted[0][i, k]


def test_heads_are_slices_and_the_worst_are_drawn(tmp_path):
    reference = RANDOM.standard_normal((40, 9, 16)).astype("f4")
    candidate = reference + 0.01 * RANDOM.standard_normal(reference.shape).astype("f4")
    candidate[[3, 38]] += 1
    _, picture = drawn(tmp_path, reference, candidate)
    errors = np.linalg.norm((candidate - reference).reshape(40, -1).astype("f8"), axis=1)
    assert picture["slices"] == 40 and picture["drawn"] == sorted(np.argsort(-errors)[:16].tolist())
    assert np.array_equal(cells(picture, "candidate"), candidate[picture["drawn"]])
    relative = errors[picture["drawn"]] / np.linalg.norm(reference.reshape(40, -1).astype("f8"), axis=1)[picture["drawn"]]
    assert picture["errors"] == pytest.approx(relative, rel=1e-6)


def test_the_histogram_and_the_worst_positions(tmp_path):
    reference = RANDOM.standard_normal((30, 50)).astype("f4")
    candidate = reference + RANDOM.standard_normal((30, 50)).astype("f4")
    _, picture = drawn(tmp_path, reference, candidate)
    difference = candidate.astype("f8") - reference.astype("f8")
    limit = np.abs(difference).max()
    assert picture["largest_difference"] == pytest.approx(limit, rel=1e-8)
    assert sum(picture["differences"]) == difference.size
    assert np.abs(np.array(picture["differences"]) - np.histogram(difference, 64, (-limit, limit))[0]).sum() <= 4  # of values on an edge
    order = np.argsort(-np.abs(difference), axis=None)[:12]
    assert [tuple(place["at"]) for place in picture["worst"]] == [np.unravel_index(i, difference.shape) for i in order]
    assert [place["candidate"] for place in picture["worst"]] == pytest.approx(candidate.ravel()[order].tolist(), rel=1e-7)


def test_what_is_not_finite_is_the_worst(tmp_path):
    reference = RANDOM.standard_normal((200, 300)).astype("f4")
    candidate = reference.copy()
    candidate[117, 251] = np.nan
    candidate[3, 4] += 5
    page, picture = drawn(tmp_path, reference, candidate)
    assert picture["worst"][0]["at"] == [117, 251] and picture["worst"][0]["candidate"] == "nan"
    assert np.isnan(cells(picture, "candidate")).sum() == 1  # although a cell stands for several elements
    assert picture["left_out"] == 1


def test_what_the_page_draws_and_says_are_the_values(tmp_path, browser):
    reference = RANDOM.standard_normal((12, 20)).astype("f4")
    candidate = reference + RANDOM.standard_normal((12, 20)).astype("f4")
    page, _ = drawn(tmp_path, reference, candidate)
    browser.open(page)
    browser.scroll_to("#first .picture")
    browser.until("return document.querySelectorAll('#first canvas').length === 3")
    browser.scroll_to("#first canvas")
    for row, column in [(0, 0), (7, 13), (11, 19)]:
        box = browser.box("#first figure:nth-child(2) canvas")
        browser.point(box["x"] + (column + 0.5) * box["width"] / 20, box["y"] + (row + 0.5) * box["height"] / 12)
        said = browser.texts("#first .heat output")[0].replace("−", "-")
        found = re.fullmatch(r"at \[(\d+), (\d+)\]: reference (\S+), candidate (\S+), difference (\S+)", said)
        assert (int(found[1]), int(found[2])) == (row, column)
        shown = np.array([float(found[i]) for i in (3, 4, 5)])
        assert shown == pytest.approx([reference[row, column], candidate[row, column], candidate[row, column] - reference[row, column]], rel=2e-5, abs=1e-6)
    pixels = np.array(browser.run("const c = document.querySelector('#first figure:nth-child(1) canvas'); return [...c.getContext('2d').getImageData(0, 0, c.width, c.height).data]")).reshape(12, 20, 4)
    limit = float(re.search(r"to (\S+)", browser.texts("#first .limits")[0])[1])
    assert np.abs(pixels[..., :3] - colours(reference, limit)).max() <= 2  # the limit is shown with three digits


def test_the_keyboard_reads_cells(tmp_path, browser):
    reference = RANDOM.standard_normal((12, 20)).astype("f4")
    page, _ = drawn(tmp_path, reference, reference[::-1].copy())
    browser.open(page)
    browser.scroll_to("#first .picture")
    browser.until("return document.querySelectorAll('#first canvas').length === 3")
    browser.run("document.querySelector('#first canvas').focus({preventScroll: true})")
    browser.press("Down", "Down", "Right")
    assert browser.texts("#first .heat output")[0].startswith("at [2, 1]")


# ---------------------------------------------------------------- lockstep picture

ENDS = {-1: (33, 102, 172), 0: (247, 247, 247), 1: (178, 24, 43)}


def colours(values, limit):
    """What docs/reports.md says."""
    share = np.clip(np.abs(values.astype("f8")) / limit, 0, 1)[..., None]
    end = np.where(values[..., None] < 0, ENDS[-1], ENDS[1])
    return np.floor(np.array(ENDS[0]) + (end - np.array(ENDS[0])) * share + 0.5).astype(int)


def picture(*words):
    return subprocess.run([LOCKSTEP, "picture", *map(str, words)], capture_output=True, text=True, timeout=60)


def panels(path, height, width, zoom, slices=1):
    """[panel, slice, row, column, colour], one pixel of each cell; all pixels of a cell have to be the same."""
    pixels = np.array(pillow.open(path).convert("RGB")).astype(int)
    assert pixels.shape == (slices * (height * zoom + 8) - 8, 3 * width * zoom + 16, 3)
    out = np.zeros((3, slices, height, width, 3), int)
    for panel in range(3):
        for k in range(slices):
            part = pixels[k * (height * zoom + 8):, panel * (width * zoom + 8):][:height * zoom, :width * zoom]
            out[panel, k] = part[::zoom, ::zoom]
            assert np.array_equal(part, np.repeat(np.repeat(out[panel, k], zoom, 0), zoom, 1))
    return out


def test_a_picture_is_the_values(tmp_path):
    reference = RANDOM.standard_normal((24, 40)).astype("f4")
    candidate = reference + RANDOM.standard_normal((24, 40)).astype("f4")
    done = picture(*sides(tmp_path, reference, candidate), "t.1", "-o", tmp_path / "x.png")
    assert done.returncode == 0, done.stderr
    limit = float(max(np.abs(reference).max(), np.abs(candidate).max()))
    found = panels(tmp_path / "x.png", 24, 40, 10)
    for panel, values in enumerate([reference, candidate, candidate.astype("f8") - reference]):
        assert np.abs(found[panel, 0] - colours(values, limit)).max() <= 1, panel
    assert pillow.open(tmp_path / "x.png").text["Description"] == done.stdout.strip()


def test_scales_zoom_and_slices(tmp_path):
    reference = RANDOM.standard_normal((3, 8, 10)).astype("f4")
    candidate = reference + 0.02 * RANDOM.standard_normal(reference.shape).astype("f4")
    done = picture(*sides(tmp_path, reference, candidate), "t.1", "-o", tmp_path / "x.png", "--zoom", 4, "--scale", 2, "--own-scale")
    assert done.returncode == 0, done.stderr
    found, difference = panels(tmp_path / "x.png", 8, 10, 4, slices=3), candidate.astype("f8") - reference
    assert np.abs(found[0] - colours(reference, 2)).max() <= 1
    assert np.abs(found[2] - colours(difference, np.abs(difference).max())).max() <= 1


def test_what_is_not_finite_has_a_colour_of_its_own(tmp_path):
    reference = RANDOM.standard_normal((4, 5)).astype("f4")
    candidate = reference.copy()
    candidate[1, 2], candidate[2, 2] = np.nan, np.inf
    assert picture(*sides(tmp_path, reference, candidate), "t.1", "-o", tmp_path / "x.png", "--zoom", 1).returncode == 0
    found = panels(tmp_path / "x.png", 4, 5, 1)
    assert (found[1:, 0, [1, 2], 2] == [255, 0, 255]).all() and (found[0, 0] != [255, 0, 255]).any(-1).all()


def test_a_picture_of_a_weight(tmp_path):
    import gguf
    from safetensors.numpy import load_file
    done = picture(*LLAMA, "output_norm.weight", "-o", tmp_path / "x.png", "--zoom", 1)
    assert done.returncode == 0, done.stderr
    reference = next(tensors["model.norm.weight"] for tensors in map(load_file, sorted(LLAMA[0].glob("*.safetensors"))) if "model.norm.weight" in tensors)
    candidate = next(t for t in gguf.GGUFReader(LLAMA[1]).tensors if t.name == "output_norm.weight").data
    limit = float(max(np.abs(reference).max(), np.abs(candidate).max()))
    found = panels(tmp_path / "x.png", 1, 64, 1)
    assert np.abs(found[0, 0] - colours(reference.reshape(1, 64), limit)).max() <= 1
    assert np.abs(found[1, 0] - colours(candidate.reshape(1, 64), limit)).max() <= 1


def test_a_pass_is_chosen(tmp_path):
    for side in ("r", "c"):
        t = Trace(tmp_path / side)
        for k in range(2):
            t.begin([k], [k])
            t.add("x", np.full((1, 3), 1 + k, "f4"), op="add")
        t.write()
    assert picture(tmp_path / "r", tmp_path / "c", "x", "--pass", 1, "--scale", 4, "--zoom", 1, "-o", tmp_path / "x.png").returncode == 0
    assert np.array_equal(panels(tmp_path / "x.png", 1, 3, 1)[0, 0], colours(np.full((1, 3), 2.0), 4))


@pytest.mark.parametrize("words, said", [(("tt.1", "-o", "x.png"), "did you mean 't.1'?"), (("t.1",), "-o FILE is missing"), (("t.1", "-o", "no/such/folder/x.png"), "no/such/folder")])
def test_what_is_wrong_is_said(tmp_path, words, said):
    values = RANDOM.standard_normal((4, 5)).astype("f4")
    done = picture(*sides(tmp_path, values, values), *words)
    assert done.returncode == 2 and said in done.stderr
