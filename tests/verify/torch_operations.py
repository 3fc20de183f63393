"""Runs ATen's operations with random shapes and parameters, in float64:

    lockstep capture -o TRACE -- python torch_operations.py

Each function takes a generator of random numbers and computes with it; the hook records what it calls."""
import torch
from torch import nn
from torch.nn import functional as F

SEEDS = range(8)


class Random:
    def __init__(self, seed):
        self.generator = torch.Generator().manual_seed(seed)

    def size(self, most=6):
        return int(torch.randint(1, most, (), generator=self.generator))

    def pick(self, *choices):
        return choices[int(torch.randint(len(choices), (), generator=self.generator))]

    def axis(self, rank):
        return self.pick(*range(-rank, rank))

    def tensor(self, *shape):
        return torch.randn(*shape, generator=self.generator, dtype=torch.float64)

    def any(self, least=1, most=4):
        """Perhaps with axes in another order in memory."""
        rank = int(torch.randint(least, most + 1, (), generator=self.generator))
        x = self.tensor(*[self.size() for _ in range(rank)])
        return self.pick(x, x.transpose(0, -1))

    def integers(self, least, most, *shape):
        return torch.randint(least, most, shape, generator=self.generator)

    def flags(self, *shape):
        return self.integers(0, 2, *shape).bool()

    def pair(self):
        """Two tensors of which one may be repeated along the other's axes, or a number."""
        x = self.any()
        shape = [n if self.size() > 2 else 1 for n in x.shape][self.integers(0, x.dim(), 1).item():]
        return x, self.pick(self.tensor(*shape), self.tensor(*x.shape), 1.5)


def both(function):
    def run(r):
        x, y = r.pair()
        return function(x, y)
    return run


def compare(function):
    def run(r):
        x = r.any().round()
        return function(x, r.pick(1.0, r.tensor(x.shape[-1]).round()))
    return run


def logical(function):
    def run(r):
        n = r.size()
        return function(r.flags(r.size(), n), r.flags(n))
    return run


def reduce(function, least=1):
    def run(r):
        x = r.any(least)
        axes = r.pick(None, r.axis(x.dim()), tuple(range(x.dim()))[:2])
        return function(x) if axes is None else function(x, dim=axes, keepdim=r.pick(True, False))
    return run


def matmul(r):
    n, k, m, a, b = (r.size() for _ in range(5))
    x = r.pick(r.tensor(k), r.tensor(n, k), r.tensor(a, n, k), r.tensor(a, 1, n, k), r.tensor(k, n).T)
    y = r.pick(r.tensor(k), r.tensor(k, m), r.tensor(m, k).T, r.tensor(b, 1, k, m)[..., :])
    return torch.matmul(x, y)


def baddbmm(r):
    b, n, k, m = (r.size() for _ in range(4))
    return torch.baddbmm(r.pick(r.tensor(b, n, m), r.tensor(m)), r.tensor(b, n, k), r.tensor(b, k, m), beta=r.pick(0, 0.5), alpha=r.pick(1, 2.5))


def addmm(r):
    n, k, m = (r.size() for _ in range(3))
    return torch.addmm(r.tensor(m), r.tensor(n, k), r.tensor(k, m), beta=r.pick(1, 0.5), alpha=r.pick(1, 2))


def einsum(r):
    b, h, q, k, d = (r.size() for _ in range(5))
    return r.pick(lambda: torch.einsum("bhqd,bhkd->bhqk", r.tensor(b, h, q, d), r.tensor(b, h, k, d)), lambda: torch.einsum("bqhd, khd -> bhqk", r.tensor(b, q, h, d), r.tensor(k, h, d)),
                  lambda: torch.einsum("ij,jk", r.tensor(q, d), r.tensor(d, k)), lambda: torch.einsum("i,j->ij", r.tensor(q), r.tensor(k)), lambda: torch.einsum("ii->i", r.tensor(q, q)),
                  lambda: torch.einsum("abc->cb", r.tensor(b, h, q)), lambda: torch.einsum("i,ij,j->", r.tensor(q), r.tensor(q, k), r.tensor(k)))()


def linear(r):
    k, m = r.size(), r.size()
    return F.linear(r.tensor(*[r.size() for _ in range(r.size(3))], k), r.tensor(m, k), r.pick(None, r.tensor(m)))


