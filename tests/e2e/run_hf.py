"""Runs a transformers model on token ids: a prompt, then one pass for each later id. others: prompts of the
same length, which are further sequences."""
import json
import sys

import torch
import transformers

options = json.loads(sys.argv[1])
model = transformers.AutoModelForCausalLM.from_pretrained(
    options["model"], dtype=getattr(torch, options.get("dtype", "float32")),
    attn_implementation=options.get("attention", "sdpa")).eval()
torch.set_num_threads(1)
cache = options.get("cache", "past_key_values")
prompts = [options["prompt"], *options.get("others", [])]
with torch.no_grad():
    out = model(input_ids=torch.tensor(prompts), use_cache=True)
    for token in options["steps"]:
        out = model(input_ids=torch.tensor([[token]] * len(prompts)), **{cache: out[cache]}, use_cache=True)
print("argmax", int(out.logits[0, -1].argmax()))
