"""llama.cpp's own converter, in this process. Only what asks for a known tokenizer is replaced:
the hash that tells tokenizers apart, and vocabularies of SentencePiece, for which the made-up
byte-level one stands in. And what config.json says counts as it is written there, because
transformers 5 has given up some of the names that the converter asks for."""
import json
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

load_hparams = base.ModelBase.load_hparams


def load_all_hparams(folder, is_mistral_format):
    return {**load_hparams(folder, is_mistral_format), **json.loads((pathlib.Path(folder) / "config.json").read_text())}


base.ModelBase.load_hparams = staticmethod(load_all_hparams)

# Classes that read a vocabulary file of their own.
OWN_VOCABULARY = {"InternLM2ForCausalLM", "Phi3ForCausalLM", "T5ForConditionalGeneration", "T5EncoderModel", "Gemma4ForCausalLM", "HunYuanMoEV1ForCausalLM", "PhiMoEForCausalLM", "DeepseekV32ForCausalLM"}
OF_BERT = {"XLMRobertaModel"}


def byte_level_of_bert(self):
    self._set_vocab_gpt2()
    self.gguf_writer.add_token_type_count(self.hparams.get("type_vocab_size", 1))


def convert(folder, out, kind):
    """Returns the GGUF's architecture."""
    with torch.inference_mode():
        hparams = base.ModelBase.load_hparams(folder, False)
        architecture = conversion.get_model_architecture(hparams, conversion.ModelType.TEXT)
        made = conversion.get_model_class(architecture)
        if architecture in OWN_VOCABULARY:
            made.set_vocab = byte_level
        if architecture in OF_BERT:
            made.set_vocab = byte_level_of_bert
        if made.supports_mtp_export:
            made.no_mtp = True  # as --no-mtp does: transformers makes no layers for that
        made(folder, TYPES[kind], out).write()
    return gguf.MODEL_ARCH_NAMES[made.model_arch]
