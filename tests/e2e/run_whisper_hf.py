"""The same in transformers."""
import json
import sys

import numpy as np
import torch
import transformers

options = json.loads(sys.argv[1])
model = transformers.WhisperForConditionalGeneration.from_pretrained(
    options["model"], attn_implementation=options.get("attention", "sdpa")).eval()
torch.set_num_threads(1)
with torch.no_grad():
    encoded = model.model.encoder(torch.from_numpy(np.load(options["mel"]))[None])
    past = None
    for tokens in [options["prompt"]] + [[token] for token in options["steps"]]:
        out = model(encoder_outputs=encoded, decoder_input_ids=torch.tensor([tokens]), past_key_values=past, use_cache=True)
        past = out.past_key_values
print("argmax", int(out.logits[0, -1].argmax()))
