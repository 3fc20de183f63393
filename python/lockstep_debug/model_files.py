"""Files with weights that the program has opened. Needs no torch: safetensors may be there without it."""
import functools
import json
import os
import struct

_DTYPES = {"BOOL": "torch.bool", "I8": "torch.int8", "U8": "torch.uint8", "I16": "torch.int16", "I32": "torch.int32", "I64": "torch.int64",
           "F16": "torch.float16", "BF16": "torch.bfloat16", "F32": "torch.float32", "F64": "torch.float64"}
_HEADER_MAX = 100 << 20  # bytes
_files = {}  # path -> {name: (dtype, shape)}, or None before the file was looked into


def opened():
    """Their absolute paths, in the order in which they were opened."""
    return list(_files)


def find(name, dtype, shape):
    """(path, type) of the last of them that has a tensor of this name and shape, if possible in this type: the program may have converted it. Or None."""
    found = [(path, *_tensors_of(path).get(name, (None, None))) for path in reversed(_files)]
    alike = [(path, own) for path, own, own_shape in found if own_shape == list(shape)]
    return next((item for item in alike if item[1] == dtype), alike[0] if alike else None)


def find_layer(name, shape):
    """The last of them that has a tensor of this shape whose name ends alike, from the layer's number on: prefixes differ between checkpoints and modules. Or None."""
    end = _of_layer(name)
    for path in reversed(_files):
        if end is not None and any(_of_layer(other) == end and found == list(shape) for other, (_, found) in _tensors_of(path).items()):
            return path
    return None


def _of_layer(name):
    parts = name.split(".")
    return next((".".join(parts[i:]) for i, part in enumerate(parts) if part.isdigit()), None)


def observe_safetensors(module):
    """Called when the package has been imported, before anything takes safe_open from it."""
    original = module.safe_open

    @functools.wraps(original, updated=())
    def safe_open(filename, *args, **kwargs):
        _note(filename, None)
        return original(filename, *args, **kwargs)

    module.safe_open = safe_open


def observe_torch(module):
    """Called when torch.serialization has been imported."""
    original = module.load

    @functools.wraps(original)
    def load(f, *args, **kwargs):
        result = original(f, *args, **kwargs)
        _note(f, result)
        return result

    module.load = load


def _note(file, content):
    try:
        path = os.path.realpath(file)
        if os.path.isfile(path):
            _files[path] = None if content is None else _described(content)
    except Exception:  # a file object
        pass


def _described(content):
    if not isinstance(content, dict):
        return {}
    return {name: (str(item.dtype), list(item.shape)) for name, item in content.items() if hasattr(item, "dtype") and hasattr(item, "shape")}


def _tensors_of(path):
    if _files[path] is None:
        try:
            _files[path] = _read_header(path)
        except (OSError, ValueError, KeyError, TypeError, struct.error):
            _files[path] = {}
    return _files[path]


def _read_header(path):
    with open(path, "rb") as file:
        size, = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(min(size, _HEADER_MAX)))
    return {name: (_DTYPES.get(item["dtype"]), item["shape"]) for name, item in header.items() if name != "__metadata__"}
