"""Which recorded value a tensor holds.

A value is known by where it lies: storage, offset, shape, strides and dtype. A cell
keeps, for one storage, the views of it that are known to hold a value (`entries`) and
the values that its bytes were written by, oldest first (`writes`). Writing in place
drops the entries that it overlaps, so a later read sees a new value. A weak reference
to the storage keeps its address from being reused while the cell is there, which is
what makes an address a safe key; it keeps no tensor data alive.
"""
import torch

_SWEEP_EVERY = 512
_WRITES_MAX = 256


class Value:
    """What the trace says of a value: the id of its line, and that of the line that came
    with its data: the same, an alias's (see Run.alias), or None."""
    __slots__ = ("id", "data_id")

    def __init__(self, identity, with_data):
        self.id = identity
        self.data_id = identity if with_data else None


def geometry(tensor):
    """Offset, shape, strides and dtype; strides of axes of one element mean nothing, and those
    of a contiguous tensor nothing beside its shape."""
    shape = tuple(tensor.shape)
    if tensor.is_contiguous():
        return tensor.storage_offset(), shape, None, tensor.dtype
    strides = tuple(0 if n == 1 else s for n, s in zip(shape, tensor.stride()))
    return tensor.storage_offset(), shape, strides, tensor.dtype


def extent(tensor):
    """The first byte and the one past the last that the tensor can touch in its storage."""
    count = tensor.numel()
    if count == 0:
        return 0, 0
    size = tensor.element_size()
    first = last = tensor.storage_offset()
    if tensor.is_contiguous():
        return first * size, (first + count) * size
    for n, stride in zip(tensor.shape, tensor.stride()):
        last += (n - 1) * stride
    return first * size, (last + 1) * size


def is_dense(tensor):
    """Whether the tensor touches every byte of its extent."""
    if tensor.is_contiguous():
        return True
    low, high = extent(tensor)
    return high - low == tensor.numel() * tensor.element_size()


def has_storage(tensor):
    return tensor.layout is torch.strided and not tensor.is_nested


def storage_key(tensor):
    return tensor.untyped_storage()._cdata


class Cell:
    __slots__ = ("weak", "entries", "writes")

    def __init__(self, tensor):
        self.weak = tensor.untyped_storage()._weak_ref()
        self.entries = {}
        self.writes = []

    def expired(self):
        return torch.UntypedStorage._expired(self.weak)

    def free(self):
        if self.weak is not None:
            torch.UntypedStorage._free_weak_ref(self.weak)
            self.weak = None

    def put(self, tensor, value):
        """The tensor's bytes now hold `value`: everything that overlaps is older."""
        low, high = extent(tensor)
        dense = is_dense(tensor)
        if self.entries:
            for key in [k for k, (_, a, b) in self.entries.items() if a < high and low < b]:
                del self.entries[key]
        if dense and self.writes:
            self.writes = [w for w in self.writes if not (low <= w[1] and w[2] <= high)]
        self.writes.append((value, low, high, dense))
        del self.writes[:-_WRITES_MAX]
        self.entries[geometry(tensor)] = (value, low, high)

    def put_view(self, tensor, value):
        low, high = extent(tensor)
        self.entries[geometry(tensor)] = (value, low, high)

    def underlying(self, tensor):
        """The values that the tensor's bytes were written by, oldest first, and whether
        the last of them alone covers it."""
        low, high = extent(tensor)
        touched = [w for w in self.writes if w[1] < high and low < w[2]]
        whole = len(touched) == 1 and touched[0][1] <= low and high <= touched[0][2] and touched[0][3]
        return [w[0] for w in touched], whole


class Registry:
    """The values of one pass."""

    def __init__(self):
        self.cells = {}
        self._countdown = _SWEEP_EVERY

    def cell(self, tensor):
        return self.cells.get(storage_key(tensor))

    def find(self, tensor):
        """The value that the tensor holds, if it is known as such."""
        cell = self.cell(tensor)
        entry = cell.entries.get(geometry(tensor)) if cell else None
        return entry[0] if entry else None

    def put(self, tensor, value):
        """Notes a new value: of a new storage, or written into a known one."""
        if has_storage(tensor):
            self._open(tensor).put(tensor, value)

    def put_view(self, tensor, value):
        if has_storage(tensor):
            self._open(tensor).put_view(tensor, value)

    def forget(self, tensor):
        cell = self.cells.pop(storage_key(tensor), None) if has_storage(tensor) else None
        if cell:
            cell.free()

    def _open(self, tensor):
        key = storage_key(tensor)
        cell = self.cells.get(key)
        if cell is None:
            self._countdown -= 1
            if self._countdown <= 0:
                self.sweep()
            cell = self.cells[key] = Cell(tensor)
        return cell

    def sweep(self):
        """Drops what is known of storages that are gone."""
        for key in [k for k, cell in self.cells.items() if cell.expired()]:
            self.cells.pop(key).free()
        self._countdown = max(_SWEEP_EVERY, len(self.cells))

    def close(self, survivors):
        """Moves what still lives to `survivors` (a KV cache, say), and frees the rest."""
        for key, cell in self.cells.items():
            if cell.expired() or not cell.writes:
                cell.free()
                continue
            cell.entries.clear()
            old = survivors.get(key)
            if old is not None:
                old.free()
            survivors[key] = cell
        self.cells = {}
        for key in [k for k, cell in survivors.items() if cell.expired()]:
            survivors.pop(key).free()
