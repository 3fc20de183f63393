"""Malformed models of whisper.cpp: rows of test_malformed.py."""
from ggml_models import MAGIC, filters, numbers, tensor, text, vad, vocabulary, whisper

ROWS = []
LEAST, MOST = -2**31, 2**31 - 1
HPARAMS, FILTERS, WORDS, TENSORS = 4, 48, 80, 100  # offsets in whisper()
SIZES = TENSORS + 12
VAD_LAYERS, VAD_TENSORS = 38, 82  # in vad()


def case(name, data, offset, message):
    ROWS.append((f"ggml: {name}", "x.bin", data, offset, message))


def tensors(name, *records, offset, message, **more):
    case(name, whisper(*records, **more), offset, message)


assert len(whisper()) == TENSORS and len(vad()) == VAD_TENSORS

# --- the header of a Whisper
case("only the magic", MAGIC, 4, "n_vocab: found 0 bytes left, expected 4")
for cut, offset, what in [(47, 44, "ftype"), (51, 48, "filters.n_mel"), (54, 52, "filters.n_fft"), (79, 56, "filters.data"),
                          (82, 80, "size of the vocabulary"), (86, 80, "found a vocabulary of 3 tokens, expected at most 0")]:
    case(f"cut at {cut}", whisper()[:cut], offset, what)
case("negative n_vocab", whisper(n_vocab=-1), HPARAMS, "n_vocab: found -1, expected at least 0")
case("negative ftype", whisper(ftype=LEAST), 44, "ftype: found -2147483648, expected at least 0")
case("another number of mel filters", whisper(n_mels=80), FILTERS, "found 2 mel filters, expected n_mels = 80 (is this a model of whisper.cpp?)")
# what would be the mel filters are the lengths and bytes of tokens
case("GPT-2 of ggml's examples", MAGIC + numbers(50257, 1024, 768, 12, 12, 1, 50257) + text(b"!") * 100, FILTERS,
     f"found {0x21000000} mel filters, expected n_mels = {0x12100} (is this a model of whisper.cpp?)")
case("mel filters of 2^62", whisper(n_mels=MOST, mel=filters(MOST, MOST, b"")), FILTERS + 8, "filters.data: found 20 bytes left, expected 18446744056529682436")
case("negative n_fft", whisper(mel=filters(2, -1, b"")), FILTERS + 4, "filters.n_fft: found -1, expected at least 0")
for count in (4, MOST):
    case(f"vocabulary of {count}", whisper(words=vocabulary((b"",), count)), WORDS,
         f"found a vocabulary of {count} tokens, expected at most 1 in the 4 bytes left")
case("negative vocabulary", whisper(words=vocabulary(count=-1)), WORDS, "size of the vocabulary: found -1, expected at least 0")
case("token of 4 GB", whisper(words=numbers(2) + text(b"a", 2**31 - 1) + text(b"b")), WORDS + 8, "token: found 6 bytes left, expected 2147483647")
case("token cut", whisper(words=numbers(1) + text(b"ab", 3)), WORDS + 8, "token: found 2 bytes left, expected 3")

# --- the header of a detector
case("detector of another type", vad(kind=text(b"spkrec-ecapa-tdnn")), 8, "found a model of type 'spkrec-ecapa-tdnn', expected a Whisper or 'silero-…'")
case("detector cut in its version", vad()[:28], 26, "version: found 2 bytes left, expected 4")
case("negative version", vad(version=(6, -2, 0)), 22, "version: found -2, expected at least 0")
case("detector cut in its numbers", vad()[:VAD_TENSORS - 1], VAD_TENSORS - 4, "final_conv_out: found 3 bytes left, expected 4")
case("negative lstm_input_size", vad(last=(-1, 0, 0, 0)), VAD_TENSORS - 16, "lstm_input_size: found -1")
for count in (4, MOST):
    case(f"detector of {count} layers", vad(count=count), VAD_LAYERS, f"found {count} encoder layers, expected at most 3 in the 40 bytes left")

