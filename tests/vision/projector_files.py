"""A model as the engine wants it: the language model as GGUF, and its tower and projector as another."""
import json
import pathlib
import shutil

import conversion_lab
import gguf
import models
import numpy as np
import safetensors.torch
import tokenizers
import torch
import transformers
from conversion_lab import conversion

import tower_models
from tower_models import BEGIN_IMAGE, END_IMAGE, IMAGE

TYPES = {**conversion_lab.TYPES, "f16": gguf.LlamaFileType.MOSTLY_F16}


def words():
    """Of the test vocabulary, three are those of pictures."""
    return [{BEGIN_IMAGE: "<start_of_image>", END_IMAGE: "<end_of_image>", IMAGE: "<image_soft_token>"}.get(i, f"<t{i}>") for i in range(models.VOCAB)]


def write_text(path, model, family):
    add = gguf.GGUFWriter.add_token_list
    gguf.GGUFWriter.add_token_list = lambda writer, _: add(writer, words())
    try:
        models.write_gguf(path, model, family, models.gguf_tensors(model, family))
    finally:
        gguf.GGUFWriter.add_token_list = add


def language_model(kind, model):
    """The language model of a larger one, by itself."""
    made = kind(model.config.text_config).float().eval()
    made.model.load_state_dict(model.model.language_model.state_dict())
    if made.config.tie_word_embeddings:
        made.tie_weights()
    else:
        made.lm_head.load_state_dict(model.lm_head.state_dict())
    return made


def rewrite(folder, change):
    """Checkpoint tensors, each through change(name, value) -> (name, value) or None."""
    file = folder / "model.safetensors"
    kept = filter(None, (change(*item) for item in safetensors.torch.load_file(file).items()))
    safetensors.torch.save_file(dict(kept), file, {"format": "pt"})


def convert(folder, out, kind, mmproj=True):
    """llama.cpp's own converter, on the tower and the projector of a checkpoint, or on its language model."""
    sort = conversion.ModelType.MMPROJ if mmproj else conversion.ModelType.TEXT
    with torch.inference_mode():
        hparams = conversion_lab.base.ModelBase.load_hparams(folder, False)
        made = conversion.get_model_class(conversion.get_model_architecture(hparams, sort), mmproj=mmproj)
        made(folder, TYPES[kind], out).write()


def gemma3(model, hf, out):
    write_text(out / "model.gguf", language_model(transformers.Gemma3ForCausalLM, model), "gemma3")
    # published checkpoints, and the converter, have the names that transformers had before
    rewrite(hf, lambda name, value: (name.replace("vision_tower.", "vision_tower.vision_model."), value))
    convert(hf, out / "mmproj.gguf", "f32")


CLIP_LAYER = {"ln1": "layer_norm1", "ln2": "layer_norm2", "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj",
              "attn_out": "self_attn.out_proj", "ffn_up": "mlp.fc1", "ffn_down": "mlp.fc2"}
CLIP_OUTER = {"v.class_embd": "embeddings.class_embedding", "v.patch_embd.weight": "embeddings.patch_embedding.weight", "v.position_embd.weight": "embeddings.position_embedding.weight",
              "v.pre_ln.weight": "pre_layrnorm.weight", "v.pre_ln.bias": "pre_layrnorm.bias"}


def clip_tensors(model):
    """By the names of llama.cpp's legacy converter; the present one knows no LLaVA with CLIP. Neither writes the last norm, which LLaVA doesn't apply."""
    tower, projector = model.model.vision_tower.state_dict(), model.model.multi_modal_projector.state_dict()
    prefix = next(name for name in tower if name.endswith("class_embedding")).removesuffix("embeddings.class_embedding")
    out = {name: tower[prefix + source] for name, source in CLIP_OUTER.items()}
    for kind in ("weight", "bias"):
        for layer in range(model.config.vision_config.num_hidden_layers):
            out |= {f"v.blk.{layer}.{name}.{kind}": tower[f"{prefix}encoder.layers.{layer}.{source}.{kind}"] for name, source in CLIP_LAYER.items()}
        out |= {f"mm.0.{kind}": projector[f"linear_1.{kind}"], f"mm.2.{kind}": projector[f"linear_2.{kind}"]}
    return out


