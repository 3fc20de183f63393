"""Operations of ggml with random operands: what torch in float64 says is right, and how ggml's own functions are called.

Each case makes (operands, parameters, result, call) from a generator of random numbers. `call(g, tensors)` adds the
operation to a graph of ggml_library.Ggml. Axes are named from the innermost, as in ggml."""
import ctypes
import math

import numpy as np
import torch

F = torch.nn.functional


def tensor(rng, *shape):
    return torch.tensor(rng.standard_normal(shape).astype("f4")).double()


def sizes(rng, count, most=6):
    return [int(n) for n in rng.integers(1, most, count)]


def size_t(value):
    return ctypes.c_size_t(value)


def i64(value):
    return ctypes.c_int64(value)


def single(value):
    """As a C float."""
    return float(np.float32(value))


# ------------------------------------------------------------------ positions

def sections_of(kind, pairs, sections):
    """For each pair, its section and its number in the series of frequencies."""
    found = []
    for pair in range(pairs):
        at, power = pair % sum(sections), pair
        if kind == "imrope":
            section = at % 3 if at < 3 * sections[at % 3] else 3
        else:
            starts = np.cumsum([0, *sections])
            section = int(np.searchsorted(starts, at, side="right")) - 1
            power = at - int(starts[section]) if kind == "vision" else pair
        found.append((section, power))
    return found


