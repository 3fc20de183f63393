"""KV caches and other states, as a pass leaves them."""
import torch

from . import filters
from .inputs import CACHE_NAMES, arguments
from .passes import is_recordable, walk
from .recorder import recorder
from .values import has_storage

_PARTS = ("self_attention_cache", "cross_attention_cache")
_OF_LAYER = ("keys", "values", "conv_states", "recurrent_states", "ssm_states")
_LISTS = {"key_cache": "keys", "value_cache": "values", "conv_states": "conv_states", "ssm_states": "ssm_states"}
_OF_TUPLE = ("keys", "values", "cross.keys", "cross.values")


def tensors_of(cache):
    """(name, layer, tensor) of each tensor in a cache: transformers' caches, with a list of
    layers or with a list for each kind, and tuples with one (key, value) per layer."""
    for part in _PARTS:
        if getattr(cache, part, None) is not None:
            yield from ((f"{part}.{name}", layer, tensor) for name, layer, tensor in tensors_of(getattr(cache, part)))
    if isinstance(cache, (list, tuple)):
        found = [(layer, what, value) for layer, own in enumerate(cache) if isinstance(own, (list, tuple))
                 for what, value in zip(_OF_TUPLE, own)]
    elif isinstance(getattr(cache, "layers", None), (list, tuple)):
        found = [(layer, what, getattr(own, what, None)) for layer, own in enumerate(cache.layers) for what in _OF_LAYER]
    else:
        found = [(layer, what, value) for attribute, what in _LISTS.items()
                 for layer, value in enumerate(_listed(getattr(cache, attribute, None)))]
    for layer, what, value in found:
        for suffix, tensor in walk(value, what):
            if is_recordable(tensor) and tensor.numel():
                yield f"{layer}.{suffix}", layer, tensor


def _listed(value):
    """The items for each layer: of a list, a dictionary, or a tensor with one row per layer."""
    return value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple, torch.Tensor)) else ()


def _all_caches(module, args, kwargs, result):
    """A cache that the pass returns has precedence over one that it was given under the same name."""
    if isinstance(result, dict):
        named = list(result.items())
    else:  # in a plain tuple, whatever can be recognized as a cache
        named = [(CACHE_NAMES[0], item) for item in (result if isinstance(result, (list, tuple)) else ()) if hasattr(item, "get_seq_length")]
    caches = {}
    for name, value in named + arguments(module, args, kwargs):
        if name in CACHE_NAMES and value is not None:
            caches.setdefault(name, value)
    return caches.items()


def record(run, module, args, kwargs, result):
    """A line for each tensor of the caches that the pass was given, or returns."""
    if not recorder.filters.wants(filters.CACHE, "", "", -1, run.number):
        return
    for name, cache in _all_caches(module, args, kwargs, result):
        for suffix, layer, tensor in tensors_of(cache):
            known = run.registry.find(tensor) if has_storage(tensor) else None
            run.record(None, "state", tensor, [known.id] if known else [], name=f"{name}.{suffix}", kind=filters.CACHE,
                       layer=layer, role="state", track=False)
