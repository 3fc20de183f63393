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
    assert "eos: the candidate's id 200 is not in its vocabulary" in findings(report, "vocab")


def test_ids_by_name(compare):
    config = {k: v for k, v in CONFIG.items() if "token_id" not in k}
    status, _, report = compare(keys(bos=9), config=config, tokenizer_config={"bos_token": {"content": "<s>"}, "eos_token": "</s>"})
    assert status == 1 and findings(report, "vocab") == ["bos: id 8 '<s>' in the reference, 9 '</s>' in the candidate",
                                                         "eos: the candidate's id 9 '</s>' is also its bos"]


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
    spm = dict(keys(merges=[], types=[1] * 11), add_tokenizer_model="llama", add_token_scores=[-1.5 * i for i in range(11)])
    status, _, report = compare(list(spm.items()), tokenizer=tokenizer)
    assert status == 0 and report["vocab"]["scores"] == {"compared": 11, "differ": 0}
    spm["add_token_scores"] = [0.0] * 11
    status, _, report = compare(list(spm.items()), tokenizer=tokenizer)
    assert status == 1 and findings(report, "vocab") == ["scores of tokens: 10 of 11 differ, first id 1 'b': -1.5 in the reference, 0 in the candidate"]


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


# --- how text becomes tokens, and where it ends

BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}


def tokenizer_with(**more):
    made = bpe_tokenizer(WORDS, SPECIAL, MERGES)
    model = made["model"] | more.pop("model", {})
    return {**made, **more, "model": model}


def split_by(regex):
    return {"type": "Sequence", "pretokenizers": [{"type": "Split", "pattern": {"Regex": regex}, "behavior": "Isolated", "invert": False},
                                                  {**BYTE_LEVEL, "use_regex": False}]}


LLAMA3 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
QWEN2 = LLAMA3.replace("{1,3}", "")


def test_the_model_of_a_tokenizer(compare):
    assert compare(keys(), tokenizer=tokenizer_with(pre_tokenizer=BYTE_LEVEL))[0] == 0
    status, _, report = compare(keys(), tokenizer=tokenizer_with(model={"byte_fallback": True}))
    assert status == 1 and findings(report, "vocab")[0] == "tokenizer model: 'BPE' in the reference, 'gpt2' in the candidate"
    status, _, report = compare(keys())  # nothing tells how it spells bytes
    assert status == 0 and "tokenizer model" in report["vocab"]["not_compared"]


@pytest.mark.parametrize(("regex", "pre", "status"), [(LLAMA3, "llama-bpe", 0), (QWEN2, "qwen2", 0), (LLAMA3, "qwen2", 1), (QWEN2, "llama-bpe", 1),
                                                      (QWEN2, "default", 1), (None, "gpt-2", 0), (None, "qwen2", 1)])
def test_the_pre_tokenizer(compare, regex, pre, status):
    made = tokenizer_with(pre_tokenizer=BYTE_LEVEL if regex is None else split_by(regex))
    got, _, report = compare(keys(add_tokenizer_pre=pre, add_add_bos_token=False), tokenizer=made)
    assert got == status and [f for f in findings(report, "vocab") if not f.startswith("pre-tokenizer")] == []


def test_a_pre_tokenizer_that_is_not_known_is_said(compare):
    status, text, report = compare(keys(add_tokenizer_pre="novel"), tokenizer=tokenizer_with(pre_tokenizer=split_by("a|b")))
    assert status == 0 and report["vocab"]["not_compared"] == "pre-tokenizer" and "not compared: pre-tokenizer" in text


@pytest.mark.parametrize(("config", "more", "status"), [
    ({"add_bos_token": True}, {"add_add_bos_token": True}, 0), ({"add_bos_token": True}, {"add_add_bos_token": False}, 1),
    ({"add_bos_token": True}, {}, 1), ({"add_bos_token": False}, {}, 0), ({"add_eos_token": True}, {"add_add_eos_token": False}, 1),
    ({"add_eos_token": False}, {"add_add_eos_token": True}, 1),
])
def test_bos_and_eos_that_are_added(compare, config, more, status):
    assert compare(keys(**more), tokenizer_config=config)[0] == status