def rope(kind, mode, offset=0, yarn=False, factors=False):
    several = kind in ("mrope", "vision", "imrope")

    def make(rng):
        heads, tokens = sizes(rng, 2)
        dims = 2 * int(rng.integers(3, 9))
        pairs = dims if kind == "vision" else dims // 2
        n = 2 * dims if kind == "vision" else dims + offset + 2 * int(rng.integers(0, 3))
        sections = [int(v) for v in rng.integers(1, 4, 4)]
        while sum(sections) > dims:
            sections[int(np.argmax(sections))] -= 1
        if kind == "vision":
            sections = [dims // 2, dims - dims // 2, 0, 0]
        x = tensor(rng, tokens, heads, n)
        positions = torch.tensor(rng.integers(0, 60, (4 if several else 1, tokens)))
        base, speed = 10000.0, 0.25
        where = sections_of(kind, pairs, sections) if several else [(0, pair) for pair in range(pairs)]
        given = torch.linspace(1, 3, pairs).float().double() if factors else torch.ones(pairs).double()
        own = torch.stack([positions[section].double() * base ** (-2.0 * power / dims) for section, power in where], -1) / given
        angle, magnitude, more = own * speed, 1.0, {}
        if yarn:
            more = {"ext_factor": 1.0, "beta_fast": 32.0, "beta_slow": 1.0, "n_ctx_orig": 64}
            turn = [dims * np.log(64 / (t * 2 * np.pi)) / (2 * np.log(base)) for t in (32, 1)]
            low, high = max(0, np.floor(turn[0])), min(dims - 1, np.ceil(turn[1]))
            ramp = 1 - ((torch.arange(pairs).double() - low) / max(0.001, high - low)).clamp(0, 1)
            angle, magnitude = angle * (1 - ramp) + own * ramp, 1 + 0.1 * np.log(1 / speed)
        c, s = (angle.cos() * magnitude)[:, None], (angle.sin() * magnitude)[:, None]
        turned = x[..., offset:offset + 2 * pairs]
        if kind == "normal":
            a, b = turned[..., 0::2], turned[..., 1::2]
            turned = torch.stack([a * c - b * s, a * s + b * c], -1).flatten(-2)
        else:
            a, b = turned.chunk(2, -1)
            turned = torch.cat([a * c - b * s, a * s + b * c], -1)
        result = torch.cat([x[..., :offset], turned, x[..., offset + 2 * pairs:]], -1)
        params = {"n_dims": dims, "mode": mode, "freq_base": base, "freq_scale": speed, "attn_factor": 1.0, "offset": offset, **more}
        params.update({f"section_{i}": v for i, v in enumerate(sections)} if several else {})

        def call(g, t):
            scales = [base, speed, more.get("ext_factor", 0.0), 1.0, more.get("beta_fast", 0.0), more.get("beta_slow", 0.0)]
            factors_ = t[2] if factors else None
            if several:
                node = g.call("ggml_rope_multi", t[0], t[1], factors_, dims, (ctypes.c_int * 4)(*sections), mode, more.get("n_ctx_orig", 0), *scales)
            else:
                node = g.call("ggml_rope_ext", t[0], t[1], factors_, dims, mode, more.get("n_ctx_orig", 0), *scales)
            if offset:
                g.library.ggml_rope_set_offset(ctypes.c_void_p(node), offset)
            return node
        return [x, positions.flatten().int(), *([given] if factors else [])], params, result, call
    return make


def timestep_embedding(rng):
    n, dim, period = int(rng.integers(1, 6)), int(rng.integers(2, 20)), 10000
    steps = torch.tensor(rng.integers(0, 20, n)).double()
    half = dim // 2
    angles = steps[:, None] * torch.exp(-math.log(period) * torch.arange(half).double() / half)
    result = F.pad(torch.cat([angles.cos(), angles.sin()], -1), (0, dim % 2))
    return [steps], {"dim": dim, "max_period": period}, result, lambda g, t: g.call("ggml_timestep_embedding", t[0], dim, period)


# ------------------------------------------------------------------ recurrences

def ssm_scan(mamba2):
    def make(rng):
        n, size, groups, each, tokens, sequences, states = 8, *sizes(rng, 6, 4)
        size, heads = size if mamba2 else 1, groups * each
        rows = states + sequences
        s, x, dt = tensor(rng, rows, heads, size, n), tensor(rng, sequences, tokens, heads, size), 2 * tensor(rng, sequences, tokens, heads)
        dt = dt.float().double()
        a = -tensor(rng, heads, 1 if mamba2 else n).abs()
        b, c = tensor(rng, sequences, tokens, groups, n), tensor(rng, sequences, tokens, groups, n)
        ids = torch.tensor(rng.permutation(rows)[:sequences])
        snapshots = min(int(rng.integers(1, 4)), tokens) if mamba2 else 1
        state, step, outputs, after = s[ids].clone(), F.softplus(dt), [], []
        wide = lambda y: y.repeat_interleave(each, 1)  # noqa: E731
        for t in range(tokens):
            kept = torch.exp(step[:, t, :, None] * a)[:, :, None]
            state = state * kept + (x[:, t] * step[:, t, :, None])[..., None] * wide(b[:, t])[:, :, None]
            outputs.append((state * wide(c[:, t])[:, :, None]).sum(-1))
            after.append(state)
        result = torch.cat([torch.stack(outputs, 1).flatten(), torch.stack(after[::-1][:snapshots]).flatten()])
        return [s, x, dt, a, b, c, ids.int()], {"snapshots": snapshots}, result, lambda g, t: g.call("ggml_ssm_scan", *t, i64(snapshots))
    return make


def heads_of(rng, count):
    """Operands [tokens, heads, size], states, and the numbers of sequences and of tokens of each."""
    size, heads, tokens, sequences = 64, *sizes(rng, 3, 4)
    heads = max(heads, 2)  # ggml's kernels divide heads among threads
    x = [0.3 * tensor(rng, sequences * tokens, heads, size) for _ in range(count)]
    state = tensor(rng, sequences, heads * size * size)
    return [v.float().double() for v in x], state, sequences, tokens, heads, size


def run_heads(x, state, sequences, tokens, heads, size, step):
    """`step(state, *operands of a token)` returns the state and the output, by einsum over [sequences, heads, size]."""
    state = state.reshape(sequences, heads, size, size).clone()
    rows = [v.reshape(sequences, tokens, heads, size) for v in x]
    outputs = []
    for t in range(tokens):
        state, out = step(state, *[v[:, t] for v in rows])
        outputs.append(out)
    return torch.cat([torch.stack(outputs, 1).flatten(), state.flatten()]).reshape(-1, heads * size)


def outer(a, b):
    return a[..., :, None] * b[..., None, :]


def wkv6(rng):
    (k, v, r, decay), state, *shape = heads_of(rng, 4)
    decay, bonus = torch.sigmoid(decay).float().double(), tensor(rng, shape[2], shape[3])

    def step(s, k, v, r, w):
        return s * w[..., None] + outer(k, v), ((s + bonus[..., None] * outer(k, v)) * r[..., None]).sum(-2)
    return [k, v, r, bonus, decay, state], {}, run_heads([k, v, r, decay], state, *shape, step), lambda g, t: g.call("ggml_rwkv_wkv6", *t)


def gated_linear_attn(rng):
    (k, v, q, decay), state, *shape = heads_of(rng, 4)
    decay = torch.sigmoid(decay).float().double()

    def step(s, k, v, q, w):
        s = s * w[..., None] + outer(k, v)
        return s, 0.5 * (s * q[..., None]).sum(-2)
    return [k, v, q, decay, state], {"scale": 0.5}, run_heads([k, v, q, decay], state, *shape, step), lambda g, t: g.call("ggml_gated_linear_attn", *t, 0.5)


def wkv7(rng):
    (r, decay, k, v, a, b), state, *shape = heads_of(rng, 6)
    decay = torch.sigmoid(decay).float().double()
    a, b = (0.3 * a).float().double(), (0.3 * b).float().double()

    def step(s, r, w, k, v, a, b):
        s = s * w[..., None, :] + outer(v, k) + outer((s * a[..., None, :]).sum(-1), b)
        return s, (s * r[..., None, :]).sum(-1)
    return [r, decay, k, v, a, b, state], {}, run_heads([r, decay, k, v, a, b], state, *shape, step), lambda g, t: g.call("ggml_rwkv_wkv7", *t)


def gated_delta_net(rng):
    size, each, heads, tokens, sequences, snapshots = 32, *sizes(rng, 5, 4)
    snapshots, wide = min(snapshots, tokens), [1, size][rng.integers(2)]
    q, k = tensor(rng, sequences, tokens, heads, size), F.normalize(tensor(rng, sequences, tokens, heads, size), dim=-1).float().double()
    heads *= each
    v, decay, beta = tensor(rng, sequences, tokens, heads, size), -tensor(rng, sequences, tokens, heads, wide).abs(), torch.sigmoid(tensor(rng, sequences, tokens, heads, 1))
    beta, first = beta.float().double(), tensor(rng, sequences, heads, size, size)
    state, outputs, states = first.clone(), [], []
    for t in range(tokens):
        qt, kt = q[:, t].repeat(1, each, 1), k[:, t].repeat(1, each, 1)
        state = state * torch.exp(decay[:, t])[:, :, None, :]
        delta = (v[:, t] - (state * kt[:, :, None]).sum(-1)) * beta[:, t]
        state = state + outer(delta, kt)
        outputs.append((state * qt[:, :, None]).sum(-1) / math.sqrt(size))
        states.append(state)
    result = torch.cat([torch.stack(outputs, 1).flatten(), torch.stack(states[::-1][:snapshots]).flatten()]).reshape(-1, heads * size)
    return [q, k, v, decay, beta, first], {"snapshots": snapshots}, result, lambda g, t: g.call("ggml_gated_delta_net", *t, i64(snapshots))


# ------------------------------------------------------------------ DeepSeek

def lightning_indexer(rng):
    sequences, tokens, heads, keys, n = sizes(rng, 5, 9)
    q, k, w = tensor(rng, sequences, tokens, heads, n), tensor(rng, sequences, keys, 1, n), tensor(rng, sequences, 1, tokens, heads)
    mask = torch.where(torch.tensor(rng.random((sequences, 1, tokens, keys)) < 0.3), -torch.inf, 0.0)
    scores = torch.einsum("sthn,skn->sthk", q, k[:, :, 0]).relu()
    result = torch.einsum("sthk,sth->stk", scores, w[:, 0])[:, None] + mask
    return [q, k, w, mask.half()], {}, result, lambda g, t: g.call("ggml_lightning_indexer", *t)


def hc_comb(rng):
    tokens, rounds, eps = int(rng.integers(1, 9)), int(rng.integers(1, 21)), single(1e-3)
    mixes, scales, base = tensor(rng, tokens, 24), tensor(rng, 3), tensor(rng, 24)
    m = (mixes * scales[2] + base)[:, 8:].reshape(tokens, 4, 4).softmax(-1) + eps
    for i in range(rounds):
        m = m / (m.sum(-1, keepdim=True) + eps) if i > 0 else m
        m = m / (m.sum(-2, keepdim=True) + eps)
    return [mixes, scales, base], {"eps": eps, "rounds": rounds}, m, lambda g, t: g.call("ggml_dsv4_hc_comb", *t, eps, rounds)


def hc_pre(gated):
    def make(rng):
        tokens, streams, n = sizes(rng, 3, 9)
        x, gate = tensor(rng, tokens, streams, n), tensor(rng, tokens, streams, n)
        if gated:
            return [x, gate], {"gated": 1, "scale": 0.25}, 0.25 * (x * gate.sigmoid()).sum(1), lambda g, t: g.call("ggml_dsv4_hc_pre_gated", *t, 0.25)
        return [x, gate[..., 0]], {"scale": 1.0}, (x * gate[..., :1]).sum(1), lambda g, t: g.call("ggml_dsv4_hc_pre", *t)
    return make


def hc_post(mixes):
    def make(rng):
        tokens, n, streams = *sizes(rng, 2, 9), 4
        x, residual, post, mix = tensor(rng, tokens, n), tensor(rng, tokens, streams, n), tensor(rng, tokens, streams), tensor(rng, tokens, streams, streams)
        result = x[:, None] * post[..., None] + (torch.einsum("tfn,tfs->tsn", residual, mix) if mixes else residual)
        return [x, residual, post, *([mix] if mixes else [])], {}, result, lambda g, t: g.call("ggml_dsv4_hc_post", *t, *([] if mixes else [None]))
    return make


# ------------------------------------------------------------------ picks and moves

def top_k(rng):
    rows, n = sizes(rng, 2, 9)
    k, x = int(rng.integers(1, n + 1)), tensor(rng, rows, n)
    return [x], {}, x.topk(k).indices.int(), lambda g, t: g.call("ggml_top_k", t[0], k)


def argmax(rng):
    x = tensor(rng, *sizes(rng, 2, 9))
    return [x], {}, x.argmax(-1).int(), lambda g, t: g.call("ggml_argmax", t[0])


def count_equal(rng):
    a, b = (torch.tensor(rng.integers(0, 3, (5, 7))).int() for _ in range(2))
    return [a, b], {}, (a == b).sum().reshape(1), lambda g, t: g.call("ggml_count_equal", *t)


def tri(rng):
    kind, (heads, n) = int(rng.integers(4)), sizes(rng, 2, 9)
    x = tensor(rng, heads, n, n)
    result = {0: x.triu(), 1: x.triu(1), 2: x.tril(), 3: x.tril(-1)}[kind]
    return [x], {"kind": kind}, result, lambda g, t: g.call("ggml_tri", t[0], kind)


def roll(rng):
    x, shifts = tensor(rng, *sizes(rng, 4)), [int(v) for v in rng.integers(-9, 10, 4)]
    shifts = [int(math.fmod(s, n)) for s, n in zip(shifts, x.shape[::-1])]  # ggml takes no more than the size
    return [x], {f"shift_{i}": s for i, s in enumerate(shifts)}, x.roll(shifts[::-1], (0, 1, 2, 3)), lambda g, t: g.call("ggml_roll", t[0], *shifts)


def fill(rng):
    x, value = tensor(rng, *sizes(rng, 3)), single(rng.standard_normal())
    return [x], {"value": value}, torch.full_like(x, value), lambda g, t: g.call("ggml_fill", t[0], value)


def diag(rng):
    a, b, n = sizes(rng, 3)
    x = tensor(rng, a, b, 1, n)
    return [x], {}, x[:, :, 0].diag_embed(), lambda g, t: g.call("ggml_diag", t[0])


def pad_circular(rng):
    x = tensor(rng, *sizes(rng, 4))
    widths = [int(rng.integers(0, n + 1)) for n in x.shape[::-1] for _ in range(2)]
    result = torch.tensor(np.pad(x.numpy(), list(zip(widths[::2], widths[1::2]))[::-1], mode="wrap"))
    params = {f"{'after' if i % 2 else 'before'}_{i // 2}": n for i, n in enumerate(widths)}
    return [x], {**params, "circular": 1}, result, lambda g, t: g.call("ggml_pad_ext_circular", t[0], *widths)


def changed_part(adds):
    def make(rng):
        x = tensor(rng, *[int(n) for n in rng.integers(2, 6, 4)])
        lengths = [int(rng.integers(1, n + 1)) for n in x.shape]
        first = [int(rng.integers(0, n - m + 1)) for n, m in zip(x.shape, lengths)]
        y, result = tensor(rng, *lengths), x.clone()
        place = tuple(slice(f, f + m) for f, m in zip(first, lengths))
        result[place] = result[place] + y if adds else y
        steps = [4 * int(np.prod(x.shape[axis + 1:])) for axis in range(4)]
        params = {"nb1": steps[2], "nb2": steps[1], "nb3": steps[0], "offset": sum(f * s for f, s in zip(first, steps))}
        return [x, y], params, result, lambda g, t: g.call("ggml_acc" if adds else "ggml_set", *t, *map(size_t, params.values()))
    return make


def set_rows(rng):
    outer, batch, few, n = sizes(rng, 4, 4)
    count, rows = few, few + int(rng.integers(0, 4))
    own = [1, batch][rng.integers(2)]
    x, y = tensor(rng, outer, batch, rows, n), tensor(rng, outer, batch, count, n)
    index = torch.stack([torch.tensor(rng.permutation(rows)[:count]) for _ in range(own)])
    result = x.scatter(2, index.expand(batch, count)[None, :, :, None].expand(outer, batch, count, n), y)
    return [y, index.long(), x], {}, result, lambda g, t: g.call("ggml_set_rows", t[2], t[0], t[1])


def add1(rng):
    x, y = tensor(rng, *sizes(rng, 3)), tensor(rng, 1)
    return [x, y], {}, x + y, lambda g, t: g.call("ggml_add1", *t)


def upscale(mode, flags=0, name=None):
    def make(rng):
        b, c, h, w, more_h, more_w = sizes(rng, 6, 8)
        antialias, align = bool(flags & 0x200), bool(flags & 0x100)
        x = tensor(rng, b, c, h, w)
        least = 2 if antialias else 1  # torch's antialiasing is wrong where many channels become one column wide
        size = (int(rng.integers(least, 2 * h + more_h + 1)), int(rng.integers(least, 2 * w + more_w + 1)))
        result = F.interpolate(x, size, mode=name, **({} if name == "nearest" else {"align_corners": align, "antialias": antialias}))
        shape = [i64(n) for n in (size[1], size[0], c, b)]
        return [x], {"mode": mode | flags}, result, lambda g, t: g.call("ggml_interpolate", t[0], *shape, mode | flags)
    return make


def upscale_outer(rng):
    """Outer axes are picked from, too."""
    x, times = tensor(rng, *sizes(rng, 4)), sizes(rng, 4, 4)
    result = x
    for axis, n in enumerate(times):
        result = result.repeat_interleave(n, axis)
    shape = [i64(n) for n in result.shape[::-1]]
    return [x], {"mode": 0}, result, lambda g, t: g.call("ggml_interpolate", t[0], *shape, 0)


def windows(x, w):
    """Of an image [rows, columns, channels], as in Segment Anything."""
    x = F.pad(x, (0, 0, 0, -x.shape[1] % w, 0, -x.shape[0] % w))
    return x.unflatten(1, (-1, w)).unflatten(0, (-1, w)).transpose(1, 2).flatten(0, 1)


def window_partition(rng):
    rows, columns, channels, w = *sizes(rng, 2, 12), *sizes(rng, 2)
    x = tensor(rng, rows, columns, channels)
    params = {"windows_x": -(-columns // w), "windows_y": -(-rows // w), "window": w}
    return [x], params, windows(x, w), lambda g, t: g.call("ggml_win_part", t[0], w)


def window_unpartition(rng):
    rows, columns, channels, w = *sizes(rng, 2, 12), *sizes(rng, 2)
    x = tensor(rng, rows, columns, channels)
    return [windows(x, w)], {"window": w}, x, lambda g, t: g.call("ggml_win_unpart", t[0], columns, rows, w)


def get_rel_pos(rng):
    n, channels = sizes(rng, 2, 9)
    table = tensor(rng, 2 * n - 1, channels).half()
    distance = torch.arange(n)[:, None] - torch.arange(n)[None] + n - 1
    return [table], {}, table[distance], lambda g, t: g.call("ggml_get_rel_pos", t[0], n, n)


def add_rel_pos(rng):
    b, n = sizes(rng, 2)
    x, w, h = tensor(rng, b, n * n, n * n), tensor(rng, b, n * n, n), tensor(rng, b, n * n, n)
    result = x.reshape(b, n * n, n, n) + w[..., None, :] + h[..., None]
    return [x, w.reshape(b, n, n, n), h.reshape(b, n, n, n)], {}, result.reshape(x.shape), lambda g, t: g.call("ggml_add_rel_pos", *t)


def swiglu_clamp(rng):
    x, y, limit = 3 * tensor(rng, 4, 9), 3 * tensor(rng, 4, 9), 2.0
    x, y = x.float().double(), y.float().double()
    return [x, y], {"limit": limit}, F.silu(x.clamp(max=limit)) * y.clamp(-limit, limit), lambda g, t: g.call("ggml_swiglu_clamp", *t, limit)


# ------------------------------------------------------------------ products and convolutions

def out_prod(rng):
    b, h, r, s, m, n, k = sizes(rng, 7)
    x, y = tensor(rng, b, h, k, m), tensor(rng, b * r, h * s, k, n)
    result = y.transpose(-1, -2) @ x.repeat_interleave(r, 0).repeat_interleave(s, 1)
    return [x, y], {}, result, lambda g, t: g.call("ggml_out_prod", *t)


def solve_tri(rng):
    b, h, n, columns = sizes(rng, 4, 9)
    a, y = (0.3 * tensor(rng, b, h, n, n)).float().double(), tensor(rng, b, h, n, columns)
    a = a.tril(-1) + (1 + a.diagonal(dim1=-1, dim2=-2).abs()).float().double().diag_embed()
    result = torch.linalg.solve_triangular(a, y, upper=False)
    yes, no = ctypes.c_bool(True), ctypes.c_bool(False)
    return [a, y], {}, result, lambda g, t: g.call("ggml_solve_tri", *t, yes, yes, no)


def steps_of(rng, axes, most=3):
    """Strides, paddings and dilations of the axes, from the innermost."""
    return [[int(v) for v in rng.integers(low, most, axes)] for low in (1, 0, 1)]


def named(steps):
    return {f"{name}_{i}": v for name, values in zip(("stride", "padding", "dilation"), steps) for i, v in enumerate(values)}


def torch_steps(steps):
    return [tuple(values[::-1]) for values in steps]


def conv_2d(half=False):
    def make(rng):
        batch, filters, channels, kh, kw = sizes(rng, 5, 4)
        steps = steps_of(rng, 2)
        kernel, x = tensor(rng, filters, channels, kh, kw), tensor(rng, batch, channels, 8, 9)
        if half:
            kernel, x = kernel.half(), x.half().double()
        strides, paddings, dilations = torch_steps(steps)
        result = F.conv2d(x, kernel.double(), None, strides, paddings, dilations)
        return [kernel, x], named(steps), result, lambda g, t: g.call("ggml_conv_2d_direct", *t, *sum(steps, []))
    return make


def conv_2d_dw(rng):
    batch, channels, kh, kw = sizes(rng, 4, 4)
    steps = steps_of(rng, 2)
    kernel, x = tensor(rng, channels, 1, kh, kw), tensor(rng, batch, channels, 8, 9)
    strides, paddings, dilations = torch_steps(steps)
    result = F.conv2d(x, kernel, None, strides, paddings, dilations, groups=channels)
    return [kernel, x], named(steps), result, lambda g, t: g.call("ggml_conv_2d_dw_direct", *t, *sum(steps, []))


def conv_3d(rng):
    batch, filters, channels, kd, kh, kw = sizes(rng, 6, 4)
    steps = steps_of(rng, 3)
    kernel, x = tensor(rng, filters, channels, kd, kh, kw), tensor(rng, batch, channels, 6, 7, 8)
    strides, paddings, dilations = torch_steps(steps)
    result = F.conv3d(x, kernel, None, strides, paddings, dilations)
    params = {**named(steps), "channels_in": channels, "batch": batch, "channels_out": filters}
    return [kernel.flatten(0, 1), x.flatten(0, 1)], params, result.flatten(0, 1), lambda g, t: g.call("ggml_conv_3d_direct", *t, *sum(steps, []), channels, batch, filters)


def conv_transpose_1d(rng):
    channels, filters, width, length, stride = sizes(rng, 5)
    kernel, x = tensor(rng, channels, filters, width), tensor(rng, channels, length)
    result = F.conv_transpose1d(x, kernel, stride=stride)
    return [kernel, x], {"stride_0": stride, "dilation_0": 1}, result, lambda g, t: g.call("ggml_conv_transpose_1d", *t, stride, 0, 1)


def conv_transpose_2d(rng):
    batch, channels, filters, kh, kw, h, w, stride = sizes(rng, 8)
    kernel, x = tensor(rng, channels, filters, kh, kw).half(), tensor(rng, batch, channels, h, w).half().double()
    result = F.conv_transpose2d(x, kernel.double(), stride=stride)
    return [kernel, x], {"stride_0": stride}, result, lambda g, t: g.call("ggml_conv_transpose_2d_p0", *t, stride)


def im2col_3d(rng):
    batch, filters, channels, kd, kh, kw = sizes(rng, 6, 4)
    steps = steps_of(rng, 3)
    kernel, x = tensor(rng, filters, channels, kd, kh, kw), tensor(rng, batch, channels, 6, 7, 8)
    padded = F.pad(x, [p for padding in steps[1] for p in (padding, padding)])
    for axis, size, stride, dilation in zip((4, 3, 2), (kw, kh, kd), steps[0], steps[2]):
        padded = padded.unfold(axis, dilation * (size - 1) + 1, stride)
    result = padded[..., ::steps[2][0], ::steps[2][1], ::steps[2][2]]  # the axes within a window: columns, rows, depth
    result = result.permute(0, 2, 3, 4, 1, 7, 6, 5).flatten(4)
    return ([kernel.flatten(0, 1), x.flatten(0, 1)], {**named(steps), "channels": channels}, result.flatten(0, 1),
            lambda g, t: g.call("ggml_im2col_3d", *t, i64(channels), *sum(steps, []), 0))


def col2im_1d(rng):
    channels, length, width, stride = sizes(rng, 4)
    x, whole = tensor(rng, length, channels * width), (length - 1) * stride + width
    padding = int(rng.integers(0, (whole + 1) // 2))
    result = F.fold(x.reshape(length, channels, width).permute(1, 2, 0).reshape(channels * width, length), (1, whole), (1, width), stride=(1, stride))[:, 0]
    params = {"stride_0": stride, "channels": channels, "padding_0": padding}
    return [x], params, result[:, padding:whole - padding], lambda g, t: g.call("ggml_col2im_1d", t[0], stride, channels, padding)


CASES = {
    "ROPE offset": rope("normal", 0, offset=4), "ROPE neox offset": rope("neox", 2, offset=2), "ROPE mrope": rope("mrope", 8), "ROPE vision": rope("vision", 24),
    "ROPE imrope": rope("imrope", 40), "ROPE mrope yarn": rope("mrope", 8, yarn=True), "ROPE imrope factors": rope("imrope", 40, yarn=True, factors=True),
    "TIMESTEP_EMBEDDING": timestep_embedding, "SSM_SCAN mamba": ssm_scan(False), "SSM_SCAN mamba 2": ssm_scan(True), "RWKV_WKV6": wkv6, "RWKV_WKV7": wkv7,
    "GATED_LINEAR_ATTN": gated_linear_attn, "GATED_DELTA_NET": gated_delta_net, "TOP_K": top_k, "ARGMAX": argmax, "COUNT_EQUAL": count_equal, "TRI": tri, "ROLL": roll,
    "FILL": fill, "DIAG": diag, "PAD circular": pad_circular, "ACC": changed_part(True), "SET": changed_part(False), "SET_ROWS": set_rows, "ADD1": add1, "UPSCALE nearest": upscale(0, name="nearest"),
    "UPSCALE outer": upscale_outer, "UPSCALE bilinear": upscale(1, name="bilinear"), "UPSCALE bilinear corners": upscale(1, 0x100, "bilinear"),
    "UPSCALE bilinear antialias": upscale(1, 0x200, "bilinear"), "UPSCALE bicubic": upscale(2, name="bicubic"), "UPSCALE bicubic corners": upscale(2, 0x100, "bicubic"),
    "WIN_PART": window_partition, "WIN_UNPART": window_unpartition, "GET_REL_POS": get_rel_pos, "ADD_REL_POS": add_rel_pos, "SWIGLU_CLAMP": swiglu_clamp, "OUT_PROD": out_prod,
    "SOLVE_TRI": solve_tri, "CONV_2D": conv_2d(), "CONV_2D half": conv_2d(True), "CONV_2D_DW": conv_2d_dw, "CONV_3D": conv_3d, "CONV_TRANSPOSE_1D": conv_transpose_1d,
    "CONV_TRANSPOSE_2D": conv_transpose_2d, "IM2COL_3D": im2col_3d, "COL2IM_1D": col2im_1d,
    "LIGHTNING_INDEXER": lightning_indexer, "DSV4_HC_COMB": hc_comb, "DSV4_HC_PRE": hc_pre(False), "DSV4_HC_PRE gated": hc_pre(True), "DSV4_HC_POST": hc_post(True),
    "DSV4_HC_POST alone": hc_post(False),
}
