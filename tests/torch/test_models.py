"""Transformers' models: what is recorded equals what torch computes, unobserved."""
import warnings

import pytest
import torch
import transformers

from conftest import same_bits
from lockstep_debug import passes
from replay import check_operations

SMALL = dict(vocab_size=101, hidden_size=32, intermediate_size=48, num_hidden_layers=2,
             num_attention_heads=4, max_position_embeddings=64)
GQA = dict(SMALL, num_key_value_heads=2, head_dim=8)
MODELS = {
    "llama": (transformers.LlamaConfig, transformers.LlamaForCausalLM, GQA),
    "qwen3": (transformers.Qwen3Config, transformers.Qwen3ForCausalLM, GQA),
    "gemma3": (transformers.Gemma3TextConfig, transformers.Gemma3ForCausalLM,
               dict(GQA, sliding_window=4, layer_types=["sliding_attention", "full_attention"])),
    "bert": (transformers.BertConfig, transformers.BertForMaskedLM, SMALL),
}
CASES = [(name, attention) for name in MODELS for attention in ("sdpa", "eager")]
IDS = torch.tensor([[5, 6, 7, 8, 9, 10], [11, 12, 13, 14, 15, 16]])


def build(name, attention="sdpa", **more):
    config, model, sizes = MODELS[name]
    made = config(**dict(sizes, **more))
    made._attn_implementation = attention
    torch.manual_seed(0)
    return model(made).eval()


def unobserved(model, call):
    """The result of call(), and every module's tensors in order of their calls, by plain
    hooks and with nothing of ours active."""
    seen = {}

    def hook(name):
        def keep(module, args, output):
            seen.setdefault(name, []).append(
                [t.detach().clone() for _, t in passes.walk(output)])
        return keep

    handles = [m.register_forward_hook(hook(n)) for n, m in model.named_modules() if n]
    passes.thread.busy = True
    try:
        return call(), seen
    finally:
        passes.thread.busy = False
        for handle in handles:
            handle.remove()


def check_modules(recording, seen):
    """Each module's recorded outputs are those that its hook saw."""
    for name, calls in seen.items():
        for occurrence, tensors in enumerate(calls):
            if tensors:
                assert same_bits(recording.value(recording.line(name, occurrence)), tensors[0]), name
            for index, tensor in enumerate(tensors[1:], 1):
                assert same_bits(recording.value(recording.line(f"{name}.{index}", occurrence)), tensor), name


@pytest.mark.parametrize("name,attention", CASES)
@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode, torch.enable_grad])
def test_values_are_those_of_the_unobserved_model(recording, name, attention, mode):
    model = build(name, attention)
    with mode():
        expected, seen = unobserved(model, lambda: model(input_ids=IDS))
        observed = model(input_ids=IDS)
    assert same_bits(observed.logits, expected.logits)
    check_modules(recording, seen)
    assert same_bits(recording["logits"], expected.logits.detach())
    assert recording.notes == []


@pytest.mark.parametrize("name,attention", CASES)
def test_sources_reproduce_every_operation(recording, name, attention):
    model = build(name, attention)
    with torch.no_grad():
        model(input_ids=IDS, attention_mask=torch.tensor([[0, 1, 1, 1, 1, 1], [1, 1, 1, 1, 1, 1]]))
        ops = check_operations(recording, model, same_bits)
    assert len(ops) > 40 and "Linear" in ops
    assert recording.notes == []


@pytest.mark.parametrize("name", list(MODELS))
def test_names_do_not_depend_on_the_grad_mode(recording, name):
    model = build(name, "eager")
    names = []
    for mode in (torch.no_grad, torch.inference_mode, torch.enable_grad):
        with mode():
            start = len(recording.tensors)
            model(input_ids=IDS)
        names.append([(e["name"], e["op"], e.get("role")) for e in recording.tensors[start:]
                      if e.get("role") not in ("view", "weight")])
    assert names[0] == names[1] == names[2]


