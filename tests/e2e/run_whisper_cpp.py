"""Runs a model in whisper.cpp: a spectrogram through the encoder, tokens through the decoder."""
import json
import sys

import _pywhispercpp as whisper
import numpy as np

options = json.loads(sys.argv[1])
parameters = whisper.whisper_context_default_params()
parameters.use_gpu = False
if hasattr(parameters, "flash_attn"):
    parameters.flash_attn = options.get("flash", False)
context = whisper.whisper_init_from_file_with_params(options["model"], parameters)
mel = np.load(options["mel"])  # [mels, frames]
assert whisper.whisper_set_mel(context, mel.reshape(-1), mel.shape[1], mel.shape[0]) == 0
assert whisper.whisper_encode(context, 0, 1) == 0
tokens = options["prompt"] + options["steps"]
for position, token in enumerate(tokens):  # the binding takes one at a time
    assert whisper.whisper_decode(context, token, 1, position, 1) == 0
print("decoded", len(tokens))
