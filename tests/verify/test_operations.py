"""Each operation that `lockstep verify` knows, in traces with random operands: torch in float64 says what is right."""
import json
import pathlib
import subprocess
import sys

import numpy as np
import pytest

torch = pytest.importorskip("torch")
F = torch.nn.functional

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests" / "compare"), str(ROOT / "tests" / "op")]
from ggml_operations import CASES  # noqa: E402
from table import rows  # noqa: E402
from traces import LOCKSTEP, Trace  # noqa: E402

SEEDS = range(4)


def verify(path, *options):
    done = subprocess.run([LOCKSTEP, "verify", path, "--json", "-", *map(str, options)], capture_output=True, text=True, timeout=120)
    assert done.returncode in (0, 1, 2) and done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def tensor(rng, *shape):
    return torch.tensor(rng.standard_normal(shape).astype("f4")).double()


def sizes(rng, count, most=9):
    return [int(n) for n in rng.integers(1, most, count)]


# Each makes (operands, parameters, result), all in float64; ggml's axes are named from the innermost.

def binary(function):
    def make(rng):
        a, b, c, d = sizes(rng, 4, 5)
        shape, other = (a, b, c, 2 * d), [(2 * d,), (1, 2 * d), (c, 1), (1, 1, c, d), (a, b, c, 2 * d), (1,)][rng.integers(6)]
        x, y = tensor(rng, *shape), tensor(rng, *other)
        full = y.reshape((1,) * (4 - y.dim()) + tuple(y.shape))
        return [x, y], {}, function(x, full.repeat([s // o for s, o in zip(shape, full.shape)]))
    return make


def unary(function, positive=False):
    def make(rng):
        x = 3 * tensor(rng, *sizes(rng, 3))
        x = (x.abs() + 0.1 if positive else x).float().double()
        return [x], {}, function(x)
    return make


def gate(function, swiglu_oai=False):
    def make(rng):
        rows, n = sizes(rng, 2)
        x, y = tensor(rng, rows, n), tensor(rng, rows, n)
        params = {"alpha": 1.702, "limit": 1.5} if swiglu_oai else {}
        result = x.clamp(max=1.5) * torch.sigmoid(1.702 * x.clamp(max=1.5)) * (y.clamp(-1.5, 1.5) + 1) if swiglu_oai else function(x) * y
        form = rng.integers(3)
        if form == 0:
            return [x, y], params, result
        return [torch.cat([y, x] if form == 1 else [x, y], -1)], {**params, "swapped": 1} if form == 1 else params, result
    return make


def scale(rng):
    x = tensor(rng, *sizes(rng, 2))
    return [x], {"scale": -0.25, "bias": 1.5}, x * -0.25 + 1.5


def clamp(rng):
    x = (3 * tensor(rng, *sizes(rng, 2))).float().double()
    return [x], {"min": -1, "max": 2}, x.clamp(-1, 2)


def clamp_below(rng):
    x = (3 * tensor(rng, *sizes(rng, 2))).float().double()
    return [x], {"min": 0.5, "max": "inf"}, x.clamp(min=0.5)


def leaky(rng):
    x = tensor(rng, *sizes(rng, 2))
    return [x], {"negative_slope": 0.125}, F.leaky_relu(x, 0.125)


def norm(kind):
    def make(rng):
        x = (tensor(rng, *sizes(rng, 2), 8) + 0.5).float().double()
        eps = 1e-5
        if kind == "NORM":
            return [x], {"eps": eps}, F.layer_norm(x, x.shape[-1:], eps=eps)
        if kind == "RMS_NORM":
            return [x], {"eps": eps}, x / (x.square().mean(-1, keepdim=True) + eps).sqrt()
        return [x], {"eps": 1e-3}, F.normalize(x, dim=-1, eps=1e-3)
    return make


def group_norm(rng):
    x = tensor(rng, 2, 6, 3, 4)
    return [x], {"groups": 3, "eps": 1e-5}, F.group_norm(x, 3, eps=1e-5)


def mul_mat(rng):
    b, h, r, m, n, k = (*sizes(rng, 3, 4), *sizes(rng, 3))
    x, y = tensor(rng, b, h, m, k), tensor(rng, b, h * r, n, k)
    return [x, y], {}, y @ x.repeat_interleave(r, 1).transpose(-1, -2)


def mul_mat_id(rng):
    experts, m, k, tokens, used = sizes(rng, 5)
    x, ids, own = tensor(rng, experts, m, k), torch.tensor(rng.integers(0, experts, (tokens, used))), [1, used][rng.integers(2)]
    y = tensor(rng, tokens, own, k)
    return [x, y, ids.int()], {}, torch.einsum("tumk,tuk->tum", x[ids], y.expand(tokens, used, k))


def add_id(rng):
    experts, n, tokens, used = sizes(rng, 4)
    x, y, ids = tensor(rng, tokens, used, n), tensor(rng, experts, n), torch.tensor(rng.integers(0, experts, (tokens, used)))
    return [x, y, ids.int()], {}, x + y[ids]


def rope(neox, factors=False, yarn=False):
    def make(rng):
        heads, tokens, n, dims, base, speed = *sizes(rng, 2), 12, 8, 10000.0, 0.25
        x, positions = tensor(rng, tokens, heads, n), torch.tensor(rng.integers(0, 60, tokens))
        given = torch.linspace(1, 4, dims // 2).float().double() if factors else torch.ones(dims // 2).double()
        own = positions.double()[:, None] * base ** (-torch.arange(0, dims, 2).double() / dims) / given
        magnitude, angle, more = 1.0, own * speed, {}
        if yarn:  # as in the paper: dimensions that turn often are extrapolated, the others interpolated
            more = {"ext_factor": 1, "beta_fast": 32, "beta_slow": 1, "n_ctx_orig": 64}
            turn = [dims * np.log(64 / (t * 2 * np.pi)) / (2 * np.log(base)) for t in (32, 1)]
            low, high = max(0, np.floor(turn[0])), min(dims - 1, np.ceil(turn[1]))
            ramp = 1 - ((torch.arange(dims // 2).double() - low) / max(0.001, high - low)).clamp(0, 1)
            angle, magnitude = angle * (1 - ramp) + own * ramp, 1 + 0.1 * np.log(1 / speed)
        c, s = (angle.cos() * magnitude)[:, None], (angle.sin() * magnitude)[:, None]
        turned, rest = x[..., :dims], x[..., dims:]
        if neox:
            a, b = turned.chunk(2, -1)
            turned = torch.cat([a * c - b * s, a * s + b * c], -1)
        else:
            a, b = turned[..., 0::2], turned[..., 1::2]
            turned = torch.stack([a * c - b * s, a * s + b * c], -1).flatten(-2)
        params = {"n_dims": dims, "freq_base": base, "freq_scale": speed, "attn_factor": 1, **({"mode": 2} if neox else {}), **more}
        return [x, positions.int(), *([given] if factors else [])], params, torch.cat([turned, rest], -1)
    return make


def causal(rng, tokens, keys):
    return torch.zeros(tokens, keys).masked_fill(torch.ones(tokens, keys).triu(keys - tokens + 1).bool(), -torch.inf)


def slopes(heads):
    """ALiBi's, for a largest bias of 8."""
    power = 2 ** int(np.floor(np.log2(heads)))
    return torch.tensor([2 ** (-8 / power * (h + 1)) if h < power else 2 ** (-4 / power * (2 * (h - power) + 1)) for h in range(heads)]).double()


def softmax(masked, alibi=False, sinks=False):
    def make(rng):
        sequences, heads, tokens = sizes(rng, 3, 6)
        keys = tokens + 3
        x, mask, sink = tensor(rng, sequences, heads, tokens, keys), causal(rng, tokens, keys), tensor(rng, heads)
        y = 0.5 * x
        if masked:
            y = y + (mask.double() * slopes(heads)[:, None, None] if alibi else mask.double()).nan_to_num(neginf=-torch.inf)
        if alibi:
            soft = tensor(rng, tokens, keys)
            mask = torch.where(mask == 0, soft.float(), mask)
            y = 0.5 * x + torch.where(mask.isinf(), -torch.inf, mask.double() * slopes(heads)[:, None, None])
        if sinks:
            y = torch.cat([y, sink[:, None, None].expand(sequences, heads, tokens, 1)], -1)
        operands = [x, mask if masked else None, *([sink] if sinks else [])]
        return operands, {"scale": 0.5, **({"max_bias": 8} if alibi else {})}, y.softmax(-1)[..., :keys]
    return make


def attention(softcap=0.0):
    def make(rng):
        sequences, kv, r, tokens, n = (*sizes(rng, 3, 4), 5, 6)
        keys = tokens + 2
        q, k, v = tensor(rng, sequences, kv * r, tokens, n), tensor(rng, sequences, kv, keys, n), tensor(rng, sequences, kv, keys, 4)
        mask, scores = causal(rng, tokens, keys), q @ k.repeat_interleave(r, 1).transpose(-1, -2) * 0.4
        scores = softcap * (scores / softcap).tanh() if softcap else scores
        result = (scores + mask.double()).softmax(-1) @ v.repeat_interleave(r, 1)
        return [q, k, v, mask], {"scale": 0.4, **({"logit_softcap": softcap} if softcap else {})}, result.transpose(1, 2)
    return make


def get_rows(rng):
    rows, n, count = sizes(rng, 3)
    x, index = tensor(rng, rows, n), torch.tensor(rng.integers(0, rows, count))
    return [x, index.int()], {}, x[index]


def get_rows_of_batches(rng):
    batches, rows, n, count = sizes(rng, 4)
    x, index = tensor(rng, batches, rows, n), torch.tensor(rng.integers(0, rows, (batches, count)))
    return [x, index.int()], {}, torch.stack([x[b][index[b]] for b in range(batches)])


def concat(rng):
    shape, axis = sizes(rng, 3), int(rng.integers(3))
    other = list(shape)
    other[2 - axis] = 3
    x, y = tensor(rng, *shape), tensor(rng, *other)
    return [x, y], {"dim": axis}, torch.cat([x, y], 2 - axis)


def concat_nothing(rng):
    """As of a state before the first token."""
    rows, n = sizes(rng, 2)
    x, y = tensor(rng, 0, n), tensor(rng, rows, n)
    return ([x, y] if rng.integers(2) else [y, x]), {"dim": 1}, y


def repeat(rng):
    x, times = tensor(rng, *sizes(rng, 3)), sizes(rng, 3, 4)
    return [x], {}, x.repeat(times)


def argsort(rng):
    x = tensor(rng, *sizes(rng, 2))
    return [x], {"order": 1}, x.argsort(-1, descending=True).int()


def mask_diagonal(value):
    def make(rng):
        heads, tokens = sizes(rng, 2)
        x = tensor(rng, heads, tokens, tokens + 4)
        return [x], {"n_past": 4}, x.masked_fill(torch.ones(tokens, tokens + 4).triu(5).bool(), value)
    return make


def arange(rng):
    return [], {"start": 0.5, "stop": 3, "step": 0.25}, torch.arange(0.5, 3, 0.25).double()


def xielu(rng):
    x = tensor(rng, *sizes(rng, 2))
    alpha_n, alpha_p, beta, eps = 0.75, 0.5, 0.5, -2.0 ** -20
    return [x], {"alpha_n": alpha_n, "alpha_p": alpha_p, "beta": beta, "eps": eps}, torch.where(
        x > 0, alpha_p * x * x + beta * x, (torch.expm1(x.clamp(max=eps)) - x) * alpha_n + beta * x)


def im2col(flat):
    def make(rng):
        batch, channels, kernel, stride, dilation = *sizes(rng, 3, 4), *sizes(rng, 2, 3)
        padding, columns, rows = int(rng.integers(3)), 9, 1 if flat else 8
        x = tensor(rng, batch, channels, rows, columns)
        down = (1, 1, 0, 1) if flat else (kernel, stride, padding, dilation)
        result = F.unfold(x, (down[0], kernel), (down[3], dilation), (down[2], padding), (down[1], stride)).transpose(1, 2)
        across = (columns + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1
        params = {"stride_0": stride, "padding_0": padding, "dilation_0": dilation}
        if flat:
            return [tensor(rng, 5, channels, kernel), x[:, :, 0]], params, result
        params.update({"stride_1": stride, "padding_1": padding, "dilation_1": dilation, "is_2d": 1})
        return [tensor(rng, 5, channels, kernel, kernel), x], params, result.reshape(batch, -1, across, result.shape[-1])
    return make


def pool(axes, kind):
    def make(rng):
        kernel, stride, padding = int(rng.integers(2, 4)), int(rng.integers(1, 3)), int(rng.integers(2)) if axes == 2 else 0
        x = tensor(rng, 2, 3, 8, 9)[:, :, 0] if axes == 1 else tensor(rng, 2, 3, 8, 9)
        function = {(1, 0): F.max_pool1d, (1, 1): F.avg_pool1d, (2, 0): F.max_pool2d, (2, 1): F.avg_pool2d}[axes, kind]
        params = {"kind": kind, "kernel_0": kernel, "stride_0": stride, "padding_0": padding}
        if axes == 2:
            params.update({"kernel_1": kernel, "stride_1": stride, "padding_1": padding})
        return [x], params, function(x, kernel, stride, padding)
    return make


def pad(rng):
    x, widths = tensor(rng, *sizes(rng, 4, 4)), [int(n) for n in rng.integers(0, 3, 8)]
    return [x], {f"{'after' if i % 2 else 'before'}_{i // 2}": n for i, n in enumerate(widths)}, F.pad(x, widths)


def pad_reflect(rng):
    x = tensor(rng, 2, 3, 7)
    return [x], {"before": 4, "after": 2}, F.pad(x, (4, 2), mode="reflect")


def ssm_conv(rng):
    sequences, channels, tokens, width = *sizes(rng, 3), 4
    x, kernel = tensor(rng, sequences, channels, width - 1 + tokens), tensor(rng, channels, width)
    return [x, kernel], {}, F.conv1d(x, kernel[:, None], groups=channels).transpose(1, 2)


gelu_tanh = lambda x: F.gelu(x, approximate="tanh")  # noqa: E731
gelu_quick = lambda x: x * torch.sigmoid(1.702 * x)  # noqa: E731
OPERATIONS = {
    "ADD": binary(torch.add), "SUB": binary(torch.sub), "MUL": binary(torch.mul), "DIV": binary(torch.div), "ADD_ID": add_id, "SCALE": scale, "CLAMP": clamp, "CLAMP below": clamp_below,
    "LEAKY_RELU": leaky, "XIELU": xielu, "SQR": unary(torch.square), "SQRT": unary(torch.sqrt, True), "LOG": unary(torch.log, True), "SIN": unary(torch.sin),
    "COS": unary(torch.cos), "ABS": unary(torch.abs), "SGN": unary(torch.sign), "NEG": unary(torch.neg), "STEP": unary(lambda x: (x > 0).double()),
    "TANH": unary(torch.tanh), "ELU": unary(F.elu), "RELU": unary(F.relu), "SIGMOID": unary(torch.sigmoid), "GELU": unary(gelu_tanh), "GELU_ERF": unary(F.gelu),
    "GELU_QUICK": unary(gelu_quick), "SILU": unary(F.silu), "HARDSWISH": unary(F.hardswish), "HARDSIGMOID": unary(F.hardsigmoid), "EXP": unary(torch.exp),
    "EXPM1": unary(torch.expm1), "SOFTPLUS": unary(F.softplus), "FLOOR": unary(torch.floor), "CEIL": unary(torch.ceil),
    "ROUND": unary(lambda x: torch.trunc(x + 0.5 * torch.sign(x))), "TRUNC": unary(torch.trunc),
    "REGLU": gate(F.relu), "GEGLU": gate(gelu_tanh), "GEGLU_ERF": gate(F.gelu), "GEGLU_QUICK": gate(gelu_quick), "SWIGLU": gate(F.silu), "SWIGLU_OAI": gate(None, True),
    "NORM": norm("NORM"), "RMS_NORM": norm("RMS_NORM"), "L2_NORM": norm("L2_NORM"), "GROUP_NORM": group_norm, "MUL_MAT": mul_mat, "MUL_MAT_ID": mul_mat_id,
    "ROPE": rope(False), "ROPE neox": rope(True), "ROPE factors": rope(True, factors=True), "ROPE yarn": rope(False, yarn=True), "ROPE yarn neox": rope(True, True, True),
    "SOFT_MAX": softmax(False), "SOFT_MAX mask": softmax(True), "SOFT_MAX alibi": softmax(True, alibi=True), "SOFT_MAX sinks": softmax(True, sinks=True),
    "FLASH_ATTN_EXT": attention(), "FLASH_ATTN_EXT softcap": attention(2.0), "CONT": unary(lambda x: x), "GET_ROWS": get_rows, "GET_ROWS batches": get_rows_of_batches,
    "REPEAT": repeat, "CONCAT": concat, "CONCAT nothing": concat_nothing, "SUM": unary(lambda x: x.sum().reshape(1)), "SUM_ROWS": unary(lambda x: x.sum(-1, keepdim=True)),
    "MEAN": unary(lambda x: x.mean(-1, keepdim=True)), "CUMSUM": unary(lambda x: x.cumsum(-1)), "ARGSORT": argsort, "DIAG_MASK_INF": mask_diagonal(-torch.inf),
    "DIAG_MASK_ZERO": mask_diagonal(0), "ARANGE": arange,
    "IM2COL": im2col(False), "IM2COL flat": im2col(True), "POOL_1D max": pool(1, 0), "POOL_1D mean": pool(1, 1), "POOL_2D max": pool(2, 0), "POOL_2D mean": pool(2, 1),
    "PAD": pad, "PAD_REFLECT_1D": pad_reflect, "SSM_CONV": ssm_conv, **CASES,
}
TYPES = {torch.int32: "i4", torch.int64: "i8", torch.half: "f2"}


def array_of(x):
    return x.numpy().astype(TYPES.get(x.dtype, "f4"))


def record(t, op, seed, spoil=None):
    """Adds one operation, with operands of its own."""
    operands, params, result, *_ = OPERATIONS[op](np.random.default_rng([seed, *op.encode()]))
    numbers = [None if x is None else t.add(f"{op}.{seed}.{i}", array_of(x), role="input") for i, x in enumerate(operands)]
    values = array_of(result)
    if spoil is not None:
        values = spoil(values)
    t.add(f"{op}.{seed}", values, [n for n in numbers if n is not None], op=op.split()[0], params=params, operands=numbers)


@pytest.mark.parametrize("rows", ("", "3"))
def test_every_operation_agrees_with_torch(tmp_path, monkeypatch, rows):
    monkeypatch.setenv("LOCKSTEP_ROWS", rows)
    t = Trace(tmp_path / "t").begin([1])
    for op in OPERATIONS:
        for seed in SEEDS:
            record(t, op, seed)
    status, result = verify(t.write())
    assert not [(o["name"], o.get("reason")) for o in result["operations"] if o["verdict"] == "unchecked"]
    assert not [(o["name"], o["rel_l2"], o["row_rel_l2"]) for o in result["operations"] if o["rel_l2"] > 2e-7 or o["row_rel_l2"] > 6e-7]
    assert status == 0 and result["checked"] == len(OPERATIONS) * len(SEEDS)
    assert (result["sampled"] > len(OPERATIONS) * len(SEEDS) / 4) == bool(rows)


def test_every_row_of_the_table_is_tested():
    table = (ROOT / "src/eval/eval_table.h").read_text()
    identities = {line.split("(")[1].split(",")[0] for line in table.splitlines() if line.startswith("LS_EVAL_ROW(")}
    by_spelling = {spelling: row.id for row in rows().values() for spelling in row.ggml}
    assert identities - {"RESHAPE"} == {by_spelling[op.split()[0]] for op in OPERATIONS}


@pytest.mark.parametrize("op", OPERATIONS)
def test_a_wrong_result_is_found(tmp_path, op):
    def spoil(values):
        values = values.copy()
        flat = values.reshape(-1)
        at = int(np.argmax(np.where(np.isfinite(flat), np.abs(flat), -1)))
        if values.dtype.kind == "i":
            flat[0] += 1  # another index, or none
        else:
            factor = 1.5 if op.startswith("FLASH") else 1.01  # half-precision keys are usual there
            flat[at] = flat[at] * factor if flat[at] != 0 else 0.01
        return values
    for seed in SEEDS:
        t = Trace(tmp_path / f"t{seed}").begin([1])
        record(t, op, seed, spoil)
        status, result = verify(t.write())
        assert status == 1 and result["failed"] == 1 and result["operations"][0]["verdict"] == "undecided"


def test_shapes_that_do_not_fit_are_not_computed(tmp_path):
    t = Trace(tmp_path / "t").begin([1])
    rng = np.random.default_rng(1)
    for op in sorted({o.split()[0] for o in OPERATIONS} - {"ARANGE"}):
        for shapes in ([(3, 5)], [(3, 5), (2, 7)], [(3, 5), (4,), (0, 2)], [(2, 0), (2, 0)], [(1,), (9, 9, 9), (3,), (5,), (2,)]):
            numbers = [t.add(f"{op}.{i}", rng.standard_normal(s).astype("f4"), role="input") for i, s in enumerate(shapes)]
            t.add(op, np.zeros((7, 11), "f4"), numbers, op=op, params={"n_dims": 2**40, "eps": 0, "groups": 2**50, "dim": -1, "swapped": 1})
    status, result = verify(t.write())
    known = {o["name"] for o in result["operations"] if o["verdict"] != "unchecked"}
    assert status in (1, 2) and not known - {"REPEAT", "SOFT_MAX", "FILL", "UPSCALE"}


HOSTILE = (-1, 0, 0.5, 7, 2**31 - 1, -2**31, 2**53, 1e300, "nan", "inf")


def test_hostile_parameters(tmp_path):
    """Any value in place of any parameter: the operation is computed, or refused."""
    t = Trace(tmp_path / "t").begin([1])
    for op in OPERATIONS:
        operands, params, result, *_ = OPERATIONS[op](np.random.default_rng([1, *op.encode()]))
        numbers = [None if x is None else t.add(f"{op}.{i}", array_of(x), role="input") for i, x in enumerate(operands)]
        keys = next(row.parameters for row in rows().values() if op.split()[0] in row.ggml)
        for key in keys:
            for value in HOSTILE:
                t.add(f"{op} {key} {value}", array_of(result), [n for n in numbers if n is not None], op=op.split()[0], params={**params, key: value}, operands=numbers)
    status, found = verify(t.write())
    assert status in (0, 1, 2) and len(found["operations"]) > 1000


def other_shapes(rng, x):
    """An operand with fewer or more elements along some axis, with its axes reversed, with another axis, with none."""
    x, axis = array_of(x), int(rng.integers(x.dim()))
    yield np.take(x, [], axis)
    yield np.take(x, range(x.shape[axis] - 1), axis)
    yield np.concatenate([x, x], axis)
    yield np.ascontiguousarray(x.T)
    yield x[None, None, None, None]
    yield np.ascontiguousarray(np.broadcast_to(x[None, None, None, None], (2, 1, 1, 1, *x.shape)))
    yield x.reshape(-1)
    yield x.reshape(-1)[:1]
    yield np.full_like(x, -1)
    yield np.full_like(x, 2**30 if x.dtype.kind == "i" else np.nan)


def test_hostile_operands(tmp_path):
    """Any operand of another shape, or with other values, or missing."""
    t = Trace(tmp_path / "t").begin([1])
    rng = np.random.default_rng(5)
    for op in OPERATIONS:
        operands, params, result, *_ = OPERATIONS[op](np.random.default_rng([1, *op.encode()]))
        numbers = [None if x is None else t.add(f"{op}.{i}", array_of(x), role="input") for i, x in enumerate(operands)]
        for slot, x in enumerate(operands):
            others = [] if x is None else [t.add(f"{op}.{slot} {i}", y, role="input") for i, y in enumerate(other_shapes(rng, x))]
            for number in [*others, None]:
                slots = [*numbers[:slot], number, *numbers[slot + 1:]]
                t.add(f"{op} {slot}", array_of(result), [n for n in slots if n is not None], op=op.split()[0], params=params, operands=slots)
        for shape in other_shapes(rng, result):
            t.add(f"{op} result", shape, [n for n in numbers if n is not None], op=op.split()[0], params=params, operands=numbers)
    status, found = verify(t.write())
    assert status in (0, 1, 2) and len(found["operations"]) > 1000


# ------------------------------------------------------------------ what is at fault

def chain(path, kernel=1.0, dump=1.0):
    """x -> norm -> product -> gate -> product. `kernel`: what the gate's result is multiplied with; `dump`: only what is recorded of it."""
    rng = np.random.default_rng(3)
    t = Trace(path).begin(range(5))
    x, w, v = (rng.standard_normal(s).astype("f4") for s in ((5, 16), (16, 16), (16, 16)))
    i, a, b = t.add("x", x, role="input"), t.add("w", w, role="weight"), t.add("v", v, role="weight")
    n = (x / np.sqrt(np.square(x.astype("f8")).mean(-1, keepdims=True) + 1e-6)).astype("f4")
    norm_ = t.add("norm", n, [i], op="RMS_NORM", params={"eps": 1e-6})
    y = (n.astype("f8") @ w.T).astype("f4")
    product = t.add("y", y, [a, norm_], op="MUL_MAT")
    z = (y.astype("f8") / (1 + np.exp(-y.astype("f8"))) * kernel).astype("f4")
    gate_ = t.add("z", (z * dump).astype("f4"), [product], op="SILU")
    t.add("out", (z.astype("f8") @ v.T).astype("f4"), [b, gate_], op="MUL_MAT")
    return t.write()


def test_a_wrong_kernel_and_a_dump_that_lies(tmp_path):
    assert verify(chain(tmp_path / "clean"))[0] == 0
    for name, more, verdict in (("kernel", {"kernel": 1.001}, "wrong-kernel"), ("dump", {"dump": 1.001}, "dump-error")):
        status, result = verify(chain(tmp_path / name, **more))
        assert status == 1 and {o["name"]: o["verdict"] for o in result["operations"]} == {"norm": "agrees", "y": "agrees", "z": verdict, "out": "agrees"}


@pytest.mark.parametrize("says", ["kd", "dk", "kdk", "kdd", "dkd", "dkk"])
def test_dependents_that_contradict_each_other_decide_nothing(tmp_path, says):
    """k: computed from the recorded values, as after a wrong kernel; d: from the right ones."""
    x = np.random.default_rng(4).standard_normal((5, 16)).astype("f4")
    t = Trace(tmp_path / "t").begin(range(5))
    right = np.square(x.astype("f8")).astype("f4")
    wrong = (right * 1.01).astype("f4")
    accused = t.add("z", wrong, [t.add("x", x, role="input")], op="SQR")
    for letter in says:
        t.add(letter, np.tanh((wrong if letter == "k" else right).astype("f8")).astype("f4"), [accused], op="TANH")
    status, result = verify(t.write())
    assert status == 1 and result["operations"][0]["verdict"] == "undecided"


def test_nan_is_a_fault(tmp_path):
    path = chain(tmp_path / "t")
    values = np.load(path / "tensors/5.npy")
    values[2, 3] = np.nan
    np.save(path / "tensors/5.npy", values)
    status, result = verify(path)
    assert status == 1 and [o["name"] for o in result["operations"] if o["verdict"] == "dump-error"] == ["z"] and result["failed"] == 1


def test_weights_from_their_file(tmp_path):
    import gguf
    rng = np.random.default_rng(1)
    w, x = rng.standard_normal((8, 32)).astype("f4"), rng.standard_normal((3, 32)).astype("f4")
    t = Trace(tmp_path / "t").begin(range(3))
    weight = t.add("blk.0.w", None, role="weight", shape=[8, 32], dtype="f32")
    t.add("y", (x.astype("f8") @ w.T).astype("f4"), [weight, t.add("x", x, role="input")], op="MUL_MAT")
    path = t.write()
    writer = gguf.GGUFWriter(tmp_path / "m.gguf", "llama")
    writer.add_tensor("blk.0.w", w)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    assert verify(path)[0] == 2 and "--model) names their file" in verify(path)[1]["operations"][0]["reason"]
    assert verify(path, "--model", tmp_path / "m.gguf")[0] == 0


def cached(path, wrong=0):
    """Two passes write rows of a cache and read the whole of it, through views, under a mask."""
    rng = np.random.default_rng(2)
    t, memory = Trace(path), np.full((8, 6), 1e30, "f4")  # what a view reads where nothing was written
    for n, (cells, tokens) in enumerate((([0, 1, 2], 3), ([3], 1))):
        t.begin(range(tokens), positions=cells)
        state = t.add("cache", None, role="state", shape=[8, 6], dtype="f32")
        own, query = rng.standard_normal((tokens, 6)).astype("f4"), rng.standard_normal((2, tokens, 3)).astype("f4")
        memory[cells] = own
        rows, index = t.add("k", own, role="input"), t.add("index", np.array(cells, "i4"), role="input")
        written = t.add("cache (view)", None, [rows, index, state], op="SET_ROWS", role="write", shape=[8, 6], dtype="f32", view_of=state, offset=0)
        view = t.add("cache (permuted)", None, [state, written], op="PERMUTE", role="view", shape=[2, 8, 3], dtype="f32", view_of=state, offset=0, strides=[12, 24, 4],
                     operands=[state])
        keys = memory.reshape(8, 2, 3).transpose(1, 0, 2).astype("f8")
        scores = t.add("scores", (query.astype("f8") @ keys.transpose(0, 2, 1) + (wrong if n == 1 else 0)).astype("f4"), [view, t.add("q", query, role="input")], op="MUL_MAT")
        mask = np.where(np.arange(8)[None] <= np.array(cells)[:, None], 0, -np.inf).astype("f4")
        recorded = (query.astype("f8") @ keys.transpose(0, 2, 1) + (wrong if n == 1 else 0)).astype("f4").astype("f8")
        t.add("p", torch.tensor(recorded + mask).softmax(-1).numpy().astype("f4"), [scores, t.add("mask", mask, role="input")], op="SOFT_MAX", params={"scale": 1})
    return t.write()


def test_what_is_read_from_a_cache(tmp_path):
    status, result = verify(cached(tmp_path / "t"))
    assert status == 0 and [o["verdict"] for o in result["operations"]] == ["agrees"] * 4
    assert [o["elements"] for o in result["operations"] if o["name"] == "scores"] == [2 * 3 * 3, 2 * 1 * 4], "cells that were never written are left out"
    status, result = verify(cached(tmp_path / "bad", 0.01))
    assert status == 1 and [(o["name"], o["pass"]) for o in result["operations"] if o["verdict"] != "agrees"] == [("scores", 1)]


@pytest.mark.parametrize("params,known", [({"scale": 0}, True), ({"scale": 0, "bias": 2}, True), ({"scale": 2}, False), ({}, False)])
def test_a_state_that_is_cleared(tmp_path, params, known):
    """What was never written is not known, but 0 times it is."""
    t = Trace(tmp_path / "t").begin([1])
    state = t.add("state", None, role="state", shape=[4, 3], dtype="f32")
    row = t.add("state (view)", None, [state], op="VIEW", role="view", shape=[3], dtype="f32", view_of=state, offset=12, strides=[4])
    written = t.add("cleared", None, [row, state], op="SCALE", role="write", shape=[3], dtype="f32", view_of=state, offset=12, strides=[4], params=params, operands=[row])
    nothing = t.add("state (view)", None, [state, written], op="VIEW", role="view", shape=[0], dtype="f32", view_of=state, offset=0, strides=[4], operands=[state])
    last = t.add("nothing", None, [nothing, state], op="CPY", role="write", shape=[0], dtype="f32", view_of=state, offset=0, strides=[4], operands=[nothing])
    after = t.add("state (view)", None, [state, last], op="VIEW", role="view", shape=[2, 3], dtype="f32", view_of=state, offset=0, strides=[12, 4], operands=[state])
    t.add("y", np.array([[5, 5, 5], [params.get("bias", 0) ** 2] * 3], "f4"), [after], op="SQR")
    result = verify(t.write())[1]["operations"][-1]
    assert (result["verdict"], result.get("elements")) == (("agrees", 3) if known else ("unchecked", None))


def test_views_that_do_not_fit(tmp_path):
    """Of other elements than they have, beyond their tensor, of views without end, of parts of an element."""
    t = Trace(tmp_path / "t").begin([1])
    x = t.add("x", np.ones((2, 4), "f4"), role="input")
    views = [t.add("v", None, [x], op="RESHAPE", role="view", shape=[3, 5], dtype="f32"), t.add("v", None, [x], op="VIEW", role="view", shape=[2, 4], dtype="f32", alias_of=x),
             t.add("v", None, [x], op="VIEW", role="view", shape=[3, 4], dtype="f32", alias_of=x),
             t.add("v", None, [x], op="VIEW", role="view", shape=[2, 4], dtype="f32", view_of=x, offset=4),
             t.add("v", None, [x], op="VIEW", role="view", shape=[2, 4], dtype="f32", view_of=x, offset=2),
             t.add("v", None, [x], op="VIEW", role="view", shape=[2, 4], dtype="f32", view_of=x, offset=0, strides=[-16, 4]),
             t.add("v", None, [x], op="VIEW", role="view", shape=[2, 4], dtype="f32", view_of=x, offset=2**62, strides=[2**62, 2**62])]
    deep = x
    for _ in range(100):
        deep = t.add("v", None, [deep], op="VIEW", role="view", shape=[2, 4], dtype="f32", alias_of=deep)
    for view in [*views, deep]:
        t.add("y", np.ones((2, 4), "f4"), [view], op="SQR")
    status, result = verify(t.write())
    assert status == 0 and [o["verdict"] for o in result["operations"]].count("agrees") == 1 and len(result["operations"]) == 8


def test_a_large_product_is_sampled(tmp_path):
    rng = np.random.default_rng(6)
    w, x = rng.standard_normal((64, 1024)).astype("f4"), rng.standard_normal((10000, 1024)).astype("f4")
    result = (x.astype("f8") @ w.T.astype("f8")).astype("f4")
    for name, row in (("clean", None), ("last", 9999), ("between", 9998)):
        t = Trace(tmp_path / name).begin([1])
        spoiled = result.copy()
        if row is not None:
            spoiled[row] *= 1.1
        t.add("y", spoiled, [t.add("w", w, role="weight"), t.add("x", x, role="input")], op="MUL_MAT")
        t.write()
    status, found = verify(tmp_path / "clean")
    assert status == 0 and found["sampled"] == 1 and found["operations"][0]["share"] == 0.2 and found["operations"][0]["elements"] == 2000 * 64
    status, found = verify(tmp_path / "clean", "--exact")
    assert status == 0 and found["sampled"] == 0 and found["operations"][0]["elements"] == 10000 * 64
    assert verify(tmp_path / "last")[0] == 1 and verify(tmp_path / "between")[0] == 0 and verify(tmp_path / "between", "--exact")[0] == 1
    done = subprocess.run([LOCKSTEP, "verify", tmp_path / "clean"], capture_output=True, text=True)
    assert "sampled    of 1 large operation, only some rows" in done.stdout


def test_a_large_convolution_is_sampled(tmp_path):
    rng = np.random.default_rng(7)
    kernel, x = tensor(rng, 64, 64, 3, 3), tensor(rng, 1, 64, 100, 100)
    result = F.conv2d(x, kernel)
    params = {"stride_0": 1, "stride_1": 1, "dilation_0": 1, "dilation_1": 1}
    for name, row in (("clean", None), ("last", 97), ("between", 96)):
        t, spoiled = Trace(tmp_path / name).begin([1]), array_of(result).copy()
        if row is not None:
            spoiled[0, 63, row] *= 1.1
        t.add("y", spoiled, [t.add("w", array_of(kernel), role="weight"), t.add("x", array_of(x), role="input")], op="CONV_2D", params=params)
        t.write()
    status, found = verify(tmp_path / "clean")
    assert status == 0 and found["sampled"] == 1 and abs(found["operations"][0]["share"] - 1 / 3) < 1e-9 and found["operations"][0]["elements"] == (64 * 98 + 2) // 3 * 98
    assert verify(tmp_path / "last")[0] == 1 and verify(tmp_path / "between")[0] == 0


def test_a_pooling_with_windows_beyond_all_measure(tmp_path):
    """Only what is inside of the image is looked at."""
    t = Trace(tmp_path / "t").begin([1])
    huge = 2**24 - 1
    params = {"kind": 0, "kernel_0": huge, "kernel_1": huge, "stride_0": 1, "stride_1": 1, "padding_0": huge // 2, "padding_1": huge // 2}
    x = np.random.default_rng(8).standard_normal((4, 4)).astype("f4")
    t.add("y", np.full((4, 4), x.max(), "f4"), [t.add("x", x, role="input")], op="POOL_2D", params=params)
    assert verify(t.write())[0] == 0


def test_what_is_typed_wrong(tmp_path):
    np.save(tmp_path / "x.npy", np.zeros(3))
    for words, said in (([tmp_path / "x.npy"], "has no graph"), ([tmp_path / "none"], "No such file"), ([], "too few arguments")):
        done = subprocess.run([LOCKSTEP, "verify", *words], capture_output=True, text=True)
        assert done.returncode == 2 and said in done.stderr and done.stdout == ""