def attention(r):
    b, h, g, q, k, n, m = (r.size() for _ in range(7))
    shares, causal = r.pick(True, False), r.pick(True, False)
    mask = None if causal else r.pick(None, r.tensor(q, k), r.flags(b, 1, q, k), r.flags(q, k))
    heads = h * g if shares else h
    return F.scaled_dot_product_attention(r.tensor(b, heads, q, n), r.tensor(b, h, k, n), r.tensor(b, h, k, m), attn_mask=mask, is_causal=causal,
                                          scale=r.pick(None, 0.3), enable_gqa=shares)


def layer_norm(r):
    x = r.any()
    shape = x.shape[r.integers(0, x.dim(), 1).item():]
    return F.layer_norm(x, shape, r.pick(None, r.tensor(*shape)), r.pick(None, r.tensor(*shape)), r.pick(1e-5, 0.1))


def rms_norm(r):
    x = r.any()
    shape = x.shape[r.integers(0, x.dim(), 1).item():]
    return F.rms_norm(x, shape, r.pick(None, r.tensor(*shape)), r.pick(None, 0.1))


def group_norm(r):
    groups = r.size(4)
    channels = groups * r.size(4)
    x = r.tensor(r.size(), channels, r.size() + 1, *r.pick((), (2,)))
    return F.group_norm(x, groups, *r.pick((None, None), (r.tensor(channels), r.tensor(channels))), r.pick(1e-5, 0.1))


def conv(axes, function):
    def run(r):
        groups, kernel = r.size(4), [r.size(4) for _ in range(axes)]
        channels, filters = r.size(4), groups * r.size(4)
        x = r.tensor(r.size(3), channels * groups, *[r.size() + 8 for _ in range(axes)])
        stride, padding, dilation = ([r.size(4) for _ in range(axes)], [r.integers(0, 3, 1).item() for _ in range(axes)], [r.size(3) for _ in range(axes)])
        if r.size() > 4:
            stride, padding = 1, "same"
        return function(x, r.tensor(filters, channels, *kernel), r.pick(None, r.tensor(filters)), stride, padding, dilation, groups)
    return run


def conv_transpose(axes, function):
    def run(r):
        groups, stride, dilation = r.size(4), [r.size(4) for _ in range(axes)], [r.size(3) for _ in range(axes)]
        channels, filters = groups * r.size(4), r.size(4)
        kernel, padding = [r.size(4) for _ in range(axes)], [r.integers(0, 3, 1).item() for _ in range(axes)]
        extra = [int(r.integers(0, max(s, d), 1)) for s, d in zip(stride, dilation)]
        x = r.tensor(r.size(3), channels, *[r.size() + 4 for _ in range(axes)])
        return function(x, r.tensor(channels, filters, *kernel), r.pick(None, r.tensor(filters * groups)), stride, padding, extra, groups, dilation)
    return run


def pool(r):
    flat, x, whole = r.tensor(2, 3, 17), r.tensor(2, 3, 9, 11), r.pick(True, False)
    kernel = r.pick(3, (2, 3), (4, 4))
    return [F.avg_pool2d(x, kernel, r.pick(None, 2, (1, 3)), r.pick(0, 1), whole, r.pick(True, False), r.pick(None, 5)),
            F.max_pool2d(x, kernel, r.pick(None, 2, (1, 3)), r.pick(0, 1), r.pick(1, 2), whole), F.max_pool2d(x.round(), kernel, return_indices=True),
            F.max_pool1d(flat, 3, 2, 1), F.avg_pool1d(flat, 4, 3, 2, whole), F.adaptive_avg_pool2d(x, r.pick(1, (4, 5), (3, None), (10, 12))),
            F.adaptive_avg_pool1d(flat, r.size(9)), F.adaptive_max_pool2d(x, (2, 3))]


def batch_norm(r):
    channels = r.size()
    x, mean, variance = r.tensor(3, channels, *r.pick((), (4,), (2, 5))), r.tensor(channels), r.tensor(channels).abs() + 0.1
    return F.batch_norm(x, mean, variance, *r.pick((None, None), (r.tensor(channels), r.tensor(channels))), eps=r.pick(1e-5, 0.1))


