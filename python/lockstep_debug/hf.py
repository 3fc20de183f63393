"""Runs a transformers model, for `lockstep capture` to record:

    lockstep capture -o ref -- python -m lockstep_debug.hf MODEL_DIR --prompt "The weather today is" --steps 4

Without a prompt, the model is given the single token "What", without a
beginning-of-text token: the smallest run that goes through every layer. Prints the
token ids of the prompt, and those that were chosen.

With --image (once for each picture), the model's own processor prepares the picture and the
prompt, in which the model's image token stands for each picture; without it, the
pictures come first.
"""
import argparse
import sys


def parse(arguments):
    parser = argparse.ArgumentParser(prog="python -m lockstep_debug.hf", description=__doc__.partition("\n")[0].rstrip(":"))
    parser.add_argument("model", metavar="MODEL_DIR")
    given = parser.add_mutually_exclusive_group()
    given.add_argument("--prompt", metavar="TEXT", help='tokenized by the model\'s tokenizer (default: the token "What" alone)')
    given.add_argument("--tokens", metavar="1,2,3", type=token_list, help="token ids instead of a text")
    parser.add_argument("--image", metavar="FILE", action="append", default=[], dest="images", help="a picture (repeatable), for a model that reads pictures")
    parser.add_argument("--processor", choices=["torchvision", "pil"], help="which of transformers' image processors prepares it (default: the model's)")
    parser.add_argument("--steps", metavar="N", type=count, default=0, help="tokens to choose greedily, one pass each (default: 0)")
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16", "float16", "float64"], help="of the weights (default: float32)")
    parser.add_argument("--attention", default="sdpa", choices=["sdpa", "eager"], help="attention implementation (default: sdpa)")
    options = parser.parse_args(arguments)
    if options.images and options.tokens is not None:
        parser.error("--image goes with --prompt: the processor makes the tokens of both")
    return options


def token_list(text):
    try:
        tokens = [int(part) for part in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"found '{text}', expected ids and commas") from None
    if min(tokens) < 0:
        raise argparse.ArgumentTypeError("an id is negative")
    return tokens


def count(text):
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"found '{text}', expected a number")
    return int(text)


def fail(message):
    sys.exit(f"lockstep_debug.hf: {message}")


def load_tokenizer(folder):
    import transformers

    try:
        return transformers.AutoTokenizer.from_pretrained(folder)
    except Exception as error:
        return fail(f"{folder} has no tokenizer that can be read ({str(error).splitlines()[0]}); give --tokens 1,2,3")


def tokens_of(options):
    if options.tokens is not None:
        return options.tokens
    tokenizer = load_tokenizer(options.model)
    if options.prompt is not None:
        tokens = tokenizer(options.prompt)["input_ids"]
    else:
        tokens = tokenizer("What", add_special_tokens=False)["input_ids"][:1]
    return tokens or fail("the tokenizer makes no tokens from this prompt")


def load_pictures(options):
    try:
        from PIL import Image, ImageOps
    except ImportError as error:
        return fail(f"{error}; pip install pillow")
    try:
        return [ImageOps.exif_transpose(Image.open(path)).convert("RGB") for path in options.images]
    except OSError as error:
        return fail(str(error))


def image_token_of(processor):
    token = getattr(processor, "image_token", None) or getattr(processor.tokenizer, "image_token", None)
    return getattr(token, "content", token)


def with_image_tokens(prompt, processor, count):
    """The prompt with a token for each picture, in the place that the processor expects."""
    token = getattr(processor, "boi_token", None) or image_token_of(processor)
    missing = count - prompt.count(token) if token else 0
    return (token or "") * max(missing, 0) + prompt


def prepared(options):
    """The model's inputs for a prompt with pictures."""
    import transformers

    pictures = load_pictures(options)
    how = {"backend": options.processor} if options.processor else {}
    try:
        processor = transformers.AutoProcessor.from_pretrained(options.model, **how)
    except Exception as error:
        return fail(f"{options.model} has no processor that can be read ({str(error).splitlines()[0]}); {NO_PROCESSOR}")
    if not hasattr(processor, "tokenizer") or not hasattr(processor, "image_processor"):
        return fail(f"{options.model} has no processor for pictures and text")
    prompt = with_image_tokens(options.prompt or "What", processor, len(pictures))
    try:
        return dict(processor(images=pictures, text=prompt, return_tensors="pt"))
    except Exception as error:
        return fail(f"the processor refuses this picture and prompt: {str(error).splitlines()[0]}")


NO_PROCESSOR = "--image needs preprocessor_config.json, processor_config.json and a tokenizer"


def load_model(options):
    import torch
    import transformers

    how = {"dtype": getattr(torch, options.dtype), "attn_implementation": options.attention}
    auto = transformers.AutoModelForImageTextToText if options.images else transformers.AutoModelForCausalLM
    try:
        return auto.from_pretrained(options.model, **how).eval()
    except (OSError, ValueError) as error:
        return fail(str(error).splitlines()[0])


def main(arguments=None):
    options = parse(arguments)
    try:
        import torch
        import transformers  # noqa: F401
    except ImportError as error:
        fail(f"{error}; pip install torch transformers")
    inputs = prepared(options) if options.images else {"input_ids": torch.tensor([tokens_of(options)])}
    tokens = inputs["input_ids"][0].tolist()
    model = load_model(options)
    vocabulary = model.get_input_embeddings().num_embeddings
    if max(tokens) >= vocabulary:
        fail(f"token {max(tokens)} is beyond the model's {vocabulary}")
    print("tokens", ",".join(map(str, tokens)), flush=True)
    inputs = {name: value.to(model.dtype) if hasattr(value, "is_floating_point") and value.is_floating_point() else value for name, value in inputs.items()}
    chosen = []
    with torch.no_grad():
        out = model(**inputs, use_cache=True)
        for _ in range(options.steps):
            chosen.append(int(out.logits[0, -1].argmax()))
            out = model(input_ids=torch.tensor([chosen[-1:]]), past_key_values=out.past_key_values, use_cache=True)
    chosen.append(int(out.logits[0, -1].argmax()))
    print("chose", ",".join(map(str, chosen)))


if __name__ == "__main__":
    main()
