"""Which recorded value a tensor holds.

A value is identified by its place: storage, offset, shape, strides and dtype. For one
storage, a cell keeps the views that are known to hold a value (`entries`) and the values
whose writes its bytes come from, oldest first (`writes`). Writing in place drops the
entries that it overlaps, so that a later read sees a new value. A weak reference to the
storage prevents its address from being reused while the cell exists, so that the address
is a safe key; it keeps no tensor data alive.
"""
import torch

_SWEEP_EVERY = 512
_WRITES_MAX = 256


class Value:
    """A value in the trace: the id of its line; that of the line that has its data: the same,
    that of an alias (see Run.alias), or None; the value in whose memory it lies: itself, or for
    a view another one; and its geometry."""
    __slots__ = ("id", "data_id", "whole", "geometry")

    def __init__(self, identity, with_data, tensor=None, whole=None):
        self.id = identity
        self.data_id = identity if with_data else None
        self.whole = whole or self
        self.geometry = geometry(tensor) if tensor is not None and has_storage(tensor) else None


def geometry(tensor):
    """Offset, shape, strides and dtype. Strides of axes with one element are meaningless, and
    those of a contiguous tensor follow from its shape."""
    shape = tensor.shape
    if tensor.is_contiguous():
        return tensor.storage_offset(), shape, None, tensor.dtype
    strides = tuple(0 if n == 1 else s for n, s in zip(shape, tensor.stride()))
    return tensor.storage_offset(), shape, strides, tensor.dtype


def extent(tensor):
    """The first byte that the tensor can touch in its storage, and the one past the last."""
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


def place(tensor):
    """Its geometry, its extent, and whether it touches every byte of the extent."""
    if tensor.is_contiguous():
        offset, size, count = tensor.storage_offset(), tensor.element_size(), tensor.numel()
        low = offset * size if count else 0
        return (offset, tensor.shape, None, tensor.dtype), low, low + count * size, True
    low, high = extent(tensor)
    return geometry(tensor), low, high, high - low == tensor.numel() * tensor.element_size()


_AXES_MAX = 8  # a trace folds the others


def place_in(whole, tensor):
    """Where a view's elements are among those of the value in whose memory it lies, which are
    recorded in row-major order whatever their strides: the offset of the first and the strides,
    in bytes. None where no strides say that."""
    offset, shape, strides, dtype = whole.geometry or (0, (), None, None)
    distance, steps, size = tensor.storage_offset() - offset, tensor.stride(), tensor.element_size()
    if tensor.dtype is not dtype or distance < 0 or len(steps) > _AXES_MAX:
        return None
    if strides is not None:
        distance, steps = _in_order(_axes(shape, strides), distance, tensor.shape, steps)
    return None if distance is None else (distance * size, [step * size for step in steps])


def _strides(shape, strides):
    """Those of a geometry, which has none where the elements are contiguous."""
    if strides is not None:
        return list(strides)
    found, step = [], 1
    for n in reversed(shape):
        found.append(step)
        step *= n
    return found[::-1]


def parts_of(values, tensor):
    """Where the elements of a tensor and of the values that were written to its memory lie, in elements, as
    parameters of a line: `offsets`, its own first, and `strides`, one list after another. None where they
    are of several types."""
    geometries = [geometry(tensor)] + [value.geometry for value in values]
    if any(one is None or one[3] is not tensor.dtype for one in geometries):
        return None
    first = min(one[0] for one in geometries)
    return {"offsets": [one[0] - first for one in geometries], "strides": [step for one in geometries for step in _strides(one[1], one[2])]}


def _axes(shape, strides):
    """(stride, size, stride in row-major order) of each axis, the largest stride first. Axes that
    follow each other in memory as in row-major order are one."""
    axes, row_major = [], 1
    for n, stride in zip(reversed(shape), reversed(strides)):
        if n > 1 and stride > 0:
            if axes and stride == axes[-1][0] * axes[-1][1]:
                axes[-1] = axes[-1][0], axes[-1][1] * n, axes[-1][2]
            else:
                axes.append((stride, n, row_major))
        row_major *= n
    return sorted(axes, reverse=True)


def _steps_along(axes, distance):
    """How many steps along each axis a distance in memory is."""
    steps = []
    for stride, _, _ in axes:
        step, distance = divmod(distance, stride)
        steps.append(step)
    return steps if distance == 0 else None


def _in_order(axes, distance, shape, strides):
    """An offset and strides in memory as those in row-major order; (None, None) where the view
    leaves an axis."""
    reach = _steps_along(axes, distance)
    if reach is None:
        return None, None
    ordered, found = sum(step * axis[2] for step, axis in zip(reach, axes)), []
    for n, stride in zip(shape, strides):
        steps = _steps_along(axes, stride if n > 1 else 0)
        if steps is None:
            return None, None
        found.append(sum(step * axis[2] for step, axis in zip(steps, axes)))
        reach = [at + (n - 1) * step for at, step in zip(reach, steps)]
    return (ordered, found) if all(at < axis[1] for at, axis in zip(reach, axes)) else (None, None)


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
        """The tensor's bytes now hold `value`: everything that overlaps it is outdated."""
        shape, low, high, dense = place(tensor)
        if self.entries:
            for key in [k for k, (_, a, b) in self.entries.items() if a < high and low < b]:
                del self.entries[key]
        if dense and self.writes:
            self.writes = [w for w in self.writes if not (low <= w[1] and w[2] <= high)]
        self.writes.append((value, low, high, dense))
        if len(self.writes) > _WRITES_MAX:
            del self.writes[:-_WRITES_MAX]
        self.entries[shape] = (value, low, high)

    def put_view(self, tensor, value):
        shape, low, high, _ = place(tensor)
        self.entries[shape] = (value, low, high)

    def underlying(self, tensor):
        """The values that the tensor's bytes come from, oldest first, and whether the last of
        them alone covers it."""
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
        """The value that the tensor holds, if known."""
        return self.find_in(storage_key(tensor), tensor)

    def find_in(self, key, tensor):
        """The same, for a tensor in the storage with this key."""
        cell = self.cells.get(key)
        entry = cell.entries.get(geometry(tensor)) if cell is not None else None
        return entry[0] if entry is not None else None

    def put(self, tensor, value):
        """Registers a new value: in a new storage, or written into a known one."""
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
        """Drops the cells of storages that are gone."""
        for key in [k for k, cell in self.cells.items() if cell.expired()]:
            self.cells.pop(key).free()
        self._countdown = max(_SWEEP_EVERY, len(self.cells))

    def close(self, survivors):
        """Moves what is still alive (such as a KV cache) to `survivors`, and frees the rest."""
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
