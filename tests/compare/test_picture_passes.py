"""A model that reads pictures: one pass in the reference; in an engine, passes of text, of the tower, and of the picture's rows."""
import subprocess

import numpy as np
import pytest

from traces import LOCKSTEP, Trace, diff, first_name, verdicts

RNG = np.random.default_rng(3)
PICTURE, TEXT = 9, [1, 2, 3]  # the placeholder, and the tokens before and after it
ROWS, WIDTH, PATCH = 4, 8, 16
TABLE, TOWER, LAYER = (RNG.standard_normal(shape).astype("f4") for shape in ((10, WIDTH), (WIDTH, PATCH), (WIDTH, WIDTH)))
PICTURES = RNG.standard_normal((2, ROWS, PATCH)).astype("f4")


def linear(t, name, x, source, weight, ids):
    return t.add(name, x @ {"tower": TOWER, "layer": LAYER}[weight].T, [source, ids[weight]], "linear")


def weights(t):
    return {name: t.add(name, value, role="weight") for name, value in (("table", TABLE), ("tower", TOWER), ("layer", LAYER))}


def tokens_of(pictures):
    return [*TEXT[:2], *[PICTURE] * ROWS, *([TEXT[1], *[PICTURE] * ROWS] if pictures == 2 else []), TEXT[2]]


def reference(path, pixels=PICTURES[0], pictures=1):
    tokens = tokens_of(pictures)
    t = Trace(path).begin(tokens)
    ids = weights(t)
    given = t.add("pixels", pixels, role="input")
    features = pixels @ TOWER.T
    feat = linear(t, "feat", pixels, given, "tower", ids)
    x = TABLE[tokens]
    emb = t.add("emb", x, [ids["table"]], "embedding")
    spliced = x.copy()
    spliced[np.array(tokens) == PICTURE] = features.reshape(-1, WIDTH)
    x = t.add("x", spliced, [emb, feat], "where")
    linear(t, "h", spliced, x, "layer", ids)
    return t.write()


class Engine:
    def __init__(self, path, warm_up=True):
        self.trace = Trace(path)
        self.ids, self.at = None, 0
        if warm_up:
            self.text([0])
            self.at = 0

    def begin(self, tokens):
        self.trace.begin(tokens, range(self.at, self.at + len(tokens)))
        self.at += len(tokens)
        self.ids = self.ids or weights(self.trace)

    def rows(self, x, source):
        linear(self.trace, "h", x, self.trace.add("x", x, [source], "scale"), "layer", self.ids)

    def text(self, tokens):
        self.begin(tokens)
        self.rows(TABLE[tokens], self.trace.add("emb", TABLE[tokens], [self.ids["table"]], "embedding"))

    def picture(self, pixels, spoil=1, rows=ROWS):
        self.trace.begin_silent()
        given = self.trace.add("pixels", pixels, role="input")
        linear(self.trace, "feat", spoil * pixels, given, "tower", self.ids)
        features = np.resize(spoil * pixels @ TOWER.T, (rows, WIDTH))
        self.begin([-1] * rows)
        self.rows(features, self.trace.add("embd", features, role="input"))


def engine(path, pixels=PICTURES[0], warm_up=True, **more):
    e = Engine(path, warm_up)
    e.text(TEXT[:2])
    e.picture(pixels, **more)
    e.text(TEXT[2:])
    return e.trace.write()


def test_rows_of_a_picture_stand_for_its_tokens(tmp_path):
    status, result = diff(reference(tmp_path / "r"), engine(tmp_path / "c"))
    assert (status, result["verdict"], result["inputs"]["status"]) == (0, "match", "equal")
    assert result["inputs"]["rows_paired"] == 2 + ROWS + 1 and verdicts(result)["feat"] == "identical"
    assert {p["candidate"]["pass"] for p in result["pairs"] if p["candidate"]["name"] == "h"} == {1, 3, 4}, "and not the warm-up"


def test_a_fault_in_the_tower_is_the_first_divergence(tmp_path):
    status, result = diff(reference(tmp_path / "r"), engine(tmp_path / "c", spoil=1.5))
    assert status == 1 and first_name(result) == "feat" and verdicts(result)["pixels"] in ("match", "identical")