@pytest.mark.parametrize("name,before", [("llama", "{}_proj"), ("qwen3", "{}_norm"), ("gemma3", "{}_norm")])
def test_rotary_embedding_is_recorded_by_function(recording, name, before):
    with torch.no_grad():
        build(name)(input_ids=IDS)
    layer = "model.layers.1.self_attn"
    # Gemma computes frequencies for each kind of layer, in an order that changes from
    # process to process: those of this layer are found by its sources.
    products = [recording.line(f"{layer}/apply_rotary_pos_emb/mul", i) for i in (0, 1)]
    views = [recording.by_id(line["src"][1]) for line in products]
    of_name = {recording.line(n, i)["alias_of"]: n for n in ("model.rotary_emb", "model.rotary_emb.1")
               for i in range(recording.names().count(n))}
    assert [of_name[view["src"][0]] for view in views] == ["model.rotary_emb", "model.rotary_emb.1"]
    cos, sin = (recording.value(recording.by_id(view["src"][0])).unsqueeze(1) for view in views)
    for index, heads in (("0", 4), ("1", 2)):
        x = recording[f"{layer}.{before.format('qk'[int(index)])}"]
        x = x.reshape(2, 6, heads, 8) if x.dim() == 3 else x
        x = x.transpose(1, 2) if x.shape[1] == 6 else x  # Gemma normalizes after the transposition
        rotated = x * cos + torch.cat((-x[..., 4:], x[..., :4]), -1) * sin
        assert same_bits(recording[f"{layer}/apply_rotary_pos_emb.{index}"], rotated)


@pytest.mark.parametrize("name", ["llama", "qwen3", "gemma3", "bert"])
def test_attention_weights_computed_aside_are_those_of_eager_attention(recording, name):
    mask = torch.tensor([[0, 0, 1, 1, 1, 1], [1, 1, 1, 1, 1, 1]])
    with torch.no_grad():
        build(name, "sdpa")(input_ids=IDS, attention_mask=mask)
        fused = {e["name"]: recording.value(e) for e in recording.tensors if e["name"].endswith("attention.weights")}
        eager, _ = unobserved(torch.nn.Module(), lambda: build(name, "eager")(
            input_ids=IDS, attention_mask=mask, output_attentions=True))
    assert len(fused) == len(eager.attentions) == 2
    live = mask.bool()[:, None, :, None]  # a padded row looks at nothing: eager spreads it evenly
    for (_, got), expected in zip(sorted(fused.items()), eager.attentions):
        assert torch.allclose(got * live, expected * live, atol=1e-6)


def test_fused_attention_names_what_goes_in(recording):
    model = build("qwen3")
    with torch.no_grad():
        model(input_ids=IDS)
    base = "model.layers.0.self_attn/scaled_dot_product_attention"
    q, k, v = (recording[f"{base}.{x}"] for x in "qkv")
    assert same_bits(q, recording["model.layers.0.self_attn/apply_rotary_pos_emb.0"])
    assert same_bits(k, recording["model.layers.0.self_attn/apply_rotary_pos_emb.1"])
    line = recording.line(base)
    assert line["src"] == [recording.line(f"{base}.{x}")["alias_of"] for x in "qkv"]
    assert line["params"]["scale"] == pytest.approx(8 ** -0.5)
    scores = q.double() @ k.double().repeat_interleave(2, 1).transpose(-1, -2)
    assert torch.allclose(recording[f"{base}.scores"].double(), scores, atol=1e-7)
    causal = torch.full((6, 6), float("-inf")).triu(1).double()
    weights = torch.softmax(scores * 8 ** -0.5 + causal, -1)
    assert torch.allclose(recording[f"{base}.weights"].double(), weights, atol=1e-7)
    assert torch.allclose(recording[base].double(), weights @ v.double().repeat_interleave(2, 1), atol=1e-6)
    assert recording.line(f"{base}.weights")["params"]["recomputed"] is True


def test_layers_of_lines_follow_the_modules(recording):
    with torch.no_grad():
        build("llama")(input_ids=IDS)
    for line in recording.tensors:
        if line["name"].startswith("model.layers."):
            assert line["layer"] == int(line["name"].split(".")[2].split("/")[0])
        elif line["name"].startswith(("lm_head", "model.embed", "model.norm", "logits", "input_ids")):
            assert line["layer"] == -1


def test_bf16_is_kept(recording):
    model = build("qwen3").bfloat16()
    with torch.no_grad():
        expected, seen = unobserved(model, lambda: model(input_ids=IDS))
        observed = model(input_ids=IDS)
    assert same_bits(observed.logits, expected.logits)
    check_modules(recording, seen)
    assert recording.line("lm_head")["dtype"] == "bf16"
    assert recording.line("model.layers.0.self_attn/scaled_dot_product_attention.weights")["dtype"] == "f32"
    assert recording.of("start")[0]["framework"] == f"torch {torch.__version__}"


