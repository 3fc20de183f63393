"""Quantized checkpoints of Hugging Face and MLX are compared as the weights that they stand for."""
import json
import pathlib
import re
import subprocess

import numpy as np
import pytest
import torch
from quantizers import SCHEMES, stream
from safetensors.torch import save_file

from checkpoint_files import LOCKSTEP, diff, failing, findings, normal, pair_of

N = "model.layers.0.mlp.up_proj"
CONFIG = {"architectures": ["LlamaForCausalLM"], "model_type": "llama"}
NORM = torch.from_numpy(normal(16))


def write(folder, tensors, config=None):
    folder.mkdir(parents=True, exist_ok=True)
    save_file({k: v.contiguous() for k, v in tensors.items()}, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(CONFIG | (config or {})))
    return folder


def configured(config):
    return {"quantization": config["mlx"], "quantization_config": config["mlx"]} if "mlx" in config else {"quantization_config": config}


def write_module(folder, parts, config, name=N, **more):
    return write(folder, {"model.norm.weight": NORM, **{name + k: v.clone() for k, v in parts.items()}, **{k: v.clone() for k, v in more.items()}}, configured(config))


def write_plain(folder, values, name=N + ".weight"):
    return write(folder, {"model.norm.weight": NORM, name: values if isinstance(values, torch.Tensor) else torch.from_numpy(values)})


