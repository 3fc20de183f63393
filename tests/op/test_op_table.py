"""The table of operations against the engines whose operations it names."""
import ctypes
import re

import pytest

from ggml_library import I, LIBRARIES, NEWEST, Ggml, names_of
from table import ROOT, rows

ROWS = rows()


def test_each_spelling_belongs_to_one_row():
    for spellings in ([s for r in ROWS.values() for s in r.ggml], [s for r in ROWS.values() for s in r.torch], [r.name for r in ROWS.values()]):
        assert sorted(spellings) == sorted(set(spellings))


@pytest.mark.parametrize("path", LIBRARIES, ids=lambda p: p.relative_to(ROOT / ".deps").parts[0])
def test_every_operation_of_ggml_has_a_row(path):
    names = names_of(path)
    assert len(names) > 80
    unknown = set(names) - {s for row in ROWS.values() for s in row.ggml}
    assert not unknown


@pytest.fixture(scope="module")
def ggml():
    if NEWEST is None:
        pytest.skip("no prebuilt ggml")
    return Ggml(NEWEST)


def size(value):
    return ctypes.c_size_t(value)


SQUARE = lambda g: g.tensor(8, 8)  # noqa: E731
IMAGE = lambda g: g.tensor(16, 16, 3, 1)  # noqa: E731

