"""The architectures of the zoo: one row each, small enough to run in seconds.

A row says how transformers builds the model: its type, and what differs from the common
sizes. `known` says where the engine really computes something else than transformers,
and `without` why there is no model to compare. Widths are multiples of 32, so that all
weights can be Q8_0.
"""
import dataclasses

COMMON = dict(vocab_size=320, hidden_size=128, intermediate_size=256, num_hidden_layers=4, num_attention_heads=4, num_key_value_heads=2, head_dim=32,
              max_position_embeddings=512, rope_theta=10000.0, tie_word_embeddings=False, bos_token_id=1, eos_token_id=2, pad_token_id=0)


@dataclasses.dataclass(frozen=True)
class Animal:
    name: str
    kind: str  # of transformers: its model_type
    config: dict  # what is different from COMMON
    auto: str = "AutoModelForCausalLM"
    known: str = ""
    without: str = ""


def row(name, kind=None, auto="AutoModelForCausalLM", known="", without="", **config):
    return Animal(name, kind or name, config, auto, known, without)


DENSE = [
    row("llama"),
    row("qwen2", head_dim=None),
    row("qwen3"),
    row("mistral", sliding_window=None),
    row("olmo2", head_dim=None),
    row("granite", attention_multiplier=0.11, embedding_multiplier=3.0, residual_multiplier=0.7, logits_scaling=2.5),
    row("gpt2", n_embd=128, n_layer=4, n_head=4, n_positions=512, n_ctx=512, n_inner=256),
    row("bloom", n_layer=4, n_head=4),
    row("gemma2", query_pre_attn_scalar=40, sliding_window=8, attn_logit_softcapping=30.0, final_logit_softcapping=20.0, tie_word_embeddings=True),
    row("phi", partial_rotary_factor=0.5),
]
EXPERTS = [
    row("mixtral", num_local_experts=4, num_experts_per_tok=2, sliding_window=None, head_dim=None),
]
ANIMALS = DENSE + EXPERTS
BY_NAME = {animal.name: animal for animal in ANIMALS}
