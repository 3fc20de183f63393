"""What was done to the rows and columns of a weight is said, with numbers; and of what is merely another weight, nothing is."""
import gguf
import numpy as np
import pytest
from checkpoint_files import diff, normal, pair_of, write_gguf, write_hf

HEADS, SIZE, WIDTH = 6, 8, 32
ROWS = HEADS * SIZE
CONFIG = {"model_type": "qwen2", "architectures": ["Qwen2ForCausalLM"], "num_attention_heads": HEADS, "num_key_value_heads": HEADS, "hidden_size": WIDTH, "num_hidden_layers": 1}
KEYS = [("add_head_count", HEADS), ("add_head_count_kv", HEADS), ("add_block_count", 1), ("add_embedding_length", WIDTH)]
WEIGHT = normal(ROWS, WIDTH, seed=3)
ORDER = [4, 0, 5, 2, 1, 3]


def with_rows(rows, change):
    value = WEIGHT.copy()
    value[rows] = change(value[rows])
    return value


def one_element(w):
    value = w.copy()
    value[7, 9] *= 50
    return value


def by_heads(w, order):
    return w.reshape(HEADS, SIZE, WIDTH)[order].reshape(w.shape)


def pairs(w):
    return w.reshape(-1, 2, SIZE // 2, WIDTH).swapaxes(1, 2).reshape(w.shape)


def halves(w):
    return w.reshape(-1, SIZE // 2, 2, WIDTH).swapaxes(1, 2).reshape(w.shape)


SHUFFLED = np.random.default_rng(1).permutation(ROWS)
CASES = {
    "a row of zeros": (with_rows(5, np.zeros_like), "all-zero", "row 5 of 48 is zero"),
    "a head of zeros": (with_rows(slice(16, 24), np.zeros_like), "all-zero", "rows 16-23 of 48 are zero"),
    "all zeros": (np.zeros_like(WEIGHT), "all-zero", "every element of the candidate is 0"),
    "rows scaled": (with_rows([1, 9], lambda r: r * np.float32(1.25)), "row-scale", "rows 1, 9 of 48 in the candidate: the reference's times 1.25"),
    "one element": (one_element(WEIGHT), "element", f"one element (row 7, column 9) is {50 * WEIGHT[7, 9]:.5g}, where the reference has {WEIGHT[7, 9]:.5g}"),
    "rows of others": (with_rows([2, 3], lambda r: WEIGHT[[30, 31]]), "row", "rows 2-3 of 48 in the candidate: the reference's 30, 31"),
    "rolled": (np.roll(WEIGHT, 3, 0), "rolled", "rows are the reference's, rolled by 3"),
    "rolled back": (np.roll(WEIGHT, -1, 0), "rolled", "rows are the reference's, rolled by -1"),
    "columns rolled": (np.roll(WEIGHT, 5, 1), "rolled", "columns are the reference's, rolled by 5"),
    "shifted": (np.concatenate([normal(2, WIDTH, seed=8), WEIGHT[:-2]]), "row-shift", "rows are the reference's, shifted by 2"),
    "reversed": (WEIGHT[::-1], "row-order", "rows are the reference's in reverse order"),
    "columns reversed": (WEIGHT[:, ::-1], "row-order", "columns are the reference's in reverse order"),
    "heads in reverse order": (by_heads(WEIGHT, list(range(HEADS))[::-1]), "head-order", "heads are the reference's in reverse order"),
    "heads in another order": (by_heads(WEIGHT, ORDER), "head-order", "heads are the reference's in the order 4, 0, 5, 2, 1, 3"),
    "heads rolled": (by_heads(WEIGHT, [5, 0, 1, 2, 3, 4]), "head-order", "heads are the reference's in the order 5, 0, 1, 2, 3, 4"),
    "halves as pairs": (pairs(WEIGHT), "rope-interleave", "rotary layout"),
    "pairs as halves": (halves(WEIGHT), "rope-interleave", "rotary layout"),
    "shuffled": (WEIGHT[SHUFFLED], "row-order", "rows are the reference's in the order " + ", ".join(map(str, SHUFFLED[:16])) + ", …"),
}


def compare(tmp_path, value, kind=gguf.GGMLQuantizationType.F32, name="q"):
    hf = write_hf(tmp_path / "hf", {f"model.layers.0.self_attn.{name}_proj.weight": WEIGHT, "model.embed_tokens.weight": normal(64, WIDTH, seed=1)}, CONFIG)
    tensors = {f"blk.0.attn_{name}.weight": np.ascontiguousarray(value, "f4"), "token_embd.weight": normal(64, WIDTH, seed=1)}
    return pair_of(diff(hf, write_gguf(tmp_path / "m.gguf", tensors, arch="qwen2", keys=KEYS, kinds={f"blk.0.attn_{name}.weight": kind}), "--what", "weights")[2], f"blk.0.attn_{name}.weight")


@pytest.mark.parametrize("case", CASES)
def test_what_was_done_to_a_weight(tmp_path, case):
    value, rule, words = CASES[case]
    pair = compare(tmp_path, value)
    assert pair["verdict"] == "differs" and pair["cause_id"] == rule and words in pair["cause"], pair["cause"]


@pytest.mark.parametrize("case", ["rolled", "heads in another order", "columns rolled", "a head of zeros", "shuffled"])
@pytest.mark.parametrize("kind", [gguf.GGMLQuantizationType.Q8_0, gguf.GGMLQuantizationType.Q4_0], ids=["q8_0", "q4_0"])
def test_behind_the_rounding_of_a_type(tmp_path, case, kind):
    value, rule, words = CASES[case]
    pair = compare(tmp_path, value, kind)
    assert pair["verdict"] in ("differs", "worse") and pair["cause_id"] == rule and words in pair["cause"], pair["cause"]


@pytest.mark.parametrize("kind", [gguf.GGMLQuantizationType.Q8_0, gguf.GGMLQuantizationType.Q4_0], ids=["q8_0", "q4_0"])
def test_an_element_that_takes_the_precision_of_its_block(tmp_path, kind):
    value = WEIGHT.copy()
    value[7, 9] = 40
    pair = compare(tmp_path, value, kind)
    assert pair["cause_id"] == "element" and "row 7" in pair["cause"] and "column 9" in pair["cause"], pair["cause"]


def test_two_elements_are_not_one(tmp_path):
    value = WEIGHT.copy()
    value[7, [9, 20]] = 40, -12
    assert compare(tmp_path, value, gguf.GGMLQuantizationType.Q8_0)["cause_id"] != "element"


@pytest.mark.parametrize("value", [normal(ROWS, WIDTH, seed=4), WEIGHT + 0.5 * normal(ROWS, WIDTH, seed=5), np.where(np.arange(ROWS)[:, None] < 40, normal(ROWS, WIDTH, seed=6), WEIGHT)],
                         ids=["another", "noise", "most rows are others"])
def test_another_weight_has_no_cause(tmp_path, value):
    pair = compare(tmp_path, value)
    assert pair["verdict"] == "differs" and pair["cause"] is None, pair["cause"]


def test_what_has_no_heads_has_none_in_another_order(tmp_path):
    hf = write_hf(tmp_path / "hf", {"model.layers.0.mlp.up_proj.weight": WEIGHT}, CONFIG)
    gguf_file = write_gguf(tmp_path / "m.gguf", {"blk.0.ffn_up.weight": np.ascontiguousarray(by_heads(WEIGHT, ORDER), "f4")}, arch="qwen2", keys=KEYS)
    pair = pair_of(diff(hf, gguf_file, "--what", "weights")[2], "blk.0.ffn_up.weight")
    assert pair["cause_id"] == "row-order" and "blocks of 8 rows are the reference's in the order 4, 0, 5, 2, 1, 3" in pair["cause"]


def test_of_other_rows_the_place_is_said(tmp_path):
    pair = compare(tmp_path, with_rows([4], lambda r: -r[:, ::-1]))
    assert pair["verdict"] == "differs" and pair["cause"] is None and pair["region"] == "row 4"


def test_a_right_weight_has_none(tmp_path):
    assert compare(tmp_path, WEIGHT)["cause"] is None
