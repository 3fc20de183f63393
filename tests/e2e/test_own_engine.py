"""examples/qwen3.c: an engine of one's own, recorded through lockstep.h."""
import json
import re
import shutil
import sys

import pytest
import torch

import models
from conftest import HERE, LOCKSTEP, PROMPTS, ROOT, Trace, capture, diff, run

ENGINE = ROOT / "build" / "examples" / "qwen3"
STEPS = 4
LAYER = "model.layers.{}."

# mistake -> the first tensor in which it begins, the pass, the cause that is named
BUGS = {
    "rope-interleaved": ("model.layers.0.self_attn/apply_rotary_pos_emb.0", 0, None),
    "rope-base": ("model.layers.0.self_attn/apply_rotary_pos_emb.0", 0, "rope-frequency"),
    "rope-position": ("model.layers.0.self_attn/apply_rotary_pos_emb.0", 1, None),
    "norm-eps": ("model.layers.0.input_layernorm", 0, "norm-eps"),
    "no-qk-norm": ("model.layers.0.self_attn.q_norm", 0, "swapped-with"),  # with what was to be normalized
    "qk-norm-swapped": ("model.layers.0.self_attn.q_norm", 0, "channel-scale"),
    "gqa-order": ("model.layers.0.self_attn/scaled_dot_product_attention", 0, None),
    "no-scale": ("model.layers.0.self_attn/scaled_dot_product_attention", 0, None),
    "no-mask": ("model.layers.0.self_attn/scaled_dot_product_attention", 0, None),
    "no-residual": ("model.layers.1.post_attention_layernorm", 0, None),
    "gate-up-swapped": ("model.layers.0.mlp.gate_proj", 0, "swapped-with"),
    "gelu": ("model.layers.0.mlp.act_fn", 0, "activation"),
    "no-final-norm": ("model.norm", 0, "swapped-with"),
    "stale-cache": ("model.layers.0.self_attn/scaled_dot_product_attention", 1, None),
}

# mistakes that are made in two tensors, neither of which is computed from the other
TWO_ORIGINS = {"rope-interleaved", "rope-base", "rope-position", "no-qk-norm", "qk-norm-swapped", "gate-up-swapped"}


def command(lab, *more):
    return [ENGINE, lab.hf("qwen3"), ",".join(map(str, PROMPTS[24])), STEPS, *more]


@pytest.fixture(scope="module")
def greedy(lab):
    """transformers' own tokens: what it chose after the prompt and after each step."""
    import transformers
    model = transformers.AutoModelForCausalLM.from_pretrained(lab.hf("qwen3")).eval()
    tokens = torch.tensor([PROMPTS[24]])
    with torch.no_grad():
        for _ in range(STEPS + 1):
            tokens = torch.cat([tokens, model(input_ids=tokens).logits[:, -1:].argmax(-1)], 1)
    return tokens[0, len(PROMPTS[24]):].tolist()


@pytest.fixture(scope="module")
def reference(lab, greedy):
    options = {"model": str(lab.hf("qwen3")), "prompt": PROMPTS[24], "steps": greedy[:STEPS]}
    return capture(lab.folder / "ref-greedy", sys.executable, HERE / "run_hf.py", json.dumps(options))


def test_it_chooses_the_tokens_of_transformers_and_matches(lab, greedy, reference, tmp_path):
    done = run(*command(lab))
    assert [int(token) for token in done.stdout.split()] == greedy
    status, result = diff(reference, capture(tmp_path / "own", *command(lab)))
    assert status == 0 and result["verdict"] == "match"
    assert result["pairing"]["coverage"] == 1 and result["totals"]["compared"] == (STEPS + 1) * (2 + models.LAYERS * 16 + 1)
    assert all(pair["metrics"]["rel_l2"] < 1e-5 for pair in result["pairs"])


def test_what_it_says_of_its_graph_is_in_the_trace(lab, tmp_path):
    lines = Trace(capture(tmp_path / "own", *command(lab))).tensors
    first = {line["name"]: line for line in reversed(lines)}
    config = json.loads((lab.hf("qwen3") / "config.json").read_text())
    q = first["model.layers.0.self_attn/apply_rotary_pos_emb.0"]
    base = config.get("rope_parameters", config)["rope_theta"]
    assert q["params"] == {"n_dims": config["head_dim"], "mode": 2, "freq_base": base, "freq_scale": 1}
    norm, embedding = first["model.layers.0.input_layernorm"], first["model.embed_tokens"]
    assert norm["params"]["eps"] == pytest.approx(config["rms_norm_eps"], rel=1e-6) and norm["src"] == [embedding["i"]]
    alias, projection = first["model.layers.0.self_attn"], first["model.layers.0.self_attn.o_proj"]
    assert alias["alias_of"] == projection["i"] and "file" not in alias
    source = (ROOT / "examples" / "qwen3.c").read_text().splitlines()
    for line in (q, norm, projection, embedding):
        file, _, number = line["where"].partition(":")
        assert file == "qwen3.c" and ("MADE(" in source[int(number) - 1] or "record(" in source[int(number) - 1])