# id of the row, how ggml makes such a node, the values that its parameters then have
MADE = [
    ("NORM", lambda g: g.call("ggml_norm", SQUARE(g), 0.25), {"eps": 0.25}),
    ("RMS_NORM", lambda g: g.call("ggml_rms_norm", SQUARE(g), 0.25), {"eps": 0.25}),
    ("L2_NORM", lambda g: g.call("ggml_l2_norm", SQUARE(g), 0.25), {"eps": 0.25}),
    ("GROUP_NORM", lambda g: g.call("ggml_group_norm", IMAGE(g), 3, 0.25), {"groups": 3, "eps": 0.25}),
    ("SCALE", lambda g: g.call("ggml_scale_bias", SQUARE(g), 0.5, 3.0), {"scale": 0.5, "bias": 3.0}),
    ("CLAMP", lambda g: g.call("ggml_clamp", SQUARE(g), -0.5, 3.0), {"min": -0.5, "max": 3.0}),
    ("SOFT_MAX", lambda g: g.call("ggml_soft_max_ext", SQUARE(g), g.tensor(8, 8), 0.5, 8.0), {"scale": 0.5, "max_bias": 8.0}),
    ("ROPE", lambda g: g.call("ggml_rope_ext", g.tensor(8, 2, 4), g.tensor(4, kind=26), None, 8, 2, 77, 500.0, 0.5, 0.25, 1.5, 32.0, 2.0),
     {"n_dims": 8, "mode": 2, "n_ctx_orig": 77, "freq_base": 500.0, "freq_scale": 0.5, "ext_factor": 0.25, "attn_factor": 1.5, "beta_fast": 32.0,
      "beta_slow": 2.0, "section_0": 0, "section_1": 0, "section_2": 0, "section_3": 0, "offset": 0}),
    ("ROPE", lambda g: g.call("ggml_rope_multi", g.tensor(8, 2, 4), g.tensor(16, kind=26), None, 8, (I * 4)(3, 2, 1, 4), 8, 77, 500.0, 0.5, 0.25, 1.5, 32.0, 2.0),
     {"n_dims": 8, "mode": 8, "n_ctx_orig": 77, "freq_base": 500.0, "freq_scale": 0.5, "ext_factor": 0.25, "attn_factor": 1.5, "beta_fast": 32.0,
      "beta_slow": 2.0, "section_0": 3, "section_1": 2, "section_2": 1, "section_3": 4, "offset": 0}),
    ("FLASH_ATTN_EXT", lambda g: g.call("ggml_flash_attn_ext", g.tensor(8, 4, 2), g.tensor(8, 6, 2), g.tensor(8, 6, 2), None, 0.5, 0.0, 30.0),
     {"scale": 0.5, "max_bias": 0.0, "logit_softcap": 30.0, "precision": 0}),
    ("PAD", lambda g: g.call("ggml_pad_ext", SQUARE(g), 1, 2, 3, 4, 5, 6, 7, 8),
     {"before_0": 1, "after_0": 2, "before_1": 3, "after_1": 4, "before_2": 5, "after_2": 6, "before_3": 7, "after_3": 8, "circular": 0}),
    ("PAD", lambda g: g.call("ggml_pad_ext_circular", SQUARE(g), 1, 2, 3, 4, 5, 6, 7, 8),
     {"before_0": 1, "after_0": 2, "before_1": 3, "after_1": 4, "before_2": 5, "after_2": 6, "before_3": 7, "after_3": 8, "circular": 1}),
    ("PAD_REFLECT_1D", lambda g: g.call("ggml_pad_reflect_1d", SQUARE(g), 1, 2), {"before": 1, "after": 2}),
    ("ROLL", lambda g: g.call("ggml_roll", g.tensor(8, 8, 8, 8), 1, 2, 3, 4), {"shift_0": 1, "shift_1": 2, "shift_2": 3, "shift_3": 4}),
    ("ARANGE", lambda g: g.call("ggml_arange", 1.0, 9.0, 2.0), {"start": 1.0, "stop": 9.0, "step": 2.0}),
    ("TIMESTEP_EMBEDDING", lambda g: g.call("ggml_timestep_embedding", g.tensor(4), 16, 1000), {"dim": 16, "max_period": 1000}),
    ("ARGSORT", lambda g: g.call("ggml_argsort", SQUARE(g), 1), {"order": 1}),
    ("LEAKY_RELU", lambda g: g.call("ggml_leaky_relu", SQUARE(g), 0.25, 0), {"negative_slope": 0.25}),
    ("IM2COL", lambda g: g.call("ggml_im2col", g.tensor(3, 3, 3, 2), IMAGE(g), 1, 2, 3, 4, 1, 2, 1, 0),
     {"stride_0": 1, "stride_1": 2, "padding_0": 3, "padding_1": 4, "dilation_0": 1, "dilation_1": 2, "is_2d": 1}),
    ("CONV_2D", lambda g: g.call("ggml_conv_2d_direct", g.tensor(3, 3, 3, 2), IMAGE(g), 1, 2, 3, 4, 1, 2),
     {"stride_0": 1, "stride_1": 2, "padding_0": 3, "padding_1": 4, "dilation_0": 1, "dilation_1": 2}),
    ("CONV_2D_DW", lambda g: g.call("ggml_conv_2d_dw_direct", g.tensor(3, 3, 1, 3), IMAGE(g), 1, 2, 3, 4, 1, 2),
     {"stride_0": 1, "stride_1": 2, "padding_0": 3, "padding_1": 4, "dilation_0": 1, "dilation_1": 2}),
    ("CONV_3D", lambda g: g.call("ggml_conv_3d_direct", g.tensor(3, 3, 3, 6), g.tensor(16, 16, 16, 3), 1, 2, 3, 4, 5, 6, 1, 2, 3, 3, 1, 2),
     {"stride_0": 1, "stride_1": 2, "stride_2": 3, "padding_0": 4, "padding_1": 5, "padding_2": 6, "dilation_0": 1, "dilation_1": 2, "dilation_2": 3,
      "channels_in": 3, "batch": 1, "channels_out": 2}),
    ("CONV_TRANSPOSE_1D", lambda g: g.call("ggml_conv_transpose_1d", g.tensor(3, 2, 4), g.tensor(8, 4), 2, 0, 1), {"stride_0": 2, "padding_0": 0, "dilation_0": 1}),
    ("CONV_TRANSPOSE_2D", lambda g: g.call("ggml_conv_transpose_2d_p0", g.tensor(3, 3, 2, 3, kind=1), IMAGE(g), 2), {"stride_0": 2}),
    ("POOL_1D", lambda g: g.call("ggml_pool_1d", g.tensor(16, 2), 1, 3, 2, 1), {"kind": 1, "kernel_0": 3, "stride_0": 2, "padding_0": 1}),
    ("POOL_2D", lambda g: g.call("ggml_pool_2d", IMAGE(g), 1, 3, 4, 2, 1, 1.0, 2.0),
     {"kind": 1, "kernel_0": 3, "kernel_1": 4, "stride_0": 2, "stride_1": 1, "padding_0": 1, "padding_1": 2}),
    ("UPSCALE", lambda g: g.call("ggml_upscale", IMAGE(g), 2, 1), {"mode": 1}),
    ("CONCAT", lambda g: g.call("ggml_concat", SQUARE(g), g.tensor(8, 8), 1), {"dim": 1}),
    ("SET", lambda g: g.call("ggml_set", SQUARE(g), g.tensor(4), size(32), size(256), size(256), size(64)), {"nb1": 32, "nb2": 256, "nb3": 256, "offset": 64}),
    ("ACC", lambda g: g.call("ggml_acc", SQUARE(g), g.tensor(4), size(32), size(256), size(256), size(64)), {"nb1": 32, "nb2": 256, "nb3": 256, "offset": 64}),
    ("DIAG_MASK_INF", lambda g: g.call("ggml_diag_mask_inf", SQUARE(g), 3), {"n_past": 3}),
    ("DIAG_MASK_ZERO", lambda g: g.call("ggml_diag_mask_zero", SQUARE(g), 3), {"n_past": 3}),
    ("PERMUTE", lambda g: g.call("ggml_permute", g.tensor(2, 3, 4, 5), 3, 0, 2, 1), {"axis_0": 3, "axis_1": 0, "axis_2": 2, "axis_3": 1}),
    ("VIEW", lambda g: g.call("ggml_view_1d", SQUARE(g), ctypes.c_int64(5), size(12)), {"offset": 12}),
    ("SWIGLU_OAI", lambda g: g.call("ggml_swiglu_oai", SQUARE(g), g.tensor(8, 8), 1.5, 7.0), {"swapped": 0, "alpha": 1.5, "limit": 7.0}),
    ("SWIGLU_CLAMP", lambda g: g.call("ggml_swiglu_clamp", SQUARE(g), g.tensor(8, 8), 7.0), {"swapped": 0, "limit": 7.0}),
    ("SWIGLU", lambda g: g.call("ggml_glu", SQUARE(g), 2, 1), {"swapped": 1}),
    ("GATED_LINEAR_ATTN", lambda g: g.call("ggml_gated_linear_attn", g.tensor(8, 2, 4), g.tensor(8, 2, 4), g.tensor(8, 2, 4), g.tensor(8, 2, 4), g.tensor(128), 0.5),
     {"scale": 0.5}),
    ("GATED_DELTA_NET", lambda g: g.call("ggml_gated_delta_net", *[g.tensor(8, 2, 4) for _ in range(3)], g.tensor(1, 2, 4), g.tensor(1, 2, 4), g.tensor(8, 8, 2), ctypes.c_int64(3)),
     {"snapshots": 3}),
    ("SSM_SCAN", lambda g: g.call("ggml_ssm_scan", g.tensor(16, 4, 2), g.tensor(4, 2, 3), g.tensor(2, 3), g.tensor(1, 2), g.tensor(16, 1, 3), g.tensor(16, 1, 3),
                                  g.tensor(1, kind=26), ctypes.c_int64(3)), {"snapshots": 3}),
    ("COL2IM_1D", lambda g: g.call("ggml_col2im_1d", g.tensor(12, 5), 2, 3, 1), {"stride_0": 2, "channels": 3, "padding_0": 1}),
    ("HC_COMB", lambda g: g.call("ggml_dsv4_hc_comb", g.tensor(24, 5), g.tensor(3), g.tensor(24), 0.25, 20), {"eps": 0.25, "rounds": 20}),
    ("HC_PRE", lambda g: g.call("ggml_dsv4_hc_pre_gated", g.tensor(8, 4, 5), g.tensor(8, 4, 5), 0.25), {"scale": 0.25, "gated": 1}),
    ("FILL", lambda g: g.call("ggml_fill", SQUARE(g), 0.5), {"value": 0.5}),
    ("TRI", lambda g: g.call("ggml_tri", SQUARE(g), 2), {"kind": 2}),
    ("WINDOW_PARTITION", lambda g: g.call("ggml_win_part", g.tensor(3, 14, 14), 7), {"windows_x": 2, "windows_y": 2, "window": 7}),
    ("IM2COL_3D", lambda g: g.call("ggml_im2col_3d", g.tensor(3, 3, 3, 6), g.tensor(16, 16, 16, 3), ctypes.c_int64(3), 1, 2, 3, 4, 5, 6, 1, 2, 3, 0),
     {"stride_0": 1, "stride_1": 2, "stride_2": 3, "padding_0": 4, "padding_1": 5, "padding_2": 6, "dilation_0": 1, "dilation_1": 2, "dilation_2": 3, "channels": 3}),
]


