"""Section 4 of the public header, through ctypes."""
import ctypes

import pytest
from checkpoint_files import ROOT

EXAMPLES = ROOT / "examples"
library = ctypes.CDLL(str(ROOT / "build" / "liblockstep.so"))


class Weight(ctypes.Structure):
    _fields_ = [("reference", ctypes.c_char_p), ("candidate", ctypes.c_char_p), ("verdict", ctypes.c_char_p), ("fails", ctypes.c_bool),
                ("nmse", ctypes.c_double), ("allowed_nmse", ctypes.c_double), ("layout", ctypes.c_char_p), ("cause", ctypes.c_char_p)]


class Error(ctypes.Structure):
    _fields_ = [("status", ctypes.c_int), ("offset", ctypes.c_uint64), ("message", ctypes.c_char * 500)]


library.lockstep_checkpoints_compare.argtypes = [ctypes.c_char_p, ctypes.c_char_p, ctypes.c_void_p, ctypes.c_void_p]
library.lockstep_comparison_close.argtypes = [ctypes.c_void_p]
library.lockstep_comparison_matches.argtypes = [ctypes.c_void_p]
library.lockstep_comparison_matches.restype = ctypes.c_bool
for name in ("finding_count", "weight_count"):
    getattr(library, f"lockstep_comparison_{name}").argtypes = [ctypes.c_void_p]
    getattr(library, f"lockstep_comparison_{name}").restype = ctypes.c_size_t
library.lockstep_comparison_finding.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.POINTER(ctypes.c_bool)]
library.lockstep_comparison_finding.restype = ctypes.c_char_p
library.lockstep_comparison_weight.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.POINTER(Weight)]
library.lockstep_comparison_find.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
library.lockstep_comparison_find.restype = ctypes.c_size_t


@pytest.fixture
def comparison():
    handle, error = ctypes.c_void_p(), Error()
    assert library.lockstep_checkpoints_compare(str(EXAMPLES / "llama-hf").encode(), str(EXAMPLES / "llama-faulty.gguf").encode(),
                                                ctypes.byref(handle), ctypes.byref(error)) == 0, error.message
    yield handle
    library.lockstep_comparison_close(handle)


def test_findings(comparison):
    fails, texts = ctypes.c_bool(), []
    for i in range(library.lockstep_comparison_finding_count(comparison)):
        texts.append(library.lockstep_comparison_finding(comparison, i, ctypes.byref(fails)).decode())
        assert fails.value
    assert not library.lockstep_comparison_matches(comparison) and len(texts) == 5
    assert texts[0].startswith("RoPE base: 500000 in the reference")
    assert library.lockstep_comparison_finding(comparison, 5, None) is None


def test_a_recorded_weight_by_its_name(comparison):
    weight = Weight()
    index = library.lockstep_comparison_find(comparison, b"blk.1.attn_k.weight")
    assert library.lockstep_comparison_weight(comparison, index, ctypes.byref(weight)) == 0
    assert weight.reference == b"model.layers.1.self_attn.k_proj.weight" and weight.verdict == b"differs" and weight.fails
    assert b"rope-pairs" in weight.cause and weight.nmse > 1 > weight.allowed_nmse > 0
    index = library.lockstep_comparison_find(comparison, b"blk.0.attn_k.weight")
    assert library.lockstep_comparison_weight(comparison, index, ctypes.byref(weight)) == 0
    assert weight.verdict == b"match" and weight.cause is None and weight.layout.startswith(b"rope-pairs")
    assert library.lockstep_comparison_find(comparison, b"nothing") == 2**64 - 1
    assert library.lockstep_comparison_weight(comparison, library.lockstep_comparison_weight_count(comparison), ctypes.byref(weight)) == 1


def test_trouble():
    handle, error = ctypes.c_void_p(), Error()
    assert library.lockstep_checkpoints_compare(b"/none", b"/none", ctypes.byref(handle), ctypes.byref(error)) != 0
    assert b"/none" in error.message and not handle
    assert library.lockstep_checkpoints_compare(None, b"/none", ctypes.byref(handle), None) == 1
    library.lockstep_comparison_close(None)
