"""Faults planted in a converted model: a weight or a key of its GGUF is altered in place, and what reads it has to be named."""
import shutil

import conversion_lab  # noqa: F401  (its gguf)
import gguf
import numpy as np


def opened(path):
    return gguf.GGUFReader(path, "r+")


def tensor_of(reader, name):
    return next(tensor for tensor in reader.tensors if tensor.name == name)


def scale(name, factor):
    def alter(reader):
        tensor_of(reader, name).data[:] *= np.float32(factor)
        return {name}
    return alter


def alter(name, change):
    def altered(reader):
        data = tensor_of(reader, name).data
        data[:] = change(data.copy())
        return {name}
    return altered


def swap(first, second):
    def alter(reader):
        a, b = tensor_of(reader, first).data, tensor_of(reader, second).data
        a[:], b[:] = b.copy(), a.copy()
        return {first, second}
    return alter


def key(name, value):
    def alter(reader):
        field = reader.fields[name]
        field.parts[field.data[0]][0] = value
        return set()
    return alter


def keys(*names_and_values):
    """Arrays of numbers: name, values, name, values, …"""
    def altered(reader):
        for name, values in zip(names_and_values[::2], names_and_values[1::2]):
            field = reader.fields[name]
            for part, value in zip(field.data, values, strict=True):
                field.parts[part][0] = value
        return set()
    return altered


def plant(model, out, alter):
    """Copies a model and alters the copy. Returns the names of the weights that are wrong in it."""
    shutil.copy(model, out)
    reader = opened(out)
    wrong = alter(reader)
    for tensor in reader.tensors:
        tensor.data.flush()
        break
    reader.data.flush()
    return wrong
