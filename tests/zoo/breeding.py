"""Models of transformers with random weights under which every part of them matters."""
import json

import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from animals import COMMON

SEED = 7
SPECIAL = ["<pad>", "<s>", "</s>", "<unk>", "[CLS]", "[SEP]", "[MASK]", "[UNK]", "[PAD]", "[gMASK]", "<|user|>", "<|observation|>", "<|endoftext|>", "<|startoftext|>", "<|im_end|>"]


def config_of(animal):
    wanted = {key: value for key, value in {**COMMON, **animal.config}.items() if value is not None or key not in COMMON}
    return transformers.AutoConfig.for_model(animal.kind, **wanted)


def make_model(animal):
    torch.manual_seed(SEED)
    config = config_of(animal)
    made = getattr(transformers, animal.auto)
    return randomise((made.from_config(config) if hasattr(made, "from_config") else made(config)).float().eval())


def normal(shape, scale, generator):
    return torch.randn(shape, generator=generator) * scale


def fresh(name, old, generator):
    """What replaces a parameter: near its initial value where that says something (a norm's 1, the decay of a
    state), else random with the size that keeps activations near 1."""
    steady = old.numel() > 0 and bool(torch.isfinite(old).all()) and old.float().abs().max() < 100
    if any(part in name for part in ("A_log", "dt_bias", "time_step")) and steady:
        return old * (1 + normal(old.shape, 0.1, generator)) + normal(old.shape, 0.05, generator)
    if old.ndim <= 1 or min(old.shape) == 1 and old.ndim == 2:
        constant = steady and old.min() == old.max()
        return (old if constant else torch.zeros_like(old)) + normal(old.shape, 0.3 if "norm" in name or "ln" in name else 0.2, generator)
    if any(part in name for part in ("embed", "lm_head", "wte", "wpe", "output_layer")):
        return normal(old.shape, 1.0, generator)
    output = any(part in name for part in ("o_proj", "down_proj", "out_proj", "c_proj", "dense_4h_to_h", "w2", "fc2", "wo"))
    return normal(old.shape, (0.5 if output else 1.2) / old.shape[-1] ** 0.5, generator)


def randomise(model):
    generator = torch.Generator().manual_seed(SEED)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(fresh(name, parameter, generator))
        for name, buffer in model.named_buffers():
            if "correction_bias" in name:
                buffer.copy_(normal(buffer.shape, 0.1, generator))
    return model


def byte_alphabet():
    return sorted(pre_tokenizers.ByteLevel.alphabet())


def save_tokenizer(folder, size):
    """Byte-level BPE of `size` tokens: special ones, bytes, and a few merges."""
    words = SPECIAL + byte_alphabet()
    merges = []
    for left in byte_alphabet():
        if len(words) == size:
            break
        merges.append((left, "t"))
        words.append(left + "t")
    vocabulary = {word: i for i, word in enumerate(words)}
    tokenizer = Tokenizer(models.BPE(vocabulary, merges, unk_token=None))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(SPECIAL)
    wrapped = transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", unk_token="<unk>", pad_token="<pad>", add_bos_token=True,
                                                   cls_token="[CLS]", sep_token="[SEP]", mask_token="[MASK]")
    wrapped.save_pretrained(folder)


def save(animal, folder):
    model = make_model(animal)
    model.save_pretrained(folder)
    save_tokenizer(folder, model.config.get_text_config().vocab_size)
    if animal.written:
        file = folder / "config.json"
        file.write_text(json.dumps({**json.loads(file.read_text()), **animal.written}))
