"""Models of whisper.cpp against the checkpoints of transformers that they were made of."""
import shutil
import sys

import numpy as np
import pytest
from checkpoint_files import ROOT, diff, failing, findings
from safetensors.numpy import load_file

import ggml_models
import ggml_types

sys.path.insert(0, str(ROOT / "tests" / "e2e"))
import whisper_models  # noqa: E402

QUERY, KEY = "decoder.blocks.1.cross_attn.query.weight", "decoder.blocks.1.cross_attn.key.weight"


class Whisper:
    def __init__(self, folder):
        self.folder = folder
        self.model = whisper_models.save(folder)
        self.tensors = whisper_models.ggml_tensors(self.model)

    def changed(self, path, **tensors):
        whisper_models.write(path, self.model.config, self.tensors | tensors)
        return path


@pytest.fixture(scope="module")
def whisper(tmp_path_factory):
    return Whisper(tmp_path_factory.mktemp("whisper"))


@pytest.mark.parametrize("reference, candidate", [("hf", "model.bin"), ("model.bin", "hf")])
def test_a_conversion_is_identical_and_whole(whisper, reference, candidate):
    status, text, report = diff(whisper.folder / reference, whisper.folder / candidate, "--what", "weights")
    weights = report["weights"]
    assert status == 0, (failing(report), findings(report))
    assert weights["preset"] == "whisper" and weights["by"]["content"] == 0
    assert {p["verdict"] for p in weights["pairs"]} == {"identical"} and len(weights["pairs"]) == len(whisper.tensors)
    assert weights["candidate_only"] == [] and weights["reference_only"] == []
    for pair in weights["pairs"]:
        ours, theirs = (pair[side]["name"] for side in (("candidate", "reference") if candidate == "model.bin" else ("reference", "candidate")))
        assert whisper_models.ggml_name(theirs) == ours


def test_a_swap_is_named(whisper, tmp_path):
    model = whisper.changed(tmp_path / "swapped.bin", **{QUERY: whisper.tensors[KEY], KEY: whisper.tensors[QUERY]})
    for reference in ("hf", "model.bin"):
        status, _, report = diff(whisper.folder / reference, model, "--what", "weights")
        assert status == 1
        assert {p["candidate"]["name"] for p in report["weights"]["pairs"] if p["verdict"] == "differs"} == {QUERY, KEY}


def test_quantized_weights_match(whisper, tmp_path):
    """By the quantizer of ggml; whisper.cpp's own writes the same file."""
    number = ggml_types.TYPES["q5_0"][0]
    records = []
    for name, value in whisper.tensors.items():
        quantized = name.endswith(".weight") and value.ndim == 2
        data = ggml_types.quantize("q5_0", value).tobytes() if quantized else value.astype("<f4").tobytes()
        records.append(ggml_models.tensor(name, value.shape, number if quantized else 0, data))
    path = tmp_path / "ggml-q5_0.bin"
    path.write_bytes(ggml_models.whisper(*records, ftype=2008))
    status, _, report = diff(whisper.folder / "hf", path, "--what", "weights")
    assert status == 0, (failing(report), findings(report))
    assert len(report["weights"]["pairs"]) == len(whisper.tensors) and {p["verdict"] for p in report["weights"]["pairs"]} == {"identical", "match"}


def test_a_conversion_in_the_checkpoint_s_folder_does_not_take_its_configuration(whisper, tmp_path):
    shutil.copytree(whisper.folder / "hf", tmp_path / "hf")
    shutil.copy(whisper.folder / "model.bin", tmp_path / "hf" / "ggml-model.bin")
    status, text, _ = diff(tmp_path / "hf", tmp_path / "hf" / "ggml-model.bin")
    assert status == 0 and "config     not compared: only one side has any" in text


def test_the_checkpoint_is_what_transformers_saved(whisper):
    """The comparisons above are of these values."""
    saved = load_file(whisper.folder / "hf" / "model.safetensors")
    for name, value in saved.items():
        ours = whisper.tensors[whisper_models.ggml_name(name)]
        np.testing.assert_array_equal(ours.reshape(value.shape), value)