def cat(r):
    shape, axis = [r.size() for _ in range(3)], r.axis(3)
    parts = [r.tensor(*[r.size() if i == axis % 3 else n for i, n in enumerate(shape)]) for _ in range(r.size(12))]
    return torch.cat(parts, axis)


def stack(r):
    x = r.any()
    return torch.stack([x, x * 2, x + 1], r.axis(x.dim() + 1))


def index(r):
    x = r.tensor(4, 5, 6)
    i, j, k = r.integers(-4, 4, 2, 3), r.integers(-4, 4, 3), r.integers(-4, 4, 2, 1)
    return r.pick(lambda: x[i], lambda: x[:, j], lambda: x[i, j], lambda: x[i, :, k], lambda: x[:, i, k], lambda: x[r.flags(4, 5)], lambda: x[:, :, r.flags(6)],
                  lambda: x[j, :, j])()


def index_put(r):
    x, i, j = r.tensor(4, 5, 6).clone(), r.integers(0, 4, 3), r.integers(0, 5, 3)
    return r.pick(lambda: x.index_put((i, j), r.tensor(3, 6), accumulate=True), lambda: x.index_put((torch.arange(4),), r.tensor(4, 1, 6)),
                  lambda: x.index_put((r.flags(4, 5),), torch.tensor(2.0, dtype=torch.float64)))()


def gather(r):
    axis = r.axis(2)
    return torch.gather(r.tensor(5, 5), axis, r.integers(0, 5, r.size(), r.size()))


def scatter(r):
    axis, at = r.axis(2), torch.stack([torch.randperm(5, generator=r.generator) for _ in range(5)])
    at = at.T if axis % 2 == 0 else at
    return r.pick(lambda: torch.scatter(r.tensor(5, 5), axis, at, r.tensor(5, 5)), lambda: torch.scatter(r.tensor(5, 5), axis, at, 2.5),
                  lambda: torch.scatter_add(r.tensor(5, 5), axis, r.integers(0, 5, 4, 3), r.tensor(5, 5)))()


def index_rows(r):
    x, axis = r.tensor(4, 4, 4), r.axis(3)
    at, shape = torch.randperm(4, generator=r.generator)[:r.size(5)], [4, 4, 4]
    shape[axis] = len(at)
    return r.pick(lambda: torch.index_copy(x, axis, at, r.tensor(*shape)), lambda: torch.index_add(x, axis, at, r.tensor(*shape), alpha=r.pick(1, 0.5)),
                  lambda: torch.index_select(x, axis, at))()


def grouped_mm(r):
    ends = torch.cumsum(r.integers(0, 4, 3), 0).int()
    return F.grouped_mm(r.tensor(int(ends[-1]), 8).float(), r.tensor(3, 8, 4).float(), offs=ends)


def parts(r):
    x = torch.zeros(4, 6, dtype=torch.float64)
    x[:, r.size():] = 1.5
    x[r.size(4)].copy_(r.tensor(6))
    return x.T * 2


def views(r):
    x = r.tensor(2, 3, 4, 5)
    y = r.pick(x, x.transpose(1, 2).relu(), x.permute(3, 1, 0, 2).exp())
    return [y.transpose(0, 2)[1:, :, 0] + 1, y.flatten(1) * 2, y.transpose(1, 2).reshape(y.shape[0], -1) - 1, y.unsqueeze(1).expand(-1, 3, -1, -1, -1) * 3,
            y.chunk(2, -1)[-1].neg(), y.select(1, -1)[..., ::2].abs(), y.unbind(0)[1].t().sqrt() if y.dim() == 2 else y.movedim(0, -1).sum(-1)]


def gelu(r):
    return F.gelu(r.any() * 2, approximate=r.pick("none", "tanh"))


def power(r):
    x = r.any().abs() + 0.1
    return r.pick(lambda: x.pow(2), lambda: x.pow(-0.5), lambda: torch.pow(2.5, x), lambda: x.pow(r.tensor(x.shape[-1])))()


def sorting(r):
    x, axis = r.any(), r.axis(1)
    return [torch.sort(x, axis, descending=r.pick(True, False)), torch.argsort(x, r.axis(x.dim())), torch.topk(x, r.size(x.shape[-1] + 1), largest=r.pick(True, False)),
            torch.topk(x, 1, dim=0)]