def test_bos_that_a_template_adds(compare):
    single = [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}]
    made = tokenizer_with(post_processor={"type": "TemplateProcessing", "single": single, "pair": single, "special_tokens": {}})
    assert compare(keys(add_add_bos_token=True), tokenizer=made)[0] == 0
    status, _, report = compare(keys(add_add_bos_token=False), tokenizer=made)
    assert status == 1 and findings(report, "vocab") == ["BOS: the reference adds it to a text, the candidate doesn't"]


def test_all_ids_that_end_a_text(compare, tmp_path):
    odd = WORDS + ["<s>", "<done>", "<stop>"]
    made = bpe_tokenizer(WORDS, odd[8:], MERGES)
    for ids, more, status in [([9, 10], {}, 1), ([9], {}, 0), ([9, 10], {"add_eot_token_id": 10}, 0), (9, {}, 0)]:
        got, _, report = compare(keys(odd, **more), tokenizer=made, generation_config={"eos_token_id": ids})
        assert got == status, ids
        assert status == 0 or findings(report, "vocab") == ["end of text: the reference ends at id 10 '<stop>', the candidate continues"]

    def folder(name, ids):
        return write_hf(tmp_path / name, {"model.embed_tokens.weight": normal(11, 4)}, CONFIG, made, generation_config={"eos_token_id": ids})

    assert diff(folder("a", [9, 10]), folder("b", [10, 9]), "--what", "vocab")[0] == 0
    assert diff(folder("a", [9, 10]), folder("b", 9), "--what", "vocab")[0] == 1
    assert diff(folder("a", 9), folder("b", [9, 8]), "--what", "vocab")[0] == 1


# --- chat templates

def test_chat_templates(compare):
    for form in ["{{ x }}", "{{ x }}\n", [{"name": "default", "template": "{{ x }}"}, {"name": "tool_use", "template": "{{ t }}"}]]:
        many = isinstance(form, list)
        def run(*templates):
            return compare(keys(**dict(zip(["tokenizer.chat_template", "tokenizer.chat_template.tool_use"], templates))), tokenizer_config={"chat_template": form})

        assert run("{{ x }}", *["{{ t }}"] * many)[0] == 0, form
        status, _, report = run("{{ y }}", *["{{ t }}"] * many)
        assert status == 1 and findings(report, "vocab") == ["chat template (default): differs from byte 3 on (line 1): 'x }}' in the reference, 'y }}' in the candidate"]
        assert run()[0] == 1 and (not many or run("{{ x }}", "{{ other }}")[0] == 1)


def test_a_chat_template_in_a_file_of_its_own(compare, tmp_path):
    (tmp_path / "hf").mkdir()
    (tmp_path / "hf" / "chat_template.jinja").write_text("{{ x }}")  # goes before the one inside
    (tmp_path / "hf" / "additional_chat_templates").mkdir()
    (tmp_path / "hf" / "additional_chat_templates" / "rag.jinja").write_text("{{ r }}")
    stale = {"chat_template": "{{ stale }}"}
    same = {"tokenizer.chat_template": "{{ x }}", "tokenizer.chat_template.rag": "{{ r }}"}
    assert compare(keys(**same), tokenizer_config=stale)[0] == 0
    assert compare(keys(**(same | {"tokenizer.chat_template": "{{ stale }}"})), tokenizer_config=stale)[0] == 1
    assert compare(keys(**(same | {"tokenizer.chat_template.rag": "{{ s }}"})), tokenizer_config=stale)[0] == 1


# --- two files, two folders

@pytest.mark.parametrize("more", [{"add_tokenizer_model": "llama"}, {"add_tokenizer_pre": "qwen2"}, {"tokenizer.chat_template": "x"}, {"add_add_bos_token": True},
                                  {"add_token_scores": [0.5] * 11}, {"add_add_space_prefix": False}])
