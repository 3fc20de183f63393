"""A small random Whisper, saved for transformers and in whisper.cpp's own format."""
import pathlib
import struct

import numpy as np
import torch
import transformers

MELS, FRAMES, VOCAB, LAYERS = 80, 512, 51864, 3
SEED = 11

NAMES = {  # transformers -> whisper.cpp, as its converter has them
    "self_attn.k_proj": "attn.key", "self_attn.q_proj": "attn.query", "self_attn.v_proj": "attn.value",
    "self_attn.out_proj": "attn.out", "self_attn_layer_norm": "attn_ln",
    "encoder_attn.k_proj": "cross_attn.key", "encoder_attn.q_proj": "cross_attn.query",
    "encoder_attn.v_proj": "cross_attn.value", "encoder_attn.out_proj": "cross_attn.out",
    "encoder_attn_layer_norm": "cross_attn_ln", "fc1": "mlp.0", "fc2": "mlp.2", "final_layer_norm": "mlp_ln",
}
WHOLE_NAMES = {
    "encoder.embed_positions.weight": "encoder.positional_embedding",
    "decoder.embed_positions.weight": "decoder.positional_embedding",
    "decoder.embed_tokens.weight": "decoder.token_embedding.weight",
    "encoder.layer_norm.weight": "encoder.ln_post.weight", "encoder.layer_norm.bias": "encoder.ln_post.bias",
    "decoder.layer_norm.weight": "decoder.ln.weight", "decoder.layer_norm.bias": "decoder.ln.bias",
}


def make_model():
    config = transformers.WhisperConfig(
        vocab_size=VOCAB, num_mel_bins=MELS, d_model=64, encoder_layers=LAYERS, decoder_layers=LAYERS,
        encoder_attention_heads=2, decoder_attention_heads=2, encoder_ffn_dim=256, decoder_ffn_dim=256,
        max_source_positions=FRAMES // 2, max_target_positions=64, bos_token_id=50256, eos_token_id=50256, pad_token_id=50256)
    torch.manual_seed(SEED)
    model = transformers.WhisperForConditionalGeneration(config).float().eval()
    generator = torch.Generator().manual_seed(SEED)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if "layer_norm" in name and name.endswith("weight"):
                parameter.copy_(1 + 0.3 * noise)
            elif parameter.ndim == 1:
                parameter.copy_(0.2 * noise)
            elif "embed" in name:
                parameter.copy_(0.3 * noise)
            else:
                gain = 0.5 if "out_proj" in name or "fc2" in name else 1.2
                parameter.copy_(noise * gain / parameter[0].numel() ** 0.5)
            if parameter.ndim > 1:  # whisper.cpp's matrices are f16: both sides get the same values
                parameter.copy_(parameter.half().float())
    return model


def ggml_name(name):
    name = name.removeprefix("model.")
    if name in WHOLE_NAMES:
        return WHOLE_NAMES[name]
    parts = name.split(".")
    if parts[1] != "layers":
        return name
    return ".".join([parts[0], "blocks", parts[2], NAMES[".".join(parts[3:-1])], parts[-1]])


def ggml_tensors(model):
    """name -> float32 array, as a correct conversion has them."""
    out = {}
    for name, parameter in model.state_dict().items():
        if name == "proj_out.weight":
            continue  # tied
        value = parameter.detach().float().numpy()
        if name.endswith(("conv1.bias", "conv2.bias")):
            value = value.reshape(-1, 1)
        out[ggml_name(name)] = np.ascontiguousarray(value)
    return out


def write(path, config, tensors):
    """Magic, hyperparameters, mel filters, vocabulary, tensors; all little-endian."""
    with open(path, "wb") as file:
        file.write(struct.pack("<I", 0x67676D6C))
        file.write(struct.pack("<11i", config.vocab_size, config.max_source_positions, config.d_model, config.encoder_attention_heads,
                               config.encoder_layers, config.max_target_positions, config.d_model, config.decoder_attention_heads,
                               config.decoder_layers, config.num_mel_bins, 1))
        file.write(struct.pack("<2i", MELS, 201) + np.zeros((MELS, 201), dtype="<f4").tobytes())
        file.write(struct.pack("<i", 50256))
        for token in range(50256):
            text = f"<{token}>".encode()
            file.write(struct.pack("<I", len(text)) + text)
        for name, value in tensors.items():
            half = value.ndim > 1 and not name.endswith(("conv1.bias", "conv2.bias", "positional_embedding"))
            file.write(struct.pack("<3i", value.ndim, len(name), half) + struct.pack(f"<{value.ndim}i", *reversed(value.shape)))
            file.write(name.encode() + value.astype("<f2" if half else "<f4").tobytes())


def save(folder):
    folder = pathlib.Path(folder)
    model = make_model()
    model.save_pretrained(folder / "hf")
    write(folder / "model.bin", model.config, ggml_tensors(model))
    return model
