"""llama.cpp's own converter, in this process. Only what asks for a known tokenizer is replaced:
the hash that tells tokenizers apart, and vocabularies of SentencePiece, for which the made-up
byte-level one stands in."""
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
CONVERTER = ROOT / ".deps" / "convert"
sys.path[:0] = [str(CONVERTER), str(CONVERTER / "gguf-py")]

import gguf  # noqa: E402
import torch  # noqa: E402
import conversion  # noqa: E402
from conversion import base  # noqa: E402

TYPES = {"f32": gguf.LlamaFileType.ALL_F32, "q8_0": gguf.LlamaFileType.MOSTLY_Q8_0}


def byte_level(self, *_, **__):
    self._set_vocab_gpt2()


base.TextModel.get_vocab_base_pre = lambda self, tokenizer: "default"
for helper in ("_set_vocab_sentencepiece", "_set_vocab_llama_hf", "_set_vocab_qwen"):
    setattr(base.TextModel, helper, byte_level)

# Classes that read a vocabulary file of their own.
OWN_VOCABULARY = {"InternLM2ForCausalLM", "Phi3ForCausalLM", "T5ForConditionalGeneration", "T5EncoderModel", "Gemma4ForCausalLM", "HunYuanMoEV1ForCausalLM"}


def convert(folder, out, kind):
    """Returns the GGUF's architecture."""
    with torch.inference_mode():
        hparams = base.ModelBase.load_hparams(folder, False)
        architecture = conversion.get_model_architecture(hparams, conversion.ModelType.TEXT)
        made = conversion.get_model_class(architecture)
        if architecture in OWN_VOCABULARY:
            made.set_vocab = byte_level
        made(folder, TYPES[kind], out).write()
    return gguf.MODEL_ARCH_NAMES[made.model_arch]
