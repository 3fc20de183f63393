"""Files of whisper.cpp's format, put together from its fields: real ones, and malformed ones."""
import struct

MAGIC = struct.pack("<I", 0x67676D6C)
WHISPER = {"n_vocab": 7, "n_audio_ctx": 6, "n_audio_state": 64, "n_audio_head": 2, "n_audio_layer": 1, "n_text_ctx": 5, "n_text_state": 64,
           "n_text_head": 2, "n_text_layer": 1, "n_mels": 2, "ftype": 2001}
TOKENS = (b"a", b"", b"\xc3\xa9\n")


def numbers(*values):
    return struct.pack(f"<{len(values)}i", *values)


def text(value, length=None):
    return numbers(len(value) if length is None else length) + value


def filters(rows=2, columns=3, data=None):
    return numbers(rows, columns) + (struct.pack(f"<{rows * columns}f", *range(rows * columns)) if data is None else data)


def vocabulary(tokens=TOKENS, count=None):
    return numbers(len(tokens) if count is None else count) + b"".join(map(text, tokens))


def tensor(name, shape, kind=0, data=b"", axes=None, length=None):
    """shape: outermost first; kind: an id of ggml's types"""
    name = name.encode() if isinstance(name, str) else name
    return numbers(len(shape) if axes is None else axes, len(name) if length is None else length, kind, *reversed(shape)) + name + data


def whisper(*tensors, mel=None, words=None, **change):
    return MAGIC + numbers(*(WHISPER | change).values()) + (filters() if mel is None else mel) + (vocabulary() if words is None else words) + b"".join(tensors)


def vad(*tensors, kind=text(b"silero-16k"), version=(6, 2, 0), layers=((129, 128, 3), (128, 64, 3)), count=None, last=(128, 128, 128, 1)):
    head = MAGIC + kind + numbers(*version, 512, 64, len(layers) if count is None else count)
    return head + b"".join(numbers(*layer) for layer in layers) + numbers(*last) + b"".join(tensors)