def extremes(r):
    x = r.any()
    return [x.argmax(), x.argmin(-1), x.argmax(0, keepdim=True), x.max(), x.max(-1), x.min(0), x.amax((0, -1) if x.dim() > 1 else 0), x.amin(-1, keepdim=True)]


UNARY = [torch.square, torch.sin, torch.cos, torch.abs, torch.sign, torch.neg, torch.tanh, torch.relu, torch.sigmoid, F.silu, F.hardswish, F.hardsigmoid, torch.exp,
         torch.expm1, torch.floor, torch.ceil, torch.round, torch.trunc, torch.erf, torch.reciprocal, F.logsigmoid, F.elu, F.softplus, F.leaky_relu, torch.logical_not,
         lambda x: (x.abs() + 0.1).sqrt(), lambda x: (x.abs() + 0.1).rsqrt(), lambda x: (x.abs() + 0.1).log(), lambda x: (x > 0).bitwise_not(), lambda x: x.long().bitwise_not()]
CASES = [
    both(torch.add), both(torch.sub), both(torch.mul), both(torch.div),
    lambda r: torch.add(r.any(), 1.25, alpha=2), lambda r: torch.sub(*(lambda x: (x, x.flip(0)))(r.any()), alpha=0.5), lambda r: torch.rsub(r.any(), 1.5),
    lambda r: torch.div(r.any() * 5, 2, rounding_mode=r.pick("floor", "trunc")), lambda r: r.integers(-9, 9, 3, 4) // 2, lambda r: r.any() % 0.75, lambda r: torch.fmod(r.any(), 0.75),
    lambda r: torch.maximum(*(lambda x: (x, x.neg()))(r.any())), lambda r: torch.minimum(*(lambda x: (x, x.neg()))(r.any())),
    lambda r: torch.addcmul(*[r.tensor(3, 4) for _ in range(3)], value=r.pick(1, 0.5)), power,
    compare(torch.eq), compare(torch.ne), compare(torch.lt), compare(torch.le), compare(torch.gt), compare(torch.ge),
    logical(torch.logical_and), logical(torch.logical_or), logical(torch.logical_xor), logical(torch.bitwise_and), logical(torch.bitwise_or), logical(torch.bitwise_xor),
    lambda r: r.integers(0, 99, 4) & r.integers(0, 99, 4), lambda r: torch.where(r.flags(3, 4), r.tensor(4), r.pick(0.5, r.tensor(3, 1))),
    lambda r: r.any().masked_fill(torch.tensor(True), -2.0), lambda r: r.tensor(2, 3, 4).masked_fill(r.flags(3, 1), float("-inf")),
    lambda r: torch.clamp(r.any(), *r.pick((-0.5, 0.5), (None, 0.1), (0.2, None))), lambda r: r.any().clamp_min(0.1), lambda r: r.tensor(3, 4).clamp(max=r.tensor(4)),
    *[lambda r, f=f: f(r.any() * 2) for f in UNARY], gelu,
    linear, matmul, einsum, addmm, baddbmm, lambda r: torch.mv(r.tensor(3, 4), r.tensor(4)), grouped_mm,
    conv(1, F.conv1d), conv(2, F.conv2d), conv(3, F.conv3d), conv_transpose(1, F.conv_transpose1d), conv_transpose(2, F.conv_transpose2d), pool,
    layer_norm, rms_norm, group_norm, batch_norm,
    lambda r: torch.softmax(r.any(), r.axis(1)), lambda r: torch.log_softmax(r.any(), -1), attention,
    reduce(torch.sum), reduce(torch.mean), reduce(lambda x, **k: torch.var(x, correction=0, **k), 2), reduce(lambda x, **k: torch.std(x + 1, **k), 2),
    lambda r: torch.var_mean(r.tensor(3, 4), -1), lambda r: (r.any() > 0).any(-1), lambda r: (r.any() > -1).all(0), extremes, sorting,
    lambda r: torch.cumsum(r.any(), r.axis(1)), lambda r: torch.histc(r.integers(0, 4, 9).double(), bins=4, min=0, max=3),
    lambda r: r.any().to(r.pick(torch.float64, torch.int64, torch.bool), copy=True), lambda r: r.any().transpose(0, -1).contiguous(), lambda r: r.tensor(3, 4).clone().copy_(r.tensor(4)),
    lambda r: r.tensor(2, 3).repeat(r.size(), 2, 3), cat, stack, parts, lambda r: F.pad(r.tensor(3, 4, 5), r.pick((1, 2), (0, 1, 2, 0), (-1, 2)), value=r.pick(0.0, 1.5)),
    lambda r: torch.flip(r.tensor(3, 4, 5), r.pick((0,), (-1, 1))), lambda r: r.tensor(2, 4, 5).tril(r.pick(-1, 0, 2)), lambda r: r.tensor(4, 5).triu(r.pick(-1, 0, 2)),
    lambda r: F.embedding(r.integers(0, 7, 2, 3), r.tensor(7, 4)), index, index_put, gather, scatter, index_rows, views,
    lambda r: torch.full((2, 3), 1.5), lambda r: torch.full_like(r.any(), 2), lambda r: r.any().new_full((3,), 0.5), lambda r: torch.zeros_like(r.any()), lambda r: torch.zeros(2, 3),
    lambda r: torch.ones(3), lambda r: r.any().clone().fill_(3.5), lambda r: r.any().clone().zero_(), lambda r: torch.arange(*r.pick((5,), (2, 9), (1.5, 4, 0.25))), lambda r: torch.linspace(-1, 2, r.size()),
    lambda r: r.tensor(2, 3, 4).masked_scatter(r.flags(2, 3, 1), r.tensor(9, 4)), lambda r: r.tensor(3, 4).masked_scatter(r.flags(3, 4), r.tensor(20)),
]
LAYERS = [nn.Linear(4, 3), nn.Linear(4, 3, bias=False), nn.LayerNorm(4), nn.RMSNorm(4), nn.GELU(), nn.GELU("tanh"), nn.SiLU(), nn.ReLU(), nn.Tanh(), nn.Sigmoid(), nn.Softmax(-1)]


