"""What converters do to models of a family that no preset knows is found by content and structure, and a fault in it is still found."""
import numpy as np
import pytest
from checkpoint_files import diff, failing, normal, write_gguf, write_hf

LAYERS, EXPERTS, HEADS, SIZE, WIDTH = 3, 5, 4, 16, 64
CONFIG = {"model_type": "novel", "architectures": ["NovelForCausalLM"], "num_attention_heads": HEADS, "num_key_value_heads": HEADS, "hidden_size": WIDTH, "num_hidden_layers": LAYERS}
KEYS = [("add_head_count", HEADS), ("add_head_count_kv", HEADS), ("add_block_count", LAYERS), ("add_embedding_length", WIDTH)]


def interleaved(weight):
    return weight.reshape(HEADS, 2, SIZE // 2, WIDTH).swapaxes(1, 2).reshape(weight.shape)


def in_groups(weight):
    """Queries, keys and values of each head -> all queries, all keys, all values."""
    return weight.reshape(HEADS, 3, SIZE, WIDTH).swapaxes(0, 1).reshape(weight.shape)


def latent(weight):
    keys, values = np.split(weight.reshape(HEADS, 2 * SIZE, WIDTH), 2, axis=1)
    return {"attn_k_b": keys.swapaxes(1, 2), "attn_v_b": values}


# name -> (architecture, shapes of a layer's tensors in the checkpoint, what a right converter makes of them)
KINDS = {
    "experts": ("novel", {f"mlp.e.{e}.{m}.weight": (24, WIDTH) for e in range(EXPERTS) for m in ("first", "second")},
                lambda t: {f"{m}_exps.weight": np.stack([t[f"mlp.e.{e}.{m}.weight"] for e in range(EXPERTS)]) for m in ("first", "second")}),
    "fused": ("novel", {"mlp.both.weight": (96, WIDTH)}, lambda t: dict(zip(("ffn_gate.weight", "ffn_up.weight"), np.split(t["mlp.both.weight"], 2)))),
    "fused experts": ("novel", {"mlp.both": (EXPERTS, 96, WIDTH)}, lambda t: dict(zip(("ffn_gate_exps.weight", "ffn_up_exps.weight"), np.split(t["mlp.both"], 2, axis=1)))),
    "taking turns": ("novel", {"mlp.both": (EXPERTS, WIDTH, 96)}, lambda t: {"ffn_gate_exps.weight": t["mlp.both"][:, :, 0::2].swapaxes(1, 2), "ffn_up_exps.weight": t["mlp.both"][:, :, 1::2].swapaxes(1, 2)}),
    "transposed": ("novel", {"mlp.out": (EXPERTS, 96, WIDTH)}, lambda t: {"ffn_down_exps.weight": t["mlp.out"].swapaxes(1, 2)}),
    "in groups": ("novel", {"att.all.weight": (3 * WIDTH, WIDTH)}, lambda t: {"attn_qkv.weight": in_groups(t["att.all.weight"])}),
    "latent": ("novel", {"att.kv_b.weight": (2 * WIDTH, WIDTH)}, lambda t: {f"{name}.weight": value for name, value in latent(t["att.kv_b.weight"]).items()}),
    "decay": ("novel", {"mix.A_log": (WIDTH,)}, lambda t: {"ssm_a": -np.exp(t["mix.A_log"])[:, None]}),
    "norms": ("nemotron", {"first_norm.weight": (WIDTH,)}, lambda t: {"attn_norm.weight": 1 + t["first_norm.weight"]}),
    "rotary": ("granite", {"att.q.weight": (WIDTH, WIDTH)}, lambda t: {"attn_q.weight": interleaved(t["att.q.weight"])}),
}


def original(kind):
    shapes = KINDS[kind][1]
    return [{name: normal(*shape, seed=1000 * layer + i) for i, (name, shape) in enumerate(shapes.items())} for layer in range(LAYERS)]


@pytest.fixture
def compare(tmp_path):
    """Compares a checkpoint with what its converter makes; alter(layers) spoils the latter."""
    def run(kind, alter=lambda layers: None, convert=None):
        architecture, _, right = KINDS[kind]
        layers = original(kind)
        made = [(convert or right)(layer) for layer in layers]
        alter(made)
        rope = [(f"{architecture}.rope.dimension_count", SIZE)] if kind == "rotary" else []
        plain = normal(48, WIDTH, seed=9)
        hf = write_hf(tmp_path / "hf", {"net.table.weight": plain} | {f"net.layers.{n}.{name}": value for n, layer in enumerate(layers) for name, value in layer.items()}, dict(CONFIG, model_type=architecture))
        tensors = {"token_embd.weight": plain} | {f"blk.{n}.{name}": np.ascontiguousarray(value) for n, layer in enumerate(made) for name, value in layer.items()}
        return diff(hf, write_gguf(tmp_path / "m.gguf", tensors, arch=architecture, keys=KEYS + rope), "--what", "weights")
    return run


@pytest.mark.parametrize("kind", KINDS)
def test_what_converters_do_matches(compare, kind):
    status, text, report = compare(kind)
    assert status == 0, text
    assert report["weights"]["coverage"] == 1


@pytest.mark.parametrize("kind", KINDS)
def test_a_scaled_weight_is_found(compare, kind):
    def scale(layers):
        name = list(layers[1])[-1]
        layers[1][name] = layers[1][name] * np.float32(1.05)
    status, text, report = compare(kind, scale)
    assert status == 1 and any("layers.1." in line or "blk.1." in line for line in failing(report)), text


@pytest.mark.parametrize("kind", KINDS)
def test_swapped_layers_are_found(compare, kind):
    def swap(layers):
        layers[0], layers[2] = layers[2], layers[0]
    status, text, _ = compare(kind, swap)
    assert status == 1, text


@pytest.mark.parametrize("kind", ["norms", "rotary"])
def test_a_change_that_was_not_made_is_found(compare, kind):
    names = {"norms": ("first_norm.weight", "attn_norm.weight"), "rotary": ("att.q.weight", "attn_q.weight")}[kind]
    status, text, _ = compare(kind, convert=lambda t: {names[1]: t[names[0]]})
    assert status == 1, text
    assert "contradicts" in text


@pytest.mark.parametrize("kind", ["norms", "rotary"])
def test_a_change_that_one_layer_lacks_is_found(compare, kind):
    layers = original(kind)
    source, made = list(KINDS[kind][1])[0], {"norms": "attn_norm.weight", "rotary": "attn_q.weight"}[kind]
    status, text, _ = compare(kind, lambda made_layers: made_layers[1].update({made: layers[1][source]}))
    assert status == 1 and "blk.1." in text, text


@pytest.mark.parametrize("kind", ["fused", "fused experts", "taking turns"])
def test_gate_and_up_in_each_others_place_are_found(compare, kind):
    def swap(layers):
        for layer in layers:
            first, second = list(layer)
            layer[first], layer[second] = layer[second], layer[first]
    status, text, _ = compare(kind, swap)
    assert status == 1, text


def test_two_experts_in_each_others_place_are_found(compare):
    def swap(layers):
        layers[1]["first_exps.weight"][[1, 3]] = layers[1]["first_exps.weight"][[3, 1]]
    status, text, report = compare("experts", swap)
    assert status == 1
    assert {"blk.1.first_exps.weight[1]", "blk.1.first_exps.weight[3]"} <= {line.split(" ")[0] for line in failing(report)}, text


def test_changes_that_nothing_asks_for_are_found(compare):
    """Neither the architecture nor the shape says that these have to be made."""
    for kind, convert in {"rotary": lambda t: {"attn_q.weight": np.ascontiguousarray(t["att.q.weight"].T)},
                          "norms": lambda t: {"attn_norm.weight": 2 + t["first_norm.weight"]},
                          "decay": lambda t: {"ssm_a": 1 + t["mix.A_log"]}}.items():
        status, text, _ = compare(kind, convert=convert)
        assert status == 1, text


@pytest.mark.parametrize("kind", ["rotary", "norms"])
def test_a_change_that_another_architecture_needs_is_found(compare, kind, monkeypatch):
    monkeypatch.setitem(KINDS, kind, ("qwen2", *KINDS[kind][1:]))
    status, text, _ = compare(kind)
    assert status == 1, text
