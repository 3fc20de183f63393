"""Vocabularies: sizes, tokens, special tokens, merges."""
import json

import pytest
from checkpoint_files import bpe_tokenizer, diff, failing, findings, normal, write_gguf, write_hf

WORDS = ["a", "b", "c", "ab", "bc", "abc", "Ġ", "é"]
SPECIAL = ["<s>", "</s>", "<|eot|>"]
MERGES = ["a b", "b c", "ab c"]
CONFIG = {"architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", "vocab_size": 11, "bos_token_id": 8, "eos_token_id": 9}


def tensors(rows=11):
    return {"token_embd.weight": normal(rows, 4)}


def keys(words=WORDS + SPECIAL, types=None, merges=MERGES, bos=8, eos=9, **more):
    types = types or [1] * len(WORDS) + [3] * (len(words) - len(WORDS))
    out = [("add_tokenizer_model", "gpt2"), ("add_token_list", words), ("add_token_types", types), ("add_token_merges", merges),
           ("add_bos_token_id", bos), ("add_eos_token_id", eos)]
    return out + list(more.items())


@pytest.fixture
def compare(tmp_path):
    def run(gguf_keys, config=CONFIG, tokenizer=bpe_tokenizer(WORDS, SPECIAL, MERGES), rows=11, **files):
        reference = write_hf(tmp_path / "hf", {"model.embed_tokens.weight": normal(11, 4)}, config, tokenizer, **files)
        candidate = write_gguf(tmp_path / "m.gguf", tensors(rows), arch="qwen2", keys=gguf_keys)
        return diff(reference, candidate, "--what", "vocab")

    return run


def test_equal(compare):
    status, text, report = compare(keys())
    assert status == 0 and failing(report) == []
    assert report["vocab"]["tokens"] == {"compared": 11, "differ": 0, "first": None}
    assert report["vocab"]["merges"] == {"compared": 3, "differ": 0, "first": None}
    assert "11 tokens, 0 differ; 3 merges, 0 differ; 2 special tokens, 0 differ" in text


def test_merges_as_pairs(compare):
    assert compare(keys(), tokenizer=bpe_tokenizer(WORDS, SPECIAL, [m.split() for m in MERGES]))[0] == 0


def test_the_first_token_that_differs(compare):
    words = WORDS + SPECIAL
    words[3], words[5] = words[5], words[3]
    status, _, report = compare(keys(words))
    assert status == 1 and report["vocab"]["tokens"] == {"compared": 11, "differ": 2, "first": 3}
    assert findings(report, "vocab") == ["tokens: 2 of 11 differ, first id 3: 'ab' in the reference, 'abc' in the candidate"]


def test_the_first_merge_that_differs(compare):
    status, _, report = compare(keys(merges=["a b", "a c", "ab c"]))
    assert status == 1 and findings(report, "vocab") == ["merges: 1 of 3 differ, first 1: 'b c' in the reference, 'a c' in the candidate"]
    assert compare(keys(merges=MERGES[:2]))[0] == 1


def test_a_special_token_that_is_normal_in_the_gguf(compare):
    status, _, report = compare(keys(types=[1] * 10 + [3]))
    assert status == 1 and report["vocab"]["types"]["differ"] == 2
    assert findings(report, "vocab")[0].startswith("token types: 2 differ, first id 8 '<s>': control in the reference, normal in the candidate")


def test_a_control_sequence_in_a_token_is_shown_escaped(compare):
    words = ["\x1b[31m"] + WORDS[1:] + SPECIAL
    _, text, _ = compare(keys(words))
    assert "\x1b" not in text and "'\\x1b[31m' in the candidate" in text


def test_special_ids(compare):
    status, _, report = compare(keys(eos=10))
    assert status == 1 and findings(report, "vocab") == ["eos: id 9 '</s>' in the reference, 10 '<|eot|>' in the candidate"]
    # one of several that end a turn
    assert compare(keys(eos=10), config=dict(CONFIG, eos_token_id=[9, 10]))[0] == 0
    assert compare(keys(eos=10), generation_config={"eos_token_id": [10, 9]})[0] == 0
    status, _, report = compare(keys(eos=200))
    assert "eos: the candidate's id 200 is no token of its vocabulary" in findings(report, "vocab")