def test_two_gguf_files(tmp_path, more):
    base = dict(keys()) | {"add_token_scores": [0.0] * 11, "add_add_space_prefix": True, "add_add_bos_token": False}
    a = write_gguf(tmp_path / "a.gguf", tensors(), arch="qwen2", keys=list(base.items()))
    b = write_gguf(tmp_path / "b.gguf", tensors(), arch="qwen2", keys=list((base | more).items()))
    assert diff(a, a, "--what", "vocab")[0] == 0
    status, _, report = diff(a, b, "--what", "vocab")
    assert status == 1 and len(findings(report, "vocab")) == 1


def test_two_folders(tmp_path):
    def folder(name, made):
        return write_hf(tmp_path / name, {"model.embed_tokens.weight": normal(11, 4)}, CONFIG, made)

    a = folder("a", tokenizer_with(pre_tokenizer=split_by(QWEN2), normalizer={"type": "NFC"}))
    assert diff(a, a, "--what", "vocab")[0] == 0
    for change, line in [({"pre_tokenizer": split_by(LLAMA3)}, "the pre-tokenizer of tokenizer.json differs"),
                         ({"normalizer": None}, "the normalizer of tokenizer.json differs: the candidate has none"),
                         ({"model": {"ignore_merges": True}}, "the settings of the model of tokenizer.json differs: the reference has none")]:
        made = tokenizer_with(**({"pre_tokenizer": split_by(QWEN2), "normalizer": {"type": "NFC"}} | change))
        status, _, report = diff(a, folder("b", made), "--what", "vocab")
        assert status == 1 and len(findings(report, "vocab")) == 1 and findings(report, "vocab")[0].startswith(line.split(" differs")[0])


def sentencepiece(pieces):
    """ModelProto by hand, as protoc writes it: (text, score, type)."""
    import struct
    out = b""
    for text, score, kind in pieces:
        text = text.encode()
        body = b"\x0a" + bytes([len(text)]) + text + b"\x15" + struct.pack("<f", score) + b"\x18" + bytes([kind])
        out += b"\x0a" + bytes([len(body)]) + body
    return out + b"\x12\x02\x08\x01"  # trainer_spec, which is passed over


def test_scores_of_a_sentencepiece_model(compare, tmp_path):
    pieces = [("<unk>", 0.0, 2), ("<s>", 0.0, 3), ("</s>", 0.0, 3)] + [(w, -float(i), 1) for i, w in enumerate(WORDS)]
    (tmp_path / "hf").mkdir()
    (tmp_path / "hf" / "tokenizer.model").write_bytes(sentencepiece(pieces))
    spm = [("add_tokenizer_model", "llama"), ("add_token_list", [p[0] for p in pieces]), ("add_token_types", [p[2] for p in pieces])]
    config = {"model_type": "qwen2", "vocab_size": 11}
    right = [p[1] for p in pieces]
    assert compare([*spm, ("add_token_scores", right)], config=config, tokenizer=None)[0] == 0
    status, _, report = compare([*spm, ("add_token_scores", right[:5] + [-9.0] + right[6:])], config=config, tokenizer=None)
    assert status == 1 and findings(report, "vocab")[0].startswith("scores of tokens: 1 of 8 differ, first id 5 'c': -2 in the reference, -9 in the candidate")
    (tmp_path / "hf" / "tokenizer.model").write_bytes(sentencepiece(pieces)[:-20])
    status, text, _ = compare([*spm, ("add_token_scores", right)], config=config, tokenizer=None)
    assert status == 2 and "not a SentencePiece model" in text


def test_a_side_file_that_cant_be_read_costs_itself_alone(compare, tmp_path):
    (tmp_path / "hf").mkdir()
    for name in ("tokenizer_config.json", "generation_config.json"):
        (tmp_path / "hf" / name).write_text('{"model_max_length": 1000000000000000019884624838656, "x": NaN}')
        assert compare(keys())[0] == 0
        (tmp_path / "hf" / name).write_text("{")
        status, text, report = compare(keys())
        assert status == 2 and report["vocab"]["tokens"]["compared"] == 11 and f"the {name} of the reference: not compared" in text
        assert compare(keys(eos=8, add_eot_token_id=3))[0] == 1
        (tmp_path / "hf" / name).unlink()
