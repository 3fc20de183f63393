"""Weights: a hash of a sample of each, and its values where no file is known that has them."""
from . import filters, model_files
from .recorder import dtype_name, recorder

BYTES_MAX = 256 << 20  # of all values that are kept without --weights


def record(parameter, name, layer):
    """A weight's line; returns its id."""
    event = {"event": "tensor", "layer": layer, "name": name, "op": "weight", "role": "weight", "dtype": dtype_name(parameter.dtype),
             "shape": list(parameter.shape)}
    return recorder.tensor(event, parameter, _keeps(parameter, name))


def _keeps(parameter, name):
    if recorder.filters.wants(filters.WEIGHT, name, "weight", layer=-1, number=-1):
        return True
    if not recorder.filters.whole or _is_in_file(parameter, name):
        return False
    size = parameter.numel() * parameter.element_size()
    if recorder.weight_bytes + size <= BYTES_MAX:
        recorder.weight_bytes += size
        return True
    for path in model_files.opened():
        recorder.model_file(path)
    recorder.note(f"weights were not recorded, beyond {BYTES_MAX >> 20} MiB: --weights records all of them, "
                  "--candidate-model names files that have them")
    return False


def _is_in_file(parameter, name):
    found = model_files.find(name, str(parameter.dtype), parameter.shape)
    path = found[0] if found is not None else model_files.find_layer(name, parameter.shape)
    if path is not None:
        recorder.model_file(path)
    return found is not None and found[1] == str(parameter.dtype)
