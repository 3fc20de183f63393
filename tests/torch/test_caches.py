"""--kv: caches as each pass leaves them equal the cache that the program holds."""
import pytest
import torch
import transformers

from conftest import same_bits
from test_models import IDS, SMALL, build


def states(recording, number):
    return {e["name"]: e for e in recording.tensors
            if e["name"].startswith(("past_key_values.", "cache_params.")) and e["role"] == "state" and e["pass"] == number and "data" in e}


def check(recording, number, held, argument="past_key_values"):
    """`held`: what the program's cache has, by name."""
    found = states(recording, number)
    assert set(found) == {f"{argument}.{name}" for name in held}
    for name, tensor in held.items():
        assert same_bits(recording.value(found[f"{argument}.{name}"]), tensor), name


def held_by(cache, prefix=""):
    return {f"{prefix}{i}.{what}": getattr(layer, what).detach().clone() for i, layer in enumerate(cache.layers) for what in ("keys", "values")}


@pytest.mark.parametrize("kind", ["made by the model", "dynamic", "static"])
@pytest.mark.parametrize("name", ["llama", "gemma3"])
def test_a_cache_after_each_pass(recording, name, kind):
    recording.options["kv"] = "1"
    model = build(name)
    cache = {"made by the model": None, "dynamic": transformers.DynamicCache(config=model.config),
             "static": transformers.StaticCache(config=model.config, max_cache_len=16)}[kind]
    with torch.no_grad():
        first = model(input_ids=IDS, past_key_values=cache, use_cache=True)
        after_first = held_by(first.past_key_values)
        second = model(input_ids=torch.tensor([[3], [4]]), past_key_values=first.past_key_values, use_cache=True)
    check(recording, 0, after_first)
    check(recording, 1, held_by(second.past_key_values))
    assert recording.notes == []


def test_both_caches_of_an_encoder_and_decoder(recording):
    recording.options["kv"] = "1"
    torch.manual_seed(0)
    model = transformers.T5ForConditionalGeneration(transformers.T5Config(
        vocab_size=101, d_model=32, d_ff=48, d_kv=8, num_layers=2, num_heads=4, decoder_start_token_id=0)).eval()
    with torch.no_grad():
        cache = model(input_ids=IDS, decoder_input_ids=IDS[:, :3], use_cache=True).past_key_values
    check(recording, 0, {**held_by(cache.self_attention_cache, "self_attention_cache."),
                         **held_by(cache.cross_attention_cache, "cross_attention_cache.")})


def test_a_model_of_ones_own_with_a_tuple_a_layer(recording):
    class Own(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.project = torch.nn.Linear(4, 4)

        def forward(self, hidden, past_key_values=()):
            for key, value in past_key_values:
                hidden = self.project(hidden) + key.sum() + value.sum()
            return hidden

    recording.options["kv"] = "1"
    past = [(torch.randn(2, 3), torch.randn(2, 3)) for _ in range(2)]
    with torch.no_grad():
        Own()(torch.randn(2, 4), past_key_values=past)
    check(recording, 0, {f"{i}.{what}": t for i, pair in enumerate(past) for what, t in zip(("keys", "values"), pair)})


class Grows(torch.nn.Module):
    """Gives back a new cache, which is another view of what it computed."""

    def __init__(self, give):
        super().__init__()
        self.project, self.give = torch.nn.Linear(4, 4), give

    def forward(self, hidden, past_key_values=()):
        hidden = self.project(hidden)
        both = torch.stack([torch.cat([past_key_values[0][0], hidden]), torch.cat([past_key_values[0][1], hidden * 2])])
        return self.give(hidden, ((both[0], both[1].view(-1)),))


GIVES = {
    "a dictionary": lambda hidden, cache: {"logits": hidden + 1, "past_key_values": cache},
    "a tuple with a cache": lambda hidden, cache: (hidden + 1, _Sequence(cache)),
}


class _Sequence(tuple):
    def get_seq_length(self):
        return len(self[0][0])


@pytest.mark.parametrize("kind", GIVES)
def test_a_new_cache_under_the_same_name(recording, kind):
    recording.options["kv"] = "1"
    model = Grows(GIVES[kind])
    with torch.no_grad():
        out = model(torch.randn(1, 4), past_key_values=((torch.randn(2, 4), torch.randn(2, 4)),))
    (keys, values), = out["past_key_values"] if isinstance(out, dict) else out[1]
    assert keys.shape == (3, 4) and values.shape == (12,)
    check(recording, 0, {"0.keys": keys, "0.values": values})
    assert recording.notes == []
    computed = [e["name"] for e in recording.tensors if "role" not in e]
    assert not any("assembled" in name for name in computed), "--kv adds nothing to what is computed"


def test_only_when_asked_for_and_only_of_chosen_passes(recording):
    model = build("llama")
    with torch.no_grad():
        model(input_ids=IDS, use_cache=True)
    assert not states(recording, 0) and not any("past_key_values" in e["name"] for e in recording.tensors)


def test_passes_that_were_not_chosen(recording):
    recording.options.update(kv="1", passes="1")
    model = build("llama")
    with torch.no_grad():
        out = model(input_ids=IDS, use_cache=True)
        model(input_ids=IDS[:, :1], past_key_values=out.past_key_values, use_cache=True)
    assert not states(recording, 0) and len(states(recording, 1)) == 2 * SMALL["num_hidden_layers"]


def test_the_states_of_mamba(recording):
    recording.options["kv"] = "1"
    torch.manual_seed(0)
    model = transformers.MambaForCausalLM(transformers.MambaConfig(
        vocab_size=101, hidden_size=32, state_size=4, num_hidden_layers=2, time_step_rank=4)).eval()
    with torch.no_grad():
        held = model(input_ids=IDS, use_cache=True).cache_params
    expected = {f"{i}.{what}.{key}": t for i, layer in enumerate(held.layers) for what in ("conv_states", "recurrent_states")
                for key, t in (lambda kept: kept.items() if isinstance(kept, dict) else enumerate(kept))(getattr(layer, what))}
    check(recording, 0, expected, "cache_params")
