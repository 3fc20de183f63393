"""Weights of two checkpoints: what is the same, under which name, and why not."""
import struct

import gguf
import numpy as np
import pytest
from ggml_types import TYPES, WITHOUT_DECODER, decode, quantize
from ggml_types import write as write_blocks
from checkpoint_files import diff, failing, findings, normal, pair_of, write_gguf, write_hf

LLAMA = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "num_attention_heads": 4, "num_key_value_heads": 2,
         "hidden_size": 64, "num_hidden_layers": 2}
HEADS, KV_HEADS, SIZE = 4, 2, 16


def permuted(weight, heads):
    """Rotary halves of each head, interleaved: llama.cpp's converter."""
    rows = weight.shape[0]
    return weight.reshape(heads, 2, rows // heads // 2, *weight.shape[1:]).swapaxes(1, 2).reshape(weight.shape)


def hf_weights():
    out = {"model.embed_tokens.weight": normal(48, 64, seed=1), "model.norm.weight": normal(64, seed=2), "lm_head.weight": normal(48, 64, seed=3)}
    for layer in range(2):
        at = f"model.layers.{layer}"
        shapes = {"input_layernorm": (64,), "post_attention_layernorm": (64,), "self_attn.q_proj": (64, 64), "self_attn.k_proj": (32, 64),
                  "self_attn.v_proj": (32, 64), "self_attn.o_proj": (64, 64), "mlp.gate_proj": (96, 64), "mlp.up_proj": (96, 64),
                  "mlp.down_proj": (64, 96)}
        out |= {f"{at}.{name}.weight": normal(*shape, seed=100 * layer + i + 10) for i, (name, shape) in enumerate(shapes.items())}
    return out


NAMES = {"input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k",
         "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
         "mlp.down_proj": "ffn_down"}


def gguf_weights(hf):
    out = {"token_embd.weight": hf["model.embed_tokens.weight"], "output_norm.weight": hf["model.norm.weight"], "output.weight": hf["lm_head.weight"]}
    for layer in range(2):
        for name, target in NAMES.items():
            value = hf[f"model.layers.{layer}.{name}.weight"]
            value = permuted(value, HEADS) if target == "attn_q" else permuted(value, KV_HEADS) if target == "attn_k" else value
            out[f"blk.{layer}.{target}.weight"] = np.ascontiguousarray(value)
    return out


KEYS = [("add_head_count", HEADS), ("add_head_count_kv", KV_HEADS), ("add_block_count", 2), ("add_embedding_length", 64)]


@pytest.fixture
def llama(tmp_path):
    """compare(change) writes the candidate after change(tensors) and compares."""
    hf = hf_weights()
    reference = write_hf(tmp_path / "hf", hf, LLAMA)

    def compare(change=lambda tensors: None, *options, kinds=None):
        tensors = gguf_weights(hf)
        change(tensors)
        return diff(reference, write_gguf(tmp_path / "model.gguf", tensors, keys=KEYS, kinds=kinds), *options)

    compare.reference = reference
    return compare


def test_a_conversion_is_identical(llama):
    status, text, report = llama()
    assert status == 0 and failing(report) == []
    assert {p["verdict"] for p in report["weights"]["pairs"]} == {"identical"} and report["weights"]["coverage"] == 1
    assert "21 of 21 candidate tensors paired (21 by preset llama)" in text


def test_the_other_way_round(llama, tmp_path):
    llama()
    status, _, report = diff(tmp_path / "model.gguf", llama.reference)
    assert status == 0 and {p["verdict"] for p in report["weights"]["pairs"]} == {"identical"}


def test_a_renamed_wrapper_is_the_same_model(tmp_path):
    hf = hf_weights()
    wrapped = {"language_model." + name: value for name, value in hf.items()}
    bare = {name.removeprefix("model."): value for name, value in hf.items() if name != "lm_head.weight"}
    candidate = write_gguf(tmp_path / "m.gguf", gguf_weights(hf), keys=KEYS)
    assert diff(write_hf(tmp_path / "a", wrapped, LLAMA), candidate)[0] == 0
    status, _, report = diff(write_hf(tmp_path / "b", bare, LLAMA), candidate)
    assert status == 1 and report["weights"]["candidate_only"] == ["output.weight"]


def test_a_permutation_that_was_not_done(llama):
    def change(tensors):
        tensors["blk.1.attn_k.weight"] = hf_weights()["model.layers.1.self_attn.k_proj.weight"]

    status, text, report = llama(change)
    assert status == 1 and len(failing(report)) == 1
    pair = pair_of(report, "blk.1.attn_k.weight")
    assert pair["verdict"] == "differs" and pair["residual_nmse"] == 0 and "rope-pairs" in pair["cause"] and "not made" in pair["cause"]


def test_a_permutation_with_the_wrong_heads(llama):
    def change(tensors):
        tensors["blk.1.attn_k.weight"] = permuted(hf_weights()["model.layers.1.self_attn.k_proj.weight"], HEADS)

    status, _, report = llama(change)
    assert status == 1 and pair_of(report, "blk.1.attn_k.weight")["verdict"] == "differs"


def test_a_swap_names_both(llama):
    def change(tensors):
        a, b = "blk.0.ffn_gate.weight", "blk.0.ffn_up.weight"
        tensors[a], tensors[b] = tensors[b], tensors[a]

    status, _, report = llama(change)
    assert status == 1
    assert pair_of(report, "blk.0.ffn_gate.weight")["cause"] == "it holds the reference's model.layers.0.mlp.up_proj.weight"
    assert pair_of(report, "blk.0.ffn_up.weight")["cause"] == "it holds the reference's model.layers.0.mlp.gate_proj.weight"


def test_a_transposed_matrix(llama):
    def change(tensors):
        tensors["blk.0.ffn_down.weight"] = np.ascontiguousarray(tensors["blk.0.ffn_down.weight"].T)

    status, _, report = llama(change)
    pair = pair_of(report, "blk.0.ffn_down.weight")
    assert status == 1 and pair["verdict"] == "shape" and pair["cause"] == "the candidate is transposed" and pair["residual_nmse"] == 0


def test_a_square_matrix_transposed(llama):
    def change(tensors):
        tensors["blk.0.attn_output.weight"] = np.ascontiguousarray(tensors["blk.0.attn_output.weight"].T)

    status, _, report = llama(change)
    assert status == 1 and "transposed" in pair_of(report, "blk.0.attn_output.weight")["cause"]


def test_a_factor(llama):
    def change(tensors):
        tensors["blk.0.attn_v.weight"] *= np.float32(45.25)

    status, _, report = llama(change)
    assert status == 1 and "times 45.25" in pair_of(report, "blk.0.attn_v.weight")["cause"]


def test_one_element(llama):
    def change(tensors):
        tensors["blk.1.attn_v.weight"][3, 5] += 0.5

    status, _, report = llama(change)
    pair = pair_of(report, "blk.1.attn_v.weight")
    assert status == 1 and len(failing(report)) == 1 and pair["cause"].startswith("one element (row 3, column 5) is ") and pair["metrics"]["max_abs_at"] == 3 * 64 + 5


def test_nan_fails(llama):
    def change(tensors):
        tensors["blk.1.attn_v.weight"][3, 5] = np.nan

    status, _, report = llama(change)
    assert status == 1 and findings(report, "nonfinite") == [
        "blk.1.attn_v.weight: NaN: 1, in the reference 0; infinite: 0, 0; in different places: 1, in row 3, column 5"]


def test_missing_and_extra(llama):
    def change(tensors):
        del tensors["blk.1.ffn_up.weight"]
        tensors["blk.1.extra.weight"] = normal(7, 5, seed=77)

    status, _, report = llama(change)
    assert status == 1
    assert findings(report, "missing") == ["only in the reference: model.layers.1.mlp.up_proj.weight [96, 64] F32"]
    assert findings(report, "extra") == ["only in the candidate: blk.1.extra.weight [7, 5] f32"]


def test_unknown_names_pair_by_content(llama):
    def change(tensors):
        for name in list(tensors):
            tensors["strange." + name.replace("blk", "b")] = tensors.pop(name)

    status, text, report = llama(change, "--preset", "none")
    # Q and K were permuted: their content is found, and the engine of this architecture needs them so
    assert status == 0 and report["weights"]["by"]["content"] == 21, text
    assert pair_of(report, "strange.b.0.attn_k.weight")["layout"].startswith("rope-pairs")


def test_tied_embeddings_stored_twice_are_a_remark(tmp_path):
    hf = hf_weights()
    hf["lm_head.weight"] = hf["model.embed_tokens.weight"]
    tensors = gguf_weights(hf)
    del tensors["output.weight"]
    status, _, report = diff(write_hf(tmp_path / "hf", hf, dict(LLAMA, tie_word_embeddings=True)), write_gguf(tmp_path / "m.gguf", tensors, keys=KEYS))
    assert status == 0
    assert findings(report, "remark") == [
        "only in the reference: lm_head.weight [48, 64], which has the same content as its model.embed_tokens.weight (tied)"]


def test_an_output_matrix_that_is_not_tied_is_missing(tmp_path):
    hf = hf_weights()
    tensors = gguf_weights(hf)
    del tensors["output.weight"]
    status, _, report = diff(write_hf(tmp_path / "hf", hf, dict(LLAMA, tie_word_embeddings=False)), write_gguf(tmp_path / "m.gguf", tensors, keys=KEYS))
    assert status == 1
    assert findings(report, "config") == ["tied embeddings: false in the reference (tie_word_embeddings), true in the candidate (not given: the default)"]
    assert findings(report, "missing") == ["only in the reference: lm_head.weight [48, 64] F32"]


def test_padding_rows(llama):
    def pad(value):
        return lambda tensors: tensors.update({"token_embd.weight": np.vstack([tensors["token_embd.weight"], np.full((8, 64), value, np.float32)])})

    status, _, report = llama(pad(0.0))
    assert pair_of(report, "token_embd.weight")["verdict"] == "identical"
    assert "token_embd.weight: 8 rows more than the reference has, all zero" in findings(report, "remark")
    status, _, report = llama(pad(0.1))
    assert status == 1 and "token_embd.weight: 8 rows more than the reference has, not zero: they were not compared" in findings(report, "shape")


def test_fused_and_split(tmp_path):
    hf = hf_weights()
    for layer in range(2):  # one side fused
        at = f"model.layers.{layer}.self_attn"
        hf[f"{at}.qkv_proj.weight"] = np.vstack([hf.pop(f"{at}.{x}_proj.weight") for x in "qkv"])
        at = f"model.layers.{layer}.mlp"
        hf[f"{at}.gate_up_proj.weight"] = np.vstack([hf.pop(f"{at}.{x}_proj.weight") for x in ("gate", "up")])
    tensors = gguf_weights(hf_weights())
    for layer in range(2):
        tensors[f"blk.{layer}.attn_q.weight"] = hf_weights()[f"model.layers.{layer}.self_attn.q_proj.weight"]
        tensors[f"blk.{layer}.attn_k.weight"] = hf_weights()[f"model.layers.{layer}.self_attn.k_proj.weight"]
    config = dict(LLAMA, architectures=["Qwen2ForCausalLM"], model_type="qwen2")
    a, b = write_hf(tmp_path / "hf", hf, config), write_gguf(tmp_path / "m.gguf", tensors, arch="qwen2", keys=KEYS)
    for reference, candidate in ((a, b), (b, a)):
        status, _, report = diff(reference, candidate)
        assert status == 0, failing(report)
        assert len(report["weights"]["pairs"]) == 21 and report["weights"]["coverage"] == 1
    assert [p["candidate"]["part"] for p in report["weights"]["pairs"] if "qkv" in p["candidate"]["name"]] == ["[0:64]", "[64:96]", "[96:128]"] * 2


def test_gemmas_norms_have_one_added(tmp_path):
    config = {"architectures": ["Gemma2ForCausalLM"], "model_type": "gemma2"}
    w = normal(64, seed=5)
    reference = write_hf(tmp_path / "hf", {"model.norm.weight": w}, config)
    assert diff(reference, write_gguf(tmp_path / "a.gguf", {"output_norm.weight": w + np.float32(1)}, arch="gemma2"))[0] == 0
    for value, cause in ((w, "the converter's change (plus-one) was not made"), (w + np.float32(2), "1 was added twice")):
        status, _, report = diff(reference, write_gguf(tmp_path / "b.gguf", {"output_norm.weight": value}, arch="gemma2"))
        assert status == 1 and pair_of(report, "output_norm.weight")["cause"] == cause


def test_conv1d_is_transposed(tmp_path):
    config = {"architectures": ["GPT2LMHeadModel"], "model_type": "gpt2"}
    hf = {"transformer.h.0.attn.c_attn.weight": normal(32, 96, seed=1), "transformer.h.0.attn.c_attn.bias": normal(96, seed=2)}
    fused = {"blk.0.attn_qkv.weight": hf["transformer.h.0.attn.c_attn.weight"].T.copy(), "blk.0.attn_qkv.bias": hf["transformer.h.0.attn.c_attn.bias"]}
    reference = write_hf(tmp_path / "hf", hf, config)
    assert diff(reference, write_gguf(tmp_path / "a.gguf", fused, arch="gpt2"))[0] == 0
    split = {f"blk.0.attn_{x}.{k}": np.split(fused[f"blk.0.attn_qkv.{k}"], 3)[i] for i, x in enumerate("qkv") for k in ("weight", "bias")}
    status, _, report = diff(reference, write_gguf(tmp_path / "b.gguf", split, arch="gpt2"))
    assert status == 0, failing(report)
    assert len(report["weights"]["pairs"]) == 6


@pytest.mark.parametrize("kind", ["F16", "BF16", "Q8_0", "Q4_0"])
def test_a_quantized_model_is_what_its_type_gives(llama, kind):
    kinds = {f"blk.{i}.{n}.weight": gguf.GGMLQuantizationType[kind] for i in range(2) for n in NAMES.values() if "norm" not in n}
    status, text, report = llama(kinds=kinds)
    assert status == 0, failing(report)
    pair = pair_of(report, "blk.0.ffn_up.weight")
    original = hf_weights()["model.layers.0.mlp.up_proj.weight"]
    back = gguf.quants.dequantize(gguf.quants.quantize(original, gguf.GGMLQuantizationType[kind]), gguf.GGMLQuantizationType[kind]).reshape(original.shape)
    wide, d = original.astype(np.float64), back.astype(np.float64) - original
    rows = (d**2).sum(1) / (wide**2).sum(1)
    assert pair["metrics"]["nmse"] == pytest.approx((d**2).sum() / (wide**2).sum(), rel=1e-9)
    assert pair["metrics"]["sqnr_db"] == pytest.approx(10 * np.log10((wide**2).sum() / (d**2).sum()), rel=1e-9)
    assert pair["rows"]["worst_nmse"] == pytest.approx(rows.max(), rel=1e-9) and pair["rows"]["worst_row"] == rows.argmax()


def test_a_quantization_worse_than_its_type(llama):
    def change(tensors):  # of a quantizer that clips a tenth of the range
        w = tensors["blk.0.ffn_up.weight"]
        tensors["blk.0.ffn_up.weight"] = np.clip(w, -0.6 * abs(w).max(), 0.6 * abs(w).max()) * np.float32(0.8)

    status, text, report = llama(change, kinds={"blk.0.ffn_up.weight": gguf.GGMLQuantizationType.Q8_0})
    assert status == 1 and pair_of(report, "blk.0.ffn_up.weight")["verdict"] == "worse"
    assert "times the limit for q8_0" in findings(report, "worse")[0]


def test_a_row_quantized_to_nothing_is_named(llama):
    def change(tensors):
        tensors["blk.0.ffn_up.weight"][17] = 0

    status, _, report = llama(change, kinds={"blk.0.ffn_up.weight": gguf.GGMLQuantizationType.Q4_0})
    pair = pair_of(report, "blk.0.ffn_up.weight")
    assert status == 1 and pair["rows"]["lost"] == 1 and pair["rows"]["first_lost"] == 17
    assert "1 of 96 rows are all zero, but not in the reference, first [17, :]" in findings(report, "lost-rows")[0]


def test_only_what_is_asked_for(llama):
    def change(tensors):
        tensors["blk.0.attn_v.weight"] *= 2

    assert llama(change, "--what", "config,vocab")[0] == 0
    status, text, report = llama(change, "--what", "weights", "--tensors", "ffn")
    assert status == 0 and "config" not in report and len(report["weights"]["pairs"]) == 8
    assert llama(change, "--what", "weights", "--tensors", "attn_v")[0] == 1
    assert "expected a list of config, vocab, weights" in llama(change, "--what", "heights")[1]
    assert "apply only to traces" in llama(change, "--layers", "1")[1]


def test_nothing_in_common(tmp_path):
    a = write_gguf(tmp_path / "a.gguf", {"x.weight": normal(3, 4)}, arch="one")
    b = write_gguf(tmp_path / "b.gguf", {"y.weight": normal(5, 6)}, arch="two")
    status, text, report = diff(a, b)
    assert status == 2 and report["verdict"] == "incomparable" and "nothing could be compared" in text


def test_nvfp4_has_its_scale_in_another_tensor(tmp_path):
    """The blocks hold the weights divided by it: only the product is the original."""
    scale = 0.0123
    w = normal(32, 128, seed=9)
    blocks = quantize("nvfp4", w / np.float32(scale))
    path = tmp_path / "m.gguf"

    def write(with_scale):
        head = struct.pack("<4sIQQ", b"GGUF", 3, 1 + with_scale, 0)
        data = blocks.tobytes() + b"\0" * (-blocks.nbytes % 32)
        head += struct.pack("<Q", 18) + b"blk.0.ffn_u.weight" + struct.pack("<IQQIQ", 2, 128, 32, 40, 0)
        if with_scale:
            head += struct.pack("<Q", 17) + b"blk.0.ffn_u.scale" + struct.pack("<IQIQ", 1, 1, 0, len(data))
            data += struct.pack("<f", scale)
        path.write_bytes(head + b"\0" * (-len(head) % 32) + data + b"\0" * (-len(data) % 32))

    reference = write_hf(tmp_path / "hf", {"blk.0.ffn_u.weight": w})
    write(True)
    status, _, report = diff(reference, path)
    expected = decode("nvfp4", blocks).reshape(w.shape).astype(np.float64) * scale
    assert status == 0, failing(report)
    assert pair_of(report, "blk.0.ffn_u.weight")["metrics"]["nmse"] == pytest.approx(((expected - w) ** 2).sum() / (w.astype(np.float64) ** 2).sum(), rel=1e-4)
    write(False)
    status, _, report = diff(reference, path)
    assert status == 1


def test_a_wrong_row_is_not_lost_in_the_noise_of_a_large_tensor(tmp_path):
    """One row of 4096 hardly moves the tensor's NMSE, which Q4_0 exceeds a hundredfold."""
    w = normal(4096, 64, seed=3)
    broken = w.copy()
    broken[1234] = w[1235]
    reference = write_hf(tmp_path / "hf", {"token_embd.weight": w})
    kinds = {"token_embd.weight": gguf.GGMLQuantizationType.Q4_0}
    assert diff(reference, write_gguf(tmp_path / "a.gguf", {"token_embd.weight": w}, kinds=kinds))[0] == 0
    status, _, report = diff(reference, write_gguf(tmp_path / "b.gguf", {"token_embd.weight": broken}, kinds=kinds))
    assert status == 1 and "row [1234, :] is not the reference's" in findings(report, "differs")[0]
    assert pair_of(report, "token_embd.weight")["metrics"]["nmse"] < 2 * 8e-3


@pytest.mark.parametrize("kind", [np.float32, np.float16])
def test_one_element_of_a_million(tmp_path, kind):
    """A hundredth of an element's size, in a tensor whose NMSE it doesn't move."""
    w = normal(1024, 1024, seed=3)
    reference = write_hf(tmp_path / "hf", {"w.weight": w})
    other = w.astype(kind)
    assert diff(reference, write_gguf(tmp_path / "a.gguf", {"w.weight": other}))[0] == 0
    other[500, 7] = kind(float(w[500, 7]) * 1.01)
    status, _, report = diff(reference, write_gguf(tmp_path / "b.gguf", {"w.weight": other}))
    assert status == 1 and "1 of 1048576 elements beyond rounding" in findings(report, "differs")[0]


@pytest.mark.parametrize("kind", ["q4_0", "q4_1", "q5_0", "q5_1", "q8_0", "q2_K", "q3_K", "q4_K", "q5_K", "q6_K", "iq4_nl", "iq4_xs"])
def test_a_factor_that_a_types_rounding_hides(tmp_path, kind):
    """A product computed with it differs by less than the type's rounding."""
    rng = np.random.default_rng(4)
    for draw in (rng.standard_normal, rng.laplace, lambda size: rng.standard_t(6, size)):
        w = (0.02 * draw(size=(256, 1024))).astype("f4")
        reference = write_hf(tmp_path / "hf", {"x": w})
        status, _, report = diff(reference, write_blocks(tmp_path / "m.gguf", kind, quantize(kind, w), w.shape), "--what", "weights")
        assert status == 0, failing(report)
        factor = np.float32(1.1 if kind in ("q2_K", "q3_K") else 1.02)  # these shrink by a few percent themselves
        status, _, report = diff(reference, write_blocks(tmp_path / "m.gguf", kind, quantize(kind, w * factor), w.shape), "--what", "weights")
        pair = pair_of(report, "x")
        assert status == 1 and (pair["verdict"] == "worse" or "the candidate is the reference times 1.0" in pair["cause"])


def test_every_float_rounded(tmp_path):
    """Subnormal halves, ties and carries are rounding and nothing else."""
    w = (normal(4096) * 10.0 ** np.random.default_rng(0).integers(-9, 4, 4096)).astype(np.float32)
    reference = write_hf(tmp_path / "hf", {"w.weight": w})
    status, _, report = diff(reference, write_gguf(tmp_path / "a.gguf", {"w.weight": w.astype(np.float16)}))
    assert status == 0, failing(report)
    assert diff(write_gguf(tmp_path / "b.gguf", {"w.weight": gguf.quants.quantize(w.reshape(64, 64), gguf.GGMLQuantizationType.BF16)},
                           kinds={"w.weight": (gguf.GGMLQuantizationType.BF16,)}), write_hf(tmp_path / "x", {"w.weight": w.reshape(64, 64)}))[0] == 0


@pytest.mark.parametrize("kind", [n for n in TYPES if n not in WITHOUT_DECODER])
def test_every_type_of_ggmls_quantizers_is_what_it_gives(tmp_path, kind):
    w = normal(64, 1024, scale=0.02)
    blocks = quantize(kind, w)
    path = write_blocks(tmp_path / "m.gguf", kind, blocks, w.shape)
    status, _, report = diff(write_hf(tmp_path / "hf", {"x": w}), path, "--what", "weights")
    assert status == 0, failing(report)
    d = decode(kind, blocks).reshape(w.shape).astype(np.float64) - w
    assert pair_of(report, "x")["metrics"]["nmse"] == pytest.approx((d**2).sum() / (w.astype(np.float64) ** 2).sum(), rel=1e-9)
    # nothing at all, and another tensor, are what no type gives
    for other in (np.zeros_like(w), normal(64, 1024, seed=9, scale=0.02)):
        write_blocks(tmp_path / "m.gguf", kind, quantize(kind, other), w.shape)
        status, _, report = diff(tmp_path / "hf", path, "--what", "weights")
        assert status == 1 and pair_of(report, "x")["verdict"] in ("worse", "differs", "nonfinite")


# --- where, and why not

def two(tmp_path, x, y, name="model.layers.0.mlp.up_proj.weight"):
    status, _, report = diff(write_hf(tmp_path / "a", {name: x}, LLAMA), write_hf(tmp_path / "b", {name: y}, LLAMA), "--what", "weights")
    return status, pair_of(report, name), findings(report)


@pytest.mark.parametrize(("place", "text", "rule"), [
    (np.s_[123], "row 123", "all-zero"), (np.s_[17:32], "rows 17 to 31", "all-zero"), (np.s_[:, 5], "column 5", "all-zero"), (np.s_[:, 3:8], "columns 3 to 7", "all-zero"),
    (np.s_[3, 5], "row 3, column 5", "element"), (np.s_[[4, 90]], "rows 4 and 90", "all-zero"), (np.s_[[4, 9, 90]], "rows 4, 9 and 90", "all-zero"), (np.s_[0], "row 0", "all-zero"),
    (np.s_[319], "row 319", "all-zero"), (np.s_[10:20, 6:9], "rows 10 to 19, columns 6 to 8", None), (np.s_[::64], "5 of 320 rows, the first 0", "all-zero"),
])
def test_the_place_is_named(tmp_path, place, text, rule):
    x = normal(320, 256)
    y = x.copy()
    y[place] = 0
    status, pair, lines = two(tmp_path, x, y)
    assert status == 1 and pair["region"] == text and pair["cause_id"] == rule and f", in {text}" in lines[0]
    y[place] = np.nan
    assert two(tmp_path, x, y)[1]["region"] == text


def test_a_vector_has_elements_and_a_tensor_that_differs_everywhere_has_no_place(tmp_path):
    x = normal(64)
    y = x.copy()
    y[9:12] += 1
    assert two(tmp_path, x, y)[1]["region"] == "elements 9 to 11"
    assert two(tmp_path, normal(320, 256), normal(320, 256, seed=1))[1]["region"] is None


def test_a_row_of_a_quantized_tensor(tmp_path):
    x = normal(320, 256)
    y = x.copy()
    y[40:43] *= -3
    reference = write_hf(tmp_path / "a", {"model.layers.0.mlp.up_proj.weight": x}, LLAMA)
    candidate = write_gguf(tmp_path / "m.gguf", {"blk.0.ffn_up.weight": y}, kinds={"blk.0.ffn_up.weight": gguf.GGMLQuantizationType.Q8_0})
    _, _, report = diff(reference, candidate, "--what", "weights")
    assert report["weights"]["pairs"][0]["region"] == "rows 40 to 42"


@pytest.mark.parametrize(("change", "rule"), [
    (lambda y: y.__setitem__((3, 5), y[3, 5] + 0.01), "element"), (lambda y: y.__setitem__(slice(100, 103), 0), "all-zero"), (lambda y: y.__setitem__((0, 0), y[0, 0] * 2), "element"),
    (lambda y: y.__setitem__(slice(100, 103), y[100:103] + normal(3, 256, seed=4)), None), (lambda y: np.multiply(y, 1 + 1e-3 * normal(*y.shape, seed=3), out=y), None),
])
def test_a_cause_that_leaves_the_error_is_none(tmp_path, change, rule):
    x = normal(512, 256, scale=0.05)
    y = x.copy()
    change(y)
    status, pair, _ = two(tmp_path, x, y)
    assert status == 1 and pair["cause_id"] == rule


def test_one_value_is_no_factor(tmp_path):
    x, y = np.zeros((16, 16), np.float32), np.zeros((16, 16), np.float32)
    x[3, 3], y[3, 3] = 1.5, 4.5
    status, pair, _ = two(tmp_path, x, y)
    assert status == 1 and pair["cause_id"] == "element"
    x[5, 5], y[5, 5] = 2, 6
    assert two(tmp_path, x, y)[1]["cause"] == "the candidate is the reference times 3"
