"""Values of a trace, read with NumPy and zipfile alone, as docs/trace-format.md says."""
import io
import pathlib

import numpy


def load_values(trace, line):
    """The array of a tensor line: found by its offset, and equal to what np.load finds under its member's name."""
    path = pathlib.Path(trace) / line["file"]
    if "at" not in line:
        return numpy.load(path)
    with open(path, "rb") as file:
        file.seek(line["at"])
        return numpy.load(io.BytesIO(file.read(line["bytes"])))


def store_values(trace, line, values):
    """Writes other values of the line's type and shape into its place, as a buffer that was read too late has them."""
    with open(pathlib.Path(trace) / line["file"], "r+b") as file:
        file.seek(line["at"] + line["bytes"] - values.nbytes)
        file.write(values.tobytes())


def load_segment(path):
    """Its arrays by their members' names, through the directory: NumPy checks each CRC-32."""
    with numpy.load(path) as segment:
        return {f"{name}.npy": segment[name] for name in segment.files}