# --- tensors
tensors("one byte behind", b"\0", offset=TENSORS, message="axes of a tensor: found 1 bytes left, expected 4")
tensors("type cut", tensor("a", [1])[:10], offset=TENSORS + 8, message="type of a tensor: found 2 bytes left, expected 4")
for axes in (5, MOST):
    tensors(f"{axes} axes", tensor("a", [1] * 5, axes=axes), offset=TENSORS, message=f"found a tensor with {axes} axes, expected at most 4")
tensors("negative axes", tensor("a", [], axes=-1), offset=TENSORS, message="axes of a tensor: found -1, expected at least 0")
for length in (0, 256, MOST):
    tensors(f"name of {length}", tensor("a", [], length=length), offset=TENSORS + 4, message=f"tensor name: found a length of {length} bytes, expected 1 to 255")
tensors("negative name", tensor("a", [], length=LEAST), offset=TENSORS + 4, message="length of a tensor's name: found -2147483648")
tensors("sizes cut", tensor("", [2], axes=4, length=1), offset=SIZES, message="sizes of a tensor: found 4 bytes left, expected 16")
tensors("name cut", tensor("ab", [2], length=9), offset=SIZES + 4, message="tensor name: found 2 bytes left, expected 9")
tensors("NUL in a name", tensor("a\0", [1], data=bytes(4)), offset=SIZES + 4, message="tensor name: found a NUL in 'a'")
tensors("negative axis", tensor("a", [2, -1]), offset=SIZES, message="a: found -1, expected at least 0")
tensors("negative type", tensor("a", [1], -1), offset=TENSORS + 8, message="type of a tensor: found -1, expected at least 0")
for kind in (4, 5, 31, 36, 43, MOST):
    tensors(f"type {kind}", tensor("a", [32], kind, bytes(64)), offset=TENSORS + 8, message=f"tensor 'a': found type {kind}, which ggml doesn't know or has removed")
tensors("part of a block", tensor("a", [2, 33], 8, bytes(136)), offset=SIZES, message="tensor 'a': found an innermost axis of 33 in [2, 33], expected a multiple of the 32")
tensors("data cut by 1 byte", tensor("a", [2], data=bytes(7)), offset=SIZES + 5, message="a: found 7 bytes left, expected 8")
tensors("data of 8 GB", tensor("a", [MOST], data=bytes(8)), offset=SIZES + 5, message="a: found 8 bytes left, expected 8589934588")
tensors("2^93 elements", tensor("a", [MOST] * 3), offset=SIZES, message="tensor 'a': the size of shape [2147483647, 2147483647, 2147483647] of f32 overflows 64 bits")
tensors("2^62 elements of 4 bytes", tensor("a", [MOST, MOST]), offset=SIZES, message="overflows 64 bits")
tensors("0 hides 2^124", tensor("a", [0] + [MOST] * 3), offset=SIZES, message="overflows 64 bits")
tensors("same name twice", tensor("a", [0]), tensor("a", [0]), offset=TENSORS + 17, message="found a second tensor named 'a'")
tensors("10,000 tensors of one name", *[tensor("a", [0])] * 10000, offset=TENSORS + 17, message="found a second tensor named 'a'")
case("detector's data cut", vad(tensor("a", [2], data=bytes(7))), VAD_TENSORS + 17, "a: found 7 bytes left, expected 8")

# --- blocks as they were before May 2023
for version, kind, name in [(0, 2, "q4_0"), (0, 6, "q5_0"), (1, 2, "q4_0"), (1, 3, "q4_1"), (1, 8, "q8_0"), (1, 12, "q4_K")]:
    least = 1 if name == "q5_0" else 2
    tensors(f"{name} of version {version}", tensor("a", [256], kind, bytes(500)), ftype=1000 * version + 2, offset=TENSORS + 8,
            message=f"tensor 'a': found {name} of quantization version {version} (qntvr), whose block layout ggml no longer has, expected at least {least}")
