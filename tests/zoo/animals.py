"""The architectures of the zoo: one row each, small enough to run in seconds.

A row says how transformers builds the model: its type, and what differs from the common
sizes. `written` is added to its config.json: what checkpoints have there and transformers leaves out.
`known` says where the engine really computes something else than transformers, and `without` why
there is no model to compare. Widths are multiples of 32, so that all
weights can be Q8_0.
"""
import dataclasses

COMMON = dict(vocab_size=320, hidden_size=128, intermediate_size=256, num_hidden_layers=4, num_attention_heads=4, num_key_value_heads=2, head_dim=32,
              max_position_embeddings=512, rope_theta=10000.0, tie_word_embeddings=False, bos_token_id=1, eos_token_id=2, pad_token_id=0)


@dataclasses.dataclass(frozen=True, eq=False)
class Animal:
    name: str
    kind: str  # of transformers: its model_type
    config: dict  # what is different from COMMON; None leaves a common value out
    auto: str = "AutoModelForCausalLM"
    written: dict = dataclasses.field(default_factory=dict)
    known: str = ""
    without: str = ""

    @property
    def files(self):
        """Where its files really differ, why."""
        return FILES.get(self.name, "")

    @property
    def is_encoder(self):
        return self.auto != "AutoModelForCausalLM"


def row(name, kind=None, auto="AutoModelForCausalLM", written=None, known="", without="", **config):
    return Animal(name, kind or name, config, auto, written or {}, known, without)


def of_types(**bases):
    """Rotary embeddings for each type of layer."""
    return {kind: {"rope_type": "default", "rope_theta": base} for kind, base in bases.items()}


STAND_IN = "the zoo's byte-level vocabulary stands in for the model's own, whose special tokens the converter writes"
CONSTANT = "the converter writes a constant"
NO_OFFSET = "the converter leaves out the first positions, which are not used, of the position embedding"
NOT_READ = "the converter writes another value than the configuration has"

# Where the converter's file really differs from the checkpoint.
FILES = {
    "bert": STAND_IN, "camembert": STAND_IN, "distilbert": STAND_IN, "modernbert": STAND_IN, "eurobert": STAND_IN, "nemotron": CONSTANT,
    "hunyuan-dense": "the converter writes eod_token_id as the end of a text", "hunyuan-moe": "the configuration's sep is not the tokenizer's", "roberta": NO_OFFSET, "xlm-roberta": NO_OFFSET, "falcon": CONSTANT, "falcon-7b": CONSTANT,
    "granite-hybrid": CONSTANT, "granite-hybrid-moe": CONSTANT, "glm": NOT_READ, "mamba": NOT_READ, "falcon_mamba": NOT_READ,
    "nemotron_h-moe": CONSTANT, "bamba": "the converter permutes whole heads, of which only a part is rotated",
    "starcoder": "the configuration has multi_query, and contradicts itself with num_key_value_heads",
    "gemma3-pattern": "the engine takes every sixth layer for a full one, whatever the configuration says",
    "qwen3_moe-unnormalized": "the engine always normalizes the experts' weights",
    "smollm3-interval": "the engine leaves RoPE out of every fourth layer, whatever the configuration says",
}

GELU = "the engine has GELU in its tanh form"
Q_NORM_EPS = "the engine's norms of the latent vectors use the configuration's eps, transformers' 1e-6"