class All(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList(LAYERS)
        self.embedding, self.norm = nn.Embedding(7, 4), nn.GroupNorm(2, 4)
        self.convolutions = nn.ModuleList([nn.Conv1d(4, 6, 3, padding=1), nn.Conv2d(4, 2, 2, stride=2), nn.Conv3d(4, 2, 2)])
        self.recurrent = nn.ModuleList([kind(4, 3, **more) for kind in (nn.LSTM, nn.GRU) for more in (
            {}, {"num_layers": 2, "bidirectional": True, "batch_first": True}, {"num_layers": 2, "bias": False})])
        self.of_rows = nn.ModuleList([nn.ConvTranspose1d(4, 6, 3, 2, 1), nn.MaxPool1d(2), nn.AvgPool1d(3, 2, 1), nn.AdaptiveAvgPool1d(3), nn.BatchNorm1d(4), nn.BatchNorm1d(4, affine=False)])
        self.of_images = nn.ModuleList([nn.ConvTranspose2d(4, 6, 3, 2, 1, groups=2), nn.MaxPool2d(2), nn.AvgPool2d(3, 2, 1), nn.AdaptiveAvgPool2d(3), nn.BatchNorm2d(4)])

    def forward(self, seed):
        for number, case in enumerate(CASES):
            case(Random(1000 * int(seed) + number))
        r = Random(int(seed))
        for layer in self.layers:
            layer(r.tensor(2, 3, 4))
        self.norm(r.tensor(2, 4, 5))
        self.embedding(r.integers(0, 7, 2, 3))
        for axes, layer in enumerate(self.convolutions):
            layer(r.tensor(2, 4, *[5] * (axes + 1)))
        for axes, layers in ((1, self.of_rows), (2, self.of_images)):
            for layer in layers:
                layer(r.tensor(2, 4, *[7] * axes))
        for layer in self.recurrent:
            states = torch.randn(layer.num_layers * (1 + layer.bidirectional), 2, 3, generator=r.generator)
            layer(r.tensor(2, 5, 4) if layer.batch_first else r.tensor(5, 2, 4), r.pick(None, (states, states + 1) if isinstance(layer, nn.LSTM) else states))
            layer(r.tensor(5, 4))


if __name__ == "__main__":
    torch.set_default_dtype(torch.float64)
    with torch.no_grad():
        model = All().double().eval()
        for seed in SEEDS:
            model(torch.tensor(seed))