def show(folder, what):
    done = subprocess.run([LOCKSTEP, "show", str(folder), what, "--json"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def matrix(*shape, seed=0):
    """Weights whose rows differ in size, as those of models do."""
    return (normal(*shape, seed=seed) * np.exp2(normal(shape[0], 1, seed=7)) * 0.02).astype(np.float32)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_weights_are_decoded_as_by_the_schemes_own_library(tmp_path, scheme):
    w = matrix(96, 256)
    parts, config, big = SCHEMES[scheme](w)
    made = write_module(tmp_path / "q", parts, config)
    found = show(made, N + ".weight")
    assert found["tensor_shape"] == [96, 256] and found["type"].startswith("scaled_")
    found_as = np.array(found["values"])
    if "nvfp4" in scheme or "bfloat16" in scheme:  # the library subtracts, divides and multiplies in bfloat16
        np.testing.assert_allclose(found_as, big.numpy(), rtol=2**-7, atol=2**-7 * np.abs(big.numpy()).max())
        assert np.linalg.norm(found_as - big.numpy()) < 2**-7 * np.linalg.norm(big.numpy())
    else:
        np.testing.assert_allclose(found_as, big.numpy(), rtol=2**-10 if "float16" in scheme else 2e-7, atol=2**-11 * np.abs(big.numpy()).max() if "float16" in scheme else 1e-12)


@pytest.mark.parametrize("scheme, shape", [("fp8 blocks", (3, 64, 160)), ("fp8 rows", (3, 64, 160)), ("mlx 4 bits", (3, 64, 192)), ("fp8 blocks", (130, 200)),
                                           ("nf4", (7, 9)), ("ct int4 rows", (96, 100))])
def test_stacked_matrices_and_sizes_that_are_no_multiples(tmp_path, scheme, shape):
    w = matrix(int(np.prod(shape[:-1])), shape[-1]).reshape(shape)
    if len(shape) == 3:
        each = [SCHEMES[scheme](x) for x in w]
        parts, config, big = {k: torch.stack([e[0][k] for e in each]) for k in each[0][0]}, each[0][1], torch.stack([e[2] for e in each])
    else:
        parts, config, big = SCHEMES[scheme](w)
    made = write_module(tmp_path / "q", parts, config)
    np.testing.assert_allclose(np.array(show(made, N + ".weight")["values"]), big.numpy(), rtol=2e-7)
    status, text, report = diff(write_plain(tmp_path / "plain", w), made)
    assert status == 0 and pair_of(report, N + ".weight")["verdict"] == "match", text


@pytest.mark.parametrize("where", ["5", "-1, 250:", "3:90:7, ::-3", "::-1, 31", "17:19, 63:65", "..., 255"])
@pytest.mark.parametrize("scheme", ["fp8 blocks", "ct int3 groups", "gptq desc_act", "awq", "nf4", "mlx 6 bits"])
def test_slices_of_codes(tmp_path, scheme, where):
    parts, config, big = SCHEMES[scheme](matrix(96, 256))
    found = show(write_module(tmp_path / "q", parts, config), f"{N}.weight[{where}]")
    np.testing.assert_allclose(np.array(found["values"]), eval(f"big[{where}]", {"big": big.numpy()}), rtol=2e-7)


def test_codes_and_scales_can_be_shown_themselves(tmp_path):
    parts, config, _ = SCHEMES["fp8 rows"](matrix(96, 256))
    made = write_module(tmp_path / "q", parts, config)
    assert show(made, N + ".weight_scale")["tensor_shape"] == [96, 1]
    listed = json.loads(subprocess.run([LOCKSTEP, "ls", "--json", "--stats", str(made)], capture_output=True, text=True).stdout)["archives"][0]["tensors"]
    weight = next(t for t in listed if t["name"] == N + ".weight")
    assert len(listed) == 2 and (weight["dtype"], weight["type"], weight["shape"], weight["bytes"]) == ("fp8", "scaled_e4m3", [96, 256], 96 * 256 + 96 * 4)
    assert weight["stats"]["nan"] == 0 and weight["stats"]["l2"] > 0


# --- against the original


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_quantized_weight_matches_its_original(tmp_path, scheme):
    w = matrix(96, 256)
    parts, config, _ = SCHEMES[scheme](w)
    made, plain = write_module(tmp_path / "q", parts, config), write_plain(tmp_path / "plain", w)
    for a, b in ((plain, made), (made, plain)):
        status, text, report = diff(a, b)
        assert status == 0 and findings(report) == [], text
        pair = pair_of(report, N + ".weight")
        assert pair["verdict"] == "match" and pair["metrics"]["nmse"] <= pair["allowed_nmse"]


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_quantized_weight_matches_what_its_library_decodes(tmp_path, scheme):
    parts, config, big = SCHEMES[scheme](matrix(96, 256))
    for dtype in (torch.float32, torch.bfloat16):
        plain = write_plain(tmp_path / str(dtype), big.to(dtype))
        status, text, report = diff(plain, write_module(tmp_path / "q", parts, config))
        assert status == 0 and findings(report) == [], text


@pytest.mark.parametrize("scheme", SCHEMES)
def test_another_weight_is_not_taken_for_its_original(tmp_path, scheme):
    parts, config, _ = SCHEMES[scheme](matrix(96, 256))
    for other in (matrix(96, 256, seed=9), 1.5 * matrix(96, 256), matrix(96, 256)[::-1].copy()):
        status, text, report = diff(write_plain(tmp_path / "plain", other), write_module(tmp_path / "q", parts, config), "--what", "weights")
        assert status == 1 and len(failing(report)) == 1 and N + ".weight" in failing(report)[0], text


# --- faults


def fault(tmp_path, w, parts, config, **more):
    """The one finding against the original."""
    status, text, report = diff(write_plain(tmp_path / "plain", w), write_module(tmp_path / "q", parts, config, **more), "--what", "weights")
    assert status == 1 and len(failing(report)) == 1 and N + ".weight" in failing(report)[0], text
    return failing(report)[0], pair_of(report, N + ".weight")


SCALES = (".weight_scale", ".weight_scale_inv", ".scales", ".SCB", ".weight.absmax")


def scale_of(parts):
    return next(k for k in SCALES if k in parts)


def of_a_single(scale, factor):
    """One scale of many is wrong."""
    flat = scale.reshape(-1).float().clone()
    flat[flat.numel() // 3] *= factor
    return flat.reshape(scale.shape).to(scale.dtype)


@pytest.mark.parametrize("scheme", [s for s in SCHEMES if s not in ("fp8 tensor", "nf4 nested")])
def test_a_wrong_scale_of_one_group_is_found(tmp_path, scheme):
    w = matrix(96, 256)
    parts, config, _ = SCHEMES[scheme](w)
    scale = scale_of(parts)
    text, pair = fault(tmp_path, w, parts | {scale: of_a_single(parts[scale], 1.5)}, config)
    assert pair["verdict"] == "differs"
    if "fp8 blocks" not in scheme:
        assert "row " in text or "group" in text, text


@pytest.mark.parametrize("scheme", [s for s in SCHEMES if "int4" in s or "4 bits" in s or s in ("mlx 8 bits", "ct int8 groups")])
def test_the_factor_of_a_wrong_scale_is_named(tmp_path, scheme):
    w = matrix(96, 256)
    parts, config, _ = SCHEMES[scheme](w)
    scale = scale_of(parts)
    text, pair = fault(tmp_path, w, parts | {scale: of_a_single(parts[scale], 1.5)}, config)
    if "mlx" not in scheme and "rows" not in scheme:  # with a bias, another scale is no factor
        assert 1.4 < float(re.match(r"in that group, the scale is (\S+) times what it should be", pair["cause"])[1]) < 1.6, text


def shifted_zeros(name, parts, by):
    """Stored zero points as words of 4-bit codes, each with `by` more."""
    words = parts[name].numpy().view(np.uint32)
    nibbles = ((words[..., None] >> (4 * np.arange(8, dtype=np.uint32))) & 15).astype(np.int64)
    assert (nibbles + by >= 0).all() and (nibbles + by <= 15).all()
    moved = ((nibbles + by).astype(np.uint32) << (4 * np.arange(8, dtype=np.uint32))).sum(-1, dtype=np.uint32)
    return parts | {name: torch.from_numpy(moved.view(np.int32).copy())}


@pytest.mark.parametrize("by", (-1, 1))
@pytest.mark.parametrize("scheme", ("gptq 4 bits", "awq", "gptq 4 bits zero"))
def test_zero_points_off_by_one(tmp_path, scheme, by):
    w = np.clip(matrix(96, 256), -0.04, 0.04)  # so that no zero point is near the end of its range
    parts, config, _ = SCHEMES[scheme](w)
    text, pair = fault(tmp_path, w, shifted_zeros(".qzeros", parts, by), config)
    assert ("subtracted from" if by > 0 else "added to") + " the candidate's zero points" in text, text


def test_zero_points_stored_as_in_the_other_version_of_gptq(tmp_path):
    w = matrix(96, 256)
    parts, config, _ = SCHEMES["gptq_v2"](w)
    text, pair = fault(tmp_path, w, parts, config | {"checkpoint_format": "gptq"})
    assert "1 is subtracted from the candidate's zero points" in pair["cause"], text


def swapped(codes):
    flat = codes.contiguous().view(torch.uint8)
    return ((flat << 4) | (flat >> 4)).view(codes.dtype).reshape(codes.shape)


@pytest.mark.parametrize("scheme,codes", [("ct int4 groups", ".weight_packed"), ("nvfp4", ".weight_packed"), ("nf4", ".weight"), ("mlx 4 bits", ".weight"), ("gptq 4 bits", ".qweight")])
def test_swapped_nibbles(tmp_path, scheme, codes):
    w = matrix(96, 256)
    parts, config, _ = SCHEMES[scheme](w)
    text, pair = fault(tmp_path, w, parts | {codes: swapped(parts[codes])}, config)
    assert "the two codes in each byte of the candidate change places" in pair["cause"], text


def test_words_of_awq_in_order(tmp_path):
    w = matrix(96, 256)
    parts, config, _ = SCHEMES["awq"](w)
    order = np.argsort([0, 2, 4, 6, 1, 3, 5, 7])

    def straight(t):
        words = t.numpy().view(np.uint32)
        nibbles = ((words[..., None] >> (4 * np.arange(8, dtype=np.uint32))) & 15)[..., order]
        return torch.from_numpy((nibbles.astype(np.uint32) << (4 * np.arange(8, dtype=np.uint32))).sum(-1, dtype=np.uint32).view(np.int32).copy())

    text, pair = fault(tmp_path, w, parts | {k: straight(parts[k]) for k in (".qweight", ".qzeros")}, config)
    assert pair["verdict"] == "differs"


def test_g_idx_that_is_not_heeded(tmp_path):
    """The other side was decoded as if the groups were in order."""
    w = matrix(96, 256)
    parts, config, big = SCHEMES["gptq desc_act"](w)
    scale, group = parts[".scales"].float().numpy(), parts[".g_idx"].numpy()
    wrong = big.numpy() / scale[group].T * scale[np.arange(256) // 32].T
    status, text, report = diff(write_module(tmp_path / "q", parts, config), write_plain(tmp_path / "plain", wrong.astype(np.float32)), "--what", "weights")
    assert status == 1 and "once the reference's g_idx is ignored" in pair_of(report, N + ".weight")["cause"], text
    other = np.random.default_rng(3).permutation(group).astype(np.int32)
    text, pair = fault(tmp_path, w, parts | {".g_idx": torch.from_numpy(other)}, config)
    assert pair["verdict"] == "differs"


@pytest.mark.parametrize("scheme", ("ct int4 groups", "fp8 rows", "mlx 8 bits", "gptq 8 bits", "nf4"))
def test_scales_of_another_layer(tmp_path, scheme):
    w, other = matrix(96, 256), matrix(96, 256, seed=5)
    parts, config, _ = SCHEMES[scheme](w)
    others, _, _ = SCHEMES[scheme](other * np.exp2(normal(96, 1, seed=8)).astype(np.float32))
    scale, twin = scale_of(parts), N.replace(".0.", ".1.")
    more = {twin + k: v for k, v in others.items()} | {twin + scale: parts[scale]}
    made = write_module(tmp_path / "q", parts | {scale: others[scale]}, config, **more)
    plain = write(tmp_path / "plain", {"model.norm.weight": NORM, N + ".weight": torch.from_numpy(w), twin + ".weight": torch.from_numpy((other * np.exp2(normal(96, 1, seed=8))).astype(np.float32))})
    status, text, report = diff(plain, made, "--what", "weights")
    assert status == 1
    pair = pair_of(report, N + ".weight")
    assert pair["verdict"] == "differs", text
    assert "mlx" in scheme or f"with the scales of {twin}.weight" in pair["cause"], text


def test_nvfp4_multiplied_by_its_global_scale(tmp_path):
    w = matrix(96, 256)
    parts, config, _ = SCHEMES["nvfp4"](w)
    text, pair = fault(tmp_path, w, parts | {".weight_global_scale": 1 / parts[".weight_global_scale"]}, config)
    assert "divided by its scale of the whole tensor" in pair["cause"], text


# --- what contradicts itself is never compared


def refused(tmp_path, parts, config, named):
    """Neither passed nor called different: named as what can't be read."""
    plain, made = write_plain(tmp_path / "plain", matrix(96, 256)), write_module(tmp_path / "q", parts, config)
    for a, b in ((plain, made), (made, plain)):
        status, text, report = diff(a, b, "--what", "weights")
        assert status == 2 and failing(report) == [] and report["verdict"] == "incomplete", text
        assert named in text and [p["verdict"] for p in report["weights"]["pairs"] if "norm" not in p["candidate"]["name"]] == ["unsupported"], text
    done = subprocess.run([LOCKSTEP, "ls", "--stats", str(made)], capture_output=True, text=True)
    assert named in done.stderr, done.stderr
    return text


# parts that a module can do without: what isn't stored has a default, or isn't used for weights
OPTIONAL = {".input_scale", ".weight_zero_point", ".g_idx", ".weight_format"}


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_missing_part(tmp_path, scheme):
    parts, config, _ = SCHEMES[scheme](matrix(96, 256))
    codes = next(k for k in (".weight_packed", ".qweight", ".weight") if k in parts)
    for gone in set(parts) - OPTIONAL - {codes}:
        if scheme == "nvfp4" and gone == ".weight_global_scale":
            continue
        refused(tmp_path / gone[1:], {k: v for k, v in parts.items() if k != gone}, config, N + gone.replace("fp4", "nf4") if "quant_state" in gone else N + gone)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_part_of_another_shape(tmp_path, scheme):
    parts, config, _ = SCHEMES[scheme](matrix(96, 256))
    for cut, part in parts.items():
        fewer_rows = scheme in ("fp8 blocks", "fp8 tensor") and cut == ".weight"  # these scales fit a matrix of 95 rows, too
        if part.ndim == 0 or cut == ".input_scale" or fewer_rows:
            continue
        shorter = {k: v[:-1].clone() if k == cut else v for k, v in parts.items()}
        refused(tmp_path / cut[1:], shorter, config, N)


def test_groups_that_do_not_divide_a_row(tmp_path):
    for scheme, scale in (("ct int4 groups", ".weight_scale"), ("nvfp4", ".weight_scale"), ("mlx 4 bits", ".scales")):
        parts, config, _ = SCHEMES[scheme](matrix(96, 256))
        refused(tmp_path / scheme, parts | {scale: torch.ones(96, 7, dtype=parts[scale].dtype)}, config, N + scale)


@pytest.mark.parametrize("group", (-1, 8, 2**31 - 1))
def test_groups_that_do_not_exist(tmp_path, group):
    parts, config, _ = SCHEMES["gptq desc_act"](matrix(96, 256))
    index = parts[".g_idx"].clone()
    index[200] = group
    text = refused(tmp_path, parts | {".g_idx": index}, config, N + ".g_idx")
    assert f"found group {group} for column 200" in text


@pytest.mark.parametrize("state", ["", "{", "[]", "null", '"shape"', "{}", '{"shape": [96, 256]}', '{"shape": [96, 256], "blocksize": 0}', '{"shape": [96, 256], "blocksize": -64}',
                                   '{"shape": [96, 255], "blocksize": 64}', '{"shape": [96.5, 256], "blocksize": 64}', '{"shape": [4294967296, 4294967296], "blocksize": 64}',
                                   '{"shape": [9223372036854775807, 3], "blocksize": 64}', '{"shape": [1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 24576], "blocksize": 64}',
                                   '{"shape": [], "blocksize": 64}', '{"shape": [0, 5], "blocksize": 64}', '{"shape": [96, 256], "blocksize": 1e400}', '{"shape": {"a": 1}, "blocksize": 64}',
                                   "[" * 5000, '{"shape": [96, 256], "blocksize": 64'])
def test_absurd_states(tmp_path, state):
    parts, config, _ = SCHEMES["nf4"](matrix(96, 256))
    key = ".weight.quant_state.bitsandbytes__nf4"
    refused(tmp_path, parts | {key: torch.from_numpy(np.frombuffer(state.encode(), np.uint8).copy())}, config, N)


def test_scales_that_are_not_numbers(tmp_path):
    for scheme in ("fp8 rows", "ct int4 groups", "gptq 4 bits", "nf4", "mlx 4 bits", "LLM.int8"):
        w = matrix(96, 256)
        parts, config, _ = SCHEMES[scheme](w)
        scale = scale_of(parts)
        status, text, report = diff(write_plain(tmp_path / "plain", w), write_module(tmp_path / scheme, parts | {scale: of_a_single(parts[scale], float("nan"))}, config), "--what", "weights")
        assert status == 1 and pair_of(report, N + ".weight")["verdict"] == "nonfinite", text


def test_the_configuration_and_the_tensors_say_different_things(tmp_path):
    parts, config, _ = SCHEMES["gptq 4 bits"](matrix(96, 256))
    for other in (config | {"bits": 8}, config | {"quant_method": "awq"}, config | {"group_size": 7}):
        plain, made = write_plain(tmp_path / "plain", matrix(96, 256)), write_module(tmp_path / "q", parts, other)
        status, text, report = diff(plain, made, "--what", "weights")
        assert status == 2 and N in text and failing(report) == [], text


def test_a_weight_that_is_there_twice(tmp_path):
    parts, config, big = SCHEMES["gptq 4 bits"](matrix(96, 256))
    made = write_module(tmp_path / "q", parts, config, **{N + ".weight": big})
    for other in (write_plain(tmp_path / "plain", matrix(96, 256)), made):
        status, text, report = diff(other, made, "--what", "weights")
        assert status != 0 and f"found '{N}.weight' beside it" in text, text
    both = write_module(tmp_path / "both", parts, config, **{N + k: v for k, v in SCHEMES["ct int4 groups"](matrix(96, 256))[0].items()})
    (both / "config.json").write_text(json.dumps(CONFIG))
    done = subprocess.run([LOCKSTEP, "diff", str(made), str(both)], capture_output=True, text=True)
    assert done.returncode == 2 and f"a second tensor named '{N}.weight'" in done.stderr, done.stderr


def test_a_scheme_that_is_not_known(tmp_path):
    """Whatever its tensors look like."""
    parts, config, _ = SCHEMES["fp8 rows"](matrix(96, 256))
    plain, made = write_plain(tmp_path / "plain", matrix(96, 256)), write_module(tmp_path / "q", parts, {"quant_method": "brandnew"})
    status, text, report = diff(plain, made, "--what", "weights")
    assert status == 2 and "quantized by brandnew" in text and failing(report) == [], text


# --- calibrated codes


@pytest.fixture(scope="module")
def calibrated():
    """GPTQ itself, on correlated inputs: original and quantized, and what a checkpoint holds."""
    import sys

    sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "bench"))
    import gptq_error

    random = np.random.default_rng(3)
    x = gptq_error.inputs("correlated", random)
    original, quantized, scales = gptq_error.quantize(0.02 * random.normal(size=(gptq_error.ROWS, gptq_error.COLUMNS)), x.T @ x, 4, False)
    scale = scales[:, ::gptq_error.GROUP].astype(np.float16)
    codes = (np.rint(quantized / scales) + 8).astype(np.int64)
    parts = {".qweight": stream(codes, 4).T.copy(), ".qzeros": stream(np.full(scale.T.shape, 7), 4), ".scales": scale.T.copy()}
    return original.astype(np.float32), {k: torch.from_numpy(v) for k, v in parts.items()}, {"quant_method": "gptq", "bits": 4, "group_size": gptq_error.GROUP, "desc_act": False}


def test_gptq_that_makes_up_for_what_it_lost(tmp_path, calibrated):
    original, parts, config = calibrated
    for a, b in (("plain", "q"), ("q", "plain")):
        sides = {"plain": write_plain(tmp_path / "plain", original), "q": write_module(tmp_path / "q", parts, config)}
        status, text, report = diff(sides[a], sides[b])
        pair = pair_of(report, N + ".weight")
        assert status == 0 and findings(report) == [] and pair["metrics"]["beyond"] > original.size / 20, text


@pytest.mark.parametrize("factor", (1.5, 2))
def test_a_wrong_scale_of_one_group_of_it(tmp_path, calibrated, factor):
    original, parts, config = calibrated
    text, pair = fault(tmp_path, original, parts | {".scales": of_a_single(parts[".scales"], factor)}, config)
    assert "row 85, columns 128 to 255" in text and "in that group, the scale is" in text, text


def test_zero_points_of_it_that_are_off_by_one(tmp_path, calibrated):
    original, parts, config = calibrated
    text, pair = fault(tmp_path, original, shifted_zeros(".qzeros", parts, 1), config)
    assert "1 is subtracted from the candidate's zero points" in text, text


# --- two ways of quantizing


@pytest.mark.parametrize("a, b", [("fp8 rows", "gptq 4 bits"), ("gptq 4 bits", "mlx 4 bits"), ("nf4", "awq"), ("fp8 blocks", "fp8 rows"), ("gptq 4 bits", "gptq_v2"), ("ct int8 rows", "ct int4 groups")])
def test_how_weights_are_stored_is_no_difference_of_the_models(tmp_path, a, b):
    """quantization_config says how they are stored, and the weights themselves are compared."""
    w = matrix(96, 256)
    sides = [write_module(tmp_path / side, *SCHEMES[scheme](w)[:2]) for side, scheme in (("a", a), ("b", b))]
    status, text, report = diff(*sides)
    assert status == 0 and findings(report) == [] and pair_of(report, N + ".weight")["verdict"] == "match", text
    other = write_module(tmp_path / "other", *SCHEMES[b](matrix(96, 256, seed=9))[:2])
    status, text, report = diff(sides[0], other)
    assert status == 1 and len(failing(report)) == 1, text


def test_equal_codes_are_identical(tmp_path):
    parts, config, _ = SCHEMES["nf4 nested"](matrix(96, 256))
    status, _, report = diff(write_module(tmp_path / "a", parts, config), write_module(tmp_path / "b", parts, config))
    assert status == 0 and {p["verdict"] for p in report["weights"]["pairs"]} == {"identical"}


# --- scales of activations

def with_activation_scale(folder, value):
    import ml_dtypes
    codes = (normal(64, 64, seed=2) * 8).astype(ml_dtypes.float8_e4m3fn)
    tensors = {"model.layers.0.mlp.up_proj.weight": torch.tensor(codes.view(np.uint8)).view(torch.float8_e4m3fn), "model.layers.0.mlp.up_proj.weight_scale": torch.tensor(0.125)}
    if value is not None:
        tensors["model.layers.0.mlp.up_proj.input_scale"] = torch.tensor(value)
    folder.mkdir()
    save_file(tensors, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps({"model_type": "llama", "architectures": ["LlamaForCausalLM"], "quantization_config": {"quant_method": "fp8", "activation_scheme": "static"}}))
    return folder


@pytest.mark.parametrize(("ours", "theirs", "status"), [(0.5, 0.5, 0), (0.5, None, 0), (None, 0.5, 0), (0.5, 5.0, 1), (0.5, float("nan"), 1), (float("nan"), float("nan"), 1), (None, float("inf"), 1), (None, 0.0, 1)])
def test_scales_of_activations(tmp_path, ours, theirs, status):
    assert diff(with_activation_scale(tmp_path / "a", ours), with_activation_scale(tmp_path / "b", theirs), "--what", "weights")[0] == status
