"""The vision tower of Llama 3.2 Vision in NumPy, written from its description and its checkpoint alone, as a port would be: with names
of its own, and with bugs to choose from, which people have made.

    gate         gates are not put through tanh
    tile order   the positions of a picture's tiles go down its columns instead of along its rows
    no mask      tiles and patches that are only padding take part in attention
    gelu         GELU by its tanh approximation
    class last   the class token comes after the patches
    layer order  the layers that are kept are put one after another instead of channel by channel
    layer early  a layer's input is kept instead of its output. (Meta's own code keeps the input; transformers 5.23, the reference here, the output.)
"""
import json
import math
import pathlib

import numpy as np
from safetensors.numpy import load_file

BUGS = ("gate", "tile order", "no mask", "gelu", "class last", "layer order", "layer early")
MULTIPLE = 8  # of which the number of patches is made
ERF = np.vectorize(math.erf, otypes=[np.float64])
ROOT_2_PI = math.sqrt(2 / math.pi)


def softmax(scores):
    raised = np.exp(scores - scores.max(-1, keepdims=True))
    return raised / raised.sum(-1, keepdims=True)


class Tower:
    def __init__(self, folder, bug=None):
        folder = pathlib.Path(folder)
        weights = load_file(folder / "model.safetensors")
        end = "class_embedding"
        prefix = next(name for name in weights if name.endswith(end)).removesuffix(end)
        self.weights = {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}
        self.config = json.loads((folder / "config.json").read_text())["vision_config"]
        self.width, self.heads, self.bug, self.dumps = self.config["hidden_size"], self.config["attention_heads"], bug, {}

    def dump(self, name, value):
        self.dumps[name] = np.ascontiguousarray(value, np.float32)
        return value

    def linear(self, name, x):
        bias = self.weights.get(f"{name}.bias")
        return x @ self.weights[f"{name}.weight"].T + (0 if bias is None else bias)

    def norm(self, name, x):
        centred = x - x.mean(-1, keepdims=True)
        scaled = centred / np.sqrt((centred ** 2).mean(-1, keepdims=True) + self.config.get("norm_eps", 1e-5))
        return scaled * self.weights[f"{name}.weight"] + self.weights[f"{name}.bias"]

    def gate(self, name):
        value = self.weights[name]
        return value if self.bug == "gate" else np.tanh(value)

    def gelu(self, x):
        inner = np.tanh(ROOT_2_PI * (x + 0.044715 * x ** 3)) if self.bug == "gelu" else ERF(x / math.sqrt(2))
        return (0.5 * x * (1 + inner)).astype(np.float32)

    def patches(self, pixels):
        """[tiles, 3, height, width] -> [tiles, patches, width of the model]"""
        side = self.config["patch_size"]
        tiles, channels, height, width = pixels.shape
        cut = pixels.reshape(tiles, channels, height // side, side, width // side, side).transpose(0, 2, 4, 1, 3, 5)
        kernels = self.weights["patch_embedding.weight"].reshape(self.width, -1)
        return cut.reshape(tiles, -1, kernels.shape[1]) @ kernels.T

    def tile_positions(self, name, x, aspect):
        """One vector a tile, looked up by the picture's aspect ratio."""
        table = self.weights[f"{name}.embedding.weight"][aspect].reshape(len(x), 1, self.width)
        if self.bug == "tile order":
            table = table.reshape(2, -1, self.width).swapaxes(0, 1).reshape(table.shape)
        return x + table * self.gate(f"{name}.gate")

    def with_class(self, x):
        token = np.broadcast_to(self.weights["class_embedding"], (len(x), 1, self.width))
        return np.concatenate([x, token] if self.bug == "class last" else [token, x], 1)

    def positions(self, x, aspect):
        gate, name = self.gate("gated_positional_embedding.gate"), "gated_positional_embedding"
        own = self.weights[f"{name}.tile_embedding.weight"][aspect].reshape(x.shape)
        return x + (1 - gate) * self.weights[f"{name}.embedding"] + gate * own

    def mask(self, tiles, length, padded):
        """transformers blocks a pair of positions only where both are padding."""
        if self.bug == "no mask":
            return np.float32(0)
        padding = np.ones((len(tiles), padded), np.float32)
        padding[tiles.astype(bool), :length] = 0
        padding = padding.reshape(-1, 1)
        return padding @ padding.T * np.finfo(np.float32).min

    def attention(self, name, x, mask):
        query, key, value = (self.linear(f"{name}.{part}_proj", x).reshape(len(x), self.heads, -1).swapaxes(0, 1) for part in "qkv")
        weights = softmax(query @ key.swapaxes(1, 2) / math.sqrt(query.shape[-1]) + mask)
        return self.linear(f"{name}.o_proj", (weights @ value).swapaxes(0, 1).reshape(x.shape))

    def block(self, name, label, x, mask, gated):
        amount = [self.gate(f"{name}.gate_{part}") if gated else np.float32(1) for part in ("attn", "ffn")]
        read = self.dump(f"{label}.ln1", self.norm(f"{name}.input_layernorm", x))
        x = x + amount[0] * self.dump(f"{label}.attn", self.attention(f"{name}.self_attn", read, mask))
        read = self.dump(f"{label}.ln2", self.norm(f"{name}.post_attention_layernorm", x))
        inner = self.dump(f"{label}.up", self.linear(f"{name}.mlp.fc1", read))
        out = self.dump(f"{label}.down", self.linear(f"{name}.mlp.fc2", self.dump(f"{label}.act", self.gelu(inner))))
        return self.dump(f"{label}.out", x + amount[1] * out)

    def embed(self, pixels, aspect):
        x = self.dump("patch_conv", self.patches(pixels))
        x = self.dump("pre_tile", self.tile_positions("pre_tile_positional_embedding", x, aspect))
        x = self.dump("with_class", self.with_class(x))
        x = self.dump("pos_embd", self.positions(x, aspect))
        return self.dump("ln_pre", self.norm("layernorm_pre", x))

    def collect(self, kept):
        last = np.stack(kept, -1)
        return last.transpose(0, 1, 3, 2).reshape(*last.shape[:2], -1) if self.bug == "layer order" else last.reshape(*last.shape[:2], -1)

    def run(self, pixels, aspect, tile_mask):
        """pixels: [tiles, 3, height, width]; aspect: the ratio's number; tile_mask: [tiles]. Returns what was dumped, by name."""
        x = self.embed(pixels, aspect)
        tiles, length = x.shape[:2]
        padded = -(-length // MULTIPLE) * MULTIPLE
        x = np.concatenate([x, np.zeros((tiles, padded - length, self.width), np.float32)], 1).reshape(-1, self.width)
        mask, kept = self.mask(tile_mask, length, padded), []

        def cut(value):
            return value.reshape(tiles, padded, -1)[:, :length]
        for layer in range(self.config["num_hidden_layers"]):
            given, x = x, self.block(f"transformer.layers.{layer}", f"local.{layer}", x, mask, False)
            if layer in self.config["intermediate_layers_indices"]:
                kept.append(cut(given if self.bug == "layer early" else x))
        x = self.dump("ln_post", self.norm("layernorm_post", x)).reshape(tiles, padded, -1)
        x = self.dump("post_tile", self.tile_positions("post_tile_positional_embedding", x, aspect)).reshape(-1, self.width)
        for layer in range(self.config["num_global_layers"]):
            x = self.block(f"global_transformer.layers.{layer}", f"global.{layer}", x, mask, True)
        self.dump("output", np.concatenate([cut(x), self.collect(kept)], -1))
        return self.dumps
