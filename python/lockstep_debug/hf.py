"""Runs a transformers model, for `lockstep capture` to record:

    lockstep capture -o ref -- python -m lockstep_debug.hf MODEL_DIR --prompt "The weather today is" --steps 4

Without a prompt, the model is given the single token "What", without a
beginning-of-text token: the smallest run that goes through every layer. Prints the
token ids of the prompt, and those that were chosen.
"""
import argparse
import sys


def parse(arguments):
    parser = argparse.ArgumentParser(prog="python -m lockstep_debug.hf", description=__doc__.partition("\n")[0].rstrip(":"))
    parser.add_argument("model", metavar="MODEL_DIR")
    given = parser.add_mutually_exclusive_group()
    given.add_argument("--prompt", metavar="TEXT", help='tokenized by the model\'s tokenizer (default: the token "What" alone)')
    given.add_argument("--tokens", metavar="1,2,3", type=token_list, help="token ids instead of a text")
    parser.add_argument("--steps", metavar="N", type=count, default=0, help="tokens to choose greedily, one pass each (default: 0)")
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16", "float16", "float64"], help="of the weights (default: float32)")
    parser.add_argument("--attention", default="sdpa", choices=["sdpa", "eager"], help="attention implementation (default: sdpa)")
    return parser.parse_args(arguments)


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


def load_model(options):
    import torch
    import transformers

    how = {"dtype": getattr(torch, options.dtype), "attn_implementation": options.attention}
    try:
        return transformers.AutoModelForCausalLM.from_pretrained(options.model, **how).eval()
    except (OSError, ValueError) as error:
        return fail(str(error).splitlines()[0])


def main(arguments=None):
    options = parse(arguments)
    try:
        import torch
        import transformers  # noqa: F401
    except ImportError as error:
        fail(f"{error}; pip install torch transformers")
    tokens = tokens_of(options)
    model = load_model(options)
    vocabulary = model.get_input_embeddings().num_embeddings
    if max(tokens) >= vocabulary:
        fail(f"token {max(tokens)} is beyond the model's {vocabulary}")
    print("tokens", ",".join(map(str, tokens)), flush=True)
    chosen = []
    with torch.no_grad():
        out = model(input_ids=torch.tensor([tokens]), use_cache=True)
        for _ in range(options.steps):
            chosen.append(int(out.logits[0, -1].argmax()))
            out = model(input_ids=torch.tensor([chosen[-1:]]), past_key_values=out.past_key_values, use_cache=True)
    chosen.append(int(out.logits[0, -1].argmax()))
    print("chose", ",".join(map(str, chosen)))


if __name__ == "__main__":
    main()