@pytest.mark.parametrize("identity, make, expected", MADE, ids=[m[0] for m in MADE])
def test_a_parameter_lies_where_ggml_puts_it(ggml, identity, make, expected):
    assert set(ROWS[identity].parameters) == set(expected), "each parameter has to be tried"
    assert ggml.parameters(make(ggml), ROWS[identity]) == expected


def test_the_offset_of_a_rotation_lies_where_ggml_puts_it(ggml):
    node = ggml.call("ggml_rope_ext", ggml.tensor(8, 2, 4), ggml.tensor(4, kind=26), None, 4, 2, 77, 500.0, 0.5, 0.25, 1.5, 32.0, 2.0)
    ggml.library.ggml_rope_set_offset(ctypes.c_void_p(node), 2)
    assert ggml.parameters(node, ROWS["ROPE"])["offset"] == 2


def test_a_parameter_of_an_activation_lies_where_ggml_puts_it(ggml):
    values = ggml.parameters(ggml.call("ggml_xielu", ggml.tensor(8, 8), 0.5, 0.25, 0.75, 0.125), ROWS["XIELU"])
    assert values["beta"] == 0.75 and values["eps"] == 0.125  # the alphas pass through a softplus first


def test_every_row_with_parameters_is_tried():
    apart = {"XIELU", "MUL_MAT", "GLU", "REGLU", "GEGLU", "GEGLU_ERF", "GEGLU_QUICK", "WINDOW_UNPARTITION"}  # as their siblings
    assert {r.id for r in ROWS.values() if r.parameters} == {m[0] for m in MADE} | apart