DENSE = [
    row("llama"),
    row("internlm3"),
    row("mistral", sliding_window=None),
    row("ministral3", sliding_window=None, rope_parameters={"rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0, "original_max_position_embeddings": 64, "beta_fast": 32.0, "beta_slow": 1.0, "mscale": 1.0, "mscale_all_dim": 1.0, "llama_4_scaling_beta": 0.1}, rope_theta=None),
    row("qwen2", head_dim=None),
    row("qwen3"),
    row("arcee"),
    row("apertus"),
    row("smollm3"),
    row("smollm3-interval", "smollm3", no_rope_layer_interval=2, known="the engine leaves RoPE out of every fourth layer, whatever the configuration says"),
    row("seed_oss", attention_bias=True),
    row("olmo", clip_qkv=None, head_dim=None),
    row("olmo2", head_dim=None),
    row("olmo3", head_dim=None, sliding_window=8, rope_theta=None, rope_parameters=of_types(full_attention=10000.0, sliding_attention=10000.0)),
    row("olmo3-bases", "olmo3", head_dim=None, sliding_window=8, rope_theta=None, rope_parameters=of_types(full_attention=10000.0, sliding_attention=500000.0),
        known="the engine has one base of RoPE for all layers"),
    row("granite", attention_multiplier=0.11, embedding_multiplier=3.0, residual_multiplier=0.7, logits_scaling=2.5, head_dim=None),
    row("granite_swa", sliding_window=8, head_dim=None),
    row("cohere", logit_scale=0.25, tie_word_embeddings=True, head_dim=None),
    row("cohere-qk-norm", "cohere", logit_scale=0.25, tie_word_embeddings=True, use_qk_norm=True, head_dim=None, num_hidden_layers=64, hidden_size=64, intermediate_size=96, num_attention_heads=2, num_key_value_heads=1),
    row("cohere2", written={"rotary_pct": 1.0}, logit_scale=0.25, tie_word_embeddings=True, sliding_window=8),
    row("gemma", tie_word_embeddings=True),
    row("gemma2", query_pre_attn_scalar=32, sliding_window=8, attn_logit_softcapping=30.0, final_logit_softcapping=20.0, tie_word_embeddings=True),
    row("gemma2-scalar", "gemma2", query_pre_attn_scalar=40, sliding_window=8, tie_word_embeddings=True, known="the engine scales by the size of a head (except in the 27B model)"),
    row("gemma3", "gemma3_text", query_pre_attn_scalar=32, sliding_window=8, tie_word_embeddings=True, num_hidden_layers=8),
    row("gemma3-pattern", "gemma3_text", query_pre_attn_scalar=32, sliding_window=8, tie_word_embeddings=True, layer_types=["sliding_attention", "full_attention"] * 2,
        known="the engine takes every sixth layer for a full one, whatever the configuration says"),
    row("gemma3n", "gemma3n_text", known="the engine's standard deviation has one degree of freedom less than transformers'", tie_word_embeddings=True, num_hidden_layers=20, hidden_size=64, num_attention_heads=2, num_key_value_heads=1, intermediate_size=96,
        hidden_size_per_layer_input=256, vocab_size_per_layer_input=320, num_kv_shared_layers=0, laurel_rank=64, activation_sparsity_pattern=[0.95] * 10 + [0.0] * 10, sliding_window=8),
    row("gemma4", "gemma4_text", tie_word_embeddings=True, num_hidden_layers=6, sliding_window=8, vocab_size_per_layer_input=320, hidden_size_per_layer_input=32, global_head_dim=64, final_logit_softcapping=30.0),
    row("glm", partial_rotary_factor=0.5, known="the converter writes eps 1e-5 where the configuration has another name for it"),
    row("glm4", partial_rotary_factor=0.5),
    row("exaone4", sliding_window=None, layer_types=["full_attention"] * 4),
    row("exaone4-window", "exaone4", sliding_window=8, known="the engine has a sliding window, and layers without RoPE, in models of 64 layers only"),
    row("hunyuan-dense", "hunyuan_v1_dense"),
    row("ernie4_5"),
    row("minicpm3", q_lora_rank=64, kv_lora_rank=32, qk_nope_head_dim=32, qk_rope_head_dim=16, v_head_dim=32, num_key_value_heads=4, head_dim=None, known=Q_NORM_EPS),
    row("nemotron", partial_rotary_factor=0.5),
    row("stablelm", partial_rotary_factor=0.5, head_dim=None),
    row("stablelm-parallel", "stablelm", without="the converter misreads the norms of heads as transformers 5 saves them",
        partial_rotary_factor=0.5, head_dim=None, use_parallel_residual=True, qk_layernorm=True, use_qkv_bias=True),
    row("phi", partial_rotary_factor=0.5, intermediate_size=512, num_key_value_heads=4, head_dim=None),
    row("phi3", sliding_window=None, head_dim=None),
    row("starcoder", "gpt_bigcode", n_embd=128, n_layer=4, n_head=4, n_positions=512, n_inner=512, head_dim=None),
    row("starcoder2", head_dim=None),
    row("gpt2", n_embd=128, n_layer=4, n_head=4, n_positions=512, n_ctx=512, n_inner=512),
    row("gpt_neox", known=GELU, written={"rotary_pct": 0.5}, rotary_pct=0.5, head_dim=None),
    row("gpt_neox-sequential", "gpt_neox", known=GELU, written={"rotary_pct": 0.5}, rotary_pct=0.5, use_parallel_residual=False, head_dim=None),
    row("bloom", n_layer=4, n_head=4),
    row("falcon", head_dim=None, num_kv_heads=2, new_decoder_architecture=True, known=GELU),
    row("falcon-7b", "falcon", head_dim=None, new_decoder_architecture=False, multi_query=True, parallel_attn=True, num_kv_heads=1, known=GELU),
    row("mpt", d_model=128, n_heads=4, n_layers=4, expansion_ratio=4, max_seq_len=512, written={"architectures": ["MPTForCausalLM"]}, known=GELU),
    row("jais2", head_dim=None, num_key_value_heads=4),
    row("bitnet", without="the converter knows no ffn_sub_norm, as transformers calls it"),
    row("youtu", q_lora_rank=64, kv_lora_rank=32, qk_nope_head_dim=32, qk_rope_head_dim=16, v_head_dim=32, num_key_value_heads=4, head_dim=None),
    row("hrm_text", num_key_value_heads=None),
]
EXPERT = dict(num_experts=4, num_experts_per_tok=2, moe_intermediate_size=64)
DEEPSEEK = dict(q_lora_rank=64, kv_lora_rank=32, qk_nope_head_dim=32, qk_rope_head_dim=16, v_head_dim=32, num_key_value_heads=4, head_dim=None,
                n_routed_experts=4, num_experts_per_tok=2, moe_intermediate_size=64, n_shared_experts=1, first_k_dense_replace=1)
EXPERTS = [
    row("mixtral", num_local_experts=4, num_experts_per_tok=2, sliding_window=None, head_dim=None),
    row("qwen2_moe", **EXPERT, shared_expert_intermediate_size=96, head_dim=None),
    row("qwen3_moe", **EXPERT, norm_topk_prob=True),
    row("qwen3_moe-unnormalized", "qwen3_moe", **EXPERT, norm_topk_prob=False, known="the engine always normalizes the experts' weights"),
    row("olmoe", num_key_value_heads=4, num_experts=4, num_experts_per_tok=2, head_dim=None, intermediate_size=64),
    row("granitemoe", num_local_experts=4, num_experts_per_tok=2, intermediate_size=64, head_dim=None, attention_multiplier=0.11, embedding_multiplier=3.0, residual_multiplier=0.7, logits_scaling=2.5),
    row("granitemoeshared", num_local_experts=4, num_experts_per_tok=2, intermediate_size=64, shared_intermediate_size=96, head_dim=None, attention_multiplier=0.11, embedding_multiplier=3.0, residual_multiplier=0.7, logits_scaling=2.5),
    row("granitemoe_swa", num_local_experts=4, num_experts_per_tok=2, intermediate_size=64, sliding_window=8, head_dim=None),
    row("phimoe", known="the engine has RMS norms for LayerNorms, and a softmax over all experts for the two thresholded ones", num_local_experts=4, num_experts_per_tok=2, sliding_window=None, head_dim=None, lm_head_bias=True, attention_bias=True, written={"architectures": ["PhiMoEForCausalLM"], "original_max_position_embeddings": 512}),
    row("gpt_oss", num_local_experts=4, num_experts_per_tok=2, intermediate_size=64, sliding_window=8, known="YaRN: the engine rounds the range of frequencies to be corrected to whole numbers, transformers (truncate: false) does not"),
    row("glm4_moe", n_routed_experts=4, num_experts_per_tok=2, moe_intermediate_size=64, n_shared_experts=1, first_k_dense_replace=1, partial_rotary_factor=0.5, use_qk_norm=True),
    row("glm4_moe_lite", written={"scoring_func": "sigmoid"}, **DEEPSEEK, n_group=1, topk_group=1, known=Q_NORM_EPS),
    row("deepseek_v2", **DEEPSEEK, n_group=1, topk_group=1, topk_method="greedy", routed_scaling_factor=1.7),
    row("deepseek_v2-lite", "deepseek_v2", num_hidden_layers=27, **{**DEEPSEEK, "q_lora_rank": None}, n_group=1, topk_group=1, topk_method="greedy"),
    row("deepseek_v3", written={"scoring_func": "sigmoid"}, **{**DEEPSEEK, "n_routed_experts": 8}, n_group=2, topk_group=1, routed_scaling_factor=2.5, norm_topk_prob=True),
    row("deepseek_v32", written={"scoring_func": "sigmoid"}, **{**DEEPSEEK, "n_routed_experts": 8}, n_group=2, topk_group=1),
    row("dots1", num_key_value_heads=4, written={"scoring_func": "sigmoid"}, n_routed_experts=4, num_experts_per_tok=2, moe_intermediate_size=64, n_shared_experts=1, first_k_dense_replace=1, n_group=1, topk_group=1),
    row("ernie4_5_moe", moe_num_experts=4, moe_k=2, moe_intermediate_size=64, moe_num_shared_experts=2, moe_layer_start_index=1),
    row("exaone_moe", written={"scoring_func": "sigmoid"}, num_experts=4, num_experts_per_tok=2, moe_intermediate_size=64, num_shared_experts=1, first_k_dense_replace=1, sliding_window=8),
    row("hunyuan-moe", "hunyuan_v1_moe", num_experts=4, moe_topk=[2] * 4, moe_intermediate_size=[64] * 4, num_shared_expert=[1] * 4),
    row("hy_v3", **EXPERT, num_shared_experts=1),
    row("afmoe", written={"route_norm": True, "score_func": "sigmoid"}, **EXPERT, num_shared_experts=1, num_dense_layers=1, sliding_window=8, mup_enabled=True),
    row("laguna", rope_theta=None, rope_parameters=of_types(full_attention=10000.0, sliding_attention=10000.0), **EXPERT),
    row("minimax_m2", written={"scoring_func": "sigmoid"}, num_local_experts=4, num_experts_per_tok=2, intermediate_size=64, rotary_dim=16),
    row("cohere2_moe", num_experts=4, num_experts_per_tok=2, sliding_window=8, logit_scale=0.25, tie_word_embeddings=True),
    row("mimo_v2_flash", without="the converter asks for a partial_rotary_factor where transformers 5 writes one for each type of layer"),
    row("mellum", rope_theta=None, rope_parameters=of_types(full_attention=10000.0, sliding_attention=10000.0), num_local_experts=4, sliding_window=8, layer_types=["sliding_attention", "full_attention"] * 2, num_experts_per_tok=2, moe_intermediate_size=64),
    row("solar_open", written={"partial_rotary_factor": 1.0}, n_routed_experts=4, num_experts_per_tok=2, moe_intermediate_size=64, n_shared_experts=1),
    row("llama4", "llama4_text", num_local_experts=4, num_experts_per_tok=1, intermediate_size=128, intermediate_size_mlp=256, interleave_moe_layer_step=2),
    row("dbrx", d_model=128, n_heads=4, n_layers=4, max_seq_len=512, attn_config={"kv_n_heads": 2, "clip_qkv": 8.0, "rope_theta": 10000.0}, ffn_config={"ffn_hidden_size": 64, "moe_num_experts": 4, "moe_top_k": 2, "hidden_size": 128}),
    row("glm_moe_dsa", **DEEPSEEK, index_topk=8, index_head_dim=32, index_n_heads=2),
    row("hy_v4", without="the converter knows no hc_pre, as transformers calls it"),
    row("dots3_note", without="the converter reads the configuration of the remote code, not that of transformers' own class"),
    row("qwen4_exp", "qwen4_exp_text", output_gate_type="sigmoid", partial_rotary_factor=0.25, **EXPERT, shared_expert_intermediate_size=64, linear_num_key_heads=2, linear_num_value_heads=4, linear_key_head_dim=32, linear_value_head_dim=32, hc_lowrank=32, ngram_vocab_size_base=100, ple_embed_dim=64, indexer_n_heads=2, indexer_kv_heads=1, indexer_head_dim=32, indexer_budget=8, indexer_compress_ratio=2),
    row("deepseek_v4", without="the converter reads the names of the original checkpoint, transformers writes others"),
]
STATES = [
    row("mamba", state_size=16, head_dim=None, intermediate_size=None),
    row("falcon_mamba", state_size=16, layer_norm_epsilon=1e-6, head_dim=None, intermediate_size=None),
    row("mamba2", state_size=32, num_heads=8, head_dim=32, n_groups=2, chunk_size=16, expand=2),
    row("falcon_h1", mamba_d_ssm=128, mamba_n_heads=4, mamba_d_head=32, mamba_n_groups=1, mamba_d_state=32, mamba_chunk_size=16),
    row("bamba", known="the converter permutes whole heads, of which only a part is rotated", written={"attn_rotary_emb": 16}, mamba_n_heads=8, mamba_d_head=32, mamba_n_groups=1, mamba_d_state=32, mamba_chunk_size=16, attn_layer_indices=[1, 3], head_dim=None),
    row("granite-hybrid", "granitemoehybrid", written={"layer_types": ["mamba", "attention"] * 2}, mamba_n_heads=8, mamba_d_head=32, mamba_n_groups=1, mamba_d_state=32, mamba_chunk_size=16, layer_types=["mamba", "attention"] * 2, num_local_experts=0, num_experts_per_tok=0, shared_intermediate_size=256, head_dim=None),
    row("granite-hybrid-moe", "granitemoehybrid", written={"layer_types": ["mamba", "attention"] * 2}, mamba_n_heads=8, mamba_d_head=32, mamba_n_groups=1, mamba_d_state=32, mamba_chunk_size=16, layer_types=["mamba", "attention"] * 2, num_local_experts=4, num_experts_per_tok=2, intermediate_size=64, shared_intermediate_size=256, head_dim=None),
    row("jamba", mamba_d_state=16, mamba_dt_rank=16, attn_layer_period=2, attn_layer_offset=1, expert_layer_period=2, expert_layer_offset=1, num_experts=4, num_experts_per_tok=2, use_mamba_kernels=False, head_dim=None),
    row("nemotron_h", without="the converter takes a model for one with experts because transformers writes num_experts_per_tok for all"),
    row("nemotron_h-moe", "nemotron_h", known="transformers bounds the time steps of the state space by time_step_min, the engine does not", written={"hybrid_override_pattern": "M*EM*E"}, num_hidden_layers=None, mamba_num_heads=8, mamba_head_dim=32, n_groups=2, ssm_state_size=32, chunk_size=16,
        layers_block_type=["linear_attention", "full_attention", "moe"] * 2, n_routed_experts=4, num_experts_per_tok=2, moe_intermediate_size=64, moe_shared_expert_intermediate_size=64),
    row("lfm2", layer_types=["conv", "full_attention"] * 2, block_auto_adjust_ff_dim=False, head_dim=None),
    row("lfm2_moe", tie_word_embeddings=True, layer_types=["conv", "full_attention"] * 2, **EXPERT, num_dense_layers=1, head_dim=None),
    row("qwen3_next", **EXPERT, shared_expert_intermediate_size=64, linear_num_key_heads=4, linear_num_value_heads=8, linear_key_head_dim=32, linear_value_head_dim=32, partial_rotary_factor=0.5),
    row("qwen3_5-equal-heads", "qwen3_5_text", linear_num_key_heads=4, linear_num_value_heads=4, linear_key_head_dim=32, linear_value_head_dim=32),
    row("qwen3_5", "qwen3_5_text", linear_num_key_heads=4, linear_num_value_heads=8, linear_key_head_dim=32, linear_value_head_dim=32),
    row("qwen3_5_moe", "qwen3_5_moe_text", **EXPERT, shared_expert_intermediate_size=64, linear_num_key_heads=4, linear_num_value_heads=8, linear_key_head_dim=32, linear_value_head_dim=32),
    row("kimi_linear", without="the converter knows no block_sparse_moe.down_proj, as transformers calls the dense layer's weights"),
]
ENCODERS = [
    row("bert", auto="AutoModel", known=GELU, num_key_value_heads=None, head_dim=None, type_vocab_size=2),
    row("roberta", auto="AutoModel", known=GELU, num_key_value_heads=None, head_dim=None, type_vocab_size=1),
    row("xlm-roberta", auto="AutoModel", known=GELU, num_key_value_heads=None, head_dim=None, type_vocab_size=1),
    row("camembert", auto="AutoModel", known=GELU + "; the converter leaves the unused first positions in", num_key_value_heads=None, head_dim=None, type_vocab_size=1),
    row("distilbert", auto="AutoModel", known=GELU, num_key_value_heads=None, dim=128, n_layers=4, n_heads=4, hidden_dim=256, head_dim=None),
    row("modernbert", auto="AutoModel", known=GELU, written={"layer_norm_eps": 1e-5}, num_key_value_heads=None, head_dim=None, local_attention=8, global_attn_every_n_layers=2),
    row("nomic_bert", without="the converter reads the configuration of the remote code, not that of transformers' own class"),
    row("eurobert", auto="AutoModel", classifier_pooling="mean", head_dim=None),
    row("t5", auto="AutoModelForSeq2SeqLM", without="node-llama-cpp runs no decoder behind an encoder"),
    row("t5-encoder", "t5", known="node-llama-cpp runs the encoder with a causal mask", auto="T5EncoderModel", d_model=128, d_kv=32, d_ff=256, num_layers=4, num_heads=4, written={"decoder_start_token_id": 0}, head_dim=None, num_key_value_heads=None),
]
REMOTE = "transformers has no class of its own for it (remote code)"
ABROAD = [row(name, without=REMOTE) for name in (
    "arctic", "baichuan", "bailingmoe", "bailingmoe2", "chatglm", "codeshell", "cogvlm", "deci", "deepseek", "dream", "exaone", "grok", "grovemoe", "internlm2", "jais",
    "jina-bert", "kimi-k3", "llada", "llada-moe", "maincoder", "maple", "minicpm", "minimax-01", "neobert", "openelm", "orion", "pangu", "plamo", "plamo2", "plamo3", "plm",
    "qwen", "refact", "rnd1", "rwkv6", "rwkv6qwen2", "rwkv7", "sarvam-moe", "smallthinker", "spark2_5", "step3p5", "talkie", "xverse")]
ANIMALS = DENSE + EXPERTS + STATES + ENCODERS + ABROAD
BY_NAME = {animal.name: animal for animal in ANIMALS}
