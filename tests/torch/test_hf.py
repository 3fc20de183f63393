"""`python -m lockstep_debug.hf`: a transformers model, run on a prompt."""
import json
import os
import pathlib
import subprocess
import sys

import pytest
import tokenizers
import torch
import transformers
from PIL import Image

ROOT = pathlib.Path(__file__).resolve().parents[2]
LOCKSTEP = ROOT / "build" / "lockstep"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hf")
    words = ["<bos>", "<unk>", "What", "The", "weather", "today", "is"]
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel({w: i for i, w in enumerate(words)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    tokenizer.post_processor = tokenizers.processors.TemplateProcessing(single="<bos> $A", special_tokens=[("<bos>", 0)])
    transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<bos>", unk_token="<unk>").save_pretrained(folder)
    config = transformers.LlamaConfig(vocab_size=len(words), hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2,
                                      num_key_value_heads=1, bos_token_id=0, eos_token_id=None)
    torch.manual_seed(3)
    transformers.LlamaForCausalLM(config).save_pretrained(folder)
    return folder


def run(*words):
    environment = dict(os.environ, PYTHONPATH=str(ROOT / "python"))
    environment.pop("LOCKSTEP_CHANNEL", None)
    return subprocess.run([sys.executable, "-m", "lockstep_debug.hf", *map(str, words)], capture_output=True, text=True, timeout=120, env=environment)


def printed(done):
    assert done.returncode == 0, done.stderr
    return {line.split()[0]: [int(i) for i in line.split()[1].split(",")] for line in done.stdout.splitlines()}


def test_without_a_prompt_it_is_one_token_and_no_beginning(model):
    assert printed(run(model))["tokens"] == [2]


def test_a_prompt_is_tokenized_as_the_tokenizer_does(model):
    assert printed(run(model, "--prompt", "The weather today is"))["tokens"] == [0, 3, 4, 5, 6]


def test_steps_are_the_models_greedy_ones(model):
    got = printed(run(model, "--tokens", "0,3,4", "--steps", "3"))
    reference = transformers.AutoModelForCausalLM.from_pretrained(model)
    with torch.no_grad():
        want = reference.generate(torch.tensor([[0, 3, 4]]), max_new_tokens=4, do_sample=False, pad_token_id=0)
    assert got == {"tokens": [0, 3, 4], "chose": want[0, 3:].tolist()}


@pytest.mark.parametrize("dtype", ["bfloat16", "float64"])
def test_it_is_recorded_in_the_dtype_that_was_asked_for(model, tmp_path, dtype):
    done = subprocess.run([LOCKSTEP, "capture", "-o", tmp_path / "t", "--", sys.executable, "-m", "lockstep_debug.hf", model, "--dtype", dtype,
                           "--steps", "1", "--attention", "eager"], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in open(tmp_path / "t/trace.jsonl")]
    assert {line["dtype"] for line in lines if line.get("name") == "lm_head"} == {{"bfloat16": "bf16", "float64": "f64"}[dtype]}
    assert [line["tokens"] for line in lines if "tokens" in line][0] == [2]


@pytest.mark.parametrize("words,said", [
    (["--tokens", "1,x"], "expected ids and commas"), (["--tokens=-1"], "an id is negative"),
    (["--tokens", "700"], "token 700 is beyond the model's 7"), (["--steps", "-1"], "expected"), (["--prompt", "a", "--tokens", "1"], "not allowed with")
])
def test_what_was_typed_wrong(model, words, said):
    done = run(model, *words)
    assert said in done.stdout + done.stderr and "Traceback" not in done.stderr


def test_a_folder_without_a_model(tmp_path):
    done = run(tmp_path)
    assert done.returncode == 1 and done.stderr.startswith("lockstep_debug.hf: ") and "Traceback" not in done.stderr
    done = run(tmp_path, "--tokens", "1")
    assert done.returncode == 1 and "lockstep_debug.hf: " in done.stderr and "Traceback" not in done.stderr


IMAGE = 7  # the id of the image token


@pytest.fixture(scope="module")
def vision_model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("llava")
    words = ["<bos>", "<unk>", "What", "is", "this", "?", "here", "<image>", "<pad>"]
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel({w: i for i, w in enumerate(words)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    fast = transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<bos>", unk_token="<unk>", pad_token="<pad>", extra_special_tokens={"image_token": "<image>"})
    pictures = transformers.CLIPImageProcessorPil(size={"height": 28, "width": 28}, do_center_crop=False)
    transformers.LlavaProcessor(pictures, fast, patch_size=14, vision_feature_select_strategy="default", num_additional_image_tokens=1, image_token="<image>").save_pretrained(folder)
    text = transformers.LlamaConfig(vocab_size=len(words), hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1,
                                    bos_token_id=0, eos_token_id=None)
    vision = transformers.CLIPVisionConfig(hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=2, image_size=28, patch_size=14)
    torch.manual_seed(3)
    transformers.LlavaForConditionalGeneration(transformers.LlavaConfig(vision_config=vision, text_config=text, image_token_index=IMAGE)).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def picture(tmp_path_factory):
    path = tmp_path_factory.mktemp("picture") / "p.png"
    Image.effect_mandelbrot((40, 30), (-2, -1, 1, 1), 50).convert("RGB").save(path)
    return path


@pytest.mark.parametrize("prompt", ["What is this ?", "<image> What is this ?"])
def test_a_picture_and_a_prompt_are_prepared_by_the_models_processor(vision_model, picture, prompt):
    got = printed(run(vision_model, "--image", picture, "--prompt", prompt, "--processor", "pil", "--steps", "1"))
    assert got["tokens"] == [IMAGE] * 4 + [2, 3, 4, 5]  # 2 x 2 patches
    processor = transformers.AutoProcessor.from_pretrained(vision_model, backend="pil")
    inputs = processor(images=[Image.open(picture)], text="<image> What is this ?", return_tensors="pt")
    model = transformers.AutoModelForImageTextToText.from_pretrained(vision_model)
    with torch.no_grad():
        assert got["chose"] == model.generate(**inputs, max_new_tokens=2, do_sample=False, pad_token_id=8)[0, 8:].tolist()


def test_what_goes_wrong_with_a_picture_is_one_line(vision_model, model, picture, tmp_path):
    (tmp_path / "no.png").write_text("this is no picture")
    for words, said in [((vision_model, "--image", tmp_path / "none.png"), "none.png"), ((vision_model, "--image", tmp_path / "no.png"), "no.png"),
                        ((model, "--image", picture), "no processor")]:
        done = run(*words, "--processor", "pil")
        assert done.returncode == 1 and done.stderr.splitlines()[-1].startswith("lockstep_debug.hf: ") and said in done.stderr and "Traceback" not in done.stderr, done.stderr
    assert run(vision_model, "--image", picture, "--tokens", "1,2").returncode == 2