def test_ids_by_name(compare):
    config = {k: v for k, v in CONFIG.items() if "token_id" not in k}
    status, _, report = compare(keys(bos=9), config=config, tokenizer_config={"bos_token": {"content": "<s>"}, "eos_token": "</s>"})
    assert status == 1 and findings(report, "vocab") == ["bos: id 8 '<s>' in the reference, 9 '</s>' in the candidate",
                                                         "eos: the candidate's id 9 '</s>' is its bos, too"]


def test_padding_tokens_are_no_difference(compare):
    words = WORDS + SPECIAL + ["[PAD11]", "[PAD12]"]
    status, _, report = compare(keys(words, types=[1] * 8 + [3] * 3 + [5] * 2), rows=11)
    assert report["vocab"]["tokens"]["differ"] == 0
    assert status == 1 and "candidate: tokens 13, embedding rows 11: inconsistent" in findings(report, "vocab")


def test_rows_that_no_token_uses(tmp_path):
    """A converter that cuts the embedding to the vocabulary, as some do."""
    reference = write_hf(tmp_path / "hf", {"model.embed_tokens.weight": normal(16, 4)}, {k: v for k, v in CONFIG.items() if k != "vocab_size"},
                         bpe_tokenizer(WORDS, SPECIAL, MERGES))
    cut = {"token_embd.weight": normal(16, 4)[:11]}
    status, _, report = diff(reference, write_gguf(tmp_path / "a.gguf", cut, arch="qwen2", keys=keys()), "--what", "vocab,weights")
    assert status == 0, failing(report)
    assert "model.embed_tokens.weight: 5 rows more than the candidate has, which no token uses" in findings(report, "remark")
    cut = {"token_embd.weight": normal(16, 4)[:10]}
    status, _, report = diff(reference, write_gguf(tmp_path / "b.gguf", cut, arch="qwen2", keys=keys()), "--what", "vocab,weights")
    assert status == 1 and "candidate: tokens 11, embedding rows 10: inconsistent" in findings(report, "vocab")


def test_a_unigram_vocabulary(compare):
    tokenizer = {"added_tokens": [], "model": {"type": "Unigram", "unk_id": 0, "vocab": [[w, -1.5 * i] for i, w in enumerate(WORDS + SPECIAL)]}}
    assert compare(keys(merges=[], types=[1] * 11), tokenizer=tokenizer)[0] == 0


def test_bad_tokenizers_are_refused(tmp_path):
    candidate = write_gguf(tmp_path / "m.gguf", tensors(), arch="qwen2", keys=keys())
    good = bpe_tokenizer(WORDS, SPECIAL, MERGES)
    cases = [
        ('{"model": {"vocab": {"a": 99999999999}}}', "found token id 99999999999, expected less than the file's"),
        ('{"model": {"vocab": {"a": -1}}}', "expected an id"),
        ('{"model": {"merges": [["a", "b", "c"]]}}', "expected two tokens"),
        ('{"added_tokens": [{"content": "x"}]}', "expected an added token with id and content"),
        (json.dumps(good)[:-9], "tokenizer.json: offset"),
        ("[" * 5000, "expected a tokenizer: an object"),
        ('{"x": ' + "[" * 5000, "tokenizer.json: offset"),
        ("", "expected a tokenizer: an object"),
    ]
    for text, message in cases:
        folder = write_hf(tmp_path / "hf", {"model.embed_tokens.weight": normal(11, 4)}, CONFIG)
        (folder / "tokenizer.json").write_text(text)
        status, output, _ = diff(folder, candidate, "--what", "vocab")
        assert status == 2 and message in output, (text[:60], output)


def test_bad_configurations_are_said(tmp_path):
    candidate = write_gguf(tmp_path / "m.gguf", tensors(), arch="qwen2")
    folder = write_hf(tmp_path / "hf", {"model.embed_tokens.weight": normal(11, 4)}, CONFIG)
    for text, message in [('{"a": 1', "config.json: offset 7:"), ("[]", "expected an object"), ("[" * 100000, "config.json: offset"),
                          ("\xff", "config.json: offset"), ("", "config.json: offset 0"), ('{"a": 01}', "config.json: offset"), ("{'a': 1}", "config.json: offset")]:
        (folder / "config.json").write_bytes(text.encode("latin1"))
        status, output, _ = diff(folder, candidate)
        assert status == 2 and message in output, (text[:60], output)