@pytest.mark.parametrize("bug", BUGS)
def test_each_mistake_is_found(lab, reference, tmp_path, bug):
    name, first_pass, cause = BUGS[bug]
    done = run(LOCKSTEP, "check", "--reference", reference, "--json", tmp_path / "json", "--", *command(lab, "--bug", bug))
    result = json.loads((tmp_path / "json").read_text())
    first = result["first_divergence"]
    assert done.returncode == 1 and result["verdict"] == "diverged", done.stderr
    assert (first["candidate"]["name"], first["candidate"]["pass"]) == (name, first_pass)
    assert result["totals"]["origins"] == (2 if bug in TWO_ORIGINS else 1)
    if cause is not None:
        assert first["causes"][0]["rule"] == cause


# mistakes that leave a tensor of their own. (Where a norm is left out, its result is its operand's.)
NAMELESS = {bug: BUGS[bug][:2] for bug in ("rope-interleaved", "rope-position", "norm-eps", "qk-norm-swapped", "gqa-order", "no-mask", "gate-up-swapped", "gelu", "stale-cache")}


def without_names(trace, out):
    """Names and operations that mean nothing. Returns what they were."""
    shutil.copytree(trace, out)
    lines = [json.loads(line) for line in open(out / "trace.jsonl")]
    numbers = {}
    for line in (line for line in lines if "i" in line):
        line["name"], line["op"], line["layer"] = f"t{numbers.setdefault(line['name'], len(numbers)) * 7919 % 10007}", "", -1
    (out / "trace.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return {f"t{n * 7919 % 10007}": name for name, n in numbers.items()}


def test_without_names_each_tensor_finds_its_partner(lab, reference, tmp_path):
    names = without_names(capture(tmp_path / "own", *command(lab)), tmp_path / "nameless")
    status, result = diff(reference, tmp_path / "nameless", "--preset", "none")
    assert status == 0 and result["verdict"] == "match" and result["pairing"]["candidate_only"] == [] and result["pairing"]["by"]["inferred"] == 0
    for pair in result["pairs"]:
        ours, theirs = names[pair["candidate"]["name"]], pair["reference"]["name"]
        rotated = re.fullmatch(r"(.*/apply_rotary_pos_emb)\.[01]", ours)  # another name of the sum in it
        assert theirs == ours or theirs.startswith(ours + "/") or (rotated and theirs == rotated[1] + "/add")


@pytest.mark.parametrize("bug", NAMELESS)
def test_without_names_each_mistake_is_found(lab, reference, tmp_path, bug):
    names = without_names(capture(tmp_path / "own", *command(lab, "--bug", bug)), tmp_path / "nameless")
    status, result = diff(reference, tmp_path / "nameless", "--preset", "none")
    first = result["first_divergence"]["candidate"]
    assert status == 1 and (names[first["name"]], first["pass"]) == NAMELESS[bug]


def test_decoding_follows_the_reference_where_it_is_resynced(lab, greedy, reference, tmp_path):
    wrong = command(lab, "--bug", "gelu")
    assert [int(token) for token in run(*wrong).stdout.split()] != greedy, "the mistake must change the tokens"
    done = run(LOCKSTEP, "check", "--reference", reference, "--resync", "layer", "--json", tmp_path / "json", "--", *wrong)
    result = json.loads((tmp_path / "json").read_text())
    assert [int(token) for token in done.stdout.splitlines()[0].split()] == greedy
    assert result["inputs"]["status"] == "equal" and result["totals"]["resynced"] == (STEPS + 1) * (models.LAYERS + 1)
    origins = {(p["candidate"]["pass"], p["candidate"]["name"]) for p in result["pairs"] if p["verdict"] == "diverged" and not p["downstream"]}
    assert origins == {(step, f"model.layers.{layer}.mlp.act_fn") for step in range(STEPS + 1) for layer in range(models.LAYERS)}


def test_without_a_recorder_it_says_the_same(lab, tmp_path):
    plain = run(*command(lab))
    observed = run(LOCKSTEP, "capture", "-o", tmp_path / "t", "--", *command(lab))
    assert plain.stdout == observed.stdout and plain.returncode == observed.returncode == 0


def test_a_selection_that_matches_nothing_is_pointed_out(lab, tmp_path):
    done = run(LOCKSTEP, "capture", "-o", tmp_path / "none", "--layers", "0", "--tensors", "no_such", "--", *command(lab))
    assert done.returncode == 0 and "nothing that was computed matches the selection (layer 0, tensors that match 'no_such')" in done.stderr
    done = run(LOCKSTEP, "capture", "-o", tmp_path / "some", "--layers", "0", "--tensors", "q_norm", "--", *command(lab))
    assert done.returncode == 0 and "matches the selection" not in done.stderr