def test_other_pixels_are_the_first_divergence(tmp_path):
    status, result = diff(reference(tmp_path / "r"), engine(tmp_path / "c", PICTURES[0] * 1.5))
    assert status == 1 and first_name(result) == "pixels"


@pytest.mark.parametrize("rows", [ROWS - 1, ROWS + 1])
def test_how_many_rows_a_picture_has_is_compared(tmp_path, rows):
    status, result = diff(reference(tmp_path / "r"), engine(tmp_path / "c", rows=rows))
    assert (status, result["verdict"]) == (1, "inputs-differ")
    assert f"from position 2 on, the reference has token {PICTURE} {ROWS} times, the candidate {rows} rows of embeddings" in result["inputs"]["message"]


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_a_batch_of_pictures_and_a_pass_for_each(tmp_path, order):
    e = Engine(tmp_path / "c")
    e.text(TEXT[:2])
    e.picture(PICTURES[order[0]])
    e.text(TEXT[1:2])
    e.picture(PICTURES[order[1]])
    e.text(TEXT[2:])
    status, result = diff(reference(tmp_path / "r", PICTURES, 2), e.trace.write())
    features = [p for p in result["pairs"] if p["candidate"]["name"] == "feat"]
    assert [p["verdict"] for p in features] == ["identical"] * 2, "each is compared with its own picture"
    assert status == (0 if order == (0, 1) else 1) and first_name(result) == (None if order == (0, 1) else "x"), "but the rows may be another's"


def test_an_engine_s_warm_up_is_no_input(tmp_path):
    for sides in ((True, False), (False, True)):
        paths = [engine(tmp_path / f"{warm_up}{sides[0]}", warm_up=warm_up) for warm_up in sides]
        status, result = diff(*paths)
        assert (status, result["verdict"], result["inputs"]["status"]) == (0, "match", "equal")


def test_a_tower_by_itself_is_the_pass_with_its_weights(tmp_path):
    t = Trace(tmp_path / "r").begin_silent()
    ids = weights(t)
    linear(t, "feat", PICTURES[0], t.add("pixels", PICTURES[0], role="input"), "tower", ids)
    status, result = diff(t.write(), engine(tmp_path / "c"))
    assert (status, result["verdict"]) == (0, "match") and {p["candidate"]["pass"] for p in result["pairs"]} == {2}


def test_passes_can_be_chosen(tmp_path):
    r, c = reference(tmp_path / "r"), engine(tmp_path / "c", spoil=1.5)
    status, result = diff(r, c, "--passes", "0:1")
    assert {p["candidate"]["pass"] for p in result["pairs"]} == {1} and first_name(result) is None
    status, result = diff(r, c, "--passes", "0:2")
    assert status == 1 and first_name(result) == "feat"


@pytest.mark.parametrize("list_, said", [("0:9", "found pass 9 of the candidate, which has 5: they are numbered from 0"), ("3:0", "found pass 3 of the reference, which has 1"),
                                         *[(wrong, f"found '{wrong}', expected REFERENCE:CANDIDATE") for wrong in ("", "0", "0:", ":0", "a:b", "0:1:2", "0:1,", "-1:0", "99999999999999999999:0")]])
def test_passes_that_are_none(tmp_path, list_, said):
    done = subprocess.run([LOCKSTEP, "diff", reference(tmp_path / "r"), engine(tmp_path / "c"), "--passes", list_], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2 and said in done.stderr


def test_ls_shows_the_passes_that_can_be_chosen(tmp_path):
    shown = subprocess.run([LOCKSTEP, "ls", engine(tmp_path / "c")], capture_output=True, text=True, timeout=60).stdout
    passes = shown.split("forward passes\n")[1].split("\n\n")[0].splitlines()
    assert [line.split(None, 1) for line in passes] == [["0", "1 token, positions 0 to 0, 3 operations"], ["1", "2 tokens, positions 0 to 1, 3 operations"], ["2", "no tokens, 1 operation"],
                                                       ["3", f"{ROWS} rows of embeddings, positions 2 to {1 + ROWS}, 2 operations"], ["4", f"1 token, positions {2 + ROWS} to {2 + ROWS}, 3 operations"]]
    assert "forward passes" not in subprocess.run([LOCKSTEP, "ls", reference(tmp_path / "r")], capture_output=True, text=True, timeout=60).stdout