def test_every_operation_of_a_torch_model_has_a_row():
    """ATen's operations that the graphs of the examples and of common layers run."""
    torch = pytest.importorskip("torch")
    known = {s for row in ROWS.values() for s in row.torch}
    wanted = ["linear", "matmul", "bmm", "addmm", "layer_norm", "rms_norm", "gelu", "silu", "softmax", "_softmax", "scaled_dot_product_attention",
              "embedding", "cat", "rsqrt", "tril", "triu", "topk", "conv1d", "conv2d", "cumsum", "argmax", "masked_fill", "repeat_interleave", "index_select"]
    for name in wanted:
        assert hasattr(torch.ops.aten, name), name
        assert name in known, name


def test_torch_spellings_are_operations_of_torch():
    torch = pytest.importorskip("torch")
    not_aten = {"interpolate", "flex_attention", "normalize", "logsigmoid", "cross_entropy", "grouped_mm", "__iadd__", "_fused_rms_norm", "_native_batch_norm_legit_no_training",
                "hstack", "concat",
                "assembled"}  # what the hook calls a tensor whose parts were written one by one
    for row in ROWS.values():
        for name in row.torch:
            places = (torch.ops.aten, torch, torch.nn.functional, torch.Tensor, torch.nn)
            assert name in not_aten or any(hasattr(p, name) or hasattr(p, name + "_") for p in places), f"{row.id}: {name}"