def write_clip(path, model):
    vision, processor = model.config.vision_config, transformers.CLIPImageProcessorPil()
    writer = gguf.GGUFWriter(str(path), "clip")
    for key, value in {"has_text_encoder": False, "has_vision_encoder": True, "has_llava_projector": True, "use_gelu": False}.items():
        writer.add_bool(f"clip.{key}", value)
    writer.add_string("clip.projector_type", "mlp")
    sizes = {"image_size": vision.image_size, "patch_size": vision.patch_size, "embedding_length": vision.hidden_size, "feed_forward_length": vision.intermediate_size,
             "projection_dim": vision.projection_dim, "block_count": vision.num_hidden_layers, "attention.head_count": vision.num_attention_heads}
    for key, value in sizes.items():
        writer.add_uint32(f"clip.vision.{key}", value)
    writer.add_float32("clip.vision.attention.layer_norm_epsilon", vision.layer_norm_eps)
    writer.add_array("clip.vision.image_mean", list(map(float, processor.image_mean)))
    writer.add_array("clip.vision.image_std", list(map(float, processor.image_std)))
    for name, value in clip_tensors(model).items():
        writer.add_tensor(name, np.ascontiguousarray(value.numpy()))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def llava(model, hf, out):
    write_text(out / "model.gguf", language_model(transformers.LlamaForCausalLM, model), "llama")
    write_clip(out / "mmproj.gguf", model)


def companion(path):
    """A language model as wide as MobileNetV5's projector, which is not compared."""
    config = tower_models.gemma3_text()
    config.hidden_size, config.num_hidden_layers, config.layer_types = tower_models.WIDTH, 1, config.layer_types[:1]
    model = models.randomise(transformers.Gemma3ForCausalLM(config).float()).eval()
    model.tie_weights()
    write_text(path, model, "gemma3")


def with_axes(name, value):
    """The converter leaves gamma as [C], and the engine, which multiplies with [1, C, 1, 1], dies of it."""
    return (name, value.reshape(1, -1, 1, 1) if name.endswith("layer_scale.gamma") else value)


def gemma3n(model, hf, out):
    companion(out / "model.gguf")
    rewrite(hf, lambda name, value: None if "audio" in name else (name, value))  # the converter can't map it, and the engine has none
    shutil.copytree(hf, out / "to-convert")
    rewrite(out / "to-convert", with_axes)
    convert(out / "to-convert", out / "mmproj.gguf", "f16")
    shutil.rmtree(out / "to-convert")


def save_processor(hf, settings):
    pathlib.Path(hf / "preprocessor_config.json").write_text(json.dumps(settings, indent=1))


def save_tokenizer(folder, special):
    """Each token is a word, "<t5>"; special: {id: word} of those that pictures need."""
    first, second = "<t3>", "<t4>"  # the engine wants a merge
    vocabulary = {special.get(i, f"<t{i}>" if i < models.VOCAB - 1 else first + second): i for i in range(models.VOCAB)}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE(vocabulary, [(first, second)], unk_token=None))
    tokenizer.add_tokens([tokenizers.AddedToken(word, special=False, normalized=False) for word, i in vocabulary.items() if i not in special])
    tokenizer.add_special_tokens([tokenizers.AddedToken(word, special=True, normalized=False) for word in special.values()])
    transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<t2>").save_pretrained(folder)


def by_converter(special, inside=()):
    """Both files by llama.cpp's own converter. inside: beginnings of names that it knows behind "model." alone."""
    def write(model, hf, out):
        save_tokenizer(hf, special)
        rewrite(hf, lambda name, value: (f"model.{name}" if name.startswith(tuple(inside)) else name, value))
        convert(hf, out / "model.gguf", "f32", mmproj=False)
        convert(hf, out / "mmproj.gguf", "f32")
    return write