def test_autocast_is_observed_as_it_runs(recording):
    model = build("llama")
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        expected, seen = unobserved(model, lambda: model(input_ids=IDS))
        observed = model(input_ids=IDS)
    assert same_bits(observed.logits, expected.logits)
    check_modules(recording, seen)
    base = "model.layers.0.self_attn/scaled_dot_product_attention"
    q, k = recording[f"{base}.q"].bfloat16().double(), recording[f"{base}.k"].bfloat16().double()
    scores = q @ k.repeat_interleave(2, 1).transpose(-1, -2)
    assert torch.allclose(recording[f"{base}.scores"].double(), scores, rtol=1e-6)
    assert recording.notes == []


def test_generation_is_one_pass_a_step(recording):
    model = build("qwen3")
    with torch.no_grad():
        expected, _ = unobserved(model, lambda: model.generate(IDS[:1], max_new_tokens=4, do_sample=False))
        got = model.generate(IDS[:1], max_new_tokens=4, do_sample=False)
    assert torch.equal(got, expected)
    starts, ends = recording.of("pass"), recording.of("pass_end")
    assert [p["pass"] for p in starts] == [0, 1, 2, 3] == [p["pass"] for p in ends]
    assert [p["tokens"] for p in starts] == [IDS[0].tolist()] + [[t] for t in got[0, 6:9].tolist()]
    positions = [{**s, **e}["positions"] for s, e in zip(starts, ends)]
    assert positions == [[0, 1, 2, 3, 4, 5], [6], [7], [8]]
    past = recording.line("model.layers.0.self_attn/state", 0, number=1)
    assert past["role"] == "state"
    first = recording.line("model.layers.0.self_attn/scaled_dot_product_attention.k", 0, number=0)
    assert same_bits(recording.value(past), recording.value(first))
    assert recording.notes == []


def test_a_static_cache_is_read_as_it_is_after_each_write(recording):
    model = build("llama")
    with torch.no_grad():
        expected, _ = unobserved(model, lambda: model.generate(
            IDS[:1], max_new_tokens=3, do_sample=False, cache_implementation="static", disable_compile=True))
        got = model.generate(
            IDS[:1], max_new_tokens=3, do_sample=False, cache_implementation="static", disable_compile=True)
        assert torch.equal(got, expected)
        check_operations(recording, model, same_bits)
    assert len(recording.of("pass")) == 3


def test_positions_are_broadcast_over_the_batch(recording):
    with torch.no_grad():
        build("llama")(input_ids=IDS, position_ids=torch.arange(3, 9)[None])
    event = recording.of("pass")[0]
    assert event["tokens"] == IDS.flatten().tolist()
    assert event["positions"] == list(range(3, 9)) * 2
    assert event["sequences"] == [0] * 6 + [1] * 6


def test_inputs_are_recorded_by_their_argument_names(recording):
    mask = torch.tensor([[0, 1, 1, 1, 1, 1], [1, 1, 1, 1, 1, 1]])
    with torch.no_grad():
        build("bert")(IDS, mask, token_type_ids=torch.zeros_like(IDS))
    inputs = [e["name"] for e in recording.tensors if e.get("role") == "input" and e["op"] == "input"]
    assert inputs == ["input_ids", "attention_mask", "token_type_ids"]
    assert same_bits(recording["attention_mask"], mask)


def test_the_engine_says_who_it_is(recording):
    with torch.no_grad():
        build("qwen3")(input_ids=IDS)
        build("llama")(input_ids=IDS)
    starts = recording.of("start")
    assert len(starts) == 1
    assert (starts[0]["engine"], starts[0]["engine_version"], starts[0]["model"], starts[0]["device"]) == \
        ("transformers", transformers.__version__, "Qwen3ForCausalLM", "cpu")


def test_training_is_not_disturbed(recording):
    def losses():
        model = build("bert").train()
        torch.manual_seed(1)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        found = []
        for _ in range(2):
            loss = model(input_ids=IDS, labels=IDS).loss
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            found.append(loss.detach())
        return torch.stack(found)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        observed = losses()
    expected, _ = unobserved(torch.nn.Module(), losses)
    assert same_bits(observed, expected)
    assert same_bits(recording["loss"], expected[0])


def test_gradient_checkpointing_recomputes_unrecorded(recording):
    model = build("llama").train()
    model.gradient_checkpointing_enable()
    model(input_ids=IDS, labels=IDS).loss.backward()
    assert len(recording.of("pass")) == 1 and recording.notes == []
