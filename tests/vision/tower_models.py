"""Small vision-language models of transformers, with random weights under which every part of them matters."""
import models
import torch
import transformers
from timm.models import mobilenetv5
from transformers.models.mllama import configuration_mllama as mllama_configuration

SEED = 11
BEGIN_IMAGE, END_IMAGE, IMAGE = 310, 311, 312  # token ids
SIDE, PATCH = 56, 14


def spread(name, parameter, generator):
    """What replaces a parameter: norms near 1, biases near 0, and matrices that keep activations near 1."""
    noise = torch.randn(parameter.shape, generator=generator)
    if parameter.ndim == 1:
        centre = 1.0 if "norm" in name and "weight" in name and "soft_emb" not in name else 0.0
        return centre + 0.25 * noise
    if "position" in name:
        return 0.6 * noise
    fan = parameter.shape[0] if "mm_input" in name else parameter[0].numel()  # the one matrix that is stored transposed
    return noise * (0.7 / fan ** 0.5)


def randomise(module, law=spread):
    generator = torch.Generator().manual_seed(SEED)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            parameter.copy_(law(name, parameter, generator))


def text_config(family, **changes):
    config = models.config_of(family)
    config.num_hidden_layers = 2
    for key, value in changes.items():
        setattr(config, key, value)
    return config


def gemma3_text():
    config = text_config("gemma3")
    config.layer_types = config.layer_types[:2]
    return config


def gemma3():
    vision = transformers.SiglipVisionConfig(hidden_size=64, intermediate_size=96, num_hidden_layers=3, num_attention_heads=4,
                                             image_size=SIDE, patch_size=PATCH, vision_use_head=False)
    config = transformers.Gemma3Config(text_config=gemma3_text(), vision_config=vision, mm_tokens_per_image=4,
                                       boi_token_index=BEGIN_IMAGE, eoi_token_index=END_IMAGE, image_token_index=IMAGE)
    model = transformers.Gemma3ForConditionalGeneration(config).float().eval()
    models.randomise(model.model.language_model)
    randomise(model.model.vision_tower)
    randomise(model.model.multi_modal_projector)
    model.tie_weights()
    return model