# Words that happen to be spelled as an operation, by file: what they are there.
HOMONYMS = {
    "cli/comparison.c": "an identifier of causes",
    "src/bundle/script.c": "sizes in ggml's order",
    "src/bundle/script_helpers.h": "names of functions in scripts",
    "src/match/mere_number.c": "the first part of a dump's name",
    "src/match/aligned_pair.c": "a part of a tensor's name",
    "src/checkpoint/architectures.c": "hidden_act of a config.json, and names of architectures",
    "src/checkpoint/conversions.c": "a part of a tensor's name",
    "src/checkpoint/computed_settings.c": "the family of hidden_act",
    "src/checkpoint/engine_shapes.c": "an architecture",
    "src/checkpoint/model_parts.c": "a part of a tensor's name",
    "src/checkpoint/vocabulary.c": "a special token",
    "src/checkpoint/weight_causes.c": "identifiers of causes",
    "src/checkpoint/weight_names.c": "a part of a tensor's name",
    "src/diagnose/cause_table.h": "identifiers of causes",
    "src/format/pickle.c": "an opcode of pickle",
    "src/format/torch.c": "a word of PyTorch's files",
    "src/preset/rules.c": "keys of presets, and changes that converters make",
    "src/replay/variants.c": "a parameter of operations",
    "src/report/diff_json.c": "keys of the report",
    "src/report/explanation.c": "a label",
    "src/report/json_values.c": "statistics",
    "src/report/tile_errors.c": "a part of a picture",
    "src/report/where.c": "identifiers of causes",
    "src/result/junit.c": "a key of a result",
    "src/result/markdown.c": "a key of a result",
    "src/verify/rerun.c": "keys of a trace",
    "src/report/replay_report.c": "statistics",
    "src/tensor/value_text.c": "statistics",
    "src/record/recorder.c": "statistics",
    "src/record/stats_recording.c": "statistics",
    "src/base/role.c": "roles in the trace",
    "cli/cmd_capture.c": "values of options",
    "cli/cmd_check.c": "values of options",
    "src/eval/eval_aten_attention.c": "parameters",
    "src/eval/eval_aten_convolution.c": "a kind of padding",
    "src/eval/eval_aten_elements.c": "parameters",
    "src/eval/eval_aten_moves.c": "parameters",
    "src/eval/eval_aten_rows.c": "parameters",
    "src/eval/eval_elements.c": "parameters",
    "src/eval/eval_moves.c": "parameters",
    "src/eval/eval_recurrence.c": "parameters",
    "src/eval/eval_streams.c": "parameters",
    "src/eval/places.c": "parameters",
    "src/eval/eval_rows.c": "parameters",
    "src/match/output_rows.c": "parameters of slices",
    "src/trace/trace_lines.c": "keys of the trace",
    "src/wire/frame_reader.c": "keys of the trace",
    "src/wire/frame_writer.c": "keys of the trace",
}


def literals(path):
    text = re.sub(r"/\*.*?\*/", "", path.read_text(), flags=re.DOTALL)
    return set(re.findall(r'"((?:[^"\\\n]|\\.)*)"', text))


def test_operations_are_spelled_in_the_table_alone():
    known = {s for r in ROWS.values() for s in [*r.ggml, *r.torch, r.name]} - {""}
    found = {}
    for folder in ("src", "cli", "hooks/ggml"):
        for path in sorted((ROOT / folder).rglob("*.[ch]")):
            name = str(path.relative_to(ROOT))
            if not name.startswith("src/op/") and literals(path) & known:
                found[name] = literals(path) & known
    assert not {n: w for n, w in found.items() if n not in HOMONYMS}
    assert not set(HOMONYMS) - set(found), "no longer needed"
