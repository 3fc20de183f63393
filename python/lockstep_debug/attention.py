"""scaled_dot_product_attention: one fused call, whose intermediate results are recomputed.

Its inputs (.q .k .v .mask) and its output are recorded. The scores q·kᵀ before scale and
mask (.scores) and the probabilities (.weights) are recomputed in float64, separately from
the program, and kept as float32 (float64 if q is).
"""
import math

import torch

from . import filters
from .passes import is_recordable, simple_parameters
from .recorder import guard, recorder, where

NAME = "scaled_dot_product_attention"
SCORES_BYTES_MAX = 1 << 30
_ARGUMENTS = ("query", "key", "value", "attn_mask", "dropout_p", "is_causal", "scale", "enable_gqa")


class Call:
    """The arguments of a call, and the ids of their values."""

    def __init__(self, args, kwargs):
        given = dict(zip(_ARGUMENTS, args))
        given.update(kwargs)
        self.q, self.k, self.v = given["query"], given["key"], given["value"]
        self.mask = given.get("attn_mask")
        self.is_causal = bool(given.get("is_causal", False))
        self.enable_gqa = bool(given.get("enable_gqa", False))
        scale = given.get("scale")
        self.scale = 1 / math.sqrt(self.q.shape[-1]) if scale is None else float(scale)
        self.params = simple_parameters([
            ("scale", self.scale), ("is_causal", self.is_causal), ("enable_gqa", self.enable_gqa),
            ("dropout", float(given.get("dropout_p", 0.0)))])
        self.sources = []
        self.by_name = {}
        self.cast = _autocast(self.q)
        if self.cast is not None:
            self.params.update(simple_parameters([("autocast", self.cast)]))


def _autocast(tensor):
    """The dtype that autocast turns the arguments into, or None."""
    kind = tensor.device.type
    try:
        enabled = torch.is_autocast_enabled(kind)
        dtype = torch.get_autocast_dtype(kind) if enabled else None
    except (TypeError, AttributeError):  # before torch 2.4
        enabled = torch.is_autocast_enabled() if kind == "cuda" else \
            kind == "cpu" and torch.is_autocast_cpu_enabled()
        dtype = (torch.get_autocast_gpu_dtype() if kind == "cuda" else torch.get_autocast_cpu_dtype()) \
            if enabled else None
    return dtype if enabled and tensor.dtype in (torch.float32, torch.float16, torch.bfloat16) else None


@guard
def before(run, args, kwargs):
    """Names the arguments and computes the intermediate results, before the call itself."""
    call = Call(args, kwargs)
    if not all(is_recordable(t) for t in (call.q, call.k, call.v)):
        return None
    for name, tensor in (("q", call.q), ("k", call.k), ("v", call.v), ("mask", call.mask)):
        value = run.resolve(tensor) if isinstance(tensor, torch.Tensor) else None
        if value is not None:
            run.alias(run.frame.name(f"{NAME}.{name}"), NAME, tensor, value, filters.FUNCTION)
            call.by_name[name] = value.id
            call.sources.append(value.id)
    _middle(run, call)
    return call


@guard
def after(run, call, result):
    if run.known(result) is None:
        run.record(NAME, NAME, result, call.sources, kind=filters.FUNCTION,
                   params=call.params, where=where(5))


@guard
def _middle(run, call):
    """Records scores and weights, when they are wanted and fit."""
    wanted = [what for what in ("scores", "weights") if recorder.filters.wants(
        filters.FUNCTION, run.frame.name(f"{NAME}.{what}"), NAME, run.frame.layer, run.number)]
    if not wanted:
        return
    q, k = call.q, call.k
    keep = torch.float64 if q.dtype is torch.float64 else torch.float32
    shape = torch.broadcast_shapes(q.shape[:-2], _repeated_heads(q, k, call).shape[:-2]) \
        + (q.shape[-2], k.shape[-2])
    if math.prod(shape) * keep.itemsize > SCORES_BYTES_MAX:
        recorder.note(f"{NAME}: scores of {math.prod(shape) * keep.itemsize} bytes not computed")
        return
    with torch.no_grad(), torch.autocast(q.device.type, enabled=False):
        scores, weights = _scores_and_weights(call, shape, keep, "weights" in wanted)
    made = {"scores": [call.by_name.get("q"), call.by_name.get("k")]}
    values = {}
    for what, tensor in (("scores", scores), ("weights", weights)):
        if what not in wanted:
            continue
        sources = [i for i in made["scores"] if i is not None] if what == "scores" else \
            [i for i in (values["scores"].id if "scores" in values else None, call.by_name.get("mask"))
             if i is not None]
        values[what] = run.record(
            f"{NAME}.{what}", NAME, tensor, sources, kind=filters.FUNCTION, track=False,
            params=dict(call.params, recomputed=True), where=where(6))


def _repeated_heads(q, k, call):
    """k's heads repeated until there are as many as q's, as enable_gqa does."""
    if not call.enable_gqa or q.dim() < 3 or q.shape[-3] == k.shape[-3]:
        return k
    return k.repeat_interleave(q.shape[-3] // k.shape[-3], -3)


def _scores_and_weights(call, shape, keep, with_weights):
    """Both tensors in `keep`, computed in float64 one batch and head at a time."""
    q, k, mask = call.q.detach(), call.k.detach(), call.mask
    if call.cast is not None:
        q, k = q.to(call.cast), k.to(call.cast)
    if q.device.type not in ("cpu", "cuda"):  # other devices may not support float64
        q, k, mask = q.cpu(), k.cpu(), None if mask is None else mask.cpu()
    k = _repeated_heads(q, k, call)
    rows, columns = shape[-2:]
    flat_q = q.expand(shape[:-2] + q.shape[-2:]).reshape(-1, rows, q.shape[-1])
    flat_k = k.expand(shape[:-2] + k.shape[-2:]).reshape(-1, columns, k.shape[-1])
    blocked = _blocked(call, rows, columns, q.device)
    if mask is not None:
        mask = mask.detach().expand(shape).reshape(-1, rows, columns)
    scores = torch.empty((flat_q.shape[0], rows, columns), dtype=keep, device=q.device)
    weights = torch.empty_like(scores) if with_weights else None
    for i in range(flat_q.shape[0]):
        product = flat_q[i].double() @ flat_k[i].double().transpose(0, 1)
        scores[i] = product
        if with_weights:
            weights[i] = _softmax(product * call.scale, None if mask is None else mask[i], blocked)
    return scores.reshape(shape), None if weights is None else weights.reshape(shape)


def _blocked(call, rows, columns, device):
    """The positions that is_causal masks: the diagonal starts at the top left, whatever the shape."""
    if not call.is_causal:
        return None
    return torch.ones(rows, columns, dtype=torch.bool, device=device).tril().logical_not()


def _softmax(scaled, mask, blocked):
    if blocked is not None:
        scaled = scaled.masked_fill(blocked, float("-inf"))
    if mask is not None:
        scaled = scaled.masked_fill(mask.logical_not(), float("-inf")) if mask.dtype is torch.bool \
            else scaled + mask.double()
    weights = torch.softmax(scaled, -1)
    # A row that may attend to nothing has weights of zero.
    return weights.masked_fill((scaled == float("-inf")).all(-1, keepdim=True), 0.0)