def llava():
    vision = transformers.CLIPVisionConfig(hidden_size=64, intermediate_size=96, num_hidden_layers=4, num_attention_heads=4,
                                           image_size=SIDE, patch_size=PATCH, projection_dim=64)
    config = transformers.LlavaConfig(vision_config=vision, text_config=text_config("llama", head_dim=16), image_token_index=IMAGE,
                                      vision_feature_layer=-2, vision_feature_select_strategy="default", image_seq_length=(SIDE // PATCH) ** 2)
    model = transformers.LlavaForConditionalGeneration(config).float().eval()
    models.randomise(model.model.language_model)
    randomise(model.model.vision_tower)
    randomise(model.model.multi_modal_projector)
    return model


WIDTH = 2048  # of MobileNetV5's projector, which the engine has built in


def of_mobilenet(name, parameter, generator):
    noise = torch.randn(parameter.shape, generator=generator)
    if "gamma" in name:
        value = 0.5 + 0.2 * noise
    elif parameter.ndim == 1:
        value = 0.2 * noise if "bias" in name else 1 + 0.2 * noise
    else:
        value = noise / parameter[0].numel() ** 0.5
    return value.half().float()  # exact in the file, too, of which the engine takes f16 alone


def gemma3n():
    """All 84 blocks of MobileNetV5, narrow, with the embedder behind it. What Gemma 3n has beside is not compared, and tiny."""
    vocabulary = models.VOCAB
    text = transformers.Gemma3nTextConfig(
        vocab_size=vocabulary, vocab_size_per_layer_input=vocabulary - 64, hidden_size=WIDTH, hidden_size_per_layer_input=16, intermediate_size=96,
        num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, head_dim=32, sliding_window=16, layer_types=["sliding_attention", "full_attention"],
        num_kv_shared_layers=0, laurel_rank=8, activation_sparsity_pattern=[0.0, 0.0], max_position_embeddings=512)
    vision = transformers.Gemma3nVisionConfig(model_args={"channel_multiplier": 0.125}, vocab_size=32, vocab_offset=vocabulary - 64)
    audio = transformers.Gemma3nAudioConfig(vocab_size=32, vocab_offset=vocabulary - 32, hidden_size=64, conf_num_attention_heads=4, conf_num_hidden_layers=1,
                                            input_feat_size=32, sscp_conv_channel_size=(8, 4))
    config = transformers.Gemma3nConfig(text_config=text, vision_config=vision, audio_config=audio, boi_token_id=BEGIN_IMAGE, eoi_token_id=END_IMAGE,
                                        image_token_id=IMAGE, boa_token_id=313, eoa_token_id=314, audio_token_id=315, vision_soft_tokens_per_image=256)
    model = transformers.Gemma3nForConditionalGeneration(config).float().eval()
    randomise(model.model.vision_tower, of_mobilenet)
    randomise(model.model.embed_vision, of_mobilenet)
    return model


SHORT = ([0, 1], [0, 1], [0, 1, 8, 9, 10], [0, 1, 2])  # of each stage, blocks that have one of each kind


def with_short_stages(make):
    """What make() returns, where timm builds MobileNetV5 of SHORT's blocks alone."""
    decode = mobilenetv5.decode_arch_def
    mobilenetv5.decode_arch_def = lambda stages, **options: decode([[stage[i] for i in kept] for stage, kept in zip(stages, SHORT)], **options)
    try:
        return make()
    finally:
        mobilenetv5.decode_arch_def = decode


class Tower(torch.nn.Module):
    """MobileNetV5 and the embedder, as Gemma 3n puts them together: one pass without the language model."""

    def __init__(self, model):
        super().__init__()
        self.vision_tower, self.embed_vision, self.width = model.model.vision_tower, model.model.embed_vision, model.config.vision_config.hidden_size

    def forward(self, pixel_values):
        seen = self.vision_tower(pixel_values=pixel_values, do_pooling=False, return_dict=True).last_hidden_state
        flat = seen.reshape(seen.shape[0], self.width, -1).permute(0, 2, 1)
        return self.embed_vision(inputs_embeds=flat * self.width ** 0.5)


MLLAMA_SIDE, MLLAMA_TILES = 56, 4


def of_mllama(name, parameter, generator):
    noise = torch.randn(parameter.shape, generator=generator)
    if "gate" in name and parameter.numel() == 1:
        return torch.full_like(parameter, 0.7) + 0.1 * noise  # where tanh matters
    if parameter.ndim == 1:
        return (1.0 if "norm" in name and "bias" not in name else 0.0) + 0.2 * noise
    return 0.5 * noise if "embed" in name else noise / parameter[0].numel() ** 0.5


def mllama():
    text = mllama_configuration.MllamaTextConfig(
        vocab_size=models.VOCAB, hidden_size=64, intermediate_size=96, num_hidden_layers=4, num_attention_heads=4, num_key_value_heads=2,
        cross_attention_layers=[1, 3], max_position_embeddings=512, bos_token_id=1, eos_token_id=2, pad_token_id=0)
    vision = mllama_configuration.MllamaVisionConfig(
        hidden_size=64, num_hidden_layers=4, num_global_layers=2, attention_heads=4, intermediate_size=96, vision_output_dim=64 * 3, image_size=MLLAMA_SIDE,
        patch_size=PATCH, max_num_tiles=MLLAMA_TILES, intermediate_layers_indices=[1, 3],
        supported_aspect_ratios=[[1, 1], [1, 2], [1, 3], [1, 4], [2, 1], [2, 2], [3, 1], [4, 1]])
    model = transformers.MllamaForConditionalGeneration(mllama_configuration.MllamaConfig(text_config=text, vision_config=vision, image_token_index=models.VOCAB)).float().eval()
    randomise(model, of_mllama)
    return model


def of_others(name, parameter, generator):
    """Norms near 1, whatever they are called; what attention and an MLP add is smaller than what it is added to."""
    noise = torch.randn(parameter.shape, generator=generator)
    if parameter.ndim == 1:
        return (0.0 if "bias" in name or "class" in name else 1.0) + 0.2 * noise
    return noise * (0.6 if "embed" in name and "patch" not in name else 0.8 / parameter[0].numel() ** 0.5)


def qwen2_5_vl():
    text = {**{key: value for key, value in models.COMMON.items() if key != "head_dim"}, "num_hidden_layers": 2, "rope_theta": 10000.0,
            "rope_scaling": {"type": "mrope", "rope_type": "default", "mrope_section": [2, 3, 3]}, "tie_word_embeddings": False}
    vision = {"hidden_size": 64, "out_hidden_size": 64, "intermediate_size": 96, "depth": 4, "num_heads": 4, "patch_size": PATCH, "spatial_merge_size": 2, "temporal_patch_size": 2,
              "window_size": 8 * PATCH, "fullatt_block_indexes": [1, 3]}
    config = transformers.Qwen2_5_VLConfig(text_config=text, vision_config=vision, image_token_id=IMAGE, vision_start_token_id=BEGIN_IMAGE, vision_end_token_id=END_IMAGE, video_token_id=313)
    model = transformers.Qwen2_5_VLForConditionalGeneration(config).float().eval()
    randomise(model, of_others)
    return model


def internvl():
    text = transformers.Qwen2Config(**{**{key: value for key, value in models.COMMON.items() if key != "head_dim"}, "num_hidden_layers": 2}, rope_theta=10000.0, tie_word_embeddings=False)
    text.architectures = ["Qwen2ForCausalLM"]
    vision = transformers.InternVLVisionConfig(hidden_size=64, intermediate_size=96, num_hidden_layers=4, num_attention_heads=4, image_size=[SIDE, SIDE], patch_size=[PATCH, PATCH], attention_bias=True,
                                               use_qk_norm=False, norm_type="layer_norm", use_absolute_position_embeddings=True, use_mean_pooling=True, architectures=["InternVisionModel"])
    config = transformers.InternVLConfig(text_config=text, vision_config=vision, image_token_id=IMAGE, downsample_ratio=0.5)
    model = transformers.InternVLForConditionalGeneration(config).float().eval()
    randomise(model, of_others)
    return model


def janus():
    text = transformers.LlamaConfig(**{**models.COMMON, "num_hidden_layers": 2}, rope_theta=10000.0, tie_word_embeddings=False)
    vision = transformers.JanusVisionConfig(hidden_size=64, mlp_ratio=2.0, num_hidden_layers=3, num_attention_heads=4, image_size=SIDE, patch_size=PATCH, projection_dim=64, depth=2, num_image_tokens=16)
    seen = transformers.JanusVQVAEConfig(embed_dim=8, num_embeddings=16, latent_channels=32, base_channels=32, channel_multiplier=[1], num_res_blocks=1, projection_dim=64, image_token_embed_dim=64, num_patches=4)
    config = transformers.JanusConfig(text_config=text, vision_config=vision, vq_config=seen, image_token_id=IMAGE)
    model = transformers.JanusForConditionalGeneration(config).float().eval()
    randomise(model, of_others)
    return model
